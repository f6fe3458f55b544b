//! Frames on QUIC streams: a reader that takes what has arrived in large pieces, and a writer that puts what waits into
//! one piece. The layout of a frame and its limits are `protocol::frame`'s.

use protocol::frame::{self, FrameError, HEADER_LENGTH};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes taken from a stream at once: many small frames, or a few long ones.
const PIECE: usize = 64 * 1024;

/// Why no more frames come.
#[derive(Debug, thiserror::Error)]
pub enum FrameReadError {
    /// The sender's fault.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
    /// The stream or its connection broke.
    #[error(transparent)]
    Stream(#[from] ReadError),
}

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum FrameWriteError {
    /// A value that can't be a frame; a bug of this program.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream or its connection broke.
    #[error(transparent)]
    Stream(#[from] WriteError),
}

/// Reads frames of at most `limit` bytes from a stream.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    limit: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next frame begins.
    start: usize,
}

impl FrameReader {
    /// Reads from the stream's beginning.
    #[must_use]
    pub const fn new(stream: RecvStream, limit: usize) -> Self {
        Self { stream, limit, buffer: Vec::new(), start: 0 }
    }

    /// The next frame; `None` when the stream has ended between two frames. Safe to cancel: nothing is lost.
    ///
    /// # Errors
    /// [`FrameReadError`]; the stream is of no use afterwards.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameReadError> {
        loop {
            if let Some(value) = self.take()? {
                return Ok(Some(value));
            }
            match self.stream.read_chunk(PIECE, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None if self.start == self.buffer.len() => return Ok(None),
                None => return Err(FrameReadError::Truncated),
            }
        }
    }

    /// A frame that has arrived whole. The buffer never holds more than one unfinished frame and one piece.
    fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameReadError> {
        let waiting = self.buffer.get(self.start..).unwrap_or_default();
        if let Some((header, rest)) = waiting.split_first_chunk::<HEADER_LENGTH>() {
            let length = frame::body_length(*header, self.limit)?;
            if let Some(body) = rest.get(..length) {
                let value = frame::decode_body(body, self.limit)?;
                self.start += HEADER_LENGTH + length;
                return Ok(Some(value));
            }
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        Ok(None)
    }
}

/// Reads one frame and not a byte more, from a stream on which something else follows.
///
/// # Errors
/// [`FrameReadError`]; the stream is of no use afterwards.
pub async fn read_frame<T: DeserializeOwned>(stream: &mut RecvStream, limit: usize) -> Result<T, FrameReadError> {
    let mut header = [0; HEADER_LENGTH];
    fill(stream, &mut header).await?;
    let mut body = vec![0; frame::body_length(header, limit)?];
    fill(stream, &mut body).await?;
    Ok(frame::decode_body(&body, limit)?)
}

async fn fill(stream: &mut RecvStream, buffer: &mut [u8]) -> Result<(), FrameReadError> {
    stream.read_exact(buffer).await.map_err(|error| match error {
        ReadExactError::FinishedEarly(_) => FrameReadError::Truncated,
        ReadExactError::ReadError(error) => error.into(),
    })
}

/// Writes frames together with one call of the stream.
///
/// # Errors
/// [`FrameWriteError`]; the stream is of no use afterwards.
pub async fn write_frames<T: Serialize>(
    stream: &mut SendStream,
    values: &[T],
    limit: usize,
) -> Result<(), FrameWriteError> {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(&frame::encode(value, limit)?);
        if bytes.len() >= PIECE {
            stream.write_all(&bytes).await?;
            bytes.clear();
        }
    }
    stream.write_all(&bytes).await?;
    Ok(())
}
