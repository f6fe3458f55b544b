//! The verbs, their older names, and what HELP says about them.

mod entries;

use std::fmt::Write as _;

use self::entries::{ENTRIES, Entry};

/// A verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    SignUp,
    SignIn,
    SignOut,
    WhoAmI,
    Ping,
    Send,
    To,
    Resend,
    List,
    Create,
    Join,
    Leave,
    Invite,
    Kick,
    Promote,
    Demote,
    Members,
    Contacts,
    Devices,
    Revoke,
    Passwd,
    Recover,
    Close,
    Verify,
    Trust,
    Block,
    Unblock,
    Mute,
    Unmute,
    History,
    Search,
    Unread,
    Read,
    Status,
    Pay,
    Request,
    Files,
    Accept,
    Decline,
    Cancel,
    Refund,
    Requests,
    Balance,
    Payments,
    Set,
    Help,
    Quit,
}

/// Width of the column that the syntaxes stand in.
const SYNTAX_COLUMN: usize = 22;
/// What stands before an example.
pub(super) const EXAMPLE: &str = "    as in  ";
/// Most slips of the finger that are still taken for a verb.
const SLIPS_MAX: usize = 2;

impl Verb {
    /// By its word or an older name, in any case.
    pub(super) fn find(word: &str) -> Option<Self> {
        let is_meant = |entry: &&Entry| {
            entry.word.eq_ignore_ascii_case(word) || entry.older.iter().any(|older| older.eq_ignore_ascii_case(word))
        };
        ENTRIES.iter().find(is_meant).map(|entry| entry.verb)
    }

    fn entry(self) -> &'static Entry {
        #[expect(clippy::expect_used, reason = "each verb has its entry, which a test counts")]
        ENTRIES.iter().find(|entry| entry.verb == self).expect("an entry")
    }

    pub(super) fn word(self) -> &'static str {
        self.entry().word
    }

    pub(super) fn syntax(self) -> &'static str {
        self.entry().syntax
    }

    /// A line that is right.
    pub(super) fn example(self) -> &'static str {
        self.examples().first().copied().unwrap_or(self.entry().word)
    }

    pub(super) fn examples(self) -> &'static [&'static str] {
        self.entry().examples
    }

    pub(super) fn help(self) -> String {
        let entry = self.entry();
        let mut text = format!("{}\n    {}", entry.syntax, entry.about);
        if !entry.older.is_empty() {
            let _ = write!(text, " (also: {})", entry.older.join(", "));
        }
        for example in entry.examples {
            let _ = write!(text, "\n{EXAMPLE}{example}");
        }
        text
    }
}

/// Every verb.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Verb> {
    ENTRIES.iter().map(|entry| entry.verb)
}

/// All verbs. A syntax too long for its column has a line of its own, so that nothing is wider than a terminal.
pub(super) fn overview() -> String {
    let entry = |entry: &Entry| {
        if entry.syntax.len() > SYNTAX_COLUMN {
            format!("{}\n{:SYNTAX_COLUMN$}  {}", entry.syntax, "", entry.about)
        } else {
            format!("{:SYNTAX_COLUMN$}  {}", entry.syntax, entry.about)
        }
    };
    ENTRIES.iter().map(entry).collect::<Vec<_>>().join("\n")
}

/// The verb that was probably meant.
pub(super) fn nearest(word: &str) -> Option<Verb> {
    let words = |entry: &'static Entry| {
        [entry.word].into_iter().chain(entry.older.iter().copied()).map(move |word| (word, entry.verb))
    };
    let near = ENTRIES.iter().flat_map(words).filter_map(|(known, verb)| Some((slips(word, known)?, verb)));
    near.min_by_key(|(slips, _)| *slips).map(|(_, verb)| verb)
}

/// How many slips of the finger make one word of another; `None` if they are too many to be slips.
pub(super) fn slips(word: &str, known: &str) -> Option<usize> {
    let distance = distance(&word.to_ascii_lowercase(), &known.to_ascii_lowercase());
    // A short word is near to everything.
    let shorter = word.chars().count().min(known.len());
    (distance <= SLIPS_MAX && distance + 1 < shorter).then_some(distance)
}

/// Letters to be changed, added or left out (Levenshtein); letters beyond a verb's length don't matter.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().take(other.len() + SLIPS_MAX + 1).enumerate() {
        let mut diagonal = row.first().copied().unwrap_or_default();
        let mut left = line + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, candidate) in row.iter_mut().skip(1).zip(&other) {
            let changed = diagonal + usize::from(letter != *candidate);
            diagonal = *above;
            left = changed.min(*above + 1).min(left + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
