//! Key packages. A package that was handed out stays as a hash, so that it is never stocked again.

use protocol::DeviceId;
use rusqlite::{OptionalExtension as _, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::{
    super::{KeyPackages, Stored},
    SqliteStore, fatal,
};

fn take(db: &Transaction<'_>, requester: DeviceId, device: DeviceId) -> Stored<Option<Vec<u8>>> {
    let (device, requester) = (device.0.as_slice(), requester.0.as_slice());
    let one = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| -> Stored<Option<Vec<u8>>> {
        let mut statement = db.prepare_cached(sql).map_err(fatal)?;
        statement.query_row(parameters, |row| row.get(0)).optional().map_err(fatal)
    };
    let reserved = "SELECT package FROM key_package WHERE device = ?1 AND reserved_for = ?2";
    if let Some(package) = one(reserved, &[&device, &requester])? {
        return Ok(Some(package));
    }
    let free = "UPDATE key_package SET reserved_for = ?2 WHERE device = ?1 AND number = (
                    SELECT min(number) FROM key_package
                    WHERE device = ?1 AND package IS NOT NULL AND reserved_for IS NULL
                ) RETURNING package";
    if let Some(package) = one(free, &[&device, &requester])? {
        return Ok(Some(package));
    }
    one("SELECT package FROM last_resort WHERE device = ?1", &[&device])
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

    fn publish(&self, device: DeviceId, packages: &[Vec<u8>], last_resort: Option<&[u8]>) -> Stored<()> {
        self.write(|db| {
            let device = device.0.as_slice();
            let sql = "INSERT OR IGNORE INTO key_package (device, number, hash, package)
                       SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM key_package WHERE device = ?1";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            for package in packages {
                statement.execute(params![device, Sha256::digest(package).as_slice(), package]).map_err(fatal)?;
            }
            if let Some(package) = last_resort {
                let sql = "INSERT OR REPLACE INTO last_resort (device, package) VALUES (?1, ?2)";
                db.execute(sql, params![device, package]).map_err(fatal)?;
            }
            Ok(())
        })
    }

    fn stock(&self, device: DeviceId) -> Stored<(u32, bool)> {
        self.read(|db| {
            let sql = "SELECT count(*) FROM key_package
                       WHERE device = ?1 AND package IS NOT NULL AND reserved_for IS NULL";
            let mut left = db.prepare_cached(sql).map_err(fatal)?;
            let mut last = db.prepare_cached("SELECT 1 FROM last_resort WHERE device = ?1").map_err(fatal)?;
            let device = params![device.0.as_slice()];
            Ok((left.query_row(device, |row| row.get(0)).map_err(fatal)?, last.exists(device).map_err(fatal)?))
        })
    }

    fn take(&self, requester: DeviceId, devices: &[DeviceId]) -> Stored<Vec<Option<Vec<u8>>>> {
        self.write(|db| devices.iter().map(|device| take(db, requester, *device)).collect())
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
}
