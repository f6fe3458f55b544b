//! Chunks in memory that is used again. A chunk is longer than what the allocator keeps at hand: each new one would be
//! fetched from the system, page by page, and given back.

use bytes::Bytes;
use tokio::sync::mpsc;

/// Where spent buffers go, and come from again.
#[derive(Debug)]
pub(super) struct Buffers {
    spent: mpsc::Sender<Vec<u8>>,
    back: mpsc::Receiver<Vec<u8>>,
}

impl Buffers {
    /// Keeps at most so many.
    pub(super) fn new(kept: usize) -> Self {
        let (spent, back) = mpsc::channel(kept);
        Self { spent, back }
    }

    /// A buffer that was used before, as it was left, or a new one.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.back.try_recv().unwrap_or_default()
    }

    /// Where those that [`share`] are to come back to.
    pub(super) fn spent(&self) -> mpsc::Sender<Vec<u8>> {
        self.spent.clone()
    }
}

/// Shares what is in a buffer; when nobody holds it any more, the buffer comes back.
pub(super) fn share(buffer: Vec<u8>, spent: &mpsc::Sender<Vec<u8>>) -> Bytes {
    Bytes::from_owner(Shared { buffer, spent: spent.clone() })
}

struct Shared {
    buffer: Vec<u8>,
    spent: mpsc::Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // One too many is let go of.
        let _ = self.spent.try_send(std::mem::take(&mut self.buffer));
    }
}
