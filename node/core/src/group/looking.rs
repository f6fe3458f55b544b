//! What is shown of groups: which there are, who is in one, how many, and how far a message has come.

use std::collections::{BTreeMap, BTreeSet};

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, ConversationId, Name,
    directory::{GroupListing, Person, Reply, Request, Who},
    limits::{LIST_MAX, LOOK_UP_MAX},
    policy::Role,
};

use super::refusals;
use crate::{
    command::{Command, CommandToken, Failure, FailureCode, GroupView, ListWhat, MemberView, Outcome},
    commands::{LISTED_MAX, Waiting, misbehaves},
    conversation::ConversationState,
    core::Core,
    event::{DeliveryState, Trust},
    input::Answer,
    link::Purpose,
    records::Phase,
};

impl<C: CryptoProvider + Clone> Core<C> {
    /// What is known here of the groups that this account is in.
    fn own_groups(&self) -> BTreeMap<Name, GroupView> {
        let view = |state: &ConversationState<C>| {
            let (own, group) = (self.own()?.account, state.record.group()?);
            let policy = state.policy().filter(|_| state.is_active())?;
            let view = GroupView {
                name: group.name.clone(),
                members: joined_count(state),
                role: state.role_of(own),
                access: policy.access,
                unread: state.record.unread,
                muted: state.record.muted_until.is_some_and(|until| until > self.now),
            };
            Some((group.name.clone(), view))
        };
        self.conversations.values().filter_map(view).collect()
    }

    /// Groups as the directory lists them; of those that this device is in, what their members have agreed on.
    pub(crate) fn group_views(&self, listed: &[GroupListing], what: ListWhat) -> Vec<GroupView> {
        if what == ListWhat::Users {
            return Vec::new();
        }
        let mut groups = self.own_groups();
        for listing in listed {
            groups.entry(listing.name.clone()).or_insert_with(|| GroupView {
                name: listing.name.clone(),
                members: listing.members,
                role: listing.role,
                access: listing.access,
                unread: 0,
                muted: false,
            });
        }
        groups.into_values().filter(|group| what != ListWhat::Mine || group.role.is_some()).collect()
    }

    /// Whether somebody is in one of this account's groups.
    pub(crate) fn shares_group(&self, account: AccountId) -> bool {
        let groups = self.conversations.values().filter(|state| state.record.group().is_some() && state.is_active());
        groups.flat_map(|state| state.members()).any(|member| member.account == account)
    }

    /// Accounts that share a group with this one.
    pub(crate) fn group_mates(&self) -> BTreeSet<AccountId> {
        let groups = self.conversations.values().filter(|state| state.record.group().is_some() && state.is_active());
        groups.flat_map(|state| state.members().map(|member| member.account)).collect()
    }

    pub(crate) fn ask_for_groups(&mut self, token: CommandToken, after: Option<Name>) {
        self.ask(Purpose::Waiter { token }, Request::ListGroups { after });
    }

    /// The directory answered for groups.
    pub(crate) fn on_groups_told(&mut self, token: CommandToken, waiting: Waiting, answer: Answer) {
        let told = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::Groups(groups) => groups.into_inner(),
                _ => return self.done(token, Err(misbehaves())),
            },
            Answer::Refusal(refusal) => {
                return self.done(token, Err(Failure::new(FailureCode::Refused, refusal.to_string())));
            }
            Answer::Lost => return self.wait_again(token, waiting),
        };
        match waiting {
            Waiting::FindGroup { group, command } => {
                self.on_group_found(token, &group, command, told.into_iter().next())
            }
            Waiting::CountMembers { group } => {
                let found = told.into_iter().find(|listing| listing.name == group);
                let count = found.map(|listing| Outcome::MemberCount(listing.members));
                self.done(token, count.ok_or_else(|| refusals::unknown(&group)));
            }
            Waiting::ListGroups { what, people, mut groups } => {
                let more = told.len() == LIST_MAX && groups.len() < LISTED_MAX;
                let after = told.last().map(|listing| listing.name.clone());
                groups.extend(told);
                if more {
                    self.wait(token, Waiting::ListGroups { what, people, groups });
                    self.ask_for_groups(token, after);
                } else {
                    self.show_list(token, what, people, &groups);
                }
            }
            _ => {}
        }
    }

    /// The question was lost with its connection: it is asked again on the next one.
    pub(crate) fn wait_again(&mut self, token: CommandToken, waiting: Waiting) {
        let command = match waiting {
            Waiting::FindGroup { command, .. } | Waiting::Person { command, .. } => command,
            Waiting::CountMembers { group } => Command::AskMembers { group },
            Waiting::AskOnline { user } => Command::AskOnline { user },
            Waiting::ListGroups { what, .. } | Waiting::List { what, .. } => Command::List { what },
            _ => return,
        };
        self.wait_for_directory(token, command);
    }

    pub(super) fn members(&mut self, token: CommandToken, group: Name) {
        let Some(id) = self.group_for(token, &group, Command::Members { group: group.clone() }) else { return };
        let Some(state) = self.conversations.get(&id).filter(|state| state.is_active()) else {
            return self.done(token, Err(refusals::coming_back(&group)));
        };
        let own = self.own().map(|own| own.account);
        let others = state.members().map(|member| member.account).filter(|account| Some(*account) != own);
        let others: BTreeSet<AccountId> = others.collect();
        self.look_at_members(token, group, others.into_iter().collect());
    }

    /// Asks who of a group is there, page by page, and then shows it.
    fn look_at_members(&mut self, token: CommandToken, group: Name, mut rest: Vec<AccountId>) {
        if rest.is_empty() || !self.is_online() {
            return self.show_members(token, &group);
        }
        let page = rest.split_off(rest.len().saturating_sub(LOOK_UP_MAX));
        let who: Vec<Who> = page.into_iter().map(Who::Account).collect();
        self.wait(token, Waiting::Members { group, rest });
        self.ask(Purpose::Waiter { token }, Request::LookUp { who: Bounded::new(who).unwrap_or_default() });
    }

    pub(crate) fn on_members_seen(
        &mut self,
        token: CommandToken,
        group: Name,
        rest: Vec<AccountId>,
        people: Option<Vec<Person>>,
    ) {
        for person in people.iter().flatten() {
            self.take_person(person);
        }
        // What can't be asked is shown as it was known.
        let rest = if people.is_some() { rest } else { Vec::new() };
        self.look_at_members(token, group, rest);
    }

    fn show_members(&mut self, token: CommandToken, group: &Name) {
        let state = self.group_named(group).and_then(|id| self.conversations.get(&id));
        let Some((own, state)) = self.own().zip(state.filter(|state| state.is_active())) else {
            return self.done(token, Err(refusals::not_a_member(group)));
        };
        let mut devices: BTreeMap<AccountId, usize> = BTreeMap::new();
        for member in state.members() {
            *devices.entry(member.account).or_default() += 1;
        }
        let view = |(account, devices): (AccountId, usize)| {
            let this = account == own.account;
            Some(MemberView {
                name: self.member_name(account)?,
                role: state.role_of(account)?,
                online: this || self.people.is_online(account),
                trust: if this { Trust::Verified } else { self.trust_in_group(account) },
                devices,
                this,
            })
        };
        let mut members: Vec<MemberView> = devices.into_iter().filter_map(view).collect();
        members.sort_by(|one, other| (other.role, &one.name).cmp(&(one.role, &other.name)));
        self.done(token, Ok(Outcome::Members { group: group.clone(), members }));
    }

    /// What is known of somebody's key: whoever shares a group with this account is no stranger.
    pub(crate) fn trust_of(&self, account: AccountId) -> Trust {
        match self.people.trust(account) {
            Trust::Stranger if self.shares_group(account) => self.trust_in_group(account),
            trust => trust,
        }
    }

    /// What is known of the key of somebody in a group: no stranger, since a group is where one meets.
    pub(crate) fn trust_in_group(&self, account: AccountId) -> Trust {
        match self.people.trust(account) {
            Trust::Stranger => Trust::Pinned,
            trust => trust,
        }
    }

    /// Somebody in a group who has the name of a person with another key, until it is resolved whose the name is.
    pub(crate) fn disputed_in(&self, id: ConversationId) -> Option<Name> {
        let disputed = self.people.all().filter_map(|contact| contact.changed_to.zip(contact.name.as_ref()));
        let mut disputed = disputed.map(|(key, name)| (membership::account_id(&key), name)).peekable();
        disputed.peek()?;
        let state = self.conversations.get(&id)?;
        let accounts: BTreeSet<AccountId> = state.members().map(|member| member.account).collect();
        disputed.find(|(account, _)| accounts.contains(account)).map(|(_, name)| name.clone())
    }

    /// SEND GROUP.
    pub(super) fn send_group(&mut self, token: CommandToken, group: Name, text: String) {
        let again = Command::SendGroup { group: group.clone(), text: text.clone() };
        let Some(id) = self.group_for(token, &group, again) else { return };
        if self.own_role(id) == Some(Role::Invited) {
            return self.done(token, Err(refusals::not_joined(&group)));
        }
        if let Some(user) = self.disputed_in(id) {
            return self.done(token, Err(refusals::disputed(&user, &group)));
        }
        match self.enqueue_for_group(id, &group, &text) {
            Ok((short, message)) => {
                self.mark_conversation_read(id);
                self.wait(token, Waiting::SendGroup { group, short, id: message });
                self.settle_alone(id, message);
                if !self.link.is_connected() && self.link.last_failure.is_some() {
                    self.on_unreachable();
                }
            }
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    /// How far a message has come towards everybody in its group, by name.
    pub(crate) fn recipients_view(&self, message: protocol::MessageId) -> Vec<(Name, DeliveryState)> {
        let Some(entry) = self.outbox.get(message) else { return Vec::new() };
        let rows =
            if entry.record.settled { entry.record.rows.clone() } else { self.rows_now(entry.record.conversation) };
        let counted = rows.into_iter().filter(|row| row.counted);
        let mut named: Vec<(Name, DeliveryState)> =
            counted.filter_map(|row| Some((self.member_name(row.account)?, row.state))).collect();
        named.sort();
        named
    }

    /// The groups that somebody wrote in what was not read yet.
    pub(crate) fn unread_groups(&self) -> Vec<(Name, u32)> {
        let unread = self.conversations.values().filter(|state| state.record.unread > 0);
        let mut groups: Vec<(Name, u32)> =
            unread.filter_map(|state| Some((state.record.group()?.name.clone(), state.record.unread))).collect();
        groups.sort();
        groups
    }

    /// What is said when a group's name stands where a person's should.
    pub(crate) fn a_group(&self, id: ConversationId, name: &Name) -> Failure {
        let inside = self.phase(id).is_some_and(|phase| phase != Phase::Absent) && !self.wants_to_join(id);
        let role = inside.then(|| self.own_role(id).unwrap_or(Role::Member));
        refusals::a_group(name, role)
    }

    /// The conversation that a name stands for: with a person, or a group's.
    pub(crate) fn named_conversation(&self, name: &Name) -> Option<Option<ConversationId>> {
        match self.people.by_name(name) {
            Some(contact) => Some(self.known_with(contact.account)),
            None => self.group_named(name).map(Some),
        }
    }
}

/// How many have joined a group.
fn joined_count<C: CryptoProvider + Clone>(state: &ConversationState<C>) -> u32 {
    let Some(policy) = state.policy() else { return 0 };
    let accounts: BTreeSet<AccountId> = state.members().map(|member| member.account).collect();
    let joined = accounts.into_iter().filter(|account| policy.role(*account) > Role::Invited);
    u32::try_from(joined.count()).unwrap_or(u32::MAX)
}
