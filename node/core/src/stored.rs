//! What the core keeps on disk: records in tables, changed by one transaction at a time.
//!
//! The core alone knows what the values mean. The store keeps them, hands all records back at opening, and answers the
//! one question that is too large for memory: what was said ([`crate::output::Effect::ReadHistory`], and by its words
//! [`crate::output::Effect::Search`]).

use protocol::{ConversationId, MessageId};
use serde::{Deserialize, Serialize};

use crate::{
    command::HistoryEntry,
    event::{DeliveryState, Event},
};

/// Where a record belongs. Append-only; the numbers stand in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Table {
    /// The account, this device's keys, counters: one record each.
    Account = 0,
    /// MLS group state, by conversation and incarnation.
    GroupState = 1,
    /// MLS past epochs, by conversation, incarnation and epoch.
    GroupEpoch = 2,
    /// MLS key packages with their private keys, by reference.
    KeyPackage = 3,
    /// Conversations and their bookkeeping.
    Conversation = 4,
    /// Own messages that are not delivered yet.
    Outbox = 5,
    /// Ciphertexts taken in already.
    Seen = 6,
    /// Messages that wait for a commit or a predecessor.
    Waiting = 7,
    /// People: pins, marks, device lists.
    Contact = 8,
    /// Mail items handled, whose removal the directory has not confirmed.
    Handled = 9,
    /// MLS ratchet trees of large groups, by conversation and incarnation.
    GroupTree = 10,
    /// What is known of the ledger: one record.
    Money = 11,
    /// Own payment orders whose outcome is not known, or not told yet.
    Order = 12,
    /// What others said of their orders, until the ledger says so too.
    Notice = 13,
    /// Own entries of the ledger, the latest of them.
    Payment = 14,
    /// Requests for money to and from the account.
    Request = 15,
    /// Files that are offered, here and by this node.
    Transfer = 16,
    /// What leads to the files that this node offers.
    Source = 17,
    /// Up to how many bytes are taken unasked, by account.
    Unasked = 18,
    /// Own messages to many that are not delivered yet, without those whom they are for.
    Outgoing = 19,
    /// Whom such messages are for, once for all to the same people.
    Audience = 20,
    /// The beginning of a large group's MLS state, which stays as it is from message to message.
    GroupStateHead = 21,
    /// What follows it.
    GroupStateRest = 22,
    /// What came with the offers of files, until it is wanted.
    Enclosed = 23,
}

/// One change of what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a record, in the place of an earlier one.
    Put {
        /// Where.
        table: Table,
        /// Under what key.
        key: Vec<u8>,
        /// What.
        value: Vec<u8>,
    },
    /// Deletes a record, if it is there.
    Delete {
        /// Where.
        table: Table,
        /// Under what key.
        key: Vec<u8>,
    },
    /// Appends to the timeline: HISTORY and SEARCH read it.
    Timeline {
        /// In which conversation.
        conversation: ConversationId,
        /// What.
        entry: HistoryEntry,
    },
    /// Changes the state of an own message in the timeline.
    TimelineState {
        /// Which.
        uid: MessageId,
        /// To what.
        state: DeliveryState,
    },
    /// Appends to the event log; its `seq` is set and is the last one plus one.
    Event(Event),
}

/// Changes that become durable together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In order.
    pub changes: Vec<Change>,
}

/// All records of all tables, as the store hands them over at opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Table, key and value, in any order.
    pub records: Vec<(Table, Vec<u8>, Vec<u8>)>,
    /// The last event's `seq`; zero if there was none.
    pub last_event: u64,
}
