//! What the directory answers, and what it says unasked.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Cursor, DepositResult, HandshakeBytes, KeyPackageBytes, LedgerReply, OpaqueMessage, TreeBytes};
use crate::{
    AccountId, Bounded, BoundedBytes, CommitHash, ConversationId, DeviceId, MessageId, Name, PublicKey, Timestamp,
    certificate::{SignedDeviceList, SignedReceipt},
    limits::{
        ADDRESSES_MAX, BOOK_MAX, DEPOSIT_MAX, DEVICES_MAX, DRAIN_MAX, ELSEWHERE_MAX, EPOCHS_MAX, LIST_MAX,
        ROOT_BACKUP_MAX,
    },
    peer::Envelope,
    policy::{Access, Role, SignedLeave},
};

/// What the directory answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; nothing more to say.
    Done,
    /// To [`super::Request::Ping`].
    Pong {
        /// The directory's clock.
        time: Timestamp,
        /// Where the connection comes from, as the directory sees it.
        observed: SocketAddr,
        /// The account that this connection's device is signed in to.
        account: Option<AccountId>,
        /// How one gets an account here.
        registration: Registration,
    },
    /// To [`super::Request::SignUpStart`].
    SignUpStarted {
        /// OPAQUE RegistrationResponse.
        registration: OpaqueMessage,
    },
    /// To [`super::Request::SignInStart`].
    SignInStarted {
        /// OPAQUE KE2.
        credential: OpaqueMessage,
    },
    /// To [`super::Request::SignUpFinish`] and [`super::Request::SignInFinish`].
    SignedIn {
        /// The account.
        account: AccountId,
        /// Its devices.
        devices: SignedDeviceList,
        /// The root key, sealed under the password's export key.
        root_backup: BoundedBytes<ROOT_BACKUP_MAX>,
        /// The sealed book, if there is one.
        book: Option<(u64, BoundedBytes<BOOK_MAX>)>,
        /// Whether this connection's device is one of the account's, and so signed in now.
        enrolled: bool,
    },
    /// To [`super::Request::Announce`].
    Announced {
        /// Where the connection comes from, as the directory sees it.
        observed: SocketAddr,
        /// The highest counter that this device ever announced: a lower own one means a copy.
        send_counter: u64,
        /// One-time key packages left.
        key_packages: u32,
        /// Whether a last-resort package is there.
        last_resort: bool,
    },
    /// To [`super::Request::LookUp`] and [`super::Request::ListOnline`].
    People(Bounded<Person, LIST_MAX>),
    /// To [`super::Request::Addresses`]; empty if nobody is online or none may be told.
    Addresses(Bounded<DeviceAddresses, DEVICES_MAX>),
    /// To [`super::Request::PublishKeyPackages`].
    KeyPackageStock {
        /// One-time packages left.
        left: u32,
    },
    /// To [`super::Request::TakeKeyPackages`].
    KeyPackages(Bounded<(DeviceId, KeyPackageBytes), DEVICES_MAX>),
    /// The commit counts. It comes through the mailbox to its author too, in its place among the messages.
    CommitAccepted,
    /// Another commit ended that epoch; it waits in the mailbox.
    CommitLost {
        /// The winner.
        winner: CommitHash,
    },
    /// The conversation exists; its Welcome or GroupInfo leads in.
    ConversationExists,
    /// To [`super::Request::Group`].
    Group {
        /// The current epoch.
        epoch: u64,
        /// Its GroupInfo.
        group_info: HandshakeBytes,
        /// Its tree.
        tree: TreeBytes,
    },
    /// To [`super::Request::Deposit`], in the same order.
    Deposited(Bounded<DepositResult, DEPOSIT_MAX>),
    /// To [`super::Request::Drain`].
    Mail {
        /// In order.
        items: Bounded<(Cursor, MailItem), DRAIN_MAX>,
        /// Whether more waits behind the last one.
        more: bool,
    },
    /// To [`super::Request::Account`].
    Account {
        /// The device list.
        devices: SignedDeviceList,
        /// Each of its devices.
        seen: Bounded<DeviceSeen, DEVICES_MAX>,
        /// Version of the book; zero if there is none.
        book_version: u64,
        /// Direct conversations that the account is in and the asking device is not, the first so many: a device that was
        /// the only one to know of one may be gone before it could write it into the book.
        elsewhere: Bounded<ConversationId, ELSEWHERE_MAX>,
    },
    /// To [`super::Request::Book`]: version and sealed book, if there is one.
    Book(Option<(u64, BoundedBytes<BOOK_MAX>)>),
    /// To [`super::Request::RecoveryStart`].
    RecoveryStarted {
        /// OPAQUE RegistrationResponse.
        registration: OpaqueMessage,
        /// The account's devices.
        devices: SignedDeviceList,
        /// The root key, sealed under the recovery code.
        recovery_backup: BoundedBytes<ROOT_BACKUP_MAX>,
    },
    /// To [`super::Request::Settling`]: connected devices that have not taken all of these commits from their mailboxes.
    Settling {
        /// How many.
        devices: u32,
    },
    /// To [`super::Request::ListGroups`] and [`super::Request::FindGroup`].
    Groups(Bounded<GroupListing, LIST_MAX>),
    /// To [`super::Request::Ledger`].
    Ledger(Box<LedgerReply>),
    /// To [`super::Request::Epochs`], in the same order: the present epochs; `None` where the asking device has no place, or
    /// its account is leaving.
    Epochs(Bounded<Option<u64>, EPOCHS_MAX>),
}

/// What the directory tells of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupListing {
    /// The group.
    pub conversation: ConversationId,
    /// Its name.
    pub name: Name,
    /// Open or by invitation.
    pub access: Access,
    /// Accounts that have joined.
    pub members: u32,
    /// What the asker is in it; `None` for whoever is not in it.
    pub role: Option<Role>,
}

/// When a device of one's own was last there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSeen {
    /// The device.
    pub device: DeviceId,
    /// Whether it is connected.
    pub online: bool,
    /// When it was last connected.
    pub last_seen: Option<Timestamp>,
}

/// How one gets an account at a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// Anybody.
    Open,
    /// Whoever has an invite code.
    Invite,
    /// Nobody.
    Closed,
}

/// What the directory tells of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: Name,
    /// Its devices, signed by its root key.
    pub devices: SignedDeviceList,
    /// Whether one of them is connected.
    pub online: bool,
    /// When one was last connected, if the asker may know.
    pub last_seen: Option<Timestamp>,
}

/// Where a device can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAddresses {
    /// The device.
    pub device: DeviceId,
    /// Key of its TLS certificate: what to pin.
    pub tls_key: PublicKey,
    /// Announced and observed addresses.
    pub addresses: Bounded<SocketAddr, ADDRESSES_MAX>,
}

/// One thing in a device's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MailItem {
    /// A sealed message.
    Message {
        /// The message.
        envelope: Envelope,
        /// Whether the recipient had accepted the sender when it came.
        stranger: bool,
    },
    /// A conversation that this device was added to.
    Welcome {
        /// The conversation.
        conversation: ConversationId,
        /// The Welcome, for every device that was added at once.
        welcome: HandshakeBytes,
        /// The tree that goes with it.
        tree: TreeBytes,
    },
    /// A commit that was accepted, the device's own too.
    Commit {
        /// The conversation.
        conversation: ConversationId,
        /// The epoch that it ends.
        epoch: u64,
        /// The commit.
        commit: HandshakeBytes,
    },
    /// A receipt for messages of this device.
    Receipt(SignedReceipt),
    /// A message of this device was not collected in time and is gone.
    Expired {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        id: MessageId,
        /// The device that never came for it.
        recipient: DeviceId,
    },
    /// Somebody leaves a group: any other member grants it by a commit.
    Leave {
        /// The group.
        conversation: ConversationId,
        /// The request.
        leave: SignedLeave,
    },
}

/// What the directory says unasked. Each is a hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Push {
    /// Something waits in the mailbox.
    Mail,
    /// Somebody came or went.
    Presence {
        /// Who.
        account: AccountId,
        /// By name.
        name: Name,
        /// Came or went.
        online: bool,
    },
    /// Key packages run low.
    KeyPackagesLow,
    /// The directory shuts down and will close the connection.
    Closing,
    /// One's own devices or book changed.
    Account,
    /// One's own money or requests changed.
    Ledger,
}
