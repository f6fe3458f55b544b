//! The tiled tree against the one that the verifying crate builds.

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use protocol::{
    BoundedBytes, Signature, Timestamp,
    money::{HashBytes, SignedCheckpoint},
};
use sha2::{Digest as _, Sha256};

use super::{Log, TILE, leaf};
use crate::store::{
    ledger::{Batch, Head, LedgerStore, NewEntry},
    memory::MemoryLedger,
};

fn entry(n: u64) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

/// A store that a log of so many entries was kept in, batch by batch.
fn kept(size: u64) -> (MemoryLedger, Log) {
    let store = MemoryLedger::default();
    let mut log = Log::default();
    let mut at = 0;
    while at < size {
        let end = (at + 1 + at % 997).min(size);
        append(&store, &mut log, at, end);
        at = end;
    }
    (store, log)
}

fn append(store: &MemoryLedger, log: &mut Log, from: u64, to: u64) {
    let tiles = log.append((from..to).map(|n| leaf(&entry(n))));
    let people = (protocol::AccountId([1; 32]), 0);
    let new = |n: u64| NewEntry {
        index: n,
        bytes: entry(n),
        order: (people.0, protocol::OrderId(u128::from(n).to_be_bytes())),
        hash: [0; 32],
        payer: people,
        payee: people,
        device: None,
        refunds: None,
    };
    let checkpoint = SignedCheckpoint { checkpoint: BoundedBytes::default(), signature: Signature([0; 64]) };
    let batch = Batch {
        entries: (from..to).map(new).collect(),
        certificates: Vec::new(),
        refused: Vec::new(),
        requests: Vec::new(),
        closed: Vec::new(),
        steps: Vec::new(),
        tiles,
        head: Head { era: 0, size: to, time: Timestamp(0), changes: 0, checkpoint },
    };
    store.keep(&batch).unwrap();
}

fn reference(size: u64) -> MemoryBackedTree<Sha256, HashBytes> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|n| tree.push(Sha256::digest(entry(n)).into()));
    tree
}

fn root(log: &Log, store: &MemoryLedger, size: u64) -> RootHash<Sha256> {
    RootHash::new(log.root(store, size).unwrap().into(), size)
}

#[test]
fn roots_and_proofs_are_those_of_rfc_9162() {
    let tile = TILE as u64;
    for size in (0..20).chain([tile - 1, tile, tile + 1, 3 * tile + 77]) {
        let (store, log) = kept(size);
        let tree = reference(size);
        assert_eq!(root(&log, &store, size), tree.root(), "size {size}");
        assert_eq!(log.own_root(), Some(log.root(&store, size).unwrap()), "size {size}");
        for index in (0..size).filter(|index| size < 20 || index % 37 == 0 || size - index < 3) {
            let proof = log.inclusion(&store, index, size).unwrap().unwrap().concat();
            assert_eq!(proof, tree.prove_inclusion(usize::try_from(index).unwrap()).as_bytes());
        }
        for from in (1..=size).filter(|from| size < 20 || from % 41 == 0) {
            let proof = log.consistency(&store, from, size).unwrap().unwrap().concat();
            assert_eq!(proof, tree.prove_consistency(usize::try_from(size - from).unwrap()).as_bytes());
        }
    }
}

#[test]
fn a_log_that_was_opened_again_is_the_same_and_grows_on() {
    let tile = TILE as u64;
    for size in [0, 1, tile - 1, tile, tile * tile - 1, tile * tile, tile * tile + 2 * tile + 3] {
        let (store, _) = kept(size);
        let mut log = Log::open(&store, size).unwrap();
        append(&store, &mut log, size, size + 5);
        let tree = reference(size + 5);
        assert_eq!(root(&log, &store, size + 5), tree.root(), "size {size}");
        for index in [0, size / 3, size] {
            let proof = log.inclusion(&store, index, size + 5).unwrap().unwrap();
            let proof = InclusionProof::try_from_bytes(proof.concat()).unwrap();
            let leaf: HashBytes = Sha256::digest(entry(index)).into();
            tree.root().verify_inclusion(&leaf, index, &proof).unwrap();
        }
    }
}

#[test]
fn proofs_are_made_for_every_size_that_the_log_had() {
    let (store, log) = kept(1_000);
    for (from, to) in [(1, 2), (5, 300), (256, 257), (256, 999), (512, 1_000), (700, 701), (999, 1_000)] {
        let (old, new) = (reference(from).root(), reference(to).root());
        assert_eq!((root(&log, &store, from), root(&log, &store, to)), (old.clone(), new.clone()));
        let proof = log.consistency(&store, from, to).unwrap().unwrap().concat();
        new.verify_consistency(&old, &ConsistencyProof::try_from_bytes(proof).unwrap()).unwrap();
        let proof = log.inclusion(&store, from, to).unwrap().unwrap().concat();
        let leaf: HashBytes = Sha256::digest(entry(from)).into();
        new.verify_inclusion(&leaf, from, &InclusionProof::try_from_bytes(proof).unwrap()).unwrap();
    }
}

#[test]
fn what_no_log_had_has_no_proof() {
    let (store, log) = kept(10);
    assert_eq!(log.inclusion(&store, 10, 10).unwrap(), None);
    assert_eq!(log.inclusion(&store, 0, 11).unwrap(), None);
    assert_eq!(log.consistency(&store, 5, 11).unwrap(), None);
    assert_eq!(log.consistency(&store, 6, 5).unwrap(), None);
    assert_eq!(log.consistency(&store, 0, 5).unwrap(), Some(Vec::new()));
    assert_eq!(log.consistency(&store, 5, 5).unwrap(), Some(Vec::new()));
}

#[test]
fn a_log_without_one_of_its_tiles_does_not_open() {
    let (store, _) = kept(600);
    assert!(Log::open(&store, 600).is_ok());
    assert!(Log::open(&store, 601).is_err(), "an entry is missing");
    assert!(Log::open(&store, 256 * 256).is_err(), "tiles are missing");
}
