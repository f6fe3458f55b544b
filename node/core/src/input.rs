//! What happens to a node, from outside its core.

mod file;

use std::net::SocketAddr;

use protocol::{
    DeviceId, Fingerprint, PublicKey,
    directory::{Push, Refusal, Reply},
    peer::PeerFrame,
};

use crate::{
    command::{Command, CommandToken, HistoryEntry},
    stretch::StretchDone,
};

pub use self::file::{FileInput, FileStream};

/// Names one request to the directory between core and driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CallId(pub u64);

/// Names one peer connection between driver and core; made by the driver, never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks for something.
    Command {
        /// Names it.
        token: CommandToken,
        /// What.
        command: Command,
    },
    /// Whoever asked waits no longer; what was begun goes on in the background where it can.
    Abandoned {
        /// Names the command.
        token: CommandToken,
    },
    /// The connection to the directory stands.
    DirectoryConnected {
        /// TLS exporter of the connection, which OPAQUE takes as its context.
        exporter: [u8; 32],
        /// Addresses at which this node can be reached, as it sees them itself.
        addresses: Vec<SocketAddr>,
        /// Fingerprint of the directory's root key, which the connection has proven.
        directory: Fingerprint,
    },
    /// The connection to the directory is gone, or an attempt to make it failed.
    DirectoryDisconnected {
        /// In words, for whoever waits.
        reason: String,
    },
    /// The directory answered, or the request's connection was lost before it did.
    Reply {
        /// Which request.
        call: CallId,
        /// The answer.
        answer: Answer,
    },
    /// The directory said something unasked.
    Push(Push),
    /// A peer connection stands; TLS has proven that the peer holds this key.
    PeerConnected {
        /// Names it.
        peer: PeerId,
        /// The peer's TLS key.
        tls_key: PublicKey,
        /// Whether this side dialled.
        dialled: bool,
    },
    /// A frame arrived on a peer connection.
    PeerFrame {
        /// Which connection.
        peer: PeerId,
        /// What.
        frame: PeerFrame,
    },
    /// A peer connection is gone.
    PeerDisconnected {
        /// Which.
        peer: PeerId,
    },
    /// A device could not be dialled.
    DialFailed {
        /// Which.
        device: DeviceId,
    },
    /// The time of [`crate::output::Effect::SetTimer`] has come, or later.
    Tick,
    /// A stretching job is done.
    Stretched {
        /// Its result.
        done: StretchDone,
    },
    /// What [`crate::output::Effect::ReadHistory`] or [`crate::output::Effect::Search`] asked for.
    HistoryRead {
        /// Names the command.
        token: CommandToken,
        /// Oldest first; or what went wrong.
        entries: Result<Vec<HistoryEntry>, String>,
    },
    /// Something about files.
    File(FileInput),
    /// What [`crate::output::Effect::FindMessage`] asked for.
    MessageFound {
        /// Names the command.
        token: CommandToken,
        /// The message, if the timeline has it; or what went wrong.
        entry: Result<Option<HistoryEntry>, String>,
    },
}

/// What became of a request to the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It answered.
    Reply(Box<Reply>),
    /// It refused.
    Refusal(Refusal),
    /// The connection was lost, or never stood, before an answer came: it may have happened or not.
    Lost,
}
