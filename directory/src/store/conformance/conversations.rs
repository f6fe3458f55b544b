//! What every store must keep of conversations and of the one order of their commits.

use std::collections::BTreeMap;

use protocol::{CommitHash, ConversationId, policy::Access};

use super::{account, device, groups::group, handouts::handout};
use crate::store::{Audience, CommitOutcome, ConversationMade, ConversationRecord, Roster, Store};

/// A conversation of two people.
pub(super) fn conversation(id: u8, epoch: u64, made_by: u8) -> ConversationRecord {
    ConversationRecord {
        roster: Roster {
            id: ConversationId([id; 32]),
            audience: Audience::People([account(1), account(2)]),
            epoch,
            members: BTreeMap::from([(device(1), account(1)), (device(2), account(2))]),
            leaving: BTreeMap::new(),
            leaves: 0,
        },
        snapshot: vec![id, u8::try_from(epoch).unwrap()],
        group_info: vec![made_by],
        made_by: [made_by; 32],
    }
}

pub(super) fn a_conversation_is_made_once(store: &impl Store) {
    let make = |id, made_by| store.create_conversation(&conversation(id, 1, made_by), &[handout(id, 1)]).unwrap();
    assert_eq!(make(1, 1), ConversationMade::Made);
    assert_eq!(make(1, 1), ConversationMade::Made);
    assert_eq!(make(1, 2), ConversationMade::Exists);
    assert_eq!(store.conversation(ConversationId([1; 32])).unwrap(), Some(conversation(1, 1, 1)));
    assert_eq!(store.conversation(ConversationId([2; 32])).unwrap(), None);
}

pub(super) fn the_first_commit_of_an_epoch_wins_for_good(store: &impl Store) {
    let (first, second) = (CommitHash([1; 32]), CommitHash([2; 32]));
    let commit = |hash, epoch: u64| store.commit(hash, &conversation(1, epoch, 9), &[handout(1, epoch)]).unwrap();
    assert_eq!(commit(first, 2), CommitOutcome::WrongEpoch);
    store.create_conversation(&conversation(1, 1, 1), &[handout(1, 1)]).unwrap();
    assert_eq!(commit(first, 3), CommitOutcome::WrongEpoch);
    assert_eq!(commit(first, 2), CommitOutcome::Accepted);
    assert_eq!(commit(second, 2), CommitOutcome::Lost(first));
    assert_eq!(commit(second, 3), CommitOutcome::Accepted);
    assert_eq!(commit(first, 2), CommitOutcome::Accepted, "a repetition");
    let kept = ConversationRecord { made_by: [1; 32], ..conversation(1, 3, 9) };
    assert_eq!(store.conversation(ConversationId([1; 32])).unwrap(), Some(kept), "who made it stays");
    let commits = [0, 1, 2, 3].map(|epoch| store.commit_of(ConversationId([1; 32]), epoch).unwrap());
    assert_eq!(commits, [None, Some(first), Some(second), None]);
}

pub(super) fn a_device_is_told_of_the_direct_conversations_that_only_others_of_its_account_are_in(store: &impl Store) {
    for id in [3, 1, 2] {
        store.create_conversation(&conversation(id, 1, id), &[]).unwrap();
    }
    store.create_conversation(&group(4, 1, Access::Open, &[1, 2]), &[]).unwrap();
    let elsewhere = |account, device, at_most| store.elsewhere(account, device, at_most).unwrap();
    let ids = |ids: &[u8]| ids.iter().map(|id| ConversationId([*id; 32])).collect::<Vec<_>>();
    assert_eq!(elsewhere(account(1), device(9), 5), ids(&[1, 2, 3]), "not the group");
    assert_eq!(elsewhere(account(1), device(9), 2), ids(&[1, 2]));
    assert_eq!(elsewhere(account(1), device(1), 5), []);
    assert_eq!(elsewhere(account(9), device(9), 5), []);
}
