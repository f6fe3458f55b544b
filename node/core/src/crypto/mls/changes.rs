//! What a commit changed among the people of a group: accounts, not devices.
//!
//! Whether it was allowed is the rule's to say; this only tells what an accepted commit comes to.

use std::collections::BTreeSet;

use protocol::{
    AccountId,
    policy::{Committer, GroupPolicy, Role},
};
use serde::{Deserialize, Serialize};

/// How somebody's place in a group changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberChange {
    /// Is a member now: came in by themselves, or took up an invitation.
    Joined,
    /// Went as they asked to.
    Left,
    /// May join, and gets what is said from now on.
    Invited,
    /// Was made to go.
    Removed,
    /// Has a higher role.
    Promoted,
    /// Has a lower role.
    Demoted,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Whose place it is.
    pub account: AccountId,
    /// Who changed it.
    pub by: AccountId,
    /// How.
    pub change: MemberChange,
}

/// The people of a group at one time.
#[derive(Debug, Clone, Copy)]
pub struct People<'a> {
    /// What the group is.
    pub policy: &'a GroupPolicy,
    /// The accounts that have a device in it.
    pub accounts: &'a BTreeSet<AccountId>,
}

/// What a commit changed, whoever goes first, then whoever comes, then roles; each in the order of accounts. Another
/// device of somebody who is there anyway is no change. Nobody becomes invited who has not gone before: between epochs that
/// are further apart, whoever is invited and had joined went and was invited again.
#[must_use]
pub fn changes(before: People<'_>, after: People<'_>, committer: Committer) -> Vec<Changed> {
    let (Committer::Member(author) | Committer::Joiner(author)) = committer;
    let (was, is) =
        (|account: &AccountId| before.policy.role(*account), |account: &AccountId| after.policy.role(*account));
    let anew = |account: &AccountId| was(account) > Role::Invited && is(account) == Role::Invited;
    let went = |account: &&AccountId| !after.accounts.contains(account) || anew(account);
    let came = |account: &&AccountId| !before.accounts.contains(account) || anew(account);
    let gone = before.accounts.iter().filter(went).map(|account| {
        // A request to leave that was granted is noted in the policy, with the epoch that it named.
        let asked = request_of(after.policy, *account);
        if asked.is_some() && asked != request_of(before.policy, *account) {
            Changed { account: *account, by: *account, change: MemberChange::Left }
        } else {
            Changed { account: *account, by: author, change: MemberChange::Removed }
        }
    });
    let come = after.accounts.iter().filter(came).map(|account| match committer {
        Committer::Joiner(_) => Changed { account: *account, by: *account, change: MemberChange::Joined },
        Committer::Member(_) => Changed { account: *account, by: author, change: MemberChange::Invited },
    });
    let roles = after.accounts.intersection(before.accounts).filter_map(|account| {
        let (old, new) = (was(account), is(account));
        let (by, change) = match (old, new) {
            (_, Role::Invited) => return None,
            (Role::Invited, _) => (*account, MemberChange::Joined),
            _ if new > old => (author, MemberChange::Promoted),
            _ if new < old => (author, MemberChange::Demoted),
            _ => return None,
        };
        Some(Changed { account: *account, by, change })
    });
    gone.chain(come).chain(roles).collect()
}

fn request_of(policy: &GroupPolicy, account: AccountId) -> Option<u64> {
    policy.left.iter().find(|(left, _)| *left == account).map(|(_, epoch)| *epoch)
}

#[cfg(test)]
mod tests {
    use protocol::{
        ConversationId, DeviceId, Name,
        policy::{Access, Leave},
    };

    use super::{MemberChange::*, *};

    const OWNER: AccountId = AccountId([1; 32]);
    const MEMBER: AccountId = AccountId([2; 32]);
    const INVITED: AccountId = AccountId([3; 32]);
    const STRANGER: AccountId = AccountId([4; 32]);
    const EPOCH: u64 = 9;

    fn group() -> GroupPolicy {
        let policy = GroupPolicy::founded(Name::parse("team").unwrap(), OWNER, [9; 16], Access::Open);
        policy.with_invited(INVITED).unwrap()
    }

    fn leave(account: AccountId, epoch: u64) -> Leave {
        Leave { conversation: ConversationId([8; 32]), account, device: DeviceId([0; 16]), epoch }
    }

    #[test]
    fn each_change_of_the_tree_and_the_policy_is_told_once_and_by_whom() {
        let (before, all) = (group(), [OWNER, MEMBER, INVITED]);
        let admin = before.with_role(MEMBER, Role::Admin).unwrap();
        let left_once = before.with_left(&leave(MEMBER, EPOCH - 2), EPOCH).unwrap();
        let left_again = left_once.with_left(&leave(MEMBER, EPOCH), EPOCH).unwrap();
        let kicked = before.with_kicked(MEMBER).unwrap();
        let (owner, stranger) = (Committer::Member(OWNER), Committer::Joiner(STRANGER));
        type Case<'a> = (
            &'a str,
            &'a GroupPolicy,
            GroupPolicy,
            Vec<AccountId>,
            Committer,
            Vec<(AccountId, AccountId, MemberChange)>,
        );
        let cases: Vec<Case<'_>> = vec![
            ("new keys", &before, before.clone(), all.to_vec(), owner, vec![]),
            (
                "an external commit of somebody new",
                &before,
                before.clone(),
                vec![OWNER, MEMBER, INVITED, STRANGER],
                stranger,
                vec![(STRANGER, STRANGER, Joined)],
            ),
            ("another device of a member", &before, before.clone(), all.to_vec(), Committer::Joiner(MEMBER), vec![]),
            (
                "an invitation",
                &before,
                before.with_invited(STRANGER).unwrap(),
                vec![OWNER, MEMBER, INVITED, STRANGER],
                Committer::Member(MEMBER),
                vec![(STRANGER, MEMBER, Invited)],
            ),
            (
                "an invitation that is taken up",
                &before,
                before.with_joined(INVITED),
                all.to_vec(),
                Committer::Member(INVITED),
                vec![(INVITED, INVITED, Joined)],
            ),
            (
                "an invitation that is declined",
                &before,
                before.with_left(&leave(INVITED, EPOCH), EPOCH).unwrap(),
                vec![OWNER, MEMBER],
                Committer::Member(MEMBER),
                vec![(INVITED, INVITED, Left)],
            ),
            ("a kick", &before, kicked.clone(), vec![OWNER, INVITED], owner, vec![(MEMBER, OWNER, Removed)]),
            (
                "a request to leave that somebody granted",
                &before,
                left_once.clone(),
                vec![OWNER, INVITED],
                owner,
                vec![(MEMBER, MEMBER, Left)],
            ),
            (
                "a second one, of somebody who came back",
                &left_once,
                left_again,
                vec![OWNER, INVITED],
                owner,
                vec![(MEMBER, MEMBER, Left)],
            ),
            (
                "a kick of somebody who had left before",
                &left_once,
                left_once.with_kicked(MEMBER).unwrap(),
                vec![OWNER, INVITED],
                owner,
                vec![(MEMBER, OWNER, Removed)],
            ),
            ("a promotion", &before, admin.clone(), all.to_vec(), owner, vec![(MEMBER, OWNER, Promoted)]),
            (
                "a promotion to owner",
                &admin,
                admin.with_role(MEMBER, Role::Owner).unwrap(),
                all.to_vec(),
                owner,
                vec![(MEMBER, OWNER, Promoted)],
            ),
            ("a demotion", &admin, before.clone(), all.to_vec(), owner, vec![(MEMBER, OWNER, Demoted)]),
            (
                "an invitation of somebody who was kicked in an epoch between",
                &before,
                kicked.with_invited(MEMBER).unwrap(),
                all.to_vec(),
                owner,
                vec![(MEMBER, OWNER, Removed), (MEMBER, OWNER, Invited)],
            ),
            (
                "several at once",
                &before,
                kicked.with_joined(INVITED).with_invited(STRANGER).unwrap(),
                vec![OWNER, INVITED, STRANGER],
                owner,
                vec![(MEMBER, OWNER, Removed), (STRANGER, OWNER, Invited), (INVITED, INVITED, Joined)],
            ),
        ];
        let accounts: BTreeSet<AccountId> = all.into_iter().collect();
        for (case, policy, next, now, committer, expected) in cases {
            let now: BTreeSet<AccountId> = now.into_iter().collect();
            let (before, after) = (People { policy, accounts: &accounts }, People { policy: &next, accounts: &now });
            let expected = expected.into_iter().map(|(account, by, change)| Changed { account, by, change });
            assert_eq!(changes(before, after, committer), expected.collect::<Vec<_>>(), "{case}");
        }
    }
}
