//! What the operator asks of the ledger: issuing, auditing, exporting, and a few numbers.

use std::{fmt::Display, fs, io::Write, path::Path, sync::Arc, thread, time::Duration};

use protocol::{
    AccountId, Name, OrderId,
    directory::{LedgerRefusal, PaymentLimits},
    money::{Amount, Currency},
};

use super::OperatorError;
use crate::{
    core::ledger::Operation,
    ledger::{Book, Founder, audit, export},
    server::{
        self,
        data_folder::{DataFolder, DataFolderError},
    },
    store::{
        Accounts as _,
        ledger::{IssueOrder, KnownOutcome, LedgerStore as _},
        sqlite::{DATABASE, SqliteStore, ledger::LEDGER, ledger::SqliteLedger},
    },
};

/// How often we look whether the service has posted an issue.
const LOOK: Duration = Duration::from_millis(50);
/// How many times: ten seconds, in which a service looks forty times.
const LOOKS_MAX: u32 = 200;

/// The ledger in a folder and its money.
fn open(folder: &Path) -> Result<(SqliteLedger, Currency), OperatorError> {
    let nothing = || OperatorError::NoLedger(folder.display().to_string());
    if !folder.join(LEDGER).is_file() {
        return Err(nothing());
    }
    let ledger = SqliteLedger::open(folder)?;
    let (founding, _) = ledger.head()?.ok_or_else(nothing)?;
    Ok((ledger, founding.currency))
}

/// What somebody has.
fn balance_of(ledger: &SqliteLedger, account: AccountId) -> Result<i64, OperatorError> {
    let found = ledger.balances()?.into_iter().find(|(known, _)| *known == account);
    Ok(found.map_or(0, |(_, balance)| balance))
}

pub(super) fn issue(folder: &Path, user: &str, amount: &str, memo: &str) -> Result<String, OperatorError> {
    if !folder.join(DATABASE).is_file() {
        return Err(OperatorError::Nothing(folder.display().to_string()));
    }
    let name = Name::parse(user).map_err(|error| OperatorError::NoName(user.to_owned(), error))?;
    let memo = memo.to_owned().try_into().map_err(|_| OperatorError::LongMemo)?;
    let store = SqliteStore::open(folder)?;
    let record = store.accounts_by_name(std::slice::from_ref(&name))?.into_iter().flatten().next();
    let payee = record.ok_or_else(|| OperatorError::UnknownUser(name.clone()))?.account;
    let (ledger, currency) = open(folder)?;
    let amount = currency.parse(amount).map_err(|error| OperatorError::NoAmount(amount.to_owned(), error))?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(OperatorError::Randomness)?;
    let id = OrderId(id);
    // From here on it is posted, by us or by the service, whatever becomes of this process.
    ledger.want_issue(&IssueOrder { id, payee, amount, memo })?;
    drop(ledger);
    let entry = match posted(folder, &store, id)? {
        Ok(entry) => entry,
        // It was closed in this moment.
        Err(LedgerRefusal::PayeeUnknown) => return Err(OperatorError::UnknownUser(name)),
        Err(_) => return Err(OperatorError::TooMuch(name)),
    };
    let (ledger, _) = open(folder)?;
    let balance = currency.show_balance(balance_of(&ledger, payee)?);
    let (amount, money) = (currency.show(amount), unit(&currency));
    Ok(format!("issued {amount}{money} to {name} · balance {balance}{money} · entry {entry}\n"))
}

/// Waits until what is wanted is posted: by the service if it runs, else here. Gives its entry, or why there is none.
fn posted(folder: &Path, store: &SqliteStore, id: OrderId) -> Result<Result<u64, LedgerRefusal>, OperatorError> {
    for _ in 0..LOOKS_MAX {
        match DataFolder::take(folder) {
            Ok(_taken) => write(folder, store)?,
            Err(DataFolderError::InUse(_)) => thread::sleep(LOOK),
            Err(DataFolderError::Unusable { folder, source }) => {
                return Err(OperatorError::Folder { folder: folder.display().to_string(), source });
            }
        }
        // Opened anew: whoever posts it may be another process.
        let (ledger, _) = open(folder)?;
        if ledger.wanted_issues()?.iter().any(|wanted| wanted.id == id) {
            continue;
        }
        let issuance = ledger.head()?.map(|(founding, _)| settlement::issuance_account(founding.ledger));
        let known = ledger.known(&issuance.map(|issuance| (issuance, id)).into_iter().collect::<Vec<_>>())?;
        return Ok(match known.into_iter().flatten().next().map(|known| known.outcome) {
            Some(KnownOutcome::Posted(entry)) => Ok(entry),
            Some(KnownOutcome::Refused(refusal)) => Err(refusal),
            None => Err(LedgerRefusal::Overflow),
        });
    }
    Err(OperatorError::Late)
}

/// Posts what is wanted, while no service runs.
fn write(folder: &Path, store: &SqliteStore) -> Result<(), OperatorError> {
    let root = server::root_key(store)?.signing_key().map_err(server::StartError::from)?;
    // There is a ledger, and nothing of it is made anew.
    let founder = Founder { root, currency: None, limits: PaymentLimits::default(), seed: [0; 32] };
    let book = Book::open(Arc::new(SqliteLedger::open(folder)?), founder)?;
    let wanted: Vec<Operation> = book.wanted()?.into_iter().map(Operation::Issue).collect();
    if !wanted.is_empty() {
        book.perform(server::now(), &wanted)?;
    }
    Ok(())
}

pub(super) fn audit(folder: &Path) -> Result<String, OperatorError> {
    let (ledger, currency) = open(folder)?;
    let audited = audit::audit(&ledger)?;
    let (issued, money) = (currency.show_balance(i64::try_from(audited.issued).unwrap_or(i64::MAX)), unit(&currency));
    let root: String = audited.root.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "ok {} entries · {} transfers, each signed · {} accounts · {issued}{money} issued · sum zero · root {root}\n",
        audited.entries, audited.transfers, audited.accounts
    ))
}

pub(super) fn export(folder: &Path, out: &mut dyn Write) -> Result<(), OperatorError> {
    let (ledger, _) = open(folder)?;
    Ok(export::export(&ledger, out)?)
}

/// Numbers of the ledger, if there is one.
pub(super) fn status(folder: &Path, line: &mut impl FnMut(&str, &dyn Display)) -> Result<(), OperatorError> {
    let file = folder.join(LEDGER);
    // A folder of before has no ledger, and an operator's look makes none.
    if !fs::metadata(&file).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    let ledger = SqliteLedger::open(folder)?;
    let Some((founding, head)) = ledger.head()? else { return Ok(()) };
    let issuance = settlement::issuance_account(founding.ledger);
    let issued = balance_of(&ledger, issuance)?.checked_neg().unwrap_or(i64::MAX);
    let amount = Amount::new(u64::try_from(issued).unwrap_or(0)).unwrap_or_default();
    let (issued, money) = (founding.currency.show(amount), unit(&founding.currency));
    line("ledger", &format!("{} entries, {issued}{money} issued", head.size));
    Ok(())
}

/// The money's name, after an amount.
fn unit(currency: &Currency) -> String {
    if currency.name.is_empty() { String::new() } else { format!(" {}", &*currency.name) }
}
