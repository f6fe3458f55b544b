//! Lines about files.

use node_core::{
    command::{Command, Failure, FileCommand, FileRef, Recipient},
    event::ShortId,
};
use protocol::{
    FileId,
    limits::{CAPTION_MAX, FILE_REASON_MAX},
};

use super::{Line, Target, money, name, restore, usage, values::number, words::Words};

/// What the key of SET begins with that says what is taken unasked; a name follows.
pub(super) const UNASKED: &str = "accept.";
/// What is set where nothing is taken unasked.
const NONE: &str = "none";
/// Letters behind a size, and what each multiplies it by.
const UNITS: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

/// What follows SEND, a target and FILE: a path, and a caption behind ` -- `.
pub(super) fn send(target: &Target, words: &mut Words<'_>) -> Result<Line, Failure> {
    let (path, rest) = path(words.text(), &format!("{} FILE PATH", target.spelt()))?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let caption = match rest.strip_prefix("--").filter(|caption| caption.is_empty() || caption.starts_with(' ')) {
        _ if rest.trim_end().is_empty() => "",
        Some(caption) => caption.strip_prefix(' ').unwrap_or(caption),
        None => {
            let text = format!(
                "a path with blanks stands in quotes, and a caption behind --; as in `{} FILE \"my cat.png\" -- look`",
                target.spelt()
            );
            return Err(usage(text));
        }
    };
    let caption = restore(caption);
    if caption.len() > CAPTION_MAX {
        let text = format!("a caption has at most {CAPTION_MAX} bytes, this one has {}; shorten it", caption.len());
        return Err(usage(text));
    }
    let to = match target {
        Target::Person(name) => Recipient::Person(name.clone()),
        Target::Group(name) => Recipient::Group(name.clone()),
    };
    Ok(Line::Core(Command::File(FileCommand::Send { to, path, caption })))
}

/// A path, and what is behind it: in quotes, or with `\ ` for a blank. What stands for a variable's blanks is none.
fn path<'a>(text: &'a str, usual: &str) -> Result<(String, &'a str), Failure> {
    let text = text.trim_start_matches([' ', '\t']);
    let (quoted, inner) = match text.strip_prefix('"') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let mut path = String::new();
    let mut characters = inner.char_indices();
    let mut end = inner.len();
    let mut closed = !quoted;
    while let Some((at, c)) = characters.next() {
        match c {
            '"' if quoted => {
                (end, closed) = (at + 1, true);
                break;
            }
            ' ' | '\t' | '\n' if !quoted => {
                end = at;
                break;
            }
            '\\' => match inner.get(at + 1..).and_then(|rest| rest.chars().next()) {
                Some(escaped @ (' ' | '"' | '\\')) => {
                    characters.next();
                    path.push(escaped);
                }
                _ => path.push(c),
            },
            c => path.push(c),
        }
    }
    if !closed {
        return Err(usage("a path in quotes ends with its quote; close it with \""));
    }
    if path.is_empty() {
        return Err(usage(format!("there is no path; the form is `{usual}`")));
    }
    Ok((restore(&path), inner.get(end..).unwrap_or_default()))
}

/// The id of a file, short or in full; of nothing else: `None`.
pub(crate) fn file_ref(word: &str) -> Option<FileRef> {
    let word = restore(word);
    if let Ok(full) = word.parse::<FileId>() {
        return Some(FileRef::Full(full));
    }
    word.strip_prefix(['f', 'F']).and_then(number).map(|number| FileRef::Short(ShortId::File(number)))
}

/// The id that comes next, if it can only be a file's.
fn next_file(words: &mut Words<'_>) -> Option<FileRef> {
    let id = words.clone().next().and_then(file_ref).filter(|id| matches!(id, FileRef::Short(_)))?;
    words.next();
    Some(id)
}

/// ACCEPT: a file, or a request.
pub(super) fn accept(words: &mut Words<'_>) -> Result<Command, Failure> {
    let mut ahead = *words;
    let full = ahead.next().and_then(file_ref).filter(|_| ahead.next().is_some_and(is_as));
    let id = match next_file(words) {
        Some(id) => id,
        // Only a file goes somewhere.
        None => match full {
            Some(id) => {
                words.next();
                id
            }
            None => return money::accept(words),
        },
    };
    let target = match words.clone().next() {
        Some(word) if is_as(word) => {
            words.next();
            let (target, rest) = path(words.text(), "ACCEPT f3 AS PATH")?;
            if !rest.trim().is_empty() {
                return Err(usage("a path with blanks stands in quotes; as in `ACCEPT f3 AS \"my cat.png\"`"));
            }
            Some(target)
        }
        _ => None,
    };
    Ok(Command::File(FileCommand::Accept { id, target }))
}

fn is_as(word: &str) -> bool {
    word.eq_ignore_ascii_case("as")
}

/// DECLINE: a file, or a request.
pub(super) fn decline(words: &mut Words<'_>) -> Result<Command, Failure> {
    let Some(id) = next_file(words) else { return money::decline(words) };
    let reason = restore(words.text());
    if reason.len() > FILE_REASON_MAX {
        let text = format!("a reason has at most {FILE_REASON_MAX} bytes, this one has {}; shorten it", reason.len());
        return Err(usage(text));
    }
    Ok(Command::File(FileCommand::Decline { id, reason }))
}

/// CANCEL: a file, or a request.
pub(super) fn cancel(words: &mut Words<'_>) -> Result<Command, Failure> {
    match next_file(words) {
        Some(id) => Ok(Command::File(FileCommand::Cancel { id })),
        None => money::cancel(words),
    }
}

/// SET of what is taken unasked; `None` for another key.
pub(super) fn set(words: &mut Words<'_>) -> Option<Result<Command, Failure>> {
    let key = words.clone().next().map(restore)?;
    let (head, from) = key.split_at_checked(UNASKED.len()).filter(|(head, _)| head.eq_ignore_ascii_case(UNASKED))?;
    words.next();
    let shown = format!("{}{from}", head.to_lowercase());
    let value = words.next().map(restore);
    Some(unasked(&shown, from, value.as_deref()))
}

fn unasked(key: &str, from: &str, value: Option<&str>) -> Result<Command, Failure> {
    let from = name(from)?;
    let bytes = match value {
        None => return Err(usage(format!("{key} needs a size or {NONE}; as in `SET {key} 10M`"))),
        Some(value) if value.eq_ignore_ascii_case(NONE) => None,
        Some(value) => {
            let wrong = || {
                let text = format!("{value:?} is no size: digits, and K, M, G or T behind them; as in `SET {key} 10M`");
                usage(text)
            };
            Some(size(value).ok_or_else(wrong)?)
        }
    };
    Ok(Command::File(FileCommand::SetUnasked { from, bytes }))
}

/// Bytes: digits, and a letter that multiplies them.
fn size(word: &str) -> Option<u64> {
    let unit = word
        .chars()
        .last()
        .and_then(|last| UNITS.iter().find(|(letter, _)| letter.eq_ignore_ascii_case(&last)).map(|(_, shift)| *shift));
    let digits = if unit.is_some() { word.get(..word.len() - 1)? } else { word };
    number(digits)?.checked_mul(1 << unit.unwrap_or_default())
}
