//! What a node asks of the directory, what it answers, and what it says unasked.
//!
//! Each [`Request`] has a bidirectional stream of its own: one frame, then the end; the answer is one
//! `Result<`[`Reply`]`, `[`Refusal`]`>`. Every request may be repeated after a lost connection and then has the same
//! effect once and the same answer. [`Push`]es come on one stream that the directory opens; they are hints, and whoever
//! misses one finds the same by asking.
//!
//! Before a device has signed up or in, only [`Request::Ping`] and the `SignUp…` and `SignIn…` requests are answered.
//! Afterwards the device's TLS key says who asks; reconnecting needs no password.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Bounded, BoundedBytes, BoundedText, CommitHash, ConversationId, DeviceId, MessageId, Name, PublicKey,
    Timestamp,
    certificate::{SignedDeviceList, SignedReceipt},
    limits::{
        ADDRESSES_MAX, BOOK_MAX, DEPOSIT_MAX, DEVICES_MAX, DRAIN_MAX, HANDSHAKE_MAX, INVITE_MAX, KEY_PACKAGE_MAX,
        KEY_PACKAGES, LIST_MAX, LOOK_UP_MAX, OPAQUE_MAX, RECIPIENTS_MAX, REMOVE_MAX, ROOT_BACKUP_MAX, TREE_MAX,
    },
    peer::{Envelope, Reason},
    policy::PolicyRefusal,
};

/// One OPAQUE message (RFC 9807), opaque here.
pub type OpaqueMessage = BoundedBytes<OPAQUE_MAX>;
/// An MLS commit, Welcome or GroupInfo without its tree, as an MLSMessage.
pub type HandshakeBytes = BoundedBytes<HANDSHAKE_MAX>;
/// An exported MLS ratchet tree.
pub type TreeBytes = BoundedBytes<TREE_MAX>;
/// An MLS KeyPackage, as an MLSMessage.
pub type KeyPackageBytes = BoundedBytes<KEY_PACKAGE_MAX>;
/// A place in one device's mailbox; says nothing but the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor(pub u64);

/// What a node asks. Each variant says what the directory does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Answers [`Reply::Pong`].
    Ping,
    /// Starts a registration; nothing is kept. Answers [`Reply::SignUpStarted`].
    SignUpStart {
        /// The name wished for.
        name: Name,
        /// An invite code, where the directory asks for one.
        invite: Option<BoundedText<INVITE_MAX>>,
        /// OPAQUE RegistrationRequest.
        registration: OpaqueMessage,
    },
    /// Makes the account, with this connection's device as its first, signed in. Answers [`Reply::SignedIn`].
    SignUpFinish(Box<SignUp>),
    /// Starts a sign-in; the answer is alike for unknown names. Answers [`Reply::SignInStarted`].
    SignInStart {
        /// The account's name.
        name: Name,
        /// OPAQUE KE1.
        credential: OpaqueMessage,
    },
    /// Proves the password on the same connection as the start. If this connection's device is the account's, it is
    /// signed in. Answers [`Reply::SignedIn`].
    SignInFinish {
        /// OPAQUE KE3.
        credential: OpaqueMessage,
    },
    /// Ends this device's session at once: presence goes, and its TLS key says nothing until it signs in again.
    /// Answers [`Reply::Done`].
    SignOut,
    /// Announces where this device can be reached and renews its presence for [`crate::limits::LEASE_MS`]. Answers
    /// [`Reply::Announced`].
    Announce {
        /// The device's own idea of its addresses.
        addresses: Bounded<SocketAddr, ADDRESSES_MAX>,
        /// The highest counter of messages sent that this device holds.
        send_counter: u64,
    },
    /// Finds people. Unknown ones are absent from the answer. Answers [`Reply::People`].
    LookUp {
        /// Names or accounts.
        who: Bounded<Who, LOOK_UP_MAX>,
    },
    /// Lists people whom the asker may see as online, by name, after `after`. Answers [`Reply::People`].
    ListOnline {
        /// The last name of the page before.
        after: Option<Name>,
    },
    /// From now on these accounts may learn this account's addresses and are no strangers to it. Answers
    /// [`Reply::Done`].
    Accept {
        /// Accounts that this account wrote to, accepted or trusts.
        accounts: Bounded<AccountId, LOOK_UP_MAX>,
    },
    /// Tells the addresses of an account's devices that are online, if it accepted the asker. Answers
    /// [`Reply::Addresses`].
    Addresses {
        /// Whose.
        account: AccountId,
    },
    /// Stocks this device's key packages; the same package again changes nothing. Answers [`Reply::KeyPackageStock`].
    PublishKeyPackages {
        /// One-time packages.
        packages: Bounded<KeyPackageBytes, KEY_PACKAGES>,
        /// The last-resort package that takes the place of the one before.
        last_resort: Option<KeyPackageBytes>,
    },
    /// Takes a key package of each device of an account; the same one again for the same asking device until it is
    /// used. Answers [`Reply::KeyPackages`].
    TakeKeyPackages {
        /// Whose.
        account: AccountId,
    },
    /// Makes a conversation unless it exists; Welcome, GroupInfo and tree are one unit. Answers
    /// [`Reply::CommitAccepted`], or [`Reply::ConversationExists`] to whoever comes second.
    CreateConversation(Box<NewConversation>),
    /// Submits the commit of an epoch; the first one that is valid is accepted, and goes in order into the mailbox of
    /// every member device. Answers [`Reply::CommitAccepted`] (to the same commit again too) or [`Reply::CommitLost`].
    SubmitCommit(Box<CommitSubmission>),
    /// Gives what a member device needs to join anew by external commit. Answers [`Reply::Group`].
    Group {
        /// Which conversation.
        conversation: ConversationId,
    },
    /// Puts sealed messages and receipts into mailboxes. Answers [`Reply::Deposited`], one result for each item.
    Deposit {
        /// At most [`crate::limits::DEPOSIT_BYTES_MAX`] bytes of ciphertext together.
        items: Bounded<Deposit, DEPOSIT_MAX>,
    },
    /// Reads this device's mailbox in order. Nothing is removed. Answers [`Reply::Mail`].
    Drain {
        /// Only items after this one.
        after: Option<Cursor>,
    },
    /// Removes items that the device has stored. Answers [`Reply::Done`].
    Remove {
        /// Which.
        cursors: Bounded<Cursor, REMOVE_MAX>,
    },
    /// Keeps the account's sealed book; a version not above the stored one is refused as stale. Answers
    /// [`Reply::Done`].
    PutBook {
        /// Counts up with each change.
        version: u64,
        /// Sealed under a key that the directory never sees.
        book: BoundedBytes<BOOK_MAX>,
    },
}

/// Everything that makes an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignUp {
    /// The name wished for.
    pub name: Name,
    /// An invite code, where the directory asks for one.
    pub invite: Option<BoundedText<INVITE_MAX>>,
    /// OPAQUE RegistrationRecord.
    pub registration: OpaqueMessage,
    /// The first device, signed by the root key; its TLS key is this connection's.
    pub devices: SignedDeviceList,
    /// The root key, sealed under the password's export key.
    pub root_backup: BoundedBytes<ROOT_BACKUP_MAX>,
    /// The root key, sealed under the recovery code.
    pub recovery_backup: BoundedBytes<ROOT_BACKUP_MAX>,
}

/// A person to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Who {
    /// By name.
    Name(Name),
    /// By account.
    Account(AccountId),
}

/// A conversation to be made, as its creator sees it after the commit that adds the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConversation {
    /// Its id, which must follow from the policy in the GroupInfo.
    pub conversation: ConversationId,
    /// GroupInfo of the first epoch that others can join, without its tree.
    pub group_info: HandshakeBytes,
    /// The tree of that epoch.
    pub tree: TreeBytes,
    /// The Welcome for everybody else.
    pub welcome: HandshakeBytes,
}

/// A commit and what must change with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSubmission {
    /// The conversation.
    pub conversation: ConversationId,
    /// The epoch that the commit ends.
    pub epoch: u64,
    /// The commit, as a PublicMessage.
    pub commit: HandshakeBytes,
    /// The Welcome for whom it adds.
    pub welcome: Option<HandshakeBytes>,
    /// GroupInfo of the epoch that it begins, without its tree, which the directory computes.
    pub group_info: HandshakeBytes,
}

/// One item for a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deposit {
    /// A sealed message, fanned out to each recipient device.
    Message {
        /// The message.
        envelope: Envelope,
        /// Devices that shall have it, members of the conversation.
        recipients: Bounded<DeviceId, RECIPIENTS_MAX>,
    },
    /// A receipt; it takes the place of an earlier one of the same devices and conversation.
    Receipt {
        /// The receipt.
        receipt: SignedReceipt,
        /// The device whose messages it is about.
        recipient: DeviceId,
    },
}

/// What became of one deposit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DepositResult {
    /// The mailbox has custody.
    Stored,
    /// The epoch is gone; apply the commits that wait, then seal it anew.
    StaleEpoch,
    /// Refused, and why.
    Refused(Refusal),
}

/// What the directory answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; nothing more to say.
    Done,
    /// To [`Request::Ping`].
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
    /// To [`Request::SignUpStart`].
    SignUpStarted {
        /// OPAQUE RegistrationResponse.
        registration: OpaqueMessage,
    },
    /// To [`Request::SignInStart`].
    SignInStarted {
        /// OPAQUE KE2.
        credential: OpaqueMessage,
    },
    /// To [`Request::SignUpFinish`] and [`Request::SignInFinish`].
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
    /// To [`Request::Announce`].
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
    /// To [`Request::LookUp`] and [`Request::ListOnline`].
    People(Bounded<Person, LIST_MAX>),
    /// To [`Request::Addresses`]; empty if nobody is online or none may be told.
    Addresses(Bounded<DeviceAddresses, DEVICES_MAX>),
    /// To [`Request::PublishKeyPackages`].
    KeyPackageStock {
        /// One-time packages left.
        left: u32,
    },
    /// To [`Request::TakeKeyPackages`].
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
    /// To [`Request::Group`].
    Group {
        /// The current epoch.
        epoch: u64,
        /// Its GroupInfo.
        group_info: HandshakeBytes,
        /// Its tree.
        tree: TreeBytes,
    },
    /// To [`Request::Deposit`], in the same order.
    Deposited(Bounded<DepositResult, DEPOSIT_MAX>),
    /// To [`Request::Drain`].
    Mail {
        /// In order.
        items: Bounded<(Cursor, MailItem), DRAIN_MAX>,
        /// Whether more waits behind the last one.
        more: bool,
    },
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
}

/// Why the directory refuses a request: data, not an error. Listed in their precedence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The request contradicts itself or the protocol.
    #[error("the request is malformed: {0:?}")]
    Malformed(Reason),
    /// Too many requests in a time.
    #[error("too many requests; try again in {retry_after_ms} ms")]
    RateLimited {
        /// When to come back, in milliseconds.
        retry_after_ms: u32,
    },
    /// This device is not signed in.
    #[error("not signed in")]
    NotSignedIn,
    /// Name and password do not belong together, or there is no such name: the answer is the same.
    #[error("wrong name or password")]
    WrongCredentials,
    /// The name belongs to somebody.
    #[error("the name is taken")]
    NameTaken,
    /// The name looks like another one.
    #[error("the name looks like one that is taken")]
    NameConfusable,
    /// Nobody can register here.
    #[error("registration is closed here")]
    RegistrationClosed,
    /// A registration needs an invite code that is still good.
    #[error("registration needs a valid invite code")]
    InviteNeeded,
    /// This connection's device belongs to an account already.
    #[error("this device belongs to an account already")]
    DeviceTaken,
    /// No such account, conversation or device, or none that the asker may know of.
    #[error("unknown")]
    Unknown,
    /// The asker is not a member of the conversation.
    #[error("not a member")]
    NotMember,
    /// The recipient takes no more from somebody whom they have not accepted.
    #[error("the recipient takes no more from strangers for now")]
    StrangerLimit,
    /// The recipient's mailbox holds its quota of this sender or conversation.
    #[error("the recipient's mailbox is full")]
    MailboxFull,
    /// The version is not above the stored one.
    #[error("a newer version is stored")]
    Stale,
    /// The conversation's rules forbid the commit.
    #[error("the conversation's rules forbid this: {0}")]
    Policy(PolicyRefusal),
    /// The directory can't do it now through no fault of the asker's.
    #[error("the directory cannot do this now; try again")]
    Unavailable,
}
