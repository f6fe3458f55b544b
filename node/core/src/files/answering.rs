//! ACCEPT, DECLINE and CANCEL of files, what is taken unasked, and when ACCEPT is done.

use mls_rs::CryptoProvider;
use protocol::{AccountId, FileId, Name};

use crate::{
    command::{Command, CommandResult, CommandToken, Failure, FailureCode, FileCommand, FileOutcome, FileRef, Outcome},
    commands::{Waiting, changed_key},
    core::Core,
    event::{ShortId, Trust},
    transfer::{Side, TransferRefusal, TransferState},
};

/// Accounts from which something is taken unasked, at most: far more than anybody names one by one.
const UNASKED_MAX: usize = 4_096;

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn accept_file(&mut self, token: CommandToken, id: FileRef, target: Option<String>) {
        let accepted = self.find_file(id).and_then(|file| {
            self.check_offerer(file)?;
            let acts = self.files.transfers.accept(file, target).map_err(refused)?;
            Ok((file, acts))
        });
        match accepted {
            Ok((file, acts)) => {
                self.files.reasons.remove(&file);
                self.files.progress.remove(&file);
                self.take_from(file);
                self.perform_acts(acts);
                self.wait(token, Waiting::Accepting { file });
            }
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    fn check_offerer(&self, file: FileId) -> Result<(), Failure> {
        let Some(from) = self.offerer(file) else { return Ok(()) };
        let Some(name) = self.member_name(from) else { return Ok(()) };
        if self.has_blocked(from) {
            return Err(Failure::new(FailureCode::Refused, format!("you blocked {name}; UNBLOCK {name} first")));
        }
        if self.people.trust(from) == Trust::Changed { Err(changed_key(&name)) } else { Ok(()) }
    }

    fn offerer(&self, file: FileId) -> Option<AccountId> {
        match self.files.transfers.get(file)?.side {
            Side::Incoming { from, .. } => Some(from),
            Side::Outgoing { .. } => None,
        }
    }

    /// Whoever takes something of somebody accepts them: their devices may know where this node is.
    pub(super) fn take_from(&mut self, file: FileId) {
        let Some(from) = self.offerer(file) else { return };
        if self.people.accept(from) {
            self.book_changed();
        }
        self.announce_accepted_peers();
        self.peers.retry(from);
    }

    pub(super) fn decline_file(&mut self, token: CommandToken, id: FileRef, reason: &str) {
        let declined = self.find_file(id).and_then(|file| {
            let acts = self.files.transfers.decline(file, reason).map_err(refused)?;
            Ok((file, acts))
        });
        let result = declined.map(|(file, acts)| {
            self.perform_acts(acts);
            self.answered(file, false)
        });
        self.done(token, result.and_then(|result| result));
    }

    pub(super) fn cancel_file(&mut self, token: CommandToken, id: FileRef) {
        let cancelled = self.find_file(id).and_then(|file| {
            let acts = self.files.transfers.cancel(file).map_err(refused)?;
            Ok((file, acts))
        });
        let result = cancelled.map(|(file, acts)| {
            self.perform_acts(acts);
            self.answered(file, false)
        });
        self.done(token, result.and_then(|result| result));
    }

    pub(super) fn ask_file(&mut self, token: CommandToken, id: FileRef) {
        let state = self.find_file(id).and_then(|file| self.file_state(file).ok_or_else(gone));
        self.done(token, state.map(|state| Outcome::File(FileOutcome::State(state))));
    }

    /// How far a file is; towards several people as far as it is towards the last of them.
    fn file_state(&self, file: FileId) -> Option<TransferState> {
        match &self.files.transfers.get(file)?.side {
            Side::Incoming { state, .. } => Some(*state),
            Side::Outgoing { recipients } => recipients.iter().map(|(_, state)| *state).min(),
        }
    }

    fn answered(&self, file: FileId, started: bool) -> CommandResult {
        let (Some(transfer), Some(state)) = (self.files.transfers.get(file), self.file_state(file)) else {
            return Err(gone());
        };
        let path = match &transfer.side {
            Side::Incoming { path, .. } => path.clone(),
            Side::Outgoing { .. } => None,
        };
        let (id, name) = (ShortId::File(transfer.number), transfer.offer.name.to_string());
        Ok(Outcome::File(FileOutcome::Answered { id, uid: file, name, state, started, path }))
    }

    pub(super) fn set_unasked(&mut self, token: CommandToken, from: Name, bytes: Option<u64>) {
        let Some(account) = self.people.by_name(&from).map(|contact| contact.account) else {
            if self.group_named(&from).is_some() || self.own().is_some_and(|own| own.name == from) {
                let text = format!("{from} is no other person; files are taken unasked from people, one by one");
                return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
            let again = Command::File(FileCommand::SetUnasked { from: from.clone(), bytes });
            return self.find_person(token, from, again);
        };
        if bytes.is_some() && self.files.unasked.len() >= UNASKED_MAX && !self.files.unasked.contains_key(&account) {
            let text = format!("at most {UNASKED_MAX} people have such a limit; SET accept.NAME none lifts one");
            return self.done(token, Err(Failure::new(FailureCode::Refused, text)));
        }
        match bytes {
            Some(bytes) => self.files.unasked.insert(account, bytes),
            None => self.files.unasked.remove(&account),
        };
        self.files.unasked_changed.insert(account);
        self.done(token, Ok(Outcome::File(FileOutcome::Unasked(self.unasked_view()))));
    }

    /// What is taken unasked, by name.
    pub(crate) fn unasked_view(&self) -> Vec<(Name, u64)> {
        let named =
            self.files.unasked.iter().filter_map(|(account, bytes)| Some((self.member_name(*account)?, *bytes)));
        let mut named: Vec<(Name, u64)> = named.collect();
        named.sort();
        named
    }

    /// ACCEPT is done when the first bytes are there, or when it is known that nobody sends any for now.
    pub(super) fn reconcile_accepting(&mut self) {
        let waiting = self.waiting_commands().filter_map(|(token, waiting)| match waiting {
            Waiting::Accepting { file } => Some((token, *file)),
            _ => None,
        });
        let ended: Vec<(CommandToken, CommandResult)> =
            waiting.filter_map(|(token, file)| Some((token, self.accepted(file)?))).collect();
        for (token, result) in ended {
            self.take_waiting_command(token);
            self.done(token, result);
        }
    }

    fn accepted(&self, file: FileId) -> Option<CommandResult> {
        let Some(transfer) = self.files.transfers.get(file) else { return Some(Err(gone())) };
        let Side::Incoming { from, state, .. } = transfer.side else { return Some(Err(gone())) };
        match state {
            TransferState::Accepted if self.files.progress.contains_key(&file) => Some(self.answered(file, true)),
            // It is being written.
            TransferState::Accepted if self.files.transfers.enclosed(file).is_some() => None,
            TransferState::Accepted if self.is_out_of_reach(from) => Some(self.answered(file, false)),
            TransferState::Accepted | TransferState::Offered => None,
            TransferState::Received => Some(self.answered(file, true)),
            TransferState::Failed => {
                let why = self.files.reasons.get(&file).cloned();
                let why = why.unwrap_or_else(|| "it did not come; ask for it again".to_owned());
                Some(Err(Failure::new(FailureCode::Refused, why)))
            }
            over => Some(Err(refused(TransferRefusal::Over(over)))),
        }
    }

    /// What ACCEPT has come to when nobody waits for it any longer: it stands.
    pub(crate) fn abandon_accepting(&self, file: FileId) -> CommandResult {
        self.answered(file, false)
    }
}

fn refused(refusal: TransferRefusal) -> Failure {
    let code = match refusal {
        TransferRefusal::Unknown => FailureCode::Conflict,
        TransferRefusal::Own | TransferRefusal::Accepted | TransferRefusal::Over(_) => FailureCode::Refused,
    };
    Failure::new(code, refusal.to_string())
}

fn gone() -> Failure {
    refused(TransferRefusal::Unknown)
}
