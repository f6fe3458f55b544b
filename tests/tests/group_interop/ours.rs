//! Members of ours: the MLS library with the product's identities, and rules that allow everything and take notes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use membership::{
    POLICY_EXTENSION_TYPE, SUITE,
    identity::{DeviceIdentityProvider, device_of, signing_identity},
    rules::{ConversationRules, RulesError},
};
use mls_rs::{
    Client, Extension, ExtensionList, Group, MlsMessage, MlsRules,
    client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    error::MlsError,
    extension::built_in::RequiredCapabilitiesExt,
    group::{
        GroupContext, Roster,
        proposal::{BorrowedProposal, CustomProposal, ProposalType},
    },
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node_core::crypto::keys::{DeviceKeys, RootKey};
use protocol::{DeviceId, Timestamp, certificate::Certificate, limits::KEY_PACKAGE_LIFETIME_S};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// The proposal type of a request to leave: the other of the two private code points.
pub(crate) const LEAVE_PROPOSAL: u16 = 0xF0C2;
pub(crate) const LEAVE_PROPOSAL_TYPE: ProposalType = ProposalType::new(LEAVE_PROPOSAL);

pub(crate) type Config = WithMlsRules<
    Permissive,
    WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<AwsLcCryptoProvider, BaseConfig>>,
>;
pub(crate) type OurGroup = Group<Config>;

/// One person with one device.
pub(crate) struct Person {
    pub(crate) keys: DeviceKeys,
    pub(crate) certificate: Certificate,
}

pub(crate) fn device(seed: u8) -> DeviceId {
    DeviceId([seed; 16])
}

pub(crate) fn person(seed: u8) -> Person {
    let mut rng = ChaCha20Rng::seed_from_u64(seed.into());
    let (root, keys) = (RootKey::generate(&mut rng), DeviceKeys::generate(&mut rng));
    let certificate = root.certify(&keys, device(seed), Timestamp(u64::MAX)).unwrap();
    Person { keys, certificate }
}

/// Which of the private code points a member declares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declares {
    pub(crate) policy: bool,
    pub(crate) leave: bool,
}

pub(crate) const BOTH: Declares = Declares { policy: true, leave: true };

pub(crate) fn client(seed: u8, declares: Declares, rules: &Permissive) -> Client<Config> {
    let person = person(seed);
    let identity = signing_identity(&person.certificate).unwrap();
    let key = person.keys.mls_key().to_bytes().to_vec();
    Client::builder()
        .crypto_provider(AwsLcCryptoProvider::default())
        .identity_provider(DeviceIdentityProvider)
        .mls_rules(rules.clone())
        .extension_types(declares.policy.then_some(POLICY_EXTENSION_TYPE))
        .custom_proposal_types(declares.leave.then_some(LEAVE_PROPOSAL_TYPE))
        .key_package_lifetime(Duration::from_secs(KEY_PACKAGE_LIFETIME_S))
        .signing_identity(identity, key.into(), SUITE)
        .build()
}

pub(crate) fn key_package(client: &Client<Config>) -> MlsMessage {
    client.generate_key_package_message(ExtensionList::new(), ExtensionList::new(), None).unwrap()
}

/// A policy and nothing else.
pub(crate) fn bare_context(policy: &[u8]) -> ExtensionList {
    let mut context = ExtensionList::new();
    context.set(Extension::new(POLICY_EXTENSION_TYPE, policy.to_vec()));
    context
}

/// A policy, and that every member has to know both code points. A proposal replaces the whole list, so each one that
/// changes the policy names the requirement again.
pub(crate) fn context(policy: &[u8]) -> ExtensionList {
    let mut context = bare_context(policy);
    let required = RequiredCapabilitiesExt::new(vec![POLICY_EXTENSION_TYPE], vec![LEAVE_PROPOSAL_TYPE], Vec::new());
    context.set_from(required).unwrap();
    context
}

pub(crate) fn policy_in(extensions: &ExtensionList) -> Vec<u8> {
    extensions.get(POLICY_EXTENSION_TYPE).unwrap().extension_data
}

/// What a commit is to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) add: Option<MlsMessage>,
    pub(crate) remove: Option<u32>,
    pub(crate) policy: Option<&'a [u8]>,
    pub(crate) request: Option<&'a [u8]>,
}

/// Makes a commit, pending until it comes back, and its Welcome.
pub(crate) fn commit(
    group: &mut OurGroup,
    changes: &Changes<'_>,
) -> Result<(MlsMessage, Option<MlsMessage>), MlsError> {
    let mut builder = group.commit_builder();
    if let Some(package) = &changes.add {
        builder = builder.add_member(package.clone())?;
    }
    if let Some(leaf) = changes.remove {
        builder = builder.remove_member(leaf)?;
    }
    if let Some(policy) = changes.policy {
        builder = builder.set_group_context_ext(context(policy))?;
    }
    if let Some(request) = changes.request {
        builder = builder.custom_proposal(CustomProposal::new(LEAVE_PROPOSAL_TYPE, request.to_vec()));
    }
    let output = builder.build()?;
    Ok((output.commit_message, output.welcome_messages.into_iter().next()))
}

/// What the rules are shown of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) committer: DeviceId,
    pub(crate) external: bool,
    pub(crate) members: usize,
    pub(crate) policy: Vec<u8>,
    pub(crate) new_policy: Option<Vec<u8>>,
    pub(crate) added: Vec<DeviceId>,
    pub(crate) removed: Vec<DeviceId>,
    pub(crate) requests: Vec<Vec<u8>>,
}

/// Writes as the product does, allows everything, and notes what it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permissive(Arc<Mutex<Vec<(CommitDirection, Seen)>>>);

impl Permissive {
    /// What was shown since the last call.
    pub(crate) fn take(&self) -> Vec<(CommitDirection, Seen)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl MlsRules for Permissive {
    type Error = RulesError;

    fn filter_proposals(
        &self,
        direction: CommitDirection,
        source: CommitSource,
        roster: &Roster<'_>,
        context: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, RulesError> {
        let (identity, external) = match &source {
            CommitSource::ExistingMember(member) => (&member.signing_identity, false),
            CommitSource::NewMember(identity) => (identity, true),
        };
        let mut seen = Seen {
            committer: device_of(identity)?.entry.device,
            external,
            members: roster.members_iter().count(),
            policy: policy_in(&context.extensions),
            new_policy: None,
            added: Vec::new(),
            removed: Vec::new(),
            requests: Vec::new(),
        };
        for proposal in proposals.iter_proposals() {
            match proposal.proposal {
                BorrowedProposal::Add(add) => {
                    seen.added.push(device_of(add.key_package().signing_identity())?.entry.device);
                }
                BorrowedProposal::Remove(remove) => {
                    let member = roster.member_with_index(remove.to_remove()).map_err(|_| RulesError::UnknownLeaf)?;
                    seen.removed.push(device_of(&member.signing_identity)?.entry.device);
                }
                BorrowedProposal::GroupContextExtensions(extensions) => seen.new_policy = Some(policy_in(extensions)),
                BorrowedProposal::Custom(custom) => seen.requests.push(custom.data().to_vec()),
                BorrowedProposal::ExternalInit(_) => {}
                other => panic!("not used in groups: {other:?}"),
            }
        }
        self.0.lock().unwrap().push((direction, seen));
        Ok(proposals)
    }

    fn commit_options(
        &self,
        roster: &Roster<'_>,
        context: &GroupContext,
        proposals: &ProposalBundle,
    ) -> Result<CommitOptions, RulesError> {
        ConversationRules.commit_options(roster, context, proposals)
    }

    fn encryption_options(&self, roster: &Roster<'_>, context: &GroupContext) -> Result<EncryptionOptions, RulesError> {
        ConversationRules.encryption_options(roster, context)
    }
}
