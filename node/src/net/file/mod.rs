//! Streams of files between two devices: whoever wants a file opens one and says from where, whoever has it sends sealed
//! chunks, as [`protocol::file::stream`] describes.
//!
//! Reading, sealing, opening, hashing and writing block, and run on threads of their own, a few chunks ahead of the
//! network: what one stream has in memory are `AHEAD` chunks on each side of its thread. It does not know who may have
//! what, nor when to ask again.

mod buffer;
pub mod carrier;
pub mod fetch;
pub mod receive;
pub mod serve;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use protocol::limits::{FILE_STREAMS_MAX, FILE_UNTAKEN_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Chunks between the network and a thread.
const AHEAD: usize = 4;
/// Streams that a node serves at the same time, to everybody together: each has a thread that waits for the network.
const SERVED_MAX: usize = 32;
/// How long the other side may take for its first frame.
const FIRST_FRAME: Duration = Duration::from_secs(30);
/// Priority of files' streams: below that of messages, which have the usual one, zero.
const PRIORITY: i32 = -1;

/// What all streams that a node serves have in common: how many there may be. Clones share it.
#[derive(Debug, Clone)]
pub struct Served(Arc<Semaphore>);

impl Default for Served {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SERVED_MAX)))
    }
}

impl Served {
    /// For one more connection.
    #[must_use]
    pub fn shares(&self) -> Shares {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let (untaken, streams) = (semaphore(FILE_UNTAKEN_MAX as usize), semaphore(FILE_STREAMS_MAX));
        Shares { untaken, streams, served: self.0.clone() }
    }
}

/// What the streams that one connection serves have in common. Clones share it.
#[derive(Debug, Clone)]
pub struct Shares {
    /// Bytes that may be sent without the peer having taken them. Each chunk waits its turn for its own, so that several
    /// files get on alike.
    untaken: Arc<Semaphore>,
    /// Streams that may be served on this connection.
    streams: Arc<Semaphore>,
    /// Streams that may be served on all of them.
    served: Arc<Semaphore>,
}

impl Shares {
    /// Places for one more stream, if there are any.
    fn places(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let here = self.streams.clone().try_acquire_owned().ok()?;
        Some([here, self.served.clone().try_acquire_owned().ok()?])
    }
}
