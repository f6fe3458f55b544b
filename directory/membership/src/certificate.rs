//! Verifying device certificates and device lists.

use protocol::{
    AccountId, DeviceId, PublicKey,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DEVICE_LIST_LABEL, DeviceEntry, SignedDeviceList},
    frame::FrameError,
};

use crate::{
    account_id,
    signing::{self, BadSignature},
};

/// Why a certificate or a device list does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It does not decode.
    #[error("malformed: {0}")]
    Malformed(#[from] FrameError),
    /// The root key did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// A device in a list is certified by another root key than the list's.
    #[error("a device of the list is certified by another root key")]
    ForeignDevice,
    /// Two devices of a list share an id or a key.
    #[error("two devices of the list share an id or a key")]
    DuplicateDevice,
}

/// A certificate that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDevice {
    /// The account of the root key that signed.
    pub account: AccountId,
    /// What it says.
    pub entry: DeviceEntry,
}

/// A device list that holds, each of its certificates too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDeviceList {
    /// The account.
    pub account: AccountId,
    /// Its root key.
    pub root_key: PublicKey,
    /// The list's version.
    pub version: u64,
    /// The devices.
    pub devices: Vec<DeviceEntry>,
    /// End of validity.
    pub not_after: protocol::Timestamp,
}

impl VerifiedDeviceList {
    /// The entry of one device.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> Option<&DeviceEntry> {
        self.devices.iter().find(|entry| entry.device == device)
    }
}

/// Checks a certificate's signature. Expiry is the caller's to judge, where it matters.
///
/// # Errors
/// [`CertificateError`] if it does not hold.
pub fn verify_certificate(certificate: &Certificate) -> Result<VerifiedDevice, CertificateError> {
    let entry = certificate.entry()?;
    signing::verify(&entry.root_key, DEVICE_ENTRY_LABEL, &certificate.entry, &certificate.signature)?;
    Ok(VerifiedDevice { account: account_id(&entry.root_key), entry })
}

/// Checks a device list and every certificate in it. Expiry is the caller's to judge.
///
/// # Errors
/// [`CertificateError`] if it does not hold.
pub fn verify_device_list(signed: &SignedDeviceList) -> Result<VerifiedDeviceList, CertificateError> {
    let list = signed.list()?;
    signing::verify(&list.root_key, DEVICE_LIST_LABEL, &signed.list, &signed.signature)?;
    let mut devices: Vec<DeviceEntry> = Vec::with_capacity(list.devices.len());
    for certificate in &list.devices {
        let entry = verify_certificate(certificate)?.entry;
        if entry.root_key != list.root_key {
            return Err(CertificateError::ForeignDevice);
        }
        let shared = |other: &DeviceEntry| {
            other.device == entry.device
                || other.tls_key == entry.tls_key
                || other.mls_key == entry.mls_key
                || other.order_key == entry.order_key
        };
        if devices.iter().any(shared) {
            return Err(CertificateError::DuplicateDevice);
        }
        devices.push(entry);
    }
    let account = account_id(&list.root_key);
    Ok(VerifiedDeviceList {
        account,
        root_key: list.root_key,
        version: list.version,
        devices,
        not_after: list.not_after,
    })
}
