//! The profile's database: one `SQLite` file, encrypted page by page (SQLCipher), written by one transaction at a time.

mod search;

use std::{fmt::Write as _, path::Path};

use node_core::{
    command::{HistoryEntry, MemberLine, MessageRef},
    event::{DeliveryState, Event, MemberChange, ShortId},
    stored::{Change, Stored, Table, Transaction},
};
use protocol::{ConversationId, MessageId, Name, Timestamp};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row, Transaction as SqlTransaction, TransactionBehavior,
    config::DbConfig, params,
};
use zeroize::Zeroizing;

use super::{
    READ_MAX,
    error::{CommitError, EventsError, ReadError},
    events,
    key_file::DatabaseKey,
    schema,
};

/// The columns of a [`HistoryEntry`], in the order in which [`entry`] reads them.
const ENTRY: &str = "message.number, uid, sender, recipient, message.text, at, sent_at, state, gap, in_group, member, \
                     member_change, money";

/// Why a database could not be opened.
#[derive(Debug)]
pub(super) enum OpenDatabaseError {
    /// The key does not fit, or the file is not a database.
    NotOurs,
    Newer(u32),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for OpenDatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotOurs,
            _ => Self::Sql(error),
        }
    }
}

/// An open database.
pub(super) struct Database {
    connection: Connection,
    last_event: u64,
}

impl Database {
    /// Opens a file that exists; an empty one becomes a database of the newest version.
    pub(super) fn open(file: &Path, key: &DatabaseKey) -> Result<Self, OpenDatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags)?;
        unlock(&connection, key)?;
        // A database that turns out to be a newer program's is left exactly as it is, its write-ahead log too.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let found = schema::version(&connection)?;
        if found > schema::VERSION {
            return Err(OpenDatabaseError::Newer(found));
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        configure(&connection)?;
        schema::migrate(&mut connection, found)?;
        let last_event = events::last(&connection)?;
        Ok(Self { connection, last_event })
    }

    /// Makes all changes durable, or none.
    pub(super) fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let sql =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(CommitError::Failed)?;
        let mut log = events::Appending::new(&sql, self.last_event);
        for change in transaction.changes {
            apply(&sql, change, &mut log)?;
        }
        let last_event = log.finish()?;
        sql.commit().map_err(CommitError::Failed)?;
        self.last_event = last_event;
        Ok(())
    }

    pub(super) fn records(&self) -> Result<Stored, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT record_table, key, value FROM record")?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            // A table's number is its place in the enumeration, which is also how postcard writes it.
            let table = u8::try_from(row.get::<_, i64>(0)?)
                .ok()
                .and_then(|number| postcard::from_bytes::<Table>(&[number]).ok())
                .ok_or(ReadError::Damaged("a table"))?;
            records.push((table, row.get(1)?, row.get(2)?));
        }
        Ok(Stored { records, last_event: self.last_event })
    }

    pub(super) fn history(&self, with: Option<&Name>, count: usize) -> Result<Vec<HistoryEntry>, ReadError> {
        let count = count.min(READ_MAX);
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let mut entries = Vec::with_capacity(count.min(64));
        if let Some(name) = with {
            // Two walks along an index each, rather than one over the whole timeline.
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT {ENTRY} FROM message WHERE place IN (
                    SELECT * FROM (SELECT place FROM message WHERE sender = ?1 AND NOT in_group
                                   ORDER BY place DESC LIMIT ?2)
                    UNION
                    SELECT * FROM (SELECT place FROM message WHERE recipient = ?1 ORDER BY place DESC LIMIT ?2)
                ) ORDER BY place DESC LIMIT ?2"
            ))?;
            collect(statement.query(params![name.as_str(), limit])?, &mut entries)?;
        } else {
            let sql = format!("SELECT {ENTRY} FROM message ORDER BY place DESC LIMIT ?1");
            let mut statement = self.connection.prepare_cached(&sql)?;
            collect(statement.query([limit])?, &mut entries)?;
        }
        entries.reverse();
        Ok(entries)
    }

    pub(super) fn message(&self, id: MessageRef) -> Result<Option<HistoryEntry>, ReadError> {
        let found = match id {
            MessageRef::Short(ShortId::Message(number)) => {
                let sql = format!("SELECT {ENTRY} FROM message WHERE number = ?1 AND money IS NULL");
                self.connection.prepare_cached(&sql)?.query_row([number.cast_signed()], |row| Ok(entry(row))).optional()
            }
            // Other letters stand for what is no message.
            MessageRef::Short(ShortId::Request(_) | ShortId::Payment(_) | ShortId::File(_)) => return Ok(None),
            MessageRef::Full(uid) => {
                let sql =
                    format!("SELECT {ENTRY} FROM message WHERE uid = ?1 AND money IS NULL ORDER BY place LIMIT 1");
                self.connection.prepare_cached(&sql)?.query_row([uid.as_bytes()], |row| Ok(entry(row))).optional()
            }
        };
        found?.transpose()
    }

    pub(super) fn events_since(&self, seq: u64, max: usize) -> Result<Vec<Event>, EventsError> {
        events::since(&self.connection, seq, max, self.last_event)
    }
}

#[cfg(test)]
impl Database {
    /// Makes the database look like a newer program's.
    pub(super) fn set_version(&self, version: u32) {
        self.connection.pragma_update(None, "user_version", version).unwrap();
    }
}

/// Hands the key over as it is: it is random, so SQLCipher need not stretch it once more.
fn unlock(connection: &Connection, key: &DatabaseKey) -> rusqlite::Result<()> {
    let mut pragma = Zeroizing::new(String::with_capacity(160));
    // Its own log would go to the terminal that the prompt is on; every failure is reported by its return value.
    pragma.push_str("PRAGMA cipher_log_level = NONE; PRAGMA key = \"x'");
    for byte in key.bytes() {
        let _ = write!(pragma, "{byte:02x}");
    }
    pragma.push_str("'\"");
    connection.execute_batch(&pragma)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // The folder's lock keeps others out, so the database need not share memory through a file of its own. Deleted
    // text is overwritten; what sorting spills stays in memory.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 8388608;",
    )
}

fn apply(sql: &SqlTransaction<'_>, change: Change, log: &mut events::Appending<'_>) -> Result<(), CommitError> {
    let written = match change {
        Change::Put { table, key, value } => sql
            .prepare_cached(
                "INSERT INTO record (record_table, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (record_table, key) DO UPDATE SET value = excluded.value",
            )
            .and_then(|mut statement| statement.execute(params![table as u8, key, value])),
        Change::Delete { table, key } => sql
            .prepare_cached("DELETE FROM record WHERE record_table = ?1 AND key = ?2")
            .and_then(|mut statement| statement.execute(params![table as u8, key])),
        Change::Timeline { conversation, entry } => return append_message(sql, conversation, &entry),
        Change::TimelineState { uid, state } => sql
            .prepare_cached("UPDATE message SET state = ?2 WHERE uid = ?1 AND state IS NOT NULL")
            .and_then(|mut statement| statement.execute(params![uid.as_bytes(), state_number(state)])),
        Change::Event(event) => return log.take(event),
    };
    written.map(drop).map_err(CommitError::Failed)
}

fn append_message(
    sql: &SqlTransaction<'_>,
    conversation: ConversationId,
    entry: &HistoryEntry,
) -> Result<(), CommitError> {
    let number = entry.id.number();
    let money = entry.money.as_ref().map(postcard::to_allocvec).transpose().map_err(CommitError::Unencodable)?;
    sql.prepare_cached(
        "INSERT INTO message (number, uid, conversation, sender, recipient, text, at, sent_at, state, gap,
                              in_group, member, member_change, money)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )
    .and_then(|mut statement| {
        statement.execute(params![
            number.cast_signed(),
            entry.uid.as_bytes(),
            conversation.as_bytes(),
            entry.from.as_str(),
            entry.to.as_str(),
            entry.text,
            entry.at.0.cast_signed(),
            // Whatever clock the sender has: all 64 bits come back as they were.
            entry.sent_at.0.cast_signed(),
            entry.state.map(state_number),
            entry.gap,
            entry.in_group,
            entry.member.as_ref().map(|member| member.user.as_str()),
            entry.member.as_ref().map(|member| change_number(member.change)),
            money,
        ])
    })
    .map(drop)
    .map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => CommitError::ShortIdTaken(number),
        _ => CommitError::Failed(error),
    })
}

fn collect(mut rows: rusqlite::Rows<'_>, entries: &mut Vec<HistoryEntry>) -> Result<(), ReadError> {
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(())
}

fn entry(row: &Row<'_>) -> Result<HistoryEntry, ReadError> {
    let name = |column: usize| -> Result<Name, ReadError> {
        Name::parse(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
            .map_err(|_| ReadError::Damaged("a name"))
    };
    let uid = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(HistoryEntry {
        id: ShortId::Message(row.get::<_, i64>(0)?.cast_unsigned()),
        uid: MessageId::from_slice(uid).ok_or(ReadError::Damaged("a message id"))?,
        from: name(2)?,
        to: name(3)?,
        text: row.get(4)?,
        at: Timestamp(row.get::<_, i64>(5)?.cast_unsigned()),
        sent_at: Timestamp(row.get::<_, i64>(6)?.cast_unsigned()),
        state: row.get::<_, Option<u8>>(7)?.map(state_of).transpose()?,
        gap: row.get(8)?,
        in_group: row.get(9)?,
        member: match row.get::<_, Option<u8>>(11)? {
            Some(number) => Some(MemberLine { user: name(10)?, change: change_of(number)? }),
            None => None,
        },
        money: match row.get::<_, Option<Vec<u8>>>(12)? {
            Some(bytes) => Some(postcard::from_bytes(&bytes).map_err(|_| ReadError::Damaged("a line about money"))?),
            None => None,
        },
    })
}

/// The number in the database; it never changes its meaning.
const fn change_number(change: MemberChange) -> u8 {
    match change {
        MemberChange::Joined => 0,
        MemberChange::Left => 1,
        MemberChange::Invited => 2,
        MemberChange::Removed => 3,
        MemberChange::Promoted => 4,
        MemberChange::Demoted => 5,
    }
}

fn change_of(number: u8) -> Result<MemberChange, ReadError> {
    use MemberChange::{Demoted, Invited, Joined, Left, Promoted, Removed};

    [Joined, Left, Invited, Removed, Promoted, Demoted]
        .into_iter()
        .find(|change| change_number(*change) == number)
        .ok_or(ReadError::Damaged("a change of members"))
}

/// The number in the database; it never changes its meaning.
const fn state_number(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Queued => 0,
        DeliveryState::Sent => 1,
        DeliveryState::Delivered => 2,
        DeliveryState::Read => 3,
        DeliveryState::Failed => 4,
    }
}

fn state_of(number: u8) -> Result<DeliveryState, ReadError> {
    use DeliveryState::{Delivered, Failed, Queued, Read, Sent};

    [Queued, Sent, Delivered, Read, Failed]
        .into_iter()
        .find(|state| state_number(*state) == number)
        .ok_or(ReadError::Damaged("a delivery state"))
}
