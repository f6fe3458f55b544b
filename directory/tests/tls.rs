//! What the directory demands of TLS: a device certificate that holds, its key, the protocol's name; nothing older.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use std::{net::SocketAddr, sync::Arc};

use directory::{
    server::{Patience, Server},
    tls::SERVER_NAME,
};
use p256::pkcs8::EncodePrivateKey as _;
use protocol::directory::{Reply, Request};
use quinn::ConnectionError;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use support::{Device, Raw, connect, connect_with, doorkeeper, key, tls_builder};

/// TLS alerts (RFC 8446, 6) by number.
const BAD_CERTIFICATE: u8 = 42;
const CERTIFICATE_EXPIRED: u8 = 45;
const CERTIFICATE_UNKNOWN: u8 = 46;
const DECRYPT_ERROR: u8 = 51;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

async fn directory() -> Server {
    doorkeeper(Patience::default())
}

/// The alert by which the directory refused.
async fn refusal(address: SocketAddr, mut tls: rustls::ClientConfig) -> u8 {
    if tls.alpn_protocols.is_empty() {
        tls.alpn_protocols = vec![protocol::ALPN_DIRECTORY.to_vec()];
    }
    // In TLS 1.3 the node is done before its certificate is judged: the refusal may come as the connection's end.
    let error = match connect_with(address, tls).await {
        Ok(Raw { connection, .. }) => connection.closed().await,
        Err(error) => error,
    };
    match error {
        ConnectionError::ConnectionClosed(close) => alert(close.error_code),
        ConnectionError::TransportError(error) => alert(error.code),
        other => panic!("refused in another way: {other}"),
    }
}

fn alert(code: quinn::TransportErrorCode) -> u8 {
    let code = u64::from(code);
    assert_eq!(code >> 8, 1, "a TLS alert in QUIC: {code:#x}");
    u8::try_from(code & 0xff).unwrap()
}

fn with_certificate(change: impl FnOnce(&mut rcgen::CertificateParams), pair: &rcgen::KeyPair) -> rustls::ClientConfig {
    let mut parameters = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    change(&mut parameters);
    let certificate = parameters.self_signed(pair).unwrap().der().clone();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    tls_builder().with_client_auth_cert(vec![certificate], der).unwrap()
}

#[tokio::test]
async fn a_device_certificate_that_holds_is_welcome() {
    let server = directory().await;
    let raw = connect(server.local_addr(), &Device::new(1)).await;
    let answer = raw.ask(&Request::Ping).await;
    assert!(matches!(answer, Ok(Reply::Pong { account: None, .. })), "{answer:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_as_expired() {
    let server = directory().await;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let tls = with_certificate(
        |parameters| {
            parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        },
        &pair,
    );
    assert_eq!(refusal(server.local_addr(), tls).await, CERTIFICATE_EXPIRED);
}

#[tokio::test]
async fn keys_that_are_not_p256_are_refused() {
    let server = directory().await;
    for algorithm in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        // A well-behaved node would not even try, since we ask for P-256 only: this one shows what it has all the same.
        let parameters = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
        let certificate = parameters.self_signed(&pair).unwrap().der().clone();
        let tls = tls_builder().with_client_cert_resolver(Stubborn::with(certificate, &Device::new(3)));
        assert_eq!(refusal(server.local_addr(), tls).await, CERTIFICATE_UNKNOWN, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_node_without_a_certificate_is_refused() {
    let server = directory().await;
    let tls = tls_builder().with_no_client_auth();
    assert_eq!(refusal(server.local_addr(), tls).await, CERTIFICATE_REQUIRED);
}

#[tokio::test]
async fn a_certificate_with_a_bad_signature_is_refused() {
    let server = directory().await;
    let device = Device::new(4);
    let mut bytes = device.certificate.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let tls = tls_builder().with_client_auth_cert(vec![bytes.into()], device.private_key()).unwrap();
    assert_eq!(refusal(server.local_addr(), tls).await, DECRYPT_ERROR);
}

#[tokio::test]
async fn somebody_elses_certificate_is_refused() {
    let server = directory().await;
    let tls = tls_builder().with_client_cert_resolver(Stubborn::with(Device::new(5).certificate, &Device::new(6)));
    assert_eq!(refusal(server.local_addr(), tls).await, DECRYPT_ERROR);
}

#[tokio::test]
async fn a_chain_is_refused() {
    let server = directory().await;
    let device = Device::new(7);
    let chain = vec![device.certificate.clone(), Device::new(8).certificate];
    let tls = tls_builder().with_client_auth_cert(chain, device.private_key()).unwrap();
    assert_eq!(refusal(server.local_addr(), tls).await, CERTIFICATE_UNKNOWN);
}

#[tokio::test]
async fn garbage_for_a_certificate_is_refused() {
    let server = directory().await;
    let garbage = CertificateDer::from(b"not a certificate".to_vec());
    let tls = tls_builder().with_client_cert_resolver(Stubborn::with(garbage, &Device::new(9)));
    assert_eq!(refusal(server.local_addr(), tls).await, BAD_CERTIFICATE);
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let server = directory().await;
    let device = Device::new(10);
    let mut tls = tls_builder().with_client_auth_cert(vec![device.certificate.clone()], device.private_key()).unwrap();
    tls.alpn_protocols = vec![protocol::ALPN_PEER.to_vec()];
    assert_eq!(refusal(server.local_addr(), tls).await, NO_APPLICATION_PROTOCOL);
}

#[tokio::test]
async fn a_node_that_names_no_protocol_is_refused() {
    let server = directory().await;
    let device = Device::new(13);
    let tls = tls_builder().with_client_auth_cert(vec![device.certificate.clone()], device.private_key()).unwrap();
    let error = match connect_with(server.local_addr(), tls).await {
        Ok(Raw { connection, .. }) => connection.closed().await,
        Err(error) => error,
    };
    let ConnectionError::ConnectionClosed(close) = error else { panic!("refused in another way: {error}") };
    assert_eq!(alert(close.error_code), NO_APPLICATION_PROTOCOL);
}

#[tokio::test]
async fn nothing_is_remembered_that_would_let_a_session_resume() {
    let server = directory().await;
    let device = Device::new(11);
    let store = Arc::new(Tickets::default());
    let mut tls = tls_builder().with_client_auth_cert(vec![device.certificate.clone()], device.private_key()).unwrap();
    tls.alpn_protocols = vec![protocol::ALPN_DIRECTORY.to_vec()];
    tls.enable_early_data = true;
    tls.resumption = rustls::client::Resumption::store(Arc::<Tickets>::clone(&store));
    let raw = connect_with(server.local_addr(), tls).await.unwrap();
    // Tickets would come with the first bytes after the handshake.
    assert!(raw.ask(&Request::Ping).await.is_ok());
    assert_eq!(store.0.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_what_is_agreed_and_p256_alone_is_enough() {
    let server = directory().await;
    for (groups, agreed) in [
        (directory::tls::provider().kx_groups.clone(), rustls::NamedGroup::X25519MLKEM768),
        (vec![rustls::crypto::aws_lc_rs::kx_group::SECP256R1], rustls::NamedGroup::secp256r1),
    ] {
        let used: &'static std::sync::Mutex<Option<rustls::NamedGroup>> = Box::leak(Box::default());
        let recording =
            |group| Box::leak(Box::new(Recording { group, used })) as &'static dyn rustls::crypto::SupportedKxGroup;
        let mut provider = (*directory::tls::provider()).clone();
        provider.kx_groups = groups.into_iter().map(recording).collect();
        let device = Device::new(12);
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(support::TrustAnything))
            .with_client_auth_cert(vec![device.certificate.clone()], device.private_key())
            .unwrap();
        tls.alpn_protocols = vec![protocol::ALPN_DIRECTORY.to_vec()];
        let raw = connect_with(server.local_addr(), tls).await.unwrap();
        assert!(raw.ask(&Request::Ping).await.is_ok());
        assert_eq!(*used.lock().unwrap(), Some(agreed));
    }
}

/// A key exchange that notes when it is completed.
#[derive(Debug)]
struct Recording {
    group: &'static dyn rustls::crypto::SupportedKxGroup,
    used: &'static std::sync::Mutex<Option<rustls::NamedGroup>>,
}

impl rustls::crypto::SupportedKxGroup for Recording {
    fn start(&self) -> Result<Box<dyn rustls::crypto::ActiveKeyExchange>, rustls::Error> {
        Ok(Box::new(Active { exchange: self.group.start()?, used: self.used }))
    }

    fn name(&self) -> rustls::NamedGroup {
        self.group.name()
    }

    fn usable_for_version(&self, version: rustls::ProtocolVersion) -> bool {
        self.group.usable_for_version(version)
    }
}

struct Active {
    exchange: Box<dyn rustls::crypto::ActiveKeyExchange>,
    used: &'static std::sync::Mutex<Option<rustls::NamedGroup>>,
}

impl rustls::crypto::ActiveKeyExchange for Active {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<rustls::crypto::SharedSecret, rustls::Error> {
        *self.used.lock().unwrap() = Some(self.exchange.group());
        self.exchange.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        self.exchange.pub_key()
    }

    fn group(&self) -> rustls::NamedGroup {
        self.exchange.group()
    }
}

/// Counts the session tickets that a directory hands out.
#[derive(Debug, Default)]
struct Tickets(std::sync::atomic::AtomicUsize);

impl rustls::client::ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: rustls::pki_types::ServerName<'static>, _: rustls::NamedGroup) {}

    fn kx_hint(&self, _: &rustls::pki_types::ServerName<'_>) -> Option<rustls::NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: rustls::pki_types::ServerName<'static>, _: rustls::client::Tls12ClientSessionValue) {
    }

    fn tls12_session(&self, _: &rustls::pki_types::ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &rustls::pki_types::ServerName<'static>) {}

    fn insert_tls13_ticket(
        &self,
        _: rustls::pki_types::ServerName<'static>,
        _: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    fn take_tls13_ticket(
        &self,
        _: &rustls::pki_types::ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        None
    }
}

/// Shows a certificate whatever the directory asks for, and signs with a key of its choice.
#[derive(Debug)]
struct Stubborn(Arc<CertifiedKey>);

impl Stubborn {
    fn with(certificate: CertificateDer<'static>, signer: &Device) -> Arc<Self> {
        let der = key(signer.seed).to_pkcs8_der().unwrap();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_bytes().to_vec()));
        let signer = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der).unwrap();
        Arc::new(Self(Arc::new(CertifiedKey::new(vec![certificate], signer))))
    }
}

impl ResolvesClientCert for Stubborn {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
