//! The running service: sockets, sessions and threads around the rules.
//!
//! A stream becomes a frame, a frame a request, a request an answer; what follows for others is pushed to them. Which
//! answer, and what follows, is the service's to decide: nothing here knows a rule about accounts or conversations.

mod arrivals;
mod connection;
pub mod data_folder;
mod journal;
mod link;
mod money;
mod opening;
mod push;
pub mod reception;
mod sessions;
pub mod settling;
mod stream;
mod transport;
mod workers;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use protocol::{Fingerprint, Timestamp, money::AmountError, peer::CloseCode};
use quinn::{Endpoint, VarInt};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ledger::OpenError,
    server::{
        arrivals::{Arrivals, Verdict},
        data_folder::{DataFolder, DataFolderError},
        opening::Opened,
        reception::Reception,
        transport::EndpointError,
        workers::{Threads, Workers},
    },
    store::{Store, StoreError, ledger::LedgerStore},
    tls::{
        TlsError,
        identity::{InstanceIdentity, RootKey},
    },
};

pub use money::{AmountFlag, MoneySettings};
pub(crate) use opening::root_key;
pub use opening::{Settings, Storage};
pub use transport::ResetKey;

/// How often leases, retention and the instance's certificate are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often what the operator's commands have left is looked for: they wait for it.
const ISSUE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a shutdown may take altogether, before what is left is cut.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long the server waits for nodes, each time before it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a handshake.
    pub handshake: Duration,
    /// For a request to arrive whole: three mebibytes at a slow line's 2.5 Mbit/s.
    pub arrival: Duration,
    /// For somebody to sign in on a connection: they may be thinking about a name.
    pub stranger: Duration,
    /// For requests in hand when a connection is closed.
    pub finish: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            arrival: Duration::from_secs(10),
            stranger: Duration::from_secs(600),
            finish: Duration::from_secs(5),
        }
    }
}

/// Where and how the server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// Address and UDP port; port 0 picks a free one.
    pub bind: SocketAddr,
    /// How long to wait for nodes.
    pub patience: Patience,
}

impl Listening {
    /// On a free port of this machine alone.
    #[must_use]
    pub fn locally() -> Self {
        Self { bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), patience: Patience::default() }
    }
}

/// Why no server runs. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder is not to be had.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The address is not to be had.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The directory's keys or certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ledger can't be opened.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// A flag is no amount of the ledger's money.
    #[error("{flag} {text}: {error}")]
    Amount {
        /// Which flag.
        flag: AmountFlag,
        /// What it was given.
        text: String,
        /// What is wrong with it.
        error: AmountError,
    },
    /// The runtime ended while the store was being opened.
    #[error("interrupted while starting")]
    Interrupted,
    /// The system does not say where we listen.
    #[error("the system does not say where it listens: {0}")]
    LocalAddress(std::io::Error),
    /// The system has no threads for us.
    #[error("the system gives no threads: {0}; raise its limit of processes")]
    Threads(std::io::Error),
}

/// What every connection shares.
struct Shared {
    reception: Arc<dyn Reception>,
    workers: Workers,
    arrivals: Arc<Arrivals>,
    patience: Patience,
    shutdown: CancellationToken,
    // The store can keep nothing any more.
    failed: CancellationToken,
}

/// A directory that accepts connections. Dropping it cuts everybody off; [`Server::shutdown`] is the kind way.
pub struct Server {
    endpoint: Endpoint,
    local_addr: SocketAddr,
    fingerprint: Fingerprint,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    // Held for as long as the threads may write.
    threads: Option<Threads>,
}

impl Server {
    /// Opens the store, binds the socket, and accepts connections from then on.
    ///
    /// # Errors
    /// [`StartError`], and nothing runs.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let listening = settings.listening;
        let opened = spawn_blocking(move || opening::open(settings)).await.map_err(|_| StartError::Interrupted)??;
        Self::start_opened(listening, opened)
    }

    /// The same over other stores than the settings name: such as keep what they are given in their own way.
    ///
    /// # Errors
    /// [`StartError`], and nothing runs.
    pub async fn start_over<S: Store>(
        settings: Settings,
        store: S,
        ledger: Arc<dyn LedgerStore>,
    ) -> Result<Self, StartError> {
        let listening = settings.listening;
        let open = move || opening::open_stores(store, ledger, &settings);
        let opened = spawn_blocking(open).await.map_err(|_| StartError::Interrupted)??;
        Self::start_opened(listening, opened)
    }

    fn start_opened(listening: Listening, opened: Opened) -> Result<Self, StartError> {
        let Opened { reception, root, reset, folder, failed } = opened;
        Self::start_with(listening, reception, (root, &reset), folder, failed)
    }

    /// Binds the socket and accepts connections from then on, for `reception` to answer until `failed` is cancelled.
    /// The folder, if there is one, stays this process's until the last answer is given.
    ///
    /// # Errors
    /// [`StartError`], and nothing runs.
    pub fn start_with(
        listening: Listening,
        reception: Arc<dyn Reception>,
        (root, reset): (RootKey, &ResetKey),
        folder: Option<Arc<DataFolder>>,
        failed: CancellationToken,
    ) -> Result<Self, StartError> {
        let identity = root.certify_instance(now())?;
        let endpoint = transport::listen(listening.bind, &identity, reset)?;
        let local_addr = endpoint.local_addr().map_err(StartError::LocalAddress)?;
        let fingerprint = root.fingerprint();
        let (workers, threads) =
            workers::start(Arc::clone(&reception), folder, failed.clone()).map_err(StartError::Threads)?;
        let shared = Arc::new(Shared {
            reception,
            workers,
            arrivals: Arc::default(),
            patience: listening.patience,
            shutdown: CancellationToken::new(),
            failed,
        });
        let tasks = TaskTracker::new();
        tasks.spawn(accept(endpoint.clone(), Arc::clone(&shared), tasks.clone()));
        tasks.spawn(keep_house(endpoint.clone(), Arc::clone(&shared), root, identity));
        tracing::info!(address = %local_addr, key = %fingerprint, "listening");
        Ok(Self { endpoint, local_addr, fingerprint, shared, tasks, threads: Some(threads) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Fingerprint of the directory's root key: what nodes pin.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Waits until the store has failed to make something durable. Nothing may be retried then: the process must end, and
    /// a new one begins with what is on the disk.
    pub async fn failed(&self) {
        self.shared.failed.cancelled().await;
    }

    /// Accepts nothing new, tells everybody, finishes what is in hand, and closes; bounded in time.
    pub async fn shutdown(mut self) {
        tracing::info!("shutting down");
        self.shared.shutdown.cancel();
        self.tasks.close();
        if timeout(DRAIN_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("connections were cut off");
        }
        self.cut_off();
        let _ = timeout(DRAIN_MAX, self.endpoint.wait_idle()).await;
        if let Some(threads) = self.threads.take() {
            threads.stop().await;
        }
        tracing::info!("shut down");
    }

    fn cut_off(&self) {
        let code = CloseCode::ShuttingDown;
        self.endpoint.close(VarInt::from_u32(code as u32), code.reason().as_bytes());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
        self.cut_off();
    }
}

/// Takes up connections until the shutdown.
async fn accept(endpoint: Endpoint, shared: Arc<Shared>, tasks: TaskTracker) {
    let mut number = 0;
    loop {
        let incoming = tokio::select! {
            () = shared.shutdown.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let address = incoming.remote_address();
        match shared.arrivals.judge(address.ip(), incoming.remote_address_validated()) {
            Verdict::Welcome(arrival) => {
                number += 1;
                tasks.spawn(connection::serve(Arc::clone(&shared), incoming, arrival, number));
            }
            // A retry is refused only for an address that is validated already, and those are not asked for one.
            Verdict::Validate => drop(incoming.retry()),
            Verdict::Refuse(why) => {
                tracing::warn!(%address, why, "refused a connection");
                incoming.refuse();
            }
        }
    }
    // From here on nobody new is taken up.
    endpoint.set_server_config(None);
}

/// Looks after what passes with time: leases, retention, and the instance's own certificate.
async fn keep_house(endpoint: Endpoint, shared: Arc<Shared>, root: RootKey, mut identity: InstanceIdentity) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut issues = tokio::time::interval(ISSUE_INTERVAL);
    issues.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            _ = interval.tick() => {}
            _ = issues.tick() => {
                shared.workers.issue_wanted().await;
                continue;
            }
        }
        shared.workers.sweep().await;
        if identity.is_due(now()) {
            match renew(&endpoint, &root) {
                Ok(renewed) => identity = renewed,
                Err(error) => tracing::error!(%error, "the instance's certificate could not be renewed"),
            }
        }
    }
}

/// Puts a new instance certificate in the place of the one that is due; connections that stand are not touched.
fn renew(endpoint: &Endpoint, root: &RootKey) -> Result<InstanceIdentity, TlsError> {
    let identity = root.certify_instance(now())?;
    endpoint.set_server_config(Some(transport::server_config(&identity)?));
    tracing::info!("the instance's certificate was renewed");
    Ok(identity)
}

/// The system's clock: the only place in this program that reads it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
