//! Mutual TLS 1.3 for both roles of a node: who is accepted, and with which algorithms.
//!
//! Every party proves one P-256 key. Peers are known by exactly that key; a directory by the root key that signed its
//! instance's certificate. Names in certificates mean nothing here. There is no resumption, no ticket and no early
//! data: each connection starts with a whole handshake, and a key that was withdrawn is out at the next one.

mod identity;
mod verify;

#[cfg(test)]
pub(crate) mod material;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use protocol::{ALPN_DIRECTORY, ALPN_PEER, Fingerprint, PublicKey};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    ClientConfig, ServerConfig, SignatureScheme,
    client::Resumption,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
};
use sha2::{Digest as _, Sha256};

pub use self::{
    identity::{DeviceIdentity, IdentityError},
    verify::{AcceptedPeers, CertificateRefusal, DirectoryVerifier, directory_fingerprint, peer_key},
};

/// The server name in every certificate: a name that can't exist, since names mean nothing here.
pub const SERVER_NAME: &str = "tuppence.invalid";

/// The one signature algorithm, in certificates and in handshakes.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::aws_lc_rs::ECDSA_P256_SHA256])],
};

/// TLS could not be set up: a bug, or a key that the library refuses.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The TLS library refused the configuration.
    #[error("TLS can't be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// QUIC's first packets need a cipher suite that the provider does not have.
    #[error("TLS can't be set up for QUIC: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The algorithms that a node speaks: post-quantum hybrid key exchange first, P-256 signatures only.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
        ],
        signature_verification_algorithms: SIGNATURES,
        ..aws_lc_rs::default_provider()
    }
}

/// SHA-256 of a public key: what people pin and compare.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> Fingerprint {
    Fingerprint(Sha256::digest(key.0).into())
}

/// Makes the TLS configurations of one device.
#[derive(Debug, Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    identity: Arc<DeviceIdentity>,
}

impl Tls {
    /// For this device, with the [`provider`].
    #[must_use]
    pub fn new(identity: DeviceIdentity) -> Self {
        Self::with_provider(identity, provider())
    }

    /// With other algorithms: for tests that watch which are chosen.
    #[must_use]
    pub(crate) fn with_provider(identity: DeviceIdentity, provider: CryptoProvider) -> Self {
        Self { provider: Arc::new(provider), identity: Arc::new(identity) }
    }

    /// Dials the directory that `verifier` accepts.
    ///
    /// # Errors
    /// [`TlsSetupError`] if the library refuses this device's key.
    pub fn towards_directory(&self, verifier: Arc<DirectoryVerifier>) -> Result<QuicClientConfig, TlsSetupError> {
        self.client(verifier, ALPN_DIRECTORY)
    }

    /// Dials the peer that holds exactly this key.
    ///
    /// # Errors
    /// [`TlsSetupError`] if the library refuses this device's key.
    pub fn towards_peer(&self, key: PublicKey) -> Result<QuicClientConfig, TlsSetupError> {
        self.client(Arc::new(verify::PeerVerifier::new(key)), ALPN_PEER)
    }

    /// Listens for the peers in the set.
    ///
    /// # Errors
    /// [`TlsSetupError`] if the library refuses this device's key.
    pub fn from_peers(&self, accepted: AcceptedPeers) -> Result<QuicServerConfig, TlsSetupError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verify::ListenVerifier::new(accepted)))
            .with_single_cert(self.identity.chain(), self.identity.key())?;
        config.alpn_protocols = vec![ALPN_PEER.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(config.try_into()?)
    }

    fn client(
        &self,
        verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>,
        alpn: &[u8],
    ) -> Result<QuicClientConfig, TlsSetupError> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(self.identity.chain(), self.identity.key())?;
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config.try_into()?)
    }
}
