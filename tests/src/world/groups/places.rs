//! Where each device stands in each group, from one transaction to the next: members of one epoch hold the same secrets and
//! take the same people for members, and nobody goes back.

use std::collections::BTreeMap;

use protocol::{AccountId, ConversationId, DeviceId, policy::Policy};

use super::Groups;
use crate::world::{
    World,
    clock::Moment,
    coverage::Case,
    witness::{NodeIndex, Violation},
};

/// One stay of a device in a group, without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) incarnation: u64,
    /// The epoch in which it came.
    pub(super) first: u64,
    /// The epoch in which it is, or was last.
    pub(super) last: u64,
    /// When it came.
    pub(super) since: Moment,
    /// Whether it is there.
    pub(super) open: bool,
}

/// Everybody's stays, and the secrets of each epoch.
#[derive(Debug, Default)]
pub(super) struct Places {
    stays: BTreeMap<(NodeIndex, ConversationId), Vec<Stay>>,
    secrets: BTreeMap<(ConversationId, u64), Vec<u8>>,
}

impl Places {
    pub(super) fn stays(&self, index: NodeIndex, id: ConversationId) -> &[Stay] {
        self.stays.get(&(index, id)).map(Vec::as_slice).unwrap_or_default()
    }

    /// The stay that a device is in.
    pub(super) fn present(&self, index: NodeIndex, id: ConversationId) -> Option<&Stay> {
        self.stays(index, id).last().filter(|stay| stay.open)
    }
}

impl World {
    /// A node's transaction is about to be durable, and its core stands where it stands afterwards.
    pub(super) fn observe_places(&mut self, index: NodeIndex) -> Result<(), Violation> {
        let Some(groups) = self.groups.as_ref() else { return Ok(()) };
        let ids: Vec<ConversationId> = groups.chronicles.keys().copied().collect();
        for id in ids {
            self.observe_place(index, id)?;
        }
        Ok(())
    }

    fn observe_place(&mut self, index: NodeIndex, id: ConversationId) -> Result<(), Violation> {
        let node = self.of_groups(index);
        let Some((groups, core)) = self.groups.as_mut().zip(self.nodes[index].core.as_ref()) else { return Ok(()) };
        let held = core.conversation(id);
        let place = held.map(|held| (held.incarnation(), held.epoch()));
        let before = groups.places.stays(index, id).last().copied();
        let present = before.filter(|stay| stay.open);
        if place == present.map(|stay| (stay.incarnation, stay.last)) {
            return Ok(());
        }
        let left = present.filter(|stay| place.is_none_or(|(incarnation, _)| incarnation != stay.incarnation));
        if let Some(stay) = left {
            groups.kept.take(index, id, stay.incarnation, stay.last, &self.nodes[index].disk);
        }
        let device = groups.device_of(index);
        let entry = |epoch| {
            let chronicle = groups.chronicles.get(&id).zip(device);
            chronicle.map_or(epoch, |(chronicle, device)| chronicle.entry(device, epoch))
        };
        let entered = place.map(|(_, epoch)| entry(epoch));
        let stays = groups.places.stays.entry((index, id)).or_default();
        match (place, stays.last_mut()) {
            (None, Some(stay)) => stay.open = false,
            (Some((incarnation, epoch)), Some(stay)) if (incarnation, epoch) < (stay.incarnation, stay.last) => {
                let what = format!("{id}: from {stay:?} to incarnation {incarnation}, epoch {epoch}");
                return Err(Violation::Astray { node, what });
            }
            (Some((incarnation, epoch)), Some(stay)) if stay.incarnation == incarnation => {
                (stay.last, stay.open) = (epoch, true);
            }
            (Some((incarnation, epoch)), last) => {
                if let Some(last) = last {
                    last.open = false;
                }
                let first = entered.unwrap_or(epoch);
                stays.push(Stay { incarnation, first, last: epoch, since: self.now, open: true });
                self.note_return(index, id, before);
            }
            (None, None) => {}
        }
        match place {
            Some((_, epoch)) => self.check_place(index, id, epoch),
            None => Ok(()),
        }
    }

    /// A device is in a group again, or for the first time.
    fn note_return(&mut self, index: NodeIndex, id: ConversationId, before: Option<Stay>) {
        let Some(groups) = self.groups.as_mut() else { return };
        let now = groups.places.present(index, id).copied();
        let stayed = before.zip(now).is_some_and(|(before, now)| groups.stayed(index, id, before.last, now.first));
        if stayed {
            self.coverage.met(Case::CameBackIntoGroup);
        } else if let Some(chronicle) = groups.chronicles.get(&id) {
            groups.talk.begin_anew(index, &chronicle.name);
        }
    }

    /// What a device holds of an epoch is what everybody else holds, and what the directory has.
    fn check_place(&mut self, index: NodeIndex, id: ConversationId, epoch: u64) -> Result<(), Violation> {
        let node = self.of_groups(index);
        let Some((groups, core)) = self.groups.as_mut().zip(self.nodes[index].core.as_ref()) else { return Ok(()) };
        let Some((held, chronicle)) = core.conversation(id).zip(groups.chronicles.get(&id)) else { return Ok(()) };
        let Some(state) = chronicle.state(epoch) else {
            let what = format!("{id}: in epoch {epoch}, which the directory has never had");
            return Err(Violation::Astray { node, what });
        };
        let members: BTreeMap<DeviceId, AccountId> =
            held.members().map(|member| (member.entry.device, member.account)).collect();
        let policy = matches!(held.policy(), Policy::Group(policy) if **policy == state.policy);
        let bug = |error| Violation::Bug { node: node.clone(), what: format!("{error}") };
        let secret = held.epoch_authenticator().map_err(bug)?;
        let same = *groups.places.secrets.entry((id, epoch)).or_insert_with(|| secret.clone()) == secret;
        if members != state.members || !policy || !same {
            return Err(Violation::Fork { node, conversation: id, epoch });
        }
        Ok(())
    }
}

impl Groups {
    /// Whether a device's account was in a group from one epoch to another, and did not ask to leave.
    pub(super) fn stayed(&self, index: NodeIndex, id: ConversationId, from: u64, to: u64) -> bool {
        let own = self.account_of(self.owners[index]);
        own.zip(self.chronicles.get(&id)).is_some_and(|(own, chronicle)| {
            let asked = |(account, epoch): &(AccountId, u64)| *account == own && (from..=to).contains(epoch);
            chronicle.stayed(own, from, to) && !chronicle.asked_to_leave.iter().any(asked)
        })
    }

    /// Whether a device has been in a group without a break since an epoch.
    pub(super) fn was_there_since(&self, index: NodeIndex, id: ConversationId, epoch: u64) -> bool {
        self.places.present(index, id).is_some_and(|stay| stay.first <= epoch)
    }
}
