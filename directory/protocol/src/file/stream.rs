//! How a file's bytes go from one device to another: one bidirectional QUIC stream for each part of a transfer, opened by
//! whoever wants the bytes.
//!
//! ```text
//! recipient                                   sender
//!    | -- FileFetch: file, part, from ---------> |   the first frame
//!    | <-- FileGrant: salt --------------------- |   or why not; then the stream ends
//!    | <-- chunk `from`, chunk `from` + 1, … --- |   sealed, without frames: the offer says how long each is
//!    | -- FileTaken: below --------------------> |   written to disk here; may come at any time
//! ```
//!
//! The salt is drawn anew for each stream, so no two streams seal anything under one key. Chunks come in order, each once.
//! Whoever sends stops when [`crate::limits::FILE_UNTAKEN_MAX`] bytes on the connection are not taken, and ends the stream
//! with a [`FileRefusal`] as its error code if it cannot go on. Whoever receives ends with [`FileRefusal::Unwanted`].

use serde::{Deserialize, Serialize};

use crate::FileId;

/// Bytes of the tag at the end of each sealed chunk.
pub const TAG_LENGTH: usize = 16;

/// What the recipient wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFetch {
    /// Of which offer.
    pub file: FileId,
    /// Which part.
    pub part: FilePart,
    /// The first chunk that is missing.
    pub from: u64,
}

/// A part of what is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FilePart {
    /// The list of what is in a folder.
    Manifest,
    /// The bytes.
    Chunks,
}

/// The sender's answer, before the first chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileGrant {
    /// The chunks follow, sealed under a key that this goes into.
    Granted {
        /// Drawn at random for this stream.
        salt: [u8; 32],
    },
    /// Nothing follows.
    Refused(FileRefusal),
}

/// How far the recipient has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTaken {
    /// Every chunk below this one is written.
    pub below: u64,
}

/// Why no more bytes come, or are wanted; also the error code of a stream that is ended, where zero says nothing: so a
/// stream ends of which its program has let go. Append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum FileRefusal {
    /// There is no such offer here, or it was not made to whoever asks.
    Unknown = 1,
    /// The offer is cancelled or expired.
    Withdrawn = 2,
    /// What was offered is not what is on the disk any more.
    Changed = 3,
    /// What was offered can't be read.
    Unreadable = 4,
    /// Too many files are sent at once; to be asked again later.
    Busy = 5,
    /// The recipient wants no more of it now.
    Unwanted = 6,
    /// What came is not what the protocol or the offer says.
    Malformed = 7,
}

impl FileRefusal {
    /// The error code of a stream.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// What an error code says; one that is not known here says nothing else.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Unknown),
            2 => Some(Self::Withdrawn),
            3 => Some(Self::Changed),
            4 => Some(Self::Unreadable),
            5 => Some(Self::Busy),
            6 => Some(Self::Unwanted),
            7 => Some(Self::Malformed),
            _ => None,
        }
    }

    /// Whether asking again, later or from where it stopped, may help.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Busy | Self::Unwanted)
    }
}
