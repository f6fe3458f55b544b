//! A node can die after it has named something, and before anybody knows.

use std::{ffi::OsStr, fs};

use protocol::FileId;

use super::{Disk, ID, bytes, receive};
use crate::files::{place::Wanted, survey::survey};

#[test]
fn what_was_named_is_found_under_whatever_name_it_has_until_that_is_known() {
    for folder in [false, true] {
        let disk = Disk::new();
        let path = disk.write("offered/a", &bytes(1_000));
        let offered = survey(if folder { path.parent().unwrap() } else { &path }).unwrap();
        assert_eq!(disk.place.named(ID).unwrap(), None, "nothing is there");
        let kept = receive(&disk, &offered, Wanted::Hint("a")).unwrap();
        assert_eq!(disk.place.named(ID).unwrap(), Some(kept.clone()));
        // Its person has found it, and has called it something else.
        let renamed = kept.with_file_name("mine");
        fs::rename(&kept, &renamed).unwrap();
        assert_eq!(disk.place.named(ID).unwrap(), Some(renamed));
        disk.place.discard(ID).unwrap();
        assert_eq!(disk.place.named(ID).unwrap(), None, "it is known");
    }
}

#[test]
fn what_is_not_there_any_more_or_was_never_named_is_not_found() {
    let disk = Disk::new();
    let offered = survey(&disk.write("a", &bytes(1_000))).unwrap();
    let kept = receive(&disk, &offered, Wanted::Hint("a")).unwrap();
    fs::write(&kept, b"what its person has written over it").unwrap();
    assert_eq!(disk.place.named(ID).unwrap(), None);
    fs::remove_file(&kept).unwrap();
    assert_eq!(disk.place.named(ID).unwrap(), None);
    // It comes again, and what it is to be called is taken.
    disk.write("inbox/taken", b"");
    receive(&disk, &offered, Wanted::Exactly(OsStr::new("taken"))).unwrap_err();
    assert_eq!(disk.place.named(ID).unwrap(), None, "it is marked, and not named");
    let mark = disk.place.path().join(".tuppence-partial").join(ID.to_string()).join("named");
    let kept = receive(&disk, &offered, Wanted::Exactly(OsStr::new("free"))).unwrap();
    assert_eq!(disk.place.named(ID).unwrap(), Some(kept));
    let whole = fs::read(&mark).unwrap();
    for cut in [0, 1, whole.len() - 1] {
        fs::write(&mark, &whole[..cut]).unwrap();
        assert_eq!(disk.place.named(ID).unwrap(), None, "of a mark only {cut} bytes are there");
    }
}

#[test]
fn what_is_begun_while_the_last_other_one_is_let_go_of_finds_its_place() {
    let disk = Disk::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (place, file) = (&disk.place, FileId([number; 16]));
            scope.spawn(move || {
                for _ in 0..2_000 {
                    assert_eq!(place.named(file).unwrap(), None);
                    place.discard(file).unwrap();
                }
            });
        }
    });
    assert_eq!(disk.inbox(), Vec::<String>::new());
}
