//! The one UDP socket and the one QUIC endpoint of a node, for both roles: it listens for peers, and dials peers and
//! the directory.
//!
//! It owns the transport's limits. It does not know what is said on a connection.

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use protocol::{Fingerprint, PublicKey, peer::CloseCode};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TransportConfig, VarInt,
};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};

use super::tls::{
    AcceptedPeers, CertificateRefusal, DirectoryVerifier, SERVER_NAME, Tls, TlsSetupError, directory_fingerprint,
    peer_key,
};

/// Largest UDP payload that is tried: ten segments of it still fit into one call of the system (65,507 bytes).
const UDP_PAYLOAD_MAX: u16 = 6_500;
/// Size of the socket's buffers that is asked for; the system may give less.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// A connection on which nothing is heard for so long is gone.
const IDLE_TIMEOUT_MS: u32 = 45_000;
/// How often a node speaks to its directory when there is nothing to say. More often than to peers: a directory that was
/// killed takes messages again once its nodes have noticed, and each of them has only this to notice by.
pub(super) const DIRECTORY_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How often a dialler speaks when there is nothing to say: a third of the time-out.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A first guess of the round trip, so that a lost first packet is sent again soon.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Handshakes that may wait to be taken up; more are dropped and tried again by their diallers.
const INCOMING_MAX: usize = 128;
/// Early packets that are kept for a handshake that waits: a hello is two.
const INCOMING_BUFFER: u64 = 16 * 1024;
/// The same for all that wait together.
const INCOMING_BUFFER_TOTAL: u64 = 1024 * 1024;
/// Streams of each kind that one side of a peer connection may have open.
const PEER_STREAMS: u32 = 16;
/// Streams of each kind that one side of a directory connection may have open.
const DIRECTORY_STREAMS: u32 = 4;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the last packets of closed connections are waited for. They leave at once; the rest of QUIC's closing time
/// only answers stragglers, and whoever misses the last packet finds out by itself.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(250);

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address can't be bound.
    #[error("can't listen on {address}: {source}; choose another with --bind ADDR:PORT")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The socket can't be used.
    #[error("the socket can't be used: {0}")]
    Socket(#[from] io::Error),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The other side's certificate was not accepted.
    #[error("{0}")]
    Certificate(CertificateRefusal),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[from] ConnectionError),
    /// It could not even begin.
    #[error("{0}")]
    Dial(#[from] quinn::ConnectError),
    /// Nobody answered in time.
    #[error("nobody answers at {0}")]
    TimedOut(SocketAddr),
    /// The handshake left no identity; a bug.
    #[error("the handshake proved no key")]
    NoIdentity,
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

/// Binds the one socket of a node. It outlasts the endpoints that use it one after the other.
///
/// # Errors
/// [`EndpointError::Bind`] if the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> Result<UdpSocket, EndpointError> {
    let bound = || -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&address.into())?;
        // Best effort: with small buffers it is slower under load, and works all the same.
        for result in [socket.set_recv_buffer_size(SOCKET_BUFFER), socket.set_send_buffer_size(SOCKET_BUFFER)] {
            if let Err(error) = result {
                tracing::debug!(%error, "the socket's buffers stay small");
            }
        }
        Ok(socket.into())
    };
    bound().map_err(|source| EndpointError::Bind { address, source })
}

/// A node's endpoint. Clones share it.
#[derive(Debug, Clone)]
pub struct NodeEndpoint {
    endpoint: Endpoint,
    tls: Tls,
    local: SocketAddr,
}

impl NodeEndpoint {
    /// Listens on the socket for the peers in the set. Call it within a tokio runtime.
    ///
    /// # Errors
    /// [`EndpointError`] if the socket can't be used, or the library refuses the key.
    pub fn new(socket: UdpSocket, tls: Tls, accepted: AcceptedPeers) -> Result<Self, EndpointError> {
        let mut server = ServerConfig::with_crypto(Arc::new(tls.from_peers(accepted)?));
        server.transport_config(Arc::new(peer_transport(None)));
        server.max_incoming(INCOMING_MAX);
        server.incoming_buffer_size(INCOMING_BUFFER);
        server.incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
        let local = socket.local_addr()?;
        let endpoint = Endpoint::new(endpoint_config(), Some(server), socket, Arc::new(quinn::TokioRuntime))?;
        Ok(Self { endpoint, tls, local })
    }

    /// Dials the directory that has this pin, or any; tells the fingerprint of its root key.
    ///
    /// # Errors
    /// [`ConnectError`], also if the directory is another one than the pinned.
    pub async fn connect_directory(
        &self,
        address: SocketAddr,
        pin: Option<Fingerprint>,
    ) -> Result<(Connection, Fingerprint), ConnectError> {
        let verifier = Arc::new(DirectoryVerifier::new(pin));
        let mut config = ClientConfig::new(Arc::new(self.tls.towards_directory(verifier.clone())?));
        config.transport_config(Arc::new(directory_transport()));
        let connection = match self.handshake(config, address).await {
            Ok(connection) => connection,
            Err(error) => return Err(verifier.refusal().map_or(error, ConnectError::Certificate)),
        };
        let found = directory_fingerprint(&chain(&connection)).ok_or(ConnectError::NoIdentity)?;
        Ok((connection, found))
    }

    /// Dials the peer that holds this key.
    ///
    /// # Errors
    /// [`ConnectError`], also if somebody else answers there.
    pub async fn connect_peer(&self, address: SocketAddr, key: PublicKey) -> Result<Connection, ConnectError> {
        let mut config = ClientConfig::new(Arc::new(self.tls.towards_peer(key)?));
        config.transport_config(Arc::new(peer_transport(Some(KEEP_ALIVE))));
        self.handshake(config, address).await
    }

    /// Takes up the next handshake of a peer; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<quinn::Incoming> {
        self.endpoint.accept().await
    }

    /// Finishes a handshake that a peer began; tells the key that it proved.
    ///
    /// # Errors
    /// [`ConnectError`] if it fails or takes too long.
    pub async fn finish_handshake(incoming: quinn::Incoming) -> Result<(Connection, PublicKey), ConnectError> {
        let address = incoming.remote_address();
        let connecting = incoming.accept()?;
        let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
            .await
            .map_err(|_| ConnectError::TimedOut(address))??;
        let key = peer_key(&chain(&connection)).ok_or(ConnectError::NoIdentity)?;
        Ok((connection, key))
    }

    /// The address of the socket.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Addresses at which peers may find this node: the one that `connection` uses, and the one of the default route.
    #[must_use]
    pub fn reachable_at(&self, connection: &Connection) -> Vec<SocketAddr> {
        let port = self.local.port();
        if !self.local.ip().is_unspecified() {
            return vec![self.local];
        }
        let mut found: Vec<SocketAddr> = Vec::new();
        for ip in connection.local_ip().into_iter().chain(default_route(self.local.ip())) {
            let address = SocketAddr::new(ip.to_canonical(), port);
            if !ip.is_unspecified() && !found.contains(&address) {
                found.push(address);
            }
        }
        found
    }

    /// Whether the socket can send to this address: one family per socket.
    #[must_use]
    pub const fn can_reach(&self, address: &SocketAddr) -> bool {
        self.local.is_ipv4() == address.is_ipv4()
    }

    /// Closes everything that is still open and waits a little until the last packets are out.
    pub async fn close(&self, code: CloseCode) {
        self.endpoint.close(close_code(code), code.reason().as_bytes());
        // Time's up is fine too: then the other side finds out by itself.
        let _ = tokio::time::timeout(CLOSING_TIMEOUT, self.endpoint.wait_idle()).await;
        self.let_go();
    }

    /// Reads from the socket no more. The library goes on reading while connections wait to be forgotten, and would take
    /// every other packet that is meant for the endpoint that has the socket next.
    fn let_go(&self) {
        let nowhere: IpAddr =
            if self.local.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        // Twice: after the first time the library still listens where it was.
        for _ in 0..2 {
            let bound = UdpSocket::bind((nowhere, 0)).and_then(|socket| self.endpoint.rebind(socket));
            if let Err(error) = bound {
                tracing::warn!(%error, "a closed endpoint keeps its socket");
            }
        }
    }

    async fn handshake(&self, config: ClientConfig, address: SocketAddr) -> Result<Connection, ConnectError> {
        let connecting = self.endpoint.connect_with(config, address, SERVER_NAME)?;
        let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await;
        Ok(connection.map_err(|_| ConnectError::TimedOut(address))??)
    }
}

/// A close code as QUIC carries it.
#[must_use]
pub fn close_code(code: CloseCode) -> VarInt {
    VarInt::from_u32(code as u32)
}

/// Closes a connection with a code and its words.
pub(super) fn close(connection: &Connection, code: CloseCode) {
    connection.close(close_code(code), code.reason().as_bytes());
}

fn chain(connection: &Connection) -> Vec<CertificateDer<'static>> {
    connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .map_or_else(Vec::new, |chain| *chain)
}

/// The address that the system would send from towards the outside. Nothing is sent to find it out; the addresses
/// asked about are reserved for documentation (RFC 5737, RFC 3849).
fn default_route(family: IpAddr) -> Option<IpAddr> {
    let (from, towards): (SocketAddr, IpAddr) = match family {
        IpAddr::V4(_) => ((Ipv4Addr::UNSPECIFIED, 0).into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        IpAddr::V6(_) => ((Ipv6Addr::UNSPECIFIED, 0).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect((towards, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // The constant is within what QUIC allows; should that ever change, the default is fine.
    if let Err(error) = config.max_udp_payload_size(UDP_PAYLOAD_MAX) {
        tracing::debug!(%error, "large packets are not taken");
    }
    config
}

fn transport(streams: u32, stream_window: u32, window: u32, send_window: u64) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(UDP_PAYLOAD_MAX);
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(streams))
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(VarInt::from_u32(window))
        .send_window(send_window)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .initial_rtt(INITIAL_ROUND_TRIP)
        .mtu_discovery_config(Some(mtu))
        .datagram_receive_buffer_size(None);
    config
}

const MIB: u32 = 1024 * 1024;

fn peer_transport(keep_alive: Option<Duration>) -> TransportConfig {
    let mut config = transport(PEER_STREAMS, 4 * MIB, 16 * MIB, 8 * u64::from(MIB));
    config.keep_alive_interval(keep_alive);
    config
}

fn directory_transport() -> TransportConfig {
    let mut config = transport(DIRECTORY_STREAMS, MIB, 4 * MIB, u64::from(MIB));
    config.keep_alive_interval(Some(DIRECTORY_KEEP_ALIVE));
    config
}
