//! Names of groups, in one namespace with those of people.

use protocol::{ConversationId, Name};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    super::{NameClaimed, Names, StoreError, Stored},
    SqliteStore,
    accounts::exists,
    fatal,
};

fn owner(db: &Connection, name: &Name) -> Stored<Option<ConversationId>> {
    let mut statement = db.prepare_cached("SELECT conversation FROM group_name WHERE name = ?1").map_err(fatal)?;
    let found: Option<Vec<u8>> =
        statement.query_row(params![name.as_str()], |row| row.get(0)).optional().map_err(fatal)?;
    let damaged = || StoreError::Damaged("a group's name".to_owned());
    found.map(|id| ConversationId::from_slice(&id).ok_or_else(damaged)).transpose()
}

/// Whether a name is a group's.
pub(super) fn is_of_group(db: &Connection, name: &Name) -> Stored<bool> {
    Ok(owner(db, name)?.is_some())
}

/// Whether a group's name looks so.
pub(super) fn looks_like_group(db: &Connection, skeleton: &str) -> Stored<bool> {
    exists(db, "SELECT 1 FROM group_name WHERE skeleton = ?1", params![skeleton])
}

impl Names for SqliteStore {
    fn claim_name(&self, name: &Name, skeleton: &str, group: ConversationId) -> Stored<NameClaimed> {
        self.write(|db| {
            match owner(db, name)? {
                Some(owner) if owner == group => return Ok(NameClaimed::Claimed),
                Some(_) => return Ok(NameClaimed::Taken),
                None => {}
            }
            if exists(db, "SELECT 1 FROM account WHERE name = ?1", params![name.as_str()])? {
                return Ok(NameClaimed::Taken);
            }
            let looks = exists(db, "SELECT 1 FROM account WHERE skeleton = ?1", params![skeleton])?;
            if looks || looks_like_group(db, skeleton)? {
                return Ok(NameClaimed::Confusable);
            }
            let sql = "INSERT INTO group_name (name, skeleton, conversation) VALUES (?1, ?2, ?3)";
            db.execute(sql, params![name.as_str(), skeleton, group.0.as_slice()]).map_err(fatal)?;
            Ok(NameClaimed::Claimed)
        })
    }

    fn name_of_group(&self, name: &Name) -> Stored<Option<ConversationId>> {
        self.read(|db| owner(db, name))
    }
}
