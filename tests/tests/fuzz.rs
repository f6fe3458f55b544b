//! The fuzz targets on stable, without a fuzzer: the corpus that is kept, and thousands of seeded changes of it for each.
//! `SEED=n` plays changes from another number on; `tests/fuzz` has the same targets for libFuzzer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{env, fs, panic, path::Path};

use protocol::{
    directory::{Push, Refusal, Reply, Request},
    file::{EnclosedFile, FileOffer, manifest::Manifest, stream::FileFetch},
    frame,
    limits::DIRECTORY_FRAME_MAX,
    peer::{Content, PeerFrame},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tests::fuzz::{TARGETS, Target, mutation::mutated};

/// Changes that each target is given.
const CHANGES: u64 = 20_000;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn play((name, target): Target) {
    let samples = corpus(name);
    assert!(samples.len() >= 3, "{name} has no corpus");
    let first: u64 = env::var("SEED").map_or(0, |seed| seed.parse().unwrap());
    let changed = (first..first + CHANGES).map(|seed| {
        let bytes = mutated(&mut ChaCha20Rng::seed_from_u64(seed), &samples);
        (format!("SEED={seed}"), bytes)
    });
    let kept =
        samples.iter().enumerate().map(|(number, bytes)| (format!("number {number} of its corpus"), bytes.clone()));
    for (which, bytes) in kept.chain(changed) {
        let played = panic::catch_unwind(|| target(&bytes));
        assert!(played.is_ok(), "{name} breaks at {which}: {bytes:02x?}");
    }
}

/// How many of the samples are what they stand for: a corpus of which nothing is understood proves nothing.
fn understood<T: serde::de::DeserializeOwned>(name: &str) -> usize {
    corpus(name).iter().filter(|bytes| frame::decode_body::<T>(bytes, DIRECTORY_FRAME_MAX).is_ok()).count()
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|(target, _)| *target == name).unwrap()
}

#[test]
fn no_offer_breaks_anything_or_leads_out_of_the_inbox() {
    play(target("offer"));
}

#[test]
fn no_enclosed_file_breaks_anything_or_is_other_than_what_is_offered() {
    play(target("enclosed"));
}

#[test]
fn no_manifest_breaks_anything_or_leads_out_of_its_folder() {
    play(target("manifest"));
}

#[test]
fn no_changed_stream_of_chunks_opens_as_something_else() {
    play(target("chunk"));
}

#[test]
fn no_frame_or_message_breaks_whoever_reads_it() {
    for name in ["file_frame", "content", "peer_frame", "directory_frame"] {
        play(target(name));
    }
}

#[test]
fn what_is_kept_is_understood() {
    assert_eq!(understood::<FileOffer>("offer"), 13);
    // All but the one with a byte too few.
    assert_eq!(understood::<EnclosedFile>("enclosed"), 4);
    // All but the one whose path leads upwards.
    assert_eq!(understood::<Manifest>("manifest"), 9);
    assert_eq!(understood::<FileFetch>("file_frame"), 2);
    assert_eq!(understood::<Content>("content"), corpus("content").len());
    assert_eq!(understood::<PeerFrame>("peer_frame"), corpus("peer_frame").len());
    assert!(understood::<Request>("directory_frame") >= 34, "the requests");
    assert!(understood::<Result<Reply, Refusal>>("directory_frame") >= 41, "the replies and refusals");
    assert!(understood::<Push>("directory_frame") >= 6, "what is said unasked");
}

#[test]
fn each_target_has_a_program_for_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let program = fs::read_to_string(folder.join("fuzz_targets").join(format!("{name}.rs")));
        let program = program.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(program.contains(&format!("tests::fuzz::{name}(data)")), "{name} plays something else");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}
