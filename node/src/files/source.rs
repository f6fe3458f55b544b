//! Reading what was offered, chunk by chunk, and noticing when it is not the same any more.

use std::{
    fs::File,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
};

use protocol::file::{
    Chunking,
    manifest::{EntryKind, FilePath, Manifest},
};
use rustix::fs::{Mode, OFlags};

use super::{SendError, survey::Stamp};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// One file of what was offered.
#[derive(Debug)]
struct Part {
    /// Below the folder; `None` for the one file itself.
    path: Option<FilePath>,
    start: u64,
    stamp: Stamp,
}

/// What was offered, open to be read.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    chunking: Chunking,
    parts: Vec<Part>,
    open: Option<(usize, File)>,
}

impl Source {
    /// Opens what was surveyed; nothing is read yet.
    ///
    /// # Errors
    /// [`SendError::Changed`] if manifest and stamps don't belong together.
    pub fn new(path: &Path, chunking: Chunking, manifest: &[u8], stamps: &[Stamp]) -> Result<Self, SendError> {
        let changed = || SendError::Changed(path.to_owned());
        let mut paths = if manifest.is_empty() {
            vec![None]
        } else {
            let entries = Manifest::from_bytes(manifest).map_err(|_| changed())?.entries;
            let files = entries.into_iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
            files.map(|entry| Some(entry.path)).collect()
        };
        if paths.len() != stamps.len() {
            return Err(changed());
        }
        let (mut parts, mut start) = (Vec::with_capacity(paths.len()), 0_u64);
        for (path, stamp) in paths.drain(..).zip(stamps) {
            parts.push(Part { path, start, stamp: *stamp });
            start = start.checked_add(stamp.bytes).ok_or_else(changed)?;
        }
        if start != chunking.bytes() {
            return Err(changed());
        }
        Ok(Self { path: path.to_owned(), chunking, parts, open: None })
    }

    /// Reads a chunk into `chunk`, which it replaces; `false` after the last.
    ///
    /// # Errors
    /// [`SendError`] if it can't be read, or is not what was offered any more.
    pub fn read(&mut self, index: u64, chunk: &mut Vec<u8>) -> Result<bool, SendError> {
        let Some((start, length)) = self.chunking.place(index) else { return Ok(false) };
        chunk.resize(length as usize, 0);
        let mut rest = chunk.as_mut_slice();
        let mut at = start;
        // The last one that begins there or before; files of no bytes begin where the next one does.
        let mut number = self.parts.partition_point(|part| part.start <= start).saturating_sub(1);
        while !rest.is_empty() {
            let Some(part) = self.parts.get(number) else { return Err(SendError::Changed(self.path.clone())) };
            let offset = at - part.start;
            let now = rest.len().min(usize::try_from(part.stamp.bytes - offset).unwrap_or(usize::MAX));
            let (piece, later) = rest.split_at_mut(now);
            if now > 0 {
                self.read_part(number, offset, piece)?;
            }
            rest = later;
            at += now as u64;
            number += 1;
        }
        Ok(true)
    }

    fn read_part(&mut self, number: usize, offset: u64, piece: &mut [u8]) -> Result<(), SendError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = Some((number, self.open_part(number)?));
        }
        let Some(((_, file), part)) = self.open.as_ref().zip(self.parts.get(number)) else { return Ok(()) };
        let path = self.path_of(part);
        match file.read_exact_at(piece, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(SendError::Changed(path)),
            read => read.map_err(SendError::lost(&path))?,
        }
        // Looked at after reading: whatever was read is from before that change, if there is one.
        let found = file.metadata().map_err(SendError::lost(&path))?;
        if Stamp::of(&found) == part.stamp { Ok(()) } else { Err(SendError::Changed(path)) }
    }

    fn path_of(&self, part: &Part) -> PathBuf {
        part.path.as_ref().map_or_else(|| self.path.clone(), |below| self.path.join(below.as_str()))
    }

    /// Opens a file: below a folder never through a link.
    fn open_part(&self, number: usize) -> Result<File, SendError> {
        let Some(part) = self.parts.get(number) else { return Err(SendError::Changed(self.path.clone())) };
        let path = self.path_of(part);
        let failed = |errno: rustix::io::Errno| match errno {
            rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => SendError::Changed(path.clone()),
            errno => SendError::lost(&path)(errno.into()),
        };
        let opened = match &part.path {
            None => rustix::fs::open(&self.path, FILE, Mode::empty()).map_err(failed)?,
            Some(below) => {
                let mut folder = rustix::fs::open(&self.path, FOLDER, Mode::empty()).map_err(failed)?;
                let mut names: Vec<&str> = below.parts().collect();
                let name = names.pop().unwrap_or_default();
                for name in names {
                    let flags = FOLDER | OFlags::NOFOLLOW;
                    folder = rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty()).map_err(failed)?;
                }
                let flags = FILE | OFlags::NOFOLLOW;
                rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty()).map_err(failed)?
            }
        };
        let file = File::from(opened);
        let found = file.metadata().map_err(SendError::lost(&path))?;
        if found.is_file() && Stamp::of(&found) == part.stamp { Ok(file) } else { Err(SendError::Changed(path)) }
    }
}
