//! A folder in which something is received: the hidden place for what is not whole yet, and the name at the end.
//!
//! Everything is opened relative to the folder and without following links, so that nobody who can write beside it turns a
//! file elsewhere. A name is taken by a rename that replaces nothing.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use protocol::FileId;
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::{ReceiveError, name};

/// Holds what is not whole yet, a folder for each.
const PARTIALS: &str = ".tuppence-partial";
/// What is received, in its own folder there.
pub(super) const DATA: &str = "data";
/// Only the owner may enter.
pub(super) const FOLDER_MODE: Mode = Mode::RWXU;
/// The same for the standard library.
const FOLDER_BITS: u32 = 0o700;
/// Only the owner may read and write, and nobody may execute.
pub(super) const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Flags of every folder that is opened.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How often a folder is made anew that others remove at the same time: each time they would have to come in between.
const RACES_MAX: u32 = 100;
/// Numbers that are tried behind a taken name; then there is something else wrong.
const NUMBERS_MAX: u32 = 10_000;

/// What something that is whole is to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Somebody else's hint, with a number if that is taken.
    Hint(&'a str),
    /// What the person here said, or nothing.
    Exactly(&'a OsStr),
}

/// A folder in which something is received.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    folder: OwnedFd,
}

impl Place {
    /// Opens a folder, and makes it if it is missing.
    ///
    /// # Errors
    /// [`ReceiveError`] if it can't be made or opened.
    pub fn open(path: &Path) -> Result<Self, ReceiveError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let builder = &mut std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(FOLDER_BITS).create(path);
        made.map_err(|error| ReceiveError::from_io(path, error))?;
        // The folder itself may be a link: the person said so.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(ReceiveError::at(path))?;
        Ok(Self { path: path.to_owned(), folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are free there.
    ///
    /// # Errors
    /// [`ReceiveError::Io`].
    pub fn free(&self) -> Result<u64, ReceiveError> {
        let there = rustix::fs::fstatvfs(&self.folder).map_err(ReceiveError::at(&self.path))?;
        Ok(there.f_bavail.saturating_mul(there.f_frsize))
    }

    /// The private folder of something that is not whole; makes it if it is missing.
    pub(super) fn partial(&self, file: FileId) -> Result<OwnedFd, ReceiveError> {
        let open = || {
            let partials = self.private(self.folder.as_fd(), PARTIALS)?;
            self.private(partials.as_fd(), &file.to_string())
        };
        let removed = |opened: &Result<OwnedFd, ReceiveError>| matches!(opened, Err(ReceiveError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound);
        // Whoever lets go of the last thing in there removes the folder of all of them, perhaps at this moment.
        let mut opened = open();
        for _ in 0..RACES_MAX {
            if !removed(&opened) {
                break;
            }
            opened = open();
        }
        opened
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Gives what is whole its name. The place in which it was made stays, with a mark of that, until it is discarded.
    pub(super) fn keep(&self, file: FileId, wanted: Wanted<'_>) -> Result<PathBuf, ReceiveError> {
        let partial = self.partial(file)?;
        self.mark(partial.as_fd())?;
        let named = match wanted {
            Wanted::Exactly(name) => {
                rename(partial.as_fd(), self.folder.as_fd(), name).map(|()| self.path.join(name)).map_err(|errno| {
                    let path = self.path.join(name);
                    if errno == Errno::EXIST { ReceiveError::Taken(path) } else { ReceiveError::at(&path)(errno) }
                })?
            }
            Wanted::Hint(hint) => self.keep_by_hint(partial.as_fd(), hint)?,
        };
        rustix::fs::fsync(&self.folder).map_err(ReceiveError::at(&self.path))?;
        Ok(named)
    }

    fn keep_by_hint(&self, partial: BorrowedFd<'_>, hint: &str) -> Result<PathBuf, ReceiveError> {
        let name = name::received(hint);
        for number in 0..NUMBERS_MAX {
            let name = if number == 0 { name.clone() } else { name::numbered(&name, number) };
            match rename(partial, self.folder.as_fd(), OsStr::new(&name)) {
                Ok(()) => return Ok(self.path.join(name)),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(ReceiveError::at(&self.path.join(name))(errno)),
            }
        }
        Err(ReceiveError::Taken(self.path.join(name)))
    }

    /// Removes whatever there is of something in the making, and the mark of what was named. Nothing is fine.
    ///
    /// # Errors
    /// [`ReceiveError::Io`] if the system refuses.
    pub fn discard(&self, file: FileId) -> Result<(), ReceiveError> {
        let partials = self.path.join(PARTIALS);
        let path = partials.join(file.to_string());
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ReceiveError::from_io(&path, error)),
            _ => {}
        }
        // It stays while there is something else in it.
        let _ = rustix::fs::unlinkat(&self.folder, PARTIALS, AtFlags::REMOVEDIR);
        Ok(())
    }

    fn private(&self, parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, ReceiveError> {
        let path = self.path.join(PARTIALS);
        let folder = match open_folder(parent, name, true) {
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(ReceiveError::Foreign(path)),
            opened => opened.map_err(ReceiveError::at(&path))?,
        };
        let found = rustix::fs::fstat(&folder).map_err(ReceiveError::at(&path))?;
        if found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(ReceiveError::Foreign(path));
        }
        rustix::fs::fchmod(&folder, FOLDER_MODE).map_err(ReceiveError::at(&path))?;
        Ok(folder)
    }
}

/// Opens a folder below another one, and makes it if it is missing and wanted.
pub(super) fn open_folder(parent: BorrowedFd<'_>, name: &str, make: bool) -> Result<OwnedFd, Errno> {
    if make {
        match rustix::fs::mkdirat(parent, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    rustix::fs::openat(parent, name, FOLDER, Mode::empty())
}

/// Moves what is whole to its name, unless something has that.
fn rename(partial: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::renameat_with(partial, DATA, folder, name, RenameFlags::NOREPLACE) {
        // Some file systems can't refuse to replace: a link or a folder that is made says the same.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_in_two_steps(partial, folder, name),
        result => result,
    }
}

fn rename_in_two_steps(partial: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let found = rustix::fs::statat(partial, DATA, AtFlags::SYMLINK_NOFOLLOW)?;
    if rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() {
        rustix::fs::mkdirat(folder, name, FOLDER_MODE)?;
        // Onto a folder that is still empty, or not at all.
        return rustix::fs::renameat(partial, DATA, folder, name);
    }
    rustix::fs::linkat(partial, DATA, folder, name, AtFlags::empty())?;
    rustix::fs::unlinkat(partial, DATA, AtFlags::empty())
}
