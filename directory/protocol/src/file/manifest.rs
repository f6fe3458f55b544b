//! What is in an offered folder: a list of paths, each with its size and its hash.
//!
//! A path is relative, its parts are separated by `/`, and none of them is empty, `.`, `..` or has a zero byte: such a
//! list is refused while it is decoded. What else a name may be is for whoever writes it to a disk to judge.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    Bounded,
    frame::{self, FrameError},
    limits::{FILE_DEPTH_MAX, FILE_PATH_MAX, MANIFEST_ENTRIES_MAX, MANIFEST_MAX},
};

/// A path within a folder, in the sender's spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FilePath(String);

impl FilePath {
    /// Takes a path that leads downwards; `None` for any other.
    #[must_use]
    pub fn new(path: String) -> Option<Self> {
        let leads_down = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let short = path.len() <= FILE_PATH_MAX && path.split('/').count() <= FILE_DEPTH_MAX;
        (short && path.split('/').all(leads_down)).then_some(Self(path))
    }

    /// The names on the way, the last one its own.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// As a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = crate::BoundedText::<FILE_PATH_MAX>::deserialize(deserializer)?;
        Self::new(path.into_inner()).ok_or_else(|| de::Error::custom("a path that does not lead downwards"))
    }
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Where.
    pub path: FilePath,
    /// What.
    pub kind: EntryKind,
}

/// What a thing in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A folder; whatever is in it comes after it.
    Folder,
    /// A file.
    File {
        /// Its size.
        bytes: u64,
        /// Its SHA-256.
        sha256: [u8; 32],
    },
}

/// Everything in a folder, in the order in which the bytes of its files follow each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// In order.
    pub entries: Bounded<ManifestEntry, MANIFEST_ENTRIES_MAX>,
}

impl Manifest {
    /// The bytes that are hashed, sealed and sent.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] above [`MANIFEST_MAX`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, FrameError> {
        frame::encode_body(self, MANIFEST_MAX as usize)
    }

    /// Reads such bytes.
    ///
    /// # Errors
    /// [`FrameError`] if they are none, or have more in them than they should.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrameError> {
        frame::decode_body(bytes, MANIFEST_MAX as usize)
    }

    /// The sizes of all files together; `None` if there is no such number.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.entries.iter().try_fold(0_u64, |total, entry| match entry.kind {
            EntryKind::Folder => Some(total),
            EntryKind::File { bytes, .. } => total.checked_add(bytes),
        })
    }
}
