//! The states of a transfer, and why something can't be done with one.

use serde::{Deserialize, Serialize};

/// How far a transfer is towards one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TransferState {
    /// The recipient has not answered.
    Offered,
    /// The recipient wants it; its bytes go when both are there.
    Accepted,
    /// It is there, whole.
    Received,
    /// The recipient does not want it.
    Declined,
    /// Either side wants it no more.
    Cancelled,
    /// Nobody wanted it in time.
    Expired,
    /// It did not come.
    Failed,
}

impl TransferState {
    /// The word in events, scripts and FILES.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Received => "received",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Offered | Self::Accepted)
    }
}

/// Why something can't be done with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefusal {
    /// There is none of that id.
    #[error("there is no such file; FILES shows which there are")]
    Unknown,
    /// It is one's own offer.
    #[error("that is a file that you offered; CANCEL takes it back")]
    Own,
    /// It was accepted already.
    #[error("it is accepted already; FILES shows how far it is, CANCEL stops it")]
    Accepted,
    /// It is over.
    #[error("that file is {} already; FILES shows what became of it", .0.word())]
    Over(TransferState),
}
