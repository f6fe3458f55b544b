//! Files between real cores at a table: connections that part, nodes that die, disks that fill up, senders and recipients who
//! change their minds, over hundreds of seeds. What carries the bytes is played: chunks are counted, not written.
//!
//! Packets are lost and reordered below that: QUIC hands on the bytes of a stream in their order or not at all. What can be lost
//! here is a stream or a connection, with the chunk that was on it. What becomes of a stream that is cut after any byte
//! is played with real streams and a real disk, beside the code that fetches.
//!
//! A failing seed is named; `SEED=n cargo test -p tests --test transfers` plays it alone.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

mod enclosed;
mod harbour;
mod met;

use node_core::{
    input::{FileInput, FileStream, PeerId},
    output::FileEffect,
};
use protocol::{
    FileId,
    file::stream::{FileFetch, FilePart, FileRefusal},
};
use tests::table::Table;

use self::{harbour::play, met::Met};

/// Seeds of one run of the test.
const SEEDS: u64 = 200;
/// How often each case is met at least, over all seeds.
const LEAST: u64 = 25;

/// Plays one thread's seeds.
fn share(first: u64, threads: u64) -> Met {
    let played =
        |seed| std::panic::catch_unwind(|| play(seed)).unwrap_or_else(|_| panic!("SEED={seed} breaks a promise"));
    (first..SEEDS).step_by(usize::try_from(threads).unwrap()).map(played).fold(Met::default(), Met::with)
}

#[test]
fn whatever_is_wanted_arrives_once_whoever_dies_or_is_cut_off() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        println!("{:?}", play(seed));
        return;
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let met = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first, threads))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).fold(Met::default(), Met::with)
    });
    println!("{SEEDS} seeds: {met:?}");
    for (what, times) in met.all() {
        assert!(times >= LEAST, "{what} was met {times} times");
    }
}

#[test]
fn whoever_asks_on_a_connection_that_was_given_up_here_is_told_to_ask_again() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let fetch = FileFetch { file: FileId([1; 16]), part: FilePart::Chunks, from: 0 };
    table.happen(alice, FileInput::Asked { stream: FileStream(1), peer: PeerId(77), fetch });
    let told = table.files.pop();
    let busy = matches!(told, Some((_, FileEffect::Refuse { refusal: FileRefusal::Busy, .. })));
    assert!(busy, "{told:?}");
}
