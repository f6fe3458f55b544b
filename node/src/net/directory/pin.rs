//! The directory's key as this node has come to know it: in memory, and in the profile's folder where there is one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use protocol::Fingerprint;

/// The file in the profile's folder.
const FILE: &str = "directory.pin";
const FILE_UNFINISHED: &str = "directory.pin.new";

/// Why the pin can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The file is not what was written.
    #[error("{} is damaged; name the directory's key with --directory HOST:PORT#FINGERPRINT", .0.display())]
    Damaged(PathBuf),
    /// The disk or its permissions.
    #[error("can't use {}: {source}; check its permissions and the free space", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The pin that a profile's folder holds, if any.
///
/// # Errors
/// [`PinError`]; a damaged file never counts as none.
pub fn load(folder: &Path) -> Result<Option<Fingerprint>, PinError> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim_end().parse().map(Some).map_err(|_| PinError::Damaged(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(PinError::Damaged(path)),
        Err(source) => Err(PinError::Io { path, source }),
    }
}

/// Keeps the pin in a profile's folder, whole or not at all.
///
/// # Errors
/// [`PinError::Io`].
pub fn store(folder: &Path, pin: Fingerprint) -> Result<(), PinError> {
    let path = folder.join(FILE);
    let unfinished = folder.join(FILE_UNFINISHED);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{pin}")?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| PinError::Io { path: path.clone(), source })
}

/// Removes the pin from a profile's folder, if it is there.
///
/// # Errors
/// [`PinError::Io`].
pub fn remove(folder: &Path) -> Result<(), PinError> {
    let path = folder.join(FILE);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(PinError::Io { path, source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pin_is_kept_for_the_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
        store(folder.path(), Fingerprint([1; 32])).unwrap();
        store(folder.path(), Fingerprint([2; 32])).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(Fingerprint([2; 32])));
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(folder.path()).unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_damaged_pin_is_an_error_and_never_a_first_contact() {
        let folder = tempfile::tempdir().unwrap();
        for damaged in [&b"12"[..], b"", &[0xff; 8]] {
            fs::write(folder.path().join(FILE), damaged).unwrap();
            assert!(matches!(load(folder.path()), Err(PinError::Damaged(_))));
        }
    }
}
