//! From one folder to another, chunk by chunk, with what can go wrong on a disk in between.

mod naming;
mod unpacking;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use protocol::{
    BoundedText, FileId, Timestamp,
    file::{FileOffer, FileSecret, manifest::Manifest},
};
use tempfile::TempDir;

use super::{
    ReceiveError, SendError,
    layout::Layout,
    partial::{Partial, Progress},
    place::{Place, Wanted},
    source::Source,
    survey::{CHUNK, Survey, survey},
};

pub(crate) const ID: FileId = FileId([0xf1; 16]);
const LENGTH: usize = CHUNK as usize;

/// A folder for what is offered, and one for what is received.
struct Disk {
    folder: TempDir,
    place: Arc<Place>,
}

impl Disk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let place = Arc::new(Place::open(&folder.path().join("inbox")).unwrap());
        Self { folder, place }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn inbox(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / LENGTH * 31 + at % 251) as u8).collect()
}

fn layout(offered: &Survey) -> Arc<Layout> {
    Arc::new(if offered.manifest.is_empty() {
        Layout::of_file(offered.chunking.bytes(), offered.sha256)
    } else {
        Layout::of_folder(&Manifest::from_bytes(&offered.manifest).unwrap(), offered.chunking.bytes()).unwrap()
    })
}

/// What is said of it to others.
pub(crate) fn offer(offered: &Survey) -> FileOffer {
    FileOffer {
        file: ID,
        secret: FileSecret([9; 32]),
        name: BoundedText::new(offered.name.clone()).unwrap(),
        shape: offered.shape,
        chunking: offered.chunking,
        sha256: offered.sha256,
        caption: BoundedText::default(),
        expires: Timestamp(u64::MAX),
    }
}

fn source(offered: &Survey) -> Source {
    Source::new(&offered.path, offered.chunking, &offered.manifest, &offered.stamps).unwrap()
}

/// Carries chunks until there are no more, or so many were.
fn carry(offered: &Survey, partial: &mut Partial, most: u64) -> Result<u64, ReceiveError> {
    let (mut source, mut chunk, mut carried) = (source(offered), Vec::new(), 0);
    while carried < most && source.read(partial.next_chunk(), &mut chunk).unwrap() {
        partial.write(chunk.clone().into())?;
        carried += 1;
    }
    Ok(carried)
}

fn receive(disk: &Disk, offered: &Survey, wanted: Wanted<'_>) -> Result<PathBuf, ReceiveError> {
    let layout = layout(offered);
    let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking)?;
    carry(offered, &mut partial, u64::MAX)?;
    partial.keep(wanted)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Everything below a folder: paths, with what is in files.
fn tree(root: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                found.push((below, None));
                folders.push(path);
            } else {
                found.push((below, Some(fs::read(path).unwrap())));
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn a_file_of_any_size_arrives_whole_private_and_under_its_name() {
    for length in [0, 1, LENGTH - 1, LENGTH, LENGTH + 1, 5 * LENGTH + 7] {
        let disk = Disk::new();
        let path = disk.write("cat.png", &bytes(length));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let offered = survey(&path).unwrap();
        let kept = receive(&disk, &offered, Wanted::Hint(&offered.name)).unwrap();
        assert_eq!(kept, disk.place.path().join("cat.png"));
        assert_eq!(fs::read(&kept).unwrap(), bytes(length));
        assert_eq!(mode(&kept), 0o600, "not to be executed, and nobody else's");
        disk.place.discard(ID).unwrap();
        assert_eq!(disk.inbox(), ["cat.png"], "nothing else is left");
    }
}

#[test]
fn a_taken_name_gets_a_number_and_a_wanted_name_is_never_replaced() {
    let disk = Disk::new();
    let offered = survey(&disk.write("cat.png", b"new")).unwrap();
    fs::create_dir(disk.place.path().join("cat.png")).unwrap();
    symlink("/nowhere", disk.place.path().join("cat (1).png")).unwrap();
    let kept = receive(&disk, &offered, Wanted::Hint("../cat.png")).unwrap();
    assert_eq!(kept, disk.place.path().join("cat (2).png"));
    let refused = receive(&disk, &offered, Wanted::Exactly(OsStr::new("cat (1).png")));
    assert!(matches!(refused, Err(ReceiveError::Taken(path)) if path.ends_with("cat (1).png")));
    let kept = receive(&disk, &offered, Wanted::Exactly(OsStr::new("dog"))).unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"new", "what was whole already is kept under another name");
}

#[test]
fn a_folder_arrives_with_everything_in_it_but_links_and_pipes() {
    let disk = Disk::new();
    disk.write("src/a.rs", b"fn a() {}");
    disk.write("src/deep/er/b.bin", &bytes(3 * LENGTH + 11));
    disk.write("src/deep/empty", b"");
    disk.write("src/.git/config", b"[core]");
    fs::create_dir(disk.folder.path().join("src/nothing")).unwrap();
    let root = disk.folder.path().join("src");
    let before = tree(&root);
    symlink("/etc/passwd", root.join("link")).unwrap();
    symlink("..", root.join("deep/up")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let offered = survey(&root).unwrap();
    assert_eq!(offered.chunking.count(), 4, "small files share chunks");
    let kept = receive(&disk, &offered, Wanted::Hint(&offered.name)).unwrap();
    assert_eq!(tree(&kept), before);
    assert_eq!((mode(&kept), mode(&kept.join("a.rs"))), (0o700, 0o600));
}

#[test]
fn what_was_written_before_an_interruption_is_not_written_again() {
    let disk = Disk::new();
    disk.write("src/a", &bytes(LENGTH / 2));
    disk.write("src/b", &bytes(4 * LENGTH));
    disk.write("src/c", &bytes(LENGTH / 2 + 3));
    let offered = survey(&disk.folder.path().join("src")).unwrap();
    let (layout, count) = (layout(&offered), offered.chunking.count());
    for chunk in 0..count {
        let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
        assert_eq!(partial.next_chunk(), chunk);
        assert_eq!(partial.position(), chunk * u64::from(CHUNK));
        assert_eq!(carry(&offered, &mut partial, 1).unwrap(), 1);
    }
    let partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
    assert!(partial.is_whole());
    let kept = partial.keep(Wanted::Hint("src")).unwrap();
    assert_eq!(tree(&kept), tree(&disk.folder.path().join("src")));
}

#[test]
fn a_chunk_that_was_written_in_part_is_asked_for_again_and_fits() {
    let disk = Disk::new();
    let offered = survey(&disk.write("a", &bytes(3 * LENGTH))).unwrap();
    let layout = layout(&offered);
    let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
    carry(&offered, &mut partial, 2).unwrap();
    drop(partial);
    // The process was killed within a write.
    let data = disk.place.path().join(".tuppence-partial").join(ID.to_string()).join("data");
    fs::OpenOptions::new().write(true).open(data).unwrap().set_len(LENGTH as u64 + 100).unwrap();
    let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
    assert_eq!((partial.next_chunk(), partial.position()), (1, LENGTH as u64 + 100));
    carry(&offered, &mut partial, u64::MAX).unwrap();
    assert_eq!(fs::read(partial.keep(Wanted::Hint("a")).unwrap()).unwrap(), bytes(3 * LENGTH));
}

#[test]
fn what_was_damaged_on_this_disk_begins_anew_and_what_was_changed_at_the_sender_fails() {
    // Hashed where it is written, and on a thread of its own.
    for chunks in [3, 5] {
        let disk = Disk::new();
        let offered = survey(&disk.write("a", &bytes(chunks * LENGTH))).unwrap();
        let layout = layout(&offered);
        let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
        carry(&offered, &mut partial, chunks as u64 - 1).unwrap();
        drop(partial);
        let data = disk.place.path().join(".tuppence-partial").join(ID.to_string()).join("data");
        let mut damaged = fs::read(&data).unwrap();
        damaged[5] ^= 1;
        fs::write(&data, damaged).unwrap();
        let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
        let last = bytes(chunks * LENGTH)[(chunks - 1) * LENGTH..].to_vec();
        assert_eq!(partial.write(last.into()).unwrap(), Progress::StartedOver);
        assert_eq!((partial.next_chunk(), partial.position()), (0, 0));
        carry(&offered, &mut partial, chunks as u64 - 1).unwrap();
        let other = partial.write(vec![7; LENGTH].into());
        assert!(matches!(other, Err(ReceiveError::Mismatch)), "nothing of it was found");
    }
}

#[test]
fn what_is_begun_anew_is_what_was_offered_and_nothing_else() {
    for length in [100, 3 * LENGTH] {
        let disk = Disk::new();
        let offered = survey(&disk.write("a", &bytes(length))).unwrap();
        drop(Partial::open(disk.place.clone(), ID, layout(&offered), offered.chunking).unwrap());
        let data = disk.place.path().join(".tuppence-partial").join(ID.to_string()).join("data");
        fs::write(data, vec![0; length - 50]).unwrap();
        let mut partial = Partial::open(disk.place.clone(), ID, layout(&offered), offered.chunking).unwrap();
        carry(&offered, &mut partial, u64::MAX).unwrap();
        let kept = partial.keep(Wanted::Hint("a")).unwrap();
        assert!(fs::read(kept).unwrap() == bytes(length), "{length}");
    }
}

#[test]
fn more_than_was_offered_is_not_written() {
    let disk = Disk::new();
    let offered = survey(&disk.write("a", b"abc")).unwrap();
    let layout = layout(&offered);
    let mut partial = Partial::open(disk.place.clone(), ID, layout.clone(), offered.chunking).unwrap();
    assert!(matches!(partial.write(b"abcd".as_slice().into()), Err(ReceiveError::Unsound)));
    assert!(matches!(partial.write(b"e".as_slice().into()), Err(ReceiveError::Unsound)));
    let kept = partial.keep(Wanted::Hint("a")).unwrap();
    assert_eq!(fs::read(kept).unwrap(), b"abc");
}

#[test]
fn a_file_that_changes_is_not_sent_any_further() {
    let disk = Disk::new();
    let path = disk.write("a", &bytes(2 * LENGTH));
    let offered = survey(&path).unwrap();
    let (mut source, mut chunk) = (source(&offered), Vec::new());
    assert!(source.read(0, &mut chunk).unwrap());
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(LENGTH as u64).unwrap();
    assert!(matches!(source.read(1, &mut chunk), Err(SendError::Changed(_))), "cut");
    fs::write(&path, bytes(2 * LENGTH)).unwrap();
    assert!(matches!(source.read(0, &mut chunk), Err(SendError::Changed(_))), "written anew");
    fs::remove_file(&path).unwrap();
    let mut again = self::source(&offered);
    assert!(matches!(again.read(0, &mut chunk), Err(SendError::Gone(_))), "gone");
    symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(again.read(0, &mut chunk), Err(SendError::Changed(_))), "a link in its place");
}

#[test]
fn what_is_no_file_or_folder_is_refused_by_name() {
    let disk = Disk::new();
    let missing = disk.folder.path().join("nothing");
    assert!(matches!(survey(&missing), Err(SendError::Missing(path)) if path == missing));
    assert!(matches!(survey(Path::new("/dev/null")), Err(SendError::Special(_))));
    let pipe = disk.folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    assert!(matches!(survey(&pipe), Err(SendError::Special(_))), "and nobody waits for its other end");
    assert!(matches!(survey(Path::new("/")), Err(SendError::Name(_))), "no name to offer it under");
}

#[test]
fn what_a_link_leads_to_goes_under_the_name_that_was_said() {
    let disk = Disk::new();
    let (path, folder) = (disk.write("secret/plan.txt", b"a"), disk.folder.path());
    for (link, to) in [("today.txt", path.as_path()), ("today", path.parent().unwrap())] {
        symlink(to, folder.join(link)).unwrap();
        let offered = survey(&folder.join(link)).unwrap();
        assert_eq!((offered.name.as_str(), offered.path), (link, fs::canonicalize(to).unwrap()));
    }
    assert_eq!(survey(&folder.join("secret/../secret/.")).unwrap().name, "secret");
    let above = fs::canonicalize(folder).unwrap();
    let above = above.file_name().unwrap().to_str();
    assert_eq!(Some(survey(&folder.join("secret/..")).unwrap().name.as_str()), above);
}

#[test]
fn a_link_planted_where_unfinished_files_go_is_not_followed() {
    let disk = Disk::new();
    let offered = survey(&disk.write("a", b"abc")).unwrap();
    let elsewhere = TempDir::new().unwrap();
    symlink(elsewhere.path(), disk.place.path().join(".tuppence-partial")).unwrap();
    let refused = receive(&disk, &offered, Wanted::Hint("a"));
    assert!(matches!(refused, Err(ReceiveError::Foreign(_))), "{refused:?}");
    assert_eq!(tree(elsewhere.path()), []);
}

#[test]
fn a_kept_list_is_found_by_its_hash_alone_and_a_cancelled_file_leaves_nothing() {
    use sha2::Digest as _;
    let disk = Disk::new();
    let hash = sha2::Sha256::digest(b"list").into();
    assert_eq!(Partial::manifest(&disk.place, ID, hash).unwrap(), None);
    Partial::keep_manifest(&disk.place, ID, b"list").unwrap();
    assert_eq!(Partial::manifest(&disk.place, ID, hash).unwrap().as_deref(), Some(b"list".as_slice()));
    assert_eq!(Partial::manifest(&disk.place, ID, [0; 32]).unwrap(), None);
    disk.place.discard(ID).unwrap();
    assert_eq!(disk.inbox(), Vec::<String>::new());
    disk.place.discard(ID).unwrap();
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_before_a_byte_is_written() {
    let disk = Disk::new();
    let chunking = protocol::file::Chunking::new(1 << 43, 1 << 20).unwrap();
    let layout = Arc::new(Layout::of_file(chunking.bytes(), [0; 32]));
    let refused = Partial::open(disk.place.clone(), ID, layout.clone(), chunking);
    assert!(matches!(refused, Err(ReceiveError::NoSpace { needed, .. }) if needed == 1 << 43), "{refused:?}");
}

#[test]
fn a_sparse_file_beyond_a_hundred_gibibytes_is_read_at_its_end() {
    let disk = Disk::new();
    let path = disk.write("huge", b"");
    let bytes = (100 << 30) + 5_u64;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(bytes).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", bytes - 3).unwrap();
    let stamp = super::survey::Stamp::of(&fs::metadata(&path).unwrap());
    let chunking = protocol::file::Chunking::new(bytes, CHUNK).unwrap();
    let mut source = Source::new(&path, chunking, &[], &[stamp]).unwrap();
    let mut chunk = Vec::new();
    assert!(source.read(chunking.count() - 1, &mut chunk).unwrap());
    assert_eq!(chunk, b"\0\0end");
    assert!(!source.read(chunking.count(), &mut chunk).unwrap());
}
