//! One conversation's MLS group: sealing, opening, refreshing keys and applying commits.

use membership::certificate::VerifiedDevice;
use mls_rs::{
    CryptoProvider, Group, MlsMessage, WireFormat,
    error::MlsError,
    group::{CommitEffect, ReceivedMessage},
};
use protocol::{AccountId, ConversationId, DeviceId, MessageId, Timestamp, policy::Policy};

use super::{
    Commit, Config, MlsBug, commit_hash,
    leaves::{Departed, Leaves},
    mls_time,
};

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
}

/// One conversation's group, as one device sees it.
pub struct Conversation<C: CryptoProvider + Clone> {
    group: Group<Config<C>>,
    id: ConversationId,
    incarnation: u64,
    policy: Policy,
    leaves: Leaves,
}

impl<C: CryptoProvider + Clone> Conversation<C> {
    pub(super) fn new(group: Group<Config<C>>, incarnation: u64, departed: Vec<Departed>) -> Result<Self, MlsBug> {
        let id = ConversationId::from_slice(group.group_id());
        let id = id.ok_or_else(|| MlsBug("a group id that is no conversation's".to_owned()))?;
        let policy = membership::policy_of(&group.context().extensions).map_err(|error| MlsBug(error.to_string()))?;
        let mut leaves = Leaves::with_departed(departed);
        leaves.read(group.roster().members_iter());
        Ok(Self { group, id, incarnation, policy, leaves })
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
        self.incarnation
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
            MlsError::KeyMissing(_) | MlsError::InvalidFutureGeneration(_) => OpenError::KeyUsed,
            error => OpenError::Forged(error.to_string()),
        })?;
        let ReceivedMessage::ApplicationMessage(message) = received else { return Err(OpenError::Malformed) };
        let sender = self.leaves.at(message.sender_index, epoch);
        let (device, account) = sender.ok_or_else(|| OpenError::Forged("its sender is gone".to_owned()))?;
        let id = MessageId::from_slice(&message.authenticated_data).ok_or(OpenError::Malformed)?;
        let content = unpad(message.data()).ok_or(OpenError::Malformed)?.to_vec();
        Ok(Opened { device, account, id, epoch, content })
    }

    /// Makes a commit with new keys for this device; pending until [`Conversation::apply`] gets it back.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn propose_refresh(&mut self, now: Timestamp) -> Result<Commit, MlsBug> {
        self.propose_removal(now, &[])
    }

    /// Makes a commit that removes devices of one's own account, with new keys for this device; pending as a refresh is.
    ///
    /// # Errors
    /// [`MlsBug`].
    pub fn propose_removal(&mut self, now: Timestamp, devices: &[DeviceId]) -> Result<Commit, MlsBug> {
        let epoch = self.epoch();
        let leaves: Vec<u32> = devices.iter().filter_map(|device| self.leaves.leaf_of(*device)).collect();
        let mut builder = self.group.commit_builder().commit_time(mls_time(now));
        for leaf in leaves {
            builder = builder.remove_member(leaf)?;
        }
        let output = builder.build()?;
        let bytes = output.commit_message.to_bytes()?;
        let missing = || MlsBug("a commit came without its GroupInfo".to_owned());
        let group_info = output.external_commit_group_info.as_ref().ok_or_else(missing)?.to_bytes()?;
        let hash = commit_hash(&bytes);
        Ok(Commit { epoch, bytes, hash, group_info })
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
        let refused = |error: MlsError| ApplyError::Refused(error.to_string());
        let received = self.group.process_incoming_message_with_time(message, mls_time(now)).map_err(refused)?;
        let ReceivedMessage::Commit(description) = received else { return Err(ApplyError::Malformed) };
        // A commit that lost must never be mistaken for this epoch's.
        self.group.clear_pending_commit();
        let removed_self = matches!(description.effect, CommitEffect::Removed { .. });
        let (added, removed) = if removed_self {
            (Vec::new(), Vec::new())
        } else {
            self.leaves.advance(ended, self.group.roster().members_iter())
        };
        let by_self = description.committer == self.group.current_member_index();
        let joined_by_itself = description.is_external;
        Ok(Applied { epoch: self.epoch(), added, removed, joined_by_itself, removed_self, by_self })
    }

    /// Forgets who was where in epochs below `oldest`, which are not kept any more.
    pub fn trim(&mut self, oldest: u64) {
        self.leaves.trim(oldest);
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
        Ok(self.group.write_to_storage()?)
    }
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
