//! What a person or a script asks about files, and what comes of it.
//!
//! Paths come from the root: whoever reads a line knows what they were relative to.

use protocol::{
    FileId, Name, Timestamp,
    file::{Chunking, FileShape},
};

use crate::{event::ShortId, transfer::TransferState};

/// What is asked about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileCommand {
    /// Looks at a file or a folder, and offers it.
    Send {
        /// To whom.
        to: Recipient,
        /// Where it is.
        path: String,
        /// A few words with it; empty for none.
        caption: String,
    },
    /// Offers what was looked at: the second half of [`FileCommand::Send`].
    Offer {
        /// To whom.
        to: Recipient,
        /// What was found.
        surveyed: Box<Surveyed>,
        /// A few words with it; empty for none.
        caption: String,
    },
    /// Lists what is offered, under way and over.
    List,
    /// Wants what somebody offers.
    Accept {
        /// Which.
        id: FileRef,
        /// Where it is to be, if not in the inbox under its own name.
        target: Option<String>,
    },
    /// Does not want it.
    Decline {
        /// Which.
        id: FileRef,
        /// Why; empty for nothing.
        reason: String,
    },
    /// Wants it no more: what this node offers, or what it receives.
    Cancel {
        /// Which.
        id: FileRef,
    },
    /// `ASSERT STATE` of a file.
    AskState {
        /// Which.
        id: FileRef,
    },
    /// Says up to how many bytes are taken from somebody unasked.
    SetUnasked {
        /// From whom.
        from: Name,
        /// How many; none if absent.
        bytes: Option<u64>,
    },
}

/// To whom a file is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// To a person.
    Person(Name),
    /// To everybody in a group.
    Group(Name),
}

impl Recipient {
    /// What they are called.
    #[must_use]
    pub const fn name(&self) -> &Name {
        match self {
            Self::Person(name) | Self::Group(name) => name,
        }
    }
}

/// A file as people name it: by its short id or its 128-bit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRef {
    /// `f3`.
    Short(ShortId),
    /// The full id.
    Full(FileId),
}

/// What was found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its own name.
    pub name: String,
    /// A file or a folder.
    pub shape: FileShape,
    /// How it is cut.
    pub chunking: Chunking,
    /// Of the file, or of the folder's list.
    pub sha256: [u8; 32],
    /// What leads to it again, and tells whether it was changed since. The core keeps it and does not look into it.
    pub source: Vec<u8>,
    /// All of it, a folder's list first, if it is small enough to come with its offer.
    pub enclosed: Option<Vec<u8>>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOutcome {
    /// FILES, the oldest first.
    Files {
        /// Each.
        files: Vec<FileView>,
    },
    /// ACCEPT, DECLINE and CANCEL.
    Answered {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: FileId,
        /// What it is called where it comes from.
        name: String,
        /// What is certain of it now.
        state: TransferState,
        /// Whether its bytes are on their way, or there.
        started: bool,
        /// Where it is, once it is there.
        path: Option<String>,
    },
    /// AskState.
    State(TransferState),
    /// SetUnasked: what is taken unasked from now on, by name.
    Unasked(Vec<(Name, u64)>),
}

/// One file in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    /// Short id.
    pub id: ShortId,
    /// 128-bit id.
    pub uid: FileId,
    /// Who offers it.
    pub from: Name,
    /// Who may have it, and how far each of them is.
    pub to: Vec<(Name, TransferState)>,
    /// The group in which it was offered, if in one.
    pub group: Option<Name>,
    /// Whether it was offered to this node.
    pub incoming: bool,
    /// What it is called where it comes from.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// A few words with it; empty for none.
    pub caption: String,
    /// Its size.
    pub bytes: u64,
    /// How much of it is there, as far as this run knows.
    pub done: Option<u64>,
    /// Of the file, or of the folder's list.
    pub sha256: [u8; 32],
    /// Where it is, once it is there.
    pub path: Option<String>,
    /// Why it has failed, as far as this run knows.
    pub reason: Option<String>,
    /// When it was offered, by this node's clock.
    pub at: Timestamp,
    /// Until when it is to be had.
    pub expires_at: Timestamp,
}
