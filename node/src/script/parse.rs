//! From a script's text to its steps.

use std::{path::PathBuf, sync::Arc, time::Duration};

use node_core::command::{Failure, FailureCode, MessageRef};
use protocol::Name;
use regex::Regex;

use super::{
    expect::{Filters, Kind, Text},
    variables::has_variables,
};
use crate::language::{self, Expanded, Line, restore};

/// How long EXPECT waits unless told otherwise.
const EXPECT_DEFAULT: Duration = Duration::from_secs(10);
/// How long EXPECT NOT waits unless told otherwise.
const EXPECT_NOT_DEFAULT: Duration = Duration::from_secs(1);
/// Longest duration: a year. Longer ones are slips.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Steps of one script, included files and all: far beyond what a person writes.
pub(super) const STEPS_MAX: usize = 100_000;
/// Longest compiled regex, in bytes.
const REGEX_MAX: usize = 1024 * 1024;

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
}

/// One line that does something.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) place: Place,
    pub(super) actor: Option<String>,
    /// The line without its actor, variables and all.
    pub(super) text: String,
}

/// What a step is.
#[derive(Debug)]
pub(super) enum Body {
    Command(Line),
    /// The command must fail, with this code if one is named.
    Must {
        code: Option<FailureCode>,
        command: Expanded,
    },
    Expect {
        not: bool,
        kind: Kind,
        filters: Box<Filters>,
        within: Duration,
        bind: Option<String>,
    },
    WaitOnline {
        user: Name,
        online: bool,
        within: Option<Duration>,
    },
    WaitIdle {
        within: Option<Duration>,
    },
    Sleep(Duration),
    AssertOnline(Name),
    AssertState {
        id: MessageRef,
        state: String,
    },
    Let {
        name: String,
        value: String,
    },
    Include(PathBuf),
    Timeout(Duration),
    Echo(String),
}

impl Body {
    /// Whether the step needs no actor.
    pub(super) fn is_global(&self) -> bool {
        matches!(self, Self::Let { .. } | Self::Include(_) | Self::Timeout(_) | Self::Sleep(_) | Self::Echo(_))
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Usage, message)
}

/// Cuts a script into steps, and reads every line that can be read before it runs.
///
/// # Errors
/// The first line that is not of the language, with its place.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Step>, (Place, Failure)> {
    let file: Arc<str> = file.into();
    let mut steps = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.split('\n')) {
        let place = Place { file: Arc::clone(&file), line: number };
        match step(&place, line.strip_suffix('\r').unwrap_or(line)) {
            Ok(step) => steps.extend(step),
            Err(failure) => return Err((place, failure)),
        }
        if steps.len() > STEPS_MAX {
            return Err((place, usage(format!("a script has at most {STEPS_MAX} steps"))));
        }
    }
    Ok(steps)
}

fn step(place: &Place, line: &str) -> Result<Option<Step>, Failure> {
    if line.len() > language::LINE_MAX {
        return Err(usage(format!("a line has at most {} bytes; split it", language::LINE_MAX)));
    }
    let (actor, text) = actor(line);
    let trimmed = text.trim_start_matches([' ', '\t']);
    if trimmed.is_empty() || (actor.is_none() && trimmed.starts_with('#')) {
        return Ok(None);
    }
    let step = Step { place: place.clone(), actor: actor.map(str::to_owned), text: trimmed.to_owned() };
    if !has_variables(trimmed)? {
        body(&Expanded::literal(trimmed))?;
    }
    Ok(Some(step))
}

/// The actor is exactly `NAME>` at the line's start.
fn actor(line: &str) -> (Option<&str>, &str) {
    match line.split_once('>') {
        // Its name is a folder's too: it begins with a letter or a digit, so that it is never `.` or `..`.
        Some((name, rest))
            if name.starts_with(char::is_alphanumeric)
                && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) =>
        {
            (Some(name), rest)
        }
        _ => (None, line),
    }
}

/// Where a step holds a password: behind the `!code` of a command that must fail, too.
pub(super) fn secret_span(text: &str) -> Option<std::ops::Range<usize>> {
    let command = match text.strip_prefix('!') {
        None => text,
        Some(rest) => match split(rest) {
            (word, command) if !rest.starts_with([' ', '\t']) && code(word).is_ok() => command,
            _ => rest,
        },
    };
    let offset = text.len() - command.len();
    language::secret_span(command).map(|span| span.start + offset..span.end + offset)
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}

fn words(text: &str) -> Vec<&str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty()).collect()
}

fn name(word: &str) -> Result<Name, Failure> {
    let word = restore(word);
    Name::parse(&word).map_err(|error| usage(format!("`{word}` is no name: {error}")))
}

/// Reads a step whose variables are expanded.
pub(super) fn body(line: &Expanded) -> Result<Body, Failure> {
    let text = line.as_str();
    if let Some(rest) = text.strip_prefix('!') {
        return must(rest);
    }
    let (first, rest) = split(text);
    let all = words(rest);
    match first.to_uppercase().as_str() {
        "EXPECT" => expect(rest),
        "WAIT" => wait(&all),
        "SLEEP" => match all.as_slice() {
            [time] => Ok(Body::Sleep(duration(time)?)),
            _ => Err(usage("the form is: SLEEP duration; as in `SLEEP 500ms`")),
        },
        "ASSERT" => assert(&all),
        "LET" => {
            let (name, value) = split(rest);
            if name.is_empty() {
                return Err(usage("the form is: LET var value"));
            }
            Ok(Body::Let { name: restore(name), value: restore(value) })
        }
        "INCLUDE" if !rest.trim().is_empty() => Ok(Body::Include(PathBuf::from(restore(rest.trim())))),
        "INCLUDE" => Err(usage("the form is: INCLUDE path")),
        "TIMEOUT" => match all.as_slice() {
            [time] => Ok(Body::Timeout(duration(time)?)),
            _ => Err(usage("the form is: TIMEOUT duration; as in `TIMEOUT 10s`")),
        },
        "ECHO" => Ok(Body::Echo(restore(rest))),
        _ => match language::parse_expanded(line)? {
            Some(command) => Ok(Body::Command(command)),
            None => Err(usage("there is no command on this line")),
        },
    }
}

fn must(rest: &str) -> Result<Body, Failure> {
    let (code, command) = match rest.chars().next() {
        Some(' ' | '\t') => (None, rest),
        _ => {
            let (word, command) = split(rest);
            match code(word) {
                Ok(code) => (Some(code), command),
                // `!SEND bob hi` means `! SEND bob hi`; a word that is neither code nor verb is a slip of the code.
                Err(_) if language::parse(rest).is_ok() => (None, rest),
                Err(failure) => return Err(failure),
            }
        }
    };
    let command = command.trim_start_matches([' ', '\t']);
    if command.is_empty() {
        return Err(usage("the form is: ![code] command; as in `!refused SEND alice hi`"));
    }
    let mut expanded = Expanded::empty();
    expanded.push_literal(command);
    Ok(Body::Must { code, command: expanded })
}

fn code(word: &str) -> Result<FailureCode, Failure> {
    const CODES: [FailureCode; 9] = [
        FailureCode::Other,
        FailureCode::Usage,
        FailureCode::Unreachable,
        FailureCode::Auth,
        FailureCode::Trust,
        FailureCode::Conflict,
        FailureCode::Refused,
        FailureCode::Unknown,
        FailureCode::Timeout,
    ];
    let found =
        CODES.into_iter().find(|code| code.name().eq_ignore_ascii_case(word) || (*code as u8).to_string() == word);
    found.ok_or_else(|| usage(format!("`{word}` is no code; usage, auth, conflict, refused and the like are")))
}

fn expect(rest: &str) -> Result<Body, Failure> {
    let (first, after) = split(rest);
    let not = first.eq_ignore_ascii_case("NOT");
    let (kind, mut rest) = if not { split(after) } else { (first, after) };
    let kind =
        Kind::read(kind).ok_or_else(|| usage("the form is: EXPECT [NOT] event; MESSAGE, RECEIPT and the like"))?;
    let kind = kind.map_err(usage)?;
    let mut filters = Filters::default();
    let (mut within, mut bind) = (None, None);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            break;
        }
        if rest.starts_with('"') || rest.starts_with("~/") {
            let (text, after) = if rest.starts_with('"') { quoted(rest)? } else { pattern(rest)? };
            once(&mut filters.text, text, "a text")?;
            rest = after;
            continue;
        }
        let (keyword, after) = split(rest);
        let (value, after) = split(after);
        if value.is_empty() {
            return Err(usage(format!("something is missing after {keyword}")));
        }
        match keyword.to_uppercase().as_str() {
            "FROM" => once(&mut filters.from, name(value)?, "FROM")?,
            "TO" => once(&mut filters.to, name(value)?, "TO")?,
            "IN" => once(&mut filters.in_group, name(value)?, "IN")?,
            "STATE" => once(&mut filters.state, value.to_lowercase(), "STATE")?,
            "ID" => once(&mut filters.id, restore(value).to_lowercase(), "ID")?,
            "AS" => once(&mut bind, restore(value), "AS")?,
            "WITHIN" => once(&mut within, duration(value)?, "WITHIN")?,
            "AMOUNT" => return Err(usage("no event of this version has an amount")),
            _ => {
                return Err(usage(format!(
                    "`{keyword}` is no filter; FROM, TO, STATE, ID, \"text\", ~/regex/ and AS are"
                )));
            }
        }
        rest = after;
    }
    let within = within.unwrap_or(if not { EXPECT_NOT_DEFAULT } else { EXPECT_DEFAULT });
    Ok(Body::Expect { not, kind, filters: Box::new(filters), within, bind })
}

fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), Failure> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(usage(format!("{what} stands twice; each filter stands once"))),
    }
}

/// A text in quotes, with `\" \\ \n \t \u{…}`.
fn quoted(rest: &str) -> Result<(Text, &str), Failure> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Text::Whole(restore(&text)), &rest[at + 1..])),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some('u') => {
                    let digits: String = characters.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    let number = digits.strip_prefix('{').and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    let character = number.and_then(char::from_u32);
                    text.push(character.ok_or_else(|| usage("`\\u` needs the form \\u{202e}"))?);
                }
                _ => return Err(usage("in quotes, \\\" \\\\ \\n \\t and \\u{…} are the escapes")),
            },
            character => text.push(character),
        }
    }
    Err(usage("a text in quotes does not end; close it with \""))
}

fn pattern(rest: &str) -> Result<(Text, &str), Failure> {
    let mut source = String::new();
    let mut characters = rest.char_indices().skip(2);
    while let Some((at, character)) = characters.next() {
        match character {
            '/' => {
                let regex = regex::RegexBuilder::new(&restore(&source)).size_limit(REGEX_MAX).build();
                let regex: Regex = regex.map_err(|error| usage(format!("the regex does not hold: {error}")))?;
                return Ok((Text::Matching(regex), &rest[at + 1..]));
            }
            '\\' => match characters.next() {
                Some((_, '/')) => source.push('/'),
                Some((_, escaped)) => source.extend(['\\', escaped]),
                None => break,
            },
            character => source.push(character),
        }
    }
    Err(usage("a regex does not end; close it with /"))
}

fn within(words: &[&str]) -> Result<Option<Duration>, Failure> {
    match words {
        [] => Ok(None),
        [keyword, time] if keyword.eq_ignore_ascii_case("WITHIN") => duration(time).map(Some),
        _ => Err(usage("only WITHIN duration may follow")),
    }
}

fn wait(all: &[&str]) -> Result<Body, Failure> {
    match all {
        [what, rest @ ..] if what.eq_ignore_ascii_case("IDLE") => Ok(Body::WaitIdle { within: within(rest)? }),
        [what, user, rest @ ..] if what.eq_ignore_ascii_case("ONLINE") || what.eq_ignore_ascii_case("OFFLINE") => {
            let online = what.eq_ignore_ascii_case("ONLINE");
            Ok(Body::WaitOnline { user: name(user)?, online, within: within(rest)? })
        }
        _ => Err(usage("the form is: WAIT ONLINE user, WAIT OFFLINE user or WAIT IDLE, and WITHIN duration")),
    }
}

fn assert(all: &[&str]) -> Result<Body, Failure> {
    match all {
        [what, user] if what.eq_ignore_ascii_case("ONLINE") => Ok(Body::AssertOnline(name(user)?)),
        [what, id, state] if what.eq_ignore_ascii_case("STATE") => {
            let id = language::message_ref(&restore(id))?;
            Ok(Body::AssertState { id, state: state.to_lowercase() })
        }
        [what, ..] if what.eq_ignore_ascii_case("BALANCE") || what.eq_ignore_ascii_case("MEMBERS") => {
            Err(usage(format!("{} is not in this version; ASSERT ONLINE and ASSERT STATE are", what.to_uppercase())))
        }
        _ => Err(usage("the form is: ASSERT ONLINE user, or ASSERT STATE id state")),
    }
}

/// An integer and ms, s, m, h or d.
fn duration(word: &str) -> Result<Duration, Failure> {
    let word = restore(word);
    let bad = || usage(format!("`{word}` is no duration; as in `500ms`, `10s` or `2m`"));
    let digits = word.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = word.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    let duration = number.checked_mul(ms).map(Duration::from_millis).ok_or_else(bad)?;
    if duration > DURATION_MAX { Err(usage("that is longer than a year")) } else { Ok(duration) }
}
