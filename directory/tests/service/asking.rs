//! Requests: registered once, ended once, and paid back at most once.

use directory::store::Store;
use protocol::{
    AccountId, LedgerId, MemoCommitment, OrderId,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, PaymentLimits, RequestState},
    limits::REQUESTS_OPEN_PAIR_MAX,
    money::{ClosingKind, Order, PaymentRequest, REQUEST_LIFETIME_MAX_MS},
    policy::Access,
};
use settlement::signed;

use crate::{
    hall::{Person, key},
    till::{OPENING, Till, Told, amount, over_both_tills, sign, sign_request},
};

over_both_tills!(
    a_request_is_paid_once,
    a_declined_request_is_over_and_so_is_a_cancelled_one,
    only_its_payer_declines_and_only_its_payee_cancels,
    a_request_ends_with_its_time,
    an_order_pays_only_what_was_asked_and_registered,
    a_payment_is_given_back_at_most_whole_by_whoever_got_it,
    strangers_and_blocked_people_ask_for_nothing,
    a_refused_request_stays_refused,
    a_request_is_its_payees_own_word,
    nobody_has_more_than_so_many_open_requests,
);

const DONE: Told = Ok(LedgerReply::Done);

/// Two people who accepted each other.
fn friends<S: Store>(till: &Till<S>) -> (Person, Person) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    till.accept(&mut alice, bob.account);
    till.accept(&mut bob, alice.account);
    (alice, bob)
}

/// The order that answers a request.
fn answer<S: Store>(till: &Till<S>, id: u8, payer: &Person, request: &PaymentRequest) -> Order {
    let order = till.order(id, payer, request.payee, request.amount.units());
    Order { memo: request.memo, answers: Some(sign_request(request)), ..order }
}

fn a_request_is_paid_once(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    let request = till.request(1, &bob, alice.account, 1_250);
    assert_eq!(till.open(&mut bob, &request), DONE);
    assert_eq!(till.open(&mut bob, &request), DONE, "the same again");
    let (told, place) = till.changes(&mut alice, None);
    assert_eq!(told, [(1, RequestState::Open)]);
    let order = answer(&till, 1, &alice, &request);
    assert_eq!(till.pay(&mut alice, &order), Ok((3, OPENING - 1_250)));
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    till.hall.connect(&mut bob);
    let twice = answer(&till, 2, &alice, &request);
    let paid = LedgerRefusal::RequestClosed(RequestState::Paid);
    assert_eq!(till.pay(&mut alice, &twice), Err(paid));
    assert_eq!(till.close(&mut alice, &request, ClosingKind::Decline), Err(paid));
    assert_eq!(till.close(&mut bob, &request, ClosingKind::Cancel), Err(paid));
    assert_eq!(till.pay(&mut alice, &order), Ok((3, OPENING - 1_250)), "the same order again");
    assert_eq!(till.open(&mut bob, &request), DONE, "registered it was, whatever became of it");
    assert_eq!(till.changes(&mut alice, place), (vec![(1, RequestState::Paid)], Some(2)));
    assert_eq!(till.changes(&mut bob, None).0, [(1, RequestState::Open), (1, RequestState::Paid)]);
}

fn a_declined_request_is_over_and_so_is_a_cancelled_one(till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    for (id, kind, state) in
        [(1, ClosingKind::Decline, RequestState::Declined), (2, ClosingKind::Cancel, RequestState::Cancelled)]
    {
        let request = till.request(id, &bob, alice.account, 5);
        till.open(&mut bob, &request).unwrap();
        let by = if kind == ClosingKind::Decline { &mut alice } else { &mut bob };
        assert_eq!(till.close(by, &request, kind), DONE);
        assert_eq!(till.close(by, &request, kind), DONE, "the same again");
        let order = answer(&till, id, &alice, &request);
        assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::RequestClosed(state)));
        let other = if kind == ClosingKind::Decline { ClosingKind::Cancel } else { ClosingKind::Decline };
        let by = if other == ClosingKind::Decline { &mut alice } else { &mut bob };
        assert_eq!(till.close(by, &request, other), Err(LedgerRefusal::RequestClosed(state)));
    }
    assert_eq!(till.balance(&mut alice), OPENING);
}

fn only_its_payer_declines_and_only_its_payee_cancels(till: Till<impl Store>) {
    let ((mut alice, mut bob), mut carol) = (friends(&till), till.arrive("carol", 3));
    let request = till.request(1, &bob, alice.account, 5);
    assert_eq!(till.close(&mut alice, &request, ClosingKind::Decline), Err(LedgerRefusal::RequestUnknown));
    till.open(&mut bob, &request).unwrap();
    for kind in [ClosingKind::Decline, ClosingKind::Cancel] {
        let wrong = if kind == ClosingKind::Decline { &mut bob } else { &mut alice };
        for who in [wrong, &mut carol] {
            assert_eq!(till.close(who, &request, kind), Err(LedgerRefusal::RequestUnknown), "{} {kind:?}", who.name);
        }
    }
    // Carol can't put her name under what bob would have to say.
    let closing = protocol::money::Closing {
        ledger: till.ledger,
        payee: bob.account,
        request: request.id,
        kind: ClosingKind::Cancel,
        device: bob.device(),
    };
    let closing = signed::sign_closing(&closing, &key(3, 4)).unwrap();
    let forged = LedgerRequest::CloseRequest { closing };
    assert_eq!(till.ask(&mut bob, forged.clone()), Err(LedgerRefusal::BadSignature));
    assert_eq!(till.ask(&mut carol, forged), Err(LedgerRefusal::BadSignature));
    let order = answer(&till, 1, &alice, &request);
    assert!(till.pay(&mut alice, &order).is_ok(), "it is still open");
}

fn a_request_ends_with_its_time(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    let soon = till.hall.now.plus_ms(1_000);
    let requests: Vec<PaymentRequest> =
        (1..4).map(|id| PaymentRequest { not_after: soon, ..till.request(id, &bob, alice.account, 5) }).collect();
    for request in &requests {
        till.open(&mut bob, request).unwrap();
    }
    till.hall.pass(999);
    let order = Order { not_after: soon, ..answer(&till, 1, &alice, &requests[0]) };
    assert!(till.pay(&mut alice, &order).is_ok());
    till.hall.pass(1);
    let expired = LedgerRefusal::RequestClosed(RequestState::Expired);
    // Before anybody has noted it, and afterwards.
    assert_eq!(till.close(&mut alice, &requests[1], ClosingKind::Decline), Err(expired));
    let told = till.hall.service.sweep(till.hall.now);
    assert_eq!(told.len(), 2, "both are told: {told:?}");
    assert!(till.hall.service.sweep(till.hall.now).is_empty());
    assert_eq!(till.close(&mut bob, &requests[2], ClosingKind::Cancel), Err(expired));
    let states = |changes: Vec<(u8, RequestState)>| changes.into_iter().skip(3).collect::<Vec<_>>();
    let ends = [(1, RequestState::Paid), (2, RequestState::Expired), (3, RequestState::Expired)];
    assert_eq!(states(till.changes(&mut alice, None).0), ends);
    assert_eq!(till.open(&mut bob, &requests[1]), DONE);
    let late = PaymentRequest { not_after: soon, ..till.request(9, &bob, alice.account, 5) };
    assert_eq!(till.open(&mut bob, &late), Err(LedgerRefusal::Expired));
}

fn an_order_pays_only_what_was_asked_and_registered(till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    let request = till.request(1, &bob, alice.account, 10);
    let order = answer(&till, 1, &alice, &request);
    assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::RequestUnknown));
    till.open(&mut bob, &request).unwrap();
    let later = till.hall.now.plus_ms(3_600_001);
    let orders = [
        Order { amount: amount(9), ..answer(&till, 2, &alice, &request) },
        Order { memo: MemoCommitment([0; 32]), ..answer(&till, 3, &alice, &request) },
        Order { not_after: later, ..answer(&till, 4, &alice, &request) },
        Order { refunds: Some(OrderId([1; 16])), ..answer(&till, 5, &alice, &request) },
    ];
    for order in orders {
        assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::RequestMismatch), "{order:?}");
    }
    // A request of the same id that bob never registered.
    let other = PaymentRequest { amount: amount(11), ..request.clone() };
    assert_eq!(till.open(&mut bob, &other), Err(LedgerRefusal::Conflict));
    let order = answer(&till, 6, &alice, &other);
    assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::RequestMismatch));
    let order = answer(&till, 7, &alice, &request);
    assert!(till.pay(&mut alice, &order).is_ok());
}

fn a_payment_is_given_back_at_most_whole_by_whoever_got_it(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    let request = till.request(1, &bob, alice.account, 10);
    till.open(&mut bob, &request).unwrap();
    let paid = answer(&till, 1, &alice, &request);
    till.pay(&mut alice, &paid).unwrap();
    let back = |till: &Till<_>, id: u8, from: &Person, to: AccountId, units: u64| Order {
        refunds: Some(paid.id),
        ..till.order(id, from, to, units)
    };
    let carol = till.arrive("carol", 3);
    let by_payer = back(&till, 2, &alice, bob.account, 1);
    assert_eq!(till.pay(&mut alice, &by_payer), Err(LedgerRefusal::NotRefundable));
    let to_other = back(&till, 2, &bob, carol.account, 1);
    assert_eq!(till.pay(&mut bob, &to_other), Err(LedgerRefusal::NotRefundable));
    let part = back(&till, 3, &bob, alice.account, 4);
    assert_eq!(till.pay(&mut bob, &part).map(|(_, balance)| balance), Ok(OPENING + 6));
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut bob);
    till.hall.connect(&mut alice);
    let too_much = back(&till, 4, &bob, alice.account, 7);
    assert_eq!(till.pay(&mut bob, &too_much), Err(LedgerRefusal::RefundTooMuch { left: amount(6) }));
    let rest = back(&till, 5, &bob, alice.account, 6);
    assert_eq!(till.pay(&mut bob, &rest).map(|(_, balance)| balance), Ok(OPENING));
    let more = back(&till, 6, &bob, alice.account, 1);
    assert_eq!(till.pay(&mut bob, &more), Err(LedgerRefusal::RefundTooMuch { left: amount(0) }));
    let states = [RequestState::Open, RequestState::Paid, RequestState::Refunded].map(|state| (1, state));
    assert_eq!(till.changes(&mut alice, None).0, states);
    let unknown = Order { refunds: Some(OrderId([99; 16])), ..till.order(7, &bob, alice.account, 1) };
    assert_eq!(till.pay(&mut bob, &unknown), Err(LedgerRefusal::NotRefundable));
}

fn strangers_and_blocked_people_ask_for_nothing(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let request = till.request(1, &bob, alice.account, 5);
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Stranger));
    till.accept(&mut alice, bob.account);
    till.block(&mut alice, bob.account, true);
    let request = till.request(5, &bob, alice.account, 5);
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Blocked));
    till.block(&mut alice, bob.account, false);
    let request = till.request(6, &bob, alice.account, 5);
    assert_eq!(till.open(&mut bob, &request), DONE);
    till.block(&mut alice, bob.account, true);
    assert_eq!(till.open(&mut bob, &request), DONE, "registered before");
    let oneself = till.request(2, &bob, bob.account, 5);
    assert_eq!(till.open(&mut bob, &oneself), Err(LedgerRefusal::Oneself));
    let nobody = till.request(3, &bob, AccountId([7; 32]), 5);
    assert_eq!(till.open(&mut bob, &nobody), Err(LedgerRefusal::PayeeUnknown));
    // Whoever shares a group is no stranger, once both have joined.
    let (mut carol, mut dave) = (till.arrive("carol", 3), till.arrive("dave", 4));
    let mut group = till.hall.found(&mut carol, "team", Access::Open);
    let share = till.request(4, &carol, dave.account, 5);
    assert_eq!(till.open(&mut carol, &share), Err(LedgerRefusal::Stranger));
    till.hall.enter(&mut dave, &mut [&mut group]);
    let share = till.request(5, &carol, dave.account, 5);
    assert_eq!(till.open(&mut carol, &share), DONE);
}

fn a_refused_request_stays_refused(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let request = till.request(1, &bob, alice.account, 5);
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Stranger));
    till.accept(&mut alice, bob.account);
    // Its asker was told that it is not asked for: a copy of it that comes late must not make it so.
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Stranger));
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    till.hall.connect(&mut bob);
    assert_eq!(till.open(&mut bob, &request), Err(LedgerRefusal::Stranger), "after a restart");
    let other = PaymentRequest { amount: amount(6), ..request };
    assert_eq!(till.open(&mut bob, &other), Err(LedgerRefusal::Conflict), "other bytes of the same id");
    assert_eq!(till.changes(&mut alice, None).0, []);
    let anew = till.request(2, &bob, alice.account, 5);
    assert_eq!(till.open(&mut bob, &anew), DONE);
    // An order of the id that a request had is another thing.
    let order = till.order(1, &bob, alice.account, 5);
    assert_eq!(till.pay(&mut bob, &order), Ok((3, OPENING - 5)));
}

fn a_request_is_its_payees_own_word(till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    let good = till.request(1, &bob, alice.account, 5);
    let elsewhere = PaymentRequest { ledger: LedgerId([0; 32]), ..good.clone() };
    assert_eq!(till.open(&mut bob, &elsewhere), Err(LedgerRefusal::WrongLedger));
    let far = till.hall.now.plus_ms(REQUEST_LIFETIME_MAX_MS + 1);
    let far = PaymentRequest { not_after: far, ..good.clone() };
    assert_eq!(till.open(&mut bob, &far), Err(LedgerRefusal::TooFar));
    let forged = signed::sign_request(&good, &key(1, 4)).unwrap();
    let forged = LedgerRequest::OpenRequest { request: forged };
    assert_eq!(till.ask(&mut bob, forged.clone()), Err(LedgerRefusal::BadSignature));
    let answer = till.hall.ask(&mut alice, protocol::directory::Request::Ledger(Box::new(forged)));
    assert!(crate::talk::is_malformed(&answer), "somebody else's: {answer:?}");
    let nothing = LedgerRequest::OpenRequest { request: sign_request(&till.request(2, &bob, alice.account, 0)) };
    let answer = till.hall.ask(&mut bob, protocol::directory::Request::Ledger(Box::new(nothing)));
    assert!(crate::talk::is_malformed(&answer), "nothing: {answer:?}");
    // An order can't carry a request that its payer signed in the payee's place.
    assert_eq!(till.open(&mut bob, &good), DONE);
    let order = Order { memo: good.memo, ..till.order(1, &alice, bob.account, 5) };
    let other = PaymentRequest { memo: MemoCommitment([9; 32]), ..good };
    let theirs = signed::sign_request(&other, &key(1, 4)).unwrap();
    let order = Order { answers: Some(theirs), memo: other.memo, ..order };
    assert_eq!(till.settle(&mut alice, &sign(&order)), Err(LedgerRefusal::RequestMismatch));
}

fn nobody_has_more_than_so_many_open_requests(till: Till<impl Store>) {
    let (mut alice, mut bob) = friends(&till);
    let request = |n: usize| till.request(u8::try_from(n).unwrap(), &bob, alice.account, 5);
    let requests: Vec<PaymentRequest> = (0..=REQUESTS_OPEN_PAIR_MAX).map(request).collect();
    let (last, others) = requests.split_last().unwrap();
    for request in others {
        assert_eq!(till.open(&mut bob, request), DONE);
    }
    assert_eq!(till.open(&mut bob, last), Err(LedgerRefusal::TooMany));
    till.close(&mut alice, &requests[0], ClosingKind::Decline).unwrap();
    let after = till.request(200, &bob, alice.account, 5);
    assert_eq!(till.open(&mut bob, &after), DONE, "one is over");
    assert_eq!(till.open(&mut bob, last), Err(LedgerRefusal::TooMany), "it was refused for good");
}
