//! CLOSE ACCOUNT while money moves: accounts and ledger are two stores, and between them nothing is lost.

use std::sync::{Arc, Mutex};

use directory::{
    core::{Begun, ledger::Operation},
    ledger::{Book, Finish, Settle},
    store::{
        Store,
        ledger::LedgerStore as _,
        memory::{MemoryLedger, MemoryStore},
    },
};
use protocol::{
    Bounded, Timestamp,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, PaymentLimits, Refusal, Reply, Request, Who},
    money::SignedOrder,
};

use crate::{
    hall::{BEGIN, Hall, Person},
    till::{self, OPENING, Till, amount, over_both_tills, sign, sign_request},
};

over_both_tills!(
    money_on_its_way_to_an_account_that_closes_stays_where_it_is,
    a_request_on_its_way_to_an_account_that_closes_is_refused,
);

fn ask(request: LedgerRequest) -> Request {
    Request::Ledger(Box::new(request))
}

/// Hands in a request whose signature and people were looked at, and gives what does the rest.
fn begin<S: Store>(till: &Till<S>, by: &mut Person, request: LedgerRequest) -> impl FnOnce() -> Result<Reply, Refusal> {
    let begun = till.hall.service.begin(till.hall.now, &mut by.caller, ask(request));
    let Begun::Later(pending) = begun else { panic!("{begun:?}") };
    || {
        let answer = Arc::new(Mutex::new(None));
        let answered = Arc::clone(&answer);
        pending.settle(move |handled| *answered.lock().unwrap() = Some(handled.answer));
        answer.lock().unwrap().take().unwrap()
    }
}

/// Somebody without money closes their account.
fn close<S: Store>(till: &Till<S>, person: &mut Person) -> Result<Reply, Refusal> {
    assert!(till.hall.sign_in(person).is_ok());
    till.hall.ask(person, Request::CloseAccount)
}

fn money_on_its_way_to_an_account_that_closes_stays_where_it_is(mut till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    let all = till.order(1, &bob, alice.account, OPENING);
    till.pay(&mut bob, &all).unwrap();
    let order = sign(&till.order(1, &alice, bob.account, 5));
    let rest = begin(&till, &mut alice, LedgerRequest::Settle { order: order.clone() });
    assert_eq!(close(&till, &mut bob), Ok(Reply::Done));
    let refused = Err(Refusal::Ledger(LedgerRefusal::PayeeUnknown));
    assert_eq!(rest(), refused);
    assert_eq!(till.balance(&mut alice), 2 * OPENING);
    till.restart(PaymentLimits::default());
    till.hall.connect(&mut alice);
    assert_eq!(till.settle(&mut alice, &order), Err(LedgerRefusal::PayeeUnknown), "also after a restart");
}

fn a_request_on_its_way_to_an_account_that_closes_is_refused(till: Till<impl Store>) {
    let (mut alice, mut bob) = (till.arrive("alice", 1), till.arrive("bob", 2));
    till.accept(&mut alice, bob.account);
    till.accept(&mut bob, alice.account);
    let all = till.order(1, &alice, bob.account, OPENING);
    till.pay(&mut alice, &all).unwrap();
    let request = sign_request(&till.request(1, &bob, alice.account, 5));
    let rest = begin(&till, &mut bob, LedgerRequest::OpenRequest { request });
    assert_eq!(close(&till, &mut alice), Ok(Reply::Done));
    assert_eq!(rest(), Err(Refusal::Ledger(LedgerRefusal::PayeeUnknown)));
}

/// Holds back what is handed in until an account is to be closed, and then does all of it, that last.
struct Late {
    book: Arc<Book>,
    held: Mutex<Option<Vec<(Operation, Finish)>>>,
}

impl Settle for Late {
    fn hand_in(&self, now: Timestamp, operation: Operation, finish: Finish) {
        let closes = matches!(operation, Operation::Close(_));
        let mut all = Vec::new();
        {
            let mut held = self.held.lock().unwrap();
            match held.as_mut() {
                Some(held) if !closes => return held.push((operation, finish)),
                _ => all.extend(held.take().into_iter().flatten()),
            }
        }
        all.push((operation, finish));
        let (operations, finishes): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let done = self.book.perform(now, &operations).unwrap();
        finishes.into_iter().zip(done).for_each(|(finish, done)| finish(Ok(done)));
    }
}

#[test]
fn an_account_that_money_comes_to_as_it_closes_stays_open() {
    let store = MemoryStore::default();
    let late: Arc<Mutex<Option<Arc<Late>>>> = Arc::default();
    let settle = |book: &Arc<Book>| -> Arc<dyn Settle> {
        let made = Arc::new(Late { book: Arc::clone(book), held: Mutex::new(None) });
        *late.lock().unwrap() = Some(Arc::clone(&made));
        made
    };
    let service = till::service_settled_by(store.clone(), Arc::new(store.ledger()), settle);
    let late = late.lock().unwrap().take().unwrap();
    let hall = Hall { service, now: BEGIN };
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let pay = |hall: &Hall<_>, person: &mut Person, order: SignedOrder| {
        let answer = hall.ask(person, ask(LedgerRequest::Settle { order }));
        assert!(
            matches!(&answer, Ok(Reply::Ledger(reply)) if matches!(**reply, LedgerReply::Settled(_))),
            "{answer:?}"
        );
    };
    let ledger = late.book.rules().ledger;
    let all = sign(&till::order(ledger, hall.now, (1, OPENING), &bob, alice.account));
    pay(&hall, &mut bob, all);
    *late.held.lock().unwrap() = Some(Vec::new());
    let order = sign(&till::order(ledger, hall.now, (1, 5), &alice, bob.account));
    let begun = hall.service.begin(hall.now, &mut alice.caller, ask(LedgerRequest::Settle { order }));
    let Begun::Later(pending) = begun else { panic!("{begun:?}") };
    let answer = Arc::new(Mutex::new(None));
    let answered = Arc::clone(&answer);
    pending.settle(move |handled| *answered.lock().unwrap() = Some(handled.answer));
    assert!(answer.lock().unwrap().is_none(), "it waits");
    // Nothing has come when it is asked for, and something has when it is done.
    assert!(hall.sign_in(&mut bob).is_ok());
    let refused = Err(Refusal::Ledger(LedgerRefusal::NotEmpty { available: amount(5) }));
    assert_eq!(hall.ask(&mut bob, Request::CloseAccount), refused);
    assert!(matches!(answer.lock().unwrap().take(), Some(Ok(Reply::Ledger(_)))));
    // Nothing of the account was closed: the money can go back.
    let back = sign(&till::order(ledger, hall.now, (2, 5), &bob, alice.account));
    pay(&hall, &mut bob, back);
    assert!(hall.sign_in(&mut bob).is_ok());
    assert_eq!(hall.ask(&mut bob, Request::CloseAccount), Ok(Reply::Done));
}

/// Dies when an account was closed for the ledger, before anybody hears of it.
struct DiesAsItCloses(Arc<Book>);

impl Settle for DiesAsItCloses {
    fn hand_in(&self, now: Timestamp, operation: Operation, finish: Finish) {
        let done = self.0.perform(now, std::slice::from_ref(&operation)).unwrap();
        if !matches!(operation, Operation::Close(_)) {
            finish(Ok(done.into_iter().next().unwrap()));
        }
    }
}

#[test]
fn what_a_crash_left_closed_for_the_ledger_alone_is_closed_afterwards() {
    let store = MemoryStore::default();
    let mortal = |book: &Arc<Book>| -> Arc<dyn Settle> { Arc::new(DiesAsItCloses(Arc::clone(book))) };
    let ledger = Arc::new(store.ledger());
    let hall = Hall { service: till::service_settled_by(store.clone(), ledger, mortal), now: BEGIN };
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let id = {
        let Ok(Reply::Ledger(terms)) = hall.ask(&mut bob, ask(LedgerRequest::Terms)) else { panic!() };
        let LedgerReply::Terms { key, .. } = *terms else { panic!() };
        key.receipt_key().unwrap().ledger
    };
    let order = sign(&till::order(id, hall.now, (1, OPENING), &bob, alice.account));
    assert!(hall.ask(&mut bob, ask(LedgerRequest::Settle { order })).is_ok());
    assert!(hall.sign_in(&mut bob).is_ok());
    assert_eq!(hall.ask(&mut bob, Request::CloseAccount), Err(Refusal::Unavailable));
    assert_eq!(store.ledger().closed().unwrap(), [(bob.account, false)]);

    let mut till = till::over(store.clone());
    till.hall.connect(&mut alice);
    // The account is still there, and gets nothing.
    assert!(till.hall.sign_in(&mut bob).is_ok());
    let order = till.order(1, &alice, bob.account, 5);
    assert_eq!(till.pay(&mut alice, &order), Err(LedgerRefusal::PayeeUnknown));
    let who = || Request::LookUp { who: Bounded::new(vec![Who::Account(bob.account)]).unwrap() };
    till.hall.service.sweep(till.hall.now);
    assert_eq!(till.hall.ask(&mut alice, who()), Ok(Reply::People(Bounded::default())));
    assert_eq!(store.ledger().closed().unwrap(), [(bob.account, true)]);
    till.restart(PaymentLimits::default());
    assert!(till.hall.service.sweep(till.hall.now).is_empty());
}

#[test]
fn what_is_owed_to_an_account_is_there_before_it_can_be_closed() {
    let store = MemoryStore::default();
    let dead = till::service_settled_by(store.clone(), Arc::new(MemoryLedger::default()), |_| Arc::new(Gone));
    let hall = Hall { service: dead, now: BEGIN };
    let mut alice = Person::new("alice", 1, BEGIN);
    assert_eq!(hall.sign_up(&mut alice), Err(Refusal::Unavailable), "the account is there, its money is not");
    let till = till::over(store);
    assert!(till.hall.sign_in(&mut alice).is_ok());
    let refused = Err(Refusal::Ledger(LedgerRefusal::NotEmpty { available: amount(OPENING) }));
    assert_eq!(till.hall.ask(&mut alice, Request::CloseAccount), refused);
}

/// Nobody writes the ledger any more.
struct Gone;

impl Settle for Gone {
    fn hand_in(&self, _now: Timestamp, _operation: Operation, _finish: Finish) {}
}
