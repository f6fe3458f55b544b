//! Files, as far as the node's core has to do with them: offers and answers go into conversations and come out of them,
//! connections are looked for, and what [`crate::transfer`] wants done is done.
//!
//! It knows no disk and no bytes: what leads to an offered file is kept here without being looked into, and how far a
//! file has come is told from outside.

mod answering;
mod carrying;
mod offering;
mod telling;

use std::collections::{BTreeMap, BTreeSet};

use mls_rs::CryptoProvider;
use protocol::{AccountId, FileId, Timestamp};

use crate::{
    command::{Command, CommandToken, Failure, FailureCode, FileCommand, FileRef, MoneyCommand, MoneyRef, Recipient},
    core::{Core, OpenError},
    event::ShortId,
    input::FileStream,
    records,
    stored::Table,
    transfer::Transfers,
};

/// What is being looked at, to be offered then.
#[derive(Debug)]
struct Survey {
    to: Recipient,
    caption: String,
}

/// What is kept of files, and what only this run knows of them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    transfers: Transfers,
    /// What leads to what this node offers.
    sources: BTreeMap<FileId, Vec<u8>>,
    /// Up to how many bytes are taken unasked.
    unasked: BTreeMap<AccountId, u64>,
    unasked_changed: BTreeSet<AccountId>,
    surveys: BTreeMap<CommandToken, Survey>,
    /// How much there is of what is being received, or sent.
    progress: BTreeMap<FileId, u64>,
    /// Streams on which something is being sent.
    serving: BTreeSet<FileStream>,
    /// Offers that came from strangers.
    strangers: BTreeSet<FileId>,
    /// Why what was to be received has failed here.
    reasons: BTreeMap<FileId, String>,
}

impl Files {
    pub(crate) fn load(stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Self, OpenError> {
        let of = |wanted: Table| stored.iter().filter(move |(table, ..)| *table == wanted);
        let mut enclosed = Vec::new();
        for (_, key, value) in of(Table::Enclosed) {
            let key = key.as_slice().try_into().map_err(|_| OpenError::Record(Table::Enclosed))?;
            enclosed.push((FileId(key), value.clone()));
        }
        let stored = of(Table::Transfer).map(|(_, _, value)| value.as_slice());
        let transfers = Transfers::load(stored, enclosed.into_iter());
        let mut files =
            Self { transfers: transfers.map_err(|_| OpenError::Record(Table::Transfer))?, ..Self::default() };
        for (_, key, value) in of(Table::Source) {
            let key = key.as_slice().try_into().map_err(|_| OpenError::Record(Table::Source))?;
            files.sources.insert(FileId(key), value.clone());
        }
        for (_, key, value) in of(Table::Unasked) {
            let damaged = |_| OpenError::Record(Table::Unasked);
            let account = AccountId(key.as_slice().try_into().map_err(damaged)?);
            files.unasked.insert(account, records::decode(value).map_err(|_| OpenError::Record(Table::Unasked))?);
        }
        Ok(files)
    }

    /// What this run knows of a transfer that is remembered no more.
    fn forget(&mut self, file: FileId) {
        self.progress.remove(&file);
        self.reasons.remove(&file);
        self.strangers.remove(&file);
    }

    pub(crate) fn rename(&mut self, old: protocol::ConversationId, new: protocol::ConversationId) {
        self.transfers.rename(old, new);
    }

    /// A connection came: what could not go on without one may.
    pub(crate) fn retry_now(&mut self) {
        self.transfers.retry_now();
    }

    /// Devices that something accepted is to come from.
    pub(crate) fn awaited(&self) -> Vec<(AccountId, protocol::DeviceId)> {
        self.transfers.awaited()
    }

    /// Accounts that wait for something that they accepted.
    pub(crate) fn awaiting(&self) -> Vec<AccountId> {
        self.transfers.awaiting()
    }

    /// Whether something accepted is still to come from an account, or to go there.
    pub(crate) fn waits_between(&self, account: AccountId) -> bool {
        self.awaited().iter().any(|(from, _)| *from == account) || self.awaiting().contains(&account)
    }

    /// Whether nothing is looked at, sent, or to come.
    pub(crate) fn is_idle(&self) -> bool {
        self.surveys.is_empty() && self.serving.is_empty() && self.transfers.to_come().next().is_none()
    }

    /// How many files somebody has accepted and does not have yet.
    pub(crate) fn under_way(&self) -> usize {
        self.transfers.under_way()
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Something about files.
    pub(crate) fn on_file_command(&mut self, token: CommandToken, command: FileCommand) {
        match command {
            FileCommand::Send { to, path, caption } => self.survey_file(token, to, path, caption),
            FileCommand::Offer { to, surveyed, caption } => self.offer_file(token, to, surveyed, caption),
            FileCommand::List => self.list_files(token),
            FileCommand::Accept { id, target } => self.accept_file(token, id, target),
            FileCommand::Decline { id, reason } => self.decline_file(token, id, &reason),
            FileCommand::Cancel { id } => self.cancel_file(token, id),
            FileCommand::AskState { id } => self.ask_file(token, id),
            FileCommand::SetUnasked { from, bytes } => self.set_unasked(token, from, bytes),
        }
    }

    /// What a full id means is told by what has it: the same words end a request and a file.
    pub(crate) fn meant(&self, command: Command) -> Command {
        let file = |id: MoneyRef| match id {
            MoneyRef::Full(id) if self.files.transfers.get(FileId(id)).is_some() => Some(FileRef::Full(FileId(id))),
            _ => None,
        };
        let meant = match &command {
            Command::Money(MoneyCommand::Accept { id }) => file(*id).map(|id| FileCommand::Accept { id, target: None }),
            Command::Money(MoneyCommand::Decline { id, reason }) => {
                file(*id).map(|id| FileCommand::Decline { id, reason: reason.clone() })
            }
            Command::Money(MoneyCommand::Cancel { id, .. }) => file(*id).map(|id| FileCommand::Cancel { id }),
            // Nothing is paid for it, which is all that whoever weighs wants to know.
            Command::Money(MoneyCommand::WeighRequest { id }) => file(*id).map(|id| FileCommand::AskState { id }),
            _ => None,
        };
        meant.map_or(command, Command::File)
    }

    fn find_file(&self, id: FileRef) -> Result<FileId, Failure> {
        let found = match id {
            FileRef::Short(ShortId::File(number)) => self.files.transfers.by_number(number),
            FileRef::Short(_) => None,
            FileRef::Full(file) => Some(file).filter(|file| self.files.transfers.get(*file).is_some()),
        };
        let unknown = || Failure::new(FailureCode::Conflict, "there is no such file; FILES shows which there are");
        found.ok_or_else(unknown)
    }

    pub(crate) fn files_timer(&self) -> Option<Timestamp> {
        self.files.transfers.timer(self.now)
    }

    pub(crate) fn write_files(&mut self) {
        match self.files.transfers.changes() {
            Ok(changes) => {
                for (file, value) in changes {
                    match value {
                        Some(value) => self.batch.put(Table::Transfer, file.0.to_vec(), value),
                        None => {
                            self.files.forget(file);
                            self.batch.delete(Table::Transfer, file.0.to_vec());
                        }
                    }
                }
            }
            Err(error) => self.report_bug("a transfer cannot be written", &error),
        }
        for (file, bytes) in self.files.transfers.enclosed_changes() {
            match bytes {
                Some(bytes) => self.batch.put(Table::Enclosed, file.0.to_vec(), bytes),
                None => self.batch.delete(Table::Enclosed, file.0.to_vec()),
            }
        }
        for account in std::mem::take(&mut self.files.unasked_changed) {
            match self.files.unasked.get(&account).map(records::encode) {
                Some(record) => self.put_record(Table::Unasked, account.0.to_vec(), record),
                None => self.batch.delete(Table::Unasked, account.0.to_vec()),
            }
        }
    }
}
