//! A profile without a disk: the same rules over plain collections. It is the conformance suite's oracle, and what
//! simulated nodes keep their records in.

use std::collections::{BTreeMap, VecDeque};

use node_core::{
    command::{HistoryEntry, MessageRef},
    event::Event,
    stored::{Change, Stored, Table, Transaction},
};
use protocol::{Name, Timestamp};

use super::{
    EVENTS_KEPT, ProfileStore, READ_MAX,
    error::{CommitError, EventsError, ReadError},
};

/// What is stored; a clone is a copy of the disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryProfile {
    durable: Contents,
    refusing: bool,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    records: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    timeline: Vec<HistoryEntry>,
    events: VecDeque<Event>,
    last_event: u64,
}

impl Contents {
    fn apply(&mut self, change: Change) -> Result<(), CommitError> {
        match change {
            Change::Put { table, key, value } => drop(self.records.insert((table, key), value)),
            Change::Delete { table, key } => drop(self.records.remove(&(table, key))),
            Change::Timeline { entry, .. } => {
                if self.timeline.iter().any(|earlier| earlier.id == entry.id) {
                    return Err(CommitError::ShortIdTaken(entry.id.number()));
                }
                self.timeline.push(entry);
            }
            Change::TimelineState { uid, state } => self
                .timeline
                .iter_mut()
                .filter(|entry| entry.uid == uid && entry.state.is_some())
                .for_each(|entry| entry.state = Some(state)),
            Change::Event(event) => self.append(event)?,
        }
        Ok(())
    }

    fn append(&mut self, event: Event) -> Result<(), CommitError> {
        let found = event.seq.unwrap_or(0);
        if found != self.last_event + 1 {
            return Err(CommitError::EventOutOfOrder { last: self.last_event, found });
        }
        self.last_event = found;
        self.events.push_back(event);
        if self.events.len() as u64 > EVENTS_KEPT {
            self.events.pop_front();
        }
        Ok(())
    }
}

impl ProfileStore for MemoryProfile {
    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        if self.refusing {
            return Err(CommitError::Refused);
        }
        let mut next = self.durable.clone();
        for change in transaction.changes {
            next.apply(change).inspect_err(|_| self.refusing = true)?;
        }
        self.durable = next;
        Ok(())
    }

    fn records(&mut self) -> Result<Stored, ReadError> {
        if self.refusing {
            return Err(ReadError::NotOpen);
        }
        let records =
            self.durable.records.iter().map(|((table, key), value)| (*table, key.clone(), value.clone())).collect();
        Ok(Stored { records, last_event: self.durable.last_event })
    }

    fn reopen(&mut self) -> Result<Stored, ReadError> {
        self.refusing = false;
        self.records()
    }

    fn history(&mut self, with: Option<&Name>, count: usize) -> Result<Vec<HistoryEntry>, ReadError> {
        if self.refusing {
            return Err(ReadError::NotOpen);
        }
        let entries = self.durable.timeline.iter().rev().filter(|entry| concerns(entry, with));
        let mut latest: Vec<_> = entries.take(count.min(READ_MAX)).cloned().collect();
        latest.reverse();
        Ok(latest)
    }

    fn search(
        &mut self,
        words: &[String],
        with: Option<&Name>,
        since: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        if self.refusing {
            return Err(ReadError::NotOpen);
        }
        let found = |entry: &&HistoryEntry| {
            concerns(entry, with) && since.is_none_or(|since| entry.at >= since) && has_words(&entry.text, words)
        };
        let mut latest: Vec<_> =
            self.durable.timeline.iter().rev().filter(found).take(count.min(READ_MAX)).cloned().collect();
        latest.reverse();
        Ok(latest)
    }

    fn index(&mut self) -> Result<bool, CommitError> {
        if self.refusing { Err(CommitError::Refused) } else { Ok(true) }
    }

    fn message(&mut self, id: MessageRef) -> Result<Option<HistoryEntry>, ReadError> {
        if self.refusing {
            return Err(ReadError::NotOpen);
        }
        let is_meant = |entry: &&HistoryEntry| {
            let named = match id {
                MessageRef::Short(id) => entry.id == id,
                MessageRef::Full(uid) => entry.uid == uid,
            };
            named && entry.money.is_none()
        };
        Ok(self.durable.timeline.iter().find(is_meant).cloned())
    }

    fn events_since(&mut self, seq: u64, max: usize) -> Result<Vec<Event>, EventsError> {
        if self.refusing {
            return Err(ReadError::NotOpen.into());
        }
        let oldest = self.durable.events.front().and_then(|event| event.seq).unwrap_or(1);
        if seq.saturating_add(1) < oldest {
            return Err(EventsError::Dropped { oldest });
        }
        let follows = |event: &&Event| event.seq.is_some_and(|number| number > seq);
        Ok(self.durable.events.iter().filter(follows).take(max.min(READ_MAX)).cloned().collect())
    }
}

/// Whether an entry is of what was said with a person or in a group.
fn concerns(entry: &HistoryEntry, with: Option<&Name>) -> bool {
    with.is_none_or(|name| !entry.in_group && entry.from == *name || entry.to == *name)
}

/// Whether a text has all these words, as [`ProfileStore::search`] tells.
#[must_use]
pub fn has_words(text: &str, words: &[String]) -> bool {
    let text = tokens(text);
    let sought: Vec<Vec<String>> = words.iter().map(|word| tokens(word)).filter(|word| !word.is_empty()).collect();
    let has = |word: &Vec<String>| text.windows(word.len()).any(|place| begins(place, word));
    !sought.is_empty() && sought.iter().all(has)
}

fn tokens(text: &str) -> Vec<String> {
    let pieces = text.split(|c: char| !c.is_alphanumeric()).filter(|piece| !piece.is_empty());
    pieces.map(str::to_lowercase).collect()
}

/// Whether these are the words in their order, of the last one at least the beginning.
fn begins(place: &[String], word: &[String]) -> bool {
    match (place.split_last(), word.split_last()) {
        (Some((end, before)), Some((last, first))) => before == first && end.starts_with(last.as_str()),
        _ => false,
    }
}
