//! The MLS crypto provider of the virtual network: the production provider with every ambient source of randomness
//! replaced by a seeded one.
//!
//! What draws: `random_bytes`, `kem_generate`, `signature_key_generate`, the key encapsulation inside each `hpke_seal*`
//! and `hpke_setup_s`, and `sign`, which takes its nonce from key and message instead (RFC 6979). Everything else is the
//! production provider's own.

use mls_rs_core::crypto::{
    CipherSuite, CipherSuiteProvider, CryptoProvider, HpkeCiphertext, HpkePsk, HpkePublicKey, HpkeSecretKey,
    SignaturePublicKey, SignatureSecretKey,
};
use mls_rs_crypto_awslc::{AwsLcAead, AwsLcCipherSuite, AwsLcCryptoError, AwsLcCryptoProvider, AwsLcHkdf, Ecdh};
use mls_rs_crypto_hpke::{
    context::{ContextR, ContextS},
    dhkem::DhKem,
    hpke::Hpke,
};
use mls_rs_crypto_traits::{DhType, KemId, SamplingMethod};
use p256::{
    FieldBytes, NistP256, NonZeroScalar, Scalar, U256,
    ecdsa::Signature,
    elliptic_curve::{
        Curve as _,
        ops::{Invert, Reduce as _},
    },
};
use rand_core::RngCore as _;
use rfc6979::KGenerator;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{entropy::SeededEntropy, world::witness::Keys};

/// Bytes of a P-256 scalar.
const SCALAR_LENGTH: usize = 32;

/// The production provider, drawing from a seeded generator.
#[derive(Debug, Clone)]
pub struct SeededProvider {
    inner: AwsLcCryptoProvider,
    entropy: SeededEntropy,
    keys: Keys,
}

impl SeededProvider {
    /// A provider that draws from `entropy` and tells `keys` what it seals with.
    #[must_use]
    pub fn new(entropy: SeededEntropy, keys: Keys) -> Self {
        let inner = AwsLcCryptoProvider::with_enabled_cipher_suites(vec![membership::SUITE]);
        Self { inner, entropy, keys }
    }
}

impl CryptoProvider for SeededProvider {
    type CipherSuiteProvider = SeededCipherSuite;

    fn supported_cipher_suites(&self) -> Vec<CipherSuite> {
        self.inner.supported_cipher_suites()
    }

    fn cipher_suite_provider(&self, suite: CipherSuite) -> Option<SeededCipherSuite> {
        // The curve below is P-256's; no other suite is asked for.
        if suite != membership::SUITE {
            return None;
        }
        let inner = self.inner.cipher_suite_provider(suite)?;
        let curve = Ecdh::new(suite)?;
        let seeded = SeededCurve { inner: curve, entropy: self.entropy.clone() };
        let kdf = AwsLcHkdf::new(suite)?;
        let kem_id = KemId::new(suite)?;
        let kem = DhKem::new(seeded, kdf, kem_id as u16, kem_id.n_secret());
        let hpke = Hpke::new(kem, kdf, Some(AwsLcAead::new(suite)?));
        Some(SeededCipherSuite { inner, curve, hpke, entropy: self.entropy.clone(), keys: self.keys.clone() })
    }
}

/// The curve of the key encapsulation, whose ephemeral keys come from the seeded generator.
#[derive(Clone)]
pub struct SeededCurve {
    inner: Ecdh,
    entropy: SeededEntropy,
}

impl DhType for SeededCurve {
    type Error = AwsLcCryptoError;

    fn dh(&self, secret_key: &HpkeSecretKey, public_key: &HpkePublicKey) -> Result<Vec<u8>, Self::Error> {
        self.inner.dh(secret_key, public_key)
    }

    fn generate(&self) -> Result<(HpkeSecretKey, HpkePublicKey), Self::Error> {
        let (secret, public) = seeded_key_pair(&self.inner, &self.entropy)?;
        Ok((secret.into(), public.into()))
    }

    fn to_public(&self, secret_key: &HpkeSecretKey) -> Result<HpkePublicKey, Self::Error> {
        self.inner.to_public(secret_key)
    }

    fn bitmask_for_rejection_sampling(&self) -> SamplingMethod {
        self.inner.bitmask_for_rejection_sampling()
    }

    fn secret_key_size(&self) -> usize {
        self.inner.secret_key_size()
    }

    fn public_key_size(&self) -> usize {
        self.inner.public_key_size()
    }

    fn public_key_validate(&self, key: &HpkePublicKey) -> Result<(), Self::Error> {
        self.inner.public_key_validate(key)
    }
}

/// A P-256 key pair: scalar and uncompressed point.
fn seeded_key_pair(curve: &Ecdh, entropy: &SeededEntropy) -> Result<(Vec<u8>, Vec<u8>), AwsLcCryptoError> {
    let mut entropy = entropy.clone();
    loop {
        let mut scalar = [0; SCALAR_LENGTH];
        entropy.fill_bytes(&mut scalar);
        // Zero and what is not below the order are no keys; the next draw is one, but for a chance of 2^-32.
        if non_zero(&scalar).is_some() {
            let public = curve.to_public(&scalar.to_vec().into())?;
            return Ok((scalar.to_vec(), public.to_vec()));
        }
    }
}

/// The scalar that these bytes are, if they are below the curve's order and not zero.
fn non_zero(bytes: &[u8; SCALAR_LENGTH]) -> Option<NonZeroScalar> {
    NonZeroScalar::from_repr((*bytes).into()).into_option()
}

/// An ECDSA signature whose nonce follows from key and message (RFC 6979). The nonce's point, which is nearly all of the
/// work, comes from the production provider: with p256's own arithmetic it was half of a whole run.
fn sign(curve: &Ecdh, secret: &[u8; SCALAR_LENGTH], data: &[u8]) -> Result<Signature, AwsLcCryptoError> {
    let secret_scalar = non_zero(secret).ok_or(AwsLcCryptoError::InvalidKeyData)?;
    let digest: [u8; 32] = Sha256::digest(data).into();
    let mut nonces = KGenerator::<Sha256, U256>::new(secret, &digest, &[], &NistP256::ORDER);
    let mut nonce = Zeroizing::new([0; SCALAR_LENGTH]);
    loop {
        nonces.fill_next_k(nonce.as_mut_slice());
        let Some(nonce_scalar) = non_zero(&nonce) else { continue };
        let point = curve.to_public(&nonce.to_vec().into())?;
        // Behind the tag of an uncompressed point.
        let x: [u8; 32] = point.get(1..33).and_then(|x| x.try_into().ok()).ok_or(AwsLcCryptoError::InvalidKeyData)?;
        let [r, hashed] = [x, digest].map(|bytes| Scalar::reduce(&FieldBytes::from(bytes)));
        let s = *Invert::invert(&nonce_scalar) * (hashed + r * *secret_scalar);
        if let Ok(signature) = Signature::from_scalars(r, s) {
            return Ok(signature);
        }
    }
}

/// The production cipher suite, drawing from a seeded generator.
#[derive(Clone)]
pub struct SeededCipherSuite {
    inner: AwsLcCipherSuite,
    curve: Ecdh,
    hpke: Hpke<DhKem<SeededCurve, AwsLcHkdf>, AwsLcHkdf, AwsLcAead>,
    entropy: SeededEntropy,
    keys: Keys,
}

impl CipherSuiteProvider for SeededCipherSuite {
    type Error = AwsLcCryptoError;
    type HpkeContextS = ContextS<AwsLcHkdf, AwsLcAead>;
    type HpkeContextR = ContextR<AwsLcHkdf, AwsLcAead>;

    fn cipher_suite(&self) -> CipherSuite {
        self.inner.cipher_suite()
    }

    fn hash(&self, data: &[u8]) -> Result<Vec<u8>, Self::Error> {
        self.inner.hash(data)
    }

    fn mac(&self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, Self::Error> {
        self.inner.mac(key, data)
    }

    fn aead_seal(&self, key: &[u8], data: &[u8], aad: Option<&[u8]>, nonce: &[u8]) -> Result<Vec<u8>, Self::Error> {
        let ciphertext = self.inner.aead_seal(key, data, aad, nonce)?;
        self.keys.sealed(key, &ciphertext);
        Ok(ciphertext)
    }

    fn aead_open(
        &self,
        key: &[u8],
        ciphertext: &[u8],
        aad: Option<&[u8]>,
        nonce: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        self.inner.aead_open(key, ciphertext, aad, nonce)
    }

    fn aead_key_size(&self) -> usize {
        self.inner.aead_key_size()
    }

    fn aead_nonce_size(&self) -> usize {
        self.inner.aead_nonce_size()
    }

    fn kdf_extract(&self, salt: &[u8], ikm: &[u8]) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        self.inner.kdf_extract(salt, ikm)
    }

    fn kdf_expand(&self, prk: &[u8], info: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        self.inner.kdf_expand(prk, info, length)
    }

    fn kdf_extract_size(&self) -> usize {
        self.inner.kdf_extract_size()
    }

    fn hpke_seal(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        plaintext: &[u8],
    ) -> Result<HpkeCiphertext, Self::Error> {
        Ok(self.hpke.seal(remote_key, info, None, aad, plaintext)?)
    }

    fn hpke_seal_psk(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        plaintext: &[u8],
        psk: HpkePsk<'_>,
    ) -> Result<HpkeCiphertext, Self::Error> {
        Ok(self.hpke.seal(remote_key, info, Some(psk), aad, plaintext)?)
    }

    fn hpke_open(
        &self,
        ciphertext: &HpkeCiphertext,
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
    ) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        self.inner.hpke_open(ciphertext, local_secret, local_public, info, aad)
    }

    fn hpke_open_psk(
        &self,
        ciphertext: &HpkeCiphertext,
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
        aad: Option<&[u8]>,
        psk: HpkePsk<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Self::Error> {
        self.inner.hpke_open_psk(ciphertext, local_secret, local_public, info, aad, psk)
    }

    fn hpke_setup_s(
        &self,
        remote_key: &HpkePublicKey,
        info: &[u8],
    ) -> Result<(Vec<u8>, Self::HpkeContextS), Self::Error> {
        Ok(self.hpke.setup_sender(remote_key, info, None)?)
    }

    fn hpke_setup_r(
        &self,
        kem_output: &[u8],
        local_secret: &HpkeSecretKey,
        local_public: &HpkePublicKey,
        info: &[u8],
    ) -> Result<Self::HpkeContextR, Self::Error> {
        self.inner.hpke_setup_r(kem_output, local_secret, local_public, info)
    }

    fn kem_derive(&self, ikm: &[u8]) -> Result<(HpkeSecretKey, HpkePublicKey), Self::Error> {
        self.inner.kem_derive(ikm)
    }

    fn kem_generate(&self) -> Result<(HpkeSecretKey, HpkePublicKey), Self::Error> {
        let (secret, public) = seeded_key_pair(&self.curve, &self.entropy)?;
        Ok((secret.into(), public.into()))
    }

    fn kem_public_key_validate(&self, key: &HpkePublicKey) -> Result<(), Self::Error> {
        self.inner.kem_public_key_validate(key)
    }

    fn random_bytes(&self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.entropy.clone().fill_bytes(out);
        Ok(())
    }

    fn signature_key_generate(&self) -> Result<(SignatureSecretKey, SignaturePublicKey), Self::Error> {
        let (secret, public) = seeded_key_pair(&self.curve, &self.entropy)?;
        Ok((secret.into(), public.into()))
    }

    fn signature_key_derive_public(&self, secret_key: &SignatureSecretKey) -> Result<SignaturePublicKey, Self::Error> {
        self.inner.signature_key_derive_public(secret_key)
    }

    fn sign(&self, secret_key: &SignatureSecretKey, data: &[u8]) -> Result<Vec<u8>, Self::Error> {
        // The production provider writes scalars without leading zeros.
        let bytes = secret_key.as_bytes();
        let missing = SCALAR_LENGTH.checked_sub(bytes.len()).ok_or(AwsLcCryptoError::InvalidKeyData)?;
        let mut scalar = Zeroizing::new([0; SCALAR_LENGTH]);
        scalar[missing..].copy_from_slice(bytes);
        Ok(sign(&self.curve, &scalar, data)?.to_der().as_bytes().to_vec())
    }

    fn verify(&self, public_key: &SignaturePublicKey, signature: &[u8], data: &[u8]) -> Result<(), Self::Error> {
        self.inner.verify(public_key, signature, data)
    }
}
