//! What the line being typed looks like: secrets as bullets, and the prompt in front of it.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustyline::{
    Helper,
    completion::Completer,
    highlight::{CmdKind, Highlighter},
    hint::Hinter,
    validate::Validator,
};
use unicode_width::UnicodeWidthStr as _;

/// Finds the part of a line that must not be seen: a password.
pub type SecretSpan = fn(&str) -> Option<Range<usize>>;

/// Where a line holds a secret, if it is a command.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    /// Finds it in a command.
    pub(super) find: SecretSpan,
    /// Whether bare lines go to somebody, so that only what begins with a slash is a command.
    pub(super) said: Arc<AtomicBool>,
}

impl Secrets {
    /// The part of a line that must not be seen. What people say to each other is never hidden, whatever it begins with.
    pub(super) fn span(&self, line: &str) -> Option<Range<usize>> {
        let is_command = line.starts_with('/') && !line.starts_with("//");
        (is_command || !self.said.load(Ordering::Relaxed)).then(|| (self.find)(line)).flatten()
    }
}

const BULLET: &str = "•";
/// Stands in the prompt for the state of the connection; both marks are one column wide.
pub(super) const MARK: char = '○';
const MARK_ONLINE: char = '●';
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// How a line is drawn.
pub(super) enum Masking {
    /// Commands and messages, in which secrets may occur.
    Line {
        /// Finds them.
        secrets: Secrets,
        /// Whether the directory is connected; changes while a line is being typed.
        online: Arc<AtomicBool>,
        /// Whether colours are wanted.
        color: bool,
    },
    /// A secret, all of it.
    Secret,
}

impl Highlighter for Masking {
    fn highlight<'l>(&self, line: &'l str, _cursor: usize) -> Cow<'l, str> {
        match self {
            Self::Secret => Cow::Owned(bullets(line)),
            Self::Line { secrets, .. } => {
                let parts = secrets
                    .span(line)
                    .and_then(|span| Some((line.get(..span.start)?, line.get(span.clone())?, line.get(span.end..)?)));
                match parts {
                    Some((before, hidden, after)) => Cow::Owned(format!("{before}{}{after}", bullets(hidden))),
                    None => Cow::Borrowed(line),
                }
            }
        }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        match self {
            Self::Line { online, color, .. } if default => {
                let online = online.load(Ordering::Relaxed);
                let mark = if online { MARK_ONLINE } else { MARK };
                let mark = match (color, online) {
                    (false, _) => mark.to_string(),
                    (true, true) => format!("{GREEN}{mark}{PLAIN}"),
                    (true, false) => format!("{DIM}{mark}{PLAIN}"),
                };
                Cow::Owned(prompt.replacen(MARK, &mark, 1))
            }
            _ => Cow::Borrowed(prompt),
        }
    }

    fn highlight_char(&self, _line: &str, _cursor: usize, kind: CmdKind) -> bool {
        // Anything else would let a single character through to the screen as it was typed.
        kind != CmdKind::MoveCursor
    }
}

impl Completer for Masking {
    type Candidate = String;
}

impl Hinter for Masking {
    type Hint = String;
}

impl Validator for Masking {}

impl Helper for Masking {}

fn bullets(text: &str) -> String {
    BULLET.repeat(text.width())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(online: bool, color: bool) -> Masking {
        let find: SecretSpan = |line| line.starts_with("signup ").then_some(9..line.len());
        Masking::Line { secrets: secrets(find, false), online: Arc::new(AtomicBool::new(online)), color }
    }

    fn secrets(find: SecretSpan, said: bool) -> Secrets {
        Secrets { find, said: Arc::new(AtomicBool::new(said)) }
    }

    #[test]
    fn what_is_said_to_somebody_is_never_hidden_and_a_command_with_its_slash_is() {
        let secrets = secrets(crate::language::secret_span, true);
        for said in ["close the door please", "register for the event", "//signin bob hunter2", "passwd is a command"] {
            assert_eq!(secrets.span(said), None, "{said}");
        }
        assert_eq!(secrets.span("/signin bob hunter2"), Some(12..19));
    }

    #[test]
    fn a_secret_is_drawn_as_bullets_of_its_own_width_and_nothing_else_is_changed() {
        assert_eq!(line(true, false).highlight("signup b hünter2漢", 0), "signup b •••••••••");
        assert_eq!(line(true, false).highlight("send b hunter2", 0), "send b hunter2");
        assert_eq!(Masking::Secret.highlight("send b", 0), "••••••");
    }

    #[test]
    fn a_misspelt_sign_in_is_masked_like_one() {
        let masking = Masking::Line {
            secrets: secrets(crate::language::secret_span, false),
            online: Arc::new(AtomicBool::new(true)),
            color: false,
        };
        assert_eq!(masking.highlight("sigin bob hunter2", 0), "sigin bob •••••••");
        assert_eq!(masking.highlight("sned bob hunter2", 0), "sned bob hunter2");
    }

    #[test]
    fn a_span_that_does_not_fit_the_line_hides_nothing_and_breaks_nothing() {
        assert_eq!(line(true, false).highlight("signup é", 0), "signup é");
        assert_eq!(line(true, false).highlight("signup ", 0), "signup ");
    }

    #[test]
    fn the_mark_in_the_prompt_follows_the_connection_and_keeps_its_width() {
        assert_eq!(line(false, false).highlight_prompt("alice ○ › ", true), "alice ○ › ");
        assert_eq!(line(true, false).highlight_prompt("alice ○ › ", true), "alice ● › ");
        assert_eq!(line(true, true).highlight_prompt("alice ○ › ", true), "alice \u{1b}[32m●\u{1b}[0m › ");
        assert_eq!("●".width(), "○".width());
    }

    #[test]
    fn every_typed_character_is_drawn_through_the_mask() {
        assert!(Masking::Secret.highlight_char("x", 1, CmdKind::Other));
        assert!(line(true, true).highlight_char("x", 1, CmdKind::Other));
    }
}
