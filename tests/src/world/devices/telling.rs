//! What a machine is about to store is compared with what happened.

use node_core::{
    event::{DeliveryState, DeviceChange, Event, EventKind},
    stored::{Change, Table, Transaction},
};
use protocol::{DeviceId, MessageId, Name};

use super::Devices;
use crate::world::{
    World,
    coverage::Case,
    witness::{NodeIndex, Violation},
};

impl World {
    /// What the promises say about a transaction that is about to be durable.
    pub(in crate::world) fn observe_device_transaction(
        &mut self,
        index: NodeIndex,
        transaction: &Transaction,
    ) -> Result<(), Violation> {
        for change in &transaction.changes {
            match change {
                // What comes from one's other devices has no state.
                Change::Timeline { entry, .. } if entry.state.is_some() => {
                    let Some(devices) = self.devices.as_mut() else { return Ok(()) };
                    let machine = &devices.machines[index];
                    let device = (index, machine.disk, machine.era);
                    devices.watch.queued(device, machine.owner, entry.uid, &entry.text)?;
                }
                Change::TimelineState { uid, state } => self.observe_device_state(index, *uid, *state)?,
                Change::Event(event) => self.observe_device_event(index, event)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn observe_device_state(
        &mut self,
        index: NodeIndex,
        uid: MessageId,
        state: DeliveryState,
    ) -> Result<(), Violation> {
        let Some(devices) = self.devices.as_mut() else { return Ok(()) };
        devices.watch.state(index, uid, state)?;
        let Some(message) = devices.watch.message(uid) else { return Ok(()) };
        // Stored is enough: shown, or waiting for a message before it, on one device of theirs.
        let machines = devices.machines.iter().zip(&self.nodes);
        let mut theirs = machines.filter(|(machine, _)| machine.owner == message.to);
        let stored = message.shown
            || message.excused
            || theirs.any(|(_, node)| node.disk.table_holds(Table::Waiting, uid.as_bytes()));
        if matches!(state, DeliveryState::Delivered | DeliveryState::Read) && !stored {
            return Err(Violation::DeliveredNotDurable { uid });
        }
        Ok(())
    }

    fn observe_device_event(&mut self, index: NodeIndex, event: &Event) -> Result<(), Violation> {
        let Some(devices) = self.devices.as_mut() else { return Ok(()) };
        let node = || self.nodes[index].name.to_string();
        match &event.kind {
            EventKind::Message { uid, from, to, text, gap, .. } => {
                let own = devices.shown(index, *uid, from, to.as_ref(), text, *gap)?;
                self.coverage.met_if(Case::GapShown, *gap);
                self.coverage.met_if(Case::OwnMessageShown, own);
            }
            EventKind::Device { user, device, change } => {
                let told = devices.told(index, user, device, *change);
                told.map_err(|what| Violation::DeviceChangeTold { node: format!("{} ({index})", node()), what })?;
            }
            EventKind::KeyChanged { .. } => return Err(Violation::KeyChangeTold { node: node() }),
            _ => {}
        }
        Ok(())
    }
}

impl Devices {
    /// A message is shown; says whether it is one's own from another device.
    fn shown(
        &mut self,
        at: NodeIndex,
        uid: MessageId,
        from: &Name,
        to: Option<&Name>,
        text: &str,
        gap: bool,
    ) -> Result<bool, Violation> {
        let unsent = || Violation::ShownUnsent { uid, text: text.to_owned() };
        let message = self.watch.message(uid).ok_or_else(unsent)?;
        let here = &self.machines[at];
        let own = to.is_some();
        let meant = if own {
            message.owner == here.owner && to == Some(&self.people[message.to].name)
        } else {
            message.to == here.owner
        };
        if !meant || *from != self.people[message.owner].name || message.text != text {
            return Err(Violation::ShownWrong { uid, text: text.to_owned() });
        }
        if here.device.is_some_and(|device| message.knew_revoked.contains(&device)) {
            let node = format!("{} ({at})", self.people[here.owner].name);
            return Err(Violation::ReadAfterRevocation { uid, node });
        }
        let same_device = self.machines[message.from].era == message.era;
        self.watch.shown(at, own, uid, gap, same_device)?;
        Ok(own)
    }

    /// A change of devices is told: it must have happened, and not have been told before.
    fn told(&mut self, at: NodeIndex, user: &Name, device: &str, change: DeviceChange) -> Result<(), String> {
        let what = || format!("{user}'s {device} was {}", change.word());
        let person = self.people.iter().find(|person| person.name == *user);
        let person = person.ok_or_else(|| format!("{}: nobody", what()))?;
        let device = person.lists.iter().flatten().find(|known| known.to_string() == *device).copied();
        let device: DeviceId = device.ok_or_else(|| format!("{}: no device", what()))?;
        let happened = match change {
            DeviceChange::Added => person.added(device).is_some_and(|version| version > 1),
            DeviceChange::Revoked => person.removed(device).is_some(),
        };
        if !happened {
            return Err(format!("{}: it was not", what()));
        }
        if self.watch.tell(at, device, change) { Ok(()) } else { Err(format!("{}: told twice", what())) }
    }
}
