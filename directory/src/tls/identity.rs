//! The directory's own keys: the root, which people pin, and the instance's, which lives as long as the process or until
//! it is due for another.

use std::time::Duration;

use p256::{ecdsa::SigningKey, pkcs8::DecodePrivateKey as _};
use protocol::{Fingerprint, PublicKey, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::tls::{SERVER_NAME, TlsError};

/// How long an instance's certificate is valid: a quarter of a year, so that a stolen one is of little use for long.
pub const INSTANCE_LIFETIME_MS: u64 = 90 * 24 * 3_600 * 1_000;
/// The instance's certificate is made anew when less than this is left.
pub const INSTANCE_RENEWAL_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// How far before now a certificate begins to be valid, for nodes whose clocks are slow.
const CLOCK_SLACK_MS: u64 = 24 * 3_600 * 1_000;

/// The directory's root key. Whoever has it *is* the directory; it never leaves the data folder.
pub struct RootKey {
    key: KeyPair,
    public: PublicKey,
}

impl RootKey {
    /// A new key in the form in which it is stored: PKCS #8.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if the system has no randomness.
    pub fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, TlsError> {
        Ok(Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_der()))
    }

    /// Reads a stored key.
    ///
    /// # Errors
    /// [`TlsError::RootKey`] if the bytes are none.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, TlsError> {
        let der = PrivatePkcs8KeyDer::from(pkcs8);
        let key =
            KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(|_| TlsError::RootKey)?;
        let public = PublicKey::from_slice(key.public_key_raw()).ok_or(TlsError::RootKey)?;
        Ok(Self { key, public })
    }

    /// What people pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        membership::fingerprint(&self.public)
    }

    /// The same key, as what vouches for the ledger's receipt key is signed.
    ///
    /// # Errors
    /// [`TlsError::RootKey`] if it is none of that curve.
    pub fn signing_key(&self) -> Result<SigningKey, TlsError> {
        let pkcs8 = Zeroizing::new(self.key.serialize_der());
        SigningKey::from_pkcs8_der(&pkcs8).map_err(|_| TlsError::RootKey)
    }

    /// A new instance key with its certificate, valid from a little before `now`.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] if a certificate can't be made.
    pub fn certify_instance(&self, now: Timestamp) -> Result<InstanceIdentity, TlsError> {
        let not_after = now.plus_ms(INSTANCE_LIFETIME_MS);
        let root = root_parameters()?;
        let root_certificate = root.self_signed(&self.key)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut parameters = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        parameters.distinguished_name.push(DnType::CommonName, "Tuppence directory instance");
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        parameters.not_before = epoch + Duration::from_millis(now.0.saturating_sub(CLOCK_SLACK_MS));
        parameters.not_after = epoch + Duration::from_millis(not_after.0);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.signed_by(&key, &Issuer::from_params(&root, &self.key))?;
        Ok(InstanceIdentity {
            chain: vec![certificate.der().clone(), root_certificate.der().clone()],
            pkcs8: Zeroizing::new(key.serialize_der()),
            not_after,
        })
    }
}

/// One instance's TLS key, its certificate, and the root's above it. Lives in memory only: a restart makes another.
pub struct InstanceIdentity {
    chain: Vec<CertificateDer<'static>>,
    pkcs8: Zeroizing<Vec<u8>>,
    not_after: Timestamp,
}

impl InstanceIdentity {
    /// The instance's certificate, then the root's.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The private key, as the TLS library takes it.
    #[must_use]
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// End of the certificate's validity.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it is time for another.
    #[must_use]
    pub const fn is_due(&self, now: Timestamp) -> bool {
        self.not_after.ms_since(now) < INSTANCE_RENEWAL_MS
    }
}

fn root_parameters() -> Result<CertificateParams, TlsError> {
    let mut parameters = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
    parameters.distinguished_name.push(DnType::CommonName, "Tuppence directory root");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    // The pin is the key itself: it ends when people change it, so the certificate around it states no earlier end.
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(4096, 1, 1);
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn verify(identity: &InstanceIdentity, at: Timestamp) -> Result<(), webpki::Error> {
        let anchor = anchor_from_trusted_cert(&identity.chain[1])?;
        let entity = EndEntityCert::try_from(&identity.chain[0])?;
        entity.verify_is_valid_for_subject_name(&SERVER_NAME.try_into().unwrap())?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.seconds()));
        let algorithms = [webpki::aws_lc_rs::ECDSA_P256_SHA256];
        entity.verify_for_usage(&algorithms, &[anchor], &[], at, KeyUsage::server_auth(), None, None).map(|_| ())
    }

    #[test]
    fn an_instance_certificate_holds_under_its_root_until_it_expires() {
        let root = RootKey::from_pkcs8(&RootKey::generate_pkcs8().unwrap()).unwrap();
        let identity = root.certify_instance(NOW).unwrap();
        assert_eq!(verify(&identity, NOW), Ok(()));
        let root_key = crate::tls::client_certificate::certificate_key(&identity.chain[1]).unwrap();
        assert_eq!(membership::fingerprint(&root_key), root.fingerprint());
        let late = identity.not_after().plus_ms(1_000);
        assert!(matches!(verify(&identity, late), Err(webpki::Error::CertExpired { .. })));
    }

    #[test]
    fn an_instance_is_due_for_another_well_before_its_certificate_expires() {
        let root = RootKey::from_pkcs8(&RootKey::generate_pkcs8().unwrap()).unwrap();
        let identity = root.certify_instance(NOW).unwrap();
        let renewal = NOW.plus_ms(INSTANCE_LIFETIME_MS - INSTANCE_RENEWAL_MS);
        assert!(!identity.is_due(renewal));
        assert!(identity.is_due(renewal.plus_ms(1)));
        let next = root.certify_instance(renewal.plus_ms(1)).unwrap();
        assert_ne!(next.chain[0], identity.chain[0]);
        assert_eq!(verify(&next, late_of(&identity)), Ok(()));
    }

    fn late_of(identity: &InstanceIdentity) -> Timestamp {
        identity.not_after().plus_ms(1_000)
    }

    #[test]
    fn a_damaged_root_key_is_refused() {
        assert!(matches!(RootKey::from_pkcs8(b"not a key"), Err(TlsError::RootKey)));
    }
}
