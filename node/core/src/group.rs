//! Groups: who is in them, what a person wants to be changed in them, and how it comes to be so.
//!
//! What a person wants is kept as an [`Intent`] until it is so or can't be. A change is published first and applied when
//! it comes through the mailbox, behind everything of the epoch that it ends; whoever loses an epoch applies the winner,
//! looks whether the intent still makes sense, and tries again. Who may do what says the policy in the group's context,
//! which every member checks for itself; nothing here trusts the directory with it.
//!
//! **Invariant:** what a person is shown of a group's people follows from commits that were applied, in their order.

mod changes;
mod commands;
mod confirming;
mod delivering;
mod entering;
mod intents;
mod leaving;
mod looking;
pub(crate) mod refusals;
mod whereabouts;

use std::cell::Cell;

pub(crate) use self::whereabouts::Whereabouts;

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, Name, Timestamp,
    directory::{KeyPackageBytes, Request},
    limits::EPOCHS_MAX,
    policy::{GroupPolicy, Policy, Role},
};

use crate::{
    conversation::{ConversationState, Stamp},
    core::Core,
    link::Purpose,
    outbox::OutboxEntry,
    records::{GroupRecord, Kind, Phase},
};

/// Groups that one account can be in: the book names them all, and each is work at every reconnect.
pub(crate) const GROUPS_MAX: usize = EPOCHS_MAX;
/// Intents that wait in one group at a time: more than a person types before they see the first one's end.
const INTENTS_MAX: usize = 256;
/// Window in which whoever lost an epoch tries again, in milliseconds: wide enough for a few dozen to follow each other,
/// too short to be felt.
const RETRY_WINDOW_MS: u64 = 400;
/// Time that the winner's commit takes to arrive, in milliseconds: nobody tries earlier.
const RETRY_PAUSE_MS: u64 = 20;

/// What of a group only this run knows.
#[derive(Debug, Default)]
pub(crate) struct Working {
    /// Key packages of whoever is to be invited next.
    packages: Option<(AccountId, Vec<KeyPackageBytes>)>,
    /// The intent that the commit under way is for.
    made_for: Option<u64>,
    /// How often a request to leave has waited for what was said before.
    waited: u32,
    /// How often in a row the directory has refused what was made for an intent.
    refused: u32,
    /// How often in a row it has refused messages, the mailbox having been read out each time.
    pub(crate) deposits_refused: u32,
    /// The reading of the mailbox that covers what waited when it did so last.
    pub(crate) refused_by: u64,
    /// What the directory said since this device fell out: whether its account is in the group still.
    pub(crate) is_inside: Option<bool>,
    /// Whether another device of the account says that it is in the group no more.
    pub(crate) doubted: bool,
    /// The epoch that the directory says the group is in, while this device has not come there; `u64::MAX` if it says that this
    /// device has no place in it.
    pub(crate) behind: Option<u64>,
    /// Whether all devices were listed by their accounts, of which people and as of how many lists seen.
    pub(crate) listed: Cell<Option<((Stamp, u64), bool)>>,
    /// When this device grants the requests to leave that nobody else has granted by then.
    grant_at: Timestamp,
}

impl<C: CryptoProvider + Clone> ConversationState<C> {
    /// What a group is, as its members have agreed; absent while this device is not one of them.
    pub(crate) fn policy(&self) -> Option<&GroupPolicy> {
        match self.group.as_ref()?.policy() {
            Policy::Group(policy) => Some(policy),
            Policy::Direct { .. } => None,
        }
    }

    /// What an account is in a group; absent if it is not in it, or this device is not.
    pub(crate) fn role_of(&self, account: AccountId) -> Option<Role> {
        let policy = self.policy()?;
        self.members().any(|member| member.account == account).then(|| policy.role(account))
    }

    /// Whether an account has asked to leave a group and nobody has granted it yet.
    pub(crate) fn is_leaving(&self, account: AccountId) -> bool {
        self.leaving().contains(&account)
    }

    /// The accounts of which that is so.
    pub(crate) fn leaving(&self) -> Vec<AccountId> {
        let leaves = self.record.group().into_iter().flat_map(|group| &group.leaves);
        leaves.filter_map(|leave| leave.leave().ok()).map(|leave| leave.account).collect()
    }

    /// When something is to be done in a group, if it waits for time alone.
    pub(crate) fn group_due(&self) -> Option<Timestamp> {
        let group = self.record.group()?;
        if self.record.phase != Phase::Active || self.record.refresh.is_some() || self.commit_awaited {
            return None;
        }
        let due = self.flow.due()?;
        if !group.intents.is_empty() {
            Some(due)
        } else if !group.leaves.is_empty() {
            Some(due.max(self.working.grant_at))
        } else {
            None
        }
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Whether a conversation that is known here is a group.
    pub(crate) fn is_group(&self, id: ConversationId) -> bool {
        self.group(id).is_some()
    }

    pub(crate) fn group(&self, id: ConversationId) -> Option<&GroupRecord> {
        self.conversations.get(&id)?.record.group()
    }

    fn edit_group(&mut self, id: ConversationId) -> Option<&mut GroupRecord> {
        let state = self.conversations.get_mut(&id)?;
        state.changed = true;
        state.record.group_mut()
    }

    /// A group by its name; one that this account is in before one that it is not in any more.
    pub(crate) fn group_named(&self, name: &Name) -> Option<ConversationId> {
        let named = |state: &ConversationState<C>| state.record.group().is_some_and(|group| group.name == *name);
        let groups = self.conversations.iter().filter(|(_, state)| named(state));
        groups.min_by_key(|(_, state)| state.record.phase == Phase::Absent).map(|(id, _)| *id)
    }

    /// What this account is in a group; absent if it is not in it, or this device has to come in first.
    pub(crate) fn own_role(&self, id: ConversationId) -> Option<Role> {
        self.conversations.get(&id).filter(|state| state.is_active())?.role_of(self.own()?.account)
    }

    /// Whether this account talks in a group.
    pub(crate) fn is_joined(&self, id: ConversationId) -> bool {
        self.own_role(id).is_some_and(|role| role > Role::Invited)
    }

    /// Whether this account is invited to a group and has not joined: it says nothing there, and nothing is kept to be said.
    pub(crate) fn is_only_invited(&self, id: ConversationId) -> bool {
        self.is_group(id) && self.own_role(id) == Some(Role::Invited)
    }

    /// Whether a message can be sealed now. In a group the people who will read it are on the screen first: commits that
    /// waited at the directory when it was said are taken in, and what they changed was told.
    pub(crate) fn may_seal(&self, entry: &OutboxEntry) -> bool {
        let id = entry.record.conversation;
        let Some(group) = self.group(id) else { return true };
        let looked = !self.is_online() || self.mail.is_read_out(entry.looked_by);
        self.is_joined(id) && looked && group.untold.is_empty() && self.disputed_in(id).is_none()
    }

    /// The name of somebody in a group, one's own too.
    pub(crate) fn member_name(&self, account: AccountId) -> Option<Name> {
        let own = self.own().filter(|own| own.account == account).map(|own| own.name.clone());
        own.or_else(|| self.people.name_of(account).cloned())
    }

    /// The same in a sentence.
    fn called(&self, account: AccountId) -> String {
        self.member_name(account).map_or_else(|| "that person".to_owned(), |name| name.to_string())
    }

    /// What a group that this device is in asks for next. What leads to a commit is asked of the directory; a commit itself
    /// is made here and stands in the record afterwards.
    pub(crate) fn advance_group(&mut self, id: ConversationId) -> Option<(Purpose, Request)> {
        let state = self.conversations.get_mut(&id)?;
        let group = state.record.group()?;
        if state.record.refresh.is_some() {
            return None;
        }
        state.working.made_for = None;
        let intent = group.intents.first().cloned();
        match intent {
            Some(intent) => self.advance_intent(id, &intent),
            None => {
                self.grant_leave(id);
                None
            }
        }
    }

    /// This device lost an epoch: it tries again soon, at a time of its own.
    pub(crate) fn hurry_group(&mut self, id: ConversationId) {
        let at = self.now.plus_ms(RETRY_PAUSE_MS + self.entropy.next_u64() % RETRY_WINDOW_MS);
        let Some(state) = self.conversations.get_mut(&id) else { return };
        if state.record.group().is_some() {
            state.flow.wait_until(at);
        }
    }

    /// A group that nothing is known of but its name.
    fn new_group(&self, name: Name) -> Kind {
        Kind::Group(Box::new(GroupRecord {
            name,
            intents: Vec::new(),
            last_intent: 0,
            leaves: Vec::new(),
            untold: std::collections::VecDeque::new(),
            changed_at: self.now,
            taken_below: Vec::new(),
            known: None,
        }))
    }

    /// Who a group's members are is pinned, and asked of the directory.
    pub(crate) fn pin_members(&mut self, id: ConversationId) {
        let Some(own) = self.own().map(|own| own.account).filter(|_| self.is_group(id)) else { return };
        let Some(state) = self.conversations.get(&id) else { return };
        let others = state.members().filter(|member| member.account != own);
        let unknown = others.filter(|member| self.people.get(member.account).is_none());
        let unknown: Vec<_> = unknown.map(|member| member.entry.root_key).collect();
        if !unknown.is_empty() {
            for root_key in unknown {
                self.people.pin(root_key);
            }
            self.people.look_up.retry_now();
        }
    }
}
