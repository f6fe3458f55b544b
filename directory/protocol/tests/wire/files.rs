//! How files are cut, and what no offer, manifest or stream can say.

use proptest::prelude::*;
use protocol::{
    file::{
        Chunking, EnclosedFile, FileOffer, FileSecret, FileShape, ManifestLength,
        manifest::{EntryKind, FilePath, Manifest, ManifestEntry},
        stream::{FileFetch, FileGrant, FileRefusal, FileTaken},
    },
    frame, limits,
    limits::{
        CHUNK_LENGTH_MAX, CHUNK_LENGTH_MIN, FILE_CHUNKS_MAX, FILE_DEPTH_MAX, FILE_ENCLOSED_MAX, FILE_PATH_MAX,
        MANIFEST_MAX,
    },
    peer::Content,
};
use serde::Serialize;

use crate::samples::{self, files, list, text};

fn path(path: &str) -> Option<FilePath> {
    FilePath::new(path.to_owned())
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    frame::encode_body(value, MANIFEST_MAX as usize).unwrap()
}

#[test]
fn what_is_a_length_of_chunks_and_what_is_not() {
    let largest = FILE_CHUNKS_MAX * u64::from(CHUNK_LENGTH_MAX);
    let rows = [
        (0, CHUNK_LENGTH_MIN, true),
        (largest, CHUNK_LENGTH_MAX, true),
        (largest + 1, CHUNK_LENGTH_MAX, false),
        (u64::MAX, CHUNK_LENGTH_MAX, false),
        (FILE_CHUNKS_MAX * u64::from(CHUNK_LENGTH_MIN) + 1, CHUNK_LENGTH_MIN, false),
        (1, 0, false),
        (1, 1, false),
        (1, CHUNK_LENGTH_MIN / 2, false),
        (1, CHUNK_LENGTH_MIN + 1, false),
        (1, CHUNK_LENGTH_MAX * 2, false),
        (1, u32::MAX, false),
    ];
    for (size, chunk, holds) in rows {
        assert_eq!(Chunking::new(size, chunk).is_some(), holds, "{size} in {chunk}");
        let decoded = frame::decode_body::<Chunking>(&bytes(&(size, chunk)), 100);
        assert_eq!(decoded.is_ok(), holds, "{size} in {chunk} from the wire");
    }
}

#[test]
fn chunks_cover_a_file_once_and_the_last_one_is_what_is_left() {
    let chunk = CHUNK_LENGTH_MIN;
    let places = |size| {
        let chunking = Chunking::new(size, chunk).unwrap();
        (0..=chunking.count()).map(|index| chunking.place(index)).collect::<Vec<_>>()
    };
    assert_eq!(places(0), [None]);
    assert_eq!(places(1), [Some((0, 1)), None]);
    let length = u64::from(chunk);
    assert_eq!(places(length), [Some((0, chunk)), None]);
    assert_eq!(places(2 * length + 7), [Some((0, chunk)), Some((length, chunk)), Some((2 * length, 7)), None]);
    assert_eq!(Chunking::new(5, chunk).unwrap().place(u64::MAX), None);
}

#[test]
fn what_is_a_path_in_a_folder_and_what_is_not() {
    let deep = |depth| vec!["a"; depth].join("/");
    let long = |length| "a".repeat(length);
    let good = ["a", "a/b", ".hidden", "a b/ç", "a\\b", "...", "CON", &deep(FILE_DEPTH_MAX), &long(FILE_PATH_MAX)];
    for good in good {
        assert_eq!(path(good).map(|path| path.as_str().to_owned()), Some(good.to_owned()));
    }
    let too_deep = deep(FILE_DEPTH_MAX + 1);
    let too_long = long(FILE_PATH_MAX + 1);
    let bad = ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", "a\0b", &too_deep, &too_long];
    for bad in bad {
        assert_eq!(path(bad), None, "{bad:?}");
        assert!(frame::decode_body::<FilePath>(&bytes(&bad), MANIFEST_MAX as usize).is_err(), "{bad:?} from the wire");
    }
}

#[test]
fn a_manifests_length_and_the_sum_of_its_sizes_are_bounded() {
    for (length, holds) in [(0, false), (1, true), (MANIFEST_MAX, true), (MANIFEST_MAX + 1, false)] {
        assert_eq!(ManifestLength::new(length).is_some(), holds);
        let folder = [vec![1], bytes(&length)].concat();
        assert_eq!(frame::decode_body::<FileShape>(&folder, 100).is_ok(), holds, "{length}");
    }
    let file = |bytes| ManifestEntry { path: path("a").unwrap(), kind: EntryKind::File { bytes, sha256: [0; 32] } };
    let of = |entries| Manifest { entries: list(entries) };
    assert_eq!(of(vec![file(3), file(4)]).total(), Some(7));
    assert_eq!(of(vec![file(u64::MAX), file(1)]).total(), None);
}

#[test]
fn the_longest_offer_fits_into_a_message_with_the_longest_file_in_it() {
    let mut content: Content = samples::content();
    let mut offer = files::offer_of(FILE_ENCLOSED_MAX, FileShape::File);
    offer.name = text(&"n".repeat(limits::FILE_NAME_MAX));
    offer.caption = text(&"c".repeat(limits::CAPTION_MAX));
    content.seen = list(vec![protocol::MessageId([1; 16]); limits::SEEN_MAX]);
    let enclosed = EnclosedFile::new(offer, vec![7; FILE_ENCLOSED_MAX]).unwrap();
    content.body = protocol::peer::Body::FileEnclosed(Box::new(enclosed));
    // MLS and the padding add less than a kibibyte; one of the tests of transfers seals as much.
    let length = bytes(&content).len() + 1_024;
    assert!(length < limits::CIPHERTEXT_MAX, "{length}");
}

#[test]
fn what_is_enclosed_is_exactly_what_is_offered() {
    let folder = |manifest| FileShape::Folder { manifest: ManifestLength::new(manifest).unwrap() };
    let offer = |length, shape| files::offer_of(length, shape);
    let rows = [
        (offer(0, FileShape::File), 0, Some((0, 0))),
        (offer(5, FileShape::File), 5, Some((0, 5))),
        (offer(5, FileShape::File), 4, None),
        (offer(5, FileShape::File), 6, None),
        (offer(5, folder(3)), 8, Some((3, 5))),
        (offer(0, folder(3)), 3, Some((3, 0))),
        (offer(5, folder(3)), 5, None),
        (offer(FILE_ENCLOSED_MAX, FileShape::File), FILE_ENCLOSED_MAX, Some((0, FILE_ENCLOSED_MAX))),
        (offer(FILE_ENCLOSED_MAX + 1, FileShape::File), FILE_ENCLOSED_MAX + 1, None),
        (offer(FILE_ENCLOSED_MAX, folder(1)), FILE_ENCLOSED_MAX + 1, None),
    ];
    for (offer, length, parts) in rows {
        let lengths = |enclosed: &EnclosedFile| {
            let (manifest, content) = enclosed.parts();
            (manifest.len(), content.len())
        };
        let what = format!("{length} bytes with {:?} of {}", offer.shape, offer.chunking.bytes());
        let made = EnclosedFile::new(offer.clone(), vec![7; length]);
        assert_eq!(made.as_ref().map(lengths), parts, "{what}");
        let sent = frame::encode_body(&(offer, Raw(vec![7; length])), limits::PEER_FRAME_MAX).unwrap();
        let read = frame::decode_body::<EnclosedFile>(&sent, limits::PEER_FRAME_MAX).ok();
        assert_eq!(read, made, "{what} from the wire");
    }
}

/// Bytes of any length, as they stand on the wire.
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

#[test]
fn every_frame_of_a_files_stream_fits_its_limit_and_codes_come_back() {
    for fetch in files::fetches() {
        let longest = FileFetch { from: u64::MAX, ..fetch };
        assert!(frame::encode(&longest, limits::FILE_FRAME_MAX).is_ok());
    }
    for grant in files::grants() {
        assert!(frame::encode(&grant, limits::FILE_FRAME_MAX).is_ok());
    }
    assert!(frame::encode(&FileTaken { below: u64::MAX }, limits::FILE_FRAME_MAX).is_ok());
    for refusal in files::refusals() {
        assert_eq!(FileRefusal::from_code(u64::from(refusal.code())), Some(refusal));
    }
    for code in [0, 8, u64::MAX] {
        assert_eq!(FileRefusal::from_code(code), None);
    }
}

#[test]
fn a_files_secret_is_in_no_log() {
    assert_eq!(format!("{:?}", FileSecret([7; 32])), "FileSecret(…)");
}

proptest! {
    #[test]
    fn chunks_follow_each_other_without_a_gap(size in 0..=u64::from(CHUNK_LENGTH_MIN) * 40, power in 14..=20_u32) {
        let chunking = Chunking::new(size, 1 << power).unwrap();
        let mut next = 0;
        for index in 0..chunking.count() {
            let (start, length) = chunking.place(index).unwrap();
            prop_assert_eq!(start, next);
            prop_assert!(length >= 1 && length <= 1 << power);
            prop_assert_eq!(chunking.is_last(index), start + u64::from(length) == size);
            prop_assert_eq!(chunking.whole_within(start), index);
            prop_assert_eq!(chunking.whole_within(start + u64::from(length) - 1), index);
            next = start + u64::from(length);
        }
        prop_assert_eq!(next, size);
        prop_assert_eq!(chunking.whole_within(u64::MAX), chunking.count());
    }

    #[test]
    fn no_bytes_make_a_decoder_of_files_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Manifest::from_bytes(&bytes);
        let _ = frame::decode_body::<FileOffer>(&bytes, 1_000);
        let _ = frame::decode_body::<EnclosedFile>(&bytes, 1_000);
        let _ = frame::decode_body::<FileFetch>(&bytes, 1_000);
        let _ = frame::decode_body::<FileGrant>(&bytes, 1_000);
    }
}
