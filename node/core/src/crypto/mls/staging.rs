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

#[derive(Default)]
struct Inner {
    records: BTreeMap<(Table, Vec<u8>), Zeroizing<Vec<u8>>>,
    changes: Vec<Change>,
}

impl Inner {
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push(Change::Put { table, key: key.clone(), value: value.clone() });
        self.records.insert((table, key), Zeroizing::new(value));
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
        for (table, key, value) in records.iter().filter(|(table, ..)| own(table)) {
            staging.lock().records.insert((*table, key.clone()), Zeroizing::new(value.clone()));
        }
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
        inner.put(Table::GroupState, prefix.clone(), state.data.to_vec());
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
