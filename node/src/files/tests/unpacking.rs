//! What is small enough comes with its offer, and is written as if it had been received.

use std::{ffi::OsStr, fs, path::PathBuf};

use protocol::{file::EnclosedFile, limits::FILE_ENCLOSED_MAX};

use super::{Disk, ID, bytes, mode, offer, tree};
use crate::files::{
    ReceiveError,
    partial::Partial,
    place::Place,
    survey::{Survey, survey},
    unpack::unpack,
};

fn enclosed(offered: &Survey) -> EnclosedFile {
    EnclosedFile::new(offer(offered), offered.enclosed.clone().unwrap()).unwrap()
}

fn write(disk: &Disk, enclosed: &EnclosedFile, name: Option<&str>) -> Result<PathBuf, ReceiveError> {
    let kept = unpack(Place::open(disk.place.path()).unwrap(), enclosed, name.map(OsStr::new))?;
    disk.place.discard(ID).map(|()| kept)
}

#[test]
fn what_fits_into_a_message_is_enclosed_and_nothing_more() {
    let disk = Disk::new();
    for (length, fits) in [(0, true), (1, true), (FILE_ENCLOSED_MAX, true), (FILE_ENCLOSED_MAX + 1, false)] {
        let path = disk.write("cat.png", &bytes(length));
        assert_eq!(survey(&path).unwrap().enclosed, fits.then(|| bytes(length)), "{length}");
    }
    let folder = disk.write("src/a", &bytes(100)).parent().unwrap().to_owned();
    disk.write("src/b", &bytes(200));
    let offered = survey(&folder).unwrap();
    assert_eq!(offered.enclosed, Some([offered.manifest.clone(), bytes(100), bytes(200)].concat()));
    // With its list it is a byte too long.
    disk.write("src/b", &bytes(FILE_ENCLOSED_MAX - 100 - offered.manifest.len() + 1));
    assert_eq!(survey(&folder).unwrap().enclosed, None);
    disk.write("src/b", &bytes(FILE_ENCLOSED_MAX));
    assert_eq!(survey(&folder).unwrap().enclosed, None);
}

#[test]
fn a_file_is_written_under_a_free_name_for_its_owner_alone() {
    let disk = Disk::new();
    for (length, name) in [(FILE_ENCLOSED_MAX, "cat.png"), (3, "cat (1).png"), (0, "cat (2).png")] {
        let offered = survey(&disk.write("cat.png", &bytes(length))).unwrap();
        let kept = write(&disk, &enclosed(&offered), None).unwrap();
        assert_eq!(kept, fs::canonicalize(disk.place.path()).unwrap().join(name));
        assert_eq!((fs::read(&kept).unwrap(), mode(&kept)), (bytes(length), 0o600));
    }
    let offered = survey(&disk.write("cat.png", &bytes(3))).unwrap();
    let taken = write(&disk, &enclosed(&offered), Some("cat.png"));
    assert!(matches!(taken, Err(ReceiveError::Taken(_))), "{taken:?}");
    assert_eq!(fs::read(write(&disk, &enclosed(&offered), Some("mine")).unwrap()).unwrap(), bytes(3));
}

#[test]
fn a_folder_is_written_with_all_that_is_in_it() {
    let disk = Disk::new();
    for (name, length) in [("src/a", 10), ("src/deep/er/b", 0), ("src/z", 5_000)] {
        disk.write(name, &bytes(length));
    }
    let offered = survey(&disk.folder.path().join("src")).unwrap();
    let kept = write(&disk, &enclosed(&offered), None).unwrap();
    assert_eq!(tree(&kept), tree(&disk.folder.path().join("src")));
}

#[test]
fn what_is_not_what_was_offered_has_no_name() {
    let disk = Disk::new();
    let file = survey(&disk.write("cat.png", &bytes(10))).unwrap();
    let folder = survey(disk.write("src/a", &bytes(10)).parent().unwrap()).unwrap();
    let last = |offered: &Survey| {
        let mut all = offered.enclosed.clone().unwrap();
        *all.last_mut().unwrap() ^= 1;
        EnclosedFile::new(offer(offered), all).unwrap()
    };
    let first = |offered: &Survey| {
        let mut all = offered.enclosed.clone().unwrap();
        all[0] ^= 1;
        EnclosedFile::new(offer(offered), all).unwrap()
    };
    for (what, lie) in
        [("a file", last(&file)), ("a file in a folder", last(&folder)), ("the list of a folder", first(&folder))]
    {
        let there = Disk::new();
        let written = write(&there, &lie, None);
        assert!(matches!(written, Err(ReceiveError::Mismatch)), "{what}: {written:?}");
        assert!(there.inbox().iter().all(|name| name == ".tuppence-partial"), "{what}");
    }
}

#[test]
fn what_was_named_before_its_node_died_is_not_written_again() {
    let disk = Disk::new();
    let offered = survey(&disk.write("cat.png", &bytes(100))).unwrap();
    let again = || unpack(Place::open(disk.place.path()).unwrap(), &enclosed(&offered), None).unwrap();
    assert_eq!(again(), again());
    assert_eq!(disk.inbox(), [".tuppence-partial", "cat.png"]);
}

#[test]
fn what_an_earlier_run_has_left_of_it_is_made_whole_or_made_anew() {
    let disk = Disk::new();
    let offered = survey(&disk.write("cat.png", &bytes(100))).unwrap();
    for left in [&bytes(100)[..40], &[0; 40], &bytes(100), &[0; 100]] {
        let layout = super::layout(&offered);
        drop(Partial::open(disk.place.clone(), ID, layout, offered.chunking).unwrap());
        let partials: Vec<_> = tree(disk.place.path()).into_iter().filter(|(_, bytes)| bytes.is_some()).collect();
        let [(data, _)] = partials.as_slice() else { panic!("{partials:?}") };
        fs::write(disk.place.path().join(data), left).unwrap();
        let kept = write(&disk, &enclosed(&offered), None).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), bytes(100));
        fs::remove_file(kept).unwrap();
    }
}
