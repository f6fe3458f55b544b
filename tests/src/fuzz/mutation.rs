//! Changes of bytes by chance: what a fuzzer without a compiler's help does.

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore as _;

/// Numbers at which lengths and counts go wrong.
const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff, b'/'];
/// Changes at once, at most.
const CHANGES: usize = 6;
/// Bytes that come in at once, at most.
const PIECE: usize = 24;

fn below(chance: &mut ChaCha20Rng, limit: usize) -> usize {
    usize::try_from(chance.next_u64() % (limit.max(1) as u64)).unwrap_or_default()
}

/// Some of the bytes changed, added, taken away, or put elsewhere; now and then nothing but chance.
#[must_use]
pub fn mutated(chance: &mut ChaCha20Rng, samples: &[Vec<u8>]) -> Vec<u8> {
    let sample = |chance: &mut ChaCha20Rng| samples.get(below(chance, samples.len())).cloned().unwrap_or_default();
    if below(chance, 16) == 0 {
        let mut bytes = vec![0; below(chance, 512)];
        chance.fill_bytes(&mut bytes);
        return bytes;
    }
    let mut bytes = sample(chance);
    for _ in 0..=below(chance, CHANGES) {
        let at = below(chance, bytes.len() + 1);
        let until = (at + below(chance, PIECE)).min(bytes.len());
        match below(chance, 6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => {
                let mut piece = vec![0; below(chance, PIECE)];
                chance.fill_bytes(&mut piece);
                bytes.splice(at..at, piece);
            }
            3 => {
                let other = sample(chance);
                let from = below(chance, other.len() + 1);
                bytes.splice(at..until, other.into_iter().skip(from).take(PIECE));
            }
            4 => {
                let edge = EDGES.get(below(chance, EDGES.len())).copied().unwrap_or_default();
                bytes.get_mut(at).into_iter().for_each(|byte| *byte = edge);
            }
            _ => {
                let bit = 1 << below(chance, 8);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
            }
        }
    }
    bytes
}
