//! A member whose program enforces nothing and believes everything: what it makes, the others have to refuse.

use std::convert::Infallible;

use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE, conversation_id, group_context, rules::ConversationRules,
};
use mls_rs::{
    Client, ExtensionList, Group, IdentityProvider, MlsMessage, MlsRules,
    client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    error::MlsError,
    group::{CommitBuilder, ExportedTree, GroupContext, Roster},
    identity::{CredentialType, SigningIdentity},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
    time::MlsTime,
};
use mls_rs_core::identity::MemberValidationContext;
use protocol::{directory::KeyPackageBytes, policy::Policy};

use super::{Device, NOW, Provider};

type Config = WithMlsRules<Lawless, WithIdentityProvider<Credulous, WithCryptoProvider<Provider, BaseConfig>>>;
pub(crate) type Builder<'a> = CommitBuilder<'a, Config>;

/// Writes as everybody does, and allows everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lawless;

impl MlsRules for Lawless {
    type Error = <ConversationRules as MlsRules>::Error;

    fn filter_proposals(
        &self,
        _direction: CommitDirection,
        _source: CommitSource,
        _roster: &Roster<'_>,
        _context: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, Self::Error> {
        Ok(proposals)
    }

    fn commit_options(
        &self,
        roster: &Roster<'_>,
        context: &GroupContext,
        proposals: &ProposalBundle,
    ) -> Result<CommitOptions, Self::Error> {
        ConversationRules.commit_options(roster, context, proposals)
    }

    fn encryption_options(
        &self,
        roster: &Roster<'_>,
        context: &GroupContext,
    ) -> Result<EncryptionOptions, Self::Error> {
        ConversationRules.encryption_options(roster, context)
    }
}

/// Takes everybody for whom they say they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credulous;

impl IdentityProvider for Credulous {
    type Error = Infallible;

    fn validate_member(
        &self,
        _identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _context: MemberValidationContext<'_>,
    ) -> Result<(), Infallible> {
        Ok(())
    }

    fn validate_external_sender(
        &self,
        _identity: &SigningIdentity,
        _timestamp: Option<MlsTime>,
        _extensions: Option<&ExtensionList>,
    ) -> Result<(), Infallible> {
        Ok(())
    }

    fn identity(&self, identity: &SigningIdentity, _extensions: &ExtensionList) -> Result<Vec<u8>, Infallible> {
        Ok(identity.signature_key.to_vec())
    }

    fn valid_successor(
        &self,
        _predecessor: &SigningIdentity,
        _successor: &SigningIdentity,
        _extensions: &ExtensionList,
    ) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::BASIC]
    }
}

fn now() -> MlsTime {
    MlsTime::from(NOW.seconds())
}

fn client(device: &Device, knows_groups: bool) -> Client<Config> {
    Client::builder()
        .crypto_provider(Provider::default())
        .identity_provider(Credulous)
        .mls_rules(Lawless)
        .extension_type(POLICY_EXTENSION_TYPE)
        .custom_proposal_types(knows_groups.then_some(LEAVE_PROPOSAL_TYPE))
        .signing_identity(device.identity.clone(), device.keys.mls_key().to_bytes().to_vec().into(), SUITE)
        .build()
}

/// A key package of a program that knows groups or does not yet.
pub(crate) fn key_package(device: &Device, knows_groups: bool) -> KeyPackageBytes {
    let client = client(device, knows_groups);
    let made = client.generate_key_package_message(ExtensionList::new(), ExtensionList::new(), Some(now())).unwrap();
    KeyPackageBytes::new(made.to_bytes().unwrap()).unwrap()
}

pub(crate) struct Outlaw(Group<Config>);

impl Outlaw {
    /// Comes in by an external commit.
    pub(crate) fn enter(device: &Device, group_info: &[u8], tree: &[u8]) -> (Self, Vec<u8>) {
        let tree = ExportedTree::from_bytes(tree).unwrap();
        let builder = client(device, true).external_commit_builder().unwrap().with_tree_data(tree);
        let built = builder.commit_time(now()).build(MlsMessage::from_bytes(group_info).unwrap());
        let (group, commit) = built.unwrap();
        (Self(group), commit.to_bytes().unwrap())
    }

    /// Makes a group alone; answers what others would come in by: its GroupInfo and tree.
    pub(crate) fn found(device: &Device, policy: &Policy) -> (Vec<u8>, Vec<u8>) {
        let client = client(device, true);
        let builder = client.group_builder().unwrap().with_group_id(conversation_id(policy).0.to_vec());
        let builder = builder.with_group_context_extensions(group_context(policy).unwrap());
        let group = builder.with_now_time(now()).build().unwrap();
        let info = group.group_info_message_allowing_ext_commit(false).unwrap();
        (info.to_bytes().unwrap(), group.export_tree().to_bytes().unwrap())
    }

    /// Makes a commit, and forgets it at once.
    pub(crate) fn commit(&mut self, what: impl FnOnce(Builder<'_>) -> Result<Builder<'_>, MlsError>) -> Vec<u8> {
        let output = what(self.0.commit_builder().commit_time(now())).unwrap().build().unwrap();
        self.0.clear_pending_commit();
        output.commit_message.to_bytes().unwrap()
    }
}
