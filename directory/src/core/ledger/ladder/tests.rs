//! The order of precedence, as a table: each fault alone, and each two of them together.

use protocol::{
    AccountId, BoundedBytes, DeviceId, LedgerId, MemoCommitment, OrderId, RequestId, Signature, Timestamp,
    directory::{LedgerRefusal, LimitKind, PaymentLimits, RequestState},
    money::{AMOUNT_MAX, Amount, ORDER_LIFETIME_MAX_MS, Order, PaymentRequest, SignedRequest},
};

use super::{Facts, Verdict, judge};
use crate::{
    core::ledger::Standing,
    store::ledger::{Known, KnownOutcome, Original, RequestRecord},
};

const NOW: Timestamp = Timestamp(33_000_000_000_000);
const PAYER: AccountId = AccountId([1; 32]);
const PAYEE: AccountId = AccountId([2; 32]);
const LEDGER: LedgerId = LedgerId([3; 32]);
const HASH: [u8; 32] = [4; 32];

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

/// An order of 10 out of 100, and everything that decides about it.
#[derive(Clone)]
struct Case {
    order: Order,
    signature_holds: bool,
    known: Option<Known>,
    standing: Standing,
    limits: PaymentLimits,
    paid: (u64, u64),
    request: Option<RequestRecord>,
    original: Option<Original>,
    payer: i64,
    payee: i64,
}

impl Case {
    fn good() -> Self {
        let order = Order {
            ledger: LEDGER,
            id: OrderId([5; 16]),
            payer: PAYER,
            payee: PAYEE,
            amount: amount(10),
            memo: MemoCommitment([6; 32]),
            answers: None,
            refunds: None,
            not_after: NOW.plus_ms(ORDER_LIFETIME_MAX_MS),
            device: DeviceId([7; 16]),
        };
        let standing = Standing { revoked: false, payee_known: true, blocked: false };
        let limits = PaymentLimits::default();
        let (known, request, original) = (None, None, None);
        Self {
            order,
            signature_holds: true,
            known,
            standing,
            limits,
            paid: (0, 0),
            request,
            original,
            payer: 100,
            payee: 5,
        }
    }

    fn judged(&self) -> Verdict {
        judge(&Facts {
            order: &self.order,
            hash: HASH,
            ledger: LEDGER,
            time: NOW,
            signature_holds: self.signature_holds,
            known: self.known,
            standing: self.standing,
            limits: self.limits,
            paid: self.paid,
            request: self.request.as_ref(),
            original: self.original,
            payer: self.payer,
            payee: self.payee,
        })
    }

    /// The order answers a request that is registered.
    fn answer(&mut self, state: RequestState, change: impl FnOnce(&mut PaymentRequest)) {
        let not_after = NOW.plus_ms(50);
        self.order.not_after = self.order.not_after.min(not_after);
        let mut request = PaymentRequest {
            ledger: LEDGER,
            id: RequestId([8; 16]),
            payee: PAYEE,
            payer: PAYER,
            amount: self.order.amount,
            memo: self.order.memo,
            not_after,
            device: DeviceId([9; 16]),
        };
        change(&mut request);
        let bytes = protocol::frame::encode_body(&request, 512).unwrap();
        let signed = SignedRequest { request: BoundedBytes::new(bytes).unwrap(), signature: Signature([0; 64]) };
        let PaymentRequest { id, payee, payer, not_after, .. } = request;
        self.order.answers = Some(signed.clone());
        self.request = Some(RequestRecord { request: signed, payee, id, payer, not_after, state });
    }

    /// The order gives back a payment of 30, of which so much was given back.
    fn give_back(&mut self, refunded: u64) {
        self.order.refunds = Some(OrderId([9; 16]));
        let (amount, refunded) = (amount(30), amount(refunded));
        self.original = Some(Original { payer: PAYEE, payee: PAYER, amount, refunded, answers: None });
    }
}

struct Fault {
    name: &'static str,
    // Of two with the same, only one can be.
    about: &'static str,
    put: fn(&mut Case),
    verdict: Verdict,
}

const fn fault(name: &'static str, about: &'static str, put: fn(&mut Case), verdict: Verdict) -> Fault {
    Fault { name, about, put, verdict }
}

fn over(kind: LimitKind, limit: u64) -> Verdict {
    Verdict::Burn(LedgerRefusal::OverLimit { kind, limit: amount(limit) })
}

/// Everything that can be wrong with an order, in the order of precedence.
fn ladder() -> Vec<Fault> {
    use LedgerRefusal as R;
    use Verdict::{Again, Burn, Refuse};
    let far = |case: &mut Case| case.order.not_after = NOW.plus_ms(ORDER_LIFETIME_MAX_MS + 1);
    let known = |case: &mut Case| {
        case.known = Some(Known { hash: HASH, outcome: KnownOutcome::Posted(17) });
    };
    let conflict = |case: &mut Case| {
        case.known = Some(Known { hash: [0; 32], outcome: KnownOutcome::Posted(17) });
    };
    vec![
        fault("too far", "time", far, Refuse(R::TooFar)),
        fault("wrong ledger", "ledger", |case| case.order.ledger = LedgerId([0; 32]), Refuse(R::WrongLedger)),
        fault("bad signature", "signature", |case| case.signature_holds = false, Refuse(R::BadSignature)),
        fault("the same again", "id", known, Again(KnownOutcome::Posted(17))),
        fault("another of the same id", "id", conflict, Refuse(R::Conflict)),
        fault("revoked", "device", |case| case.standing.revoked = true, Burn(R::DeviceRevoked)),
        fault("expired", "time", |case| case.order.not_after = NOW, Refuse(R::Expired)),
        fault("payee unknown", "payee", |case| case.standing.payee_known = false, Burn(R::PayeeUnknown)),
        fault("oneself", "payer", |case| case.order.payee = PAYER, Burn(R::Oneself)),
        fault("blocked", "block", |case| case.standing.blocked = true, Burn(R::Blocked)),
        fault("limit", "limit", |case| case.limits.payment = Some(amount(9)), over(LimitKind::Payment, 9)),
        fault(
            "limit of a day",
            "limit of a day",
            |case| (case.limits.day, case.paid.0) = (Some(amount(30)), 21),
            over(LimitKind::Day, 30),
        ),
        fault(
            "limit of a day to one",
            "limit of a day to one",
            |case| (case.limits.peer, case.paid.1) = (Some(amount(20)), 11),
            over(LimitKind::Peer, 20),
        ),
        fault(
            "unknown request",
            "request",
            |case| {
                case.answer(RequestState::Open, |_| {});
                case.request = None;
            },
            Burn(R::RequestUnknown),
        ),
        fault(
            "another amount than the request's",
            "request",
            |case| case.answer(RequestState::Open, |request| request.amount = amount(11)),
            Burn(R::RequestMismatch),
        ),
        fault(
            "a request that is over",
            "request",
            |case| case.answer(RequestState::Declined, |_| {}),
            Burn(R::RequestClosed(RequestState::Declined)),
        ),
        fault(
            "no payment to give back",
            "request",
            |case| case.order.refunds = Some(OrderId([9; 16])),
            Burn(R::NotRefundable),
        ),
        fault("more than is left", "request", |case| case.give_back(21), Burn(R::RefundTooMuch { left: amount(9) })),
        fault("insufficient", "funds", |case| case.payer = 9, Burn(R::Insufficient { available: amount(9) })),
        fault("overflow", "room", |case| case.payee = i64::MAX - 9, Burn(R::Overflow)),
    ]
}

#[test]
fn an_order_with_nothing_wrong_is_posted() {
    let mut answering = Case::good();
    answering.answer(RequestState::Open, |_| {});
    let mut refunding = Case::good();
    refunding.give_back(20);
    for case in [Case::good(), answering, refunding] {
        assert_eq!(case.judged(), Verdict::Post { payer: 90, payee: 15 });
    }
    let mut last = Case::good();
    (last.payer, last.payee) = (10, i64::MAX - 10);
    assert_eq!(last.judged(), Verdict::Post { payer: 0, payee: i64::MAX });
    let mut all = Case::good();
    all.order.amount = amount(AMOUNT_MAX);
    (all.payer, all.payee) = (i64::MAX, 0);
    assert_eq!(all.judged(), Verdict::Post { payer: 0, payee: i64::MAX });
}

#[test]
fn each_fault_alone_is_told() {
    for fault in ladder() {
        let mut case = Case::good();
        (fault.put)(&mut case);
        assert_eq!(case.judged(), fault.verdict, "{}", fault.name);
    }
}

#[test]
fn of_any_two_faults_the_earlier_one_is_told() {
    let ladder = ladder();
    let mut pairs = 0;
    for (place, later) in ladder.iter().enumerate() {
        for earlier in ladder[..place].iter().filter(|earlier| earlier.about != later.about) {
            let mut case = Case::good();
            (later.put)(&mut case);
            (earlier.put)(&mut case);
            assert_eq!(case.judged(), earlier.verdict, "{} before {}", earlier.name, later.name);
            pairs += 1;
        }
    }
    // All but those of two that can't both be.
    let impossible = 1 + 1 + 10;
    assert_eq!(pairs, 20 * 19 / 2 - impossible);
}

#[test]
fn a_limit_is_the_largest_that_passes() {
    let mut case = Case::good();
    case.limits = PaymentLimits { payment: Some(amount(10)), day: Some(amount(30)), peer: Some(amount(20)) };
    case.paid = (20, 10);
    assert_eq!(case.judged(), Verdict::Post { payer: 90, payee: 15 });
}

#[test]
fn an_order_matches_its_request_field_by_field() {
    type Change = fn(&mut PaymentRequest);
    let changes: [Change; 6] = [
        |request| request.ledger = LedgerId([0; 32]),
        |request| request.payee = AccountId([0; 32]),
        |request| request.payer = AccountId([0; 32]),
        |request| request.amount = amount(9),
        |request| request.memo = MemoCommitment([0; 32]),
        |request| request.not_after = NOW.plus_ms(49),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut case = Case::good();
        case.answer(RequestState::Open, change);
        assert_eq!(case.judged(), Verdict::Burn(LedgerRefusal::RequestMismatch), "field {number}");
    }
    // Other bytes than the registered ones are another request, whatever they say.
    let mut case = Case::good();
    case.answer(RequestState::Open, |_| {});
    let other = BoundedBytes::new(vec![1; 3]).unwrap();
    case.request.as_mut().unwrap().request.request = other;
    assert_eq!(case.judged(), Verdict::Burn(LedgerRefusal::RequestMismatch));
    // And nothing is both an answer and a refund.
    let mut case = Case::good();
    case.give_back(0);
    case.answer(RequestState::Open, |_| {});
    assert_eq!(case.judged(), Verdict::Burn(LedgerRefusal::RequestMismatch));
}

#[test]
fn a_request_whose_time_is_over_is_over_before_anybody_has_noted_it() {
    let mut case = Case::good();
    case.answer(RequestState::Open, |_| {});
    case.request.as_mut().unwrap().not_after = NOW;
    let expired = LedgerRefusal::RequestClosed(RequestState::Expired);
    assert_eq!(case.judged(), Verdict::Burn(expired));
    for state in [RequestState::Paid, RequestState::Cancelled, RequestState::Expired, RequestState::Refunded] {
        let mut case = Case::good();
        case.answer(state, |_| {});
        assert_eq!(case.judged(), Verdict::Burn(LedgerRefusal::RequestClosed(state)));
    }
}

#[test]
fn only_who_was_paid_gives_back_and_only_to_who_paid() {
    for people in [(PAYER, PAYEE), (PAYEE, AccountId([0; 32])), (AccountId([0; 32]), PAYER)] {
        let mut case = Case::good();
        case.give_back(0);
        let original = case.original.as_mut().unwrap();
        (original.payer, original.payee) = people;
        assert_eq!(case.judged(), Verdict::Burn(LedgerRefusal::NotRefundable));
    }
}
