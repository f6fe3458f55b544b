//! What a group is: who owns it, who may come in, who is invited and who is banned; and how somebody leaves it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::PolicyRefusal;
use crate::{
    AccountId, Bounded, BoundedBytes, ConversationId, DeviceId, Name, Signature,
    frame::{self, FrameError},
    limits::{GROUP_ADMINS_MAX, GROUP_BANNED_MAX, GROUP_INVITED_MAX, GROUP_LEFT_MAX, GROUP_OWNERS_MAX, LEAVE_EPOCHS},
};

/// MLS proposal type of a [`SignedLeave`]: the other of the two private code points in use. Every member declares it in
/// its capabilities.
pub const LEAVE_PROPOSAL: u16 = 0xF0C2;

/// Label before the input of a group's id.
pub const GROUP_LABEL: &[u8] = b"tuppence group v1\0";

/// Label before a [`Leave`]'s bytes when a device of the account signs them with its MLS key.
pub const LEAVE_LABEL: &[u8] = b"tuppence group leave v1\0";

/// Longest serialised [`Leave`].
const LEAVE_MAX: usize = 128;

/// Who may come in by themselves, and who may invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Anybody who is not banned joins; every member invites.
    Open,
    /// Owners and admins invite, and nobody comes in otherwise.
    Invite,
}

/// What an account is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Was invited and has not joined: not counted, and may say nothing.
    Invited,
    /// Talks.
    Member,
    /// Invites, and kicks members.
    Admin,
    /// Promotes and demotes too, and kicks admins.
    Owner,
}

/// What a group is, authenticated by its context. Whoever is in the tree and not named here is a plain member. All lists
/// are in ascending order, and nobody is in two of the first four.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Its name, which is never another group's.
    pub name: Name,
    /// Who made it.
    pub founder: AccountId,
    /// What tells it from another group of the same name and founder at another directory.
    pub nonce: [u8; 16],
    /// Open or by invitation.
    pub access: Access,
    /// Never empty.
    pub owners: Bounded<AccountId, GROUP_OWNERS_MAX>,
    /// Below the owners.
    pub admins: Bounded<AccountId, GROUP_ADMINS_MAX>,
    /// Invited, and not there yet.
    pub invited: Bounded<AccountId, GROUP_INVITED_MAX>,
    /// Kicked, and not invited since.
    pub banned: Bounded<AccountId, GROUP_BANNED_MAX>,
    /// Who left lately, and the epoch that their request named: it does not count a second time.
    pub left: Bounded<(AccountId, u64), GROUP_LEFT_MAX>,
}

/// Somebody leaves a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The group.
    pub conversation: ConversationId,
    /// Who leaves, with all devices.
    pub account: AccountId,
    /// The device that signs it.
    pub device: DeviceId,
    /// The epoch in which it was signed.
    pub epoch: u64,
}

/// A [`Leave`], as its device signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLeave {
    /// Postcard of the [`Leave`], exactly as signed.
    pub leave: BoundedBytes<LEAVE_MAX>,
    /// Over [`LEAVE_LABEL`] and `leave`, by the device's MLS key.
    pub signature: Signature,
}

impl SignedLeave {
    /// Reads what was signed; says nothing about the signature.
    ///
    /// # Errors
    /// [`FrameError`] if it does not decode.
    pub fn leave(&self) -> Result<Leave, FrameError> {
        frame::decode_body(&self.leave, LEAVE_MAX)
    }

    /// The bytes to be signed.
    ///
    /// # Errors
    /// [`FrameError`] if they are too long; a bug.
    pub fn bytes(leave: &Leave) -> Result<BoundedBytes<LEAVE_MAX>, FrameError> {
        let bytes = frame::encode_body(leave, LEAVE_MAX)?;
        BoundedBytes::new(bytes).map_err(|error| FrameError::TooLong { length: error.length, limit: error.limit })
    }
}

/// Input of the hash (SHA-256) that is a group's id: label, length of the name, name, founder, nonce.
#[must_use]
pub fn group_input(name: &Name, founder: AccountId, nonce: &[u8; 16]) -> Vec<u8> {
    let length = u32::try_from(name.as_str().len()).unwrap_or(u32::MAX).to_be_bytes();
    [GROUP_LABEL, &length, name.as_str().as_bytes(), &founder.0, nonce].concat()
}

impl GroupPolicy {
    /// The policy of a group that its founder is alone in.
    #[must_use]
    pub fn founded(name: Name, founder: AccountId, nonce: [u8; 16], access: Access) -> Self {
        let owners = Bounded::new(vec![founder]).unwrap_or_default();
        let (admins, invited, banned, left) = Default::default();
        Self { name, founder, nonce, access, owners, admins, invited, banned, left }
    }

    /// What an account that is in the tree is.
    #[must_use]
    pub fn role(&self, account: AccountId) -> Role {
        if has(&self.owners, account) {
            Role::Owner
        } else if has(&self.admins, account) {
            Role::Admin
        } else if has(&self.invited, account) {
            Role::Invited
        } else {
            Role::Member
        }
    }

    /// Whether an account was kicked and not invited since.
    #[must_use]
    pub fn is_banned(&self, account: AccountId) -> bool {
        has(&self.banned, account)
    }

    /// Whether an account that is in the tree may invite.
    #[must_use]
    pub fn may_invite(&self, account: AccountId) -> bool {
        match self.role(account) {
            Role::Invited => false,
            Role::Member => self.access == Access::Open,
            Role::Admin | Role::Owner => true,
        }
    }

    /// Whether one account that is in the tree may kick another.
    #[must_use]
    pub fn may_kick(&self, account: AccountId, other: AccountId) -> bool {
        let own = self.role(account);
        own >= Role::Admin && own > self.role(other)
    }

    /// Whether an account that is in the tree may leave: somebody must own the group afterwards.
    #[must_use]
    pub fn may_leave(&self, account: AccountId) -> bool {
        self.owners.iter().any(|owner| *owner != account)
    }

    /// Whether its lists are as they should be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let ascending = |list: &[AccountId]| list.is_sorted_by(|one, other| one < other);
        let lists: [&[AccountId]; 4] = [&self.owners, &self.admins, &self.invited, &self.banned];
        let all: BTreeSet<&AccountId> = lists.iter().copied().flatten().collect();
        let disjoint = all.len() == lists.iter().map(|list| list.len()).sum::<usize>();
        let left = self.left.is_sorted_by(|one, other| one.0 < other.0);
        disjoint && left && !self.owners.is_empty() && lists.into_iter().all(ascending)
    }

    /// The policy after somebody was invited.
    ///
    /// # Errors
    /// [`PolicyRefusal`] if too many are.
    pub fn with_invited(&self, account: AccountId) -> Result<Self, PolicyRefusal> {
        let mut next = self.clone();
        next.banned = without(&self.banned, account);
        next.invited = with(&self.invited, account).ok_or(PolicyRefusal::TooMany)?;
        Ok(next)
    }

    /// The policy after somebody who was invited has joined.
    #[must_use]
    pub fn with_joined(&self, account: AccountId) -> Self {
        Self { invited: without(&self.invited, account), ..self.clone() }
    }

    /// The policy after somebody was kicked.
    ///
    /// # Errors
    /// [`PolicyRefusal`] if too many are banned already.
    pub fn with_kicked(&self, account: AccountId) -> Result<Self, PolicyRefusal> {
        let mut next = self.without_role(account);
        next.banned = with(&self.banned, account).ok_or(PolicyRefusal::TooMany)?;
        Ok(next)
    }

    /// The policy after a request to leave was granted in an epoch.
    ///
    /// # Errors
    /// [`PolicyRefusal`] if the request has had its effect or is too old, if nobody would own the group, or if too many
    /// have left lately.
    pub fn with_left(&self, leave: &Leave, epoch: u64) -> Result<Self, PolicyRefusal> {
        let account = leave.account;
        let current = leave.epoch <= epoch && epoch - leave.epoch <= LEAVE_EPOCHS;
        let again = self.left.iter().any(|(who, named)| *who == account && *named >= leave.epoch);
        if !current || again {
            return Err(PolicyRefusal::StaleLeave);
        }
        if !self.may_leave(account) {
            return Err(PolicyRefusal::LastOwner);
        }
        let mut next = self.without_role(account);
        let recent = |(who, named): &&(AccountId, u64)| *who != account && epoch.saturating_sub(*named) <= LEAVE_EPOCHS;
        let mut left: Vec<_> = self.left.iter().filter(recent).copied().collect();
        left.push((account, leave.epoch));
        left.sort_unstable();
        next.left = Bounded::new(left).map_err(|_| PolicyRefusal::TooMany)?;
        Ok(next)
    }

    /// The policy after somebody has another role.
    ///
    /// # Errors
    /// [`PolicyRefusal`] if nobody would own the group, or too many would have the role.
    pub fn with_role(&self, account: AccountId, role: Role) -> Result<Self, PolicyRefusal> {
        let mut next = self.without_role(account);
        let too_many = PolicyRefusal::TooMany;
        match role {
            Role::Owner => next.owners = with(&next.owners, account).ok_or(too_many)?,
            Role::Admin => next.admins = with(&next.admins, account).ok_or(too_many)?,
            Role::Invited => next.invited = with(&next.invited, account).ok_or(too_many)?,
            Role::Member => {}
        }
        if next.owners.is_empty() { Err(PolicyRefusal::LastOwner) } else { Ok(next) }
    }

    fn without_role(&self, account: AccountId) -> Self {
        Self {
            owners: without(&self.owners, account),
            admins: without(&self.admins, account),
            invited: without(&self.invited, account),
            ..self.clone()
        }
    }
}

pub(super) fn has(list: &[AccountId], account: AccountId) -> bool {
    list.binary_search(&account).is_ok()
}

fn without<const MAX: usize>(list: &Bounded<AccountId, MAX>, account: AccountId) -> Bounded<AccountId, MAX> {
    let rest: Vec<AccountId> = list.iter().copied().filter(|other| *other != account).collect();
    Bounded::new(rest).unwrap_or_default()
}

fn with<const MAX: usize>(list: &Bounded<AccountId, MAX>, account: AccountId) -> Option<Bounded<AccountId, MAX>> {
    let all: BTreeSet<AccountId> = list.iter().copied().chain([account]).collect();
    Bounded::new(all.into_iter().collect()).ok()
}
