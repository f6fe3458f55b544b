//! The model: everything in ordered maps. It is the oracle for SQLite, and the virtual network's store.

mod changes;
mod conversations;
mod ledger;
mod mailbox;
mod packages;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Name, PublicKey, Timestamp, certificate::Certificate,
    directory::Cursor, money::Amount, policy::SignedLeave,
};

pub use self::ledger::MemoryLedger;
use self::packages::Packages;

use super::{
    AccountMade, AccountRecord, Accounts, ConversationRecord, Counts, DeviceRecord, Handout, Instance, NameClaimed,
    Names, NewAccount, Stored,
};

#[derive(Debug, Clone)]
struct Item {
    key: [u8; 32],
    item: Arc<Vec<u8>>,
    accepted: bool,
    message: Option<(DeviceId, ConversationId, protocol::MessageId)>,
    expires: Timestamp,
    counted: Option<[u8; 32]>,
}

#[derive(Debug, Default)]
struct MailboxOf {
    next: u64,
    items: BTreeMap<Cursor, Item>,
    known: BTreeMap<[u8; 32], Timestamp>,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: BTreeMap<AccountId, AccountRecord>,
    names: BTreeMap<Name, AccountId>,
    skeletons: BTreeMap<String, AccountId>,
    group_names: BTreeMap<Name, ConversationId>,
    group_skeletons: BTreeMap<String, ConversationId>,
    devices: BTreeMap<DeviceId, DeviceRecord>,
    seen: BTreeMap<AccountId, Timestamp>,
    books: BTreeMap<AccountId, (u64, Vec<u8>)>,
    accepted: BTreeSet<(AccountId, AccountId)>,
    invites: BTreeMap<String, Option<AccountId>>,
    packages: BTreeMap<DeviceId, Packages>,
    conversations: BTreeMap<ConversationId, ConversationRecord>,
    commits: BTreeMap<(ConversationId, u64), CommitHash>,
    handouts: BTreeMap<(ConversationId, u64, u64), Handout>,
    closed_conversations: BTreeMap<ConversationId, Option<SignedLeave>>,
    boxes: BTreeMap<DeviceId, MailboxOf>,
    secrets: BTreeMap<String, Vec<u8>>,
    closed: BTreeSet<AccountId>,
    resets: BTreeMap<String, AccountId>,
    devices_seen: BTreeMap<DeviceId, Timestamp>,
    blocked: BTreeSet<(AccountId, AccountId)>,
    owed: BTreeMap<AccountId, Amount>,
    certificates: BTreeMap<(AccountId, DeviceId), Certificate>,
}

impl Inner {
    /// An account that is not closed.
    fn account(&self, account: AccountId) -> Option<&AccountRecord> {
        self.accounts.get(&account).filter(|_| !self.closed.contains(&account))
    }
}

/// The store in memory, and the ledger's beside it. Handles share it, so that a directory can be started again over the same
/// one.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>, MemoryLedger);

impl MemoryStore {
    /// The ledger's store.
    #[must_use]
    pub fn ledger(&self) -> MemoryLedger {
        self.1.clone()
    }

    // Each call leaves whole records even if a later one panics.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts for MemoryStore {
    fn create_account(&self, new: &NewAccount) -> Stored<AccountMade> {
        let mut inner = self.lock();
        let record = &new.record;
        if let Some(known) = inner.accounts.get(&record.account) {
            let same = known.made_by == record.made_by;
            return Ok(if same { AccountMade::Made } else { AccountMade::DeviceTaken });
        }
        let device_known =
            |device: &DeviceRecord| device.device == new.device.device || device.tls_key == new.device.tls_key;
        if inner.devices.values().any(device_known) {
            return Ok(AccountMade::DeviceTaken);
        }
        let offered = new.reset.as_ref().and_then(|code| inner.resets.get(code)).copied();
        let reset = offered.filter(|old| inner.names.get(&record.name) == Some(old));
        if inner.names.contains_key(&record.name) && reset.is_none() || inner.group_names.contains_key(&record.name) {
            return Ok(AccountMade::NameTaken);
        }
        let looks = inner.skeletons.get(&new.skeleton).is_some_and(|owner| reset != Some(*owner));
        if looks || inner.group_skeletons.contains_key(&new.skeleton) {
            return Ok(AccountMade::NameConfusable);
        }
        if let Some(code) = &new.invite {
            match inner.invites.get_mut(code) {
                Some(used @ None) => *used = Some(record.account),
                _ => return Ok(AccountMade::InviteUsed),
            }
        }
        if let Some(old) = reset {
            inner.resets.retain(|_, account| *account != old);
            changes::close(&mut inner, old);
            inner.skeletons.retain(|_, owner| *owner != old);
        }
        inner.names.insert(record.name.clone(), record.account);
        inner.skeletons.insert(new.skeleton.clone(), record.account);
        inner.devices.insert(new.device.device, new.device.clone());
        inner.accounts.insert(record.account, record.clone());
        if new.opening > Amount::ZERO {
            inner.owed.insert(record.account, new.opening);
        }
        Ok(AccountMade::Made)
    }

    fn accounts_by_name(&self, names: &[Name]) -> Stored<Vec<Option<AccountRecord>>> {
        let inner = self.lock();
        Ok(names.iter().map(|name| inner.names.get(name).and_then(|id| inner.account(*id)).cloned()).collect())
    }

    fn accounts_by_id(&self, accounts: &[AccountId]) -> Stored<Vec<Option<AccountRecord>>> {
        let inner = self.lock();
        Ok(accounts.iter().map(|account| inner.account(*account).cloned()).collect())
    }

    fn device_by_key(&self, tls_key: &PublicKey) -> Stored<Option<DeviceRecord>> {
        Ok(self.lock().devices.values().find(|device| device.tls_key == *tls_key).cloned())
    }

    fn devices_by_id(&self, devices: &[DeviceId]) -> Stored<Vec<Option<DeviceRecord>>> {
        let inner = self.lock();
        Ok(devices.iter().map(|device| inner.devices.get(device).cloned()).collect())
    }

    fn set_signed_in(&self, device: DeviceId, signed_in: bool) -> Stored<()> {
        if let Some(device) = self.lock().devices.get_mut(&device) {
            device.signed_in = signed_in;
        }
        Ok(())
    }

    fn raise_send_counter(&self, device: DeviceId, counter: u64) -> Stored<u64> {
        let mut inner = self.lock();
        let Some(device) = inner.devices.get_mut(&device) else { return Ok(counter) };
        device.send_counter = device.send_counter.max(counter);
        Ok(device.send_counter)
    }

    fn note_seen(&self, account: AccountId, at: Timestamp) -> Stored<()> {
        let mut inner = self.lock();
        if inner.accounts.contains_key(&account) {
            inner.seen.insert(account, at);
        }
        Ok(())
    }

    fn last_seen(&self, accounts: &[AccountId]) -> Stored<Vec<Option<Timestamp>>> {
        let inner = self.lock();
        Ok(accounts.iter().map(|account| inner.seen.get(account).copied()).collect())
    }

    fn put_book(&self, account: AccountId, version: u64, book: &[u8]) -> Stored<bool> {
        let mut inner = self.lock();
        let newer =
            inner.books.get(&account).is_none_or(|(known, _)| version > *known) && inner.account(account).is_some();
        if newer {
            inner.books.insert(account, (version, book.to_vec()));
        }
        Ok(newer)
    }

    fn book(&self, account: AccountId) -> Stored<Option<(u64, Vec<u8>)>> {
        Ok(self.lock().books.get(&account).cloned())
    }

    fn accept(&self, owner: AccountId, others: &[AccountId]) -> Stored<()> {
        self.lock().accepted.extend(others.iter().map(|other| (owner, *other)));
        Ok(())
    }

    fn has_accepted(&self, pairs: &[(AccountId, AccountId)]) -> Stored<Vec<bool>> {
        let inner = self.lock();
        Ok(pairs.iter().map(|pair| inner.accepted.contains(pair)).collect())
    }

    fn add_invites(&self, codes: &[String]) -> Stored<()> {
        let mut inner = self.lock();
        for code in codes {
            inner.invites.entry(code.clone()).or_default();
        }
        Ok(())
    }

    fn invite_is_free(&self, code: &str) -> Stored<bool> {
        Ok(self.lock().invites.get(code) == Some(&None))
    }

    fn owed_openings(&self, at_most: usize) -> Stored<Vec<(AccountId, Amount)>> {
        Ok(self.lock().owed.iter().map(|(account, amount)| (*account, *amount)).take(at_most).collect())
    }

    fn opening_posted(&self, account: AccountId) -> Stored<()> {
        self.lock().owed.remove(&account);
        Ok(())
    }

    fn counts(&self) -> Stored<Counts> {
        let inner = self.lock();
        Ok(Counts {
            accounts: (inner.accounts.len() - inner.closed.len()) as u64,
            signed_in: inner.devices.values().filter(|device| device.signed_in).count() as u64,
            invites: inner.invites.values().filter(|used| used.is_none()).count() as u64,
            conversations: inner.conversations.len() as u64,
            mail: inner.boxes.values().map(|mailbox| mailbox.items.len() as u64).sum(),
        })
    }
}

impl Names for MemoryStore {
    fn claim_name(&self, name: &Name, skeleton: &str, group: ConversationId) -> Stored<NameClaimed> {
        let mut inner = self.lock();
        match inner.group_names.get(name) {
            Some(owner) if *owner == group => return Ok(NameClaimed::Claimed),
            Some(_) => return Ok(NameClaimed::Taken),
            None if inner.names.contains_key(name) => return Ok(NameClaimed::Taken),
            None => {}
        }
        if inner.skeletons.contains_key(skeleton) || inner.group_skeletons.contains_key(skeleton) {
            return Ok(NameClaimed::Confusable);
        }
        inner.group_names.insert(name.clone(), group);
        inner.group_skeletons.insert(skeleton.to_owned(), group);
        Ok(NameClaimed::Claimed)
    }

    fn name_of_group(&self, name: &Name) -> Stored<Option<ConversationId>> {
        Ok(self.lock().group_names.get(name).copied())
    }
}

impl Instance for MemoryStore {
    fn secret(&self, name: &str) -> Stored<Option<Vec<u8>>> {
        Ok(self.lock().secrets.get(name).cloned())
    }

    fn secret_or(&self, name: &str, value: &[u8]) -> Stored<Vec<u8>> {
        Ok(self.lock().secrets.entry(name.to_owned()).or_insert_with(|| value.to_vec()).clone())
    }
}
