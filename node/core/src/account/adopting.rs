//! Whose device a profile is: nobody's yet, its account's, or one that the directory enrolled and that never heard of it.

use mls_rs::CryptoProvider;
use protocol::{
    BoundedBytes, Name,
    certificate::{Certificate, SignedDeviceList},
    limits::BOOK_MAX,
};

use super::{AccountCommand, failures::misbehaves};
use crate::{
    command::{Failure, FailureCode},
    core::Core,
    records::{OwnAccount, PendingEnrolment},
};

impl<C: CryptoProvider + Clone> Core<C> {
    /// Whether this profile knows itself to be a device of its account.
    pub(super) fn is_device(&self) -> bool {
        self.own().is_some() && !self.account.retired
    }

    /// A profile belongs to one account.
    pub(super) fn check_name(&self, name: &Name) -> Result<(), Failure> {
        let Some(own) = self.own().filter(|own| own.name != *name) else { return Ok(()) };
        let text = format!("this profile belongs to {}; start with --profile {name} for another one", own.name);
        Err(Failure::new(FailureCode::Conflict, text))
    }

    /// The password opened the backup: this profile becomes a device, if the directory does not hold it for one already.
    pub(super) fn join(
        &mut self,
        command: AccountCommand,
        devices: SignedDeviceList,
        book: Option<(u64, BoundedBytes<BOOK_MAX>)>,
        enrolled: bool,
    ) {
        if enrolled { self.adopt(command, devices, book) } else { self.enrol(command, &devices, book) }
    }

    /// This device was enrolled, and never heard that it was: it takes its place in the list.
    fn adopt(
        &mut self,
        command: AccountCommand,
        devices: SignedDeviceList,
        book: Option<(u64, BoundedBytes<BOOK_MAX>)>,
    ) {
        let key = self.keys.tls_public();
        let list = devices.list().map(|list| list.devices.into_inner()).unwrap_or_default();
        let entry = |certificate: Certificate| certificate.entry().ok().map(|entry| (entry, certificate));
        let found = list.into_iter().filter_map(entry).find(|(entry, _)| entry.tls_key == key);
        let (Some((entry, certificate)), Some(secrets)) = (found, &command.secrets) else {
            return self.done(command.token, Err(misbehaves()));
        };
        let account = membership::account_id(&entry.root_key);
        let book = match book.map(|(v, sealed)| self.open_book(v, &sealed, &secrets.book, account)).transpose() {
            Ok(book) => book,
            Err(failure) => return self.done(command.token, Err(failure)),
        };
        let (name, root_key, device) = (command.name.clone(), entry.root_key, entry.device);
        let account = OwnAccount { name, account, root_key, device, certificate, devices };
        let book_key = (&secrets.book).into();
        self.account.enrolling = Some(PendingEnrolment { account, book_key, book, recovery_code: None });
        self.on_device_made(Some(command));
    }
}
