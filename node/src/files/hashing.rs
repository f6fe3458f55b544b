//! Hashing beside writing: of a large file on a thread of its own, a few pieces behind whoever writes it.
//!
//! Writing a chunk and hashing it take about as long as each other, and longer than anything else that the recipient does
//! with it: one after the other they would be what a transfer waits for.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Pieces that wait to be hashed: enough that neither side stands still.
const BEHIND: usize = 4;

/// A hash that is being reckoned.
#[derive(Debug)]
pub(super) enum Hashing {
    /// By whoever writes.
    Here(Sha256),
    /// On a thread of its own, which ends when its pieces do.
    Beside {
        /// Where they go.
        pieces: SyncSender<Bytes>,
        /// What becomes of them.
        thread: JoinHandle<Sha256>,
    },
}

impl Hashing {
    /// Goes on from what was hashed already.
    pub(super) const fn here(hasher: Sha256) -> Self {
        Self::Here(hasher)
    }

    /// The same, on a thread of its own; where the system has none to give, here.
    pub(super) fn beside(hasher: Sha256) -> Self {
        let (pieces, waiting) = sync_channel::<Bytes>(BEHIND);
        let mut behind = hasher.clone();
        let started = Builder::new().name("file-hash".to_owned()).spawn(move || {
            for piece in waiting {
                behind.update(&piece);
            }
            behind
        });
        started.map_or(Self::Here(hasher), |thread| Self::Beside { pieces, thread })
    }

    /// Takes the bytes that are next.
    pub(super) fn update(&mut self, piece: Bytes) {
        match self {
            Self::Here(hasher) => hasher.update(&piece),
            // A thread that has failed has no hash, which shows at the end.
            Self::Beside { pieces, .. } => drop(pieces.send(piece)),
        }
    }

    /// The hash of all of them; nothing if the thread has failed.
    pub(super) fn finish(self) -> Option<[u8; 32]> {
        let hasher = match self {
            Self::Here(hasher) => hasher,
            Self::Beside { pieces, thread } => {
                drop(pieces);
                thread.join().ok()?
            }
        };
        Some(hasher.finalize().into())
    }
}
