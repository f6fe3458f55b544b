//! People with devices whose MLS clients exchange bytes and nothing else.

#![allow(dead_code, reason = "each test takes the part that it needs")]

pub(crate) mod outlaw;

use membership::{identity::signing_identity, signing::sign};
use mls_rs::identity::SigningIdentity;
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node_core::crypto::{
    keys::{DeviceKeys, RootKey},
    mls::{Conversation, Mls, OpenError, Opened, Staging},
};
use protocol::{
    AccountId, ConversationId, DeviceId, MessageId, Timestamp,
    policy::{LEAVE_LABEL, Leave, SignedLeave},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

pub(crate) type Provider = AwsLcCryptoProvider;
pub(crate) type Talk = Conversation<Provider>;

/// Far from today: whoever asks the system's clock finds every key package expired.
pub(crate) const NOW: Timestamp = Timestamp(33_000_000_000_000);
pub(crate) const DAY_MS: u64 = 24 * 3_600 * 1_000;

pub(crate) struct Person {
    pub(crate) root: RootKey,
    rng: ChaCha20Rng,
}

impl Person {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self { root: RootKey::generate(&mut rng), rng }
    }

    pub(crate) fn device(&mut self, number: u8) -> Device {
        let keys = DeviceKeys::generate(&mut self.rng);
        let device = DeviceId([number; 16]);
        let certificate = self.root.certify(&keys, device, Timestamp(u64::MAX)).unwrap();
        let staging = Staging::default();
        let identity = signing_identity(&certificate).unwrap();
        let mls = Mls::new(Provider::default(), identity.clone(), keys.mls_key(), staging.clone()).unwrap();
        Device { mls, staging, device, account: membership::account_id(&self.root.public()), identity, keys }
    }
}

pub(crate) struct Device {
    pub(crate) mls: Mls<Provider>,
    pub(crate) staging: Staging,
    pub(crate) device: DeviceId,
    pub(crate) account: AccountId,
    pub(crate) identity: SigningIdentity,
    pub(crate) keys: DeviceKeys,
}

impl Device {
    /// A request to leave, signed by this device, whatever it says.
    pub(crate) fn leave(&self, conversation: ConversationId, account: AccountId, epoch: u64) -> SignedLeave {
        let leave = SignedLeave::bytes(&Leave { conversation, account, device: self.device, epoch }).unwrap();
        let signature = sign(self.keys.mls_key(), LEAVE_LABEL, &leave);
        SignedLeave { leave, signature }
    }
}

pub(crate) fn id(number: u8) -> MessageId {
    MessageId([number; 16])
}

pub(crate) fn opened(from: &Device, number: u8, epoch: u64, content: &[u8]) -> Result<Opened, OpenError> {
    let (device, account) = (from.device, from.account);
    Ok(Opened { device, account, id: id(number), epoch, content: content.to_vec() })
}
