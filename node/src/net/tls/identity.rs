//! This device's TLS identity: a self-signed certificate around the key that the core made.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::SERVER_NAME;

/// Days before today from which a certificate holds: peers' clocks may be behind by that much.
const BACKDATED_DAYS: i32 = 2;
/// Days for which a certificate holds. It is made anew at each start, so this only has to outlast one run.
const VALIDITY_DAYS: i32 = 400;

/// Why a device can't have a certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The core's key is not what it should be; a bug or a damaged profile.
    #[error("this device's TLS key can't be used: {0}")]
    Key(#[from] rcgen::Error),
    /// The system's clock is outside of what certificates can say.
    #[error("the system's clock is off ({0}); set it and start again")]
    Clock(#[from] jiff::Error),
}

/// A key and its self-signed certificate.
pub struct DeviceIdentity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl std::fmt::Debug for DeviceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceIdentity(…)")
    }
}

impl DeviceIdentity {
    /// Makes a certificate, valid from now on, for a P-256 key in PKCS#8.
    ///
    /// # Errors
    /// [`IdentityError`] if the key is no P-256 key, or the clock is out of range.
    pub fn new(pkcs8: &[u8]) -> Result<Self, IdentityError> {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let (from, to) = (today.checked_sub(BACKDATED_DAYS.days())?, today.checked_add(VALIDITY_DAYS.days())?);
        let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "tuppence device");
        let midnight = |date: Date| {
            rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        params.not_before = midnight(from);
        params.not_after = midnight(to);
        let certificate = params.self_signed(&pair)?.der().clone();
        Ok(Self { certificate, key })
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}
