//! What every store of the ledger must keep: the same histories, through the real rules and the real log, over the model
//! and SQLite, which is closed and opened again in the middle and must answer exactly as the model does.

use std::sync::Arc;

use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, BoundedText, DeviceId, OrderId, RequestId, Timestamp,
    directory::{LedgerRefusal, PaymentLimits, RequestState},
    money::{Amount, Currency, Order},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use crate::{
    core::ledger::{
        Operation, Outcome,
        model::{account, asked, certificate, ends, order, submission, terms},
        opening_id,
    },
    ledger::{Book, Founder, OpenError},
    store::{
        ledger::{IssueOrder, LedgerStore, RequestRecord},
        memory::MemoryLedger,
        sqlite::ledger::SqliteLedger,
    },
};

fn book(store: Arc<dyn LedgerStore>, currency: Option<Currency>, limits: PaymentLimits) -> Result<Book, OpenError> {
    Book::open(store, Founder { root: SigningKey::from_slice(&[7; 32]).unwrap(), currency, limits, seed: [5; 32] })
}

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

/// Something for the ledger to do, drawn from few ids, so that they meet.
fn operation(rng: &mut ChaCha20Rng, ledger: protocol::LedgerId, now: u64) -> Operation {
    let mut draw = |below: u32| u8::try_from(rng.next_u32() % below).unwrap();
    let (id, from, to, units) = (draw(250), draw(4), draw(4), u64::from(draw(30)) + 1);
    let lasting = |order: Order| Order { ledger, ..order };
    match draw(12) {
        0..=4 => submission(lasting(order(id, from, to, units, now - now % 50 + u64::from(draw(2)) * 100))),
        5 => {
            let (payee, payer, units) = terms(id % 6);
            let answers = Some(asked(ledger, id % 6));
            submission(lasting(Order { answers, ..order(id, payer, payee, units, ends(id % 6)) }))
        }
        6 => {
            let refunds = Some(OrderId([draw(200); 16]));
            submission(lasting(Order { refunds, ..order(id, from, to, units, now + 100) }))
        }
        7 => {
            let (amount, memo) = (amount(units * 100), BoundedText::new("for the till".to_owned()).unwrap());
            Operation::Issue(IssueOrder { id: OrderId([id; 16]), payee: account(to), amount, memo })
        }
        8 => Operation::Open { payee: account(to), amount: amount(100) },
        9 => {
            let (payee, payer, _) = terms(id % 6);
            let record = RequestRecord {
                request: asked(ledger, id % 6),
                payee: account(payee),
                id: RequestId([id % 6; 16]),
                payer: account(payer),
                not_after: Timestamp(ends(id % 6)),
                state: RequestState::Open,
            };
            Operation::OpenRequest { record, device: (DeviceId([payee; 16]), certificate()), against: None }
        }
        10 => {
            let (payee, _, _) = terms(id % 6);
            let state = if from == 0 { RequestState::Cancelled } else { RequestState::Declined };
            let (key, device) = ((account(payee), RequestId([id % 6; 16])), (DeviceId([to; 16]), certificate()));
            Operation::CloseRequest { key, by: account(to), state, device }
        }
        _ => Operation::Expire((0..6).map(|n| (account(terms(n).0), RequestId([n; 16]))).collect()),
    }
}

/// Two books answer alike.
fn assert_alike(one: &Book, other: &Book, now: u64, when: &str) {
    let issuance = one.rules().issuance();
    for (number, (one, other)) in all(one, issuance, now).into_iter().zip(all(other, issuance, now)).enumerate() {
        let differing = one.bytes().zip(other.bytes()).position(|(one, other)| one != other);
        let from = differing.unwrap_or(0).saturating_sub(80);
        let near = |text: &str| text.chars().skip(from).take(200).collect::<String>();
        assert!(one == other, "{when}, read {number}:\n{}\n{}", near(&one), near(&other));
    }
}

/// Everything that can be read, in words.
fn all(book: &Book, issuance: AccountId, now: u64) -> Vec<String> {
    let store = book.store();
    let people: Vec<AccountId> = (0..4).map(account).chain([issuance]).collect();
    let mut balances = store.balances().unwrap();
    // Whoever has nothing may be there or not.
    balances.retain(|(_, balance)| *balance != 0);
    balances.sort_unstable();
    let orders: Vec<_> = people.iter().flat_map(|who| (0..200).map(|id| (*who, OrderId([id; 16])))).collect();
    let openings: Vec<_> = people.iter().map(|who| (issuance, opening_id(*who))).collect();
    let requests: Vec<_> = (0..6).map(|n| (account(terms(n).0), RequestId([n; 16]))).collect();
    let mut read = vec![
        format!("{balances:?} {:?}", store.head().unwrap()),
        format!("{:?} {:?}", store.known(&orders).unwrap(), store.known(&openings).unwrap()),
        format!("{:?} {:?}", store.originals(&orders).unwrap(), store.requests(&requests).unwrap()),
        format!("{:?}", store.expired_requests(Timestamp(now), 2).unwrap()),
        format!("{:?}", store.entries(3, 1_000).unwrap()),
        format!("{:?} {:?}", store.tile(0, 0).unwrap(), store.tile_roots(0, 0).unwrap()),
        format!("{:?} {:?}", book.consistency(1, Some(3)).unwrap(), book.consistency(3, None).unwrap()),
    ];
    for who in people {
        let mut paid = store.paid_since(who, Timestamp(now - 40)).unwrap();
        paid.sort_unstable();
        read.push(format!("{paid:?} {:?}", store.own(who, Some(4), 7).unwrap()));
        read.push(format!("{:?} {:?}", store.steps(who, None, 9).unwrap(), store.steps(who, Some(5), 900).unwrap()));
        read.push(format!("{:?} {:?}", store.open_requests(who, account(1)).unwrap(), book.balance(who)));
        read.push(format!("{:?} {:?}", book.entries(who, None).unwrap(), book.balance_reply(who)));
    }
    read
}

#[test]
fn sqlite_keeps_what_the_model_keeps_also_when_it_is_opened_again() {
    for seed in 0..4 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let limits = PaymentLimits { day: (seed == 3).then(|| amount(300)), ..PaymentLimits::default() };
        let (folder, memory) = (tempfile::tempdir().unwrap(), MemoryLedger::default());
        let disk = || book(Arc::new(SqliteLedger::open(folder.path()).unwrap()), None, limits).unwrap();
        let (model, mut real) = (book(Arc::new(memory.clone()), None, limits).unwrap(), disk());
        let (rules, mut now) = (*model.rules(), 1_000_000);
        let small = |n: u16| {
            let mut id = [99; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            let (payee, memo) = (account(0), BoundedText::default());
            Operation::Issue(IssueOrder { id: OrderId(id), payee, amount: amount(1), memo })
        };
        // Whole tiles from the beginning; once from just below a piece of what is known by account, into the next one.
        let begin: Vec<Operation> = (0..if seed == 3 { 4_000 } else { 300 }).map(small).collect();
        assert_eq!(real.perform(Timestamp(now), &begin).unwrap(), model.perform(Timestamp(now), &begin).unwrap());
        for round in 0..80 {
            let count = 1 + rng.next_u32() % 30;
            let batch: Vec<Operation> = (0..count).map(|_| operation(&mut rng, rules.ledger, now)).collect();
            let done = model.perform(Timestamp(now), &batch).unwrap();
            assert_eq!(real.perform(Timestamp(now), &batch).unwrap(), done, "seed {seed}, round {round}");
            if round % 15 == 14 {
                drop(real);
                real = disk();
            }
            if round % 5 == 0 {
                assert_alike(&real, &model, now, &format!("seed {seed}, round {round}"));
            }
            now += u64::from(rng.next_u32() % 8);
        }
        assert_alike(&real, &model, now, &format!("seed {seed}, the end"));
        let (_, head) = memory.head().unwrap().unwrap();
        assert!(head.size > 450 && head.changes > 8, "{} entries, {} changes", head.size, head.changes);
        // Whoever begins anew with what is kept is where the other one is.
        let again = book(Arc::new(memory), None, limits).unwrap();
        assert_alike(&again, &model, now, "begun anew");
    }
}

fn over_both(case: impl Fn(Arc<dyn LedgerStore>)) {
    case(Arc::new(MemoryLedger::default()));
    let folder = tempfile::tempdir().unwrap();
    case(Arc::new(SqliteLedger::open(folder.path()).unwrap()));
}

#[test]
fn a_ledger_is_founded_once_and_its_money_stays_what_it_is() {
    over_both(|store| {
        let point = Currency::new("point".to_owned().try_into().unwrap(), 0).unwrap();
        assert!(store.head().unwrap().is_none());
        let first = *book(Arc::clone(&store), Some(point.clone()), PaymentLimits::default()).unwrap().rules();
        for same in [None, Some(point)] {
            let again = book(Arc::clone(&store), same, PaymentLimits::default()).unwrap();
            assert_eq!((*again.rules(), again.currency().scale()), (first, 0));
        }
        let other = book(store, Some(Currency::default()), PaymentLimits::default()).unwrap_err();
        assert!(matches!(&other, OpenError::OtherCurrency { kept } if kept == "point:0"), "{other}");
    });
}

#[test]
fn what_the_operator_wants_issued_is_there_until_it_is_posted() {
    over_both(|store| {
        let book = book(Arc::clone(&store), None, PaymentLimits::default()).unwrap();
        let issue = |id: u8, units: u64| IssueOrder {
            id: OrderId([id; 16]),
            payee: account(1),
            amount: amount(units),
            memo: BoundedText::default(),
        };
        for wanted in [issue(2, 5), issue(1, 7), issue(2, 9), issue(3, i64::MAX as u64)] {
            store.want_issue(&wanted).unwrap();
        }
        let most = issue(3, i64::MAX as u64);
        assert_eq!(store.wanted_issues().unwrap(), [issue(1, 7), issue(2, 5), most.clone()]);
        for (number, wanted) in store.wanted_issues().unwrap().into_iter().enumerate() {
            let done = book.perform(Timestamp(9), &[Operation::Issue(wanted)]).unwrap();
            assert_eq!(matches!(done[0].outcome, Outcome::Posted { .. }), number < 2, "{done:?}");
        }
        assert_eq!(store.wanted_issues().unwrap(), []);
        assert_eq!(book.balance(account(1)), 12);
        // The same once more is the same issue.
        let done = book.perform(Timestamp(9), &[Operation::Issue(issue(2, 5))]).unwrap();
        assert_eq!(done[0].outcome, Outcome::Before { index: 1 });
    });
}

#[test]
fn who_is_closed_stays_closed_and_gets_nothing() {
    over_both(|store| {
        let open = || book(Arc::clone(&store), None, PaymentLimits::default()).unwrap();
        let perform = |book: &Book, operation: Operation| book.perform(Timestamp(9), &[operation]).unwrap()[0].outcome;
        let issue = |id: u8| {
            let (payee, memo) = (account(1), BoundedText::default());
            Operation::Issue(IssueOrder { id: OrderId([id; 16]), payee, amount: amount(1), memo })
        };
        let book = open();
        assert!(matches!(perform(&book, issue(1)), Outcome::Posted { .. }));
        let has = Outcome::Refused(LedgerRefusal::NotEmpty { available: amount(1) });
        assert_eq!(perform(&book, Operation::Close(account(1))), has);
        assert_eq!(perform(&book, Operation::Close(account(2))), Outcome::Done);
        assert_eq!(store.closed().unwrap(), [(account(2), false)]);
        let book = open();
        let to_nobody = |id: u8| submission(Order { ledger: book.rules().ledger, ..order(id, 1, 2, 1, 90) });
        assert_eq!(perform(&book, to_nobody(1)), Outcome::Burned(LedgerRefusal::PayeeUnknown));
        assert_eq!(perform(&book, Operation::Close(account(2))), Outcome::Done, "the same again");
        store.closing_finished(account(2)).unwrap();
        store.closing_finished(account(3)).unwrap();
        assert_eq!(store.closed().unwrap(), [(account(2), true)]);
        assert_eq!(perform(&open(), to_nobody(2)), Outcome::Burned(LedgerRefusal::PayeeUnknown));
    });
}

#[test]
fn a_newer_ledger_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteLedger::open(folder.path()).unwrap());
    let file = folder.path().join("ledger.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = std::fs::read(&file).unwrap();
    let error = SqliteLedger::open(folder.path()).unwrap_err();
    assert!(matches!(error, crate::store::StoreError::NewerSchema { found: 99, .. }), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
