//! The schema, version by version. A migration is never changed once it has shipped; a new one is appended.

use rusqlite::Connection;

use super::{super::StoreError, Stored, fatal};

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE account (
        id BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, skeleton TEXT NOT NULL UNIQUE, record BLOB NOT NULL,
        last_seen INTEGER, book_version INTEGER, book BLOB
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE device (
        id BLOB PRIMARY KEY, account BLOB NOT NULL, tls_key BLOB NOT NULL UNIQUE, mls_key BLOB NOT NULL,
        signed_in INTEGER NOT NULL, send_counter INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE accepted (owner BLOB NOT NULL, other BLOB NOT NULL, PRIMARY KEY (owner, other)) STRICT, WITHOUT ROWID;
    CREATE TABLE invite (code TEXT PRIMARY KEY, used_by BLOB) STRICT, WITHOUT ROWID;
    CREATE TABLE key_package (
        device BLOB NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, package BLOB,
        reserved_for BLOB, PRIMARY KEY (device, number)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX key_package_hash ON key_package (device, hash);
    CREATE UNIQUE INDEX key_package_reserved ON key_package (device, reserved_for) WHERE reserved_for IS NOT NULL;
    CREATE TABLE last_resort (device BLOB PRIMARY KEY, package BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE conversation (id BLOB PRIMARY KEY, epoch INTEGER NOT NULL, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE conversation_commit (
        conversation BLOB NOT NULL, epoch INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (conversation, epoch)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mailbox (device BLOB PRIMARY KEY, next INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE payload (
        id INTEGER PRIMARY KEY, item BLOB NOT NULL, sender BLOB, conversation BLOB, message BLOB
    ) STRICT;
    CREATE TABLE mail (
        device BLOB NOT NULL, cursor INTEGER NOT NULL, payload INTEGER NOT NULL, key BLOB NOT NULL, sender BLOB,
        length INTEGER NOT NULL, accepted INTEGER NOT NULL, expires INTEGER NOT NULL, PRIMARY KEY (device, cursor)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX mail_payload ON mail (payload);
    CREATE INDEX mail_sender ON mail (device, sender);
    CREATE INDEX mail_key ON mail (device, key);
    CREATE INDEX mail_expires ON mail (expires);
    CREATE TABLE mail_known (
        device BLOB NOT NULL, key BLOB NOT NULL, expires INTEGER NOT NULL, PRIMARY KEY (device, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX mail_known_expires ON mail_known (expires);
",
    "
    ALTER TABLE account ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE device ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE device ADD COLUMN last_seen INTEGER;
    CREATE INDEX device_account ON device (account);
    CREATE TABLE reset (code TEXT PRIMARY KEY, account BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE blocked (owner BLOB NOT NULL, other BLOB NOT NULL, PRIMARY KEY (owner, other)) STRICT, WITHOUT ROWID;
",
];

/// Refuses a database that a newer program wrote, without touching it.
pub(super) fn check(connection: &Connection) -> Stored<u32> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fatal)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known { Err(StoreError::NewerSchema { found, known }) } else { Ok(found) }
}

/// Brings the schema up to date, one transaction for each version.
pub(super) fn migrate(connection: &Connection) -> Stored<()> {
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
