//! One value of each variant that is about files.

use protocol::{
    FileId, Timestamp,
    file::{
        Chunking, EnclosedFile, FileNotice, FileOffer, FileSecret, FileShape, FileWord, ManifestLength,
        manifest::{EntryKind, FilePath, Manifest, ManifestEntry},
        stream::{FileFetch, FileGrant, FilePart, FileRefusal, FileTaken},
    },
};

use super::{list, text};

const FILE: FileId = FileId([0xf1; 16]);

pub(crate) fn offer() -> FileOffer {
    FileOffer {
        file: FILE,
        secret: FileSecret([0x5e; 32]),
        name: text("cat.png"),
        shape: FileShape::File,
        chunking: Chunking::new(300_000, 65_536).unwrap(),
        sha256: [0x4a; 32],
        caption: text("miau"),
        expires: Timestamp(300),
    }
}

/// The same offer of so many bytes.
pub(crate) fn offer_of(bytes: usize, shape: FileShape) -> FileOffer {
    FileOffer { shape, chunking: Chunking::new(bytes as u64, 65_536).unwrap(), ..offer() }
}

pub(crate) fn enclosed() -> EnclosedFile {
    EnclosedFile::new(offer_of(4, FileShape::File), b"miau".to_vec()).unwrap()
}

pub(crate) fn notice() -> FileNotice {
    FileNotice { file: FILE, word: FileWord::Declined, reason: text("too large") }
}

pub(crate) fn shapes() -> Vec<FileShape> {
    vec![FileShape::File, FileShape::Folder { manifest: ManifestLength::new(300).unwrap() }]
}

pub(crate) fn words() -> Vec<FileWord> {
    use FileWord::{Accepted, Cancelled, Declined, Failed, Received};
    vec![Accepted, Declined, Received, Cancelled, Failed]
}

pub(crate) fn manifest() -> Manifest {
    let entry = |path: &str, kind| ManifestEntry { path: FilePath::new(path.to_owned()).unwrap(), kind };
    let file = EntryKind::File { bytes: 300, sha256: [0x5a; 32] };
    Manifest { entries: list(vec![entry("src", EntryKind::Folder), entry("src/a.rs", file)]) }
}

pub(crate) fn fetches() -> Vec<FileFetch> {
    [FilePart::Manifest, FilePart::Chunks].map(|part| FileFetch { file: FILE, part, from: 300 }).to_vec()
}

pub(crate) fn grants() -> Vec<FileGrant> {
    vec![FileGrant::Granted { salt: [0x5a; 32] }, FileGrant::Refused(FileRefusal::Changed)]
}

pub(crate) fn refusals() -> Vec<FileRefusal> {
    use FileRefusal::{Busy, Changed, Malformed, Unknown, Unreadable, Unwanted, Withdrawn};
    vec![Unknown, Withdrawn, Changed, Unreadable, Busy, Unwanted, Malformed]
}

pub(crate) fn taken() -> FileTaken {
    FileTaken { below: 300 }
}
