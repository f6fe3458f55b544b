//! The end of a run with several devices: everybody who will comes back, everything arrives, everybody agrees.

use node_core::{command::Command, event::DeviceChange, stored::Table};
use protocol::MessageId;

use super::{Devices, PersonIndex};
use crate::world::{
    Happening, World,
    clock::{Moment, Span},
    disk::contains,
    node::Asked,
    weather::Weather,
    witness::{NodeIndex, Violation},
};

/// How long healing may take; see the healing of the world with one device each.
const HEALING_MAX: Span = Span::hours(3);
/// How often it is looked whether everything has healed.
const LOOK_EVERY: Span = Span::seconds(5);
/// Exchanges after which everybody shows everything everywhere.
const EXCHANGES: usize = 3;
/// Exchanges after which everybody must be in one epoch.
const EXCHANGES_MAX: usize = 6;
/// How long an exchange that is not the last one may take.
const EXCHANGE_MAX: Span = Span::seconds(180);

impl World {
    /// Calms the weather, lets everybody come back, and checks what must hold then.
    pub(super) fn heal_devices(&mut self) -> Result<(), Violation> {
        self.calm_down_with_devices();
        let end = self.now + HEALING_MAX;
        let all_in = |world: &mut Self| world.wanted().iter().all(|index| world.is_in(*index));
        self.wait_for_devices(end, all_in)?;
        self.excuse_lost();
        self.wait_for_devices(end, Self::all_has_come)?;
        for round in 1..=EXCHANGES_MAX {
            let strict = round >= EXCHANGES;
            let until = if strict { end } else { end.min(self.now + EXCHANGE_MAX) };
            self.exchange(until, strict)?;
            self.wait_for_devices(end, Self::all_are_idle)?;
            // A key refresh in the middle of an exchange is no disagreement; it is over by the next.
            match self.witness.disagreement() {
                None if strict => break,
                Some(violation) if round == EXCHANGES_MAX => return Err(violation),
                _ => {}
            }
        }
        self.check_identities()?;
        self.check_told()?;
        self.check_foreign_words()
    }

    fn wanted(&self) -> Vec<NodeIndex> {
        self.devices.as_ref().map(|devices| devices.wanted(None)).unwrap_or_default()
    }

    fn calm_down_with_devices(&mut self) {
        self.trace.note(self.now, &|| "everything heals".to_owned());
        self.acting = false;
        self.weather = Weather::calm();
        for (one, other) in std::mem::take(&mut self.parted) {
            self.queue.push(&mut self.chance, self.now, Happening::Rejoin(one, other));
            self.parted.insert((one, other));
        }
        // A copy that nobody has opened by now is never opened.
        for machine in self.devices.iter_mut().flat_map(|devices| &mut devices.machines) {
            machine.lost |= machine.copied.is_some();
        }
        self.queue.push(&mut self.chance, self.now, Happening::StartDirectory);
        for index in 0..self.nodes.len() {
            let at = self.now + Span::ms(1);
            self.queue.push(&mut self.chance, at, Happening::StartNode(index));
        }
    }

    fn wait_for_devices(&mut self, end: Moment, healed: impl Fn(&mut Self) -> bool) -> Result<(), Violation> {
        while !healed(self) {
            if self.now >= end {
                self.nothing_is_open()?;
                let outside = self.wanted().into_iter().find(|index| !self.is_in(*index));
                let busy = self.wanted().into_iter().find(|index| !self.nodes[*index].idle);
                let outside = outside.or(busy);
                let node = outside.map_or_else(String::new, |index| format!("{} ({index})", self.nodes[index].name));
                return Err(Violation::NotIdle { node, pending: self.open_messages() });
            }
            self.run_until(self.now + LOOK_EVERY)?;
        }
        Ok(())
    }

    fn open_messages(&self) -> usize {
        self.devices.as_ref().map_or(0, |devices| devices.open().count())
    }

    fn nothing_is_open(&self) -> Result<(), Violation> {
        let Some(devices) = self.devices.as_ref() else { return Ok(()) };
        match devices.open().next() {
            Some((uid, message)) => Err(Violation::Lost {
                uid: *uid,
                from: format!("{} ({})", devices.people[message.owner].name, message.from),
                to: devices.people[message.to].name.to_string(),
                index: usize::try_from(message.serial).unwrap_or(0),
                state: devices.watch.state_at(message.from, *uid),
            }),
            None => Ok(()),
        }
    }

    /// What arrived on a revoked device only, and waits there for what is before it, is lost with the device.
    fn excuse_lost(&mut self) {
        let Some(devices) = self.devices.as_mut() else { return };
        for (index, machine) in devices.machines.iter().enumerate().filter(|(_, machine)| machine.lost) {
            let disk = &self.nodes[index].disk;
            devices.watch.excuse_waiting(machine.owner, |uid| disk.table_holds(Table::Waiting, uid));
        }
    }

    fn is_sending(&self) -> bool {
        let asked = self.wanted().into_iter().flat_map(|index| self.nodes[index].asked.values());
        asked.into_iter().any(|(asked, _)| matches!(asked, Asked::Send(_)))
    }

    fn all_has_come(&mut self) -> bool {
        !self.is_sending() && self.devices.as_ref().is_some_and(|devices| devices.open().next().is_none())
    }

    fn all_are_idle(&mut self) -> bool {
        let wanted = self.wanted();
        for index in &wanted {
            if !self.nodes[*index].idle && !self.nodes[*index].is_asking(&Asked::WaitIdle) {
                self.command(*index, Asked::WaitIdle, Command::WaitIdle);
            }
        }
        wanted.iter().all(|index| self.nodes[*index].idle)
    }

    /// Each machine of those who know each other writes to the other person; every machine of both must show it.
    fn exchange(&mut self, until: Moment, last: bool) -> Result<(), Violation> {
        self.witness.forget_epochs();
        let Some(devices) = self.devices.as_ref() else { return Ok(()) };
        let from = devices.watch.serial();
        let acquainted = |one: PersonIndex, other: PersonIndex| {
            devices.watch.messages().any(|(_, m)| (m.owner, m.to) == (one, other) || (m.to, m.owner) == (one, other))
        };
        let mut pairs = Vec::new();
        for index in devices.wanted(None) {
            let owner = devices.machines[index].owner;
            pairs.extend((0..devices.people.len()).filter(|to| acquainted(owner, *to)).map(|to| (index, to)));
        }
        for (index, to) in pairs {
            self.nodes[index].idle = false;
            self.write(index, to);
        }
        let everywhere = |world: &mut Self| !world.is_sending() && world.missing_since(from).is_none();
        while !everywhere(self) {
            if self.now >= until {
                let Some((uid, node)) = self.missing_since(from).filter(|_| last) else { return Ok(()) };
                return Err(Violation::NotEverywhere { uid, node: format!("{} ({node})", self.nodes[node].name) });
            }
            self.run_until(self.now + LOOK_EVERY)?;
        }
        self.nothing_is_open()
    }

    /// A message that a machine of its recipient or its sender does not show.
    fn missing_since(&self, serial: u64) -> Option<(MessageId, NodeIndex)> {
        let devices = self.devices.as_ref()?;
        devices.watch.messages().filter(|(_, message)| message.serial > serial).find_map(|(uid, message)| {
            let machines = devices.wanted(Some(message.to)).into_iter().chain(devices.wanted(Some(message.owner)));
            let missing = machines.into_iter().find(|at| !devices.watch.holds(*at, *uid))?;
            Some((*uid, missing))
        })
    }

    /// No two machines are one device, and each is one of its owner's.
    fn check_identities(&self) -> Result<(), Violation> {
        let Some(devices) = self.devices.as_ref() else { return Ok(()) };
        for index in devices.wanted(None) {
            let listed = devices.machines[index].device.is_some_and(|d| devices.person(index).current().contains(&d));
            let mut others = devices.wanted(None).into_iter().filter(|other| *other != index);
            if !listed || others.any(|other| devices.machines[other].device == devices.machines[index].device) {
                return Err(Violation::OneDeviceTwice { node: format!("{} ({index})", self.nodes[index].name) });
            }
        }
        Ok(())
    }

    /// Whoever knew somebody's devices was told of every change since that still holds.
    fn check_told(&self) -> Result<(), Violation> {
        let Some(devices) = self.devices.as_ref() else { return Ok(()) };
        for index in devices.wanted(None) {
            let mut known = devices.watch.known(index);
            known.insert(devices.machines[index].owner, devices.machines[index].enrolled);
            for (person, version) in known {
                if let Some(what) = devices.untold(index, person, version) {
                    let node = format!("{} ({index})", self.nodes[index].name);
                    return Err(Violation::DeviceChangeTold { node, what });
                }
            }
        }
        Ok(())
    }

    /// Only the machines of a message's sender and recipient hold its words.
    fn check_foreign_words(&self) -> Result<(), Violation> {
        let Some(devices) = self.devices.as_ref() else { return Ok(()) };
        for (index, node) in self.nodes.iter().enumerate() {
            let holder = format!("{} ({index})", node.name);
            let owner = devices.machines[index].owner;
            for entry in node.disk.timeline() {
                let message = devices.watch.message(entry.uid);
                if message.is_none_or(|message| message.owner != owner && message.to != owner) {
                    return Err(Violation::ForeignPlaintext { holder });
                }
            }
            let dump = node.disk.dump();
            let foreign = devices.watch.messages().filter(|(_, message)| message.owner != owner && message.to != owner);
            for (_, message) in foreign {
                // The filler is the same everywhere; what is before it is not.
                if contains(&dump, message.text.trim_end_matches('x').as_bytes()) {
                    return Err(Violation::ForeignPlaintext { holder });
                }
            }
        }
        match self.directory.seen() {
            (0, _) => Err(Violation::ControlFailed { holder: "the directory".to_owned() }),
            (_, true) => Err(Violation::ForeignPlaintext { holder: "the directory".to_owned() }),
            _ => Ok(()),
        }
    }
}

impl Devices {
    /// What should have come by now: what its sender still has, since its disk and its account do.
    fn open(&self) -> impl Iterator<Item = (&MessageId, &super::watch::Message)> {
        self.watch.open().filter(|(_, message)| {
            let machine = &self.machines[message.from];
            machine.disk == message.disk && self.is_wanted(message.from)
        })
    }

    /// A change of somebody's devices after a version that was known, which a machine was not told of.
    fn untold(&self, at: NodeIndex, of: PersonIndex, version: usize) -> Option<String> {
        let person = &self.people[of];
        let current = person.current();
        let own = self.machines[at].device;
        let came = current.iter().filter(|device| person.added(**device).is_some_and(|added| added > version));
        let came = came.filter(|device| Some(**device) != own);
        let untold = came.map(|device| (*device, DeviceChange::Added));
        // It is not known which list the machine had at that version; what was in the first that it can have had is.
        let first = if self.machines[at].owner == of { self.machines[at].entered } else { 1 };
        let known = person.lists.get(first.saturating_sub(1)).cloned().unwrap_or_default();
        let late = |device: &protocol::DeviceId| person.removed(*device).is_some_and(|removed| removed > version);
        let gone = known.into_iter().filter(late).chain(
            self.watch
                .told_added(at)
                .into_iter()
                .filter(|device| person.added(*device).is_some() && !current.contains(device) && late(device)),
        );
        let mut untold = untold.chain(gone.map(|device| (device, DeviceChange::Revoked)));
        let (device, change) = untold.find(|(device, change)| !self.watch.was_told(at, *device, *change))?;
        Some(format!("{}'s {device} was {}: not told", person.name, change.word()))
    }
}
