//! Sealing the chunks of files between two devices.
//!
//! Participants: a sender, who reads chunks from its disk each time that somebody asks, and recipients, who ask for them
//! in order, each on a stream of its own, and again after each interruption. The goal: whoever has the offer's secret opens
//! exactly the chunks that the sender put on that stream, in that order; truncation, reordering, swapping, replay and
//! alteration are noticed at the first chunk that they touch.
//!
//! ```text
//! key    = HKDF-SHA256(salt: the stream's, secret: the offer's, info: label of the part | file id)
//! nonce  = three zeros | index, big-endian (8) | 1 for the last chunk, else 0
//! sealed = AES-256-GCM(key, nonce, chunk, associated: file id | index | last) | tag (16)
//! ```
//!
//! This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) under a key of its own for each stream, as age arranges it.
//! **Invariant:** no two plaintexts are sealed under one key and nonce. The sender draws a salt of 32 random bytes for each
//! stream, so each stream has its own key; a [`ChunkSealer`] is made for one stream, counts by itself and never goes back.
//! It does not matter, then, whether the file has changed since another stream read the same chunk, how many recipients ask
//! at once, or how often the sender was restarted. That the bytes are those that were offered is told by the whole file's
//! hash, not by the seal.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hkdf::Hkdf;
use protocol::{
    FileId,
    file::{
        Chunking, FileSecret,
        stream::{FilePart, TAG_LENGTH},
    },
};
use sha2::Sha256;
use zeroize::Zeroizing;

/// HKDF label of the key that seals chunks.
const CHUNKS: &[u8] = b"tuppence file chunks v1";
/// HKDF label of the key that seals a folder's manifest.
const MANIFEST: &[u8] = b"tuppence file manifest v1";
/// File id, index, last flag.
const ASSOCIATED_LENGTH: usize = 16 + 8 + 1;

/// Why a chunk is not sealed, or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// There is no such chunk any more.
    #[error("there are no more chunks")]
    Beyond,
    /// It has another length than the chunk that is next.
    #[error("a chunk has another length than it should")]
    Length,
    /// It is not what the sender sealed as this chunk on this stream.
    #[error("a chunk does not open: it was changed, or it is another one")]
    DoesNotOpen,
    /// The library refuses; a bug.
    #[error("the cryptographic library refuses to seal a chunk")]
    Library,
}

/// What both sides of a stream know of it.
#[derive(Debug, Clone)]
pub struct StreamSecrets<'a> {
    /// The offer's secret.
    pub secret: &'a FileSecret,
    /// The offer.
    pub file: FileId,
    /// Which part the stream carries.
    pub part: FilePart,
    /// The stream's salt.
    pub salt: [u8; 32],
}

/// A key, and the chunk that is next under it.
#[derive(Debug)]
struct Chunks {
    key: LessSafeKey,
    file: FileId,
    chunking: Chunking,
    next: u64,
}

impl Chunks {
    fn new(secrets: &StreamSecrets<'_>, chunking: Chunking, from: u64) -> Result<Self, ChunkError> {
        let label = match secrets.part {
            FilePart::Manifest => MANIFEST,
            FilePart::Chunks => CHUNKS,
        };
        let info = [label, secrets.file.as_bytes().as_slice()];
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(&secrets.salt), &secrets.secret.0)
            .expand_multi_info(&info, &mut *key)
            .map_err(|_| ChunkError::Library)?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| ChunkError::Library)?;
        Ok(Self { key: LessSafeKey::new(key), file: secrets.file, chunking, next: from })
    }

    /// Length of the next chunk's plaintext.
    fn length(&self) -> Result<usize, ChunkError> {
        self.chunking.place(self.next).map(|(_, length)| length as usize).ok_or(ChunkError::Beyond)
    }

    /// Nonce and associated data of the next chunk.
    fn bind(&self) -> (Nonce, Aad<[u8; ASSOCIATED_LENGTH]>) {
        let (index, last) = (self.next.to_be_bytes(), [u8::from(self.chunking.is_last(self.next))]);
        let mut nonce = [0; 12];
        let mut associated = [0; ASSOCIATED_LENGTH];
        fill(&mut nonce, &[&[0; 3], &index, &last]);
        fill(&mut associated, &[self.file.as_bytes(), &index, &last]);
        (Nonce::assume_unique_for_key(nonce), Aad::from(associated))
    }
}

fn fill(target: &mut [u8], parts: &[&[u8]]) {
    let bytes = parts.iter().flat_map(|part| part.iter());
    target.iter_mut().zip(bytes).for_each(|(target, byte)| *target = *byte);
}

/// Seals the chunks of one stream, each once, in order.
#[derive(Debug)]
pub struct ChunkSealer(Chunks);

impl ChunkSealer {
    /// For a stream whose salt was drawn for it alone, from a chunk on.
    ///
    /// # Errors
    /// [`ChunkError::Library`]; a bug.
    pub fn new(secrets: &StreamSecrets<'_>, chunking: Chunking, from: u64) -> Result<Self, ChunkError> {
        Chunks::new(secrets, chunking, from).map(Self)
    }

    /// Seals the next chunk in its place and appends the tag.
    ///
    /// # Errors
    /// [`ChunkError`] if it is not as long as the next chunk is, or there is none; nothing was sealed then.
    pub fn seal(&mut self, chunk: &mut Vec<u8>) -> Result<(), ChunkError> {
        if chunk.len() != self.0.length()? {
            return Err(ChunkError::Length);
        }
        let (nonce, associated) = self.0.bind();
        // Whatever becomes of it, this nonce is used up.
        self.0.next += 1;
        let tag = self.0.key.seal_in_place_separate_tag(nonce, associated, chunk).map_err(|_| ChunkError::Library)?;
        chunk.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens the chunks of one stream, in order.
#[derive(Debug)]
pub struct ChunkOpener(Chunks);

impl ChunkOpener {
    /// For a stream, from a chunk on.
    ///
    /// # Errors
    /// [`ChunkError::Library`]; a bug.
    pub fn new(secrets: &StreamSecrets<'_>, chunking: Chunking, from: u64) -> Result<Self, ChunkError> {
        Chunks::new(secrets, chunking, from).map(Self)
    }

    /// Length of the next sealed chunk; `None` after the last.
    #[must_use]
    pub fn sealed_length(&self) -> Option<usize> {
        self.0.length().ok().map(|length| length + TAG_LENGTH)
    }

    /// Opens the next chunk in its place, and takes the tag away.
    ///
    /// # Errors
    /// [`ChunkError`]; nothing more opens then, since the stream is not what the sender sent.
    pub fn open(&mut self, sealed: &mut Vec<u8>) -> Result<(), ChunkError> {
        if Some(sealed.len()) != self.sealed_length() {
            return Err(self.0.length().map_or_else(|beyond| beyond, |_| ChunkError::Length));
        }
        let (nonce, associated) = self.0.bind();
        let opened = self.0.key.open_in_place(nonce, associated, sealed).map(|plain| plain.len());
        let length = opened.map_err(|_| ChunkError::DoesNotOpen)?;
        sealed.truncate(length);
        self.0.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::{Aes256Gcm, KeyInit as _, aead::Aead as _, aead::Payload};
    use protocol::limits::CHUNK_LENGTH_MIN;

    use super::*;

    const FILE: FileId = FileId([7; 16]);
    static SECRET: FileSecret = FileSecret([9; 32]);
    const SALT: [u8; 32] = [3; 32];
    const LENGTH: usize = CHUNK_LENGTH_MIN as usize;

    fn secrets() -> StreamSecrets<'static> {
        StreamSecrets { secret: &SECRET, file: FILE, part: FilePart::Chunks, salt: SALT }
    }

    fn chunking(bytes: usize) -> Chunking {
        Chunking::new(bytes as u64, CHUNK_LENGTH_MIN).unwrap()
    }

    /// A file of two whole chunks and a short one; each of its bytes says where it is.
    fn file() -> (Chunking, Vec<Vec<u8>>) {
        let bytes: Vec<u8> = (0..2 * LENGTH + 5).map(|at| (at / LENGTH * 50 + at % 41) as u8).collect();
        (chunking(bytes.len()), bytes.chunks(LENGTH).map(<[u8]>::to_vec).collect())
    }

    fn seal_all(secrets: &StreamSecrets<'_>) -> Vec<Vec<u8>> {
        let (chunking, mut chunks) = file();
        let mut sealer = ChunkSealer::new(secrets, chunking, 0).unwrap();
        chunks.iter_mut().for_each(|chunk| sealer.seal(chunk).unwrap());
        assert_eq!(sealer.seal(&mut Vec::new()), Err(ChunkError::Beyond));
        chunks
    }

    fn opener(secrets: &StreamSecrets<'_>, from: u64) -> ChunkOpener {
        ChunkOpener::new(secrets, file().0, from).unwrap()
    }

    fn open(opener: &mut ChunkOpener, sealed: &[u8]) -> Result<Vec<u8>, ChunkError> {
        let mut chunk = sealed.to_vec();
        opener.open(&mut chunk).map(|()| chunk)
    }

    #[test]
    fn chunks_open_in_their_order_from_the_first_or_from_any_other() {
        let (sealed, plain) = (seal_all(&secrets()), file().1);
        for from in 0..3 {
            let mut opener = opener(&secrets(), from as u64);
            let opened: Vec<_> = sealed.iter().skip(from).map(|chunk| open(&mut opener, chunk).unwrap()).collect();
            assert_eq!(opened, plain[from..]);
            assert_eq!(opener.sealed_length(), None);
            assert_eq!(open(&mut opener, &sealed[2]), Err(ChunkError::Beyond));
        }
        let (chunking, mut chunks) = file();
        let mut sealer = ChunkSealer::new(&secrets(), chunking, 1).unwrap();
        sealer.seal(&mut chunks[1]).unwrap();
        assert_eq!(chunks[1], sealed[1], "a sealer that begins later seals the same chunk as the same chunk");
    }

    /// The construction by another implementation of AES-GCM, from the words of this module's description.
    #[test]
    fn a_sealed_chunk_is_what_the_description_says() {
        let info = [b"tuppence file chunks v1".as_slice(), &[7; 16]].concat();
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(&[3; 32]), &[9; 32]).expand(&info, &mut key).unwrap();
        let cipher = Aes256Gcm::new_from_slice(&key).unwrap();
        let (sealed, plain) = (seal_all(&secrets()), file().1);
        for (index, last) in [(0, 0), (1, 0), (2, 1)] {
            let nonce = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, index, last];
            let aad = [[7; 16].as_slice(), &[0, 0, 0, 0, 0, 0, 0, index, last]].concat();
            let payload = Payload { msg: plain[usize::from(index)].as_slice(), aad: &aad };
            assert_eq!(sealed[usize::from(index)], cipher.encrypt(&nonce.into(), payload).unwrap(), "chunk {index}");
        }
    }

    #[test]
    fn an_altered_or_cut_chunk_does_not_open() {
        let sealed = seal_all(&secrets()).swap_remove(2);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&mut opener(&secrets(), 2), &changed), Err(ChunkError::DoesNotOpen), "byte {at}");
            assert_eq!(open(&mut opener(&secrets(), 2), &sealed[..at]), Err(ChunkError::Length), "cut at {at}");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(open(&mut opener(&secrets(), 2), &longer), Err(ChunkError::Length));
    }

    #[test]
    fn reordered_and_replayed_chunks_do_not_open() {
        let sealed = seal_all(&secrets());
        assert_eq!(open(&mut opener(&secrets(), 0), &sealed[1]), Err(ChunkError::DoesNotOpen), "the second one first");
        let mut opener = opener(&secrets(), 0);
        open(&mut opener, &sealed[0]).unwrap();
        assert_eq!(open(&mut opener, &sealed[0]), Err(ChunkError::DoesNotOpen), "the first one again");
    }

    #[test]
    fn a_truncated_file_does_not_open_as_a_whole_one() {
        let sealed = seal_all(&secrets());
        let shorter = chunking(2 * LENGTH);
        let mut opener = ChunkOpener::new(&secrets(), shorter, 0).unwrap();
        open(&mut opener, &sealed[0]).unwrap();
        assert_eq!(
            open(&mut opener, &sealed[1]),
            Err(ChunkError::DoesNotOpen),
            "what was not the last chunk, as the last"
        );
        let (_, mut chunks) = file();
        let mut sealer = ChunkSealer::new(&secrets(), shorter, 1).unwrap();
        sealer.seal(&mut chunks[1]).unwrap();
        let longer = open(&mut self::opener(&secrets(), 1), &chunks[1]);
        assert_eq!(longer, Err(ChunkError::DoesNotOpen), "the last chunk, as one that others follow");
    }

    #[test]
    fn chunks_of_another_file_part_stream_or_secret_do_not_open() {
        let sealed = seal_all(&secrets());
        let secret = FileSecret([8; 32]);
        let others = [
            StreamSecrets { file: FileId([8; 16]), ..secrets() },
            StreamSecrets { part: FilePart::Manifest, ..secrets() },
            StreamSecrets { salt: [4; 32], ..secrets() },
            StreamSecrets { secret: &secret, ..secrets() },
        ];
        for other in others {
            assert_eq!(open(&mut opener(&other, 0), &sealed[0]), Err(ChunkError::DoesNotOpen), "{other:?}");
        }
    }

    #[test]
    fn one_chunk_is_sealed_differently_on_each_stream() {
        let (first, second) = (seal_all(&secrets()), seal_all(&StreamSecrets { salt: [4; 32], ..secrets() }));
        assert!(first.iter().zip(&second).all(|(first, second)| first != second));
    }

    #[test]
    fn a_sealer_takes_only_the_chunk_that_is_next_and_counts_by_itself() {
        let (chunking, mut chunks) = file();
        let mut sealer = ChunkSealer::new(&secrets(), chunking, 1).unwrap();
        let mut short = chunks[2].clone();
        assert_eq!(sealer.seal(&mut short), Err(ChunkError::Length));
        assert_eq!(short, chunks[2], "what is refused is not sealed");
        sealer.seal(&mut chunks[1]).unwrap();
        let mut again = file().1.swap_remove(1);
        assert_eq!(sealer.seal(&mut again), Err(ChunkError::Length), "the same chunk is not sealed twice");
        sealer.seal(&mut chunks[2]).unwrap();
    }
}
