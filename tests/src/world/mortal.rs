//! The directory's store, which can die between any two of its changes, and sees every byte that it is given.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use directory::store::{
    AccountChanges, AccountMade, AccountRecord, Accounts, CommitOutcome, ConversationMade, ConversationRecord,
    Conversations, Counts, Delivery, DeviceRecord, DevicesChange, DevicesChanged, ExpiredMessage, Handout, Handouts,
    Instance, KeyPackages, MailRecord, Mailbox, NameClaimed, Names, NewAccount, NewSecrets, Package, Roster, Standing,
    Stored, memory::MemoryStore,
};
use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Name, PublicKey, Timestamp,
    certificate::Certificate,
    directory::{Cursor, GroupListing},
    money::Amount,
    policy::SignedLeave,
};

mod fate;
mod ledger;

use self::fate::{Fate, dead};
pub use self::{
    fate::{AccountChange, GroupChange},
    ledger::{LedgerChange, MortalLedger},
};
use super::crash::{CrashPlan, Point};

/// The store in memory, and what is to become of it.
#[derive(Debug, Clone)]
pub struct MortalStore {
    inner: MemoryStore,
    fate: Arc<Mutex<Fate>>,
}

impl MortalStore {
    /// An empty store.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let fate = Fate::new(seed);
        Self { inner: MemoryStore::default(), fate: Arc::new(Mutex::new(fate)) }
    }

    /// An empty store of a ledger, which dies with this one.
    #[must_use]
    pub fn ledger(&self) -> MortalLedger {
        MortalLedger::new(Arc::clone(&self.fate))
    }

    /// What may happen to the changes of the next call: how many anybody has made so far, the run's plan, and the
    /// chance of dying at each point.
    pub fn expect(&self, changes: u64, plan: Option<CrashPlan>, crash: u64) {
        let mut fate = self.lock();
        (fate.changes, fate.plan, fate.crash) = (changes, plan, crash);
    }

    /// How many changes anybody has made now, and where the store died, if it did. It lives again.
    #[must_use]
    pub fn outcome(&self) -> (u64, Option<Point>) {
        let mut fate = self.lock();
        (fate.changes, fate.died.take())
    }

    /// Bytes that the store was given, and whether any of them were somebody's words.
    #[must_use]
    pub fn seen(&self) -> (u64, bool) {
        let fate = self.lock();
        (fate.bytes_seen, fate.plaintext_seen)
    }

    /// What became durable of accounts since this was asked last.
    #[must_use]
    pub fn account_changes(&self) -> Vec<AccountChange> {
        std::mem::take(&mut self.lock().account_changes)
    }

    /// What became durable of groups since this was asked last.
    #[must_use]
    pub fn group_changes(&self) -> Vec<GroupChange> {
        std::mem::take(&mut self.lock().group_changes)
    }

    /// Plants a fault: the store forgets that somebody went from a group.
    pub fn forget_removals(&self) {
        self.lock().forget_removals();
    }

    fn note(&self, change: AccountChange) {
        self.lock().account_changes.push(change);
    }

    fn lock(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&MemoryStore) -> Stored<T>) -> Stored<T> {
        if self.lock().died.is_some() { Err(dead()) } else { read(&self.inner) }
    }

    fn change<T>(&self, bytes: &[&[u8]], change: impl FnOnce(&MemoryStore) -> Stored<T>) -> Stored<T> {
        let planned = self.lock().begin(bytes)?;
        let done = change(&self.inner);
        self.lock().end(planned)?;
        done
    }
}

macro_rules! reads {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Stored<$out> {
            self.read(|inner| inner.$name($($argument),*))
        })*
    };
}

impl Accounts for MortalStore {
    reads! {
        accounts_by_name(names: &[Name]) -> Vec<Option<AccountRecord>>;
        accounts_by_id(accounts: &[AccountId]) -> Vec<Option<AccountRecord>>;
        device_by_key(tls_key: &PublicKey) -> Option<DeviceRecord>;
        devices_by_id(devices: &[DeviceId]) -> Vec<Option<DeviceRecord>>;
        last_seen(accounts: &[AccountId]) -> Vec<Option<Timestamp>>;
        book(account: AccountId) -> Option<(u64, Vec<u8>)>;
        has_accepted(pairs: &[(AccountId, AccountId)]) -> Vec<bool>;
        invite_is_free(code: &str) -> bool;
        owed_openings(at_most: usize) -> Vec<(AccountId, Amount)>;
        counts() -> Counts;
    }

    fn opening_posted(&self, account: AccountId) -> Stored<()> {
        self.change(&[], |inner| inner.opening_posted(account))
    }

    fn create_account(&self, account: &NewAccount) -> Stored<AccountMade> {
        let record = &account.record;
        let bytes = [record.password.as_slice(), &record.root_backup, &record.recovery_backup, &record.devices.list];
        self.change(&bytes, |inner| {
            let made = inner.create_account(account)?;
            if made == AccountMade::Made {
                self.note(AccountChange::Devices(record.devices.clone()));
            }
            Ok(made)
        })
    }

    fn set_signed_in(&self, device: DeviceId, signed_in: bool) -> Stored<()> {
        self.change(&[], |inner| inner.set_signed_in(device, signed_in))
    }

    fn raise_send_counter(&self, device: DeviceId, counter: u64) -> Stored<u64> {
        self.change(&[], |inner| {
            let raised = inner.raise_send_counter(device, counter)?;
            self.note(AccountChange::Counter(device, raised));
            Ok(raised)
        })
    }

    fn note_seen(&self, account: AccountId, at: Timestamp) -> Stored<()> {
        self.change(&[], |inner| inner.note_seen(account, at))
    }

    fn put_book(&self, account: AccountId, version: u64, book: &[u8]) -> Stored<bool> {
        self.change(&[book], |inner| inner.put_book(account, version, book))
    }

    fn accept(&self, owner: AccountId, others: &[AccountId]) -> Stored<()> {
        self.change(&[], |inner| inner.accept(owner, others))
    }

    fn add_invites(&self, codes: &[String]) -> Stored<()> {
        self.change(&[], |inner| inner.add_invites(codes))
    }
}

impl AccountChanges for MortalStore {
    reads! {
        reset_is_offered(name: &Name, code: &str) -> bool;
        devices_of(account: AccountId) -> Vec<DeviceRecord>;
        certificates_of(account: AccountId) -> Vec<(DeviceId, Certificate)>;
        devices_seen(devices: &[DeviceId]) -> Vec<Option<Timestamp>>;
        blocked_by(owner: AccountId, at_most: usize) -> Vec<AccountId>;
        has_blocked(pairs: &[(AccountId, AccountId)]) -> Vec<bool>;
    }

    fn replace_devices(&self, change: &DevicesChange) -> Stored<DevicesChanged> {
        self.change(&[&change.after.list], |inner| {
            let changed = inner.replace_devices(change)?;
            if changed == DevicesChanged::Changed {
                self.note(AccountChange::Devices(change.after.clone()));
            }
            Ok(changed)
        })
    }

    fn replace_secrets(&self, account: AccountId, secrets: &NewSecrets) -> Stored<bool> {
        self.change(&[&secrets.password, &secrets.root_backup], |inner| {
            let replaced = inner.replace_secrets(account, secrets)?;
            if replaced {
                self.note(AccountChange::Password);
            }
            Ok(replaced)
        })
    }

    fn close_account(&self, account: AccountId) -> Stored<()> {
        self.change(&[], |inner| inner.close_account(account))
    }

    fn offer_reset(&self, name: &Name, code: &str) -> Stored<bool> {
        self.change(&[], |inner| inner.offer_reset(name, code))
    }

    fn keep_certificates(&self, account: AccountId, certificates: &[(DeviceId, Certificate)]) -> Stored<()> {
        self.change(&[], |inner| inner.keep_certificates(account, certificates))
    }

    fn note_device_seen(&self, device: DeviceId, at: Timestamp) -> Stored<()> {
        self.change(&[], |inner| inner.note_device_seen(device, at))
    }

    fn block(&self, owner: AccountId, others: &[AccountId], blocked: bool) -> Stored<()> {
        self.change(&[], |inner| inner.block(owner, others, blocked))
    }
}

impl KeyPackages for MortalStore {
    fn forget_packages(&self, devices: &[DeviceId]) -> Stored<()> {
        self.change(&[], |inner| inner.forget_packages(devices))
    }

    reads! {
        stock(device: DeviceId, now: Timestamp) -> (u32, bool);
        // As with mail, the sweep is no place to die at.
        expire_packages(now: Timestamp, at_most: usize) -> ();
    }

    fn publish(&self, device: DeviceId, packages: &[Package], last_resort: Option<&Package>) -> Stored<()> {
        let bytes: Vec<&[u8]> = packages.iter().chain(last_resort).map(|package| package.bytes.as_slice()).collect();
        self.change(&bytes, |inner| inner.publish(device, packages, last_resort))
    }

    fn take(&self, requester: DeviceId, devices: &[DeviceId], now: Timestamp) -> Stored<Vec<Option<Vec<u8>>>> {
        self.change(&[], |inner| inner.take(requester, devices, now))
    }

    fn used(&self, requester: DeviceId, devices: &[DeviceId]) -> Stored<()> {
        self.change(&[], |inner| inner.used(requester, devices))
    }
}

impl Conversations for MortalStore {
    reads! {
        conversation(id: ConversationId) -> Option<ConversationRecord>;
        roster(id: ConversationId) -> Option<Roster>;
        commit_of(id: ConversationId, epoch: u64) -> Option<CommitHash>;
        closed_by(id: ConversationId) -> Option<SignedLeave>;
        groups(asker: AccountId, after: Option<&Name>, at_most: usize) -> Vec<GroupListing>;
        share_group(one: AccountId, other: AccountId) -> bool;
        group(asker: AccountId, id: ConversationId) -> Option<GroupListing>;
        elsewhere(account: AccountId, device: DeviceId, at_most: usize) -> Vec<ConversationId>;
        groups_of(account: AccountId, after: Option<ConversationId>, at_most: usize) -> Vec<ConversationId>;
    }

    fn standing(&self, id: ConversationId, devices: &[DeviceId]) -> Stored<Option<Standing>> {
        let mut standing = self.read(|inner| inner.standing(id, devices))?;
        if let Some(standing) = &mut standing {
            self.lock().misremember(id, devices, standing);
        }
        Ok(standing)
    }

    fn create_conversation(&self, record: &ConversationRecord, handouts: &[Handout]) -> Stored<ConversationMade> {
        let bytes = given(record, handouts);
        self.change(&bytes, |inner| {
            let made = inner.create_conversation(record, handouts)?;
            if made == ConversationMade::Made {
                self.lock().stands(&record.roster);
            }
            Ok(made)
        })
    }

    fn commit(&self, hash: CommitHash, next: &ConversationRecord, handouts: &[Handout]) -> Stored<CommitOutcome> {
        let bytes = given(next, handouts);
        self.change(&bytes, |inner| {
            let outcome = inner.commit(hash, next, handouts)?;
            if outcome == CommitOutcome::Accepted {
                self.lock().stands(&next.roster);
            }
            Ok(outcome)
        })
    }

    fn ask_to_leave(&self, next: &Roster, handouts: &[Handout]) -> Stored<bool> {
        let bytes: Vec<&[u8]> = handouts.iter().map(|handout| handout.item.as_slice()).collect();
        self.change(&bytes, |inner| {
            let kept = inner.ask_to_leave(next, handouts)?;
            if kept {
                self.lock().stands(next);
            }
            Ok(kept)
        })
    }

    fn close_conversation(&self, roster: &Roster, by: Option<&SignedLeave>) -> Stored<bool> {
        self.change(&[], |inner| {
            let closed = inner.close_conversation(roster, by)?;
            if closed {
                self.lock().closed(roster.id);
            }
            Ok(closed)
        })
    }
}

/// What a store is given with a change of a conversation.
fn given<'a>(record: &'a ConversationRecord, handouts: &'a [Handout]) -> Vec<&'a [u8]> {
    let owed = handouts.iter().map(|handout| handout.item.as_slice());
    [record.snapshot.as_slice(), &record.group_info].into_iter().chain(owed).collect()
}

impl Names for MortalStore {
    reads! {
        name_of_group(name: &Name) -> Option<ConversationId>;
    }

    fn claim_name(&self, name: &Name, skeleton: &str, group: ConversationId) -> Stored<NameClaimed> {
        self.change(&[], |inner| inner.claim_name(name, skeleton, group))
    }
}

impl Handouts for MortalStore {
    reads! {
        handouts(of: Option<ConversationId>, at_most: usize) -> Vec<Handout>;
    }

    fn handed_out(&self, conversation: ConversationId, epoch: u64, number: u64) -> Stored<()> {
        self.change(&[], |inner| inner.handed_out(conversation, epoch, number))
    }
}

impl Mailbox for MortalStore {
    fn forget_mail(&self, devices: &[DeviceId]) -> Stored<()> {
        self.change(&[], |inner| inner.forget_mail(devices))
    }

    reads! {
        waiting(devices: &[DeviceId], counted: [u8; 32]) -> Vec<(u64, u64)>;
        holds(devices: &[DeviceId], key: [u8; 32]) -> Vec<bool>;
        drain(device: DeviceId, after: Option<Cursor>, items: usize, bytes: usize) -> (Vec<MailRecord>, bool);
    }

    fn deliver(&self, deliveries: &[Delivery]) -> Stored<Vec<bool>> {
        let bytes: Vec<&[u8]> = deliveries.iter().map(|delivery| delivery.item.as_slice()).collect();
        self.change(&bytes, |inner| {
            for delivery in deliveries {
                self.lock().delivers(delivery);
            }
            inner.deliver(deliveries)
        })
    }

    fn remove(&self, device: DeviceId, cursors: &[Cursor]) -> Stored<()> {
        self.change(&[], |inner| inner.remove(device, cursors))
    }

    fn expire(
        &self,
        now: Timestamp,
        items: usize,
        notice: &dyn Fn(&ExpiredMessage) -> Option<Delivery>,
    ) -> Stored<Vec<ExpiredMessage>> {
        // It is asked for every second and mostly changes nothing: no place to die at.
        self.read(|inner| inner.expire(now, items, notice))
    }
}

impl Instance for MortalStore {
    reads! {
        secret(name: &str) -> Option<Vec<u8>>;
        secret_or(name: &str, value: &[u8]) -> Vec<u8>;
    }
}
