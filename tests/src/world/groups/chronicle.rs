//! What happened in one group: its epochs in their order, as the directory's store has them.

use std::collections::{BTreeMap, BTreeSet};

use directory::store::Roster;
use membership::identity::claimed_device;
use mls_rs::{MlsMessage, group::proposal::Proposal};
use node_core::crypto::mls::{Changed, MemberChange, People, changes};
use protocol::{
    AccountId, ConversationId, DeviceId, Name,
    policy::{Committer, GroupPolicy, Role},
};

use crate::world::coverage::Case;

/// One epoch of a group.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Devices, and whose each is.
    pub(super) members: BTreeMap<DeviceId, AccountId>,
    /// What the group is.
    pub(super) policy: GroupPolicy,
    /// What the commit that began it changed.
    pub(super) changes: Vec<Changed>,
    /// That commit.
    pub(super) commit: Option<Vec<u8>>,
    /// Whoever came in by it by themselves.
    pub(super) came: Option<DeviceId>,
}

impl State {
    pub(super) fn accounts(&self) -> BTreeSet<AccountId> {
        self.members.values().copied().collect()
    }

    pub(super) fn role(&self, account: AccountId) -> Option<Role> {
        self.members.values().any(|of| *of == account).then(|| self.policy.role(account))
    }

    fn people<'a>(&'a self, accounts: &'a BTreeSet<AccountId>) -> People<'a> {
        People { policy: &self.policy, accounts }
    }
}

/// A group.
#[derive(Debug)]
pub(super) struct Chronicle {
    pub(super) id: ConversationId,
    pub(super) name: Name,
    /// Nobody is in it any more, and nobody ever will be.
    pub(super) closed: bool,
    /// Accounts that have asked to leave the present epoch.
    pub(super) leaving: BTreeSet<AccountId>,
    /// Those that have ever asked so, by the epoch: from then on nothing comes to them.
    pub(super) asked_to_leave: BTreeSet<(AccountId, u64)>,
    first: u64,
    states: Vec<State>,
}

impl Chronicle {
    pub(super) fn new(id: ConversationId, name: Name) -> Self {
        let (leaving, asked_to_leave) = Default::default();
        Self { id, name, closed: false, leaving, asked_to_leave, first: 0, states: Vec::new() }
    }

    /// The present epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.first + (self.states.len() as u64).saturating_sub(1)
    }

    /// What an epoch was.
    pub(super) fn state(&self, epoch: u64) -> Option<&State> {
        self.states.get(usize::try_from(epoch.checked_sub(self.first)?).ok()?)
    }

    /// The present state.
    pub(super) fn now(&self) -> Option<&State> {
        self.states.last()
    }

    /// The changes by the commits from one epoch up to another.
    pub(super) fn changes(&self, from: u64, to: u64) -> Vec<Changed> {
        (from + 1..=to).filter_map(|epoch| self.state(epoch)).flat_map(|state| state.changes.iter().copied()).collect()
    }

    /// What became of everybody between two epochs, as whoever saw neither commit can tell it.
    pub(super) fn difference(&self, from: u64, to: u64) -> Vec<Changed> {
        let Some((before, after)) = self.state(from).zip(self.state(to)) else { return Vec::new() };
        let (old, new) = (before.accounts(), after.accounts());
        let found = changes(before.people(&old), after.people(&new), Committer::Member(self.founder()));
        found.into_iter().map(|changed| Changed { by: changed.account, ..changed }).collect()
    }

    fn founder(&self) -> AccountId {
        self.states.first().map_or(AccountId([0; 32]), |state| state.policy.founder)
    }

    /// Whether an account was in it in every epoch from one on, up to another.
    pub(super) fn stayed(&self, account: AccountId, from: u64, to: u64) -> bool {
        (from..=to).all(|epoch| self.state(epoch).is_some_and(|state| state.role(account).is_some()))
    }

    /// The first epoch after this one in which an account is not in it.
    pub(super) fn gone_after(&self, account: AccountId, epoch: u64) -> Option<u64> {
        (epoch..=self.epoch()).find(|epoch| self.state(*epoch).is_some_and(|state| state.role(account).is_none()))
    }

    /// The directory has another roster of it.
    pub(super) fn stands(&mut self, author: AccountId, roster: Roster, commit: Option<Vec<u8>>) -> Vec<Case> {
        let Some(policy) = roster.audience.group().cloned() else { return Vec::new() };
        self.leaving = roster.leaving.keys().copied().collect();
        self.asked_to_leave.extend(self.leaving.iter().map(|account| (*account, roster.epoch)));
        if self.states.is_empty() {
            self.first = roster.epoch;
        } else if roster.epoch <= self.epoch() {
            return Vec::new();
        }
        let came = commit.as_deref().and_then(joiner);
        let mut state = State { members: roster.members, policy, changes: Vec::new(), commit, came };
        let Some(before) = self.states.last() else {
            self.states.push(state);
            return Vec::new();
        };
        let (old, new) = (before.accounts(), state.accounts());
        let committer = if old.contains(&author) { Committer::Member(author) } else { Committer::Joiner(author) };
        state.changes = changes(before.people(&old), state.people(&new), committer);
        let mut met: Vec<Case> = state.changes.iter().map(|changed| case_of(changed.change)).collect();
        let lifted =
            |changed: &Changed| changed.change == MemberChange::Invited && before.policy.is_banned(changed.account);
        met.extend(state.changes.iter().filter(|changed| lifted(changed)).map(|_| Case::BanLifted));
        if state.changes.is_empty() {
            let further = state.members.len() > before.members.len();
            met.push(if further { Case::FurtherDeviceIn } else { Case::GroupRefreshed });
        }
        self.states.push(state);
        met
    }

    /// The epoch, at most this one, in which a device came in last.
    pub(super) fn entry(&self, device: DeviceId, epoch: u64) -> u64 {
        let came = |epoch: &u64| {
            let inside = |epoch: u64| self.state(epoch).is_some_and(|state| state.members.contains_key(&device));
            self.state(*epoch).is_some_and(|state| state.came == Some(device))
                || inside(*epoch) && epoch.checked_sub(1).is_none_or(|before| !inside(before))
        };
        (self.first..=epoch).rev().find(came).unwrap_or(epoch)
    }

    /// Somebody who is banned, and in it all the same.
    pub(super) fn banned_inside(&self) -> Option<AccountId> {
        let state = self.now()?;
        state.accounts().into_iter().find(|account| {
            let came = |changed: &&Changed| {
                changed.account == *account
                    && matches!(changed.change, MemberChange::Joined | MemberChange::Invited | MemberChange::Removed)
            };
            let history: Vec<MemberChange> = self
                .states
                .iter()
                .flat_map(|state| &state.changes)
                .filter(came)
                .map(|changed| changed.change)
                .collect();
            let again = history.windows(2).any(|pair| pair == [MemberChange::Removed, MemberChange::Joined]);
            again || state.policy.is_banned(*account)
        })
    }
}

/// The device that comes in by itself by a commit, if one does.
fn joiner(commit: &[u8]) -> Option<DeviceId> {
    let commit = MlsMessage::from_bytes(commit).ok()?;
    let external = |proposal: &Proposal| matches!(proposal, Proposal::ExternalInit(_));
    commit.proposals_by_value().into_iter().find(|proposal| external(proposal))?;
    let leaf = commit.commit_path_leaf_node()?;
    Some(claimed_device(&leaf.signing_identity).ok()?.1.device)
}

fn case_of(change: MemberChange) -> Case {
    match change {
        MemberChange::Joined => Case::MemberJoined,
        MemberChange::Left => Case::MemberLeft,
        MemberChange::Invited => Case::MemberInvited,
        MemberChange::Removed => Case::MemberRemoved,
        MemberChange::Promoted => Case::MemberPromoted,
        MemberChange::Demoted => Case::MemberDemoted,
    }
}
