//! What is offered: found on the disk, hashed once, and remembered by what tells whether it was changed since.

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use protocol::{
    Bounded,
    file::{
        Chunking, FileShape, ManifestLength,
        manifest::{EntryKind, FilePath, Manifest, ManifestEntry},
    },
    limits::{CHUNK_LENGTH_MAX, FILE_CHUNKS_MAX, FILE_ENCLOSED_MAX, MANIFEST_ENTRIES_MAX},
};
use rustix::{
    fs::{Dir, FileType, Mode, OFlags},
    io::Errno,
};
use sha2::{Digest as _, Sha256};

use super::SendError;

/// Length of the chunks of what is offered here: long enough that what each costs does not count, short enough that the
/// few that are under way stay in a processor's cache.
pub const CHUNK: u32 = 256 * 1024;
/// Bytes that are read at once to be hashed.
const PIECE: usize = 256 * 1024;
/// How a file is opened: a pipe must not be waited for before it is known for what it is.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// What tells whether a file is still the one that was hashed: its size and the time of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Its size.
    pub bytes: u64,
    /// Seconds and nanoseconds of its last change.
    pub changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(found: &Metadata) -> Self {
        Self { bytes: found.len(), changed: (found.mtime(), found.mtime_nsec()) }
    }
}

/// What is offered, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Its path, from the root.
    pub path: PathBuf,
    /// Its own name.
    pub name: String,
    /// A file or a folder.
    pub shape: FileShape,
    /// How it is cut.
    pub chunking: Chunking,
    /// Of the file, or of the manifest.
    pub sha256: [u8; 32],
    /// What is in a folder; empty for a file.
    pub manifest: Vec<u8>,
    /// One for each file, in the order of their bytes.
    pub stamps: Vec<Stamp>,
    /// All of it, the manifest first, if it is small enough to come with its offer: the bytes that were hashed.
    pub enclosed: Option<Vec<u8>>,
}

/// The bytes of what is surveyed, as long as they are few.
#[derive(Debug)]
struct Few(Option<Vec<u8>>);

impl Few {
    const fn none_yet() -> Self {
        Self(Some(Vec::new()))
    }

    fn add(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Some(few) if few.len() + piece.len() <= FILE_ENCLOSED_MAX => few.extend_from_slice(piece),
            many => *many = None,
        }
    }

    /// With a manifest before them, if that leaves them few.
    fn behind(self, manifest: &[u8]) -> Option<Vec<u8>> {
        let few = self.0.filter(|few| few.len() + manifest.len() <= FILE_ENCLOSED_MAX)?;
        Some([manifest, &few].concat())
    }
}

/// Looks at a file or a folder, and hashes all of it. Takes as long as reading it does.
///
/// # Errors
/// [`SendError`], with the path in question.
pub fn survey(path: &Path) -> Result<Survey, SendError> {
    let failed = SendError::unreadable(path);
    let said = path.file_name();
    let path = &std::fs::canonicalize(path).map_err(&failed)?;
    // A link's own name: what it leads to is called otherwise for a reason, perhaps one that is nobody else's business.
    let name = said.or(path.file_name()).and_then(OsStr::to_str);
    let name = name.ok_or_else(|| SendError::Name(path.clone()))?.to_owned();
    let opened = rustix::fs::open(path, FILE, Mode::empty());
    let file = match opened {
        // What a socket or a device without a driver says.
        Err(Errno::NXIO | Errno::NODEV) => return Err(SendError::Special(path.clone())),
        opened => File::from(opened.map_err(|errno| failed(errno.into()))?),
    };
    let found = file.metadata().map_err(&failed)?;
    if found.is_file() {
        let mut few = Few::none_yet();
        let (sha256, stamp) = hash(file, path, &mut few)?;
        let chunking = chunking(stamp.bytes).ok_or_else(|| SendError::TooLarge(path.clone()))?;
        let (shape, manifest, stamps) = (FileShape::File, Vec::new(), vec![stamp]);
        let enclosed = few.behind(&manifest);
        return Ok(Survey { path: path.clone(), name, shape, chunking, sha256, manifest, stamps, enclosed });
    }
    if !found.is_dir() {
        return Err(SendError::Special(path.clone()));
    }
    let mut walk = Walk { root: path, entries: Vec::new(), stamps: Vec::new(), few: Few::none_yet() };
    walk.folder(&OwnedFd::from(file), "")?;
    let too_large = || SendError::TooLarge(path.clone());
    let Walk { entries, stamps, few, .. } = walk;
    let manifest = Manifest { entries: Bounded::new(entries).map_err(|_| too_large())? };
    let chunking = manifest.total().and_then(chunking).ok_or_else(too_large)?;
    let manifest = manifest.to_bytes().map_err(|_| too_large())?;
    let length = u32::try_from(manifest.len()).ok().and_then(ManifestLength::new).ok_or_else(too_large)?;
    let (shape, sha256) = (FileShape::Folder { manifest: length }, Sha256::digest(&manifest).into());
    let enclosed = few.behind(&manifest);
    Ok(Survey { path: path.clone(), name, shape, chunking, sha256, manifest, stamps, enclosed })
}

/// The usual chunks; longer ones where there would be too many of them.
fn chunking(bytes: u64) -> Option<Chunking> {
    let chunk = if bytes.div_ceil(u64::from(CHUNK)) <= FILE_CHUNKS_MAX { CHUNK } else { CHUNK_LENGTH_MAX };
    Chunking::new(bytes, chunk)
}

/// Hashes a file that nobody changes meanwhile, and keeps its bytes if they are few.
fn hash(mut file: File, path: &Path, few: &mut Few) -> Result<([u8; 32], Stamp), SendError> {
    let failed = SendError::unreadable(path);
    let stamp = Stamp::of(&file.metadata().map_err(&failed)?);
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE.min(usize::try_from(stamp.bytes).unwrap_or(PIECE) + 1)];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                let piece = piece.get(..read).unwrap_or_default();
                hasher.update(piece);
                few.add(piece);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if length != stamp.bytes || Stamp::of(&file.metadata().map_err(&failed)?) != stamp {
        return Err(SendError::Changed(path.to_owned()));
    }
    Ok((hasher.finalize().into(), stamp))
}

/// A walk through a folder, in the order of names.
struct Walk<'a> {
    root: &'a Path,
    entries: Vec<ManifestEntry>,
    stamps: Vec<Stamp>,
    few: Few,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &OwnedFd, prefix: &str) -> Result<(), SendError> {
        let here = self.root.join(prefix);
        let failed = |errno: Errno| SendError::unreadable(&here)(errno.into());
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
            if names.len() > MANIFEST_ENTRIES_MAX {
                return Err(SendError::TooLarge(self.root.to_owned()));
            }
        }
        names.sort_unstable();
        for name in names {
            let name = OsStr::from_bytes(name.to_bytes());
            let path = here.join(name);
            let Some(name) = name.to_str() else { return Err(SendError::Name(path)) };
            let own = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            self.entry(folder.as_fd(), name, own, &path)?;
        }
        Ok(())
    }

    /// Takes files and folders; links are skipped, and so is what is neither.
    fn entry(&mut self, parent: BorrowedFd<'_>, name: &str, own: String, path: &Path) -> Result<(), SendError> {
        let too_large = || SendError::TooLarge(path.to_owned());
        let failed = |errno: Errno| SendError::unreadable(path)(errno.into());
        let found = rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let is_folder = match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return Ok(()),
        };
        if self.entries.len() >= MANIFEST_ENTRIES_MAX {
            return Err(too_large());
        }
        let listed = FilePath::new(own.clone()).ok_or_else(too_large)?;
        let opened = rustix::fs::openat(parent, name, FILE | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)?;
        if is_folder {
            self.entries.push(ManifestEntry { path: listed, kind: EntryKind::Folder });
            return self.folder(&opened, &own);
        }
        let file = File::from(opened);
        // Something else may have taken its place meanwhile.
        if !file.metadata().map_err(SendError::unreadable(path))?.is_file() {
            return Err(SendError::Changed(path.to_owned()));
        }
        let (sha256, stamp) = hash(file, path, &mut self.few)?;
        self.stamps.push(stamp);
        self.entries.push(ManifestEntry { path: listed, kind: EntryKind::File { bytes: stamp.bytes, sha256 } });
        Ok(())
    }
}
