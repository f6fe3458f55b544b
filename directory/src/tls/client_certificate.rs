//! What the directory demands of a node's certificate: exactly one, over P-256, signed by itself, within its validity.
//!
//! Which account the key belongs to is not decided here: any device may connect, to sign up or in.

use std::sync::Arc;

use protocol::PublicKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The DER of a P-256 public key up to its 65 bytes of uncompressed point: SEQUENCE { SEQUENCE { id-ecPublicKey,
/// prime256v1 }, BIT STRING }. Everything before the point is fixed, so a key of another kind can't pass.
const P256_KEY_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a node's certificate does not do. In their order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceCertificateError {
    /// More than one certificate came.
    #[error("a device shows one certificate, not a chain")]
    Chain,
    /// The bytes are no certificate.
    #[error("not a certificate")]
    Malformed,
    /// The key is not an uncompressed point of P-256.
    #[error("the certificate's key is not a P-256 key")]
    KeyAlgorithm,
    /// Signed in another way than by ECDSA with P-256 and SHA-256.
    #[error("the certificate is not signed by ECDSA with P-256 and SHA-256")]
    SignatureAlgorithm,
    /// The certificate's own key did not sign it.
    #[error("the certificate's own key did not sign it")]
    Signature,
    /// Its validity is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its validity has not begun.
    #[error("the certificate is not valid yet")]
    NotValidYet,
    /// It is made for something else, or contradicts itself.
    #[error("the certificate is not made for a device")]
    Purpose,
}

/// The key of a certificate that holds at `now`.
///
/// # Errors
/// [`DeviceCertificateError`], the first that applies.
pub fn verify_device_certificate(
    certificate: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<PublicKey, DeviceCertificateError> {
    if !chain.is_empty() {
        return Err(DeviceCertificateError::Chain);
    }
    let key = certificate_key(certificate)?;
    // The library has no notion of a self-signed end entity, but a certificate that is its own trust anchor must be
    // signed by its own key, under its own name, to form a path.
    let anchor = anchor_from_trusted_cert(certificate).map_err(|_| DeviceCertificateError::Malformed)?;
    let entity = EndEntityCert::try_from(certificate).map_err(|_| DeviceCertificateError::Malformed)?;
    entity
        .verify_for_usage(
            &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
            &[anchor],
            &[],
            now,
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(|error| judged(&error))?;
    Ok(key)
}

/// The P-256 key that a certificate names, without judging the certificate.
///
/// # Errors
/// [`DeviceCertificateError::Malformed`] or [`DeviceCertificateError::KeyAlgorithm`].
pub fn certificate_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, DeviceCertificateError> {
    let entity = EndEntityCert::try_from(certificate).map_err(|_| DeviceCertificateError::Malformed)?;
    let key = entity.subject_public_key_info();
    let point = key.strip_prefix(&P256_KEY_PREFIX[..]).ok_or(DeviceCertificateError::KeyAlgorithm)?;
    let key = PublicKey::from_slice(point).ok_or(DeviceCertificateError::KeyAlgorithm)?;
    // The fixed length leaves one more form: a tag other than "uncompressed" before 64 bytes.
    if key.0.first() == Some(&0x04) { Ok(key) } else { Err(DeviceCertificateError::KeyAlgorithm) }
}

fn judged(error: &webpki::Error) -> DeviceCertificateError {
    use webpki::Error as Webpki;
    match error {
        Webpki::CertExpired { .. } => DeviceCertificateError::Expired,
        Webpki::CertNotValidYet { .. } => DeviceCertificateError::NotValidYet,
        Webpki::InvalidSignatureForPublicKey | Webpki::UnknownIssuer => DeviceCertificateError::Signature,
        Webpki::UnsupportedSignatureAlgorithmContext { .. }
        | Webpki::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => DeviceCertificateError::SignatureAlgorithm,
        Webpki::BadDer | Webpki::BadDerTime | Webpki::TrailingData(_) => DeviceCertificateError::Malformed,
        _ => DeviceCertificateError::Purpose,
    }
}

/// The error as TLS knows it, so that the node is told by the fitting alert.
fn tls_error(error: DeviceCertificateError) -> Error {
    Error::InvalidCertificate(match error {
        DeviceCertificateError::Expired => CertificateError::Expired,
        DeviceCertificateError::NotValidYet => CertificateError::NotValidYet,
        DeviceCertificateError::Malformed => CertificateError::BadEncoding,
        DeviceCertificateError::Signature => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

/// Demands a certificate of every node and judges it by [`verify_device_certificate`].
#[derive(Debug)]
pub struct DeviceCertificateVerifier {
    algorithms: WebPkiSupportedAlgorithms,
}

impl DeviceCertificateVerifier {
    /// A verifier with the provider's algorithms, of which only ECDSA with P-256 and SHA-256 is ever asked for.
    #[must_use]
    pub fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for DeviceCertificateVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        verify_device_certificate(end_entity, intermediates, now).map_err(tls_error)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Only the one scheme that we offered, whatever else the provider could verify.
        if signature.scheme != SignatureScheme::ECDSA_NISTP256_SHA256 {
            return Err(tls_error(DeviceCertificateError::SignatureAlgorithm));
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SignatureAlgorithm};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn check(certificate: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<(), DeviceCertificateError> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        verify_device_certificate(certificate, chain, now).map(|_| ())
    }

    fn parameters() -> CertificateParams {
        CertificateParams::new(vec![crate::tls::SERVER_NAME.to_owned()]).unwrap()
    }

    fn at(seconds: u64) -> impl Fn(&mut CertificateParams) {
        move |parameters| {
            let epoch = rcgen::date_time_ymd(1970, 1, 1);
            parameters.not_before = epoch + Duration::from_secs(seconds);
            parameters.not_after = epoch + Duration::from_secs(seconds + 10);
        }
    }

    fn certificate(
        algorithm: &'static SignatureAlgorithm,
        change: impl Fn(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut parameters = parameters();
        change(&mut parameters);
        parameters.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_self_signed_p256_certificate_gives_its_key() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = parameters().self_signed(&key).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        let found = verify_device_certificate(certificate.der(), &[], now);
        assert_eq!(found, Ok(PublicKey::from_slice(key.public_key_raw()).unwrap()));
    }

    #[test]
    fn validity_is_judged_at_the_moment_of_connecting() {
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        assert_eq!(check(&certificate(algorithm, at(NOW - 5)), &[]), Ok(()));
        assert_eq!(check(&certificate(algorithm, at(NOW - 11)), &[]), Err(DeviceCertificateError::Expired));
        assert_eq!(check(&certificate(algorithm, at(NOW + 1)), &[]), Err(DeviceCertificateError::NotValidYet));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
            let found = check(&certificate(algorithm, |_| {}), &[]);
            assert_eq!(found, Err(DeviceCertificateError::KeyAlgorithm), "{algorithm:?}");
        }
    }

    #[test]
    fn a_p256_certificate_that_another_key_signed_is_refused() {
        let issuer = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        // The same name above and below, so that only the signature can tell.
        let parameters = parameters();
        let signed = parameters.signed_by(&key, &Issuer::from_params(&parameters, &issuer)).unwrap();
        assert_eq!(check(signed.der(), &[]), Err(DeviceCertificateError::Signature));
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let signed = parameters.signed_by(&key, &Issuer::from_params(&parameters, &p384)).unwrap();
        assert_eq!(check(signed.der(), &[]), Err(DeviceCertificateError::SignatureAlgorithm));
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let good = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
        for place in 0..good.len() {
            let mut bytes = good.to_vec();
            bytes[place] ^= 1;
            assert!(check(&CertificateDer::from(bytes), &[]).is_err(), "byte {place}");
        }
        for length in 0..good.len() {
            assert!(check(&CertificateDer::from(good[..length].to_vec()), &[]).is_err(), "length {length}");
        }
        let longer = [good.as_ref(), &[0]].concat();
        assert_eq!(check(&CertificateDer::from(longer), &[]), Err(DeviceCertificateError::Malformed));
    }

    #[test]
    fn a_chain_and_a_certificate_for_other_purposes_are_refused() {
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        let good = certificate(algorithm, |_| {});
        assert_eq!(check(&good, std::slice::from_ref(&good)), Err(DeviceCertificateError::Chain));
        let authority = certificate(algorithm, |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
        assert_eq!(check(&authority, &[]), Err(DeviceCertificateError::Purpose));
        let server = certificate(algorithm, |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert_eq!(check(&server, &[]), Err(DeviceCertificateError::Purpose));
    }
}
