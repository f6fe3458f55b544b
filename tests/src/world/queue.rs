//! What is about to happen, in the order of time; what happens at one moment is ordered by a seeded draw.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{chance::Chance, clock::Moment};

/// A queue of things to come.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Due<T>>,
    serial: u64,
}

#[derive(Debug)]
struct Due<T> {
    at: Moment,
    draw: u64,
    serial: u64,
    what: T,
}

impl<T> Queue<T> {
    /// Something is to happen.
    pub fn push(&mut self, chance: &mut Chance, at: Moment, what: T) {
        self.serial += 1;
        self.heap.push(Due { at, draw: chance.number(), serial: self.serial, what });
    }

    /// The next thing.
    pub fn pop(&mut self) -> Option<(Moment, T)> {
        self.heap.pop().map(|due| (due.at, due.what))
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|due| due.at)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), serial: 0 }
    }
}

impl<T> Due<T> {
    fn key(&self) -> (Moment, u64, u64) {
        (self.at, self.draw, self.serial)
    }
}

impl<T> Ord for Due<T> {
    // The heap gives the greatest first; the earliest is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Due<T> {}
