//! Expectations: what an event must be like, and which events of an actor's log are not taken yet.

use std::collections::BTreeMap;

use node_core::event::{DeliveryState, Event, EventKind, Money, request_word};
use protocol::Name;
use regex::Regex;

/// Kinds of events that scripts can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Message,
    Receipt,
    Member,
    Presence,
    KeyChange,
    Payment,
    Request,
    Closed,
    File,
}

impl Kind {
    /// Reads a kind.
    pub(super) fn read(word: &str) -> Option<Self> {
        Some(match word.to_uppercase().as_str() {
            "MESSAGE" => Self::Message,
            "RECEIPT" => Self::Receipt,
            "MEMBER" => Self::Member,
            "PRESENCE" => Self::Presence,
            "KEYCHANGE" => Self::KeyChange,
            "PAYMENT" => Self::Payment,
            "REQUEST" => Self::Request,
            "CLOSED" => Self::Closed,
            "FILE" => Self::File,
            _ => return None,
        })
    }
}

/// The text that an event must have.
#[derive(Debug, Clone)]
pub(super) enum Text {
    /// The whole text.
    Whole(String),
    /// Somewhere in it.
    Matching(Regex),
}

/// What an event must be like.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    pub(super) from: Option<Name>,
    pub(super) to: Option<Name>,
    pub(super) in_group: Option<Name>,
    pub(super) state: Option<String>,
    pub(super) amount: Option<String>,
    pub(super) id: Option<String>,
    pub(super) text: Option<Text>,
}

/// What of an event filters look at.
struct Facts<'a> {
    kind: Kind,
    /// Whom it is from; in a receipt, to whom. Nobody, where the operator gave money.
    party: Option<&'a Name>,
    to: Option<&'a Name>,
    group: Option<&'a Name>,
    state: Option<&'static str>,
    amount: Option<&'a Money>,
    /// Short and in full.
    id: Option<(String, String)>,
    text: Option<&'a str>,
}

impl Facts<'_> {
    /// Whose cursor it moves: a person's, or an object's of its own.
    fn cursor(&self) -> (Kind, String) {
        let object = self.id.as_ref().filter(|_| self.kind == Kind::Closed).map(|(_, full)| full.clone());
        (self.kind, object.unwrap_or_else(|| self.party.map_or_else(String::new, ToString::to_string)))
    }
}

fn facts(event: &Event) -> Option<Facts<'_>> {
    let nobody =
        |kind| Facts { kind, party: None, to: None, group: None, state: None, amount: None, id: None, text: None };
    let bare = |kind, party| Facts { party: Some(party), ..nobody(kind) };
    Some(match &event.kind {
        EventKind::Message { id, uid, from, text, to, group, .. } => Facts {
            to: to.as_ref(),
            group: group.as_ref(),
            id: Some((id.to_string(), uid.to_string())),
            text: Some(text),
            ..bare(Kind::Message, from)
        },
        EventKind::Receipt { id, uid, to, state, reason, group } => Facts {
            to: Some(to),
            group: group.as_ref(),
            state: Some(state.word()),
            id: Some((id.to_string(), uid.to_string())),
            text: reason.as_deref(),
            ..bare(Kind::Receipt, to)
        },
        EventKind::Member { group, user, change, by: _ } => {
            Facts { group: Some(group), state: Some(change.word()), ..bare(Kind::Member, user) }
        }
        EventKind::Presence { user, online } => {
            Facts { state: Some(if *online { "online" } else { "offline" }), ..bare(Kind::Presence, user) }
        }
        EventKind::KeyChanged { user, .. } => bare(Kind::KeyChange, user),
        EventKind::Payment { id, uid, from, to, amount, memo, .. } => Facts {
            party: from.as_ref(),
            to: to.as_ref(),
            amount: Some(amount),
            id: Some((id.to_string(), uid.to_string())),
            text: memo.as_deref(),
            ..nobody(Kind::Payment)
        },
        EventKind::Request { id, uid, from, to, group, amount, memo, .. } => Facts {
            to: Some(to),
            group: group.as_ref(),
            amount: Some(amount),
            id: Some((id.to_string(), uid.to_string())),
            text: Some(memo),
            ..bare(Kind::Request, from)
        },
        EventKind::Closed { id, uid, state, reason, .. } => Facts {
            state: Some(request_word(*state)),
            id: Some((id.to_string(), uid.to_string())),
            text: reason.as_deref(),
            ..nobody(Kind::Closed)
        },
        EventKind::File(event) => Facts {
            to: Some(&event.to),
            group: event.group.as_ref(),
            state: Some(event.state.word()),
            id: Some((event.id.to_string(), event.uid.to_string())),
            text: Some(&event.name),
            ..bare(Kind::File, &event.from)
        },
        EventKind::Connection { .. } | EventKind::Device { .. } | EventKind::Ledger { .. } | EventKind::Progress(_) => {
            return None;
        }
    })
}

/// States of a receipt in their order; `failed` counts for itself only.
fn reaches(wanted: &str, state: &str) -> bool {
    let order = [DeliveryState::Queued, DeliveryState::Sent, DeliveryState::Delivered, DeliveryState::Read];
    let place = |word: &str| order.iter().position(|state| state.word() == word);
    match (place(wanted), place(state)) {
        (Some(wanted), Some(state)) => state >= wanted,
        _ => wanted == state,
    }
}

impl Filters {
    fn match_facts(&self, facts: &Facts<'_>) -> bool {
        // A receipt is from nobody: its party is its recipient.
        let from = self.from.as_ref().is_none_or(|from| facts.kind != Kind::Receipt && Some(from) == facts.party);
        let to = self.to.as_ref().is_none_or(|to| Some(to) == facts.to);
        let in_group = self.in_group.as_ref().is_none_or(|group| Some(group) == facts.group);
        let state = self.state.as_deref().is_none_or(|wanted| {
            facts.state.is_some_and(|state| match facts.kind {
                Kind::Receipt => reaches(wanted, state),
                _ => wanted == state,
            })
        });
        let id = self
            .id
            .as_deref()
            .is_none_or(|wanted| facts.id.as_ref().is_some_and(|(short, full)| short == wanted || full == wanted));
        let text = match (&self.text, facts.text) {
            (None, _) => true,
            (Some(Text::Whole(wanted)), Some(text)) => wanted == text,
            (Some(Text::Matching(pattern)), Some(text)) => pattern.is_match(text),
            (Some(_), None) => false,
        };
        let amount = self.amount.as_deref().is_none_or(|wanted| facts.amount.is_some_and(|amount| amount.is(wanted)));
        from && to && in_group && state && amount && id && text
    }
}

/// An actor's events since it was opened, and what of them was taken.
#[derive(Debug, Default)]
pub(super) struct Log {
    events: Vec<Event>,
    cursors: BTreeMap<(Kind, String), usize>,
}

impl Log {
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Where the earliest match is that was not taken yet.
    pub(super) fn find(&self, kind: Kind, filters: &Filters) -> Option<usize> {
        self.events.iter().enumerate().find_map(|(at, event)| {
            let facts = facts(event).filter(|facts| facts.kind == kind)?;
            let cursor = self.cursors.get(&facts.cursor()).copied().unwrap_or_default();
            (at >= cursor && filters.match_facts(&facts)).then_some(at)
        })
    }

    /// Takes the earliest match and moves its cursor behind it; its 128-bit id, if it has one.
    pub(super) fn take(&mut self, kind: Kind, filters: &Filters) -> Option<Option<String>> {
        let at = self.find(kind, filters)?;
        let facts = facts(self.events.get(at)?)?;
        let cursor = facts.cursor();
        let id = facts.id.map(|(_, full)| full);
        self.cursors.insert(cursor, at + 1);
        Some(id)
    }
}
