//! What whoever offers may not do to whoever is offered something: fill them up, hold a file back, or have one vanish.

use protocol::{
    AccountId, FileId,
    file::{FileNotice, FileOffer, FileShape, FileWord, ManifestLength},
};

use super::{
    ALICE, Act, BOB, CAROL, CONVERSATION, DEVICE, DISCARD, NOW, OFFERS_OPEN_MAX, OfferedBy, TransferState, Transfers,
    hear, id, notice, offer, offered, show, state, take,
};

const MOST: u64 = OFFERS_OPEN_MAX as u64;

fn by(account: AccountId) -> OfferedBy {
    OfferedBy { conversation: CONVERSATION, account, device: DEVICE, unasked: None }
}

fn failed(file: FileId, from: AccountId, transfers: &mut Transfers) -> Vec<Act> {
    transfers.take_notice(BOB, CONVERSATION, from, &notice(file, FileWord::Failed, ""))
}

/// What is said of an offer that is not taken.
fn not_taken(acts: &[Act], file: FileId) -> bool {
    matches!(acts, [Act::Say { conversation: CONVERSATION, notice: FileNotice { file: of, word: FileWord::Failed, .. } }] if *of == file)
}

#[test]
fn what_the_sender_has_given_up_leaves_nothing_on_the_disk() {
    let mut bob = offered();
    bob.accept(id(1), None).unwrap();
    bob.begin(NOW, |_| true);
    let stop = Act::StopReceiving { file: id(1) };
    let shown = show(1, ALICE, TransferState::Failed, Some("changed"));
    assert_eq!(hear(&mut bob, ALICE, FileWord::Failed, "changed"), [shown, stop, DISCARD]);
    assert_eq!(state(&bob), TransferState::Failed);
}

#[test]
fn an_account_that_gives_up_what_it_offers_leaves_few_of_them_behind() {
    let mut bob = Transfers::default();
    for number in 1..=MOST {
        take(&mut bob, number, DEVICE, None);
        failed(id(number), ALICE, &mut bob);
    }
    assert_eq!(bob.open().count(), OFFERS_OPEN_MAX);
    assert_eq!(take(&mut bob, 1_000, DEVICE, None), [DISCARD, show(1_000, ALICE, TransferState::Offered, None)]);
    failed(id(1_000), ALICE, &mut bob);
    for number in 2_000..2_000 + 3 * MOST {
        take(&mut bob, number, DEVICE, None);
        failed(id(number), ALICE, &mut bob);
        assert!(bob.open().count() <= OFFERS_OPEN_MAX);
    }
    bob.take_offer(NOW, BOB, by(CAROL), (offer(9_000), None));
    assert_eq!(bob.open().count(), OFFERS_OPEN_MAX + 1, "nobody else's give way");
}

#[test]
fn of_one_account_few_are_taken_unasked_before_they_have_come() {
    let mut bob = Transfers::default();
    for number in 1..=MOST {
        assert_eq!(take(&mut bob, number, DEVICE, Some(1_000)).len(), 3);
    }
    let asked = [show(1_000, ALICE, TransferState::Offered, None)];
    assert_eq!(take(&mut bob, 1_000, DEVICE, Some(1_000)), asked, "the person is asked");
    bob.on_received(BOB, id(1), "/inbox/cat.png".to_owned());
    assert_eq!(take(&mut bob, 1_001, DEVICE, Some(1_000)).len(), 3);
}

#[test]
fn what_a_folder_holds_counts_for_what_is_taken_unasked_even_if_its_files_are_empty() {
    let folder = FileShape::Folder { manifest: ManifestLength::new(901).unwrap() };
    for (limit, accepted) in [(1_000, false), (1_001, true)] {
        let mut bob = Transfers::default();
        let by = OfferedBy { unasked: Some(limit), ..by(ALICE) };
        let acts = bob.take_offer(NOW, BOB, by, (FileOffer { shape: folder, ..offer(1) }, None));
        assert_eq!(acts.len() > 1, accepted, "100 bytes and a list of 901 against {limit}");
    }
}

#[test]
fn whoever_offers_what_is_not_taken_hears_so() {
    let mut bob = Transfers::default();
    for number in 1..=MOST {
        take(&mut bob, number, DEVICE, None);
    }
    assert!(not_taken(&take(&mut bob, 1_000, DEVICE, None), id(1_000)), "too many wait");
    let late = FileOffer { expires: NOW, ..offer(2_000) };
    assert!(not_taken(&bob.take_offer(NOW, BOB, by(CAROL), (late, None)), id(2_000)), "it has expired on its way");
    assert_eq!(take(&mut bob, 1, DEVICE, None), [], "the same again is no news");
    assert!(not_taken(&bob.take_offer(NOW, BOB, by(CAROL), (offer(1), None)), id(1)), "somebody else's has its id");
}
