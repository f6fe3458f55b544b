//! The account's root key and the device's keys: made, stored inside the encrypted profile, and used.

use membership::signing;
use p256::{SecretKey, ecdsa::SigningKey, pkcs8::EncodePrivateKey as _};
use protocol::{
    Bounded, BoundedBytes, DeviceId, PublicKey, Signature, Timestamp,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DEVICE_LIST_LABEL, DeviceEntry, DeviceList, SignedDeviceList},
    directory::RECOVERY_LABEL,
    frame::{self, FrameError},
    limits::{CERTIFICATE_MAX, DEVICE_LIST_MAX},
};
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// Length of a private key: one scalar of P-256.
const SCALAR_LENGTH: usize = 32;
/// Version byte of the stored form.
const STORED_VERSION: u8 = 1;

/// Why stored keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored keys are damaged, or a newer program wrote them")]
pub struct DamagedKeys;

/// Why something cannot be certified: a value that does not fit into its frame, which is a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a certificate cannot be made: {0}")]
pub struct CertifyError(String);

impl From<FrameError> for CertifyError {
    fn from(error: FrameError) -> Self {
        Self(error.to_string())
    }
}

impl From<protocol::bounded::TooLong> for CertifyError {
    fn from(error: protocol::bounded::TooLong) -> Self {
        Self(error.to_string())
    }
}

fn generate(entropy: &mut dyn Entropy) -> SigningKey {
    loop {
        let mut bytes = Zeroizing::new([0; SCALAR_LENGTH]);
        entropy.fill_bytes(&mut *bytes);
        // Out of range with a probability of 2⁻³²: another draw keeps the distribution uniform.
        if let Ok(key) = SigningKey::from_slice(&*bytes) {
            return key;
        }
    }
}

/// The account's root key. It exists only while something is signed with it; it has no `Debug`, `Clone` or
/// `Serialize` and is wiped when dropped.
pub struct RootKey(SigningKey);

impl RootKey {
    /// Draws a new one.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self(generate(entropy))
    }

    /// From its scalar, as it was sealed.
    ///
    /// # Errors
    /// [`DamagedKeys`] if the bytes are no scalar of the curve.
    pub fn from_scalar(bytes: &[u8]) -> Result<Self, DamagedKeys> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_| DamagedKeys)
    }

    /// Its scalar, to be sealed.
    pub(crate) fn to_scalar(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_bytes().to_vec())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        signing::public_key(&self.0)
    }

    /// Certifies a device's keys.
    ///
    /// # Errors
    /// [`CertifyError`]; a bug.
    pub fn certify(
        &self,
        keys: &DeviceKeys,
        device: DeviceId,
        not_after: Timestamp,
    ) -> Result<Certificate, CertifyError> {
        let entry = DeviceEntry {
            root_key: self.public(),
            device,
            tls_key: signing::public_key(&keys.tls),
            mls_key: signing::public_key(&keys.mls),
            order_key: signing::public_key(&keys.order),
            not_after,
        };
        let entry = BoundedBytes::new(frame::encode_body(&entry, CERTIFICATE_MAX)?)?;
        let signature = signing::sign(&self.0, DEVICE_ENTRY_LABEL, &entry);
        Ok(Certificate { entry, signature })
    }

    /// Signs what recovers the account.
    pub fn sign_recovery(&self, signed: &[u8]) -> Signature {
        signing::sign(&self.0, RECOVERY_LABEL, signed)
    }

    /// Signs the list of the account's devices.
    ///
    /// # Errors
    /// [`CertifyError`] if there are more than an account may have.
    pub fn device_list(
        &self,
        version: u64,
        devices: Vec<Certificate>,
        not_after: Timestamp,
    ) -> Result<SignedDeviceList, CertifyError> {
        let list = DeviceList { root_key: self.public(), version, devices: Bounded::new(devices)?, not_after };
        let list = BoundedBytes::new(frame::encode_body(&list, DEVICE_LIST_MAX)?)?;
        let signature = signing::sign(&self.0, DEVICE_LIST_LABEL, &list);
        Ok(SignedDeviceList { list, signature })
    }
}

/// Length of the key of the book.
const BOOK_KEY_LENGTH: usize = 32;

/// The key under which the account's book is sealed. Every device of the account holds it; the directory never does. No
/// `Debug` or `Serialize`; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct BookKey(Zeroizing<[u8; BOOK_KEY_LENGTH]>);

impl BookKey {
    /// Draws a new one.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; BOOK_KEY_LENGTH]);
        entropy.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    /// From its bytes, as they were sealed or stored.
    ///
    /// # Errors
    /// [`DamagedKeys`] if it has another length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, DamagedKeys> {
        bytes.try_into().map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| DamagedKeys)
    }

    /// Its bytes, to be sealed or kept in the encrypted profile.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &*self.0
    }
}

/// What only the password or the recovery code opens: the backup's contents.
pub struct AccountSecrets {
    /// The account's root key.
    pub root: RootKey,
    /// The key of its book.
    pub book: BookKey,
}

impl AccountSecrets {
    /// Draws new ones.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self { root: RootKey::generate(entropy), book: BookKey::generate(entropy) }
    }

    /// To be sealed.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = self.root.to_scalar();
        bytes.extend_from_slice(self.book.as_bytes());
        bytes
    }

    /// As they were sealed.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DamagedKeys> {
        let (root, book) = bytes.split_at_checked(SCALAR_LENGTH).ok_or(DamagedKeys)?;
        Ok(Self { root: RootKey::from_scalar(root)?, book: BookKey::from_slice(book)? })
    }
}

/// The device's keys, one for each use, which never leave it. No `Debug`, `Clone` or `Serialize`; wiped when dropped.
pub struct DeviceKeys {
    tls: SigningKey,
    mls: SigningKey,
    order: SigningKey,
    tls_pkcs8: Zeroizing<Vec<u8>>,
}

impl DeviceKeys {
    /// Draws new ones.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        loop {
            // Encoding a key that was just made does not fail; if it did, another key would be drawn.
            if let Ok(keys) = Self::from_keys(generate(entropy), generate(entropy), generate(entropy)) {
                return keys;
            }
        }
    }

    /// From the encrypted profile.
    ///
    /// # Errors
    /// [`DamagedKeys`] if the bytes are not what [`DeviceKeys::to_stored`] made.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, DamagedKeys> {
        let (version, scalars) = bytes.split_first().ok_or(DamagedKeys)?;
        if *version != STORED_VERSION || scalars.len() != 3 * SCALAR_LENGTH {
            return Err(DamagedKeys);
        }
        let (tls, rest) = scalars.split_at(SCALAR_LENGTH);
        let (mls, order) = rest.split_at(SCALAR_LENGTH);
        let key = |bytes| SigningKey::from_slice(bytes).map_err(|_| DamagedKeys);
        Self::from_keys(key(tls)?, key(mls)?, key(order)?)
    }

    fn from_keys(tls: SigningKey, mls: SigningKey, order: SigningKey) -> Result<Self, DamagedKeys> {
        let secret = SecretKey::from(tls.as_nonzero_scalar());
        let tls_pkcs8 = secret.to_pkcs8_der().map_err(|_| DamagedKeys)?;
        let tls_pkcs8 = Zeroizing::new(tls_pkcs8.as_bytes().to_vec());
        Ok(Self { tls, mls, order, tls_pkcs8 })
    }

    /// For the encrypted profile, and nowhere else.
    #[must_use]
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![STORED_VERSION]);
        for key in [&self.tls, &self.mls, &self.order] {
            bytes.extend_from_slice(Zeroizing::new(key.to_bytes()).as_slice());
        }
        bytes
    }

    /// The TLS key that certificates name.
    pub(crate) fn tls_public(&self) -> PublicKey {
        signing::public_key(&self.tls)
    }

    /// PKCS#8 DER of the TLS key.
    #[must_use]
    pub fn tls_pkcs8(&self) -> &[u8] {
        &self.tls_pkcs8
    }

    /// The key of MLS leaves and of receipts.
    #[must_use]
    pub fn mls_key(&self) -> &SigningKey {
        &self.mls
    }

    /// The key of payment orders, requests and their ends.
    #[must_use]
    pub fn order_key(&self) -> &SigningKey {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use membership::certificate::verify_device_list;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn keys_come_back_from_their_stored_form_and_from_no_other() {
        let keys = DeviceKeys::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let stored = keys.to_stored();
        let back = DeviceKeys::from_stored(&stored).unwrap();
        assert_eq!(back.to_stored(), stored);
        assert_eq!(back.tls_pkcs8(), keys.tls_pkcs8());
        for length in 0..stored.len() {
            assert_eq!(DeviceKeys::from_stored(&stored[..length]).err(), Some(DamagedKeys));
        }
        let mut newer = stored.to_vec();
        newer[0] = 2;
        assert_eq!(DeviceKeys::from_stored(&newer).err(), Some(DamagedKeys));
    }

    #[test]
    fn a_root_keys_device_list_holds_and_names_the_devices_keys() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let root = RootKey::generate(&mut rng);
        let keys = DeviceKeys::generate(&mut rng);
        let certificate = root.certify(&keys, DeviceId([7; 16]), Timestamp(9)).unwrap();
        let list = root.device_list(3, vec![certificate], Timestamp(9)).unwrap();
        let list = verify_device_list(&list).unwrap();
        assert_eq!((list.version, list.root_key, list.devices.len()), (3, root.public(), 1));
        assert_eq!(list.devices[0].mls_key, signing::public_key(keys.mls_key()));
    }
}
