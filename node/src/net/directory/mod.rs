//! The connection to the directory: made, kept, made again; requests each on a stream of its own, and the directory's
//! pushes.
//!
//! It owns the connection and its requests. It does not know what requests mean, nor whether anybody is signed in.

pub mod pin;
mod session;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use node_core::input::{Answer, CallId};
use protocol::{
    Fingerprint,
    directory::{Push, Request},
    peer::CloseCode,
};
use quinn::Connection;
use tokio::{
    sync::{Notify, mpsc, mpsc::error::TrySendError},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use super::{
    alarm::Alarm,
    endpoint::{ConnectError, NodeEndpoint},
    tls::CertificateRefusal,
};
use crate::config::DirectoryAddress;

/// Requests that may wait for their turn; what comes on top counts as lost, and the core asks again in its own time.
const CALLS_WAITING_MAX: usize = 256;
/// Most addresses of one name that are tried.
const ADDRESSES_TRIED_MAX: usize = 8;
/// The pause after the first failed attempt; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// The shortest pause between two attempts, also after a hint.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// A connection that lasted so long was a good one: the next is tried at once. A directory that closes every connection
/// soon is not dialled in a hot loop.
const STABLE: Duration = Duration::from_secs(10);

/// What happens with the directory.
#[derive(Debug)]
pub enum DirectoryEvent {
    /// The connection stands.
    Connected {
        /// Counts the connections; requests name the one that they are meant for.
        generation: u64,
        /// The TLS exporter that OPAQUE is bound to.
        exporter: [u8; 32],
        /// Where peers may find this node, as it sees it itself.
        addresses: Vec<SocketAddr>,
        /// The fingerprint of the directory's root key.
        fingerprint: Fingerprint,
    },
    /// The connection is gone, or an attempt to make it failed.
    Disconnected {
        /// In words.
        reason: String,
    },
    /// The directory's key is not the pinned one. Nothing more is tried.
    KeyChanged {
        /// The pin.
        pinned: Fingerprint,
        /// What the directory has now.
        found: Fingerprint,
    },
    /// What became of a request; once for each.
    Answered {
        /// Which.
        call: CallId,
        /// The answer.
        answer: Answer,
    },
    /// The directory said something unasked.
    Push(Push),
}

/// A request on its way.
#[derive(Debug)]
struct Call {
    /// The connection it is meant for: on another it would mean something else, as a password proof does.
    generation: u64,
    call: CallId,
    request: Box<Request>,
}

/// Keeps the connection to one directory.
#[derive(Debug)]
pub struct Directory {
    calls: mpsc::Sender<Call>,
    controls: Arc<Controls>,
    task: JoinHandle<()>,
}

/// What the keeper is told besides requests.
#[derive(Debug, Default)]
struct Controls {
    /// Try now rather than later.
    hint: Notify,
    /// Close this connection and make another.
    renew: Notify,
    /// Close and make no other.
    stop: Notify,
}

impl Directory {
    /// Starts keeping the connection. Events go into `events`, which bounds how far the directory can run ahead.
    #[must_use]
    pub fn new(
        endpoint: NodeEndpoint,
        address: DirectoryAddress,
        pin: Option<Fingerprint>,
        events: mpsc::Sender<DirectoryEvent>,
        alarm: Alarm,
    ) -> Self {
        let (calls, queue) = mpsc::channel(CALLS_WAITING_MAX);
        let controls = Arc::new(Controls::default());
        let keeper = Keeper { endpoint, address, pin, events, queue, controls: controls.clone(), generation: 0 };
        let task = tokio::spawn(async move {
            let _guard = alarm.guard();
            keeper.run().await;
        });
        Self { calls, controls, task }
    }

    /// Queues a request for this connection. `false` if too many wait: then it is lost, and no event says so.
    #[must_use]
    pub fn ask(&self, generation: u64, call: CallId, request: Box<Request>) -> bool {
        match self.calls.try_send(Call { generation, call, request }) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => false,
        }
    }

    /// The network may have changed, or somebody waits: an attempt that pauses is made at once.
    pub fn hint(&self) {
        self.controls.hint.notify_one();
    }

    /// Closes the connection and makes another.
    pub fn renew(&self) {
        self.controls.renew.notify_one();
    }

    /// Closes the connection, so that the directory knows at once that this node is away.
    pub async fn shut_down(self) {
        self.controls.stop.notify_one();
        // A panic in there has raised the alarm already.
        let _ = self.task.await;
    }
}

struct Keeper {
    endpoint: NodeEndpoint,
    address: DirectoryAddress,
    pin: Option<Fingerprint>,
    events: mpsc::Sender<DirectoryEvent>,
    queue: mpsc::Receiver<Call>,
    controls: Arc<Controls>,
    generation: u64,
}

/// What to do after a connection or an attempt.
enum Next {
    Pause,
    AtOnce,
    Stop,
}

/// Why there is no connection to the directory.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("can't find {0}: {1}")]
    Unknown(String, std::io::Error),
    #[error("{0} has no address that this node's socket can reach; choose another with --bind ADDR:PORT")]
    OtherFamily(String),
    #[error(
        "no directory answers at {0}; start one with `directory --bind 0.0.0.0:7000`, or name another with --directory \
         HOST:PORT"
    )]
    Silent(String),
    #[error("the directory at {0} could not be used: {1}")]
    Failed(String, ConnectError),
    #[error("changed key")]
    KeyChanged { pinned: Fingerprint, found: Fingerprint },
}

impl Keeper {
    async fn run(mut self) {
        let controls = self.controls.clone();
        let mut failures = 0;
        loop {
            let next = tokio::select! {
                next = self.once(&mut failures) => next,
                () = controls.stop.notified() => Next::Stop,
            };
            let pause = match next {
                Next::Stop => break,
                Next::AtOnce => PAUSE_MIN,
                Next::Pause => pause_after(failures),
            };
            tokio::select! {
                () = self.pause(pause) => {}
                () = controls.stop.notified() => break,
            }
        }
        self.queue.close();
        while let Some(call) = self.queue.recv().await {
            self.report(DirectoryEvent::Answered { call: call.call, answer: Answer::Lost }).await;
        }
    }

    /// One attempt, and the connection that came of it until its end.
    async fn once(&mut self, failures: &mut u32) -> Next {
        let (connection, fingerprint) = match self.attempt().await {
            Ok(connected) => connected,
            Err(AttemptError::KeyChanged { pinned, found }) => {
                tracing::error!(%pinned, %found, "the directory's key has changed");
                self.report(DirectoryEvent::KeyChanged { pinned, found }).await;
                return Next::Stop;
            }
            Err(error) => {
                *failures = failures.saturating_add(1);
                tracing::debug!(%error, failures, "the directory can't be reached");
                self.report(DirectoryEvent::Disconnected { reason: error.to_string() }).await;
                return Next::Pause;
            }
        };
        // From now on this directory and no other, within this run; whoever started it keeps it beyond.
        self.pin = Some(fingerprint);
        self.generation += 1;
        tracing::info!(address = %connection.remote_address(), key = ?fingerprint, "directory connected");
        let since = Instant::now();
        let reason = self.serve(connection, fingerprint).await;
        tracing::info!(%reason, "directory disconnected");
        self.report(DirectoryEvent::Disconnected { reason }).await;
        if since.elapsed() >= STABLE {
            *failures = 0;
            return Next::AtOnce;
        }
        *failures = failures.saturating_add(1);
        Next::Pause
    }

    async fn attempt(&self) -> Result<(Connection, Fingerprint), AttemptError> {
        let place = self.address.to_string();
        let found = tokio::net::lookup_host(&place).await;
        let found = found.map_err(|error| AttemptError::Unknown(place.clone(), error))?;
        let mut attempts = JoinSet::new();
        for address in found.filter(|address| self.endpoint.can_reach(address)).take(ADDRESSES_TRIED_MAX) {
            let (endpoint, pin) = (self.endpoint.clone(), self.pin);
            attempts.spawn(async move { endpoint.connect_directory(address, pin).await });
        }
        let mut failure = AttemptError::OtherFamily(place.clone());
        while let Some(attempt) = attempts.join_next().await {
            failure = match attempt {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(ConnectError::Certificate(CertificateRefusal::DirectoryKey { pinned, found }))) => {
                    return Err(AttemptError::KeyChanged { pinned, found });
                }
                Ok(Err(ConnectError::TimedOut(_))) | Err(_) => AttemptError::Silent(place.clone()),
                Ok(Err(error)) => AttemptError::Failed(place.clone(), error),
            };
        }
        Err(failure)
    }

    async fn serve(&mut self, connection: Connection, fingerprint: Fingerprint) -> String {
        let mut exporter = [0; 32];
        if connection.export_keying_material(&mut exporter, b"EXPORTER-tuppence-opaque", b"").is_err() {
            // Only an impossible length makes it fail.
            return "the connection has no exporter".to_owned();
        }
        let addresses = self.endpoint.reachable_at(&connection);
        let generation = self.generation;
        self.report(DirectoryEvent::Connected { generation, exporter, addresses, fingerprint }).await;
        let controls = self.controls.clone();
        let session = session::Session::new(&connection, generation, &self.events);
        let reason = tokio::select! {
            reason = session.run(&mut self.queue) => reason,
            () = controls.renew.notified() => CloseCode::SignedOut.reason().to_owned(),
        };
        super::endpoint::close(&connection, CloseCode::Done);
        reason
    }

    /// Waits, and meanwhile tells whoever asks that there is no connection.
    async fn pause(&mut self, pause: Duration) {
        let (earliest, end) = (Instant::now() + PAUSE_MIN.min(pause), Instant::now() + pause);
        let controls = self.controls.clone();
        let hinted = async {
            controls.hint.notified().await;
            tokio::time::sleep_until(earliest).await;
        };
        tokio::pin!(hinted);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                () = &mut hinted => return,
                Some(call) = self.queue.recv() => {
                    self.report(DirectoryEvent::Answered { call: call.call, answer: Answer::Lost }).await;
                }
            }
        }
    }

    async fn report(&self, event: DirectoryEvent) {
        // Nobody listens any more when the node is ending.
        let _ = self.events.send(event).await;
    }
}

/// Doubles with each failure up to a limit; between half of it and all of it, so that many nodes don't come back as
/// one.
fn pause_after(failures: u32) -> Duration {
    let full =
        PAUSE_FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    // Without randomness all that is lost is the jitter.
    let share = getrandom::u32().unwrap_or(u32::MAX);
    full / 2 + (full / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
}
