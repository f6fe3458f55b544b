//! What a node at the table was told, what it said of others, and what it keeps.

use node_core::event::{Event, EventKind};

use super::{Seat, Table};
use crate::world::disk::Disk;

impl Table {
    /// What a node was told, oldest first.
    #[must_use]
    pub fn events(&self, seat: Seat) -> Vec<EventKind> {
        self.guests[seat].disk.events().iter().map(|event: &Event| event.kind.clone()).collect()
    }

    /// The texts that a node was shown, with who wrote them.
    #[must_use]
    pub fn texts(&self, seat: Seat) -> Vec<(String, String)> {
        let message = |kind: EventKind| match kind {
            EventKind::Message { from, text, .. } => Some((from.to_string(), text)),
            _ => None,
        };
        self.events(seat).into_iter().filter_map(message).collect()
    }

    /// What a node reported of the directory or of its peers.
    #[must_use]
    pub fn misbehaviour(&self, seat: Seat) -> &[&'static str] {
        &self.guests[seat].misbehaviour
    }

    /// What is durable of a node.
    #[must_use]
    pub fn disk(&self, seat: Seat) -> &Disk {
        &self.guests[seat].disk
    }
}
