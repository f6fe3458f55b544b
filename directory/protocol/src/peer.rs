//! What two nodes say to each other, and what is inside a message's ciphertext.
//!
//! Each direction of a peer connection has one long stream of [`PeerFrame`]s, opened by its writer. Every frame may be
//! repeated, lost with its connection, or arrive long after its time: receivers are idempotent.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Bounded, BoundedBytes, BoundedText, ConversationId, DeviceId, MessageId, Name, RequestId, Timestamp,
    certificate::{Certificate, SignedDeviceList, SignedReceipt},
    file::{EnclosedFile, FileNotice, FileOffer},
    limits::{CIPHERTEXT_MAX, CLOSING_REASON_MAX, READ_MARKS_MAX, REASON_MAX, SEEN_MAX, TEXT_MAX},
    money::{Amount, ClosingKind, MemoOpening, SettledEntry, SignedOrder, SignedRequest, VouchedCheckpoint},
};

/// One frame from a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerFrame {
    /// First frame of each direction: who speaks. The receiver checks that the certificate's TLS key is the
    /// connection's and closes otherwise.
    Hello(Hello),
    /// A sealed message. The receiver stores it and owes a [`PeerFrame::Receipt`].
    Message(Envelope),
    /// The receiver's word about messages. The sender of those messages stores it and answers
    /// [`PeerFrame::ReceiptStored`].
    Receipt(SignedReceipt),
    /// A receipt is stored; it need not be sent again.
    ReceiptStored {
        /// The receipt's conversation.
        conversation: ConversationId,
        /// The receipt's `delivered_below`.
        delivered_below: u64,
        /// The receipt's `read_below`.
        read_below: u64,
    },
    /// The message can't be opened here and why; the sender seals it anew or leaves it to the mailbox.
    Refused {
        /// Which message.
        id: MessageId,
        /// Why.
        reason: PeerRefusal,
    },
}

/// Who speaks on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The speaking device's certificate.
    pub certificate: Certificate,
    /// Version of the device list that the speaker knows of itself.
    pub list_version: u64,
    /// The highest sequence number that the speaker has seen from the listening device, over all conversations: a
    /// listener with a lower own counter was copied or restored.
    pub echo: u64,
}

/// Why a peer did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRefusal {
    /// The receiver is not in that conversation, or no longer under that incarnation.
    UnknownConversation,
    /// The epoch is not kept any more.
    EpochGone,
    /// The ciphertext does not open.
    Unreadable,
    /// Too much waits already; the mailbox is the better way.
    Full,
}

/// A sealed message with what its carriers need to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The conversation.
    pub conversation: ConversationId,
    /// The MLS epoch it was sealed in.
    pub epoch: u64,
    /// The device that sealed it.
    pub sender: DeviceId,
    /// Its id; the ciphertext's authenticated data.
    pub id: MessageId,
    /// An MLS PrivateMessage.
    pub ciphertext: BoundedBytes<CIPHERTEXT_MAX>,
}

/// What a ciphertext holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The message's id: equal to the ciphertext's authenticated data.
    pub id: MessageId,
    /// Counts this device's messages in this conversation, from 0: what the other devices of its account count by.
    pub sequence: u64,
    /// Counts those of them that are for everybody in it: what everybody else counts by. One that is for the account's
    /// own devices alone has the number of the next.
    pub shared: u64,
    /// SHA-256 of the sender's previous [`Content`] bytes for everybody in this conversation; zeros for the first.
    pub previous: [u8; 32],
    /// Ids of the latest messages from others that the sender had seen.
    pub seen: Bounded<MessageId, SEEN_MAX>,
    /// The sender's clock: a label, no more.
    pub sent_at: Timestamp,
    /// The latest checkpoint of the ledger that the sender knows, if it was not told in this conversation before: so two
    /// people notice when they were shown different ledgers, or different keys for one.
    pub checkpoint: Option<Box<VouchedCheckpoint>>,
    /// What it says.
    pub body: Body,
}

/// Kinds of content. Append-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Words.
    Text(BoundedText<TEXT_MAX>),
    /// The sender's account has these devices now. Not shown; whoever gets it keeps the highest version, and so notices
    /// a directory that shows an older one.
    Devices(SignedDeviceList),
    /// To one's own other devices: everything of these devices below these numbers was read. Not shown.
    Read(Bounded<ReadMark, READ_MARKS_MAX>),
    /// The sender pays, or has paid, the recipient.
    Payment(Box<PaymentNotice>),
    /// The sender asks the recipient for money.
    Request(Box<RequestNotice>),
    /// The sender ended a request of or to the recipient, and why: the ledger knows no reasons.
    Closed(ClosedNotice),
    /// The sender offers a file or a folder.
    FileOffer(Box<FileOffer>),
    /// A word about an offer in this conversation.
    FileNotice(FileNotice),
    /// The sender offers a file or a folder that is small enough to come with its offer: it is there though the sender is
    /// away.
    FileEnclosed(Box<EnclosedFile>),
}

/// A payment, told by its payer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentNotice {
    /// The order. Whoever gets it may hand it to the ledger too: it settles once.
    pub order: SignedOrder,
    /// What its commitment commits to.
    pub opening: MemoOpening,
    /// The certificate of the device that signed.
    pub certificate: Certificate,
    /// That it was settled, if the payer knows already.
    pub receipt: Option<SettledEntry>,
}

/// A request, told by its payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestNotice {
    /// The request.
    pub request: SignedRequest,
    /// What its commitment commits to.
    pub opening: MemoOpening,
    /// The certificate of the device that signed.
    pub certificate: Certificate,
    /// The group that a larger sum was split over, if it was.
    pub share: Option<GroupShare>,
}

/// What a request is a share of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupShare {
    /// Names the whole, the same for each share.
    pub whole: RequestId,
    /// The group.
    pub group: Name,
    /// The sum that was split.
    pub total: Amount,
    /// Over how many, the asker included.
    pub shares: u32,
}

/// The end of a request without a payment, told by whoever ended it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedNotice {
    /// The request's payee.
    pub payee: AccountId,
    /// The request.
    pub request: RequestId,
    /// How it ended.
    pub kind: ClosingKind,
    /// Why; empty for nothing.
    pub reason: BoundedText<CLOSING_REASON_MAX>,
}

/// How far a device's messages in one conversation were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMark {
    /// Whose messages.
    pub device: DeviceId,
    /// Every one with a sequence number below this was read.
    pub below: u64,
}

/// Why a connection is closed, as its application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// Nothing more to say.
    Done = 0,
    /// A frame was malformed or out of its limits.
    Malformed = 1,
    /// The certificate does not match the connection's key, or the account is not one to talk to.
    NotWelcome = 2,
    /// Too many requests, streams or bytes.
    TooMuch = 3,
    /// The program is shutting down; come back later.
    ShuttingDown = 4,
    /// Another connection of the same pair took this one's place.
    Superseded = 5,
    /// The session was ended by signing out.
    SignedOut = 6,
    /// Nothing was heard in time.
    Idle = 7,
}

impl CloseCode {
    /// The words that go with the code over the wire and in logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Malformed => "malformed frame",
            Self::NotWelcome => "not welcome",
            Self::TooMuch => "too much",
            Self::ShuttingDown => "shutting down",
            Self::Superseded => "superseded",
            Self::SignedOut => "signed out",
            Self::Idle => "idle",
        }
    }
}

/// A reason in words that crosses the wire.
pub type Reason = BoundedText<REASON_MAX>;
