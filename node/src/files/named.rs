//! What has its name already though nobody knows: a node can die after it has named what is whole, and before its core has
//! heard of that. So what is whole is marked before it is named, and the mark is looked for before anything is fetched
//! again; it goes when the core has heard.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::BorrowedFd,
    path::PathBuf,
};

use protocol::{FileId, frame};
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, Stat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    ReceiveError,
    place::{DATA, FILE_MODE, Place},
};

/// The mark, beside what is made.
const MARK: &str = "named";
/// Longest mark.
const MARK_MAX: usize = 64;

/// What tells a file or a folder from all others in its file system, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    inode: u64,
    bytes: i64,
    changed: (i64, i64),
}

impl Mark {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "systems differ in the widths of these numbers"
    )]
    fn of(found: &Stat) -> Self {
        let changed = (found.st_mtime as i64, found.st_mtime_nsec as i64);
        Self { inode: found.st_ino as u64, bytes: found.st_size as i64, changed }
    }
}

impl Place {
    /// Where something is that an earlier run has named, if it is still there: under its name, or under another that it was
    /// given since.
    ///
    /// # Errors
    /// [`ReceiveError`] if the place can't be used.
    pub fn named(&self, file: FileId) -> Result<Option<PathBuf>, ReceiveError> {
        let failed = ReceiveError::at(self.path());
        let partial = self.partial(file)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let marked = match rustix::fs::openat(&partial, MARK, flags, Mode::empty()) {
            Ok(marked) => File::from(marked),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        // It was marked, but its name was refused.
        if rustix::fs::statat(&partial, DATA, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = marked.take(MARK_MAX as u64).read_to_end(&mut bytes);
        read.map_err(|error| ReceiveError::from_io(self.path(), error))?;
        // One that was written in part marks nothing.
        let Ok(mark) = frame::decode_body::<Mark>(&bytes, MARK_MAX) else { return Ok(None) };
        for entry in Dir::read_from(self.folder()).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            if entry.ino() != mark.inode {
                continue;
            }
            let found = rustix::fs::statat(self.folder(), entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            if found.is_ok_and(|found| Mark::of(&found) == mark) {
                let name = entry.file_name().to_string_lossy().into_owned();
                return Ok(Some(self.path().join(name)));
            }
        }
        Ok(None)
    }

    /// Marks what is about to be named.
    pub(super) fn mark(&self, partial: BorrowedFd<'_>) -> Result<(), ReceiveError> {
        let failed = ReceiveError::at(self.path());
        let found = rustix::fs::statat(partial, DATA, AtFlags::SYMLINK_NOFOLLOW).map_err(&failed)?;
        // Of numbers alone it can't be too long; without a mark the worst is that something comes twice.
        let mark = frame::encode_body(&Mark::of(&found), MARK_MAX).unwrap_or_default();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(partial, MARK, flags, FILE_MODE).map_err(&failed)?);
        let written = file.write_all(&mark).and_then(|()| file.sync_data());
        written.map_err(|error| ReceiveError::from_io(self.path(), error))
    }
}
