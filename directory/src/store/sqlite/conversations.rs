//! Conversations and the one order of their commits. Who is in one is kept by the row, so that neither a message to a
//! large group nor a change of it touches more than it has to.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{AccountId, CommitHash, ConversationId, DeviceId, Name, directory::GroupListing, policy::SignedLeave};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    super::{
        Audience, CommitOutcome, ConversationMade, ConversationRecord, Conversations, Handout, Roster, Standing,
        StoreError, Stored,
    },
    SqliteStore,
    accounts::exists,
    decode, encode, fatal, groups, handouts, integer, number,
};

/// What a conversation is, its epoch, how often somebody asked to leave, and who made it.
type Head = (Audience, u64, u64, [u8; 32]);

fn damaged() -> StoreError {
    StoreError::Damaged("a conversation".to_owned())
}

fn head(db: &Connection, id: ConversationId) -> Stored<Option<Head>> {
    let sql = "SELECT audience, epoch, leaves, made_by FROM conversation WHERE id = ?1";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let found: Option<(Vec<u8>, i64, i64, Vec<u8>)> =
        statement.query_row(params![id.0.as_slice()], row).optional().map_err(fatal)?;
    let Some((audience, epoch, leaves, made_by)) = found else { return Ok(None) };
    let made_by = made_by.try_into().map_err(|_| damaged())?;
    Ok(Some((decode(&audience)?, number(epoch)?, number(leaves)?, made_by)))
}

fn members(db: &Connection, id: ConversationId) -> Stored<BTreeMap<DeviceId, AccountId>> {
    let sql = "SELECT device, account FROM conversation_device WHERE conversation = ?1";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let mut rows = statement.query(params![id.0.as_slice()]).map_err(fatal)?;
    let mut members = BTreeMap::new();
    while let Some(row) = rows.next().map_err(fatal)? {
        let (device, account): (Vec<u8>, Vec<u8>) = (row.get(0).map_err(fatal)?, row.get(1).map_err(fatal)?);
        let device = DeviceId::from_slice(&device).ok_or_else(damaged)?;
        members.insert(device, AccountId::from_slice(&account).ok_or_else(damaged)?);
    }
    Ok(members)
}

fn leaving(db: &Connection, id: ConversationId) -> Stored<BTreeMap<AccountId, Option<SignedLeave>>> {
    let sql = "SELECT account, leave FROM conversation_leave WHERE conversation = ?1";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let mut rows = statement.query(params![id.0.as_slice()]).map_err(fatal)?;
    let mut leaving = BTreeMap::new();
    while let Some(row) = rows.next().map_err(fatal)? {
        let (account, leave): (Vec<u8>, Vec<u8>) = (row.get(0).map_err(fatal)?, row.get(1).map_err(fatal)?);
        leaving.insert(AccountId::from_slice(&account).ok_or_else(damaged)?, request(&leave)?);
    }
    Ok(leaving)
}

/// A request to leave as it is kept: nothing, where nobody asked.
fn request(bytes: &[u8]) -> Stored<Option<SignedLeave>> {
    if bytes.is_empty() { Ok(None) } else { decode(bytes).map(Some) }
}

fn kept(request: Option<&SignedLeave>) -> Stored<Vec<u8>> {
    request.map_or_else(|| Ok(Vec::new()), encode)
}

fn roster(db: &Connection, id: ConversationId, (audience, epoch, leaves, _): Head) -> Stored<Roster> {
    Ok(Roster { id, audience, epoch, members: members(db, id)?, leaving: leaving(db, id)?, leaves })
}

fn commit_of(db: &Connection, id: ConversationId, epoch: u64) -> Stored<Option<CommitHash>> {
    let sql = "SELECT hash FROM conversation_commit WHERE conversation = ?1 AND epoch = ?2";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let found: Option<Vec<u8>> =
        statement.query_row(params![id.0.as_slice(), integer(epoch)], |row| row.get(0)).optional().map_err(fatal)?;
    let damaged = || StoreError::Damaged("a commit's hash".to_owned());
    found.map(|hash| CommitHash::from_slice(&hash).ok_or_else(damaged)).transpose()
}

/// Keeps a conversation's row and public state.
pub(super) fn put(db: &Connection, record: &ConversationRecord) -> Stored<()> {
    let (id, roster) = (record.roster.id.0.as_slice(), &record.roster);
    let sql = "INSERT INTO conversation (id, epoch, leaves, audience, made_by) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (id) DO UPDATE SET epoch = ?2, leaves = ?3, audience = ?4";
    let (epoch, leaves) = (integer(roster.epoch), integer(roster.leaves));
    let parameters = params![id, epoch, leaves, encode(&roster.audience)?, record.made_by.as_slice()];
    db.prepare_cached(sql).map_err(fatal)?.execute(parameters).map_err(fatal)?;
    let sql = "INSERT INTO conversation_state (conversation, snapshot, group_info) VALUES (?1, ?2, ?3)
               ON CONFLICT (conversation) DO UPDATE SET snapshot = ?2, group_info = ?3";
    let parameters = params![id, record.snapshot, record.group_info];
    db.prepare_cached(sql).map_err(fatal)?.execute(parameters).map_err(fatal)?;
    put_members(db, roster)?;
    put_leaving(db, roster)
}

/// Writes what differs only: a change of a group of a thousand is of one or two.
fn put_members(db: &Connection, roster: &Roster) -> Stored<()> {
    let (id, before) = (roster.id.0.as_slice(), members(db, roster.id)?);
    let sql = "DELETE FROM conversation_device WHERE conversation = ?1 AND device = ?2";
    let mut delete = db.prepare_cached(sql).map_err(fatal)?;
    for device in before.keys().filter(|device| !roster.members.contains_key(device)) {
        delete.execute(params![id, device.0.as_slice()]).map_err(fatal)?;
    }
    let sql = "INSERT OR REPLACE INTO conversation_device (conversation, device, account) VALUES (?1, ?2, ?3)";
    let mut insert = db.prepare_cached(sql).map_err(fatal)?;
    for (device, account) in roster.members.iter().filter(|(device, account)| before.get(device) != Some(account)) {
        insert.execute(params![id, device.0.as_slice(), account.0.as_slice()]).map_err(fatal)?;
    }
    Ok(())
}

fn put_leaving(db: &Connection, roster: &Roster) -> Stored<()> {
    let id = roster.id.0.as_slice();
    db.execute("DELETE FROM conversation_leave WHERE conversation = ?1", params![id]).map_err(fatal)?;
    let sql = "INSERT INTO conversation_leave (conversation, account, leave) VALUES (?1, ?2, ?3)";
    let mut insert = db.prepare_cached(sql).map_err(fatal)?;
    for (account, leave) in &roster.leaving {
        insert.execute(params![id, account.0.as_slice(), kept(leave.as_ref())?]).map_err(fatal)?;
    }
    groups::put(db, roster)
}

/// Whether a conversation is still in this epoch, and so many have asked to leave.
fn is_at(db: &Connection, id: ConversationId, epoch: u64, leaves: u64) -> Stored<bool> {
    let sql = "SELECT 1 FROM conversation WHERE id = ?1 AND epoch = ?2 AND leaves = ?3";
    exists(db, sql, params![id.0.as_slice(), integer(epoch), integer(leaves)])
}

impl Conversations for SqliteStore {
    fn create_conversation(&self, record: &ConversationRecord, handouts: &[Handout]) -> Stored<ConversationMade> {
        self.write(|db| {
            let id = record.roster.id;
            if exists(db, "SELECT 1 FROM conversation_closed WHERE id = ?1", params![id.0.as_slice()])? {
                return Ok(ConversationMade::Closed);
            }
            match head(db, id)? {
                Some((.., made_by)) if made_by == record.made_by => Ok(ConversationMade::Made),
                Some(_) => Ok(ConversationMade::Exists),
                None => {
                    put(db, record)?;
                    handouts::keep(db, handouts)?;
                    Ok(ConversationMade::Made)
                }
            }
        })
    }

    fn conversation(&self, id: ConversationId) -> Stored<Option<ConversationRecord>> {
        self.read(|db| {
            let Some(head) = head(db, id)? else { return Ok(None) };
            let sql = "SELECT snapshot, group_info FROM conversation_state WHERE conversation = ?1";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (snapshot, group_info) = statement.query_row(params![id.0.as_slice()], row).map_err(fatal)?;
            let made_by = head.3;
            Ok(Some(ConversationRecord { roster: roster(db, id, head)?, snapshot, group_info, made_by }))
        })
    }

    fn roster(&self, id: ConversationId) -> Stored<Option<Roster>> {
        self.read(|db| head(db, id)?.map(|head| roster(db, id, head)).transpose())
    }

    fn standing(&self, id: ConversationId, devices: &[DeviceId]) -> Stored<Option<Standing>> {
        self.read(|db| {
            let Some((audience, epoch, ..)) = head(db, id)? else { return Ok(None) };
            let sql = "SELECT account FROM conversation_device WHERE conversation = ?1 AND device = ?2";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let mut whose = |device: &DeviceId| -> Stored<Option<AccountId>> {
                let of = params![id.0.as_slice(), device.0.as_slice()];
                let found: Option<Vec<u8>> = statement.query_row(of, |row| row.get(0)).optional().map_err(fatal)?;
                found.map(|account| AccountId::from_slice(&account).ok_or_else(damaged)).transpose()
            };
            let whose = devices.iter().map(&mut whose).collect::<Stored<_>>()?;
            let leaving: BTreeSet<AccountId> = leaving(db, id)?.into_keys().collect();
            Ok(Some(Standing { audience, epoch, whose, leaving }))
        })
    }

    fn commit(&self, hash: CommitHash, next: &ConversationRecord, handouts: &[Handout]) -> Stored<CommitOutcome> {
        self.write(|db| {
            let Roster { id, epoch, leaves, .. } = next.roster;
            let Some(epoch) = epoch.checked_sub(1) else { return Ok(CommitOutcome::WrongEpoch) };
            if let Some(winner) = commit_of(db, id, epoch)? {
                return Ok(if winner == hash { CommitOutcome::Accepted } else { CommitOutcome::Lost(winner) });
            }
            match head(db, id)? {
                Some((_, at, ..)) if at != epoch => return Ok(CommitOutcome::WrongEpoch),
                None => return Ok(CommitOutcome::WrongEpoch),
                Some((_, _, known, _)) if known != leaves => return Ok(CommitOutcome::Moved),
                Some(_) => {}
            }
            put(db, next)?;
            let sql = "INSERT INTO conversation_commit (conversation, epoch, hash) VALUES (?1, ?2, ?3)";
            db.execute(sql, params![id.0.as_slice(), integer(epoch), hash.0.as_slice()]).map_err(fatal)?;
            handouts::keep(db, handouts)?;
            Ok(CommitOutcome::Accepted)
        })
    }

    fn commit_of(&self, id: ConversationId, epoch: u64) -> Stored<Option<CommitHash>> {
        self.read(|db| commit_of(db, id, epoch))
    }

    fn ask_to_leave(&self, next: &Roster, handouts: &[Handout]) -> Stored<bool> {
        self.write(|db| {
            let Some(before) = next.leaves.checked_sub(1) else { return Ok(false) };
            if !is_at(db, next.id, next.epoch, before)? {
                return Ok(false);
            }
            let sql = "UPDATE conversation SET leaves = ?2 WHERE id = ?1";
            db.execute(sql, params![next.id.0.as_slice(), integer(next.leaves)]).map_err(fatal)?;
            put_leaving(db, next)?;
            handouts::keep(db, handouts)?;
            Ok(true)
        })
    }

    fn close_conversation(&self, roster: &Roster, by: Option<&SignedLeave>) -> Stored<bool> {
        self.write(|db| {
            if !is_at(db, roster.id, roster.epoch, roster.leaves)? {
                return Ok(false);
            }
            let id = roster.id.0.as_slice();
            for sql in [
                "DELETE FROM conversation WHERE id = ?1",
                "DELETE FROM conversation_state WHERE conversation = ?1",
                "DELETE FROM conversation_device WHERE conversation = ?1",
                "DELETE FROM conversation_leave WHERE conversation = ?1",
                "DELETE FROM conversation_group WHERE conversation = ?1",
                "DELETE FROM conversation_account WHERE conversation = ?1",
                "DELETE FROM conversation_commit WHERE conversation = ?1",
                "DELETE FROM handout WHERE conversation = ?1",
            ] {
                db.execute(sql, params![id]).map_err(fatal)?;
            }
            let sql = "INSERT INTO conversation_closed (id, leave) VALUES (?1, ?2)";
            db.execute(sql, params![id, kept(by)?]).map_err(fatal)?;
            Ok(true)
        })
    }

    fn closed_by(&self, id: ConversationId) -> Stored<Option<SignedLeave>> {
        self.read(|db| {
            let sql = "SELECT leave FROM conversation_closed WHERE id = ?1";
            let found: Option<Vec<u8>> =
                db.query_row(sql, params![id.0.as_slice()], |row| row.get(0)).optional().map_err(fatal)?;
            found.map_or(Ok(None), |leave| request(&leave))
        })
    }

    fn groups(&self, asker: AccountId, after: Option<&Name>, at_most: usize) -> Stored<Vec<GroupListing>> {
        self.read(|db| groups::listed(db, asker, after, at_most))
    }

    fn elsewhere(&self, account: AccountId, device: DeviceId, at_most: usize) -> Stored<Vec<ConversationId>> {
        let sql = "SELECT DISTINCT conversation FROM conversation_device AS there WHERE account = ?1
                   AND NOT EXISTS (SELECT 1 FROM conversation_device AS here
                                   WHERE here.conversation = there.conversation AND here.device = ?2)
                   AND NOT EXISTS (SELECT 1 FROM conversation_group
                                   WHERE conversation_group.conversation = there.conversation)
                   ORDER BY conversation LIMIT ?3";
        self.read(|db| {
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let parameters = params![account.0.as_slice(), device.0.as_slice(), integer(at_most as u64)];
            let rows = statement.query_map(parameters, |row| row.get::<_, Vec<u8>>(0)).map_err(fatal)?;
            rows.map(|id| ConversationId::from_slice(&id.map_err(fatal)?).ok_or_else(damaged)).collect()
        })
    }

    fn groups_of(
        &self,
        account: AccountId,
        after: Option<ConversationId>,
        at_most: usize,
    ) -> Stored<Vec<ConversationId>> {
        self.read(|db| groups::of(db, account, after, at_most))
    }

    fn share_group(&self, one: AccountId, other: AccountId) -> Stored<bool> {
        self.read(|db| groups::share(db, one, other))
    }

    fn group(&self, asker: AccountId, id: ConversationId) -> Stored<Option<GroupListing>> {
        self.read(|db| groups::one(db, asker, id))
    }
}
