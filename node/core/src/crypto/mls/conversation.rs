//! One conversation's MLS group: sealing, opening and applying commits.

use std::collections::BTreeSet;

use membership::certificate::VerifiedDevice;
use mls_rs::{
    CryptoProvider, ExtensionList, Group, MlsMessage, WireFormat,
    error::MlsError,
    group::{CommitEffect, CommitMessageDescription, NewEpoch, ReceivedMessage, proposal::Proposal},
};
use protocol::{
    AccountId, ConversationId, DeviceId, MessageId, Timestamp,
    policy::{Committer, Policy},
};

use super::{
    Config, MlsBug,
    changes::{Changed, People, changes},
    leaves::{Departed, Leaves, device_at},
    mls_time,
    staging::StagingView,
};

/// With more devices than this in a group its ratchet tree is written apart from the rest of its state, and only when it
/// changes: the rest changes with each message.
const TREE_APART_ABOVE: usize = 50;

/// Plaintexts are padded to multiples of this, so that a ciphertext's length tells little of its text's.
const PADDING_STEP: usize = 256;
/// Bytes before the content that say how long it is.
const LENGTH_BYTES: usize = 4;

/// A message that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The device whose leaf signed it.
    pub device: DeviceId,
    /// That device's account.
    pub account: AccountId,
    /// The authenticated data.
    pub id: MessageId,
    /// The epoch that it was sealed in.
    pub epoch: u64,
    /// The content.
    pub content: Vec<u8>,
}

/// Why a message does not open. The library may have used up the key that the message named: what was altered on its way
/// can't be opened from an unaltered copy afterwards, and its sender has to seal it anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not a sealed message of ours.
    #[error("malformed")]
    Malformed,
    /// It belongs to another conversation.
    #[error("another conversation's")]
    OtherConversation,
    /// Its epoch is still to come.
    #[error("of epoch {0}, which is still to come")]
    FutureEpoch(u64),
    /// Its epoch is not kept any more.
    #[error("of an epoch that is not kept any more")]
    EpochGone,
    /// Its key was used, or is too far ahead.
    #[error("its key was used or is out of reach")]
    KeyUsed,
    /// Its sender has left meanwhile: the library opens what somebody said in a past epoch only while their leaf is theirs.
    /// The mailbox brings it before the commit that ended their membership; a straggler that comes directly does not count.
    #[error("its sender is not here any more")]
    SenderGone,
    /// It is not what a member sealed.
    #[error("not sealed by a member: {0}")]
    Forged(String),
}

/// Why a commit does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Not a commit of this conversation.
    #[error("malformed")]
    Malformed,
    /// The library or the rules refuse it.
    #[error("refused: {0}")]
    Refused(String),
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The epoch that it began.
    pub epoch: u64,
    /// Devices that came; empty if this device went.
    pub added: Vec<VerifiedDevice>,
    /// Devices that went; empty if this device is one of them.
    pub removed: Vec<VerifiedDevice>,
    /// Whether a device came in by itself.
    pub joined_by_itself: bool,
    /// Whether it was this device that went.
    pub removed_self: bool,
    /// Whether this device made it.
    pub by_self: bool,
    /// The device that made it.
    pub committer: Option<VerifiedDevice>,
    /// The policy before it; [`Conversation::policy`] is the one after it, unless this device went.
    pub policy_before: Policy,
    /// What it changed among a group's people, in order, whoever of them this device belongs to; empty in a direct
    /// conversation.
    pub changes: Vec<Changed>,
}

/// One conversation's group, as one device sees it.
pub struct Conversation<C: CryptoProvider + Clone> {
    pub(super) group: Group<Config<C>>,
    pub(super) crypto: C,
    pub(super) leaves: Leaves,
    id: ConversationId,
    policy: Policy,
    storage: StagingView,
    /// The epoch whose ratchet tree is stored apart, if one is.
    tree_apart: Option<u64>,
}

impl<C: CryptoProvider + Clone> Conversation<C> {
    pub(super) fn new(
        group: Group<Config<C>>,
        crypto: C,
        storage: StagingView,
        departed: Vec<Departed>,
    ) -> Result<Self, MlsBug> {
        let id = ConversationId::from_slice(group.group_id());
        let id = id.ok_or_else(|| MlsBug("a group id that is no conversation's".to_owned()))?;
        let policy = membership::policy_of(&group.context().extensions).map_err(|error| MlsBug(error.to_string()))?;
        let mut leaves = Leaves::with_departed(departed);
        leaves.begin(group.roster().members_iter());
        let tree_apart = storage.tree(&id.0).is_some().then(|| group.current_epoch());
        Ok(Self { group, crypto, leaves, id, policy, storage, tree_apart })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ConversationId {
        self.id
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Which of this device's memberships it is.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.storage.incarnation()
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.group.current_epoch()
    }

    /// The members' devices, in the order of their leaves.
    pub fn members(&self) -> impl Iterator<Item = &VerifiedDevice> {
        self.leaves.devices()
    }

    /// The accounts that have a device in it.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<AccountId> {
        self.leaves.accounts()
    }

    pub(super) fn extensions(&self) -> &ExtensionList {
        &self.group.context().extensions
    }

    pub(super) fn device_at(&self, leaf: u32) -> Option<DeviceId> {
        self.leaves.at(leaf, self.epoch()).map(|(device, _)| device)
    }

    /// Who was at leaves that others have now, or nobody: to be kept with the conversation and given back to
    /// [`super::Mls::load`].
    #[must_use]
    pub fn departed(&self) -> &[Departed] {
        self.leaves.departed()
    }

    /// Seals a content in the current epoch.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn seal(&mut self, _now: Timestamp, id: MessageId, content: &[u8]) -> Result<Vec<u8>, MlsBug> {
        let padded = pad(content).ok_or_else(|| MlsBug("a content that is too long".to_owned()))?;
        Ok(self.group.encrypt_application_message(&padded, id.0.to_vec())?.to_bytes()?)
    }

    /// Opens a ciphertext.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&mut self, now: Timestamp, ciphertext: &[u8]) -> Result<Opened, OpenError> {
        let message = MlsMessage::from_bytes(ciphertext).map_err(|_| OpenError::Malformed)?;
        if message.wire_format() != WireFormat::PrivateMessage {
            return Err(OpenError::Malformed);
        }
        if message.group_id() != Some(self.id.0.as_slice()) {
            return Err(OpenError::OtherConversation);
        }
        let epoch = message.epoch().ok_or(OpenError::Malformed)?;
        if epoch > self.epoch() {
            return Err(OpenError::FutureEpoch(epoch));
        }
        let received = self.group.process_incoming_message_with_time(message, mls_time(now));
        let received = received.map_err(|error| match error {
            MlsError::EpochNotFound => OpenError::EpochGone,
            MlsError::MemberNotFound => OpenError::SenderGone,
            MlsError::KeyMissing(_) | MlsError::InvalidFutureGeneration(_) => OpenError::KeyUsed,
            error => OpenError::Forged(error.to_string()),
        })?;
        let ReceivedMessage::ApplicationMessage(message) = received else { return Err(OpenError::Malformed) };
        let sender = self.leaves.at(message.sender_index, epoch);
        let (device, account) = sender.ok_or(OpenError::SenderGone)?;
        let id = MessageId::from_slice(&message.authenticated_data).ok_or(OpenError::Malformed)?;
        let content = unpad(message.data()).ok_or(OpenError::Malformed)?.to_vec();
        Ok(Opened { device, account, id, epoch, content })
    }

    /// Applies a commit of the current epoch; the own pending one is recognised, another one ends it.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn apply(&mut self, now: Timestamp, commit: &[u8]) -> Result<Applied, ApplyError> {
        let message = MlsMessage::from_bytes(commit).map_err(|_| ApplyError::Malformed)?;
        if message.wire_format() != WireFormat::PublicMessage || message.group_id() != Some(self.id.0.as_slice()) {
            return Err(ApplyError::Malformed);
        }
        let ended = self.epoch();
        let author = message.commit_path_leaf_node().and_then(|leaf| device_at(&leaf.signing_identity));
        let refused = |error: MlsError| ApplyError::Refused(error.to_string());
        let received = self.group.process_incoming_message_with_time(message, mls_time(now)).map_err(refused)?;
        let ReceivedMessage::Commit(description) = received else { return Err(ApplyError::Malformed) };
        // A commit that lost must never be mistaken for this epoch's.
        self.group.clear_pending_commit();
        let removed_self = matches!(description.effect, CommitEffect::Removed { .. });
        let by_self = !removed_self && description.committer == self.group.current_member_index();
        let committer = author.or_else(|| self.leaves.device(description.committer).cloned());
        let (policy_before, accounts_before) = (self.policy.clone(), self.leaves.accounts());
        let (policy, accounts, added, removed) = match &description.effect {
            CommitEffect::Removed { new_epoch, .. } => {
                let (policy, accounts) = self.outcome(new_epoch);
                (policy, accounts, Vec::new(), Vec::new())
            }
            _ => {
                let (added, removed) = self.leaves.advance(ended, self.group.roster().members_iter());
                // The rules let no commit through without a policy that can be read.
                self.policy = membership::policy_of(self.extensions()).unwrap_or_else(|_| self.policy.clone());
                (self.policy.clone(), self.leaves.accounts(), added, removed)
            }
        };
        let changes = match (&policy_before, &policy, &committer) {
            (Policy::Group(before), Policy::Group(after), Some(committer)) => changes(
                People { policy: before, accounts: &accounts_before },
                People { policy: after, accounts: &accounts },
                committer_of(&description, committer.account),
            ),
            _ => Vec::new(),
        };
        let (epoch, joined_by_itself) = (ended + 1, description.is_external);
        Ok(Applied {
            epoch,
            added,
            removed,
            joined_by_itself,
            removed_self,
            by_self,
            committer,
            policy_before,
            changes,
        })
    }

    /// What a commit that removed this device leads to: the library does not follow it there.
    fn outcome(&self, effect: &NewEpoch) -> (Policy, BTreeSet<AccountId>) {
        let (mut policy, mut gone, mut come) = (self.policy.clone(), BTreeSet::new(), Vec::new());
        for applied in effect.applied_proposals() {
            match &applied.proposal {
                Proposal::Remove(remove) => {
                    gone.insert(remove.to_remove());
                }
                Proposal::Add(add) => come.extend(device_at(add.signing_identity()).map(|device| device.account)),
                Proposal::GroupContextExtensions(next) => policy = membership::policy_of(next).unwrap_or(policy),
                _ => {}
            }
        }
        let mut accounts = self.leaves.accounts_without(&gone);
        accounts.extend(come);
        (policy, accounts)
    }

    /// Forgets who was where in epochs below `oldest`, which are not kept any more.
    pub fn trim(&mut self, oldest: u64) {
        self.leaves.trim(oldest);
    }

    /// What all members of the current epoch have in common, and nobody else knows.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn epoch_authenticator(&self) -> Result<Vec<u8>, MlsBug> {
        Ok(self.group.epoch_authenticator()?.to_vec())
    }

    /// The ratchet tree of the current epoch.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn export_tree(&self) -> Result<Vec<u8>, MlsBug> {
        Ok(self.group.export_tree().to_bytes()?)
    }

    /// Forgets a pending commit that lost.
    pub fn drop_pending(&mut self) {
        self.group.clear_pending_commit();
    }

    /// Stages the group's state.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn write(&mut self) -> Result<(), MlsBug> {
        if self.leaves.len() <= TREE_APART_ABOVE {
            self.group.write_to_storage()?;
            if self.tree_apart.take().is_some() {
                self.storage.delete_tree(&self.id.0);
            }
            return Ok(());
        }
        self.group.write_to_storage_without_ratchet_tree()?;
        let epoch = self.epoch();
        if self.tree_apart != Some(epoch) {
            self.storage.put_tree(&self.id.0, self.export_tree()?);
            self.tree_apart = Some(epoch);
        }
        Ok(())
    }
}

fn committer_of(commit: &CommitMessageDescription, account: AccountId) -> Committer {
    if commit.is_external { Committer::Joiner(account) } else { Committer::Member(account) }
}

fn pad(content: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(content.len()).ok()?;
    let whole = (LENGTH_BYTES + content.len()).next_multiple_of(PADDING_STEP);
    let mut padded = Vec::with_capacity(whole);
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(whole, 0);
    Some(padded)
}

fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (content, zeros) = rest.split_at_checked(length)?;
    let whole = padded.len().is_multiple_of(PADDING_STEP) && zeros.len() < PADDING_STEP;
    (whole && zeros.iter().all(|zero| *zero == 0)).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_hides_lengths_in_steps_and_comes_off_whole() {
        for length in [0, 1, 251, 252, 253, 1_000] {
            let content = vec![7; length];
            let padded = pad(&content).unwrap();
            assert_eq!(padded.len(), (length + 4).div_ceil(256) * 256);
            assert_eq!(unpad(&padded), Some(content.as_slice()));
        }
    }

    #[test]
    fn padding_that_is_not_ours_is_refused() {
        let mut padded = pad(b"hello").unwrap();
        *padded.last_mut().unwrap() = 1;
        assert_eq!(unpad(&padded), None);
        assert_eq!(unpad(&pad(b"hello").unwrap()[..255]), None);
        assert_eq!(unpad(&[0; 512]), None, "a whole step of nothing");
        assert_eq!(unpad(&[0xff; 256]), None);
        assert_eq!(unpad(&[]), None);
    }
}
