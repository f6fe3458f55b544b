//! A node's durable store in memory: what is here survives a crash, and nothing else does.

use std::collections::BTreeMap;

use node::store::has_words;
use node_core::{
    command::{HistoryEntry, MessageRef},
    event::Event,
    stored::{Change, Stored, Table, Transaction},
};
use protocol::{ConversationId, Name, Timestamp};

use super::witness::Violation;

/// What a node has stored.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    records: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    timeline: Vec<(ConversationId, HistoryEntry)>,
    events: Vec<Event>,
    written: usize,
}

impl Disk {
    /// Makes a transaction durable, whole.
    ///
    /// # Errors
    /// [`Violation::SequenceGap`] if the event log would have a gap.
    pub fn apply(&mut self, transaction: Transaction) -> Result<(), Violation> {
        for change in transaction.changes {
            match change {
                Change::Put { table, key, value } => {
                    self.written += key.len() + value.len();
                    self.records.insert((table, key), value);
                }
                Change::Delete { table, key } => {
                    self.records.remove(&(table, key));
                }
                Change::Timeline { conversation, entry } => self.timeline.push((conversation, entry)),
                Change::TimelineState { uid, state } => {
                    for (_, entry) in self.timeline.iter_mut().filter(|(_, entry)| entry.uid == uid) {
                        entry.state = Some(state);
                    }
                }
                Change::Event(event) => {
                    let expected = self.last_event() + 1;
                    if event.seq != Some(expected) {
                        return Err(Violation::SequenceGap { expected, found: event.seq });
                    }
                    self.events.push(event);
                }
            }
        }
        Ok(())
    }

    /// Bytes of all records that were ever written here.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written
    }

    /// What a core is opened from.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let records = self.records.iter().map(|((table, key), value)| (*table, key.clone(), value.clone())).collect();
        Stored { records, last_event: self.last_event() }
    }

    /// The event log.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Whether the event log holds exactly this event.
    #[must_use]
    pub fn holds(&self, event: &Event) -> bool {
        let index = event.seq.and_then(|seq| usize::try_from(seq.checked_sub(1)?).ok());
        index.and_then(|index| self.events.get(index)) == Some(event)
    }

    /// The timeline, oldest first.
    pub fn timeline(&self) -> impl Iterator<Item = &HistoryEntry> {
        self.timeline.iter().map(|(_, entry)| entry)
    }

    /// The latest messages with one person, or with everybody.
    #[must_use]
    pub fn history(&self, with: Option<&Name>, count: usize) -> Vec<HistoryEntry> {
        let of =
            |entry: &&HistoryEntry| with.is_none_or(|with| !entry.in_group && entry.from == *with || entry.to == *with);
        let entries: Vec<&HistoryEntry> = self.timeline().filter(of).collect();
        entries[entries.len().saturating_sub(count)..].iter().map(|entry| (*entry).clone()).collect()
    }

    /// The latest messages that have these words.
    #[must_use]
    pub fn search(
        &self,
        words: &[String],
        with: Option<&Name>,
        since: Option<Timestamp>,
        count: usize,
    ) -> Vec<HistoryEntry> {
        let mut found = self.history(with, usize::MAX);
        found.retain(|entry| since.is_none_or(|since| entry.at >= since) && has_words(&entry.text, words));
        found.split_off(found.len().saturating_sub(count))
    }

    /// One message.
    #[must_use]
    pub fn find(&self, id: MessageRef) -> Option<HistoryEntry> {
        let is = |entry: &&HistoryEntry| match id {
            MessageRef::Short(short) => entry.id == short,
            MessageRef::Full(uid) => entry.uid == uid,
        };
        self.timeline().find(|entry| is(entry) && entry.money.is_none()).cloned()
    }

    /// One record.
    #[must_use]
    pub fn record(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        self.records.get(&(table, key.to_vec())).map(Vec::as_slice)
    }

    /// Whether a record of this table holds these bytes.
    #[must_use]
    pub fn table_holds(&self, table: Table, bytes: &[u8]) -> bool {
        let mut values = self.records.iter().filter(|((found, _), _)| *found == table);
        values.any(|(_, value)| contains(value, bytes))
    }

    /// Brings back some tables as they were: what a store that forgets would do.
    pub fn roll_back(&mut self, before: &Self, tables: &[Table]) {
        self.records.retain(|(table, _), _| !tables.contains(table));
        let old = before.records.iter().filter(|((table, _), _)| tables.contains(table));
        self.records.extend(old.map(|(key, value)| (key.clone(), value.clone())));
    }

    /// Everything stored, as one run of bytes to search.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ((_, key), value) in &self.records {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        bytes.extend_from_slice(format!("{:?}{:?}", self.timeline, self.events).as_bytes());
        bytes
    }

    fn last_event(&self) -> u64 {
        self.events.len() as u64
    }
}

/// Whether `haystack` holds `needle`.
#[must_use]
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    find(haystack, needle).is_some()
}

/// Where `haystack` first holds `needle`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle.first()?;
    let mut from = 0;
    while let Some(at) = haystack.get(from..)?.iter().position(|byte| byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
