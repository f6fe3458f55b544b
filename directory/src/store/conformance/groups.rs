//! What every store must keep of groups: their names, who is in them, who leaves, and their end.

use protocol::{
    Bounded, BoundedBytes, CommitHash, ConversationId, Name, Signature,
    directory::GroupListing,
    policy::{Access, GroupPolicy, Role, SignedLeave},
};

use super::{account, conversations::conversation, device, handouts::handout, new_account, simple};
use crate::store::{
    AccountMade, Audience, CommitOutcome, ConversationMade, ConversationRecord, NameClaimed, Roster, Standing, Store,
};

const NAMES: [&str; 4] = ["team", "club", "choir", "crew"];

pub(super) fn group_name(n: u8) -> Name {
    Name::parse(NAMES[usize::from(n) % 4]).unwrap()
}

/// A group that account 1 owns, which these accounts are in with a device each, the last of them only invited.
pub(super) fn group(id: u8, epoch: u64, access: Access, accounts: &[u8]) -> ConversationRecord {
    let mut policy = GroupPolicy::founded(group_name(id), account(1), [id; 16], access);
    if let Some(last) = accounts.last().filter(|last| **last > 1) {
        policy.invited = Bounded::new(vec![account(*last)]).unwrap();
    }
    let members = accounts.iter().map(|n| (device(*n), account(*n))).collect();
    let before = conversation(id, epoch, id);
    let roster = Roster { audience: Audience::Group(Box::new(policy)), members, ..before.roster };
    ConversationRecord { roster, ..before }
}

pub(super) fn leave(n: u8) -> SignedLeave {
    SignedLeave { leave: BoundedBytes::new(vec![n; 3]).unwrap(), signature: Signature([n; 64]) }
}

/// The roster after some accounts have asked to leave, one after the other.
pub(super) fn left(roster: &Roster, accounts: &[u8]) -> Roster {
    let mut next = roster.clone();
    for n in accounts {
        next.leaving.insert(account(*n), Some(leave(*n)));
        next.leaves += 1;
    }
    next
}

fn listed(id: u8, access: Access, members: u32, role: Option<Role>) -> GroupListing {
    GroupListing { conversation: ConversationId([id; 32]), name: group_name(id), access, members, role }
}

pub(super) fn a_name_is_given_out_once_to_a_person_or_a_group(store: &impl Store) {
    let claim = |name: &str, looks: &str, group: u8| {
        store.claim_name(&Name::parse(name).unwrap(), looks, ConversationId([group; 32])).unwrap()
    };
    store.create_account(&simple(1)).unwrap();
    assert_eq!(claim("bob", "looks-9", 1), NameClaimed::Taken, "a person has it");
    assert_eq!(claim("team", "looks-1", 1), NameClaimed::Confusable, "a person looks so");
    assert_eq!(claim("team", "looks-2", 1), NameClaimed::Claimed);
    assert_eq!(claim("team", "looks-2", 1), NameClaimed::Claimed, "the same again");
    assert_eq!(claim("team", "looks-2", 2), NameClaimed::Taken);
    assert_eq!(claim("crew", "looks-2", 2), NameClaimed::Confusable);
    assert_eq!(claim("carol", "looks-3", 2), NameClaimed::Claimed);
    let found = |name: &str| store.name_of_group(&Name::parse(name).unwrap()).unwrap();
    assert_eq!([found("team"), found("crew"), found("bob")], [Some(ConversationId([1; 32])), None, None]);
    // The person of a name that a group has, and one who looks like it.
    assert_eq!(store.create_account(&new_account(2, 2, 9, 2, None)).unwrap(), AccountMade::NameTaken);
    assert_eq!(store.create_account(&new_account(2, 3, 3, 2, None)).unwrap(), AccountMade::NameConfusable);
    assert_eq!(store.create_account(&new_account(2, 3, 8, 2, None)).unwrap(), AccountMade::Made);
    store.close_account(account(1)).unwrap();
    assert_eq!(claim("bob", "looks-9", 3), NameClaimed::Taken, "never again");
}

pub(super) fn groups_are_listed_by_name_to_whom_they_concern(store: &impl Store) {
    store.create_conversation(&conversation(9, 1, 9), &[]).unwrap();
    store.create_conversation(&group(0, 1, Access::Open, &[1, 2, 3]), &[]).unwrap();
    store.create_conversation(&group(1, 1, Access::Invite, &[1, 2]), &[]).unwrap();
    store.create_conversation(&group(2, 1, Access::Open, &[1]), &[]).unwrap();
    let of = |asker: u8, after: Option<u8>, at_most| {
        store.groups(account(asker), after.map(group_name).as_ref(), at_most).unwrap()
    };
    let (open, invite) = (Access::Open, Access::Invite);
    let owner = Some(Role::Owner);
    assert_eq!(of(1, None, 9), [listed(2, open, 1, owner), listed(1, invite, 1, owner), listed(0, open, 2, owner)]);
    assert_eq!(of(1, Some(2), 1), [listed(1, invite, 1, owner)]);
    assert_eq!(of(8, None, 9), [listed(2, open, 1, None), listed(0, open, 2, None)]);
    let invited = Some(Role::Invited);
    assert_eq!(of(2, Some(2), 9), [listed(1, invite, 1, invited), listed(0, open, 2, Some(Role::Member))]);
    let one = |asker: u8, id: u8| store.group(account(asker), ConversationId([id; 32])).unwrap();
    assert_eq!(one(8, 1), Some(listed(1, invite, 1, None)));
    assert_eq!((one(1, 9), one(1, 7)), (None, None), "no group");
    // What a commit changes is told at once.
    let next = group(1, 2, Access::Open, &[1, 2, 3, 4]);
    assert_eq!(store.commit(CommitHash([1; 32]), &next, &[]).unwrap(), CommitOutcome::Accepted);
    assert_eq!(one(2, 1), Some(listed(1, open, 3, Some(Role::Member))));
    let next = group(1, 3, Access::Open, &[1, 4]);
    assert_eq!(store.commit(CommitHash([2; 32]), &next, &[]).unwrap(), CommitOutcome::Accepted);
    assert_eq!(one(2, 1), Some(listed(1, open, 1, None)));
}

pub(super) fn who_is_in_a_conversation_and_where_it_stands_is_read_without_its_state(store: &impl Store) {
    let id = ConversationId([0; 32]);
    let asked = [device(2), device(7)];
    assert_eq!((store.roster(id).unwrap(), store.standing(id, &asked).unwrap()), (None, None));
    let record = group(0, 5, Access::Open, &[1, 2, 3]);
    store.create_conversation(&record, &[]).unwrap();
    let asks = left(&record.roster, &[2]);
    assert!(store.ask_to_leave(&asks, &[]).unwrap());
    assert_eq!(store.roster(id).unwrap(), Some(asks.clone()));
    let standing = Standing {
        audience: record.roster.audience,
        epoch: 5,
        whose: vec![Some(account(2)), None],
        leaving: [account(2)].into(),
    };
    assert_eq!(store.standing(id, &asked).unwrap(), Some(standing));
}

pub(super) fn a_request_to_leave_is_kept_if_nothing_has_changed_since_it_was_looked_at(store: &impl Store) {
    let id = ConversationId([0; 32]);
    let record = group(0, 1, Access::Open, &[1, 2, 3]);
    let first = left(&record.roster, &[2]);
    assert!(!store.ask_to_leave(&first, &[handout(0, 1)]).unwrap(), "of no group");
    store.create_conversation(&record, &[]).unwrap();
    assert!(store.ask_to_leave(&first, &[handout(0, 1)]).unwrap());
    assert!(!store.ask_to_leave(&left(&record.roster, &[3]), &[]).unwrap(), "somebody was faster");
    assert_eq!(store.handouts(Some(id), 9).unwrap(), [handout(0, 1)]);
    let listing = listed(0, Access::Open, 1, None);
    assert_eq!(store.group(account(2), id).unwrap(), Some(listing), "whoever is leaving is not counted");
    // Nor does a commit count that was looked at before.
    let blind = group(0, 2, Access::Open, &[1, 2, 3]);
    assert_eq!(store.commit(CommitHash([1; 32]), &blind, &[]).unwrap(), CommitOutcome::Moved);
    let granted = group(0, 2, Access::Open, &[1, 3]);
    let granted = ConversationRecord { roster: Roster { leaves: 1, ..granted.roster }, ..granted };
    assert_eq!(store.commit(CommitHash([2; 32]), &granted, &[]).unwrap(), CommitOutcome::Accepted);
    assert_eq!(store.roster(id).unwrap(), Some(granted.roster.clone()));
    assert!(!store.ask_to_leave(&left(&first, &[3]), &[]).unwrap(), "an epoch that has passed");
    assert!(store.ask_to_leave(&left(&granted.roster, &[3]), &[]).unwrap());
}

pub(super) fn whoever_left_without_a_request_is_gone_from_the_lists_all_the_same(store: &impl Store) {
    let ids = [0, 1, 2].map(|id| ConversationId([id; 32]));
    for (id, accounts) in [(0, [1, 2, 3].as_slice()), (1, &[1, 2]), (2, &[1])] {
        store.create_conversation(&group(id, 1, Access::Open, accounts), &[]).unwrap();
    }
    store.create_conversation(&conversation(9, 1, 9), &[]).unwrap();
    let of = |n: u8, after, at_most| store.groups_of(account(n), after, at_most).unwrap();
    assert_eq!((of(1, None, 9), of(2, None, 9), of(8, None, 9)), (ids.to_vec(), ids[..2].to_vec(), vec![]));
    assert_eq!(
        (of(1, None, 2), of(1, Some(ids[0]), 1), of(1, Some(ids[2]), 9)),
        (ids[..2].to_vec(), vec![ids[1]], vec![])
    );
    let roster = store.roster(ids[0]).unwrap().unwrap();
    let mut next = left(&roster, &[2]);
    next.leaving.insert(account(2), None);
    assert!(store.ask_to_leave(&next, &[]).unwrap());
    assert_eq!(store.roster(ids[0]).unwrap(), Some(next));
    assert_eq!(of(2, None, 9), [ids[1]]);
    assert_eq!(store.group(account(2), ids[0]).unwrap(), Some(listed(0, Access::Open, 1, None)));
    let last = store.roster(ids[2]).unwrap().unwrap();
    assert!(store.close_conversation(&last, None).unwrap());
    assert_eq!((store.closed_by(ids[2]).unwrap(), of(1, None, 9)), (None, ids[..2].to_vec()));
    let again = group(2, 1, Access::Open, &[1]);
    assert_eq!(store.create_conversation(&again, &[]).unwrap(), ConversationMade::Closed);
}

pub(super) fn a_closed_conversation_is_gone_for_good(store: &impl Store) {
    let id = ConversationId([0; 32]);
    let record = group(0, 1, Access::Open, &[1, 2]);
    store.claim_name(&group_name(0), "looks", id).unwrap();
    store.create_conversation(&record, &[handout(0, 1)]).unwrap();
    let next = group(0, 2, Access::Open, &[1]);
    store.commit(CommitHash([1; 32]), &next, &[handout(0, 2)]).unwrap();
    assert!(!store.close_conversation(&record.roster, Some(&leave(1))).unwrap(), "somebody was faster");
    assert_eq!(store.closed_by(id).unwrap(), None);
    assert!(store.close_conversation(&next.roster, Some(&leave(1))).unwrap());
    assert_eq!((store.conversation(id).unwrap(), store.roster(id).unwrap()), (None, None));
    assert_eq!((store.commit_of(id, 1).unwrap(), store.handouts(Some(id), 9).unwrap()), (None, vec![]));
    assert_eq!((store.group(account(1), id).unwrap(), store.groups(account(1), None, 9).unwrap()), (None, vec![]));
    assert_eq!(store.closed_by(id).unwrap(), Some(leave(1)));
    assert!(!store.close_conversation(&next.roster, Some(&leave(1))).unwrap());
    assert_eq!(store.create_conversation(&record, &[]).unwrap(), ConversationMade::Closed);
    assert_eq!(store.name_of_group(&group_name(0)).unwrap(), Some(id), "its name stays its own");
    assert_eq!(store.counts().unwrap().conversations, 0);
}

pub(super) fn who_has_joined_the_same_group_shares_it(store: &impl Store) {
    store.create_conversation(&conversation(9, 1, 9), &[]).unwrap();
    store.create_conversation(&group(0, 1, Access::Open, &[1, 2, 3, 4]), &[]).unwrap();
    store.create_conversation(&group(1, 1, Access::Invite, &[5, 6]), &[]).unwrap();
    let share = |one, other| store.share_group(account(one), account(other)).unwrap();
    assert_eq!([share(1, 2), share(2, 1), share(2, 3), share(1, 5)], [true, true, true, false]);
    // Whoever is only invited has not joined, and a conversation of two is no group.
    assert_eq!([share(1, 4), share(4, 1), share(4, 4), share(7, 8)], [false; 4]);
}
