//! Lines that send a text, and to whom.

use std::fmt;

use node_core::command::{Command, Failure, MessageRef};
use protocol::{Name, limits::TEXT_MAX};

use super::{Line, files, form, message_ref, name, restore, usage, values::number, verbs::Verb, words::Words};

/// Where a text goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a person.
    Person(Name),
    /// To everybody in a group.
    Group(Name),
}

impl fmt::Display for Target {
    /// As a line begins that sends there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) => write!(f, "@{name}"),
            Self::Group(name) => write!(f, "&{name}"),
        }
    }
}

impl Target {
    /// What a word that begins with a target's mark names; `None` if it has no mark.
    pub(super) fn marked(word: &str) -> Option<Result<Self, Failure>> {
        match word.split_at_checked(1)? {
            ("@", person) => Some(name(person).map(Self::Person)),
            ("&", group) => Some(name(group).map(Self::Group)),
            _ => None,
        }
    }

    /// The target that the next words name, after GROUP, with a mark, or as a person's bare name.
    fn read(first: &str, words: &mut Words<'_>) -> Result<Option<Self>, Failure> {
        if first.eq_ignore_ascii_case("group") {
            let group = words.next().map(|word| name(word.strip_prefix('&').unwrap_or(word))).transpose()?;
            return Ok(group.map(Self::Group));
        }
        let person = || name(first).map(Self::Person);
        Self::marked(first).unwrap_or_else(person).map(Some)
    }

    /// How a line begins that sends there, spelt out.
    pub(super) fn spelt(&self) -> String {
        match self {
            Self::Person(name) => format!("SEND {name}"),
            Self::Group(name) => format!("SEND GROUP {name}"),
        }
    }

    /// A text for it, exactly as it stands.
    ///
    /// # Errors
    /// A [`Failure`] of class `usage` if it is empty or too long.
    pub fn message(&self, text: String) -> Result<Command, Failure> {
        match text.len() {
            0 => Err(usage(format!("there is no text; `{} text` sends one", self.spelt()))),
            1..=TEXT_MAX => Ok(match self.clone() {
                Self::Person(to) => Command::Send { to, text },
                Self::Group(group) => Command::SendGroup { group, text },
            }),
            length => {
                Err(usage(format!("a text has at most {TEXT_MAX} bytes, this one has {length}; send it in parts")))
            }
        }
    }
}

pub(super) fn send(words: &mut Words<'_>) -> Result<Line, Failure> {
    let Some(first) = words.next() else {
        return Err(usage(format!("SEND needs a name and a text; {}", form(Verb::Send))));
    };
    let Some(target) = Target::read(first, words)? else {
        let example = "SEND GROUP team see you all at eight";
        return Err(usage(format!("SEND GROUP needs a group's name and a text; as in `{example}`")));
    };
    if words.clone().next().is_some_and(|word| word.eq_ignore_ascii_case("file")) {
        words.next();
        return files::send(&target, words);
    }
    text(&target, words.text())
}

/// What follows a target on its line.
pub(super) fn text(target: &Target, text: &str) -> Result<Line, Failure> {
    // Whatever would be taken for something else can be sent after this mark, which is removed once.
    target.message(restore(text.strip_prefix("-- ").unwrap_or(text))).map(Line::Core)
}

pub(super) fn to(words: &mut Words<'_>) -> Result<Option<Target>, Failure> {
    let Some(first) = words.next() else { return Ok(None) };
    match Target::read(first, words)? {
        Some(target) => Ok(Some(target)),
        None => Err(usage(format!("TO GROUP needs a group's name; {}", form(Verb::To)))),
    }
}

pub(super) fn resent(words: &mut Words<'_>) -> Result<MessageRef, Failure> {
    let Some(word) = words.next() else {
        return Err(usage(format!("RESEND needs a message's id; {}", form(Verb::Resend))));
    };
    match number(word) {
        Some(number) => Err(usage(format!("a message's id begins with its letter; did you mean `RESEND m{number}`?"))),
        None => message_ref(word),
    }
}
