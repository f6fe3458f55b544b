//! One frame: four bytes of length, big-endian, then that many bytes of postcard.
//!
//! ```text
//! +--------+--------+--------+--------+----------------------+
//! |      length of what follows       |   postcard of one T   |
//! +--------+--------+--------+--------+----------------------+
//! ```
//!
//! The receiver knows the limit of what it awaits: it refuses a longer announcement before it allocates a byte, and a
//! frame whose value ends before its last byte.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the header.
pub const HEADER_LENGTH: usize = 4;

/// Why bytes are not a frame. All but [`FrameError::Unencodable`] are the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is longer than the receiver takes.
    #[error("a frame of {length} bytes where at most {limit} are allowed")]
    TooLong {
        /// Announced or actual length of the body.
        length: usize,
        /// What the receiver takes.
        limit: usize,
    },
    /// The body is not the value that it should be.
    #[error("a malformed frame: {0}")]
    Malformed(postcard::Error),
    /// Bytes follow the value.
    #[error("{0} bytes too many at the end of a frame")]
    TrailingBytes(usize),
    /// The value cannot be written; a bug of this program.
    #[error("a value that cannot be written as a frame: {0}")]
    Unencodable(postcard::Error),
}

/// Length of the body that `header` announces, if the receiver takes that much.
///
/// # Errors
/// [`FrameError::TooLong`] above `limit`.
pub fn body_length(header: [u8; HEADER_LENGTH], limit: usize) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(header) as usize;
    if length > limit { Err(FrameError::TooLong { length, limit }) } else { Ok(length) }
}

/// A body without its header.
///
/// # Errors
/// [`FrameError::TooLong`] if the value does not fit into `limit`, [`FrameError::Unencodable`] if it can't be written.
pub fn encode_body<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let body = postcard::to_allocvec(value).map_err(FrameError::Unencodable)?;
    if body.len() > limit { Err(FrameError::TooLong { length: body.len(), limit }) } else { Ok(body) }
}

/// Room that a frame is begun with: enough for most, so that few are moved while they grow. It is not kept for long.
const FRAME_CAPACITY: usize = 1_024;

/// A whole frame: header and body.
///
/// # Errors
/// As [`encode_body`].
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut header = Vec::with_capacity(FRAME_CAPACITY);
    header.resize(HEADER_LENGTH, 0);
    let mut frame = postcard::to_extend(value, header).map_err(FrameError::Unencodable)?;
    let length = frame.len() - HEADER_LENGTH;
    let announced = u32::try_from(length).ok().filter(|_| length <= limit);
    let announced = announced.ok_or(FrameError::TooLong { length, limit })?;
    frame[..HEADER_LENGTH].copy_from_slice(&announced.to_be_bytes());
    Ok(frame)
}

/// The value of a body that has arrived whole.
///
/// # Errors
/// [`FrameError::TooLong`], [`FrameError::Malformed`] or [`FrameError::TrailingBytes`].
pub fn decode_body<T: DeserializeOwned>(body: &[u8], limit: usize) -> Result<T, FrameError> {
    if body.len() > limit {
        return Err(FrameError::TooLong { length: body.len(), limit });
    }
    let (value, rest) = postcard::take_from_bytes(body).map_err(FrameError::Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(FrameError::TrailingBytes(rest.len())) }
}
