//! A node in the raw: one QUIC connection, frames as the protocol says, and nothing clever.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod program;

use std::{net::SocketAddr, sync::Arc};

use argon2::Argon2;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, Identifiers, RegistrationResponse, TripleDh,
};
use p256::{ecdsa::SigningKey, pkcs8::EncodePrivateKey as _};
use protocol::{
    AccountId, Bounded, BoundedBytes, DeviceId, Name, PublicKey, Timestamp,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DEVICE_LIST_LABEL, DeviceEntry, DeviceList, SignedDeviceList},
    directory::{Push, Refusal, Registration, Reply, Request, SignUp},
    frame,
    limits::DIRECTORY_FRAME_MAX,
};
use quinn::{Connection, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};
use tokio_util::sync::CancellationToken;

use directory::{
    core::{Handled, ServiceEffect},
    server::{
        Listening, Patience, ResetKey, Server,
        reception::{Reception, Visit},
    },
    tls::{OPAQUE_EXPORTER_LABEL, SERVER_NAME, identity::RootKey},
};

/// What a request came to: an answer, or the end of the connection.
pub(crate) type Answer = Result<Reply, Refusal>;

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_p256::NistP256;
    type KeyExchange = TripleDh<opaque_p256::NistP256, opaque_sha2::Sha256>;
    type Ksf = Argon2<'static>;
}

/// Cheap on purpose: these tests are about the directory, which never stretches a password.
fn cheap_stretching() -> Argon2<'static> {
    let parameters = argon2::Params::new(8, 1, 1, None).unwrap();
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
}

/// A signing key of P-256 from a seed, so that tests can be told apart.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed.max(1); 32]).unwrap()
}

/// A device's TLS key with its self-signed certificate.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) seed: u8,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: SigningKey,
}

impl Device {
    /// A device whose keys follow from the seed.
    pub(crate) fn new(seed: u8) -> Self {
        let key = key(seed);
        let pair = key_pair(&key);
        let parameters = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
        let certificate = parameters.self_signed(&pair).unwrap().der().clone();
        Self { seed, certificate, key }
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.to_pkcs8_der().unwrap().as_bytes().to_vec()))
    }

    pub(crate) fn id(&self) -> DeviceId {
        DeviceId([self.seed; 16])
    }
}

/// The same key as the certificate library takes it.
pub(crate) fn key_pair(key: &SigningKey) -> rcgen::KeyPair {
    let der = key.to_pkcs8_der().unwrap();
    let der = PrivatePkcs8KeyDer::from(der.as_bytes());
    rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

/// Takes any certificate: what these tests look at is the directory's judgement, not the node's.
#[derive(Debug)]
pub(crate) struct TrustAnything;

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.2 is never spoken over QUIC")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &directory::tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A TLS client configuration without a certificate yet.
pub(crate) fn tls_builder() -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    rustls::ClientConfig::builder_with_provider(directory::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnything))
}

/// Connects with this TLS configuration and waits until the directory has judged it.
pub(crate) async fn connect_with(address: SocketAddr, tls: rustls::ClientConfig) -> Result<Raw, ConnectionError> {
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
    let connection = endpoint.connect(address, SERVER_NAME).unwrap().await?;
    Ok(Raw { connection, _endpoint: endpoint })
}

/// A connection to the directory, as a device.
pub(crate) async fn connect(address: SocketAddr, device: &Device) -> Raw {
    let mut tls = tls_builder().with_client_auth_cert(vec![device.certificate.clone()], device.private_key()).unwrap();
    tls.alpn_protocols = vec![protocol::ALPN_DIRECTORY.to_vec()];
    connect_with(address, tls).await.unwrap()
}

/// One connection.
pub(crate) struct Raw {
    pub(crate) connection: Connection,
    _endpoint: Endpoint,
}

impl Raw {
    /// Asks, and takes the answer.
    pub(crate) async fn ask(&self, request: &Request) -> Answer {
        self.try_ask(request).await.unwrap()
    }

    /// Asks; `None` if the connection ends before there is an answer.
    pub(crate) async fn try_ask(&self, request: &Request) -> Option<Answer> {
        let frame = frame::encode(request, DIRECTORY_FRAME_MAX).unwrap();
        let (mut send, mut receive) = self.connection.open_bi().await.ok()?;
        send.write_all(&frame).await.ok()?;
        send.finish().ok()?;
        let answer = receive.read_to_end(DIRECTORY_FRAME_MAX + frame::HEADER_LENGTH).await.ok()?;
        Some(frame::decode_body(answer.get(frame::HEADER_LENGTH..)?, DIRECTORY_FRAME_MAX).unwrap())
    }

    /// How the directory closed the connection: code and words.
    pub(crate) async fn closed(&self) -> (u64, String) {
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                (close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap())
            }
            other => panic!("closed in another way: {other}"),
        }
    }

    /// The stream of pushes, once the directory has something to say.
    pub(crate) async fn pushes(&self) -> Pushes {
        Pushes(self.connection.accept_uni().await.unwrap())
    }

    fn binding(&self) -> [u8; 32] {
        let mut binding = [0; 32];
        self.connection.export_keying_material(&mut binding, OPAQUE_EXPORTER_LABEL, b"").unwrap();
        binding
    }

    /// Signs up with the password, for real but for the stretching.
    pub(crate) async fn sign_up(&self, person: &Person, invite: Option<&str>) -> Answer {
        let invite = invite.map(|code| code.to_owned().try_into().unwrap());
        let start = ClientRegistration::<Suite>::start(&mut randomness(), person.password.as_bytes()).unwrap();
        let registration = message(&start.message.serialize());
        let request = Request::SignUpStart { name: person.name.clone(), invite: invite.clone(), registration };
        let response = match self.ask(&request).await {
            Ok(Reply::SignUpStarted { registration }) => RegistrationResponse::deserialize(&registration).unwrap(),
            other => return other,
        };
        let stretching = cheap_stretching();
        let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&stretching));
        let finish = start.state.finish(&mut randomness(), person.password.as_bytes(), response, parameters).unwrap();
        self.ask(&Request::SignUpFinish(Box::new(SignUp {
            name: person.name.clone(),
            invite,
            registration: message(&finish.message.serialize()),
            devices: person.devices(),
            root_backup: BoundedBytes::new(person.backup.clone()).unwrap(),
            recovery_backup: BoundedBytes::new(person.backup.clone()).unwrap(),
        })))
        .await
    }

    /// Signs in with a password. `None` if the password is not the one of the account: the node finds out first.
    pub(crate) async fn sign_in(&self, name: &Name, password: &str) -> Option<Answer> {
        let start = ClientLogin::<Suite>::start(&mut randomness(), password.as_bytes()).unwrap();
        let credential = message(&start.message.serialize());
        let response = match self.ask(&Request::SignInStart { name: name.clone(), credential }).await {
            Ok(Reply::SignInStarted { credential }) => CredentialResponse::deserialize(&credential).unwrap(),
            other => return Some(other),
        };
        let (stretching, binding) = (cheap_stretching(), self.binding());
        let parameters = ClientLoginFinishParameters::new(Some(&binding), Identifiers::default(), Some(&stretching));
        let finish = start.state.finish(&mut randomness(), password.as_bytes(), response, parameters).ok()?;
        Some(self.ask(&Request::SignInFinish { credential: message(&finish.message.serialize()) }).await)
    }
}

impl Raw {
    /// The first half of a sign-in, with a guess.
    pub(crate) async fn start_sign_in(&self, name: &Name) -> Answer {
        let start = ClientLogin::<Suite>::start(&mut randomness(), b"guess").unwrap();
        let credential = message(&start.message.serialize());
        self.ask(&Request::SignInStart { name: name.clone(), credential }).await
    }

    /// The second half, without having been able to open the directory's answer.
    pub(crate) async fn finish_wrongly(&self) -> Answer {
        self.ask(&Request::SignInFinish { credential: message(&[7; 32]) }).await
    }

    /// Both halves.
    pub(crate) async fn force_sign_in(&self, name: &Name) -> Answer {
        let answer = self.start_sign_in(name).await;
        assert!(matches!(answer, Ok(Reply::SignInStarted { .. })), "{answer:?}");
        self.finish_wrongly().await
    }
}

fn message<const MAX: usize>(bytes: &[u8]) -> BoundedBytes<MAX> {
    BoundedBytes::new(bytes.to_vec()).unwrap()
}

/// Pushes as they come.
pub(crate) struct Pushes(quinn::RecvStream);

impl Pushes {
    /// The next one; `None` when the directory has said its last.
    pub(crate) async fn next(&mut self) -> Option<Push> {
        let mut header = [0; frame::HEADER_LENGTH];
        self.0.read_exact(&mut header).await.ok()?;
        let mut body = vec![0; frame::body_length(header, DIRECTORY_FRAME_MAX).unwrap()];
        self.0.read_exact(&mut body).await.ok()?;
        Some(frame::decode_body(&body, DIRECTORY_FRAME_MAX).unwrap())
    }

    /// The next one that says whether this account came or went.
    pub(crate) async fn next_presence_of(&mut self, who: AccountId) -> Push {
        loop {
            match self.next().await.unwrap() {
                push @ Push::Presence { account, .. } if account == who => return push,
                _ => {}
            }
        }
    }
}

/// Somebody with a password, a root key and one device.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: Name,
    pub(crate) password: String,
    pub(crate) root: SigningKey,
    pub(crate) device: Device,
    pub(crate) backup: Vec<u8>,
}

impl Person {
    /// Somebody whose keys follow from the seed.
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        Self {
            name: Name::parse(name).unwrap(),
            password: format!("correct-horse-{seed}"),
            root: key(seed + 100),
            device: Device::new(seed),
            backup: vec![seed; 64],
        }
    }

    /// The account's devices, signed.
    pub(crate) fn devices(&self) -> SignedDeviceList {
        let entry = DeviceEntry {
            root_key: membership::signing::public_key(&self.root),
            device: self.device.id(),
            tls_key: membership::signing::public_key(&self.device.key),
            mls_key: public(self.device.seed + 50),
            order_key: public(self.device.seed + 51),
            not_after: Timestamp(u64::MAX),
        };
        let entry: BoundedBytes<_> = message(&frame::encode_body(&entry, DIRECTORY_FRAME_MAX).unwrap());
        let signature = membership::signing::sign(&self.root, DEVICE_ENTRY_LABEL, &entry);
        let list = DeviceList {
            root_key: membership::signing::public_key(&self.root),
            version: 1,
            devices: Bounded::new(vec![Certificate { entry, signature }]).unwrap(),
            not_after: Timestamp(u64::MAX),
        };
        let list: BoundedBytes<_> = message(&frame::encode_body(&list, DIRECTORY_FRAME_MAX).unwrap());
        let signature = membership::signing::sign(&self.root, DEVICE_LIST_LABEL, &list);
        SignedDeviceList { list, signature }
    }

    /// Connects with this person's device and signs up.
    pub(crate) async fn arrive(&self, address: SocketAddr) -> Raw {
        let raw = connect(address, &self.device).await;
        let answer = raw.sign_up(self, None).await;
        assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
        raw
    }
}

fn public(seed: u8) -> PublicKey {
    membership::signing::public_key(&key(seed))
}

/// Randomness for OPAQUE, from the system.
fn randomness() -> rand_chacha::ChaCha20Rng {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    rand_core::SeedableRng::from_seed(seed)
}

/// Answers pings, and sends everybody else away: enough where the connection itself is what is looked at.
struct Doorkeeper;

struct Knock(SocketAddr);

impl Reception for Doorkeeper {
    fn receive(&self, _tls_key: PublicKey, _binding: [u8; 32], observed: SocketAddr) -> Box<dyn Visit> {
        Box::new(Knock(observed))
    }

    fn sweep(&self, _now: Timestamp) -> Vec<ServiceEffect> {
        Vec::new()
    }
}

impl Visit for Knock {
    fn connected(&mut self, _now: Timestamp) -> Vec<ServiceEffect> {
        Vec::new()
    }

    fn handle(&mut self, now: Timestamp, request: Request) -> Handled {
        let pong = Reply::Pong { time: now, observed: self.0, account: None, registration: Registration::Closed };
        let answer = if request == Request::Ping { Ok(pong) } else { Err(Refusal::NotSignedIn) };
        Handled { answer, effects: Vec::new() }
    }

    fn disconnected(&mut self, _now: Timestamp) -> Vec<ServiceEffect> {
        Vec::new()
    }

    fn device(&self) -> Option<DeviceId> {
        None
    }

    fn account(&self) -> Option<AccountId> {
        None
    }
}

/// A directory at which nobody has an account.
pub(crate) fn doorkeeper(patience: Patience) -> Server {
    let root = RootKey::from_pkcs8(&RootKey::generate_pkcs8().unwrap()).unwrap();
    let reset = ResetKey::generate().unwrap();
    let listening = Listening { patience, ..Listening::locally() };
    Server::start_with(listening, Arc::new(Doorkeeper), (root, &reset), None, CancellationToken::new()).unwrap()
}
