//! Real handshakes on loopback: who is let in, who is not, and for which reason.

use std::sync::{Arc, Mutex};

use p256::{SecretKey, pkcs8::EncodePrivateKey as _};
use protocol::{ALPN_DIRECTORY, ALPN_PEER, Fingerprint, PublicKey};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig, crypto::rustls::QuicClientConfig};
use rcgen::Issuer;
use rustls::{
    NamedGroup, ProtocolVersion, SignatureScheme,
    client::ResolvesClientCert,
    crypto::{ActiveKeyExchange, CompletedKeyExchange, SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    AcceptedPeers, CertificateRefusal, DeviceIdentity, DirectoryVerifier, SERVER_NAME, Tls, directory_fingerprint,
    material::{FUTURE, Key, NOW, PAST, device_certificate, instance_certificate, params, root_certificate},
    provider,
};

/// Presents whatever it is told to, also what doesn't fit together.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl Presents {
    fn new(chain: Vec<CertificateDer<'static>>, key: &Key) -> Arc<Self> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.0.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(Self(Arc::new(CertifiedKey::new(chain, key))))
    }
}

impl ResolvesClientCert for Presents {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Presents {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn loopback() -> std::net::SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, 0).into()
}

/// How a handshake ended on each side.
struct Handshake {
    dialler: Result<Connection, ConnectionError>,
    listener: Result<Connection, ConnectionError>,
    _endpoints: [Endpoint; 2],
}

impl Handshake {
    async fn run(client: ClientConfig, server: ServerConfig) -> Self {
        let listening = Endpoint::server(server, loopback()).unwrap();
        let dialling = Endpoint::client(loopback()).unwrap();
        let connecting = dialling.connect_with(client, listening.local_addr().unwrap(), SERVER_NAME).unwrap();
        let accepting = async { listening.accept().await.unwrap().await };
        let (dialler, listener) = tokio::join!(connecting, accepting);
        // The dialler is done first; whether the listener let it in shows by a stream that is opened or not.
        Self { dialler, listener, _endpoints: [dialling, listening] }
    }

    fn listener_refusal(&self) -> String {
        self.listener.as_ref().expect_err("let in").to_string()
    }

    fn dialler_refusal(&self) -> String {
        self.dialler.as_ref().expect_err("let in").to_string()
    }
}

fn listening(own: &Key, accepted: &[PublicKey]) -> ServerConfig {
    let set = AcceptedPeers::default();
    set.replace(accepted.iter().copied());
    ServerConfig::with_crypto(Arc::new(Tls::new(own.identity()).from_peers(set).unwrap()))
}

/// A dialler that presents whatever a test wants, and accepts this listener.
fn dialling(presented: Option<Arc<Presents>>, listener: PublicKey) -> ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(super::verify::PeerVerifier::new(listener)));
    let mut config = match presented {
        Some(presented) => builder.with_client_cert_resolver(presented),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

#[tokio::test]
async fn a_listener_lets_in_accepted_keys_and_refuses_everything_else_for_its_reason() {
    let (own, peer, stranger) = (Key::new(), Key::new(), Key::new());
    let (p384, ed25519) = (Key::of(&rcgen::PKCS_ECDSA_P384_SHA384), Key::of(&rcgen::PKCS_ED25519));
    let valid = device_certificate(&peer, NOW);
    // Names the peer as its issuer and has its key, but another key signed it.
    let forged = {
        let issuer_params = params("device", NOW);
        let issuer = Issuer::from_params(&issuer_params, &stranger.0);
        params("device", NOW).signed_by(&peer.0, &issuer).unwrap().der().clone()
    };
    type Row = (&'static str, Option<Arc<Presents>>, &'static str);
    let rows: Vec<Row> = vec![
        ("expired", Some(Presents::new(vec![device_certificate(&peer, PAST)], &peer)), "Expired"),
        ("not yet valid", Some(Presents::new(vec![device_certificate(&peer, FUTURE)], &peer)), "NotYetValid"),
        ("wrong key", Some(Presents::new(vec![device_certificate(&stranger, NOW)], &stranger)), "PeerKey"),
        ("P-384", Some(Presents::new(vec![device_certificate(&p384, NOW)], &peer)), "Algorithm"),
        ("Ed25519", Some(Presents::new(vec![device_certificate(&ed25519, NOW)], &peer)), "Algorithm"),
        ("no certificate", None, "peer sent no certificates"),
        ("a key that one doesn't hold", Some(Presents::new(vec![valid.clone()], &stranger)), "BadSignature"),
        ("signed by another key", Some(Presents::new(vec![forged], &peer)), "BadSignature"),
        (
            "two certificates",
            Some(Presents::new(vec![valid.clone(), device_certificate(&stranger, NOW)], &peer)),
            "Count { expected: 1, found: 2 }",
        ),
        ("garbage", Some(Presents::new(vec![CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])], &peer)), "Malformed"),
    ];
    for (what, presented, reason) in rows {
        let handshake = Handshake::run(dialling(presented, own.public()), listening(&own, &[peer.public()])).await;
        let refusal = handshake.listener_refusal();
        assert!(refusal.contains(reason), "{what}: {refusal}");
    }

    let presented = Presents::new(vec![valid], &peer);
    let handshake = Handshake::run(dialling(Some(presented), own.public()), listening(&own, &[peer.public()])).await;
    assert_eq!(handshake.listener.map(|connection| connection.close_reason()), Ok(None));
}

#[tokio::test]
async fn a_handshake_signed_with_p384_is_not_offered_and_so_presents_nothing() {
    let (own, p384) = (Key::new(), Key::of(&rcgen::PKCS_ECDSA_P384_SHA384));
    let presented = Presents::new(vec![device_certificate(&p384, NOW)], &p384);
    let handshake = Handshake::run(dialling(Some(presented), own.public()), listening(&own, &[])).await;
    assert!(handshake.listener_refusal().contains("peer sent no certificates"));
}

#[tokio::test]
async fn a_dialler_takes_the_peer_with_the_pinned_key_and_nobody_else() {
    let (own, peer, stranger) = (Key::new(), Key::new(), Key::new());
    let dial = |pinned: &Key| {
        let config = Tls::new(own.identity()).towards_peer(pinned.public()).unwrap();
        Handshake::run(ClientConfig::new(Arc::new(config)), listening(&peer, &[own.public()]))
    };
    assert!(dial(&peer).await.listener.is_ok());
    assert!(dial(&stranger).await.dialler_refusal().contains("PeerKey"));
}

#[tokio::test]
async fn a_dialler_refuses_a_peer_whose_certificate_does_not_hold() {
    let (own, peer, stranger) = (Key::new(), Key::new(), Key::new());
    let rows = [
        (Presents::new(vec![device_certificate(&peer, PAST)], &peer), "Expired"),
        (Presents::new(vec![device_certificate(&peer, FUTURE)], &peer), "NotYetValid"),
        (Presents::new(vec![device_certificate(&peer, NOW)], &stranger), "BadSignature"),
        (Presents::new(vec![device_certificate(&peer, NOW), device_certificate(&peer, NOW)], &peer), "Count"),
    ];
    for (presented, reason) in rows {
        let config = Tls::new(own.identity()).towards_peer(peer.public()).unwrap();
        let handshake = Handshake::run(ClientConfig::new(Arc::new(config)), serving(presented, ALPN_PEER)).await;
        let refusal = handshake.dialler_refusal();
        assert!(refusal.contains(reason), "{reason}: {refusal}");
    }
}

/// A listener that presents whatever a test wants and asks for nothing.
fn serving(presented: Arc<Presents>, alpn: &[u8]) -> ServerConfig {
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(presented);
    config.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    ServerConfig::with_crypto(Arc::new(config))
}

async fn dial_directory(
    presented: Arc<Presents>,
    pin: Option<Fingerprint>,
) -> Result<Option<Fingerprint>, CertificateRefusal> {
    let verifier = Arc::new(DirectoryVerifier::new(pin));
    let config = Tls::new(Key::new().identity()).towards_directory(verifier.clone()).unwrap();
    let client = ClientConfig::new(Arc::new(config));
    let handshake = Handshake::run(client, serving(presented, ALPN_DIRECTORY)).await;
    match handshake.dialler {
        Ok(connection) => {
            let chain = connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
            Ok(directory_fingerprint(&chain))
        }
        Err(error) => Err(verifier.refusal().unwrap_or_else(|| panic!("not by the verifier: {error}"))),
    }
}

#[tokio::test]
async fn a_directory_is_accepted_at_first_contact_and_by_its_pin_only_ever_after() {
    let (instance, root, other_instance) = (Key::new(), Key::new(), Key::new());
    let chain = |instance: &Key| vec![instance_certificate(instance, &root, NOW), root_certificate(&root, NOW)];
    let pin = root.fingerprint();
    assert_eq!(dial_directory(Presents::new(chain(&instance), &instance), None).await, Ok(Some(pin)));
    assert_eq!(dial_directory(Presents::new(chain(&instance), &instance), Some(pin)).await, Ok(Some(pin)));
    // Another instance of the same root is the same directory.
    assert_eq!(dial_directory(Presents::new(chain(&other_instance), &other_instance), Some(pin)).await, Ok(Some(pin)));
    let pinned = Key::new().fingerprint();
    assert_eq!(
        dial_directory(Presents::new(chain(&instance), &instance), Some(pinned)).await,
        Err(CertificateRefusal::DirectoryKey { pinned, found: pin })
    );
}

#[tokio::test]
async fn a_directory_whose_certificates_do_not_hold_is_refused_for_its_reason() {
    use CertificateRefusal as Refusal;

    let (instance, root, other_root) = (Key::new(), Key::new(), Key::new());
    let (p384, ed25519) = (Key::of(&rcgen::PKCS_ECDSA_P384_SHA384), Key::of(&rcgen::PKCS_ED25519));
    let valid = instance_certificate(&instance, &root, NOW);
    let valid_root = root_certificate(&root, NOW);
    let not_a_root = params("root", NOW).self_signed(&root.0).unwrap().der().clone();
    let rows = [
        (vec![instance_certificate(&instance, &root, PAST), valid_root.clone()], Refusal::Expired),
        (vec![instance_certificate(&instance, &root, FUTURE), valid_root.clone()], Refusal::NotYetValid),
        (vec![valid.clone(), root_certificate(&root, PAST)], Refusal::Expired),
        (vec![valid.clone(), root_certificate(&root, FUTURE)], Refusal::NotYetValid),
        (vec![instance_certificate(&instance, &other_root, NOW), valid_root.clone()], Refusal::BadSignature),
        (vec![instance_certificate(&p384, &root, NOW), valid_root.clone()], Refusal::Algorithm),
        (vec![instance_certificate(&ed25519, &root, NOW), valid_root.clone()], Refusal::Algorithm),
        (vec![instance_certificate(&instance, &p384, NOW), root_certificate(&p384, NOW)], Refusal::Algorithm),
        (vec![valid.clone(), not_a_root], Refusal::NotARoot),
        (vec![valid.clone()], Refusal::Count { expected: 2, found: 1 }),
        (vec![valid, valid_root.clone(), valid_root], Refusal::Count { expected: 2, found: 3 }),
    ];
    for (chain, reason) in rows {
        assert_eq!(dial_directory(Presents::new(chain, &instance), None).await, Err(reason));
    }
}

#[tokio::test]
async fn a_directory_that_does_not_hold_its_instance_key_is_refused() {
    let (instance, root, thief) = (Key::new(), Key::new(), Key::new());
    let chain = vec![instance_certificate(&instance, &root, NOW), root_certificate(&root, NOW)];
    let config = Tls::new(Key::new().identity())
        .towards_directory(Arc::new(DirectoryVerifier::new(Some(root.fingerprint()))))
        .unwrap();
    let server = serving(Presents::new(chain, &thief), ALPN_DIRECTORY);
    let handshake = Handshake::run(ClientConfig::new(Arc::new(config)), server).await;
    assert!(handshake.dialler_refusal().contains("BadSignature"));
}

/// Notes which key exchange was completed.
#[derive(Debug)]
struct Recording {
    group: &'static dyn SupportedKxGroup,
    completed: Arc<Mutex<Vec<NamedGroup>>>,
}

impl SupportedKxGroup for Recording {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        self.group.start()
    }

    fn start_and_complete(&self, share: &[u8]) -> Result<CompletedKeyExchange, rustls::Error> {
        self.completed.lock().unwrap().push(self.group.name());
        self.group.start_and_complete(share)
    }

    fn name(&self) -> NamedGroup {
        self.group.name()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.group.usable_for_version(version)
    }
}

#[tokio::test]
async fn two_nodes_negotiate_x25519mlkem768() {
    let (own, peer) = (Key::new(), Key::new());
    let completed = Arc::new(Mutex::new(Vec::new()));
    let mut recording = provider();
    recording.kx_groups = recording
        .kx_groups
        .into_iter()
        .map(|group| Box::leak(Box::new(Recording { group, completed: completed.clone() })) as &dyn SupportedKxGroup)
        .collect();
    let accepted = AcceptedPeers::default();
    accepted.replace([own.public()]);
    let server = Tls::with_provider(peer.identity(), recording).from_peers(accepted).unwrap();
    let client = Tls::new(own.identity()).towards_peer(peer.public()).unwrap();
    let handshake =
        Handshake::run(ClientConfig::new(Arc::new(client)), ServerConfig::with_crypto(Arc::new(server))).await;
    assert!(handshake.listener.is_ok());
    assert_eq!(*completed.lock().unwrap(), [NamedGroup::X25519MLKEM768]);
}

#[test]
fn a_device_certificate_is_made_for_a_p256_key_and_for_nothing_else() {
    let p256 = SecretKey::from_slice(&[7; 32]).unwrap().to_pkcs8_der().unwrap();
    assert!(DeviceIdentity::new(p256.as_bytes()).is_ok());
    assert!(DeviceIdentity::new(&Key::of(&rcgen::PKCS_ED25519).0.serialize_der()).is_err());
}
