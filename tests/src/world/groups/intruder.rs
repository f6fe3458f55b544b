//! Somebody who was kicked and whose program keeps to no rule: with what a friend in the group passes on they make an
//! external commit, and put it to the directory.

use std::{convert::Infallible, time::Duration};

use membership::{LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE, rules::ConversationRules};
use mls_rs::{
    Client, ExtensionList, IdentityProvider, MlsMessage, MlsRules,
    group::{ExportedTree, GroupContext, Roster},
    identity::{CredentialType, SigningIdentity},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
    time::MlsTime,
};
use mls_rs_core::identity::MemberValidationContext;
use node_core::{crypto::keys::DeviceKeys, stored::Table};
use protocol::{
    AccountId, ConversationId,
    directory::{CommitSubmission, HandshakeBytes, Refusal, Reply, Request},
    policy::PolicyRefusal,
};

use super::kept::DEVICE_KEYS;
use crate::world::{
    World,
    coverage::Case,
    witness::{NodeIndex, Violation},
};

/// Writes as everybody does, and allows everything.
#[derive(Debug, Clone, Copy)]
struct Lawless;

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
struct Credulous;

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

impl World {
    /// Everybody who is kept out of a group tries to come in all the same.
    pub(super) fn intrude(&mut self) {
        let Some(groups) = self.groups.as_ref() else { return };
        let open = groups.chronicles.values().filter(|chronicle| !chronicle.closed);
        let banned = open.filter_map(|chronicle| Some((chronicle.id, chronicle.now()?)));
        let banned: Vec<(ConversationId, AccountId)> =
            banned.flat_map(|(id, state)| state.policy.banned.iter().map(move |account| (id, *account))).collect();
        for (id, account) in banned {
            let Some(groups) = self.groups.as_ref() else { return };
            let Some(person) = groups.person_of(account) else { continue };
            for index in groups.nodes_of(person).collect::<Vec<_>>() {
                if let Err(violation) = self.intrude_as(index, id) {
                    self.broken.get_or_insert(violation);
                }
            }
        }
    }

    fn intrude_as(&mut self, index: NodeIndex, id: ConversationId) -> Result<(), Violation> {
        let Some((group_info, tree)) = self.leak(id) else { return Ok(()) };
        let Some(submission) = self.intrusion(index, id, &group_info, &tree) else { return Ok(()) };
        let name = self.of_groups(index);
        let request = Request::SubmitCommit(Box::new(submission));
        let Some(answer) = self.put_to_directory(index, request) else { return Ok(()) };
        self.trace.note(self.now, &|| format!("{name} intrudes into {id}: {answer:?}"));
        match answer {
            Err(Refusal::Policy(PolicyRefusal::Banned)) => self.coverage.met(Case::IntruderRefused),
            Err(_) => {}
            Ok(_) => return Err(Violation::BannedIsIn { what: format!("{name} in {id}, by an external commit") }),
        }
        Ok(())
    }

    /// What some member gets of the directory.
    fn leak(&mut self, id: ConversationId) -> Option<(Vec<u8>, Vec<u8>)> {
        let groups = self.groups.as_ref()?;
        let state = groups.chronicles.get(&id)?.now()?;
        let friends: Vec<NodeIndex> =
            state.members.keys().filter_map(|device| groups.devices.get(device)).copied().collect();
        friends.into_iter().find_map(|friend| {
            match self.put_to_directory(friend, Request::Group { conversation: id })? {
                Ok(Reply::Group { group_info, tree, .. }) => Some((group_info.to_vec(), tree.to_vec())),
                _ => None,
            }
        })
    }

    fn intrusion(
        &self,
        index: NodeIndex,
        conversation: ConversationId,
        group_info: &[u8],
        tree: &[u8],
    ) -> Option<CommitSubmission> {
        let groups = self.groups.as_ref()?;
        let certificate = groups.certificates.get(&groups.device_of(index)?)?;
        let identity = membership::identity::signing_identity(certificate).ok()?;
        let keys = DeviceKeys::from_stored(self.nodes[index].disk.record(Table::Account, DEVICE_KEYS)?).ok()?;
        let time = MlsTime::from_duration_since_epoch(Duration::from_secs(self.now.timestamp().seconds()));
        let client = Client::builder()
            .crypto_provider(self.nodes[index].provider.clone())
            .identity_provider(Credulous)
            .mls_rules(Lawless)
            .extension_type(POLICY_EXTENSION_TYPE)
            .custom_proposal_type(LEAVE_PROPOSAL_TYPE)
            .signing_identity(identity, keys.mls_key().to_bytes().to_vec().into(), SUITE)
            .build();
        let info = MlsMessage::from_bytes(group_info).ok()?;
        let epoch = info.as_group_info()?.group_context().epoch;
        let builder = client.external_commit_builder().ok()?.with_tree_data(ExportedTree::from_bytes(tree).ok()?);
        let (group, commit) = builder.commit_time(time).build(info).ok()?;
        let next = group.group_info_message_allowing_ext_commit(false).ok()?;
        Some(CommitSubmission {
            conversation,
            epoch,
            commit: HandshakeBytes::new(commit.to_bytes().ok()?).ok()?,
            welcome: None,
            group_info: HandshakeBytes::new(next.to_bytes().ok()?).ok()?,
        })
    }
}
