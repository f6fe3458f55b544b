//! The threads on which the service runs: it waits for the disk, and must not make the sockets wait with it.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex as Lock, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use protocol::{
    AccountId, DeviceId,
    directory::{Refusal, Reply, Request},
    peer::CloseCode,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc, oneshot},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{Begun, Handled, ServiceEffect},
    server::{
        data_folder::DataFolder,
        link::Link,
        now,
        reception::{Reception, Visit},
        sessions::Sessions,
    },
};

/// Jobs that wait for a thread. Above it connections wait, each with at most its few requests.
const JOBS_MAX: usize = 1_024;
/// Threads: most of them wait for the disk most of the time, and those that wait together share one wait.
const THREADS: usize = 16;
/// Locks over which devices are spread: enough that two threads seldom wait for each other.
const TURNS: usize = 64;

/// What a request came to, and on whose behalf.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Result<Reply, Refusal>,
    pub(crate) account: Option<AccountId>,
}

/// A connection as the service knows it, for as long as one job takes.
#[derive(Debug)]
struct Party {
    visit: OwnedMutexGuard<Box<dyn Visit>>,
    link: Arc<Link>,
}

#[derive(Debug)]
enum Job {
    Ask { party: Party, request: Request, answer: oneshot::Sender<Answered> },
    Connected { party: Party, done: oneshot::Sender<()> },
    Disconnected { party: Party, done: oneshot::Sender<()> },
    Sweep,
    Issue,
    Stop,
}

/// The way to the service's threads.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    jobs: mpsc::Sender<Job>,
}

impl Workers {
    /// Has a request answered; `None` if the service has stopped.
    pub(crate) async fn ask(
        &self,
        visit: OwnedMutexGuard<Box<dyn Visit>>,
        link: Arc<Link>,
        request: Request,
    ) -> Option<Answered> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Ask { party: Party { visit, link }, request, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Tells the service of a new connection: a device that is signed in needs no password.
    pub(crate) async fn connected(&self, visit: Arc<Mutex<Box<dyn Visit>>>, link: Arc<Link>) {
        let (done, finished) = oneshot::channel();
        let party = Party { visit: visit.lock_owned().await, link };
        if self.jobs.send(Job::Connected { party, done }).await.is_ok() {
            let _ = finished.await;
        }
    }

    /// Tells the service that a connection is gone.
    pub(crate) async fn disconnected(&self, visit: Arc<Mutex<Box<dyn Visit>>>, link: Arc<Link>) {
        let (done, finished) = oneshot::channel();
        let party = Party { visit: visit.lock_owned().await, link };
        if self.jobs.send(Job::Disconnected { party, done }).await.is_ok() {
            let _ = finished.await;
        }
    }

    /// Has the service look after what passes with time.
    pub(crate) async fn sweep(&self) {
        let _ = self.jobs.send(Job::Sweep).await;
    }

    /// Has the service do what the operator's commands have left.
    pub(crate) async fn issue_wanted(&self) {
        let _ = self.jobs.send(Job::Issue).await;
    }
}

/// The threads themselves.
#[derive(Debug)]
pub(crate) struct Threads {
    threads: Vec<JoinHandle<()>>,
    jobs: mpsc::Sender<Job>,
}

impl Threads {
    /// Waits until every job in hand is done and the store is closed.
    pub(crate) async fn stop(self) {
        for _ in &self.threads {
            let _ = self.jobs.send(Job::Stop).await;
        }
        let threads = self.threads.into_iter();
        let joined = spawn_blocking(move || threads.map(JoinHandle::join).filter(Result::is_err).count()).await;
        if !matches!(joined, Ok(0)) {
            tracing::error!("a thread of the service ended badly");
        }
    }
}

/// What every thread holds. When the last one ends, the store closes, and then the folder is free for another process.
struct Desk {
    reception: Arc<dyn Reception>,
    sessions: Sessions,
    // Whoever waits for a job holds it; the others wait for their turn to wait.
    jobs: Lock<mpsc::Receiver<Job>>,
    // One coming or going of a device at a time: the end of its old connection must not end the presence of its new one.
    turns: [Lock<()>; TURNS],
    failed: CancellationToken,
    _folder: Option<Arc<DataFolder>>,
}

/// Starts the threads. They stop answering when `failed` says that the store can no longer make anything durable.
///
/// # Errors
/// The system's, if it has no thread for us.
pub(crate) fn start(
    reception: Arc<dyn Reception>,
    folder: Option<Arc<DataFolder>>,
    failed: CancellationToken,
) -> io::Result<(Workers, Threads)> {
    let (sender, jobs) = mpsc::channel(JOBS_MAX);
    let (sessions, jobs) = (Sessions::default(), Lock::new(jobs));
    let desk =
        Arc::new(Desk { reception, sessions, jobs, turns: [const { Lock::new(()) }; TURNS], failed, _folder: folder });
    let threads = (0..THREADS).map(|number| {
        let (desk, dispatch) = (Arc::clone(&desk), tracing::dispatcher::get_default(Clone::clone));
        let work = move || tracing::dispatcher::with_default(&dispatch, || desk.work());
        thread::Builder::new().name(format!("service-{number}")).spawn(work)
    });
    let threads = threads.collect::<io::Result<_>>()?;
    Ok((Workers { jobs: sender.clone() }, Threads { threads, jobs: sender }))
}

impl Desk {
    /// Does one job after the other until told to stop, or until the store has failed.
    fn work(self: &Arc<Self>) {
        while let Some(job) = self.next().filter(|_| !self.failed.is_cancelled()) {
            // A bug in one request must not take the service from everybody: the store has undone what was half done.
            if catch_unwind(AssertUnwindSafe(|| self.perform_job(job))).is_err() {
                tracing::error!("a request met a bug of the directory; nothing of it was kept");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        job.filter(|job| !matches!(job, Job::Stop))
    }

    fn perform_job(self: &Arc<Self>, job: Job) {
        match job {
            Job::Ask { party, request, answer } => self.ask(party, request, answer),
            Job::Connected { mut party, done } => {
                let effects = party.visit.connected(now());
                self.note_sign_in(&party);
                self.perform(effects);
                drop((party, done));
            }
            Job::Disconnected { mut party, done } => {
                if let Some(device) = party.link.device() {
                    let _turn = self.turn(device);
                    // A device that has a newer connection is still there.
                    if self.sessions.remove(device, &party.link) {
                        self.perform(party.visit.disconnected(now()));
                    }
                }
                drop((party, done));
            }
            Job::Sweep => self.perform(self.reception.sweep(now())),
            Job::Issue => self.perform(self.reception.issue_wanted(now())),
            Job::Stop => {}
        }
    }

    /// Answers a request; what waits for the ledger is answered by whoever writes that, and this thread is free.
    fn ask(self: &Arc<Self>, mut party: Party, request: Request, answer: oneshot::Sender<Answered>) {
        let before = party.visit.account();
        let begun = party.visit.begin(now(), request);
        self.note_sign_in(&party);
        let account = party.visit.account().or(before);
        match begun {
            Begun::Done(handled) => {
                // Only then another request of its connection is taken up.
                let answered = self.finish(handled, account);
                drop(party);
                if let Some(answered) = answered {
                    let _ = answer.send(answered);
                }
            }
            Begun::Later(pending) => {
                drop(party);
                let desk = Arc::clone(self);
                pending.settle(move |handled| {
                    if let Some(answered) = desk.finish(handled, account) {
                        let _ = answer.send(answered);
                    }
                });
            }
        }
    }

    /// What is answered; nothing at all if the effects can't be made durable, because then no answer would be true.
    fn finish(&self, handled: Handled, account: Option<AccountId>) -> Option<Answered> {
        self.perform(handled.effects);
        (!self.failed.is_cancelled()).then_some(Answered { answer: handled.answer, account })
    }

    /// If the connection's device is signed in now, pushes for it come here from now on.
    fn note_sign_in(&self, party: &Party) {
        if let (Some(device), None) = (party.visit.device(), party.link.device()) {
            let _turn = self.turn(device);
            party.link.sign_in(device);
            self.sessions.insert(device, &party.link);
        }
    }

    fn turn(&self, device: DeviceId) -> MutexGuard<'_, ()> {
        // The first byte is random, and there are fewer locks than it has values.
        let [first, ..] = device.0;
        self.turns[usize::from(first) % TURNS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, effects: Vec<ServiceEffect>) {
        for effect in effects {
            match effect {
                ServiceEffect::Push { device, push } => self.sessions.push(device, push),
                ServiceEffect::CloseSession { device } => self.sessions.end(device, CloseCode::SignedOut),
            }
        }
    }
}
