//! What can go wrong with a profile, by operation, each with the sentence that says what to do next.

use std::{io, path::PathBuf};

use node_core::command::{Failure, FailureCode};

/// Why a profile could not be made, opened or changed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The password does not open it.
    #[error("wrong password for this profile; try SIGNIN NAME again")]
    WrongPassword,
    /// Another process holds it.
    #[error("profile in use: close the other node, or take another profile with `node --profile NAME`")]
    InUse,
    /// There is already one.
    #[error("this profile belongs to {name} already; use SIGNIN {name}, or take another with `node --profile NAME`")]
    Exists {
        /// Whose it is.
        name: String,
    },
    /// There is none.
    #[error("there is no profile in {}; use SIGNUP to make one", .0.display())]
    NotFound(PathBuf),
    /// A newer program wrote it; it was not touched.
    #[error("this profile was written by a newer node (format {found}, this one knows {known}); update this program")]
    NewerProgram {
        /// What it has.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// Its files are not what was written.
    #[error("the profile in {} is damaged ({what}); restore the whole folder from a backup", .folder.display())]
    Damaged {
        /// Where.
        folder: PathBuf,
        /// What was found.
        what: String,
    },
    /// The parameters for stretching the password are out of range.
    #[error("the password can't be stretched with these parameters: {0}")]
    Stretching(argon2::Error),
    /// The system has no randomness.
    #[error("the system gives no random numbers ({0}); try again when it has finished starting")]
    Entropy(getrandom::Error),
    /// The disk or its permissions.
    #[error("can't use {}: {source}; check its permissions and the free space", .path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database.
    #[error("can't use the profile's database: {0}; check the disk's free space")]
    Database(rusqlite::Error),
}

impl ProfileError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// The class that scripts and exit codes go by.
    #[must_use]
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::WrongPassword => FailureCode::Auth,
            Self::InUse | Self::Exists { .. } | Self::NotFound(_) => FailureCode::Conflict,
            Self::NewerProgram { .. }
            | Self::Damaged { .. }
            | Self::Stretching(_)
            | Self::Entropy(_)
            | Self::Io { .. }
            | Self::Database(_) => FailureCode::Other,
        }
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Why a transaction is not durable.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk or the database refused it. Nothing of it happened as far as is known; only reading again tells.
    #[error("the profile could not be written: {0}; free some disk space and start the node again")]
    Failed(#[source] rusqlite::Error),
    /// An earlier commit failed, so what is in memory may not be what is on disk.
    #[error("the profile was not written since an earlier write failed; start the node again")]
    Refused,
    /// An event's number is not the one that follows the last.
    #[error("event {found} can't follow event {last}: a bug of this program")]
    EventOutOfOrder {
        /// The last one.
        last: u64,
        /// What came; zero if it had none.
        found: u64,
    },
    /// A message's short id is taken.
    #[error("message m{0} exists already: a bug of this program")]
    ShortIdTaken(u64),
    /// A value can't be written.
    #[error("a value that can't be stored: {0}: a bug of this program")]
    Unencodable(postcard::Error),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk or the database.
    #[error("the profile could not be read: {0}; check the disk, or restore the folder from a backup")]
    Failed(#[from] rusqlite::Error),
    /// A value is not what was written.
    #[error("the profile holds {0} that this program can't read; restore the folder from a backup")]
    Damaged(&'static str),
    /// A write failed, and the profile was not opened again since.
    #[error("the profile could not be written before; start the node again")]
    NotOpen,
    /// The profile can't be opened again.
    #[error(transparent)]
    Reopen(#[from] Box<ProfileError>),
}

/// Why events could not be read.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Some of them are not kept any more.
    #[error("events up to {} are not kept any more; start again from {oldest}", oldest - 1)]
    Dropped {
        /// The oldest that is kept.
        oldest: u64,
    },
    /// As every read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
