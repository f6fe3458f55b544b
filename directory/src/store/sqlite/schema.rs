//! The schema, version by version. A migration is never changed once it has shipped; a new one is appended.

use rusqlite::Connection;

use super::{super::StoreError, Stored, carrying, fatal};

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
    "
    CREATE TABLE handout (
        conversation BLOB NOT NULL, epoch INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (conversation, epoch)
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE key_package ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE last_resort ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
    -- When those of before end was not kept: eighty-four days from now is the latest that it can be.
    UPDATE key_package SET expires = (unixepoch() + 84 * 86400) * 1000;
    UPDATE last_resort SET expires = (unixepoch() + 84 * 86400) * 1000;
    CREATE INDEX key_package_expires ON key_package (expires);
    CREATE INDEX last_resort_expires ON last_resort (expires);
    -- What counts against a quota is added up as it comes and goes, since a full mailbox has too much to count each time.
    ALTER TABLE mail ADD COLUMN counted BLOB;
    DROP INDEX mail_sender;
    ALTER TABLE mail DROP COLUMN sender;
    CREATE TABLE mail_count (
        device BLOB NOT NULL, counted BLOB NOT NULL, items INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (device, counted)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER mail_comes AFTER INSERT ON mail WHEN NEW.counted IS NOT NULL BEGIN
        INSERT INTO mail_count (device, counted, items, bytes) VALUES (NEW.device, NEW.counted, 1, NEW.length)
            ON CONFLICT (device, counted) DO UPDATE SET items = items + 1, bytes = bytes + NEW.length;
    END;
    CREATE TRIGGER mail_goes AFTER DELETE ON mail WHEN OLD.counted IS NOT NULL BEGIN
        UPDATE mail_count SET items = items - 1, bytes = bytes - OLD.length
            WHERE device = OLD.device AND counted = OLD.counted;
        DELETE FROM mail_count WHERE device = OLD.device AND counted = OLD.counted AND items = 0;
    END;
",
    "
    ALTER TABLE conversation RENAME TO conversation_before;
    ALTER TABLE handout RENAME TO handout_before;
    CREATE TABLE conversation (
        id BLOB PRIMARY KEY, epoch INTEGER NOT NULL, leaves INTEGER NOT NULL, audience BLOB NOT NULL,
        made_by BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Apart, and with row ids, since it is long: who asks for an epoch or a member reads none of it.
    CREATE TABLE conversation_state (
        conversation BLOB PRIMARY KEY, snapshot BLOB NOT NULL, group_info BLOB NOT NULL
    ) STRICT;
    CREATE TABLE conversation_device (
        conversation BLOB NOT NULL, device BLOB NOT NULL, account BLOB NOT NULL, PRIMARY KEY (conversation, device)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE conversation_leave (
        conversation BLOB NOT NULL, account BLOB NOT NULL, leave BLOB NOT NULL, PRIMARY KEY (conversation, account)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE conversation_group (
        conversation BLOB PRIMARY KEY, name TEXT NOT NULL, access INTEGER NOT NULL, members INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX conversation_group_name ON conversation_group (name, conversation);
    CREATE TABLE conversation_account (
        conversation BLOB NOT NULL, account BLOB NOT NULL, role INTEGER NOT NULL, PRIMARY KEY (conversation, account)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE conversation_closed (id BLOB PRIMARY KEY, leave BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE group_name (
        name TEXT PRIMARY KEY, skeleton TEXT NOT NULL UNIQUE, conversation BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE handout (
        conversation BLOB NOT NULL, epoch INTEGER NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (conversation, epoch, number)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- What the ledger may still owe an account from the beginning; those of before are owed nothing.
    ALTER TABLE account ADD COLUMN owed INTEGER;
    CREATE INDEX account_owed ON account (id) WHERE owed IS NOT NULL;
    CREATE TABLE certificate (
        account BLOB NOT NULL, device BLOB NOT NULL, certificate BLOB NOT NULL, PRIMARY KEY (account, device)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX conversation_account_of ON conversation_account (account, conversation);
",
    "
    CREATE INDEX conversation_device_of ON conversation_device (account, conversation);
",
];

/// What SQL alone can't carry along into a version.
fn carry(connection: &Connection, version: u32) -> Stored<()> {
    if version == 4 { carrying::conversations(connection) } else { Ok(()) }
}

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
            carry(connection, version)?;
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
    use std::collections::BTreeMap;

    use protocol::{AccountId, ConversationId, DeviceId, Timestamp};
    use rusqlite::params;
    use tempfile::TempDir;

    use super::{
        super::{
            super::{Audience, ConversationRecord, Conversations as _, Handout, Handouts as _, Roster},
            DATABASE, SqliteStore,
            carrying::{ConversationBefore, HandoutBefore},
            conversations, encode, handouts,
        },
        *,
    };

    const ID: ConversationId = ConversationId([9; 32]);
    const PEOPLE: [AccountId; 2] = [AccountId([1; 32]), AccountId([2; 32])];
    const DEVICES: [DeviceId; 2] = [DeviceId([3; 16]), DeviceId([4; 16])];

    /// A database as the program of an earlier version left it.
    fn written_by(version: usize) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
        for migration in &MIGRATIONS[..version] {
            connection.execute_batch(migration).unwrap();
        }
        connection.pragma_update(None, "user_version", u32::try_from(version).unwrap()).unwrap();
        let data = "
            INSERT INTO key_package (device, number, hash, package) VALUES (x'01', 1, x'02', x'03');
            INSERT INTO last_resort (device, package) VALUES (x'01', x'04');
            INSERT INTO payload (id, item) VALUES (1, x'05');
        ";
        connection.execute_batch(data).unwrap();
        // Version 3 counts by something else than the sender.
        let counted = if version < 3 { "sender" } else { "counted" };
        let mail = format!(
            "INSERT INTO mail (device, cursor, payload, key, {counted}, length, accepted, expires)
             VALUES (x'01', 1, 1, x'06', x'07', 1, 1, 99)"
        );
        connection.execute_batch(&mail).unwrap();
        let sql = "INSERT INTO device (id, account, tls_key, mls_key, signed_in, send_counter)
                   VALUES (?1, ?2, ?1, ?1, 1, 0)";
        for (device, account) in DEVICES.iter().zip(PEOPLE) {
            connection.execute(sql, params![device.0.as_slice(), account.0.as_slice()]).unwrap();
        }
        if version >= 4 {
            conversations::put(&connection, &record()).unwrap();
            handouts::keep(&connection, &[owed()]).unwrap();
            return folder;
        }
        let (members, made_by) = (DEVICES.to_vec(), [7; 32]);
        let (snapshot, group_info) = (vec![5; 9_000], vec![6]);
        let record = ConversationBefore { id: ID, people: PEOPLE, epoch: 300, snapshot, group_info, members, made_by };
        let sql = "INSERT INTO conversation (id, epoch, record) VALUES (?1, 300, ?2)";
        connection.execute(sql, params![ID.0.as_slice(), encode(&record).unwrap()]).unwrap();
        if version >= 3 {
            let Handout { conversation, epoch, author, devices, welcome, key, item, expires, .. } = owed();
            let owed = HandoutBefore { conversation, epoch, author, devices, welcome, key, item, expires };
            let sql = "INSERT INTO handout (conversation, epoch, record) VALUES (?1, 300, ?2)";
            connection.execute(sql, params![ID.0.as_slice(), encode(&owed).unwrap()]).unwrap();
        }
        folder
    }

    fn record() -> ConversationRecord {
        let members = DEVICES.into_iter().zip(PEOPLE).collect();
        let (audience, epoch) = (Audience::People(PEOPLE), 300);
        let roster = Roster { id: ID, audience, epoch, members, leaving: BTreeMap::new(), leaves: 0 };
        ConversationRecord { roster, snapshot: vec![5; 9_000], group_info: vec![6], made_by: [7; 32] }
    }

    fn owed() -> Handout {
        Handout {
            conversation: ID,
            epoch: 300,
            number: 0,
            author: DEVICES[0],
            devices: vec![DEVICES[1]],
            welcome: true,
            key: [8; 32],
            item: vec![1, 2],
            expires: Timestamp(400),
        }
    }

    #[test]
    fn data_of_every_earlier_version_comes_along() {
        for from in 1..MIGRATIONS.len() {
            let folder = written_by(from);
            let store = SqliteStore::open(folder.path()).unwrap();
            let record = store.conversation(ID).unwrap().unwrap();
            assert_eq!(record.roster.audience, Audience::People(PEOPLE), "version {from}");
            assert_eq!(record.roster.members, DEVICES.into_iter().zip(PEOPLE).collect());
            assert_eq!((record.roster.epoch, record.made_by), (300, [7; 32]));
            assert_eq!((record.snapshot, record.group_info), (vec![5; 9_000], vec![6]));
            let expected = if from >= 3 { vec![owed()] } else { Vec::new() };
            assert_eq!(store.handouts(Some(ID), 9).unwrap(), expected);
            drop(store);
            let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
            assert_eq!(check(&connection).unwrap() as usize, MIGRATIONS.len());
            let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            if from < 3 {
                let lasting = "SELECT count(*) FROM key_package WHERE expires > unixepoch() * 1000";
                assert_eq!((count(lasting), count("SELECT count(*) FROM last_resort WHERE expires > 0")), (1, 1));
            }
            let counted = i64::from(from >= 3);
            assert_eq!((count("SELECT count(*) FROM mail"), count("SELECT count(*) FROM mail_count")), (1, counted));
            connection.execute_batch("DELETE FROM mail").unwrap();
        }
    }
}
