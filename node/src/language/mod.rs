//! The command language: one line of text to one command, or a sentence that says what is wrong with it.
//!
//! Pure: it reads nothing but the line. It does not know who is signed in, nor whether a name exists.

mod account;
mod secret;
mod topics;
mod verbs;
mod words;

use node_core::{
    command::{Command, Failure, FailureCode, ListWhat, MessageRef, Password},
    event::ShortId,
};
use protocol::{MessageId, Name, limits::TEXT_MAX};

pub use secret::{redact, secret_span};
use verbs::Verb;
use words::Words;
pub use words::{Expanded, LINE_MAX};
pub(crate) use words::{hold, restore};

/// Messages that HISTORY shows unless told otherwise.
const HISTORY_DEFAULT: usize = 20;
/// Messages that HISTORY shows at most.
const HISTORY_MAX: usize = 10_000;
/// Fewest characters of a password on the line.
const PASSWORD_MIN: usize = 8;

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
    let mut words = Words::new(text);
    let Some(first) = words.next() else { return Ok(None) };
    if let Some(user) = first.strip_prefix('@') {
        return send_text(&name(user)?, words.text()).map(Some);
    }
    let verb = Verb::find(first).ok_or_else(|| unknown(first))?;
    let parsed = match verb {
        Verb::SignUp => sign_up(&mut words)?,
        Verb::SignIn => sign_in(&mut words)?,
        Verb::SignOut => Line::Core(Command::SignOut),
        Verb::WhoAmI => Line::Core(Command::WhoAmI),
        Verb::Ping => Line::Core(Command::Ping),
        Verb::Send => send(&mut words)?,
        Verb::Resend => Line::Core(Command::Resend { id: resent(&mut words)? }),
        Verb::List => Line::Core(list(&mut words)?),
        Verb::Contacts => Line::Core(Command::Contacts),
        Verb::Devices => Line::Core(Command::Devices),
        Verb::Revoke => account::revoke(&mut words)?,
        Verb::Passwd => account::passwd(&mut words)?,
        Verb::Recover => account::recover(&mut words)?,
        Verb::Close => account::close(&mut words)?,
        Verb::Verify => account::verify(&mut words)?,
        Verb::Trust => account::trust(&mut words)?,
        Verb::Block => Line::Core(Command::Block { user: needed(&mut words, Verb::Block)?, blocked: true }),
        Verb::Unblock => Line::Core(Command::Block { user: needed(&mut words, Verb::Unblock)?, blocked: false }),
        Verb::History => Line::Core(history(&mut words)?),
        Verb::Unread => Line::Core(Command::Unread),
        Verb::Read => Line::Core(Command::Read { target: needed(&mut words, Verb::Read)? }),
        Verb::Status => Line::Core(Command::Status),
        Verb::Help => Line::Help(words.next().map(restore)),
        Verb::Quit => Line::Quit,
    };
    if !matches!(parsed, Line::Core(Command::Send { .. }))
        && let Some(extra) = words.next()
    {
        let extra = restore(extra);
        return Err(usage(format!("{} takes no {extra:?}; {}", verb.word(), form(verb))));
    }
    Ok(Some(parsed))
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

/// Reads a message's id, short (`m12`) or in full.
///
/// # Errors
/// A [`Failure`] of class `usage`.
pub fn message_ref(text: &str) -> Result<MessageRef, Failure> {
    let text = restore(text);
    if let Ok(uid) = text.parse::<MessageId>() {
        return Ok(MessageRef::Full(uid));
    }
    match text.strip_prefix(['m', 'M']).and_then(number) {
        Some(number) => Ok(MessageRef::Short(ShortId::Message(number))),
        None => Err(usage(format!("{text:?} is no message's id, which looks like m12; `HISTORY` shows them"))),
    }
}

/// Reads digits, and nothing else.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Reads a name.
///
/// # Errors
/// A [`Failure`] of class `usage`.
pub fn name(text: &str) -> Result<Name, Failure> {
    let text = restore(text);
    Name::parse(&text).map_err(|error| usage(format!("{text:?} is no name: {error}")))
}

/// Whether a line that begins with this word is a command, of this version or of a later one.
pub(crate) fn is_command(word: &str) -> bool {
    word.starts_with(['@', '&']) || Verb::find(word).is_some() || is_later(word)
}

/// Refuses a line's first word if no command begins with it.
///
/// # Errors
/// A [`Failure`] of class `usage` that names the nearest verb.
pub(crate) fn check_verb(word: &str) -> Result<(), Failure> {
    if word.starts_with('@') || Verb::find(word).is_some() { Ok(()) } else { Err(unknown(word)) }
}

pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Usage, message)
}

/// Verbs that are reserved for what this version does not do.
const LATER: &[&str] = &[
    "TO", "REPLY", "DELETE", "FILES", "ACCEPT", "DECLINE", "CANCEL", "CREATE", "JOIN", "LEAVE", "INVITE", "KICK",
    "PROMOTE", "DEMOTE", "MEMBERS", "PAY", "REQUEST", "REFUND", "REQUESTS", "BALANCE", "PAYMENTS", "MUTE", "SEARCH",
    "WHY", "SET", "EXPORT", "CLEAR",
];

fn is_later(word: &str) -> bool {
    LATER.iter().any(|later| later.eq_ignore_ascii_case(word))
}

fn unknown(word: &str) -> Failure {
    let word = restore(word);
    if word.starts_with('&') {
        return usage("there are no groups in this version; as in `@bob see you at eight`, messages go to a person");
    }
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
        Some(word) => name(word),
        None => Err(usage(format!("{} needs a name; {}", verb.word(), form(verb)))),
    }
}

fn sign_up(words: &mut Words<'_>) -> Result<Line, Failure> {
    let name = needed(words, Verb::SignUp)?;
    let mut password = None;
    let mut next = words.next();
    if let Some(word) = next.filter(|word| !word.eq_ignore_ascii_case("invite")) {
        password = Some(new_password(word)?);
        next = words.next();
    }
    let invite = match next {
        None => None,
        Some(word) if word.eq_ignore_ascii_case("invite") => match words.next() {
            Some(code) => Some(restore(code)),
            None => return Err(usage(format!("INVITE needs a code; {}", form(Verb::SignUp)))),
        },
        // The word is not repeated: it may be the rest of a password with a blank in it.
        Some(_) => {
            return Err(usage("a password on the line is one word; leave it out to be asked for one with blanks"));
        }
    };
    Ok(Line::SignUp { name, password, invite })
}

fn sign_in(words: &mut Words<'_>) -> Result<Line, Failure> {
    let name = needed(words, Verb::SignIn)?;
    let password = words.next().map(|word| Password::new(restore(word)));
    if words.next().is_some() {
        return Err(usage("a password on the line is one word; leave it out to be asked for one with blanks"));
    }
    Ok(Line::SignIn { name, password })
}

fn new_password(word: &str) -> Result<Password, Failure> {
    let word = restore(word);
    if word.chars().count() < PASSWORD_MIN {
        return Err(usage(format!("a password has {PASSWORD_MIN} or more characters")));
    }
    Ok(Password::new(word))
}

fn resent(words: &mut Words<'_>) -> Result<MessageRef, Failure> {
    let Some(word) = words.next() else {
        return Err(usage(format!("RESEND needs a message's id; {}", form(Verb::Resend))));
    };
    match number(word) {
        Some(number) => Err(usage(format!("a message's id begins with its letter; did you mean `RESEND m{number}`?"))),
        None => message_ref(word),
    }
}

fn send(words: &mut Words<'_>) -> Result<Line, Failure> {
    let before = *words;
    match words.next() {
        Some(word) if word.eq_ignore_ascii_case("group") => {
            let example = Verb::Send.example();
            Err(usage(format!("messages to groups are not possible yet; `{example}` writes to a person")))
        }
        Some(user) => {
            let to = name(user)?;
            if words.clone().next().is_some_and(|word| word.eq_ignore_ascii_case("file")) {
                let text = format!("files can't be sent yet; `SEND {to} -- FILE …` sends these words as a message");
                return Err(usage(text));
            }
            send_text(&to, words.text())
        }
        None => {
            *words = before;
            Err(usage(format!("SEND needs a name and a text; {}", form(Verb::Send))))
        }
    }
}

fn send_text(to: &Name, text: &str) -> Result<Line, Failure> {
    // Whatever would be taken for something else can be sent after this mark, which is removed once.
    let text = restore(text.strip_prefix("-- ").unwrap_or(text));
    match text.len() {
        0 => Err(usage(format!("there is no text; `SEND {to} text` sends one"))),
        1..=TEXT_MAX => Ok(Line::Core(Command::Send { to: to.clone(), text })),
        length => Err(usage(format!("a text has at most {TEXT_MAX} bytes, this one has {length}; send it in parts"))),
    }
}

fn list(words: &mut Words<'_>) -> Result<Command, Failure> {
    let what = match words.next().map(|word| restore(word).to_ascii_lowercase()).as_deref() {
        None => ListWhat::All,
        Some("users") => ListWhat::Users,
        Some("groups") => ListWhat::Groups,
        Some("mine") => ListWhat::Mine,
        Some(other) => return Err(usage(format!("LIST takes no {other:?}; {}", form(Verb::List)))),
    };
    Ok(Command::List { what })
}

fn history(words: &mut Words<'_>) -> Result<Command, Failure> {
    let (mut with, mut count) = (None, HISTORY_DEFAULT);
    let mut next = words.next();
    if let Some(word) = next.filter(|word| !word.bytes().all(|digit| digit.is_ascii_digit())) {
        with = Some(name(word.strip_prefix('@').unwrap_or(word))?);
        next = words.next();
    }
    if let Some(word) = next {
        count = word.parse().ok().filter(|count| (1..=HISTORY_MAX).contains(count)).ok_or_else(|| {
            usage(format!("{word:?} is no number of messages from 1 to {HISTORY_MAX}; {}", form(Verb::History)))
        })?;
    }
    Ok(Command::History { with, count })
}

#[cfg(test)]
mod tests;
