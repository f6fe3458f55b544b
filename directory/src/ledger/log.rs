//! The log's Merkle tree (RFC 9162, section 2.1), kept in tiles so that neither opening it nor proving anything takes
//! hashing it all.
//!
//! A tile holds 256 hashes of one height, those of level `n` being roots of whole subtrees of `256^n` leaves. A whole
//! tile never changes and is kept; the last, growing one of each level is in memory and follows from what is kept. Node
//! numbers and proofs come from the crate that verifies them, too. Proofs are made for any size that the log ever had.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ct_merkle::{indices_for_consistency_proof, indices_for_inclusion_proof};
use protocol::money::{HashBytes, LEDGER_ENTRIES_MAX};
use sha2::{Digest as _, Sha256};

use crate::store::{
    StoreError, Stored,
    ledger::{LedgerStore, Tile},
};

/// Height of a tile.
const TILE_HEIGHT: u32 = 8;
/// Hashes of a whole tile.
pub(crate) const TILE: usize = 1 << TILE_HEIGHT;
/// Levels of tiles in the largest log.
const LEVELS: usize = 6;
/// Whole tiles that are remembered, some 16 KiB each: those from which proofs of late entries are made.
const CACHED_MAX: usize = 256;

/// The leaf that an entry is: its hash under RFC 9162's prefix.
#[must_use]
pub fn leaf(entry: &[u8]) -> HashBytes {
    Sha256::new_with_prefix([0]).chain_update(settlement::proof::leaf(entry)).finalize().into()
}

fn parent(left: &HashBytes, right: &HashBytes) -> HashBytes {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tile with everything above its hashes: row zero has the hashes, each further row half as many.
#[derive(Debug, Clone, Default)]
struct Rows(Vec<Vec<HashBytes>>);

impl Rows {
    fn of(hashes: impl IntoIterator<Item = HashBytes>) -> Self {
        let mut rows = Self::default();
        hashes.into_iter().for_each(|hash| rows.push(hash));
        rows
    }

    /// Adds a hash, and every parent that is whole now.
    fn push(&mut self, hash: HashBytes) {
        let mut hash = hash;
        for height in 0..=TILE_HEIGHT as usize {
            if self.0.len() <= height {
                self.0.push(Vec::new());
            }
            let Some(row) = self.0.get_mut(height) else { return };
            row.push(hash);
            let [.., left, right] = row.as_slice() else { return };
            if row.len() % 2 == 1 {
                return;
            }
            hash = parent(left, right);
        }
    }

    fn get(&self, height: u32, place: u64) -> Option<HashBytes> {
        self.0.get(height as usize)?.get(usize::try_from(place).ok()?).copied()
    }

    fn len(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }
}

/// The tree of a log.
#[derive(Debug, Default)]
pub struct Log {
    size: u64,
    growing: Vec<Rows>,
    // Whole tiles of late, by level and place. One lock, held for a look-up.
    cached: Mutex<BTreeMap<(u8, u64), Rows>>,
}

impl Log {
    /// The tree as it is kept, for a log of this size.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read, or less is there than there should be.
    pub fn open(store: &dyn LedgerStore, size: u64) -> Stored<Self> {
        let mut log = Self { size, ..Self::default() };
        if size > LEDGER_ENTRIES_MAX {
            return Err(damaged("the log's size"));
        }
        let mut below = size;
        for level in 0..LEVELS {
            let whole = below / TILE as u64;
            let rest = below % TILE as u64;
            let hashes = match u8::try_from(level).unwrap_or(u8::MAX).checked_sub(1) {
                None => store.entries(whole * TILE as u64, TILE)?.iter().map(|entry| leaf(entry)).collect(),
                Some(level) => store.tile_roots(level, whole * TILE as u64)?,
            };
            if hashes.len() as u64 != rest {
                return Err(damaged("the log's tree"));
            }
            log.growing.push(Rows::of(hashes));
            below = whole;
        }
        Ok(log)
    }

    /// Entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds leaves; gives the tiles that are whole now.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = HashBytes>) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for leaf in leaves {
            self.push(leaf, &mut tiles);
            self.size += 1;
        }
        tiles
    }

    fn push(&mut self, leaf: HashBytes, tiles: &mut Vec<Tile>) {
        let mut hash = leaf;
        let mut before = self.size;
        for level in 0..LEVELS {
            if self.growing.len() <= level {
                self.growing.push(Rows::default());
            }
            let Some(rows) = self.growing.get_mut(level) else { return };
            rows.push(hash);
            let Some(root) = rows.get(TILE_HEIGHT, 0) else { return };
            before /= TILE as u64;
            let (rows, level) = (std::mem::take(rows), u8::try_from(level).unwrap_or(u8::MAX));
            let hashes = rows.0.first().map(|row| row.concat()).unwrap_or_default();
            tiles.push(Tile { level, place: before, hashes, root });
            self.remember((level, before), rows);
            hash = root;
        }
    }

    fn remember(&self, key: (u8, u64), rows: Rows) {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= CACHED_MAX {
            // Of the lowest level the oldest: what is asked for most is new.
            cached.pop_first();
        }
        cached.insert(key, rows);
    }

    /// Root of the tree, of which nothing but what was appended here is needed; `None` if some of that is missing.
    pub(crate) fn own_root(&self) -> Option<HashBytes> {
        if self.size == 0 {
            return Some(settlement::proof::empty_root());
        }
        // Whole subtrees from the smallest, at the right, to the largest.
        let mut root = None;
        for (level, rows) in self.growing.iter().enumerate() {
            for within in 0..TILE_HEIGHT {
                let height = u32::try_from(level).ok()? * TILE_HEIGHT + within;
                if self.size >> height & 1 == 0 {
                    continue;
                }
                let count = rows.0.get(within as usize)?.len();
                let left = rows.get(within, count.checked_sub(1)? as u64)?;
                root = Some(match root {
                    Some(right) => parent(&left, &right),
                    None => left,
                });
            }
        }
        root
    }

    /// Root of the tree of the first so many leaves.
    ///
    /// # Errors
    /// [`StoreError`] if a tile can't be read.
    pub fn root(&self, store: &dyn LedgerStore, size: u64) -> Stored<HashBytes> {
        if size == 0 {
            return Ok(settlement::proof::empty_root());
        }
        self.subtree(store, 0, size)
    }

    /// Inclusion proof of a leaf in the tree of the first so many; `None` if it is not among them.
    ///
    /// # Errors
    /// [`StoreError`] if a tile can't be read.
    pub fn inclusion(&self, store: &dyn LedgerStore, index: u64, size: u64) -> Stored<Option<Vec<HashBytes>>> {
        if index >= size || size > self.size {
            return Ok(None);
        }
        self.nodes(store, &indices_for_inclusion_proof(size, index), size).map(Some)
    }

    /// Consistency proof between the trees of the first so many and of the first so many more; empty between equal ones and
    /// from the empty one; `None` if they are not that.
    ///
    /// # Errors
    /// [`StoreError`] if a tile can't be read.
    pub fn consistency(&self, store: &dyn LedgerStore, from: u64, to: u64) -> Stored<Option<Vec<HashBytes>>> {
        if from > to || to > self.size {
            return Ok(None);
        }
        if from == 0 || from == to {
            return Ok(Some(Vec::new()));
        }
        self.nodes(store, &indices_for_consistency_proof(from, to - from), to).map(Some)
    }

    /// Nodes by their number in order (a leaf's is twice its place), in a tree of this size.
    fn nodes(&self, store: &dyn LedgerStore, numbers: &[u64], size: u64) -> Stored<Vec<HashBytes>> {
        let range = |number: &u64| {
            let height = number.trailing_ones();
            let begin = (number >> (height + 1)) << height;
            (begin, (begin + (1 << height)).min(size))
        };
        numbers.iter().map(range).map(|(begin, end)| self.subtree(store, begin, end)).collect()
    }

    /// Hash of the subtree over these leaves, which is whole or the ragged right of a tree.
    fn subtree(&self, store: &dyn LedgerStore, begin: u64, end: u64) -> Stored<HashBytes> {
        let leaves = end - begin;
        if leaves.is_power_of_two() {
            return self.whole(store, leaves.trailing_zeros(), begin);
        }
        let middle = begin + (1 << leaves.ilog2());
        Ok(parent(&self.subtree(store, begin, middle)?, &self.subtree(store, middle, end)?))
    }

    /// Hash of a whole subtree of this height that begins with this leaf.
    fn whole(&self, store: &dyn LedgerStore, height: u32, begin: u64) -> Stored<HashBytes> {
        let missing = || damaged("a tile of the log's tree");
        let level = height / TILE_HEIGHT;
        let place = begin >> height;
        let within = height % TILE_HEIGHT;
        let tile = place >> (TILE_HEIGHT - within);
        let inside = place & ((1 << (TILE_HEIGHT - within)) - 1);
        let whole = self.size >> ((level + 1) * TILE_HEIGHT);
        if tile >= whole {
            let rows = self.growing.get(level as usize).filter(|_| tile == whole);
            return rows.and_then(|rows| rows.get(within, inside)).ok_or_else(missing);
        }
        let key = (u8::try_from(level).map_err(|_| missing())?, tile);
        let cached = |log: &Self| {
            let cached = log.cached.lock().unwrap_or_else(PoisonError::into_inner);
            cached.get(&key).and_then(|rows| rows.get(within, inside))
        };
        if let Some(hash) = cached(self) {
            return Ok(hash);
        }
        let bytes = store.tile(key.0, key.1)?.ok_or_else(missing)?;
        let hashes = bytes.chunks_exact(32).filter_map(|hash| HashBytes::try_from(hash).ok());
        let rows = Rows::of(hashes);
        if rows.len() != TILE {
            return Err(missing());
        }
        let hash = rows.get(within, inside).ok_or_else(missing);
        self.remember(key, rows);
        hash
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

#[cfg(test)]
mod tests;
