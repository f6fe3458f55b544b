//! Outputs under construction: changes and effects in the order in which they came about.

use protocol::Timestamp;

use crate::{
    event::{Event, EventKind},
    output::{Effect, Outputs},
    stored::{Change, Table, Transaction},
};

/// What the current call of the core has come to so far.
#[derive(Debug)]
pub(crate) struct Batch {
    changes: Vec<Change>,
    after: Vec<Effect>,
    last_event: u64,
    timer: Option<Timestamp>,
}

impl Batch {
    /// An empty batch of a profile whose last event had this number.
    pub(crate) fn new(last_event: u64) -> Self {
        Self { changes: Vec::new(), after: Vec::new(), last_event, timer: None }
    }

    /// Writes a record.
    pub(crate) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push(Change::Put { table, key, value });
    }

    /// Deletes a record.
    pub(crate) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.changes.push(Change::Delete { table, key });
    }

    /// Any other change.
    pub(crate) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Something to do after the commit.
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.after.push(effect);
    }

    /// An event that is kept: durable with this transaction, shown after it.
    pub(crate) fn event(&mut self, at: Timestamp, kind: EventKind) {
        self.last_event += 1;
        let event = Event { seq: Some(self.last_event), at, kind };
        self.changes.push(Change::Event(event.clone()));
        self.after.push(Effect::Show(event));
    }

    /// An event that is shown and forgotten.
    pub(crate) fn passing_event(&mut self, at: Timestamp, kind: EventKind) {
        self.after.push(Effect::Show(Event { seq: None, at, kind }));
    }

    /// Hands everything over; the timer only if it is another one than before.
    pub(crate) fn finish(&mut self, timer: Option<Timestamp>) -> Outputs {
        if let Some(at) = timer.filter(|_| timer != self.timer) {
            self.after.push(Effect::SetTimer { at });
        }
        self.timer = timer;
        let changes = std::mem::take(&mut self.changes);
        let persist = (!changes.is_empty()).then_some(Transaction { changes });
        Outputs { persist, after: std::mem::take(&mut self.after) }
    }
}
