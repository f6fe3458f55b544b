//! What people with several devices do: what everybody does, and things to their machines, at random.

use node_core::{
    Session,
    command::{Command, ListWhat, Password},
};
use protocol::DeviceId;

use super::{DEVICES_ENOUGH, MACHINES_MAX, PersonIndex};
use crate::world::{
    Happening, World,
    clock::Span,
    node::Asked,
    witness::{CANARY, NodeIndex},
};

/// The longest burst of messages.
const BURST_MAX: u64 = 10;

impl World {
    /// Signs up or in where that is needed, or does something.
    pub(in crate::world) fn act_with_devices(&mut self, index: NodeIndex) {
        if self.enter_as_device(index) && self.acting {
            self.act_on_devices(index);
        }
    }

    /// Says whether the machine's owner is signed in there.
    fn enter_as_device(&mut self, index: NodeIndex) -> bool {
        let Some((devices, core)) = self.devices.as_ref().zip(self.nodes[index].core.as_ref()) else { return false };
        let (machine, person) = (&devices.machines[index], devices.person(index));
        let entering = self.nodes[index].is_asking(&Asked::SignUp) || self.nodes[index].is_asking(&Asked::SignIn);
        // Whatever a revoked device that stays lost is used for, it must fail.
        if core.session() == Session::SignedIn || machine.lost {
            return true;
        }
        if entering || core.has_unfinished_sign_up() {
            return false;
        }
        let (name, password) = (person.name.clone(), Password::new(person.password.clone()));
        if core.session() == Session::None && person.lists.is_empty() {
            // The first machine's are the only ones before there is an account.
            self.command(index, Asked::SignUp, Command::SignUp { name, password, invite: None });
        } else {
            self.command(index, Asked::SignIn, Command::SignIn { name, password });
        }
        false
    }

    fn act_on_devices(&mut self, index: NodeIndex) {
        match self.chance.between(0, 100) {
            0..50 => {
                let to = self.other_person(index);
                self.write(index, to);
            }
            50..56 => {
                let to = self.other_person(index);
                for _ in 0..self.chance.between(3, BURST_MAX) {
                    self.write(index, to);
                }
            }
            56..62 => {
                self.trace.note(self.now, &|| format!("machine {index} of {} goes away", self.nodes[index].name));
                self.stop_node(index);
                let at = self.now + Span::ms(self.chance.between(1_000, 60_000));
                self.queue.push(&mut self.chance, at, Happening::StartNode(index));
            }
            62..65 => self.command(index, Asked::SignOut, Command::SignOut),
            65..68 => self.command(index, Asked::Look, Command::Devices),
            68..70 => self.command(index, Asked::Look, Command::List { what: ListWhat::All }),
            70..78 if self.may_have_more(index) => self.buy(index),
            78..81 => self.revoke_some(index),
            81..84 => self.change_password(index),
            84..86 if self.may_have_more_devices(index) && self.has_another(index) => self.wipe(index),
            86..91 if self.may_have_more(index) && self.may_be_copied(index) => self.copy(index),
            _ => {}
        }
    }

    fn may_have_more(&self, index: NodeIndex) -> bool {
        let Some(devices) = self.devices.as_ref() else { return false };
        let owner = devices.machines[index].owner;
        let machines = devices.machines.iter().filter(|machine| machine.owner == owner && !machine.lost).count();
        machines < MACHINES_MAX && self.may_have_more_devices(index)
    }

    fn may_have_more_devices(&self, index: NodeIndex) -> bool {
        let Some(devices) = self.devices.as_ref().filter(|devices| !devices.machines[index].lost) else { return false };
        (1..DEVICES_ENOUGH).contains(&devices.person(index).current().len())
    }

    /// Each disk is copied once: what two copies of different ages have in common, neither of them knows.
    fn may_be_copied(&self, index: NodeIndex) -> bool {
        let Some(devices) = self.devices.as_ref() else { return false };
        let mut others = devices.machines.iter().enumerate().filter(|(other, _)| *other != index);
        let owner = devices.machines[index].owner;
        !others.any(|(_, machine)| machine.owner == owner && machine.is_copy)
    }

    /// Whether another machine of the same person is there: a conversation that was begun while nobody was there to hear of
    /// it is known to no later device.
    fn has_another(&self, index: NodeIndex) -> bool {
        let Some(devices) = self.devices.as_ref() else { return false };
        let owner = devices.machines[index].owner;
        devices.wanted(Some(owner)).into_iter().any(|other| other != index && self.is_in(other))
    }

    fn other_person(&mut self, index: NodeIndex) -> PersonIndex {
        let Some(devices) = self.devices.as_ref() else { return 0 };
        let own = devices.machines[index].owner;
        let other = self.chance.index(devices.people.len() - 1);
        if other >= own { other + 1 } else { other }
    }

    /// Sends a text that no other message of this world has.
    pub(super) fn write(&mut self, from: NodeIndex, to: PersonIndex) {
        self.texts += 1;
        let filler = usize::try_from(self.chance.between(0, 100)).unwrap_or(0);
        let text = format!("{CANARY}{:x}-{}-{}", self.seed, self.texts, "x".repeat(filler));
        let Some(devices) = self.devices.as_mut() else { return };
        let name = devices.people[to].name.clone();
        devices.watch.intend(from, to, text.clone());
        self.command(from, Asked::Send(text.clone()), Command::Send { to: name, text });
    }

    /// Revokes a device of the same person, one that was lost if there is one.
    fn revoke_some(&mut self, index: NodeIndex) {
        let Some(devices) = self.devices.as_ref() else { return };
        let own = devices.machines[index].device;
        let others: Vec<DeviceId> =
            devices.person(index).current().into_iter().filter(|device| Some(*device) != own).collect();
        let used = |device: &DeviceId| devices.machines.iter().any(|machine| machine.device == Some(*device));
        let unused = others.iter().find(|device| !used(device)).copied();
        let password = Password::new(devices.person(index).password.clone());
        let device = match unused {
            Some(unused) if self.chance.happens(500_000) => unused,
            _ if others.is_empty() => return,
            _ => others[self.chance.index(others.len())],
        };
        self.command(index, Asked::Revoke, Command::Revoke { device: device.to_string(), password });
    }

    fn change_password(&mut self, index: NodeIndex) {
        // One at a time: whoever changes it twice at once knows as little which one counts as this world would.
        let busy = self.nodes.iter().any(|node| node.is_asking(&Asked::Passwd));
        let Some(devices) = self.devices.as_mut().filter(|_| !busy) else { return };
        devices.passwords += 1;
        let new = format!("password-{}", devices.passwords);
        let old = Password::new(devices.person(index).password.clone());
        devices.machines[index].new_password.clone_from(&new);
        self.command(index, Asked::Passwd, Command::Passwd { old, new: Password::new(new) });
    }
}
