//! Files: what is offered, what is said about it, and how its bytes are cut.
//!
//! An offer and every word about it are contents of messages, sealed for the members of a conversation. The bytes
//! themselves go between two devices on streams of their own ([`stream`]), in chunks that are sealed under keys derived
//! from the offer's secret. A folder is one offer: its chunks are those of all its files, one after the other, as its
//! [`manifest`] lists them. What is small enough comes with its offer ([`EnclosedFile`]).
//!
//! This module knows no keys beyond the secret's bytes, no disks and no streams.

mod enclosed;
pub mod manifest;
pub mod stream;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use self::enclosed::EnclosedFile;
use crate::{
    BoundedText, FileId, Timestamp,
    limits::{
        CAPTION_MAX, CHUNK_LENGTH_MAX, CHUNK_LENGTH_MIN, FILE_CHUNKS_MAX, FILE_NAME_MAX, FILE_REASON_MAX, MANIFEST_MAX,
    },
};

/// What the keys of a file's chunks and of a folder's manifest are derived from: 32 random bytes, never used as a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct FileSecret(pub [u8; 32]);

impl fmt::Debug for FileSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileSecret(…)")
    }
}

/// A file or a folder that somebody may have. Whoever gets it shows it, and takes it only if its person, or a limit that
/// its person set, says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOffer {
    /// Names it.
    pub file: FileId,
    /// What its keys are derived from.
    pub secret: FileSecret,
    /// What it is called where it comes from: a hint, no more.
    pub name: BoundedText<FILE_NAME_MAX>,
    /// A file, or a folder.
    pub shape: FileShape,
    /// How it is cut.
    pub chunking: Chunking,
    /// SHA-256 of the file; of a folder: of its manifest, which has that of each file.
    pub sha256: [u8; 32],
    /// A few words with it.
    pub caption: BoundedText<CAPTION_MAX>,
    /// Until when it is to be had.
    pub expires: Timestamp,
}

/// What is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileShape {
    /// One file.
    File,
    /// A folder with everything in it but links.
    Folder {
        /// Bytes of its manifest.
        manifest: ManifestLength,
    },
}

impl FileShape {
    /// Bytes of its manifest, which a file has none of.
    #[must_use]
    pub const fn manifest_bytes(self) -> u32 {
        match self {
            Self::File => 0,
            Self::Folder { manifest } => manifest.get(),
        }
    }
}

/// A count of bytes of a manifest, between one and [`MANIFEST_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ManifestLength(u32);

impl ManifestLength {
    /// Takes the length if a manifest may have it.
    #[must_use]
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes >= 1 && bytes <= MANIFEST_MAX { Some(Self(bytes)) } else { None }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for ManifestLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("no length of a manifest"))
    }
}

/// How many bytes there are, and how long each chunk of them is but the last: both within their limits, so that no
/// arithmetic about them can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Chunking {
    bytes: u64,
    chunk: u32,
}

impl Chunking {
    /// Takes a size and a length of chunks: a power of two between [`CHUNK_LENGTH_MIN`] and [`CHUNK_LENGTH_MAX`], in which
    /// the size has at most [`FILE_CHUNKS_MAX`] chunks.
    #[must_use]
    pub const fn new(bytes: u64, chunk: u32) -> Option<Self> {
        let known = chunk.is_power_of_two() && chunk >= CHUNK_LENGTH_MIN && chunk <= CHUNK_LENGTH_MAX;
        if known && bytes.div_ceil(chunk as u64) <= FILE_CHUNKS_MAX { Some(Self { bytes, chunk }) } else { None }
    }

    /// How a manifest is cut: as the files that it lists.
    #[must_use]
    pub const fn of_manifest(self, manifest: ManifestLength) -> Self {
        Self { bytes: manifest.0 as u64, chunk: self.chunk }
    }

    /// Bytes in all.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Length of each chunk but the last.
    #[must_use]
    pub const fn chunk(self) -> u32 {
        self.chunk
    }

    /// How many chunks there are; none of nothing.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.bytes.div_ceil(self.chunk as u64)
    }

    /// Where a chunk begins, and how long it is; `None` beyond the last.
    #[must_use]
    pub const fn place(self, index: u64) -> Option<(u64, u32)> {
        if index >= self.count() {
            return None;
        }
        let start = index * self.chunk as u64;
        let rest = self.bytes - start;
        let length = if rest < self.chunk as u64 { rest as u32 } else { self.chunk };
        Some((start, length))
    }

    /// Whether a chunk is the last one.
    #[must_use]
    pub const fn is_last(self, index: u64) -> bool {
        index + 1 == self.count()
    }

    /// How many whole chunks are within so many bytes from the beginning; the last one is whole, however short.
    #[must_use]
    pub const fn whole_within(self, bytes: u64) -> u64 {
        if bytes >= self.bytes { self.count() } else { bytes / self.chunk as u64 }
    }
}

impl<'de> Deserialize<'de> for Chunking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, chunk) = <(u64, u32)>::deserialize(deserializer)?;
        Self::new(bytes, chunk).ok_or_else(|| de::Error::custom("a size or a length of chunks that nobody may offer"))
    }
}

/// What is said about an offer: by whoever may have it to whoever offers it, and the other way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNotice {
    /// Which.
    pub file: FileId,
    /// What.
    pub word: FileWord,
    /// Why; empty for nothing.
    pub reason: BoundedText<FILE_REASON_MAX>,
}

/// A word about an offer. Append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileWord {
    /// The recipient wants it.
    Accepted,
    /// The recipient does not want it.
    Declined,
    /// The recipient has it, whole: its hash is the offer's.
    Received,
    /// Whoever offered it, or whoever had accepted it, wants it no more.
    Cancelled,
    /// It did not come whole, and is not tried again.
    Failed,
}
