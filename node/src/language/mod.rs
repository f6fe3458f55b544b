//! The command language: one line of text to one command, or a sentence that says what is wrong with it.
//!
//! Pure: it reads nothing but the line, and the system's time zone where a line names a day. It does not know who is
//! signed in, nor whether a name exists.

mod account;
mod files;
mod groups;
mod looking;
mod money;
mod secret;
mod sending;
mod topics;
mod values;
mod verbs;
mod words;

use node_core::command::{Command, Failure, FailureCode, FileCommand, MoneyCommand, Password};
use protocol::Name;

pub(crate) use files::file_ref;
pub(crate) use money::money_ref;
pub use secret::{redact, secret_span};
pub use sending::Target;
pub(crate) use values::{NoDuration, duration};
pub use values::{message_ref, name};
use verbs::Verb;
use words::Words;
pub use words::{Expanded, LINE_MAX};
pub(crate) use words::{hold, restore};

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Makes an account; without a password somebody has to be asked for it.
    SignUp {
        /// The name wished for.
        name: Name,
        /// The password, if it was on the line.
        password: Option<Password>,
        /// An invite code.
        invite: Option<String>,
    },
    /// Opens the profile and signs in.
    SignIn {
        /// The account's name.
        name: Name,
        /// The password, if it was on the line.
        password: Option<Password>,
    },
    /// Removes a device; without a password somebody has to be asked for it.
    Revoke {
        /// Its id, or the beginning of it.
        device: String,
        /// The password, if it was on the line.
        password: Option<Password>,
    },
    /// Changes the password: the old one and the new one, if they were on the line.
    Passwd(Option<(Password, Password)>),
    /// Recovers an account: the code and the new password, if they were on the line.
    Recover {
        /// The account's name.
        name: Name,
        /// Code and password.
        secrets: Option<(String, Password)>,
    },
    /// Closes the account; without a password somebody has to be asked for it.
    CloseAccount {
        /// The password, if it was on the line.
        password: Option<Password>,
    },
    /// What the core does.
    Core(Command),
    /// Where bare lines go from now on; nowhere, if absent. The prompt's alone.
    To(Option<Target>),
    /// Explains a verb, or lists all.
    Help(Option<String>),
    /// Leaves.
    Quit,
}

/// Reads one line as a person typed it; `None` if there is nothing in it.
///
/// # Errors
/// A [`Failure`] of class `usage` or `conflict`, with the command that would have been right.
pub fn parse(line: &str) -> Result<Option<Line>, Failure> {
    parse_expanded(&Expanded::literal(line))
}

/// Reads one line of a script whose variables were expanded.
///
/// # Errors
/// As [`parse`].
pub fn parse_expanded(line: &Expanded) -> Result<Option<Line>, Failure> {
    let text = line.as_str();
    // What stands for a value's blanks is longer than they are.
    if text.len() > LINE_MAX && line.to_text().len() > LINE_MAX {
        return Err(usage(format!("a line has at most {LINE_MAX} bytes; split it")));
    }
    if let Some(payment) = money::hashed(text) {
        return payment.map(Some);
    }
    let mut words = Words::new(text);
    let Some(first) = words.next() else { return Ok(None) };
    if let Some(target) = Target::marked(first) {
        return sending::text(&target?, words.text()).map(Some);
    }
    let verb = Verb::find(first).ok_or_else(|| unknown(first))?;
    if first.len() == 1 && words.next().is_some() {
        return Err(begins_like_speech(first, verb));
    }
    let parsed = understood(verb, &mut words)?;
    if let Some(extra) = words.next() {
        let extra = restore(extra);
        return Err(usage(format!("{} takes no {extra:?}; {}", verb.word(), form(verb))));
    }
    Ok(Some(parsed))
}

/// A verb's letter with more behind it is no command: somebody began to talk.
fn begins_like_speech(letter: &str, verb: Verb) -> Failure {
    let verb = verb.word();
    usage(format!(
        "{letter:?} is {verb} only when it stands alone; `{verb} bob` is that, `@bob I am late` says it to bob"
    ))
}

/// Reads what follows a verb, as far as the verb takes it.
fn understood(verb: Verb, words: &mut Words<'_>) -> Result<Line, Failure> {
    Ok(Line::Core(match verb {
        Verb::SignUp => return account::sign_up(words),
        Verb::SignIn => return account::sign_in(words),
        Verb::Revoke => return account::revoke(words),
        Verb::Passwd => return account::passwd(words),
        Verb::Recover => return account::recover(words),
        Verb::Close => return account::close(words),
        Verb::Verify => return account::verify(words),
        Verb::Trust => return account::trust(words),
        Verb::Send => return sending::send(words),
        Verb::To => return sending::to(words).map(Line::To),
        Verb::Help => return Ok(Line::Help(words.next().map(restore))),
        Verb::Quit => return Ok(Line::Quit),
        Verb::SignOut => Command::SignOut,
        Verb::WhoAmI => Command::WhoAmI,
        Verb::Ping => Command::Ping,
        Verb::Resend => Command::Resend { id: sending::resent(words)? },
        Verb::List => looking::list(words)?,
        Verb::Create => groups::create(words)?,
        Verb::Join => Command::Join { group: groups::group(words, verb)? },
        Verb::Leave => Command::Leave { group: groups::group(words, verb)? },
        Verb::Invite => groups::invite(words)?,
        Verb::Kick => groups::kick(words)?,
        Verb::Promote => groups::promote(words)?,
        Verb::Demote => groups::demote(words)?,
        Verb::Members => Command::Members { group: groups::group(words, verb)? },
        Verb::Contacts => Command::Contacts,
        Verb::Devices => Command::Devices,
        Verb::Block => Command::Block { user: needed(words, verb)?, blocked: true },
        Verb::Unblock => Command::Block { user: needed(words, verb)?, blocked: false },
        Verb::Mute => groups::mute(words)?,
        Verb::Unmute => Command::Mute { target: groups::target(words, verb)?, for_ms: Some(0) },
        Verb::History => looking::history(words)?,
        Verb::Search => looking::search(words)?,
        Verb::Unread => Command::Unread,
        Verb::Read => Command::Read { target: groups::target(words, verb)? },
        Verb::Status => Command::Status,
        Verb::Pay => money::pay(words)?,
        Verb::Request => money::request(words)?,
        Verb::Files => Command::File(FileCommand::List),
        Verb::Accept => files::accept(words)?,
        Verb::Decline => files::decline(words)?,
        Verb::Cancel => files::cancel(words)?,
        Verb::Refund => money::refund(words)?,
        Verb::Requests => Command::Money(MoneyCommand::Requests),
        Verb::Balance => Command::Money(MoneyCommand::Balance),
        Verb::Payments => money::payments(words)?,
        Verb::Set => files::set(words).unwrap_or_else(|| money::set(words))?,
    }))
}

/// What HELP says: about one verb or topic, or about all verbs.
///
/// # Errors
/// A [`Failure`] of class `usage` for what is neither.
pub fn help(topic: Option<&str>) -> Result<String, Failure> {
    let Some(word) = topic else { return Ok(verbs::overview()) };
    let verb = Verb::find(word).map(Verb::help);
    verb.or_else(|| topics::find(word).map(str::to_owned)).ok_or_else(|| unknown(word))
}

/// Whether a line that begins with this word is a command, of this version or of a later one.
pub(crate) fn is_command(word: &str) -> bool {
    word.starts_with(['@', '&']) || is_hashed(word) || Verb::find(word).is_some() || is_later(word)
}

/// Refuses a line's first word if no command begins with it.
///
/// # Errors
/// A [`Failure`] of class `usage` that names the nearest verb.
pub(crate) fn check_verb(word: &str) -> Result<(), Failure> {
    let begins = word.starts_with(['@', '&']) || is_hashed(word) || Verb::find(word).is_some();
    if begins { Ok(()) } else { Err(unknown(word)) }
}

/// Whether a word looks like `payer#amount#user`.
fn is_hashed(word: &str) -> bool {
    word.split('#').count() == 3
}

pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Usage, message)
}

/// Verbs that are reserved for what this version does not do.
const LATER: &[&str] = &["REPLY", "DELETE", "WHY", "EXPORT", "CLEAR"];

fn is_later(word: &str) -> bool {
    LATER.iter().any(|later| later.eq_ignore_ascii_case(word))
}

fn unknown(word: &str) -> Failure {
    let word = restore(word);
    if is_later(&word) {
        return usage(format!("{} is not in this version; `HELP` lists what is", word.to_uppercase()));
    }
    match verbs::nearest(&word) {
        Some(verb) => usage(format!("there is no command {word:?}; did you mean {}? {}", verb.word(), form(verb))),
        None => {
            let example = Verb::Send.example();
            usage(format!("there is no command {word:?}; `HELP` lists all, and `{example}` sends a message"))
        }
    }
}

/// The right form of a verb's line, and a line that is right.
fn form(verb: Verb) -> String {
    format!("the form is {}, as in `{}`", verb.syntax(), verb.example())
}

fn needed(words: &mut Words<'_>, verb: Verb) -> Result<Name, Failure> {
    match words.next() {
        Some(word) => name(word.strip_prefix('@').unwrap_or(word)),
        None => Err(usage(format!("{} needs a name; {}", verb.word(), form(verb)))),
    }
}

#[cfg(test)]
mod tests;
