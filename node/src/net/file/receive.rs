//! Receiving what was offered, from the first byte or from where it stopped to its name in the inbox.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use protocol::file::{
    FileOffer, FileShape,
    manifest::Manifest,
    stream::{FileFetch, FilePart},
};
use quinn::Connection;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchError, Fetching, fetch};
use crate::files::{
    ReceiveError,
    layout::Layout,
    partial::{Partial, Progress},
    place::{Place, Wanted},
};

/// How long a sender who is there may send nothing at all of what they were asked for. Few files are received at a time: whoever
/// sends none of theirs must not keep everybody else's waiting. It is asked for again later, from where it is.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is received, and where it goes.
#[derive(Debug, Clone)]
pub struct Receiving {
    /// What was offered.
    pub offer: FileOffer,
    /// In which folder.
    pub place: Arc<Place>,
    /// What it is to be called, if the person here said so; else as it was offered, as far as that is free.
    pub name: Option<OsString>,
    /// Follows what is written, in chunks.
    pub taken: watch::Sender<u64>,
    /// Ends it; what there is of it stays.
    pub cancelled: CancellationToken,
    /// How long its sender may send nothing at all: [`PATIENCE`], but for whoever tests that.
    pub patience: Duration,
}

impl Receiving {
    /// Receives all that is missing and names it.
    ///
    /// # Errors
    /// [`FetchError`]; what there is stays on the disk, and another call goes on from there.
    pub async fn run(self, connection: &Connection) -> Result<PathBuf, FetchError> {
        let (place, file) = (self.place.clone(), self.offer.file);
        if let Some(path) = blocking(move || place.named(file)).await? {
            return Ok(path);
        }
        let layout = Arc::new(self.layout(connection).await?);
        let (place, file, chunking) = (self.place.clone(), self.offer.file, self.offer.chunking);
        let mut partial = blocking(move || Partial::open(place, file, layout, chunking)).await?;
        while !partial.is_whole() {
            let from = partial.next_chunk();
            let fetching = self.fetching(FilePart::Chunks, from);
            let (back, result) = fetch(connection, &fetching, partial, &self.taken, &self.cancelled).await;
            let progress = result?;
            partial = back.ok_or_else(|| FetchError::Lost("the thread that wrote it has failed".to_owned()))?;
            if progress == Progress::Taken && !partial.is_whole() {
                return Err(ReceiveError::Unsound.into());
            }
        }
        let Self { offer, name, .. } = self;
        blocking(move || partial.keep(name.as_deref().map_or(Wanted::Hint(&offer.name), Wanted::Exactly))).await
    }

    /// What is to be made; of a folder its list says so, which is fetched if it is not here.
    async fn layout(&self, connection: &Connection) -> Result<Layout, FetchError> {
        let FileOffer { file, shape, chunking, sha256, .. } = self.offer;
        let FileShape::Folder { manifest } = shape else { return Ok(Layout::of_file(chunking.bytes(), sha256)) };
        let place = self.place.clone();
        let kept = blocking(move || Partial::manifest(&place, file, sha256)).await?;
        let bytes = match kept {
            Some(bytes) => bytes,
            None => {
                let chunking = chunking.of_manifest(manifest);
                let fetching = Fetching { chunking, ..self.fetching(FilePart::Manifest, 0) };
                let (progress, _) = watch::channel(0);
                let (bytes, result) = fetch(connection, &fetching, Vec::new(), &progress, &self.cancelled).await;
                result?;
                let (bytes, place) = (bytes.unwrap_or_default(), self.place.clone());
                blocking(move || {
                    if Sha256::digest(&bytes).as_slice() != sha256 {
                        return Err(ReceiveError::Mismatch);
                    }
                    Partial::keep_manifest(&place, file, &bytes).map(|()| bytes)
                })
                .await?
            }
        };
        // A long list takes a while to be looked through.
        blocking(move || {
            let manifest = Manifest::from_bytes(&bytes).map_err(|_| ReceiveError::Unsound)?;
            Layout::of_folder(&manifest, chunking.bytes())
        })
        .await
    }

    fn fetching(&self, part: FilePart, from: u64) -> Fetching {
        let fetch = FileFetch { file: self.offer.file, part, from };
        Fetching { secret: self.offer.secret.clone(), fetch, chunking: self.offer.chunking, patience: self.patience }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReceiveError> + Send + 'static,
) -> Result<T, FetchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(FetchError::Lost(error.to_string())),
    }
}
