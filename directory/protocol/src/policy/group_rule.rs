//! The rule of groups: who may add, remove and promote whom, decided from the policy before, the roster and the commit.
//!
//! A commit may change several things at once; what it may lead to is computed from what it does, and must be exactly
//! what it says. So there is no change that no rule has looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, Committer, PolicyRefusal,
    group::{Access, GroupPolicy, Leave, Role, has},
};
use crate::{
    AccountId,
    limits::{GROUP_DEVICES_MAX, GROUP_MEMBERS_MAX},
};

/// A commit in a group.
#[derive(Debug, Clone, Copy)]
pub struct GroupCommit<'a> {
    /// The epoch that it ends.
    pub epoch: u64,
    /// Who made it.
    pub committer: Committer,
    /// Devices of each account before it.
    pub roster: &'a BTreeMap<AccountId, usize>,
    /// What it adds and removes, device by device.
    pub changes: &'a [Change],
    /// The requests to leave that it carries, each signed by a device of its account that is in the roster.
    pub leaves: &'a [Leave],
    /// The policy that it puts in the place of the one before, if it does.
    pub after: Option<&'a GroupPolicy>,
}

/// The rule of groups.
///
/// # Errors
/// The first [`PolicyRefusal`] that applies.
pub fn check_group_commit(before: &GroupPolicy, commit: &GroupCommit<'_>) -> Result<(), PolicyRefusal> {
    let own = match commit.committer {
        Committer::Joiner(account) => return check_joiner(before, commit, account),
        Committer::Member(account) => account,
    };
    let counts = Counts::of(commit.changes)?;
    let mut expected = before.clone();
    for leave in commit.leaves {
        expected = expected.with_left(leave, commit.epoch)?;
    }
    let leaving = |account: AccountId| commit.leaves.iter().any(|leave| leave.account == account);
    // Nobody grants their own request: the device that commits would stay.
    if commit.leaves.iter().any(|leave| leave.account == own || !counts.removed.contains_key(&leave.account)) {
        return Err(PolicyRefusal::PartialRemoval);
    }
    for (account, removed) in &counts.removed {
        let all = commit.roster.get(account) == Some(removed);
        if *account == own {
            continue;
        }
        if !all {
            return Err(PolicyRefusal::PartialRemoval);
        }
        if !leaving(*account) {
            if !before.may_kick(own, *account) {
                return Err(PolicyRefusal::NotPermitted);
            }
            expected = expected.with_kicked(*account)?;
        }
    }
    for account in counts.added.keys().filter(|account| **account != own) {
        if commit.roster.contains_key(account) {
            return Err(PolicyRefusal::AlreadyMember);
        }
        // Lifting a ban takes somebody who could have set it.
        if !before.may_invite(own) || before.is_banned(*account) && before.role(own) < Role::Admin {
            return Err(PolicyRefusal::NotPermitted);
        }
        expected = expected.with_invited(*account)?;
    }
    check_size(commit, &counts)?;
    let after = commit.after.unwrap_or(before);
    if !after.is_sound() {
        return Err(PolicyRefusal::Unsound);
    }
    // Whoever was invited says for themselves that they have joined.
    if before.role(own) == Role::Invited && !has(&after.invited, own) {
        expected = expected.with_joined(own);
    }
    expected = with_new_roles(expected, before, after, commit, own, &counts)?;
    if expected == *after { Ok(()) } else { Err(PolicyRefusal::UnknownChange) }
}

/// Whoever comes in by itself changes nothing else, but for its own old leaf.
fn check_joiner(before: &GroupPolicy, commit: &GroupCommit<'_>, own: AccountId) -> Result<(), PolicyRefusal> {
    if before.is_banned(own) {
        return Err(PolicyRefusal::Banned);
    }
    if !commit.roster.contains_key(&own) && before.access != Access::Open {
        return Err(PolicyRefusal::InviteOnly);
    }
    let counts = Counts::of(commit.changes)?;
    if !counts.added.is_empty() || !commit.leaves.is_empty() || commit.after.is_some() {
        return Err(PolicyRefusal::UnknownChange);
    }
    if counts.removed.keys().any(|account| *account != own) {
        return Err(PolicyRefusal::ForeignRemoval);
    }
    if counts.removed.get(&own).is_some_and(|removed| *removed > 1) {
        return Err(PolicyRefusal::TooManyRemovals);
    }
    check_size(commit, &Counts { added: BTreeMap::from([(own, 1)]), removed: counts.removed })
}

/// Promotions and demotions: by owners, one step, of whoever has joined and stays.
fn with_new_roles(
    mut expected: GroupPolicy,
    before: &GroupPolicy,
    after: &GroupPolicy,
    commit: &GroupCommit<'_>,
    own: AccountId,
    counts: &Counts,
) -> Result<GroupPolicy, PolicyRefusal> {
    let named = after.owners.iter().chain(after.admins.iter()).chain(before.owners.iter()).chain(before.admins.iter());
    let named: BTreeSet<AccountId> = named.copied().collect();
    let mut changed = Vec::new();
    for account in named {
        let (old, new) = (expected.role(account), after.role(account));
        if old == new {
            continue;
        }
        let stays = commit.roster.contains_key(&account) && !(account != own && counts.removed.contains_key(&account));
        let one_step = matches!(
            (old, new),
            (Role::Member, Role::Admin) | (Role::Admin, Role::Owner | Role::Member) | (Role::Owner, Role::Admin)
        );
        if before.role(own) != Role::Owner || !stays || !one_step {
            return Err(PolicyRefusal::NotPermitted);
        }
        changed.push((account, new));
    }
    // Promotions first, so that somebody who takes the place of the last owner does so in one commit.
    changed.sort_by_key(|(_, role)| std::cmp::Reverse(*role));
    for (account, role) in changed {
        expected = expected.with_role(account, role)?;
    }
    Ok(expected)
}

fn check_size(commit: &GroupCommit<'_>, counts: &Counts) -> Result<(), PolicyRefusal> {
    let removed: usize = counts.removed.values().sum();
    let added: usize = counts.added.values().sum();
    let devices = commit.roster.values().sum::<usize>().saturating_sub(removed) + added;
    let gone = |account: &AccountId| counts.removed.get(account) == commit.roster.get(account);
    let stay = commit.roster.keys().filter(|account| !gone(account) || counts.added.contains_key(account));
    let come = counts.added.keys().filter(|account| !commit.roster.contains_key(account));
    let full = added > 0 && (stay.count() + come.count() > GROUP_MEMBERS_MAX || devices > GROUP_DEVICES_MAX);
    if full { Err(PolicyRefusal::Full) } else { Ok(()) }
}

/// Devices that come and go, by account.
struct Counts {
    added: BTreeMap<AccountId, usize>,
    removed: BTreeMap<AccountId, usize>,
}

impl Counts {
    fn of(changes: &[Change]) -> Result<Self, PolicyRefusal> {
        let mut counts = Self { added: BTreeMap::new(), removed: BTreeMap::new() };
        for change in changes {
            match change {
                Change::Add(account) => *counts.added.entry(*account).or_default() += 1,
                Change::Remove(account) => *counts.removed.entry(*account).or_default() += 1,
                Change::Other => return Err(PolicyRefusal::UnknownChange),
            }
        }
        Ok(counts)
    }
}
