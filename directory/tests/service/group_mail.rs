//! Messages in groups: uploaded once for all, from whoever has joined, to whoever is there.

use directory::store::{Delivery, Quota, Store};
use protocol::{
    DeviceId,
    directory::{Deposit, DepositResult, MailItem, Refusal, Reply, Request},
    limits::{DEPOSIT_RECIPIENTS_MAX, MAIL_EPOCHS, RECIPIENTS_MAX, STRANGER_ENVELOPES_PER_HOUR},
    peer::Envelope,
    policy::Access,
};
use sha2::{Digest as _, Sha256};

use crate::{
    circle::policy_of,
    hall::{Hall, Person, bytes, mail_for},
    talk::{message, place},
};

over_both!(
    one_upload_is_for_all_and_nobody_in_a_group_is_a_stranger,
    who_has_not_joined_says_nothing,
    a_message_for_somebody_else_is_refused_or_comes_too_early,
    whoever_has_no_room_is_told_of_and_keeps_nobody_else_waiting,
    more_recipients_than_one_deposit_may_have_are_refused,
);

const STORED: DepositResult = DepositResult::Stored;

fn one_upload_is_for_all_and_nobody_in_a_group_is_a_stranger(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut group = hall.found(&mut alice, "team", Access::Open);
    hall.enter(&mut bob, &mut [&mut group]);
    hall.enter(&mut carol, &mut [&mut group]);
    // Whom one of them blocks still says it to all: what is shown of it is the blocker's own affair.
    let block = Request::Block { accounts: vec![alice.account].try_into().unwrap(), blocked: true };
    assert_eq!(hall.ask(&mut bob, block), Ok(Reply::Done));
    let before = hall.mail(&mut carol).len();
    let to = [bob.device(), carol.device()];
    for number in 0..2 * u16::try_from(STRANGER_ENVELOPES_PER_HOUR).unwrap() {
        assert_eq!(hall.deposit(&mut alice, place(&group), number, &to), STORED);
    }
    assert_eq!(hall.deposit(&mut alice, place(&group), 1, &to), STORED, "the same again");
    let mail = hall.mail(&mut carol).split_off(before);
    assert_eq!(mail.len(), 40);
    assert!(mail.iter().all(|item| matches!(item, MailItem::Message { stranger: false, .. })), "{mail:?}");
}

fn who_has_not_joined_says_nothing(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut group = hall.found(&mut alice, "club", Access::Invite);
    let invitation = hall.invitation(&mut group, &[&bob]);
    hall.settle(&mut alice, (&mut group, &invitation), &mut []);
    let mut theirs = hall.follow_welcome(&bob, &invitation, &group);
    let refused = DepositResult::Refused(Refusal::NotMember);
    let to = [alice.device()];
    assert_eq!(hall.deposit(&mut bob, place(&group), 1, &to), refused);
    assert_eq!(hall.deposit(&mut carol, place(&group), 1, &to), refused);
    // What is said meanwhile waits for whoever is invited.
    assert_eq!(hall.deposit(&mut alice, place(&group), 2, &[bob.device()]), STORED);
    let joined = policy_of(&theirs).with_joined(bob.account);
    let joins = hall.change(&mut theirs, Some(joined), |builder| builder);
    hall.settle(&mut bob, (&mut theirs, &joins), &mut [&mut group]);
    assert_eq!(hall.deposit(&mut bob, place(&group), 1, &to), STORED);
    let mail = hall.mail(&mut bob);
    assert!(matches!(mail[..], [MailItem::Welcome { .. }, MailItem::Message { .. }, MailItem::Commit { .. }]));
}

fn a_message_for_somebody_else_is_refused_or_comes_too_early(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut second = Person::with_device("bob", 2, 22, bob.entry.not_after);
    let mut group = hall.found(&mut alice, "team", Access::Open);
    let mut bobs = hall.enter(&mut bob, &mut [&mut group]);
    hall.enrol(&mut bob, &mut second);
    let (id, epoch) = place(&group);
    let to = [bob.device(), carol.device()];
    let refused = DepositResult::Refused(Refusal::NotMember);
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 1, &to), refused, "carol is not in it");
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 1, &[second.device()]), refused, "nor bob's other device");
    hall.enter(&mut carol, &mut [&mut group, &mut bobs]);
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 1, &to), STORED, "an epoch behind");
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 2, &[second.device()]), DepositResult::StaleEpoch);
    let ahead = hall.deposit(&mut alice, (id, epoch + 2), 3, &to);
    assert!(matches!(ahead, DepositResult::Refused(Refusal::Malformed(_))), "{ahead:?}");
    for _ in 0..MAIL_EPOCHS {
        let refresh = hall.change(&mut group, None, |builder| builder);
        hall.settle(&mut alice, (&mut group, &refresh), &mut []);
    }
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 4, &to), DepositResult::StaleEpoch);
}

fn whoever_has_no_room_is_told_of_and_keeps_nobody_else_waiting(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut group = hall.found(&mut alice, "team", Access::Open);
    hall.enter(&mut bob, &mut [&mut group]);
    hall.enter(&mut carol, &mut [&mut group]);
    let to = [bob.device(), carol.device()];
    let (id, epoch) = place(&group);
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 1, &to), STORED);
    // Bob's mailbox holds all that it takes of alice's.
    let counted = Sha256::new().chain_update(b"messages").chain_update(alice.device().0).finalize().into();
    let quota = Some(Quota { counted, items: u64::MAX, bytes: u64::MAX });
    let mut full = vec![0; 32 * 1024 * 1024];
    for n in 0..2 {
        full[0] = n;
        let (recipients, item) = (vec![(bob.device(), true)], full.clone());
        let (expires, message) = (hall.now.plus_ms(1_000_000), None);
        let delivery = Delivery { recipients, key: [n; 32], replaces: false, item, message, expires, quota };
        assert_eq!(hall.service.store().deliver(&[delivery]).unwrap(), [true]);
    }
    let before = [hall.mail(&mut alice).len(), hall.mail(&mut carol).len()];
    let envelope =
        Envelope { conversation: id, epoch, id: message(2), sender: alice.device(), ciphertext: bytes(&[7]) };
    let item = Deposit::Message { envelope, recipients: to.to_vec().try_into().unwrap() };
    let handled = hall.handle(&mut alice, Request::Deposit { items: vec![item].try_into().unwrap() });
    assert_eq!(handled.answer, Ok(Reply::Deposited(vec![STORED].try_into().unwrap())));
    assert_eq!(handled.effects, [mail_for(carol.device()), mail_for(alice.device())]);
    let notice = MailItem::Expired { conversation: id, id: message(2), recipient: bob.device() };
    assert_eq!(hall.mail(&mut alice)[before[0]..], [notice]);
    assert_eq!(hall.mail(&mut carol).len(), before[1] + 1);
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 1, &to), STORED, "what bob has already, he has");
    assert_eq!(hall.mail(&mut alice).len(), before[0] + 1);
}

fn more_recipients_than_one_deposit_may_have_are_refused(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let group = hall.found(&mut alice, "team", Access::Open);
    let (conversation, epoch) = place(&group);
    let deposit = |count: usize, last: usize| {
        let item = |number: usize| {
            let recipients = if number == count { last } else { RECIPIENTS_MAX };
            let id = message(u16::try_from(number).unwrap());
            let envelope = Envelope { conversation, epoch, id, sender: alice.device(), ciphertext: bytes(&[7]) };
            let recipients = vec![DeviceId([99; 16]); recipients].try_into().unwrap();
            Deposit::Message { envelope, recipients }
        };
        Request::Deposit { items: (1..=count).map(item).collect::<Vec<_>>().try_into().unwrap() }
    };
    let full = DEPOSIT_RECIPIENTS_MAX / RECIPIENTS_MAX;
    let (most, more) = (deposit(full, RECIPIENTS_MAX), deposit(full + 1, 1));
    let refused = vec![DepositResult::Refused(Refusal::NotMember); full];
    assert_eq!(hall.ask(&mut alice, most), Ok(Reply::Deposited(refused.try_into().unwrap())));
    assert!(matches!(hall.ask(&mut alice, more), Err(Refusal::Malformed(_))));
}
