//! A large book: how fast it is written, opened again and audited, and what an entry costs on the disk.

use std::time::{Duration, Instant};

use directory::{
    core::ledger::{Operation, Standing, Submission},
    ledger::audit::audit,
    store::sqlite::ledger::{LEDGER, SqliteLedger},
};
use sha2::{Digest as _, Sha256};
use tests::fixture::{Failed, now};

use super::payers::{ACCOUNTS, Payers, Signed, open};

/// Payments in one batch.
const BATCH: usize = 1_024;
/// Orders signed ahead, so that not all of them are in memory.
const AHEAD: usize = 64 * BATCH;

/// What it came to.
pub(super) struct Book {
    pub(super) written: f64,
    pub(super) reopened: Duration,
    pub(super) audited: Duration,
    pub(super) bytes: f64,
}

/// Writes a book of so many payments and looks at it.
pub(super) fn measure(payers: &Payers, entries: u64) -> Result<Book, Failed> {
    let folder = tempfile::tempdir()?;
    let book = open(folder.path())?;
    payers.fund(&book)?;
    let mut writing = Duration::ZERO;
    let mut next = 1;
    while next <= entries {
        let count = usize::try_from(entries - next + 1)?.min(AHEAD);
        let orders = payers.sign_all(next, count, ACCOUNTS)?;
        next += count as u64;
        for orders in orders.chunks(BATCH) {
            let batch = orders.iter().map(|order| submission(payers, order)).collect::<Result<Vec<_>, _>>()?;
            let begun = Instant::now();
            book.perform(now(), &batch)?;
            writing += begun.elapsed();
        }
    }
    drop(book);
    let begun = Instant::now();
    let book = open(folder.path())?;
    let reopened = begun.elapsed();
    drop(book);
    let begun = Instant::now();
    let audited = audit(&SqliteLedger::open(folder.path())?)?;
    let time = begun.elapsed();
    if audited.transfers != entries {
        return Err(format!("{} payments are there of {entries}", audited.transfers).into());
    }
    let bytes = std::fs::metadata(folder.path().join(LEDGER))?.len() as f64 / audited.entries as f64;
    Ok(Book { written: entries as f64 / writing.as_secs_f64(), reopened, audited: time, bytes })
}

fn submission(payers: &Payers, signed: &Signed) -> Result<Operation, Failed> {
    let order = signed.order.order()?;
    let account = payers.accounts.get(signed.payer).ok_or("a payer")?;
    Ok(Operation::Settle(Box::new(Submission {
        order,
        hash: Sha256::digest(&*signed.order.order).into(),
        certificate: account.certificate.clone(),
        standing: Standing { revoked: false, payee_known: true, blocked: false },
        signed: signed.order.clone(),
    })))
}
