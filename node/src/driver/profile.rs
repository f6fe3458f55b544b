//! Where a node's profile is, and what is in it: the place on disk, and the store behind a core.

use std::path::{Path, PathBuf};

use node_core::{
    command::Password,
    stored::{Change, Stored, Transaction},
    stretch::StretchParameters,
};
use protocol::Name;

use crate::store::{
    CommitError, EVENTS_KEPT, EventsError, MemoryProfile, Profile, ProfileError, ProfileStore, ReadError,
};

/// Where a profile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileLocation {
    /// In a fresh folder that is removed when the node ends.
    Temporary,
    /// In this folder.
    Folder(PathBuf),
}

/// The place on disk; a temporary one goes with it.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    pub(super) fn new(location: ProfileLocation) -> std::io::Result<Self> {
        Ok(match location {
            ProfileLocation::Folder(folder) => Self { folder, _temporary: None },
            ProfileLocation::Temporary => {
                let temporary = tempfile::Builder::new().prefix("tuppence-").tempdir()?;
                Self { folder: temporary.path().join("profile"), _temporary: Some(temporary) }
            }
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Why the records of a node without a profile could not be moved into one.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Events(#[from] EventsError),
}

/// What a core keeps its records in.
#[derive(Debug)]
pub(super) enum Store {
    /// Nobody has signed up here: nothing is worth keeping.
    Memory(MemoryProfile),
    /// The encrypted profile.
    Disk(Box<Profile>),
}

impl Store {
    pub(super) fn as_mut(&mut self) -> &mut dyn ProfileStore {
        match self {
            Self::Memory(store) => store,
            Self::Disk(store) => store.as_mut(),
        }
    }

    pub(super) fn profile(&self) -> Option<&Profile> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(profile) => Some(profile),
        }
    }

    /// Makes an encrypted profile that holds what was in memory. If that fails, no profile is left.
    pub(super) fn claim(
        &mut self,
        folder: &Path,
        name: &Name,
        password: &Password,
        stretch: StretchParameters,
    ) -> Result<(), ClaimError> {
        let Self::Memory(memory) = self else { return Ok(()) };
        let transaction = everything(memory)?;
        let mut profile = Profile::create(folder, name, password, stretch)?;
        if let Err(error) = profile.commit(transaction) {
            profile.discard()?;
            return Err(error.into());
        }
        *self = Self::Disk(Box::new(profile));
        Ok(())
    }
}

/// All that a store holds as one transaction. It has no timeline: nobody writes to a node without an account.
fn everything(store: &mut MemoryProfile) -> Result<Transaction, ClaimError> {
    let Stored { records, .. } = store.records()?;
    let puts = records.into_iter().map(|(table, key, value)| Change::Put { table, key, value });
    let most = usize::try_from(EVENTS_KEPT).unwrap_or(usize::MAX);
    let events = store.events_since(0, most)?.into_iter().map(Change::Event);
    Ok(Transaction { changes: puts.chain(events).collect() })
}

/// Whether a commit failed in a way after which nothing on this disk can be relied on.
pub(super) fn is_fatal(error: &CommitError) -> bool {
    use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};

    matches!(
        error,
        CommitError::Failed(rusqlite::Error::SqliteFailure(failure, _))
            if [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC].contains(&failure.extended_code)
    )
}
