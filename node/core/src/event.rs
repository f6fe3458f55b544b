//! What a node tells whoever watches it. Text and JSON are made of these by the node's view.

mod file;
mod money;

use std::fmt;

use protocol::{MessageId, Name, OrderId, RequestId, Timestamp, directory::RequestState};
use serde::{Deserialize, Serialize};

pub use self::file::{FileEvent, FileProgress};
pub use self::money::{LedgerState, Money, PaymentState, request_word};
pub use crate::crypto::mls::MemberChange;

/// A short id that people type: a letter for the kind and a number that a profile never reuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ShortId {
    /// `m12`.
    Message(u64),
    /// `r7`.
    Request(u64),
    /// `p19`.
    Payment(u64),
    /// `f3`.
    File(u64),
}

impl ShortId {
    /// What stands behind its letter.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Message(number) | Self::Request(number) | Self::Payment(number) | Self::File(number) => number,
        }
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(number) => write!(f, "m{number}"),
            Self::Request(number) => write!(f, "r{number}"),
            Self::Payment(number) => write!(f, "p{number}"),
            Self::File(number) => write!(f, "f{number}"),
        }
    }
}

/// State of a message towards one recipient. The order is the order of progress; `Failed` stands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Durable here.
    Queued,
    /// The mailbox has custody.
    Sent,
    /// Stored on the recipient's device, signed by it.
    Delivered,
    /// Read there.
    Read,
    /// It will not arrive; RESEND may help.
    Failed,
}

impl DeliveryState {
    /// The word in events, scripts and history.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }
}

/// What is known of a person's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trust {
    /// Pinned on first use.
    Pinned,
    /// Compared by the person.
    Verified,
    /// Changed since it was pinned.
    Changed,
    /// Not accepted yet.
    Stranger,
}

impl Trust {
    /// The word in events.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Verified => "verified",
            Self::Changed => "changed",
            Self::Stranger => "stranger",
        }
    }
}

/// State of the connection to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConnectionState {
    /// Connected and signed in.
    Online,
    /// Not connected.
    Offline,
    /// Signed out.
    SignedOut,
}

impl ConnectionState {
    /// The word in events.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::SignedOut => "signed_out",
        }
    }
}

/// An event with its place in the profile's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up without a gap per profile; absent for what is not kept.
    pub seq: Option<u64>,
    /// When it happened here.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. Append-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A message arrived.
    Message {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: MessageId,
        /// Who wrote it.
        from: Name,
        /// What.
        text: String,
        /// The sender's clock.
        sent_at: Timestamp,
        /// What is known of the sender's key.
        trust: Trust,
        /// Whether messages before it are missing.
        gap: bool,
        /// To whom, if it is one's own from another device; the group, if it was said in one.
        to: Option<Name>,
        /// In which group, if in one.
        group: Option<Name>,
        /// Whether nobody wants to hear of it now: it is in the history, and for programs.
        muted: bool,
    },
    /// One's own message made progress.
    Receipt {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: MessageId,
        /// To whom.
        to: Name,
        /// How far.
        state: DeliveryState,
        /// Why it failed.
        reason: Option<String>,
        /// In which group, if in one: then each of its people has a state of their own.
        group: Option<Name>,
    },
    /// Somebody came or went. Not kept.
    Presence {
        /// Who.
        user: Name,
        /// Came or went.
        online: bool,
    },
    /// A person's root key is not the pinned one.
    KeyChanged {
        /// Who.
        user: Name,
        /// The new key's fingerprint in hexadecimal.
        fingerprint: String,
    },
    /// The connection to the directory changed. Kept.
    Connection {
        /// To what.
        state: ConnectionState,
    },
    /// A person's devices, or one's own, changed.
    Device {
        /// Whose.
        user: Name,
        /// The device in hexadecimal.
        device: String,
        /// How.
        change: DeviceChange,
    },
    /// Somebody came into a group, went, or is something else in it now; one's own changes too. In the order of the
    /// group's commits.
    Member {
        /// Which group.
        group: Name,
        /// Who.
        user: Name,
        /// Who did it; the same person, if they did it themselves.
        by: Name,
        /// What.
        change: MemberChange,
    },
    /// Money came or went: once for each entry of the ledger that is this account's, also for what this device paid.
    Payment {
        /// Short id.
        id: ShortId,
        /// 128-bit id: the order's.
        uid: OrderId,
        /// Who paid; absent if the operator issued it.
        from: Option<Name>,
        /// Who was paid; absent if nobody knows them by name any more.
        to: Option<Name>,
        /// How much.
        amount: Money,
        /// What for; absent if the payer did not say within a few seconds.
        memo: Option<String>,
        /// One's own balance right after it.
        balance: Money,
        /// Its place in the ledger.
        ledger_seq: u64,
        /// The request that it answers.
        request: Option<ShortId>,
        /// The payment that it gives back.
        refund_of: Option<ShortId>,
    },
    /// Somebody asks this account for money.
    Request {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: RequestId,
        /// Who asks.
        from: Name,
        /// Who is asked: oneself.
        to: Name,
        /// The group that a larger sum was split over.
        group: Option<Name>,
        /// That sum.
        total: Option<Money>,
        /// How much is asked for.
        amount: Money,
        /// What for.
        memo: String,
        /// Until when it can be paid.
        expires_at: Timestamp,
    },
    /// A request to or from this account is over, or was refunded.
    Closed {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: RequestId,
        /// How it ended.
        state: RequestState,
        /// The payment that paid it, or gave it back.
        payment: Option<ShortId>,
        /// Why, if whoever ended it said so.
        reason: Option<String>,
    },
    /// The ledger is not what the directory signed before; or it is again.
    Ledger {
        /// What was noticed.
        state: LedgerState,
    },
    /// A file that is offered, here or by this node, has come to another state.
    File(Box<FileEvent>),
    /// Some of a file's bytes have arrived, here or there. Not kept.
    Progress(Box<FileProgress>),
}

impl MemberChange {
    /// The word in events, scripts and history.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Left => "left",
            Self::Invited => "invited",
            Self::Removed => "removed",
            Self::Promoted => "promoted",
            Self::Demoted => "demoted",
        }
    }
}

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceChange {
    /// It came.
    Added,
    /// Its account removed it.
    Revoked,
}

impl DeviceChange {
    /// The word in events.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Revoked => "revoked",
        }
    }
}
