//! What the operator asks on the same machine: over the data folder itself, so that it works whether the service runs or
//! not.

mod money;

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

use data_encoding::BASE32_NOPAD;
use protocol::{
    Name,
    money::{AmountError, MEMO_MAX},
    name::NameError,
};

use crate::{
    config::Command,
    ledger::{OpenError, audit::AuditError, export::ExportError},
    server::{StartError, data_folder},
    store::{
        AccountChanges as _, Accounts as _, StoreError,
        sqlite::{DATABASE, SqliteStore},
    },
};

/// Random bytes of an invite code: eighty bits can't be guessed at the rate at which sign-ups are taken.
const INVITE_BYTES: usize = 10;
/// Characters of an invite code between two hyphens, so that people can read it out.
const INVITE_GROUP: usize = 4;

/// Why the operator gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No directory has kept anything there.
    #[error("nothing is kept in {0} yet; start the service with `directory --data {0}`, or name another folder")]
    Nothing(String),
    /// The folder can't be used.
    #[error("the data folder {folder} cannot be used: {source}; name another one with --data DIR")]
    Folder {
        /// Which.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody has an account of this name.
    #[error(
        "nobody has an account called {0}; names are as people see them at the prompt (LIST), and a closed account cannot be reset"
    )]
    UnknownUser(Name),
    /// That is no name that anybody could have.
    #[error("\"{0}\" is no name that anybody has here: {1}; look at how the person spells it")]
    NoName(String, NameError),
    /// The store can't do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory's key is not to be had.
    #[error(transparent)]
    Key(#[from] StartError),
    /// There is no ledger.
    #[error("there is no ledger in {0} yet; it begins with the service's first start: `directory --data {0}`")]
    NoLedger(String),
    /// That is no amount of the ledger's money.
    #[error("\"{0}\": {1}")]
    NoAmount(String, AmountError),
    /// The memo is too long.
    #[error("a memo has at most {MEMO_MAX} bytes; shorten it")]
    LongMemo,
    /// The account can't hold so much, or the ledger can't.
    #[error("{0} can't hold so much, or the ledger can't: nothing was issued; look at `directory status`")]
    TooMuch(Name),
    /// The service has not posted it in time.
    #[error(
        "the service has not posted it yet and will when it can; it counts once. Look at `directory status` before you \
         issue again"
    )]
    Late,
    /// The ledger does not pass.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The ledger can't be written out.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The ledger can't be opened.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// Nobody takes the answer.
    #[error("the answer can't be written: {0}")]
    Output(io::Error),
    /// The system has no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Does what is asked, and writes what there is to say.
///
/// # Errors
/// [`OperatorError`], which says what to do.
pub fn perform(folder: &Path, command: &Command, out: &mut dyn Write) -> Result<(), OperatorError> {
    let answer = match command {
        Command::Invite { count } => invite(folder, *count),
        Command::Reset { user } => reset(folder, user),
        Command::Issue { user, amount, memo } => money::issue(folder, user, amount, &memo.join(" ")),
        Command::Audit => money::audit(folder),
        Command::Export => return money::export(folder, out),
        Command::Status => status(folder),
    }?;
    out.write_all(answer.as_bytes()).and_then(|()| out.flush()).map_err(OperatorError::Output)
}

fn invite(folder: &Path, count: u32) -> Result<String, OperatorError> {
    let unusable = |source| OperatorError::Folder { folder: folder.display().to_string(), source };
    data_folder::create(folder).and_then(|()| data_folder::create_private(&folder.join(DATABASE))).map_err(unusable)?;
    let codes = (0..count).map(|_| invite_code()).collect::<Result<Vec<_>, _>>()?;
    SqliteStore::open(folder)?.add_invites(&codes)?;
    Ok(codes.into_iter().map(|code| code + "\n").collect())
}

fn reset(folder: &Path, user: &str) -> Result<String, OperatorError> {
    if !folder.join(DATABASE).is_file() {
        return Err(OperatorError::Nothing(folder.display().to_string()));
    }
    let name = Name::parse(user).map_err(|error| OperatorError::NoName(user.to_owned(), error))?;
    let code = invite_code()?;
    if !SqliteStore::open(folder)?.offer_reset(&name, &code)? {
        return Err(OperatorError::UnknownUser(name));
    }
    Ok(format!(
        "{code}\n\n\
         Whoever signs up as {name} with this code gets the name, once. Give it to nobody but {name}:\n\n    \
         node --profile NEW\n    \
         SIGNUP {name} INVITE {code}\n\n\
         What it costs, from that moment on:\n\
         - Everybody who knows {name} sees a changed key, and sends nothing before they have compared the new number\n  \
         (VERIFY {name}, TRUST {name} CODE).\n\
         - The old account is closed for good: all its devices are shut out, its password and recovery code are worth\n  \
         nothing.\n\
         - Conversations start anew. What was said stays on the devices that have it; what waited for the old key is\n  \
         not delivered, and its senders can RESEND it.\n\
         With the password (SIGNIN {name}) or the recovery code (RECOVER {name}) none of this is needed. Until the code\n\
         is used nothing changes; a second `directory reset {name}` makes this one void.\n"
    ))
}

fn invite_code() -> Result<String, OperatorError> {
    let mut bytes = [0; INVITE_BYTES];
    getrandom::fill(&mut bytes).map_err(OperatorError::Randomness)?;
    let letters = BASE32_NOPAD.encode(&bytes).to_lowercase();
    let mut code = String::new();
    for (place, letter) in letters.chars().enumerate() {
        if place > 0 && place % INVITE_GROUP == 0 {
            code.push('-');
        }
        code.push(letter);
    }
    Ok(code)
}

fn status(folder: &Path) -> Result<String, OperatorError> {
    let unusable = |source| OperatorError::Folder { folder: folder.display().to_string(), source };
    if !folder.join(DATABASE).is_file() {
        return Err(OperatorError::Nothing(folder.display().to_string()));
    }
    let serving = data_folder::is_taken(folder).map_err(unusable)?;
    let store = SqliteStore::open(folder)?;
    let key = crate::server::root_key(&store)?.fingerprint();
    let counts = store.counts()?;
    let mut status = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        let _ = writeln!(status, "{name:<14}{value}");
    };
    line("data", &folder.display());
    line("key", &key);
    line("service", &if serving { "running" } else { "not running" });
    line("accounts", &counts.accounts);
    line("signed in", &counts.signed_in);
    line("invites", &counts.invites);
    line("conversations", &counts.conversations);
    line("mail", &counts.mail);
    money::status(folder, &mut line)?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_invite_code_is_one_word_that_can_be_read_out() {
        let codes: BTreeSet<String> = (0..100).map(|_| invite_code().unwrap()).collect();
        assert_eq!(codes.len(), 100);
        for code in codes {
            assert_eq!(code.len(), 19, "{code}");
            assert!(code.split('-').all(|group| group.len() == INVITE_GROUP), "{code}");
            assert!(code.chars().all(|c| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit()), "{code}");
        }
    }
}
