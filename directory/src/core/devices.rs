//! An account's devices, passwords and end.
//!
//! What the root key signed decides about devices; a password that was just proven on the connection decides about
//! passwords and the end. Both together are needed for a device that is not enrolled yet: the list is signed with a root
//! key that only the password or the recovery code opens.

use membership::{certificate::VerifiedDeviceList, certificate::verify_device_list, signing};
use protocol::{
    AccountId, Bounded, BoundedBytes, DeviceId, Name, Timestamp,
    certificate::{Certificate, DeviceEntry, SignedDeviceList},
    directory::{DeviceSeen, Push, RECOVERY_LABEL, Recovery, Refusal, Reply},
    limits::ELSEWHERE_MAX,
};

use crate::store::{AccountRecord, DeviceRecord, DevicesChange, DevicesChanged, NewSecrets, Store, StoreError};

use super::{Answer, Caller, Service, ServiceEffect, Stop, malformed, opaque::PasswordServer};

fn damaged(what: &str) -> Stop {
    Stop::Store(StoreError::Damaged(what.to_owned()))
}

/// An account's devices, as the list that was checked when it came names them.
pub(super) fn devices_of(record: &AccountRecord) -> Vec<DeviceEntry> {
    let list = record.devices.list().ok();
    let certificates = list.into_iter().flat_map(|list| list.devices);
    certificates.filter_map(|certificate| certificate.entry().ok()).collect()
}

/// An account's present certificates, by device.
pub(super) fn certificates_of(record: &AccountRecord) -> Vec<(DeviceId, Certificate)> {
    let list = record.devices.list().ok();
    let certificates = list.into_iter().flat_map(|list| list.devices);
    certificates.filter_map(|certificate| Some((certificate.entry().ok()?.device, certificate))).collect()
}

fn row(account: AccountId, entry: &DeviceEntry, signed_in: bool) -> DeviceRecord {
    DeviceRecord {
        device: entry.device,
        account,
        tls_key: entry.tls_key,
        mls_key: entry.mls_key,
        signed_in,
        send_counter: 0,
        revoked: false,
    }
}

impl<S: Store> Service<S> {
    fn record_of(&self, account: AccountId) -> Result<AccountRecord, Stop> {
        let record = self.store.accounts_by_id(&[account])?.into_iter().flatten().next();
        record.ok_or_else(|| Refusal::NotSignedIn.into())
    }

    pub(super) fn account(&self, (account, device): (AccountId, DeviceId)) -> Answer {
        let record = self.record_of(account)?;
        let devices: Vec<DeviceId> = devices_of(&record).iter().map(|entry| entry.device).collect();
        let seen = self.store.devices_seen(&devices)?;
        let seen = devices.into_iter().zip(seen).map(|(device, last_seen)| DeviceSeen {
            device,
            online: self.presence.is_present(device),
            last_seen,
        });
        Ok(Reply::Account {
            devices: record.devices.clone(),
            seen: Bounded::new(seen.collect()).unwrap_or_default(),
            book_version: self.store.book(account)?.map_or(0, |(version, _)| version),
            elsewhere: Bounded::new(self.store.elsewhere(account, device, ELSEWHERE_MAX)?).unwrap_or_default(),
        })
    }

    pub(super) fn book(&self, account: AccountId) -> Answer {
        let book = self.store.book(account)?;
        let book = book.map(|(version, book)| BoundedBytes::new(book).map(|book| (version, book)));
        Ok(Reply::Book(book.transpose().map_err(|_| damaged("a book"))?))
    }

    /// Tells an account's other devices that something of it changed.
    pub(super) fn tell_own(
        &self,
        account: AccountId,
        but: DeviceId,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<(), Stop> {
        let record = self.record_of(account)?;
        let others = devices_of(&record).into_iter().map(|entry| entry.device).filter(|device| *device != but);
        effects.extend(others.map(|device| ServiceEffect::Push { device, push: Push::Account }));
        Ok(())
    }

    pub(super) fn update_devices(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        devices: &SignedDeviceList,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let account = caller.account().or(caller.proven).ok_or(Refusal::NotSignedIn)?;
        let record = self.record_of(account)?;
        self.change_devices(now, caller, &record, devices, None, effects)
    }

    /// Checks the next device list of an account and puts it in place.
    fn change_devices(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        record: &AccountRecord,
        devices: &SignedDeviceList,
        secrets: Option<NewSecrets>,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let account = record.account;
        let list = verify_device_list(devices).map_err(|error| malformed(&error.to_string()))?;
        if list.account != account {
            return Err(malformed("the device list is another account's"));
        }
        let own = list.devices.iter().find(|entry| entry.tls_key == caller.tls_key);
        let own = own.ok_or_else(|| malformed("the device list does not name the connection's device"))?.device;
        let change = match *devices == record.devices {
            true => None,
            false => Some(self.devices_change(now, record, devices, &list, secrets)?),
        };
        if let Some(change) = &change {
            if !change.removed.is_empty() {
                // What a device signed before it goes is looked at afterwards, too.
                self.keep_certificates(account)?;
            }
            match self.store.replace_devices(change)? {
                DevicesChanged::Changed => {}
                DevicesChanged::Unknown => return Err(Refusal::NotSignedIn.into()),
                DevicesChanged::Stale => return Err(Refusal::Stale.into()),
                DevicesChanged::DeviceTaken => return Err(Refusal::DeviceTaken.into()),
            }
        }
        // Also after a repetition: a crash may have come between the list and what follows from it.
        self.forget_revoked(now, account, effects)?;
        if let Some(session) = self.session_of(now, &caller.tls_key)?.filter(|session| session.device == own) {
            caller.session = Some(session);
        }
        self.tell_own(account, own, effects)?;
        Ok(Reply::Done)
    }

    fn devices_change(
        &self,
        now: Timestamp,
        record: &AccountRecord,
        devices: &SignedDeviceList,
        list: &VerifiedDeviceList,
        secrets: Option<NewSecrets>,
    ) -> Result<DevicesChange, Stop> {
        let present = record.devices.list().map_err(|_| damaged("a device list"))?;
        if list.version != present.version.saturating_add(1) {
            return Err(Refusal::Stale.into());
        }
        if list.not_after <= now || list.devices.iter().any(|entry| entry.not_after <= now) {
            return Err(malformed("the device list, or a certificate in it, has expired"));
        }
        let before = devices_of(record);
        // A certificate may be renewed; the keys behind an id never change.
        let same = |one: &DeviceEntry, other: &DeviceEntry| {
            one.device == other.device
                && one.tls_key == other.tls_key
                && one.mls_key == other.mls_key
                && one.order_key == other.order_key
        };
        let is_new = |entry: &&DeviceEntry| !before.iter().any(|old| old.device == entry.device);
        if list.devices.iter().any(|entry| before.iter().any(|old| old.device == entry.device && !same(old, entry))) {
            return Err(malformed("a device of the list has other keys than before"));
        }
        let added = list.devices.iter().filter(is_new).map(|entry| row(record.account, entry, true)).collect();
        let gone = |old: &&DeviceEntry| !list.devices.iter().any(|entry| entry.device == old.device);
        let removed = before.iter().filter(gone).map(|entry| entry.device).collect();
        Ok(DevicesChange {
            account: record.account,
            before: record.devices.clone(),
            after: devices.clone(),
            added,
            removed,
            secrets,
        })
    }

    /// Ends what devices that are revoked still have: sessions, presence, mail and key packages.
    pub(super) fn forget_revoked(
        &self,
        now: Timestamp,
        account: AccountId,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<(), Stop> {
        self.people.changed();
        let devices = self.store.devices_of(account)?;
        let gone: Vec<DeviceId> = devices.into_iter().filter(|row| row.revoked).map(|row| row.device).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.note_ended();
        self.store.forget_packages(&gone)?;
        self.store.forget_mail(&gone)?;
        for device in gone {
            effects.extend(self.leave(now, account, device)?);
            effects.push(ServiceEffect::CloseSession { device });
        }
        Ok(())
    }

    pub(super) fn password_start(&self, account: AccountId, request: &[u8]) -> Answer {
        let record = self.record_of(account)?;
        let registration = self.passwords.register(&record.name, request);
        Ok(Reply::SignUpStarted { registration: registration.map_err(|_| malformed("no OPAQUE request"))? })
    }

    pub(super) fn change_password(
        &self,
        caller: &mut Caller,
        account: AccountId,
        registration: &[u8],
        root_backup: &[u8],
    ) -> Answer {
        let password = PasswordServer::record(registration).map_err(|_| malformed("no OPAQUE record"))?;
        if caller.proven.take() != Some(account) {
            return Err(Refusal::PasswordNeeded.into());
        }
        let secrets = NewSecrets { password, root_backup: root_backup.to_vec(), recovery_backup: None };
        if self.store.replace_secrets(account, &secrets)? { Ok(Reply::Done) } else { Err(Refusal::NotSignedIn.into()) }
    }

    pub(super) fn recovery_start(&self, name: &Name, request: &[u8]) -> Answer {
        let registration = self.passwords.register(name, request).map_err(|_| malformed("no OPAQUE request"))?;
        let record = self.store.accounts_by_name(std::slice::from_ref(name))?.into_iter().flatten().next();
        let record = record.ok_or(Refusal::WrongCredentials)?;
        let recovery_backup = BoundedBytes::new(record.recovery_backup).map_err(|_| damaged("an account's backup"))?;
        Ok(Reply::RecoveryStarted { registration, devices: record.devices, recovery_backup })
    }

    pub(super) fn recovery_finish(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        recovery: &Recovery,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let record = self.store.accounts_by_name(std::slice::from_ref(&recovery.name))?.into_iter().flatten().next();
        let record = record.ok_or(Refusal::WrongCredentials)?;
        let signed = recovery.signed(&caller.exporter).map_err(|error| malformed(&error.to_string()))?;
        signing::verify(&record.root_key, RECOVERY_LABEL, &signed, &recovery.signature)
            .map_err(|_| Refusal::WrongCredentials)?;
        let password = PasswordServer::record(&recovery.registration).map_err(|_| malformed("no OPAQUE record"))?;
        let secrets = NewSecrets {
            password,
            root_backup: recovery.root_backup.to_vec(),
            recovery_backup: Some(recovery.recovery_backup.to_vec()),
        };
        let done = self.change_devices(now, caller, &record, &recovery.devices, Some(secrets), effects)?;
        self.limits.succeeded(&recovery.name, caller.observed.ip());
        Ok(done)
    }

    pub(super) fn close_account(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        account: AccountId,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        if caller.proven.take() != Some(account) {
            return Err(Refusal::PasswordNeeded.into());
        }
        self.refuse_with_money(account)?;
        self.keep_certificates(account)?;
        self.check_not_needed(account)?;
        self.close_money(now, account)?;
        self.close_everywhere(now, account, effects)?;
        let own = caller.session.take().map(|session| session.device);
        // Whoever closes an account hangs up by itself: its answer must not be cut off.
        effects.retain(|effect| !matches!(effect, ServiceEffect::CloseSession { device } if Some(*device) == own));
        Ok(Reply::Done)
    }

    /// Ends everything of an account that is closed for the ledger; done again, it is the same.
    pub(super) fn close_everywhere(
        &self,
        now: Timestamp,
        account: AccountId,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<(), Stop> {
        // First the groups: whoever is interrupted in between closes the account by asking again, and finds none left. What
        // another device has come into meanwhile is left afterwards.
        self.leave_every_group(account)?;
        self.store.close_account(account)?;
        self.leave_every_group(account)?;
        self.forget_revoked(now, account, effects)?;
        self.closing_finished(account)
    }
}
