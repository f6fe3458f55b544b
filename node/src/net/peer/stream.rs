//! The streams of one peer connection: frames out, in as few writes as possible, frames in, and those on which the peer asks
//! for files.

use std::time::Duration;

use node_core::input::PeerId;
use protocol::{
    limits::PEER_FRAME_MAX,
    peer::{CloseCode, PeerFrame},
};
use quinn::Connection;
use tokio::{sync::mpsc, task::JoinSet};

use super::super::{
    endpoint,
    file::{Shares, serve::Asked},
    frames::{FrameReadError, FrameReader, write_frames},
};
use super::PeerEvent;

/// Frames put into one write at most.
const BATCH_MAX: usize = 64;
/// How long the peer may take to read the last frames.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a connection is told to do.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Send this.
    Frame(Box<PeerFrame>),
    /// Send what waits, then close with this code.
    Close(CloseCode),
}

/// Carries frames both ways until the connection ends or is told to. Returns why, in words.
pub(super) async fn run(
    connection: &Connection,
    peer: PeerId,
    outgoing: mpsc::Receiver<Outgoing>,
    events: &mpsc::Sender<PeerEvent>,
    shares: &Shares,
) -> String {
    let end = tokio::select! {
        end = write(connection, outgoing) => end,
        end = read(connection, peer, events) => end,
        end = take_up(connection, peer, events, shares) => end,
        error = connection.closed() => End { code: None, reason: error.to_string() },
    };
    if let Some(code) = end.code {
        endpoint::close(connection, code);
    }
    end.reason
}

/// How a connection came to its end.
struct End {
    /// What to tell the peer; nothing if the connection is gone anyway.
    code: Option<CloseCode>,
    reason: String,
}

impl End {
    fn new(code: CloseCode) -> Self {
        Self { code: Some(code), reason: code.reason().to_owned() }
    }

    fn broken(error: impl std::fmt::Display) -> Self {
        Self { code: None, reason: error.to_string() }
    }
}

async fn write(connection: &Connection, mut outgoing: mpsc::Receiver<Outgoing>) -> End {
    let mut stream = match connection.open_uni().await {
        Ok(stream) => stream,
        Err(error) => return End::broken(error),
    };
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        batch.clear();
        let mut code = (outgoing.recv_many(&mut batch, BATCH_MAX).await == 0).then_some(CloseCode::Done);
        let mut frames = Vec::with_capacity(batch.len());
        for item in batch.drain(..) {
            match item {
                Outgoing::Frame(frame) if code.is_none() => frames.push(*frame),
                // Whatever was said after the farewell is not sent.
                Outgoing::Frame(_) => {}
                Outgoing::Close(farewell) => code = Some(farewell),
            }
        }
        if let Err(error) = write_frames(&mut stream, &frames, PEER_FRAME_MAX).await {
            return End::broken(error);
        }
        if let Some(code) = code {
            // The last reader closes. QUIC's own acknowledgement is not enough: closing would throw away what has
            // arrived there and was not read yet.
            if stream.finish().is_ok() {
                let _ = tokio::time::timeout(LAST_WORDS, connection.closed()).await;
            }
            return End::new(code);
        }
    }
}

/// Takes up the streams on which the peer asks for files; as many as QUIC lets it open.
async fn take_up(connection: &Connection, peer: PeerId, events: &mpsc::Sender<PeerEvent>, shares: &Shares) -> End {
    // Dropping it ends those that were not handed over.
    let mut asking = JoinSet::new();
    loop {
        let (send, recv) = match connection.accept_bi().await {
            Ok(stream) => stream,
            Err(error) => return End::broken(error),
        };
        while asking.try_join_next().is_some() {}
        let (events, shares) = (events.clone(), shares.clone());
        asking.spawn(async move {
            match Asked::take_up(send, recv, shares).await {
                // A driver that is gone has let go of the connection too.
                Ok(asked) => drop(events.send(PeerEvent::Asked { peer, asked }).await),
                Err(error) => tracing::info!(peer = peer.0, %error, "a question for a file came to nothing"),
            }
        });
    }
}

async fn read(connection: &Connection, peer: PeerId, events: &mpsc::Sender<PeerEvent>) -> End {
    let stream = match connection.accept_uni().await {
        Ok(stream) => stream,
        Err(error) => return End::broken(error),
    };
    let mut reader = FrameReader::new(stream, PEER_FRAME_MAX);
    loop {
        match reader.next::<PeerFrame>().await {
            // Waiting here is what holds a fast peer back: its stream's window fills up.
            Ok(Some(frame)) => {
                if events.send(PeerEvent::Frame { peer, frame }).await.is_err() {
                    return End::new(CloseCode::ShuttingDown);
                }
            }
            // The peer says no more and waits for this: everything was read.
            Ok(None) => return End::new(CloseCode::Done),
            Err(FrameReadError::Frame(error)) => {
                tracing::warn!(peer = peer.0, %error, "a peer sent a malformed frame");
                return End::new(CloseCode::Malformed);
            }
            Err(FrameReadError::Truncated) => return End::new(CloseCode::Malformed),
            Err(FrameReadError::Stream(error)) => return End::broken(error),
        }
    }
}
