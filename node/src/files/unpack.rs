//! What came with its offer: written as if it were received, through the same hands, from the same checks to the same name.

use std::{ffi::OsStr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use protocol::file::{EnclosedFile, FileShape, manifest::Manifest};
use sha2::{Digest as _, Sha256};

use super::{
    ReceiveError,
    layout::Layout,
    partial::Partial,
    place::{Place, Wanted},
};

/// Writes it and names it: as the person here said, or as it was offered, as far as that is free.
///
/// # Errors
/// [`ReceiveError`]; what there is stays on the disk, and another call goes on from there.
pub fn unpack(place: Place, enclosed: &EnclosedFile, name: Option<&OsStr>) -> Result<PathBuf, ReceiveError> {
    let (offer, (manifest, bytes)) = (enclosed.offer(), enclosed.parts());
    if let Some(path) = place.named(offer.file)? {
        return Ok(path);
    }
    let chunking = offer.chunking;
    let layout = match offer.shape {
        FileShape::File => Layout::of_file(chunking.bytes(), offer.sha256),
        FileShape::Folder { .. } if Sha256::digest(manifest).as_slice() != offer.sha256 => {
            return Err(ReceiveError::Mismatch);
        }
        FileShape::Folder { .. } => {
            let manifest = Manifest::from_bytes(manifest).map_err(|_| ReceiveError::Unsound)?;
            Layout::of_folder(&manifest, chunking.bytes())?
        }
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let mut partial = Partial::open(Arc::new(place), offer.file, Arc::new(layout), chunking)?;
    // Each turn writes a chunk, or begins anew what was found damaged, which is trusted no second time.
    while !partial.is_whole() {
        let (start, length) = chunking.place(partial.next_chunk()).ok_or(ReceiveError::Unsound)?;
        let start = usize::try_from(start).map_err(|_| ReceiveError::Unsound)?;
        let end = start.saturating_add(length as usize);
        // There are as many bytes as the offer says: what is enclosed was made so.
        if end > bytes.len() {
            return Err(ReceiveError::Unsound);
        }
        partial.write(bytes.slice(start..end))?;
    }
    partial.keep(name.map_or(Wanted::Hint(&offer.name), Wanted::Exactly))
}
