//! What the directory answers: rules over a store, without sockets, clocks or ambient randomness.
//!
//! `handle(now, caller, request) -> Handled`: the answer, and what is to be done besides. Presence, rate limits and
//! exchanges under way live here in memory and are gone with the process; everything else is in the store before the
//! answer leaves.

mod accounts;
mod commits;
mod creations;
mod deposits;
mod devices;
mod fanout;
mod groups;
mod handouts;
pub mod limits;
mod mailbox;
mod observer;
mod opaque;
mod packages;
mod presence;
mod sessions;

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
};

use protocol::{
    AccountId, DeviceId, PublicKey, Timestamp,
    directory::{Push, Refusal, Registration, Reply, Request},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::store::{Store, StoreError};

use self::{limits::Limits, observer::Observer, opaque::PasswordServer, presence::Presence, sessions::Session};

/// Key packages forgotten in one sweep: what does not hold up requests.
const PACKAGES_EXPIRE_MAX: usize = 1_000;

/// What the operator chose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServiceConfig {
    /// How one gets an account.
    pub registration: Registration,
    /// Whether presence is told to everybody; else to whom the person accepted.
    pub presence_to_everyone: bool,
    /// Seed of the service's generator: from the system in production, fixed in tests.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for ServiceConfig {
    /// Without the seed, from which the secret behind all passwords is made at the first start.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("ServiceConfig");
        shown.field("registration", &self.registration);
        shown.field("presence_to_everyone", &self.presence_to_everyone).finish_non_exhaustive()
    }
}

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

/// A connection, as the service knows it.
pub struct Caller {
    tls_key: PublicKey,
    exporter: [u8; 32],
    observed: SocketAddr,
    session: Option<Session>,
    login: Option<opaque::PendingLogin>,
    /// The account whose password was proven on this connection, until that is used.
    proven: Option<AccountId>,
}

impl std::fmt::Debug for Caller {
    /// Without the exporter, which binds a password's proof to this connection.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Caller");
        shown.field("observed", &self.observed).field("session", &self.session);
        shown.field("login", &self.login).finish_non_exhaustive()
    }
}

impl Caller {
    /// A new connection: the key that TLS has proven, the connection's exporter, and where it comes from.
    #[must_use]
    pub fn new(tls_key: PublicKey, exporter: [u8; 32], observed: SocketAddr) -> Self {
        Self { tls_key, exporter, observed, session: None, login: None, proven: None }
    }

    /// The device that is signed in on it.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.session.map(|session| session.device)
    }

    /// The account that is signed in on it.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.session.map(|session| session.account)
    }
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
    limits: Limits,
    rng: Mutex<ChaCha20Rng>,
    // Sessions that have ended, counted once the store knows: whoever has an older count asks the store again.
    ended: AtomicU64,
    on_fatal: Box<dyn Fn(&StoreError) + Send + Sync>,
}

impl<S> std::fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<S: Store> Service<S> {
    /// A service over a store. `on_fatal` hears of a store that failed: nothing is answered from it any more, and the
    /// process has to end.
    ///
    /// # Errors
    /// [`StoreError`] if the store's secrets cannot be read or made.
    pub fn new(
        store: S,
        config: ServiceConfig,
        on_fatal: impl Fn(&StoreError) + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let mut rng = ChaCha20Rng::from_seed(config.seed);
        let passwords = PasswordServer::open(&store, &mut rng)?;
        Ok(Self {
            store,
            config,
            passwords,
            observer: Observer::new(),
            presence: Presence::default(),
            limits: Limits::default(),
            rng: Mutex::new(rng),
            ended: AtomicU64::new(0),
            on_fatal: Box::new(on_fatal),
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
            Ok(effects)
        });
        self.limits.sweep(now);
        swept.unwrap_or_else(|error| {
            (self.on_fatal)(&error);
            Vec::new()
        })
    }

    /// Answers a request.
    pub fn handle(&self, now: Timestamp, caller: &mut Caller, request: Request) -> Handled {
        let mut effects = Vec::new();
        let answer = match self.answer(now, caller, request, &mut effects) {
            Ok(reply) => Ok(reply),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Store(error)) => {
                (self.on_fatal)(&error);
                effects.clear();
                Err(Refusal::Unavailable)
            }
        };
        Handled { answer, effects }
    }

    fn answer(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        request: Request,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        self.recheck_session(now, caller, effects)?;
        match caller.account() {
            Some(account) => self.limits.request(now, account)?,
            None => self.limits.unknown(now, caller.observed.ip())?,
        }
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
            Request::Account => self.account(account),
            Request::Book => self.book(account),
            Request::PasswordStart { registration } => self.password_start(account, &registration),
            Request::ChangePassword { registration, root_backup } => {
                self.change_password(caller, account, &registration, &root_backup)
            }
            Request::CloseAccount => self.close_account(now, caller, account, effects),
            Request::Block { accounts, blocked } => {
                self.store.block(account, &accounts, blocked)?;
                Ok(Reply::Done)
            }
            Request::Settling { commits } => self.settling((account, device), &commits),
            Request::ListGroups { after } => self.list_groups(account, after.as_ref()),
            Request::FindGroup { name } => self.find_group(account, &name),
            Request::Leave { leave } => self.leave_group(now, (account, device), &leave, effects),
            Request::Ledger(_) => Err(Refusal::Unavailable.into()),
            // Answered before anybody is signed in.
            Request::Ping
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_shows_no_exporter() {
        let caller = Caller::new(PublicKey([4; 65]), [171; 32], ([127, 0, 0, 1], 7_000).into());
        let shown = format!("{caller:?} {caller:#?}");
        assert!(shown.contains("127.0.0.1:7000"), "{shown}");
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    }
}
