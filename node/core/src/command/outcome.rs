//! What comes of a command.

use protocol::{
    MessageId, Name, Timestamp,
    policy::{Access, Role},
};

use super::{FileOutcome, MoneyLine, MoneyOutcome};
use crate::event::{DeliveryState, MemberChange, Money, ShortId, Trust};

/// What a command that succeeded returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to say.
    Done,
    /// SIGNUP.
    SignedUp {
        /// The canonical name.
        name: Name,
        /// Opens the account when the password is lost; shown once.
        recovery_code: String,
    },
    /// SIGNIN.
    SignedIn {
        /// The canonical name.
        name: Name,
        /// Whether the directory answered; `false` means that the profile is open, but offline.
        online: bool,
        /// Messages that came in on the way.
        unread: usize,
    },
    /// SIGNOUT.
    SignedOut,
    /// WHOAMI.
    WhoAmI {
        /// The canonical name.
        name: Name,
        /// Account id in hexadecimal.
        account: String,
        /// Device id in hexadecimal.
        device: String,
        /// Fingerprint of the root key in hexadecimal.
        fingerprint: String,
    },
    /// PING.
    Pong {
        /// Round trip in milliseconds.
        round_trip_ms: u64,
    },
    /// SEND and RESEND.
    Sent {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: MessageId,
        /// To whom.
        to: Name,
        /// What is certain of it now.
        state: DeliveryState,
    },
    /// SEND GROUP.
    SentGroup {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: MessageId,
        /// To which group.
        group: Name,
        /// What is certain of it now, person by person, by name; whoever came or went meanwhile is not in it.
        recipients: Vec<(Name, DeliveryState)>,
    },
    /// LIST and CONTACTS.
    People {
        /// Sorted by name.
        people: Vec<PersonView>,
        /// Sorted by name; none where only people were asked for.
        groups: Vec<GroupView>,
        /// The balance as it is known here; absent for CONTACTS, and before the directory told it.
        balance: Option<Money>,
    },
    /// MEMBERS.
    Members {
        /// Of which group.
        group: Name,
        /// Owners first, then by name; those who are only invited last.
        members: Vec<MemberView>,
    },
    /// AskMembers: accounts that have joined.
    MemberCount(u32),
    /// HISTORY.
    History {
        /// Oldest first.
        messages: Vec<HistoryEntry>,
    },
    /// SEARCH.
    Found {
        /// The latest that were found, oldest first.
        messages: Vec<HistoryEntry>,
        /// Whether there are older ones.
        more: bool,
    },
    /// STATUS.
    Status(StatusView),
    /// AskOnline.
    Online(bool),
    /// AskState.
    State(DeliveryState),
    /// DEVICES.
    Devices {
        /// In the order in which they came.
        devices: Vec<DeviceView>,
    },
    /// VERIFY without a code.
    SafetyNumber {
        /// With whom.
        user: Name,
        /// Twelve groups of five digits.
        number: String,
        /// What is known of their key; if it changed, the number is of the new one.
        trust: Trust,
        /// Whether it is wanted as a picture too.
        picture: bool,
    },
    /// VERIFY and TRUST with a code that is right.
    Verified {
        /// Who.
        user: Name,
    },
    /// UNREAD.
    Unread {
        /// Who wrote how many texts that were not read yet, by name.
        people: Vec<(Name, u32)>,
        /// In which groups how many were not read yet, by name.
        groups: Vec<(Name, u32)>,
    },
    /// RECOVER.
    Recovered {
        /// The canonical name.
        name: Name,
        /// Opens the account from now on when the password is lost; shown once. Absent if the answer was lost and
        /// another node printed it.
        recovery_code: String,
    },
    /// Of whatever is about money.
    Money(MoneyOutcome),
    /// Of whatever is about files.
    File(FileOutcome),
}

/// One device of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// In hexadecimal.
    pub device: String,
    /// Whether it is this one.
    pub this: bool,
    /// Whether it is connected.
    pub online: bool,
    /// When it was last connected.
    pub last_seen: Option<Timestamp>,
    /// When its certificate ends.
    pub not_after: Timestamp,
}

/// One person in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonView {
    /// Name.
    pub name: Name,
    /// Whether the person is online, as far as the directory tells.
    pub online: bool,
    /// When last seen.
    pub last_seen: Option<Timestamp>,
    /// Whether a contact: written to, accepted or trusted, or in one of one's own groups.
    pub contact: bool,
    /// State of the person's key.
    pub trust: Trust,
    /// Fingerprint of the pinned root key in hexadecimal.
    pub fingerprint: String,
}

/// One group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Name.
    pub name: Name,
    /// How many have joined.
    pub members: u32,
    /// What this account is in it; absent if it is not in it.
    pub role: Option<Role>,
    /// Open or by invitation.
    pub access: Access,
    /// Texts that were not read yet.
    pub unread: u32,
    /// Whether it is muted now.
    pub muted: bool,
}

/// One person in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Name.
    pub name: Name,
    /// What they are in it.
    pub role: Role,
    /// Whether they are online, as far as the directory tells.
    pub online: bool,
    /// State of their key; one's own is verified.
    pub trust: Trust,
    /// How many of their devices are in it.
    pub devices: usize,
    /// Whether it is oneself.
    pub this: bool,
}

/// What happened to somebody in a group, as a line of its history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MemberLine {
    /// To whom.
    pub user: Name,
    /// What.
    pub change: MemberChange,
}

/// One message of the past, one change of who is in a group, or something about money between two people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HistoryEntry {
    /// Short id.
    pub id: ShortId,
    /// 128-bit id.
    pub uid: MessageId,
    /// Who wrote it, did it, pays or asks.
    pub from: Name,
    /// To whom; the group's name, if it was said in one.
    pub to: Name,
    /// What; empty for a change. A memo or a reason, where it is about money.
    pub text: String,
    /// When it was stored here.
    pub at: Timestamp,
    /// The sender's clock.
    pub sent_at: Timestamp,
    /// State, of one's own messages.
    pub state: Option<DeliveryState>,
    /// Whether messages before it are missing.
    pub gap: bool,
    /// Whether it was said in the group that `to` names.
    pub in_group: bool,
    /// What happened to whom, if it is no message.
    pub member: Option<MemberLine>,
    /// What was paid, asked for or ended, if it is no message: called by an id of its own.
    pub money: Option<MoneyLine>,
}

/// What STATUS shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusView {
    /// Signed in as.
    pub name: Option<Name>,
    /// Whether the directory is connected.
    pub online: bool,
    /// Addresses under which this node can be reached, as text.
    pub addresses: Vec<String>,
    /// Peers connected directly.
    pub peers: Vec<Name>,
    /// Payments whose outcome is not known yet.
    pub unknown: usize,
    /// Messages that are queued here only.
    pub queued: usize,
    /// Messages that the mailbox has custody of.
    pub sent: usize,
    /// Files that somebody has accepted and does not have yet.
    pub files: usize,
    /// Conversations.
    pub conversations: usize,
}
