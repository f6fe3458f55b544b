//! A table: real cores around one real directory, with nothing left to chance and no network between them.
//!
//! Everything is delivered at once and in order, and the clock moves only when a test moves it. Every answer passes
//! through a [`Waiter`], who may put another in its place: a directory that lies. Nobody can be dialled, so everything
//! goes by the mailbox, unless a test sets two together. For what may happen in which order there is [`crate::world`].

mod at_once;
mod names;
mod near;
mod told;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use directory::{
    core::{Caller, Service, ServiceConfig, ServiceEffect},
    store::memory::{MemoryLedger, MemoryStore},
};
use node_core::{
    Core, CoreConfig,
    command::{Command, CommandResult, CommandToken},
    input::{Answer, Input},
    output::{Effect, FileEffect, Outputs},
};
use p256::{SecretKey, elliptic_curve::sec1::ToSec1Point as _, pkcs8::DecodePrivateKey as _};
use protocol::{
    DeviceId, Fingerprint, PublicKey, Timestamp,
    directory::{PaymentLimits, Refusal, Registration, Reply, Request},
    money::Amount,
};

pub use self::names::{named, password_of};
use self::{names::address, near::Near};
use crate::{
    entropy::SeededEntropy,
    ledger,
    provider::SeededProvider,
    world::{CHEAP_STRETCH, disk::Disk, witness::Keys},
};

/// When the table is laid: far ahead, so that a clock that was not given is noticed.
const BEGIN: Timestamp = Timestamp(33_000_000_000_000);
/// How long a command may take, in milliseconds of virtual time: a script's TIMEOUT.
const COMMAND_MS: u64 = 30_000;
/// How often the directory looks at its clock, in milliseconds.
const SWEEP_MS: u64 = 1_000;

/// Who sits where.
pub type Seat = usize;

/// Sees each request and what the directory answers, and says what the node hears.
pub type Waiter = Box<dyn FnMut(Seat, &Request, Result<Reply, Refusal>) -> Result<Reply, Refusal>>;

/// A node at the table.
struct Guest {
    core: Option<Core<SeededProvider>>,
    disk: Disk,
    caller: Option<Caller>,
    timer: Option<Timestamp>,
    results: BTreeMap<CommandToken, CommandResult>,
    misbehaviour: Vec<&'static str>,
    entropy: SeededEntropy,
    provider: SeededProvider,
}

/// Cores around a directory.
pub struct Table {
    /// The clock.
    pub now: Timestamp,
    /// The directory.
    pub directory: Service<MemoryStore>,
    /// The key that the directory proves to whoever connects from now on.
    pub key: Fingerprint,
    guests: Vec<Guest>,
    queue: VecDeque<(Seat, Input)>,
    waiter: Waiter,
    lost: Option<fn(&Request) -> bool>,
    tokens: u64,
    swept: Timestamp,
    restarts: Vec<Seat>,
    /// What cores wanted done about files, in order.
    pub files: Vec<(Seat, FileEffect)>,
    near: Near,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table with an honest directory, open to everybody, where nobody has money.
    #[must_use]
    pub fn new() -> Self {
        Self::with_money(Amount::ZERO, PaymentLimits::default())
    }

    /// The same where every new account has so much from the beginning, and the operator allows so much.
    ///
    /// # Panics
    /// If the directory cannot start over an empty store.
    #[must_use]
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn with_money(opening: Amount, limits: PaymentLimits) -> Self {
        let config = ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed: [7; 32] };
        let money = ledger::money(Arc::<MemoryLedger>::default(), opening, limits);
        let directory = Service::with_money(MemoryStore::default(), money, config, |_| {}).expect("an empty store");
        Self {
            now: BEGIN,
            directory,
            key: ledger::fingerprint(),
            guests: Vec::new(),
            queue: VecDeque::new(),
            waiter: Box::new(|_, _, answer| answer),
            lost: None,
            tokens: 0,
            swept: BEGIN,
            restarts: Vec::new(),
            files: Vec::new(),
            near: Near::default(),
        }
    }

    /// From now on answers pass through this one.
    pub fn serve(&mut self, waiter: Waiter) {
        self.waiter = waiter;
    }

    /// From now on the directory is honest.
    pub fn be_honest(&mut self) {
        self.waiter = Box::new(|_, _, answer| answer);
    }

    /// The answer to the next request of this kind is lost, though the directory does what it asks.
    pub fn lose_answer(&mut self, of: fn(&Request) -> bool) {
        self.lost = Some(of);
    }

    /// A new node, with an empty profile, connected.
    pub fn sit(&mut self) -> Seat {
        self.sit_with(Disk::default())
    }

    /// A node that opens this profile, connected: a copy, if another one has it too.
    pub fn sit_with(&mut self, disk: Disk) -> Seat {
        let seat = self.guests.len();
        let entropy = SeededEntropy::new(seat as u64, 1);
        let provider = SeededProvider::new(entropy.clone(), Keys::default());
        let (results, misbehaviour) = (BTreeMap::new(), Vec::new());
        let guest = Guest { core: None, disk, caller: None, timer: None, results, misbehaviour, entropy, provider };
        self.guests.push(guest);
        self.wake(seat);
        seat
    }

    /// A new node with an account of this name, whose password is `password-of-NAME`.
    ///
    /// # Panics
    /// If the sign-up fails.
    pub fn sign_up(&mut self, name: &str) -> Seat {
        let seat = self.sit();
        let command = Command::SignUp { name: named(name), password: password_of(name), invite: None };
        let result = self.command(seat, command);
        assert!(result.is_ok(), "{name} signs up: {result:?}");
        seat
    }

    /// Opens a node's profile and connects it.
    ///
    /// # Panics
    /// If the profile does not open.
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn wake(&mut self, seat: Seat) {
        let config = CoreConfig { stretch: CHEAP_STRETCH };
        let guest = &mut self.guests[seat];
        let entropy = Box::new(guest.entropy.clone());
        let opened = Core::open(config, guest.provider.clone(), entropy, guest.disk.stored(), self.now);
        let (core, outputs) = opened.expect("a profile that opens");
        guest.core = Some(core);
        self.perform(seat, outputs);
        self.connect(seat);
    }

    /// A node stops where it is; what is durable stays.
    pub fn sleep(&mut self, seat: Seat) {
        self.hang_up(seat);
        self.part_all(seat);
        let guest = &mut self.guests[seat];
        guest.core = None;
        guest.timer = None;
        self.queue.retain(|(to, _)| *to != seat);
        self.settle();
    }

    /// A node's connection to the directory stands.
    pub fn connect(&mut self, seat: Seat) {
        let Some(key) = self.tls_key(seat) else { return };
        let exporter = [seat as u8; 32];
        let mut caller = Caller::new(key, exporter, address(seat));
        let effects = self.directory.connected(self.now, &mut caller);
        self.guests[seat].caller = Some(caller);
        self.on_effects(effects);
        let addresses = vec![address(seat)];
        self.queue.push_back((seat, Input::DirectoryConnected { exporter, addresses, directory: self.key }));
        self.settle();
    }

    /// A node's connection to the directory ends.
    pub fn hang_up(&mut self, seat: Seat) {
        let Some(mut caller) = self.guests[seat].caller.take() else { return };
        let effects = self.directory.disconnected(self.now, &mut caller);
        self.on_effects(effects);
        let reason = "the table was cleared".to_owned();
        self.queue.push_back((seat, Input::DirectoryDisconnected { reason }));
        self.settle();
    }

    /// Gives a command and waits for its end.
    ///
    /// # Panics
    /// If it has not ended within thirty seconds of virtual time, and not even then when it is given up.
    pub fn command(&mut self, seat: Seat, command: Command) -> CommandResult {
        self.tokens += 1;
        let token = CommandToken(self.tokens);
        self.queue.push_back((seat, Input::Command { token, command }));
        self.settle();
        let until = self.now.plus_ms(COMMAND_MS);
        while !self.guests[seat].results.contains_key(&token) && self.now < until {
            self.step(until);
        }
        if !self.guests[seat].results.contains_key(&token) {
            self.queue.push_back((seat, Input::Abandoned { token }));
            self.settle();
        }
        let result = self.guests[seat].results.remove(&token);
        assert!(result.is_some(), "a command never ends");
        result.unwrap_or_else(|| unreachable!())
    }

    /// SEND, to its end.
    pub fn send(&mut self, seat: Seat, to: &str, text: &str) -> CommandResult {
        self.command(seat, Command::Send { to: named(to), text: text.to_owned() })
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while self.now < until {
            self.step(until);
        }
    }

    fn tls_key(&self, seat: Seat) -> Option<PublicKey> {
        let key = SecretKey::from_pkcs8_der(self.guests[seat].core.as_ref()?.tls_key_pkcs8()).ok()?;
        PublicKey::from_slice(key.public_key().to_sec1_point(false).as_bytes())
    }

    /// Moves the clock to whatever is next, at most to `until`.
    fn step(&mut self, until: Timestamp) {
        let timers = self.guests.iter().filter_map(|guest| guest.timer);
        let next = timers.chain([self.swept.plus_ms(SWEEP_MS), until]).min().unwrap_or(until);
        self.now = next.max(self.now);
        if self.now.ms_since(self.swept) >= SWEEP_MS {
            self.swept = self.now;
            let effects = self.directory.sweep(self.now);
            self.on_effects(effects);
        }
        for seat in 0..self.guests.len() {
            if self.guests[seat].timer.is_some_and(|at| at <= self.now) {
                self.guests[seat].timer = None;
                self.queue.push_back((seat, Input::Tick));
            }
        }
        self.settle();
    }

    /// Hands over everything that waits, and what comes of it.
    fn settle(&mut self) {
        while let Some((seat, input)) = self.queue.pop_front() {
            let Some(core) = &mut self.guests[seat].core else { continue };
            let outputs = core.handle(self.now, vec![input]);
            self.perform(seat, outputs);
            while let Some(seat) = self.restarts.pop() {
                self.sleep(seat);
                self.wake(seat);
            }
        }
    }

    #[expect(clippy::expect_used, reason = "for tests")]
    fn perform(&mut self, seat: Seat, outputs: Outputs) {
        if let Some(transaction) = outputs.persist {
            self.guests[seat].disk.apply(transaction).expect("a transaction that applies");
        }
        for effect in outputs.after {
            self.effect(seat, effect);
        }
    }

    #[expect(clippy::panic, reason = "for tests: a bug ends the test that meets it")]
    fn effect(&mut self, seat: Seat, effect: Effect) {
        match effect {
            Effect::Ask { call, request } => {
                let answer = self.ask(seat, *request);
                self.queue.push_back((seat, Input::Reply { call, answer }));
            }
            Effect::Dial { device, .. } => self.queue.push_back((seat, Input::DialFailed { device })),
            Effect::SetTimer { at } => self.guests[seat].timer = Some(at),
            Effect::Stretch { job } => self.queue.push_back((seat, Input::Stretched { done: job.run() })),
            Effect::Done { token, result } => {
                self.guests[seat].results.insert(token, result);
            }
            Effect::ReadHistory { token, with, count } => {
                let entries = Ok(self.guests[seat].disk.history(with.as_ref(), count));
                self.queue.push_back((seat, Input::HistoryRead { token, entries }));
            }
            Effect::Search { token, words, with, since, count } => {
                let entries = Ok(self.guests[seat].disk.search(&words, with.as_ref(), since, count));
                self.queue.push_back((seat, Input::HistoryRead { token, entries }));
            }
            Effect::FindMessage { token, id } => {
                let entry = Ok(self.guests[seat].disk.find(id));
                self.queue.push_back((seat, Input::MessageFound { token, entry }));
            }
            Effect::ReportBug { what, detail } => panic!("a bug at seat {seat}: {what}: {detail}"),
            Effect::ReportMisbehaviour { what, .. } => self.guests[seat].misbehaviour.push(what),
            Effect::CloseDirectory => {
                self.guests[seat].caller = None;
                self.queue.push_back((seat, Input::DirectoryDisconnected { reason: "signed out".to_owned() }));
            }
            Effect::Restart => self.restarts.push(seat),
            Effect::Send { peer, frame } => self.pass_on(seat, peer, frame),
            Effect::ClosePeer { peer } => self.part(seat, peer),
            Effect::File(effect) => self.files.push((seat, effect)),
            Effect::AcceptPeers { .. } | Effect::Show(_) => {}
        }
    }

    fn ask(&mut self, seat: Seat, request: Request) -> Answer {
        let Some(mut caller) = self.guests[seat].caller.take() else { return Answer::Lost };
        let handled = self.directory.handle(self.now, &mut caller, request.clone());
        self.guests[seat].caller = Some(caller);
        self.on_effects(handled.effects);
        if self.lost.take_if(|lost| lost(&request)).is_some() {
            return Answer::Lost;
        }
        match (self.waiter)(seat, &request, handled.answer) {
            Ok(reply) => Answer::Reply(Box::new(reply)),
            Err(refusal) => Answer::Refusal(refusal),
        }
    }

    fn on_effects(&mut self, effects: Vec<ServiceEffect>) {
        for effect in effects {
            match effect {
                ServiceEffect::Push { device, push } => {
                    for seat in self.seats_of(device) {
                        self.queue.push_back((seat, Input::Push(push.clone())));
                    }
                }
                ServiceEffect::CloseSession { device } => {
                    for seat in self.seats_of(device) {
                        self.guests[seat].caller = None;
                        let reason = "the directory ended the session".to_owned();
                        self.queue.push_back((seat, Input::DirectoryDisconnected { reason }));
                    }
                }
            }
        }
    }

    fn seats_of(&self, device: DeviceId) -> Vec<Seat> {
        let of = |guest: &Guest| guest.caller.as_ref().is_some_and(|caller| caller.device() == Some(device));
        (0..self.guests.len()).filter(|seat| of(&self.guests[*seat])).collect()
    }
}
