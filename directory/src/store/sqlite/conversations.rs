//! Conversations and the one order of their commits.

use protocol::{CommitHash, ConversationId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    super::{
        CommitOutcome, ConversationMade, ConversationRecord, Conversations, Handout, Handouts, StoreError, Stored,
    },
    SqliteStore, decode, encode, fatal, integer,
};

fn conversation(db: &Connection, id: ConversationId) -> Stored<Option<ConversationRecord>> {
    let mut statement = db.prepare_cached("SELECT record FROM conversation WHERE id = ?1").map_err(fatal)?;
    let found: Option<Vec<u8>> =
        statement.query_row(params![id.0.as_slice()], |row| row.get(0)).optional().map_err(fatal)?;
    found.map(|bytes| decode(&bytes)).transpose()
}

fn commit_of(db: &Connection, id: ConversationId, epoch: u64) -> Stored<Option<CommitHash>> {
    let sql = "SELECT hash FROM conversation_commit WHERE conversation = ?1 AND epoch = ?2";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let found: Option<Vec<u8>> =
        statement.query_row(params![id.0.as_slice(), integer(epoch)], |row| row.get(0)).optional().map_err(fatal)?;
    let damaged = || StoreError::Damaged("a commit's hash".to_owned());
    found.map(|hash| CommitHash::from_slice(&hash).ok_or_else(damaged)).transpose()
}

fn keep_handout(db: &Connection, handout: &Handout) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO handout (conversation, epoch, record) VALUES (?1, ?2, ?3)";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let (id, epoch) = (handout.conversation.0.as_slice(), integer(handout.epoch));
    statement.execute(params![id, epoch, encode(handout)?]).map_err(fatal)?;
    Ok(())
}

impl Conversations for SqliteStore {
    fn create_conversation(&self, record: &ConversationRecord, handout: &Handout) -> Stored<ConversationMade> {
        self.write(|db| match conversation(db, record.id)? {
            Some(known) if known.made_by == record.made_by => Ok(ConversationMade::Made),
            Some(_) => Ok(ConversationMade::Exists),
            None => {
                let sql = "INSERT INTO conversation (id, epoch, record) VALUES (?1, ?2, ?3)";
                let (id, epoch) = (record.id.0.as_slice(), integer(record.epoch));
                db.execute(sql, params![id, epoch, encode(record)?]).map_err(fatal)?;
                keep_handout(db, handout)?;
                Ok(ConversationMade::Made)
            }
        })
    }

    fn conversation(&self, id: ConversationId) -> Stored<Option<ConversationRecord>> {
        self.read(|db| conversation(db, id))
    }

    fn commit(&self, hash: CommitHash, next: &ConversationRecord, handout: &Handout) -> Stored<CommitOutcome> {
        self.write(|db| {
            let Some(epoch) = next.epoch.checked_sub(1) else { return Ok(CommitOutcome::WrongEpoch) };
            if let Some(winner) = commit_of(db, next.id, epoch)? {
                return Ok(if winner == hash { CommitOutcome::Accepted } else { CommitOutcome::Lost(winner) });
            }
            let id = next.id.0.as_slice();
            let sql = "UPDATE conversation SET epoch = ?3, record = ?4 WHERE id = ?1 AND epoch = ?2";
            let parameters = params![id, integer(epoch), integer(next.epoch), encode(next)?];
            if db.execute(sql, parameters).map_err(fatal)? == 0 {
                return Ok(CommitOutcome::WrongEpoch);
            }
            let sql = "INSERT INTO conversation_commit (conversation, epoch, hash) VALUES (?1, ?2, ?3)";
            db.execute(sql, params![id, integer(epoch), hash.0.as_slice()]).map_err(fatal)?;
            keep_handout(db, handout)?;
            Ok(CommitOutcome::Accepted)
        })
    }

    fn commit_of(&self, id: ConversationId, epoch: u64) -> Stored<Option<CommitHash>> {
        self.read(|db| commit_of(db, id, epoch))
    }
}

impl Handouts for SqliteStore {
    fn handouts(&self, of: Option<ConversationId>, at_most: usize) -> Stored<Vec<Handout>> {
        self.read(|db| {
            let sql = match of {
                Some(_) => "SELECT record FROM handout WHERE conversation = ?2 ORDER BY epoch LIMIT ?1",
                None => "SELECT record FROM handout WHERE ?2 IS NULL ORDER BY conversation, epoch LIMIT ?1",
            };
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let parameters = params![integer(at_most as u64), of.as_ref().map(|of| of.0.as_slice())];
            let rows = statement.query_map(parameters, |row| row.get::<_, Vec<u8>>(0)).map_err(fatal)?;
            rows.map(|row| decode(&row.map_err(fatal)?)).collect()
        })
    }

    fn handed_out(&self, conversation: ConversationId, epoch: u64) -> Stored<()> {
        self.write(|db| {
            let sql = "DELETE FROM handout WHERE conversation = ?1 AND epoch = ?2";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            statement.execute(params![conversation.0.as_slice(), integer(epoch)]).map_err(fatal)?;
            Ok(())
        })
    }
}
