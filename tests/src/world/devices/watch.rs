//! The invariants of several devices. What is known of each message is kept for each machine's disk: a disk that is wiped
//! has shown nothing, and a copied one whatever the original had.

use std::collections::{BTreeMap, BTreeSet};

use node_core::event::{DeliveryState, DeviceChange};
use protocol::{DeviceId, MessageId};

use super::PersonIndex;
use crate::world::witness::{NodeIndex, Violation};

/// A message that was durably queued.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) from: NodeIndex,
    pub(super) owner: PersonIndex,
    pub(super) to: PersonIndex,
    pub(super) text: String,
    /// The sender's disk and device when it was queued.
    pub(super) disk: u64,
    pub(super) era: u64,
    /// Counts everything that was queued by anybody.
    pub(super) serial: u64,
    /// Its place among those of the same device to the same person.
    index: usize,
    /// Whether any device of the recipient has ever shown it.
    pub(super) shown: bool,
    failed: bool,
    /// Whether the recipient's only copy was lost with a disk.
    pub(super) excused: bool,
    /// Whether another machine may send it too, since it has a copy of the sender's disk.
    copied: bool,
    /// Devices that the sender knew to be revoked.
    pub(super) knew_revoked: BTreeSet<DeviceId>,
}

type Stream = (NodeIndex, u64, PersonIndex);

/// What is known of everybody's messages.
#[derive(Debug, Default)]
pub(super) struct Watch {
    serial: u64,
    intended: BTreeMap<String, (NodeIndex, PersonIndex)>,
    messages: BTreeMap<MessageId, Message>,
    order: BTreeMap<Stream, Vec<MessageId>>,
    /// What each disk has, written there or shown.
    holds: BTreeMap<NodeIndex, BTreeSet<MessageId>>,
    last_shown: BTreeMap<NodeIndex, BTreeMap<Stream, usize>>,
    states: BTreeMap<NodeIndex, BTreeMap<MessageId, DeliveryState>>,
    told: BTreeMap<NodeIndex, BTreeSet<(DeviceId, bool)>>,
    /// The version of somebody's devices when a disk first sealed for them.
    known: BTreeMap<NodeIndex, BTreeMap<PersonIndex, usize>>,
}

impl Watch {
    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn intend(&mut self, from: NodeIndex, to: PersonIndex, text: String) {
        self.intended.insert(text, (from, to));
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = (&MessageId, &Message)> {
        self.messages.iter()
    }

    pub(super) fn message(&self, uid: MessageId) -> Option<&Message> {
        self.messages.get(&uid)
    }

    pub(super) fn holds(&self, at: NodeIndex, uid: MessageId) -> bool {
        self.holds.get(&at).is_some_and(|held| held.contains(&uid))
    }

    /// A disk is gone.
    pub(super) fn forget(&mut self, index: NodeIndex) {
        self.holds.remove(&index);
        self.last_shown.remove(&index);
        self.states.remove(&index);
        self.told.remove(&index);
        self.known.remove(&index);
    }

    /// A machine is another device from now on: what was said while it was none was not for it.
    pub(super) fn begin_anew(&mut self, index: NodeIndex) {
        self.last_shown.remove(&index);
    }

    /// A disk is copied.
    pub(super) fn copy(&mut self, from: NodeIndex, to: NodeIndex) {
        for uid in self.holds.get(&from).into_iter().flatten() {
            // What the machine only shows of another one's is in no outbox there.
            if let Some(message) = self.messages.get_mut(uid).filter(|message| message.from == from) {
                message.copied = true;
            }
        }
        fn twice<T: Clone>(map: &mut BTreeMap<NodeIndex, T>, from: NodeIndex, to: NodeIndex) {
            if let Some(value) = map.get(&from).cloned() {
                map.insert(to, value);
            }
        }
        twice(&mut self.holds, from, to);
        twice(&mut self.last_shown, from, to);
        twice(&mut self.states, from, to);
        twice(&mut self.told, from, to);
        twice(&mut self.known, from, to);
    }

    /// What had arrived for somebody on a disk that is lost, and waited there for what is before it.
    pub(super) fn excuse_waiting(&mut self, owner: PersonIndex, waits: impl Fn(&[u8]) -> bool) {
        let open = self.messages.iter_mut().filter(|(_, message)| message.to == owner && !message.shown);
        for (uid, message) in open {
            message.excused |= waits(uid.as_bytes());
        }
    }

    /// A machine sealed something for somebody, so that it knew their devices.
    pub(super) fn knows(&mut self, at: NodeIndex, person: PersonIndex, version: usize) {
        self.known.entry(at).or_default().entry(person).or_insert(version);
    }

    pub(super) fn known(&self, at: NodeIndex) -> BTreeMap<PersonIndex, usize> {
        self.known.get(&at).cloned().unwrap_or_default()
    }

    pub(super) fn was_told(&self, at: NodeIndex, device: DeviceId, change: DeviceChange) -> bool {
        self.told.get(&at).is_some_and(|told| told.contains(&(device, change == DeviceChange::Revoked)))
    }

    /// The devices whose coming a machine was told of.
    pub(super) fn told_added(&self, at: NodeIndex) -> Vec<DeviceId> {
        let told = self.told.get(&at).into_iter().flatten();
        told.filter(|(_, revoked)| !revoked).map(|(device, _)| *device).collect()
    }

    /// A machine was told of a change of devices; says whether that is the first time.
    pub(super) fn tell(&mut self, at: NodeIndex, device: DeviceId, change: DeviceChange) -> bool {
        self.told.entry(at).or_default().insert((device, change == DeviceChange::Revoked))
    }

    pub(super) fn queued(
        &mut self,
        (from, disk, era): (NodeIndex, u64, u64),
        owner: PersonIndex,
        uid: MessageId,
        text: &str,
    ) -> Result<(), Violation> {
        let intended = self.intended.get(text).filter(|(sender, _)| *sender == from);
        let (_, to) = *intended.ok_or_else(|| Violation::NotIntended { uid, text: text.to_owned() })?;
        if self.messages.contains_key(&uid) {
            return Err(Violation::QueuedTwice { uid });
        }
        self.serial += 1;
        let order = self.order.entry((from, era, to)).or_default();
        let told = self.told.get(&from).into_iter().flatten();
        let message = Message {
            from,
            owner,
            to,
            text: text.to_owned(),
            disk,
            era,
            serial: self.serial,
            index: order.len(),
            shown: false,
            failed: false,
            excused: false,
            copied: false,
            knew_revoked: told.filter(|(_, revoked)| *revoked).map(|(device, _)| *device).collect(),
        };
        order.push(uid);
        self.messages.insert(uid, message);
        self.holds.entry(from).or_default().insert(uid);
        Ok(())
    }

    /// A machine's durable state of a message of its owner's changes.
    pub(super) fn state(&mut self, at: NodeIndex, uid: MessageId, state: DeliveryState) -> Result<(), Violation> {
        let unknown = || Violation::NotIntended { uid, text: "(a state of an unknown message)".to_owned() };
        let message = self.messages.get_mut(&uid).ok_or_else(unknown)?;
        let states = self.states.entry(at).or_default();
        let before = states.insert(uid, state).unwrap_or(DeliveryState::Queued);
        if state < before {
            return Err(Violation::StateBackwards { uid, before, after: state });
        }
        message.failed |= state == DeliveryState::Failed;
        Ok(())
    }

    /// A disk now holds a message that came. `same_device` says whether its sender is still the device that queued it.
    pub(super) fn shown(
        &mut self,
        at: NodeIndex,
        own: bool,
        uid: MessageId,
        gap: bool,
        same_device: bool,
    ) -> Result<(), Violation> {
        if !self.holds.entry(at).or_default().insert(uid) {
            return Err(Violation::ShownTwice { uid });
        }
        let Some(message) = self.messages.get_mut(&uid) else { return Ok(()) };
        message.shown |= !own;
        let stream = (message.from, message.era, message.to);
        let index = message.index;
        if !same_device || message.copied {
            // What waits with a device that was revoked is sent by the next one, in an order of its own.
            return Ok(());
        }
        let last = self.last_shown.entry(at).or_default().entry(stream).or_insert(index);
        let before = std::mem::replace(last, index.max(*last));
        // What comes late, or after something that is missing, says so.
        let skipped = self.order.get(&stream).and_then(|order| order.get(before + 1..index)).unwrap_or_default();
        let held = self.holds.get(&at);
        let open = |uid: &&MessageId| self.messages.get(uid).is_some_and(|message| !message.copied);
        let missing = skipped.iter().filter(open).any(|uid| held.is_none_or(|held| !held.contains(uid)));
        if (missing || index < before) && !gap {
            return Err(Violation::HiddenGap { uid, skipped: skipped.len() });
        }
        Ok(())
    }

    /// What a machine believes of a message.
    pub(super) fn state_at(&self, at: NodeIndex, uid: MessageId) -> DeliveryState {
        self.states.get(&at).and_then(|states| states.get(&uid)).copied().unwrap_or(DeliveryState::Queued)
    }

    /// The messages that are not shown, have not failed and are not excused.
    pub(super) fn open(&self) -> impl Iterator<Item = (&MessageId, &Message)> {
        self.messages.iter().filter(|(_, message)| !message.shown && !message.failed && !message.excused)
    }
}
