//! A bank under fire: clients pay each other at a real directory while it is killed and started again, and everything that
//! they saw is held against what the ledger says in the end.
//!
//! What a client saw is a [`history::Operation`] with the moments between which it happened; [`history::check`] is pure.

pub mod faulty;
pub mod history;
pub mod siege;
mod teller;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
};

use protocol::money::Amount;
use tokio::sync::watch;

use crate::fixture::{Account, Failed};

pub use self::teller::Seen;

/// What the clients do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Clients, each with the connection of an account of its own.
    pub clients: usize,
    /// Accounts that most payments go to and come from: the first ones.
    pub hot: usize,
    /// The largest amount.
    pub amount: Amount,
    /// How long there may be no answer to anything: then something hangs.
    pub patience: std::time::Duration,
    /// Seeds what they choose.
    pub seed: u64,
}

/// Has the clients pay until told to stop, then until everything that they handed in has an answer; `progress` counts
/// transfers.
///
/// # Errors
/// A client that saw what no directory may show: a receipt that does not hold, a log that is not a continuation.
pub async fn run(
    directory: SocketAddr,
    accounts: Arc<Vec<Account>>,
    plan: Plan,
    progress: Arc<AtomicU64>,
    stop: watch::Receiver<bool>,
) -> Result<Seen, Failed> {
    let clock = std::time::Instant::now();
    let tellers: Vec<_> = (0..plan.clients)
        .map(|number| {
            let shared = teller::Shared { accounts: Arc::clone(&accounts), progress: Arc::clone(&progress) };
            let teller = teller::Teller::new(directory, shared, plan, number, clock, stop.clone());
            tokio::spawn(teller.run())
        })
        .collect();
    let mut seen = Seen::default();
    for teller in tellers {
        seen.merge(teller.await??);
    }
    Ok(seen)
}
