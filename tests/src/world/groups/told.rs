//! What a member was told of who came and went: exactly what the commits of its stays changed, in their order, once each;
//! and what it missed in between as far as anybody can tell it afterwards.

use std::collections::BTreeSet;

use node_core::{
    crypto::mls::Changed,
    event::{EventKind, MemberChange},
};
use protocol::{AccountId, ConversationId};

use super::{Groups, chronicle::Chronicle, places::Stay};
use crate::world::{
    World,
    witness::{NodeIndex, Violation},
};

/// One stretch of what a member is told.
enum Stretch {
    /// The changes of these commits, all of them, in this order.
    Exactly(Vec<Changed>),
    /// The device fell out and came back while its account stayed, perhaps more than once within one transaction: each time
    /// it was told of what the commits had changed that it could follow, and when it was back of what had become of everybody.
    Missed { from: u64, to: u64, incarnations: u64 },
    /// The account was out of the group meanwhile, at least for a while: what the next commits changed, as far as they came;
    /// then how it went and came itself, what its devices missed, and what changed during stays that began and ended within
    /// one transaction.
    Away { own: AccountId, next: Vec<Changed>, all: Vec<Changed> },
}

impl World {
    /// Every member was told of the same changes in the same order.
    pub(super) fn check_told_changes(&self) -> Result<(), Violation> {
        let Some(groups) = self.groups.as_ref() else { return Ok(()) };
        for index in 0..self.nodes.len() {
            for chronicle in groups.chronicles.values() {
                let told = self.told_changes(groups, index, chronicle);
                let Some(expected) = groups.expected(index, chronicle.id) else { continue };
                if !matches(chronicle, &expected, &told) {
                    let what = groups.account(chronicle, &told, groups.places.stays(index, chronicle.id));
                    return Err(Violation::MemberChangeTold { node: self.of_groups(index), what });
                }
            }
        }
        Ok(())
    }

    fn told_changes(&self, groups: &Groups, index: NodeIndex, chronicle: &Chronicle) -> Vec<Changed> {
        let account = |name: &protocol::Name| {
            let person = groups.names.iter().position(|known| known == name)?;
            groups.account_of(person)
        };
        let events = self.nodes[index].disk.events().iter().filter_map(|event| match &event.kind {
            EventKind::Member { group, user, by, change } if *group == chronicle.name => {
                Some(Changed { account: account(user)?, by: account(by)?, change: *change })
            }
            _ => None,
        });
        events.collect()
    }
}

impl Groups {
    /// What a device should have been told of a group.
    fn expected(&self, index: NodeIndex, id: ConversationId) -> Option<Vec<Stretch>> {
        let (chronicle, own) = (self.chronicles.get(&id)?, self.account_of(self.owners[index])?);
        let all = chronicle.changes(0, chronicle.epoch());
        let mut stretches = Vec::new();
        let mut before: Option<&Stay> = None;
        for stay in self.places.stays(index, id) {
            let came = before.map_or(Stretch::Away { own, next: Vec::new(), all: all.clone() }, |before| {
                if self.stayed(index, id, before.last, stay.first) {
                    let incarnations = stay.incarnation - before.incarnation;
                    Stretch::Missed { from: before.last, to: stay.first, incarnations }
                } else {
                    Stretch::Away { own, next: chronicle.changes(before.last, stay.first), all: all.clone() }
                }
            });
            stretches.push(came);
            stretches.push(Stretch::Exactly(chronicle.changes(stay.first, stay.last)));
            before = Some(stay);
        }
        let next = before.map_or_else(Vec::new, |stay| chronicle.changes(stay.last, chronicle.epoch()));
        if before.is_none_or(|stay| !stay.open) {
            stretches.push(Stretch::Away { own, next, all });
        }
        Some(stretches)
    }

    /// What was told and what happened, for people.
    fn account(&self, chronicle: &Chronicle, told: &[Changed], stays: &[Stay]) -> String {
        let name = |account| self.name_of(account).map_or_else(|| "?".to_owned(), ToString::to_string);
        let say =
            |changed: &Changed| format!("{} {} by {}", name(changed.account), changed.change.word(), name(changed.by));
        let told: Vec<String> = told.iter().map(say).collect();
        let happened = (0..=chronicle.epoch()).filter_map(|epoch| Some((epoch, chronicle.state(epoch)?)));
        let happened: Vec<String> = happened
            .flat_map(|(epoch, state)| state.changes.iter().map(move |changed| (epoch, *changed)))
            .map(|(epoch, changed)| format!("{epoch}: {}", say(&changed)))
            .collect();
        format!("{}: told {told:?}; happened {happened:?}; stays {stays:?}", chronicle.name)
    }
}

/// Whether what was told can be cut into these stretches.
fn matches(chronicle: &Chronicle, stretches: &[Stretch], told: &[Changed]) -> bool {
    let Some((first, rest)) = stretches.split_first() else { return told.is_empty() };
    let rest = |told: &[Changed]| matches(chronicle, rest, told);
    match first {
        Stretch::Exactly(changes) => told.starts_with(changes) && rest(&told[changes.len()..]),
        Stretch::Missed { from, to, incarnations } => {
            missed(chronicle, *from, *to, *incarnations, told).into_iter().any(|count| rest(&told[count..]))
        }
        Stretch::Away { own, next, all } => {
            let followed = told.iter().zip(next).take_while(|(told, happened)| told == happened).count();
            (0..=followed).any(|followed| away((*own, false), all, &rest, &told[followed..]))
        }
    }
}

/// How much of what was told may be of a time in which a device fell out and came back so often at most.
fn missed(chronicle: &Chronicle, from: u64, to: u64, incarnations: u64, told: &[Changed]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut places = BTreeSet::from([(from, 0)]);
    for _ in 0..incarnations {
        // As far as it could follow, and from there to wherever it came back.
        let mut followed = places.clone();
        for epoch in from..to {
            let there: Vec<(u64, usize)> = followed.iter().filter(|(at, _)| *at == epoch).copied().collect();
            let changes = chronicle.changes(epoch, epoch + 1);
            let onward = there.into_iter().filter(|(_, count)| told[*count..].starts_with(&changes));
            followed.extend(onward.map(|(_, count)| (epoch + 1, count + changes.len())).collect::<Vec<_>>());
        }
        places = followed
            .into_iter()
            .flat_map(|(fell, count)| (fell..=to).map(move |back| (fell, back, count)))
            .filter_map(|(fell, back, count)| {
                let changes = chronicle.difference(fell, back);
                told[count..].starts_with(&changes).then_some((back, count + changes.len()))
            })
            .collect();
        found.extend(places.iter().filter(|(back, _)| *back == to).map(|(_, count)| *count));
    }
    found
}

/// The same for what is told of a time that is known by its ends alone; and whether the account has come back in it.
fn away(
    (own, mut came): (AccountId, bool),
    all: &[Changed],
    rest: &impl Fn(&[Changed]) -> bool,
    told: &[Changed],
) -> bool {
    if rest(told) {
        return true;
    }
    let Some((first, later)) = told.split_first() else { return false };
    // Whoever has come, and perhaps gone again since, was told of what happened there while it was there.
    let arrives = first.account == own && matches!(first.change, MemberChange::Joined | MemberChange::Invited);
    came |= arrives;
    let stays = all.iter().enumerate().filter(|(_, happened)| came && *happened == first);
    let stayed = stays.into_iter().any(|(at, _)| {
        let same = told.iter().zip(&all[at..]).take_while(|(told, happened)| told == happened).count();
        (1..=same).any(|count| away((own, came), &all[at + count..], rest, &told[count..]))
    });
    let role = matches!(first.change, MemberChange::Promoted | MemberChange::Demoted);
    stayed || (first.account == own && !role || first.by == first.account) && away((own, came), all, rest, later)
}
