//! Real nodes' cores with their encrypted profiles on disk, around a real directory over SQLite, in one process without
//! sockets: so that what each of them spends can be told apart.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    time::Duration,
};

use directory::{
    core::{Caller, Service, ServiceEffect},
    store::sqlite::SqliteStore,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node::store::{Profile, ProfileStore as _};
use node_core::{
    Core, CoreConfig,
    command::{Command, CommandResult, CommandToken, Password},
    input::{Answer, Input},
    output::{Effect, Outputs},
    stored::{Change, Stored, Transaction},
};
use p256::{SecretKey, elliptic_curve::sec1::ToSec1Point as _, pkcs8::DecodePrivateKey as _};
use protocol::{
    DeviceId, Fingerprint, Name, PublicKey, Timestamp,
    directory::{Push, Request},
    frame,
    limits::DIRECTORY_FRAME_MAX,
};
use tests::{
    entropy::SeededEntropy,
    fixture::{Account, Failed, address, cpu, now},
    world::CHEAP_STRETCH,
};

/// The directory's key, as every connection proves it.
const DIRECTORY: Fingerprint = Fingerprint([0xd1; 32]);
/// Longest that a command may take, in milliseconds of the clock that steps from one timer to the next.
const COMMAND_MS: u64 = 30_000;

/// What somebody has spent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    pub(super) cpu: Duration,
    /// Bytes of requests and answers, and bytes that were made durable.
    pub(super) up: usize,
    pub(super) down: usize,
    pub(super) written: usize,
}

struct Node {
    core: Core<AwsLcCryptoProvider>,
    profile: Profile,
    caller: Option<Caller>,
    timer: Option<Timestamp>,
    results: BTreeMap<CommandToken, CommandResult>,
    spent: Spent,
}

/// A directory, nodes, and others who are merely connected.
pub(super) struct Hall {
    pub(super) service: Service<SqliteStore>,
    pub(super) now: Timestamp,
    /// What the directory has spent.
    pub(super) directory: Duration,
    folder: PathBuf,
    nodes: Vec<Node>,
    idle: Vec<Caller>,
    queue: VecDeque<(usize, Input)>,
    tokens: u64,
}

impl Hall {
    pub(super) fn new(folder: &Path) -> Result<Self, Failed> {
        let data = folder.join("directory");
        std::fs::create_dir_all(&data)?;
        Ok(Self {
            service: tests::fixture::open(SqliteStore::open(&data)?)?,
            now: now(),
            directory: Duration::ZERO,
            folder: folder.to_owned(),
            nodes: Vec::new(),
            idle: Vec::new(),
            queue: VecDeque::new(),
            tokens: 0,
        })
    }

    /// Somebody new signs up with a node.
    pub(super) fn sign_up(&mut self, name: &str) -> Result<usize, Failed> {
        let (seat, password) = (self.nodes.len(), || Password::new("correct-horse-1".to_owned()));
        let name = Name::parse(name)?;
        let profile = Profile::create(&self.folder.join(name.as_str()), &name, &password(), CHEAP_STRETCH)?;
        let (config, entropy) = (CoreConfig { stretch: CHEAP_STRETCH }, SeededEntropy::new(seat as u64, 1));
        let crypto = AwsLcCryptoProvider::default();
        let (core, outputs) = Core::open(config, crypto, Box::new(entropy), Stored::default(), self.now)?;
        let key = SecretKey::from_pkcs8_der(core.tls_key_pkcs8())?.public_key().to_sec1_point(false);
        let key = PublicKey::from_slice(key.as_bytes()).ok_or("no key")?;
        let (results, spent) = (BTreeMap::new(), Spent::default());
        self.nodes.push(Node { core, profile, caller: None, timer: None, results, spent });
        self.perform(seat, outputs)?;
        let mut caller = Caller::new(key, [0; 32], address(60_000 + seat));
        let effects = self.service.connected(self.now, &mut caller);
        self.nodes[seat].caller = Some(caller);
        self.on_effects(effects);
        let connected = Input::DirectoryConnected { exporter: [0; 32], addresses: Vec::new(), directory: DIRECTORY };
        self.queue.push_back((seat, connected));
        self.settle()?;
        self.command(seat, Command::SignUp { name, password: password(), invite: None })?;
        self.pass(5_000)?;
        Ok(seat)
    }

    /// An account's device is connected, and does nothing.
    pub(super) fn connect(&mut self, index: usize, account: &Account) -> Result<(), Failed> {
        let mut caller = Caller::new(account.certificate.entry()?.tls_key, [0; 32], address(index));
        let _ = self.service.connected(self.now, &mut caller);
        self.idle.push(caller);
        Ok(())
    }

    /// Gives commands to a node, all at once, and waits for their ends.
    pub(super) fn commands(&mut self, seat: usize, all: Vec<Command>) -> Result<(), Failed> {
        let first = self.tokens + 1;
        for command in all {
            self.tokens += 1;
            self.queue.push_back((seat, Input::Command { token: CommandToken(self.tokens), command }));
        }
        self.settle()?;
        let until = self.now.plus_ms(COMMAND_MS);
        for token in (first..=self.tokens).map(CommandToken) {
            while !self.nodes[seat].results.contains_key(&token) && self.now < until {
                self.step(until)?;
            }
            self.nodes[seat].results.remove(&token).ok_or("a command does not end")??;
        }
        Ok(())
    }

    pub(super) fn command(&mut self, seat: usize, command: Command) -> Result<(), Failed> {
        self.commands(seat, vec![command])
    }

    /// Time passes.
    pub(super) fn pass(&mut self, ms: u64) -> Result<(), Failed> {
        let until = self.now.plus_ms(ms);
        while self.now < until {
            self.step(until)?;
        }
        Ok(())
    }

    /// What somebody has spent until now.
    pub(super) fn spent(&self, seat: usize) -> Spent {
        self.nodes[seat].spent
    }

    fn step(&mut self, until: Timestamp) -> Result<(), Failed> {
        let next = self.nodes.iter().filter_map(|node| node.timer).chain([until]).min().unwrap_or(until);
        self.now = next.max(self.now);
        for seat in 0..self.nodes.len() {
            if self.nodes[seat].timer.is_some_and(|at| at <= self.now) {
                self.nodes[seat].timer = None;
                self.queue.push_back((seat, Input::Tick));
            }
        }
        self.settle()
    }

    /// Hands over everything that waits, what waits for one node together, as its loop does.
    fn settle(&mut self) -> Result<(), Failed> {
        while let Some((seat, input)) = self.queue.pop_front() {
            let mut inputs = vec![input];
            while self.queue.front().is_some_and(|(next, _)| *next == seat) {
                inputs.extend(self.queue.pop_front().map(|(_, input)| input));
            }
            let begun = cpu();
            let outputs = self.nodes[seat].core.handle(self.now, inputs);
            self.nodes[seat].spent.cpu += cpu() - begun;
            self.perform(seat, outputs)?;
        }
        Ok(())
    }

    fn perform(&mut self, seat: usize, outputs: Outputs) -> Result<(), Failed> {
        if let Some(transaction) = outputs.persist {
            let node = &mut self.nodes[seat];
            node.spent.written += size(&transaction);
            let begun = cpu();
            node.profile.commit(transaction)?;
            node.spent.cpu += cpu() - begun;
        }
        for effect in outputs.after {
            match effect {
                Effect::Ask { call, request } => {
                    let answer = self.ask(seat, *request)?;
                    self.queue.push_back((seat, Input::Reply { call, answer }));
                }
                Effect::Dial { device, .. } => self.queue.push_back((seat, Input::DialFailed { device })),
                Effect::SetTimer { at } => self.nodes[seat].timer = Some(at),
                Effect::Stretch { job } => self.queue.push_back((seat, Input::Stretched { done: job.run() })),
                Effect::Done { token, result } => {
                    self.nodes[seat].results.insert(token, result);
                }
                Effect::ReportBug { what, detail } => return Err(format!("a bug: {what}: {detail}").into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn ask(&mut self, seat: usize, request: Request) -> Result<Answer, Failed> {
        let Some(mut caller) = self.nodes[seat].caller.take() else { return Ok(Answer::Lost) };
        self.nodes[seat].spent.up += frame::encode_body(&request, DIRECTORY_FRAME_MAX)?.len();
        let begun = cpu();
        let handled = self.service.handle(self.now, &mut caller, request);
        self.directory += cpu() - begun;
        self.nodes[seat].caller = Some(caller);
        self.nodes[seat].spent.down += frame::encode_body(&handled.answer, DIRECTORY_FRAME_MAX)?.len();
        self.on_effects(handled.effects);
        Ok(match handled.answer {
            Ok(reply) => Answer::Reply(Box::new(reply)),
            Err(refusal) => Answer::Refusal(refusal),
        })
    }

    fn on_effects(&mut self, effects: Vec<ServiceEffect>) {
        for effect in effects {
            // Whoever is merely connected takes nothing.
            let ServiceEffect::Push { device, push } = effect else { continue };
            if let Some(seat) = self.seat_of(device) {
                self.push(seat, push);
            }
        }
    }

    fn push(&mut self, seat: usize, push: Push) {
        self.queue.push_back((seat, Input::Push(push)));
    }

    fn seat_of(&self, device: DeviceId) -> Option<usize> {
        let of = |node: &Node| node.caller.as_ref().is_some_and(|caller| caller.device() == Some(device));
        self.nodes.iter().position(of)
    }
}

/// Bytes of the records that a transaction writes.
fn size(transaction: &Transaction) -> usize {
    let change = |change: &Change| match change {
        Change::Put { key, value, .. } => key.len() + value.len(),
        _ => 0,
    };
    transaction.changes.iter().map(change).sum()
}
