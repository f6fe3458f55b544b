//! A running node: the one loop that owns the core, its store and its network, and the handle that others use.
//!
//! It owns threads, time and the order of things: commit first, then effects. It does not know what commands, records
//! and frames mean.

mod account;
mod event_log;
mod files;
mod machine;
mod network;
mod profile;
mod run;
mod session;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use node_core::{
    command::{Command, CommandResult, CommandToken, Failure, FailureCode, Password},
    stretch::StretchParameters,
};
use protocol::{Fingerprint, Name};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{event_log::EventStream, profile::ProfileLocation};
use self::{
    event_log::{EventLog, EventWriter, event_log},
    machine::Machine,
    network::Surroundings,
    profile::Place,
    run::{Call, Driver, Fatal},
    session::Common,
};
use crate::{
    config::DirectoryAddress,
    net::{
        alarm::Alarm,
        directory::pin::PinError,
        endpoint::{self, EndpointError},
    },
    store::ProfileError,
};

/// Calls that may wait for the loop; callers beyond wait for their turn.
const CALLS_MAX: usize = 256;
/// The folder of a profile for received files, where none was named.
const INBOX: &str = "inbox";
/// How long a command that ran out of time may take to say what became of it.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The directory.
    pub directory: DirectoryAddress,
    /// The address of the one UDP socket; port 0 for any.
    pub bind: SocketAddr,
    /// The profile.
    pub profile: ProfileLocation,
    /// How hard passwords are stretched.
    pub stretch: StretchParameters,
    /// Where received files are put; a folder of the profile's if absent.
    pub inbox: Option<PathBuf>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The profile can't be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The directory's pin can't be read.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The socket can't be bound.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The core or its network can't be opened.
    #[error("{0}")]
    Open(String),
    /// There is no thread, or no temporary folder.
    #[error("the system refuses what a node needs: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// The class that scripts and exit codes go by.
    #[must_use]
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Profile(error) => error.code(),
            Self::Pin(PinError::Damaged(_)) => FailureCode::Trust,
            Self::Pin(PinError::Io { .. }) | Self::Endpoint(_) | Self::Open(_) | Self::System(_) => FailureCode::Other,
        }
    }
}

/// What a node can be asked.
#[derive(Debug)]
pub enum NodeCommand {
    /// Makes an account, and the encrypted profile that belongs to it.
    SignUp {
        /// The name wished for.
        name: Name,
        /// The password of both.
        password: Password,
        /// An invite code.
        invite: Option<String>,
    },
    /// Opens the profile, and signs in where that is needed.
    SignIn {
        /// The account's name.
        name: Name,
        /// The password.
        password: Password,
    },
    /// Whatever the core does.
    Core(Command),
}

/// A running node. Clones share it; when the last one is gone, the node ends.
#[derive(Debug, Clone)]
pub struct Node {
    calls: mpsc::Sender<Call>,
    events: EventLog,
    first_contact: watch::Receiver<Option<Fingerprint>>,
    last_token: Arc<AtomicU64>,
    ended: watch::Receiver<Option<String>>,
    /// The loop's thread, for whoever waits for its end.
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Node {
    /// Starts a node: finds its profile, and connects unless that has to be unlocked first. Call it within a tokio
    /// runtime that has threads of its own, one or more.
    ///
    /// # Errors
    /// [`StartError`] if the profile, the socket or the system refuse.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        Self::start_with::<machine::NodeCore>(config).await
    }

    async fn start_with<K: Machine>(config: NodeConfig) -> Result<Self, StartError> {
        let (calls, queue) = mpsc::channel(CALLS_MAX);
        let (writer, events) = event_log();
        let (contact, first_contact) = watch::channel(None);
        let (end, ended) = watch::channel(None);
        let (started, is_started) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        let main = Thread { config, queue, writer, contact, ended: end, started };
        // A thread of its own: commits wait for the disk, and the network's tasks shall not wait with them.
        let thread = std::thread::Builder::new().name("tuppence-node".to_owned());
        let thread = thread.spawn(move || main.run::<K>(&runtime))?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        match is_started.await {
            Ok(Ok(())) => Ok(Self { calls, events, first_contact, last_token: Arc::default(), ended, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Open("the node failed while it started; the log says where".to_owned())),
        }
    }

    /// Performs a command; after `timeout` it is given up, and what is certain by then is the result.
    ///
    /// # Errors
    /// [`Failure`]: what the core says, `unreachable` if it says nothing in time, `other` if the node has ended.
    pub async fn perform(&self, command: NodeCommand, timeout: Duration) -> CommandResult {
        let token = CommandToken(self.last_token.fetch_add(1, Ordering::Relaxed) + 1);
        let (reply, mut answer) = oneshot::channel();
        if self.calls.send(Call::Perform { token, command, reply }).await.is_err() {
            return Err(self.has_ended().await);
        }
        let mut waiting = Waiting { calls: &self.calls, token, waits: true };
        let result = match tokio::time::timeout(timeout, &mut answer).await {
            Ok(result) => result,
            Err(_) => {
                waiting.give_up();
                match tokio::time::timeout(LAST_WORD, answer).await {
                    Ok(result) => result,
                    Err(_) => {
                        let text = format!("nobody answered within {} s; try again", timeout.as_secs_f64());
                        Ok(Err(Failure::new(FailureCode::Unreachable, text)))
                    }
                }
            }
        };
        waiting.waits = false;
        match result {
            Ok(result) => result,
            Err(_) => Err(self.has_ended().await),
        }
    }

    /// Every event from the start of the run, in order; each reader begins at the beginning.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.events.reader()
    }

    /// The fingerprint of the directory's key, once, when it was met for the first time: to be shown to the person.
    #[must_use]
    pub fn first_contact(&self) -> watch::Receiver<Option<Fingerprint>> {
        self.first_contact.clone()
    }

    /// Disconnects from everybody: presence goes at once, and whatever is not delivered stays in the profile.
    pub async fn shutdown(self) {
        let (done, is_done) = oneshot::channel();
        if self.calls.send(Call::ShutDown(done)).await.is_ok() {
            // The sender is dropped when everything is closed, whether it said so or not.
            let _ = is_done.await;
        }
        // What the profile's library keeps for the thread goes with the thread. A process that ends meanwhile frees the
        // same, and crashes.
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Why the node has ended. The loop lets go of its callers a moment before it says so.
    async fn has_ended(&self) -> Failure {
        let mut ended = self.ended.clone();
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        Failure::new(FailureCode::Other, why.unwrap_or_else(|| "the node has ended".to_owned()))
    }
}

/// Gives the command up if whoever waits for it goes away.
struct Waiting<'a> {
    calls: &'a mpsc::Sender<Call>,
    token: CommandToken,
    waits: bool,
}

impl Waiting<'_> {
    fn give_up(&mut self) {
        self.waits = false;
        // A loop with a full queue finds out when it tries to answer.
        let _ = self.calls.try_send(Call::Abandon(self.token));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.give_up();
        }
    }
}

/// The loop's thread.
struct Thread {
    config: NodeConfig,
    queue: mpsc::Receiver<Call>,
    writer: EventWriter,
    contact: watch::Sender<Option<Fingerprint>>,
    ended: watch::Sender<Option<String>>,
    started: oneshot::Sender<Result<(), StartError>>,
}

impl Thread {
    fn run<K: Machine>(self, runtime: &tokio::runtime::Handle) {
        let Self { config, queue, writer, contact, ended, started } = self;
        let run = AssertUnwindSafe(|| {
            let _within = runtime.enter();
            let driver = match open::<K>(config, writer, contact) {
                Ok(driver) => driver,
                Err(error) => {
                    // Whoever starts it may have gone.
                    let _ = started.send(Err(error));
                    return Ok(());
                }
            };
            let _ = started.send(Ok(()));
            runtime.block_on(driver.run(queue))
        });
        // Nothing of the loop's state is looked at after a panic: all of it is dropped with the loop.
        let why = match std::panic::catch_unwind(run) {
            Ok(Ok(())) => "the node was shut down".to_owned(),
            Ok(Err(Fatal(why))) => why,
            Err(_) => {
                "the node has failed; what was acknowledged is safe, start it again (the log says where)".to_owned()
            }
        };
        tracing::info!(%why, "node ended");
        ended.send_replace(Some(why));
    }
}

fn open<K: Machine>(
    config: NodeConfig,
    writer: EventWriter,
    contact: watch::Sender<Option<Fingerprint>>,
) -> Result<Driver<K>, StartError> {
    let NodeConfig { directory, bind, profile, stretch, inbox } = config;
    let socket = endpoint::bind(bind)?;
    let surroundings = Surroundings { directory, socket, alarm: Alarm::default(), last_peer: Arc::default() };
    let place = Place::new(profile)?;
    let inbox = inbox.unwrap_or_else(|| place.folder().join(INBOX));
    Driver::open(Common::new(surroundings, stretch, inbox), place, contact, writer)
}
