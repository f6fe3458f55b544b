//! Offers and what becomes of them, act by act.

mod enclosed;
mod hostile;
mod remembering;

use protocol::{
    AccountId, BoundedText, ConversationId, DeviceId, FileId, Timestamp,
    file::{
        Chunking, FileNotice, FileOffer, FileSecret, FileShape, FileWord, ManifestLength,
        stream::{FileFetch, FilePart, FileRefusal},
    },
    limits::{CHUNK_LENGTH_MIN, FILE_STREAMS_MAX, OFFER_LIFETIME_MS},
};

use super::{
    Act, OFFERS_OPEN_MAX, OfferedBy, RECEIVING_MAX, Side, Stopped, TransferRefusal, TransferState, Transfers, notice,
    outgoing::LOST_ELSEWHERE,
};

const CONVERSATION: ConversationId = ConversationId([1; 32]);
const ALICE: AccountId = AccountId([0xa; 32]);
const BOB: AccountId = AccountId([0xb; 32]);
const CAROL: AccountId = AccountId([0xc; 32]);
const DEVICE: DeviceId = DeviceId([0xd; 16]);
const FIRST: FileId = FileId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const NOW: Timestamp = Timestamp(1_000);

fn id(number: u64) -> FileId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    FileId(bytes)
}

fn offer(number: u64) -> FileOffer {
    FileOffer {
        file: id(number),
        secret: FileSecret([9; 32]),
        name: BoundedText::new("cat.png".to_owned()).unwrap(),
        shape: FileShape::File,
        chunking: Chunking::new(100, CHUNK_LENGTH_MIN).unwrap(),
        sha256: [0; 32],
        caption: BoundedText::default(),
        expires: Timestamp(5_000),
    }
}

/// Bob's node, to which Alice offers something.
fn offered() -> Transfers {
    let mut transfers = Transfers::default();
    let acts = take(&mut transfers, 1, DEVICE, None);
    assert_eq!(acts, [show(1, ALICE, TransferState::Offered, None)]);
    transfers
}

/// The same, when Bob's disk has refused it.
fn failed_here() -> Transfers {
    let mut transfers = offered();
    transfers.accept(id(1), None).unwrap();
    transfers.begin(NOW, |_| true);
    transfers.on_stopped(NOW, BOB, id(1), Stopped::Disk("full".to_owned()), 0);
    transfers
}

fn take(transfers: &mut Transfers, number: u64, device: DeviceId, unasked: Option<u64>) -> Vec<Act> {
    let by = OfferedBy { conversation: CONVERSATION, account: ALICE, device, unasked };
    transfers.take_offer(NOW, BOB, by, (offer(number), None))
}

/// Alice's node, which offers something to Bob and Carol.
fn offering() -> Transfers {
    let mut transfers = Transfers::default();
    assert_eq!(transfers.offer(NOW, CONVERSATION, &[BOB, CAROL], offer(1)), 1);
    transfers
}

fn show(number: u64, account: AccountId, state: TransferState, reason: Option<&str>) -> Act {
    Act::Show { file: id(number), account, state, reason: reason.map(str::to_owned) }
}

fn say(word: FileWord, reason: &str) -> Act {
    Act::Say { conversation: CONVERSATION, notice: notice(id(1), word, reason) }
}

fn hear(transfers: &mut Transfers, from: AccountId, word: FileWord, reason: &str) -> Vec<Act> {
    let own = if matches!(transfers.get(id(1)).unwrap().side, Side::Outgoing { .. }) { ALICE } else { BOB };
    transfers.take_notice(own, CONVERSATION, from, &notice(id(1), word, reason))
}

fn state(transfers: &Transfers) -> TransferState {
    match &transfers.get(id(1)).unwrap().side {
        Side::Incoming { state, .. } => *state,
        Side::Outgoing { recipients } => recipients[0].1,
    }
}

const fn fetch(part: FilePart, from: u64) -> FileFetch {
    FileFetch { file: FIRST, part, from }
}

fn receive(number: u64, device: DeviceId) -> Act {
    Act::Receive { file: id(number), device }
}

const GONE: [Act; 2] = [Act::StopServing { file: FIRST, account: None }, Act::ForgetSource { file: FIRST }];
const DISCARD: Act = Act::Discard { file: FIRST, target: None };

#[test]
fn what_is_accepted_is_received_when_its_device_is_there_and_both_sides_know() {
    let mut bob = offered();
    assert_eq!(bob.begin(NOW, |_| true), [], "nobody has accepted it");
    assert_eq!(bob.accept(id(1), None), Ok(vec![say(FileWord::Accepted, "")]));
    assert_eq!(bob.awaited(), [(ALICE, DEVICE)]);
    assert_eq!(bob.begin(NOW, |_| false), [], "it is not there");
    assert_eq!(bob.begin(NOW, |device| device == DEVICE), [receive(1, DEVICE)]);
    assert_eq!(bob.begin(NOW, |_| true), [], "it is under way");
    let ended = [say(FileWord::Received, ""), show(1, BOB, TransferState::Received, None), DISCARD];
    assert_eq!(bob.on_received(BOB, id(1), "/inbox/cat.png".to_owned()), ended);
    assert_eq!((state(&bob), bob.awaited()), (TransferState::Received, vec![]));

    let mut alice = offering();
    assert_eq!(hear(&mut alice, BOB, FileWord::Accepted, ""), [show(1, BOB, TransferState::Accepted, None)]);
    assert_eq!(alice.awaiting(), [BOB]);
    assert_eq!(hear(&mut alice, BOB, FileWord::Received, ""), [show(1, BOB, TransferState::Received, None)]);
    let declined = hear(&mut alice, CAROL, FileWord::Declined, "no");
    let stopped = Act::StopServing { file: id(1), account: Some(CAROL) };
    let forgotten = Act::ForgetSource { file: id(1) };
    assert_eq!(declined, [show(1, CAROL, TransferState::Declined, Some("no")), stopped, forgotten]);
}

#[test]
fn what_a_person_can_do_with_an_offer_in_each_state() {
    type Make = fn() -> Transfers;
    type Row = (&'static str, Make, [Result<(), TransferRefusal>; 3]);
    let accepted: Make = || {
        let mut bob = offered();
        bob.accept(id(1), None).unwrap();
        bob
    };
    let declined: Make = || {
        let mut bob = offered();
        bob.decline(id(1), "no").unwrap();
        bob
    };
    let received: Make = || {
        let mut bob = offered();
        bob.accept(id(1), None).unwrap();
        bob.on_received(BOB, id(1), "/x".to_owned());
        bob
    };
    let over = |state| Err(TransferRefusal::Over(state));
    let (fine, own, twice) = (Ok(()), Err(TransferRefusal::Own), Err(TransferRefusal::Accepted));
    let rows: [Row; 6] = [
        ("offered", offered, [fine, fine, fine]),
        ("accepted", accepted, [twice, twice, fine]),
        ("declined", declined, [over(TransferState::Declined); 3]),
        ("received", received, [over(TransferState::Received); 3]),
        ("failed here", failed_here, [fine, over(TransferState::Failed), fine]),
        ("one's own", offering, [own, own, fine]),
    ];
    for (what, make, [accept, decline, cancel]) in rows {
        assert_eq!(make().accept(id(1), None).map(|_| ()), accept, "ACCEPT of {what}");
        assert_eq!(make().decline(id(1), "").map(|_| ()), decline, "DECLINE of {what}");
        assert_eq!(make().cancel(id(1)).map(|_| ()), cancel, "CANCEL of {what}");
    }
    let mut none = Transfers::default();
    assert_eq!(none.accept(id(1), None), Err(TransferRefusal::Unknown));
    assert_eq!(none.decline(id(1), ""), Err(TransferRefusal::Unknown));
    assert_eq!(none.cancel(id(1)), Err(TransferRefusal::Unknown));
}

#[test]
fn a_cancelled_file_stops_and_leaves_nothing_on_either_side() {
    let mut bob = offered();
    bob.accept(id(1), None).unwrap();
    bob.begin(NOW, |_| true);
    let stop = Act::StopReceiving { file: id(1) };
    assert_eq!(bob.cancel(id(1)), Ok(vec![say(FileWord::Cancelled, ""), stop.clone(), DISCARD]));
    assert_eq!(bob.on_stopped(NOW, BOB, id(1), Stopped::Lost, 0), [], "what stops now is no news");
    let mut bob = offered();
    bob.accept(id(1), None).unwrap();
    bob.begin(NOW, |_| true);
    let shown = show(1, ALICE, TransferState::Cancelled, Some("wrong one"));
    assert_eq!(hear(&mut bob, ALICE, FileWord::Cancelled, "wrong one"), [shown, stop, DISCARD]);
    assert_eq!(hear(&mut bob, ALICE, FileWord::Cancelled, "wrong one"), [], "once");

    let mut alice = offering();
    let said = [say(FileWord::Cancelled, "")];
    assert_eq!(alice.cancel(id(1)), Ok([said.as_slice(), &GONE].concat()));
    assert_eq!(alice.grant(BOB, fetch(FilePart::Chunks, 0)), Err(FileRefusal::Withdrawn));
}

#[test]
fn only_those_to_whom_it_was_offered_get_it_and_only_what_there_is() {
    let mut alice = offering();
    let granted = alice.grant(BOB, fetch(FilePart::Chunks, 0)).unwrap();
    assert_eq!((granted.secret, granted.chunking), (offer(1).secret, offer(1).chunking));
    assert!(alice.grant(BOB, fetch(FilePart::Chunks, 1)).is_ok(), "behind the last, where there is nothing to send");
    assert_eq!(alice.grant(BOB, fetch(FilePart::Chunks, 2)), Err(FileRefusal::Malformed));
    assert_eq!(alice.grant(BOB, fetch(FilePart::Manifest, 0)), Err(FileRefusal::Malformed), "a file has no list");
    assert_eq!(alice.grant(ALICE, fetch(FilePart::Chunks, 0)), Err(FileRefusal::Unknown), "not to her");
    let other = FileFetch { file: id(2), ..fetch(FilePart::Chunks, 0) };
    assert_eq!(alice.grant(BOB, other), Err(FileRefusal::Unknown));
    assert_eq!(offered().grant(ALICE, fetch(FilePart::Chunks, 0)), Err(FileRefusal::Unknown), "what one is offered");
    hear(&mut alice, BOB, FileWord::Declined, "");
    assert_eq!(alice.grant(BOB, fetch(FilePart::Chunks, 0)), Err(FileRefusal::Withdrawn));
    assert!(alice.grant(CAROL, fetch(FilePart::Chunks, 0)).is_ok(), "whatever others say");
    let length = ManifestLength::new(300).unwrap();
    let folder = FileOffer { shape: FileShape::Folder { manifest: length }, ..offer(1) };
    let mut alice = Transfers::default();
    alice.offer(NOW, CONVERSATION, &[BOB], folder);
    let granted = alice.grant(BOB, fetch(FilePart::Manifest, 0)).unwrap();
    assert_eq!(granted.chunking, offer(1).chunking.of_manifest(length));
}

#[test]
fn nobody_speaks_for_anybody_else() {
    let mut bob = offered();
    for word in [FileWord::Cancelled, FileWord::Failed, FileWord::Declined, FileWord::Received] {
        assert_eq!(hear(&mut bob, CAROL, word, ""), [], "{word:?} by somebody else");
    }
    assert_eq!(hear(&mut bob, ALICE, FileWord::Received, ""), [], "what only a recipient says");
    let elsewhere = ConversationId([2; 32]);
    let cancelled = notice(id(1), FileWord::Cancelled, "");
    assert_eq!(bob.take_notice(BOB, elsewhere, ALICE, &cancelled), [], "in another conversation");
    assert_eq!(state(&bob), TransferState::Offered);
    let shown = show(1, ALICE, TransferState::Declined, None);
    assert_eq!(hear(&mut bob, BOB, FileWord::Declined, ""), [shown, DISCARD], "by another device of his");
    let mut alice = offering();
    assert_eq!(hear(&mut alice, ALICE, FileWord::Accepted, ""), []);
    assert_eq!(hear(&mut alice, AccountId([0xe; 32]), FileWord::Accepted, ""), []);
}

#[test]
fn states_never_go_back_at_the_sender() {
    use FileWord::{Accepted, Cancelled, Declined, Failed, Received};
    for last in [Received, Declined, Cancelled, Failed] {
        let mut alice = offering();
        hear(&mut alice, BOB, last, "");
        let reached = state(&alice);
        for word in [Accepted, Received, Declined, Cancelled, Failed] {
            assert_eq!(hear(&mut alice, BOB, word, ""), [], "{word:?} after {last:?}");
            assert_eq!(state(&alice), reached);
        }
    }
}

#[test]
fn what_stops_is_tried_again_or_is_over_by_its_cause() {
    let refused = Stopped::Refused;
    let failed =
        |reason| vec![say(FileWord::Failed, reason), show(1, BOB, TransferState::Failed, Some(reason)), DISCARD];
    let rows = [
        (Stopped::Lost, TransferState::Accepted, vec![]),
        (refused(FileRefusal::Busy), TransferState::Accepted, vec![]),
        (
            refused(FileRefusal::Withdrawn),
            TransferState::Cancelled,
            vec![show(1, ALICE, TransferState::Cancelled, None), DISCARD],
        ),
        (refused(FileRefusal::Changed), TransferState::Failed, failed("the sender has changed it since")),
        (refused(FileRefusal::Unreadable), TransferState::Failed, failed("the sender can't read it")),
        (refused(FileRefusal::Unknown), TransferState::Failed, failed("the sender does not have it any more")),
        (Stopped::Mismatch("another hash".to_owned()), TransferState::Failed, failed("another hash")),
        (
            Stopped::Disk("full".to_owned()),
            TransferState::Failed,
            vec![show(1, BOB, TransferState::Failed, Some("full"))],
        ),
    ];
    for (why, then, acts) in rows {
        let mut bob = offered();
        bob.accept(id(1), None).unwrap();
        bob.begin(NOW, |_| true);
        assert_eq!(bob.on_stopped(NOW, BOB, id(1), why.clone(), 0), acts, "{why:?}");
        assert_eq!(state(&bob), then, "{why:?}");
        assert_eq!(bob.begin(NOW, |_| true), [], "{why:?}: not at once");
        let again = bob.timer(NOW).filter(|at| then == TransferState::Accepted && *at < Timestamp(5_000));
        assert_eq!(again.is_some(), then == TransferState::Accepted, "{why:?}");
        bob.retry_now();
        let expected = if then == TransferState::Accepted { vec![receive(1, DEVICE)] } else { vec![] };
        assert_eq!(bob.begin(NOW, |_| true), expected, "{why:?}");
    }
}

#[test]
fn what_failed_here_can_be_accepted_again_and_is_cleaned_up_when_it_expires() {
    let (mut bob, mut again) = (failed_here(), failed_here());
    let elsewhere = Some("/big/cat.png".to_owned());
    assert_eq!(again.accept(id(1), elsewhere.clone()), Ok(vec![DISCARD, say(FileWord::Accepted, "")]));
    assert_eq!(again.begin(NOW, |_| true), [receive(1, DEVICE)]);
    let gone = Act::Discard { file: id(1), target: elsewhere };
    let stop = Act::StopReceiving { file: id(1) };
    assert_eq!(again.cancel(id(1)), Ok(vec![say(FileWord::Cancelled, ""), stop, gone]));
    assert_eq!(bob.timer(NOW), Some(Timestamp(5_000)));
    assert_eq!(bob.expire(Timestamp(5_000)), [DISCARD]);
    assert_eq!((state(&bob), bob.timer(NOW)), (TransferState::Expired, None));
}

#[test]
fn offers_expire_on_both_sides_and_none_stands_longer_than_one_may() {
    let (mut alice, mut bob) = (offering(), offered());
    assert_eq!([alice.expire(Timestamp(4_999)), bob.expire(Timestamp(4_999))].concat(), []);
    let shown = |account| show(1, account, TransferState::Expired, None);
    assert_eq!(alice.expire(Timestamp(5_000)), [vec![shown(BOB), shown(CAROL)], GONE.to_vec()].concat());
    assert_eq!(bob.expire(Timestamp(5_000)), [shown(ALICE), DISCARD]);
    let mut bob = Transfers::default();
    let by = OfferedBy { conversation: CONVERSATION, account: ALICE, device: DEVICE, unasked: None };
    bob.take_offer(NOW, BOB, by, (FileOffer { expires: Timestamp(u64::MAX), ..offer(1) }, None));
    assert_eq!(bob.timer(NOW), Some(NOW.plus_ms(OFFER_LIFETIME_MS)));
}

#[test]
fn up_to_its_limit_a_file_is_accepted_unasked() {
    for (limit, accepted) in [(None, false), (Some(99), false), (Some(100), true)] {
        let mut bob = Transfers::default();
        let mut expected = vec![show(1, ALICE, TransferState::Offered, None)];
        if accepted {
            expected.extend([say(FileWord::Accepted, ""), show(1, BOB, TransferState::Accepted, None)]);
        }
        assert_eq!(take(&mut bob, 1, DEVICE, limit), expected, "{limit:?}");
    }
}

#[test]
fn an_offer_counts_once_and_one_account_has_few_that_wait() {
    let mut bob = offered();
    assert_eq!(take(&mut bob, 1, DEVICE, None), []);
    for number in 2..=OFFERS_OPEN_MAX as u64 {
        assert_eq!(take(&mut bob, number, DEVICE, None).len(), 1);
    }
    assert!(matches!(take(&mut bob, 1_000, DEVICE, None)[..], [Act::Say { .. }]));
    bob.decline(id(1), "").unwrap();
    assert_eq!(take(&mut bob, 1_000, DEVICE, None).len(), 1);
    assert_eq!(bob.by_number(OFFERS_OPEN_MAX as u64 + 1), Some(id(1_000)));
}

#[test]
fn no_device_keeps_others_waiting_and_none_is_asked_for_too_much() {
    let other = DeviceId([0xe; 16]);
    let mut bob = Transfers::default();
    for (number, device) in [(1, DEVICE), (2, DEVICE), (3, DEVICE), (4, DEVICE), (5, DEVICE), (6, other)] {
        take(&mut bob, number, device, Some(1_000));
    }
    let expected = [receive(1, DEVICE), receive(6, other), receive(2, DEVICE), receive(3, DEVICE)];
    assert_eq!(bob.begin(NOW, |_| true), expected);
    assert_eq!(expected.len(), RECEIVING_MAX);
    bob.on_received(BOB, id(6), "/x".to_owned());
    assert_eq!(bob.begin(NOW, |_| true), [], "{FILE_STREAMS_MAX} from one device are enough");
    bob.on_received(BOB, id(1), "/x".to_owned());
    assert_eq!(bob.begin(NOW, |_| true), [receive(4, DEVICE)]);
}

#[test]
fn a_lost_source_and_a_lost_recipient_fail_for_whom_they_are_lost() {
    let mut alice = offering();
    let stopped = Act::StopServing { file: id(1), account: Some(BOB) };
    let failed = show(1, BOB, TransferState::Failed, Some("gone"));
    assert_eq!(alice.on_unreachable(id(1), BOB, "gone"), [failed, stopped]);
    assert_eq!([BOB, CAROL].map(|to| alice.get(id(1)).unwrap().is_over_for(Some(to))), [true, false]);
    let here = "/home/alice/secret plans/cat.png was changed";
    let said = [say(FileWord::Failed, LOST_ELSEWHERE), show(1, CAROL, TransferState::Failed, Some(here))];
    assert_eq!(alice.on_source_lost(id(1), here), [said, GONE].concat(), "nobody else learns where it is");
    assert_eq!(alice.on_source_lost(id(1), here), []);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let FileNotice { reason, .. } = notice(id(1), FileWord::Declined, &"ä€".repeat(1_000));
    assert!(reason.len() <= protocol::limits::FILE_REASON_MAX && reason.starts_with("ä€"));
}
