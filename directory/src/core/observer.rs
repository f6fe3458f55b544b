//! Following conversations by their public half: what members verify of a commit, the directory verifies too, with the same
//! rules, and knows nothing of what they say.

mod verified;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE,
    certificate::VerifiedDevice,
    identity::{DeviceIdentityProvider, claimed_device, device_of},
    rules::{ConversationRules, RulesError},
};
use mls_rs::{
    CipherSuiteProvider, CryptoProvider as _, KeyPackage, MlsMessage, WireFormat,
    error::MlsError,
    external_client::{
        ExternalClient, ExternalReceivedMessage, ExternalSnapshot,
        builder::{ExternalBaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    },
    group::{ExportedTree, proposal::Proposal},
    time::MlsTime,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use protocol::{AccountId, DeviceId, Timestamp, certificate::DeviceEntry, directory::Refusal, limits::TREE_MAX};

use crate::store::StoreError;

use self::verified::VerifiedLeaves;

use super::{Stop, malformed};

type Config = WithMlsRules<
    ConversationRules,
    WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<AwsLcCryptoProvider, ExternalBaseConfig>>,
>;

/// A conversation's public half.
pub(super) type Group = mls_rs::external_client::ExternalGroup<Config>;

/// The MLS library's client for whoever is no member: it verifies and draws nothing at random.
pub(super) struct Observer {
    client: ExternalClient<Config>,
    /// For a state that must be the same as one that was verified.
    again: ExternalClient<WithIdentityProvider<VerifiedLeaves, Config>>,
}

/// A commit that was followed.
pub(super) struct Followed {
    /// The state after it.
    pub(super) group: Group,
    /// The same, to be kept.
    pub(super) snapshot: Vec<u8>,
    /// Who made it, as the signature under it says.
    pub(super) author: DeviceId,
}

impl Observer {
    pub(super) fn new() -> Self {
        let builder = || {
            ExternalClient::builder()
                .crypto_provider(AwsLcCryptoProvider::default())
                .identity_provider(DeviceIdentityProvider)
                .mls_rules(ConversationRules)
                .extension_type(POLICY_EXTENSION_TYPE)
                .custom_proposal_types([LEAVE_PROPOSAL_TYPE])
        };
        Self { client: builder().build(), again: builder().identity_provider(VerifiedLeaves).build() }
    }

    /// Checks a key package's signature, lifetime and capabilities.
    pub(super) fn validate(&self, message: MlsMessage, time: MlsTime) -> Result<KeyPackage, MlsError> {
        self.client.validate_key_package(message, Some(time))
    }

    /// The conversation of a GroupInfo and its tree, all of which is verified.
    pub(super) fn observe(&self, now: Timestamp, info: MlsMessage, tree: ExportedTree<'_>) -> Result<Group, Stop> {
        self.client.observe_group(info, Some(tree), Some(mls_time(now))).map_err(|error| refused(&error))
    }

    /// A conversation as it was kept.
    pub(super) fn load(&self, snapshot: &[u8]) -> Result<Group, Stop> {
        let snapshot = ExternalSnapshot::from_bytes(snapshot).map_err(|error| damaged(&error))?;
        self.client.load_group(snapshot).map_err(|error| damaged(&error))
    }

    /// Applies a commit to the public state, and checks that the GroupInfo that it brings is of the state after it.
    pub(super) fn follow(
        &self,
        now: Timestamp,
        before: &[u8],
        commit: MlsMessage,
        info: MlsMessage,
    ) -> Result<Followed, Stop> {
        let mut group = self.load(before)?;
        let received =
            group.process_incoming_message_with_time(commit, mls_time(now)).map_err(|error| refused(&error))?;
        let ExternalReceivedMessage::Commit(description) = received else { return Err(malformed("no commit")) };
        let author = group.roster().member_with_index(description.committer).map_err(|error| refused(&error))?;
        let (_, author) = claimed_device(&author.signing_identity).map_err(|error| malformed(&error.to_string()))?;
        let tree = group.export_tree().map_err(|error| refused(&error))?;
        if tree.len() > TREE_MAX {
            return Err(malformed("the conversation's tree would be longer than anybody could be given"));
        }
        let tree = read_tree(&tree)?;
        let observed =
            self.again.observe_group(info, Some(tree), Some(mls_time(now))).map_err(|error| refused(&error))?;
        // All of the state, the confirmation tag too, which nobody outside can compute: so at least it is the same in both.
        let snapshot = snapshot(&group)?;
        if observed.snapshot().to_bytes().map_err(|error| damaged(&error))? != snapshot {
            return Err(malformed("the GroupInfo is of another state than the commit leads to"));
        }
        Ok(Followed { group, snapshot, author: author.device })
    }
}

/// A conversation's public half, to be kept.
pub(super) fn snapshot(group: &Group) -> Result<Vec<u8>, Stop> {
    group.snapshot().to_bytes().map_err(|error| damaged(&error))
}

/// The devices in a conversation, as their leaves say, each of which was verified when it came.
pub(super) fn leaves(group: &Group) -> Result<BTreeMap<DeviceId, (AccountId, DeviceEntry)>, Stop> {
    let mut devices = BTreeMap::new();
    for member in group.roster().members_iter() {
        let claimed = claimed_device(&member.signing_identity);
        let (account, entry) = claimed.map_err(|error| malformed(&error.to_string()))?;
        if devices.insert(entry.device, (account, entry)).is_some() {
            return Err(malformed("the conversation has a device twice"));
        }
    }
    Ok(devices)
}

fn mls_time(now: Timestamp) -> MlsTime {
    MlsTime::from_duration_since_epoch(Duration::from_secs(now.seconds()))
}

/// Why the library did not take somebody's bytes: the rules that members apply too, or the bytes themselves.
pub(super) fn refused(error: &MlsError) -> Stop {
    if let MlsError::MlsRulesError(rules) = error
        && let Some(RulesError::Refused(which)) = rules.inner_dyn_error().downcast_ref()
    {
        return Refusal::Policy(*which).into();
    }
    malformed(&format!("the conversation's bytes do not hold: {error}"))
}

pub(super) fn damaged(error: &MlsError) -> Stop {
    Stop::Store(StoreError::Damaged(format!("a conversation's public state: {error}")))
}

/// Reads an MLSMessage.
pub(super) fn message(bytes: &[u8]) -> Result<MlsMessage, Stop> {
    MlsMessage::from_bytes(bytes).map_err(|error| refused(&error))
}

/// Reads a tree.
pub(super) fn read_tree(bytes: &[u8]) -> Result<ExportedTree<'static>, Stop> {
    ExportedTree::from_bytes(bytes).map_err(|error| refused(&error))
}

/// Reads a Welcome.
pub(super) fn read_welcome(bytes: &[u8]) -> Result<MlsMessage, Stop> {
    let welcome = message(bytes)?;
    if welcome.wire_format() == WireFormat::Welcome { Ok(welcome) } else { Err(malformed("no Welcome")) }
}

/// The key packages that a Welcome is for.
fn welcomed(welcome: &MlsMessage) -> BTreeSet<&[u8]> {
    welcome.welcome_key_package_references().into_iter().map(|package| &**package).collect()
}

/// A Welcome is for everybody but the creator: who is left out would be a member that can read nothing.
pub(super) fn check_first_welcome(welcome: &MlsMessage, members: usize) -> Result<(), Stop> {
    let all = welcomed(welcome).len() + 1 == members;
    if all { Ok(()) } else { Err(malformed("the Welcome is not for everybody else")) }
}

/// A commit brings a Welcome exactly when it adds devices, and for exactly those.
pub(super) fn check_welcome(commit: &MlsMessage, welcome: Option<&MlsMessage>) -> Result<(), Stop> {
    let suite = AwsLcCryptoProvider::default().cipher_suite_provider(SUITE);
    let suite = suite.ok_or_else(|| malformed("an unknown cipher suite"))?;
    let mut added = BTreeSet::new();
    for proposal in commit.proposals_by_value() {
        if let Proposal::Add(add) = proposal {
            added.insert(reference(add.key_package(), &suite)?);
        }
    }
    let fits = match welcome.map(welcomed) {
        None => added.is_empty(),
        Some(named) => !added.is_empty() && added.iter().map(Vec::as_slice).collect::<BTreeSet<_>>() == named,
    };
    if fits { Ok(()) } else { Err(malformed("the Welcome is not for exactly those whom the commit adds")) }
}

fn reference(package: &KeyPackage, suite: &impl CipherSuiteProvider) -> Result<Vec<u8>, Stop> {
    Ok(package.to_reference(suite).map_err(|error| refused(&error))?.to_vec())
}

/// Whether a device comes in by itself with it.
pub(super) fn is_external(commit: &MlsMessage) -> bool {
    commit.proposals_by_value().into_iter().any(|proposal| matches!(proposal, Proposal::ExternalInit(_)))
}

/// The device that says that it made a commit, which is still to be verified: its leaf comes with the commit.
pub(super) fn claimed_author(commit: &MlsMessage) -> Result<VerifiedDevice, Stop> {
    let leaf = commit.commit_path_leaf_node().ok_or_else(|| malformed("no commit with new keys"))?;
    device_of(&leaf.signing_identity).map_err(|error| malformed(&error.to_string()))
}
