//! Remembering whoever was met lately, in bounded room and at a cost that does not grow.

use std::collections::BTreeMap;

use protocol::Timestamp;

/// Entries of each kind that are remembered, at least half of them those met last.
const ENTRIES_MAX: usize = 50_000;

/// What was met lately, in two halves: whoever is met again moves to the young one, and when that is full or old
/// enough, the other is forgotten as a whole. So no call ever looks through what is remembered.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: BTreeMap<K, V>,
    old: BTreeMap<K, V>,
    turned: Timestamp,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), turned: Timestamp::default() }
    }
}

impl<K: Ord, V> Recent<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
        if self.young.len() >= ENTRIES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    /// Forgets what was not met for `memory_ms`, and keeps nothing for more than twice as long.
    pub(super) fn turn(&mut self, now: Timestamp, memory_ms: u64) {
        if now.ms_since(self.turned) >= memory_ms {
            self.old = std::mem::take(&mut self.young);
            self.turned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_others_forgets_the_least_recent_and_costs_no_search() {
        let mut recent = Recent::default();
        for n in 0..10 * ENTRIES_MAX {
            recent.insert(n, n);
            recent.insert(0, n);
            assert!(recent.young.len() + recent.old.len() <= ENTRIES_MAX);
        }
        assert_eq!(recent.get(&0), Some(&(10 * ENTRIES_MAX - 1)), "who is met again is not forgotten");
        assert_eq!(recent.get(&1), None);
        assert_eq!(recent.remove(&0), Some(10 * ENTRIES_MAX - 1));
        assert_eq!(recent.get(&0), None);
    }
}
