//! People with several devices: machines that are bought, copied, wiped, revoked and found again, in the same world.
//!
//! Every machine is a node of the world. What devices an account has is taken from the directory's store when it becomes
//! durable there, so that what the cores tell of them can be compared with what happened.

mod acting;
mod ending;
mod healing;
pub mod run;
mod telling;
mod watch;

use std::collections::BTreeSet;

use node_core::{Session, output::Effect, stored::Table};
use protocol::{
    DeviceId, Name,
    certificate::SignedDeviceList,
    directory::{Deposit, Request},
    peer::{Envelope, PeerFrame},
};

use self::watch::Watch;
use super::{
    Happening, NAMES, World,
    clock::{Moment, Span},
    coverage::Case,
    mortal::AccountChange,
    node::Node,
    witness::NodeIndex,
};
use crate::{entropy::SeededEntropy, provider::SeededProvider};

/// A person, by their place in the world.
pub type PersonIndex = usize;

/// Machines that a person has at most.
const MACHINES_MAX: usize = 3;
/// Devices of one account beyond which no further one is begun: some of those that were lost must be revoked first.
const DEVICES_ENOUGH: usize = 9;
/// Chance in parts of a million that a revoked device stays lost.
const LOST: u64 = 500_000;
/// Sets the machines' generators apart from those of the world's first nodes.
const FIRST_PARTICIPANT: u64 = 1_000;

/// Why a machine becomes a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    First,
    Bought,
    Copied,
    Wiped,
    Found,
}

/// A person and what the directory holds of their account.
#[derive(Debug)]
struct Person {
    name: Name,
    password: String,
    /// When the password last changed.
    changed: Moment,
    /// When the devices last changed.
    listed: Moment,
    /// The devices of each version of the account's list, from the first on.
    lists: Vec<BTreeSet<DeviceId>>,
}

impl Person {
    fn current(&self) -> BTreeSet<DeviceId> {
        self.lists.last().cloned().unwrap_or_default()
    }

    /// The version with which a device came.
    fn added(&self, device: DeviceId) -> Option<usize> {
        Some(self.lists.iter().position(|list| list.contains(&device))? + 1)
    }

    /// The version with which a device went.
    fn removed(&self, device: DeviceId) -> Option<usize> {
        let added = self.added(device)?;
        Some(added + self.lists.get(added..)?.iter().position(|list| !list.contains(&device))? + 1)
    }
}

/// A copied profile that nobody has opened yet. The directory has to hear of a message that the original has sealed since:
/// before, nobody can know that it is a copy.
#[derive(Debug, Clone)]
struct Copied {
    of: NodeIndex,
    device: DeviceId,
    since: u64,
    sealed: bool,
    announced: Option<u64>,
}

/// A machine.
#[derive(Debug, Clone)]
struct Machine {
    owner: PersonIndex,
    /// The latest device that this machine became.
    device: Option<DeviceId>,
    /// The version of the account's list with which it did.
    entered: usize,
    /// The latest version that it may have begun with.
    enrolled: usize,
    /// Whether no SIGNIN has ended since.
    fresh: bool,
    /// Counts the devices that it was.
    era: u64,
    /// Counts its disks.
    disk: u64,
    /// Why it has to become a new device.
    entering: Option<Origin>,
    /// Its device was revoked, and nobody signs in on it any more.
    lost: bool,
    copied: Option<Copied>,
    is_copy: bool,
    /// The password of the latest PASSWD.
    new_password: String,
}

/// Everything that is about several devices.
#[derive(Debug)]
pub struct Devices {
    people: Vec<Person>,
    machines: Vec<Machine>,
    passwords: u64,
    watch: Watch,
}

impl Devices {
    /// People with one machine each.
    #[must_use]
    fn new(names: &[Name]) -> Self {
        let person = |name: &Name| Person {
            name: name.clone(),
            password: format!("password-of-{name}"),
            changed: Moment::default(),
            listed: Moment::default(),
            lists: Vec::new(),
        };
        let people = names.iter().map(person).collect();
        let machines = (0..names.len()).map(|owner| Machine::new(owner, Origin::First)).collect();
        Self { people, machines, passwords: 0, watch: Watch::default() }
    }

    fn person(&self, machine: NodeIndex) -> &Person {
        &self.people[self.machines[machine].owner]
    }

    /// Whether somebody will use the machine.
    fn is_wanted(&self, machine: NodeIndex) -> bool {
        !self.machines[machine].lost && self.machines[machine].copied.is_none()
    }

    /// The machines that somebody uses, of one person or of all.
    fn wanted(&self, owner: Option<PersonIndex>) -> Vec<NodeIndex> {
        let of = |machine: &NodeIndex| owner.is_none_or(|owner| self.machines[*machine].owner == owner);
        (0..self.machines.len()).filter(of).filter(|machine| self.is_wanted(*machine)).collect()
    }
}

impl Machine {
    fn new(owner: PersonIndex, origin: Origin) -> Self {
        Self {
            owner,
            device: None,
            entered: 0,
            enrolled: 0,
            fresh: false,
            era: 0,
            disk: 0,
            entering: Some(origin),
            lost: false,
            copied: None,
            is_copy: false,
            new_password: String::new(),
        }
    }
}

impl World {
    /// Lets the people of this world have several devices.
    fn with_devices(&mut self) {
        let names: Vec<Name> = self.nodes.iter().map(|node| node.name.clone()).collect();
        debug_assert!(names.len() <= NAMES.len());
        self.devices = Some(Box::new(Devices::new(&names)));
    }

    /// What became durable at the directory with a node's request.
    pub(super) fn note_account_changes(&mut self, index: NodeIndex, changes: Vec<AccountChange>) {
        if self.devices.is_none() {
            return;
        }
        for change in changes {
            match change {
                AccountChange::Devices(list) => self.note_devices(index, &list),
                AccountChange::Password => {
                    let now = self.now;
                    let Some(devices) = self.devices.as_mut() else { return };
                    let machine = &devices.machines[index];
                    let person = &mut devices.people[machine.owner];
                    person.password = machine.new_password.clone();
                    person.changed = now;
                }
                AccountChange::Counter(device, counter) => self.note_counter(device, counter),
            }
        }
    }

    fn note_devices(&mut self, index: NodeIndex, list: &SignedDeviceList) {
        let Ok(list) = list.list() else { return };
        let entries = list.devices.into_inner().into_iter().filter_map(|certificate| certificate.entry().ok());
        let after: BTreeSet<DeviceId> = entries.map(|entry| entry.device).collect();
        let Some(devices) = self.devices.as_mut() else { return };
        let owner = devices.machines[index].owner;
        let person = &mut devices.people[owner];
        if list.version <= person.lists.len() as u64 {
            return;
        }
        let before = person.current();
        person.lists.push(after.clone());
        person.listed = self.now;
        let version = person.lists.len();
        let mut origin = None;
        if let Some(added) = after.difference(&before).next() {
            let machine = &mut devices.machines[index];
            machine.device = Some(*added);
            (machine.entered, machine.enrolled) = (version, version);
            machine.fresh = true;
            machine.era += 1;
            // A new device is nobody's loss, whatever became of the one before.
            machine.lost = false;
            origin = machine.entering.take();
            devices.watch.begin_anew(index);
        }
        for removed in before.difference(&after) {
            for machine in devices.machines.iter_mut().filter(|machine| machine.device == Some(*removed)) {
                machine.lost = self.chance.happens(LOST);
                if machine.copied.is_none() {
                    machine.entering = Some(Origin::Found);
                }
            }
        }
        if let Some(origin) = origin {
            self.count_entry(origin);
        }
        if self.devices.as_ref().is_some_and(|devices| devices.machines[index].enrolled == version) {
            // The next device of a machine has a mailbox of its own.
            self.directory.forget_kept_back(index);
        }
        self.trace.note(self.now, &|| format!("account {owner} has version {version}: {after:?}"));
    }

    /// A copy can be told from its original: somebody opens it soon.
    fn note_counter(&mut self, device: DeviceId, counter: u64) {
        let Some(devices) = self.devices.as_mut() else { return };
        for (index, machine) in devices.machines.iter_mut().enumerate() {
            let known = |copied: &Copied| {
                copied.device == device && copied.announced.is_some_and(|announced| announced <= counter)
            };
            if self.acting && machine.copied.as_ref().is_some_and(known) {
                machine.copied = None;
                self.nodes[index].away = machine.lost;
                let at = self.now + Span::ms(self.chance.between(1, 15_000));
                self.queue.push(&mut self.chance, at, Happening::StartNode(index));
            }
        }
    }

    /// What leaves a node, as far as the devices' promises ask for it.
    pub(super) fn observe_device_effect(&mut self, index: NodeIndex, effect: &Effect) {
        let Some(devices) = self.devices.as_mut() else { return };
        match effect {
            Effect::Send { frame: PeerFrame::Message(envelope), .. } => devices.note_left(index, envelope),
            Effect::Ask { request, .. } => match &**request {
                Request::Deposit { items } => {
                    for item in items {
                        if let Deposit::Message { envelope, .. } = item {
                            devices.note_left(index, envelope);
                        }
                    }
                }
                // Whoever signs in begins with the list that the answer brings.
                Request::SignInFinish { .. } => devices.begin_with_current(index),
                Request::Announce { send_counter, .. } => {
                    let of = devices.machines.iter_mut().filter_map(|machine| machine.copied.as_mut());
                    for copied in of.filter(|copied| copied.of == index && copied.sealed) {
                        copied.announced.get_or_insert(*send_counter);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A new machine of somebody, with an empty disk or a copied one.
    fn new_machine(&mut self, machine: Machine, like: NodeIndex) -> NodeIndex {
        let index = self.nodes.len();
        let participant = FIRST_PARTICIPANT + 2 * index as u64;
        let entropy = SeededEntropy::new(self.seed, participant);
        let keys = self.witness.keys.clone();
        let provider = SeededProvider::new(SeededEntropy::new(self.seed, participant + 1), keys);
        self.nodes.push(Node::new(self.nodes[like].name.clone(), entropy, provider));
        if let Some(devices) = self.devices.as_mut() {
            devices.machines.push(machine);
        }
        index
    }

    fn buy(&mut self, like: NodeIndex) {
        let Some(devices) = self.devices.as_ref() else { return };
        let owner = devices.machines[like].owner;
        let index = self.new_machine(Machine::new(owner, Origin::Bought), like);
        self.trace.note(self.now, &|| format!("{} buys machine {index}", self.nodes[index].name));
        self.queue.push(&mut self.chance, self.now, Happening::StartNode(index));
    }

    /// A machine's disk is lost with everything on it.
    fn wipe(&mut self, index: NodeIndex) {
        self.trace.note(self.now, &|| format!("machine {index} of {} is wiped", self.nodes[index].name));
        self.stop_node(index);
        let disk = std::mem::take(&mut self.nodes[index].disk);
        let Some(devices) = self.devices.as_mut() else { return };
        devices.watch.excuse_waiting(devices.machines[index].owner, |uid| disk.table_holds(Table::Waiting, uid));
        devices.watch.forget(index);
        let machine = &mut devices.machines[index];
        machine.device = None;
        machine.era += 1;
        machine.disk += 1;
        machine.entering = Some(Origin::Wiped);
        let at = self.now + Span::ms(self.chance.between(100, 20_000));
        self.queue.push(&mut self.chance, at, Happening::StartNode(index));
    }

    /// A machine's disk is copied to another machine, which is opened later.
    fn copy(&mut self, from: NodeIndex) {
        let Some(devices) = self.devices.as_ref() else { return };
        let original = devices.machines[from].clone();
        let Some(device) = original.device else { return };
        let copied = Copied { of: from, device, since: devices.watch.serial(), sealed: false, announced: None };
        let entering = Some(Origin::Copied);
        let machine = Machine { entering, copied: Some(copied), is_copy: true, ..original.clone() };
        let index = self.new_machine(machine, from);
        self.nodes[index].disk = self.nodes[from].disk.clone();
        self.nodes[index].away = true;
        if let Some(devices) = self.devices.as_mut() {
            devices.watch.copy(from, index);
        }
        self.trace.note(self.now, &|| format!("machine {from} of {} is copied to {index}", self.nodes[from].name));
    }

    /// Counts the ways in which a machine became a device.
    fn count_entry(&mut self, origin: Origin) {
        match origin {
            Origin::First => {}
            Origin::Bought => self.coverage.met(Case::NewMachine),
            Origin::Copied => self.coverage.met(Case::CopyCameBack),
            Origin::Wiped => self.coverage.met(Case::WipedCameBack),
            Origin::Found => self.coverage.met(Case::RevokedCameBack),
        }
    }

    /// Whether a machine is a device of its owner's, signed in.
    fn is_in(&self, index: NodeIndex) -> bool {
        let node = &self.nodes[index];
        let signed_in = node.core.as_ref().is_some_and(|core| core.session() == Session::SignedIn);
        let entered = self.devices.as_ref().is_some_and(|devices| devices.machines[index].entering.is_none());
        node.connection.is_some() && signed_in && entered
    }
}

impl Devices {
    /// A machine that has just become a device is told of what comes after the list that it first sees.
    fn begin_with_current(&mut self, index: NodeIndex) {
        let version = self.person(index).lists.len();
        if self.machines[index].fresh {
            self.machines[index].enrolled = version;
        }
    }

    fn note_left(&mut self, index: NodeIndex, envelope: &Envelope) {
        let Some(message) = self.watch.message(envelope.id) else { return };
        let (to, serial) = (message.to, message.serial);
        let version = self.people[to].lists.len();
        self.watch.knows(index, to, version);
        for copied in self.machines.iter_mut().filter_map(|machine| machine.copied.as_mut()) {
            copied.sealed |= copied.of == index && serial > copied.since;
        }
    }

    /// Whether another machine took itself for the same device.
    fn has_twin(&self, index: NodeIndex) -> bool {
        let device = self.machines[index].device;
        let mut others = self.machines.iter().enumerate().filter(|(other, _)| *other != index);
        others.any(|(_, machine)| machine.device == device)
    }
}
