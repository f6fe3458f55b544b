//! QUIC towards nodes: how much a connection may hold and how long it may be silent. Small on purpose, because a
//! directory holds many connections that say little.

use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::hmac;
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use zeroize::Zeroizing;

use crate::tls::{self, TlsError, identity::InstanceIdentity};

/// A connection that is silent so long is gone; nodes send a keep-alive every third of it.
const IDLE_MS: u32 = 45_000;
/// Request streams that a node may have open at once. It is told that it may open more when an eighth of them has been used up:
/// of few that would be a packet for each request. How many are read and answered at a time is [`super::connection`]'s.
const REQUEST_STREAMS: u32 = 64;
/// Streams that a node may open towards the directory without an answer; none has a meaning yet.
const UNI_STREAMS: u32 = 4;
/// Bytes of one stream on their way: the longest deposit fits with one refill.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Bytes of all streams of a connection on their way to us.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes on their way to a node.
const SEND_WINDOW: u64 = 1024 * 1024;
/// Largest packet that is tried: ten segments of it, sent at once, stay below UDP's 65,507 bytes.
const MTU_MAX: u16 = 6_500;
/// Buffers that we ask the system for, so that a burst of packets is not dropped; fewer are no failure.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Handshakes that wait to be taken up; more are dropped, and their nodes try again.
const INCOMING_MAX: usize = 1_024;
/// Bytes of the key from which stateless reset tokens follow.
const RESET_TOKEN_KEY_LENGTH: usize = 64;
/// And of the key by which we recognise connection ids of our own.
const RESET_KEY_LENGTH: usize = RESET_TOKEN_KEY_LENGTH + size_of::<u64>();
/// Bytes that one handshake may send before it is taken up: a hybrid hello and its retransmissions.
const INCOMING_BYTES: u64 = 16 * 1024;

/// Why no endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address can't be bound.
    #[error("cannot listen on {address}: {source}; choose another address with --bind")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a restarted directory needs to tell nodes at once that their old connections are gone: without it they wait
/// until the connection is idle for too long. Whoever has it can end connections, and nothing else.
pub struct ResetKey(Zeroizing<[u8; RESET_KEY_LENGTH]>);

impl ResetKey {
    /// A new key.
    ///
    /// # Errors
    /// [`TlsError::Randomness`] if the system has none.
    pub fn generate() -> Result<Self, TlsError> {
        let mut key = Zeroizing::new([0; RESET_KEY_LENGTH]);
        getrandom::fill(&mut *key).map_err(TlsError::Randomness)?;
        Ok(Self(key))
    }

    /// Reads a stored key; `None` if the bytes are none.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|key| Self(Zeroizing::new(key)))
    }

    /// The form in which it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &*self.0
    }

    /// An endpoint that recognises the connections of the one before it.
    fn endpoint(&self) -> EndpointConfig {
        let (tokens, ids) = self.0.split_at(RESET_TOKEN_KEY_LENGTH);
        let ids = ids.iter().fold(0_u64, |key, byte| (key << 8) | u64::from(*byte));
        let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, tokens)));
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        config
    }
}

/// The configuration for this instance's certificate.
///
/// # Errors
/// [`TlsError`] if TLS can't be set up.
pub(crate) fn server_config(identity: &InstanceIdentity) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::with_crypto(Arc::new(tls::server_config(identity)?));
    config.transport_config(Arc::new(transport()));
    config.max_incoming(INCOMING_MAX);
    config.incoming_buffer_size(INCOMING_BYTES);
    config.incoming_buffer_size_total(INCOMING_BYTES * INCOMING_MAX as u64);
    Ok(config)
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_MAX);
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MS))))
        .max_concurrent_bidi_streams(VarInt::from_u32(REQUEST_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(None)
        .mtu_discovery_config(Some(discovery));
    transport
}

/// Binds the socket and listens.
///
/// # Errors
/// [`EndpointError`] if the address is not to be had or TLS can't be set up.
pub(crate) fn listen(
    address: SocketAddr,
    identity: &InstanceIdentity,
    reset: &ResetKey,
) -> Result<Endpoint, EndpointError> {
    let bind = |source| EndpointError::Bind { address, source };
    let config = server_config(identity)?;
    let socket = std::net::UdpSocket::bind(address).map_err(bind)?;
    let reference = socket2::SockRef::from(&socket);
    // The system may grant less, as its own limits say; that costs speed under bursts and nothing else.
    let granted = reference.set_recv_buffer_size(SOCKET_BUFFER).and(reference.set_send_buffer_size(SOCKET_BUFFER));
    if let Err(error) = granted {
        tracing::debug!(%error, "socket buffers stay as they are");
    }
    let mut endpoint_config = reset.endpoint();
    if endpoint_config.max_udp_payload_size(MTU_MAX).is_err() {
        tracing::debug!("packets stay at their default size");
    }
    Endpoint::new(endpoint_config, Some(config), socket, Arc::new(TokioRuntime)).map_err(bind)
}
