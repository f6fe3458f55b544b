//! Streams that end where they should not. QUIC loses and reorders packets, and hands on the bytes of a stream in order or not at
//! all: so what a file meets are streams and connections that end, after any byte, with or without a word.

use node_core::crypto::file::{ChunkSealer, StreamSecrets};
use protocol::{
    file::{
        Chunking,
        stream::{FileFetch, FileGrant, TAG_LENGTH},
    },
    limits::{CHUNK_LENGTH_MIN, FILE_FRAME_MAX},
};
use quinn::VarInt;
use rand_core::{RngCore as _, SeedableRng as _};

use super::*;
use crate::net::frames::{read_frame, write_frames};

/// Seeds, each with as many streams as it takes.
const SEEDS: u64 = 60;
/// Bytes of the file: four chunks and a bit of a fifth.
const BYTES: usize = 4 * CHUNK_LENGTH_MIN as usize + 77;

/// How a sender stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Silent,
    Reset,
    /// It stays, and sends nothing more.
    Stalled,
}

/// Answers the next question, and stops after so many bytes; tells from which chunk it was asked, and leaves its stream.
async fn serve_until(
    world: &World,
    offer: &FileOffer,
    bytes: &[u8],
    until: usize,
    ending: Ending,
) -> (u64, quinn::SendStream) {
    let (mut send, mut recv) = world.sender.accept_bi().await.unwrap();
    let FileFetch { file, part, from } = read_frame(&mut recv, FILE_FRAME_MAX).await.unwrap();
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&world.salts.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    write_frames(&mut send, &[FileGrant::Granted { salt }], FILE_FRAME_MAX).await.unwrap();
    let secrets = StreamSecrets { secret: &offer.secret, file, part, salt };
    let mut sealer = ChunkSealer::new(&secrets, offer.chunking, from).unwrap();
    let mut sealed = Vec::new();
    for chunk in bytes.chunks(CHUNK_LENGTH_MIN as usize).skip(usize::try_from(from).unwrap()) {
        let mut chunk = chunk.to_vec();
        sealer.seal(&mut chunk).unwrap();
        sealed.extend(chunk);
    }
    // The other side may have gone by then.
    let _ = send.write_all(&sealed[..until.min(sealed.len())]).await;
    match ending {
        Ending::Stalled => {}
        Ending::Reset if until < sealed.len() => drop(send.reset(VarInt::from_u32(0))),
        Ending::Silent | Ending::Reset => drop(send.finish()),
    }
    (from, send)
}

#[tokio::test]
async fn a_sender_who_sends_nothing_for_too_long_is_asked_again_later() {
    let world = World::new().await;
    let bytes = bytes(BYTES);
    let path = world.write("a.bin", &bytes);
    let chunking = Chunking::new(BYTES as u64, CHUNK_LENGTH_MIN).unwrap();
    let offer = FileOffer { chunking, ..offer(&survey(&path).unwrap()) };
    let length = CHUNK_LENGTH_MIN as usize + TAG_LENGTH;
    let receiving = Receiving { patience: Duration::from_secs(2), ..world.receiving(&offer) };
    let serving = serve_until(&world, &offer, &bytes, length + 100, Ending::Stalled);
    let (received, _stream) = tokio::join!(receiving.run(&world.recipient), serving);
    assert!(matches!(&received, Err(FetchError::Lost(why)) if why.contains("nothing for too long")), "{received:?}");
    let serving = serve_until(&world, &offer, &bytes, usize::MAX, Ending::Silent);
    let (received, (from, _stream)) = tokio::join!(world.receiving(&offer).run(&world.recipient), serving);
    assert_eq!(from, 1, "the chunk that came is there");
    assert!(same(&received.unwrap(), &path));
}

#[tokio::test]
async fn a_stream_that_is_cut_after_any_byte_costs_less_than_a_chunk() {
    let world = World::new().await;
    let bytes = bytes(BYTES);
    let path = world.write("a.bin", &bytes);
    let offered = survey(&path).unwrap();
    let chunking = Chunking::new(BYTES as u64, CHUNK_LENGTH_MIN).unwrap();
    let length = CHUNK_LENGTH_MIN as usize + TAG_LENGTH;
    let mut cut = 0;
    for seed in 0..SEEDS {
        let mut chance = rand_chacha::ChaCha20Rng::seed_from_u64(seed);
        let file = protocol::FileId([u8::try_from(seed).unwrap(); 16]);
        let offer = FileOffer { file, chunking, ..offer(&offered) };
        let mut least = 0;
        let received = loop {
            let until = usize::try_from(chance.next_u64()).unwrap() % (2 * length);
            let silently = chance.next_u64().is_multiple_of(2);
            let ending = if silently { Ending::Silent } else { Ending::Reset };
            let serving = serve_until(&world, &offer, &bytes, until, ending);
            let receiving = world.receiving(&offer);
            let (received, (from, _stream)) = tokio::join!(receiving.run(&world.recipient), serving);
            // What is reset may be lost on its way; what was sent before a silent end is not.
            let whole = if silently { (until / length) as u64 } else { 0 };
            assert!(from >= least, "SEED={seed}: chunk {from} is asked for again");
            least = from + whole;
            match received {
                Ok(path) => break path,
                Err(FetchError::Lost(_)) => cut += 1,
                Err(error) => panic!("SEED={seed}: {error}"),
            }
        };
        assert!(same(&received, &path), "SEED={seed}");
        fs::remove_file(received).unwrap();
        world.receiving(&offer).place.discard(offer.file).unwrap();
    }
    assert!(cut > SEEDS, "streams were cut {cut} times");
    assert_eq!(inbox(&world), Vec::<String>::new());
}
