//! What happens to files, outside the core.

use protocol::{AccountId, FileId, file::stream::FileFetch};

use super::PeerId;
use crate::{
    command::{CommandToken, Failure, Surveyed},
    transfer::Stopped,
};

/// Names one stream on which a peer has asked for a file; made by the driver, never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileStream(pub u64);

/// One thing that happened to files.
#[derive(Debug)]
pub enum FileInput {
    /// What is to be offered was looked at.
    Surveyed {
        /// Names the command.
        token: CommandToken,
        /// What it is, or why it can't be offered.
        result: Result<Box<Surveyed>, Failure>,
    },
    /// A peer asks for something.
    Asked {
        /// On which stream.
        stream: FileStream,
        /// On which connection.
        peer: PeerId,
        /// For what.
        fetch: FileFetch,
    },
    /// So much of a file is there.
    Progress {
        /// Of which.
        file: FileId,
        /// At whom, if it is sent; here, if it is received.
        account: Option<AccountId>,
        /// How much.
        bytes: u64,
    },
    /// A file is there, whole, under its name.
    Received {
        /// Which.
        file: FileId,
        /// Where.
        path: String,
    },
    /// Receiving a file stopped.
    Stopped {
        /// Which.
        file: FileId,
        /// Why.
        why: Stopped,
    },
    /// Nothing more is sent on a stream, however it ended.
    Served {
        /// Which.
        stream: FileStream,
    },
    /// What was offered can't be sent any more.
    SourceLost {
        /// Which.
        file: FileId,
        /// Why, in words.
        why: String,
    },
}
