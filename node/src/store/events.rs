//! The event log on disk: a row for each event, and one for all who had the same said of them at once. A message to a thousand
//! people has a thousand receipts, each with a number of its own; a row for each would cost more than the message.

use node_core::event::{Event, EventKind};
use protocol::Name;
use rusqlite::{Row, Transaction as SqlTransaction, params};

use super::{
    EVENTS_KEPT, READ_MAX,
    error::{CommitError, EventsError, ReadError},
};

/// Events that become one row: the first, and to whom the receipts are that follow it and say the same.
struct Run {
    first: Event,
    others: Vec<Name>,
}

/// Events of one commit on their way into the log.
pub(super) struct Appending<'a> {
    sql: &'a SqlTransaction<'a>,
    last: u64,
    run: Option<Run>,
}

impl<'a> Appending<'a> {
    /// For a log whose last event has this number.
    pub(super) const fn new(sql: &'a SqlTransaction<'a>, last: u64) -> Self {
        Self { sql, last, run: None }
    }

    /// Takes the next one.
    pub(super) fn take(&mut self, event: Event) -> Result<(), CommitError> {
        let seq = event
            .seq
            .filter(|seq| Some(*seq) == self.last.checked_add(1))
            .ok_or(CommitError::EventOutOfOrder { last: self.last, found: event.seq.unwrap_or(0) })?;
        self.last = seq;
        if let Some(run) = &mut self.run
            && let Some(to) = same_receipt(&run.first, &event)
        {
            run.others.push(to);
            return Ok(());
        }
        self.write()?;
        self.run = Some(Run { first: event, others: Vec::new() });
        Ok(())
    }

    fn write(&mut self) -> Result<(), CommitError> {
        let Some(Run { first, others }) = self.run.take() else { return Ok(()) };
        let event = postcard::to_allocvec(&first).map_err(CommitError::Unencodable)?;
        let span = i64::try_from(others.len() + 1).unwrap_or(i64::MAX);
        let others = if others.is_empty() { Ok(None) } else { postcard::to_allocvec(&others).map(Some) };
        let others = others.map_err(CommitError::Unencodable)?;
        self.sql
            .prepare_cached("INSERT INTO event (seq, event, span, others) VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut statement| {
                statement.execute(params![first.seq.unwrap_or(0).cast_signed(), event, span, others])
            })
            .map(drop)
            .map_err(CommitError::Failed)
    }

    /// Writes what is left and drops what is too old; tells the number of the last event.
    pub(super) fn finish(mut self) -> Result<u64, CommitError> {
        if self.run.is_none() {
            return Ok(self.last);
        }
        self.write()?;
        let dropped = self.last.saturating_sub(EVENTS_KEPT).cast_signed();
        self.sql
            .prepare_cached("DELETE FROM event WHERE seq <= ?1 AND seq + span - 1 <= ?1")
            .and_then(|mut statement| statement.execute([dropped]))
            .map_err(CommitError::Failed)?;
        Ok(self.last)
    }
}

/// To whom an event is, if it says of them what a receipt says of somebody else.
fn same_receipt(first: &Event, event: &Event) -> Option<Name> {
    let EventKind::Receipt { id, uid, state, reason, group, .. } = &first.kind else { return None };
    let EventKind::Receipt { id: i, uid: u, to, state: s, reason: r, group: g } = &event.kind else { return None };
    let same = first.at == event.at && (id, uid, state, reason, group) == (i, u, s, r, g);
    same.then(|| to.clone())
}

/// The number of the last event; zero if there is none.
pub(super) fn last(sql: &rusqlite::Connection) -> rusqlite::Result<u64> {
    let last = "SELECT coalesce((SELECT seq + span - 1 FROM event ORDER BY seq DESC LIMIT 1), 0)";
    sql.query_row(last, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// The events after this one, at most so many, of a log whose last one has that number.
pub(super) fn since(sql: &rusqlite::Connection, seq: u64, max: usize, last: u64) -> Result<Vec<Event>, EventsError> {
    let oldest = sql
        .prepare_cached("SELECT coalesce(min(seq), 1) FROM event")
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
        .map_err(ReadError::from)?
        .cast_unsigned()
        .max(last.saturating_sub(EVENTS_KEPT).saturating_add(1));
    if seq.saturating_add(1) < oldest {
        return Err(EventsError::Dropped { oldest });
    }
    let max = max.min(READ_MAX);
    // From the row on that has the next one, wherever in it.
    let rows = "SELECT event, others FROM event
                WHERE seq >= coalesce((SELECT max(seq) FROM event WHERE seq <= ?1), 0) ORDER BY seq";
    let read = || -> Result<Vec<Event>, ReadError> {
        let mut statement = sql.prepare_cached(rows)?;
        let mut rows = statement.query([i64::try_from(seq.saturating_add(1)).unwrap_or(i64::MAX)])?;
        let mut events = Vec::new();
        while events.len() < max
            && let Some(row) = rows.next()?
        {
            events.extend(apart(row)?.into_iter().filter(|event| event.seq.is_some_and(|number| number > seq)));
        }
        events.truncate(max);
        Ok(events)
    };
    Ok(read()?)
}

/// The events of a row.
fn apart(row: &Row<'_>) -> Result<Vec<Event>, ReadError> {
    let damaged = |_| ReadError::Damaged("an event");
    let first: Event = postcard::from_bytes(&row.get::<_, Vec<u8>>(0)?).map_err(damaged)?;
    let others: Option<Vec<u8>> = row.get(1)?;
    let others: Vec<Name> =
        others.map_or_else(|| Ok(Vec::new()), |others| postcard::from_bytes(&others)).map_err(damaged)?;
    let mut events = vec![first.clone()];
    for (after, other) in (1..).zip(others) {
        let mut event = first.clone();
        event.seq = first.seq.map(|seq| seq.saturating_add(after));
        if let EventKind::Receipt { to, .. } = &mut event.kind {
            *to = other;
        }
        events.push(event);
    }
    Ok(events)
}
