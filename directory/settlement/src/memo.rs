//! Commitments to memos: what is signed binds the words and the names, and the ledger learns neither.

use protocol::{
    MemoCommitment,
    frame::{self, FrameError},
    money::{MEMO_LABEL, MEMO_MAX, MemoOpening},
};

/// Bytes of an opening besides its memo, at most: a salt, two names and their lengths.
const OPENING_OVERHEAD: usize = 256;

/// The commitment to a memo.
///
/// # Errors
/// [`FrameError`] if the opening is too long to be written; none that was decoded is.
pub fn commit(opening: &MemoOpening) -> Result<MemoCommitment, FrameError> {
    let bytes = frame::encode_body(opening, MEMO_MAX + OPENING_OVERHEAD)?;
    Ok(MemoCommitment(crate::hash(&[MEMO_LABEL, &bytes])))
}

/// Whether this is what was committed to.
#[must_use]
pub fn opens(opening: &MemoOpening, commitment: MemoCommitment) -> bool {
    commit(opening) == Ok(commitment)
}
