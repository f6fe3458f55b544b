//! How what waits is written: a message to few with its people, one to many without them.

use std::collections::BTreeMap;

use mls_rs::CryptoProvider;
use protocol::{ConversationId, MessageId};

use super::OutboxEntry;
use crate::{
    core::{Core, OpenError},
    records::{self, AudienceKey, AudienceRecord, LargeRecord, OutboxRecord},
    stored::Table,
};

/// Where a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Whole,
    Apart(AudienceKey),
}

/// An audience that is written.
#[derive(Debug)]
struct Audience {
    conversation: ConversationId,
    /// Messages that are written without it.
    messages: usize,
}

/// What of the outbox is on the disk, and where.
#[derive(Debug, Default)]
pub(super) struct Written {
    places: BTreeMap<MessageId, Place>,
    audiences: BTreeMap<AudienceKey, Audience>,
}

impl Written {
    /// Reads every message, and remembers where it is.
    pub(super) fn load(&mut self, stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Vec<OutboxRecord>, OpenError> {
        let of = |table: Table| stored.iter().filter(move |(found, ..)| *found == table).map(|(_, _, value)| value);
        let mut known = BTreeMap::new();
        for value in of(Table::Audience) {
            let audience: AudienceRecord = decode(value, Table::Audience)?;
            let key = AudienceRecord::key(value);
            self.audiences.insert(key, Audience { conversation: audience.conversation, messages: 0 });
            known.insert(key, audience);
        }
        let mut messages = Vec::new();
        for value in of(Table::Outbox) {
            let record: OutboxRecord = decode(value, Table::Outbox)?;
            self.places.insert(record.id, Place::Whole);
            messages.push(record);
        }
        for value in of(Table::Outgoing) {
            let large: LargeRecord = decode(value, Table::Outgoing)?;
            let key = large.audience;
            let record = known.get(&key).and_then(|audience| audience.join(large));
            let record = record.ok_or(OpenError::Record(Table::Outgoing))?;
            self.places.insert(record.id, Place::Apart(key));
            if let Some(audience) = self.audiences.get_mut(&key) {
                audience.messages += 1;
            }
            messages.push(record);
        }
        Ok(messages)
    }

    /// One message less is written without its audience.
    fn release(&mut self, key: &AudienceKey) {
        if let Some(audience) = self.audiences.get_mut(key) {
            audience.messages = audience.messages.saturating_sub(1);
        }
    }

    /// Forgets audiences that no message needs, but for each conversation's last one: the next message is probably for the same
    /// people. `lasting` says which conversations have a next message.
    fn unused(&mut self, lasting: impl Fn(ConversationId) -> bool) -> Vec<AudienceKey> {
        let mut others: BTreeMap<ConversationId, usize> = BTreeMap::new();
        for audience in self.audiences.values() {
            *others.entry(audience.conversation).or_default() += 1;
        }
        let mut unused = Vec::new();
        for (key, audience) in self.audiences.iter().filter(|(_, audience)| audience.messages == 0) {
            let Some(count) = others.get_mut(&audience.conversation) else { continue };
            if *count > 1 || !lasting(audience.conversation) {
                *count -= 1;
                unused.push(*key);
            }
        }
        for key in &unused {
            self.audiences.remove(key);
        }
        unused
    }
}

fn decode<T: serde::de::DeserializeOwned>(value: &[u8], table: Table) -> Result<T, OpenError> {
    records::decode(value).map_err(|_| OpenError::Record(table))
}

/// Whom a message is for, as it is written, and what that is known by.
fn audience(entry: &mut OutboxEntry) -> Option<(AudienceKey, Vec<u8>)> {
    let record = AudienceRecord::of(&entry.record)?;
    let bytes = records::encode(&record).ok()?;
    let key = AudienceRecord::key(&bytes);
    entry.audience = Some(key);
    Some((key, bytes))
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn write_outbox(&mut self) {
        if self.outbox.changed.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.outbox.changed) {
            let before = self.outbox.written.places.remove(&id);
            let after = self.write_message(id);
            if let Some(Place::Apart(key)) = after {
                self.outbox.written.audiences.entry(key).and_modify(|audience| audience.messages += 1);
            }
            match (before, after) {
                (Some(Place::Whole), None | Some(Place::Apart(_))) => {
                    self.batch.delete(Table::Outbox, id.0.to_vec());
                }
                (Some(Place::Apart(_)), None | Some(Place::Whole)) => {
                    self.batch.delete(Table::Outgoing, id.0.to_vec());
                }
                _ => {}
            }
            if let Some(Place::Apart(key)) = before {
                self.outbox.written.release(&key);
            }
            if let Some(after) = after {
                self.outbox.written.places.insert(id, after);
            }
        }
        let active = |id| self.conversations.get(&id).is_some_and(crate::conversation::ConversationState::is_active);
        for key in self.outbox.written.unused(active) {
            self.batch.delete(Table::Audience, key.to_vec());
        }
    }

    /// Writes a message where it belongs now; tells where, or nothing if there is no such message any more.
    fn write_message(&mut self, id: MessageId) -> Option<Place> {
        let entry = self.outbox.touch(id)?;
        // Who a message is for is settled once, and never changed after.
        let known = entry.audience.filter(|_| entry.record.settled && !entry.record.addressed.is_empty());
        let (key, bytes) = match known.map(|key| (key, Vec::new())).or_else(|| audience(entry)) {
            Some(found) => found,
            None => {
                let record = records::encode(&entry.record);
                self.put_record(Table::Outbox, id.0.to_vec(), record);
                return Some(Place::Whole);
            }
        };
        let conversation = entry.record.conversation;
        let large = records::encode(&LargeRecord::of(&entry.record, key));
        self.put_record(Table::Outgoing, id.0.to_vec(), large);
        if !bytes.is_empty() && !self.outbox.written.audiences.contains_key(&key) {
            self.batch.put(Table::Audience, key.to_vec(), bytes);
            self.outbox.written.audiences.insert(key, Audience { conversation, messages: 0 });
        }
        Some(Place::Apart(key))
    }
}
