//! Signing up and in, and finding people.

use membership::certificate::verify_device_list;
use protocol::{
    AccountId, Bounded, BoundedBytes, DeviceId, Name, Timestamp,
    directory::{Person, Refusal, Registration, Reply, SignUp, Who},
    frame,
    limits::{DIRECTORY_FRAME_MAX, LIST_MAX},
    money::Amount,
};
use sha2::{Digest as _, Sha256};
use unicode_security::confusable_detection::skeleton;

use crate::store::{AccountMade, AccountRecord, DeviceRecord, NewAccount, Store};

use super::{Answer, Caller, Service, ServiceEffect, Stop, malformed, opaque::PasswordServer};

/// What a name looks like: two names with the same are confusable (Unicode TR 39), after the case was folded.
pub(super) fn looks_like(name: &Name) -> String {
    skeleton(name.as_str()).collect::<String>().to_lowercase()
}

/// Whether an account's device list and the certificate of this device in it are still valid.
pub(super) fn is_current(record: &AccountRecord, device: DeviceId, now: Timestamp) -> bool {
    let Ok(list) = record.devices.list() else { return false };
    let mut entries = list.devices.iter().filter_map(|certificate| certificate.entry().ok());
    list.not_after > now && entries.any(|entry| entry.device == device && entry.not_after > now)
}

impl<S: Store> Service<S> {
    pub(super) fn sign_up_start(&self, name: &Name, invite: Option<&str>, request: &[u8]) -> Answer {
        let registration = self.passwords.register(name, request).map_err(|_| malformed("no OPAQUE request"))?;
        let offered = match invite {
            Some(code) => self.store.reset_is_offered(name, code)?,
            None => false,
        };
        if !offered {
            self.check_registration(invite)?;
            let taken = self.store.accounts_by_name(std::slice::from_ref(name))?.iter().any(Option::is_some);
            if taken || self.store.name_of_group(name)?.is_some() {
                return Err(Refusal::NameTaken.into());
            }
        }
        Ok(Reply::SignUpStarted { registration })
    }

    fn check_registration(&self, invite: Option<&str>) -> Result<(), Stop> {
        match self.config.registration {
            Registration::Open => Ok(()),
            Registration::Closed => Err(Refusal::RegistrationClosed.into()),
            Registration::Invite => match invite {
                Some(code) if self.store.invite_is_free(code)? => Ok(()),
                _ => Err(Refusal::InviteNeeded.into()),
            },
        }
    }

    pub(super) fn sign_up_finish(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        sign_up: &SignUp,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let list = verify_device_list(&sign_up.devices).map_err(|error| malformed(&error.to_string()))?;
        let [device] = list.devices.as_slice() else { return Err(malformed("a first device list has one device")) };
        if device.tls_key != caller.tls_key {
            return Err(malformed("the first device is another one than the connection's"));
        }
        if device.not_after <= now || list.not_after <= now {
            return Err(malformed("the device list has expired"));
        }
        let password = PasswordServer::record(&sign_up.registration).map_err(|_| malformed("no OPAQUE record"))?;
        let bytes = frame::encode_body(sign_up, DIRECTORY_FRAME_MAX).map_err(|_| malformed("too long"))?;
        let record = AccountRecord {
            account: list.account,
            name: sign_up.name.clone(),
            root_key: list.root_key,
            devices: sign_up.devices.clone(),
            password,
            root_backup: sign_up.root_backup.to_vec(),
            recovery_backup: sign_up.recovery_backup.to_vec(),
            made_by: Sha256::digest(bytes).into(),
        };
        let row = DeviceRecord {
            device: device.device,
            account: list.account,
            tls_key: device.tls_key,
            mls_key: device.mls_key,
            signed_in: true,
            send_counter: 0,
            revoked: false,
        };
        // A repeated request meets its own account before any rule that has changed since.
        let known = self.store.accounts_by_id(&[list.account])?.into_iter().flatten().next();
        let repeated = known.is_some_and(|known| known.made_by == record.made_by);
        let reset = match sign_up.invite.as_deref() {
            Some(code) if self.store.reset_is_offered(&sign_up.name, code)? => Some(code.to_owned()),
            _ => None,
        };
        let old = match &reset {
            Some(_) => self.store.accounts_by_name(std::slice::from_ref(&sign_up.name))?.into_iter().flatten().next(),
            None => None,
        };
        let old = old.map(|record| record.account).filter(|account| *account != list.account);
        let free = repeated || reset.is_some();
        if !free && self.config.registration == Registration::Closed {
            return Err(Refusal::RegistrationClosed.into());
        }
        let invited = self.config.registration == Registration::Invite;
        // Whoever gets a name back has what it had from the beginning: the operator's to move.
        let opening = if reset.is_some() { Amount::ZERO } else { self.opening };
        let code = || sign_up.invite.as_deref().map(str::to_owned).ok_or(Refusal::InviteNeeded);
        let invite = if invited && !free { Some(code()?) } else { None };
        let new = NewAccount { record, device: row, skeleton: looks_like(&sign_up.name), invite, reset, opening };
        if let Some(old) = old {
            self.keep_certificates(old)?;
        }
        match self.store.create_account(&new)? {
            AccountMade::Made => {}
            AccountMade::DeviceTaken => return Err(Refusal::DeviceTaken.into()),
            AccountMade::NameTaken => return Err(Refusal::NameTaken.into()),
            AccountMade::NameConfusable => return Err(Refusal::NameConfusable.into()),
            AccountMade::InviteUsed => return Err(Refusal::InviteNeeded.into()),
        }
        self.post_openings(now)?;
        if let Some(old) = old {
            // It is closed: its devices are shut out before anybody else is there under its name.
            self.forget_revoked(now, old, effects)?;
            self.leave_every_group(old)?;
        }
        // The making signs in; a repetition, perhaps much later, gives back no session that has ended since.
        if let Some(session) = self.session_of(now, &caller.tls_key)?.filter(|session| session.device == device.device)
        {
            caller.session = Some(session);
        }
        self.signed_in(&new.record, true)
    }

    pub(super) fn sign_in_start(&self, caller: &mut Caller, name: &Name, credential: &[u8]) -> Answer {
        let record = self.store.accounts_by_name(std::slice::from_ref(name))?.into_iter().flatten().next();
        let password = record.as_ref().map(|record| record.password.as_slice());
        let context = caller.exporter;
        let started = self.with_rng(|rng| self.passwords.log_in(name, password, credential, context, rng));
        let (login, credential) = started.map_err(|_| malformed("no OPAQUE request"))?;
        caller.login = Some(login);
        Ok(Reply::SignInStarted { credential })
    }

    pub(super) fn sign_in_finish(&self, now: Timestamp, caller: &mut Caller, credential: &[u8]) -> Answer {
        let login = caller.login.take().ok_or_else(|| malformed("there was no start"))?;
        let name = login.name.clone();
        let address = caller.observed.ip();
        let record = self.store.accounts_by_name(std::slice::from_ref(&name))?.into_iter().flatten().next();
        let record = record.filter(|record| login.is_for(&record.password));
        if !login.finish(credential) {
            return Err(Refusal::WrongCredentials.into());
        }
        let record = record.ok_or(Refusal::WrongCredentials)?;
        self.limits.succeeded(&name, address);
        caller.proven = Some(record.account);
        let device = self.store.device_by_key(&caller.tls_key)?.filter(|device| device.account == record.account);
        let device = device.filter(|device| is_current(&record, device.device, now));
        if let Some(device) = &device {
            self.store.set_signed_in(device.device, true)?;
            caller.session = self.session_of(now, &caller.tls_key)?;
        }
        self.signed_in(&record, device.is_some())
    }

    fn signed_in(&self, record: &AccountRecord, enrolled: bool) -> Answer {
        let damaged = |_| Stop::Store(crate::store::StoreError::Damaged("an account's backup".to_owned()));
        let book = self.store.book(record.account)?;
        let book = book.map(|(version, book)| BoundedBytes::new(book).map(|book| (version, book)));
        Ok(Reply::SignedIn {
            account: record.account,
            devices: record.devices.clone(),
            root_backup: BoundedBytes::new(record.root_backup.clone()).map_err(damaged)?,
            book: book.transpose().map_err(damaged)?,
            enrolled,
        })
    }

    pub(super) fn look_up(&self, asker: AccountId, who: &[Who]) -> Answer {
        let names = who.iter().filter_map(|who| if let Who::Name(name) = who { Some(name.clone()) } else { None });
        let accounts = who.iter().filter_map(|who| if let Who::Account(account) = who { Some(*account) } else { None });
        let mut found = self.store.accounts_by_name(&names.collect::<Vec<_>>())?;
        found.extend(self.store.accounts_by_id(&accounts.collect::<Vec<_>>())?);
        self.people(asker, found.into_iter().flatten().collect())
    }

    pub(super) fn people(&self, asker: AccountId, records: Vec<AccountRecord>) -> Answer {
        let accounts: Vec<AccountId> = records.iter().map(|record| record.account).collect();
        let seen = self.store.last_seen(&accounts)?;
        let visible = self.may_see(asker, &accounts)?;
        let mut people = Vec::new();
        for ((record, last_seen), visible) in records.into_iter().zip(seen).zip(visible).take(LIST_MAX) {
            people.push(Person {
                account: record.account,
                name: record.name,
                devices: record.devices,
                online: visible && self.presence.is_online(record.account),
                last_seen: last_seen.filter(|_| visible),
            });
        }
        Ok(Reply::People(Bounded::new(people).unwrap_or_default()))
    }
}
