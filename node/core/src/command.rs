//! What a person or a script can ask of a node, parsed, and what comes of it.

mod file;
mod money;
mod outcome;

use protocol::{MessageId, Name, Timestamp, policy::Access};
use zeroize::Zeroizing;

pub use self::{
    file::{FileCommand, FileOutcome, FileRef, FileView, Recipient, Surveyed},
    money::{
        BalanceView, LimitsView, MoneyCommand, MoneyLine, MoneyOutcome, MoneyRef, OwnLimit, PaymentView, RequestView,
        ShareView,
    },
    outcome::{DeviceView, GroupView, HistoryEntry, MemberLine, MemberView, Outcome, PersonView, StatusView},
};
use crate::event::ShortId;

/// Names one running command between driver and core; made by the driver, unique within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandToken(pub u64);

/// A password on its way to be stretched. It has no `Debug`, `Clone` or `Serialize`, and is wiped when dropped.
#[derive(PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password as it was typed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A second one of the same word, for a job that takes its own. Said by name, since a password has no `Clone`.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Its bytes, for the stretching alone.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A command that the core performs. Opening and locking a profile, HELP and QUIT are the shell's.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes an account.
    SignUp {
        /// The name wished for.
        name: Name,
        /// The password.
        password: Password,
        /// An invite code.
        invite: Option<String>,
    },
    /// Proves the password to the directory. The shell has opened the profile with it already.
    SignIn {
        /// The account's name.
        name: Name,
        /// The password.
        password: Password,
    },
    /// The second half of SIGNIN for a device that is signed in already: completes with `Outcome::SignedIn` when all
    /// that waited at the directory is taken in, or as offline as soon as the directory is known not to answer.
    Resume,
    /// Ends the session; the shell then locks the profile.
    SignOut,
    /// Who this node is.
    WhoAmI,
    /// Asks the directory whether it is there.
    Ping,
    /// Sends a text to a person.
    Send {
        /// To whom.
        to: Name,
        /// What.
        text: String,
    },
    /// Sends a message once more that failed.
    Resend {
        /// Which.
        id: MessageRef,
    },
    /// Lists people online, contacts and what else there is.
    List {
        /// Which part.
        what: ListWhat,
    },
    /// Lists contacts.
    Contacts,
    /// Shows what was said.
    History {
        /// With whom, or in which group; everywhere if absent.
        with: Option<Name>,
        /// How many messages at most.
        count: usize,
    },
    /// Finds what was said by the words in it.
    Search {
        /// The words, with blanks between; each counts by its beginning.
        text: String,
        /// With whom, or in which group; everywhere if absent.
        with: Option<Name>,
        /// Stored here at this moment or later.
        since: Option<Timestamp>,
    },
    /// The state of connection, outbox and profile.
    Status,
    /// `ASSERT ONLINE`: whether a person is online, asked afresh of the directory.
    AskOnline {
        /// Who.
        user: Name,
    },
    /// `WAIT ONLINE` and `WAIT OFFLINE`: completes when the person is.
    WaitOnline {
        /// Who.
        user: Name,
        /// Online or offline.
        online: bool,
    },
    /// `WAIT IDLE`: completes when nothing is queued or in flight; what the mailbox has custody of counts as idle.
    WaitIdle,
    /// `ASSERT STATE`: the state of a message.
    AskState {
        /// Which.
        id: MessageRef,
    },
    /// Lists the account's devices.
    Devices,
    /// Removes a device of the account: its connection and its place in every conversation.
    Revoke {
        /// Its id in hexadecimal, or as much of its beginning as tells it apart.
        device: String,
        /// The account's password.
        password: Password,
    },
    /// Changes the password.
    Passwd {
        /// The present one.
        old: Password,
        /// The one from now on.
        new: Password,
    },
    /// Opens the account by its recovery code, with a new password, as a new device.
    Recover {
        /// The account's name.
        name: Name,
        /// What SIGNUP printed.
        code: String,
        /// The password from now on.
        password: Password,
    },
    /// Closes the account for good.
    CloseAccount {
        /// The account's password.
        password: Password,
    },
    /// Shows the safety number with a person, or compares it and marks them verified.
    Verify {
        /// Who.
        user: Name,
        /// The number as the person reads it.
        code: Option<String>,
        /// Whether the number is wanted as a picture too.
        picture: bool,
    },
    /// Accepts a person's new key, if its safety number is this.
    Trust {
        /// Who.
        user: Name,
        /// The number as the person reads it.
        code: String,
    },
    /// Lists who wrote what was not read yet.
    Unread,
    /// Marks a conversation read, on all devices.
    Read {
        /// With whom, or which group.
        target: Name,
    },
    /// Says no more of a person or a group than what is asked for, for a time; or no longer.
    Mute {
        /// Whom, or which group.
        target: Name,
        /// For how many milliseconds from now: for good if absent, no longer if zero.
        for_ms: Option<u64>,
    },
    /// Makes a group, which this account owns.
    CreateGroup {
        /// Its name.
        group: Name,
        /// Who may come in.
        access: Access,
    },
    /// Comes into a group: an open one, or by an invitation.
    Join {
        /// Which.
        group: Name,
    },
    /// Goes out of a group, with all devices; declines an invitation.
    Leave {
        /// Which.
        group: Name,
    },
    /// Invites a person into a group.
    Invite {
        /// Which.
        group: Name,
        /// Whom.
        user: Name,
    },
    /// Removes a person from a group, who stays out until they are invited.
    Kick {
        /// Which.
        group: Name,
        /// Whom.
        user: Name,
    },
    /// Makes a member an admin, or an admin an owner.
    Promote {
        /// Which group.
        group: Name,
        /// Whom.
        user: Name,
    },
    /// Makes an owner an admin, or an admin a member.
    Demote {
        /// Which group.
        group: Name,
        /// Whom.
        user: Name,
    },
    /// Lists who is in a group.
    Members {
        /// Which.
        group: Name,
    },
    /// `ASSERT MEMBERS`: how many are in a group, asked afresh of the directory.
    AskMembers {
        /// Which.
        group: Name,
    },
    /// Sends a text to a group.
    SendGroup {
        /// Which.
        group: Name,
        /// What.
        text: String,
    },
    /// Blocks a person, or no longer.
    Block {
        /// Who.
        user: Name,
        /// Blocked or not.
        blocked: bool,
    },
    /// Anything about money.
    Money(MoneyCommand),
    /// Anything about files.
    File(FileCommand),
}

/// A message as people name it: by its short id or its 128-bit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRef {
    /// `m12`.
    Short(ShortId),
    /// The full id.
    Full(MessageId),
}

/// What LIST shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListWhat {
    /// Everything.
    All,
    /// People.
    Users,
    /// Groups.
    Groups,
    /// One's own groups.
    Mine,
}

/// The class of a failure; the numbers are the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FailureCode {
    /// Anything else.
    Other = 1,
    /// Bad grammar.
    Usage = 2,
    /// Nobody answers.
    Unreachable = 3,
    /// Wrong password, signed out.
    Auth = 4,
    /// Changed key or pin.
    Trust = 5,
    /// Unknown or taken names, existing targets.
    Conflict = 6,
    /// Not allowed.
    Refused = 7,
    /// The outcome is not known.
    Unknown = 8,
    /// An expectation was not met in time.
    Timeout = 9,
}

impl FailureCode {
    /// The name that stands in JSON and after `!` in scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Auth => "auth",
            Self::Trust => "trust",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Timeout => "timeout",
        }
    }
}

/// Why a command failed: its class, what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The class.
    pub code: FailureCode,
    /// One sentence, with the next step.
    pub message: String,
}

impl Failure {
    /// A failure of this class.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// How a command ended.
pub type CommandResult = Result<Outcome, Failure>;
