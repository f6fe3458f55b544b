//! All files that a node surveys, sends and receives at the moment: one task for each, and what they tell.
//!
//! It starts and stops what it is told to, one thing at a time for each file, so that nothing is removed while it is still
//! being written. It does not know who may have what.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use node_core::{command::CommandToken, input::FileStream, transfer::Stopped};
use protocol::{
    AccountId, FileId,
    file::{
        Chunking, EnclosedFile, FileOffer,
        stream::{FilePart, FileRefusal},
    },
};
use quinn::Connection;
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    fetch::FetchError,
    receive::{PATIENCE, Receiving},
    serve::{Asked, ServeError, Serving},
};
use crate::files::{
    ReceiveError, SendError,
    place::Place,
    survey::{Survey, survey},
    unpack::unpack,
};

/// The shortest time between two words about how far a file has come: four a second.
const PROGRESS: Duration = Duration::from_millis(250);
/// How long those that receive may take to let go of the disk at the end: what a chunk takes to be written, and more.
const LETTING_GO: Duration = Duration::from_secs(2);

/// What happened with files.
#[derive(Debug)]
pub enum Happened {
    /// Something that is to be offered was looked at.
    Surveyed {
        /// Names the question.
        token: CommandToken,
        /// What it is, or why it can't be offered.
        result: Result<Survey, SendError>,
    },
    /// So much of a file is there.
    Progress {
        /// Of which.
        file: FileId,
        /// At whom, if it is sent; here, if it is received.
        account: Option<AccountId>,
        /// How much.
        bytes: u64,
    },
    /// A file is there, whole, under its name.
    Received {
        /// Which.
        file: FileId,
        /// Where.
        path: PathBuf,
    },
    /// Receiving a file stopped.
    Stopped {
        /// Which.
        file: FileId,
        /// Why.
        why: Stopped,
    },
    /// Nothing more is sent to whoever asked, however it ended.
    Served {
        /// Names the question.
        stream: FileStream,
    },
    /// What was offered can't be sent any more, in words.
    SourceLost {
        /// Which.
        file: FileId,
        /// Why.
        why: String,
    },
    /// What there was of a file could not be removed, in words.
    NotDiscarded {
        /// Which.
        file: FileId,
        /// Why.
        why: String,
    },
}

/// Whatever is under way. Dropping it ends all of it; what is on the disk stays.
#[derive(Debug)]
pub struct Carrier {
    inbox: PathBuf,
    events: mpsc::Sender<Happened>,
    receiving: HashMap<FileId, CancellationToken>,
    serving: HashMap<FileId, Vec<(AccountId, CancellationToken)>>,
    /// Held by whatever works on the disk for a file.
    disk: HashMap<FileId, Arc<Mutex<()>>>,
    tasks: JoinSet<()>,
    receives: JoinSet<()>,
}

impl Carrier {
    /// Receives into this folder, unless told otherwise, and tells `events`, which bounds how far the tasks run ahead.
    #[must_use]
    pub fn new(inbox: PathBuf, events: mpsc::Sender<Happened>) -> Self {
        let (receiving, serving, disk) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { inbox, events, receiving, serving, disk, tasks: JoinSet::new(), receives: JoinSet::new() }
    }

    /// Looks at what is to be offered.
    pub fn survey(&mut self, token: CommandToken, path: PathBuf) {
        let events = self.events.clone();
        self.spawn(async move {
            let looked = tokio::task::spawn_blocking(move || survey(&path)).await;
            // A panic in there has no result.
            if let Ok(result) = looked {
                let _ = events.send(Happened::Surveyed { token, result }).await;
            }
        });
    }

    /// Receives a file, or goes on; into the inbox, or as `target`.
    pub fn receive(&mut self, connection: Connection, offer: FileOffer, target: Option<PathBuf>) {
        let file = offer.file;
        self.stop_receiving(file);
        let (folder, name) = self.destination(target.as_deref());
        let cancelled = CancellationToken::new();
        self.receiving.insert(file, cancelled.clone());
        let (disk, events, chunking) = (self.disk(file), self.events.clone(), offer.chunking);
        let (taken, seen) = watch::channel(0);
        while self.receives.try_join_next().is_some() {}
        self.receives.spawn(async move {
            let _alone = disk.lock().await;
            let receiving = async {
                let opened = tokio::task::spawn_blocking(move || Place::open(&folder)).await;
                let place = opened.map_err(|error| FetchError::Lost(error.to_string()))??;
                let place = Arc::new(place);
                Receiving { offer, place, name, taken, cancelled, patience: PATIENCE }.run(&connection).await
            };
            let result = tokio::select! {
                result = receiving => result,
                () = tell(seen, chunking, &events, |bytes| Happened::Progress { file, account: None, bytes }) => return,
            };
            tell_end(file, result, &events).await;
        });
    }

    /// Writes what came with its offer; into the inbox, or as `target`.
    pub fn unpack(&mut self, enclosed: EnclosedFile, target: Option<&Path>) {
        let file = enclosed.offer().file;
        self.stop_receiving(file);
        let (folder, name) = self.destination(target);
        let cancelled = CancellationToken::new();
        self.receiving.insert(file, cancelled.clone());
        let (disk, events) = (self.disk(file), self.events.clone());
        while self.receives.try_join_next().is_some() {}
        self.receives.spawn(async move {
            let _alone = disk.lock().await;
            if cancelled.is_cancelled() {
                return;
            }
            let written =
                tokio::task::spawn_blocking(move || unpack(Place::open(&folder)?, &enclosed, name.as_deref()));
            let result = match written.await {
                Ok(written) => written.map_err(FetchError::from),
                Err(error) => Err(FetchError::Lost(error.to_string())),
            };
            tell_end(file, result, &events).await;
        });
    }

    /// Receives a file no more; what there is of it stays.
    pub fn stop_receiving(&mut self, file: FileId) {
        if let Some(cancelled) = self.receiving.remove(&file) {
            cancelled.cancel();
        }
    }

    /// Removes what there is of a file in the making, once nobody writes it any more; what has its name stays.
    pub fn discard(&mut self, file: FileId, target: Option<&Path>) {
        self.stop_receiving(file);
        let (folder, _) = self.destination(target);
        let (disk, events) = (self.disk(file), self.events.clone());
        self.spawn(async move {
            let _alone = disk.lock().await;
            let removed = tokio::task::spawn_blocking(move || {
                // Where nothing was ever received nothing is made only to be removed.
                if folder.is_dir() { Place::open(&folder)?.discard(file) } else { Ok(()) }
            });
            if let Ok(Err(error)) = removed.await {
                let _ = events.send(Happened::NotDiscarded { file, why: error.to_string() }).await;
            }
        });
    }

    /// Sends what a peer has asked for, and may have; `open` finds it, and blocks.
    pub fn serve(
        &mut self,
        asked: (FileStream, Asked),
        account: AccountId,
        chunking: Chunking,
        open: impl FnOnce() -> Result<Serving, SendError> + Send + 'static,
    ) {
        let (stream, asked) = asked;
        let file = asked.fetch.file;
        let told = asked.fetch.part == FilePart::Chunks;
        let withdrawn = CancellationToken::new();
        let serves = self.serving.entry(file).or_default();
        // Those that have ended are let go of here, so that their number follows that of the running ones.
        serves.retain(|(_, withdrawn)| !withdrawn.is_cancelled());
        serves.push((account, withdrawn.clone()));
        let events = self.events.clone();
        let (taken, seen) = watch::channel(asked.fetch.from);
        self.spawn(async move {
            let progress = |bytes| Happened::Progress { file, account: Some(account), bytes };
            let result = match tokio::task::spawn_blocking(open).await {
                Ok(Ok(serving)) => tokio::select! {
                    result = asked.serve(serving, withdrawn.clone(), |below| { taken.send_replace(below); }) => result,
                    () = tell(seen, chunking, &events, progress), if told => return,
                },
                Ok(Err(error)) => {
                    asked.refuse(FileRefusal::Changed).await;
                    Err(ServeError::Disk(error))
                }
                Err(error) => Err(ServeError::Lost(error.to_string())),
            };
            withdrawn.cancel();
            match result {
                Err(ServeError::Disk(error)) => {
                    let _ = events.send(Happened::SourceLost { file, why: error.to_string() }).await;
                }
                Err(error) => tracing::info!(file = ?file, %error, "a file was not sent to its end"),
                Ok(()) => {}
            }
            let _ = events.send(Happened::Served { stream }).await;
        });
    }

    /// Tells whoever has asked why nothing follows.
    pub fn refuse(&mut self, asked: Asked, refusal: FileRefusal) {
        self.spawn(asked.refuse(refusal));
    }

    /// Sends a file no more: to one account, or to anybody.
    pub fn stop_serving(&mut self, file: FileId, account: Option<AccountId>) {
        let Some(serves) = self.serving.get_mut(&file) else { return };
        let (stopped, rest) =
            std::mem::take(serves).into_iter().partition(|(to, _)| account.is_none_or(|account| account == *to));
        *serves = rest;
        if serves.is_empty() {
            self.serving.remove(&file);
        }
        for (_, withdrawn) in stopped {
            withdrawn.cancel();
        }
    }

    /// Ends everything; whatever is being written is written, and what is on the disk stays.
    pub async fn end(mut self) {
        for cancelled in self.receiving.values() {
            cancelled.cancel();
        }
        let ended = async { while self.receives.join_next().await.is_some() {} };
        // A disk that takes longer is left alone; what it has is looked at again before anything is added.
        let _ = tokio::time::timeout(LETTING_GO, ended).await;
    }

    fn destination(&self, target: Option<&Path>) -> (PathBuf, Option<std::ffi::OsString>) {
        let Some(target) = target else { return (self.inbox.clone(), None) };
        let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        (folder.unwrap_or(Path::new(".")).to_owned(), target.file_name().map(ToOwned::to_owned))
    }

    fn disk(&mut self, file: FileId) -> Arc<Mutex<()>> {
        self.disk.retain(|_, lock| Arc::strong_count(lock) > 1);
        self.disk.entry(file).or_default().clone()
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }
}

/// Tells how far a file has come, as often as may be, until nobody listens.
async fn tell(
    mut seen: watch::Receiver<u64>,
    chunking: Chunking,
    events: &mpsc::Sender<Happened>,
    happened: impl Fn(u64) -> Happened,
) {
    while seen.changed().await.is_ok() {
        let chunks = *seen.borrow_and_update();
        let bytes = chunks.saturating_mul(u64::from(chunking.chunk())).min(chunking.bytes());
        if events.send(happened(bytes)).await.is_err() {
            return;
        }
        tokio::time::sleep(PROGRESS).await;
    }
    // Whoever carries it has come to its end, and says so itself.
    std::future::pending().await
}

/// Tells how receiving has ended, unless that was wished for.
async fn tell_end(file: FileId, result: Result<PathBuf, FetchError>, events: &mpsc::Sender<Happened>) {
    let happened = match result {
        Ok(path) => Happened::Received { file, path },
        Err(error) => match stopped(error) {
            Some(why) => Happened::Stopped { file, why },
            None => return,
        },
    };
    // Whoever hears nothing more has ended.
    let _ = events.send(happened).await;
}

/// What a failure means for the transfer; nothing if it was wished for.
fn stopped(error: FetchError) -> Option<Stopped> {
    match error {
        FetchError::Cancelled => None,
        FetchError::Lost(reason) => {
            tracing::info!(reason, "a file stopped on its way");
            Some(Stopped::Lost)
        }
        FetchError::Refused(refusal) => Some(Stopped::Refused(refusal)),
        FetchError::Misbehaved(_) => Some(Stopped::Mismatch(error.to_string())),
        FetchError::Disk(ReceiveError::Mismatch | ReceiveError::Unsound) => Some(Stopped::Mismatch(error.to_string())),
        FetchError::Disk(error) => Some(Stopped::Disk(error.to_string())),
    }
}
