//! What comes with its offer: needs nobody, survives everything, and is kept no longer than it may be wanted.

use protocol::limits::{FILE_ENCLOSED_MAX, OFFER_LIFETIME_MS};

use super::{ALICE, BOB, CAROL, CONVERSATION, DEVICE, DISCARD, NOW, id, notice, offer, say, show, take};
use crate::transfer::{
    Act, ENCLOSED_FROM_ONE_MAX, ENCLOSED_MAX, FileOffer, OFFERS_OPEN_MAX, OfferedBy, RECEIVING_MAX, Side, Stopped,
    TransferState, Transfers,
};
use protocol::{
    AccountId, DeviceId, FileId, Timestamp,
    file::{Chunking, FileWord, stream::FileRefusal},
};

fn unpack(number: u64) -> Act {
    Act::Unpack { file: id(number) }
}

/// Somebody offers something that comes with its offer.
fn enclose(transfers: &mut Transfers, from: AccountId, number: u64, bytes: usize, unasked: Option<u64>) -> Vec<Act> {
    let by = OfferedBy { conversation: CONVERSATION, account: from, device: DEVICE, unasked };
    let chunking = Chunking::new(bytes as u64, 65_536).unwrap();
    let offer = FileOffer { chunking, expires: NOW.plus_ms(OFFER_LIFETIME_MS), ..offer(number) };
    transfers.take_offer(NOW, BOB, by, (offer, Some(vec![7; bytes])))
}

/// Bob's node, to which Alice has sent ten bytes with their offer.
fn enclosed() -> Transfers {
    let mut transfers = Transfers::default();
    assert_eq!(enclose(&mut transfers, ALICE, 1, 10, None), [show(1, ALICE, TransferState::Offered, None)]);
    transfers
}

fn stored(transfers: &mut Transfers) -> Vec<(FileId, Option<usize>)> {
    transfers.enclosed_changes().into_iter().map(|(file, bytes)| (file, bytes.map(|bytes| bytes.len()))).collect()
}

#[test]
fn what_came_with_its_offer_is_taken_though_its_sender_is_away() {
    let mut bob = enclosed();
    assert_eq!(bob.enclosed(id(1)), Some([7; 10].as_slice()));
    assert_eq!(bob.begin(NOW, |_| false), [], "nobody wants it yet");
    assert_eq!(bob.accept(id(1), None).unwrap(), [say(FileWord::Accepted, "")]);
    assert_eq!(bob.awaited(), [], "no connection is needed");
    assert_eq!(bob.to_come().collect::<Vec<_>>(), [(id(1), ALICE, DEVICE)]);
    assert_eq!(bob.begin(NOW, |_| false), [unpack(1)]);
    assert_eq!(bob.begin(NOW, |_| false), [], "once");
    assert_eq!(bob.begin_anew(DEVICE), [], "another connection has nothing to do with it");
    let received = show(1, BOB, TransferState::Received, None);
    assert_eq!(bob.on_received(BOB, id(1), "/x".to_owned()), [say(FileWord::Received, ""), received, DISCARD]);
    assert_eq!((bob.enclosed(id(1)), bob.to_come().count()), (None, 0), "it is on the disk");
}

#[test]
fn what_is_taken_unasked_is_written_at_once() {
    let mut bob = Transfers::default();
    let taken = show(1, BOB, TransferState::Accepted, None);
    let expected = [show(1, ALICE, TransferState::Offered, None), say(FileWord::Accepted, ""), taken];
    assert_eq!(enclose(&mut bob, ALICE, 1, 10, Some(10)), expected);
    assert_eq!(bob.begin(NOW, |_| false), [unpack(1)]);
}

#[test]
fn it_is_stored_once_and_comes_back_after_a_restart() {
    let mut bob = enclosed();
    bob.accept(id(1), None).unwrap();
    bob.begin(NOW, |_| false);
    let kept = bob.enclosed_changes();
    assert_eq!(kept, [(id(1), Some(vec![7; 10]))]);
    assert_eq!(bob.enclosed_changes(), []);
    let transfers: Vec<Vec<u8>> = bob.changes().unwrap().into_iter().filter_map(|(_, value)| value).collect();
    let kept = kept.into_iter().filter_map(|(file, bytes)| Some((file, bytes?)));
    let mut again = Transfers::load(transfers.iter().map(Vec::as_slice), kept).unwrap();
    assert_eq!(again.enclosed_changes(), []);
    assert_eq!(again.begin(NOW, |_| false), [unpack(1)], "what was being written is written anew");
    again.on_received(BOB, id(1), "/x".to_owned());
    assert_eq!(again.enclosed_changes(), [(id(1), None)]);
}

#[test]
fn whatever_ends_an_offer_ends_what_came_with_it() {
    let late = NOW.plus_ms(2 * OFFER_LIFETIME_MS);
    type Ending = fn(&mut Transfers, Timestamp);
    let endings: [(&str, Ending); 5] = [
        ("declined", |bob, _| drop(bob.decline(id(1), "").unwrap())),
        ("cancelled here", |bob, _| drop(bob.cancel(id(1)).unwrap())),
        ("cancelled there", |bob, _| {
            drop(bob.take_notice(BOB, CONVERSATION, ALICE, &notice(id(1), FileWord::Cancelled, "")));
        }),
        ("expired", |bob, late| drop(bob.expire(late))),
        ("withdrawn while it is written", |bob, _| {
            bob.accept(id(1), None).unwrap();
            bob.begin(NOW, |_| false);
            bob.on_stopped(NOW, BOB, id(1), Stopped::Refused(FileRefusal::Withdrawn), 0);
        }),
    ];
    for (what, end) in endings {
        let mut bob = enclosed();
        assert_eq!(stored(&mut bob), [(id(1), Some(10))]);
        end(&mut bob, late);
        assert_eq!((stored(&mut bob), bob.enclosed(id(1))), (vec![(id(1), None)], None), "{what}");
    }
}

#[test]
fn that_its_sender_has_changed_it_since_takes_nothing_away() {
    let mut bob = enclosed();
    assert_eq!(bob.take_notice(BOB, CONVERSATION, ALICE, &notice(id(1), FileWord::Failed, "changed")), []);
    bob.accept(id(1), None).unwrap();
    assert_eq!(bob.begin(NOW, |_| false), [unpack(1)]);
}

#[test]
fn what_a_disk_refused_is_kept_and_written_when_it_is_accepted_again() {
    let mut bob = enclosed();
    bob.accept(id(1), None).unwrap();
    bob.begin(NOW, |_| false);
    let failed = show(1, BOB, TransferState::Failed, Some("full"));
    assert_eq!(bob.on_stopped(NOW, BOB, id(1), Stopped::Disk("full".to_owned()), 0), [failed]);
    assert_eq!(bob.begin(NOW, |_| false), [], "not by itself");
    bob.accept(id(1), None).unwrap();
    assert_eq!(bob.begin(NOW, |_| false), [unpack(1)]);
}

#[test]
fn what_is_not_what_was_offered_is_not_tried_twice() {
    let mut bob = enclosed();
    bob.accept(id(1), None).unwrap();
    bob.begin(NOW, |_| false);
    bob.on_stopped(NOW, BOB, id(1), Stopped::Mismatch("another hash".to_owned()), 0);
    assert_eq!(bob.enclosed(id(1)), None);
    // Its sender may have what was offered all the same.
    bob.accept(id(1), None).unwrap();
    assert_eq!(bob.begin(NOW, |_| true), [Act::Receive { file: id(1), device: DEVICE }]);
}

#[test]
fn what_came_with_its_offer_waits_for_no_stream_and_few_are_written_at_a_time() {
    let mut bob = Transfers::default();
    for number in 1..=RECEIVING_MAX as u64 {
        let from = DeviceId([u8::try_from(number).unwrap(); 16]);
        take(&mut bob, number, from, Some(1_000));
    }
    assert_eq!(bob.begin(NOW, |_| true).len(), RECEIVING_MAX, "streams are busy");
    for number in 11..=12 + RECEIVING_MAX as u64 {
        enclose(&mut bob, ALICE, number, 10, Some(1_000));
    }
    assert_eq!(bob.begin(NOW, |_| true), [unpack(11), unpack(12), unpack(13), unpack(14)]);
    bob.on_received(BOB, id(12), "/x".to_owned());
    assert_eq!(bob.begin(NOW, |_| true), [unpack(15)]);
    bob.cancel(id(11)).unwrap();
    assert_eq!(bob.begin(NOW, |_| true), [unpack(16)]);
}

#[test]
fn what_is_kept_is_bounded_for_each_and_in_all_and_offers_beyond_stand() {
    let each = ENCLOSED_FROM_ONE_MAX / FILE_ENCLOSED_MAX;
    assert!(each < OFFERS_OPEN_MAX);
    let mut bob = Transfers::default();
    for number in 0..=each as u64 {
        enclose(&mut bob, ALICE, number, FILE_ENCLOSED_MAX, None);
    }
    let last = each as u64;
    assert!((0..last).all(|number| bob.enclosed(id(number)).is_some()));
    assert_eq!(bob.enclosed(id(last)), None);
    assert!(matches!(bob.get(id(last)).unwrap().side, Side::Incoming { state: TransferState::Offered, .. }));
    enclose(&mut bob, CAROL, 1_000, FILE_ENCLOSED_MAX, None);
    assert!(bob.enclosed(id(1_000)).is_some(), "nobody takes anybody else's room");
    bob.decline(id(0), "").unwrap();
    enclose(&mut bob, ALICE, 1_001, FILE_ENCLOSED_MAX, None);
    assert!(bob.enclosed(id(1_001)).is_some(), "what is over makes room");

    let mut bob = Transfers::default();
    let everybody = ENCLOSED_MAX / FILE_ENCLOSED_MAX + 1;
    for number in 0..everybody as u64 {
        let from = AccountId([u8::try_from(number / each as u64).unwrap() + 0x20; 32]);
        enclose(&mut bob, from, number, FILE_ENCLOSED_MAX, None);
    }
    let kept = (0..everybody as u64).filter(|number| bob.enclosed(id(*number)).is_some()).count();
    assert_eq!(kept, everybody - 1);
}
