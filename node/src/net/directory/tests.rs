//! The keeper against a directory that does what a test says, over real sockets.

use std::{net::SocketAddr, sync::Arc};

use node_core::input::{Answer, CallId};
use protocol::{
    ALPN_DIRECTORY, Fingerprint, Timestamp,
    directory::{Push, Refusal, Registration, Reply, Request},
    frame,
    limits::DIRECTORY_FRAME_MAX,
    peer::CloseCode,
};
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, crypto::rustls::QuicServerConfig};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::mpsc;

use super::{Directory, DirectoryEvent};
use crate::{
    config::DirectoryAddress,
    net::{
        alarm::Alarm,
        endpoint::{self, NodeEndpoint, close_code},
        tls::{
            AcceptedPeers, Tls,
            material::{Key, NOW, instance_certificate, root_certificate},
            provider,
        },
    },
};

/// A directory of a test.
struct Acting {
    endpoint: Endpoint,
    root: Key,
}

impl Acting {
    fn new() -> Self {
        let root = Key::new();
        let endpoint = Endpoint::server(Self::config(&root), "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { endpoint, root }
    }

    /// Another directory on the same socket. Connections that stand stay.
    fn replaced_by(self, root: Key) -> Self {
        self.endpoint.set_server_config(Some(Self::config(&root)));
        Self { root, ..self }
    }

    fn config(root: &Key) -> ServerConfig {
        let instance = Key::new();
        let chain = vec![instance_certificate(&instance, root, NOW), root_certificate(root, NOW)];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(instance.0.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![ALPN_DIRECTORY.to_vec()];
        ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()))
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    /// Takes up every connection and does nothing with it.
    fn accept_all(&self) {
        let endpoint = self.endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                // Whoever dials finds out for itself.
                let _ = incoming.await;
            }
        });
    }

    async fn accept(&self) -> Connection {
        self.endpoint.accept().await.unwrap().await.unwrap()
    }
}

/// A node's side of it.
struct Side {
    directory: Directory,
    events: mpsc::Receiver<DirectoryEvent>,
}

fn side(address: SocketAddr, pin: Option<Fingerprint>) -> Side {
    let socket = endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = NodeEndpoint::new(socket, Tls::new(Key::new().identity()), AcceptedPeers::default()).unwrap();
    let (sender, events) = mpsc::channel(16);
    let address = DirectoryAddress { host_port: address.to_string(), fingerprint: None };
    Side { directory: Directory::new(endpoint, address, pin, sender, Alarm::default()), events }
}

impl Side {
    async fn connected(&mut self) -> (u64, [u8; 32], Fingerprint) {
        match self.events.recv().await {
            Some(DirectoryEvent::Connected { generation, exporter, fingerprint, .. }) => {
                (generation, exporter, fingerprint)
            }
            other => panic!("not connected: {other:?}"),
        }
    }

    async fn answered(&mut self) -> (CallId, Answer) {
        match self.events.recv().await {
            Some(DirectoryEvent::Answered { call, answer }) => (call, answer),
            other => panic!("no answer: {other:?}"),
        }
    }

    async fn disconnected(&mut self) {
        let event = self.events.recv().await;
        assert!(matches!(event, Some(DirectoryEvent::Disconnected { .. })), "{event:?}");
    }

    fn ask(&self, generation: u64, call: u64) {
        assert!(self.directory.ask(generation, CallId(call), Box::new(Request::Ping)));
    }
}

fn pong(time: u64) -> Reply {
    let observed = "127.0.0.1:1".parse().unwrap();
    Reply::Pong { time: Timestamp(time), observed, account: None, registration: Registration::Open }
}

/// The next request, and where its answer goes.
async fn request(connection: &Connection) -> (Request, SendStream) {
    let (send, mut receive): (SendStream, RecvStream) = connection.accept_bi().await.unwrap();
    let bytes = receive.read_to_end(DIRECTORY_FRAME_MAX).await.unwrap();
    (frame::decode_body(&bytes[4..], DIRECTORY_FRAME_MAX).unwrap(), send)
}

async fn answer(mut send: SendStream, answer: &Result<Reply, Refusal>) {
    send.write_all(&frame::encode(answer, DIRECTORY_FRAME_MAX).unwrap()).await.unwrap();
    send.finish().unwrap();
}

#[tokio::test]
async fn requests_are_answered_or_refused_each_on_its_own_stream() {
    let acting = Acting::new();
    let mut side = side(acting.address(), None);
    let connection = acting.accept().await;
    let (generation, exporter, fingerprint) = side.connected().await;
    assert_eq!((generation, fingerprint), (1, acting.root.fingerprint()));
    let mut theirs = [0; 32];
    connection.export_keying_material(&mut theirs, b"EXPORTER-tuppence-opaque", b"").unwrap();
    assert_eq!(exporter, theirs);

    side.ask(1, 7);
    let (asked, send) = request(&connection).await;
    assert_eq!(asked, Request::Ping);
    answer(send, &Ok(pong(5))).await;
    assert_eq!(side.answered().await, (CallId(7), Answer::Reply(Box::new(pong(5)))));
    side.ask(1, 8);
    answer(request(&connection).await.1, &Err(Refusal::NotSignedIn)).await;
    assert_eq!(side.answered().await, (CallId(8), Answer::Refusal(Refusal::NotSignedIn)));
}

#[tokio::test]
async fn at_most_four_requests_are_under_way_and_the_rest_follow_in_order() {
    let acting = Acting::new();
    let mut side = side(acting.address(), None);
    let connection = acting.accept().await;
    side.connected().await;
    for call in 0..6 {
        side.ask(1, call);
    }
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(request(&connection).await.1);
    }
    // The fifth comes only when one of the first four is answered; until then nothing is there to accept.
    let fifth = connection.accept_bi();
    tokio::pin!(fifth);
    tokio::select! {
        biased;
        _ = &mut fifth => panic!("five at once"),
        () = tokio::task::yield_now() => {}
    }
    answer(open.remove(0), &Ok(pong(0))).await;
    assert_eq!(side.answered().await, (CallId(0), Answer::Reply(Box::new(pong(0)))));
    let (send, _receive) = fifth.await.unwrap();
    answer(send, &Ok(pong(4))).await;
    assert_eq!(side.answered().await.0, CallId(4));
}

#[tokio::test]
async fn what_has_no_answer_when_the_connection_ends_is_lost_once_and_the_next_connection_follows() {
    let acting = Acting::new();
    let mut side = side(acting.address(), None);
    let connection = acting.accept().await;
    side.connected().await;
    side.ask(1, 1);
    side.ask(1, 2);
    let (_, _held) = request(&connection).await;
    let (_, _held_too) = request(&connection).await;
    connection.close(close_code(CloseCode::ShuttingDown), b"");
    assert_eq!(side.answered().await, (CallId(1), Answer::Lost));
    assert_eq!(side.answered().await, (CallId(2), Answer::Lost));
    side.disconnected().await;
    let connection = acting.accept().await;
    assert_eq!(side.connected().await.0, 2);
    // A request that was meant for the connection before says something else on this one.
    side.ask(1, 3);
    assert_eq!(side.answered().await, (CallId(3), Answer::Lost));
    side.ask(2, 4);
    answer(request(&connection).await.1, &Ok(pong(1))).await;
    assert_eq!(side.answered().await.0, CallId(4));
}

#[tokio::test]
async fn pushes_are_handed_on_in_order() {
    let acting = Acting::new();
    let mut side = side(acting.address(), None);
    let connection = acting.accept().await;
    side.connected().await;
    let mut pushes = connection.open_uni().await.unwrap();
    for push in [Push::Mail, Push::KeyPackagesLow] {
        pushes.write_all(&frame::encode(&push, 1_024).unwrap()).await.unwrap();
    }
    assert!(matches!(side.events.recv().await, Some(DirectoryEvent::Push(Push::Mail))));
    assert!(matches!(side.events.recv().await, Some(DirectoryEvent::Push(Push::KeyPackagesLow))));
}

#[tokio::test]
async fn a_malformed_answer_is_lost_and_its_connection_is_left() {
    let mut trailing = frame::encode(&Ok::<_, Refusal>(pong(1)), 1_024).unwrap();
    trailing.push(0);
    for bytes in [vec![0, 0, 0, 1, 0x7f], vec![0xff; 8], trailing] {
        let acting = Acting::new();
        let mut side = side(acting.address(), None);
        let connection = acting.accept().await;
        side.connected().await;
        side.ask(1, 1);
        let (_, mut send) = request(&connection).await;
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        assert_eq!(side.answered().await, (CallId(1), Answer::Lost));
        side.disconnected().await;
    }
}

#[tokio::test]
async fn another_directory_in_the_same_place_is_reported_and_never_tried_again() {
    let acting = Acting::new();
    acting.accept_all();
    let pinned = Key::new().fingerprint();
    let mut side = side(acting.address(), Some(pinned));
    let found = acting.root.fingerprint();
    match side.events.recv().await {
        Some(DirectoryEvent::KeyChanged { pinned: told, found: met }) => assert_eq!((told, met), (pinned, found)),
        other => panic!("not noticed: {other:?}"),
    }
    assert!(side.events.recv().await.is_none(), "the keeper goes on");
}

#[tokio::test]
async fn a_directory_met_once_is_the_only_one_for_the_rest_of_the_run() {
    let first = Acting::new();
    let mut side = side(first.address(), None);
    let connection = first.accept().await;
    side.connected().await;
    let (address, pinned) = (first.address(), first.root.fingerprint());
    // The same place from now on: what a directory's successor, or an impostor, would have.
    let second = first.replaced_by(Key::new());
    second.accept_all();
    connection.close(close_code(CloseCode::ShuttingDown), b"");
    side.disconnected().await;
    match side.events.recv().await {
        Some(DirectoryEvent::KeyChanged { pinned: told, found }) => {
            assert_eq!((second.address(), told, found), (address, pinned, second.root.fingerprint()));
        }
        other => panic!("not noticed: {other:?}"),
    }
}

#[tokio::test]
async fn shutting_down_closes_the_connection_at_once_and_loses_what_waited() {
    let acting = Acting::new();
    let mut side = side(acting.address(), None);
    let connection = acting.accept().await;
    side.connected().await;
    side.ask(1, 1);
    let (_, _held) = request(&connection).await;
    let Side { directory, mut events } = side;
    directory.shut_down().await;
    let quinn::ConnectionError::ApplicationClosed(close) = connection.closed().await else { panic!("not closed") };
    assert_eq!(close.error_code, close_code(CloseCode::Done));
    assert!(events.try_recv().is_err());
}

#[test]
fn pauses_double_up_to_a_limit_and_differ_by_at_most_half() {
    for (failures, full) in [(1, 250), (2, 500), (3, 1_000), (7, 15_000), (40, 15_000), (u32::MAX, 15_000)] {
        let pause = u64::try_from(super::pause_after(failures).as_millis()).unwrap();
        assert!((full / 2..=full).contains(&pause), "{failures}: {pause}");
    }
}
