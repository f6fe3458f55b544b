//! The data folder: one serving process at a time, readable by the operator alone.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::store::sqlite::{DATABASE, ledger::LEDGER};

/// Holding its lock means being the one process that serves from this folder. It stays when the process is gone: only
/// the lock on it counts, and the system lets go of that whatever ended the process.
const LOCK_FILE: &str = "directory.lock";
/// How long somebody who only looks may hold the lock, and how often we wait for that.
const LOOK: Duration = Duration::from_millis(20);
/// See [`LOOK`].
const LOOKS_MAX: u32 = 5;

/// Why a data folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another process serves from it.
    #[error(
        "{} is in use by another directory process; stop that one, or give this one a folder of its own with --data DIR",
        .0.display()
    )]
    InUse(PathBuf),
    /// The system won't have it.
    #[error("the data folder {} cannot be used: {source}; give another one with --data DIR", folder.display())]
    Unusable {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A data folder that this process serves from.
#[derive(Debug)]
pub struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is not there, and takes it for this process.
    ///
    /// # Errors
    /// [`DataFolderError`] if another process has it or the system won't have it.
    pub fn take(folder: &Path) -> Result<Self, DataFolderError> {
        let unusable = |source| DataFolderError::Unusable { folder: folder.to_owned(), source };
        create(folder).map_err(unusable)?;
        let lock = open_lock(folder).map_err(unusable)?;
        for database in [DATABASE, LEDGER] {
            create_private(&folder.join(database)).map_err(unusable)?;
        }
        // Whoever only looks whether the folder is taken holds the lock for a moment.
        for _ in 0..LOOKS_MAX {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { _lock: lock }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
                Err(TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
        Err(DataFolderError::InUse(folder.to_owned()))
    }
}

/// Whether a process serves from the folder.
pub(crate) fn is_taken(folder: &Path) -> io::Result<bool> {
    match open_lock(folder)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open_lock(folder: &Path) -> io::Result<File> {
    open_private(&folder.join(LOCK_FILE))
}

/// Makes a file for its owner alone whatever the umask, unless it is there. A database that begins as such an empty file
/// hands its permissions on to the files beside it.
pub(crate) fn create_private(file: &Path) -> io::Result<()> {
    open_private(file).map(drop)
}

fn open_private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Makes the folder, for its owner alone whatever the umask; one that exists keeps its permissions but for others' to it.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    #[cfg(unix)]
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("new").join("folder");
        let first = DataFolder::take(&folder).unwrap();
        assert!(is_taken(&folder).unwrap());
        assert!(matches!(DataFolder::take(&folder), Err(DataFolderError::InUse(taken)) if taken == folder));
        drop(first);
        assert!(!is_taken(&folder).unwrap());
        DataFolder::take(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        let _taken = DataFolder::take(&folder).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(LOCK_FILE))), (0o700, 0o600));
        assert_eq!((mode(&folder.join(DATABASE)), mode(&folder.join(LEDGER))), (0o600, 0o600));
    }
}
