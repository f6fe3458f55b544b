//! Getting what a peer has offered.

use std::time::Duration;

use bytes::Bytes;
use node_core::crypto::file::{ChunkError, ChunkOpener, StreamSecrets};
use protocol::{
    file::{
        Chunking, FileSecret,
        stream::{FileFetch, FileGrant, FileRefusal, FileTaken, TAG_LENGTH},
    },
    limits::FILE_FRAME_MAX,
};
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    AHEAD, FIRST_FRAME,
    buffer::{Buffers, share},
};
use crate::{
    files::{
        ReceiveError,
        partial::{Partial, Progress},
    },
    net::frames::{FrameReadError, read_frame, write_frames},
};

/// Why a stream ended before everything was there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The peer says that nothing, or nothing more, comes.
    #[error("the sender does not send it: {0:?}")]
    Refused(FileRefusal),
    /// The connection is gone, or the peer stopped without a word: to be asked again.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// What came is not what the protocol or the offer says.
    #[error("the sender sent what it should not: {0}")]
    Misbehaved(String),
    /// The disk here refuses, or the file is not what was offered.
    #[error(transparent)]
    Disk(#[from] ReceiveError),
    /// It was cancelled here.
    #[error("it is not wanted any more")]
    Cancelled,
}

/// Where opened chunks go. Blocks.
pub trait Sink: Send + 'static {
    /// Takes the chunk that is next.
    ///
    /// # Errors
    /// [`ReceiveError`] if the disk refuses, or it is not what was offered.
    fn take(&mut self, chunk: Bytes) -> Result<Progress, ReceiveError>;
}

impl Sink for Partial {
    fn take(&mut self, chunk: Bytes) -> Result<Progress, ReceiveError> {
        self.write(chunk)
    }
}

/// A manifest, which is held in memory.
impl Sink for Vec<u8> {
    fn take(&mut self, chunk: Bytes) -> Result<Progress, ReceiveError> {
        self.extend_from_slice(&chunk);
        Ok(Progress::Taken)
    }
}

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Fetching {
    /// The offer's secret.
    pub secret: FileSecret,
    /// Of which offer, which part, from where.
    pub fetch: FileFetch,
    /// How it is cut.
    pub chunking: Chunking,
    /// How long its sender may send nothing at all before its place is somebody else's.
    pub patience: Duration,
}

/// Fetches everything from a chunk on. `taken` follows what is written.
///
/// # Errors
/// [`FetchError`], with what there is given back: it can go on from there on another stream.
pub async fn fetch<S: Sink>(
    connection: &Connection,
    fetching: &Fetching,
    sink: S,
    taken: &watch::Sender<u64>,
    cancelled: &CancellationToken,
) -> (Option<S>, Result<Progress, FetchError>) {
    let opened = tokio::select! {
        opened = open(connection, fetching) => opened,
        () = cancelled.cancelled() => Err(FetchError::Cancelled),
    };
    let (mut send, mut recv, opener) = match opened {
        Ok(opened) => opened,
        Err(error) => return (Some(sink), Err(error)),
    };
    let (full, chunks) = mpsc::channel(AHEAD);
    let mut buffers = Buffers::new(AHEAD * 3);
    let spent = buffers.spent();
    let (told, mut telling) = watch::channel(fetching.fetch.from);
    let from = fetching.fetch.from;
    let writer = tokio::task::spawn_blocking(move || write(sink, opener, from, chunks, &spent, &told));
    let reading = async {
        tokio::select! {
            read = read(&mut recv, fetching, &mut buffers, full) => read,
            () = cancelled.cancelled() => Err(FetchError::Cancelled),
        }
    };
    let telling = async {
        tokio::select! {
            () = tell(&mut send, &mut telling, taken) => {}
            // A sender who takes no word is let go of all the same.
            () = cancelled.cancelled() => {}
        }
    };
    let (read, ()) = tokio::join!(reading, telling);
    let (sink, written) = match writer.await {
        Ok((sink, written)) => (Some(sink), written),
        Err(error) => (None, Err(FetchError::Lost(error.to_string()))),
    };
    // What the disk says is the cause of what the network says, not the other way round.
    let result = written.and_then(|progress| read.map(|()| progress));
    let code = match &result {
        Ok(Progress::Taken) => {
            let _ = send.finish();
            return (sink, result);
        }
        Err(FetchError::Misbehaved(_)) => FileRefusal::Malformed,
        _ => FileRefusal::Unwanted,
    };
    // A stream that is closed already says nothing more.
    let _ = (recv.stop(VarInt::from_u32(code.code())), send.reset(VarInt::from_u32(code.code())));
    (sink, result)
}

async fn open(
    connection: &Connection,
    fetching: &Fetching,
) -> Result<(SendStream, RecvStream, ChunkOpener), FetchError> {
    let lost = |error: &dyn std::fmt::Display| FetchError::Lost(error.to_string());
    let granted = async {
        let (mut send, mut recv) = connection.open_bi().await.map_err(|error| lost(&error))?;
        write_frames(&mut send, &[fetching.fetch], FILE_FRAME_MAX).await.map_err(|error| lost(&error))?;
        match read_frame(&mut recv, FILE_FRAME_MAX).await {
            Ok(FileGrant::Granted { salt }) => Ok((send, recv, salt)),
            Ok(FileGrant::Refused(refusal)) => Err(FetchError::Refused(refusal)),
            Err(FrameReadError::Stream(error)) => Err(broken(&error)),
            Err(error) => Err(FetchError::Misbehaved(error.to_string())),
        }
    };
    let granted = tokio::time::timeout(FIRST_FRAME, granted).await;
    let (send, recv, salt) = granted.map_err(|_| lost(&"no answer in time"))??;
    let FileFetch { file, part, from } = fetching.fetch;
    let secrets = StreamSecrets { secret: &fetching.secret, file, part, salt };
    let opener = ChunkOpener::new(&secrets, fetching.chunking, from).map_err(|error| lost(&error))?;
    Ok((send, recv, opener))
}

/// Reads exactly what the offer says that there is.
async fn read(
    recv: &mut RecvStream,
    fetching: &Fetching,
    buffers: &mut Buffers,
    full: mpsc::Sender<Vec<u8>>,
) -> Result<(), FetchError> {
    for index in fetching.fetch.from..fetching.chunking.count() {
        let Some((_, length)) = fetching.chunking.place(index) else { break };
        let mut chunk = buffers.take();
        chunk.resize(length as usize + TAG_LENGTH, 0);
        fill(recv, &mut chunk, fetching.patience).await?;
        if full.send(chunk).await.is_err() {
            // The writer has stopped, and says why.
            break;
        }
    }
    Ok(())
}

/// Reads a whole chunk, as long as some of it comes now and then: on a slow line all of it may take a while.
async fn fill(recv: &mut RecvStream, chunk: &mut [u8], patience: Duration) -> Result<(), FetchError> {
    let mut rest = chunk;
    while !rest.is_empty() {
        let read = tokio::time::timeout(patience, recv.read(rest)).await;
        let read = read.map_err(|_| FetchError::Lost("the sender sent nothing for too long".to_owned()))?;
        let stopped = || FetchError::Lost("the sender stopped".to_owned());
        let read = read.map_err(|error| broken(&error))?.ok_or_else(stopped)?;
        rest = rest.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

/// Opens and writes, until nothing more comes.
fn write<S: Sink>(
    mut sink: S,
    mut opener: ChunkOpener,
    from: u64,
    mut chunks: mpsc::Receiver<Vec<u8>>,
    spent: &mpsc::Sender<Vec<u8>>,
    told: &watch::Sender<u64>,
) -> (S, Result<Progress, FetchError>) {
    let mut next = from;
    while let Some(mut chunk) = chunks.blocking_recv() {
        if let Err(error) = opener.open(&mut chunk) {
            let error = match error {
                ChunkError::Library => FetchError::Lost(error.to_string()),
                error => FetchError::Misbehaved(error.to_string()),
            };
            return (sink, Err(error));
        }
        match sink.take(share(chunk, spent)) {
            Ok(Progress::Taken) => {}
            Ok(Progress::StartedOver) => return (sink, Ok(Progress::StartedOver)),
            Err(error) => return (sink, Err(error.into())),
        }
        next += 1;
        told.send_replace(next);
    }
    (sink, Ok(Progress::Taken))
}

/// Tells the peer, and whoever watches here, what is written; of several that follow each other quickly the latest.
async fn tell(send: &mut SendStream, telling: &mut watch::Receiver<u64>, taken: &watch::Sender<u64>) {
    let mut heard = true;
    while telling.changed().await.is_ok() {
        let below = *telling.borrow_and_update();
        taken.send_replace(below);
        // A peer that hears nothing more has ended the stream, which shows in what is read.
        heard = heard && write_frames(send, &[FileTaken { below }], FILE_FRAME_MAX).await.is_ok();
    }
}

fn broken(error: &ReadError) -> FetchError {
    match error {
        ReadError::Reset(code) => match FileRefusal::from_code(code.into_inner()) {
            Some(refusal) => FetchError::Refused(refusal),
            None => FetchError::Lost("the sender stopped".to_owned()),
        },
        error => FetchError::Lost(error.to_string()),
    }
}
