//! Storage for the MLS library that does no I/O: reads come from memory, writes are collected as changes.
//!
//! Records are keyed by conversation and local incarnation, because the library refuses to rejoin a group over the
//! epochs that it stored before.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mls_rs::{GroupStateStorage, KeyPackageStorage};
use mls_rs_core::{
    group::{EpochRecord, GroupState},
    key_package::KeyPackageData,
    mls_rs_codec::{MlsDecode as _, MlsEncode as _},
};
use protocol::{ConversationId, limits::PAST_EPOCHS};
use zeroize::Zeroizing;

use crate::stored::{Change, Table};

/// The part of the beginning of a state that is left to the rest of it, so that a change a little further ahead next time is in
/// the rest too.
const SLACK: usize = 16;

#[derive(Default)]
struct Inner {
    records: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
    /// Of states that are on the disk in two parts: how long the first is. Also without its tree the state of a thousand
    /// members has a quarter of a million bytes, of which a message changes the last few thousand. The first part is always
    /// the beginning of the present state, so that nothing is kept that the library has forgotten.
    heads: BTreeMap<Vec<u8>, usize>,
    changes: Vec<Change>,
}

impl Inner {
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push(Change::Put { table, key: key.clone(), value: value.clone() });
        self.records.insert((table, key), Zeroizing::new(value));
    }

    /// Keeps a group's state, and writes of it what is new.
    fn put_state(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let before = self.records.get(&(Table::GroupState, key.clone()));
        let same = before.map_or(0, |before| before.iter().zip(&value).take_while(|(one, other)| one == other).count());
        let head = self.heads.get(&key).copied();
        let large = self.records.contains_key(&(Table::GroupTree, key.clone()));
        let mut write = |table, key: &[u8], value: &[u8]| {
            self.changes.push(Change::Put { table, key: key.to_vec(), value: value.to_vec() });
        };
        match head {
            Some(head) if head <= same => {
                write(Table::GroupStateRest, &key, value.get(head..).unwrap_or_default());
            }
            _ if large && same > 0 && same >= value.len() / 2 => {
                let (begin, rest) = value.split_at(same - same / SLACK);
                write(Table::GroupStateHead, &key, begin);
                write(Table::GroupStateRest, &key, rest);
                self.heads.insert(key.clone(), begin.len());
                if head.is_none() {
                    self.changes.push(Change::Delete { table: Table::GroupState, key: key.clone() });
                }
            }
            _ => {
                write(Table::GroupState, &key, &value);
                self.unite(&key);
            }
        }
        self.records.insert((Table::GroupState, key), Zeroizing::new(value));
    }

    /// A state is on the disk in two parts no more.
    fn unite(&mut self, key: &[u8]) {
        if self.heads.remove(key).is_some() {
            for table in [Table::GroupStateHead, Table::GroupStateRest] {
                self.changes.push(Change::Delete { table, key: key.to_vec() });
            }
        }
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        if self.records.remove(&(table, key.to_vec())).is_some() {
            self.changes.push(Change::Delete { table, key: key.to_vec() });
        }
    }

    fn keys_with(&self, table: Table, prefix: &[u8]) -> Vec<Vec<u8>> {
        let from = (Bound::Included((table, prefix.to_vec())), Bound::Unbounded);
        let found = self.records.range(from).map(|((found, key), _)| (*found, key));
        found
            .take_while(|(found, key)| *found == table && key.starts_with(prefix))
            .map(|(_, key)| key.clone())
            .collect()
    }
}

/// What the library has stored, and what it has changed since the last [`Staging::take_changes`]. Handles share it.
#[derive(Clone, Default)]
pub struct Staging(Arc<Mutex<Inner>>);

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging").finish_non_exhaustive()
    }
}

impl Staging {
    /// Takes the MLS records among all records.
    #[must_use]
    pub fn load(records: &[(Table, Vec<u8>, Vec<u8>)]) -> Self {
        let staging = Self::default();
        let own = |table: &Table| {
            matches!(table, Table::GroupState | Table::GroupTree | Table::GroupEpoch | Table::KeyPackage)
        };
        let mut inner = staging.lock();
        for (table, key, value) in records.iter().filter(|(table, ..)| own(table)) {
            inner.records.insert((*table, key.clone()), Zeroizing::new(value.clone()));
        }
        let of = |part: Table| records.iter().filter(move |(table, ..)| *table == part);
        let mut rests: BTreeMap<&Vec<u8>, &Vec<u8>> =
            of(Table::GroupStateRest).map(|(_, key, rest)| (key, rest)).collect();
        for (_, key, head) in of(Table::GroupStateHead) {
            let Some(rest) = rests.remove(key) else { continue };
            inner.heads.insert(key.clone(), head.len());
            let state = Zeroizing::new([head.as_slice(), rest].concat());
            inner.records.insert((Table::GroupState, key.clone()), state);
        }
        drop(inner);
        staging
    }

    /// What changed, in order.
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    /// Forgets the past epochs of an incarnation below `oldest`.
    pub fn trim(&self, conversation: ConversationId, incarnation: u64, oldest: u64) {
        let mut inner = self.lock();
        let prefix = state_key(conversation, incarnation);
        for key in inner.keys_with(Table::GroupEpoch, &prefix) {
            if epoch_of(&key).is_some_and(|epoch| epoch < oldest) {
                inner.delete(Table::GroupEpoch, &key);
            }
        }
    }

    /// The past epochs of an incarnation that are kept, ascending.
    #[must_use]
    pub fn past_epochs(&self, conversation: ConversationId, incarnation: u64) -> Vec<u64> {
        let keys = self.lock().keys_with(Table::GroupEpoch, &state_key(conversation, incarnation));
        keys.iter().filter_map(|key| epoch_of(key)).collect()
    }

    /// Forgets everything of an incarnation.
    pub fn forget(&self, conversation: ConversationId, incarnation: u64) {
        let mut inner = self.lock();
        let prefix = state_key(conversation, incarnation);
        inner.delete(Table::GroupState, &prefix);
        inner.unite(&prefix);
        inner.delete(Table::GroupTree, &prefix);
        for key in inner.keys_with(Table::GroupEpoch, &prefix) {
            inner.delete(Table::GroupEpoch, &key);
        }
    }

    /// The key packages whose private parts are here, by reference.
    pub(super) fn key_packages(&self) -> Vec<(Vec<u8>, KeyPackageData)> {
        let inner = self.lock();
        let keys = inner.keys_with(Table::KeyPackage, &[]);
        let read = |key: Vec<u8>| {
            let bytes = inner.records.get(&(Table::KeyPackage, key.clone()))?;
            Some((key, KeyPackageData::mls_decode(&mut bytes.as_slice()).ok()?))
        };
        keys.into_iter().filter_map(read).collect()
    }

    /// Forgets the private parts of all key packages.
    pub fn forget_key_packages(&self) {
        let mut inner = self.lock();
        for key in inner.keys_with(Table::KeyPackage, &[]) {
            inner.delete(Table::KeyPackage, &key);
        }
    }

    /// Forgets a key package's private part.
    pub(super) fn forget_key_package(&self, reference: &[u8]) {
        self.lock().delete(Table::KeyPackage, reference);
    }

    /// The view of one incarnation, for the library.
    pub(super) fn view(&self, incarnation: u64) -> StagingView {
        StagingView { staging: self.clone(), incarnation }
    }

    // A panic while the lock is held leaves whole records only: each change is one insertion.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state_key(conversation: ConversationId, incarnation: u64) -> Vec<u8> {
    [conversation.0.as_slice(), &incarnation.to_be_bytes()].concat()
}

fn epoch_of(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The storage that one incarnation's group sees.
#[derive(Clone)]
pub(super) struct StagingView {
    staging: Staging,
    incarnation: u64,
}

impl StagingView {
    fn key(&self, group: &[u8]) -> Vec<u8> {
        [group, &self.incarnation.to_be_bytes()].concat()
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The ratchet tree, if it is kept apart from the group's state.
    pub(super) fn tree(&self, group: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.staging.lock().records.get(&(Table::GroupTree, self.key(group))).cloned()
    }

    /// Keeps the ratchet tree apart.
    pub(super) fn put_tree(&self, group: &[u8], tree: Vec<u8>) {
        self.staging.lock().put(Table::GroupTree, self.key(group), tree);
    }

    /// The state has the ratchet tree again.
    pub(super) fn delete_tree(&self, group: &[u8]) {
        self.staging.lock().delete(Table::GroupTree, &self.key(group));
    }
}

impl GroupStateStorage for StagingView {
    type Error = Infallible;

    fn state(&self, group_id: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        Ok(self.staging.lock().records.get(&(Table::GroupState, self.key(group_id))).cloned())
    }

    fn epoch(&self, group_id: &[u8], epoch_id: u64) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        let key = [self.key(group_id).as_slice(), &epoch_id.to_be_bytes()].concat();
        Ok(self.staging.lock().records.get(&(Table::GroupEpoch, key)).cloned())
    }

    fn write(
        &mut self,
        state: GroupState,
        epoch_inserts: Vec<EpochRecord>,
        epoch_updates: Vec<EpochRecord>,
    ) -> Result<(), Infallible> {
        let mut inner = self.staging.lock();
        let prefix = self.key(&state.id);
        inner.put_state(prefix.clone(), state.data.to_vec());
        for epoch in epoch_inserts.into_iter().chain(epoch_updates) {
            let key = [prefix.as_slice(), &epoch.id.to_be_bytes()].concat();
            inner.put(Table::GroupEpoch, key, epoch.data.to_vec());
        }
        let kept = inner.keys_with(Table::GroupEpoch, &prefix);
        let excess = kept.len().saturating_sub(usize::try_from(PAST_EPOCHS).unwrap_or(usize::MAX));
        for key in kept.iter().take(excess) {
            inner.delete(Table::GroupEpoch, key);
        }
        Ok(())
    }

    fn max_epoch_id(&self, group_id: &[u8]) -> Result<Option<u64>, Infallible> {
        let keys = self.staging.lock().keys_with(Table::GroupEpoch, &self.key(group_id));
        Ok(keys.last().and_then(|key| epoch_of(key)))
    }
}

impl KeyPackageStorage for StagingView {
    type Error = mls_rs_core::mls_rs_codec::Error;

    fn delete(&mut self, id: &[u8]) -> Result<(), Self::Error> {
        self.staging.lock().delete(Table::KeyPackage, id);
        Ok(())
    }

    fn insert(&mut self, id: Vec<u8>, pkg: KeyPackageData) -> Result<(), Self::Error> {
        let bytes = pkg.mls_encode_to_vec()?;
        self.staging.lock().put(Table::KeyPackage, id, bytes);
        Ok(())
    }

    fn get(&self, id: &[u8]) -> Result<Option<KeyPackageData>, Self::Error> {
        let found = self.staging.lock().records.get(&(Table::KeyPackage, id.to_vec())).cloned();
        found.map(|bytes| KeyPackageData::mls_decode(&mut bytes.as_slice())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Disk = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

    fn write(staging: &Staging, state: &[u8], disk: &mut Disk) -> usize {
        staging.lock().put_state(vec![1], state.to_vec());
        let mut written = 0;
        for change in staging.take_changes() {
            match change {
                Change::Put { table, key, value } => {
                    written += value.len();
                    disk.insert((table, key), value);
                }
                Change::Delete { table, key } => drop(disk.remove(&(table, key))),
                other => panic!("{other:?}"),
            }
        }
        let records: Vec<_> = disk.iter().map(|((table, key), value)| (*table, key.clone(), value.clone())).collect();
        let again = Staging::load(&records);
        assert_eq!(
            again.lock().records.get(&(Table::GroupState, vec![1])).map(|kept| kept.to_vec()),
            Some(state.to_vec())
        );
        assert_eq!(again.lock().heads, staging.lock().heads);
        written
    }

    fn with_tree() -> (Staging, Disk) {
        let (staging, mut disk) = (Staging::default(), Disk::new());
        staging.lock().put(Table::GroupTree, vec![1], vec![5; 9]);
        disk.insert((Table::GroupTree, vec![1]), vec![5; 9]);
        let _ = staging.take_changes();
        (staging, disk)
    }

    /// A state of so many bytes that stay, and these that change.
    fn state(stays: usize, changes: &[u8]) -> Vec<u8> {
        [vec![7; stays], changes.to_vec()].concat()
    }

    #[test]
    fn of_a_large_state_what_is_new_is_written_and_nothing_old_is_kept() {
        let (staging, mut disk) = with_tree();
        let mut written = Vec::new();
        for round in 0..4 {
            written.push(write(&staging, &state(200_000, &[round; 1_000]), &mut disk));
        }
        assert_eq!(written, [201_000, 201_000, 13_500, 13_500]);
        // Whatever was there before is there no more.
        assert!(disk.values().all(|value| !value.contains(&2)), "an older state is kept");
        // A little less stays the same, then hardly anything.
        assert_eq!(write(&staging, &state(190_000, &[9; 1_000]), &mut disk), 3_500);
        assert_eq!(write(&staging, &state(100_000, &[10; 90_000]), &mut disk), 190_000);
        assert_eq!(write(&staging, &[11; 50_000], &mut disk), 50_000);
        assert_eq!(disk.keys().map(|(table, _)| *table).collect::<Vec<_>>(), [Table::GroupState, Table::GroupTree]);
        assert!(staging.lock().heads.is_empty());
    }

    #[test]
    fn a_state_with_its_tree_is_written_whole_and_one_that_is_forgotten_leaves_nothing() {
        let (staging, mut disk) = (Staging::default(), Disk::new());
        for round in 0..3 {
            assert_eq!(write(&staging, &state(5_000, &[round; 100]), &mut disk), 5_100);
        }
        let (staging, mut disk) = with_tree();
        for round in 0..3 {
            write(&staging, &state(50_000, &[round; 100]), &mut disk);
        }
        assert_eq!(disk.len(), 3);
        staging.lock().delete(Table::GroupTree, &[1]);
        staging.lock().delete(Table::GroupState, &[1]);
        staging.lock().unite(&[1]);
        for change in staging.take_changes() {
            if let Change::Delete { table, key } = change {
                disk.remove(&(table, key));
            }
        }
        assert_eq!(disk, Disk::new());
    }
}
