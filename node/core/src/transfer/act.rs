//! What is to be done about a transfer, and what is told of it.

use protocol::{
    AccountId, ConversationId, DeviceId, FileId,
    file::{FileNotice, stream::FileRefusal},
};

use super::TransferState;

/// Something that is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Say something in the conversation.
    Say {
        /// In which.
        conversation: ConversationId,
        /// What.
        notice: FileNotice,
    },
    /// Tell the person.
    Show {
        /// Of which transfer.
        file: FileId,
        /// Who brought it about, or whose state it is where this node offers.
        account: AccountId,
        /// The state.
        state: TransferState,
        /// Why, if somebody said so.
        reason: Option<String>,
    },
    /// Begin to receive it, or go on.
    Receive {
        /// What.
        file: FileId,
        /// From which device.
        device: DeviceId,
    },
    /// Write what came with its offer.
    Unpack {
        /// What.
        file: FileId,
    },
    /// Receive it no more.
    StopReceiving {
        /// What.
        file: FileId,
    },
    /// Send it no more: to one account, or to anybody.
    StopServing {
        /// What.
        file: FileId,
        /// To whom.
        account: Option<AccountId>,
    },
    /// Remove what there is of it in the making; what has its name stays.
    Discard {
        /// What.
        file: FileId,
        /// Where it was to be, if not in the inbox.
        target: Option<String>,
    },
    /// Forget what leads to the offered file.
    ForgetSource {
        /// What.
        file: FileId,
    },
}

/// Why receiving stopped before everything was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The connection is gone: it goes on when there is another.
    Lost,
    /// The sender sends nothing, or nothing more.
    Refused(FileRefusal),
    /// It is not what was offered.
    Mismatch(String),
    /// This machine's disk refuses, in words for the person.
    Disk(String),
}
