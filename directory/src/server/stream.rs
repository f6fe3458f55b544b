//! One request stream: a frame in, a frame out. Memory grows only as bytes really arrive.

use std::time::Duration;

use protocol::{
    directory::{Refusal, Reply, Request},
    frame::{self, FrameError, HEADER_LENGTH},
    limits::DIRECTORY_FRAME_MAX,
    peer::CloseCode,
};
use quinn::{ReadError, RecvStream, SendStream, StoppedError, WriteError};

/// An answer must have been taken within this, or the node does not listen.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why no request came of a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// What came is no request.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream ended before its frame.
    #[error("the stream ended inside a frame")]
    Short,
    /// Bytes follow the frame.
    #[error("bytes follow the frame")]
    Long,
    /// It did not arrive whole in time.
    #[error("a request did not arrive whole in time")]
    Late,
    /// The node took it back or the connection is gone; nobody's fault.
    #[error("the stream is gone: {0}")]
    Gone(#[from] ReadError),
}

impl RequestError {
    /// How the connection is to be closed for it; `None` if there is nothing to blame.
    pub(crate) const fn blame(&self) -> Option<CloseCode> {
        match self {
            Self::Frame(FrameError::TooLong { .. }) => Some(CloseCode::TooMuch),
            Self::Frame(_) | Self::Short | Self::Long => Some(CloseCode::Malformed),
            Self::Late => Some(CloseCode::Idle),
            Self::Gone(_) => None,
        }
    }
}

/// Reads the one request of a stream, if it arrives whole within `patience`.
pub(crate) async fn read_request(
    stream: &mut RecvStream,
    limit: usize,
    patience: Duration,
) -> Result<Request, RequestError> {
    let body = tokio::time::timeout(patience, read_body(stream, limit)).await.map_err(|_| RequestError::Late)??;
    Ok(frame::decode_body(&body, limit)?)
}

async fn read_body(stream: &mut RecvStream, limit: usize) -> Result<Vec<u8>, RequestError> {
    let mut header = [0; HEADER_LENGTH];
    stream.read_exact(&mut header).await.map_err(|error| match error {
        quinn::ReadExactError::FinishedEarly(_) => RequestError::Short,
        quinn::ReadExactError::ReadError(error) => RequestError::Gone(error),
    })?;
    let length = frame::body_length(header, limit)?;
    let mut body = Vec::new();
    while let Some(chunk) = stream.read_chunk(length - body.len() + 1, true).await? {
        body.extend_from_slice(&chunk.bytes);
        if body.len() > length {
            return Err(RequestError::Long);
        }
    }
    if body.len() == length { Ok(body) } else { Err(RequestError::Short) }
}

/// Why an answer did not go out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// The answer is longer than a frame may be; a bug of ours.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The node does not want it, or the connection is gone.
    #[error("the answer was not taken: {0}")]
    Gone(#[from] WriteError),
    /// The connection ended while the answer was on its way.
    #[error("the answer was not taken: {0}")]
    Stopped(#[from] StoppedError),
    /// The node does not read.
    #[error("the answer was not taken within {} s", ANSWER_MAX.as_secs())]
    Late,
}

/// Writes the answer, finishes the stream, and waits until the node has it all. What is written
/// `besides` goes in the same packet.
pub(crate) async fn write_answer(
    stream: &mut SendStream,
    answer: &Result<Reply, Refusal>,
    besides: impl FnOnce(),
) -> Result<(), AnswerError> {
    let frame = frame::encode(answer, DIRECTORY_FRAME_MAX)?;
    let written = async {
        stream.write_all(&frame).await?;
        // A stream that is finished already is a stream that ended as it should.
        let _ = stream.finish();
        besides();
        stream.stopped().await?;
        Ok(())
    };
    tokio::time::timeout(ANSWER_MAX, written).await.map_err(|_| AnswerError::Late)?
}
