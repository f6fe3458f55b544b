//! The MLS identity provider: a leaf's basic credential *is* its device's certificate.

use mls_rs::{
    ExtensionList, IdentityProvider,
    identity::{CredentialType, SigningIdentity, basic::BasicCredential},
    time::MlsTime,
};
use mls_rs_core::{error::IntoAnyError, identity::MemberValidationContext};
use protocol::{
    AccountId,
    certificate::{Certificate, DeviceEntry},
    frame::{self, FrameError},
    limits::CERTIFICATE_MAX,
};

use crate::{
    account_id,
    certificate::{CertificateError, VerifiedDevice, verify_certificate},
};

/// Longest credential: a certificate's signature and framing beyond its entry.
const CREDENTIAL_MAX: usize = CERTIFICATE_MAX + 128;

/// Why a leaf's identity does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a basic credential.
    #[error("the leaf has no basic credential")]
    CredentialType,
    /// The credential's bytes are no certificate.
    #[error("the leaf's credential is no device certificate: {0}")]
    Malformed(#[from] FrameError),
    /// The certificate does not hold.
    #[error("the leaf's certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
    /// The leaf's key is not the certificate's MLS key.
    #[error("the leaf's key is not the one that its certificate names")]
    Key,
    /// Nobody outside may send proposals.
    #[error("external senders are not allowed")]
    ExternalSender,
}

impl IntoAnyError for IdentityError {
    fn into_dyn_error(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        Ok(Box::new(self))
    }
}

/// A device's certificate as its MLS identity.
///
/// # Errors
/// [`FrameError`] if the certificate can't be written or read back; a bug.
pub fn signing_identity(certificate: &Certificate) -> Result<SigningIdentity, FrameError> {
    let key = certificate.entry()?.mls_key.0.to_vec();
    let credential = BasicCredential::new(frame::encode_body(certificate, CREDENTIAL_MAX)?);
    Ok(SigningIdentity::new(credential.into_credential(), key.into()))
}

/// The device that an MLS identity belongs to, if its certificate holds.
///
/// # Errors
/// [`IdentityError`], the first that applies.
pub fn device_of(identity: &SigningIdentity) -> Result<VerifiedDevice, IdentityError> {
    let credential = identity.credential.as_basic().ok_or(IdentityError::CredentialType)?;
    let certificate: Certificate = frame::decode_body(&credential.identifier, CREDENTIAL_MAX)?;
    let device = verify_certificate(&certificate)?;
    if identity.signature_key.as_bytes() == device.entry.mls_key.0 { Ok(device) } else { Err(IdentityError::Key) }
}

/// What a leaf that was validated when it came says of its device. No signature is checked.
///
/// # Errors
/// [`IdentityError`] if it says nothing.
pub fn claimed_device(identity: &SigningIdentity) -> Result<(AccountId, DeviceEntry), IdentityError> {
    let credential = identity.credential.as_basic().ok_or(IdentityError::CredentialType)?;
    let certificate: Certificate = frame::decode_body(&credential.identifier, CREDENTIAL_MAX)?;
    let entry = certificate.entry()?;
    Ok((account_id(&entry.root_key), entry))
}

/// Validates leaves by their certificates alone: no clock, no look-up, so that every member decides alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceIdentityProvider;

impl IdentityProvider for DeviceIdentityProvider {
    type Error = IdentityError;

    fn validate_member(
        &self,
        signing_identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _context: MemberValidationContext<'_>,
    ) -> Result<(), IdentityError> {
        device_of(signing_identity).map(|_| ())
    }

    fn validate_external_sender(
        &self,
        _signing_identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _extensions: Option<&ExtensionList>,
    ) -> Result<(), IdentityError> {
        Err(IdentityError::ExternalSender)
    }

    fn identity(&self, identity: &SigningIdentity, _extensions: &ExtensionList) -> Result<Vec<u8>, IdentityError> {
        // Only who it would be: whether it holds is asked by itself, of each leaf that is new.
        Ok(claimed_device(identity)?.1.device.0.to_vec())
    }

    fn valid_successor(
        &self,
        predecessor: &SigningIdentity,
        successor: &SigningIdentity,
        _extensions: &ExtensionList,
    ) -> Result<bool, IdentityError> {
        Ok(device_of(predecessor)?.account == device_of(successor)?.account)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::BASIC]
    }
}
