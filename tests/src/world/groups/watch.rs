//! What becomes durable at a node, as far as the promises of groups ask for it.

use node_core::{
    event::{DeliveryState, Event, EventKind},
    stored::{Change, Table, Transaction},
};
use protocol::{MessageId, Name, limits::MAILBOX_RETENTION_MS};

use super::{
    Groups, PersonIndex,
    talk::{Said, To},
};
use crate::world::{
    World,
    clock::Span,
    coverage::Case,
    witness::{NodeIndex, Violation},
};

impl World {
    /// What the promises say about a transaction that is about to be durable.
    pub(in crate::world) fn observe_group_transaction(
        &mut self,
        index: NodeIndex,
        transaction: &Transaction,
    ) -> Result<(), Violation> {
        self.observe_places(index)?;
        self.excuse_what_goes(index, transaction);
        for change in &transaction.changes {
            match change {
                // What comes from one's other devices has no state, nor has a change of members.
                Change::Timeline { entry, .. } if entry.state.is_some() => {
                    let Some(groups) = self.groups.as_mut() else { return Ok(()) };
                    let owner = groups.owners[index];
                    groups.talk.queued(index, owner, entry.uid, &entry.text, self.now)?;
                }
                Change::TimelineState { uid, state } => self.observe_overall(index, *uid, *state)?,
                Change::Event(event) => self.observe_group_event(index, event)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What waited at a node for what is before it, and goes with its place in a group.
    fn excuse_what_goes(&mut self, index: NodeIndex, transaction: &Transaction) {
        let Some(groups) = self.groups.as_mut() else { return };
        let person = groups.owners[index];
        let goes = transaction.changes.iter().filter_map(|change| match change {
            Change::Delete { table: Table::Waiting, key } => Some(key),
            _ => None,
        });
        let disk = &self.nodes[index].disk;
        let records = goes.filter_map(|key| disk.record(Table::Waiting, key)).collect::<Vec<_>>();
        if !records.is_empty() {
            let holds =
                |uid: &MessageId| records.iter().any(|record| crate::world::disk::contains(record, uid.as_bytes()));
            groups.talk.excuse(person, holds);
        }
    }

    fn observe_overall(&mut self, index: NodeIndex, uid: MessageId, state: DeliveryState) -> Result<(), Violation> {
        let now = self.now;
        let Some(groups) = self.groups.as_mut() else { return Ok(()) };
        groups.talk.state(uid, state)?;
        groups.settle_alone(index, uid);
        let Some(said) = groups.talk.get(uid) else { return Ok(()) };
        let early = now < said.since + Span::ms(MAILBOX_RETENTION_MS);
        let reachable = match &said.to {
            To::Person(_) => true,
            To::Group(_) => said.counted.iter().any(|person| *person != said.owner && groups.reaches(said, *person)),
        };
        if state == DeliveryState::Failed && early && reachable {
            return Err(Violation::FailedEarly { uid });
        }
        if let To::Person(person) = said.to {
            self.check_stored(uid, person, state)?;
        }
        Ok(())
    }

    /// Whoever is said to have a message has stored it.
    fn check_stored(&self, uid: MessageId, person: PersonIndex, state: DeliveryState) -> Result<(), Violation> {
        let Some((groups, said)) = self.groups.as_ref().and_then(|groups| Some((groups, groups.talk.get(uid)?))) else {
            return Ok(());
        };
        // Stored is enough: shown, or waiting for a message before it or for a name.
        let stored = |index: NodeIndex| {
            said.shown.contains(&index) || self.nodes[index].disk.table_holds(Table::Waiting, uid.as_bytes())
        };
        let claimed = matches!(state, DeliveryState::Delivered | DeliveryState::Read);
        if claimed && !said.excused.contains(&person) && !groups.nodes_of(person).any(stored) {
            return Err(Violation::DeliveredNotDurable { uid });
        }
        Ok(())
    }

    fn observe_group_event(&mut self, index: NodeIndex, event: &Event) -> Result<(), Violation> {
        match &event.kind {
            EventKind::Receipt { uid, to, state, group, .. } => {
                self.observe_receipt(index, *uid, to, *state, group.is_some())?;
            }
            EventKind::Message { uid, from, to, text, gap, group, .. } => {
                self.observe_shown(index, *uid, from, to.as_ref(), (text, group.as_ref()), *gap)?;
            }
            EventKind::KeyChanged { .. } => return Err(Violation::KeyChangeTold { node: self.of_groups(index) }),
            _ => {}
        }
        Ok(())
    }

    fn observe_receipt(
        &mut self,
        index: NodeIndex,
        uid: MessageId,
        to: &Name,
        state: DeliveryState,
        in_group: bool,
    ) -> Result<(), Violation> {
        if !in_group {
            return self.observe_overall(index, uid, state);
        }
        let now = self.now;
        let Some(groups) = self.groups.as_mut() else { return Ok(()) };
        let Some(person) = groups.names.iter().position(|name| name == to) else { return Ok(()) };
        groups.talk.row(uid, person, state)?;
        let Some(said) = groups.talk.get(uid) else { return Ok(()) };
        let early = now < said.since + Span::ms(MAILBOX_RETENTION_MS);
        if state == DeliveryState::Failed && early && groups.reaches(said, person) {
            return Err(Violation::FailedEarly { uid });
        }
        self.check_stored(uid, person, state)
    }

    fn observe_shown(
        &mut self,
        index: NodeIndex,
        uid: MessageId,
        from: &Name,
        to: Option<&Name>,
        (text, group): (&str, Option<&Name>),
        gap: bool,
    ) -> Result<(), Violation> {
        let node = self.of_groups(index);
        let Some(groups) = self.groups.as_mut() else { return Ok(()) };
        let person = groups.owners[index];
        let unsent = || Violation::ShownUnsent { uid, text: text.to_owned() };
        let said = groups.talk.get(uid).ok_or_else(unsent)?.clone();
        let own = said.owner == person;
        let meant = match &said.to {
            To::Person(other) => {
                group.is_none() && if own { to == groups.names.get(*other) } else { *other == person && to.is_none() }
            }
            To::Group(name) => group == Some(name) && to.is_some() == own,
        };
        if !meant || *from != groups.names[said.owner] || said.text != text || said.from == index {
            return Err(Violation::ShownWrong { uid, text: text.to_owned() });
        }
        if !said.audience.contains(&person) {
            return Err(Violation::ReadByOutsider { uid, node });
        }
        let stay = said.sealed.and_then(|(id, _)| groups.places.present(index, id)).copied();
        let present = |skipped: &Said| {
            let epoch = skipped.sealed.map(|(_, epoch)| epoch);
            stay.zip(epoch).is_some_and(|(stay, epoch)| stay.first <= epoch)
        };
        groups.talk.shown(index, person, uid, gap, present)?;
        let back = said.sealed.is_some_and(|(id, epoch)| {
            let stays = groups.places.stays(index, id);
            stays.len() > 1 && stays.last().is_some_and(|stay| stay.open && stay.first <= epoch)
        });
        let in_group = matches!(said.to, To::Group(_));
        self.coverage.met_if(Case::SaidInGroup, in_group);
        self.coverage.met_if(Case::OwnMessageShown, own);
        self.coverage.met_if(Case::ReadAfterComingBack, in_group && back);
        self.coverage.met_if(Case::GapShown, gap);
        Ok(())
    }
}

impl Groups {
    /// What has arrived before it was sent was said when nobody was there who had joined.
    fn settle_alone(&mut self, index: NodeIndex, uid: MessageId) {
        let Some(To::Group(name)) = self.talk.get(uid).filter(|said| said.sealed.is_none()).map(|said| &said.to) else {
            return;
        };
        let Some(chronicle) = self.chronicle_named(name.as_str()) else { return };
        let present = self.places.present(index, chronicle.id).and_then(|stay| chronicle.state(stay.last));
        let people = present.map(|state| self.people_of(state)).unwrap_or_default();
        self.talk.settle(uid, people);
    }

    /// Whether somebody to whom something was said in a group has been in it ever since, and whoever said it too.
    pub(super) fn reaches(&self, said: &Said, person: PersonIndex) -> bool {
        let Some((id, epoch)) = said.sealed else { return false };
        let Some(chronicle) = self.chronicles.get(&id).filter(|chronicle| !chronicle.closed) else { return false };
        [person, said.owner].into_iter().all(|person| {
            self.account_of(person).is_some_and(|account| {
                let asked = chronicle.asked_to_leave.iter().any(|(of, at)| *of == account && *at >= epoch);
                chronicle.stayed(account, epoch, chronicle.epoch()) && !asked
            })
        })
    }
}
