//! Key packages: made here, used up by Welcomes, forgotten when nobody can use them any more.

use membership::identity::DeviceIdentityProvider;
use mls_rs::{
    CryptoProvider, ExtensionList, KeyPackage, MlsMessage,
    error::MlsError,
    extension::{built_in::RequiredCapabilitiesExt, recommended::LastResortKeyPackageExt},
    external_client::ExternalClient,
    group::proposal::AddProposal,
    time::MlsTime,
};
use mls_rs_core::{extension::MlsExtension as _, key_package::KeyPackageData, mls_rs_codec::MlsDecode as _};
use protocol::{Timestamp, directory::KeyPackageBytes, limits::KEY_PACKAGE_LIFETIME_S};

use super::{Mls, MlsBug, mls_time};

/// How long a last-resort package that was replaced may still be used, in seconds: as long as a Welcome that names it
/// may wait in a mailbox.
const REPLACED_KEPT_S: u64 = protocol::limits::MAILBOX_RETENTION_MS / 1_000;

impl<C: CryptoProvider + Clone> Mls<C> {
    /// Makes a key package; its private part is staged.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn key_package(&self, now: Timestamp, last_resort: bool) -> Result<KeyPackageBytes, MlsBug> {
        let mut extensions = ExtensionList::new();
        if last_resort {
            extensions.set_from(LastResortKeyPackageExt).map_err(|error| MlsBug(error.to_string()))?;
        }
        // Key packages belong to no incarnation.
        let client = self.client(0);
        let made = client.generate_key_package_message(extensions, ExtensionList::new(), Some(mls_time(now)))?;
        KeyPackageBytes::new(made.to_bytes()?).map_err(|error| MlsBug(error.to_string()))
    }

    /// Forgets the private parts of key packages that have expired, and of last-resort ones that were replaced long ago.
    pub fn forget_old_key_packages(&self, now: Timestamp) {
        let packages = self.staging.key_packages();
        let last_resorts = packages.iter().filter(|(_, data)| is_last_resort(data));
        let mut made: Vec<u64> = last_resorts.map(|(_, data)| made_at(data)).collect();
        made.sort_unstable();
        for (reference, data) in &packages {
            let next = is_last_resort(data).then(|| made.iter().find(|made| **made > made_at(data))).flatten();
            let replaced = next.is_some_and(|next| next.saturating_add(REPLACED_KEPT_S) < now.seconds());
            if replaced || data.expiration < now.seconds() {
                self.staging.forget_key_package(reference);
            }
        }
    }

    /// Whether a Welcome leads in by a last-resort key package of this device.
    pub(super) fn names_last_resort(&self, welcome: &MlsMessage) -> bool {
        let references = welcome.welcome_key_package_references();
        let packages = self.staging.key_packages();
        let named = |reference: &[u8]| references.iter().any(|named| named.as_ref() == reference);
        packages.iter().any(|(reference, data)| named(reference) && is_last_resort(data))
    }
}

/// The first of several key packages that does not hold, or whose device is not capable of what a group's context
/// requires; and why.
pub(super) fn first_bad<C: CryptoProvider + Clone>(
    crypto: &C,
    time: MlsTime,
    packages: &[KeyPackageBytes],
    context: &ExtensionList,
) -> Option<(usize, String)> {
    let client =
        ExternalClient::builder().crypto_provider(crypto.clone()).identity_provider(DeviceIdentityProvider).build();
    let required = context.get_as::<RequiredCapabilitiesExt>().ok().flatten().unwrap_or_default();
    let check = |package: &KeyPackageBytes| {
        let package = client.validate_key_package(MlsMessage::from_bytes(package)?, Some(time))?;
        let capabilities = AddProposal::from(package).capabilities();
        for extension in required.extensions() {
            if !capabilities.extensions().contains(extension) {
                return Err(MlsError::RequiredExtensionNotFound(*extension));
            }
        }
        for proposal in required.proposals() {
            if !capabilities.proposals().contains(proposal) {
                return Err(MlsError::RequiredProposalNotFound(*proposal));
            }
        }
        Ok(())
    };
    let checked = packages.iter().map(check).enumerate();
    checked.filter_map(|(at, checked)| checked.err().map(|error| (at, error.to_string()))).next()
}

fn is_last_resort(data: &KeyPackageData) -> bool {
    let package = KeyPackage::mls_decode(&mut data.key_package_bytes.as_slice());
    package.is_ok_and(|package| package.extensions.has_extension(LastResortKeyPackageExt::extension_type()))
}

/// When a package was made, in seconds: it says only when it ends.
fn made_at(data: &KeyPackageData) -> u64 {
    data.expiration.saturating_sub(KEY_PACKAGE_LIFETIME_S)
}
