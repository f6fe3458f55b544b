//! The ledger on disk: a SQLite file of its own, WAL, `synchronous=FULL`; one transaction for each batch.
//!
//! Accounts and devices have small numbers, so that what is kept of each entry besides its own bytes is little. A commit
//! that fails is fatal, as everywhere.

mod reading;
mod schema;
pub(crate) mod snapshot;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protocol::{AccountId, DeviceId, OrderId, Timestamp, directory::LedgerRefusal, money::HashBytes};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::{
    super::{
        StoreError, Stored,
        ledger::{
            Batch, Founding, Head, IssueOrder, Known, LedgerStore, NewEntry, OrderKey, Original, OwnRecord, RequestKey,
            RequestRecord, RequestStep, Tile,
        },
    },
    BUSY_TIMEOUT_MS, decode, encode, fatal, integer,
};

/// Name of the ledger's database in the data folder.
pub const LEDGER: &str = "ledger.db";
/// Statements that stay prepared.
const STATEMENTS: usize = 64;
/// Pages that the writer remembers, in KiB: the indices of some hundred thousand entries, each of which goes anywhere in them.
const CACHE_KIB: i64 = 64 * 1_024;
/// Pages in the journal before they are brought to their places: a page that many batches write is brought there once. What is
/// read again when a ledger is opened after a crash, in some hundredth of a second.
const JOURNAL_PAGES: i64 = 8_192;

/// The ledger's store on disk.
#[derive(Debug)]
pub struct SqliteLedger {
    writer: Mutex<Writer>,
    // Sees only what is committed.
    reader: Mutex<Connection>,
    failed: AtomicBool,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    accounts: HashMap<AccountId, i64>,
    devices: HashMap<DeviceId, i64>,
}

impl SqliteLedger {
    /// Opens the ledger in a data folder, makes its file if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], with nothing touched, if a newer program wrote it; [`StoreError::Fatal`] if the file
    /// cannot be used.
    pub fn open(folder: &Path) -> Stored<Self> {
        let connection = connect(folder)?;
        schema::check(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fatal)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fatal)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(fatal)?;
        connection.pragma_update(None, "wal_autocheckpoint", JOURNAL_PAGES).map_err(fatal)?;
        schema::migrate(&connection)?;
        let reader = connect(folder)?;
        reader.pragma_update(None, "query_only", "ON").map_err(fatal)?;
        let accounts = reading::account_numbers(&connection)?;
        let devices = reading::device_numbers(&connection)?;
        let writer = Mutex::new(Writer { connection, accounts, devices });
        Ok(Self { writer, reader: Mutex::new(reader), failed: AtomicBool::new(false) })
    }

    fn check(&self) -> Stored<()> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(StoreError::Fatal("an earlier commit failed".to_owned()));
        }
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A transaction that a panic interrupted was rolled back when it was dropped.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, work: impl FnOnce(&mut Writer) -> Stored<T>) -> Stored<T> {
        self.check()?;
        let done = work(&mut self.writer());
        if matches!(done, Err(StoreError::Fatal(_))) {
            self.failed.store(true, Ordering::SeqCst);
        }
        done
    }

    /// Reads from one state of the data.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        self.check()?;
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = reader.transaction().map_err(fatal)?;
        work(&transaction)
    }
}

fn connect(folder: &Path) -> Stored<Connection> {
    let connection = Connection::open(folder.join(LEDGER)).map_err(fatal)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(fatal)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

impl Writer {
    /// Does work as one change, which is on the disk when this returns.
    fn change<T>(&mut self, work: impl FnOnce(&mut Numbers<'_>) -> Stored<T>) -> Stored<T> {
        let begun = Transaction::new(&mut self.connection, TransactionBehavior::Immediate).map_err(fatal)?;
        let mut numbers = Numbers { db: &begun, accounts: &mut self.accounts, devices: &mut self.devices };
        let done = work(&mut numbers)?;
        begun.commit().map_err(fatal)?;
        Ok(done)
    }
}

/// A transaction in which accounts and devices get their numbers. If it fails the numbers do not matter any more: nothing
/// is written by this process again.
struct Numbers<'a> {
    db: &'a Connection,
    accounts: &'a mut HashMap<AccountId, i64>,
    devices: &'a mut HashMap<DeviceId, i64>,
}

impl Numbers<'_> {
    fn account(&mut self, account: AccountId) -> Stored<i64> {
        if let Some(number) = self.accounts.get(&account) {
            return Ok(*number);
        }
        let sql = "INSERT INTO account (id, balance) VALUES (?1, 0)";
        self.run(sql, params![account.0.as_slice()])?;
        let number = self.db.last_insert_rowid();
        self.accounts.insert(account, number);
        Ok(number)
    }

    fn run(&self, sql: &str, parameters: impl rusqlite::Params) -> Stored<()> {
        self.db.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters)).map_err(fatal)?;
        Ok(())
    }

    /// Runs a statement once for each row, in their order.
    fn run_all<P: rusqlite::Params>(&self, sql: &str, rows: impl IntoIterator<Item = P>) -> Stored<()> {
        let mut statement = self.db.prepare_cached(sql).map_err(fatal)?;
        rows.into_iter().try_for_each(|row| statement.execute(row).map(|_| ()).map_err(fatal))
    }

    /// Writes entries and what is known by them. Each index gets its rows in its own order, so that they come to the same page
    /// one after the other.
    fn entries(&mut self, entries: &[NewEntry]) -> Stored<()> {
        let (mut own, mut known, mut last) = (Vec::new(), Vec::new(), BTreeMap::new());
        for entry in entries {
            let place = integer(entry.index);
            for (account, balance) in [entry.payer, entry.payee] {
                let account = self.account(account)?;
                own.push((integer(schema::piece(entry.index)), account, place, balance));
                last.insert(account, balance);
            }
            known.push((entry.order.1.0, self.account(entry.order.0)?, place));
        }
        own.sort_unstable();
        known.sort_unstable();
        let device = |entry: &NewEntry| entry.device.and_then(|device| self.devices.get(&device).copied());
        let rows = entries.iter().map(|entry| (integer(entry.index), &entry.bytes, device(entry)));
        self.run_all("INSERT INTO entry (place, bytes, device) VALUES (?1, ?2, ?3)", rows)?;
        self.run_all("INSERT INTO own (piece, account, place, balance) VALUES (?1, ?2, ?3, ?4)", own)?;
        self.run_all("INSERT INTO known (id, owner, place) VALUES (?1, ?2, ?3)", known)?;
        self.run_all("UPDATE account SET balance = ?2 WHERE number = ?1", last)?;
        entries.iter().try_for_each(|entry| self.ends(entry))
    }

    /// What an entry ends: the wish of the operator's, or more or less of the payment that it gives back.
    fn ends(&mut self, entry: &NewEntry) -> Stored<()> {
        if entry.device.is_none() {
            self.run("DELETE FROM wanted_issue WHERE id = ?1", params![entry.order.1.0.as_slice()])?;
        }
        if let Some(((owner, id), refunded)) = entry.refunds {
            let owner = self.account(owner)?;
            let sql = "INSERT INTO refund (place, refunded)
                           SELECT place, ?3 FROM known WHERE id = ?1 AND owner = ?2 AND place IS NOT NULL
                       ON CONFLICT (place) DO UPDATE SET refunded = excluded.refunded";
            self.run(sql, params![id.0.as_slice(), owner, integer(refunded.units())])?;
        }
        Ok(())
    }

    fn refused(&mut self, (owner, id): OrderKey, hash: &HashBytes, refusal: LedgerRefusal) -> Stored<()> {
        let (owner, record) = (self.account(owner)?, encode(&(hash, refusal))?);
        let sql = "INSERT INTO known (id, owner, refused) VALUES (?1, ?2, ?3)";
        self.run(sql, params![id.0.as_slice(), owner, record])?;
        self.run("DELETE FROM wanted_issue WHERE id = ?1", params![id.0.as_slice()])
    }

    fn request(&mut self, record: &RequestRecord) -> Stored<()> {
        let (payee, payer) = (self.account(record.payee)?, self.account(record.payer)?);
        let sql = "INSERT INTO request (payee, id, payer, not_after, state, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (payee, id) DO UPDATE SET state = excluded.state";
        let state = reading::code(record.state)?;
        let (id, signed, not_after) = (record.id.0.as_slice(), encode(&record.request)?, integer(record.not_after.0));
        self.run(sql, params![payee, id, payer, not_after, state, signed])
    }

    fn step(&mut self, step: &RequestStep) -> Stored<()> {
        let ((payee, id), place) = (step.key, integer(step.place));
        let (payee, payer) = (self.account(payee)?, self.account(step.payer)?);
        let sql = "INSERT INTO step (place, payee, id, state, of_order, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (id, order) = (id.0.as_slice(), step.order.as_ref().map(|order| order.0.as_slice()));
        self.run(sql, params![place, payee, id, reading::code(step.state)?, order, integer(step.at.0)])?;
        for account in [payee, payer] {
            // Who asks themselves is one account.
            self.run("INSERT OR IGNORE INTO step_of (account, place) VALUES (?1, ?2)", params![account, place])?;
        }
        Ok(())
    }

    fn certificate(&mut self, device: DeviceId, certificate: &protocol::certificate::Certificate) -> Stored<()> {
        if self.devices.contains_key(&device) {
            return Ok(());
        }
        let sql = "INSERT INTO device (id, certificate) VALUES (?1, ?2)";
        self.run(sql, params![device.0.as_slice(), encode(certificate)?])?;
        self.devices.insert(device, self.db.last_insert_rowid());
        Ok(())
    }

    fn tile(&self, tile: &Tile) -> Stored<()> {
        let sql = "INSERT INTO tile (level, place, hashes, root) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![tile.level, integer(tile.place), tile.hashes, tile.root.as_slice()])
    }

    fn batch(&mut self, batch: &Batch) -> Stored<()> {
        for (device, certificate) in &batch.certificates {
            self.certificate(*device, certificate)?;
        }
        self.entries(&batch.entries)?;
        for (key, hash, refusal) in &batch.refused {
            self.refused(*key, hash, *refusal)?;
        }
        for record in &batch.requests {
            self.request(record)?;
        }
        for step in &batch.steps {
            self.step(step)?;
        }
        for account in &batch.closed {
            let sql = "INSERT OR IGNORE INTO closed (account, finished) VALUES (?1, 0)";
            self.run(sql, params![account.0.as_slice()])?;
        }
        for tile in &batch.tiles {
            self.tile(tile)?;
        }
        self.run("UPDATE head SET record = ?1", params![encode(&batch.head)?])
    }
}

impl LedgerStore for SqliteLedger {
    fn found(&self, founding: &Founding, head: &Head) -> Stored<Founding> {
        self.write(|writer| {
            writer.change(|numbers| {
                let kept: Option<Vec<u8>> = numbers
                    .db
                    .query_row("SELECT record FROM founding", [], |row| row.get(0))
                    .optional()
                    .map_err(fatal)?;
                if let Some(kept) = kept {
                    return decode(&kept);
                }
                numbers.run("INSERT INTO founding (one, record) VALUES (1, ?1)", params![encode(founding)?])?;
                numbers.run("INSERT INTO head (one, record) VALUES (1, ?1)", params![encode(head)?])?;
                Ok(founding.clone())
            })
        })
    }

    fn keep(&self, batch: &Batch) -> Stored<()> {
        self.write(|writer| writer.change(|numbers| numbers.batch(batch)))
    }

    fn want_issue(&self, issue: &IssueOrder) -> Stored<()> {
        self.write(|writer| {
            writer.change(|numbers| {
                let sql = "INSERT OR IGNORE INTO wanted_issue (id, record) VALUES (?1, ?2)";
                numbers.run(sql, params![issue.id.0.as_slice(), encode(issue)?])
            })
        })
    }

    fn head(&self) -> Stored<Option<(Founding, Head)>> {
        self.read(reading::head)
    }

    fn balances(&self) -> Stored<Vec<(AccountId, i64)>> {
        self.read(reading::balances)
    }

    fn closed(&self) -> Stored<Vec<(AccountId, bool)>> {
        self.read(reading::closed)
    }

    fn closing_finished(&self, account: AccountId) -> Stored<()> {
        self.write(|writer| {
            writer.change(|numbers| {
                numbers.run("UPDATE closed SET finished = 1 WHERE account = ?1", params![account.0.as_slice()])
            })
        })
    }

    fn known(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Known>>> {
        self.check()?;
        let mut writer = self.writer();
        let Writer { connection, accounts, .. } = &mut *writer;
        // One view for all of them: a transaction for each would cost more than the look-ups.
        let begun = connection.transaction().map_err(fatal)?;
        reading::known(&begun, orders.iter().map(|(owner, id)| Some((*accounts.get(owner)?, *id))))
    }

    fn originals(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Original>>> {
        self.read(|db| orders.iter().map(|key| reading::original(db, key)).collect())
    }

    fn requests(&self, keys: &[RequestKey]) -> Stored<Vec<Option<RequestRecord>>> {
        self.read(|db| keys.iter().map(|key| reading::request(db, key)).collect())
    }

    fn open_requests(&self, payee: AccountId, payer: AccountId) -> Stored<(usize, usize)> {
        self.read(|db| reading::open_requests(db, payee, payer))
    }

    fn expired_requests(&self, time: Timestamp, at_most: usize) -> Stored<Vec<RequestRecord>> {
        self.read(|db| reading::expired_requests(db, time, at_most))
    }

    fn paid_since(&self, payer: AccountId, since: Timestamp) -> Stored<Vec<(AccountId, protocol::money::Amount)>> {
        self.read(|db| reading::paid_since(db, payer, since))
    }

    fn own(&self, account: AccountId, after: Option<u64>, at_most: usize) -> Stored<Vec<OwnRecord>> {
        self.read(|db| reading::own(db, account, after, at_most))
    }

    fn steps(
        &self,
        account: AccountId,
        after: Option<u64>,
        at_most: usize,
    ) -> Stored<Vec<(RequestStep, protocol::money::SignedRequest)>> {
        self.read(|db| reading::steps(db, account, after, at_most))
    }

    fn entries(&self, from: u64, at_most: usize) -> Stored<Vec<Vec<u8>>> {
        self.read(|db| reading::entries(db, from, at_most))
    }

    fn tile(&self, level: u8, place: u64) -> Stored<Option<Vec<u8>>> {
        self.read(|db| reading::tile(db, level, place))
    }

    fn tile_roots(&self, level: u8, from: u64) -> Stored<Vec<HashBytes>> {
        self.read(|db| reading::tile_roots(db, level, from))
    }

    fn wanted_issues(&self) -> Stored<Vec<IssueOrder>> {
        self.read(reading::wanted_issues)
    }
}

/// The id of an order as it is kept.
fn order_id(bytes: &[u8]) -> Stored<OrderId> {
    OrderId::from_slice(bytes).ok_or_else(|| StoreError::Damaged("an order's id".to_owned()))
}
