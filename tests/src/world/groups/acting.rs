//! What people in groups do: what everybody does, and things to groups, mostly such as can be done, at random.

use node_core::{
    Session,
    command::{Command, ListWhat, Password},
};
use protocol::{
    AccountId, Name,
    policy::{Access, Role},
};

use super::{GROUPS, Groups, PersonIndex, chronicle::Chronicle, talk::To};
use crate::world::{
    Happening, World,
    clock::Span,
    node::Asked,
    witness::{CANARY, NodeIndex},
};

/// Groups that are open at a time.
const GROUPS_AT_ONCE: usize = 2;
/// The longest burst of messages.
const BURST_MAX: u64 = 6;

impl World {
    /// Signs up or in where that is needed, or does something.
    pub(in crate::world) fn act_in_groups(&mut self, index: NodeIndex) {
        if self.enter_for_groups(index) && self.acting {
            self.act_on_groups(index);
        }
    }

    /// Says whether the node's owner is signed in there.
    fn enter_for_groups(&mut self, index: NodeIndex) -> bool {
        let Some((groups, core)) = self.groups.as_ref().zip(self.nodes[index].core.as_ref()) else { return false };
        let entering = self.nodes[index].is_asking(&Asked::SignUp) || self.nodes[index].is_asking(&Asked::SignIn);
        let session = core.session();
        if session == Session::SignedIn {
            return true;
        }
        if entering || core.has_unfinished_sign_up() {
            return false;
        }
        let (name, password) = (self.nodes[index].name.clone(), Password::new(self.nodes[index].password.clone()));
        let known = groups.account_of(groups.owners[index]).is_some();
        if session == Session::None && groups.is_first(index) && !known {
            self.command(index, Asked::SignUp, Command::SignUp { name, password, invite: None });
        } else if known {
            self.command(index, Asked::SignIn, Command::SignIn { name, password });
        }
        false
    }

    pub(super) fn act_on_groups(&mut self, index: NodeIndex) {
        match self.chance.between(0, 100) {
            0..30 => self.say_somewhere(index, 1),
            30..34 => {
                let count = self.chance.between(2, BURST_MAX);
                self.say_somewhere(index, count);
            }
            34..38 => self.write_somebody(index),
            38..92 => self.change_something(index),
            92..96 => self.leave_the_world(index),
            96..98 => self.look_around(index),
            98..100 => {
                // Everybody at once.
                for other in 0..self.nodes.len() {
                    if self.nodes[other].core.as_ref().is_some_and(|core| core.session() == Session::SignedIn) {
                        self.change_something(other);
                    }
                }
            }
            _ => {}
        }
    }

    fn leave_the_world(&mut self, index: NodeIndex) {
        let who = self.of_groups(index);
        self.trace.note(self.now, &|| format!("{who} goes away"));
        self.stop_node(index);
        let at = self.now + Span::ms(self.chance.between(1_000, 40_000));
        self.queue.push(&mut self.chance, at, Happening::StartNode(index));
    }

    fn look_around(&mut self, index: NodeIndex) {
        let Some(group) = self.some_group(index, |_, _| true) else { return };
        let command = match self.chance.between(0, 3) {
            0 => Command::Members { group },
            1 => Command::AskMembers { group },
            _ => Command::List { what: ListWhat::All },
        };
        self.command(index, Asked::Look, command);
    }

    /// A group that fits, of those that are not closed.
    fn some_group(&mut self, index: NodeIndex, fits: impl Fn(&Chronicle, Option<Role>) -> bool) -> Option<Name> {
        let groups = self.groups.as_ref()?;
        let own = groups.account_of(groups.owners[index])?;
        let open = groups.chronicles.values().filter(|chronicle| !chronicle.closed);
        let fits = |chronicle: &&Chronicle| fits(chronicle, chronicle.now().and_then(|state| state.role(own)));
        let fitting: Vec<Name> = open.filter(fits).map(|chronicle| chronicle.name.clone()).collect();
        (!fitting.is_empty()).then(|| fitting[self.chance.index(fitting.len())].clone())
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        let filler = usize::try_from(self.chance.between(0, 60)).unwrap_or(0);
        format!("{CANARY}{:x}-{}-{}", self.seed, self.texts, "x".repeat(filler))
    }

    fn say_somewhere(&mut self, index: NodeIndex, count: u64) {
        let Some(group) = self.some_group(index, |_, role| role.is_some_and(|role| role > Role::Invited)) else {
            return;
        };
        for _ in 0..count {
            self.say(index, group.clone());
        }
    }

    /// Says a text in a group that no other message of this world has.
    pub(super) fn say(&mut self, index: NodeIndex, group: Name) {
        let text = self.text();
        let Some(groups) = self.groups.as_mut() else { return };
        groups.talk.intend(index, To::Group(group.clone()), text.clone());
        self.command(index, Asked::Say(text.clone()), Command::SendGroup { group, text });
    }

    fn write_somebody(&mut self, index: NodeIndex) {
        let other = self.somebody(index);
        self.write_from(index, other);
    }

    /// Somebody writes to somebody else, on their first device.
    pub(super) fn write_first(&mut self, from: PersonIndex, to: PersonIndex) {
        let first = self.groups.as_ref().and_then(|groups| groups.nodes_of(from).next());
        if let Some(index) = first {
            self.write_from(index, to);
        }
    }

    fn write_from(&mut self, index: NodeIndex, other: PersonIndex) {
        let text = self.text();
        let Some(groups) = self.groups.as_mut() else { return };
        groups.talk.intend(index, To::Person(other), text.clone());
        let to = groups.names[other].clone();
        self.command(index, Asked::Send(text.clone()), Command::Send { to, text });
    }

    /// Somebody else.
    fn somebody(&mut self, index: NodeIndex) -> PersonIndex {
        let Some(groups) = self.groups.as_ref() else { return 0 };
        let (own, people) = (groups.owners[index], groups.names.len());
        let other = self.chance.index(people - 1);
        if other >= own { other + 1 } else { other }
    }

    /// Somebody in a group, or out of it, as the directory has it; now and then anybody.
    fn somebody_of(&mut self, index: NodeIndex, group: &Name, fits: impl Fn(Option<Role>) -> bool) -> PersonIndex {
        let anybody = self.somebody(index);
        if self.chance.happens(150_000) {
            return anybody;
        }
        let Some(groups) = self.groups.as_ref() else { return anybody };
        let state = groups.chronicle_named(group.as_str()).and_then(Chronicle::now);
        let role = |account: AccountId| state.and_then(|state| state.role(account));
        let own = groups.owners[index];
        let people = (0..groups.names.len()).filter(|person| *person != own);
        let fitting: Vec<PersonIndex> =
            people.filter(|person| groups.account_of(*person).is_some_and(|account| fits(role(account)))).collect();
        if fitting.is_empty() { anybody } else { fitting[self.chance.index(fitting.len())] }
    }

    /// Changes who is in a group, or what somebody is there.
    fn change_something(&mut self, index: NodeIndex) {
        let joined = |role: Option<Role>| role.is_some_and(|role| role > Role::Invited);
        let (verb, group) = match self.chance.between(0, 100) {
            0..30 => ("JOIN", self.some_group(index, move |_, role| !joined(role))),
            30..37 => ("LEAVE", self.some_group(index, |_, role| role.is_some())),
            37..60 => ("INVITE", self.some_group(index, move |_, role| joined(role))),
            60..70 => ("KICK", self.some_group(index, |_, role| role >= Some(Role::Admin))),
            70..84 => ("PROMOTE", self.some_group(index, |_, role| role == Some(Role::Owner))),
            84..92 => ("DEMOTE", self.some_group(index, |_, role| role == Some(Role::Owner))),
            92..94 => return self.intrude(),
            _ => return self.found_something(index),
        };
        let Some(group) = group else { return self.found_something(index) };
        let person = match verb {
            "INVITE" => self.somebody_of(index, &group, |role| role.is_none()),
            "DEMOTE" => self.somebody_of(index, &group, |role| role > Some(Role::Member)),
            "JOIN" | "LEAVE" => self.somebody(index),
            _ => self.somebody_of(index, &group, |role| role.is_some()),
        };
        let Some(user) = self.groups.as_ref().map(|groups| groups.names[person].clone()) else { return };
        let command = match verb {
            "JOIN" => Command::Join { group },
            "LEAVE" => Command::Leave { group },
            "INVITE" => Command::Invite { group, user },
            "KICK" => Command::Kick { group, user },
            "PROMOTE" => Command::Promote { group, user },
            _ => Command::Demote { group, user },
        };
        self.command(index, Asked::Change(verb), command);
    }

    /// Makes a group, if there are too few.
    fn found_something(&mut self, index: NodeIndex) {
        let Some(groups) = self.groups.as_ref() else { return };
        let open = groups.chronicles.values().filter(|chronicle| !chronicle.closed).count();
        let free = GROUPS.iter().enumerate().find(|(_, name)| groups.chronicle_named(name).is_none());
        let Some((number, group)) = free.and_then(|(number, name)| Some((number, Name::parse(name).ok()?))) else {
            return;
        };
        if open >= GROUPS_AT_ONCE || self.nodes.iter().any(|node| node.is_asking(&Asked::Change("CREATE"))) {
            return;
        }
        let access = if number % 2 == 0 { Access::Open } else { Access::Invite };
        self.command(index, Asked::Change("CREATE"), Command::CreateGroup { group, access });
    }
}

impl Groups {
    /// Whether a node's owner is invited to a group now.
    pub(super) fn is_invited(&self, index: NodeIndex, chronicle: &Chronicle) -> bool {
        let own = self.account_of(self.owners[index]);
        own.and_then(|own| chronicle.now()?.role(own)) == Some(Role::Invited)
    }

    /// Whether a node's owner talks in a group now.
    pub(super) fn talks(&self, index: NodeIndex, chronicle: &Chronicle) -> bool {
        let own = self.account_of(self.owners[index]);
        let role = own.and_then(|own| chronicle.now()?.role(own));
        !chronicle.closed && role.is_some_and(|role| role > Role::Invited)
    }
}
