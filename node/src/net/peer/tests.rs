//! Two nodes on loopback that really talk.

use std::{net::SocketAddr, sync::Arc};

use node_core::input::PeerId;
use protocol::{
    ConversationId, DeviceId, MessageId,
    peer::{CloseCode, PeerFrame, PeerRefusal},
};
use quinn::{ConnectionError, VarInt};
use tokio::sync::mpsc;

use super::{PeerEvent, Peers};
use crate::net::{
    alarm::Alarm,
    endpoint::{self, NodeEndpoint},
    tls::{AcceptedPeers, Tls, material::Key},
};

const DEVICE: DeviceId = DeviceId([9; 16]);

/// One side.
struct Side {
    key: Key,
    accepted: AcceptedPeers,
    endpoint: NodeEndpoint,
    peers: Peers,
    events: mpsc::Receiver<PeerEvent>,
}

impl Side {
    fn new() -> Self {
        let (key, accepted) = (Key::new(), AcceptedPeers::default());
        let socket = endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = NodeEndpoint::new(socket, Tls::new(key.identity()), accepted.clone()).unwrap();
        let (sender, events) = mpsc::channel(16);
        let peers = Peers::new(endpoint.clone(), sender, Arc::default(), Alarm::default());
        Self { key, accepted, endpoint, peers, events }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_address()
    }

    /// The next event, which must be a connection from `other`.
    async fn opened(&mut self, other: &Self, dialled_here: bool) -> PeerId {
        let Some(PeerEvent::Opened(opened)) = self.events.recv().await else { panic!("no connection") };
        assert_eq!((opened.tls_key, opened.dialled), (other.key.public(), dialled_here));
        let peer = opened.peer;
        self.peers.opened(opened);
        peer
    }

    async fn frame(&mut self) -> (PeerId, PeerFrame) {
        match self.events.recv().await {
            Some(PeerEvent::Frame { peer, frame }) => (peer, frame),
            other => panic!("no frame: {other:?}"),
        }
    }
}

/// Two sides, connected: the first has dialled the second.
async fn pair() -> (Side, PeerId, Side, PeerId) {
    let (mut one, mut two) = (Side::new(), Side::new());
    two.accepted.replace([one.key.public()]);
    one.peers.dial(DEVICE, two.key.public(), vec![two.address()]);
    let at_one = one.opened(&two, true).await;
    let at_two = two.opened(&one, false).await;
    (one, at_one, two, at_two)
}

fn frame(number: u64) -> PeerFrame {
    PeerFrame::ReceiptStored { conversation: ConversationId([1; 32]), delivered_below: number, read_below: 0 }
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_in_both_directions() {
    let (mut one, at_one, mut two, at_two) = pair().await;
    // Fewer than the queue holds, more than one write carries.
    for number in 0..500 {
        one.peers.send(at_one, frame(number));
        two.peers.send(at_two, frame(1_000 + number));
    }
    for number in 0..500 {
        assert_eq!(two.frame().await, (at_two, frame(number)));
        assert_eq!(one.frame().await, (at_one, frame(1_000 + number)));
    }
}

#[tokio::test]
async fn closing_sends_what_waits_first_and_both_sides_hear_of_the_end_once() {
    let (mut one, at_one, mut two, at_two) = pair().await;
    for number in 0..500 {
        one.peers.send(at_one, frame(number));
    }
    one.peers.close(at_one, CloseCode::Done);
    for number in 0..500 {
        assert_eq!(two.frame().await, (at_two, frame(number)));
    }
    assert!(matches!(two.events.recv().await, Some(PeerEvent::Closed { peer }) if peer == at_two));
    assert!(matches!(one.events.recv().await, Some(PeerEvent::Closed { peer }) if peer == at_one));
    assert!(one.events.try_recv().is_err() && two.events.try_recv().is_err());
}

#[tokio::test]
async fn shutting_down_loses_nothing_that_was_queued() {
    let (mut one, at_one, mut two, at_two) = pair().await;
    for number in 0..500 {
        one.peers.send(at_one, frame(number));
    }
    let reading = async {
        for number in 0..500 {
            assert_eq!(two.frame().await, (at_two, frame(number)));
        }
        assert!(matches!(two.events.recv().await, Some(PeerEvent::Closed { .. })));
    };
    tokio::join!(one.peers.shut_down(CloseCode::ShuttingDown), reading);
}

#[tokio::test]
async fn a_device_that_is_not_the_pinned_one_or_does_not_let_us_in_is_a_failed_dial() {
    let (mut one, two) = (Side::new(), Side::new());
    two.accepted.replace([one.key.public()]);
    one.peers.dial(DEVICE, Key::new().public(), vec![two.address()]);
    assert!(matches!(one.events.recv().await, Some(PeerEvent::DialFailed { device: DEVICE })));
    one.peers.dial(DEVICE, two.key.public(), Vec::new());
    assert!(matches!(one.events.recv().await, Some(PeerEvent::DialFailed { device: DEVICE })));
}

#[tokio::test]
async fn a_device_is_found_at_any_of_its_addresses() {
    let (mut one, mut two) = (Side::new(), Side::new());
    two.accepted.replace([one.key.public()]);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = vec![silent.local_addr().unwrap(), "[::1]:9".parse().unwrap(), two.address()];
    one.peers.dial(DEVICE, two.key.public(), addresses);
    one.opened(&two, true).await;
    two.opened(&one, false).await;
}

/// Dials `side` by hand, as a peer that may do what it likes.
async fn dial_by_hand(side: &mut Side) -> (Side, quinn::Connection, PeerId) {
    let stranger = Side::new();
    side.accepted.replace([stranger.key.public()]);
    let connection = stranger.endpoint.connect_peer(side.address(), side.key.public()).await.unwrap();
    let peer = side.opened(&stranger, false).await;
    (stranger, connection, peer)
}

#[tokio::test]
async fn malformed_frames_close_the_connection_with_that_code() {
    let rows: [&[u8]; 3] = [
        // Announces more than a peer's frame may have.
        &[0x7f, 0xff, 0xff, 0xff],
        // An unknown variant.
        &[0, 0, 0, 1, 0x7f],
        // A byte too many.
        &[0, 0, 0, 19, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
    ];
    for bytes in rows {
        let mut side = Side::new();
        let (_stranger, connection, peer) = dial_by_hand(&mut side).await;
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let ConnectionError::ApplicationClosed(close) = connection.closed().await else { panic!("not closed") };
        assert_eq!(close.error_code, VarInt::from_u32(CloseCode::Malformed as u32));
        assert!(matches!(side.events.recv().await, Some(PeerEvent::Closed { peer: closed }) if closed == peer));
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_closed_as_too_much() {
    let mut side = Side::new();
    let (_stranger, connection, peer) = dial_by_hand(&mut side).await;
    let refused = PeerFrame::Refused { id: MessageId([3; 16]), reason: PeerRefusal::Full };
    // Without a turn for its writer, what is queued only grows.
    for _ in 0..=super::OUTGOING_MAX {
        side.peers.send(peer, refused.clone());
    }
    let ConnectionError::ApplicationClosed(close) = connection.closed().await else { panic!("not closed") };
    assert_eq!(close.error_code, VarInt::from_u32(CloseCode::TooMuch as u32));
    assert!(matches!(side.events.recv().await, Some(PeerEvent::Closed { .. })));
    // Whatever is sent to it afterwards is lost, as with any connection that is gone.
    side.peers.send(peer, refused);
}
