//! SEARCH: what was said, by the words in it; and the index of them.

use node_core::command::HistoryEntry;
use protocol::{Name, Timestamp};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{Database, ENTRY, collect};
use crate::store::{
    READ_MAX,
    error::{CommitError, ReadError},
};

/// Places that are indexed in one go: some twenty milliseconds, which nobody at a prompt feels.
const INDEXED_MAX: i64 = 1_000;

impl Database {
    /// Brings the index nearer to what was said; tells whether it is all in there.
    pub(in crate::store) fn index(&mut self) -> Result<bool, CommitError> {
        index(&mut self.connection).map_err(CommitError::Failed)
    }

    pub(in crate::store) fn search(
        &self,
        words: &[String],
        with: Option<&Name>,
        since: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        let query = query(words);
        if query.is_empty() {
            return Ok(Vec::new());
        }
        // The index hands out the latest place first, so that reading ends with the last entry that is wanted.
        let sql = format!(
            "SELECT {ENTRY} FROM message_words JOIN message ON message.place = message_words.rowid
             WHERE message_words MATCH ?1
               AND (?2 IS NULL OR recipient = ?2 OR sender = ?2 AND NOT in_group)
               AND (?3 IS NULL OR at >= ?3)
             ORDER BY message_words.rowid DESC LIMIT ?4"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let since = since.map(|since| i64::try_from(since.0).unwrap_or(i64::MAX));
        let limit = i64::try_from(count.min(READ_MAX)).unwrap_or(i64::MAX);
        let mut entries = Vec::new();
        collect(statement.query(params![query, with.map(Name::as_str), since, limit])?, &mut entries)?;
        entries.reverse();
        Ok(entries)
    }
}

fn index(connection: &mut Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT (SELECT place FROM message_words_until), coalesce(max(place), 0) FROM message";
    let (until, last): (i64, i64) =
        connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if until >= last {
        return Ok(true);
    }
    let next = until.saturating_add(INDEXED_MAX).min(last);
    // What a power cut takes away of the index is indexed again, so nobody need wait for the disk.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let indexed = extend(connection, until, next);
    connection.pragma_update(None, "synchronous", "FULL")?;
    indexed.map(|()| next == last)
}

/// Indexes what was said after one place and up to another.
fn extend(connection: &mut Connection, until: i64, next: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .prepare_cached(
            "INSERT INTO message_words (rowid, text)
             SELECT place, text FROM message WHERE place > ?1 AND place <= ?2",
        )?
        .execute([until, next])?;
    transaction.prepare_cached("UPDATE message_words_until SET place = ?1")?.execute([next])?;
    transaction.commit()
}

/// What the index is asked: each word as a quoted text whose last part may go on. Nothing that a person types is taken for
/// more than the words in it; the index itself cuts them as it cut the texts.
fn query(words: &[String]) -> String {
    let quoted = words.iter().filter(|word| word.contains(char::is_alphanumeric));
    // The question ends at its first NUL, wherever that stands.
    let quoted = quoted.map(|word| format!("\"{}\"*", word.replace('\0', " ").replace('"', "\"\"")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    fn say(connection: &Connection, numbers: std::ops::RangeInclusive<i64>, text: &str) {
        let sql = "INSERT INTO message (number, uid, conversation, sender, recipient, text, at, sent_at, gap, in_group)
                   VALUES (?1, x'00', x'00', 'alice', 'bob', ?2, 0, 0, 0, 0)";
        for number in numbers {
            connection.execute(sql, params![number, text]).unwrap();
        }
    }

    /// Numbers of the messages that the index finds; itself it must be whole.
    fn found(connection: &Connection, words: &str) -> Vec<i64> {
        let check = "INSERT INTO message_words (message_words, rank) VALUES ('integrity-check', 0)";
        connection.execute(check, []).unwrap();
        let sql = "SELECT number FROM message_words JOIN message ON place = message_words.rowid
                   WHERE message_words MATCH ?1 ORDER BY number";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([words], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// A database of the version before there was an index, in which something was said, brought to this one.
    fn grown() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate_to(&mut connection, 1);
        say(&connection, 1..=1, "an older word");
        schema::migrate(&mut connection, 1).unwrap();
        connection
    }

    #[test]
    fn what_was_said_before_there_was_an_index_is_found_too_and_accents_are_no_matter() {
        let mut connection = grown();
        say(&connection, 2..=2, "a newer word, Ångström and café");
        assert_eq!(index(&mut connection), Ok(true));
        assert_eq!(found(&connection, "word"), [1, 2]);
        assert_eq!(found(&connection, "angstrom CAFE"), [2]);
    }

    #[test]
    fn the_index_is_extended_piece_by_piece_and_every_text_is_in_it_once() {
        let mut connection = grown();
        say(&connection, 2..=INDEXED_MAX + 1, "word");
        assert_eq!(index(&mut connection), Ok(false));
        assert_eq!(found(&connection, "word").len(), usize::try_from(INDEXED_MAX).unwrap());
        assert_eq!(index(&mut connection), Ok(true));
        assert_eq!(index(&mut connection), Ok(true));
        assert_eq!(found(&connection, "word"), (1..=INDEXED_MAX + 1).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_deleted_leaves_nothing_in_the_index_whether_it_was_there_yet_or_not() {
        let mut connection = grown();
        say(&connection, 2..=4, "secretive word");
        assert_eq!(index(&mut connection), Ok(true));
        let holds_it = |connection: &Connection| -> i64 {
            let sql = "SELECT count(*) FROM message_words_data WHERE instr(block, CAST('secretive' AS BLOB)) > 0";
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(holds_it(&connection), 1);
        say(&connection, 5..=6, "word");
        connection.execute("DELETE FROM message WHERE number BETWEEN 2 AND 5", []).unwrap();
        assert_eq!(found(&connection, "word"), [1]);
        assert_eq!(holds_it(&connection), 0);
        assert_eq!(index(&mut connection), Ok(true));
        assert_eq!(found(&connection, "word"), [1, 6]);
        // Its place is given to what is said next.
        connection.execute("DELETE FROM message WHERE number = 6", []).unwrap();
        say(&connection, 7..=7, "word");
        assert_eq!(index(&mut connection), Ok(true));
        assert_eq!(found(&connection, "word"), [1, 7]);
    }
}
