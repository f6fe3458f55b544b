//! Random histories of the ledger against a model so simple that it is right by looking at it.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use protocol::{
    AccountId, BoundedBytes, BoundedText, DeviceId, LedgerId, MemoCommitment, OrderId, RequestId, Signature, Timestamp,
    certificate::Certificate,
    directory::{PaymentLimits, RequestState},
    frame,
    money::{Amount, Checkpoint, Order, PaymentRequest, SignedCheckpoint, SignedOrder, SignedRequest},
};
use sha2::{Digest as _, Sha256};

use super::{Ledger, Operation, Outcome, Rules, Standing, Submission, View};
use crate::store::ledger::{Head, IssueOrder, RequestRecord};

pub(crate) const LEDGER: LedgerId = LedgerId([1; 32]);
const PEOPLE: u8 = 4;
const BEGIN: u64 = 1_000_000;

pub(crate) fn account(n: u8) -> AccountId {
    AccountId([100 + n; 32])
}

/// One thing that somebody tries.
#[derive(Debug, Clone)]
enum Try {
    /// `id` is drawn from few, so that ids meet.
    Pay {
        id: u8,
        from: u8,
        to: u8,
        units: u64,
        lasts: u64,
    },
    Answer {
        id: u8,
        request: u8,
    },
    Refund {
        id: u8,
        of: u8,
        units: u64,
    },
    Issue {
        id: u8,
        to: u8,
        units: u64,
    },
    Open {
        to: u8,
    },
    Ask {
        request: u8,
    },
    Close {
        request: u8,
        by: u8,
        cancel: bool,
    },
    Pass {
        ms: u64,
    },
}

fn attempt() -> impl Strategy<Value = Try> {
    let (id, who, units) =
        (0..12_u8, 0..PEOPLE, prop_oneof![1..40_u64, Just(i64::MAX as u64), Just(i64::MAX as u64 - 30)]);
    let lasts = prop_oneof![Just(0_u64), 1..60_u64];
    prop_oneof![
        6 => (id.clone(), who.clone(), who.clone(), units.clone(), lasts)
            .prop_map(|(id, from, to, units, lasts)| Try::Pay { id, from, to, units, lasts }),
        3 => (id.clone(), 0..6_u8).prop_map(|(id, request)| Try::Answer { id, request }),
        3 => (id.clone(), id.clone(), units.clone()).prop_map(|(id, of, units)| Try::Refund { id, of, units }),
        2 => (id, who.clone(), units).prop_map(|(id, to, units)| Try::Issue { id, to, units }),
        1 => who.clone().prop_map(|to| Try::Open { to }),
        3 => (0..6_u8).prop_map(|request| Try::Ask { request }),
        2 => (0..6_u8, who, any::<bool>()).prop_map(|(request, by, cancel)| Try::Close { request, by, cancel }),
        2 => (0..30_u64).prop_map(|ms| Try::Pass { ms }),
    ]
}

/// Who asks whom in the requests of these histories, and for how much.
pub(crate) fn terms(request: u8) -> (u8, u8, u64) {
    (request % PEOPLE, (request + 1) % PEOPLE, 5 + u64::from(request))
}

pub(crate) fn asked(ledger: LedgerId, request: u8) -> SignedRequest {
    let (payee, payer, units) = terms(request);
    let request = PaymentRequest {
        ledger,
        id: RequestId([request; 16]),
        payee: account(payee),
        payer: account(payer),
        amount: Amount::new(units).unwrap(),
        memo: MemoCommitment([0; 32]),
        not_after: Timestamp(BEGIN + 100 + u64::from(request) * 20),
        device: DeviceId([payee; 16]),
    };
    let request = BoundedBytes::new(frame::encode_body(&request, 512).unwrap()).unwrap();
    SignedRequest { request, signature: Signature([0; 64]) }
}

pub(crate) fn certificate() -> Certificate {
    Certificate { entry: BoundedBytes::default(), signature: Signature([0; 64]) }
}

pub(crate) fn order(id: u8, from: u8, to: u8, units: u64, not_after: u64) -> Order {
    Order {
        ledger: LEDGER,
        id: OrderId([id; 16]),
        payer: account(from),
        payee: account(to),
        amount: Amount::new(units).unwrap(),
        memo: MemoCommitment([0; 32]),
        answers: None,
        refunds: None,
        not_after: Timestamp(not_after),
        device: DeviceId([from; 16]),
    }
}

pub(crate) fn submission(order: Order) -> Operation {
    let bytes = frame::encode_body(&order, 1_024).unwrap();
    let hash = Sha256::digest(&bytes).into();
    let signed = SignedOrder { order: BoundedBytes::new(bytes).unwrap(), signature: Signature([0; 64]) };
    let standing = Standing { revoked: false, payee_known: true, blocked: false };
    Operation::Settle(Box::new(Submission { signed, order, hash, certificate: certificate(), standing }))
}

/// What the model remembers of an order.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Posted { from: u8, to: u8, units: u64, back: u64, request: Option<u8> },
    Burned,
}

/// The model: maps, wide integers, and each rule said once.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    balances: BTreeMap<u8, i128>,
    orders: BTreeMap<(u8, u8), ([u8; 32], Fate)>,
    issued: BTreeMap<u8, i128>,
    opened: BTreeMap<u8, bool>,
    requests: BTreeMap<u8, RequestState>,
    entries: u64,
}

const ROOM: i128 = i64::MAX as i128;

impl Model {
    fn balance(&self, who: u8) -> i128 {
        self.balances.get(&who).copied().unwrap_or(0)
    }

    fn minted(&self) -> i128 {
        self.balances.values().sum()
    }

    fn mint(&mut self, to: u8, units: i128) -> bool {
        // The issuance account can't be further below zero than the smallest balance.
        let fits = self.balance(to) + units <= ROOM && self.minted() + units <= ROOM + 1;
        if fits {
            *self.balances.entry(to).or_default() += units;
            self.entries += 1;
        }
        fits
    }

    /// Whether the order counts, now or since before.
    fn pay(&mut self, order: &Order, hash: [u8; 32], people: (u8, u8), request: Option<u8>) -> bool {
        let (from, to) = people;
        let id = order.id.0[0];
        if let Some((known, fate)) = self.orders.get(&(from, id)) {
            return *known == hash && matches!(fate, Fate::Posted { .. });
        }
        if order.not_after.0 <= self.now {
            return false;
        }
        let units = order.amount.units();
        let of = order.refunds.map(|id| id.0[0]);
        let open = request
            .is_none_or(|request| self.requests.get(&request) == Some(&RequestState::Open) && ends(request) > self.now);
        let refundable = of.is_none_or(|of| match self.orders.get(&(to, of)) {
            Some((_, Fate::Posted { to: paid, from: by, units: whole, back, .. })) => {
                *paid == from && *by == to && back + units <= *whole
            }
            _ => false,
        });
        let funds = self.balance(from) >= i128::from(units) && self.balance(to) + i128::from(units) <= ROOM;
        if from == to || !open || !refundable || !funds {
            self.orders.insert((from, id), (hash, Fate::Burned));
            return false;
        }
        *self.balances.entry(from).or_default() -= i128::from(units);
        *self.balances.entry(to).or_default() += i128::from(units);
        self.entries += 1;
        self.orders.insert((from, id), (hash, Fate::Posted { from, to, units, back: 0, request }));
        if let Some(request) = request {
            self.requests.insert(request, RequestState::Paid);
        }
        if let Some((_, Fate::Posted { back, units: whole, request, .. })) =
            of.and_then(|of| self.orders.get_mut(&(to, of)))
        {
            *back += units;
            if let Some(request) = request.filter(|_| back == whole) {
                self.requests.insert(request, RequestState::Refunded);
            }
        }
        true
    }
}

pub(crate) fn ends(request: u8) -> u64 {
    BEGIN + 100 + u64::from(request) * 20
}

fn head() -> Head {
    let checkpoint = Checkpoint { ledger: LEDGER, era: 0, size: 0, root: [0; 32], time: Timestamp(0) };
    let checkpoint = BoundedBytes::new(frame::encode_body(&checkpoint, 256).unwrap()).unwrap();
    let checkpoint = SignedCheckpoint { checkpoint, signature: Signature([0; 64]) };
    Head { era: 0, size: 0, time: Timestamp(0), changes: 0, checkpoint }
}

/// What a try is as an operation, and whether the model lets it count.
fn both(model: &mut Model, attempt: &Try) -> Option<(Operation, bool)> {
    let settle = |model: &mut Model, order: Order, people: (u8, u8), request: Option<u8>| {
        let operation = submission(order.clone());
        let Operation::Settle(submission) = &operation else { unreachable!() };
        let hash = submission.hash;
        let counts = model.pay(&order, hash, people, request);
        Some((operation, counts))
    };
    let lasting = model.now - model.now % 40 + 80;
    match *attempt {
        Try::Pay { id, from, to, units, lasts } => {
            // Few ends, so that the same order comes again.
            let end = model.now - model.now % 40 + lasts / 20 * 40;
            settle(model, order(id, from, to, units, end), (from, to), None)
        }
        Try::Answer { id, request } => {
            let (payee, payer, units) = terms(request);
            let order = Order {
                answers: Some(asked(LEDGER, request)),
                ..order(id, payer, payee, units, lasting.min(ends(request)))
            };
            settle(model, order, (payer, payee), Some(request))
        }
        Try::Refund { id, of, units } => {
            let paid = model.orders.iter().find_map(|((_, known), (_, fate))| match fate {
                Fate::Posted { from, to, .. } if *known == of => Some((*to, *from)),
                _ => None,
            });
            let (from, to) = paid.unwrap_or((0, 1));
            let order = Order { refunds: Some(OrderId([of; 16])), ..order(id, from, to, units, lasting) };
            settle(model, order, (from, to), None)
        }
        Try::Issue { id, to, units } => {
            let counts = match model.issued.get(&id) {
                Some(units) => *units > 0,
                None => {
                    let minted = model.mint(to, units.into());
                    model.issued.insert(id, if minted { units.into() } else { 0 });
                    minted
                }
            };
            let (amount, memo) = (Amount::new(units).unwrap(), BoundedText::default());
            let issue = IssueOrder { id: OrderId([id; 16]), payee: account(to), amount, memo };
            Some((Operation::Issue(issue), counts))
        }
        Try::Open { to } => {
            let counts = match model.opened.get(&to) {
                Some(opened) => *opened,
                None => {
                    let minted = model.mint(to, 50);
                    model.opened.insert(to, minted);
                    minted
                }
            };
            Some((Operation::Open { payee: account(to), amount: Amount::new(50).unwrap() }, counts))
        }
        Try::Ask { request } => {
            let (payee, payer, _) = terms(request);
            let known = model.requests.contains_key(&request);
            let counts = known || ends(request) > model.now;
            if counts && !known {
                model.requests.insert(request, RequestState::Open);
            }
            let record = RequestRecord {
                request: asked(LEDGER, request),
                payee: account(payee),
                id: RequestId([request; 16]),
                payer: account(payer),
                not_after: Timestamp(ends(request)),
                state: RequestState::Open,
            };
            let device = (DeviceId([payee; 16]), certificate());
            Some((Operation::OpenRequest { record, device, against: None }, counts))
        }
        Try::Close { request, by, cancel } => {
            let (payee, payer, _) = terms(request);
            let wish = if cancel { RequestState::Cancelled } else { RequestState::Declined };
            let theirs = by == if cancel { payee } else { payer };
            let state = model.requests.get(&request).copied();
            let open = state == Some(RequestState::Open);
            let counts = theirs && (open && ends(request) > model.now || state == Some(wish));
            if counts {
                model.requests.insert(request, wish);
            } else if theirs && open {
                model.requests.insert(request, RequestState::Expired);
            }
            let key = (account(payee), RequestId([request; 16]));
            let device = (DeviceId([by; 16]), certificate());
            Some((Operation::CloseRequest { key, by: account(by), state: wish, device }, counts))
        }
        Try::Pass { ms } => {
            model.now += ms;
            None
        }
    }
}

fn agree(ledger: &Ledger, view: &View, model: &Model) -> Result<(), TestCaseError> {
    for who in 0..PEOPLE {
        prop_assert_eq!(i128::from(ledger.balance(account(who))), model.balance(who), "balance of {}", who);
        prop_assert!(ledger.balance(account(who)) >= 0);
    }
    let sum: i128 = ledger.balances().map(|(_, balance)| i128::from(balance)).sum();
    prop_assert_eq!(sum, 0);
    prop_assert_eq!(ledger.size(), model.entries);
    for request in 0..6 {
        let (payee, _, _) = terms(request);
        let known = view.requests.get(&(account(payee), RequestId([request; 16]))).map(|record| record.state);
        prop_assert_eq!(known, model.requests.get(&request).copied(), "request {}", request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_is_what_a_simple_model_says(attempts in vec(attempt(), 1..120)) {
        let rules = Rules { ledger: LEDGER, limits: PaymentLimits::default() };
        let mut ledger = Ledger::new(rules, &head(), [], []);
        let (mut view, mut model) = (View::default(), Model { now: BEGIN, ..Model::default() });
        for attempt in &attempts {
            let Some((operation, counts)) = both(&mut model, attempt) else { continue };
            let before = ledger.size();
            let (outcomes, changed) = ledger.apply(&mut view, &[operation], Timestamp(model.now));
            let counted = matches!(outcomes[..], [Outcome::Posted { .. } | Outcome::Before { .. } | Outcome::Done]);
            prop_assert_eq!(counted, counts, "{:?} came to {:?}", attempt, outcomes);
            let posted = matches!(outcomes[..], [Outcome::Posted { index }] if index == before);
            prop_assert_eq!(changed.entries.len(), usize::from(posted));
            agree(&ledger, &view, &model)?;
        }
    }

    #[test]
    fn a_batch_comes_to_the_same_as_its_operations_one_by_one(attempts in vec(attempt(), 1..60)) {
        let rules = Rules { ledger: LEDGER, limits: PaymentLimits::default() };
        let mut model = Model { now: BEGIN, ..Model::default() };
        let passing = |attempt: &&Try| !matches!(attempt, Try::Pass { .. });
        let operations: Vec<Operation> =
            attempts.iter().filter(passing).filter_map(|attempt| both(&mut model, attempt)).map(|(one, _)| one).collect();
        let (mut together, mut apart) = (Ledger::new(rules, &head(), [], []), Ledger::new(rules, &head(), [], []));
        let (mut view, mut other) = (View::default(), View::default());
        let (all, changed) = together.apply(&mut view, &operations, Timestamp(BEGIN));
        let mut ones = Vec::new();
        let mut entries = Vec::new();
        for operation in &operations {
            let (outcomes, changed) = apart.apply(&mut other, std::slice::from_ref(operation), Timestamp(BEGIN));
            ones.extend(outcomes);
            entries.extend(changed.entries);
        }
        prop_assert_eq!(all, ones);
        prop_assert_eq!(changed.entries, entries);
        agree(&together, &view, &model)?;
    }
}
