//! Files at the driver: what the core wants done about them goes to the carrier, what the carrier tells goes to the core.

use std::{collections::HashMap, path::PathBuf};

use node_core::{
    command::{Failure, FailureCode, Surveyed},
    input::{FileInput, FileStream, PeerId},
    output::{FileEffect, ServeFile},
    transfer::Stopped,
};
use protocol::{
    file::{Chunking, stream::FilePart},
    frame,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    files::{
        SendError,
        source::Source,
        survey::{Stamp, Survey},
    },
    net::{
        file::{
            carrier::{Carrier, Happened},
            serve::{Asked, Content, Serving},
        },
        peer::Peers,
    },
};

/// What the carrier may have told that was not heard yet; beyond, its tasks wait.
const EVENTS_MAX: usize = 256;
/// Longest [`Found`]: a folder's list, and a stamp for each of its files.
const FOUND_MAX: usize = 7 * 1024 * 1024;

/// What leads to an offered file, as the core keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    path: PathBuf,
    manifest: Vec<u8>,
    stamps: Vec<Stamp>,
}

/// Everything about files that one session does outside its core.
#[derive(Debug)]
pub(super) struct Files {
    carrier: Carrier,
    pub(super) events: mpsc::Receiver<Happened>,
    /// Streams on which peers have asked, until the core has answered.
    asked: HashMap<FileStream, Asked>,
    last_stream: u64,
}

impl Files {
    pub(super) fn new(inbox: PathBuf) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        Self { carrier: Carrier::new(inbox, sender), events, asked: HashMap::new(), last_stream: 0 }
    }

    /// A peer asks for something.
    pub(super) fn asked(&mut self, peer: PeerId, asked: Asked) -> FileInput {
        self.last_stream += 1;
        let (stream, fetch) = (FileStream(self.last_stream), asked.fetch);
        self.asked.insert(stream, asked);
        FileInput::Asked { stream, peer, fetch }
    }

    /// Does what the core wants; tells it at once what can't be done.
    pub(super) fn perform(&mut self, effect: FileEffect, peers: &Peers) -> Option<FileInput> {
        match effect {
            FileEffect::Survey { token, path } => self.carrier.survey(token, PathBuf::from(path)),
            FileEffect::Serve { stream, account, serving } => {
                if let Some(asked) = self.asked.remove(&stream) {
                    let chunking = serving.chunking;
                    self.carrier.serve((stream, asked), account, chunking, move || opened(*serving));
                }
            }
            FileEffect::Refuse { stream, refusal } => {
                if let Some(asked) = self.asked.remove(&stream) {
                    self.carrier.refuse(asked, refusal);
                }
            }
            FileEffect::StopServing { file, account } => self.carrier.stop_serving(file, account),
            FileEffect::Receive { peer, offer, target } => {
                let Some(connection) = peers.connection(peer) else {
                    return Some(FileInput::Stopped { file: offer.file, why: Stopped::Lost });
                };
                self.carrier.receive(connection, *offer, target.map(PathBuf::from));
            }
            FileEffect::Unpack { enclosed, target } => {
                self.carrier.unpack(*enclosed, target.map(PathBuf::from).as_deref());
            }
            FileEffect::StopReceiving { file } => self.carrier.stop_receiving(file),
            FileEffect::Discard { file, target } => {
                self.carrier.discard(file, target.map(PathBuf::from).as_deref());
            }
        }
        None
    }

    /// What the core is told of what has happened.
    pub(super) fn happened(&self, happened: Happened) -> Option<FileInput> {
        Some(match happened {
            Happened::Surveyed { token, result } => {
                FileInput::Surveyed { token, result: result.map_err(|error| failure(&error)).and_then(surveyed) }
            }
            Happened::Progress { file, account, bytes } => FileInput::Progress { file, account, bytes },
            Happened::Received { file, path } => {
                FileInput::Received { file, path: path.to_string_lossy().into_owned() }
            }
            Happened::Stopped { file, why } => FileInput::Stopped { file, why },
            Happened::Served { stream } => FileInput::Served { stream },
            Happened::SourceLost { file, why } => FileInput::SourceLost { file, why },
            Happened::NotDiscarded { file, why } => {
                tracing::warn!(file = ?file, why, "what there was of a file stays on the disk");
                return None;
            }
        })
    }

    /// Lets go of the disk, in a bounded time.
    pub(super) async fn end(self) {
        self.carrier.end().await;
    }
}

fn surveyed(survey: Survey) -> Result<Box<Surveyed>, Failure> {
    let Survey { path, name, shape, chunking, sha256, manifest, stamps, enclosed } = survey;
    let found = Found { path, manifest, stamps };
    let source = frame::encode_body(&found, FOUND_MAX).map_err(|_| failure(&SendError::TooLarge(found.path)))?;
    Ok(Box::new(Surveyed { name, shape, chunking, sha256, source, enclosed }))
}

/// Opens what was surveyed, as it was then.
fn opened(serving: ServeFile) -> Result<Serving, SendError> {
    let ServeFile { part, secret, salt, chunking, source } = serving;
    let found: Found = frame::decode_body(&source, FOUND_MAX).map_err(|_| SendError::Changed(PathBuf::new()))?;
    let content = match part {
        FilePart::Manifest => Content::Manifest(found.manifest),
        FilePart::Chunks => Content::Chunks(Box::new(source_of(&found, chunking)?)),
    };
    Ok(Serving { secret, salt, chunking, content })
}

fn source_of(found: &Found, chunking: Chunking) -> Result<Source, SendError> {
    Source::new(&found.path, chunking, &found.manifest, &found.stamps)
}

fn failure(error: &SendError) -> Failure {
    let code = match error {
        SendError::Missing(_) | SendError::Gone(_) | SendError::Changed(_) => FailureCode::Conflict,
        SendError::Unreadable { .. } | SendError::Special(_) | SendError::Name(_) | SendError::TooLarge(_) => {
            FailureCode::Refused
        }
    };
    Failure::new(code, error.to_string())
}
