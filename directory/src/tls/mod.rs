//! TLS between nodes and the directory: 1.3 only, both sides with P-256 certificates, nothing remembered between
//! connections.
//!
//! The directory shows two certificates: its instance's, which expires and is made anew, and above it the root's, whose
//! key people pin. A node shows one certificate that it signed itself; its key is what an account's device list names.
//! This module knows certificates and keys, no accounts and no sockets.

pub mod client_certificate;
pub mod identity;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::tls::{client_certificate::DeviceCertificateVerifier, identity::InstanceIdentity};

/// The name that stands in every certificate: nobody resolves it, because keys are pinned and names are not.
pub const SERVER_NAME: &str = "tuppence.invalid";

/// Label under which the connection's exporter binds OPAQUE to it.
pub const OPAQUE_EXPORTER_LABEL: &[u8] = b"EXPORTER-tuppence-opaque";

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("the directory's certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refuses the configuration.
    #[error("the TLS configuration was refused: {0}")]
    Configuration(#[from] rustls::Error),
    /// The stored root key cannot be used.
    #[error("the directory's root key in the data folder is damaged; put back a copy of the folder")]
    RootKey,
    /// The system has no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
    /// QUIC needs a cipher suite that the configuration lacks.
    #[error("the TLS configuration lacks QUIC's first cipher suite")]
    InitialSuite,
}

/// The cryptography of every connection: hybrid post-quantum key exchange first, then the two classical curves.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    Arc::new(CryptoProvider { kx_groups: vec![X25519MLKEM768, X25519, SECP256R1], ..aws_lc_rs::default_provider() })
}

/// The directory's side of TLS with this instance's certificate.
///
/// # Errors
/// [`TlsError`] if the library refuses it; a bug.
pub fn server_config(identity: &InstanceIdentity) -> Result<quinn::crypto::rustls::QuicServerConfig, TlsError> {
    let provider = provider();
    let verifier = Arc::new(DeviceCertificateVerifier::new(&provider));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.private_key())?;
    config.alpn_protocols = vec![protocol::ALPN_DIRECTORY.to_vec()];
    // No tickets, no stored sessions, no early data: each connection proves its key anew.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.try_into().map_err(|_| TlsError::InitialSuite)
}
