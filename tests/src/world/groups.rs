//! Groups: people make them, come in, talk, go, and are made to go, all at once, in the same world.
//!
//! Who is in a group, and by which commit, is taken from the directory's store when it becomes durable there; so what each
//! member holds and tells of a group can be compared with what happened, and with what every other member holds.

mod acting;
mod chronicle;
mod ending;
mod healing;
mod intruder;
mod kept;
mod places;
pub mod run;
pub mod sweep;
mod talk;
mod told;
mod watch;

use std::collections::BTreeMap;

use directory::store::Roster;
use node_core::output::Effect;
use protocol::{
    AccountId, ConversationId, DeviceId, Name,
    certificate::{Certificate, SignedDeviceList},
    directory::{Deposit, Request},
    peer::{Envelope, PeerFrame},
    policy::Role,
};

use self::{chronicle::Chronicle, kept::Kept, places::Places, talk::Talk};
use super::{
    Happening, World,
    clock::Span,
    coverage::Case,
    mortal::{AccountChange, GroupChange},
    node::Node,
    witness::{NodeIndex, Violation},
};
use crate::{entropy::SeededEntropy, provider::SeededProvider};

/// A person, by their place in the world.
pub type PersonIndex = usize;

/// The groups that are made: the first is open, the second by invitation.
const GROUPS: [&str; 2] = ["team", "circle"];
/// Sets further devices' generators apart from those of the world's first nodes.
const FIRST_PARTICIPANT: u64 = 2_000;

/// A commit on its way to the directory.
pub(super) struct Submitted {
    pub(super) conversation: ConversationId,
    pub(super) epoch: u64,
    pub(super) commit: Vec<u8>,
}

/// Everything that is about groups.
#[derive(Debug, Default)]
pub struct Groups {
    /// People's names.
    names: Vec<Name>,
    /// Whose each node is.
    owners: Vec<PersonIndex>,
    accounts: BTreeMap<AccountId, PersonIndex>,
    devices: BTreeMap<DeviceId, NodeIndex>,
    certificates: BTreeMap<DeviceId, Certificate>,
    /// What happened in each group.
    chronicles: BTreeMap<ConversationId, Chronicle>,
    talk: Talk,
    places: Places,
    kept: Kept,
}

impl Groups {
    fn person_of(&self, account: AccountId) -> Option<PersonIndex> {
        self.accounts.get(&account).copied()
    }

    fn account_of(&self, person: PersonIndex) -> Option<AccountId> {
        self.accounts.iter().find(|(_, of)| **of == person).map(|(account, _)| *account)
    }

    fn name_of(&self, account: AccountId) -> Option<&Name> {
        self.names.get(self.person_of(account)?)
    }

    /// The nodes of one person.
    fn nodes_of(&self, person: PersonIndex) -> impl Iterator<Item = NodeIndex> {
        self.owners.iter().enumerate().filter(move |(_, owner)| **owner == person).map(|(index, _)| index)
    }

    fn is_first(&self, index: NodeIndex) -> bool {
        self.nodes_of(self.owners[index]).next() == Some(index)
    }

    fn device_of(&self, index: NodeIndex) -> Option<DeviceId> {
        self.devices.iter().find(|(_, of)| **of == index).map(|(device, _)| *device)
    }

    /// The latest group of a name that the directory has.
    fn chronicle_named(&self, name: &str) -> Option<&Chronicle> {
        self.chronicles.values().find(|chronicle| chronicle.name.as_str() == name)
    }
}

impl World {
    /// Lets the people of this world make groups, some with a second device.
    fn with_groups(&mut self, second_devices: usize) {
        let names: Vec<Name> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut owners: Vec<PersonIndex> = (0..names.len()).collect();
        for (owner, name) in names.iter().enumerate().take(second_devices) {
            let index = self.nodes.len();
            let participant = FIRST_PARTICIPANT + 2 * index as u64;
            let entropy = SeededEntropy::new(self.seed, participant);
            let own = SeededEntropy::new(self.seed, participant + 1);
            let provider = SeededProvider::new(own, self.witness.keys.clone());
            self.nodes.push(Node::new(name.clone(), entropy, provider));
            owners.push(owner);
            let at = self.now + Span::ms(self.chance.between(2_000, 30_000));
            self.queue.push(&mut self.chance, at, Happening::StartNode(index));
        }
        self.groups = Some(Box::new(Groups { names, owners, ..Groups::default() }));
    }

    fn of_groups(&self, index: NodeIndex) -> String {
        format!("{} ({index})", self.nodes[index].name)
    }

    /// What became durable at the directory with a node's request.
    pub(super) fn note_for_groups(
        &mut self,
        index: NodeIndex,
        accounts: &[AccountChange],
        groups: Vec<GroupChange>,
        submitted: Option<Submitted>,
    ) -> Result<(), Violation> {
        let Some(world) = self.groups.as_mut() else { return Ok(()) };
        for change in accounts {
            if let AccountChange::Devices(list) = change {
                world.note_devices(index, list);
            }
        }
        for change in groups {
            let Some(world) = self.groups.as_mut() else { return Ok(()) };
            match change {
                GroupChange::Stands(roster) => {
                    let commit = submitted
                        .as_ref()
                        .filter(|submitted| submitted.conversation == roster.id && submitted.epoch + 1 == roster.epoch);
                    let text = format!("group {} stands in epoch {}", roster.id, roster.epoch);
                    let met = world.note_roster(index, roster, commit)?;
                    for case in met {
                        self.coverage.met(case);
                    }
                    self.trace.note(self.now, &|| text.clone());
                }
                GroupChange::Closed(id) => {
                    if let Some(chronicle) = world.chronicles.get_mut(&id) {
                        chronicle.closed = true;
                    }
                    self.coverage.met(Case::GroupClosed);
                }
                GroupChange::Strayed(uid, device) => {
                    return Err(Violation::DeliveredToOutsider { uid, device: device.to_string() });
                }
            }
        }
        Ok(())
    }

    /// What leaves a node, as far as the promises of groups ask for it.
    pub(super) fn observe_group_effect(&mut self, effect: &Effect) {
        let Some(groups) = self.groups.as_mut() else { return };
        match effect {
            Effect::Send { frame: PeerFrame::Message(envelope), .. } => groups.note_left(envelope),
            Effect::Ask { request, .. } => {
                let Request::Deposit { items } = &**request else { return };
                for item in items {
                    if let Deposit::Message { envelope, .. } = item {
                        groups.note_left(envelope);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Groups {
    fn note_devices(&mut self, index: NodeIndex, list: &SignedDeviceList) {
        let Ok(list) = list.list() else { return };
        self.accounts.insert(membership::account_id(&list.root_key), self.owners[index]);
        for certificate in list.devices {
            let Ok(entry) = certificate.entry() else { continue };
            // Whose request brought it is the machine that became it.
            self.devices.entry(entry.device).or_insert(index);
            self.certificates.insert(entry.device, certificate);
        }
    }

    fn note_roster(
        &mut self,
        index: NodeIndex,
        roster: Roster,
        submitted: Option<&Submitted>,
    ) -> Result<Vec<Case>, Violation> {
        let Some(author) = self.account_of(self.owners[index]) else { return Ok(Vec::new()) };
        let id = roster.id;
        let Some(name) = roster.audience.group().map(|policy| policy.name.clone()) else { return Ok(Vec::new()) };
        let chronicle = self.chronicles.entry(id).or_insert_with(|| Chronicle::new(id, name));
        let met = chronicle.stands(author, roster, submitted.map(|submitted| submitted.commit.clone()));
        match chronicle.banned_inside() {
            Some(account) => {
                let who = self.name_of(account).map_or_else(String::new, ToString::to_string);
                Err(Violation::BannedIsIn { what: format!("{who} in {id}") })
            }
            None => Ok(met),
        }
    }

    fn note_left(&mut self, envelope: &Envelope) {
        let Some(chronicle) = self.chronicles.get(&envelope.conversation) else {
            return self.talk.left(envelope, BTreeMap::new());
        };
        self.kept.said(envelope);
        let people = chronicle.state(envelope.epoch).map(|state| self.people_of(state)).unwrap_or_default();
        self.talk.left(envelope, people);
    }

    /// Who is in a group, and whether each has joined.
    fn people_of(&self, state: &chronicle::State) -> BTreeMap<PersonIndex, bool> {
        let joined = |account| state.role(account).is_some_and(|role| role > Role::Invited);
        let person = |account: AccountId| Some((self.person_of(account)?, joined(account)));
        state.accounts().into_iter().filter_map(person).collect()
    }
}
