//! The account's devices: a further one enrolled, one revoked, and what the directory says of them.
//!
//! A list counts if the account's root key signed it and its version is not below the highest that was seen. What this
//! device signs is durable before the directory hears of it.

use membership::certificate::{VerifiedDeviceList, verify_device_list};
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, BoundedBytes, DeviceId, Name,
    certificate::{Certificate, SignedDeviceList},
    directory::{DeviceSeen, Refusal, Reply, Request},
    limits::{BOOK_MAX, CERTIFICATE_LIFETIME_MS, DEVICES_MAX},
};

use super::{AccountCommand, Kind, RACES_MAX, Stage, failures::misbehaves};
use crate::{
    command::{Command, CommandToken, DeviceView, Failure, FailureCode, Outcome, Password},
    core::Core,
    crypto::keys::{AccountSecrets, DeviceKeys},
    event::{DeviceChange, EventKind},
    input::{Answer, CallId},
    link::Purpose,
    output::Effect,
    records::{KEYS_KEY, OwnAccount, PendingEnrolment, StoredKey},
    stored::Table,
};

/// Digits of a device's id that tell it apart, as DEVICES shows them.
const SHORTEST_PREFIX: usize = 4;

impl<C: CryptoProvider + Clone> Core<C> {
    /// Checks a list that the directory gives for one's own account.
    pub(super) fn check_own_list(
        &self,
        account: AccountId,
        devices: &SignedDeviceList,
    ) -> Result<VerifiedDeviceList, Failure> {
        let list = verify_device_list(devices).map_err(|_| misbehaves())?;
        if list.account != account {
            return Err(misbehaves());
        }
        let Some(own) = self.own() else { return Ok(list) };
        let known = own.devices.list().map_or(0, |list| list.version);
        if list.version == known && *devices != own.devices {
            let text = "the directory has shown different devices of this account to its devices: one of them was \
                        revoked or came, and another one was not told; nothing was changed here: tell the operator, \
                        compare DEVICES on each device, and REVOKE what should not be there";
            return Err(Failure::new(FailureCode::Trust, text));
        }
        if list.version < known {
            let text = "the directory shows an older list of this account's devices than it took before; \
                        nothing was changed here: tell the operator, and look at DEVICES on another device";
            return Err(Failure::new(FailureCode::Trust, text));
        }
        Ok(list)
    }

    /// The password is right and this device is signed in.
    pub(super) fn on_session_begun(
        &mut self,
        command: AccountCommand,
        devices: SignedDeviceList,
        list: &VerifiedDeviceList,
    ) {
        self.take_own_list(devices, list);
        if !self.account.session {
            self.account.session = true;
            self.account_changed = true;
            self.mail.want_all();
        }
        self.wait_for_mail(command.token);
    }

    /// The account as it is after a list that also names this device, with a certificate for it.
    pub(super) fn next_list_with_this_device(
        &mut self,
        name: &Name,
        devices: &SignedDeviceList,
        secrets: &AccountSecrets,
    ) -> Result<OwnAccount, Failure> {
        let list = verify_device_list(devices).map_err(|_| misbehaves())?;
        if list.devices.len() >= DEVICES_MAX {
            let text = format!("{name} has {DEVICES_MAX} devices, and no account has more; REVOKE one of them first");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        let mut device = [0; 16];
        self.entropy.fill_bytes(&mut device);
        let device = DeviceId(device);
        let not_after = self.now.plus_ms(CERTIFICATE_LIFETIME_MS);
        let bug = |_| Failure::new(FailureCode::Other, "a bug of this program: the device cannot be certified");
        let certificate = secrets.root.certify(&self.keys, device, not_after).map_err(bug)?;
        let mut certificates = self.current_certificates(devices);
        certificates.push(certificate.clone());
        let devices = secrets.root.device_list(list.version.saturating_add(1), certificates, not_after).map_err(bug)?;
        let (account, root_key) = (list.account, list.root_key);
        Ok(OwnAccount { name: name.clone(), account, root_key, device, certificate, devices })
    }

    /// The certificates of a list that have not expired: the directory takes no list with others.
    fn current_certificates(&self, devices: &SignedDeviceList) -> Vec<Certificate> {
        let all = devices.list().map(|list| list.devices.into_inner()).unwrap_or_default();
        let current = |certificate: &Certificate| certificate.entry().is_ok_and(|entry| entry.not_after > self.now);
        all.into_iter().filter(current).collect()
    }

    /// The password opened the backup: this device joins the account's others.
    pub(super) fn enrol(
        &mut self,
        command: AccountCommand,
        devices: &SignedDeviceList,
        book: Option<(u64, BoundedBytes<BOOK_MAX>)>,
    ) {
        let Some(secrets) = &command.secrets else { return };
        let account = membership::account_id(&secrets.root.public());
        let opened = book.map(|(version, sealed)| self.open_book(version, &sealed, &secrets.book, account));
        let book = match opened.transpose() {
            Ok(book) => book,
            Err(failure) => return self.done(command.token, Err(failure)),
        };
        match self.next_list_with_this_device(&command.name, devices, secrets) {
            Ok(account) => {
                let devices = account.devices.clone();
                let book_key = (&secrets.book).into();
                let recovery_code = None;
                self.account.enrolling = Some(PendingEnrolment { account, book_key, book, recovery_code });
                self.account_changed = true;
                let call = self.ask(Purpose::Enrol, Request::UpdateDevices { devices });
                self.account_flow.command = Some(AccountCommand { stage: Stage::Finishing(call), ..command });
            }
            Err(failure) => self.done(command.token, Err(failure)),
        }
    }

    /// The directory answered an enrolment or a recovery.
    pub(crate) fn on_enrolled(&mut self, call: CallId, answer: Answer) {
        let command = self.take_stage(|stage| matches!(stage, Stage::Finishing(own) if *own == call));
        if command.is_none() && self.account_flow.finishing.take_if(|own| *own == call).is_none() {
            return;
        }
        match answer {
            Answer::Reply(reply) if *reply == Reply::Done => self.on_device_made(command),
            Answer::Reply(_) => {
                if let Some(command) = command {
                    self.done(command.token, Err(misbehaves()));
                }
            }
            Answer::Refusal(Refusal::RateLimited { .. } | Refusal::Unavailable) | Answer::Lost => {
                if let Some(command) = command {
                    self.put_back(command);
                }
            }
            Answer::Refusal(refusal) => {
                self.account.enrolling = None;
                self.account_changed = true;
                let Some(mut command) = command else { return };
                // Another device was enrolled or revoked meanwhile, or the connection that had proven the password is gone.
                let again = matches!(refusal, Refusal::Stale | Refusal::NotSignedIn) && command.races < RACES_MAX;
                if again {
                    command.races += 1;
                    self.put_back(command);
                } else if refusal == Refusal::DeviceTaken {
                    // It was one, was revoked, and heard of neither: with these keys it will never be one again.
                    self.retire(command);
                } else {
                    self.done(command.token, Err(Self::enrolment_refused(&refusal)));
                }
            }
        }
    }

    pub(super) fn on_device_made(&mut self, command: Option<AccountCommand>) {
        let Some(pending) = self.account.enrolling.take() else { return };
        let name = pending.account.name.clone();
        self.account.list_made = pending.account.devices.list().map(|list| list.version).unwrap_or_default();
        self.begin_account(pending.account, pending.book_key);
        match pending.book {
            Some((version, book)) => self.take_book(version, &book),
            // A recovery opens no book before it is enrolled.
            None => self.link.want_account(),
        }
        let Some(command) = command else { return };
        match pending.recovery_code {
            Some(code) => {
                let outcome = Outcome::Recovered { name, recovery_code: code };
                self.done(command.token, Ok(outcome));
            }
            None => self.wait_for_entry(command.token),
        }
    }

    /// There is an account here now, with this device signed in.
    pub(super) fn begin_account(&mut self, account: OwnAccount, book_key: StoredKey) {
        if let Err(error) = self.start_mls(&account.certificate) {
            self.report_bug("the account's certificate cannot be used", &error);
        }
        self.account.own = Some(account);
        self.account.book_key = Some(book_key);
        self.account.session = true;
        self.account.retired = false;
        self.account_changed = true;
        self.note_own_devices();
        self.mail.want_all();
    }

    /// This device is no longer the account's, or another one has its keys: it drops them, and comes back as another
    /// device. Nothing that was said is forgotten, and nothing that waits is lost.
    pub(super) fn retire(&mut self, command: AccountCommand) {
        self.drop_device();
        let text = format!(
            "this device is not one of {0}'s any more: it was revoked, its certificate ended, or its profile is a copy; \
             its keys are dropped, and SIGNIN {0} makes it a new one",
            command.name
        );
        self.done(command.token, Err(Failure::new(FailureCode::Auth, text)));
    }

    pub(crate) fn drop_device(&mut self) {
        self.keys = DeviceKeys::generate(&mut *self.entropy);
        let stored = self.keys.to_stored().to_vec();
        self.batch.put(Table::Account, KEYS_KEY.to_vec(), stored);
        self.account.session = false;
        self.account.retired = true;
        self.account.send_counter = 0;
        self.account.drained = None;
        self.account.last_resort_at = protocol::Timestamp(0);
        self.account_changed = true;
        self.begin_conversations_anew();
        self.staging.forget_key_packages();
        self.mls = None;
        self.batch.effect(Effect::Restart);
    }

    pub(crate) fn start_revoke(&mut self, token: CommandToken, device: String, password: Password) {
        let Some(name) = self.own().map(|own| own.name.clone()) else { return };
        if let Err(failure) = self.find_own_device(&device) {
            return self.done(token, Err(failure));
        }
        self.start_account_command(token, name, password, Kind::Revoke { device });
    }

    /// The one other device whose id begins so.
    fn find_own_device(&self, prefix: &str) -> Result<DeviceId, Failure> {
        let own = self.own_device();
        let lower = prefix.to_lowercase();
        let begins = |device: &DeviceId| lower.len() >= SHORTEST_PREFIX && device.to_string().starts_with(&lower);
        let found: Vec<DeviceId> = self.listed_own_devices().into_iter().filter(begins).collect();
        match found.as_slice() {
            [device] if Some(*device) == own => {
                let text = "that is this device; REVOKE it from another one, SIGNOUT to leave it, or CLOSE ACCOUNT";
                Err(Failure::new(FailureCode::Refused, text))
            }
            [device] => Ok(*device),
            [] => {
                let text = format!("no device of yours begins with {prefix}; DEVICES shows them");
                Err(Failure::new(FailureCode::Conflict, text))
            }
            _ => {
                let text = format!("several devices begin with {prefix}; give more of the id that DEVICES shows");
                Err(Failure::new(FailureCode::Conflict, text))
            }
        }
    }

    /// The password opened the backup: the next list goes without the device.
    pub(super) fn revoke(&mut self, command: AccountCommand, devices: SignedDeviceList, list: &VerifiedDeviceList) {
        let (Kind::Revoke { device }, Some(secrets)) = (&command.kind, &command.secrets) else { return };
        self.take_own_list(devices.clone(), list);
        let device = match self.find_own_device(device) {
            Ok(device) => device,
            Err(failure) => return self.done(command.token, Err(failure)),
        };
        let mut certificates = self.current_certificates(&devices);
        certificates.retain(|certificate| certificate.entry().is_ok_and(|entry| entry.device != device));
        let not_after = self.now.plus_ms(CERTIFICATE_LIFETIME_MS);
        match secrets.root.device_list(list.version.saturating_add(1), certificates, not_after) {
            Ok(next) => {
                self.account.list_asked = list.version.saturating_add(1);
                self.account_changed = true;
                let call =
                    self.ask(Purpose::Revoke { device, list: next.clone() }, Request::UpdateDevices { devices: next });
                self.account_flow.command = Some(AccountCommand { stage: Stage::Finishing(call), ..command });
            }
            Err(error) => {
                self.report_bug("a device list cannot be made", &error);
                self.done(command.token, Err(misbehaves()));
            }
        }
    }

    pub(crate) fn on_revoked(&mut self, call: CallId, device: DeviceId, list: SignedDeviceList, answer: Answer) {
        let Some(mut command) = self.take_stage(|stage| matches!(stage, Stage::Finishing(own) if *own == call)) else {
            return;
        };
        if matches!(answer, Answer::Refusal(Refusal::Stale)) && command.races < RACES_MAX {
            command.races += 1;
            return self.put_back(command);
        }
        let Ok((reply, command)) = self.account_reply(command, answer) else { return };
        let verified = verify_device_list(&list);
        let (Reply::Done, Ok(verified)) = (reply, verified) else {
            return self.done(command.token, Err(misbehaves()));
        };
        self.account.list_made = verified.version;
        self.take_own_list(list, &verified);
        self.note_revoked();
        self.wait_for_removal(command.token, device);
    }

    /// The devices that the own account's list names.
    pub(crate) fn listed_own_devices(&self) -> Vec<DeviceId> {
        let list = self.own().and_then(|own| own.devices.list().ok());
        let certificates = list.into_iter().flat_map(|list| list.devices);
        certificates.filter_map(|certificate| certificate.entry().ok()).map(|entry| entry.device).collect()
    }

    /// Takes a list of one's own devices that was checked, and tells of what changed.
    pub(crate) fn take_own_list(&mut self, devices: SignedDeviceList, list: &VerifiedDeviceList) {
        let before = self.listed_own_devices();
        let Some(own) = self.account.own.as_mut().filter(|own| own.devices != devices) else { return };
        let (user, this) = (own.name.clone(), own.device);
        own.devices = devices;
        self.account_changed = true;
        self.note_own_devices();
        let after: Vec<DeviceId> = list.devices.iter().map(|entry| entry.device).collect();
        self.tell_devices(&user, &before, &after, this);
    }

    /// Events for what changed between two lists.
    pub(crate) fn tell_devices(&mut self, user: &Name, before: &[DeviceId], after: &[DeviceId], but: DeviceId) {
        let mut tell = |device: &DeviceId, change| {
            let kind = EventKind::Device { user: user.clone(), device: device.to_string(), change };
            self.batch.event(self.now, kind);
        };
        after.iter().filter(|d| **d != but && !before.contains(d)).for_each(|d| tell(d, DeviceChange::Added));
        before.iter().filter(|d| **d != but && !after.contains(d)).for_each(|d| tell(d, DeviceChange::Revoked));
    }

    pub(crate) fn devices(&mut self, token: CommandToken) {
        if self.is_online() {
            self.link.want_account();
            self.wait_for_devices(token);
        } else {
            self.wait_for_directory(token, Command::Devices);
        }
    }

    /// The directory says how the account stands.
    pub(crate) fn on_account(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let reply = match answer {
            Answer::Reply(reply) => *reply,
            Answer::Refusal(_) | Answer::Lost => {
                self.link.want_account();
                return self.link.account.fail(self.now, jitter);
            }
        };
        let Reply::Account { devices, seen, book_version, elsewhere } = reply else {
            self.link.account.fail(self.now, jitter);
            return self.report_misbehaviour("the directory answered for the account with something else");
        };
        self.link.account.succeed();
        let Some(account) = self.own().map(|own| own.account) else { return };
        match self.check_own_list(account, &devices) {
            Ok(list) => self.take_own_list(devices, &list),
            Err(failure) => self.report_refused("the directory's word about this account does not hold", &failure),
        }
        if !self.link.is_account_wanted() {
            self.note_revoked();
        }
        self.compare_book(book_version);
        self.enter_elsewhere(&elsewhere);
        let views = self.device_views(&seen);
        self.finish_devices(&views);
    }

    fn device_views(&self, seen: &[DeviceSeen]) -> Vec<DeviceView> {
        let list = self.own().and_then(|own| own.devices.list().ok());
        let certificates = list.into_iter().flat_map(|list| list.devices);
        let entries = certificates.filter_map(|certificate| certificate.entry().ok());
        let view = |entry: protocol::certificate::DeviceEntry| {
            let seen = seen.iter().find(|seen| seen.device == entry.device);
            DeviceView {
                device: entry.device.to_string(),
                this: self.own_device() == Some(entry.device),
                online: seen.is_some_and(|seen| seen.online),
                last_seen: seen.and_then(|seen| seen.last_seen),
                not_after: entry.not_after,
            }
        };
        entries.map(view).collect()
    }
}
