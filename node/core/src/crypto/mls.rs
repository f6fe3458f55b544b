//! MLS (RFC 9420), suite 0x0002, through mls-rs: making, joining and rejoining conversations.
//!
//! The library is told the time with every call, since it would read the system's clock otherwise, and stores through
//! [`Staging`], so that what it changes goes into the same transaction as everything else.

mod conversation;
mod leaves;
mod packages;
mod staging;

use std::time::Duration;

use mls_rs::{
    Client, CryptoProvider, MlsMessage,
    client_builder::{
        BaseConfig, WithCryptoProvider, WithGroupStateStorage, WithIdentityProvider, WithKeyPackageRepo, WithMlsRules,
    },
    error::MlsError,
    external_client::ExternalClient,
    group::ExportedTree,
    identity::SigningIdentity,
    time::MlsTime,
};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Timestamp, directory::KeyPackageBytes,
    limits::KEY_PACKAGE_LIFETIME_S, policy::Policy,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use membership::{
    POLICY_EXTENSION_TYPE, SUITE,
    certificate::VerifiedDevice,
    identity::{DeviceIdentityProvider, device_of},
    rules::ConversationRules,
};

use self::staging::StagingView;
pub use self::{
    conversation::{Applied, ApplyError, Conversation, OpenError, Opened},
    leaves::Departed,
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

/// Why a conversation cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The Welcome is for another device, or for a key package that is gone.
    #[error("the Welcome is for a key package that is not here")]
    NotForUs,
    /// It does not decode, or its signatures do not hold.
    #[error("malformed or forged: {detail}")]
    Malformed {
        /// What the library said.
        detail: String,
    },
    /// The group is not what its policy and id say.
    #[error("the group is not a direct conversation of its two people")]
    Foreign,
}

/// What a new conversation needs at the directory.
#[derive(Debug)]
pub struct Creation {
    /// GroupInfo of the first epoch that others can join, without its tree.
    pub group_info: Vec<u8>,
    /// The tree.
    pub tree: Vec<u8>,
    /// The Welcome for everybody else.
    pub welcome: Vec<u8>,
}

/// A conversation that was joined by a Welcome.
pub struct Joined<C: CryptoProvider + Clone> {
    /// The conversation.
    pub conversation: Conversation<C>,
    /// Whether by a last-resort key package. The same Welcome would then lead in again, to the same keys: nothing may be
    /// sealed before this device has refreshed its keys.
    pub by_last_resort: bool,
    /// The device that invited: it signed the group's state.
    pub inviter: DeviceId,
}

/// A commit to be submitted.
#[derive(Debug)]
pub struct Commit {
    /// The epoch that it ends.
    pub epoch: u64,
    /// An MLSMessage with a PublicMessage.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub hash: CommitHash,
    /// GroupInfo of the epoch that it begins, without its tree.
    pub group_info: Vec<u8>,
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
        let extension = membership::policy_extension(policy).map_err(|error| MlsBug(error.to_string()))?;
        let client = self.client(incarnation);
        let builder = client.group_builder().map_err(MlsBug::from)?;
        let builder = builder.with_group_id(membership::conversation_id(policy).0.to_vec());
        let builder = builder.with_group_context_extension(extension).with_now_time(time);
        let mut group = builder.build().map_err(MlsBug::from)?;
        let mut commit = group.commit_builder().commit_time(time);
        for (at, package) in key_packages.iter().enumerate() {
            let refused = |error: MlsError| CreateError::KeyPackage(at, error.to_string());
            commit = commit.add_member(MlsMessage::from_bytes(package).map_err(refused)?).map_err(refused)?;
        }
        let output = commit.build().map_err(MlsBug::from)?;
        group.apply_pending_commit().map_err(MlsBug::from)?;
        let missing = || MlsBug("a commit came without its Welcome, tree or GroupInfo".to_owned());
        let welcome = output.welcome_messages.first().ok_or_else(missing)?;
        let group_info = output.external_commit_group_info.as_ref().ok_or_else(missing)?;
        let creation = Creation {
            group_info: group_info.to_bytes().map_err(MlsBug::from)?,
            tree: group.export_tree().to_bytes().map_err(MlsBug::from)?,
            welcome: welcome.to_bytes().map_err(MlsBug::from)?,
        };
        Ok((Conversation::new(group, incarnation, Vec::new())?, creation))
    }

    /// Joins by a Welcome. The key package that it used is deleted with the conversation's first write, unless it is a
    /// last-resort one.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(&self, now: Timestamp, incarnation: u64, welcome: &[u8], tree: &[u8]) -> Result<Joined<C>, JoinError> {
        let tree = ExportedTree::from_bytes(tree).map_err(malformed)?;
        let welcome = MlsMessage::from_bytes(welcome).map_err(malformed)?;
        let by_last_resort = self.names_last_resort(&welcome);
        let joined = self.client(incarnation).join_group(Some(tree), &welcome, Some(mls_time(now)));
        let (group, info) = joined.map_err(|error| match error {
            MlsError::WelcomeKeyPackageNotFound => JoinError::NotForUs,
            error => malformed(error),
        })?;
        let conversation = Conversation::new(group, incarnation, Vec::new()).map_err(malformed)?;
        check_people(&conversation)?;
        let inviter = conversation.device_at(info.sender).ok_or(JoinError::Foreign)?;
        Ok(Joined { conversation, by_last_resort, inviter })
    }

    /// Joins by an external commit, in the place of this device's old leaf if there is one.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn rejoin(
        &self,
        now: Timestamp,
        incarnation: u64,
        group_info: &[u8],
        tree: &[u8],
    ) -> Result<(Conversation<C>, Commit), JoinError> {
        let time = mls_time(now);
        let info = || MlsMessage::from_bytes(group_info).map_err(malformed);
        let tree = || ExportedTree::from_bytes(tree).map_err(malformed);
        let observer = ExternalClient::builder()
            .crypto_provider(self.crypto.clone())
            .identity_provider(DeviceIdentityProvider)
            .mls_rules(ConversationRules)
            .extension_type(POLICY_EXTENSION_TYPE)
            .build();
        let observed = observer.observe_group(info()?, Some(tree()?), Some(time)).map_err(malformed)?;
        let old = observed.roster().members_iter().find(|member| {
            device_of(&member.signing_identity).is_ok_and(|device| device.entry.device == self.own.entry.device)
        });
        let epoch = observed.group_context().epoch;
        let client = self.client(incarnation);
        let builder = client.external_commit_builder().map_err(malformed)?;
        let builder = builder.with_tree_data(tree()?).commit_time(time);
        let builder = match old {
            Some(old) => builder.with_removal(old.index),
            None => builder,
        };
        let (group, commit) = builder.build(info()?).map_err(malformed)?;
        let bytes = commit.to_bytes().map_err(malformed)?;
        let group_info = group.group_info_message_allowing_ext_commit(false).map_err(malformed)?;
        let group_info = group_info.to_bytes().map_err(malformed)?;
        let conversation = Conversation::new(group, incarnation, Vec::new()).map_err(malformed)?;
        check_people(&conversation)?;
        let hash = commit_hash(&bytes);
        Ok((conversation, Commit { epoch, bytes, hash, group_info }))
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
        match self.client(incarnation).load_group(&conversation.0) {
            Ok(group) => Conversation::new(group, incarnation, departed).map(Some),
            Err(MlsError::GroupNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn malformed(error: impl std::fmt::Display) -> JoinError {
    JoinError::Malformed { detail: error.to_string() }
}

/// A direct conversation has the id that follows from its policy, and devices of its two people only.
fn check_people<C: CryptoProvider + Clone>(conversation: &Conversation<C>) -> Result<(), JoinError> {
    let Policy::Direct { roots: [one, other], .. } = conversation.policy() else { return Err(JoinError::Foreign) };
    let people: [AccountId; 2] = [membership::account_id(one), membership::account_id(other)];
    let right_id = membership::conversation_id(conversation.policy()) == conversation.id();
    let right_people = conversation.members().all(|member| people.contains(&member.account));
    if right_id && right_people { Ok(()) } else { Err(JoinError::Foreign) }
}
