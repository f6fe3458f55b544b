//! Why the directory refuses.

use serde::{Deserialize, Serialize};

use super::LedgerRefusal;
use crate::{peer::Reason, policy::PolicyRefusal};

/// Why the directory refuses a request: data, not an error. Listed in their precedence, with these exceptions: whoever asks
/// too much hears that before it is looked at; of a conversation that is none of theirs nobody hears more than that it is
/// unknown; and a variant whose place is another one says so, since variants are only appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The request contradicts itself or the protocol.
    #[error("the request is malformed: {0:?}")]
    Malformed(Reason),
    /// Too many requests in a time.
    #[error("too many requests; try again in {retry_after_ms} ms")]
    RateLimited {
        /// When to come back, in milliseconds.
        retry_after_ms: u32,
    },
    /// This device is not signed in.
    #[error("not signed in")]
    NotSignedIn,
    /// Name and password do not belong together, or there is no such name: the answer is the same.
    #[error("wrong name or password")]
    WrongCredentials,
    /// The name belongs to somebody.
    #[error("the name is taken")]
    NameTaken,
    /// The name looks like another one.
    #[error("the name looks like one that is taken")]
    NameConfusable,
    /// Nobody can register here. Stands before [`Refusal::NameTaken`], as the invite does: who may not register is told
    /// nothing of names.
    #[error("registration is closed here")]
    RegistrationClosed,
    /// A registration needs an invite code that is still good.
    #[error("registration needs a valid invite code")]
    InviteNeeded,
    /// This connection's device belongs to an account already. Stands before [`Refusal::NameTaken`]: the taken name may be
    /// its own.
    #[error("this device belongs to an account already")]
    DeviceTaken,
    /// No such account, conversation or device, or none that the asker may know of.
    #[error("unknown")]
    Unknown,
    /// The asker is not a member of the conversation.
    #[error("not a member")]
    NotMember,
    /// The recipient takes no more from somebody whom they have not accepted.
    #[error("the recipient takes no more from strangers for now")]
    StrangerLimit,
    /// The recipient's mailbox holds its quota of this sender or conversation.
    #[error("the recipient's mailbox is full")]
    MailboxFull,
    /// The version is not above the stored one.
    #[error("a newer version is stored")]
    Stale,
    /// The conversation's rules forbid the commit.
    #[error("the conversation's rules forbid this: {0}")]
    Policy(PolicyRefusal),
    /// The directory can't do it now through no fault of the asker's.
    #[error("the directory cannot do this now; try again")]
    Unavailable,
    /// The connection has not proven the password that this needs. Stands before [`Refusal::Unknown`].
    #[error("the password has to be proven first")]
    PasswordNeeded,
    /// The recipient takes nothing from the asker. Stands before [`Refusal::StrangerLimit`].
    #[error("the recipient has blocked you")]
    Blocked,
    /// The ledger's rules forbid it.
    #[error("the ledger refuses: {0}")]
    Ledger(LedgerRefusal),
}
