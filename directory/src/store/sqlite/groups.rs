//! What is told of groups, kept beside them, so that a list of many loads none of them.

use std::collections::BTreeMap;

use protocol::{
    AccountId, ConversationId, Name,
    directory::GroupListing,
    policy::{Access, Role},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    super::{Roster, StoreError, Stored},
    fatal, integer,
};

const LISTING: &str = "SELECT conversation_group.conversation, name, access, members, role FROM conversation_group
    LEFT JOIN conversation_account AS own
        ON own.conversation = conversation_group.conversation AND own.account = ?1";

fn damaged() -> StoreError {
    StoreError::Damaged("a group".to_owned())
}

/// Append only, as they are on disks.
const ROLES: [Role; 4] = [Role::Invited, Role::Member, Role::Admin, Role::Owner];
const ACCESSES: [Access; 2] = [Access::Open, Access::Invite];

fn code<T: PartialEq>(values: &[T], value: &T) -> Stored<i64> {
    let place = values.iter().position(|known| known == value).ok_or_else(damaged)?;
    i64::try_from(place).map_err(|_| damaged())
}

fn value<T: Copy>(values: &[T], code: i64) -> Stored<T> {
    usize::try_from(code).ok().and_then(|code| values.get(code)).copied().ok_or_else(damaged)
}

/// Keeps what is told of a conversation, if it is a group; writes what differs only.
pub(super) fn put(db: &Connection, roster: &Roster) -> Stored<()> {
    let Some(policy) = roster.audience.group() else { return Ok(()) };
    let id = roster.id.0.as_slice();
    let (now, before) = (roster.accounts(), roles(db, roster.id)?);
    let joined = now.values().filter(|role| **role > Role::Invited).count();
    let sql = "INSERT OR REPLACE INTO conversation_group (conversation, name, access, members) VALUES (?1, ?2, ?3, ?4)";
    let parameters = params![id, policy.name.as_str(), code(&ACCESSES, &policy.access)?, integer(joined as u64)];
    db.prepare_cached(sql).map_err(fatal)?.execute(parameters).map_err(fatal)?;
    let sql = "DELETE FROM conversation_account WHERE conversation = ?1 AND account = ?2";
    let mut delete = db.prepare_cached(sql).map_err(fatal)?;
    for account in before.keys().filter(|account| !now.contains_key(account)) {
        delete.execute(params![id, account.0.as_slice()]).map_err(fatal)?;
    }
    let sql = "INSERT OR REPLACE INTO conversation_account (conversation, account, role) VALUES (?1, ?2, ?3)";
    let mut insert = db.prepare_cached(sql).map_err(fatal)?;
    for (account, role) in now.iter().filter(|(account, role)| before.get(account) != Some(role)) {
        insert.execute(params![id, account.0.as_slice(), code(&ROLES, role)?]).map_err(fatal)?;
    }
    Ok(())
}

/// Whether two accounts have both joined some group.
pub(super) fn share(db: &Connection, one: AccountId, other: AccountId) -> Stored<bool> {
    let sql = "SELECT 1 FROM conversation_account AS own JOIN conversation_account AS other
                   ON other.conversation = own.conversation AND other.account = ?2 AND other.role > ?3
               WHERE own.account = ?1 AND own.role > ?3";
    let invited = code(&ROLES, &Role::Invited)?;
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    statement.exists(params![one.0.as_slice(), other.0.as_slice(), invited]).map_err(fatal)
}

fn roles(db: &Connection, id: ConversationId) -> Stored<BTreeMap<AccountId, Role>> {
    let sql = "SELECT account, role FROM conversation_account WHERE conversation = ?1";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let mut rows = statement.query(params![id.0.as_slice()]).map_err(fatal)?;
    let mut roles = BTreeMap::new();
    while let Some(row) = rows.next().map_err(fatal)? {
        let account: Vec<u8> = row.get(0).map_err(fatal)?;
        let role = value(&ROLES, row.get(1).map_err(fatal)?)?;
        roles.insert(AccountId::from_slice(&account).ok_or_else(damaged)?, role);
    }
    Ok(roles)
}

type ListingRow = (Vec<u8>, String, i64, u32, Option<i64>);

fn row(row: &Row<'_>) -> rusqlite::Result<ListingRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn listing((conversation, name, access, members, role): ListingRow) -> Stored<GroupListing> {
    Ok(GroupListing {
        conversation: ConversationId::from_slice(&conversation).ok_or_else(damaged)?,
        name: Name::parse(&name).map_err(|_| damaged())?,
        access: value(&ACCESSES, access)?,
        members,
        role: role.map(|role| value(&ROLES, role)).transpose()?,
    })
}

/// Groups by name: open ones, and those that the asker is in.
pub(super) fn listed(
    db: &Connection,
    asker: AccountId,
    after: Option<&Name>,
    at_most: usize,
) -> Stored<Vec<GroupListing>> {
    let sql = format!(
        "{LISTING} WHERE name > ?2 AND (access = ?3 OR role IS NOT NULL)
         ORDER BY name, conversation_group.conversation LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql).map_err(fatal)?;
    // No name is empty, so every one comes after that.
    let (after, open) = (after.map_or("", Name::as_str), code(&ACCESSES, &Access::Open)?);
    let parameters = params![asker.0.as_slice(), after, open, integer(at_most as u64)];
    let rows = statement.query_map(parameters, row).map_err(fatal)?;
    rows.map(|row| listing(row.map_err(fatal)?)).collect()
}

/// Groups that an account is in, by id. It is asked when an account is closed, which is too seldom for an index.
pub(super) fn of(
    db: &Connection,
    account: AccountId,
    after: Option<ConversationId>,
    at_most: usize,
) -> Stored<Vec<ConversationId>> {
    let sql = "SELECT conversation FROM conversation_account WHERE account = ?1 AND conversation > ?2
               ORDER BY conversation LIMIT ?3";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    // No id is empty, so every one comes after that.
    let after = after.map_or_else(Vec::new, |after| after.0.to_vec());
    let parameters = params![account.0.as_slice(), after, integer(at_most as u64)];
    let rows = statement.query_map(parameters, |row| row.get::<_, Vec<u8>>(0)).map_err(fatal)?;
    rows.map(|id| ConversationId::from_slice(&id.map_err(fatal)?).ok_or_else(damaged)).collect()
}

/// One group.
pub(super) fn one(db: &Connection, asker: AccountId, id: ConversationId) -> Stored<Option<GroupListing>> {
    let sql = format!("{LISTING} WHERE conversation_group.conversation = ?2");
    let mut statement = db.prepare_cached(&sql).map_err(fatal)?;
    let found = statement.query_row(params![asker.0.as_slice(), id.0.as_slice()], row).optional().map_err(fatal)?;
    found.map(listing).transpose()
}
