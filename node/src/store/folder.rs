//! The profile's folder: its files, their permissions, and the lock that keeps a second process out.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::error::ProfileError;

/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read and write.
const FILE_MODE: u32 = 0o600;

const KEY: &str = "profile.key";
const KEY_UNFINISHED: &str = "profile.key.new";
const DATABASE: &str = "profile.db";
const LOCK: &str = "profile.lock";
/// What the database keeps beside itself.
const DATABASE_COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A folder that this process alone has open; the lock goes with it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing and locks it.
    pub(super) fn create(path: &Path) -> Result<Self, ProfileError> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(ProfileError::io(path))?;
        Self::lock(path)
    }

    /// Locks a folder that has a profile in it.
    pub(super) fn open(path: &Path) -> Result<Self, ProfileError> {
        if !path.join(KEY).exists() {
            return Err(ProfileError::NotFound(path.to_path_buf()));
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, ProfileError> {
        std::fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)).map_err(ProfileError::io(path))?;
        let file = private_file(&path.join(LOCK)).map_err(ProfileError::io(path.join(LOCK)))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(ProfileError::InUse),
            Err(TryLockError::Error(source)) => Err(ProfileError::Io { path: path.join(LOCK), source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn has_key(&self) -> bool {
        self.path.join(KEY).exists()
    }

    pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, ProfileError> {
        let file = path.join(KEY);
        std::fs::read(&file).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProfileError::NotFound(path.to_path_buf()),
            _ => ProfileError::Io { path: file, source },
        })
    }

    /// Writes the key file so that after a crash there is the old one or the new one, whole.
    pub(super) fn write_key(&self, bytes: &[u8]) -> Result<(), ProfileError> {
        let unfinished = self.path.join(KEY_UNFINISHED);
        let write = || -> io::Result<()> {
            let mut file = private_file(&unfinished)?;
            file.set_len(0)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&unfinished, self.path.join(KEY))?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(ProfileError::io(self.path.join(KEY)))
    }

    /// Makes an empty file for the database, since the database itself would ask the umask. A file without a key file
    /// beside it can't be read by anybody, but is put aside rather than overwritten: its key may be in a backup.
    pub(super) fn make_database_file(&self) -> Result<(), ProfileError> {
        let database = self.database();
        if database.exists() {
            for companion in ["", "-wal"] {
                let from = self.path.join(format!("{DATABASE}{companion}"));
                if from.exists() {
                    let aside = self.path.join(format!("without-key.db{companion}"));
                    std::fs::rename(&from, aside).map_err(ProfileError::io(from))?;
                }
            }
        }
        private_file(&database).map(drop).map_err(ProfileError::io(database))
    }

    /// Removes the profile's own files, and the folder if nothing else is in it.
    pub(super) fn discard(self) -> Result<(), ProfileError> {
        let companions = DATABASE_COMPANIONS.map(|suffix| format!("{DATABASE}{suffix}"));
        let files = [KEY, KEY_UNFINISHED, DATABASE, LOCK];
        for name in files.into_iter().chain(companions.iter().map(String::as_str)) {
            let file = self.path.join(name);
            match std::fs::remove_file(&file) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(ProfileError::Io { path: file, source });
                }
                _ => {}
            }
        }
        match std::fs::remove_dir(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(ProfileError::Io { path: self.path, source })
            }
            _ => Ok(()),
        }
    }
}

/// Opens or makes a file that nobody else may read, whatever the umask says.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}
