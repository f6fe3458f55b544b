//! The verbs, their older names, and what HELP says about them.

use std::fmt::Write as _;

/// A verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    SignUp,
    SignIn,
    SignOut,
    WhoAmI,
    Ping,
    Send,
    Resend,
    List,
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
    History,
    Unread,
    Read,
    Status,
    Help,
    Quit,
}

struct Entry {
    verb: Verb,
    word: &'static str,
    older: &'static [&'static str],
    syntax: &'static str,
    about: &'static str,
    /// Lines as a person would type them; each can be parsed.
    examples: &'static [&'static str],
}

const ENTRIES: [Entry; 24] = [
    Entry {
        verb: Verb::SignUp,
        word: "SIGNUP",
        older: &["register", "r"],
        syntax: "SIGNUP name [password] [INVITE code]",
        about: "makes an account; asks for a password not given",
        examples: &["SIGNUP bob", "SIGNUP bob correct-horse-1 INVITE 7f3k9q"],
    },
    Entry {
        verb: Verb::SignIn,
        word: "SIGNIN",
        older: &["login", "i"],
        syntax: "SIGNIN name [password]",
        about: "opens this profile and goes online",
        examples: &["SIGNIN bob"],
    },
    Entry {
        verb: Verb::SignOut,
        word: "SIGNOUT",
        older: &["logout"],
        syntax: "SIGNOUT",
        about: "ends the session and locks the profile",
        examples: &["SIGNOUT"],
    },
    Entry {
        verb: Verb::Passwd,
        word: "PASSWD",
        older: &[],
        syntax: "PASSWD [old new]",
        about: "changes the password; asks for what is not given",
        examples: &["PASSWD", "PASSWD correct-horse-1 battery-staple-2"],
    },
    Entry {
        verb: Verb::Recover,
        word: "RECOVER",
        older: &[],
        syntax: "RECOVER name [code new]",
        about: "opens an account by its recovery code",
        examples: &["RECOVER bob"],
    },
    Entry {
        verb: Verb::Devices,
        word: "DEVICES",
        older: &[],
        syntax: "DEVICES",
        about: "shows your devices, and when each was last seen",
        examples: &["DEVICES"],
    },
    Entry {
        verb: Verb::Revoke,
        word: "REVOKE",
        older: &[],
        syntax: "REVOKE device [password]",
        about: "removes a device at once, as one that was lost",
        examples: &["REVOKE 3f9a01c2"],
    },
    Entry {
        verb: Verb::Close,
        word: "CLOSE",
        older: &[],
        syntax: "CLOSE ACCOUNT [password]",
        about: "closes your account for good",
        examples: &["CLOSE ACCOUNT"],
    },
    Entry {
        verb: Verb::WhoAmI,
        word: "WHOAMI",
        older: &[],
        syntax: "WHOAMI",
        about: "shows your name, and the fingerprint others can compare",
        examples: &["WHOAMI"],
    },
    Entry {
        verb: Verb::Ping,
        word: "PING",
        older: &["hello", "hi"],
        syntax: "PING",
        about: "asks the directory whether it is there",
        examples: &["PING"],
    },
    Entry {
        verb: Verb::Send,
        word: "SEND",
        older: &["message", "msg"],
        syntax: "SEND name text",
        about: "sends a message, as @name text does; -- before any text",
        examples: &[
            "SEND bob see you at eight",
            "SEND bob -- FILE is the first word of this message",
            "@bob see you at eight",
        ],
    },
    Entry {
        verb: Verb::Resend,
        word: "RESEND",
        older: &[],
        syntax: "RESEND id",
        about: "sends a message once more that failed",
        examples: &["RESEND m12"],
    },
    Entry {
        verb: Verb::List,
        word: "LIST",
        older: &[],
        syntax: "LIST [USERS|GROUPS|MINE]",
        about: "shows who is online, and contacts",
        examples: &["LIST", "LIST USERS"],
    },
    Entry {
        verb: Verb::Contacts,
        word: "CONTACTS",
        older: &[],
        syntax: "CONTACTS",
        about: "shows the people you know, and the state of their keys",
        examples: &["CONTACTS"],
    },
    Entry {
        verb: Verb::Verify,
        word: "VERIFY",
        older: &[],
        syntax: "VERIFY name [code|QR]",
        about: "shows the safety number with somebody, or compares it",
        examples: &["VERIFY bob", "VERIFY bob QR", "VERIFY bob 01234 56789 …"],
    },
    Entry {
        verb: Verb::Trust,
        word: "TRUST",
        older: &[],
        syntax: "TRUST name code",
        about: "accepts somebody's new key once you compared numbers",
        examples: &["TRUST bob 01234 56789 …"],
    },
    Entry {
        verb: Verb::Block,
        word: "BLOCK",
        older: &[],
        syntax: "BLOCK name",
        about: "takes nothing from somebody any more, and sends nothing",
        examples: &["BLOCK bob"],
    },
    Entry {
        verb: Verb::Unblock,
        word: "UNBLOCK",
        older: &[],
        syntax: "UNBLOCK name",
        about: "takes and sends again",
        examples: &["UNBLOCK bob"],
    },
    Entry {
        verb: Verb::History,
        word: "HISTORY",
        older: &[],
        syntax: "HISTORY [name] [count]",
        about: "shows the latest messages, with one person or all",
        examples: &["HISTORY", "HISTORY bob 50"],
    },
    Entry {
        verb: Verb::Unread,
        word: "UNREAD",
        older: &[],
        syntax: "UNREAD",
        about: "shows who wrote what you have not read yet",
        examples: &["UNREAD"],
    },
    Entry {
        verb: Verb::Read,
        word: "READ",
        older: &[],
        syntax: "READ name",
        about: "marks what somebody wrote as read, on all your devices",
        examples: &["READ bob"],
    },
    Entry {
        verb: Verb::Status,
        word: "STATUS",
        older: &[],
        syntax: "STATUS",
        about: "shows the connection, and what waits to be delivered",
        examples: &["STATUS"],
    },
    Entry {
        verb: Verb::Help,
        word: "HELP",
        older: &[],
        syntax: "HELP [verb|topic]",
        about: "lists all, or explains one; also SCRIPTS, CODES, TEXT",
        examples: &["HELP", "HELP SEND", "HELP SCRIPTS"],
    },
    Entry {
        verb: Verb::Quit,
        word: "QUIT",
        older: &["exit"],
        syntax: "QUIT",
        about: "leaves; this device stays signed in",
        examples: &["QUIT"],
    },
];

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
