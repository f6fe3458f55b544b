//! Keys and certificates for tests, good and bad ones.

use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use protocol::{Fingerprint, PublicKey};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::pki_types::CertificateDer;

use super::{DeviceIdentity, SERVER_NAME, fingerprint};

/// A key pair of a test.
pub(crate) struct Key(pub(crate) KeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn of(algorithm: &'static SignatureAlgorithm) -> Self {
        Self(KeyPair::generate_for(algorithm).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_slice(rcgen::PublicKeyData::der_bytes(&self.0)).unwrap()
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.public())
    }

    pub(crate) fn identity(&self) -> DeviceIdentity {
        DeviceIdentity::new(&self.0.serialize_der()).unwrap()
    }
}

pub(crate) fn today() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Validity in days from today.
pub(crate) type Days = (i32, i32);
pub(crate) const NOW: Days = (-2, 30);
pub(crate) const PAST: Days = (-30, -2);
pub(crate) const FUTURE: Days = (2, 30);

pub(crate) fn params(name: &str, (from, to): Days) -> CertificateParams {
    let date = |days: i32| {
        let date = today().checked_add(days.days()).unwrap();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(from);
    params.not_after = date(to);
    params
}

pub(crate) fn device_certificate(key: &Key, days: Days) -> CertificateDer<'static> {
    params("device", days).self_signed(&key.0).unwrap().der().clone()
}

pub(crate) fn root_params(days: Days) -> CertificateParams {
    let mut params = params("root", days);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(crate) fn root_certificate(root: &Key, days: Days) -> CertificateDer<'static> {
    root_params(days).self_signed(&root.0).unwrap().der().clone()
}

pub(crate) fn instance_certificate(instance: &Key, root: &Key, days: Days) -> CertificateDer<'static> {
    let root_params = root_params(NOW);
    let issuer = Issuer::from_params(&root_params, &root.0);
    params("instance", days).signed_by(&instance.0, &issuer).unwrap().der().clone()
}
