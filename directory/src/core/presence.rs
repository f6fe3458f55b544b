//! Who is connected, where, and who may know.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{
    AccountId, Bounded, DeviceId, Name, Timestamp,
    directory::{DeviceAddresses, Push, Reply},
    limits::{ADDRESSES_MAX, LEASE_MS, LIST_MAX},
};

use crate::store::{Store, StoreError};

use super::{Answer, Caller, Service, ServiceEffect};

/// Devices connected at once up to which everybody is told of everybody; beyond, only people who were accepted, since
/// each coming and going would cost a push to each.
const TOLD_TO_ALL_MAX: usize = 1_000;

#[derive(Debug)]
struct Present {
    account: AccountId,
    addresses: Vec<SocketAddr>,
    until: Timestamp,
}

#[derive(Debug, Default)]
struct Inner {
    devices: BTreeMap<DeviceId, Present>,
    names: BTreeMap<Name, AccountId>,
    accounts: BTreeMap<AccountId, (Name, BTreeSet<DeviceId>)>,
}

/// Leases of presence. Several keys change together, so one lock stands around them all.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<Inner>);

impl Presence {
    // Each change is made whole before the lock is let go.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_online(&self, account: AccountId) -> bool {
        self.lock().accounts.contains_key(&account)
    }

    /// Renews a lease; tells whether the account has come with it.
    fn renew(&self, device: DeviceId, name: Name, present: Present) -> bool {
        let mut inner = self.lock();
        let account = present.account;
        inner.devices.insert(device, present);
        inner.names.insert(name.clone(), account);
        let entry = inner.accounts.entry(account).or_insert_with(|| (name, BTreeSet::new()));
        entry.1.insert(device);
        entry.1.len() == 1
    }

    pub(super) fn is_present(&self, device: DeviceId) -> bool {
        self.lock().devices.contains_key(&device)
    }

    /// Ends a lease; the name, if the account has gone with it.
    fn end(&self, device: DeviceId) -> Option<(AccountId, Name)> {
        let mut inner = self.lock();
        let account = inner.devices.remove(&device)?.account;
        let (name, devices) = inner.accounts.get_mut(&account)?;
        devices.remove(&device);
        if !devices.is_empty() {
            return None;
        }
        let name = name.clone();
        inner.accounts.remove(&account);
        inner.names.remove(&name);
        Some((account, name))
    }

    fn overdue(&self, now: Timestamp) -> Vec<DeviceId> {
        let inner = self.lock();
        inner.devices.iter().filter(|(_, present)| present.until <= now).map(|(device, _)| *device).collect()
    }

    fn names_after(&self, after: Option<&Name>) -> Vec<AccountId> {
        let inner = self.lock();
        let names = inner.names.iter().filter(|(name, _)| after.is_none_or(|after| *name > after));
        names.map(|(_, account)| *account).collect()
    }

    fn everyone(&self) -> Vec<(DeviceId, AccountId)> {
        self.lock().devices.iter().map(|(device, present)| (*device, present.account)).collect()
    }

    fn addresses(&self, device: DeviceId) -> Vec<SocketAddr> {
        self.lock().devices.get(&device).map(|present| present.addresses.clone()).unwrap_or_default()
    }
}

impl<S: Store> Service<S> {
    /// Whether `asker` may know of each of these that they are there.
    pub(super) fn may_see(&self, asker: AccountId, of: &[AccountId]) -> Result<Vec<bool>, StoreError> {
        if self.config.presence_to_everyone {
            return Ok(vec![true; of.len()]);
        }
        let pairs: Vec<_> = of.iter().map(|of| (*of, asker)).collect();
        let accepted = self.store.has_accepted(&pairs)?;
        Ok(of.iter().zip(accepted).map(|(of, accepted)| accepted || *of == asker).collect())
    }

    pub(super) fn announce(
        &self,
        now: Timestamp,
        caller: &Caller,
        account: AccountId,
        device: DeviceId,
        announced: &[SocketAddr],
    ) -> Result<Vec<ServiceEffect>, StoreError> {
        let mut addresses = announced.to_vec();
        if !addresses.contains(&caller.observed) {
            addresses.truncate(ADDRESSES_MAX - 1);
            addresses.push(caller.observed);
        }
        let new = !self.presence.is_present(device);
        let records = self.store.accounts_by_id(&[account])?;
        let Some(record) = records.into_iter().flatten().next() else { return Ok(Vec::new()) };
        let present = Present { account, addresses, until: now.plus_ms(LEASE_MS) };
        let came = self.presence.renew(device, record.name.clone(), present);
        if new {
            self.store.note_device_seen(device, now)?;
        }
        if !new || !came {
            return Ok(Vec::new());
        }
        self.store.note_seen(account, now)?;
        self.tell(account, &record.name, true)
    }

    pub(super) fn announced(&self, now: Timestamp, caller: &Caller, device: DeviceId, send_counter: u64) -> Answer {
        let send_counter = self.store.raise_send_counter(device, send_counter)?;
        let (key_packages, last_resort) = self.store.stock(device, now)?;
        Ok(Reply::Announced { observed: caller.observed, send_counter, key_packages, last_resort })
    }

    /// A device's presence ends.
    pub(super) fn leave(
        &self,
        now: Timestamp,
        account: AccountId,
        device: DeviceId,
    ) -> Result<Vec<ServiceEffect>, StoreError> {
        if self.presence.is_present(device) {
            self.store.note_device_seen(device, now)?;
        }
        let Some((_, name)) = self.presence.end(device) else { return Ok(Vec::new()) };
        self.store.note_seen(account, now)?;
        self.tell(account, &name, false)
    }

    pub(super) fn expire_leases(&self, now: Timestamp) -> Result<Vec<ServiceEffect>, StoreError> {
        let mut effects = Vec::new();
        for device in self.presence.overdue(now) {
            self.store.note_device_seen(device, now)?;
            if let Some((account, name)) = self.presence.end(device) {
                self.store.note_seen(account, now)?;
                effects.extend(self.tell(account, &name, false)?);
            }
        }
        Ok(effects)
    }

    fn tell(&self, account: AccountId, name: &Name, online: bool) -> Result<Vec<ServiceEffect>, StoreError> {
        let others: Vec<(DeviceId, AccountId)> =
            self.presence.everyone().into_iter().filter(|(_, other)| *other != account).collect();
        let all = self.config.presence_to_everyone && others.len() <= TOLD_TO_ALL_MAX;
        let pairs: Vec<(AccountId, AccountId)> = others.iter().map(|(_, other)| (account, *other)).collect();
        let told = if all { vec![true; pairs.len()] } else { self.store.has_accepted(&pairs)? };
        let told = others.into_iter().zip(told).filter(|(_, told)| *told);
        let push = || Push::Presence { account, name: name.clone(), online };
        Ok(told.map(|((device, _), _)| ServiceEffect::Push { device, push: push() }).collect())
    }

    pub(super) fn list_online(&self, asker: AccountId, after: Option<&Name>) -> Answer {
        let mut visible = Vec::new();
        // A page's worth at a time, since there may be many online of whom few may be seen.
        for some in self.presence.names_after(after).chunks(LIST_MAX) {
            let seen = self.may_see(asker, some)?;
            visible.extend(some.iter().zip(seen).filter(|(_, seen)| *seen).map(|(account, _)| *account));
            if visible.len() >= LIST_MAX {
                break;
            }
        }
        visible.truncate(LIST_MAX);
        let records = self.store.accounts_by_id(&visible)?;
        self.people(asker, records.into_iter().flatten().collect())
    }

    pub(super) fn addresses(&self, asker: AccountId, of: AccountId) -> Answer {
        let accepted = asker == of || self.store.has_accepted(&[(of, asker)])? == [true];
        let accepted = accepted && self.store.has_blocked(&[(of, asker)])? == [false];
        let record = self.store.accounts_by_id(&[of])?.into_iter().flatten().next().filter(|_| accepted);
        let list = record.and_then(|record| record.devices.list().ok());
        let entries = list.iter().flat_map(|list| &list.devices).filter_map(|certificate| certificate.entry().ok());
        let told = entries.filter(|entry| self.presence.is_present(entry.device)).map(|entry| DeviceAddresses {
            device: entry.device,
            tls_key: entry.tls_key,
            addresses: Bounded::new(self.presence.addresses(entry.device)).unwrap_or_default(),
        });
        Ok(Reply::Addresses(Bounded::new(told.collect()).unwrap_or_default()))
    }
}
