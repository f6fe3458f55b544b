//! Carrying data of an earlier version along where SQL can't read it. What it was stands here as it was written then and
//! never changes.

use std::collections::BTreeMap;

use protocol::{AccountId, ConversationId, DeviceId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{
    super::{Audience, ConversationRecord, Handout, Roster, StoreError, Stored},
    conversations, decode, fatal, handouts,
};

/// A conversation of version 3: two people's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConversationBefore {
    pub(super) id: ConversationId,
    pub(super) people: [AccountId; 2],
    pub(super) epoch: u64,
    pub(super) snapshot: Vec<u8>,
    pub(super) group_info: Vec<u8>,
    pub(super) members: Vec<DeviceId>,
    pub(super) made_by: [u8; 32],
}

/// What version 3 owed, one thing for an epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandoutBefore {
    pub(super) conversation: ConversationId,
    pub(super) epoch: u64,
    pub(super) author: DeviceId,
    pub(super) devices: Vec<DeviceId>,
    pub(super) welcome: bool,
    pub(super) key: [u8; 32],
    pub(super) item: Vec<u8>,
    pub(super) expires: Timestamp,
}

fn records(db: &Connection, sql: &str) -> Stored<Vec<Vec<u8>>> {
    let mut statement = db.prepare(sql).map_err(fatal)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(fatal)?;
    rows.collect::<Result<_, _>>().map_err(fatal)
}

fn owner(db: &Connection, device: DeviceId) -> Stored<AccountId> {
    let sql = "SELECT account FROM device WHERE id = ?1";
    let found: Option<Vec<u8>> =
        db.query_row(sql, params![device.0.as_slice()], |row| row.get(0)).optional().map_err(fatal)?;
    let damaged = || StoreError::Damaged("a conversation with a device that nobody has".to_owned());
    found.and_then(|account| AccountId::from_slice(&account)).ok_or_else(damaged)
}

/// From version 3 to 4: conversations and what they owe, out of one record each into rows.
pub(super) fn conversations(db: &Connection) -> Stored<()> {
    // One at a time: each may be as large as its tree.
    let mut statement = db.prepare("SELECT record FROM conversation_before").map_err(fatal)?;
    let mut rows = statement.query([]).map_err(fatal)?;
    while let Some(row) = rows.next().map_err(fatal)? {
        let before: ConversationBefore = decode(&row.get::<_, Vec<u8>>(0).map_err(fatal)?)?;
        let members = before.members.iter().map(|device| Ok((*device, owner(db, *device)?)));
        let roster = Roster {
            id: before.id,
            audience: Audience::People(before.people),
            epoch: before.epoch,
            members: members.collect::<Stored<_>>()?,
            leaving: BTreeMap::new(),
            leaves: 0,
        };
        let (snapshot, group_info, made_by) = (before.snapshot, before.group_info, before.made_by);
        conversations::put(db, &ConversationRecord { roster, snapshot, group_info, made_by })?;
    }
    for record in records(db, "SELECT record FROM handout_before ORDER BY conversation, epoch")? {
        let HandoutBefore { conversation, epoch, author, devices, welcome, key, item, expires } = decode(&record)?;
        let handout = Handout { conversation, epoch, number: 0, author, devices, welcome, key, item, expires };
        handouts::keep(db, &[handout])?;
    }
    drop(rows);
    drop(statement);
    db.execute_batch("DROP TABLE conversation_before; DROP TABLE handout_before;").map_err(fatal)
}
