//! What came with its offer, and is kept until it is wanted.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{AccountId, FileId, Timestamp};

use super::{Act, RECEIVING_MAX, Side, StoredChange, Transfers};

/// Bytes of what came with offers that are kept from one account: some forty of the longest. Beyond, an offer stands
/// without them, as one of a larger file does, and is to be had while its sender is there.
pub const ENCLOSED_FROM_ONE_MAX: usize = 1024 * 1024;
/// Bytes of them that are kept in all, since they are in memory.
pub const ENCLOSED_MAX: usize = 16 * 1024 * 1024;

/// What is kept of all offers.
#[derive(Debug, Default)]
pub(super) struct Enclosed {
    kept: BTreeMap<FileId, Vec<u8>>,
    changed: BTreeSet<FileId>,
    /// What is being written.
    unpacking: BTreeSet<FileId>,
}

impl Enclosed {
    pub(super) fn load(stored: impl Iterator<Item = (FileId, Vec<u8>)>) -> Self {
        Self { kept: stored.collect(), ..Self::default() }
    }

    pub(super) fn contains(&self, file: FileId) -> bool {
        self.kept.contains_key(&file)
    }

    pub(super) fn is_unpacking(&self, file: FileId) -> bool {
        self.unpacking.contains(&file)
    }

    /// Nobody writes it any more.
    pub(super) fn stop(&mut self, file: FileId) {
        self.unpacking.remove(&file);
    }

    pub(super) fn forget(&mut self, file: FileId) {
        if self.kept.remove(&file).is_some() {
            self.changed.insert(file);
        }
    }
}

impl Transfers {
    /// What came with an offer: its manifest, which a file has none of, and its bytes.
    #[must_use]
    pub fn enclosed(&self, file: FileId) -> Option<&[u8]> {
        self.enclosed.kept.get(&file).map(Vec::as_slice)
    }

    /// What is to be stored of it since the last call, as [`Transfers::changes`] says it.
    pub fn enclosed_changes(&mut self) -> Vec<StoredChange> {
        let changed = std::mem::take(&mut self.enclosed.changed).into_iter();
        changed.map(|file| (file, self.enclosed.kept.get(&file).cloned())).collect()
    }

    /// Begins to write what came with offers and is wanted, the oldest first.
    pub(super) fn begin_unpacking(&mut self, now: Timestamp) -> Vec<Act> {
        let mut acts = Vec::new();
        while self.enclosed.unpacking.len() < RECEIVING_MAX {
            let kept = self.enclosed.kept.keys().filter_map(|file| self.ready(now, *file, self.all.get(file)?));
            let Some((_, file, _)) = kept.min() else { break };
            self.enclosed.unpacking.insert(file);
            acts.push(Act::Unpack { file });
        }
        acts
    }

    /// Keeps what came with an offer of this account, if there is room.
    pub(super) fn keep_enclosed(&mut self, account: AccountId, file: FileId, bytes: Vec<u8>) {
        let of = |file: &FileId| self.all.get(file).map(|transfer| &transfer.side);
        let (mut all, mut theirs) = (bytes.len(), bytes.len());
        for (file, kept) in &self.enclosed.kept {
            all += kept.len();
            if matches!(of(file), Some(Side::Incoming { from, .. }) if *from == account) {
                theirs += kept.len();
            }
        }
        if all <= ENCLOSED_MAX && theirs <= ENCLOSED_FROM_ONE_MAX {
            self.enclosed.kept.insert(file, bytes);
            self.enclosed.changed.insert(file);
        }
    }
}
