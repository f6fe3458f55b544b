//! Sending what a peer asks for.

use std::{collections::VecDeque, sync::Mutex};

use bytes::Bytes;
use node_core::crypto::file::{ChunkError, ChunkSealer, StreamSecrets};
use protocol::{
    file::{
        Chunking, FileSecret,
        stream::{FileFetch, FileGrant, FileRefusal, FileTaken, TAG_LENGTH},
    },
    limits::FILE_FRAME_MAX,
};
use quinn::{RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    AHEAD, FIRST_FRAME, PRIORITY, Shares,
    buffer::{Buffers, share},
};
use crate::{
    files::{SendError, source::Source},
    net::frames::{FrameReadError, FrameReader, FrameWriteError, read_frame, write_frames},
};

/// Buffers of a stream that are kept to be used again: as many as are usually on their way between two machines that are near
/// each other. On a long way more are, and those are let go of.
const BUFFERS: usize = 12;

/// Why a stream ended before everything was sent and taken.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What was offered can't be read, or is not what it was.
    #[error(transparent)]
    Disk(#[from] SendError),
    /// It was cancelled here.
    #[error("the file is not to be had any more")]
    Withdrawn,
    /// Too many are served already.
    #[error("too many files are sent already")]
    Busy,
    /// The peer wants no more of it now, or its disk refuses.
    #[error("the peer stopped it")]
    Stopped(Option<FileRefusal>),
    /// The peer did what the protocol does not know.
    #[error("the peer sent what it should not: {0}")]
    Misbehaved(FrameReadError),
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The cryptographic library refuses; a bug.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// What is to be sent.
#[derive(Debug)]
pub enum Content {
    /// The list of what is in a folder.
    Manifest(Vec<u8>),
    /// The bytes.
    Chunks(Box<Source>),
}

/// What a stream carries, and under which keys.
#[derive(Debug)]
pub struct Serving {
    /// The offer's secret.
    pub secret: FileSecret,
    /// Drawn for this stream alone.
    pub salt: [u8; 32],
    /// How it is cut.
    pub chunking: Chunking,
    /// What.
    pub content: Content,
}

/// A peer's question, with the stream for the answer.
#[derive(Debug)]
pub struct Asked {
    /// What the peer wants.
    pub fetch: FileFetch,
    send: SendStream,
    frames: FrameReader,
    shares: Shares,
    /// Its places among the streams that are served, until it ends.
    _places: [OwnedSemaphorePermit; 2],
}

impl Asked {
    /// Takes up a stream that the peer has opened. Where too many are served already, the peer is told to ask again later.
    ///
    /// # Errors
    /// [`ServeError`] if no question comes, or nobody is to answer it.
    pub async fn take_up(mut send: SendStream, mut recv: RecvStream, shares: Shares) -> Result<Self, ServeError> {
        let Some(places) = shares.places() else {
            refuse(&mut send, FileRefusal::Busy).await;
            return Err(ServeError::Busy);
        };
        let fetch = tokio::time::timeout(FIRST_FRAME, read_frame(&mut recv, FILE_FRAME_MAX)).await;
        let fetch = fetch.map_err(|_| ServeError::Lost("nothing was asked in time".to_owned()))?;
        let frames = FrameReader::new(recv, FILE_FRAME_MAX);
        Ok(Self { fetch: fetch.map_err(read_failed)?, send, frames, shares, _places: places })
    }

    /// Says why nothing follows.
    pub async fn refuse(mut self, refusal: FileRefusal) {
        refuse(&mut self.send, refusal).await;
    }

    /// Sends it, until the peer has taken everything. `taken` is told how far the peer has come.
    ///
    /// # Errors
    /// [`ServeError`]; the peer can go on from where it is on another stream.
    pub async fn serve(
        mut self,
        serving: Serving,
        withdrawn: CancellationToken,
        taken: impl FnMut(u64),
    ) -> Result<(), ServeError> {
        let result = tokio::select! {
            result = self.carry(serving, taken) => result,
            () = withdrawn.cancelled() => Err(ServeError::Withdrawn),
        };
        let refusal = match &result {
            Ok(()) => return result,
            Err(ServeError::Disk(SendError::Changed(_) | SendError::Gone(_))) => FileRefusal::Changed,
            Err(ServeError::Disk(_) | ServeError::Chunk(_)) => FileRefusal::Unreadable,
            Err(ServeError::Withdrawn) => FileRefusal::Withdrawn,
            Err(ServeError::Misbehaved(_)) => FileRefusal::Malformed,
            Err(ServeError::Busy | ServeError::Stopped(_) | ServeError::Lost(_)) => return result,
        };
        // A stream that is closed already says nothing more.
        let _ = self.send.reset(VarInt::from_u32(refusal.code()));
        result
    }

    async fn carry(&mut self, serving: Serving, taken: impl FnMut(u64)) -> Result<(), ServeError> {
        let Self { fetch, send, frames, shares, .. } = self;
        let Serving { secret, salt, chunking, content } = serving;
        let secrets = StreamSecrets { secret: &secret, file: fetch.file, part: fetch.part, salt };
        let sealer = ChunkSealer::new(&secrets, chunking, fetch.from)?;
        // Of no more use than to be seen behind messages.
        let _ = send.set_priority(PRIORITY);
        write_frames(send, &[FileGrant::Granted { salt }], FILE_FRAME_MAX).await.map_err(frame_failed)?;
        let (sealed, chunks) = mpsc::channel(AHEAD);
        let from = fetch.from;
        let reader = tokio::task::spawn_blocking(move || seal(content, sealer, chunking, from, &sealed));
        let sent = Sent::default();
        let sending = async {
            write_chunks(send, chunks, from, shares, &sent).await?;
            match reader.await {
                Ok(read) => read?,
                Err(error) => return Err(ServeError::Lost(error.to_string())),
            }
            // What was reset or stopped meanwhile shows below.
            let _ = send.finish();
            Ok(())
        };
        let ((), ()) = tokio::try_join!(sending, hear(frames, chunking.count(), &sent, taken))?;
        Ok(())
    }
}

async fn refuse(send: &mut SendStream, refusal: FileRefusal) {
    // Whoever has gone need not hear it.
    if write_frames(send, &[FileGrant::Refused(refusal)], FILE_FRAME_MAX).await.is_ok() {
        let _ = send.finish();
        let _ = tokio::time::timeout(FIRST_FRAME, send.stopped()).await;
    }
}

/// Chunks that were sent and not taken yet, each with its share of what may be so.
#[derive(Debug, Default)]
struct Sent(Mutex<VecDeque<(u64, OwnedSemaphorePermit)>>);

impl Sent {
    fn note(&self, index: u64, share: OwnedSemaphorePermit) {
        if let Ok(mut sent) = self.0.lock() {
            sent.push_back((index, share));
        }
    }

    fn let_go(&self, below: u64) {
        if let Ok(mut sent) = self.0.lock() {
            let first = sent.partition_point(|(index, _)| *index < below);
            sent.drain(..first);
        }
    }
}

/// Reads and seals, ahead of the network as far as the channel is long.
fn seal(
    content: Content,
    mut sealer: ChunkSealer,
    chunking: Chunking,
    from: u64,
    sealed: &mpsc::Sender<Bytes>,
) -> Result<(), ServeError> {
    let mut content = content;
    let mut buffers = Buffers::new(BUFFERS);
    let spent = buffers.spent();
    for index in from..chunking.count() {
        let mut chunk = buffers.take();
        // Room for the tag, so that the chunk does not move once more when it is sealed.
        chunk.reserve_exact((chunking.chunk() as usize + TAG_LENGTH).saturating_sub(chunk.len()));
        match &mut content {
            Content::Manifest(bytes) => {
                let Some((start, length)) = chunking.place(index) else { break };
                let piece = usize::try_from(start).ok().and_then(|start| bytes.get(start..start + length as usize));
                chunk.clear();
                chunk.extend_from_slice(piece.unwrap_or_default());
            }
            Content::Chunks(source) => {
                source.read(index, &mut chunk)?;
            }
        }
        sealer.seal(&mut chunk)?;
        if sealed.blocking_send(share(chunk, &spent)).is_err() {
            // Nobody sends it any more.
            break;
        }
    }
    Ok(())
}

async fn write_chunks(
    send: &mut SendStream,
    mut chunks: mpsc::Receiver<Bytes>,
    from: u64,
    shares: &Shares,
    sent: &Sent,
) -> Result<(), ServeError> {
    let mut index = from;
    while let Some(chunk) = chunks.recv().await {
        let share = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        let share =
            shares.untaken.clone().acquire_many_owned(share).await.map_err(|e| ServeError::Lost(e.to_string()))?;
        sent.note(index, share);
        send.write_chunk(chunk).await.map_err(write_failed)?;
        index += 1;
    }
    Ok(())
}

/// Hears how far the peer has come, until it says no more.
async fn hear(frames: &mut FrameReader, count: u64, sent: &Sent, mut taken: impl FnMut(u64)) -> Result<(), ServeError> {
    let mut reached = 0;
    while let Some(FileTaken { below }) = frames.next().await.map_err(read_failed)? {
        reached = below.min(count);
        sent.let_go(reached);
        taken(reached);
    }
    if reached < count { Err(ServeError::Stopped(None)) } else { Ok(()) }
}

fn read_failed(error: FrameReadError) -> ServeError {
    match error {
        FrameReadError::Stream(quinn::ReadError::Reset(code)) => {
            ServeError::Stopped(FileRefusal::from_code(code.into_inner()))
        }
        FrameReadError::Stream(error) => ServeError::Lost(error.to_string()),
        error => ServeError::Misbehaved(error),
    }
}

fn write_failed(error: WriteError) -> ServeError {
    match error {
        WriteError::Stopped(code) => ServeError::Stopped(FileRefusal::from_code(code.into_inner())),
        error => ServeError::Lost(error.to_string()),
    }
}

fn frame_failed(error: FrameWriteError) -> ServeError {
    match error {
        FrameWriteError::Stream(error) => write_failed(error),
        FrameWriteError::Frame(error) => ServeError::Lost(error.to_string()),
    }
}
