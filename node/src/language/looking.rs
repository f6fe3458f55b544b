//! Lines that look at what there is and what was said.

use node_core::command::{Command, Failure, ListWhat};

use super::{form, name, restore, usage, verbs::Verb, words::Words};

/// Messages that HISTORY shows unless told otherwise.
const HISTORY_DEFAULT: usize = 20;
/// Messages that HISTORY shows at most.
const HISTORY_MAX: usize = 10_000;

pub(super) fn list(words: &mut Words<'_>) -> Result<Command, Failure> {
    let what = match words.next().map(|word| restore(word).to_ascii_lowercase()).as_deref() {
        None => ListWhat::All,
        Some("users") => ListWhat::Users,
        Some("groups") => ListWhat::Groups,
        Some("mine") => ListWhat::Mine,
        Some(other) => return Err(usage(format!("LIST takes no {other:?}; {}", form(Verb::List)))),
    };
    Ok(Command::List { what })
}

pub(super) fn history(words: &mut Words<'_>) -> Result<Command, Failure> {
    let (mut with, mut count) = (None, HISTORY_DEFAULT);
    let mut next = words.next();
    if let Some(word) = next.filter(|word| !word.bytes().all(|digit| digit.is_ascii_digit())) {
        with = Some(name(word.strip_prefix(['@', '&']).unwrap_or(word))?);
        next = words.next();
    }
    if let Some(word) = next {
        count = word.parse().ok().filter(|count| (1..=HISTORY_MAX).contains(count)).ok_or_else(|| {
            usage(format!("{word:?} is no number of messages from 1 to {HISTORY_MAX}; {}", form(Verb::History)))
        })?;
    }
    Ok(Command::History { with, count })
}
