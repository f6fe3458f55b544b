//! What bytes from elsewhere must not be able to do: each function takes any bytes as what came, and asserts that nothing
//! breaks, that every bound holds, and that what was understood is written and read again as the same.
//!
//! `tests/fuzz` hands them to libFuzzer; `tests/tests/fuzz.rs` plays the corpus that is kept there, and thousands of seeded
//! changes of it, wherever `cargo test` runs.

pub mod mutation;

use std::collections::HashSet;

use node::files::{
    layout::{ItemKind, Layout},
    name,
};
use node_core::{
    crypto::file::{ChunkOpener, ChunkSealer, StreamSecrets},
    transfer::{Act, OfferedBy, TransferState, Transfers},
};
use protocol::{
    AccountId, ConversationId, DeviceId, FileId, Timestamp,
    directory::{Push, Refusal, Reply, Request},
    file::{
        Chunking, EnclosedFile, FileNotice, FileOffer, FileSecret, FileShape,
        manifest::Manifest,
        stream::{FileFetch, FileGrant, FilePart, FileTaken},
    },
    frame,
    limits::{
        CHUNK_LENGTH_MIN, CIPHERTEXT_MAX, DIRECTORY_FRAME_MAX, FILE_CHUNKS_MAX, FILE_ENCLOSED_MAX, FILE_FRAME_MAX,
        FILE_NAME_MAX, MANIFEST_MAX, OFFER_LIFETIME_MS, PEER_FRAME_MAX,
    },
    peer::{Content, PeerFrame},
};
use serde::{Serialize, de::DeserializeOwned};

/// A target: its name, as its corpus is called, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("offer", offer),
    ("enclosed", enclosed),
    ("manifest", manifest),
    ("chunk", chunk),
    ("file_frame", file_frame),
    ("content", content),
    ("peer_frame", peer_frame),
    ("directory_frame", directory_frame),
];

/// The longest name that anything gets here, in bytes: what file systems take.
const NAME_MAX: usize = 255;
/// Where the clock stands when an offer comes.
const NOW: Timestamp = Timestamp(1_000_000);
const ME: AccountId = AccountId([1; 32]);
const THEY: AccountId = AccountId([2; 32]);
const CONVERSATION: ConversationId = ConversationId([3; 32]);
static SECRET: FileSecret = FileSecret([9; 32]);

/// Reads a value, if the bytes are one; what was read is written and read again as the same, and is no longer than it may be.
fn read<T: Serialize + DeserializeOwned>(data: &[u8], limit: usize) -> Option<T> {
    let value: T = frame::decode_body(data, limit).ok()?;
    let written = frame::encode_body(&value, limit);
    assert!(written.is_ok(), "what was read can't be written");
    let written = written.unwrap_or_default();
    // Numbers may come in more bytes than they need, and are written in as few as they need.
    assert!(written.len() <= data.len(), "what was read is written longer than it was");
    let again: Option<T> = frame::decode_body(&written, limit).ok();
    let again = again.and_then(|again| frame::encode_body(&again, limit).ok());
    assert_eq!(again.as_ref(), Some(&written), "what was written is read as something else");
    Some(value)
}

/// Chunks follow each other without a gap, and are as many and as long as they may be.
fn check_chunking(chunking: Chunking) {
    let count = chunking.count();
    assert!(count <= FILE_CHUNKS_MAX, "too many chunks");
    assert_eq!(chunking.place(count), None, "a chunk beyond the last");
    assert_eq!(chunking.whole_within(chunking.bytes()), count, "all bytes are all chunks");
    for index in [0, 1, count / 2, count.saturating_sub(2), count.saturating_sub(1)] {
        let Some((start, length)) = chunking.place(index) else { continue };
        assert!(length >= 1 && length <= chunking.chunk(), "a chunk of {length}");
        let end = start + u64::from(length);
        let next = chunking.place(index + 1).map_or(chunking.bytes(), |(start, _)| start);
        assert_eq!(end, next, "a gap after chunk {index}");
        assert_eq!(chunking.is_last(index), end == chunking.bytes(), "the last chunk is the one that ends it");
    }
}

/// A name that leads nowhere and can be taken on a disk.
fn check_name(name: &str) {
    assert!(!name.is_empty() && name.len() <= NAME_MAX, "a name of {} bytes", name.len());
    assert!(!matches!(name, "." | ".."), "a name that leads elsewhere");
    assert!(!name.contains(['/', '\\', '\0', '\n', '\r', '\u{1b}']), "a name with more in it: {name:?}");
}

/// An offer: as it is read, what its file is called here, and what becomes of it until it is accepted.
pub fn offer(data: &[u8]) {
    let Some(offer) = read::<FileOffer>(data, CIPHERTEXT_MAX) else { return };
    assert!(offer.name.len() <= FILE_NAME_MAX, "a hint that is too long");
    check_chunking(offer.chunking);
    let called = name::received(&offer.name);
    check_name(&called);
    assert!(!called.starts_with('.'), "a hidden name");
    check_name(&name::numbered(&called, u32::MAX));
    let mut transfers = Transfers::default();
    let by = OfferedBy { conversation: CONVERSATION, account: THEY, device: DeviceId([4; 16]), unasked: None };
    let acts = transfers.take_offer(NOW, ME, by, (offer.clone(), None));
    let shown = |state| Act::Show { file: offer.file, account: THEY, state, reason: None };
    if offer.expires <= NOW {
        assert!(matches!(acts[..], [Act::Say { .. }]), "whoever offers hears that it has expired, nobody else does");
        assert_eq!(transfers.get(offer.file), None, "what has expired is no offer");
        return;
    }
    assert_eq!(acts, [shown(TransferState::Offered)]);
    let kept = transfers.get(offer.file).map(|transfer| transfer.offer.expires);
    assert!(kept.is_some_and(|expires| expires <= NOW.plus_ms(OFFER_LIFETIME_MS)), "it stands for too long");
    let stored = transfers.changes().unwrap_or_default();
    let values: Vec<Vec<u8>> = stored.into_iter().filter_map(|(_, value)| value).collect();
    let loaded = Transfers::load(values.iter().map(Vec::as_slice), std::iter::empty());
    assert_eq!(
        loaded.ok().and_then(|loaded| loaded.get(offer.file).cloned()).as_ref(),
        transfers.get(offer.file),
        "what is stored of it is something else"
    );
    assert!(transfers.accept(offer.file, None).is_ok(), "it can't be accepted");
    assert_eq!(transfers.awaited(), [(THEY, DeviceId([4; 16]))]);
}

/// An offer with all that it offers: as it is read, and that it needs nobody any more.
pub fn enclosed(data: &[u8]) {
    let Some(enclosed) = read::<EnclosedFile>(data, CIPHERTEXT_MAX) else { return };
    let (offer, (list, bytes)) = (enclosed.offer(), enclosed.parts());
    assert!(list.len() + bytes.len() <= FILE_ENCLOSED_MAX, "more than a message takes");
    assert_eq!(bytes.len() as u64, offer.chunking.bytes(), "more or fewer bytes than are offered");
    match offer.shape {
        FileShape::File => assert!(list.is_empty(), "a file has no list"),
        FileShape::Folder { manifest: length } => {
            assert_eq!(list.len(), length.get() as usize, "a list of another length");
            manifest(list);
        }
    }
    let mut transfers = Transfers::default();
    let by = OfferedBy { conversation: CONVERSATION, account: THEY, device: DeviceId([4; 16]), unasked: None };
    transfers.take_offer(NOW, ME, by, (offer.clone(), Some(enclosed.bytes().to_vec())));
    if offer.expires > NOW {
        assert!(transfers.accept(offer.file, None).is_ok(), "it can't be accepted");
        assert_eq!(transfers.begin(NOW, |_| false), [Act::Unpack { file: offer.file }]);
    }
    let kept = transfers.enclosed(offer.file);
    assert_eq!(kept, (offer.expires > NOW).then_some(enclosed.bytes()), "something else is kept");
}

/// The list of what is in a folder, and where it would be put.
pub fn manifest(data: &[u8]) {
    let Some(manifest) = read::<Manifest>(data, MANIFEST_MAX as usize) else { return };
    for entry in &manifest.entries {
        assert!(entry.path.parts().all(|part| !matches!(part, "" | "." | "..")), "a path that leads upwards");
    }
    let Some(total) = manifest.total() else {
        assert!(Layout::of_folder(&manifest, 0).is_err(), "sizes that add up to nothing have a layout");
        return;
    };
    assert!(Layout::of_folder(&manifest, total.wrapping_add(1)).is_err(), "sizes that don't add up have a layout");
    let Ok(layout) = Layout::of_folder(&manifest, total) else { return };
    assert_eq!(layout.items().len(), manifest.entries.len() + 1, "something is missing");
    let (mut places, mut end) = (HashSet::new(), 0);
    for item in layout.items() {
        item.path.iter().for_each(|name| check_name(name));
        assert!(places.insert(item.path.join("/").to_lowercase()), "two things in one place");
        let parent = item.path.split_last().map(|(_, parent)| parent.join("/").to_lowercase());
        assert!(parent.is_none_or(|parent| places.contains(&parent)), "its folder is not there");
        if let ItemKind::File { start, bytes, .. } = item.kind {
            assert_eq!(start, end, "files follow each other");
            end += bytes;
        }
    }
    assert_eq!((end, layout.bytes()), (total, total));
}

/// A stream of chunks that somebody has changed on its way: what opens is what was sealed, in its order, up to the change.
///
/// The first byte says what is done, the next four where, and what follows is the file.
pub fn chunk(data: &[u8]) {
    let Some(([kind, a, b, c, d], bytes)) = data.split_first_chunk() else { return };
    let place = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    let Some(chunking) = Chunking::new(bytes.len() as u64, CHUNK_LENGTH_MIN) else { return };
    let secrets = StreamSecrets { secret: &SECRET, file: FileId([7; 16]), part: FilePart::Chunks, salt: [5; 32] };
    let mut stream = seal(&secrets, chunking, bytes);
    let (changed_from, secrets) = change(*kind, place, &mut stream, secrets);
    let Ok(mut opener) = ChunkOpener::new(&secrets, chunking, 0) else { return };
    let (mut opened, mut whole) = (Vec::new(), 0);
    for mut sealed in stream {
        let before = sealed.clone();
        if opener.open(&mut sealed).is_err() {
            // Nothing more opens: the stream is not what was sent.
            assert!(opener.open(&mut before.clone()).is_err(), "what did not open opens at another time");
            break;
        }
        opened.extend_from_slice(&sealed);
        whole += 1;
    }
    assert_eq!(Some(opened.as_slice()), bytes.get(..opened.len()), "something else was opened than sealed");
    match changed_from {
        Some(first) => assert!(whole <= first, "a changed chunk was opened"),
        None => assert_eq!(opened.len(), bytes.len(), "a chunk that nobody changed does not open"),
    }
}

fn seal(secrets: &StreamSecrets<'_>, chunking: Chunking, bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok(mut sealer) = ChunkSealer::new(secrets, chunking, 0) else { return Vec::new() };
    let chunks = bytes.chunks(CHUNK_LENGTH_MIN as usize);
    let sealed = chunks.map(|chunk| {
        let mut chunk = chunk.to_vec();
        assert_eq!(sealer.seal(&mut chunk), Ok(()), "it can't be sealed");
        chunk
    });
    sealed.collect()
}

/// Changes a stream; tells the first chunk that is not what it was, if there is one.
fn change<'s>(
    kind: u8,
    place: usize,
    stream: &mut Vec<Vec<u8>>,
    mut secrets: StreamSecrets<'s>,
) -> (Option<usize>, StreamSecrets<'s>) {
    let count = stream.len();
    if count == 0 {
        return (None, secrets);
    }
    let (at, other) = (place % count, place / count % count);
    let changed = match kind % 8 {
        1 => stream.get_mut(at).and_then(|chunk| {
            let bit = place / count % (chunk.len() * 8);
            chunk.get_mut(bit / 8).map(|byte| *byte ^= 1 << (bit % 8))
        }),
        2 => stream.get_mut(at).map(|chunk| chunk.truncate(place / count % chunk.len())),
        3 => stream.get_mut(at).map(|chunk| chunk.push(0)),
        4 if at != other => {
            stream.swap(at, other);
            return (Some(at.min(other)), secrets);
        }
        // A chunk comes twice.
        5 => {
            stream.insert(at, stream.get(at).cloned().unwrap_or_default());
            return (Some(at + 1), secrets);
        }
        6 => {
            secrets.part = FilePart::Manifest;
            return (Some(0), secrets);
        }
        7 => {
            secrets.salt = [6; 32];
            return (Some(0), secrets);
        }
        _ => None,
    };
    (changed.map(|()| at), secrets)
}

/// What is said on a file's stream, and about an offer.
pub fn file_frame(data: &[u8]) {
    read::<FileFetch>(data, FILE_FRAME_MAX);
    read::<FileGrant>(data, FILE_FRAME_MAX);
    read::<FileTaken>(data, FILE_FRAME_MAX);
    read::<FileNotice>(data, CIPHERTEXT_MAX);
}

/// What is in a message.
pub fn content(data: &[u8]) {
    read::<Content>(data, CIPHERTEXT_MAX);
}

/// What a peer says.
pub fn peer_frame(data: &[u8]) {
    read::<PeerFrame>(data, PEER_FRAME_MAX);
}

/// What a node asks its directory, and what that answers and says unasked.
pub fn directory_frame(data: &[u8]) {
    read::<Request>(data, DIRECTORY_FRAME_MAX);
    read::<Result<Reply, Refusal>>(data, DIRECTORY_FRAME_MAX);
    read::<Push>(data, DIRECTORY_FRAME_MAX);
}
