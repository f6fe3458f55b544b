//! The promises that can be broken, one variant each.

use node_core::event::{DeliveryState, Event};
use protocol::{ConversationId, MessageId};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A message was durably queued, never failed, and was not shown after everything had healed.
    Lost {
        /// Which.
        uid: MessageId,
        /// Who wrote it.
        from: String,
        /// To whom.
        to: String,
        /// Which of theirs.
        index: usize,
        /// What its sender believes.
        state: DeliveryState,
    },
    /// A message was shown twice.
    ShownTwice {
        /// Which.
        uid: MessageId,
    },
    /// A message was shown that nobody sent.
    ShownUnsent {
        /// Under which id.
        uid: MessageId,
        /// What.
        text: String,
    },
    /// A message was shown to the wrong person, with the wrong sender or with other words.
    ShownWrong {
        /// Which.
        uid: MessageId,
        /// What was shown.
        text: String,
    },
    /// An event was shown that the event log does not hold.
    ShownNotDurable {
        /// Which.
        event: Box<Event>,
    },
    /// A message was shown although one before it was missing, and nothing said so.
    HiddenGap {
        /// Which.
        uid: MessageId,
        /// How many were passed over.
        skipped: usize,
    },
    /// A command ended with a message that the sender's store does not hold.
    AcknowledgedNotDurable {
        /// Which.
        uid: MessageId,
    },
    /// Something was queued that nobody asked to send.
    NotIntended {
        /// Which.
        uid: MessageId,
        /// What.
        text: String,
    },
    /// A message was queued twice under one id.
    QueuedTwice {
        /// Which.
        uid: MessageId,
    },
    /// The state of a message went back.
    StateBackwards {
        /// Which.
        uid: MessageId,
        /// From.
        before: DeliveryState,
        /// To.
        after: DeliveryState,
    },
    /// A text was queued again, under another id, while its first message had not failed.
    QueuedAgain {
        /// The first one.
        first: MessageId,
        /// The other.
        again: MessageId,
    },
    /// A message failed before the mailbox can have given it up.
    FailedEarly {
        /// Which.
        uid: MessageId,
    },
    /// A message failed, and its sender's event log does not say so, and why.
    FailedSilently {
        /// Which.
        uid: MessageId,
    },
    /// A sender believes that a message is delivered, and the recipient's store does not hold it.
    DeliveredNotDurable {
        /// Which.
        uid: MessageId,
    },
    /// The event log's numbers have a gap or repeat.
    SequenceGap {
        /// The next number.
        expected: u64,
        /// What came.
        found: Option<u64>,
    },
    /// Somebody's words crossed a wire unsealed.
    PlaintextOnWire {
        /// Where.
        what: &'static str,
    },
    /// Somebody's store holds words that were not theirs to read.
    ForeignPlaintext {
        /// Whose store.
        holder: String,
    },
    /// The search for plaintext does not find what is there.
    ControlFailed {
        /// Whose store.
        holder: String,
    },
    /// One message key sealed two different ciphertexts that both left.
    KeyReuse {
        /// In which conversation.
        conversation: ConversationId,
        /// In which epoch.
        epoch: u64,
    },
    /// After healing, two members of a conversation are not in the same epoch.
    Disagreement {
        /// Of which conversation.
        conversation: ConversationId,
        /// The epochs that their latest messages were sealed in.
        epochs: Vec<u64>,
    },
    /// After healing, somebody still has something to do.
    NotIdle {
        /// Who.
        node: String,
        /// Messages that are neither shown nor failed.
        pending: usize,
    },
    /// Somebody was told of a change of devices that did not happen, twice of one that did, or not at all.
    DeviceChangeTold {
        /// Who was told, or was not.
        node: String,
        /// Of what.
        what: String,
    },
    /// Somebody was told of another root key; nobody's changes.
    KeyChangeTold {
        /// Who.
        node: String,
    },
    /// A revoked device shows what was sent by somebody who knew that it was revoked.
    ReadAfterRevocation {
        /// Which message.
        uid: MessageId,
        /// On which device.
        node: String,
    },
    /// After healing, a message is not shown on every device of its sender and its recipient.
    NotEverywhere {
        /// Which.
        uid: MessageId,
        /// Where it is missing.
        node: String,
    },
    /// Two machines are one device.
    OneDeviceTwice {
        /// One of them.
        node: String,
    },
    /// Two members of a group are in the same epoch and hold different secrets, or take different people for members.
    Fork {
        /// One of them.
        node: String,
        /// Of which group.
        conversation: ConversationId,
        /// The epoch.
        epoch: u64,
    },
    /// A member's epochs of a group went back, or it is in one that the directory has never heard of.
    Astray {
        /// Whose.
        node: String,
        /// Of which group, and how.
        what: String,
    },
    /// What a member was told of a group's changes is not what happened, in that order, once each.
    MemberChangeTold {
        /// Who was told.
        node: String,
        /// Of what.
        what: String,
    },
    /// Somebody was shown a message of a group that was sealed when they were not in it.
    ReadByOutsider {
        /// Which.
        uid: MessageId,
        /// Who.
        node: String,
    },
    /// A message of a group was put into the mailbox of somebody who is not in it.
    DeliveredToOutsider {
        /// Which.
        uid: MessageId,
        /// Whose device.
        device: String,
    },
    /// Somebody who was kicked is in the group without having been invited since.
    BannedIsIn {
        /// Who, and where.
        what: String,
    },
    /// Keys that an ex-member kept open what was sealed after they went.
    KeptKeysOpen {
        /// Whose.
        node: String,
        /// A message of which epoch.
        epoch: u64,
    },
    /// After healing, a device is not in a group of its account's, or is in one that its account is not in.
    Misplaced {
        /// Which.
        node: String,
        /// In which group, and how.
        what: String,
    },
    /// The ledger's books do not add up, or its log is not what its checkpoint says.
    Unbalanced {
        /// Where, and how.
        what: String,
    },
    /// An order was settled twice.
    SettledTwice {
        /// Which.
        what: String,
    },
    /// A request was paid twice, or by what it does not ask for.
    RequestPaidTwice {
        /// Which.
        what: String,
    },
    /// Somebody was told that the ledger has something, and it has not.
    ToldNotKept {
        /// Who.
        node: String,
        /// What.
        what: String,
    },
    /// Somebody was told that something was not done, and the ledger has it.
    DeniedAndDone {
        /// Who.
        node: String,
        /// What.
        what: String,
    },
    /// After healing, it is still not known what became of an order, a request or its end.
    Undecided {
        /// To whom, or of what.
        what: String,
    },
    /// A device's payments are not what the ledger has of its account, each told once.
    PaymentTold {
        /// Which device.
        node: String,
        /// How.
        what: String,
    },
    /// A device's requests do not stand as the ledger has them, or it was told otherwise.
    RequestTold {
        /// Which device.
        node: String,
        /// How.
        what: String,
    },
    /// A node found fault with what honest others, or an honest ledger, said of money.
    LedgerDoubted {
        /// Which.
        node: String,
        /// With what.
        what: String,
    },
    /// A core found one of its own invariants broken.
    Bug {
        /// Whose.
        node: String,
        /// What it says.
        what: String,
    },
    /// A core could not be opened from what it had stored itself.
    CannotOpen {
        /// Whose.
        node: String,
        /// Why.
        error: String,
    },
    /// A command failed in a way that no weather explains.
    UnexpectedFailure {
        /// Whose.
        node: String,
        /// What was asked, and how it failed.
        what: String,
    },
}

impl Violation {
    /// The name of the broken promise, without its particulars.
    #[must_use]
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    }
}
