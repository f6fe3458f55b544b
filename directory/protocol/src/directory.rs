//! What a node asks of the directory, what it answers, and what it says unasked.
//!
//! Each [`Request`] has a bidirectional stream of its own: one frame, then the end; the answer is one
//! `Result<`[`Reply`]`, `[`Refusal`]`>`. Every request may be repeated after a lost connection and then has the same
//! effect once and the same answer. [`Push`]es come on one stream that the directory opens; they are hints, and whoever
//! misses one finds the same by asking.
//!
//! Before a device has signed up or in, only [`Request::Ping`] and the `SignUp…` and `SignIn…` requests are answered.
//! Afterwards the device's TLS key says who asks; reconnecting needs no password.

mod ledger;
mod refusal;
mod reply;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Bounded, BoundedBytes, BoundedText, ConversationId, DeviceId, Name, Signature,
    certificate::{SignedDeviceList, SignedReceipt},
    frame::{self, FrameError},
    limits::{
        ADDRESSES_MAX, BOOK_MAX, DEPOSIT_MAX, EPOCHS_MAX, HANDSHAKE_MAX, INVITE_MAX, KEY_PACKAGE_MAX, KEY_PACKAGES,
        LOOK_UP_MAX, OPAQUE_MAX, RECIPIENTS_MAX, REMOVE_MAX, ROOT_BACKUP_MAX, SETTLING_MAX, STRANGER_FRAME_MAX,
        TREE_MAX,
    },
    peer::Envelope,
    policy::SignedLeave,
};

pub use self::{
    ledger::{
        LedgerRefusal, LedgerReply, LedgerRequest, LimitKind, OwnEntry, PaymentLimits, RequestChange, RequestState,
    },
    refusal::Refusal,
    reply::{DeviceAddresses, DeviceSeen, GroupListing, MailItem, Person, Push, Registration, Reply},
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
    /// Gives what a device needs to come in by external commit: to members, who come in anew, and of an open group to
    /// whoever is not banned. Answers [`Reply::Group`].
    Group {
        /// Which conversation.
        conversation: ConversationId,
    },
    /// Puts sealed messages and receipts into mailboxes. Answers [`Reply::Deposited`], one result for each item.
    Deposit {
        /// At most [`crate::limits::DEPOSIT_BYTES_MAX`] bytes of ciphertext and
        /// [`crate::limits::DEPOSIT_RECIPIENTS_MAX`] recipients together.
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
    /// Asks for one's own account as the directory has it. Answers [`Reply::Account`].
    Account,
    /// Asks for the sealed book. Answers [`Reply::Book`].
    Book,
    /// Puts the next version of one's own device list in the place of the present one; the same one again changes
    /// nothing. Devices that it names no more lose session, mailbox and key packages at once. On a connection that has
    /// proven the password and whose device is not enrolled, the list has to enrol it, and it is signed in. Answers
    /// [`Reply::Done`].
    UpdateDevices {
        /// Signed by the same root key, its version one above the present one's.
        devices: SignedDeviceList,
    },
    /// Starts a new password; nothing is kept. Answers [`Reply::SignUpStarted`].
    PasswordStart {
        /// OPAQUE RegistrationRequest.
        registration: OpaqueMessage,
    },
    /// Puts a new password and the backup under it in the place of the old ones, in one step. The connection must have
    /// proven the old password, which this uses up. Answers [`Reply::Done`].
    ChangePassword {
        /// OPAQUE RegistrationRecord.
        registration: OpaqueMessage,
        /// The root key, sealed under the new password's export key.
        root_backup: BoundedBytes<ROOT_BACKUP_MAX>,
    },
    /// Starts a recovery with the recovery code; nothing is kept. Answers [`Reply::RecoveryStarted`].
    RecoveryStart {
        /// The account's name.
        name: Name,
        /// OPAQUE RegistrationRequest of the new password.
        registration: OpaqueMessage,
    },
    /// Ends a recovery: new password, new backups, and this connection's device enrolled and signed in. Answers
    /// [`Reply::Done`].
    RecoveryFinish(Box<Recovery>),
    /// Closes the account for good: its devices' sessions end, its mail goes, its name is never given out again. The
    /// connection must have proven the password. Answers [`Reply::Done`].
    CloseAccount,
    /// From now on nothing that these accounts send is taken for this one, or it is again. Answers [`Reply::Done`].
    Block {
        /// Whom.
        accounts: Bounded<AccountId, LOOK_UP_MAX>,
        /// Blocked or not.
        blocked: bool,
    },
    /// Asks how far commits have come that ended these epochs. Answers [`Reply::Settling`].
    Settling {
        /// Conversations that the asking device is in, and the epochs.
        commits: Bounded<(ConversationId, u64), SETTLING_MAX>,
    },
    /// Lists groups by name, after `after`: open ones, and those that the asker's account is in or invited to. Answers
    /// [`Reply::Groups`].
    ListGroups {
        /// The last name of the page before.
        after: Option<Name>,
    },
    /// Finds a group by its name, one by invitation only too: a name is no secret. Answers [`Reply::Groups`], with one or
    /// with none.
    FindGroup {
        /// The name.
        name: Name,
    },
    /// Leaves a group, or declines an invitation. From now on nothing goes to the account's devices and nothing is taken
    /// from them; the other members get the request as [`MailItem::Leave`] and grant it by a commit, unless the account
    /// comes in again before. If nobody who has joined remains, the group is closed for good. Answers [`Reply::Done`].
    Leave {
        /// Signed by a device of the account that is in the group.
        leave: SignedLeave,
    },
    /// Asks something of the ledger. Answers [`Reply::Ledger`].
    Ledger(Box<LedgerRequest>),
    /// Asks in which epochs groups are now. Whatever led there is in the mailbox before this is answered. Answers
    /// [`Reply::Epochs`].
    Epochs {
        /// Groups that the asking device takes itself to be in, and in which epoch.
        groups: Bounded<(ConversationId, u64), EPOCHS_MAX>,
    },
}

/// Everything that recovers an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The account's name.
    pub name: Name,
    /// OPAQUE RegistrationRecord of the new password.
    pub registration: OpaqueMessage,
    /// The next version of the device list, which names this connection's device.
    pub devices: SignedDeviceList,
    /// The root key, sealed under the new password's export key.
    pub root_backup: BoundedBytes<ROOT_BACKUP_MAX>,
    /// The root key, sealed under the new recovery code.
    pub recovery_backup: BoundedBytes<ROOT_BACKUP_MAX>,
    /// The root key's signature, under [`RECOVERY_LABEL`], over the connection's exporter and everything above.
    pub signature: Signature,
}

/// Label before what a root key signs to recover its account.
pub const RECOVERY_LABEL: &[u8] = b"tuppence account recovery v1\0";

impl Recovery {
    /// What is signed besides the label: the exporter of the connection, so that it can't be repeated on another one,
    /// and every other field.
    ///
    /// # Errors
    /// [`FrameError`] if it is too long to be written; none that was decoded is.
    pub fn signed(&self, exporter: &[u8; 32]) -> Result<Vec<u8>, FrameError> {
        let fields = (&self.name, &self.registration, &self.devices, &self.root_backup, &self.recovery_backup);
        Ok([exporter.as_slice(), &frame::encode_body(&fields, STRANGER_FRAME_MAX)?].concat())
    }
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
    /// The Welcome for everybody else: empty for a group, which its creator's device is alone in.
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
    /// The Welcome for whom it adds, exactly when it adds somebody: refused as malformed in a direct conversation, whose
    /// devices come in by themselves.
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
