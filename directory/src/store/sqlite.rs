//! The store on disk: one SQLite file, WAL, `synchronous=FULL`. Every call is atomic; calls that wait for the disk at the
//! same time share one transaction.
//!
//! A commit that fails is fatal: whether it reached the disk is unknown, so nothing is answered from this connection
//! any more and the process starts again from the disk.

mod accounts;
mod batch;
mod carrying;
mod changes;
mod conversations;
mod groups;
mod handouts;
pub mod ledger;
mod mailbox;
mod names;
mod packages;
mod schema;

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Serialize, de::DeserializeOwned};

use self::batch::Batches;

use super::{Instance, StoreError, Stored};

/// Name of the database in the data folder.
pub const DATABASE: &str = "directory.db";
/// How long a second process (the operator's `status` or `invite`) waits for the service's transaction, in
/// milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;
/// Pages that the writer remembers, in KiB: what is said in a group of a thousand goes into a thousand mailboxes, each on pages
/// of its own.
const CACHE_KIB: i64 = 32 * 1_024;
/// Pages in the journal before they are brought to their places: a page that many changes write is brought there once.
const JOURNAL_PAGES: i64 = 8_192;

/// The store on disk.
#[derive(Debug)]
pub struct SqliteStore {
    batches: Batches,
    // Sees only what is committed, so that nothing is answered that could still be undone.
    reader: Mutex<Connection>,
    failed: AtomicBool,
}

impl SqliteStore {
    /// Opens the database in a data folder, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], with nothing touched, if a newer program wrote it; [`StoreError::Fatal`] if the
    /// file cannot be used.
    pub fn open(folder: &Path) -> Stored<Self> {
        let connection = connect(folder)?;
        // The version is read before anything is set, since setting the journal mode writes.
        schema::check(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fatal)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fatal)?;
        connection.pragma_update(None, "foreign_keys", "ON").map_err(fatal)?;
        connection.pragma_update(None, "secure_delete", "ON").map_err(fatal)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(fatal)?;
        connection.pragma_update(None, "wal_autocheckpoint", JOURNAL_PAGES).map_err(fatal)?;
        schema::migrate(&connection)?;
        let reader = connect(folder)?;
        reader.pragma_update(None, "query_only", "ON").map_err(fatal)?;
        let (batches, reader) = (Batches::new(connection), Mutex::new(reader));
        Ok(Self { batches, reader, failed: AtomicBool::new(false) })
    }

    /// Does work as one change: all of it is on the disk when this returns, or nothing of it happened, or the store is
    /// dead.
    fn write<T>(&self, work: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        self.check()?;
        let done = self.batches.write(work);
        if matches!(done, Err(StoreError::Fatal(_))) {
            self.failed.store(true, Ordering::SeqCst);
        }
        done
    }

    /// Reads from one state of the data.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        self.check()?;
        // A transaction that a panic interrupted was rolled back when it was dropped.
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = reader.transaction().map_err(fatal)?;
        work(&transaction)
    }

    fn check(&self) -> Stored<()> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(StoreError::Fatal("an earlier commit failed".to_owned()));
        }
        Ok(())
    }
}

fn connect(folder: &Path) -> Stored<Connection> {
    let connection = Connection::open(folder.join(DATABASE)).map_err(fatal)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(fatal)?;
    Ok(connection)
}

fn fatal(error: rusqlite::Error) -> StoreError {
    StoreError::Fatal(error.to_string())
}

/// Longest record: a conversation with its tree.
const RECORD_MAX: usize = 16 * 1024 * 1024;

fn encode<T: Serialize>(record: &T) -> Stored<Vec<u8>> {
    protocol::frame::encode_body(record, RECORD_MAX).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Stored<T> {
    protocol::frame::decode_body(bytes, RECORD_MAX).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn number(value: i64) -> Stored<u64> {
    u64::try_from(value).map_err(|_| StoreError::Damaged("a negative number".to_owned()))
}

/// SQLite's integers are signed; times and counters beyond them do not occur and are held at the end.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Instance for SqliteStore {
    fn secret(&self, name: &str) -> Stored<Option<Vec<u8>>> {
        self.read(|db| {
            let sql = "SELECT value FROM secret WHERE name = ?1";
            db.query_row(sql, params![name], |row| row.get(0)).optional().map_err(fatal)
        })
    }

    fn secret_or(&self, name: &str, value: &[u8]) -> Stored<Vec<u8>> {
        self.write(|db| {
            db.execute("INSERT OR IGNORE INTO secret (name, value) VALUES (?1, ?2)", params![name, value])
                .map_err(fatal)?;
            db.query_row("SELECT value FROM secret WHERE name = ?1", params![name], |row| row.get(0)).map_err(fatal)
        })
    }
}
