//! Changes of accounts: devices, passwords, blocks, and their end.

use protocol::{AccountId, DeviceId, Name, Timestamp, certificate::Certificate};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    super::{
        AccountChanges, AccountRecord, DeviceRecord, DevicesChange, DevicesChanged, NewSecrets, StoreError, Stored,
    },
    SqliteStore,
    accounts::{DEVICE, account_by_id, device, device_row, exists, insert_device, is_taken},
    decode, encode, fatal, integer, number,
};

fn damaged() -> StoreError {
    StoreError::Damaged("an account".to_owned())
}

/// The account whose name was offered to this code.
pub(super) fn offered(db: &Connection, name: &Name, code: &str) -> Stored<Option<Vec<u8>>> {
    let sql = "SELECT reset.account FROM reset JOIN account ON account.id = reset.account
               WHERE reset.code = ?1 AND account.name = ?2";
    db.query_row(sql, params![code, name.as_str()], |row| row.get(0)).optional().map_err(fatal)
}

/// Closes an account whose name another one gets.
pub(super) fn give_up_name(db: &Connection, account: &[u8]) -> Stored<()> {
    if let Some(account) = AccountId::from_slice(account) {
        close(db, account)?;
    }
    // A name has letters first and none of these signs, so that these are nobody's.
    let sql = "UPDATE account SET name = '#' || hex(id), skeleton = '#' || hex(id) WHERE id = ?1";
    db.execute(sql, params![account]).map_err(fatal)?;
    db.execute("DELETE FROM reset WHERE account = ?1", params![account]).map_err(fatal)?;
    Ok(())
}

fn close(db: &Connection, account: AccountId) -> Stored<()> {
    let id = account.0.as_slice();
    if let Some(record) = account_by_id(db, account)? {
        let emptied =
            AccountRecord { password: Vec::new(), root_backup: Vec::new(), recovery_backup: Vec::new(), ..record };
        let sql = "UPDATE account SET closed = 1, book = NULL, book_version = NULL, record = ?2 WHERE id = ?1";
        db.execute(sql, params![id, encode(&emptied)?]).map_err(fatal)?;
    }
    db.execute("UPDATE device SET revoked = 1, signed_in = 0 WHERE account = ?1", params![id]).map_err(fatal)?;
    Ok(())
}

fn with_secrets(record: AccountRecord, secrets: &NewSecrets) -> AccountRecord {
    AccountRecord {
        password: secrets.password.clone(),
        root_backup: secrets.root_backup.clone(),
        recovery_backup: secrets.recovery_backup.clone().unwrap_or(record.recovery_backup),
        ..record
    }
}

fn put_record(db: &Connection, record: &AccountRecord) -> Stored<()> {
    let sql = "UPDATE account SET record = ?2 WHERE id = ?1";
    db.execute(sql, params![record.account.0.as_slice(), encode(record)?]).map_err(fatal)?;
    Ok(())
}

impl AccountChanges for SqliteStore {
    fn replace_devices(&self, change: &DevicesChange) -> Stored<DevicesChanged> {
        self.write(|db| {
            let Some(record) = account_by_id(db, change.account)? else { return Ok(DevicesChanged::Unknown) };
            if record.devices == change.after {
                return Ok(DevicesChanged::Changed);
            }
            if record.devices != change.before {
                return Ok(DevicesChanged::Stale);
            }
            for row in &change.added {
                if is_taken(db, row)? {
                    return Ok(DevicesChanged::DeviceTaken);
                }
            }
            let record = AccountRecord { devices: change.after.clone(), ..record };
            let record = match &change.secrets {
                Some(secrets) => with_secrets(record, secrets),
                None => record,
            };
            put_record(db, &record)?;
            for row in &change.added {
                insert_device(db, row)?;
            }
            let sql = "UPDATE device SET revoked = 1, signed_in = 0 WHERE id = ?1 AND account = ?2";
            for device in &change.removed {
                db.execute(sql, params![device.0.as_slice(), change.account.0.as_slice()]).map_err(fatal)?;
            }
            Ok(DevicesChanged::Changed)
        })
    }

    fn replace_secrets(&self, account: AccountId, secrets: &NewSecrets) -> Stored<bool> {
        self.write(|db| {
            let Some(record) = account_by_id(db, account)? else { return Ok(false) };
            put_record(db, &with_secrets(record, secrets))?;
            Ok(true)
        })
    }

    fn close_account(&self, account: AccountId) -> Stored<()> {
        self.write(|db| close(db, account))
    }

    fn offer_reset(&self, name: &Name, code: &str) -> Stored<bool> {
        self.write(|db| {
            let of_name = "DELETE FROM reset WHERE account IN (SELECT id FROM account WHERE name = ?1)";
            db.execute(of_name, params![name.as_str()]).map_err(fatal)?;
            let sql = "INSERT OR REPLACE INTO reset (code, account)
                       SELECT ?1, id FROM account WHERE name = ?2 AND NOT closed";
            Ok(db.execute(sql, params![code, name.as_str()]).map_err(fatal)? == 1)
        })
    }

    fn reset_is_offered(&self, name: &Name, code: &str) -> Stored<bool> {
        self.read(|db| Ok(offered(db, name, code)?.is_some()))
    }

    fn devices_of(&self, account: AccountId) -> Stored<Vec<DeviceRecord>> {
        self.read(|db| {
            let sql = format!("{DEVICE} WHERE account = ?1 ORDER BY id");
            let mut statement = db.prepare_cached(&sql).map_err(fatal)?;
            let rows = statement.query_map(params![account.0.as_slice()], device_row).map_err(fatal)?;
            rows.map(|row| row.map_err(fatal).and_then(device)).collect()
        })
    }

    fn keep_certificates(&self, account: AccountId, certificates: &[(DeviceId, Certificate)]) -> Stored<()> {
        self.write(|db| {
            let sql = "INSERT OR IGNORE INTO certificate (account, device, certificate) VALUES (?1, ?2, ?3)";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            for (device, certificate) in certificates {
                let (account, device) = (account.0.as_slice(), device.0.as_slice());
                statement.execute(params![account, device, encode(certificate)?]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn certificates_of(&self, account: AccountId) -> Stored<Vec<(DeviceId, Certificate)>> {
        self.read(|db| {
            let sql = "SELECT device, certificate FROM certificate WHERE account = ?1 ORDER BY device";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
            let rows = statement.query_map(params![account.0.as_slice()], read).map_err(fatal)?;
            let kept = rows.map(|row| {
                let (device, certificate) = row.map_err(fatal)?;
                let device = DeviceId::from_slice(&device).ok_or_else(|| StoreError::Damaged("a device".to_owned()))?;
                Ok((device, decode(&certificate)?))
            });
            kept.collect()
        })
    }

    fn note_device_seen(&self, device: DeviceId, at: Timestamp) -> Stored<()> {
        self.write(|db| {
            let sql = "UPDATE device SET last_seen = ?2 WHERE id = ?1";
            db.execute(sql, params![device.0.as_slice(), integer(at.0)]).map_err(fatal)?;
            Ok(())
        })
    }

    fn devices_seen(&self, devices: &[DeviceId]) -> Stored<Vec<Option<Timestamp>>> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT last_seen FROM device WHERE id = ?1").map_err(fatal)?;
            let seen = devices.iter().map(|id| {
                let at = statement.query_row(params![id.0.as_slice()], |row| row.get::<_, Option<i64>>(0));
                at.optional().map_err(fatal)?.flatten().map(|at| number(at).map(Timestamp)).transpose()
            });
            seen.collect()
        })
    }

    fn block(&self, owner: AccountId, others: &[AccountId], blocked: bool) -> Stored<()> {
        self.write(|db| {
            let sql = if blocked {
                "INSERT OR IGNORE INTO blocked (owner, other) VALUES (?1, ?2)"
            } else {
                "DELETE FROM blocked WHERE owner = ?1 AND other = ?2"
            };
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            for other in others {
                statement.execute(params![owner.0.as_slice(), other.0.as_slice()]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn blocked_by(&self, owner: AccountId, at_most: usize) -> Stored<Vec<AccountId>> {
        let sql = "SELECT other FROM blocked WHERE owner = ?1 ORDER BY other LIMIT ?2";
        self.read(|db| {
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let parameters = params![owner.0.as_slice(), integer(at_most as u64)];
            let rows = statement.query_map(parameters, |row| row.get::<_, Vec<u8>>(0)).map_err(fatal)?;
            rows.map(|other| AccountId::from_slice(&other.map_err(fatal)?).ok_or_else(damaged)).collect()
        })
    }

    fn has_blocked(&self, pairs: &[(AccountId, AccountId)]) -> Stored<Vec<bool>> {
        let sql = "SELECT 1 FROM blocked WHERE owner = ?1 AND other = ?2";
        self.read(|db| {
            let asked = pairs.iter();
            asked.map(|(owner, other)| exists(db, sql, params![owner.0.as_slice(), other.0.as_slice()])).collect()
        })
    }
}
