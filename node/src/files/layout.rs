//! Where the bytes of what is received belong: one file, or the files of a folder one after the other.
//!
//! Pure. Every name in a layout has passed [`name`](super::name), and no two things in it have the same place.

use std::collections::{HashMap, HashSet};

use protocol::file::manifest::{EntryKind, Manifest};

use super::{
    ReceiveError,
    name::{numbered, part},
};

/// One thing to be made, below the place of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The names on the way to it; none for the whole itself.
    pub path: Vec<String>,
    /// What it is.
    pub kind: ItemKind,
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Where its bytes begin among all bytes.
        start: u64,
        /// How many it has.
        bytes: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
}

/// Everything to be made, in the order of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    items: Vec<Item>,
    bytes: u64,
}

impl Layout {
    /// One file.
    #[must_use]
    pub fn of_file(bytes: u64, sha256: [u8; 32]) -> Self {
        let kind = ItemKind::File { start: 0, bytes, sha256 };
        Self { items: vec![Item { path: Vec::new(), kind }], bytes }
    }

    /// A folder of so many bytes in all. Names that can't stay as they are, or are the same on some systems, get others.
    ///
    /// # Errors
    /// [`ReceiveError::Unsound`] if the sizes don't add up, a folder comes after what is in it, or a path comes twice.
    pub fn of_folder(manifest: &Manifest, bytes: u64) -> Result<Self, ReceiveError> {
        if manifest.total() != Some(bytes) {
            return Err(ReceiveError::Unsound);
        }
        let mut items = vec![Item { path: Vec::new(), kind: ItemKind::Folder }];
        let mut folders = HashMap::from([("", Vec::new())]);
        let (mut told, mut taken) = (HashSet::new(), HashMap::new());
        let mut start = 0;
        for entry in &manifest.entries {
            let path = entry.path.as_str();
            let (parent, own) = path.rsplit_once('/').unwrap_or(("", path));
            let parent: &Vec<String> = folders.get(parent).ok_or(ReceiveError::Unsound)?;
            if !told.insert(path) {
                return Err(ReceiveError::Unsound);
            }
            let place = free_place(parent, own, &mut taken);
            let kind = match entry.kind {
                EntryKind::Folder => {
                    folders.insert(path, place.clone());
                    ItemKind::Folder
                }
                EntryKind::File { bytes, sha256 } => {
                    let kind = ItemKind::File { start, bytes, sha256 };
                    start += bytes;
                    kind
                }
            };
            items.push(Item { path: place, kind });
        }
        Ok(Self { items, bytes })
    }

    /// What is to be made, folders before what is in them.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Bytes of all files together.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A place that nothing else has, not even where upper and lower case are the same. `taken` has, for each place, the last
/// number that was tried in its stead, so that many names that are alike cost no more than as many that differ.
fn free_place(parent: &[String], own: &str, taken: &mut HashMap<String, u32>) -> Vec<String> {
    let key = |place: &[String]| place.join("/").to_lowercase();
    let name = part(own);
    let mut place = [parent, std::slice::from_ref(&name)].concat();
    let wanted = key(&place);
    while taken.contains_key(&key(&place)) {
        let number = taken.entry(wanted.clone()).or_default();
        *number += 1;
        if let Some(last) = place.last_mut() {
            *last = numbered(&name, *number);
        }
    }
    taken.insert(key(&place), 0);
    place
}

#[cfg(test)]
mod tests {
    use protocol::{Bounded, file::manifest::FilePath, file::manifest::ManifestEntry};

    use super::*;

    fn manifest(entries: &[(&str, Option<u64>)]) -> Manifest {
        let entry = |(path, bytes): &(&str, Option<u64>)| ManifestEntry {
            path: FilePath::new((*path).to_owned()).unwrap(),
            kind: bytes.map_or(EntryKind::Folder, |bytes| EntryKind::File { bytes, sha256: [0; 32] }),
        };
        Manifest { entries: Bounded::new(entries.iter().map(entry).collect()).unwrap() }
    }

    /// The places of files with their beginnings, and of folders.
    fn places(entries: &[(&str, Option<u64>)], bytes: u64) -> Option<Vec<(String, Option<u64>)>> {
        let layout = Layout::of_folder(&manifest(entries), bytes).ok()?;
        let place = |item: &Item| match item.kind {
            ItemKind::Folder => (item.path.join("/"), None),
            ItemKind::File { start, .. } => (item.path.join("/"), Some(start)),
        };
        Some(layout.items().iter().map(place).collect())
    }

    #[test]
    fn files_follow_each_other_in_the_order_of_the_list() {
        let entries = [("b", Some(3)), ("d", None), ("d/e", Some(0)), ("d/f", Some(5)), ("a", Some(1))];
        let expected = [("", None), ("b", Some(0)), ("d", None), ("d/e", Some(3)), ("d/f", Some(3)), ("a", Some(8))];
        assert_eq!(places(&entries, 9), Some(expected.map(|(path, at)| (path.to_owned(), at)).to_vec()));
        assert_eq!(places(&[], 0), Some(vec![(String::new(), None)]));
    }

    #[test]
    fn names_that_cannot_stay_or_are_alike_get_others() {
        let entries =
            [("A", None), ("a", None), ("a/x", Some(0)), ("CON", Some(0)), ("a\\b", Some(0)), ("A/x", Some(0))];
        let names = places(&entries, 0).map(|places| places.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert_eq!(names.unwrap(), ["", "A", "a (1)", "a (1)/x", "_CON", "a_b", "A/x"]);
    }

    #[test]
    fn a_list_that_contradicts_itself_or_the_offer_is_refused() {
        assert_eq!(places(&[("a", Some(3))], 4), None, "sizes that lie");
        assert_eq!(places(&[("d/e", Some(0)), ("d", None)], 0), None, "a folder after what is in it");
        assert_eq!(places(&[("d", Some(0)), ("d/e", Some(0))], 0), None, "a file as a folder");
        assert_eq!(places(&[("a", Some(0)), ("a", Some(0))], 0), None, "a path twice");
        assert_eq!(places(&[("a", Some(u64::MAX)), ("b", Some(2))], 1), None, "more than there are numbers");
    }
}
