//! The ledger's schema, version by version. A migration is never changed once it has shipped; a new one is appended.

use rusqlite::Connection;

use super::{StoreError, Stored, fatal};

const MIGRATIONS: &[&str] = &[FIRST, CLOSED, PIECES];

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

/// By account within each piece of 4,096 entries: a batch writes the few pages of the last piece, and not one of each account.
const PIECES: &str = "
    CREATE TABLE own_of_piece (
        piece INTEGER NOT NULL, account INTEGER NOT NULL, place INTEGER NOT NULL, balance INTEGER NOT NULL,
        PRIMARY KEY (piece, account, place)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO own_of_piece SELECT place / 4096, account, place, balance FROM own ORDER BY 1, 2, 3;
    DROP TABLE own;
    ALTER TABLE own_of_piece RENAME TO own;
";

/// Entries in one piece of what is known by account: as many as [`PIECES`] says.
const PIECE: u64 = 4_096;

/// The piece that an entry is in.
pub(super) const fn piece(place: u64) -> u64 {
    place / PIECE
}

/// The first entry of a piece.
pub(super) const fn begin(piece: u64) -> u64 {
    piece * PIECE
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_program_knew_by_account_is_known_by_piece_and_account() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection.execute_batch("INSERT INTO own VALUES (2, 9000, 9), (1, 4096, 8), (1, 4095, 7)").unwrap();
        migrate(&connection).unwrap();
        let mut statement = connection.prepare("SELECT piece, account, place, balance FROM own").unwrap();
        let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])).unwrap();
        let rows: Vec<[i64; 4]> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, [[0, 1, 4_095, 7], [1, 1, 4_096, 8], [2, 2, 9_000, 9]]);
        for [of, _, place, _] in rows {
            assert_eq!(piece(place.cast_unsigned()), of.cast_unsigned());
            assert!(begin(of.cast_unsigned()) <= place.cast_unsigned());
        }
    }
}
