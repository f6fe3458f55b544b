//! Faults that are planted on purpose, to see that the invariants catch them. They are wrappers around a node of the
//! virtual network; the product has no switch for any of them.

use node_core::stored::Table;

/// Where a node keeps what it has taken in.
pub const TAKEN_IN: [Table; 5] =
    [Table::Seen, Table::Waiting, Table::Conversation, Table::GroupState, Table::GroupEpoch];

/// Where it keeps what commits led to.
pub const LED_TO: [Table; 3] = [Table::Conversation, Table::GroupState, Table::GroupEpoch];

/// What is wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store says that a transaction is durable before it is: a crash takes the latest ones back.
    AcknowledgesEarly,
    /// The driver performs the effects of a call before it commits its transaction.
    PerformsFirst,
    /// The record of the latest that was taken in does not survive a crash: neither the ciphertexts seen, nor the senders'
    /// sequences, nor the ratchet, which knows of its own accord what it has opened.
    ForgetsSeen,
    /// What the latest commits led to does not survive a crash, although what was told of them does.
    ForgetsCommits,
    /// Whoever lost an epoch is told that they won it, and gets their own commit in the winner's place.
    BelievesItWon,
    /// The directory's store forgets that somebody went from a group.
    ForgetsRemovals,
    /// The ledger's store says that a batch is durable before it is: a crash of the directory takes the latest back.
    SettlesEarly,
    /// The ledger's store forgets which orders it has: one that is handed in again is settled again.
    AppliesAgain,
    /// The ledger's store forgets that a request was paid.
    ForgetsPaid,
}
