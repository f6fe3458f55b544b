//! What is still to be handed out.

use protocol::ConversationId;
use rusqlite::{Connection, params};

use super::{
    super::{Handout, Handouts, Stored},
    SqliteStore, decode, encode, fatal, integer,
};

/// Keeps what a change owes, in the change's own step.
pub(super) fn keep(db: &Connection, handouts: &[Handout]) -> Stored<()> {
    let sql = "INSERT OR REPLACE INTO handout (conversation, epoch, number, record) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    for handout in handouts {
        let (id, epoch, number) = (handout.conversation.0.as_slice(), integer(handout.epoch), integer(handout.number));
        statement.execute(params![id, epoch, number, encode(handout)?]).map_err(fatal)?;
    }
    Ok(())
}

impl Handouts for SqliteStore {
    fn handouts(&self, of: Option<ConversationId>, at_most: usize) -> Stored<Vec<Handout>> {
        self.read(|db| {
            let sql = match of {
                Some(_) => "SELECT record FROM handout WHERE conversation = ?2 ORDER BY epoch, number LIMIT ?1",
                None => "SELECT record FROM handout WHERE ?2 IS NULL ORDER BY conversation, epoch, number LIMIT ?1",
            };
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let parameters = params![integer(at_most as u64), of.as_ref().map(|of| of.0.as_slice())];
            let rows = statement.query_map(parameters, |row| row.get::<_, Vec<u8>>(0)).map_err(fatal)?;
            rows.map(|row| decode(&row.map_err(fatal)?)).collect()
        })
    }

    fn handed_out(&self, conversation: ConversationId, epoch: u64, number: u64) -> Stored<()> {
        self.write(|db| {
            let sql = "DELETE FROM handout WHERE conversation = ?1 AND epoch = ?2 AND number = ?3";
            let mut statement = db.prepare_cached(sql).map_err(fatal)?;
            let of = params![conversation.0.as_slice(), integer(epoch), integer(number)];
            statement.execute(of).map_err(fatal)?;
            Ok(())
        })
    }
}
