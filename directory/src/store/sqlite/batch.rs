//! Changes that come at the same time share one transaction, and so one wait for the disk.
//!
//! Each caller does its own work, on its own thread, inside the open transaction and inside a savepoint of its own, so that
//! one that fails undoes nothing of the others'. Whoever is first needs none, since there is nothing else to be undone: a
//! savepoint costs a copy of each page that is changed, and with many pages much more. Whoever is last, with nobody at the
//! door, commits for all; so a caller that comes alone commits at once. All of them wait for that commit before they return.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rusqlite::Connection;

use super::{StoreError, Stored, fatal};

/// Changes in one transaction: as many as there may be callers, and few enough that the first does not wait long for the
/// last.
const BATCH_MAX: usize = 64;

/// The one connection that writes.
#[derive(Debug)]
pub(super) struct Batches {
    open: Mutex<Batch>,
    committed: Condvar,
    // Callers at the door: each comes in as soon as the lock is free, and then decides again who commits.
    arriving: AtomicUsize,
}

#[derive(Debug)]
struct Batch {
    connection: Connection,
    /// Counts batches; all below are on the disk.
    number: u64,
    /// Changes in the open transaction; none if there is no open one, or the only one was undone.
    changes: usize,
    failed: bool,
}

impl Batches {
    pub(super) fn new(connection: Connection) -> Self {
        let batch = Batch { connection, number: 0, changes: 0, failed: false };
        Self { open: Mutex::new(batch), committed: Condvar::new(), arriving: AtomicUsize::new(0) }
    }

    /// Does work as one change and waits until it is on the disk.
    pub(super) fn write<T>(&self, work: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        let mut batch = self.enter();
        let number = batch.number;
        let worked = catch_unwind(AssertUnwindSafe(|| batch.change(work)));
        if worked.is_err() {
            // The bug is one caller's; the others' changes stand.
            batch.undo_change();
        }
        let left = self.leave(batch, number);
        match worked {
            Ok(Ok(value)) => left.map(|()| value),
            Ok(Err(error)) => Err(error),
            Err(panic) => resume_unwind(panic),
        }
    }

    fn enter(&self) -> MutexGuard<'_, Batch> {
        self.arriving.fetch_add(1, Ordering::SeqCst);
        // Work that panicked was undone before the lock was let go.
        let batch = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.arriving.fetch_sub(1, Ordering::SeqCst);
        batch
    }

    /// Waits until a batch is on the disk, or brings it there.
    fn leave(&self, mut batch: MutexGuard<'_, Batch>, number: u64) -> Stored<()> {
        while batch.number == number && !batch.failed {
            if self.arriving.load(Ordering::SeqCst) == 0 || batch.changes >= BATCH_MAX {
                batch.commit();
                self.committed.notify_all();
            } else {
                batch = self.committed.wait(batch).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if batch.number > number {
            return Ok(());
        }
        self.committed.notify_all();
        Err(StoreError::Fatal("a commit failed; whether it is on the disk is unknown".to_owned()))
    }
}

impl Batch {
    fn change<T>(&mut self, work: impl FnOnce(&Connection) -> Stored<T>) -> Stored<T> {
        let done = self.begin().and_then(|()| work(&self.connection));
        match &done {
            Ok(_) => self.keep_change(),
            Err(StoreError::Fatal(_)) => self.fail(),
            Err(StoreError::Damaged(_) | StoreError::NewerSchema { .. }) => self.undo_change(),
        }
        done
    }

    fn begin(&mut self) -> Stored<()> {
        if self.failed {
            return Err(StoreError::Fatal("an earlier commit failed".to_owned()));
        }
        if self.changes == 0 {
            self.connection.execute_batch("BEGIN IMMEDIATE").map_err(fatal)?;
            self.changes = 1;
            return Ok(());
        }
        self.changes += 1;
        self.connection.execute_batch("SAVEPOINT change").map_err(fatal)
    }

    fn keep_change(&mut self) {
        if self.changes > 1 && self.connection.execute_batch("RELEASE change").is_err() {
            self.fail();
        }
    }

    fn undo_change(&mut self) {
        let alone = self.changes == 1;
        let undone = if alone { "ROLLBACK" } else { "ROLLBACK TO change; RELEASE change" };
        match self.connection.execute_batch(undone) {
            Ok(()) if alone => self.changes = 0,
            Ok(()) => {}
            Err(_) => self.fail(),
        }
    }

    fn commit(&mut self) {
        let committed = if self.changes == 0 { Ok(()) } else { self.connection.execute_batch("COMMIT") };
        match committed {
            Ok(()) => {
                self.number += 1;
                self.changes = 0;
            }
            Err(_) => self.fail(),
        }
    }

    /// Nothing is answered from this connection any more. What was not committed is undone, here or at the next start.
    fn fail(&mut self) {
        self.failed = true;
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A table whose rows must all name a row of another one when they are committed.
    fn batches() -> Batches {
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", "ON").unwrap();
        let tables = "CREATE TABLE parent (id INTEGER PRIMARY KEY);
                      INSERT INTO parent VALUES (1);
                      CREATE TABLE child (
                          number INTEGER, parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED
                      );";
        connection.execute_batch(tables).unwrap();
        Batches::new(connection)
    }

    fn insert(connection: &Connection, number: i64, parent: i64) -> Stored<i64> {
        let sql = "INSERT INTO child VALUES (?1, ?2)";
        connection.execute(sql, [number, parent]).map_err(fatal)?;
        Ok(number)
    }

    fn rows(batches: &Batches) -> Vec<i64> {
        let batch = batches.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = batch.connection.prepare("SELECT number FROM child ORDER BY number").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn commits(batches: &Batches) -> u64 {
        batches.open.lock().unwrap_or_else(PoisonError::into_inner).number
    }

    type Work = Box<dyn FnOnce(&Connection) -> Stored<i64> + Send>;

    /// Does all of these in one batch: the first is not done before the others are at the door.
    fn together(batches: &Batches, works: Vec<Work>) -> Vec<Stored<i64>> {
        let others = works.len() - 1;
        let (entered, inside) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let mut works = works.into_iter();
            let first = works.next().unwrap();
            let first = move |connection: &Connection| {
                entered.send(()).unwrap();
                while batches.arriving.load(Ordering::SeqCst) < others {
                    thread::yield_now();
                }
                first(connection)
            };
            let mut threads = vec![scope.spawn(move || batches.write(first))];
            inside.recv().unwrap();
            threads.extend(works.map(|work| scope.spawn(move || batches.write(work))));
            let panicked = |_| Err(StoreError::Damaged("panicked".to_owned()));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
        })
    }

    #[test]
    fn a_change_that_comes_alone_is_committed_alone() {
        let batches = batches();
        for number in 0..3 {
            assert_eq!(batches.write(|connection| insert(connection, number, 1)).unwrap(), number);
            assert_eq!(i64::try_from(commits(&batches)).unwrap(), number + 1);
        }
        assert_eq!(rows(&batches), [0, 1, 2]);
    }

    #[test]
    fn changes_that_come_together_share_a_commit_and_one_that_fails_or_panics_undoes_only_its_own() {
        let batches = batches();
        let good = |number| -> Work { Box::new(move |connection| insert(connection, number, 1)) };
        let bad = |connection: &Connection| {
            insert(connection, 98, 1)?;
            Err(StoreError::Damaged("one record".to_owned()))
        };
        let buggy = |connection: &Connection| {
            insert(connection, 99, 1)?;
            panic!("a bug")
        };
        let done = together(&batches, vec![good(1), Box::new(bad), good(2), Box::new(buggy), good(3)]);
        let done: Vec<_> = done.into_iter().map(|done| done.map_err(|error| error.to_string())).collect();
        let damaged = |what: &str| Err(format!("a stored record is damaged: {what}"));
        assert_eq!(done, [Ok(1), damaged("one record"), Ok(2), damaged("panicked"), Ok(3)]);
        assert_eq!((rows(&batches), commits(&batches)), (vec![1, 2, 3], 1));
        assert_eq!(batches.write(|connection| insert(connection, 4, 1)).unwrap(), 4);
        assert_eq!(commits(&batches), 2);
    }

    #[test]
    fn a_first_change_that_fails_or_panics_leaves_its_batch_to_the_others() {
        let batches = batches();
        let good = |number| -> Work { Box::new(move |connection| insert(connection, number, 1)) };
        let bad = |connection: &Connection| {
            insert(connection, 98, 1)?;
            Err(StoreError::Damaged("one record".to_owned()))
        };
        let buggy = |connection: &Connection| {
            insert(connection, 99, 1)?;
            panic!("a bug")
        };
        for (first, number) in [(Box::new(bad) as Work, 1), (Box::new(buggy), 3)] {
            let done = together(&batches, vec![first, good(number), good(number + 1)]);
            let done: Vec<_> = done.into_iter().map(Result::ok).collect();
            assert_eq!(done, [None, Some(number), Some(number + 1)]);
        }
        assert_eq!((rows(&batches), commits(&batches)), (vec![1, 2, 3, 4], 2));
        let alone = batches.write(|_| Err::<i64, _>(StoreError::Damaged("alone".to_owned())));
        assert!(matches!(alone, Err(StoreError::Damaged(_))), "{alone:?}");
        assert_eq!(batches.write(|connection| insert(connection, 5, 1)).unwrap(), 5);
        assert_eq!(rows(&batches), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_commit_that_fails_is_everybodys_failure_and_the_last() {
        let batches = batches();
        let child = |number, parent| -> Work { Box::new(move |connection| insert(connection, number, parent)) };
        let done = together(&batches, vec![child(1, 1), child(2, 77), child(3, 1)]);
        assert!(done.iter().all(|done| matches!(done, Err(StoreError::Fatal(_)))), "{done:?}");
        let later = batches.write(|connection| insert(connection, 4, 1));
        assert!(matches!(later, Err(StoreError::Fatal(_))), "{later:?}");
        assert_eq!((rows(&batches), commits(&batches)), (vec![], 0));
    }

    #[test]
    fn a_storm_of_callers_loses_nothing_and_never_hangs() {
        let batches = batches();
        thread::scope(|scope| {
            for caller in 0..16 {
                let batches = &batches;
                scope.spawn(move || {
                    for number in caller * 100..(caller + 1) * 100 {
                        assert_eq!(batches.write(|connection| insert(connection, number, 1)).unwrap(), number);
                    }
                });
            }
        });
        assert_eq!(rows(&batches), (0..1_600).collect::<Vec<_>>());
        assert!(commits(&batches) <= 1_600);
    }
}
