//! One order of commits: the first valid one of an epoch counts, and everybody whom it concerns hears of it.

use directory::store::{Handout, Store};
use mls_rs::{ExtensionList, MlsMessage};
use protocol::{
    Bounded, CommitHash, ConversationId, DeviceId,
    directory::{CommitSubmission, DepositResult, HandshakeBytes, MailItem, Refusal, Reply, Request},
    frame,
    limits::{DIRECTORY_FRAME_MAX, HANDSHAKE_MAX},
    policy::PolicyRefusal,
};
use sha2::{Digest as _, Sha256};

use crate::{
    hall::{Hall, Person, bytes, mail_for, mls_time},
    talk::{Made, id_of, is_malformed, place},
};

over_both!(
    a_commit_goes_to_every_member_once_its_author_too,
    a_commit_has_settled_when_every_connected_member_has_taken_it,
    the_second_commit_of_an_epoch_lost_to_the_first,
    a_commit_of_no_epoch_is_stale,
    the_rules_name_what_they_forbid,
    a_commit_that_does_not_hold_is_refused_as_malformed,
    only_its_author_submits_a_commit,
    a_device_comes_back_in_the_place_of_its_old_leaf,
    a_device_that_is_removed_gets_the_commit_that_removes_it_and_nothing_after_it,
    a_hundred_conversations_are_refreshed_at_once_and_no_storm_of_commits_passes,
    what_a_crash_kept_from_mailboxes_comes_by_the_sweep_to_those_whom_it_was_for,
    what_a_crash_kept_from_mailboxes_comes_before_the_next_commit,
    whoever_hears_of_a_new_epoch_finds_its_commit_in_the_mailbox,
    commits_that_nobody_collects_have_an_end,
);

fn item(submission: &CommitSubmission) -> MailItem {
    MailItem::Commit {
        conversation: submission.conversation,
        epoch: submission.epoch,
        commit: submission.commit.clone(),
    }
}

fn a_commit_goes_to_every_member_once_its_author_too(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let before = hall.mail(&mut bob).len();
    let commit = hall.refresh(&mut group);
    let request = Request::SubmitCommit(Box::new(commit.clone()));
    let handled = hall.handle(&mut alice, request);
    assert_eq!(handled.answer, Ok(Reply::CommitAccepted));
    assert_eq!(handled.effects, [mail_for(alice.device()), mail_for(bob.device())]);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted), "the same again");
    assert_eq!(hall.mail(&mut alice), [item(&commit)]);
    assert_eq!(hall.mail(&mut bob)[before..], [item(&commit)]);
}

fn a_commit_has_settled_when_every_connected_member_has_taken_it(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let mut carol = hall.arrive("carol", 3);
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let announce = || Request::Announce { addresses: Bounded::default(), send_counter: 0 };
    let (conversation, epoch) = place(&group);
    let asked = |epoch| Request::Settling { commits: vec![(conversation, epoch)].try_into().unwrap() };
    let settling = |devices| Ok(Reply::Settling { devices });
    let commit = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    assert!(hall.ask(&mut alice, announce()).is_ok());
    assert_eq!(hall.ask(&mut alice, asked(epoch)), settling(0), "bob is away, and alice asks");
    assert!(hall.ask(&mut bob, announce()).is_ok());
    assert_eq!(hall.ask(&mut alice, asked(epoch)), settling(1));
    assert_eq!(hall.ask(&mut alice, asked(epoch + 1)), settling(0), "a commit that there is not");
    let Ok(Reply::Mail { items, .. }) = hall.ask(&mut bob, Request::Drain { after: None }) else { panic!("no mail") };
    assert_eq!(hall.ask(&mut alice, asked(epoch)), settling(1), "what is only read is not stored yet");
    let cursors: Vec<_> = items.iter().map(|(cursor, _)| *cursor).collect();
    assert_eq!(hall.ask(&mut bob, Request::Remove { cursors: cursors.try_into().unwrap() }), Ok(Reply::Done));
    assert_eq!(hall.ask(&mut alice, asked(epoch)), settling(0));
    assert_eq!(hall.ask(&mut carol, asked(epoch)), Err(Refusal::Unknown), "whoever is not in it learns nothing");
}

fn the_second_commit_of_an_epoch_lost_to_the_first(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, mut joined) = hall.talk(&mut alice, &mut bob);
    let (first, second) = (hall.refresh(&mut group), hall.refresh(&mut joined));
    assert_eq!(hall.submit(&mut alice, &first), Ok(Reply::CommitAccepted));
    let winner = CommitHash(Sha256::digest(&*first.commit).into());
    assert_eq!(hall.submit(&mut bob, &second), Ok(Reply::CommitLost { winner }));
    // Also when more epochs have passed.
    group.apply_pending_commit().unwrap();
    let third = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &third), Ok(Reply::CommitAccepted));
    assert_eq!(hall.submit(&mut bob, &second), Ok(Reply::CommitLost { winner }));
    assert!(!hall.mail(&mut alice).contains(&item(&second)));
}

fn a_commit_of_no_epoch_is_stale(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let commit = hall.refresh(&mut group);
    for epoch in [0, commit.epoch + 1, u64::MAX] {
        let moved = CommitSubmission { epoch, ..commit.clone() };
        assert_eq!(hall.submit(&mut alice, &moved), Err(Refusal::Stale), "epoch {epoch}");
    }
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
}

fn the_rules_name_what_they_forbid(hall: Hall<impl Store>) {
    let (mut alice, mut bob, carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let stranger = MlsMessage::from_bytes(&carol.package(hall.now)).unwrap();
    let leaf = |of: &[u8]| group.member_with_identity(of).unwrap().index;
    let (own, theirs) = (group.current_member_index(), leaf(&bob.device().0));
    assert_ne!(own, theirs);
    let extensions: ExtensionList = group.context().extensions.clone();
    let add = hall.commit(&mut group, |builder| builder.add_member(stranger).unwrap());
    group.clear_pending_commit();
    let remove = hall.commit(&mut group, |builder| builder.remove_member(theirs).unwrap());
    group.clear_pending_commit();
    let other = hall.commit(&mut group, |builder| builder.set_group_context_ext(extensions).unwrap());
    group.clear_pending_commit();
    let cases = [
        (add, PolicyRefusal::ForeignAccount),
        (remove, PolicyRefusal::ForeignRemoval),
        (other, PolicyRefusal::UnknownChange),
    ];
    for (commit, which) in cases {
        assert_eq!(hall.submit(&mut alice, &commit), Err(Refusal::Policy(which)));
    }
    let honest = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &honest), Ok(Reply::CommitAccepted), "and the epoch is still open");
}

fn a_commit_that_does_not_hold_is_refused_as_malformed(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let (mut elsewhere, _) = hall.talk(&mut alice, &mut carol);
    let own = group.current_member_index();
    let package = MlsMessage::from_bytes(&bob.package(hall.now)).unwrap();
    let good = hall.refresh(&mut group);
    group.clear_pending_commit();
    let other = hall.refresh(&mut group);
    group.clear_pending_commit();
    let instead =
        hall.commit(&mut group, |builder| builder.remove_member(1 - own).unwrap().add_member(package).unwrap());
    group.clear_pending_commit();
    let foreign = hall.refresh(&mut elsewhere);
    let application = {
        let message = group.encrypt_application_message(b"hello", Vec::new()).unwrap();
        bytes(&message.to_bytes().unwrap())
    };
    // No bit of it may change, but for the last thirty-three bytes: the membership tag is the members' own to check.
    let tampered = |at: usize| {
        let mut commit = good.commit.to_vec();
        commit[at] ^= 1;
        CommitSubmission { commit: bytes(&commit), ..good.clone() }
    };
    let length = good.commit.len() - 33;
    let mut cases: Vec<(String, CommitSubmission)> =
        (1..40).map(|n| (format!("byte {} of {length}", n * length / 40), tampered(n * length / 40))).collect();
    let with = |commit: &HandshakeBytes| CommitSubmission { commit: commit.clone(), ..good.clone() };
    cases.extend([
        ("no commit".to_owned(), with(&HandshakeBytes::default())),
        ("a message".to_owned(), with(&application)),
        ("another conversation's".to_owned(), with(&foreign.commit)),
        ("GroupInfo of another state".to_owned(), CommitSubmission { group_info: other.group_info, ..good.clone() }),
        ("a Welcome".to_owned(), CommitSubmission { welcome: Some(good.commit.clone()), ..good.clone() }),
    ]);
    for (what, commit) in cases {
        let answer = hall.submit(&mut alice, &commit);
        // A byte of the leaf in it may make it the word of a device that is not the caller's.
        let refused = is_malformed(&answer) || answer == Err(Refusal::NotMember);
        assert!(refused, "{what}: {answer:?}");
    }
    let answer = hall.submit(&mut alice, &instead);
    assert!(answer.is_err(), "somebody's device put in by somebody else: {answer:?}");
    assert_eq!(hall.submit(&mut alice, &good), Ok(Reply::CommitAccepted));
}

fn only_its_author_submits_a_commit(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let commit = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut bob, &commit), Err(Refusal::NotMember));
    assert_eq!(hall.submit(&mut carol, &commit), Err(Refusal::Unknown));
    let (_, intrusion) = hall.external(&carol, &group, &[]);
    assert_eq!(hall.submit(&mut carol, &intrusion), Err(Refusal::Unknown));
    assert_eq!(hall.submit(&mut alice, &intrusion), Err(Refusal::NotMember));
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    let handled = hall.handle(&mut bob, Request::SubmitCommit(Box::new(commit)));
    assert_eq!((handled.answer, handled.effects), (Err(Refusal::NotMember), vec![]), "not even again");
}

fn a_device_comes_back_in_the_place_of_its_old_leaf(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, joined) = hall.talk(&mut alice, &mut bob);
    let old = joined.current_member_index();
    let (mut back, commit) = hall.external(&bob, &joined, &[old]);
    assert_eq!(hall.submit(&mut bob, &commit), Ok(Reply::CommitAccepted));
    assert_eq!(hall.mail(&mut alice), [item(&commit)]);
    let received = MlsMessage::from_bytes(&commit.commit).unwrap();
    group.process_incoming_message_with_time(received, mls_time(hall.now)).unwrap();
    let sealed = back.encrypt_application_message(b"here again", Vec::new()).unwrap();
    assert!(group.process_incoming_message(sealed).is_ok());
}

fn a_device_that_is_removed_gets_the_commit_that_removes_it_and_nothing_after_it(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let mut second = Person::with_device("alice", 1, 11, alice.entry.not_after);
    hall.enrol(&mut alice, &mut second);
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    // It comes in by itself. Nobody puts it in, not even its own person.
    let package = MlsMessage::from_bytes(&second.package(hall.now)).unwrap();
    let added = hall.commit(&mut group, |builder| builder.add_member(package).unwrap());
    group.clear_pending_commit();
    assert!(is_malformed(&hall.submit(&mut alice, &added)));
    let (joined, comes) = hall.external(&second, &group, &[]);
    assert_eq!(hall.submit(&mut second, &comes), Ok(Reply::CommitAccepted));
    assert_eq!(hall.mail(&mut second), [item(&comes)]);
    let received = MlsMessage::from_bytes(&comes.commit).unwrap();
    group.process_incoming_message_with_time(received, mls_time(hall.now)).unwrap();
    // The other person's device may not be removed, one's own may.
    let goes = hall.commit(&mut group, |builder| builder.remove_member(joined.current_member_index()).unwrap());
    let handled = hall.handle(&mut alice, Request::SubmitCommit(Box::new(goes.clone())));
    let told = [alice.device(), bob.device(), second.device()].map(mail_for);
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::CommitAccepted), told.to_vec()));
    group.apply_pending_commit().unwrap();
    let next = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &next), Ok(Reply::CommitAccepted));
    assert_eq!(hall.submit(&mut alice, &goes), Ok(Reply::CommitAccepted), "a repetition goes to nobody new");
    assert_eq!(hall.mail(&mut second), [item(&comes), item(&goes)]);
    assert_eq!(hall.mail(&mut alice), [item(&comes), item(&goes), item(&next)]);
}

fn a_hundred_conversations_are_refreshed_at_once_and_no_storm_of_commits_passes(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    hall.stock(&mut bob, 1);
    let Made { mut group, new } = hall.make_direct(&mut alice, &bob, 0);
    assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted));
    let commit = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    hall.pass(60_000);
    // As many as a hundred conversations on sixteen devices have, the same one each time.
    for _ in 0..1_600 {
        assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    }
    let more = (0..1_000).take_while(|_| hall.submit(&mut alice, &commit).is_ok()).count();
    assert_eq!(more, 400);
    hall.pass(1_000);
    let later = (0..1_000).take_while(|_| hall.submit(&mut alice, &commit).is_ok()).count();
    assert_eq!(later, 20);
}

/// Leaves the store as a process does that dies between a change and the mailboxes.
fn owe(
    hall: &Hall<impl Store>,
    author: &Person,
    conversation: ConversationId,
    (epoch, length): (u64, usize),
    to: &[DeviceId],
) -> MailItem {
    let commit = bytes(&vec![7; length]);
    let item = MailItem::Commit { conversation, epoch, commit };
    let handout = Handout {
        conversation,
        epoch,
        number: 0,
        author: author.device(),
        devices: to.to_vec(),
        welcome: false,
        key: Sha256::digest(epoch.to_be_bytes()).into(),
        item: frame::encode_body(&item, DIRECTORY_FRAME_MAX).unwrap(),
        expires: hall.now.plus_ms(1_000_000),
    };
    let mut record = hall.service.store().conversation(conversation).unwrap().unwrap();
    // The store keeps what it is given with any conversation that is new to it.
    record.roster.id = ConversationId(Sha256::digest(epoch.to_be_bytes()).into());
    hall.service.store().create_conversation(&record, &[handout]).unwrap();
    item
}

fn what_a_crash_kept_from_mailboxes_comes_by_the_sweep_to_those_whom_it_was_for(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    let before = hall.mail(&mut bob);
    let owed = owe(&hall, &alice, id_of(&group), (7, 8), &[bob.device()]);
    assert_eq!(hall.mail(&mut bob), before);
    assert_eq!(hall.service.sweep(hall.now), [mail_for(bob.device())]);
    assert_eq!(hall.service.sweep(hall.now), [], "once");
    assert_eq!(hall.mail(&mut bob), [before, vec![owed]].concat());
    assert_eq!(hall.mail(&mut alice), [], "it was for bob alone");
}

fn what_a_crash_kept_from_mailboxes_comes_before_the_next_commit(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let both = [alice.device(), bob.device()];
    let owed = [7, 8].map(|epoch| owe(&hall, &bob, id_of(&group), (epoch, 8), &both));
    let commit = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    assert_eq!(hall.mail(&mut alice), [owed.to_vec(), vec![item(&commit)]].concat());
    // And with a repetition, whose answer says that it is on its way.
    let owed = owe(&hall, &alice, id_of(&group), (9, 8), &both);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    assert_eq!(hall.mail(&mut bob).last(), Some(&owed));
}

fn whoever_hears_of_a_new_epoch_finds_its_commit_in_the_mailbox(hall: Hall<impl Store>) {
    let (mut alice, mut bob, carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, mut theirs) = hall.talk(&mut alice, &mut bob);
    let before = place(&group);
    let (commit, rival) = (hall.refresh(&mut group), hall.refresh(&mut theirs));
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    group.apply_pending_commit().unwrap();
    let owed = owe(&hall, &alice, id_of(&group), (7, 8), &[bob.device()]);
    assert!(matches!(hall.submit(&mut bob, &rival), Ok(Reply::CommitLost { .. })));
    assert_eq!(hall.mail(&mut bob).last(), Some(&owed), "by losing against it");
    let owed = owe(&hall, &alice, id_of(&group), (8, 8), &[bob.device()]);
    assert_eq!(hall.deposit(&mut bob, before, 1, &[carol.device()]), DepositResult::StaleEpoch);
    assert_eq!(hall.mail(&mut bob).last(), Some(&owed), "by being too early");
    let owed = owe(&hall, &alice, id_of(&group), (9, 8), &[bob.device()]);
    let count = hall.mail(&mut bob).len();
    assert_eq!(hall.deposit(&mut alice, place(&group), 1, &[bob.device()]), DepositResult::Stored);
    let mail = hall.mail(&mut bob).split_off(count);
    assert!(
        matches!(&mail[..], [first, MailItem::Message { .. }] if *first == owed),
        "by what is said in it: {mail:?}"
    );
    let owed = owe(&hall, &alice, id_of(&group), (10, 8), &[bob.device()]);
    let epochs = Request::Epochs { groups: vec![before].try_into().unwrap() };
    assert!(matches!(hall.ask(&mut bob, epochs), Ok(Reply::Epochs(_))));
    assert_eq!(hall.mail(&mut bob).last(), Some(&owed), "by asking for it");
}

fn commits_that_nobody_collects_have_an_end(hall: Hall<impl Store>) {
    fill_and_go_on(&hall, 64, HANDSHAKE_MAX);
}

#[test]
fn short_commits_that_nobody_collects_have_an_end_too() {
    // The Welcome counts as well.
    fill_and_go_on(&crate::hall::in_memory(), 999, 8);
}

/// Alice makes so many commits of such a length that bob does not collect.
fn fill_and_go_on(hall: &Hall<impl Store>, count: u64, length: usize) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, mut joined) = hall.talk(&mut alice, &mut bob);
    for epoch in 100..100 + count {
        owe(hall, &alice, id_of(&group), (epoch, length), &[bob.device()]);
    }
    while !hall.service.sweep(hall.now).is_empty() {}
    let commit = hall.refresh(&mut group);
    group.clear_pending_commit();
    assert_eq!(hall.submit(&mut alice, &commit), Err(Refusal::MailboxFull));
    let of_no_epoch = CommitSubmission { epoch: 77, ..commit.clone() };
    assert_eq!(hall.submit(&mut alice, &of_no_epoch), Err(Refusal::MailboxFull), "full before stale");
    let others = hall.refresh(&mut joined);
    assert_eq!(hall.submit(&mut bob, &others), Ok(Reply::CommitAccepted), "whoever did not send so many goes on");
    let received = MlsMessage::from_bytes(&others.commit).unwrap();
    group.process_incoming_message_with_time(received, mls_time(hall.now)).unwrap();
    let next = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &next), Err(Refusal::MailboxFull));
    let Ok(Reply::Mail { items, .. }) = hall.ask(&mut bob, Request::Drain { after: None }) else { panic!() };
    let cursors = items.iter().map(|(cursor, _)| *cursor).take(2).collect::<Vec<_>>();
    assert_eq!(hall.ask(&mut bob, Request::Remove { cursors: cursors.try_into().unwrap() }), Ok(Reply::Done));
    assert_eq!(hall.submit(&mut alice, &next), Ok(Reply::CommitAccepted));
}
