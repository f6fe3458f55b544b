//! Which certificates are accepted. Each check is a ladder: number of certificates, encoding, algorithm, key, validity,
//! signature; the first step that fails is the reason.
//!
//! That the other side *holds* the key is proven by the handshake's own signature, which rustls's helper verifies with
//! the one algorithm that is allowed. What is told to the other side is only that the certificate was not accepted.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use protocol::{Fingerprint, PublicKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::verify_tls13_signature,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{SERVER_NAME, SIGNATURES, fingerprint};

/// What stands before the point in the SubjectPublicKeyInfo of every P-256 key (RFC 5480).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a certificate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// Another number of certificates than belongs there.
    #[error("{found} certificates where {expected} belong")]
    Count {
        /// What belongs there.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// Not a certificate, or one with parts that don't belong there.
    #[error("a malformed certificate: {0}")]
    Malformed(String),
    /// Another algorithm than ECDSA on P-256 with SHA-256.
    #[error("a key or signature that is not ECDSA on P-256")]
    Algorithm,
    /// A peer's key is not the one that was expected, or none of those that are accepted.
    #[error("a key that is not accepted")]
    PeerKey,
    /// A directory's root key is not the pinned one.
    #[error("the directory's key is {found}, but {pinned} was expected")]
    DirectoryKey {
        /// The pin.
        pinned: Fingerprint,
        /// What came.
        found: Fingerprint,
    },
    /// Its validity has not begun.
    #[error("a certificate that is not valid yet; compare the clocks of both machines")]
    NotYetValid,
    /// Its validity has ended.
    #[error("a certificate that has expired; compare the clocks of both machines")]
    Expired,
    /// Its signature is not by the key that should have signed it.
    #[error("a certificate whose signature does not hold")]
    BadSignature,
    /// The directory's root certificate is not marked as one that signs others.
    #[error("a root certificate that is not marked as one")]
    NotARoot,
}

impl From<webpki::Error> for CertificateRefusal {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { .. } => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotYetValid,
            webpki::Error::InvalidSignatureForPublicKey | webpki::Error::UnknownIssuer => Self::BadSignature,
            webpki::Error::UnsupportedSignatureAlgorithmContext { .. }
            | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Algorithm,
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<CertificateRefusal> for Error {
    /// The other side learns only that the certificate was not accepted, not why.
    fn from(refusal: CertificateRefusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// The key that a peer's certificate names, as the handshake left it.
#[must_use]
pub fn peer_key(chain: &[CertificateDer<'_>]) -> Option<PublicKey> {
    let [certificate] = chain else { return None };
    p256_key(&EndEntityCert::try_from(certificate).ok()?).ok()
}

/// The fingerprint of a directory's root key, as the handshake left its certificates.
#[must_use]
pub fn directory_fingerprint(chain: &[CertificateDer<'_>]) -> Option<Fingerprint> {
    let [_, root] = chain else { return None };
    p256_key(&EndEntityCert::try_from(root).ok()?).ok().map(|key| fingerprint(&key))
}

fn p256_key(certificate: &EndEntityCert<'_>) -> Result<PublicKey, CertificateRefusal> {
    let spki = certificate.subject_public_key_info();
    let point = spki.as_ref().strip_prefix(&P256_SPKI_PREFIX).ok_or(CertificateRefusal::Algorithm)?;
    // Compressed points are another length; that it lies on the curve is checked with the first signature.
    PublicKey::from_slice(point).filter(|key| key.0.first() == Some(&4)).ok_or(CertificateRefusal::Algorithm)
}

fn parse<'a>(certificate: &'a CertificateDer<'a>) -> Result<EndEntityCert<'a>, CertificateRefusal> {
    Ok(EndEntityCert::try_from(certificate)?)
}

/// A device's certificate: alone, self-signed, valid now, and its key is one of those wanted.
fn check_device(
    certificate: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
    usage: KeyUsage,
    is_wanted: impl FnOnce(&PublicKey) -> bool,
) -> Result<(), CertificateRefusal> {
    if !others.is_empty() {
        return Err(CertificateRefusal::Count { expected: 1, found: 1 + others.len() });
    }
    let device = parse(certificate)?;
    let key = p256_key(&device)?;
    if !is_wanted(&key) {
        return Err(CertificateRefusal::PeerKey);
    }
    // As its own anchor: the signature must be by its own key.
    let anchor = [anchor_from_trusted_cert(certificate)?];
    device.verify_for_usage(SIGNATURES.all, &anchor, &[], now, usage, None, None)?;
    Ok(())
}

/// A directory's certificates: the instance's, signed by the root's key, which is the pinned one if there is a pin.
fn check_directory(
    instance: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
    pin: Option<Fingerprint>,
) -> Result<(), CertificateRefusal> {
    let [root] = others else {
        return Err(CertificateRefusal::Count { expected: 2, found: 1 + others.len() });
    };
    let parsed_root = parse(root)?;
    let found = fingerprint(&p256_key(&parsed_root)?);
    if let Some(pinned) = pin.filter(|pinned| *pinned != found) {
        return Err(CertificateRefusal::DirectoryKey { pinned, found });
    }
    let anchor = [anchor_from_trusted_cert(root)?];
    check_root(&parsed_root, now)?;
    let instance = parse(instance)?;
    p256_key(&instance)?;
    instance.verify_for_usage(SIGNATURES.all, &anchor, &[], now, KeyUsage::server_auth(), None, None)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|error| CertificateRefusal::Malformed(error.to_string()))?;
    Ok(instance.verify_is_valid_for_subject_name(&name)?)
}

/// The validity of a root certificate, and that it is one. The library checks neither for an anchor; asked to take it
/// for an end of the chain, it checks the validity first and then finds, as it should, that the certificate may sign
/// others. Any other answer is a refusal.
fn check_root(root: &EndEntityCert<'_>, now: UnixTime) -> Result<(), CertificateRefusal> {
    match root.verify_for_usage(SIGNATURES.all, &[], &[], now, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CaUsedAsEndEntity) => Ok(()),
        Err(error @ (webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. })) => Err(error.into()),
        Ok(_) | Err(_) => Err(CertificateRefusal::NotARoot),
    }
}

/// The keys from which connections are accepted: written by the driver, read by handshakes.
#[derive(Debug, Clone, Default)]
pub struct AcceptedPeers(Arc<RwLock<HashSet<PublicKey>>>);

impl AcceptedPeers {
    /// From now on exactly these. Connections that stand are not touched.
    pub fn replace(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let keys = keys.into_iter().collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn contains(&self, key: &PublicKey) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

/// Accepts one directory: any at first contact, the pinned one ever after.
#[derive(Debug, Default)]
pub struct DirectoryVerifier {
    pin: Option<Fingerprint>,
    /// A mutex, since rustls calls from the endpoint's task and the dialler asks from its own.
    refusal: Mutex<Option<CertificateRefusal>>,
}

impl DirectoryVerifier {
    /// Accepts exactly the pinned directory, or any without a pin.
    #[must_use]
    pub fn new(pin: Option<Fingerprint>) -> Self {
        Self { pin, refusal: Mutex::new(None) }
    }

    /// Why the last handshake was refused, if this verifier refused it.
    #[must_use]
    pub fn refusal(&self) -> Option<CertificateRefusal> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Accepts exactly one peer.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    key: PublicKey,
}

impl PeerVerifier {
    pub(super) const fn new(key: PublicKey) -> Self {
        Self { key }
    }
}

/// Accepts the peers of a set.
#[derive(Debug)]
pub(super) struct ListenVerifier {
    accepted: AcceptedPeers,
}

impl ListenVerifier {
    pub(super) const fn new(accepted: AcceptedPeers) -> Self {
        Self { accepted }
    }
}

/// What all verifiers share: the handshake's signature, by the one algorithm, and no TLS 1.2.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &SIGNATURES)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    };
}

impl ServerCertVerifier for DirectoryVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = check_directory(end_entity, intermediates, now, self.pin);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = checked.clone().err();
        checked?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check_device(end_entity, intermediates, now, KeyUsage::server_auth(), |key| *key == self.key)?;
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ClientCertVerifier for ListenVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        check_device(end_entity, intermediates, now, KeyUsage::client_auth(), |key| self.accepted.contains(key))?;
        Ok(ClientCertVerified::assertion())
    }

    handshake_signatures!();
}
