//! What a conversation is, and the one rule about their membership that members and directory apply alike.
//!
//! What a member accepts depends only on the group's state and the commit: never on its clock, its pins or the
//! directory's word, so that all members decide alike.

mod group;
mod group_rule;

use serde::{Deserialize, Serialize};

use crate::{AccountId, PublicKey};

pub use self::{
    group::{Access, GROUP_LABEL, GroupPolicy, LEAVE_LABEL, LEAVE_PROPOSAL, Leave, Role, SignedLeave, group_input},
    group_rule::{GroupCommit, check_group_commit},
};

/// MLS extension type of the group context that holds a [`Policy`]: one of the two private code points in use. Every
/// member declares it in its capabilities.
pub const POLICY_EXTENSION: u16 = 0xF0C1;

/// What a conversation is and whose, authenticated by the group context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// A direct conversation.
    Direct {
        /// The two people's root keys, in ascending order.
        roots: [PublicKey; 2],
        /// Counts the restarts of a conversation that could not be repaired otherwise.
        generation: u32,
    },
    /// A group.
    Group(Box<GroupPolicy>),
}

/// Label before the input of a direct conversation's id.
pub const DIRECT_CONVERSATION_LABEL: &[u8] = b"tuppence direct conversation v1\0";

/// Input of the hash (SHA-256) that is a direct conversation's id: label, the two root keys in ascending order,
/// generation, big-endian.
#[must_use]
pub fn direct_conversation_input(one: &PublicKey, other: &PublicKey, generation: u32) -> Vec<u8> {
    let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
    [DIRECT_CONVERSATION_LABEL, &low.0, &high.0, &generation.to_be_bytes()].concat()
}

/// Who commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committer {
    /// A member, by an ordinary commit.
    Member(AccountId),
    /// A device that joins by itself, by an external commit.
    Joiner(AccountId),
}

/// What a commit does to the membership, as accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Adds a device of this account.
    Add(AccountId),
    /// Removes a device of this account.
    Remove(AccountId),
    /// Anything that the protocol allows but Tuppence has no use for, as changing the group's extensions.
    Other,
}

/// Why a commit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PolicyRefusal {
    /// The account is not one of the conversation's people.
    #[error("the account is not one of this conversation's people")]
    ForeignAccount,
    /// Somebody else's device can't be removed from a direct conversation.
    #[error("only an account's own devices can be removed from a direct conversation")]
    ForeignRemoval,
    /// An external commit removes at most the one old leaf that it replaces.
    #[error("a device that joins by itself replaces at most one old device of its account")]
    TooManyRemovals,
    /// A kind of proposal that Tuppence does not use.
    #[error("a kind of proposal that is not used here")]
    UnknownChange,
    /// The account was kicked from the group.
    #[error("kicked from this group; only an invitation by an owner or an admin leads back in")]
    Banned,
    /// Nobody comes into this group by themselves.
    #[error("this group is by invitation only")]
    InviteOnly,
    /// The role is not enough for it.
    #[error("the role in this group is not enough for that")]
    NotPermitted,
    /// The account is in the group.
    #[error("already in this group")]
    AlreadyMember,
    /// Some devices of an account would stay.
    #[error("somebody leaves a group with all devices or with none")]
    PartialRemoval,
    /// The request to leave is too old, or has had its effect.
    #[error("the request to leave is too old, or was granted before")]
    StaleLeave,
    /// Nobody would own the group.
    #[error("a group needs an owner; name another one first")]
    LastOwner,
    /// As many are in the group as can be.
    #[error("the group is full")]
    Full,
    /// As many are invited or banned, or have a role, as can be.
    #[error("too many invited, banned or with that role already")]
    TooMany,
    /// The policy's lists are not in order.
    #[error("the group's policy contradicts itself")]
    Unsound,
}

/// The rule of direct conversations: both people's devices come and go, each person managing their own; nobody else
/// enters. `people` are the two accounts of the conversation, which the group's creator fixed.
///
/// # Errors
/// The first [`PolicyRefusal`] that applies.
pub fn check_direct_commit(
    people: &[AccountId; 2],
    committer: Committer,
    changes: &[Change],
) -> Result<(), PolicyRefusal> {
    let (own, external) = match committer {
        Committer::Member(account) => (account, false),
        Committer::Joiner(account) => (account, true),
    };
    if !people.contains(&own) {
        return Err(PolicyRefusal::ForeignAccount);
    }
    let mut removals = 0_u32;
    for change in changes {
        match change {
            Change::Add(account) if people.contains(account) => {}
            Change::Add(_) => return Err(PolicyRefusal::ForeignAccount),
            Change::Remove(account) if *account == own => removals += 1,
            Change::Remove(_) => return Err(PolicyRefusal::ForeignRemoval),
            Change::Other => return Err(PolicyRefusal::UnknownChange),
        }
    }
    if external && removals > 1 { Err(PolicyRefusal::TooManyRemovals) } else { Ok(()) }
}
