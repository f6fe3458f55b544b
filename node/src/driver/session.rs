//! An open core with its store and its network: inputs in, commit, effects out.
//!
//! **Invariant:** no effect is performed before the transaction that came with it is durable.

use std::{collections::VecDeque, future::pending, path::PathBuf, sync::Arc, time::Duration};

use node_core::{
    command::CommandToken,
    event::Event,
    input::{Answer, Input},
    output::{Effect, Outputs},
    stored::Stored,
    stretch::{StretchDone, StretchJob, StretchParameters},
};
use protocol::{Fingerprint, Timestamp, peer::CloseCode};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use super::{
    files::Files,
    machine::Machine,
    network::{Network, NetworkError, Surroundings},
    profile::Store,
};
use crate::{
    net::{directory::DirectoryEvent, file::carrier, peer::PeerEvent},
    store::CommitError,
};

/// Inputs handled together in one transaction at most: enough that a commit's cost is shared, few enough that the first
/// one does not wait long for the last.
const BATCH_MAX: usize = 64;
/// Password stretchings at once: each takes 64 MiB.
const STRETCHES_MAX: usize = 2;
/// How long nothing has happened before SEARCH's index follows what was said: under load nothing is indexed.
const QUIET: Duration = Duration::from_secs(2);
/// The longest time until the clock is looked at again, whatever the timer says: it may be set, or the machine asleep.
const CLOCK_CHECK: Duration = Duration::from_secs(30);

/// Why a core can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0}")]
    Core(String),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// What a session can't do by itself.
#[derive(Debug)]
pub(super) enum ForDriver {
    Show(Event),
    Done {
        token: CommandToken,
        result: node_core::command::CommandResult,
    },
    /// The core is dropped, and another one opened from the store.
    Restart,
}

/// Something happened.
#[derive(Debug)]
pub(super) enum Happened {
    Directory(Vec<DirectoryEvent>),
    Peers(Vec<PeerEvent>),
    Files(Vec<carrier::Happened>),
    Stretched(StretchDone),
    Timer,
    /// Nothing, for a while.
    Nothing,
}

/// What stays the same from one session of a node to the next.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) surroundings: Surroundings,
    pub(super) stretch: StretchParameters,
    inbox: PathBuf,
    stretching: Arc<Semaphore>,
}

impl Common {
    pub(super) fn new(surroundings: Surroundings, stretch: StretchParameters, inbox: PathBuf) -> Self {
        Self { surroundings, stretch, inbox, stretching: Arc::new(Semaphore::new(STRETCHES_MAX)) }
    }
}

/// An open core.
#[derive(Debug)]
pub(super) struct Session<K> {
    pub(super) core: K,
    pub(super) store: Store,
    network: Network,
    files: Files,
    inputs: VecDeque<Input>,
    timer: Option<Timestamp>,
    /// Whether all that was said is in SEARCH's index.
    indexed: bool,
    /// Whether there is time to bring it there.
    quiet: bool,
    /// The connection to the directory that the core knows of.
    connected: Option<u64>,
    stretching: Arc<Semaphore>,
    stretched: (mpsc::Sender<StretchDone>, mpsc::Receiver<StretchDone>),
    alarm: crate::net::alarm::Alarm,
}

/// The system's clock.
pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl<K: Machine> Session<K> {
    /// Opens a core over what is stored and connects it.
    pub(super) fn open(
        common: &Common,
        mut store: Store,
        stored: Stored,
        pin: Option<Fingerprint>,
    ) -> Result<(Self, Vec<ForDriver>), OpenError> {
        let (core, Outputs { persist, after }) = K::open(common.stretch, stored, now()).map_err(OpenError::Core)?;
        if let Some(transaction) = persist {
            store.as_mut().commit(transaction)?;
        }
        let network = Network::start(&common.surroundings, core.tls_key_pkcs8(), pin)?;
        let mut session = Self {
            core,
            store,
            network,
            files: Files::new(common.inbox.clone()),
            inputs: VecDeque::new(),
            timer: None,
            indexed: false,
            quiet: false,
            connected: None,
            stretching: common.stretching.clone(),
            stretched: mpsc::channel(STRETCHES_MAX),
            alarm: common.surroundings.alarm.clone(),
        };
        let shown = session.perform(after);
        Ok((session, shown))
    }

    /// Queues something for the core.
    pub(super) fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// Whether the core has something to do.
    pub(super) fn has_work(&self) -> bool {
        !self.inputs.is_empty() || self.quiet
    }

    /// Whether the directory is connected, as the core knows it.
    pub(super) const fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// Somebody waits for the directory: an attempt that pauses is made at once.
    pub(super) fn hint(&self) {
        if !self.is_connected() {
            self.network.directory.hint();
        }
    }

    /// Handles one batch: the core, then the commit, then what follows. Where there is nothing to handle, the index follows
    /// what was said.
    ///
    /// # Errors
    /// [`CommitError`]: nothing followed, and the core must be dropped.
    pub(super) fn step(&mut self) -> Result<Vec<ForDriver>, CommitError> {
        if std::mem::take(&mut self.quiet) && self.inputs.is_empty() {
            self.indexed = self.store.as_mut().index()?;
            return Ok(Vec::new());
        }
        let batch = self.inputs.drain(..self.inputs.len().min(BATCH_MAX)).collect();
        let Outputs { persist, after } = self.core.handle(now(), batch);
        if let Some(transaction) = persist {
            self.store.as_mut().commit(transaction)?;
            self.indexed = false;
        }
        if after.iter().any(|effect| matches!(effect, Effect::Search { .. })) {
            while !self.indexed {
                self.indexed = self.store.as_mut().index()?;
            }
        }
        Ok(self.perform(after))
    }

    /// Waits for the next thing to happen. Safe to cancel.
    pub(super) async fn next(&mut self) -> Happened {
        let (mut directory, mut peers, mut files) = (Vec::new(), Vec::new(), Vec::new());
        let wait = self.timer.map(|at| Duration::from_millis(at.0.saturating_sub(now().0)).min(CLOCK_CHECK));
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep_until(Instant::now() + wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(done) = self.stretched.1.recv() => Happened::Stretched(done),
            1.. = self.network.directory_events.recv_many(&mut directory, BATCH_MAX) => Happened::Directory(directory),
            1.. = self.network.peer_events.recv_many(&mut peers, BATCH_MAX) => Happened::Peers(peers),
            1.. = self.files.events.recv_many(&mut files, BATCH_MAX) => Happened::Files(files),
            () = timer => Happened::Timer,
            () = tokio::time::sleep(QUIET), if !self.indexed => Happened::Nothing,
        }
    }

    /// The time has come, or only a look at the clock was due.
    pub(super) fn on_timer(&mut self) {
        if self.timer.is_some_and(|at| at <= now()) {
            self.timer = None;
            self.feed(Input::Tick);
        }
    }

    /// Nothing has happened for a while.
    pub(super) const fn on_quiet(&mut self) {
        self.quiet = true;
    }

    pub(super) fn on_connected(&mut self, generation: u64, input: Input) {
        self.connected = Some(generation);
        self.feed(input);
    }

    pub(super) fn on_disconnected(&mut self, reason: String) {
        self.connected = None;
        self.feed(Input::DirectoryDisconnected { reason });
    }

    pub(super) fn on_peer(&mut self, event: PeerEvent) {
        let input = match event {
            PeerEvent::Opened(opened) => {
                let (peer, tls_key, dialled) = (opened.peer, opened.tls_key, opened.dialled);
                self.network.peers.opened(opened);
                Input::PeerConnected { peer, tls_key, dialled }
            }
            PeerEvent::Frame { peer, frame } => Input::PeerFrame { peer, frame },
            PeerEvent::Asked { peer, asked } => Input::File(self.files.asked(peer, asked)),
            PeerEvent::Closed { peer } => {
                self.network.peers.closed(peer);
                Input::PeerDisconnected { peer }
            }
            PeerEvent::DialFailed { device } => Input::DialFailed { device },
        };
        self.feed(input);
    }

    pub(super) fn on_file(&mut self, happened: carrier::Happened) {
        if let Some(input) = self.files.happened(happened) {
            self.feed(Input::File(input));
        }
    }

    /// Disconnects from everybody, in a bounded time, and gives the store back.
    pub(super) async fn shut_down(self, code: CloseCode) -> Store {
        self.files.end().await;
        self.network.shut_down(code).await;
        self.store
    }

    fn perform(&mut self, effects: Vec<Effect>) -> Vec<ForDriver> {
        effects.into_iter().filter_map(|effect| self.perform_one(effect)).collect()
    }

    fn perform_one(&mut self, effect: Effect) -> Option<ForDriver> {
        match effect {
            Effect::Show(event) => return Some(ForDriver::Show(event)),
            Effect::Done { token, result } => return Some(ForDriver::Done { token, result }),
            Effect::Ask { call, request } => {
                let asked =
                    self.connected.is_some_and(|generation| self.network.directory.ask(generation, call, request));
                if !asked {
                    self.feed(Input::Reply { call, answer: Answer::Lost });
                }
            }
            Effect::Send { peer, frame } => self.network.peers.send(peer, frame),
            Effect::Dial { device, tls_key, addresses } => self.network.peers.dial(device, tls_key, addresses),
            Effect::ClosePeer { peer } => self.network.peers.close(peer, CloseCode::Done),
            Effect::AcceptPeers { tls_keys } => self.network.accepted.replace(tls_keys),
            Effect::SetTimer { at } => self.timer = Some(at),
            Effect::Stretch { job } => self.stretch(*job),
            Effect::ReadHistory { token, with, count } => {
                let entries = self.store.as_mut().history(with.as_ref(), count).map_err(|error| error.to_string());
                self.feed(Input::HistoryRead { token, entries });
            }
            Effect::Search { token, words, with, since, count } => {
                let found = self.store.as_mut().search(&words, with.as_ref(), since, count);
                self.feed(Input::HistoryRead { token, entries: found.map_err(|error| error.to_string()) });
            }
            Effect::FindMessage { token, id } => {
                let entry = self.store.as_mut().message(id).map_err(|error| error.to_string());
                self.feed(Input::MessageFound { token, entry });
            }
            Effect::File(effect) => {
                if let Some(input) = self.files.perform(effect, &self.network.peers) {
                    self.feed(Input::File(input));
                }
            }
            Effect::ReportBug { what, detail } => tracing::error!(what, detail, "a bug of this program"),
            Effect::ReportMisbehaviour { what, detail } => tracing::warn!(what, detail, "refused"),
            Effect::CloseDirectory => self.network.directory.renew(),
            Effect::Restart => return Some(ForDriver::Restart),
        }
        None
    }

    /// Runs a job on a thread of its own when one is free.
    fn stretch(&self, job: StretchJob) {
        let (places, done, alarm) = (self.stretching.clone(), self.stretched.0.clone(), self.alarm.clone());
        tokio::spawn(async move {
            let Ok(_place) = places.acquire().await else { return };
            let guard = alarm.guard();
            let stretched = tokio::task::spawn_blocking(move || {
                let _guard = guard;
                job.run()
            });
            // A panic in there has raised the alarm; a session that is gone wants no result.
            if let Ok(result) = stretched.await {
                let _ = done.send(result).await;
            }
        });
    }
}
