//! The rule of groups, case by case: who may do what, and what a commit may not hide.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use protocol::{
    AccountId, ConversationId, DeviceId, Name,
    limits::{GROUP_DEVICES_MAX, GROUP_MEMBERS_MAX, LEAVE_EPOCHS},
    policy::{Access, Change, Committer, GroupCommit, GroupPolicy, Leave, PolicyRefusal, Role, check_group_commit},
};

const OWNER: AccountId = AccountId([1; 32]);
const ADMIN: AccountId = AccountId([2; 32]);
const MEMBER: AccountId = AccountId([3; 32]);
const OTHER: AccountId = AccountId([4; 32]);
const INVITED: AccountId = AccountId([5; 32]);
const BANNED: AccountId = AccountId([6; 32]);
const STRANGER: AccountId = AccountId([7; 32]);
const EPOCH: u64 = 1_000;

/// One of each kind, with two devices each.
fn group(access: Access) -> GroupPolicy {
    let policy = GroupPolicy::founded(Name::parse("team").unwrap(), OWNER, [9; 16], access);
    let policy = policy.with_role(ADMIN, Role::Admin).unwrap().with_invited(INVITED).unwrap();
    policy.with_kicked(BANNED).unwrap()
}

fn roster() -> BTreeMap<AccountId, usize> {
    [OWNER, ADMIN, MEMBER, OTHER, INVITED].into_iter().map(|account| (account, 2)).collect()
}

fn leave(account: AccountId, epoch: u64) -> Leave {
    Leave { conversation: ConversationId([8; 32]), account, device: DeviceId([0; 16]), epoch }
}

struct Case {
    before: GroupPolicy,
    roster: BTreeMap<AccountId, usize>,
    committer: Committer,
    changes: Vec<Change>,
    leaves: Vec<Leave>,
    after: Option<GroupPolicy>,
}

impl Case {
    fn by(access: Access, account: AccountId) -> Self {
        let (before, roster, committer) = (group(access), roster(), Committer::Member(account));
        Self { before, roster, committer, changes: Vec::new(), leaves: Vec::new(), after: None }
    }

    fn joiner(access: Access, account: AccountId) -> Self {
        Self { committer: Committer::Joiner(account), ..Self::by(access, account) }
    }

    fn adds(mut self, account: AccountId, devices: usize) -> Self {
        self.changes.extend(std::iter::repeat_n(Change::Add(account), devices));
        self
    }

    fn removes(mut self, account: AccountId, devices: usize) -> Self {
        self.changes.extend(std::iter::repeat_n(Change::Remove(account), devices));
        self
    }

    fn leaving(mut self, account: AccountId, epoch: u64) -> Self {
        self.leaves.push(leave(account, epoch));
        self
    }

    fn to(mut self, next: impl FnOnce(&GroupPolicy) -> GroupPolicy) -> Self {
        self.after = Some(next(&self.before));
        self
    }

    fn check(&self) -> Result<(), PolicyRefusal> {
        let (roster, changes, leaves, after) = (&self.roster, &self.changes, &self.leaves, self.after.as_ref());
        let commit = GroupCommit { epoch: EPOCH, committer: self.committer, roster, changes, leaves, after };
        check_group_commit(&self.before, &commit)
    }
}

#[test]
fn everybody_refreshes_keys_and_looks_after_their_own_devices() {
    for account in [OWNER, ADMIN, MEMBER, INVITED] {
        assert_eq!(Case::by(Access::Invite, account).check(), Ok(()));
        assert_eq!(Case::by(Access::Invite, account).removes(account, 1).check(), Ok(()));
        assert_eq!(Case::by(Access::Invite, account).adds(account, 1).check(), Ok(()));
    }
    assert_eq!(Case::by(Access::Open, OWNER).removes(MEMBER, 1).check(), Err(PolicyRefusal::PartialRemoval));
    let strange = Case { changes: vec![Change::Other], ..Case::by(Access::Open, OWNER) };
    assert_eq!(strange.check(), Err(PolicyRefusal::UnknownChange));
}

#[test]
fn whoever_comes_in_by_itself_is_in_the_roster_or_the_group_is_open_and_they_are_not_banned() {
    for (access, account, expected) in [
        (Access::Open, STRANGER, Ok(())),
        (Access::Invite, STRANGER, Err(PolicyRefusal::InviteOnly)),
        (Access::Open, BANNED, Err(PolicyRefusal::Banned)),
        (Access::Invite, BANNED, Err(PolicyRefusal::Banned)),
        (Access::Invite, MEMBER, Ok(())),
        (Access::Invite, INVITED, Ok(())),
    ] {
        assert_eq!(Case::joiner(access, account).check(), expected, "{access:?} {account:?}");
    }
    assert_eq!(Case::joiner(Access::Invite, MEMBER).removes(MEMBER, 1).check(), Ok(()), "its own old leaf");
    for (case, expected) in [
        (Case::joiner(Access::Open, MEMBER).removes(MEMBER, 2), PolicyRefusal::TooManyRemovals),
        (Case::joiner(Access::Open, STRANGER).removes(MEMBER, 1), PolicyRefusal::ForeignRemoval),
        (Case::joiner(Access::Open, STRANGER).adds(OTHER, 1), PolicyRefusal::UnknownChange),
        (Case::joiner(Access::Open, OWNER).to(Clone::clone), PolicyRefusal::UnknownChange),
        (Case::joiner(Access::Open, OWNER).leaving(MEMBER, EPOCH), PolicyRefusal::UnknownChange),
    ] {
        assert_eq!(case.check(), Err(expected));
    }
}

#[test]
fn an_invitation_is_an_add_that_the_policy_names() {
    let invite = |access, by, whom: AccountId| {
        Case::by(access, by).adds(whom, 2).to(|policy| policy.with_invited(whom).unwrap()).check()
    };
    for (access, by, whom, expected) in [
        (Access::Open, MEMBER, STRANGER, Ok(())),
        (Access::Invite, MEMBER, STRANGER, Err(PolicyRefusal::NotPermitted)),
        (Access::Invite, ADMIN, STRANGER, Ok(())),
        (Access::Open, INVITED, STRANGER, Err(PolicyRefusal::NotPermitted)),
        (Access::Open, OWNER, MEMBER, Err(PolicyRefusal::AlreadyMember)),
        (Access::Open, MEMBER, BANNED, Err(PolicyRefusal::NotPermitted)),
        (Access::Open, ADMIN, BANNED, Ok(())),
    ] {
        assert_eq!(invite(access, by, whom), expected, "{access:?} {by:?} {whom:?}");
    }
    let unnamed = Case::by(Access::Open, OWNER).adds(STRANGER, 1);
    assert_eq!(unnamed.check(), Err(PolicyRefusal::UnknownChange), "not as invited");
    let only_named = Case::by(Access::Open, OWNER).to(|policy| policy.with_invited(STRANGER).unwrap());
    assert_eq!(only_named.check(), Err(PolicyRefusal::UnknownChange), "invited without a device");
}

#[test]
fn whoever_was_invited_joins_for_themselves_and_nobody_does_it_for_them() {
    assert_eq!(Case::by(Access::Invite, INVITED).to(|policy| policy.with_joined(INVITED)).check(), Ok(()));
    let by_another = Case::by(Access::Open, OWNER).to(|policy| policy.with_joined(INVITED));
    assert_eq!(by_another.check(), Err(PolicyRefusal::UnknownChange));
    let promoted = Case::by(Access::Open, OWNER).to(|policy| policy.with_role(INVITED, Role::Admin).unwrap());
    assert_eq!(promoted.check(), Err(PolicyRefusal::NotPermitted), "nobody is promoted who has not joined");
}

#[test]
fn a_kick_takes_rank_and_all_devices_and_bans() {
    let kick = |by, whom: AccountId, devices| {
        let case = Case::by(Access::Open, by).removes(whom, devices);
        case.to(|policy| policy.with_kicked(whom).unwrap_or_else(|_| policy.clone())).check()
    };
    for (by, whom, expected) in [
        (OWNER, ADMIN, Ok(())),
        (OWNER, MEMBER, Ok(())),
        (ADMIN, MEMBER, Ok(())),
        (ADMIN, INVITED, Ok(())),
        (ADMIN, OWNER, Err(PolicyRefusal::NotPermitted)),
        (MEMBER, OTHER, Err(PolicyRefusal::NotPermitted)),
        (INVITED, MEMBER, Err(PolicyRefusal::NotPermitted)),
    ] {
        assert_eq!(kick(by, whom, 2), expected, "{by:?} {whom:?}");
    }
    assert_eq!(kick(OWNER, MEMBER, 1), Err(PolicyRefusal::PartialRemoval));
    let unbanned = Case::by(Access::Open, OWNER).removes(MEMBER, 2);
    assert_eq!(unbanned.check(), Err(PolicyRefusal::UnknownChange), "a kick that does not ban");
    let only_banned = Case::by(Access::Open, OWNER).to(|policy| policy.with_kicked(STRANGER).unwrap());
    assert_eq!(only_banned.check(), Err(PolicyRefusal::UnknownChange), "a ban of somebody who is not there");
}

#[test]
fn a_request_to_leave_is_granted_by_anybody_once_and_not_to_the_last_owner() {
    let granted = |by, whom: AccountId, epoch| {
        let next = leave(whom, epoch);
        let case = Case::by(Access::Invite, by).removes(whom, 2).leaving(whom, epoch);
        case.to(|policy| policy.with_left(&next, EPOCH).unwrap_or_else(|_| policy.clone())).check()
    };
    for (by, whom, epoch, expected) in [
        (MEMBER, ADMIN, EPOCH, Ok(())),
        (INVITED, MEMBER, EPOCH - LEAVE_EPOCHS, Ok(())),
        (MEMBER, INVITED, EPOCH, Ok(())),
        (MEMBER, ADMIN, EPOCH - LEAVE_EPOCHS - 1, Err(PolicyRefusal::StaleLeave)),
        (MEMBER, ADMIN, EPOCH + 1, Err(PolicyRefusal::StaleLeave)),
        (MEMBER, OWNER, EPOCH, Err(PolicyRefusal::LastOwner)),
        (ADMIN, ADMIN, EPOCH, Err(PolicyRefusal::PartialRemoval)),
    ] {
        assert_eq!(granted(by, whom, epoch), expected, "{by:?} {whom:?} {epoch}");
    }
    let case = Case::by(Access::Open, MEMBER).removes(OTHER, 2).leaving(OTHER, EPOCH);
    let mut again = case.to(|policy| policy.with_left(&leave(OTHER, EPOCH), EPOCH).unwrap());
    assert_eq!(again.check(), Ok(()));
    again.before = again.after.clone().unwrap();
    assert_eq!(again.check(), Err(PolicyRefusal::StaleLeave), "they have come back since");
    let stays = Case::by(Access::Open, MEMBER).leaving(OTHER, EPOCH);
    assert_eq!(stays.check(), Err(PolicyRefusal::PartialRemoval), "a request without the removal");
    let forgotten = Case::by(Access::Open, MEMBER).removes(OTHER, 2).leaving(OTHER, EPOCH);
    assert_eq!(forgotten.check(), Err(PolicyRefusal::UnknownChange), "a departure that is not remembered");
}

#[test]
fn roles_change_by_owners_one_step_at_a_time_and_somebody_owns_the_group() {
    let change = |by, whom: AccountId, role| {
        let case = Case::by(Access::Open, by);
        case.to(|policy| policy.with_role(whom, role).unwrap_or_else(|_| policy.clone())).check()
    };
    for (by, whom, role, expected) in [
        (OWNER, MEMBER, Role::Admin, Ok(())),
        (OWNER, ADMIN, Role::Owner, Ok(())),
        (OWNER, ADMIN, Role::Member, Ok(())),
        (OWNER, MEMBER, Role::Owner, Err(PolicyRefusal::NotPermitted)),
        (ADMIN, MEMBER, Role::Admin, Err(PolicyRefusal::NotPermitted)),
        (ADMIN, ADMIN, Role::Owner, Err(PolicyRefusal::NotPermitted)),
        (ADMIN, ADMIN, Role::Member, Err(PolicyRefusal::NotPermitted)),
        (OWNER, STRANGER, Role::Admin, Err(PolicyRefusal::NotPermitted)),
    ] {
        assert_eq!(change(by, whom, role), expected, "{by:?} {whom:?} {role:?}");
    }
    let two = group(Access::Open).with_role(ADMIN, Role::Owner).unwrap();
    let down = two.with_role(OWNER, Role::Admin).unwrap();
    let handed_over = Case { before: two, after: Some(down), ..Case::by(Access::Open, OWNER) };
    assert_eq!(handed_over.check(), Ok(()));
    assert_eq!(group(Access::Open).with_role(OWNER, Role::Admin), Err(PolicyRefusal::LastOwner));
    let nobody = Case::by(Access::Open, OWNER)
        .to(|policy| GroupPolicy { owners: Vec::new().try_into().unwrap(), ..policy.clone() });
    assert_eq!(nobody.check(), Err(PolicyRefusal::Unsound));
}

#[test]
fn nothing_else_of_the_policy_ever_changes() {
    let name = Name::parse("other").unwrap();
    for next in [
        GroupPolicy { name, ..group(Access::Open) },
        GroupPolicy { founder: MEMBER, ..group(Access::Open) },
        GroupPolicy { nonce: [0; 16], ..group(Access::Open) },
        GroupPolicy { access: Access::Invite, ..group(Access::Open) },
        GroupPolicy { banned: Vec::new().try_into().unwrap(), ..group(Access::Open) },
        GroupPolicy { left: vec![(STRANGER, 1)].try_into().unwrap(), ..group(Access::Open) },
    ] {
        let case = Case::by(Access::Open, OWNER).to(|_| next);
        assert_eq!(case.check(), Err(PolicyRefusal::UnknownChange));
    }
    let twice = GroupPolicy { admins: vec![OWNER].try_into().unwrap(), ..group(Access::Open) };
    assert_eq!(Case::by(Access::Open, OWNER).to(|_| twice).check(), Err(PolicyRefusal::Unsound));
}

#[test]
fn the_thousand_and_first_member_and_the_last_device_but_one_find_no_room() {
    let many: BTreeMap<AccountId, usize> = (0..GROUP_MEMBERS_MAX as u32 - 1)
        .map(|n| (if n == 0 { OWNER } else { AccountId([n.to_be_bytes(); 8].concat().try_into().unwrap()) }, 1))
        .collect();
    let at = |roster: &BTreeMap<AccountId, usize>, case: Case| Case { roster: roster.clone(), ..case }.check();
    assert_eq!(at(&many, Case::joiner(Access::Open, STRANGER)), Ok(()));
    let mut full = many.clone();
    full.insert(OTHER, 1);
    assert_eq!(at(&full, Case::joiner(Access::Open, STRANGER)), Err(PolicyRefusal::Full));
    assert_eq!(at(&full, Case::joiner(Access::Open, OTHER)), Ok(()), "another device of somebody who is in it");
    let crowded = BTreeMap::from([(OWNER, GROUP_DEVICES_MAX)]);
    assert_eq!(at(&crowded, Case::joiner(Access::Open, OWNER)), Err(PolicyRefusal::Full));
    assert_eq!(at(&crowded, Case::joiner(Access::Open, OWNER).removes(OWNER, 1)), Ok(()), "in an old leaf's place");
    assert_eq!(at(&full, Case::by(Access::Open, OWNER)), Ok(()), "a full group still refreshes its keys");
}
