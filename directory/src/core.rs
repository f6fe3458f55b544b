//! What the directory answers: rules over a store, without sockets, clocks or ambient randomness.
//!
//! `handle(now, caller, request) -> Handled`: the answer, and what is to be done besides. Presence, rate limits and
//! exchanges under way live here in memory and are gone with the process; everything else is in the store before the
//! answer leaves.

mod accounts;
mod caller;
mod commits;
mod creations;
mod deposits;
mod devices;
mod fanout;
mod groups;
mod handouts;
pub mod ledger;
pub mod limits;
mod mailbox;
mod observer;
mod opaque;
mod packages;
mod payers;
mod payments;
mod presence;
mod sessions;
mod setup;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64},
};

use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, DeviceId, Timestamp,
    directory::{PaymentLimits, Push, Refusal, Reply, Request},
    money::Amount,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};

use crate::{
    ledger::{Book, Founder, OpenError, Settle},
    store::{Store, StoreError, memory::MemoryLedger},
};

use self::{
    limits::Limits, observer::Observer, opaque::PasswordServer, payers::Payers, payments::Ledgered, presence::Presence,
    sessions::Session,
};

pub use self::{
    caller::Caller,
    payments::{Begun, Pending},
    setup::{Money, ServiceConfig},
};

/// Key packages forgotten in one sweep: what does not hold up requests.
const PACKAGES_EXPIRE_MAX: usize = 1_000;

/// Something to do besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceEffect {
    /// Tell a device something, if it is connected.
    Push {
        /// Whom.
        device: DeviceId,
        /// What.
        push: Push,
    },
    /// End a device's connection: its session is over.
    CloseSession {
        /// Whose.
        device: DeviceId,
    },
}

/// What a request came to.
#[derive(Debug)]
pub struct Handled {
    /// The answer.
    pub answer: Result<Reply, Refusal>,
    /// What to do besides.
    pub effects: Vec<ServiceEffect>,
}

/// Why a request is not answered with a reply.
#[derive(Debug)]
enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// The store failed.
    Store(StoreError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Answer = Result<Reply, Stop>;

/// The directory's rules over a store.
pub struct Service<S> {
    store: S,
    config: ServiceConfig,
    passwords: PasswordServer,
    observer: Observer,
    presence: Presence,
    limits: Arc<Limits>,
    book: Arc<Book>,
    settle: Arc<dyn Settle>,
    opening: Amount,
    // Whether everybody has what the ledger owed them when this process began.
    openings_posted: AtomicBool,
    // Accounts that a crash found closed for the ledger, and perhaps nowhere else.
    closings: Mutex<Vec<AccountId>>,
    people: Payers,
    rng: Mutex<ChaCha20Rng>,
    // Sessions that have ended, counted once the store knows: whoever has an older count asks the store again.
    ended: AtomicU64,
    on_fatal: Arc<dyn Fn(&StoreError) + Send + Sync>,
}

impl<S> std::fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S: Store> Service<S> {
    /// A service over a store, with a ledger of its own in memory that lives as long as it does. `on_fatal` hears of a
    /// store that failed: nothing is answered from it any more, and the process has to end.
    ///
    /// # Errors
    /// [`StoreError`] if the store's secrets cannot be read or made.
    pub fn new(
        store: S,
        config: ServiceConfig,
        on_fatal: impl Fn(&StoreError) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let root = SigningKey::from_slice(&Sha256::digest(config.seed));
        let root = root.map_err(|_| StoreError::Damaged("a seed that makes no key".to_owned()))?;
        let founder = Founder { root, currency: None, limits: PaymentLimits::default(), seed: config.seed };
        let book = match Book::open(Arc::new(MemoryLedger::default()), founder) {
            Ok(book) => Arc::new(book),
            Err(OpenError::Store(error)) => return Err(error),
            Err(error) => return Err(StoreError::Damaged(error.to_string())),
        };
        Self::with_money(store, Money::direct(book), config, on_fatal)
    }

    /// A service over a store and a ledger. `on_fatal` hears of either that failed.
    ///
    /// # Errors
    /// [`StoreError`] if the store's secrets cannot be read or made.
    pub fn with_money(
        store: S,
        money: Money,
        config: ServiceConfig,
        on_fatal: impl Fn(&StoreError) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let Money { book, settle, opening } = money;
        let mut rng = ChaCha20Rng::from_seed(config.seed);
        let passwords = PasswordServer::open(&store, &mut rng)?;
        let closings = book.store().closed()?.into_iter().filter(|(_, finished)| !finished);
        let closings = Mutex::new(closings.map(|(account, _)| account).collect());
        Ok(Self {
            store,
            config,
            passwords,
            observer: Observer::new(),
            presence: Presence::default(),
            limits: Arc::default(),
            book,
            settle,
            opening,
            openings_posted: AtomicBool::new(false),
            closings,
            people: Payers::default(),
            rng: Mutex::new(rng),
            ended: AtomicU64::new(0),
            on_fatal: Arc::new(on_fatal),
        })
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Looks after what passes with time, and what a crash has left undone.
    pub fn sweep(&self, now: Timestamp) -> Vec<ServiceEffect> {
        let swept = self.expire_leases(now).and_then(|mut effects| {
            effects.extend(self.expire_mail(now)?);
            effects.extend(self.sweep_handouts()?);
            self.store.expire_packages(now, PACKAGES_EXPIRE_MAX)?;
            effects.extend(self.sweep_ledger(now)?);
            effects.extend(self.finish_closings(now)?);
            Ok(effects)
        });
        self.limits.sweep(now);
        swept.unwrap_or_else(|error| {
            (self.on_fatal)(&error);
            Vec::new()
        })
    }

    /// Answers a request, and waits for the disk with it.
    pub fn handle(&self, now: Timestamp, caller: &mut Caller, request: Request) -> Handled {
        match self.begin(now, caller, request) {
            Begun::Done(handled) => handled,
            Begun::Later(pending) => self.wait(pending),
        }
    }

    /// Answers a request, or says what its answer waits for.
    pub fn begin(&self, now: Timestamp, caller: &mut Caller, request: Request) -> Begun {
        let mut effects = Vec::new();
        let answered = match request {
            Request::Ledger(request) => self.begin_ledger(now, caller, *request, &mut effects),
            request => self.answer(now, caller, request, &mut effects).map(Ledgered::Answered),
        };
        let answer = match answered {
            Ok(Ledgered::Pending(pending)) => return Begun::Later(pending),
            Ok(Ledgered::Answered(reply)) => Ok(reply),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Store(error)) => {
                (self.on_fatal)(&error);
                effects.clear();
                Err(Refusal::Unavailable)
            }
        };
        Begun::Done(Handled { answer, effects })
    }

    fn answer(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        request: Request,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        self.at_the_door(now, caller, effects)?;
        match request {
            Request::Ping => Ok(Reply::Pong {
                time: now,
                observed: caller.observed,
                account: caller.account(),
                registration: self.config.registration,
            }),
            Request::SignUpStart { name, invite, registration } => {
                self.limits.attempt(now, caller.observed.ip())?;
                self.sign_up_start(&name, invite.as_deref(), &registration)
            }
            Request::SignUpFinish(sign_up) => {
                self.limits.attempt(now, caller.observed.ip())?;
                self.sign_up_finish(now, caller, &sign_up, effects)
            }
            Request::SignInStart { name, credential } => {
                self.limits.attempt(now, caller.observed.ip())?;
                self.limits.guess(now, &name, caller.observed.ip())?;
                self.limits.tried(now, &name, caller.observed.ip());
                self.sign_in_start(caller, &name, &credential)
            }
            Request::SignInFinish { credential } => self.sign_in_finish(now, caller, &credential),
            Request::UpdateDevices { devices } => self.update_devices(now, caller, &devices, effects),
            Request::RecoveryStart { name, registration } => {
                self.limits.attempt(now, caller.observed.ip())?;
                self.limits.guess(now, &name, caller.observed.ip())?;
                self.limits.tried(now, &name, caller.observed.ip());
                self.recovery_start(&name, &registration)
            }
            Request::RecoveryFinish(recovery) => {
                self.limits.attempt(now, caller.observed.ip())?;
                self.recovery_finish(now, caller, &recovery, effects)
            }
            request => {
                let session = caller.session.ok_or(Refusal::NotSignedIn)?;
                self.answer_member(now, caller, session, request, effects)
            }
        }
    }

    /// What every request passes first: whether its session still stands, and whether it comes too often.
    fn at_the_door(&self, now: Timestamp, caller: &mut Caller, effects: &mut Vec<ServiceEffect>) -> Result<(), Stop> {
        self.recheck_session(now, caller, effects)?;
        match caller.account() {
            Some(account) => self.limits.request(now, account)?,
            None => self.limits.unknown(now, caller.observed.ip())?,
        }
        Ok(())
    }

    fn answer_member(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        session: Session,
        request: Request,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let Session { account, device, .. } = session;
        match request {
            Request::SignOut => self.sign_out(now, caller, session, effects),
            Request::Announce { addresses, send_counter } => {
                effects.extend(self.announce(now, caller, account, device, &addresses)?);
                self.recheck_session(now, caller, effects)?;
                caller.session.ok_or(Refusal::NotSignedIn)?;
                self.announced(now, caller, device, send_counter)
            }
            Request::LookUp { who } => self.look_up(account, &who),
            Request::ListOnline { after } => self.list_online(account, after.as_ref()),
            Request::Accept { accounts } => {
                self.store.accept(account, &accounts)?;
                Ok(Reply::Done)
            }
            Request::Addresses { account: of } => self.addresses(account, of),
            Request::PublishKeyPackages { packages, last_resort } => {
                self.publish(now, device, &packages, last_resort.as_deref())
            }
            Request::TakeKeyPackages { account: of } => self.take_packages(now, device, of, effects),
            Request::CreateConversation(new) => self.create_conversation(now, (account, device), &new, effects),
            Request::SubmitCommit(submission) => self.submit_commit(now, (account, device), &submission, effects),
            Request::Group { conversation } => self.group(account, conversation),
            Request::Deposit { items } => self.deposit(now, (account, device), items, effects),
            Request::Drain { after } => self.drain(device, after),
            Request::Remove { cursors } => {
                self.store.remove(device, &cursors)?;
                Ok(Reply::Done)
            }
            Request::PutBook { version, book } => {
                if !self.store.put_book(account, version, &book)? {
                    return Err(Refusal::Stale.into());
                }
                self.tell_own(account, device, effects)?;
                Ok(Reply::Done)
            }
            Request::Account => self.account((account, device)),
            Request::Book => self.book(account),
            Request::PasswordStart { registration } => self.password_start(account, &registration),
            Request::ChangePassword { registration, root_backup } => {
                self.change_password(caller, account, &registration, &root_backup)
            }
            Request::CloseAccount => self.close_account(now, caller, account, effects),
            Request::Block { accounts, blocked } => {
                self.store.block(account, &accounts, blocked)?;
                self.people.changed();
                Ok(Reply::Done)
            }
            Request::Settling { commits } => self.settling((account, device), &commits),
            Request::ListGroups { after } => self.list_groups(account, after.as_ref()),
            Request::FindGroup { name } => self.find_group(account, &name),
            Request::Leave { leave } => self.leave_group(now, (account, device), &leave, effects),
            Request::Epochs { groups } => self.epochs((account, device), &groups, effects),
            // Answered elsewhere, most of it before anybody is signed in.
            Request::Ledger(_)
            | Request::Ping
            | Request::SignUpStart { .. }
            | Request::SignUpFinish(_)
            | Request::SignInStart { .. }
            | Request::SignInFinish { .. }
            | Request::UpdateDevices { .. }
            | Request::RecoveryStart { .. }
            | Request::RecoveryFinish(_) => Err(malformed("answered elsewhere")),
        }
    }

    fn with_rng<T>(&self, draw: impl FnOnce(&mut ChaCha20Rng) -> T) -> T {
        // A panic while drawing leaves a generator that is as good as before.
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The request contradicts itself or the protocol.
fn malformed(reason: &str) -> Stop {
    let reason = protocol::BoundedText::new(reason.chars().take(120).collect()).unwrap_or_default();
    Stop::Refused(Refusal::Malformed(reason))
}
