//! Streams of files between two devices: whoever wants a file opens one and says from where, whoever has it sends sealed
//! chunks, as [`protocol::file::stream`] describes.
//!
//! Reading, sealing, opening, hashing and writing block, and run on threads of their own, a few chunks ahead of the
//! network: what one stream has in memory are [`AHEAD`] chunks on each side of its thread. It does not know who may have
//! what, nor when to ask again.

pub mod fetch;
pub mod receive;
pub mod serve;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use protocol::limits::FILE_UNTAKEN_MAX;
use tokio::sync::Semaphore;

/// Chunks between the network and a thread.
const AHEAD: usize = 4;
/// How long the other side may take for its first frame.
const FIRST_FRAME: Duration = Duration::from_secs(30);
/// Priority of files' streams: below that of messages, which have the usual one, zero.
const PRIORITY: i32 = -1;

/// What all streams that one connection serves may have sent, without the peer having taken it, in bytes. Shared in turn,
/// chunk by chunk, so that several files get on alike.
#[derive(Debug, Clone)]
pub struct Untaken(Arc<Semaphore>);

impl Default for Untaken {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FILE_UNTAKEN_MAX as usize)))
    }
}
