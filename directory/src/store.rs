//! What the directory keeps: one trait for each domain, each call atomic and idempotent.
//!
//! The rules live in [`crate::core`]; a store only keeps, finds and compares. No transaction spans two domains: they are
//! linked by ids, and a call that was interrupted between two of them is made whole by being made again. There are two
//! implementations, SQLite for use and a model in memory, and one suite that both must pass.

#[cfg(test)]
mod conformance;
mod conversations;
mod handouts;
pub mod ledger;
pub mod memory;
mod names;
mod packages;
pub mod sqlite;

use protocol::{
    AccountId, ConversationId, DeviceId, MessageId, Name, PublicKey, Timestamp,
    certificate::{Certificate, SignedDeviceList},
    directory::Cursor,
    money::Amount,
};
use serde::{Deserialize, Serialize};

pub use self::{
    conversations::{Audience, CommitOutcome, ConversationMade, ConversationRecord, Conversations, Roster, Standing},
    handouts::{Handout, Handouts},
    names::{NameClaimed, Names},
    packages::{KeyPackages, Package},
};

/// Why a store cannot do what it was asked. Each is the machine's fault, never the asker's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was written may or may not be on the disk: the process must end and start again from the disk.
    #[error("the store can no longer make anything durable: {0}")]
    Fatal(String),
    /// A newer program wrote the data; nothing was touched.
    #[error("the data has schema version {found}, this program knows versions up to {known}: use a newer program")]
    NewerSchema {
        /// What the data says.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// A stored record does not decode.
    #[error("a stored record is damaged: {0}")]
    Damaged(String),
}

/// Result of a store's call.
pub type Stored<T> = Result<T, StoreError>;

/// An account as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The account.
    pub account: AccountId,
    /// Its name, never reissued.
    pub name: Name,
    /// Its root key.
    pub root_key: PublicKey,
    /// Its devices, signed by the root key.
    pub devices: SignedDeviceList,
    /// OPAQUE's record of the password.
    pub password: Vec<u8>,
    /// The root key, sealed under the password.
    pub root_backup: Vec<u8>,
    /// The root key, sealed under the recovery code.
    pub recovery_backup: Vec<u8>,
    /// Hash of the request that made it: the same request again has the same answer.
    pub made_by: [u8; 32],
}

/// A device as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device.
    pub device: DeviceId,
    /// Whose.
    pub account: AccountId,
    /// Its TLS key.
    pub tls_key: PublicKey,
    /// Its MLS key.
    pub mls_key: PublicKey,
    /// Whether its TLS key counts for signed in.
    pub signed_in: bool,
    /// The highest counter of messages sent that it announced.
    pub send_counter: u64,
    /// Whether its account has removed it, or was closed: it never comes back.
    pub revoked: bool,
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The account.
    pub record: AccountRecord,
    /// Its first device.
    pub device: DeviceRecord,
    /// What its name looks like.
    pub skeleton: String,
    /// The invite code that must be free, where one is asked for.
    pub invite: Option<String>,
    /// The code that the operator may have offered for the name.
    pub reset: Option<String>,
    /// What the ledger owes it from the beginning.
    pub opening: Amount,
}

/// What came of making an account. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountMade {
    /// It is there now, or was by the same request.
    Made,
    /// The device's key or the account belongs to another sign-up.
    DeviceTaken,
    /// The name is somebody's, and was not offered anew to this code.
    NameTaken,
    /// The name looks like somebody's.
    NameConfusable,
    /// The invite code is unknown or used.
    InviteUsed,
}

/// An account's next device list, and what changes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicesChange {
    /// The account.
    pub account: AccountId,
    /// The list that must be the present one.
    pub before: SignedDeviceList,
    /// The list that takes its place.
    pub after: SignedDeviceList,
    /// Devices that come; none of their ids and keys may ever have been anybody's.
    pub added: Vec<DeviceRecord>,
    /// Devices that go.
    pub removed: Vec<DeviceId>,
    /// A new password and its backups, if the change is a recovery.
    pub secrets: Option<NewSecrets>,
}

/// What opens an account from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecrets {
    /// OPAQUE's record of the password.
    pub password: Vec<u8>,
    /// The root key, sealed under the password.
    pub root_backup: Vec<u8>,
    /// The root key, sealed under the recovery code; `None` leaves the present one.
    pub recovery_backup: Option<Vec<u8>>,
}

/// What came of a change of devices. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DevicesChanged {
    /// It counts, now or since the same list before.
    Changed,
    /// There is no such account, or it is closed.
    Unknown,
    /// Another list is the present one.
    Stale,
    /// A device that comes has an id or a key that was somebody's.
    DeviceTaken,
}

/// Numbers for the operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts.
    pub accounts: u64,
    /// Devices that are signed in.
    pub signed_in: u64,
    /// Invite codes not used yet.
    pub invites: u64,
    /// Conversations.
    pub conversations: u64,
    /// Items in mailboxes.
    pub mail: u64,
}

/// Accounts, devices, invites, and who accepted whom.
pub trait Accounts {
    /// Makes an account, or says what is in the way.
    fn create_account(&self, account: &NewAccount) -> Stored<AccountMade>;
    /// Finds accounts by name, in the order asked.
    fn accounts_by_name(&self, names: &[Name]) -> Stored<Vec<Option<AccountRecord>>>;
    /// Finds accounts by id, in the order asked.
    fn accounts_by_id(&self, accounts: &[AccountId]) -> Stored<Vec<Option<AccountRecord>>>;
    /// Finds a device by its TLS key.
    fn device_by_key(&self, tls_key: &PublicKey) -> Stored<Option<DeviceRecord>>;
    /// Finds devices by id, in the order asked.
    fn devices_by_id(&self, devices: &[DeviceId]) -> Stored<Vec<Option<DeviceRecord>>>;
    /// Signs a device in or out.
    fn set_signed_in(&self, device: DeviceId, signed_in: bool) -> Stored<()>;
    /// Keeps the highest counter that a device announced, and gives it.
    fn raise_send_counter(&self, device: DeviceId, counter: u64) -> Stored<u64>;
    /// Keeps when an account was last connected.
    fn note_seen(&self, account: AccountId, at: Timestamp) -> Stored<()>;
    /// When accounts were last connected, in the order asked.
    fn last_seen(&self, accounts: &[AccountId]) -> Stored<Vec<Option<Timestamp>>>;
    /// Keeps a sealed book if its version is above the stored one; tells whether it did.
    fn put_book(&self, account: AccountId, version: u64, book: &[u8]) -> Stored<bool>;
    /// The sealed book and its version.
    fn book(&self, account: AccountId) -> Stored<Option<(u64, Vec<u8>)>>;
    /// From now on `owner` has accepted `others`.
    fn accept(&self, owner: AccountId, others: &[AccountId]) -> Stored<()>;
    /// Whether the first of each pair has accepted the second.
    fn has_accepted(&self, pairs: &[(AccountId, AccountId)]) -> Stored<Vec<bool>>;
    /// Adds invite codes.
    fn add_invites(&self, codes: &[String]) -> Stored<()>;
    /// Whether an invite code is free.
    fn invite_is_free(&self, code: &str) -> Stored<bool>;
    /// Opening balances that the ledger may still owe, at most so many.
    fn owed_openings(&self, at_most: usize) -> Stored<Vec<(AccountId, Amount)>>;
    /// The ledger owes this account no opening balance any more.
    fn opening_posted(&self, account: AccountId) -> Stored<()>;
    /// Numbers for the operator.
    fn counts(&self) -> Stored<Counts>;
}

/// Changes of accounts: their devices, passwords, whom they block, and their end.
pub trait AccountChanges {
    /// Puts a device list in the place of the one before.
    fn replace_devices(&self, change: &DevicesChange) -> Stored<DevicesChanged>;
    /// Puts a new password in the place of the old one; tells whether there is such an account.
    fn replace_secrets(&self, account: AccountId, secrets: &NewSecrets) -> Stored<bool>;
    /// Closes an account for good: from now on it is not found, its devices are revoked, its secrets and its book are
    /// gone, and its name is nobody else's.
    fn close_account(&self, account: AccountId) -> Stored<()>;
    /// The operator's last resort: whoever shows this code may sign up under the account's name, which closes it. A
    /// later code takes the place of an earlier one. Tells whether there is such an account.
    fn offer_reset(&self, name: &Name, code: &str) -> Stored<bool>;
    /// Whether a code was offered for this name.
    fn reset_is_offered(&self, name: &Name, code: &str) -> Stored<bool>;
    /// All devices that an account ever had, revoked ones too.
    fn devices_of(&self, account: AccountId) -> Stored<Vec<DeviceRecord>>;
    /// Keeps certificates of an account's devices for good: what a device signed before it was revoked is still looked at.
    fn keep_certificates(&self, account: AccountId, certificates: &[(DeviceId, Certificate)]) -> Stored<()>;
    /// The certificates that are kept of an account's devices.
    fn certificates_of(&self, account: AccountId) -> Stored<Vec<(DeviceId, Certificate)>>;
    /// Keeps when a device was last connected.
    fn note_device_seen(&self, device: DeviceId, at: Timestamp) -> Stored<()>;
    /// When devices were last connected, in the order asked.
    fn devices_seen(&self, devices: &[DeviceId]) -> Stored<Vec<Option<Timestamp>>>;
    /// From now on `owner` blocks `others`, or does not.
    fn block(&self, owner: AccountId, others: &[AccountId], blocked: bool) -> Stored<()>;
    /// Whom somebody blocks, at most so many of them.
    fn blocked_by(&self, owner: AccountId, at_most: usize) -> Stored<Vec<AccountId>>;
    /// Whether the first of each pair blocks the second.
    fn has_blocked(&self, pairs: &[(AccountId, AccountId)]) -> Stored<Vec<bool>>;
}

/// Something for mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// For whom, and whether the recipient had accepted the sender.
    pub recipients: Vec<(DeviceId, bool)>,
    /// What makes it the same item for one recipient, whenever it comes.
    pub key: [u8; 32],
    /// Whether it takes the place of an earlier item of the same key instead of being dropped.
    pub replaces: bool,
    /// Postcard of the item.
    pub item: Vec<u8>,
    /// The message, for whom expiry has to be told.
    pub message: Option<(DeviceId, ConversationId, MessageId)>,
    /// When it is given up.
    pub expires: Timestamp,
    /// What it counts against while it waits for a recipient.
    pub quota: Option<Quota>,
}

/// What may wait for one recipient at a time, of all items that count against the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What it is counted by.
    pub counted: [u8; 32],
    /// Items.
    pub items: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One item of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRecord {
    /// Its place.
    pub cursor: Cursor,
    /// Postcard of the item.
    pub item: Vec<u8>,
    /// Whether the recipient had accepted the sender.
    pub accepted: bool,
}

/// A message that nobody came for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpiredMessage {
    /// The device that sent it.
    pub sender: DeviceId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The message.
    pub id: MessageId,
    /// The device that did not come.
    pub recipient: DeviceId,
}

/// Mailboxes of devices: in order, at least once, deduplicated also after removal.
pub trait Mailbox {
    /// Forgets the mail of devices that are gone.
    fn forget_mail(&self, devices: &[DeviceId]) -> Stored<()>;
    /// Puts items into mailboxes; for each, whether it has custody now. One that exceeds a recipient's quota is not
    /// put anywhere.
    fn deliver(&self, deliveries: &[Delivery]) -> Stored<Vec<bool>>;
    /// Items and bytes that wait for each device and count against this.
    fn waiting(&self, devices: &[DeviceId], counted: [u8; 32]) -> Stored<Vec<(u64, u64)>>;
    /// Whether an item of this key waits for each device.
    fn holds(&self, devices: &[DeviceId], key: [u8; 32]) -> Stored<Vec<bool>>;
    /// Reads a mailbox after a place, in order: at most so many items and bytes, but at least one; and whether more
    /// waits.
    fn drain(
        &self,
        device: DeviceId,
        after: Option<Cursor>,
        items: usize,
        bytes: usize,
    ) -> Stored<(Vec<MailRecord>, bool)>;
    /// Removes items.
    fn remove(&self, device: DeviceId, cursors: &[Cursor]) -> Stored<()>;
    /// Gives up what has expired, at most so many items, and forgets keys that have. What `notice` makes of each message
    /// is put into mailboxes in the same step, so that no crash keeps it from its sender; names the messages.
    fn expire(
        &self,
        now: Timestamp,
        items: usize,
        notice: &dyn Fn(&ExpiredMessage) -> Option<Delivery>,
    ) -> Stored<Vec<ExpiredMessage>>;
}

/// What belongs to the directory itself.
pub trait Instance {
    /// A named secret.
    fn secret(&self, name: &str) -> Stored<Option<Vec<u8>>>;
    /// Keeps a named secret if there is none, and gives the one that is there.
    fn secret_or(&self, name: &str, value: &[u8]) -> Stored<Vec<u8>>;
}

/// Everything.
pub trait Store:
    Accounts + AccountChanges + Names + KeyPackages + Conversations + Handouts + Mailbox + Instance + Send + Sync + 'static
{
}

impl<T> Store for T where
    T: Accounts
        + AccountChanges
        + Names
        + KeyPackages
        + Conversations
        + Handouts
        + Mailbox
        + Instance
        + Send
        + Sync
        + 'static
{
}
