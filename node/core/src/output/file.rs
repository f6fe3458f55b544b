//! What the core wants done about files. All of it takes its time outside, and nothing waits for it.

use protocol::{
    AccountId, FileId,
    file::{
        Chunking, EnclosedFile, FileOffer, FileSecret,
        stream::{FilePart, FileRefusal},
    },
};

use crate::{
    command::CommandToken,
    input::{FileStream, PeerId},
};

/// One thing to do about files.
#[derive(Debug)]
pub enum FileEffect {
    /// Look at what is to be offered; the answer is [`crate::input::FileInput::Surveyed`].
    Survey {
        /// Names the command.
        token: CommandToken,
        /// Where it is.
        path: String,
    },
    /// Send what a peer has asked for on a stream.
    Serve {
        /// The stream.
        stream: FileStream,
        /// Who gets it.
        account: AccountId,
        /// What.
        serving: Box<ServeFile>,
    },
    /// Tell a peer that has asked why nothing follows.
    Refuse {
        /// The stream.
        stream: FileStream,
        /// Why.
        refusal: FileRefusal,
    },
    /// Send it no more: to one account, or to anybody.
    StopServing {
        /// What.
        file: FileId,
        /// To whom.
        account: Option<AccountId>,
    },
    /// Receive it, or go on.
    Receive {
        /// On which connection.
        peer: PeerId,
        /// What.
        offer: Box<FileOffer>,
        /// Where it is to be, if not in the inbox under its own name.
        target: Option<String>,
    },
    /// Write what came with its offer, as if it were received.
    Unpack {
        /// The offer, and what came with it.
        enclosed: Box<EnclosedFile>,
        /// Where it is to be, if not in the inbox under its own name.
        target: Option<String>,
    },
    /// Receive it no more; what there is of it stays.
    StopReceiving {
        /// What.
        file: FileId,
    },
    /// Remove what there is of it in the making; what has its name stays.
    Discard {
        /// What.
        file: FileId,
        /// Where it was to be, if not in the inbox.
        target: Option<String>,
    },
}

/// What is sent on a stream.
#[derive(Debug)]
pub struct ServeFile {
    /// Which part of what the peer asked for.
    pub part: FilePart,
    /// The offer's secret.
    pub secret: FileSecret,
    /// Drawn for this stream alone.
    pub salt: [u8; 32],
    /// How the part is cut.
    pub chunking: Chunking,
    /// What leads to it, as it was surveyed.
    pub source: Vec<u8>,
}
