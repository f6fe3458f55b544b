//! What is not whole yet: written chunk by chunk, taken up again after any interruption, hashed before it has a name.
//!
//! How far it has come is what the disk has: no record of it can be wrong. What was there before this run is hashed again
//! before anything is added to it, since a machine that lost its power may have lost bytes in the middle.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use bytes::{Buf as _, Bytes};
use protocol::{FileId, file::Chunking};
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use sha2::{Digest as _, Sha256};

use super::{
    ReceiveError,
    hashing::Hashing,
    layout::{Item, ItemKind, Layout},
    place::{DATA, FILE_MODE, Place, Wanted, open_folder},
};

/// Bytes that are read at once to be hashed.
const PIECE: usize = 256 * 1024;
/// The list of what is in a folder, beside what is received of it.
const MANIFEST: &str = "manifest";
/// Files from this size on have their room reserved, and are made durable one by one; of smaller ones there may be
/// thousands.
const LARGE: u64 = 1024 * 1024;

/// What the system calls its file systems in memory (`TMPFS_MAGIC`).
#[cfg(target_os = "linux")]
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// The file that is being written.
#[derive(Debug)]
struct Current {
    file: File,
    hashing: Hashing,
    written: u64,
    bytes: u64,
    sha256: [u8; 32],
    /// Whether some of it was there before this run.
    found: bool,
}

/// Something that is being received.
#[derive(Debug)]
pub struct Partial {
    place: Arc<Place>,
    file: FileId,
    folder: OwnedFd,
    layout: Arc<Layout>,
    chunking: Chunking,
    /// Bytes of all files that are on the disk and stay.
    position: u64,
    /// The item that comes after the current one.
    next: usize,
    current: Option<Current>,
}

impl Partial {
    /// Begins, or goes on where it stopped. Takes a while if there is much to hash.
    ///
    /// # Errors
    /// [`ReceiveError`], also if there is no room for the rest.
    pub fn open(
        place: Arc<Place>,
        file: FileId,
        layout: Arc<Layout>,
        chunking: Chunking,
    ) -> Result<Self, ReceiveError> {
        if layout.bytes() != chunking.bytes() {
            return Err(ReceiveError::Unsound);
        }
        let folder = place.partial(file)?;
        let mut partial = Self { place, file, folder, layout, chunking, position: 0, next: 0, current: None };
        partial.advance()?;
        let needed = chunking.bytes() - partial.position;
        let free = partial.place.free()?.saturating_add(partial.reserved());
        if needed > free {
            return Err(ReceiveError::NoSpace { path: partial.place.path().to_owned(), needed, free });
        }
        partial.reserve()?;
        Ok(partial)
    }

    /// The first chunk that is missing, of which the beginning may be there; the number of chunks if none is.
    #[must_use]
    pub const fn next_chunk(&self) -> u64 {
        self.chunking.whole_within(self.position)
    }

    /// Bytes that are on the disk.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Writes the chunk that is next.
    ///
    /// # Errors
    /// [`ReceiveError::Mismatch`] if a file is whole and not what was offered; other [`ReceiveError`]s if the disk refuses.
    pub fn write(&mut self, chunk: Bytes) -> Result<Progress, ReceiveError> {
        if self.is_whole() {
            return Err(ReceiveError::Unsound);
        }
        let start = self.next_chunk().saturating_mul(u64::from(self.chunking.chunk()));
        // Its beginning may be there already.
        let known = usize::try_from(self.position - start).unwrap_or(usize::MAX);
        let mut rest = chunk;
        rest.advance(known.min(rest.len()));
        while !rest.is_empty() {
            let Some(current) = &mut self.current else { return Err(ReceiveError::Unsound) };
            let missing = usize::try_from(current.bytes - current.written).unwrap_or(usize::MAX);
            let now = rest.split_to(rest.len().min(missing));
            current.file.write_all(&now).map_err(|error| ReceiveError::from_io(self.place.path(), error))?;
            current.written += now.len() as u64;
            self.position += now.len() as u64;
            current.hashing.update(now);
            if current.written == current.bytes && self.complete()? == Progress::StartedOver {
                return Ok(Progress::StartedOver);
            }
        }
        Ok(Progress::Taken)
    }

    /// Whether everything is there and has its hash.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.current.is_none() && self.next == self.layout.items().len()
    }

    /// Makes it durable and gives it its name.
    ///
    /// # Errors
    /// [`ReceiveError`]; it can be tried again.
    pub fn keep(self, wanted: Wanted<'_>) -> Result<PathBuf, ReceiveError> {
        if !self.is_whole() {
            return Err(ReceiveError::Unsound);
        }
        if self.layout.items().iter().any(is_small_file) {
            rustix::fs::syncfs(&self.folder).map_err(ReceiveError::at(self.place.path()))?;
        }
        self.place.keep(self.file, wanted)
    }

    /// The list of a folder that was kept, if there is one of this hash.
    ///
    /// # Errors
    /// [`ReceiveError`] if the place can't be used.
    pub fn manifest(place: &Place, file: FileId, sha256: [u8; 32]) -> Result<Option<Vec<u8>>, ReceiveError> {
        let folder = place.partial(file)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match rustix::fs::openat(&folder, MANIFEST, flags, Mode::empty()) {
            Ok(found) => File::from(found),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(ReceiveError::at(place.path())(errno)),
        };
        let mut bytes = Vec::new();
        let limit = u64::from(protocol::limits::MANIFEST_MAX);
        found.take(limit).read_to_end(&mut bytes).map_err(|error| ReceiveError::from_io(place.path(), error))?;
        Ok((Sha256::digest(&bytes).as_slice() == sha256).then_some(bytes))
    }

    /// Keeps the list of a folder beside what is received of it.
    ///
    /// # Errors
    /// [`ReceiveError`] if the disk refuses.
    pub fn keep_manifest(place: &Place, file: FileId, bytes: &[u8]) -> Result<(), ReceiveError> {
        let folder = place.partial(file)?;
        let _ = rustix::fs::unlinkat(&folder, MANIFEST, AtFlags::empty());
        let mut kept = create(&folder, MANIFEST).map_err(ReceiveError::at(place.path()))?;
        kept.write_all(bytes).map_err(|error| ReceiveError::from_io(place.path(), error))
    }

    /// The current file has all its bytes: they are what was offered, or the part that was found is not trusted any more.
    fn complete(&mut self) -> Result<Progress, ReceiveError> {
        let Some(current) = self.current.take() else { return Ok(Progress::Taken) };
        let Current { mut file, hashing, bytes, sha256, found, .. } = current;
        if hashing.finish() == Some(sha256) {
            if bytes >= LARGE {
                file.sync_data().map_err(|error| ReceiveError::from_io(self.place.path(), error))?;
            }
            self.advance()?;
            self.reserve()?;
            return Ok(Progress::Taken);
        }
        let emptied = file.set_len(0).and_then(|()| io::Seek::rewind(&mut file));
        emptied.map_err(|error| ReceiveError::from_io(self.place.path(), error))?;
        if !found {
            return Err(ReceiveError::Mismatch);
        }
        self.position -= bytes;
        let hashing = hashing_of(Sha256::new(), bytes);
        self.current = Some(Current { file, hashing, written: 0, bytes, sha256, found: false });
        Ok(Progress::StartedOver)
    }

    /// Goes on to the next file that needs bytes.
    fn advance(&mut self) -> Result<(), ReceiveError> {
        let place = self.place.clone();
        let error = ReceiveError::at(place.path());
        let layout = self.layout.clone();
        while let Some(item) = layout.items().get(self.next) {
            self.next += 1;
            let (parent, name) = self.parent(item)?;
            match item.kind {
                ItemKind::Folder => {
                    open_folder(parent.as_fd(), name, true).map_err(&error)?;
                }
                ItemKind::File { bytes, sha256, .. } => {
                    let current = self.take_up(&parent, name, bytes, sha256)?;
                    if current.written < bytes {
                        self.current = Some(current);
                        return Ok(());
                    }
                    if current.hashing.finish() != Some(sha256) {
                        return Err(ReceiveError::Mismatch);
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens a file and hashes what is there of it; what can't be right is cut off.
    fn take_up(&mut self, parent: &OwnedFd, name: &str, bytes: u64, sha256: [u8; 32]) -> Result<Current, ReceiveError> {
        let place = self.place.clone();
        let failed = |error: io::Error| ReceiveError::from_io(place.path(), error);
        let mut file = create(parent, name).map_err(ReceiveError::at(place.path()))?;
        let length = file.metadata().map_err(failed)?.len();
        let (mut hasher, mut written) = (Sha256::new(), 0);
        if length > 0 && length <= bytes {
            let mut piece = vec![0; PIECE];
            while let read @ 1.. = file.read(&mut piece).map_err(failed)? {
                hasher.update(piece.get(..read).unwrap_or_default());
                written += read as u64;
            }
        }
        let whole = written == bytes && hasher.clone().finalize().as_slice() == sha256;
        if length > bytes || written == bytes && bytes > 0 && !whole {
            file.set_len(0).map_err(failed)?;
            io::Seek::rewind(&mut file).map_err(failed)?;
            (hasher, written) = (Sha256::new(), 0);
        }
        self.position += written;
        let hashing = if written < bytes { hashing_of(hasher, bytes) } else { Hashing::here(hasher) };
        Ok(Current { file, hashing, written, bytes, sha256, found: written > 0 })
    }

    /// The folder that an item is in, and its name there.
    fn parent<'i>(&self, item: &'i Item) -> Result<(OwnedFd, &'i str), ReceiveError> {
        let error = ReceiveError::at(self.place.path());
        let Some((name, folders)) = item.path.split_last() else {
            return Ok((
                self.folder.try_clone().map_err(|error| ReceiveError::from_io(self.place.path(), error))?,
                DATA,
            ));
        };
        let mut parent = open_folder(self.folder.as_fd(), DATA, false).map_err(&error)?;
        for folder in folders {
            parent = open_folder(parent.as_fd(), folder, false).map_err(&error)?;
        }
        Ok((parent, name))
    }

    /// Bytes that the current file has reserved beyond its length.
    fn reserved(&self) -> u64 {
        let found = self.current.as_ref().and_then(|current| rustix::fs::fstat(&current.file).ok());
        found.map_or(0, |found| {
            let blocks = u64::try_from(found.st_blocks).unwrap_or_default();
            blocks.saturating_mul(512).saturating_sub(u64::try_from(found.st_size).unwrap_or_default())
        })
    }

    /// Reserves the room for the current file, where the file system can.
    fn reserve(&self) -> Result<(), ReceiveError> {
        let Some(current) = self.current.as_ref().filter(|current| current.bytes >= LARGE) else {
            return Ok(());
        };
        match allocate(&current.file, current.bytes) {
            Err(Errno::NOSPC | Errno::DQUOT) => Err(ReceiveError::Full(self.place.path().to_owned())),
            // Otherwise the check of what is free has to do.
            _ => Ok(()),
        }
    }
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is written.
    Taken,
    /// With it a file would be whole, but what was found of it from an earlier run was damaged: it begins anew, at
    /// [`Partial::next_chunk`].
    StartedOver,
}

/// How what follows of a file of this size is hashed: for a small one no thread is worth while.
fn hashing_of(hasher: Sha256, bytes: u64) -> Hashing {
    if bytes < LARGE { Hashing::here(hasher) } else { Hashing::beside(hasher) }
}

/// Whether it is a file that is made durable with all others of its size.
const fn is_small_file(item: &Item) -> bool {
    matches!(item.kind, ItemKind::File { bytes, .. } if bytes < LARGE)
}

/// Opens a file below a folder, never through a link; makes it if it is missing.
fn create(parent: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags | OFlags::CREATE | OFlags::EXCL, FILE_MODE);
    let file = match made {
        Err(Errno::EXIST) => rustix::fs::openat(parent, name, flags, Mode::empty())?,
        made => made?,
    };
    rustix::fs::fchmod(&file, FILE_MODE)?;
    Ok(File::from(file))
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> Result<(), Errno> {
    // In memory that would be as much work as writing, before the first byte is asked for, and all of the memory at once.
    if rustix::fs::fstatfs(file)?.f_type == TMPFS {
        return Ok(());
    }
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64) -> Result<(), Errno> {
    Err(Errno::NOTSUP)
}
