//! What a node tells of files.

use protocol::{FileId, Name};
use serde::{Deserialize, Serialize};

use super::{ShortId, Trust};
use crate::transfer::TransferState;

/// A file that is offered, here or by this node, has come to another state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvent {
    /// Short id.
    pub id: ShortId,
    /// 128-bit id.
    pub uid: FileId,
    /// Who offers it.
    pub from: Name,
    /// Who may have it: whose state it is.
    pub to: Name,
    /// Whether it was offered to this node.
    pub incoming: bool,
    /// The group in which it was offered, if in one.
    pub group: Option<Name>,
    /// What it is called where it comes from.
    pub name: String,
    /// Whether it is a folder.
    pub folder: bool,
    /// A few words with it; empty for none.
    pub caption: String,
    /// Its size.
    pub bytes: u64,
    /// Of the file, or of the folder's list.
    pub sha256: [u8; 32],
    /// Where it is, once it is here.
    pub path: Option<String>,
    /// How far it is.
    pub state: TransferState,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// What is known of the key of whoever offers it; verified, if that is this account.
    pub trust: Trust,
}

/// How much of a file has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProgress {
    /// Short id.
    pub id: ShortId,
    /// 128-bit id.
    pub uid: FileId,
    /// At whom it arrives, if this node sends it.
    pub to: Option<Name>,
    /// What it is called where it comes from.
    pub name: String,
    /// How much there is.
    pub bytes: u64,
    /// Of how much.
    pub total: u64,
}
