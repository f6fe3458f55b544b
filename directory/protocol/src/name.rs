//! Names of people and groups: one namespace, one canonical form.
//!
//! A name is a PRECIS username (RFC 8265, case-mapped profile) of 2–32 characters that starts with a letter and goes
//! on with letters, digits, `-`, `_` and `.`; it never has the form of an id (`r7`) and is never a keyword of the
//! command language. Two spellings that PRECIS maps alike are the same name. Names that merely *look* alike are the
//! directory's to refuse, because only it knows the others.

use std::fmt;

use precis_profiles::{UsernameCaseMapped, precis_core::profile::PrecisFastInvocation};
use serde::{Deserialize, Deserializer, Serialize};

/// Fewest characters of a name.
pub const NAME_CHARACTERS_MIN: usize = 2;
/// Most characters of a name.
pub const NAME_CHARACTERS_MAX: usize = 32;
/// Most bytes of a name: four for each character.
pub const NAME_BYTES_MAX: usize = NAME_CHARACTERS_MAX * 4;

/// Every keyword of the command language, its older names, and the words that scripts use: none can be a name.
pub const RESERVED: &[&str] = &[
    "accept",
    "admin",
    "all",
    "as",
    "assert",
    "balance",
    "block",
    "cancel",
    "clear",
    "close",
    "contacts",
    "create",
    "decline",
    "delete",
    "demote",
    "devices",
    "directory",
    "echo",
    "everyone",
    "exit",
    "expect",
    "export",
    "file",
    "files",
    "group",
    "groups",
    "hello",
    "help",
    "hi",
    "history",
    "in",
    "include",
    "invite",
    "issuance",
    "join",
    "kick",
    "leave",
    "let",
    "list",
    "login",
    "logout",
    "me",
    "members",
    "message",
    "mine",
    "msg",
    "mute",
    "open",
    "passwd",
    "pay",
    "payments",
    "ping",
    "promote",
    "qr",
    "quit",
    "read",
    "recover",
    "refund",
    "register",
    "reply",
    "request",
    "requests",
    "resend",
    "revoke",
    "search",
    "send",
    "set",
    "signin",
    "signout",
    "signup",
    "since",
    "sleep",
    "status",
    "system",
    "timeout",
    "to",
    "trust",
    "unblock",
    "unmute",
    "unread",
    "user",
    "users",
    "verify",
    "wait",
    "whoami",
    "why",
];

/// Why a text is not a name. Each says what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Fewer than two or more than thirty-two characters.
    #[error("a name has {NAME_CHARACTERS_MIN} to {NAME_CHARACTERS_MAX} characters")]
    Length,
    /// The first character is not a letter.
    #[error("a name starts with a letter")]
    FirstCharacter,
    /// A character that names can't have.
    #[error("a name has only letters, digits, '-', '_' and '.'")]
    Character,
    /// The form of an id, as `m12`.
    #[error("a name can't look like an id; add a letter")]
    LooksLikeId,
    /// A word of the command language.
    #[error("that word is reserved; choose another name")]
    Reserved,
}

/// A name in its canonical form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

impl Name {
    /// Brings a text into the canonical form, or says why it is no name.
    ///
    /// # Errors
    /// [`NameError`], the first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::Length);
        }
        let canonical = <UsernameCaseMapped as PrecisFastInvocation>::enforce(text)
            .map_err(|_| if text.is_empty() { NameError::Length } else { NameError::Character })?;
        let count = canonical.chars().count();
        if !(NAME_CHARACTERS_MIN..=NAME_CHARACTERS_MAX).contains(&count) {
            return Err(NameError::Length);
        }
        let mut characters = canonical.chars();
        if !characters.next().is_some_and(char::is_alphabetic) {
            return Err(NameError::FirstCharacter);
        }
        if !characters.clone().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
            return Err(NameError::Character);
        }
        if characters.all(|c| c.is_ascii_digit()) && canonical.starts_with(['m', 'f', 'r', 'p']) {
            return Err(NameError::LooksLikeId);
        }
        if RESERVED.binary_search(&canonical.as_ref()).is_ok() {
            return Err(NameError::Reserved);
        }
        // Canonical means that a second pass changes nothing; PRECIS asks implementations to insist on it.
        let again = <UsernameCaseMapped as PrecisFastInvocation>::enforce(canonical.as_ref())
            .map_err(|_| NameError::Character)?;
        if again != canonical {
            return Err(NameError::Character);
        }
        Ok(Self(canonical.into_owned()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    /// Accepts the canonical form only, so that a name has one encoding and a foreign one can't reach a terminal.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = crate::BoundedText::<NAME_BYTES_MAX>::deserialize(deserializer)?;
        let name = Self::parse(&text).map_err(serde::de::Error::custom)?;
        if name.as_str() == &*text { Ok(name) } else { Err(serde::de::Error::custom("a name not in canonical form")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_so_that_they_are_found() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn names_are_folded_to_one_form() {
        let rows = [
            ("Alice", "alice"),
            ("ＢＯＢ", "bob"),
            ("Zoë", "zoë"),
            ("a1", "a1"),
            ("o.k-ay_", "o.k-ay_"),
            ("m1x", "m1x"),
        ];
        for (text, canonical) in rows {
            assert_eq!(Name::parse(text).map(|name| name.as_str().to_owned()), Ok(canonical.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        let long = "a".repeat(33);
        let rows = [
            ("", NameError::Length),
            ("a", NameError::Length),
            (long.as_str(), NameError::Length),
            ("1abc", NameError::FirstCharacter),
            ("-abc", NameError::FirstCharacter),
            ("a b", NameError::Character),
            ("a/b", NameError::Character),
            ("a\u{202e}b", NameError::Character),
            ("a\u{200b}b", NameError::Character),
            ("ali\u{1b}ce", NameError::Character),
            ("m12", NameError::LooksLikeId),
            ("R7", NameError::LooksLikeId),
            ("SEND", NameError::Reserved),
            ("group", NameError::Reserved),
        ];
        for (text, error) in rows {
            assert_eq!(Name::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn only_the_canonical_form_crosses_the_wire() {
        let decode = |text: &str| crate::frame::decode_body::<Name>(&postcard::to_allocvec(text).unwrap(), 100);
        assert_eq!(decode("alice"), Ok(Name::parse("alice").unwrap()));
        assert!(decode("Alice").is_err());
        assert!(decode("a\u{1b}b").is_err());
    }
}
