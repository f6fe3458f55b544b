//! The MLS rules hook: hands each commit to the one rule in [`protocol::policy`], and sets how we write.

use mls_rs::{
    MlsRules,
    client_builder::PaddingMode,
    group::{GroupContext, Roster, proposal::BorrowedProposal},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
};
use mls_rs_core::error::IntoAnyError;
use protocol::policy::{Change, Committer, Policy, PolicyRefusal, check_direct_commit};

use crate::{PolicyError, account_id, identity::IdentityError, identity::device_of, policy_of};

/// Why a commit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// The group has no usable policy.
    #[error(transparent)]
    Group(#[from] PolicyError),
    /// An identity does not hold.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The policy forbids it.
    #[error(transparent)]
    Refused(#[from] PolicyRefusal),
    /// It removes a leaf that is not there.
    #[error("the commit removes a leaf that does not exist")]
    UnknownLeaf,
}

impl IntoAnyError for RulesError {
    fn into_dyn_error(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        Ok(Box::new(self))
    }
}

/// What members and directory enforce on every commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConversationRules;

impl MlsRules for ConversationRules {
    type Error = RulesError;

    fn filter_proposals(
        &self,
        _direction: CommitDirection,
        source: CommitSource,
        roster: &Roster<'_>,
        context: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, RulesError> {
        let Policy::Direct { roots: [one, other], .. } = policy_of(&context.extensions)?;
        let people = [account_id(&one), account_id(&other)];
        let committer = match source {
            CommitSource::ExistingMember(member) => Committer::Member(device_of(&member.signing_identity)?.account),
            CommitSource::NewMember(identity) => Committer::Joiner(device_of(&identity)?.account),
        };
        let mut changes = Vec::new();
        for proposal in proposals.iter_proposals() {
            changes.push(match proposal.proposal {
                BorrowedProposal::Add(add) => Change::Add(device_of(add.key_package().signing_identity())?.account),
                BorrowedProposal::Remove(remove) => {
                    let member = roster.member_with_index(remove.to_remove()).map_err(|_| RulesError::UnknownLeaf)?;
                    Change::Remove(device_of(&member.signing_identity)?.account)
                }
                BorrowedProposal::ExternalInit(_) => continue,
                _ => Change::Other,
            });
        }
        check_direct_commit(&people, committer, &changes)?;
        Ok(proposals)
    }

    fn commit_options(
        &self,
        _roster: &Roster<'_>,
        _context: &GroupContext,
        _proposals: &ProposalBundle,
    ) -> Result<CommitOptions, RulesError> {
        // Every commit heals; trees travel apart; whoever falls out comes back by an external commit.
        Ok(CommitOptions::new()
            .with_path_required(true)
            .with_ratchet_tree_extension(false)
            .with_single_welcome_message(true)
            .with_allow_external_commit(true)
            .with_always_out_of_band_ratchet_tree(true))
    }

    fn encryption_options(
        &self,
        _roster: &Roster<'_>,
        _context: &GroupContext,
    ) -> Result<EncryptionOptions, RulesError> {
        // Commits are public, so that the directory can follow; application messages are private; their content pads itself to
        // steps, which the library has no mode for.
        Ok(EncryptionOptions::new(false, PaddingMode::None))
    }
}
