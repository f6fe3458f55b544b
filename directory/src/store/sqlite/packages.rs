//! Key packages. A package that was used stays as a hash until it would have ended, so that it is never stocked again.

use protocol::{DeviceId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    super::{KeyPackages, Package, Stored},
    SqliteStore, fatal, integer,
};

fn take(db: &Connection, requester: DeviceId, device: DeviceId, now: Timestamp) -> Stored<Option<Vec<u8>>> {
    let (device, requester, now) = (device.0.as_slice(), requester.0.as_slice(), integer(now.0));
    let one = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| -> Stored<Option<Vec<u8>>> {
        let mut statement = db.prepare_cached(sql).map_err(fatal)?;
        statement.query_row(parameters, |row| row.get(0)).optional().map_err(fatal)
    };
    let reserved = "SELECT package FROM key_package WHERE device = ?1 AND reserved_for = ?2 AND expires > ?3";
    if let Some(package) = one(reserved, &[&device, &requester, &now])? {
        return Ok(Some(package));
    }
    let ended = "UPDATE key_package SET package = NULL, reserved_for = NULL WHERE device = ?1 AND reserved_for = ?2";
    db.prepare_cached(ended).map_err(fatal)?.execute(params![device, requester]).map_err(fatal)?;
    let free = "UPDATE key_package SET reserved_for = ?2 WHERE device = ?1 AND number = (
                    SELECT min(number) FROM key_package
                    WHERE device = ?1 AND package IS NOT NULL AND reserved_for IS NULL AND expires > ?3
                ) RETURNING package";
    if let Some(package) = one(free, &[&device, &requester, &now])? {
        return Ok(Some(package));
    }
    one("SELECT package FROM last_resort WHERE device = ?1 AND expires > ?2", &[&device, &now])
}

impl KeyPackages for SqliteStore {
    fn forget_packages(&self, devices: &[DeviceId]) -> Stored<()> {
        self.write(|db| {
            for device in devices {
                let device = device.0.as_slice();
                db.execute("DELETE FROM key_package WHERE device = ?1", params![device]).map_err(fatal)?;
                db.execute("DELETE FROM last_resort WHERE device = ?1", params![device]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn publish(&self, device: DeviceId, packages: &[Package], last_resort: Option<&Package>) -> Stored<()> {
        self.write(|db| {
            let device = device.0.as_slice();
            let sql = "INSERT OR IGNORE INTO key_package (device, number, hash, package, expires)
                       SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM key_package WHERE device = ?1";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            for Package { bytes, expires } in packages {
                let hash = Sha256::digest(bytes);
                statement.execute(params![device, hash.as_slice(), bytes, integer(expires.0)]).map_err(fatal)?;
            }
            if let Some(Package { bytes, expires }) = last_resort {
                let sql = "INSERT OR REPLACE INTO last_resort (device, package, expires) VALUES (?1, ?2, ?3)";
                db.execute(sql, params![device, bytes, integer(expires.0)]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn stock(&self, device: DeviceId, now: Timestamp) -> Stored<(u32, bool)> {
        self.read(|db| {
            let sql = "SELECT count(*) FROM key_package
                       WHERE device = ?1 AND package IS NOT NULL AND reserved_for IS NULL AND expires > ?2";
            let mut left = db.prepare_cached(sql).map_err(fatal)?;
            let sql = "SELECT 1 FROM last_resort WHERE device = ?1 AND expires > ?2";
            let mut last = db.prepare_cached(sql).map_err(fatal)?;
            let of = params![device.0.as_slice(), integer(now.0)];
            Ok((left.query_row(of, |row| row.get(0)).map_err(fatal)?, last.exists(of).map_err(fatal)?))
        })
    }

    fn take(&self, requester: DeviceId, devices: &[DeviceId], now: Timestamp) -> Stored<Vec<Option<Vec<u8>>>> {
        self.write(|db| devices.iter().map(|device| take(db, requester, *device, now)).collect())
    }

    fn used(&self, requester: DeviceId, devices: &[DeviceId]) -> Stored<()> {
        self.write(|db| {
            let sql = "UPDATE key_package SET package = NULL, reserved_for = NULL
                       WHERE device = ?1 AND reserved_for = ?2";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            for device in devices {
                statement.execute(params![device.0.as_slice(), requester.0.as_slice()]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn expire_packages(&self, now: Timestamp, at_most: usize) -> Stored<()> {
        let due = "SELECT EXISTS (SELECT 1 FROM key_package WHERE expires <= ?1)
                       OR EXISTS (SELECT 1 FROM last_resort WHERE expires <= ?1)";
        if !self.read(|db| db.query_row(due, params![integer(now.0)], |row| row.get(0)).map_err(fatal))? {
            return Ok(());
        }
        self.write(|db| {
            let of = params![integer(now.0), integer(at_most as u64)];
            let sql = "DELETE FROM key_package WHERE (device, number) IN (
                           SELECT device, number FROM key_package WHERE expires <= ?1 ORDER BY device, number LIMIT ?2)";
            db.execute(sql, of).map_err(fatal)?;
            let sql = "DELETE FROM last_resort WHERE device IN (
                           SELECT device FROM last_resort WHERE expires <= ?1 ORDER BY device LIMIT ?2)";
            db.execute(sql, of).map_err(fatal)?;
            Ok(())
        })
    }
}
