//! Lines about groups, and about what is said in them.

use std::time::Duration;

use node_core::command::{Command, Failure};
use protocol::{Name, policy::Access};

use super::{NoDuration, duration, form, name, needed, restore, usage, verbs::Verb, words::Words};

/// A group's name, with or without its mark.
pub(super) fn group(words: &mut Words<'_>, verb: Verb) -> Result<Name, Failure> {
    let Some(word) = words.next() else {
        return Err(usage(format!("{} needs a group's name; {}", verb.word(), form(verb))));
    };
    if word.eq_ignore_ascii_case("group") {
        return Err(usage(format!("{} takes a group's name without GROUP before it; {}", verb.word(), form(verb))));
    }
    name(word.strip_prefix('&').unwrap_or(word))
}

/// A person's name or a group's, with or without its mark.
pub(super) fn target(words: &mut Words<'_>, verb: Verb) -> Result<Name, Failure> {
    match words.next() {
        Some(word) => name(word.strip_prefix(['@', '&']).unwrap_or(word)),
        None => Err(usage(format!("{} needs the name of a person or a group; {}", verb.word(), form(verb)))),
    }
}

pub(super) fn create(words: &mut Words<'_>) -> Result<Command, Failure> {
    let group = group(words, Verb::Create)?;
    let access = match words.next().map(restore) {
        None => Access::Open,
        Some(word) if word.eq_ignore_ascii_case("open") => Access::Open,
        Some(word) if word.eq_ignore_ascii_case("invite") => Access::Invite,
        Some(other) => {
            return Err(usage(format!("a group is OPEN or by INVITE, never {other:?}; {}", form(Verb::Create))));
        }
    };
    Ok(Command::CreateGroup { group, access })
}

/// A group and somebody whom the verb is about.
fn both(words: &mut Words<'_>, verb: Verb) -> Result<(Name, Name), Failure> {
    let group = group(words, verb)?;
    // Asked of a copy: whoever gave one name is told that there should be two.
    if words.clone().next().is_none() {
        return Err(usage(format!("{} needs a group and a person; {}", verb.word(), form(verb))));
    }
    Ok((group, needed(words, verb)?))
}

pub(super) fn invite(words: &mut Words<'_>) -> Result<Command, Failure> {
    both(words, Verb::Invite).map(|(group, user)| Command::Invite { group, user })
}

pub(super) fn kick(words: &mut Words<'_>) -> Result<Command, Failure> {
    both(words, Verb::Kick).map(|(group, user)| Command::Kick { group, user })
}

pub(super) fn promote(words: &mut Words<'_>) -> Result<Command, Failure> {
    both(words, Verb::Promote).map(|(group, user)| Command::Promote { group, user })
}

pub(super) fn demote(words: &mut Words<'_>) -> Result<Command, Failure> {
    both(words, Verb::Demote).map(|(group, user)| Command::Demote { group, user })
}

pub(super) fn mute(words: &mut Words<'_>) -> Result<Command, Failure> {
    let target = target(words, Verb::Mute)?;
    let Some(word) = words.next().map(restore) else { return Ok(Command::Mute { target, for_ms: None }) };
    match duration(&word) {
        Ok(time) => Ok(Command::Mute { target, for_ms: Some(milliseconds(time)) }),
        Err(NoDuration::TooLong) => {
            Err(usage(format!("that is longer than a year; `MUTE {target}` has no end at all")))
        }
        Err(NoDuration::Form) if word.eq_ignore_ascii_case("off") => {
            Err(usage(format!("what is muted is heard again by `UNMUTE {target}`")))
        }
        Err(NoDuration::Form) => {
            let text = format!("{word:?} is no duration, which is a number and s, m, h or d");
            Err(usage(format!("{text}; {}", form(Verb::Mute))))
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
