//! Identities of leaves whose certificates were verified when they came. A GroupInfo is looked at with these after each
//! commit: the state that it is of must be the very one that was followed, so a certificate that does not hold has no place
//! in it, and those of a thousand members need not be verified each time.

use membership::identity::{DeviceIdentityProvider, IdentityError, claimed_device};
use mls_rs::{
    ExtensionList, IdentityProvider,
    identity::{CredentialType, SigningIdentity},
    time::MlsTime,
};
use mls_rs_core::identity::MemberValidationContext;

/// Takes every leaf for what it says that it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct VerifiedLeaves;

impl IdentityProvider for VerifiedLeaves {
    type Error = IdentityError;

    fn validate_member(
        &self,
        identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _context: MemberValidationContext<'_>,
    ) -> Result<(), IdentityError> {
        claimed_device(identity).map(|_| ())
    }

    fn validate_external_sender(
        &self,
        identity: &SigningIdentity,
        timestamp: Option<MlsTime>,
        extensions: Option<&ExtensionList>,
    ) -> Result<(), IdentityError> {
        DeviceIdentityProvider.validate_external_sender(identity, timestamp, extensions)
    }

    fn identity(&self, identity: &SigningIdentity, extensions: &ExtensionList) -> Result<Vec<u8>, IdentityError> {
        DeviceIdentityProvider.identity(identity, extensions)
    }

    fn valid_successor(
        &self,
        predecessor: &SigningIdentity,
        successor: &SigningIdentity,
        extensions: &ExtensionList,
    ) -> Result<bool, IdentityError> {
        DeviceIdentityProvider.valid_successor(predecessor, successor, extensions)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        DeviceIdentityProvider.supported_types()
    }
}
