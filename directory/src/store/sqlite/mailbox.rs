//! Mailboxes: each device has its own order; an item for many is stored once and referred to.

use protocol::{ConversationId, DeviceId, MessageId, Timestamp, directory::Cursor};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    super::{Delivery, ExpiredMessage, MailRecord, Mailbox, StoreError, Stored},
    SqliteStore, fatal, integer, number,
};

fn waiting(db: &Connection, device: DeviceId, counted: [u8; 32]) -> Stored<(u64, u64)> {
    let sql = "SELECT items, bytes FROM mail_count WHERE device = ?1 AND counted = ?2";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let parameters = params![device.0.as_slice(), counted.as_slice()];
    let found: Option<(i64, i64)> =
        statement.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(fatal)?;
    found.map_or(Ok((0, 0)), |(items, bytes)| Ok((number(items)?, number(bytes)?)))
}

fn fits(db: &Connection, delivery: &Delivery, device: DeviceId) -> Stored<bool> {
    let Some(quota) = delivery.quota.filter(|quota| quota.items < u64::MAX || quota.bytes < u64::MAX) else {
        return Ok(true);
    };
    if is_known(db, delivery, device)? {
        return Ok(true);
    }
    let (items, bytes) = waiting(db, device, quota.counted)?;
    Ok(items < quota.items && bytes + delivery.item.len() as u64 <= quota.bytes)
}

fn is_known(db: &Connection, delivery: &Delivery, device: DeviceId) -> Stored<bool> {
    let sql = "SELECT 1 FROM mail_known WHERE device = ?1 AND key = ?2";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    statement.exists(params![device.0.as_slice(), delivery.key.as_slice()]).map_err(fatal)
}

fn deliver(db: &Connection, delivery: &Delivery) -> Stored<bool> {
    for (device, _) in &delivery.recipients {
        if !fits(db, delivery, *device)? {
            return Ok(false);
        }
    }
    let mut payload = None;
    for (device, accepted) in &delivery.recipients {
        let id = device.0.as_slice();
        if delivery.replaces {
            let sql = "DELETE FROM mail WHERE device = ?1 AND key = ?2 RETURNING payload";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let rows = statement.query_map(params![id, delivery.key.as_slice()], |row| row.get(0)).map_err(fatal)?;
            let old: Vec<i64> = rows.collect::<Result<_, _>>().map_err(fatal)?;
            drop_unused(db, &old)?;
            // A device named twice has just lost this very item, and its payload with it.
            payload = payload.filter(|payload| !old.contains(payload));
        } else if is_known(db, delivery, *device)? {
            continue;
        }
        let payload = match payload {
            Some(payload) => payload,
            None => *payload.insert(store_payload(db, delivery)?),
        };
        let sql = "INSERT OR REPLACE INTO mail_known (device, key, expires) VALUES (?1, ?2, ?3)";
        let mut statement = db.prepare_cached(sql).map_err(fatal)?;
        statement.execute(params![id, delivery.key.as_slice(), integer(delivery.expires.0)]).map_err(fatal)?;
        let cursor = next_cursor(db, id)?;
        let sql = "INSERT INTO mail (device, cursor, payload, key, counted, length, accepted, expires)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let mut statement = db.prepare_cached(sql).map_err(fatal)?;
        let counted = delivery.quota.as_ref().map(|quota| quota.counted.as_slice());
        let (length, expires) = (integer(delivery.item.len() as u64), integer(delivery.expires.0));
        let parameters = params![id, cursor, payload, delivery.key.as_slice(), counted, length, accepted, expires];
        statement.execute(parameters).map_err(fatal)?;
    }
    Ok(true)
}

/// The next place in a mailbox. Two plain statements: one that could fail halfway has what it changed copied first.
fn next_cursor(db: &Connection, device: &[u8]) -> Stored<i64> {
    let mut statement = db.prepare_cached("SELECT next FROM mailbox WHERE device = ?1").map_err(fatal)?;
    let last: Option<i64> = statement.query_row(params![device], |row| row.get(0)).optional().map_err(fatal)?;
    let (sql, next) = match last {
        Some(last) => ("UPDATE mailbox SET next = ?2 WHERE device = ?1", last + 1),
        None => ("INSERT INTO mailbox (device, next) VALUES (?1, ?2)", 1),
    };
    db.prepare_cached(sql).and_then(|mut statement| statement.execute(params![device, next])).map_err(fatal)?;
    Ok(next)
}

fn store_payload(db: &Connection, delivery: &Delivery) -> Stored<i64> {
    let sql = "INSERT INTO payload (item, sender, conversation, message) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let message = delivery.message.as_ref();
    let sender = message.map(|(sender, ..)| sender.0.as_slice());
    let conversation = message.map(|(_, conversation, _)| conversation.0.as_slice());
    let id = message.map(|(.., id)| id.0.as_slice());
    statement.execute(params![delivery.item, sender, conversation, id]).map_err(fatal)?;
    Ok(db.last_insert_rowid())
}

fn drop_unused(db: &Connection, payloads: &[i64]) -> Stored<()> {
    let sql = "DELETE FROM payload WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM mail WHERE payload = ?1)";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    for payload in payloads {
        statement.execute(params![payload]).map_err(fatal)?;
    }
    Ok(())
}

/// What expired: device, cursor, payload, and the message if it was one.
type ExpiredRow = (Vec<u8>, i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

fn expired(row: &ExpiredRow) -> Stored<Option<ExpiredMessage>> {
    let (recipient, _, _, Some(sender), Some(conversation), Some(id)) = row else { return Ok(None) };
    let damaged = || StoreError::Damaged("a message in a mailbox".to_owned());
    Ok(Some(ExpiredMessage {
        sender: DeviceId::from_slice(sender).ok_or_else(damaged)?,
        conversation: ConversationId::from_slice(conversation).ok_or_else(damaged)?,
        id: MessageId::from_slice(id).ok_or_else(damaged)?,
        recipient: DeviceId::from_slice(recipient).ok_or_else(damaged)?,
    }))
}

impl Mailbox for SqliteStore {
    fn deliver(&self, deliveries: &[Delivery]) -> Stored<Vec<bool>> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|db| deliveries.iter().map(|delivery| deliver(db, delivery)).collect())
    }

    fn waiting(&self, devices: &[DeviceId], counted: [u8; 32]) -> Stored<Vec<(u64, u64)>> {
        self.read(|db| devices.iter().map(|device| waiting(db, *device, counted)).collect())
    }

    fn holds(&self, devices: &[DeviceId], key: [u8; 32]) -> Stored<Vec<bool>> {
        self.read(|db| {
            let sql = "SELECT 1 FROM mail WHERE device = ?1 AND key = ?2";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let mut holds =
                |device: &DeviceId| statement.exists(params![device.0.as_slice(), key.as_slice()]).map_err(fatal);
            devices.iter().map(&mut holds).collect()
        })
    }

    fn drain(
        &self,
        device: DeviceId,
        after: Option<Cursor>,
        items: usize,
        bytes: usize,
    ) -> Stored<(Vec<MailRecord>, bool)> {
        self.read(|db| {
            let sql = "SELECT cursor, item, accepted FROM mail JOIN payload ON payload.id = mail.payload
                       WHERE device = ?1 AND cursor > ?2 ORDER BY cursor";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let after = after.map_or(-1, |cursor| integer(cursor.0));
            let mut rows = statement.query(params![device.0.as_slice(), after]).map_err(fatal)?;
            let mut taken: Vec<MailRecord> = Vec::new();
            let mut total = 0;
            while let Some(row) = rows.next().map_err(fatal)? {
                let item: Vec<u8> = row.get(1).map_err(fatal)?;
                total += item.len();
                if taken.len() == items || (total > bytes && !taken.is_empty()) {
                    return Ok((taken, true));
                }
                let cursor = Cursor(number(row.get(0).map_err(fatal)?)?);
                taken.push(MailRecord { cursor, item, accepted: row.get(2).map_err(fatal)? });
            }
            Ok((taken, false))
        })
    }

    fn forget_mail(&self, devices: &[DeviceId]) -> Stored<()> {
        self.write(|db| {
            let mut statement =
                db.prepare_cached("DELETE FROM mail WHERE device = ?1 RETURNING payload").map_err(fatal)?;
            let mut payloads = Vec::new();
            for device in devices {
                let rows = statement.query_map(params![device.0.as_slice()], |row| row.get::<_, i64>(0));
                payloads.extend(rows.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(fatal)?);
                for table in ["mail_known", "mailbox"] {
                    db.execute(&format!("DELETE FROM {table} WHERE device = ?1"), params![device.0.as_slice()])
                        .map_err(fatal)?;
                }
            }
            drop_unused(db, &payloads)
        })
    }

    fn remove(&self, device: DeviceId, cursors: &[Cursor]) -> Stored<()> {
        if cursors.is_empty() {
            return Ok(());
        }
        self.write(|db| {
            let sql = "DELETE FROM mail WHERE device = ?1 AND cursor = ?2 RETURNING payload";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let mut payloads = Vec::new();
            for cursor in cursors {
                let parameters = params![device.0.as_slice(), integer(cursor.0)];
                payloads.extend(statement.query_row(parameters, |row| row.get::<_, i64>(0)).optional().map_err(fatal)?);
            }
            drop_unused(db, &payloads)
        })
    }

    fn expire(
        &self,
        now: Timestamp,
        items: usize,
        notice: &dyn Fn(&ExpiredMessage) -> Option<Delivery>,
    ) -> Stored<Vec<ExpiredMessage>> {
        let due = "SELECT EXISTS (SELECT 1 FROM mail WHERE expires <= ?1)
                       OR EXISTS (SELECT 1 FROM mail_known WHERE expires <= ?1)";
        if !self.read(|db| db.query_row(due, params![integer(now.0)], |row| row.get(0)).map_err(fatal))? {
            return Ok(Vec::new());
        }
        self.write(|db| {
            let sql = "SELECT mail.device, cursor, payload.id, payload.sender, conversation, message
                       FROM mail JOIN payload ON payload.id = mail.payload
                       WHERE expires <= ?1 ORDER BY mail.device, cursor LIMIT ?2";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            };
            let rows = statement.query_map(params![integer(now.0), integer(items as u64)], row).map_err(fatal)?;
            let rows: Vec<ExpiredRow> = rows.collect::<Result<_, _>>().map_err(fatal)?;
            let mut messages = Vec::new();
            let mut delete = db.prepare_cached("DELETE FROM mail WHERE device = ?1 AND cursor = ?2").map_err(fatal)?;
            for row in &rows {
                delete.execute(params![row.0, row.1]).map_err(fatal)?;
                messages.extend(expired(row)?);
            }
            drop_unused(db, &rows.iter().map(|row| row.2).collect::<Vec<_>>())?;
            db.execute("DELETE FROM mail_known WHERE expires <= ?1", params![integer(now.0)]).map_err(fatal)?;
            messages.sort_unstable();
            for notice in messages.iter().filter_map(notice) {
                deliver(db, &notice)?;
            }
            Ok(messages)
        })
    }
}
