//! A member whose program enforces nothing: what it makes, the others have to refuse.

use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE, identity::DeviceIdentityProvider, rules::ConversationRules,
};
use mls_rs::{
    Client, ExtensionList, Group, MlsMessage, MlsRules,
    client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    error::MlsError,
    group::{CommitBuilder, ExportedTree, GroupContext, Roster},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
    time::MlsTime,
};
use protocol::directory::KeyPackageBytes;

use super::{Device, NOW, Provider};

type Config =
    WithMlsRules<Lawless, WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<Provider, BaseConfig>>>;
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

fn now() -> MlsTime {
    MlsTime::from(NOW.seconds())
}

fn client(device: &Device, knows_groups: bool) -> Client<Config> {
    Client::builder()
        .crypto_provider(Provider::default())
        .identity_provider(DeviceIdentityProvider)
        .mls_rules(Lawless)
        .extension_type(POLICY_EXTENSION_TYPE)
        .custom_proposal_types(knows_groups.then_some(LEAVE_PROPOSAL_TYPE))
        .signing_identity(device.identity.clone(), device.keys.mls_key().to_bytes().to_vec().into(), SUITE)
        .build()
}

/// A key package of a program that knows no groups yet.
pub(crate) fn key_package_without_groups(device: &Device) -> KeyPackageBytes {
    let client = client(device, false);
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

    /// Makes a commit, and forgets it at once.
    pub(crate) fn commit(&mut self, what: impl FnOnce(Builder<'_>) -> Result<Builder<'_>, MlsError>) -> Vec<u8> {
        let output = what(self.0.commit_builder().commit_time(now())).unwrap().build().unwrap();
        self.0.clear_pending_commit();
        output.commit_message.to_bytes().unwrap()
    }
}
