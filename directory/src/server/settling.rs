//! The thread that writes the ledger: it takes what was handed in since its last batch, brings it to the disk together, and
//! has it answered.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use protocol::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    core::ledger::Operation,
    ledger::{Book, Done, Finish, Settle},
    server::data_folder::DataFolder,
    store::{StoreError, Stored},
};

/// Operations in one batch: what is handed in during the wait for a disk, and few enough that the first does not wait long
/// for the last.
const BATCH_MAX: usize = 1_024;
/// Operations that wait for the thread. Whoever hands in more waits.
const WAITING_MAX: usize = 4 * BATCH_MAX;
/// How long a batch waits for as many as the last one had: they have just been answered and come again.
const LINGER: Duration = Duration::from_millis(1);

struct Job {
    now: Timestamp,
    operation: Operation,
    finish: Finish,
}

/// The way to the thread, for whoever has none of its own.
#[derive(Debug)]
pub struct Owner {
    jobs: SyncSender<Job>,
}

impl Settle for Owner {
    fn hand_in(&self, now: Timestamp, operation: Operation, finish: Finish) {
        // If the thread has stopped, the job is dropped with everything that waits for it.
        let _ = self.jobs.send(Job { now, operation, finish });
    }
}

/// Starts the thread. It ends when nobody can hand in anything any more, or when a batch could not be kept: then `failed`
/// is cancelled.
///
/// # Errors
/// The system's, if it has no thread for us.
pub fn start(book: Arc<Book>, folder: Option<Arc<DataFolder>>, failed: CancellationToken) -> io::Result<Owner> {
    let (sender, jobs) = sync_channel(WAITING_MAX);
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let work = move || {
        // The folder is this process's for as long as this may write.
        let _folder = folder;
        tracing::dispatcher::with_default(&dispatch, || write(&book, &jobs, &failed));
    };
    thread::Builder::new().name("ledger".to_owned()).spawn(work)?;
    Ok(Owner { jobs: sender })
}

fn write(book: &Book, jobs: &Receiver<Job>, failed: &CancellationToken) {
    let mut last = 1;
    while let Ok(first) = jobs.recv() {
        let batch = gather(first, jobs, last);
        last = batch.len();
        if !settle(book, batch) {
            return failed.cancel();
        }
    }
}

/// What waits, and what comes in a moment if there was more than one before: alone, nobody waits for anybody.
fn gather(first: Job, jobs: &Receiver<Job>, last: usize) -> Vec<Job> {
    let mut batch = vec![first];
    let until = Instant::now() + LINGER;
    while batch.len() < BATCH_MAX {
        let left = if batch.len() < last { until.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
        match jobs.recv_timeout(left) {
            Ok(job) => batch.push(job),
            Err(_) => break,
        }
    }
    batch
}

/// Brings a batch to the disk and has each answered; says whether the ledger can go on.
fn settle(book: &Book, batch: Vec<Job>) -> bool {
    let now = batch.iter().map(|job| job.now).max().unwrap_or_default();
    let (operations, finishes): (Vec<Operation>, Vec<Finish>) =
        batch.into_iter().map(|job| (job.operation, job.finish)).unzip();
    match catch_unwind(AssertUnwindSafe(|| book.perform(now, &operations))) {
        Ok(Ok(done)) => answer(finishes, done.into_iter().map(Ok)),
        // Nothing was written, and the ledger is as it was.
        Ok(Err(error @ (StoreError::Damaged(_) | StoreError::NewerSchema { .. }))) => {
            let error = error.to_string();
            answer(finishes, std::iter::repeat_with(|| Err(StoreError::Damaged(error.clone()))));
        }
        Ok(Err(error @ StoreError::Fatal(_))) => {
            tracing::error!(%error, "the ledger failed; the process has to end");
            return false;
        }
        Err(_) => {
            tracing::error!("the ledger met a bug; the process has to end");
            return false;
        }
    }
    true
}

fn answer(finishes: Vec<Finish>, done: impl Iterator<Item = Stored<Done>>) {
    for (finish, done) in finishes.into_iter().zip(done) {
        if catch_unwind(AssertUnwindSafe(|| finish(done))).is_err() {
            tracing::error!("an answer of the ledger met a bug; what it is about was kept");
        }
    }
}
