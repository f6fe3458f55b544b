//! Commits that this device makes: each is pending until [`Conversation::apply`] gets it back, or another one in its place.

use membership::{LEAVE_PROPOSAL_TYPE, SIGNED_LEAVE_MAX, rules::RulesError};
use mls_rs::{CryptoProvider, MlsMessage, error::MlsError, group::proposal::CustomProposal};
use protocol::{
    AccountId, CommitHash, DeviceId, Timestamp,
    directory::KeyPackageBytes,
    frame,
    policy::{GroupPolicy, Policy, SignedLeave},
};

use super::{Conversation, MlsBug, commit_hash, mls_time, packages::first_bad};

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
    /// The Welcome for all devices that it adds, if it adds any.
    pub welcome: Option<Vec<u8>>,
}

/// Why a commit cannot be made. Nothing is pending then.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// A key package does not hold, or its device can't be in such a conversation.
    #[error("the key package at position {0} does not hold: {1}")]
    KeyPackage(usize, String),
    /// The conversation's rule forbids it.
    #[error(transparent)]
    Refused(RulesError),
    /// The library refused what this program's own invariants rule out.
    #[error(transparent)]
    Bug(#[from] MlsBug),
}

impl From<MlsError> for ProposeError {
    fn from(error: MlsError) -> Self {
        match refusal_of(&error) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Bug(error.into()),
        }
    }
}

/// What the rules hook said, if it was the rules hook.
pub(super) fn refusal_of(error: &MlsError) -> Option<RulesError> {
    let MlsError::MlsRulesError(error) = error else { return None };
    error.inner_dyn_error().downcast_ref().cloned()
}

/// What a commit is to do besides giving this device new keys.
#[derive(Default)]
struct Intent<'a> {
    added: &'a [KeyPackageBytes],
    removed: Vec<u32>,
    policy: Option<&'a GroupPolicy>,
    leave: Option<&'a SignedLeave>,
}

impl<C: CryptoProvider + Clone> Conversation<C> {
    /// Makes a commit with new keys for this device.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub fn propose_refresh(&mut self, now: Timestamp) -> Result<Commit, ProposeError> {
        self.propose(now, Intent::default())
    }

    /// Makes a commit that removes devices of one's own account.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub fn propose_removal(&mut self, now: Timestamp, devices: &[DeviceId]) -> Result<Commit, ProposeError> {
        let removed = self.leaves.leaves_of(|member| devices.contains(&member.entry.device));
        self.propose(now, Intent { removed, ..Intent::default() })
    }

    /// Makes a commit that adds all devices of somebody to a group; `next` says that they are invited.
    ///
    /// # Errors
    /// [`ProposeError`], naming the key package that does not hold.
    pub fn propose_invitation(
        &mut self,
        now: Timestamp,
        next: &GroupPolicy,
        key_packages: &[KeyPackageBytes],
    ) -> Result<Commit, ProposeError> {
        self.propose(now, Intent { added: key_packages, policy: Some(next), ..Intent::default() })
    }

    /// Makes a commit that changes a group's policy and nobody's devices: to take up an invitation, to promote, to demote.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub fn propose_policy(&mut self, now: Timestamp, next: &GroupPolicy) -> Result<Commit, ProposeError> {
        self.propose(now, Intent { policy: Some(next), ..Intent::default() })
    }

    /// Makes a commit that removes all devices of somebody from a group; `next` says that they are banned.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub fn propose_kick(
        &mut self,
        now: Timestamp,
        next: &GroupPolicy,
        account: AccountId,
    ) -> Result<Commit, ProposeError> {
        let removed = self.leaves.leaves_of(|member| member.account == account);
        self.propose(now, Intent { removed, policy: Some(next), ..Intent::default() })
    }

    /// Makes a commit that grants somebody else's request to leave a group; `next` notes it.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub fn propose_leave(
        &mut self,
        now: Timestamp,
        next: &GroupPolicy,
        leave: &SignedLeave,
    ) -> Result<Commit, ProposeError> {
        let account = leave.leave().map_err(|error| ProposeError::Refused(RulesError::Leave(error)))?.account;
        let removed = self.leaves.leaves_of(|member| member.account == account);
        self.propose(now, Intent { removed, policy: Some(next), leave: Some(leave), ..Intent::default() })
    }

    /// Makes a new conversation's first commit and applies it here at once.
    pub(super) fn begin(&mut self, now: Timestamp, key_packages: &[KeyPackageBytes]) -> Result<Commit, ProposeError> {
        let commit = self.propose(now, Intent { added: key_packages, ..Intent::default() })?;
        let applied = self.apply(now, &commit.bytes);
        applied.map_err(|error| MlsBug(error.to_string()))?;
        Ok(commit)
    }

    fn propose(&mut self, now: Timestamp, intent: Intent<'_>) -> Result<Commit, ProposeError> {
        let epoch = self.epoch();
        let bug = |error: &dyn std::fmt::Display| ProposeError::Bug(MlsBug(error.to_string()));
        let mut builder = self.group.commit_builder().commit_time(mls_time(now));
        for (at, package) in intent.added.iter().enumerate() {
            let refused = |error: MlsError| ProposeError::KeyPackage(at, error.to_string());
            builder = builder.add_member(MlsMessage::from_bytes(package).map_err(refused)?).map_err(refused)?;
        }
        for leaf in intent.removed {
            builder = builder.remove_member(leaf)?;
        }
        if let Some(policy) = intent.policy {
            let context = membership::group_context(&Policy::Group(Box::new(policy.clone())));
            builder = builder.set_group_context_ext(context.map_err(|error| bug(&error))?)?;
        }
        if let Some(leave) = intent.leave {
            let bytes = frame::encode_body(leave, SIGNED_LEAVE_MAX).map_err(|error| bug(&error))?;
            builder = builder.custom_proposal(CustomProposal::new(LEAVE_PROPOSAL_TYPE, bytes));
        }
        let output = match builder.build() {
            Ok(output) => output,
            // The library does not say which one it was.
            Err(error) => {
                let bad = first_bad(&self.crypto, mls_time(now), intent.added, self.extensions());
                return Err(bad.map_or_else(|| error.into(), |(at, detail)| ProposeError::KeyPackage(at, detail)));
            }
        };
        let bytes = output.commit_message.to_bytes()?;
        let missing = || MlsBug("a commit came without its GroupInfo".to_owned());
        let group_info = output.external_commit_group_info.as_ref().ok_or_else(missing)?.to_bytes()?;
        let welcome = output.welcome_messages.first().map(MlsMessage::to_bytes).transpose()?;
        let hash = commit_hash(&bytes);
        Ok(Commit { epoch, bytes, hash, group_info, welcome })
    }
}
