//! MLS (RFC 9420), suite 0x0002, through mls-rs: making, joining and rejoining conversations.
//!
//! The library is told the time with every call, since it would read the system's clock otherwise, and stores through
//! [`Staging`], so that what it changes goes into the same transaction as everything else.

mod changes;
mod conversation;
mod joining;
mod leaves;
mod packages;
mod proposing;
mod staging;

use std::time::Duration;

use mls_rs::{
    Client, CryptoProvider, Group,
    client_builder::{
        BaseConfig, WithCryptoProvider, WithGroupStateStorage, WithIdentityProvider, WithKeyPackageRepo, WithMlsRules,
    },
    error::MlsError,
    group::ExportedTree,
    identity::SigningIdentity,
    time::MlsTime,
};
use p256::ecdsa::SigningKey;
use protocol::{
    CommitHash, ConversationId, Timestamp, directory::KeyPackageBytes, limits::KEY_PACKAGE_LIFETIME_S, policy::Policy,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE,
    certificate::VerifiedDevice,
    identity::{DeviceIdentityProvider, device_of},
    rules::ConversationRules,
};

use self::staging::StagingView;
pub use self::{
    changes::{Changed, MemberChange, People, changes},
    conversation::{Applied, ApplyError, Conversation, OpenError, Opened},
    joining::{JoinError, Joined},
    leaves::Departed,
    proposing::{Commit, ProposeError},
    staging::Staging,
};

/// The library's configuration, spelled out so that groups can be kept in structures.
type Config<C> = WithGroupStateStorage<
    StagingView,
    WithKeyPackageRepo<
        StagingView,
        WithMlsRules<
            ConversationRules,
            WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<C, BaseConfig>>,
        >,
    >,
>;

/// The library refused what this program's own invariants rule out.
#[derive(Debug, thiserror::Error)]
#[error("the MLS library refused: {0}")]
pub struct MlsBug(String);

impl From<MlsError> for MlsBug {
    fn from(error: MlsError) -> Self {
        Self(error.to_string())
    }
}

/// Why a conversation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A key package does not hold.
    #[error("the key package at position {0} does not hold: {1}")]
    KeyPackage(usize, String),
    /// Anything else the library refused.
    #[error(transparent)]
    Bug(#[from] MlsBug),
}

/// What a new conversation needs at the directory.
#[derive(Debug)]
pub struct Creation {
    /// GroupInfo of the first epoch that others can join, without its tree.
    pub group_info: Vec<u8>,
    /// The tree.
    pub tree: Vec<u8>,
    /// The Welcome for everybody else; empty if there is nobody else.
    pub welcome: Vec<u8>,
}

/// How a commit is recognised.
#[must_use]
pub fn commit_hash(bytes: &[u8]) -> CommitHash {
    CommitHash(Sha256::digest(bytes).into())
}

fn mls_time(now: Timestamp) -> MlsTime {
    MlsTime::from_duration_since_epoch(Duration::from_secs(now.seconds()))
}

/// The MLS client of one device.
pub struct Mls<C: CryptoProvider + Clone> {
    crypto: C,
    identity: SigningIdentity,
    signer: Zeroizing<Vec<u8>>,
    staging: Staging,
    own: VerifiedDevice,
}

impl<C: CryptoProvider + Clone> Mls<C> {
    /// A client with this device's identity and key.
    ///
    /// # Errors
    /// [`MlsBug`] if the identity does not hold or is not this key's.
    pub fn new(crypto: C, identity: SigningIdentity, key: &SigningKey, staging: Staging) -> Result<Self, MlsBug> {
        let own = device_of(&identity).map_err(|error| MlsBug(error.to_string()))?;
        // The providers of this suite take scalar and public key as SEC1 does them: the bare scalar.
        let signer = Zeroizing::new(key.to_bytes().to_vec());
        Ok(Self { crypto, identity, signer, staging, own })
    }

    fn client(&self, incarnation: u64) -> Client<Config<C>> {
        let view = self.staging.view(incarnation);
        Client::builder()
            .crypto_provider(self.crypto.clone())
            .identity_provider(DeviceIdentityProvider)
            .mls_rules(ConversationRules)
            .key_package_repo(view.clone())
            .group_state_storage(view)
            .extension_type(POLICY_EXTENSION_TYPE)
            .custom_proposal_type(LEAVE_PROPOSAL_TYPE)
            .key_package_lifetime(Duration::from_secs(KEY_PACKAGE_LIFETIME_S))
            .signing_identity(self.identity.clone(), self.signer.to_vec().into(), SUITE)
            .build()
    }

    /// Makes a conversation with the devices of these key packages, applied here at once.
    ///
    /// # Errors
    /// [`CreateError`], naming the key package that does not hold.
    pub fn create(
        &self,
        now: Timestamp,
        policy: &Policy,
        incarnation: u64,
        key_packages: &[KeyPackageBytes],
    ) -> Result<(Conversation<C>, Creation), CreateError> {
        let time = mls_time(now);
        let context = membership::group_context(policy).map_err(|error| MlsBug(error.to_string()))?;
        let client = self.client(incarnation);
        let builder = client.group_builder().map_err(MlsBug::from)?;
        let builder = builder.with_group_id(membership::conversation_id(policy).0.to_vec());
        let builder = builder.with_group_context_extensions(context).with_now_time(time);
        let group = builder.build().map_err(MlsBug::from)?;
        let mut conversation = self.conversation(group, incarnation, Vec::new())?;
        let commit = conversation.begin(now, key_packages).map_err(|error| match error {
            ProposeError::KeyPackage(at, detail) => CreateError::KeyPackage(at, detail),
            error => CreateError::Bug(MlsBug(error.to_string())),
        })?;
        let welcome = match commit.welcome {
            Some(welcome) => welcome,
            None if matches!(policy, Policy::Group(_)) && key_packages.is_empty() => Vec::new(),
            None => return Err(MlsBug("a conversation without its Welcome".to_owned()).into()),
        };
        let creation = Creation { group_info: commit.group_info, tree: conversation.export_tree()?, welcome };
        Ok((conversation, creation))
    }

    /// Loads a conversation from what is staged, and [`Conversation::departed`] as it was when it was last written.
    ///
    /// # Errors
    /// [`MlsBug`] if what is stored is damaged.
    pub fn load(
        &self,
        conversation: ConversationId,
        incarnation: u64,
        departed: Vec<Departed>,
    ) -> Result<Option<Conversation<C>>, MlsBug> {
        let client = self.client(incarnation);
        let loaded = match self.staging.view(incarnation).tree(&conversation.0) {
            Some(tree) => client.load_group_with_ratchet_tree(&conversation.0, ExportedTree::from_bytes(&tree)?),
            None => client.load_group(&conversation.0),
        };
        match loaded {
            Ok(group) => self.conversation(group, incarnation, departed).map(Some),
            Err(MlsError::GroupNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn conversation(
        &self,
        group: Group<Config<C>>,
        incarnation: u64,
        departed: Vec<Departed>,
    ) -> Result<Conversation<C>, MlsBug> {
        Conversation::new(group, self.crypto.clone(), self.staging.view(incarnation), departed)
    }
}
