//! People with money: a service over a ledger that outlives it, and everything that they sign.

use std::sync::Arc;

use directory::{
    core::{Money, Service, ServiceConfig},
    ledger::{Book, Direct, Founder, Settle},
    store::{
        Store, StoreError,
        ledger::LedgerStore,
        memory::MemoryStore,
        sqlite::{SqliteStore, ledger::SqliteLedger},
    },
};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, Bounded, LedgerId, MemoCommitment, OrderId, RequestId, Timestamp,
    directory::{
        LedgerRefusal, LedgerReply, LedgerRequest, OwnEntry, PaymentLimits, Refusal, Registration, Reply, Request,
        RequestState,
    },
    money::{
        Amount, Checkpoint, Closing, ClosingKind, Entry, Order, PaymentRequest, ReceiptKey, SignedCheckpoint,
        SignedOrder, SignedRequest,
    },
};
use settlement::{receipt, signed};

use crate::hall::{BEGIN, Hall, Person, key};

/// Each case as a test of its own over each store.
macro_rules! over_both_tills {
    ($($case:ident),* $(,)?) => {
        mod model {
            $(#[test] fn $case() { super::$case($crate::till::in_memory()); })*
        }
        mod sqlite {
            $(#[test] fn $case() {
                let folder = tempfile::tempdir().unwrap();
                super::$case($crate::till::on_disk(folder.path()));
            })*
        }
    };
}
pub(crate) use over_both_tills;

/// What everybody has from the beginning.
pub(crate) const OPENING: u64 = 10_000;
/// The directory's root key here.
fn root() -> SigningKey {
    SigningKey::from_slice(&[42; 32]).unwrap()
}

pub(crate) fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

type Reopen<S> = Box<dyn Fn(PaymentLimits) -> Service<S>>;

/// A hall whose service can be started again over what it kept.
pub(crate) struct Till<S> {
    pub(crate) hall: Hall<S>,
    pub(crate) ledger: LedgerId,
    reopen: Reopen<S>,
}

pub(crate) fn in_memory() -> Till<MemoryStore> {
    over(MemoryStore::default())
}

/// A till over what others may have kept.
pub(crate) fn over(store: MemoryStore) -> Till<MemoryStore> {
    Till::over(Box::new(move |limits| service(store.clone(), Arc::new(store.ledger()), limits)))
}

pub(crate) fn on_disk(folder: &std::path::Path) -> Till<SqliteStore> {
    let folder = folder.to_owned();
    Till::over(Box::new(move |limits| {
        let ledger = Arc::new(SqliteLedger::open(&folder).unwrap());
        service(SqliteStore::open(&folder).unwrap(), ledger, limits)
    }))
}

fn service<S: Store>(store: S, ledger: Arc<dyn LedgerStore>, limits: PaymentLimits) -> Service<S> {
    let money = money(ledger, limits, |book| Arc::new(Direct(Arc::clone(book))));
    Service::with_money(store, money, CONFIG, |error: &StoreError| panic!("a store failed: {error}")).unwrap()
}

/// A service whose ledger somebody else writes, or nobody.
pub(crate) fn service_settled_by<S: Store>(
    store: S,
    ledger: Arc<dyn LedgerStore>,
    settle: impl FnOnce(&Arc<Book>) -> Arc<dyn Settle>,
) -> Service<S> {
    Service::with_money(store, money(ledger, PaymentLimits::default(), settle), CONFIG, |_: &StoreError| ()).unwrap()
}

const CONFIG: ServiceConfig =
    ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed: [9; 32] };

fn money(
    ledger: Arc<dyn LedgerStore>,
    limits: PaymentLimits,
    settle: impl FnOnce(&Arc<Book>) -> Arc<dyn Settle>,
) -> Money {
    let founder = Founder { root: root(), currency: None, limits, seed: [8; 32] };
    let book = Arc::new(Book::open(ledger, founder).unwrap());
    Money { settle: settle(&book), book, opening: amount(OPENING) }
}

/// What came of asking the ledger.
pub(crate) type Told = Result<LedgerReply, LedgerRefusal>;

impl<S: Store> Till<S> {
    fn over(reopen: Reopen<S>) -> Self {
        let hall = Hall { service: reopen(PaymentLimits::default()), now: BEGIN };
        let mut till = Self { hall, ledger: LedgerId([0; 32]), reopen };
        till.ledger = till.key(&mut till.hall.arrive("auditor", 199)).ledger;
        till
    }

    /// The service dies and is started again; people have to connect anew.
    pub(crate) fn restart(&mut self, limits: PaymentLimits) {
        self.hall.service = (self.reopen)(limits);
    }

    /// Somebody with the opening balance.
    pub(crate) fn arrive(&self, name: &str, seed: u8) -> Person {
        self.hall.arrive(name, seed)
    }

    pub(crate) fn ask(&self, person: &mut Person, request: LedgerRequest) -> Told {
        match self.hall.ask(person, Request::Ledger(Box::new(request))) {
            Ok(Reply::Ledger(reply)) => Ok(*reply),
            Err(Refusal::Ledger(refusal)) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// The receipt key, as its root vouches for it.
    pub(crate) fn key(&self, person: &mut Person) -> ReceiptKey {
        let Ok(LedgerReply::Terms { key, checkpoint, .. }) = self.ask(person, LedgerRequest::Terms) else { panic!() };
        let pin = membership::fingerprint(&membership::signing::public_key(&root()));
        let key = receipt::verify_key(&key, pin).unwrap();
        receipt::verify_checkpoint(&checkpoint, &key).unwrap();
        key
    }

    /// A good order, valid for a minute.
    pub(crate) fn order(&self, id: u8, payer: &Person, payee: AccountId, units: u64) -> Order {
        order(self.ledger, self.hall.now, (id, units), payer, payee)
    }

    pub(crate) fn settle(&self, by: &mut Person, order: &SignedOrder) -> Told {
        self.ask(by, LedgerRequest::Settle { order: order.clone() })
    }

    /// Settles an order that its payer signs, and checks the receipt; gives its place and the payer's balance.
    pub(crate) fn pay(&self, payer: &mut Person, order: &Order) -> Result<(u64, u64), LedgerRefusal> {
        let signed = sign(order);
        match self.settle(payer, &signed)? {
            LedgerReply::Settled(own) => Ok((self.check(payer, &own, &signed), own.balance.units())),
            other => panic!("{other:?}"),
        }
    }

    /// That a receipt verifies and is of this order; gives its place.
    pub(crate) fn check(&self, person: &mut Person, own: &OwnEntry, order: &SignedOrder) -> u64 {
        let verified = receipt::verify(&own.entry, &self.key(person)).unwrap();
        let Entry::Transfer { order: settled, .. } = verified.entry else { panic!("{verified:?}") };
        assert_eq!(settled, *order);
        verified.index
    }

    pub(crate) fn balance(&self, person: &mut Person) -> u64 {
        let Ok(LedgerReply::Balance { available, held, .. }) = self.ask(person, LedgerRequest::Balance) else {
            panic!()
        };
        assert_eq!(held, Amount::ZERO);
        available.units()
    }

    /// The log as it is.
    pub(crate) fn checkpoint(&self, person: &mut Person) -> (SignedCheckpoint, Checkpoint) {
        let Ok(LedgerReply::Balance { checkpoint, .. }) = self.ask(person, LedgerRequest::Balance) else { panic!() };
        let verified = receipt::verify_checkpoint(&checkpoint, &self.key(person)).unwrap();
        (checkpoint, verified)
    }

    /// A good request, valid for an hour.
    pub(crate) fn request(&self, id: u8, payee: &Person, payer: AccountId, units: u64) -> PaymentRequest {
        PaymentRequest {
            ledger: self.ledger,
            id: RequestId([id; 16]),
            payee: payee.account,
            payer,
            amount: amount(units),
            memo: MemoCommitment([id; 32]),
            not_after: self.hall.now.plus_ms(3_600_000),
            device: payee.device(),
        }
    }

    pub(crate) fn open(&self, payee: &mut Person, request: &PaymentRequest) -> Told {
        self.ask(payee, LedgerRequest::OpenRequest { request: sign_request(request) })
    }

    pub(crate) fn close(&self, by: &mut Person, request: &PaymentRequest, kind: ClosingKind) -> Told {
        let closing =
            Closing { ledger: self.ledger, payee: request.payee, request: request.id, kind, device: by.device() };
        let closing = signed::sign_closing(&closing, &key(by.device().0[0], 4)).unwrap();
        self.ask(by, LedgerRequest::CloseRequest { closing })
    }

    /// What became of a person's requests after a place, and the last place.
    pub(crate) fn changes(&self, person: &mut Person, after: Option<u64>) -> (Vec<(u8, RequestState)>, Option<u64>) {
        let Ok(LedgerReply::Requests { changes, more: false }) = self.ask(person, LedgerRequest::Requests { after })
        else {
            panic!()
        };
        let last = changes.iter().map(|change| change.place).next_back().or(after);
        let told = changes.iter().map(|change| (change.request.request().unwrap().id.0[0], change.state));
        (told.collect(), last)
    }

    /// A person's own entries after a place: each with its place, its amount and the balance after it.
    pub(crate) fn entries(&self, person: &mut Person, after: Option<u64>) -> Vec<(u64, u64, u64)> {
        let Ok(LedgerReply::Entries { entries, more: false }) = self.ask(person, LedgerRequest::Entries { after })
        else {
            panic!()
        };
        let key = self.key(person);
        let told = entries.iter().map(|own| {
            let verified = receipt::verify(&own.entry, &key).unwrap();
            let amount = match verified.entry {
                Entry::Transfer { order, .. } => order.order().unwrap().amount,
                Entry::Issue { amount, .. } | Entry::Opening { amount, .. } => amount,
            };
            (verified.index, amount.units(), own.balance.units())
        });
        told.collect()
    }

    /// From now on the first has accepted the second.
    pub(crate) fn accept(&self, person: &mut Person, other: AccountId) {
        let accounts = Bounded::new(vec![other]).unwrap();
        assert_eq!(self.hall.ask(person, Request::Accept { accounts }), Ok(Reply::Done));
    }

    pub(crate) fn block(&self, person: &mut Person, other: AccountId, blocked: bool) {
        let accounts = Bounded::new(vec![other]).unwrap();
        assert_eq!(self.hall.ask(person, Request::Block { accounts, blocked }), Ok(Reply::Done));
    }
}

/// A good order, by its id and amount, valid for a minute.
pub(crate) fn order(
    ledger: LedgerId,
    now: Timestamp,
    (id, units): (u8, u64),
    payer: &Person,
    payee: AccountId,
) -> Order {
    Order {
        ledger,
        id: OrderId([id; 16]),
        payer: payer.account,
        payee,
        amount: amount(units),
        memo: MemoCommitment([id; 32]),
        answers: None,
        refunds: None,
        not_after: now.plus_ms(60_000),
        device: payer.device(),
    }
}

/// By the device that the order names.
pub(crate) fn sign(order: &Order) -> SignedOrder {
    signed::sign_order(order, &key(order.device.0[0], 4)).unwrap()
}

/// By the device that the request names.
pub(crate) fn sign_request(request: &PaymentRequest) -> SignedRequest {
    signed::sign_request(request, &key(request.device.0[0], 4)).unwrap()
}
