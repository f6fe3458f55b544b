//! What the core wants done.

mod file;

use std::net::SocketAddr;

use protocol::{DeviceId, Name, PublicKey, Timestamp, directory::Request, peer::PeerFrame};

use crate::{
    command::{CommandResult, CommandToken, MessageRef},
    event::Event,
    input::{CallId, PeerId},
    stored::Transaction,
    stretch::StretchJob,
};

pub use self::file::{FileEffect, ServeFile};

/// What one call of the core wants: first the transaction, then, if that was committed, the effects in order.
#[derive(Debug, Default)]
pub struct Outputs {
    /// To be made durable before anything else; if that fails, nothing of `after` happens and the core is dropped and
    /// opened again from disk.
    pub persist: Option<Transaction>,
    /// To be performed after the commit.
    pub after: Vec<Effect>,
}

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Send a request to the directory; the answer is [`crate::input::Input::Reply`].
    Ask {
        /// Names it.
        call: CallId,
        /// What.
        request: Box<Request>,
    },
    /// Send a frame to a peer. It may be lost with its connection.
    Send {
        /// On which connection.
        peer: PeerId,
        /// What.
        frame: PeerFrame,
    },
    /// Dial a device, all addresses at once; the answer is `PeerConnected` or `DialFailed`.
    Dial {
        /// Which.
        device: DeviceId,
        /// The key to pin.
        tls_key: PublicKey,
        /// Where.
        addresses: Vec<SocketAddr>,
    },
    /// Close a peer connection.
    ClosePeer {
        /// Which.
        peer: PeerId,
    },
    /// From now on accept connections from exactly these TLS keys.
    AcceptPeers {
        /// The keys.
        tls_keys: Vec<PublicKey>,
    },
    /// Feed [`crate::input::Input::Tick`] at this moment; replaces an earlier one.
    SetTimer {
        /// When.
        at: Timestamp,
    },
    /// Run a job that takes long on a thread of its own, two at most; the answer is `Stretched`.
    Stretch {
        /// The job.
        job: Box<StretchJob>,
    },
    /// Tell whoever watches.
    Show(Event),
    /// A command ended.
    Done {
        /// Which.
        token: CommandToken,
        /// How.
        result: CommandResult,
    },
    /// Read the timeline; the answer is `HistoryRead`.
    ReadHistory {
        /// Names the command.
        token: CommandToken,
        /// With whom; everybody if absent.
        with: Option<Name>,
        /// How many at most, the latest.
        count: usize,
    },
    /// Search the timeline; the answer is `HistoryRead`.
    Search {
        /// Names the command.
        token: CommandToken,
        /// All of these are in the text, each as the beginning of a word.
        words: Vec<String>,
        /// With whom, or in which group; everywhere if absent.
        with: Option<Name>,
        /// Stored here at this moment or later.
        since: Option<Timestamp>,
        /// How many at most, the latest.
        count: usize,
    },
    /// Find one message of the timeline; the answer is `MessageFound`.
    FindMessage {
        /// Names the command.
        token: CommandToken,
        /// Which.
        id: MessageRef,
    },
    /// Log a bug of this program: something that its own invariants rule out. Nothing in it is secret.
    ReportBug {
        /// What happened.
        what: &'static str,
        /// The error.
        detail: String,
    },
    /// Log what was refused from a peer or the directory, and why. Nothing in it is secret or anybody's words.
    ReportMisbehaviour {
        /// What happened.
        what: &'static str,
        /// The error.
        detail: String,
    },
    /// Something about files.
    File(FileEffect),
    /// Close the connection to the directory, since the session ended.
    CloseDirectory,
    /// Drop the core and every connection, and open it anew from disk: this device's keys are others now.
    Restart,
}
