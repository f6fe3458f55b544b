//! The encrypted profile: what a node keeps between two runs, in one folder that reveals nothing of what was said.
//!
//! Owns the folder, its key, the database and its schema. It does not know what the records mean (the core does), nor
//! what a conversation or a ratchet is; it keeps bytes, the timeline and the event log, and changes them by one
//! transaction at a time. [`Profile`] is what programs use; [`MemoryProfile`] behaves alike without a disk and is the
//! oracle of the conformance suite as well as the store of the virtual network.

mod database;
mod error;
mod events;
mod folder;
mod key_file;
mod memory;
mod profile;
mod schema;

#[cfg(test)]
mod conformance;

use node_core::{
    command::{HistoryEntry, MessageRef},
    event::Event,
    stored::{Stored, Transaction},
};
use protocol::{Name, Timestamp};

pub use error::{CommitError, EventsError, ProfileError, ReadError};
pub use memory::{MemoryProfile, has_words};
pub use profile::Profile;

/// How many events a profile keeps. A consumer that comes back within a busy month still gets all that it missed, and
/// the log stays below some 20 MB.
pub const EVENTS_KEPT: u64 = 100_000;

/// Most messages or events that one read returns, so that no answer outgrows memory.
pub const READ_MAX: usize = 10_000;

/// What a driver needs of a profile. Every call is synchronous and may wait for the disk.
pub trait ProfileStore: Send {
    /// Makes all changes durable together, or none of them.
    ///
    /// # Errors
    /// [`CommitError`]; afterwards the store refuses every commit until [`ProfileStore::reopen`].
    fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError>;

    /// All records, and the last event's number.
    ///
    /// # Errors
    /// [`ReadError`] if the disk fails or the file is damaged.
    fn records(&mut self) -> Result<Stored, ReadError>;

    /// Reads again what is really durable, after a commit that failed.
    ///
    /// # Errors
    /// [`ReadError`] if that fails too: then only another start of the program helps.
    fn reopen(&mut self) -> Result<Stored, ReadError>;

    /// The latest `count` messages, at most [`READ_MAX`], with one person or with all; oldest first.
    ///
    /// # Errors
    /// [`ReadError`] if the disk fails or the file is damaged.
    fn history(&mut self, with: Option<&Name>, count: usize) -> Result<Vec<HistoryEntry>, ReadError>;

    /// The latest `count` messages, at most [`READ_MAX`], in whose text each of `words` begins a word (or, where it is
    /// several words itself, begins them in a row), whatever the case of their letters; with one person or in one group
    /// or everywhere, stored at a moment or later; oldest first. What has neither letters nor digits is not looked for, and
    /// what is not indexed yet may not be found.
    ///
    /// # Errors
    /// [`ReadError`] if the disk fails or the file is damaged.
    fn search(
        &mut self,
        words: &[String],
        with: Option<&Name>,
        since: Option<Timestamp>,
        count: usize,
    ) -> Result<Vec<HistoryEntry>, ReadError>;

    /// Brings what [`ProfileStore::search`] finds nearer to what was said, in a moment; tells whether it is there.
    ///
    /// # Errors
    /// As [`ProfileStore::commit`].
    fn index(&mut self) -> Result<bool, CommitError>;

    /// The message with this id. A full id that two people drew alike names the older message.
    ///
    /// # Errors
    /// [`ReadError`] if the disk fails or the file is damaged.
    fn message(&mut self, id: MessageRef) -> Result<Option<HistoryEntry>, ReadError>;

    /// Up to `max` events, at most [`READ_MAX`], that follow the event number `seq`; zero is before the first.
    ///
    /// # Errors
    /// [`EventsError::Dropped`] if an event after `seq` is not kept any more.
    fn events_since(&mut self, seq: u64, max: usize) -> Result<Vec<Event>, EventsError>;
}
