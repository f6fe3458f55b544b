//! What every store must keep of what is still to be handed out.

use protocol::{CommitHash, ConversationId, Timestamp};

use super::{conversations::conversation, device};
use crate::store::{CommitOutcome, ConversationMade, Handout, Store};

/// What a conversation owes for an epoch.
pub(super) fn handout(id: u8, epoch: u64) -> Handout {
    Handout {
        conversation: ConversationId([id; 32]),
        epoch,
        number: 0,
        author: device(1),
        devices: vec![device(2), device(1)],
        welcome: epoch == 1,
        key: [id; 32],
        item: vec![id, u8::try_from(epoch).unwrap()],
        expires: Timestamp(epoch),
    }
}

pub(super) fn what_a_change_owes_is_kept_with_it_until_it_is_handed_out(store: &impl Store) {
    let (first, second) = (CommitHash([1; 32]), CommitHash([2; 32]));
    let of = |id: u8| store.handouts(Some(ConversationId([id; 32])), 9).unwrap();
    for id in [2, 1] {
        let made = store.create_conversation(&conversation(id, 1, id), &[handout(id, 1)]).unwrap();
        assert_eq!(made, ConversationMade::Made);
    }
    // Two things may be owed for one step.
    let welcome = Handout { number: 1, ..handout(1, 2) };
    let owed = [welcome.clone(), handout(1, 2)];
    assert_eq!(store.commit(first, &conversation(1, 2, 1), &owed).unwrap(), CommitOutcome::Accepted);
    assert_eq!(of(1), [handout(1, 1), handout(1, 2), welcome.clone()]);
    assert_eq!(of(2), [handout(2, 1)]);
    assert_eq!(store.handouts(None, 9).unwrap(), [handout(1, 1), handout(1, 2), welcome.clone(), handout(2, 1)]);
    assert_eq!(store.handouts(None, 2).unwrap(), [handout(1, 1), handout(1, 2)]);
    store.handed_out(ConversationId([1; 32]), 1, 0).unwrap();
    store.handed_out(ConversationId([1; 32]), 7, 0).unwrap();
    assert_eq!(of(1), [handout(1, 2), welcome.clone()]);
    store.handed_out(ConversationId([1; 32]), 2, 0).unwrap();
    assert_eq!(of(1), [welcome]);
    // Neither a repetition nor what lost owes anything.
    store.handed_out(ConversationId([1; 32]), 2, 1).unwrap();
    store.create_conversation(&conversation(1, 1, 1), &[handout(1, 1)]).unwrap();
    store.create_conversation(&conversation(1, 1, 5), &[handout(1, 1)]).unwrap();
    store.commit(first, &conversation(1, 2, 1), &[handout(1, 2)]).unwrap();
    store.commit(second, &conversation(1, 2, 1), &[handout(1, 2)]).unwrap();
    store.commit(second, &conversation(1, 9, 1), &[handout(1, 9)]).unwrap();
    assert_eq!(of(1), []);
}
