//! Lines that look at what there is and what was said.

use node_core::command::{Command, Failure, ListWhat};
use protocol::{Name, Timestamp};

use super::{form, name, restore, usage, values::day, verbs::Verb, words::Words};

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

/// What helps whoever meant the words themselves.
const AS_WORDS: &str = "`SEARCH -- TEXT` looks for IN and SINCE as words";

/// Words to look for, then where and from when on; both are taken from the end of the line, once each.
pub(super) fn search(words: &mut Words<'_>) -> Result<Command, Failure> {
    let (mut with, mut since) = (None, None);
    let mut left: Vec<&str> = words.collect();
    if left.first() == Some(&"--") {
        // What would be taken for something else can be looked for after this mark.
        left.remove(0);
    } else {
        while let Some(clause) = Clause::last(&left)? {
            match clause {
                Clause::In(name) if with.is_none() => with = Some(name),
                Clause::Since(day) if since.is_none() => since = Some(day),
                _ => break,
            }
            left.truncate(left.len() - Clause::WORDS);
        }
    }
    let text = left.into_iter().map(restore).collect::<Vec<_>>().join(" ");
    if !text.contains(char::is_alphanumeric) {
        let what = if text.is_empty() { "words to look for" } else { "letters or digits to look for" };
        return Err(usage(format!("SEARCH needs {what}; {}", form(Verb::Search))));
    }
    Ok(Command::Search { text, with, since })
}

/// What stands behind the words that are looked for.
enum Clause {
    In(Name),
    Since(Timestamp),
}

impl Clause {
    /// The keyword and what it is followed by.
    const WORDS: usize = 2;

    /// The one that ends these words, if one does and leaves a word to look for.
    fn last(words: &[&str]) -> Result<Option<Self>, Failure> {
        let [_, .., keyword, value] = words else { return Ok(None) };
        if keyword.eq_ignore_ascii_case("in") {
            let target = name(value.strip_prefix(['@', '&']).unwrap_or(value));
            return target.map(|name| Some(Self::In(name))).map_err(|error| usage(format!("{error}; {AS_WORDS}")));
        }
        if keyword.eq_ignore_ascii_case("since") {
            let value = restore(value);
            let mistaken = || usage(format!("{value:?} is no date, which looks like 2026-01-31; {AS_WORDS}"));
            return day(&value).map(|day| Some(Self::Since(day))).ok_or_else(mistaken);
        }
        Ok(None)
    }
}
