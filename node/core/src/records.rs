//! The form of the core's own records on disk. Append-only: a field is added as a new variant of a versioned record.

mod audience;
mod groups;

use protocol::{
    AccountId, BoundedBytes, ConversationId, DeviceId, MessageId, Name, PublicKey, Timestamp,
    certificate::{Certificate, SignedDeviceList},
    directory::{CommitSubmission, Cursor, NewConversation, SignUp},
    frame::{self, FrameError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::audience::{AudienceKey, AudienceRecord, LargeRecord};
pub(crate) use self::groups::{ChangeRecord, GroupRecord, Intent, IntentRecord, KnownRecord};
use crate::{
    crypto::{keys::BookKey, mls::Departed},
    event::{DeliveryState, ShortId},
};

/// Longest record: a conversation with its creation under way, tree included.
const RECORD_MAX: usize = 8 * 1024 * 1024;

/// Writes a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, FrameError> {
    frame::encode_body(record, RECORD_MAX)
}

/// Reads a record.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    frame::decode_body(bytes, RECORD_MAX)
}

/// Key of the one [`AccountRecord`].
pub(crate) const ACCOUNT_KEY: &[u8] = b"account";
/// Key of the one record with this device's private keys, in the form of [`crate::crypto::keys`].
pub(crate) const KEYS_KEY: &[u8] = b"device keys";

/// Who this node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountRecord {
    /// The account, once there is one.
    pub(crate) own: Option<OwnAccount>,
    /// A sign-up that the directory has perhaps heard of.
    pub(crate) pending: Option<PendingSignUp>,
    /// Whether the directory takes this device's TLS key for signed in.
    pub(crate) session: bool,
    /// The number of the last short id of a message.
    pub(crate) last_message: u64,
    /// The last mail item that was taken in.
    pub(crate) drained: Option<Cursor>,
    /// Messages sealed by this device: what tells a copy from the original.
    pub(crate) send_counter: u64,
    /// When the last-resort key package was last replaced.
    pub(crate) last_resort_at: Timestamp,
    /// An enrolment as a further device that the directory has perhaps heard of.
    pub(crate) enrolling: Option<PendingEnrolment>,
    /// Whether this device's keys were dropped, because it was revoked or is a copy: it comes back as another device.
    pub(crate) retired: bool,
    /// Whether the account was closed.
    pub(crate) closed: bool,
    /// The key of the account's book.
    pub(crate) book_key: Option<StoredKey>,
    /// The highest version of the book that was taken in or put at the directory.
    pub(crate) book_version: u64,
    /// Whether something here is not in that version.
    pub(crate) book_stale: bool,
    /// The version of the device list that this device made: it tells the others.
    pub(crate) list_made: u64,
    /// The version of one that the directory has perhaps taken from this device, if the answer was lost.
    pub(crate) list_asked: u64,
}

/// A key in a record; shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredKey(pub(crate) [u8; 32]);

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredKey(…)")
    }
}

impl From<&BookKey> for StoredKey {
    fn from(key: &BookKey) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(key.as_bytes());
        Self(bytes)
    }
}

/// An enrolment between the moment when the list was signed and the directory's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingEnrolment {
    pub(crate) account: OwnAccount,
    pub(crate) book_key: StoredKey,
    /// The book as it was opened: its version and contents.
    pub(crate) book: Option<(u64, Vec<u8>)>,
    /// The new recovery code, if the account was recovered.
    pub(crate) recovery_code: Option<String>,
}

/// The account of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnAccount {
    pub(crate) name: Name,
    pub(crate) account: AccountId,
    pub(crate) root_key: PublicKey,
    pub(crate) device: DeviceId,
    pub(crate) certificate: Certificate,
    pub(crate) devices: SignedDeviceList,
}

/// A sign-up between the moment when everything for it was made and the directory's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingSignUp {
    pub(crate) request: SignUp,
    pub(crate) account: OwnAccount,
    pub(crate) recovery_code: String,
    pub(crate) book_key: StoredKey,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContactRecord {
    pub(crate) account: AccountId,
    pub(crate) root_key: PublicKey,
    /// As the directory says; absent until it was asked.
    pub(crate) name: Option<Name>,
    /// Whether the person at this node wrote to them.
    pub(crate) accepted: bool,
    /// Whether the directory knows that.
    pub(crate) accept_told: bool,
    /// The root key that the directory now gives for the name, if it is not this one.
    pub(crate) changed_to: Option<PublicKey>,
    /// When the person was last known to be online.
    pub(crate) last_seen: Option<Timestamp>,
    /// Whether the person at this node compared safety numbers.
    pub(crate) verified: bool,
    /// Whether nothing of theirs is taken, and nothing sent to them.
    pub(crate) blocked: bool,
    /// Whether the directory knows that.
    pub(crate) block_told: bool,
    /// Whether another key took this one's place.
    pub(crate) former: bool,
    /// The highest version of their device list that was seen.
    pub(crate) devices: Option<SignedDeviceList>,
    /// When the person at this node last said something about them: what merges books.
    pub(crate) changed_at: Timestamp,
    /// Whether their list may have changed while this device was outside, and nobody tells it again.
    pub(crate) list_missed: bool,
}

/// Where a conversation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// There is no group yet.
    Absent,
    /// This node made a group that the directory has perhaps accepted.
    Creating(Box<NewConversation>),
    /// There is a group, but this device is not in it or can't follow it.
    Lost,
    /// This node joined by an external commit that the directory has perhaps accepted.
    Rejoining(Box<CommitSubmission>),
    /// This device is a member.
    Active,
}

/// Whose a conversation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Two people's.
    Direct {
        /// The other one.
        peer: AccountId,
        /// Counts what was begun anew because nobody could come back into it.
        generation: u32,
    },
    /// A group's.
    Group(Box<GroupRecord>),
}

/// A conversation's bookkeeping; the MLS state is stored apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConversationRecord {
    pub(crate) id: ConversationId,
    pub(crate) kind: Kind,
    pub(crate) incarnation: u64,
    pub(crate) phase: Phase,
    /// A key refresh that was proposed and is not seen in the log yet.
    pub(crate) refresh: Option<CommitSubmission>,
    /// Whether this device joined by a last-resort key package and has not refreshed its keys since: until then it
    /// seals nothing.
    pub(crate) stale_keys: bool,
    /// This device's messages in the current epoch.
    pub(crate) sent_in_epoch: u32,
    /// When the current epoch began here.
    pub(crate) epoch_since: Timestamp,
    /// This device's next message.
    pub(crate) next_sequence: u64,
    /// Its next one for everybody.
    pub(crate) next_shared: u64,
    /// Hash of this device's last content for everybody.
    pub(crate) last_content: [u8; 32],
    /// The latest messages from others.
    pub(crate) latest: Vec<MessageId>,
    /// Devices that wrote here.
    pub(crate) senders: Vec<SenderRecord>,
    /// Who was at leaves that others have now: the senders of messages of past epochs.
    pub(crate) departed: Vec<Departed>,
    /// Texts of the other person that were shown here and not read yet, on any device.
    pub(crate) unread: u32,
    /// Whether this device came into it when others had talked already.
    pub(crate) joined_late: bool,
    /// The version of the own device list that was told in it.
    pub(crate) list_told: u64,
    /// Until when the person wants to hear less of it.
    pub(crate) muted_until: Option<Timestamp>,
    /// Entries of the latest ledger's checkpoint that was told in it.
    pub(crate) checkpoint_told: u64,
}

impl ConversationRecord {
    /// The other person of a direct conversation.
    pub(crate) fn peer(&self) -> Option<AccountId> {
        self.direct().map(|(peer, _)| peer)
    }

    /// The other person and the generation of a direct conversation.
    pub(crate) fn direct(&self) -> Option<(AccountId, u32)> {
        match &self.kind {
            Kind::Direct { peer, generation } => Some((*peer, *generation)),
            Kind::Group(_) => None,
        }
    }

    /// What is known of a group.
    pub(crate) fn group(&self) -> Option<&GroupRecord> {
        match &self.kind {
            Kind::Direct { .. } => None,
            Kind::Group(group) => Some(group),
        }
    }

    /// The same, to be changed.
    pub(crate) fn group_mut(&mut self) -> Option<&mut GroupRecord> {
        match &mut self.kind {
            Kind::Direct { .. } => None,
            Kind::Group(group) => Some(group),
        }
    }
}

/// What was taken in from one device in one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SenderRecord {
    pub(crate) device: DeviceId,
    pub(crate) account: AccountId,
    /// Everything below was shown or given up as a gap.
    pub(crate) next: u64,
    /// Given up, but welcome if they come after all.
    pub(crate) missing: Vec<u64>,
    /// Stored beyond `next`, waiting for what is before them.
    pub(crate) waiting: Vec<u64>,
    /// Hash of the last content for everybody before `next`.
    pub(crate) last_content: [u8; 32],
    /// Whether something before `next` is missing that no message shown since has told of.
    pub(crate) gap_untold: bool,
    /// What the device confirmed of our receipts.
    pub(crate) confirmed_below: u64,
    /// Whether the device must hear from us again.
    pub(crate) receipt_owed: bool,
    /// The person read everything below, on whichever device.
    pub(crate) read_below: u64,
}

/// An own message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboxRecord {
    pub(crate) id: MessageId,
    /// Absent for what is never shown.
    pub(crate) short: Option<ShortId>,
    pub(crate) conversation: ConversationId,
    pub(crate) sequence: u64,
    /// Its number for the other person's devices.
    pub(crate) shared: u64,
    /// Whether it is for one's own other devices alone.
    pub(crate) own_only: bool,
    /// The devices that were members when it was first sealed: one that came later gets it only if none of its account
    /// has it.
    pub(crate) addressed: Vec<DeviceId>,
    /// Postcard of the [`protocol::peer::Content`].
    pub(crate) content: BoundedBytes<{ protocol::limits::CIPHERTEXT_MAX }>,
    /// Towards the person: the best of their devices. In a group: towards whoever is furthest from having it.
    pub(crate) state: DeliveryState,
    /// The ciphertext, once it was sealed.
    pub(crate) sealed: Option<SealedRecord>,
    /// Devices whose copy the mailbox has custody of, and when it was asked to take it.
    pub(crate) in_mailbox: Vec<(DeviceId, Timestamp)>,
    /// Devices that have it.
    pub(crate) delivered: Vec<DeviceId>,
    /// In a group: who was in it when it was first sealed, but oneself. Nobody else ever gets it.
    pub(crate) rows: Vec<RowRecord>,
    /// Whether that is settled: nobody may have been there.
    pub(crate) settled: bool,
}

/// How far a message to a group has come towards one of its people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowRecord {
    pub(crate) account: AccountId,
    pub(crate) state: DeliveryState,
    /// Whether they had joined: whoever is only invited gets it too, but is not counted.
    pub(crate) counted: bool,
}

/// A ciphertext that is sent again as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedRecord {
    pub(crate) epoch: u64,
    pub(crate) ciphertext: BoundedBytes<{ protocol::limits::CIPHERTEXT_MAX }>,
}

/// A message that was opened and waits for one before it, or for its sender's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingRecord {
    pub(crate) conversation: ConversationId,
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) id: MessageId,
    pub(crate) stranger: bool,
    pub(crate) content: BoundedBytes<{ protocol::limits::CIPHERTEXT_MAX }>,
}

impl WaitingRecord {
    /// Key in the table: conversation, device, sequence.
    pub(crate) fn key(&self) -> Vec<u8> {
        waiting_key(self.conversation, self.device, self.sequence)
    }
}

/// Key of a [`WaitingRecord`].
pub(crate) fn waiting_key(conversation: ConversationId, device: DeviceId, sequence: u64) -> Vec<u8> {
    [conversation.0.as_slice(), &device.0, &sequence.to_be_bytes()].concat()
}
