//! The network of one open core: its endpoint, its directory and its peers, and what comes from them.

use std::{
    net::UdpSocket,
    sync::{Arc, atomic::AtomicU64},
};

use protocol::{Fingerprint, peer::CloseCode};
use tokio::sync::mpsc;

use crate::{
    config::DirectoryAddress,
    net::{
        alarm::Alarm,
        directory::{Directory, DirectoryEvent},
        endpoint::{EndpointError, NodeEndpoint},
        peer::{PeerEvent, Peers},
        tls::{AcceptedPeers, DeviceIdentity, IdentityError, Tls},
    },
};

/// Events that may wait for the driver from either side; whoever has more waits, and in the end its sender does.
const EVENTS_MAX: usize = 256;

/// Why a node has no network.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    /// This device's certificate can't be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The socket can't be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// What the networks of one node have in common.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) directory: DirectoryAddress,
    pub(super) socket: UdpSocket,
    pub(super) alarm: Alarm,
    pub(super) last_peer: Arc<AtomicU64>,
}

/// The network of one open core.
#[derive(Debug)]
pub(super) struct Network {
    endpoint: NodeEndpoint,
    pub(super) accepted: AcceptedPeers,
    pub(super) directory: Directory,
    pub(super) peers: Peers,
    pub(super) directory_events: mpsc::Receiver<DirectoryEvent>,
    pub(super) peer_events: mpsc::Receiver<PeerEvent>,
}

impl Network {
    /// Starts listening, and dialling the directory.
    pub(super) fn start(
        surroundings: &Surroundings,
        pkcs8: &[u8],
        pin: Option<Fingerprint>,
    ) -> Result<Self, NetworkError> {
        let Surroundings { directory, socket, alarm, last_peer } = surroundings;
        let accepted = AcceptedPeers::default();
        let tls = Tls::new(DeviceIdentity::new(pkcs8)?);
        let socket = socket.try_clone().map_err(EndpointError::from)?;
        let endpoint = NodeEndpoint::new(socket, tls, accepted.clone())?;
        let (directory_sender, directory_events) = mpsc::channel(EVENTS_MAX);
        let (peer_sender, peer_events) = mpsc::channel(EVENTS_MAX);
        let directory = Directory::new(endpoint.clone(), directory.clone(), pin, directory_sender, alarm.clone());
        let peers = Peers::new(endpoint.clone(), peer_sender, last_peer.clone(), alarm.clone());
        Ok(Self { endpoint, accepted, directory, peers, directory_events, peer_events })
    }

    /// Says goodbye to everybody, in a bounded time.
    pub(super) async fn shut_down(mut self, code: CloseCode) {
        // Nobody reads any more: whoever waits to be read shall not.
        self.directory_events.close();
        self.peer_events.close();
        while self.directory_events.try_recv().is_ok() {}
        while self.peer_events.try_recv().is_ok() {}
        tokio::join!(self.directory.shut_down(), self.peers.shut_down(code));
        self.endpoint.close(code).await;
    }
}
