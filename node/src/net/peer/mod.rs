//! Connections to peers: taken up and dialled, one long stream of frames in each direction, and streams on which files are
//! asked for.
//!
//! It owns the connections and their queues. It does not know who the peers are beyond their TLS keys, nor which of two
//! connections of one pair is to stay: the core decides and closes.

mod stream;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use node_core::input::PeerId;
use protocol::{
    DeviceId, PublicKey,
    peer::{CloseCode, PeerFrame},
};
use quinn::Connection;
use tokio::{
    sync::{Semaphore, mpsc, mpsc::error::TrySendError},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::stream::Outgoing;
use super::{
    alarm::Alarm,
    endpoint,
    endpoint::NodeEndpoint,
    file::{Served, serve::Asked},
};

/// Frames that may wait for one peer. Beyond that it is too slow and closed; the mailbox takes over.
const OUTGOING_MAX: usize = 1_024;
/// Connections that peers may have to this node at once: some for each of a few hundred contacts.
const ACCEPTED_MAX: usize = 1_024;
/// Handshakes of peers that are under way at once: they cost signatures.
const HANDSHAKES_MAX: usize = 32;
/// Addresses of one device that are dialled at once.
const DIALLED_MAX: usize = 8;
/// How long a connection that is to be closed may take to send what waits for it.
const FAREWELL: Duration = Duration::from_secs(4);

/// What happens on peer connections.
#[derive(Debug)]
pub enum PeerEvent {
    /// A connection stands.
    Opened(OpenPeer),
    /// A frame arrived.
    Frame {
        /// On which connection.
        peer: PeerId,
        /// What.
        frame: PeerFrame,
    },
    /// The peer asks for a file.
    Asked {
        /// On which connection.
        peer: PeerId,
        /// For what, with the stream for the answer.
        asked: Asked,
    },
    /// A connection that stood is gone.
    Closed {
        /// Which.
        peer: PeerId,
    },
    /// A device could not be dialled.
    DialFailed {
        /// Which.
        device: DeviceId,
    },
}

/// A connection that stands.
#[derive(Debug)]
pub struct OpenPeer {
    /// Names it.
    pub peer: PeerId,
    /// The key that the peer proved.
    pub tls_key: PublicKey,
    /// Whether this side dialled.
    pub dialled: bool,
    link: Link,
}

/// What this side holds of a connection.
#[derive(Debug, Clone)]
struct Link {
    outgoing: mpsc::Sender<Outgoing>,
    connection: Connection,
}

/// What every task of this module needs.
#[derive(Debug, Clone)]
struct Context {
    endpoint: NodeEndpoint,
    events: mpsc::Sender<PeerEvent>,
    last_peer: Arc<AtomicU64>,
    alarm: Alarm,
    served: Served,
    /// Cancelled when no more connections are to be taken up.
    closing: CancellationToken,
}

/// All peer connections of a node.
#[derive(Debug)]
pub struct Peers {
    context: Context,
    open: HashMap<PeerId, Link>,
    /// Dropping it ends all tasks.
    tasks: JoinSet<()>,
}

impl Peers {
    /// Starts taking up connections. Events go into `events`, which bounds how far peers can run ahead. Peer ids
    /// continue after `last_peer`, so that they stay unique where several of these follow each other.
    #[must_use]
    pub fn new(
        endpoint: NodeEndpoint,
        events: mpsc::Sender<PeerEvent>,
        last_peer: Arc<AtomicU64>,
        alarm: Alarm,
    ) -> Self {
        let (served, closing) = (Served::default(), CancellationToken::new());
        let context = Context { endpoint, events, last_peer, alarm, served, closing };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(context.clone()));
        Self { context, open: HashMap::new(), tasks }
    }

    /// Takes over a connection that was reported as [`PeerEvent::Opened`].
    pub fn opened(&mut self, opened: OpenPeer) {
        self.open.insert(opened.peer, opened.link);
    }

    /// Forgets a connection that was reported as [`PeerEvent::Closed`].
    pub fn closed(&mut self, peer: PeerId) {
        self.open.remove(&peer);
    }

    /// Dials a device at all its addresses at once; the first that answers counts.
    pub fn dial(&mut self, device: DeviceId, tls_key: PublicKey, addresses: Vec<SocketAddr>) {
        // Ended ones are let go of here, so that their number follows that of the running ones.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(dial(self.context.clone(), device, tls_key, addresses));
    }

    /// Queues a frame. A peer whose queue is full is closed; a frame for a closed one is lost with its connection.
    pub fn send(&mut self, peer: PeerId, frame: PeerFrame) {
        let Some(link) = self.open.get(&peer) else { return };
        match link.outgoing.try_send(Outgoing::Frame(Box::new(frame))) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                tracing::warn!(peer = peer.0, "a peer is too slow");
                endpoint::close(&link.connection, CloseCode::TooMuch);
                self.open.remove(&peer);
            }
        }
    }

    /// A connection that stands, for streams of its own.
    #[must_use]
    pub fn connection(&self, peer: PeerId) -> Option<Connection> {
        self.open.get(&peer).map(|link| link.connection.clone())
    }

    /// Closes a connection after what waits for it is sent and acknowledged, or after a bounded time.
    pub fn close(&mut self, peer: PeerId, code: CloseCode) {
        if let Some(link) = self.open.remove(&peer) {
            self.tasks.spawn(bid_farewell(link, code));
        }
    }

    /// Closes all connections, each after what waits for it is sent and acknowledged; takes a bounded time.
    pub async fn shut_down(mut self, code: CloseCode) {
        self.context.closing.cancel();
        let mut farewells: JoinSet<()> = self.open.drain().map(|(_, link)| bid_farewell(link, code)).collect();
        while farewells.join_next().await.is_some() {}
    }
}

async fn bid_farewell(link: Link, code: CloseCode) {
    let Link { outgoing, connection } = link;
    let farewell = async {
        // A closed queue means that the connection has ended already.
        if outgoing.send(Outgoing::Close(code)).await.is_ok() {
            connection.closed().await;
        }
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        endpoint::close(&connection, code);
    }
}

/// Takes up connections until the endpoint is closed.
async fn accept(context: Context) {
    let (handshakes, places) = (Arc::new(Semaphore::new(HANDSHAKES_MAX)), Arc::new(Semaphore::new(ACCEPTED_MAX)));
    let mut connections = JoinSet::new();
    let _guard = context.alarm.guard();
    loop {
        let incoming = tokio::select! {
            incoming = context.endpoint.accept() => incoming,
            () = context.closing.cancelled() => None,
        };
        let Some(incoming) = incoming else { break };
        while connections.try_join_next().is_some() {}
        let permits = (handshakes.clone().try_acquire_owned(), places.clone().try_acquire_owned());
        let (Ok(handshake), Ok(place)) = permits else {
            incoming.refuse();
            continue;
        };
        let context = context.clone();
        connections.spawn(async move {
            let _guard = context.alarm.guard();
            let from = incoming.remote_address();
            let shaken = NodeEndpoint::finish_handshake(incoming).await;
            drop(handshake);
            match shaken {
                Ok((connection, key)) => carry(context, connection, key, false).await,
                Err(error) => tracing::info!(%from, %error, "a peer was not let in"),
            }
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn dial(context: Context, device: DeviceId, key: PublicKey, addresses: Vec<SocketAddr>) {
    let _guard = context.alarm.guard();
    let mut attempts = JoinSet::new();
    for address in addresses.into_iter().filter(|address| context.endpoint.can_reach(address)).take(DIALLED_MAX) {
        let endpoint = context.endpoint.clone();
        attempts.spawn(async move { endpoint.connect_peer(address, key).await });
    }
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(connection)) => {
                attempts.abort_all();
                return carry(context, connection, key, true).await;
            }
            Ok(Err(error)) => tracing::debug!(device = ?device, %error, "a device does not answer"),
            Err(error) => tracing::debug!(device = ?device, %error, "an attempt to dial ended early"),
        }
    }
    // Nobody is told if the driver is gone.
    let _ = context.events.send(PeerEvent::DialFailed { device }).await;
}

/// One connection, from its report to its end.
async fn carry(context: Context, connection: Connection, tls_key: PublicKey, dialled: bool) {
    let peer = PeerId(context.last_peer.fetch_add(1, Ordering::Relaxed) + 1);
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    tracing::info!(peer = peer.0, key = ?tls_key, address = %connection.remote_address(), dialled, "peer connected");
    let link = Link { outgoing, connection: connection.clone() };
    let opened = OpenPeer { peer, tls_key, dialled, link };
    if context.events.send(PeerEvent::Opened(opened)).await.is_err() {
        return endpoint::close(&connection, CloseCode::ShuttingDown);
    }
    let reason = stream::run(&connection, peer, queue, &context.events, &context.served.shares()).await;
    tracing::info!(peer = peer.0, %reason, "peer disconnected");
    let _ = context.events.send(PeerEvent::Closed { peer }).await;
}
