//! The commands of groups: what each asks, of whom, and how it ends.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, Name, Timestamp,
    directory::GroupListing,
    limits::GROUP_MEMBERS_MAX,
    policy::{Access, PolicyRefusal, Role},
};

use super::{GROUPS_MAX, intents::Standing, refusals};
use crate::{
    command::{Command, CommandToken, Failure, FailureCode, Outcome},
    commands::{Waiting, changed_key, misbehaves, unknown_person},
    core::Core,
    event::Trust,
    records::{Intent, Phase},
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn on_group_command(&mut self, token: CommandToken, command: Command) {
        match command {
            Command::CreateGroup { group, access } => self.create_group(token, group, access),
            Command::Join { group } => self.join_group(token, group),
            Command::Leave { group } => {
                let again = || Command::Leave { group: group.clone() };
                if let Some(id) = self.group_for(token, &group, again()) {
                    self.start(token, id, Intent::Leave, again());
                }
            }
            Command::Invite { group, user } => self.change(token, group, user, Verb::Invite),
            Command::Kick { group, user } => self.change(token, group, user, Verb::Kick),
            Command::Promote { group, user } => self.change(token, group, user, Verb::Promote),
            Command::Demote { group, user } => self.change(token, group, user, Verb::Demote),
            Command::Members { group } => self.members(token, group),
            Command::AskMembers { group } if self.is_online() => {
                self.ask_for_group(token, group.clone());
                self.wait(token, Waiting::CountMembers { group });
            }
            Command::AskMembers { group } => self.wait_for_directory(token, Command::AskMembers { group }),
            Command::SendGroup { group, text } => self.send_group(token, group, text),
            Command::Mute { target, for_ms } => self.mute(token, &target, for_ms),
            _ => {}
        }
    }

    /// The group that a command names, if this account is in it; else the command has ended, or goes on when the directory
    /// has said what there is of that name.
    pub(crate) fn group_for(&mut self, token: CommandToken, group: &Name, again: Command) -> Option<ConversationId> {
        if self.is_person(group) {
            self.done(token, Err(refusals::a_person(group)));
            return None;
        }
        let known = self.group_named(group);
        let inside = |id: &ConversationId| self.phase(*id) != Some(Phase::Absent) && !self.wants_to_join(*id);
        if let Some(id) = known.filter(inside) {
            return Some(id);
        }
        if self.is_online() {
            self.ask_for_group(token, group.clone());
            self.wait(token, Waiting::FindGroup { group: group.clone(), command: again });
        } else if known.is_some() {
            self.done(token, Err(refusals::not_a_member(group)));
        } else {
            self.wait_for_directory(token, again);
        }
        None
    }

    fn is_person(&self, name: &Name) -> bool {
        self.own().is_some_and(|own| own.name == *name) || self.people.by_name(name).is_some()
    }

    pub(super) fn phase(&self, id: ConversationId) -> Option<Phase> {
        self.conversations.get(&id).map(|state| state.record.phase.clone())
    }

    /// The directory said what there is of a name.
    pub(crate) fn on_group_found(
        &mut self,
        token: CommandToken,
        group: &Name,
        mut command: Command,
        found: Option<GroupListing>,
    ) {
        let listing = match (found, command) {
            (Some(listing), _) if listing.name != *group => return self.done(token, Err(misbehaves())),
            (Some(listing), Command::Send { .. }) => {
                return self.done(token, Err(refusals::a_group(group, listing.role)));
            }
            (None, Command::Send { .. }) => return self.done(token, Err(unknown_person(group))),
            // Perhaps it is a person whom nobody here has met.
            (None, again @ Command::SendGroup { .. }) => return self.find_person(token, group.clone(), again),
            (None, _) => return self.done(token, Err(refusals::unknown(group))),
            (Some(listing), other) => {
                command = other;
                listing
            }
        };
        if matches!(command, Command::Join { .. }) {
            return self.join_listed(token, &listing);
        }
        if listing.role.is_none() {
            return self.done(token, Err(refusals::not_a_member(group)));
        }
        // Another device of this account came in; this one follows, and the command with it.
        self.enter_by_itself(&listing);
        self.on_command(token, command);
    }

    fn create_group(&mut self, token: CommandToken, group: Name, access: Access) {
        let known = self.group_named(&group).is_some();
        if known || self.is_person(&group) {
            let text = format!("the name {group} is taken; choose another one");
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        }
        if let Err(failure) = self.check_group_count() {
            return self.done(token, Err(failure));
        }
        if !self.is_online() {
            return self.wait_for_directory(token, Command::CreateGroup { group, access });
        }
        match self.found_group(&group, access) {
            Ok((id, number)) => self.wait(token, Waiting::Group { id, number }),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    fn check_group_count(&self) -> Result<(), Failure> {
        let inside = self.conversations.values().filter(|state| state.record.group().is_some());
        if inside.filter(|state| state.record.phase != Phase::Absent).count() < GROUPS_MAX {
            return Ok(());
        }
        let text = format!("you are in {GROUPS_MAX} groups, and nobody is in more; LEAVE one of them first");
        Err(Failure::new(FailureCode::Refused, text))
    }

    fn join_group(&mut self, token: CommandToken, group: Name) {
        if self.is_person(&group) {
            return self.done(token, Err(refusals::a_person(&group)));
        }
        let known = self.group_named(&group).filter(|id| self.phase(*id) != Some(Phase::Absent));
        match known {
            Some(id) if self.own_role(id) == Some(Role::Invited) || self.wants_to_join(id) => {
                self.start(token, id, Intent::Join, Command::Join { group });
            }
            Some(_) => self.done(token, Err(refusals::already("you", "in", &group))),
            None if !self.is_online() => self.wait_for_directory(token, Command::Join { group }),
            None => {
                self.ask_for_group(token, group.clone());
                self.wait(token, Waiting::FindGroup { group: group.clone(), command: Command::Join { group } });
            }
        }
    }

    fn join_listed(&mut self, token: CommandToken, listing: &GroupListing) {
        let name = &listing.name;
        if self.phase(listing.conversation).is_some_and(|phase| phase != Phase::Absent) {
            // The Welcome came meanwhile.
            return self.join_group(token, name.clone());
        }
        let refusal = match listing.role {
            Some(Role::Invited) => None,
            Some(_) => {
                self.enter_by_itself(listing);
                return self.done(token, Err(refusals::already("you", "in", name)));
            }
            None if listing.access == Access::Invite => Some(PolicyRefusal::InviteOnly),
            None if usize::try_from(listing.members).is_ok_and(|members| members >= GROUP_MEMBERS_MAX) => {
                Some(PolicyRefusal::Full)
            }
            None => None,
        };
        let checked = refusal.map_or(Ok(()), |refusal| Err(refusals::policy(refusal, name)));
        if let Err(failure) = checked.and_then(|()| self.check_group_count()) {
            return self.done(token, Err(failure));
        }
        let id = self.enter_by_itself(listing);
        self.start(token, id, Intent::Join, Command::Join { group: name.clone() });
    }

    fn change(&mut self, token: CommandToken, group: Name, user: Name, verb: Verb) {
        let again = || verb.of(group.clone(), user.clone());
        let Some(id) = self.group_for(token, &group, again()) else { return };
        let own = self.own().filter(|own| own.name == user).map(|own| own.account);
        let account = match own.filter(|_| verb == Verb::Demote) {
            Some(own) => own,
            None => match self.person(token, &user, again) {
                Some(account) => account,
                None => return,
            },
        };
        match self.intent_of(id, account, &user, verb) {
            Ok(what) => self.start(token, id, what, again()),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    fn intent_of(&self, id: ConversationId, account: AccountId, user: &Name, verb: Verb) -> Result<Intent, Failure> {
        match verb {
            Verb::Invite if self.people.trust(account) == Trust::Changed => Err(changed_key(user)),
            Verb::Invite => Ok(Intent::Invite(account)),
            Verb::Kick => Ok(Intent::Kick(account)),
            Verb::Promote | Verb::Demote => match self.group(id).filter(|_| self.own_role(id).is_none()) {
                Some(group) => Err(refusals::coming_back(&group.name)),
                None => self.step(id, account, verb == Verb::Promote),
            },
        }
    }

    /// Keeps what a person wants, unless it is so already or can't be. Without the directory it waits, and is looked at
    /// again then.
    fn start(&mut self, token: CommandToken, id: ConversationId, what: Intent, again: Command) {
        let standing = self.standing(id, what);
        let Some(name) = self.group(id).map(|group| group.name.clone()) else { return };
        let failure = match (standing, what) {
            (Some(Standing::Refused(failure)), _) => Some(failure),
            (Some(Standing::Reached), Intent::Invite(account)) => {
                Some(refusals::already(&self.called(account), "in or invited to", &name))
            }
            (Some(Standing::Reached), Intent::Kick(account)) => Some(refusals::not_in(&self.called(account), &name)),
            (Some(Standing::Reached), _) => Some(refusals::already("you", "in", &name)),
            _ => None,
        };
        if let Some(failure) = failure {
            return self.done(token, Err(failure));
        }
        if !self.is_online() {
            return self.wait_for_directory(token, again);
        }
        match self.intend(id, what) {
            Ok(number) => self.wait(token, Waiting::Group { id, number }),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    /// What was wanted has come to its end; `ended` is the epoch that this device's commit ended for it.
    pub(super) fn finish_group_command(
        &mut self,
        id: ConversationId,
        number: u64,
        result: Result<(), Failure>,
        ended: Option<u64>,
    ) {
        for token in self.tokens_for_intent(id, number) {
            match (&result, ended) {
                (Ok(()), Some(epoch)) => self.settle_commits(token, Ok(Outcome::Done), vec![(id, epoch)]),
                (Ok(()), None) => self.done(token, Ok(Outcome::Done)),
                (Err(failure), _) => self.done(token, Err(failure.clone())),
            }
        }
    }

    /// Whoever wanted it waits no longer: what the directory has not heard of is wanted no more.
    pub(crate) fn abandon_intent(&mut self, id: ConversationId, number: u64) -> Failure {
        let name = self.group(id).map(|group| group.name.clone());
        let creating = self.conversations.get(&id).is_some_and(|state| state.record.phase != Phase::Active);
        let heard = self.conversations.get(&id).is_some_and(|state| state.working.made_for == Some(number));
        let (Some(name), true) = (name, creating || heard) else {
            if let Some(group) = self.edit_group(id) {
                group.intents.retain(|intent| intent.number != number);
            }
            return self.unreachable();
        };
        let text = format!(
            "the directory has not said yet that {name} is so; it goes on by itself, and MEMBERS {name} shows what came of it"
        );
        Failure::new(FailureCode::Unreachable, text)
    }

    fn mute(&mut self, token: CommandToken, target: &Name, for_ms: Option<u64>) {
        let person = self.people.by_name(target).map(|contact| contact.account);
        let id = match person {
            Some(account) => self.conversation_with(account),
            None => self.group_named(target),
        };
        let until = match for_ms {
            Some(0) => None,
            Some(ms) => Some(self.now.plus_ms(ms)),
            None => Some(Timestamp(u64::MAX)),
        };
        match id.and_then(|id| self.conversations.get_mut(&id)) {
            Some(state) => {
                state.record.muted_until = until;
                state.changed = true;
                self.done(token, Ok(Outcome::Done));
            }
            None => {
                let text = format!("nobody and no group here is called {target}; LIST shows who is");
                self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
        }
    }
}

/// A command that changes somebody else's place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Invite,
    Kick,
    Promote,
    Demote,
}

impl Verb {
    fn of(self, group: Name, user: Name) -> Command {
        match self {
            Self::Invite => Command::Invite { group, user },
            Self::Kick => Command::Kick { group, user },
            Self::Promote => Command::Promote { group, user },
            Self::Demote => Command::Demote { group, user },
        }
    }
}
