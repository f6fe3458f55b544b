//! Mailboxes: who may put how much where, and what becomes of what nobody comes for.

use directory::store::Store;
use protocol::{
    directory::{Deposit, DepositResult, MailItem, Refusal, Reply, Request},
    limits::{CIPHERTEXT_MAX, MAIL_EPOCHS, MAILBOX_RETENTION_MS},
    peer::Envelope,
};

use crate::{
    hall::{Hall, Person, bytes, mail_for},
    talk::{Made, id_of, message, place},
};

over_both!(
    a_stranger_has_twenty_messages_an_hour_and_they_come_marked,
    one_senders_mail_has_a_quota_over_all_its_conversations,
    what_nobody_came_for_in_fourteen_days_is_given_up_and_its_sender_told,
    only_members_put_mail_into_members_mailboxes,
    a_message_of_an_epoch_long_gone_is_to_be_sealed_anew,
    mail_is_removed_only_by_its_device,
);

fn accept(hall: &Hall<impl Store>, person: &mut Person, other: &Person) {
    let request = Request::Accept { accounts: vec![other.account].try_into().unwrap() };
    assert_eq!(hall.ask(person, request), Ok(Reply::Done));
}

fn envelope(from: &Person, place: (protocol::ConversationId, u64), number: u16) -> Envelope {
    Envelope {
        conversation: place.0,
        epoch: place.1,
        id: message(number),
        sender: from.device(),
        ciphertext: bytes(&[7; 256]),
    }
}

fn a_stranger_has_twenty_messages_an_hour_and_they_come_marked(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    let (at, to) = (place(&group), [bob.device()]);
    for number in 0..20 {
        assert_eq!(hall.deposit(&mut alice, at, number, &to), DepositResult::Stored, "message {number}");
    }
    let limited = DepositResult::Refused(Refusal::StrangerLimit);
    assert_eq!(hall.deposit(&mut alice, at, 20, &to), limited);
    assert_eq!(hall.deposit(&mut alice, at, 3, &to), DepositResult::Stored, "a repetition is none");
    // It is the recipient's word that counts, not the sender's.
    accept(&hall, &mut alice, &bob);
    assert_eq!(hall.deposit(&mut alice, at, 20, &to), limited);
    hall.pass(3_600_000 - 1);
    assert_eq!(hall.deposit(&mut alice, at, 20, &to), limited);
    hall.pass(1);
    assert_eq!(hall.deposit(&mut alice, at, 20, &to), DepositResult::Stored);
    accept(&hall, &mut bob, &alice);
    for number in 21..50 {
        assert_eq!(hall.deposit(&mut alice, at, number, &to), DepositResult::Stored, "message {number}");
    }
    let mail = hall.mail(&mut bob);
    let marked: Vec<bool> = mail
        .iter()
        .filter_map(|item| if let MailItem::Message { stranger, .. } = item { Some(*stranger) } else { None })
        .collect();
    assert_eq!(marked, [vec![true; 21], vec![false; 29]].concat());
}

fn one_senders_mail_has_a_quota_over_all_its_conversations(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    let Made { group: next, new } = hall.make_direct(&mut alice, &bob, 1);
    assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted));
    accept(&hall, &mut bob, &alice);
    accept(&hall, &mut alice, &bob);
    // 64 MiB of the longest messages, in turn through both conversations.
    let mut stored = 0_u16;
    while stored < 4_000 {
        let at = if stored.is_multiple_of(2) { place(&group) } else { place(&next) };
        match hall.deposit_bytes(&mut alice, at, stored, &[bob.device()], CIPHERTEXT_MAX) {
            DepositResult::Stored => stored += 1,
            other => {
                assert_eq!(other, DepositResult::Refused(Refusal::MailboxFull));
                break;
            }
        }
        hall.pass(2);
    }
    let bytes = usize::from(stored) * CIPHERTEXT_MAX;
    assert!((63 << 20..=64 << 20).contains(&bytes), "{stored} messages");
    let at = place(&group);
    let full = DepositResult::Refused(Refusal::MailboxFull);
    assert_eq!(hall.deposit_bytes(&mut alice, at, 9_999, &[bob.device()], CIPHERTEXT_MAX), full);
    assert_eq!(hall.deposit(&mut bob, at, 1, &[alice.device()]), DepositResult::Stored, "the other way has its own");
    assert_eq!(hall.deposit_bytes(&mut alice, at, 0, &[bob.device()], CIPHERTEXT_MAX), DepositResult::Stored);
    // Commits are not kept from anybody by messages, or nobody could ever read on.
    let mut group = group;
    let commit = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    let items = hall.mail(&mut bob);
    assert!(matches!(items.last(), Some(MailItem::Commit { .. })));
}

fn what_nobody_came_for_in_fourteen_days_is_given_up_and_its_sender_told(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    assert_eq!(hall.mail(&mut alice), []);
    hall.pass(1);
    assert_eq!(hall.deposit(&mut alice, place(&group), 1, &[bob.device()]), DepositResult::Stored);
    hall.pass(MAILBOX_RETENTION_MS - 1);
    assert_eq!(hall.service.sweep(hall.now), [], "the Welcome had no sender to be told");
    assert_eq!(hall.mail(&mut bob).len(), 1);
    hall.pass(1);
    assert_eq!(hall.service.sweep(hall.now), [mail_for(alice.device())]);
    assert_eq!(hall.service.sweep(hall.now), []);
    assert_eq!(hall.mail(&mut bob), []);
    let notice = MailItem::Expired { conversation: id_of(&group), id: message(1), recipient: bob.device() };
    assert_eq!(hall.mail(&mut alice), [notice]);
}

fn only_members_put_mail_into_members_mailboxes(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    let (at, to) = (place(&group), [bob.device()]);
    let refused = DepositResult::Refused;
    assert_eq!(hall.deposit(&mut carol, at, 1, &to), refused(Refusal::Unknown));
    assert_eq!(hall.deposit(&mut alice, at, 1, &[carol.device()]), refused(Refusal::NotMember));
    assert_eq!(hall.deposit(&mut alice, at, 1, &[bob.device(), carol.device()]), refused(Refusal::NotMember));
    let DepositResult::Refused(Refusal::Malformed(_)) = hall.deposit(&mut alice, at, 1, &[]) else { panic!() };
    let DepositResult::Refused(Refusal::Malformed(_)) = hall.deposit(&mut alice, (at.0, at.1 + 1), 1, &to) else {
        panic!()
    };
    let forged =
        Deposit::Message { envelope: envelope(&bob, at, 1), recipients: vec![bob.device()].try_into().unwrap() };
    let answer = hall.ask(&mut alice, Request::Deposit { items: vec![forged].try_into().unwrap() });
    let Ok(Reply::Deposited(results)) = answer else { panic!("{answer:?}") };
    assert!(matches!(results[..], [DepositResult::Refused(Refusal::Malformed(_))]), "{results:?}");
    assert_eq!(hall.mail(&mut carol), []);
    assert_eq!(hall.mail(&mut bob).len(), 1, "the Welcome alone");
    assert_eq!(hall.deposit(&mut alice, at, 1, &to), DepositResult::Stored);
}

fn a_message_of_an_epoch_long_gone_is_to_be_sealed_anew(hall: Hall<impl Store>) {
    let (mut alice, mut bob, carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = hall.talk(&mut alice, &mut bob);
    let (id, first) = place(&group);
    for _ in 0..MAIL_EPOCHS {
        let commit = hall.refresh(&mut group);
        assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
        group.apply_pending_commit().unwrap();
    }
    assert_eq!(hall.deposit(&mut bob, (id, first), 1, &[alice.device()]), DepositResult::Stored);
    let commit = hall.refresh(&mut group);
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
    assert_eq!(hall.deposit(&mut bob, (id, first), 2, &[alice.device()]), DepositResult::StaleEpoch);
    // Who is behind may not know yet who has left, and is told to catch up instead of to give up.
    assert_eq!(hall.deposit(&mut bob, (id, first + 5), 3, &[carol.device()]), DepositResult::StaleEpoch);
}

fn mail_is_removed_only_by_its_device(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    assert_eq!(hall.deposit(&mut alice, place(&group), 1, &[bob.device()]), DepositResult::Stored);
    let waiting = hall.mail(&mut bob);
    let Ok(Reply::Mail { items, .. }) = hall.ask(&mut bob, Request::Drain { after: None }) else { panic!() };
    let cursors: Vec<_> = items.iter().map(|(cursor, _)| *cursor).collect();
    let remove = Request::Remove { cursors: cursors.try_into().unwrap() };
    assert_eq!(hall.ask(&mut alice, remove.clone()), Ok(Reply::Done));
    assert_eq!(hall.mail(&mut bob), waiting);
    assert_eq!(hall.ask(&mut bob, remove), Ok(Reply::Done));
    assert_eq!(hall.mail(&mut bob), []);
    // What was collected does not come a second time, however often its sender asks.
    assert_eq!(hall.deposit(&mut alice, place(&group), 1, &[bob.device()]), DepositResult::Stored);
    assert_eq!(hall.mail(&mut bob), []);
}
