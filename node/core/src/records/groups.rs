//! What is kept of a group beside its MLS state.

use std::collections::{BTreeSet, VecDeque};

use protocol::{
    AccountId, DeviceId, Name, Timestamp,
    policy::{GroupPolicy, Role, SignedLeave},
};
use serde::{Deserialize, Serialize};

use crate::event::MemberChange;

/// What this node knows of a group beside its MLS state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupRecord {
    pub(crate) name: Name,
    /// What the person wants to be changed and is not yet, oldest first.
    pub(crate) intents: Vec<IntentRecord>,
    /// The number of the last one.
    pub(crate) last_intent: u64,
    /// Requests to leave that nobody has granted yet.
    pub(crate) leaves: Vec<SignedLeave>,
    /// Changes that wait for somebody's name to be shown, in order.
    pub(crate) untold: VecDeque<ChangeRecord>,
    /// When this account last came in or went, as far as this node knows: what merges books.
    pub(crate) changed_at: Timestamp,
    /// What was taken in of each device before this account last went: everything below its number. Nothing of that is
    /// shown again, however late it comes to whoever is back.
    pub(crate) taken_below: Vec<(DeviceId, u64)>,
    /// Who was in it when this device fell out, until it is back and has told what became of them.
    pub(crate) known: Option<Box<KnownRecord>>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownRecord {
    pub(crate) policy: GroupPolicy,
    pub(crate) accounts: BTreeSet<AccountId>,
}

/// Something that a person wants to be changed in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentRecord {
    pub(crate) number: u64,
    pub(crate) what: Intent,
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Intent {
    /// To be in it.
    Join,
    /// To be in it no more.
    Leave,
    /// Somebody else to be invited.
    Invite(AccountId),
    /// Somebody else to be out of it.
    Kick(AccountId),
    /// Somebody to have another role.
    Role {
        /// Who.
        account: AccountId,
        /// What they were when the person wanted it.
        from: Role,
        /// What they shall be.
        to: Role,
    },
}

/// A change of who is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeRecord {
    pub(crate) account: AccountId,
    pub(crate) by: AccountId,
    pub(crate) change: MemberChange,
    /// When it was taken in here.
    pub(crate) at: Timestamp,
}
