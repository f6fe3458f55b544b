//! Accounts, devices, invites, and who accepted whom.

use protocol::{AccountId, DeviceId, Name, PublicKey, Timestamp, money::Amount};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    super::{AccountMade, AccountRecord, Accounts, Counts, DeviceRecord, NewAccount, StoreError, Stored},
    SqliteStore, changes, decode, encode, fatal, integer, names, number,
};

pub(super) const DEVICE: &str = "SELECT id, account, tls_key, mls_key, signed_in, send_counter, revoked FROM device";

type DeviceRow = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, bool, i64, bool);

pub(super) fn device_row(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

pub(super) fn device(row: DeviceRow) -> Stored<DeviceRecord> {
    let (id, account, tls_key, mls_key, signed_in, send_counter, revoked) = row;
    let damaged = || StoreError::Damaged("a device".to_owned());
    Ok(DeviceRecord {
        device: DeviceId::from_slice(&id).ok_or_else(damaged)?,
        account: AccountId::from_slice(&account).ok_or_else(damaged)?,
        tls_key: PublicKey::from_slice(&tls_key).ok_or_else(damaged)?,
        mls_key: PublicKey::from_slice(&mls_key).ok_or_else(damaged)?,
        signed_in,
        send_counter: number(send_counter)?,
        revoked,
    })
}

pub(super) fn exists(db: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Stored<bool> {
    db.prepare_cached(sql).and_then(|mut statement| statement.exists(parameters)).map_err(fatal)
}

pub(super) fn account(db: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Stored<Option<AccountRecord>> {
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let found: Option<Vec<u8>> = statement.query_row(parameters, |row| row.get(0)).optional().map_err(fatal)?;
    found.map(|bytes| decode(&bytes)).transpose()
}

/// An account that is not closed.
pub(super) fn account_by_id(db: &Connection, id: AccountId) -> Stored<Option<AccountRecord>> {
    account(db, "SELECT record FROM account WHERE id = ?1 AND NOT closed", params![id.0.as_slice()])
}

/// Adds a device's row.
pub(super) fn insert_device(db: &Connection, row: &DeviceRecord) -> Stored<()> {
    let sql = "INSERT INTO device (id, account, tls_key, mls_key, signed_in, send_counter, revoked)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (id, account) = (row.device.0.as_slice(), row.account.0.as_slice());
    let (tls, mls) = (row.tls_key.0.as_slice(), row.mls_key.0.as_slice());
    let counter = integer(row.send_counter);
    db.execute(sql, params![id, account, tls, mls, row.signed_in, counter, row.revoked]).map_err(fatal)?;
    Ok(())
}

/// Whether a device's id or TLS key is or was somebody's.
pub(super) fn is_taken(db: &Connection, row: &DeviceRecord) -> Stored<bool> {
    let keys = params![row.device.0.as_slice(), row.tls_key.0.as_slice()];
    exists(db, "SELECT 1 FROM device WHERE id = ?1 OR tls_key = ?2", keys)
}

fn count(db: &Connection, sql: &str) -> Stored<u64> {
    number(db.query_row(sql, [], |row| row.get(0)).map_err(fatal)?)
}

impl Accounts for SqliteStore {
    fn create_account(&self, new: &NewAccount) -> Stored<AccountMade> {
        self.write(|db| {
            let (record, row) = (&new.record, &new.device);
            let known = "SELECT record FROM account WHERE id = ?1";
            if let Some(known) = account(db, known, params![record.account.0.as_slice()])? {
                let same = known.made_by == record.made_by;
                return Ok(if same { AccountMade::Made } else { AccountMade::DeviceTaken });
            }
            if is_taken(db, row)? {
                return Ok(AccountMade::DeviceTaken);
            }
            let reset = match &new.reset {
                Some(code) => changes::offered(db, &record.name, code)?,
                None => None,
            };
            if exists(db, "SELECT 1 FROM account WHERE name = ?1", params![record.name.as_str()])? && reset.is_none()
                || names::is_of_group(db, &record.name)?
            {
                return Ok(AccountMade::NameTaken);
            }
            // The account that gives up its name gives up what it looks like, too.
            let looks = params![new.skeleton, reset];
            if exists(db, "SELECT 1 FROM account WHERE skeleton = ?1 AND id IS NOT ?2", looks)?
                || names::looks_like_group(db, &new.skeleton)?
            {
                return Ok(AccountMade::NameConfusable);
            }
            let id = record.account.0.as_slice();
            if let Some(code) = &new.invite {
                let sql = "UPDATE invite SET used_by = ?2 WHERE code = ?1 AND used_by IS NULL";
                if db.execute(sql, params![code, id]).map_err(fatal)? == 0 {
                    return Ok(AccountMade::InviteUsed);
                }
            }
            if let Some(old) = reset {
                changes::give_up_name(db, &old)?;
            }
            let sql = "INSERT INTO account (id, name, skeleton, record, owed) VALUES (?1, ?2, ?3, ?4, ?5)";
            let owed = Some(integer(new.opening.units())).filter(|owed| *owed > 0);
            db.execute(sql, params![id, record.name.as_str(), new.skeleton, encode(record)?, owed]).map_err(fatal)?;
            insert_device(db, row)?;
            Ok(AccountMade::Made)
        })
    }

    fn accounts_by_name(&self, names: &[Name]) -> Stored<Vec<Option<AccountRecord>>> {
        let sql = "SELECT record FROM account WHERE name = ?1 AND NOT closed";
        self.read(|db| names.iter().map(|name| account(db, sql, params![name.as_str()])).collect())
    }

    fn accounts_by_id(&self, accounts: &[AccountId]) -> Stored<Vec<Option<AccountRecord>>> {
        self.read(|db| accounts.iter().map(|id| account_by_id(db, *id)).collect())
    }

    fn device_by_key(&self, tls_key: &PublicKey) -> Stored<Option<DeviceRecord>> {
        self.read(|db| {
            let sql = format!("{DEVICE} WHERE tls_key = ?1");
            let mut statement = db.prepare_cached(&sql).map_err(fatal)?;
            let found = statement.query_row(params![tls_key.0.as_slice()], device_row).optional().map_err(fatal)?;
            found.map(device).transpose()
        })
    }

    fn devices_by_id(&self, devices: &[DeviceId]) -> Stored<Vec<Option<DeviceRecord>>> {
        self.read(|db| {
            let sql = format!("{DEVICE} WHERE id = ?1");
            let mut statement = db.prepare_cached(&sql).map_err(fatal)?;
            let found = devices.iter().map(|id| {
                let row = statement.query_row(params![id.0.as_slice()], device_row).optional().map_err(fatal)?;
                row.map(device).transpose()
            });
            found.collect()
        })
    }

    fn set_signed_in(&self, device: DeviceId, signed_in: bool) -> Stored<()> {
        self.write(|db| {
            let sql = "UPDATE device SET signed_in = ?2 WHERE id = ?1";
            db.execute(sql, params![device.0.as_slice(), signed_in]).map_err(fatal)?;
            Ok(())
        })
    }

    fn raise_send_counter(&self, device: DeviceId, counter: u64) -> Stored<u64> {
        let sql = "SELECT send_counter FROM device WHERE id = ?1";
        let stored = |db: &Connection| {
            let found: Option<i64> =
                db.query_row(sql, params![device.0.as_slice()], |row| row.get(0)).optional().map_err(fatal)?;
            found.map(number).transpose()
        };
        // Announcements come every few seconds and seldom change anything: reading is free of the disk.
        match self.read(stored)? {
            Some(known) if known >= counter => Ok(known),
            None => Ok(counter),
            Some(_) => self.write(|db| {
                let sql = "UPDATE device SET send_counter = max(send_counter, ?2) WHERE id = ?1";
                db.execute(sql, params![device.0.as_slice(), integer(counter)]).map_err(fatal)?;
                Ok(stored(db)?.unwrap_or(counter))
            }),
        }
    }

    fn note_seen(&self, account: AccountId, at: Timestamp) -> Stored<()> {
        self.write(|db| {
            let sql = "UPDATE account SET last_seen = ?2 WHERE id = ?1";
            db.execute(sql, params![account.0.as_slice(), integer(at.0)]).map_err(fatal)?;
            Ok(())
        })
    }

    fn last_seen(&self, accounts: &[AccountId]) -> Stored<Vec<Option<Timestamp>>> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT last_seen FROM account WHERE id = ?1").map_err(fatal)?;
            let seen = accounts.iter().map(|id| {
                let at = statement.query_row(params![id.0.as_slice()], |row| row.get::<_, Option<i64>>(0));
                at.optional().map_err(fatal)?.flatten().map(|at| number(at).map(Timestamp)).transpose()
            });
            seen.collect()
        })
    }

    fn put_book(&self, account: AccountId, version: u64, book: &[u8]) -> Stored<bool> {
        self.write(|db| {
            let sql = "UPDATE account SET book_version = ?2, book = ?3
                       WHERE id = ?1 AND NOT closed AND (book_version IS NULL OR book_version < ?2)";
            let changed = db.execute(sql, params![account.0.as_slice(), integer(version), book]).map_err(fatal)?;
            Ok(changed == 1)
        })
    }

    fn book(&self, account: AccountId) -> Stored<Option<(u64, Vec<u8>)>> {
        self.read(|db| {
            let sql = "SELECT book_version, book FROM account WHERE id = ?1 AND book IS NOT NULL";
            let found: Option<(i64, Vec<u8>)> = db
                .query_row(sql, params![account.0.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
                .map_err(fatal)?;
            found.map(|(version, book)| Ok((number(version)?, book))).transpose()
        })
    }

    fn accept(&self, owner: AccountId, others: &[AccountId]) -> Stored<()> {
        self.write(|db| {
            let sql = "INSERT OR IGNORE INTO accepted (owner, other) VALUES (?1, ?2)";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            for other in others {
                statement.execute(params![owner.0.as_slice(), other.0.as_slice()]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn has_accepted(&self, pairs: &[(AccountId, AccountId)]) -> Stored<Vec<bool>> {
        let sql = "SELECT 1 FROM accepted WHERE owner = ?1 AND other = ?2";
        self.read(|db| {
            let asked = pairs.iter();
            asked.map(|(owner, other)| exists(db, sql, params![owner.0.as_slice(), other.0.as_slice()])).collect()
        })
    }

    fn add_invites(&self, codes: &[String]) -> Stored<()> {
        self.write(|db| {
            let mut statement = db.prepare_cached("INSERT OR IGNORE INTO invite (code) VALUES (?1)").map_err(fatal)?;
            for code in codes {
                statement.execute(params![code]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn invite_is_free(&self, code: &str) -> Stored<bool> {
        self.read(|db| exists(db, "SELECT 1 FROM invite WHERE code = ?1 AND used_by IS NULL", params![code]))
    }

    fn owed_openings(&self, at_most: usize) -> Stored<Vec<(AccountId, Amount)>> {
        self.read(|db| {
            let sql = "SELECT id, owed FROM account WHERE owed IS NOT NULL ORDER BY id LIMIT ?1";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?));
            let rows = statement.query_map(params![integer(at_most as u64)], read).map_err(fatal)?;
            let owed = rows.map(|row| {
                let (id, owed) = row.map_err(fatal)?;
                let owed = AccountId::from_slice(&id).zip(Amount::new(number(owed)?));
                owed.ok_or_else(|| StoreError::Damaged("an opening balance".to_owned()))
            });
            owed.collect()
        })
    }

    fn opening_posted(&self, account: AccountId) -> Stored<()> {
        self.write(|db| {
            let sql = "UPDATE account SET owed = NULL WHERE id = ?1";
            db.execute(sql, params![account.0.as_slice()]).map_err(fatal)?;
            Ok(())
        })
    }

    fn counts(&self) -> Stored<Counts> {
        self.read(|db| {
            Ok(Counts {
                accounts: count(db, "SELECT count(*) FROM account WHERE NOT closed")?,
                signed_in: count(db, "SELECT count(*) FROM device WHERE signed_in")?,
                invites: count(db, "SELECT count(*) FROM invite WHERE used_by IS NULL")?,
                conversations: count(db, "SELECT count(*) FROM conversation")?,
                mail: count(db, "SELECT count(*) FROM mail")?,
            })
        })
    }
}
