//! The MLS rules hook: hands each commit to the one rule in [`protocol::policy`], and sets how we write.

use std::collections::BTreeMap;

use mls_rs::{
    MlsRules,
    client_builder::PaddingMode,
    group::{GroupContext, Roster, proposal::BorrowedProposal},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
};
use mls_rs_core::error::IntoAnyError;
use protocol::{
    AccountId, DeviceId, PublicKey, frame,
    policy::{
        Change, Committer, GroupCommit, GroupPolicy, LEAVE_LABEL, Leave, Policy, PolicyRefusal, SignedLeave,
        check_direct_commit, check_group_commit,
    },
};

use crate::{
    LEAVE_PROPOSAL_TYPE, PolicyError, SIGNED_LEAVE_MAX, account_id, group_context,
    identity::{IdentityError, claimed_device, device_of},
    policy_of,
    signing::verify,
};

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
    /// A request to leave that is none.
    #[error("a request to leave is malformed: {0}")]
    Leave(frame::FrameError),
    /// A request to leave that no device of its account in this group signed.
    #[error("a request to leave is not signed by a device of its account in this group")]
    ForeignLeave,
    /// It removes a leaf that is not there.
    #[error("the commit removes a leaf that does not exist")]
    UnknownLeaf,
}

impl IntoAnyError for RulesError {
    fn into_dyn_error(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        Ok(Box::new(self))
    }
}

/// What a commit carries, as the rules see it.
struct Carried {
    changes: Vec<Change>,
    leaves: Vec<SignedLeave>,
    after: Option<Box<GroupPolicy>>,
}

impl Carried {
    fn read(proposals: &ProposalBundle, roster: &Roster<'_>) -> Result<Self, RulesError> {
        let mut carried = Self { changes: Vec::new(), leaves: Vec::new(), after: None };
        for proposal in proposals.iter_proposals() {
            match proposal.proposal {
                BorrowedProposal::Add(add) => {
                    carried.changes.push(Change::Add(device_of(add.key_package().signing_identity())?.account));
                }
                BorrowedProposal::Remove(remove) => {
                    let member = roster.member_with_index(remove.to_remove()).map_err(|_| RulesError::UnknownLeaf)?;
                    carried.changes.push(Change::Remove(claimed_device(&member.signing_identity)?.0));
                }
                BorrowedProposal::ExternalInit(_) => {}
                // One policy, and nothing beside it.
                BorrowedProposal::GroupContextExtensions(extensions) if carried.after.is_none() => {
                    let policy = policy_of(extensions)?;
                    let whole = group_context(&policy).is_ok_and(|context| context == *extensions);
                    match policy {
                        Policy::Group(after) if whole => carried.after = Some(after),
                        _ => return Err(PolicyRefusal::UnknownChange.into()),
                    }
                }
                BorrowedProposal::Custom(custom) if custom.proposal_type() == LEAVE_PROPOSAL_TYPE => {
                    let leave = frame::decode_body(custom.data(), SIGNED_LEAVE_MAX).map_err(RulesError::Leave)?;
                    carried.leaves.push(leave);
                }
                _ => carried.changes.push(Change::Other),
            }
        }
        Ok(carried)
    }
}

/// Who is in a group. Each leaf was validated when it came, so what it claims is so.
struct Members {
    accounts: BTreeMap<AccountId, usize>,
    devices: BTreeMap<DeviceId, (AccountId, PublicKey)>,
}

impl Members {
    fn read(roster: &Roster<'_>) -> Result<Self, RulesError> {
        let mut members = Self { accounts: BTreeMap::new(), devices: BTreeMap::new() };
        for member in roster.members_iter() {
            let (account, entry) = claimed_device(&member.signing_identity)?;
            *members.accounts.entry(account).or_default() += 1;
            members.devices.insert(entry.device, (account, entry.mls_key));
        }
        Ok(members)
    }

    /// What a request to leave says, if a device that is in this group signed it for its account.
    fn leave(&self, signed: &SignedLeave, group: &[u8]) -> Result<Leave, RulesError> {
        let leave = signed.leave().map_err(RulesError::Leave)?;
        let (account, key) = self.devices.get(&leave.device).ok_or(RulesError::ForeignLeave)?;
        let ours = leave.account == *account && leave.conversation.0 == group;
        let valid = verify(key, LEAVE_LABEL, &signed.leave, &signed.signature).is_ok();
        if ours && valid { Ok(leave) } else { Err(RulesError::ForeignLeave) }
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
        let policy = policy_of(&context.extensions)?;
        let committer = match source {
            CommitSource::ExistingMember(member) => Committer::Member(device_of(&member.signing_identity)?.account),
            CommitSource::NewMember(identity) => Committer::Joiner(device_of(&identity)?.account),
        };
        let carried = Carried::read(&proposals, roster)?;
        match policy {
            Policy::Direct { roots: [one, other], .. } => {
                if carried.after.is_some() || !carried.leaves.is_empty() {
                    return Err(PolicyRefusal::UnknownChange.into());
                }
                check_direct_commit(&[account_id(&one), account_id(&other)], committer, &carried.changes)?;
            }
            Policy::Group(before) => {
                let members = Members::read(roster)?;
                let leaves = carried.leaves.iter().map(|leave| members.leave(leave, &context.group_id));
                let leaves = leaves.collect::<Result<Vec<_>, _>>()?;
                let (epoch, roster) = (context.epoch, &members.accounts);
                let (changes, after) = (&carried.changes, carried.after.as_deref());
                let commit = GroupCommit { epoch, committer, roster, changes, leaves: &leaves, after };
                check_group_commit(&before, &commit)?;
            }
        }
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
