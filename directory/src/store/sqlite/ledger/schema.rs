//! The ledger's schema, version by version. A migration is never changed once it has shipped; a new one is appended.

use rusqlite::Connection;

use super::{StoreError, Stored, fatal};

const MIGRATIONS: &[&str] = &[FIRST, CLOSED];

const FIRST: &str = "
    CREATE TABLE founding (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB NOT NULL) STRICT;
    CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), record BLOB NOT NULL) STRICT;
    CREATE TABLE account (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, balance INTEGER NOT NULL) STRICT;
    CREATE TABLE device (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, certificate BLOB NOT NULL) STRICT;
    CREATE TABLE entry (place INTEGER PRIMARY KEY, bytes BLOB NOT NULL, device INTEGER) STRICT;
    -- What an account has after each entry of its own.
    CREATE TABLE own (
        account INTEGER NOT NULL, place INTEGER NOT NULL, balance INTEGER NOT NULL, PRIMARY KEY (account, place)
    ) STRICT, WITHOUT ROWID;
    -- Each order once: its entry, or the refusal that it got for good.
    CREATE TABLE known (
        id BLOB NOT NULL, owner INTEGER NOT NULL, place INTEGER, refused BLOB, PRIMARY KEY (id, owner),
        CHECK ((place IS NULL) <> (refused IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE refund (place INTEGER PRIMARY KEY, refunded INTEGER NOT NULL) STRICT;
    CREATE TABLE request (
        payee INTEGER NOT NULL, id BLOB NOT NULL, payer INTEGER NOT NULL, not_after INTEGER NOT NULL,
        state INTEGER NOT NULL, request BLOB NOT NULL, PRIMARY KEY (payee, id)
    ) STRICT;
    CREATE INDEX request_open ON request (payee, payer) WHERE state = 0;
    CREATE INDEX request_ending ON request (not_after) WHERE state = 0;
    CREATE TABLE step (
        place INTEGER PRIMARY KEY, payee INTEGER NOT NULL, id BLOB NOT NULL, state INTEGER NOT NULL, of_order BLOB,
        at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE step_of (
        account INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (account, place)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tile (
        level INTEGER NOT NULL, place INTEGER NOT NULL, hashes BLOB NOT NULL, root BLOB NOT NULL,
        PRIMARY KEY (level, place)
    ) STRICT;
    -- What the operator's command leaves for the process that writes.
    CREATE TABLE wanted_issue (id BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// Accounts that get nothing any more, and whether they are closed everywhere else.
const CLOSED: &str = "
    CREATE TABLE closed (account BLOB PRIMARY KEY, finished INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Refuses a ledger that a newer program wrote, without touching it.
pub(super) fn check(connection: &Connection) -> Stored<u32> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fatal)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known { Err(StoreError::NewerSchema { found, known }) } else { Ok(found) }
}

/// Brings the schema up to date, in one transaction. Whoever only looks at a ledger that is written on waits for nobody.
pub(super) fn migrate(connection: &Connection) -> Stored<()> {
    if check(connection)? as usize == MIGRATIONS.len() {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(fatal)?;
    let migrated = check(connection).and_then(|found| {
        for (version, migration) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
            connection.execute_batch(migration).map_err(fatal)?;
            connection.pragma_update(None, "user_version", version).map_err(fatal)?;
        }
        Ok(())
    });
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.execute_batch(end).map_err(fatal)?;
    migrated
}
