//! Conversations of two people and of groups: who is in them, their public state, and the one order of their commits.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Name,
    directory::GroupListing,
    policy::{GroupPolicy, Role, SignedLeave},
};
use serde::{Deserialize, Serialize};

use super::{Handout, Stored};

/// Whom a conversation is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Two people.
    People([AccountId; 2]),
    /// A group: what it is since its last commit.
    Group(Box<GroupPolicy>),
}

impl Audience {
    /// What the group is; `None` for a direct conversation.
    #[must_use]
    pub fn group(&self) -> Option<&GroupPolicy> {
        match self {
            Self::People(_) => None,
            Self::Group(policy) => Some(policy),
        }
    }
}

/// Who is in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Its id.
    pub id: ConversationId,
    /// Whom it is for.
    pub audience: Audience,
    /// The current epoch.
    pub epoch: u64,
    /// Devices of the current epoch, and whose each is.
    pub members: BTreeMap<DeviceId, AccountId>,
    /// Accounts that have left and are still in the tree: by which request, or by none where the account was closed.
    pub leaving: BTreeMap<AccountId, Option<SignedLeave>>,
    /// How often anybody has left: with the epoch it says whether the roster is still the one that was looked at.
    pub leaves: u64,
}

impl Roster {
    /// Whose conversation it is: its two people; or those of a group, the invited too, without who is leaving.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<AccountId, Role> {
        match &self.audience {
            Audience::People(people) => people.iter().map(|account| (*account, Role::Member)).collect(),
            Audience::Group(policy) => {
                let accounts: BTreeSet<AccountId> = self.members.values().copied().collect();
                let there = accounts.into_iter().filter(|account| !self.leaving.contains_key(account));
                there.map(|account| (account, policy.role(account))).collect()
            }
        }
    }

    /// What an account is in it, as [`Self::accounts`] says.
    #[must_use]
    pub fn role(&self, account: AccountId) -> Option<Role> {
        match &self.audience {
            Audience::People(people) => people.contains(&account).then_some(Role::Member),
            Audience::Group(policy) => {
                let there = !self.leaving.contains_key(&account) && self.members.values().any(|of| *of == account);
                there.then(|| policy.role(account))
            }
        }
    }

    /// What is told of it to an account, if it is a group.
    #[must_use]
    pub fn listing(&self, asker: AccountId) -> Option<GroupListing> {
        let policy = self.audience.group()?;
        let accounts = self.accounts();
        let joined = accounts.values().filter(|role| **role > Role::Invited).count();
        Some(GroupListing {
            conversation: self.id,
            name: policy.name.clone(),
            access: policy.access,
            members: u32::try_from(joined).unwrap_or(u32::MAX),
            role: accounts.get(&asker).copied(),
        })
    }
}

/// A conversation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRecord {
    /// Who is in it.
    pub roster: Roster,
    /// The public state after its last commit, as the MLS library writes it.
    pub snapshot: Vec<u8>,
    /// The GroupInfo of the current epoch, without its tree.
    pub group_info: Vec<u8>,
    /// Hash of the request that made it.
    pub made_by: [u8; 32],
}

/// What decides about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whom the conversation is for.
    pub audience: Audience,
    /// The current epoch.
    pub epoch: u64,
    /// Of the devices asked for, in their order, whose each is; `None` for one that is no member.
    pub whose: Vec<Option<AccountId>>,
    /// Accounts that have left.
    pub leaving: BTreeSet<AccountId>,
}

/// What came of making a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversationMade {
    /// It is there now, or was by the same request.
    Made,
    /// It is there by another request.
    Exists,
    /// It was there, and is closed for good.
    Closed,
}

/// What came of a commit. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It counts, now or since the same commit before.
    Accepted,
    /// Another one ended the epoch.
    Lost(CommitHash),
    /// The conversation is not in that epoch.
    WrongEpoch,
    /// Somebody has asked to leave since the roster was looked at.
    Moved,
}

/// Conversations and the one order of their commits.
pub trait Conversations {
    /// Makes a conversation unless it exists, and keeps what is to be handed out for it.
    fn create_conversation(&self, record: &ConversationRecord, handouts: &[Handout]) -> Stored<ConversationMade>;
    /// Finds a conversation.
    fn conversation(&self, id: ConversationId) -> Stored<Option<ConversationRecord>>;
    /// Who is in a conversation.
    fn roster(&self, id: ConversationId) -> Stored<Option<Roster>>;
    /// What decides about a message to these devices: what it costs does not grow with the conversation.
    fn standing(&self, id: ConversationId, devices: &[DeviceId]) -> Stored<Option<Standing>>;
    /// Ends the epoch before that of `next` by this commit, if no other one has and nobody asked to leave meanwhile, and
    /// keeps what is to be handed out for it. Who made the conversation stays as it is.
    fn commit(&self, hash: CommitHash, next: &ConversationRecord, handouts: &[Handout]) -> Stored<CommitOutcome>;
    /// The commit that ended an epoch.
    fn commit_of(&self, id: ConversationId, epoch: u64) -> Stored<Option<CommitHash>>;
    /// Keeps who is leaving, which is all that `next` differs by, and what is to be handed out for it, if the roster is
    /// still the one before it; tells whether it was.
    fn ask_to_leave(&self, next: &Roster, handouts: &[Handout]) -> Stored<bool>;
    /// Closes a conversation for good, if its roster is still this one; tells whether it was. It is as if it had never
    /// been, but for its id and the request to leave that closed it, if it was one.
    fn close_conversation(&self, roster: &Roster, by: Option<&SignedLeave>) -> Stored<bool>;
    /// The request to leave that closed a conversation.
    fn closed_by(&self, id: ConversationId) -> Stored<Option<SignedLeave>>;
    /// Direct conversations that an account is in by other devices than this one, by id, at most so many.
    fn elsewhere(&self, account: AccountId, device: DeviceId, at_most: usize) -> Stored<Vec<ConversationId>>;
    /// Groups by name, after `after`, at most so many: open ones, and those that the asker's account is in.
    fn groups(&self, asker: AccountId, after: Option<&Name>, at_most: usize) -> Stored<Vec<GroupListing>>;
    /// Groups that an account is in, by id, after `after`, at most so many.
    fn groups_of(
        &self,
        account: AccountId,
        after: Option<ConversationId>,
        at_most: usize,
    ) -> Stored<Vec<ConversationId>>;
    /// Whether two accounts have both joined some group.
    fn share_group(&self, one: AccountId, other: AccountId) -> Stored<bool>;
    /// A group, as an account is told of it.
    fn group(&self, asker: AccountId, id: ConversationId) -> Stored<Option<GroupListing>>;
}
