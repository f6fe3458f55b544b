//! Changes of accounts, in the model.

use protocol::{AccountId, DeviceId, Name, Timestamp, certificate::Certificate};

use super::{
    super::{AccountChanges, DeviceRecord, DevicesChange, DevicesChanged, NewSecrets, Stored},
    Inner, MemoryStore,
};

/// Closes an account; its name stays where it is.
pub(super) fn close(inner: &mut Inner, account: AccountId) {
    inner.closed.insert(account);
    inner.books.remove(&account);
    if let Some(record) = inner.accounts.get_mut(&account) {
        record.password.clear();
        record.root_backup.clear();
        record.recovery_backup.clear();
    }
    for device in inner.devices.values_mut().filter(|device| device.account == account) {
        (device.revoked, device.signed_in) = (true, false);
    }
}

fn take_secrets(inner: &mut Inner, account: AccountId, secrets: &NewSecrets) {
    let Some(record) = inner.accounts.get_mut(&account) else { return };
    record.password.clone_from(&secrets.password);
    record.root_backup.clone_from(&secrets.root_backup);
    if let Some(backup) = &secrets.recovery_backup {
        record.recovery_backup.clone_from(backup);
    }
}

impl AccountChanges for MemoryStore {
    fn replace_devices(&self, change: &DevicesChange) -> Stored<DevicesChanged> {
        let mut inner = self.lock();
        let Some(record) = inner.account(change.account) else { return Ok(DevicesChanged::Unknown) };
        if record.devices == change.after {
            return Ok(DevicesChanged::Changed);
        }
        if record.devices != change.before {
            return Ok(DevicesChanged::Stale);
        }
        let known = |new: &DeviceRecord| {
            inner.devices.values().any(|old| old.device == new.device || old.tls_key == new.tls_key)
        };
        if change.added.iter().any(known) {
            return Ok(DevicesChanged::DeviceTaken);
        }
        if let Some(record) = inner.accounts.get_mut(&change.account) {
            record.devices = change.after.clone();
        }
        for device in &change.added {
            inner.devices.insert(device.device, device.clone());
        }
        for device in &change.removed {
            if let Some(device) = inner.devices.get_mut(device).filter(|device| device.account == change.account) {
                (device.revoked, device.signed_in) = (true, false);
            }
        }
        if let Some(secrets) = &change.secrets {
            take_secrets(&mut inner, change.account, secrets);
        }
        Ok(DevicesChanged::Changed)
    }

    fn replace_secrets(&self, account: AccountId, secrets: &NewSecrets) -> Stored<bool> {
        let mut inner = self.lock();
        let known = inner.account(account).is_some();
        if known {
            take_secrets(&mut inner, account, secrets);
        }
        Ok(known)
    }

    fn close_account(&self, account: AccountId) -> Stored<()> {
        let mut inner = self.lock();
        if inner.accounts.contains_key(&account) {
            close(&mut inner, account);
        }
        Ok(())
    }

    fn offer_reset(&self, name: &Name, code: &str) -> Stored<bool> {
        let mut inner = self.lock();
        let Some(account) = inner.names.get(name).copied().filter(|account| inner.account(*account).is_some()) else {
            return Ok(false);
        };
        inner.resets.retain(|_, offered| *offered != account);
        inner.resets.insert(code.to_owned(), account);
        Ok(true)
    }

    fn reset_is_offered(&self, name: &Name, code: &str) -> Stored<bool> {
        let inner = self.lock();
        Ok(inner.resets.get(code).is_some_and(|account| inner.names.get(name) == Some(account)))
    }

    fn devices_of(&self, account: AccountId) -> Stored<Vec<DeviceRecord>> {
        let inner = self.lock();
        Ok(inner.devices.values().filter(|device| device.account == account).cloned().collect())
    }

    fn keep_certificates(&self, account: AccountId, certificates: &[(DeviceId, Certificate)]) -> Stored<()> {
        let mut inner = self.lock();
        for (device, certificate) in certificates {
            inner.certificates.entry((account, *device)).or_insert_with(|| certificate.clone());
        }
        Ok(())
    }

    fn certificates_of(&self, account: AccountId) -> Stored<Vec<(DeviceId, Certificate)>> {
        let inner = self.lock();
        let of = inner.certificates.range((account, DeviceId([0; 16]))..=(account, DeviceId([u8::MAX; 16])));
        Ok(of.map(|((_, device), certificate)| (*device, certificate.clone())).collect())
    }

    fn note_device_seen(&self, device: DeviceId, at: Timestamp) -> Stored<()> {
        let mut inner = self.lock();
        if inner.devices.contains_key(&device) {
            inner.devices_seen.insert(device, at);
        }
        Ok(())
    }

    fn devices_seen(&self, devices: &[DeviceId]) -> Stored<Vec<Option<Timestamp>>> {
        let inner = self.lock();
        Ok(devices.iter().map(|device| inner.devices_seen.get(device).copied()).collect())
    }

    fn block(&self, owner: AccountId, others: &[AccountId], blocked: bool) -> Stored<()> {
        let mut inner = self.lock();
        for other in others {
            if blocked {
                inner.blocked.insert((owner, *other));
            } else {
                inner.blocked.remove(&(owner, *other));
            }
        }
        Ok(())
    }

    fn blocked_by(&self, owner: AccountId, at_most: usize) -> Stored<Vec<AccountId>> {
        let inner = self.lock();
        let blocked = inner.blocked.range((owner, AccountId([0; 32]))..).take_while(|(by, _)| *by == owner);
        Ok(blocked.map(|(_, other)| *other).take(at_most).collect())
    }

    fn has_blocked(&self, pairs: &[(AccountId, AccountId)]) -> Stored<Vec<bool>> {
        let inner = self.lock();
        Ok(pairs.iter().map(|pair| inner.blocked.contains(pair)).collect())
    }
}
