//! What the ledger needs to know of people: which keys sign for them, which of their devices are told, and whom they block.
//!
//! It is looked up once and remembered, since each payment asks for two. Whatever changes somebody's devices or whom they
//! block says so, and everything remembered before counts no more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use protocol::{AccountId, DeviceId, PublicKey, certificate::Certificate};

use crate::store::{Store, StoreError};

use super::{Service, Stop, devices::certificates_of};

/// People who are remembered: those who pay each other these days.
const PEOPLE_MAX: usize = 16_384;
/// People whom somebody blocks that are remembered: of somebody who blocks more the store is asked each time.
const BLOCKED_MAX: usize = 64;

/// One of a person's devices, also one that is revoked.
#[derive(Debug, Clone)]
pub(super) struct PayerDevice {
    pub(super) device: DeviceId,
    pub(super) order_key: PublicKey,
    pub(super) certificate: Certificate,
    pub(super) revoked: bool,
}

/// A person, as the ledger needs to know them.
#[derive(Debug, Clone, Default)]
pub(super) struct Payer {
    /// Whether there is such an account, and it is not closed.
    pub(super) open: bool,
    devices: Vec<PayerDevice>,
    // None if they are too many.
    blocks: Option<Vec<AccountId>>,
}

impl Payer {
    /// A device that was ever theirs.
    pub(super) fn device(&self, device: DeviceId) -> Option<&PayerDevice> {
        self.devices.iter().find(|known| known.device == device)
    }

    /// Whether they block somebody, if that is remembered.
    pub(super) fn blocks(&self, other: AccountId) -> Option<bool> {
        Some(self.blocks.as_ref()?.contains(&other))
    }

    /// Devices that are told of their money.
    pub(super) fn told(&self) -> impl Iterator<Item = DeviceId> {
        self.devices.iter().filter(|device| !device.revoked).map(|device| device.device)
    }
}

/// Those who were looked up.
#[derive(Debug, Default)]
pub(super) struct Payers {
    // Counts changes of devices: what was looked up under an earlier count is looked up again.
    changes: AtomicU64,
    known: Mutex<HashMap<AccountId, (u64, Arc<Payer>)>>,
}

impl Payers {
    /// Somebody's devices, or whom they block, have changed, and the store knows.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl<S: Store> Service<S> {
    /// What is known of somebody.
    pub(super) fn payer(&self, account: AccountId) -> Result<Arc<Payer>, StoreError> {
        // Counted before the store is asked.
        let count = self.people.changes.load(Ordering::SeqCst);
        {
            let known = self.people.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, payer)) = known.get(&account).filter(|(looked_up, _)| *looked_up == count) {
                return Ok(Arc::clone(payer));
            }
        }
        let payer = Arc::new(self.look_up_payer(account)?);
        // Whoever is not there may come at any moment.
        if payer.open {
            let mut known = self.people.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= PEOPLE_MAX {
                known.clear();
            }
            known.insert(account, (count, Arc::clone(&payer)));
        }
        Ok(payer)
    }

    fn look_up_payer(&self, account: AccountId) -> Result<Payer, StoreError> {
        let record = self.store.accounts_by_id(&[account])?.into_iter().flatten().next();
        let mut certificates = record.as_ref().map(certificates_of).unwrap_or_default();
        for (device, certificate) in self.store.certificates_of(account)? {
            if !certificates.iter().any(|(known, _)| *known == device) {
                certificates.push((device, certificate));
            }
        }
        let rows = self.store.devices_of(account)?;
        let standing = |device: DeviceId| rows.iter().find(|row| row.device == device).is_some_and(|row| !row.revoked);
        let known = certificates.into_iter().filter_map(|(device, certificate)| {
            let order_key = certificate.entry().ok()?.order_key;
            let revoked = record.is_none() || !standing(device);
            Some(PayerDevice { device, order_key, certificate, revoked })
        });
        let devices = known.collect();
        let blocks = Some(self.store.blocked_by(account, BLOCKED_MAX + 1)?).filter(|all| all.len() <= BLOCKED_MAX);
        Ok(Payer { open: record.is_some(), devices, blocks })
    }

    /// Keeps the certificates of an account's present devices, before any of them goes.
    pub(super) fn keep_certificates(&self, account: AccountId) -> Result<(), Stop> {
        let record = self.store.accounts_by_id(&[account])?.into_iter().flatten().next();
        let certificates = record.as_ref().map(certificates_of).unwrap_or_default();
        Ok(self.store.keep_certificates(account, &certificates)?)
    }
}
