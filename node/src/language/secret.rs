//! Where in a line a secret stands: a function of the line alone, so that it can be masked while it is being typed.

use std::{borrow::Cow, ops::Range};

use super::{is_command, verbs::slips};

/// Verbs whose line holds secrets, and how many words stand before them.
const SECRETIVE: [(&str, usize); 8] = [
    ("signup", 2),
    ("register", 2),
    ("signin", 2),
    ("login", 2),
    ("passwd", 1),
    ("recover", 2),
    ("revoke", 2),
    ("close", 2),
];

/// The part of a line that nobody should see: a password, and whatever follows it up to an invite code.
#[must_use]
pub fn secret_span(line: &str) -> Option<Range<usize>> {
    let mut words = positions(line);
    let verb = words.next().and_then(|span| line.get(span))?.trim_start_matches('/');
    let before = words_before(verb)?;
    let first = words.nth(before - 1)?;
    if is_invite(line, &first) {
        return None;
    }
    let end = words.find(|span| is_invite(line, span)).map_or(line.len(), |invite| invite.start);
    let end = line.get(..end).map_or(end, |text| text.trim_end().len());
    Some(first.start..end.max(first.end))
}

/// How many words of a line stand before its secret. A misspelt verb counts as the one that was meant: what follows it is
/// a password all the same.
fn words_before(verb: &str) -> Option<usize> {
    if let Some((_, before)) = SECRETIVE.iter().find(|(word, _)| word.eq_ignore_ascii_case(verb)) {
        return Some(*before);
    }
    if is_command(verb) {
        return None;
    }
    let near = SECRETIVE.iter().filter_map(|(word, before)| Some((slips(verb, word)?, *before)));
    near.min().map(|(_, before)| before)
}

/// The line without its secret, for histories and logs.
#[must_use]
pub fn redact(line: &str) -> Cow<'_, str> {
    let parts = secret_span(line).and_then(|span| Some((line.get(..span.start)?, line.get(span.end..)?)));
    match parts {
        Some((before, after)) => Cow::Owned(format!("{before}…{after}")),
        None => Cow::Borrowed(line),
    }
}

fn is_invite(line: &str, span: &Range<usize>) -> bool {
    line.get(span.clone()).is_some_and(|word| word.eq_ignore_ascii_case("invite"))
}

/// The words of a line by their places.
fn positions(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let start = at + (rest.len() - rest.trim_start().len());
        let word = line.get(start..)?.split_whitespace().next()?;
        at = start + word.len();
        Some(start..at)
    })
}
