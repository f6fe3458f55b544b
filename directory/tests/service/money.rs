//! Payments: each order settles once, whoever hands it in how often, and only as its payer signed it.

use std::sync::Arc;

use directory::{
    core::{ServiceEffect, ledger::Operation},
    ledger::{Finish, Settle},
    store::{Store, memory::MemoryStore},
};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, DeviceId, LedgerId, MemoCommitment, OrderId, Timestamp,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, LimitKind, PaymentLimits, Push, Refusal, Reply, Request},
    money::{Amount, ORDER_LIFETIME_MAX_MS, Order},
};
use settlement::{proof, signed};

use crate::{
    hall::{BEGIN, Hall, Person, device_list, key},
    talk::is_malformed,
    till::{self, OPENING, Till, amount, over_both_tills, sign},
};

over_both_tills!(
    everybody_begins_with_the_opening_balance_once,
    a_payment_moves_money_and_both_have_the_receipt,
    the_same_order_settles_once_from_both_ends_and_also_after_a_restart,
    other_bytes_of_a_known_order_are_a_conflict,
    a_refused_order_stays_refused_and_an_expired_one_leaves_no_trace,
    only_a_key_of_the_payers_spends,
    no_field_of_a_signed_order_can_be_changed,
    an_order_for_another_ledger_or_too_far_ahead_is_refused,
    a_revoked_device_spends_nothing_also_what_it_signed_before,
    who_blocks_whom_pays_nobody,
    limits_hold_by_payment_day_and_peer_also_after_a_restart,
    whose_business_it_is_not_hands_nothing_in,
    the_earliest_reason_is_told_over_the_wire,
    the_log_grows_only_at_its_end,
    devices_of_both_are_told_but_the_one_that_asks,
    an_account_with_money_is_not_closed,
    who_is_refused_too_often_has_to_wait,
    what_was_too_late_stays_so_when_the_clock_is_set_back,
    a_ledger_ahead_of_the_clock_takes_orders_of_its_own_time,
);

fn everybody_begins_with_the_opening_balance_once(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    assert_eq!([till.balance(&mut alice), till.balance(&mut bob)], [OPENING; 2]);
    // A service that is started again posts nothing more.
    till.restart(PaymentLimits::default());
    till.hall.service.sweep(till.hall.now);
    till.hall.connect(&mut alice);
    assert_eq!(till.entries(&mut alice, None), [(1, OPENING, OPENING)]);
}

#[test]
fn an_opening_balance_that_a_crash_kept_back_is_there_after_it() {
    let store = MemoryStore::default();
    let dead = till::service_settled_by(store.clone(), Arc::new(store.ledger()), |_| Arc::new(Gone));
    let hall = Hall { service: dead, now: BEGIN };
    let mut alice = Person::new("alice", 1, BEGIN);
    assert_eq!(hall.sign_up(&mut alice), Err(Refusal::Unavailable), "the account is there, its money is not");
    let mut till = till::over(store);
    till.hall.connect(&mut alice);
    assert_eq!(till.balance(&mut alice), OPENING);
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    assert_eq!(till.entries(&mut alice, None), [(0, OPENING, OPENING)]);
}

/// Nobody writes the ledger any more.
struct Gone;

impl Settle for Gone {
    fn hand_in(&self, _now: Timestamp, _operation: Operation, _finish: Finish) {}
}

fn a_payment_moves_money_and_both_have_the_receipt(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let order = till.order(1, &alice, bob.account, 1_250);
    assert_eq!(till.pay(&mut alice, &order), Ok((3, OPENING - 1_250)));
    assert_eq!([till.balance(&mut alice), till.balance(&mut bob)], [OPENING - 1_250, OPENING + 1_250]);
    assert_eq!(till.entries(&mut bob, Some(2)), [(3, 1_250, OPENING + 1_250)]);
    assert_eq!(till.entries(&mut alice, None), [(1, OPENING, OPENING), (3, 1_250, OPENING - 1_250)]);
    let rest = till.order(2, &alice, bob.account, OPENING - 1_250);
    assert_eq!(till.pay(&mut alice, &rest), Ok((4, 0)));
    let more = till.order(3, &alice, bob.account, 1);
    assert_eq!(till.pay(&mut alice, &more), Err(LedgerRefusal::Insufficient { available: Amount::ZERO }));
}

fn the_same_order_settles_once_from_both_ends_and_also_after_a_restart(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let order = till.order(1, &alice, bob.account, 30);
    let signed = sign(&order);
    let Ok(LedgerReply::Settled(first)) = till.settle(&mut bob, &signed) else { panic!() };
    assert_eq!((till.check(&mut bob, &first, &signed), first.balance), (3, amount(OPENING + 30)));
    assert_eq!(till.pay(&mut alice, &order), Ok((3, OPENING - 30)), "the payer, later");
    // Signed anew, the same bytes have another signature and are the same order.
    let (r, s) = signed.signature.0.split_at(32);
    assert!(!r.is_empty() && !s.is_empty());
    let elsewhere = till.order(2, &bob, alice.account, 5);
    till.pay(&mut bob, &elsewhere).unwrap();
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    till.hall.connect(&mut bob);
    till.hall.pass(120_000);
    assert_eq!(till.pay(&mut alice, &order), Ok((3, OPENING - 30)), "when it has expired, after a restart");
    assert_eq!([till.balance(&mut alice), till.balance(&mut bob)], [OPENING - 25, OPENING + 25]);
}

fn other_bytes_of_a_known_order_are_a_conflict(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let order = till.order(1, &alice, bob.account, 30);
    till.pay(&mut alice, &order).unwrap();
    let other = Order { amount: amount(31), ..order.clone() };
    assert_eq!(till.pay(&mut alice, &other), Err(LedgerRefusal::Conflict));
    // Somebody else's order of the same id is another one.
    let theirs = till.order(1, &bob, alice.account, 30);
    assert_eq!(till.pay(&mut bob, &theirs), Ok((4, OPENING)));
}

fn a_refused_order_stays_refused_and_an_expired_one_leaves_no_trace(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let order = till.order(1, &alice, bob.account, OPENING + 1);
    let refused = Err(LedgerRefusal::Insufficient { available: amount(OPENING) });
    assert_eq!(till.pay(&mut alice, &order), refused);
    let back = till.order(9, &bob, alice.account, 50);
    till.pay(&mut bob, &back).unwrap();
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    assert_eq!(till.pay(&mut alice, &order), refused, "although there is enough now");
    let late = Order { not_after: till.hall.now, ..till.order(2, &alice, bob.account, 1) };
    assert_eq!(till.pay(&mut alice, &late), Err(LedgerRefusal::Expired));
    let in_time = till.order(2, &alice, bob.account, 1);
    assert_eq!(till.pay(&mut alice, &in_time).map(|(place, _)| place), Ok(4), "its id is free");
}

fn only_a_key_of_the_payers_spends(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let order = till.order(1, &alice, bob.account, 30);
    let signed_by = |key: &SigningKey| signed::sign_order(&order, key).unwrap();
    // Bob's key, alice's keys of other uses, and her root.
    for (owner, purpose) in [(2, 4), (1, 2), (1, 3), (1, 1)] {
        let signed = signed_by(&key(owner, purpose));
        for person in [&mut alice, &mut bob] {
            assert_eq!(till.settle(person, &signed), Err(LedgerRefusal::BadSignature), "key {owner} {purpose}");
        }
    }
    // A device of the payee's, which signs truly, as one of the payer's.
    let order = Order { device: bob.device(), ..order };
    assert_eq!(till.settle(&mut bob, &sign(&order)), Err(LedgerRefusal::BadSignature));
    let order = Order { device: DeviceId([77; 16]), ..order };
    assert_eq!(till.settle(&mut bob, &sign(&order)), Err(LedgerRefusal::BadSignature));
    assert_eq!(till.balance(&mut alice), OPENING);
}

fn no_field_of_a_signed_order_can_be_changed(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let carol = till.arrive("carol", 3);
    let order = till.order(1, &alice, bob.account, 30);
    let good = sign(&order);
    type Change = fn(&mut Order, AccountId);
    let changes: [Change; 6] = [
        |order, _| order.id = OrderId([2; 16]),
        |order, carol| order.payee = carol,
        |order, _| order.amount = amount(31),
        |order, _| order.memo = MemoCommitment([0; 32]),
        |order, _| order.refunds = Some(OrderId([3; 16])),
        |order, _| order.not_after = order.not_after.plus_ms(1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut altered = order.clone();
        change(&mut altered, carol.account);
        let altered = protocol::money::SignedOrder { signature: good.signature, ..sign(&altered) };
        assert_eq!(till.settle(&mut alice, &altered), Err(LedgerRefusal::BadSignature), "field {number}");
    }
    assert!(till.settle(&mut bob, &good).is_ok());
}

fn an_order_for_another_ledger_or_too_far_ahead_is_refused(till: Till<impl Store>) {
    let (mut alice, bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let order = till.order(1, &alice, bob.account, 30);
    let elsewhere = Order { ledger: LedgerId([0; 32]), ..order.clone() };
    assert_eq!(till.pay(&mut alice, &elsewhere), Err(LedgerRefusal::WrongLedger));
    let latest = till.hall.now.plus_ms(ORDER_LIFETIME_MAX_MS);
    let far = Order { not_after: latest.plus_ms(1), ..order.clone() };
    assert_eq!(till.pay(&mut alice, &far), Err(LedgerRefusal::TooFar));
    assert!(till.pay(&mut alice, &Order { not_after: latest, ..order }).is_ok());
}

fn a_revoked_device_spends_nothing_also_what_it_signed_before(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let mut other = Person::with_device("alice", 1, 11, BEGIN.plus_ms(1_000_000_000));
    till.hall.enrol(&mut alice, &mut other);
    let settled = till.order(1, &other, bob.account, 30);
    assert!(till.pay(&mut other, &settled).is_ok());
    let (early, never) = (till.order(2, &other, bob.account, 5), till.order(3, &other, bob.account, 6));
    let devices = device_list(&key(1, 1), 3, vec![alice.certificate.clone()]);
    assert_eq!(till.hall.ask(&mut alice, Request::UpdateDevices { devices }), Ok(Reply::Done));
    for order in [&early, &never] {
        assert_eq!(till.settle(&mut bob, &sign(order)), Err(LedgerRefusal::DeviceRevoked));
        assert_eq!(till.settle(&mut alice, &sign(order)), Err(LedgerRefusal::DeviceRevoked));
    }
    // What was settled before stays so, and a key that never was the payer's is worth less than a revoked one.
    let Ok(LedgerReply::Settled(own)) = till.settle(&mut bob, &sign(&settled)) else { panic!() };
    assert_eq!(own.balance, amount(OPENING + 30));
    let forged = signed::sign_order(&till.order(4, &other, bob.account, 5), &key(2, 4)).unwrap();
    assert_eq!(till.settle(&mut bob, &forged), Err(LedgerRefusal::BadSignature));
}

fn who_blocks_whom_pays_nobody(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    till.block(&mut bob, alice.account, true);
    for (id, from_bob) in [(1, false), (2, true)] {
        let (order, who) = if from_bob {
            (till.order(id, &bob, alice.account, 3), &mut bob)
        } else {
            (till.order(id, &alice, bob.account, 3), &mut alice)
        };
        assert_eq!(till.pay(who, &order), Err(LedgerRefusal::Blocked));
    }
    till.block(&mut bob, alice.account, false);
    let order = till.order(3, &alice, bob.account, 3);
    assert!(till.pay(&mut alice, &order).is_ok());
}

fn limits_hold_by_payment_day_and_peer_also_after_a_restart(mut till: Till<impl Store>) {
    let limits = PaymentLimits { payment: Some(amount(50)), day: Some(amount(100)), peer: Some(amount(70)) };
    let (mut alice, bob, carol) = (till.arrive("alice", 1), till.arrive("bob", 2), till.arrive("carol", 3));
    let mut id = 0;
    let mut pay = |till: &Till<_>, alice: &mut Person, to: &Person, units: u64| {
        id += 1;
        till.pay(alice, &till.order(id, alice, to.account, units)).map(|_| ())
    };
    let over = |kind, limit| Err(LedgerRefusal::OverLimit { kind, limit: amount(limit) });
    assert_eq!(pay(&till, &mut alice, &bob, 40), Ok(()), "without a limit");
    till.restart(limits);
    till.hall.connect(&mut alice);
    assert_eq!(pay(&till, &mut alice, &bob, 51), over(LimitKind::Payment, 50));
    assert_eq!(pay(&till, &mut alice, &bob, 31), over(LimitKind::Peer, 70), "today's count, from before the restart");
    assert_eq!(pay(&till, &mut alice, &bob, 30), Ok(()));
    assert_eq!(pay(&till, &mut alice, &carol, 31), over(LimitKind::Day, 100));
    assert_eq!(pay(&till, &mut alice, &carol, 30), Ok(()));
    till.hall.pass(24 * 3_600 * 1_000);
    assert_eq!(pay(&till, &mut alice, &bob, 50), Ok(()), "tomorrow");
}

fn whose_business_it_is_not_hands_nothing_in(till: Till<impl Store>) {
    let (alice, bob, mut carol) = (till.arrive("alice", 1), till.arrive("bob", 2), till.arrive("carol", 3));
    let settle = |order: &Order| Request::Ledger(Box::new(LedgerRequest::Settle { order: sign(order) }));
    let order = till.order(1, &alice, bob.account, 30);
    assert!(is_malformed(&till.hall.ask(&mut carol, settle(&order))));
    let nothing = till.order(2, &carol, bob.account, 0);
    assert!(is_malformed(&till.hall.ask(&mut carol, settle(&nothing))));
    let mut stranger = Person::new("dave", 4, BEGIN);
    let answer = till.hall.ask(&mut stranger, Request::Ledger(Box::new(LedgerRequest::Balance)));
    assert_eq!(answer, Err(Refusal::NotSignedIn));
}

fn the_earliest_reason_is_told_over_the_wire(till: Till<impl Store>) {
    let mut alice = till.arrive("alice", 1);
    let nobody = AccountId([7; 32]);
    let all = Order { ledger: LedgerId([0; 32]), ..till.order(1, &alice, nobody, OPENING + 1) };
    let far = till.hall.now.plus_ms(ORDER_LIFETIME_MAX_MS + 1);
    assert_eq!(till.pay(&mut alice, &Order { not_after: far, ..all.clone() }), Err(LedgerRefusal::TooFar));
    let forged = signed::sign_order(&all, &key(2, 4)).unwrap();
    assert_eq!(till.settle(&mut alice, &forged), Err(LedgerRefusal::WrongLedger));
    let all = Order { ledger: till.ledger, not_after: till.hall.now, ..all };
    let forged = signed::sign_order(&all, &key(2, 4)).unwrap();
    assert_eq!(till.settle(&mut alice, &forged), Err(LedgerRefusal::BadSignature));
    assert_eq!(till.pay(&mut alice, &all), Err(LedgerRefusal::Expired));
    let all = Order { not_after: till.hall.now.plus_ms(1), ..all };
    assert_eq!(till.pay(&mut alice, &all), Err(LedgerRefusal::PayeeUnknown));
    let oneself = Order { id: OrderId([2; 16]), payee: alice.account, ..all.clone() };
    assert_eq!(till.pay(&mut alice, &oneself), Err(LedgerRefusal::Oneself));
    let other = Order { amount: amount(1), ..all };
    assert_eq!(till.pay(&mut alice, &other), Err(LedgerRefusal::Conflict));
}

fn the_log_grows_only_at_its_end(mut till: Till<impl Store>) {
    let (mut alice, bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let mut checkpoints = vec![till.checkpoint(&mut alice).1];
    for id in 0..20 {
        let order = till.order(id, &alice, bob.account, 1);
        till.pay(&mut alice, &order).unwrap();
        if id == 11 {
            till.restart(PaymentLimits::default());
            till.hall.connect(&mut alice);
        }
        checkpoints.push(till.checkpoint(&mut alice).1);
    }
    let last = *checkpoints.last().unwrap();
    for before in checkpoints {
        let (from, to) = (before.size, Some(last.size));
        let Ok(LedgerReply::Consistency { proof, .. }) = till.ask(&mut alice, LedgerRequest::Consistency { from, to })
        else {
            panic!()
        };
        proof::verify_consistency((from, &before.root), (last.size, &last.root), &proof).unwrap();
        assert!(before.time <= last.time);
    }
    let beyond = LedgerRequest::Consistency { from: 1, to: Some(last.size + 1) };
    assert!(is_malformed(&till.hall.ask(&mut alice, Request::Ledger(Box::new(beyond)))));
}

fn devices_of_both_are_told_but_the_one_that_asks(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let mut other = Person::with_device("alice", 1, 11, BEGIN.plus_ms(1_000_000_000));
    till.hall.enrol(&mut alice, &mut other);
    let order = sign(&till.order(1, &alice, bob.account, 30));
    let settle = || Request::Ledger(Box::new(LedgerRequest::Settle { order: order.clone() }));
    let told = |hall: &Hall<_>, person: &mut Person| -> Vec<DeviceId> {
        let effects = hall.effects(person, settle()).into_iter();
        let device = |effect| match effect {
            ServiceEffect::Push { device, push: Push::Ledger } => device,
            other => panic!("{other:?}"),
        };
        effects.map(device).collect()
    };
    assert_eq!(told(&till.hall, &mut alice), [other.device(), bob.device()]);
    assert_eq!(
        told(&till.hall, &mut bob),
        [alice.device(), other.device()],
        "a repetition may have been a lost answer"
    );
}

fn an_account_with_money_is_not_closed(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    assert!(till.hall.sign_in(&mut alice).is_ok());
    let available = amount(OPENING);
    let refused = Err(Refusal::Ledger(LedgerRefusal::NotEmpty { available }));
    assert_eq!(till.hall.ask(&mut alice, Request::CloseAccount), refused);
    let order = till.order(1, &alice, bob.account, OPENING);
    till.pay(&mut alice, &order).unwrap();
    assert!(till.hall.sign_in(&mut alice).is_ok());
    assert_eq!(till.hall.ask(&mut alice, Request::CloseAccount), Ok(Reply::Done));
    let back = till.order(2, &bob, alice.account, 1);
    assert_eq!(till.pay(&mut bob, &back), Err(LedgerRefusal::PayeeUnknown));
    // What somebody signed who is gone now is not settled any more.
    let late = till.order(3, &alice, bob.account, 1);
    assert_eq!(till.settle(&mut bob, &sign(&late)), Err(LedgerRefusal::DeviceRevoked));
}

fn what_was_too_late_stays_so_when_the_clock_is_set_back(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    till.accept(&mut alice, bob.account);
    let (begin, end) = (till.hall.now, till.hall.now.plus_ms(60_000));
    let order = till.order(1, &alice, bob.account, 5);
    let request = protocol::money::PaymentRequest { not_after: end, ..till.request(1, &bob, alice.account, 5) };
    till.hall.now = end;
    // Nothing else happens at that time: there is no entry, no request and no refusal to keep.
    assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::Expired));
    till.hall.now = begin;
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Expired), "while it runs");
    till.restart(PaymentLimits::default());
    for person in [&mut alice, &mut bob] {
        till.hall.connect(person);
    }
    assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::Expired), "after a restart");
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Expired), "after a restart");
    assert_eq!([till.balance(&mut alice), till.balance(&mut bob)], [OPENING; 2]);
}

fn a_ledger_ahead_of_the_clock_takes_orders_of_its_own_time(mut till: Till<impl Store>) {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    let (mut alice, bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let begin = till.hall.now;
    till.hall.now = begin.plus_ms(10 * DAY_MS);
    let order = till.order(1, &alice, bob.account, 5);
    till.pay(&mut alice, &order).unwrap();
    // The clock was wrong, and is set right.
    till.hall.now = begin;
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    let order = Order { not_after: begin.plus_ms(20 * DAY_MS), ..till.order(2, &alice, bob.account, 5) };
    assert_eq!(till.pay(&mut alice, &order), Ok((4, OPENING - 10)));
    assert!(till.checkpoint(&mut alice).1.time >= begin.plus_ms(10 * DAY_MS));
}

fn who_is_refused_too_often_has_to_wait(till: Till<impl Store>) {
    let (mut alice, bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let settle = |n: u32| {
        let mut order = till.order(1, &alice, bob.account, OPENING + 1);
        order.id.0[..4].copy_from_slice(&n.to_be_bytes());
        Request::Ledger(Box::new(LedgerRequest::Settle { order: sign(&order) }))
    };
    let requests: Vec<Request> = (0..601).map(settle).collect();
    for request in &requests[..600] {
        let answer = till.hall.ask(&mut alice, request.clone());
        assert!(matches!(answer, Err(Refusal::Ledger(LedgerRefusal::Insufficient { .. }))), "{answer:?}");
    }
    let answer = till.hall.ask(&mut alice, requests[600].clone());
    assert!(matches!(answer, Err(Refusal::RateLimited { .. })), "{answer:?}");
}
