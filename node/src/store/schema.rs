//! The database's schema and the way from one version to the next.

use rusqlite::{Connection, Transaction as SqlTransaction};

/// `SQLite`'s application id of a profile: "TUPn".
pub(super) const APPLICATION_ID: i32 = 0x5455_506e;

type Migration = fn(&SqlTransaction<'_>) -> rusqlite::Result<()>;

/// What leads from version `i` to version `i + 1`. Append-only: a step that has shipped never changes.
const MIGRATIONS: &[Migration] = &[tables, words, money, receipts_at_once];

/// The version that this program writes.
#[expect(clippy::cast_possible_truncation, reason = "a handful of migrations")]
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// The version that a database has; zero if it is empty.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings a database from its version to [`VERSION`], each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    for (migration, version) in MIGRATIONS.iter().zip(1_u32..).skip(from as usize) {
        step(connection, *migration, version)?;
    }
    Ok(())
}

/// A database as an earlier version of this program made it.
#[cfg(test)]
pub(super) fn migrate_to(connection: &mut Connection, until: u32) {
    for (migration, version) in MIGRATIONS.iter().zip(1..=until) {
        step(connection, *migration, version).unwrap();
    }
}

fn step(connection: &mut Connection, migration: Migration, version: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    migration(&transaction)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

fn tables(transaction: &SqlTransaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.execute_batch(
        // What was said in a group is found under the group's name, never under its sender's. A message's place in the timeline is the order in which it was stored here; a message id is unique only
        // per sender, since another person could draw, or copy, the same one.
        "CREATE TABLE record (
            record_table INTEGER NOT NULL,
            key BLOB NOT NULL,
            value BLOB NOT NULL,
            UNIQUE (record_table, key)
        ) STRICT;
        CREATE TABLE message (
            place INTEGER PRIMARY KEY,
            number INTEGER NOT NULL UNIQUE,
            uid BLOB NOT NULL,
            conversation BLOB NOT NULL,
            sender TEXT NOT NULL,
            recipient TEXT NOT NULL,
            text TEXT NOT NULL,
            at INTEGER NOT NULL,
            sent_at INTEGER NOT NULL,
            state INTEGER,
            gap INTEGER NOT NULL,
            in_group INTEGER NOT NULL,
            member TEXT,
            member_change INTEGER
        ) STRICT;
        CREATE INDEX message_uid ON message (uid);
        CREATE INDEX message_sender ON message (sender) WHERE NOT in_group;
        CREATE INDEX message_recipient ON message (recipient);
        CREATE TABLE event (
            seq INTEGER PRIMARY KEY,
            event BLOB NOT NULL
        ) STRICT;",
    )
}

/// The words of what was said, so that SEARCH need not read it all. The index holds no text, only where each word is. It
/// follows the table up to a place that is kept beside it, since indexing costs as much as storing does; what is deleted
/// there leaves nothing here, and gives its place away only if that is indexed again.
fn words(transaction: &SqlTransaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE VIRTUAL TABLE message_words USING fts5 (
            text,
            content = 'message',
            content_rowid = 'place',
            columnsize = 0,
            tokenize = 'unicode61 remove_diacritics 2'
        );
        INSERT INTO message_words (message_words, rank) VALUES ('secure-delete', 1);
        CREATE TABLE message_words_until (place INTEGER NOT NULL) STRICT;
        INSERT INTO message_words_until VALUES (0);
        CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
            INSERT INTO message_words (message_words, rowid, text)
                SELECT 'delete', old.place, old.text FROM message_words_until WHERE old.place <= place;
            UPDATE message_words_until
                SET place = min(place, (SELECT coalesce(max(message.place), 0) FROM message));
        END;",
    )
}

/// Payments, requests and their ends among what was said.
fn money(transaction: &SqlTransaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("ALTER TABLE message ADD COLUMN money BLOB;")
}

/// What is said of a message to many people is one row: the first of the events, and to whom those after it are.
fn receipts_at_once(transaction: &SqlTransaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE event ADD COLUMN span INTEGER NOT NULL DEFAULT 1;
         ALTER TABLE event ADD COLUMN others BLOB;",
    )
}
