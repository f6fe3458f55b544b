//! What is said in groups and between two, and who has been shown it.

use std::collections::{BTreeMap, BTreeSet};

use node_core::event::DeliveryState;
use protocol::{ConversationId, MessageId, Name, peer::Envelope};

use super::PersonIndex;
use crate::world::{
    clock::Moment,
    witness::{NodeIndex, Violation},
};

/// To whom something is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    Person(PersonIndex),
    Group(Name),
}

/// A message that was durably queued.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) from: NodeIndex,
    pub(super) owner: PersonIndex,
    pub(super) to: To,
    pub(super) text: String,
    /// Its place among those of the same node to the same people.
    pub(super) index: usize,
    pub(super) since: Moment,
    /// Where it was first sent, and in which epoch.
    pub(super) sealed: Option<(ConversationId, u64)>,
    /// Whoever was in the group in that epoch.
    pub(super) audience: BTreeSet<PersonIndex>,
    /// Those of them who had joined.
    pub(super) counted: BTreeSet<PersonIndex>,
    pub(super) state: DeliveryState,
    /// What the sender was told of each of a group's people.
    pub(super) rows: BTreeMap<PersonIndex, DeliveryState>,
    /// The nodes that show it.
    pub(super) shown: BTreeSet<NodeIndex>,
    /// People whose only copy was lost when they went, or while they had fallen out.
    pub(super) excused: BTreeSet<PersonIndex>,
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(super) struct Talk {
    intended: BTreeMap<String, (NodeIndex, To)>,
    said: BTreeMap<MessageId, Said>,
    order: BTreeMap<(NodeIndex, To), Vec<MessageId>>,
    last_shown: BTreeMap<(NodeIndex, NodeIndex, To), usize>,
}

impl Talk {
    pub(super) fn intend(&mut self, from: NodeIndex, to: To, text: String) {
        self.intended.insert(text, (from, to));
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&MessageId, &Said)> {
        self.said.iter()
    }

    pub(super) fn get(&self, uid: MessageId) -> Option<&Said> {
        self.said.get(&uid)
    }

    /// Somebody's copies that were not shown are gone.
    pub(super) fn excuse(&mut self, person: PersonIndex, gone: impl Fn(&MessageId) -> bool) {
        for (_, said) in self.said.iter_mut().filter(|(uid, _)| gone(uid)) {
            said.excused.insert(person);
        }
    }

    /// A node is in a group anew: what was said while it was not was not for it.
    pub(super) fn begin_anew(&mut self, at: NodeIndex, group: &Name) {
        self.last_shown.retain(|(of, _, to), _| *of != at || *to != To::Group(group.clone()));
    }

    pub(super) fn queued(
        &mut self,
        from: NodeIndex,
        owner: PersonIndex,
        uid: MessageId,
        text: &str,
        now: Moment,
    ) -> Result<(), Violation> {
        let intended = self.intended.get(text).filter(|(sender, _)| *sender == from);
        let (_, to) = intended.cloned().ok_or_else(|| Violation::NotIntended { uid, text: text.to_owned() })?;
        if self.said.contains_key(&uid) {
            return Err(Violation::QueuedTwice { uid });
        }
        let order = self.order.entry((from, to.clone())).or_default();
        if let Some(first) = order.iter().find(|first| self.said.get(first).is_some_and(|said| said.text == text)) {
            return Err(Violation::QueuedAgain { first: *first, again: uid });
        }
        let (index, state) = (order.len(), DeliveryState::Queued);
        order.push(uid);
        let (sealed, audience, counted, rows, shown, excused) = Default::default();
        let text = text.to_owned();
        let said =
            Said { from, owner, to, text, index, since: now, sealed, audience, counted, state, rows, shown, excused };
        self.said.insert(uid, said);
        Ok(())
    }

    /// A message left its sender; `people` are those of a group in the epoch that it was sealed in, and whether each had
    /// joined.
    pub(super) fn left(&mut self, envelope: &Envelope, people: BTreeMap<PersonIndex, bool>) {
        let Some(said) = self.said.get_mut(&envelope.id).filter(|said| said.sealed.is_none()) else { return };
        said.sealed = Some((envelope.conversation, envelope.epoch));
        if let To::Person(person) = &said.to {
            said.audience.extend([*person, said.owner]);
        }
        self.settle(envelope.id, people);
    }

    /// It is certain who gets a message, unless it was before.
    pub(super) fn settle(&mut self, uid: MessageId, people: BTreeMap<PersonIndex, bool>) {
        let Some(said) = self.said.get_mut(&uid).filter(|said| said.audience.is_empty()) else { return };
        said.counted.extend(people.iter().filter(|(_, joined)| **joined).map(|(person, _)| *person));
        said.audience.extend(people.into_keys());
        said.audience.insert(said.owner);
    }

    pub(super) fn state(&mut self, uid: MessageId, state: DeliveryState) -> Result<(), Violation> {
        let unknown = || Violation::NotIntended { uid, text: "(a state of an unknown message)".to_owned() };
        let said = self.said.get_mut(&uid).ok_or_else(unknown)?;
        let before = std::mem::replace(&mut said.state, state);
        if state < before { Err(Violation::StateBackwards { uid, before, after: state }) } else { Ok(()) }
    }

    /// A state towards one of a group's people.
    pub(super) fn row(&mut self, uid: MessageId, person: PersonIndex, state: DeliveryState) -> Result<(), Violation> {
        let unknown = || Violation::NotIntended { uid, text: "(a state of an unknown message)".to_owned() };
        let said = self.said.get_mut(&uid).ok_or_else(unknown)?;
        let before = said.rows.insert(person, state).unwrap_or(DeliveryState::Queued);
        if state < before { Err(Violation::StateBackwards { uid, before, after: state }) } else { Ok(()) }
    }

    /// A node shows a message. `whole` says whether it must have every message of the same stream since `whole`'s epoch.
    pub(super) fn shown(
        &mut self,
        at: NodeIndex,
        person: PersonIndex,
        uid: MessageId,
        gap: bool,
        present: impl Fn(&Said) -> bool,
    ) -> Result<(), Violation> {
        let Some(said) = self.said.get_mut(&uid) else { return Ok(()) };
        if !said.shown.insert(at) {
            return Err(Violation::ShownTwice { uid });
        }
        let stream = (said.from, said.to.clone());
        let index = said.index;
        let last = self.last_shown.insert((at, stream.0, stream.1.clone()), index);
        let Some(last) = last else { return Ok(()) };
        let order = self.order.get(&stream).map(Vec::as_slice).unwrap_or_default();
        let skipped = order.get(last + 1..index).unwrap_or_default();
        let missing = |uid: &&MessageId| {
            self.said
                .get(uid)
                .is_some_and(|said| said.audience.contains(&person) && !said.shown.contains(&at) && present(said))
        };
        let missing = skipped.iter().any(|uid| missing(&uid));
        if (missing || index < last) && !gap {
            return Err(Violation::HiddenGap { uid, skipped: skipped.len() });
        }
        Ok(())
    }
}
