//! From a script's text to its steps.

use std::{path::PathBuf, sync::Arc, time::Duration};

use node_core::command::{Failure, FailureCode, FileRef, MessageRef, MoneyRef};
use protocol::Name;

use super::{
    expect::{Filters, Kind},
    filters::{self, Expectation, expectation},
    variables::{has_variables, settable},
};
use crate::language::{self, Expanded, Line, NoDuration, Target, restore};

/// Steps of one script, included files and all: far beyond what a person writes.
pub(super) const STEPS_MAX: usize = 100_000;

/// First words of the lines that are the script's own.
pub(super) const DIRECTIVES: [&str; 8] = ["EXPECT", "WAIT", "SLEEP", "ASSERT", "LET", "INCLUDE", "TIMEOUT", "ECHO"];

/// What stands for the file of lines that came in by the arguments of the process.
pub(super) const ARGUMENTS: &str = "-c";

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
}

impl Place {
    /// What stands before a failure that happened there.
    pub(super) fn prefix(&self) -> String {
        format!("{}:{}: ", self.file, self.line)
    }
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
    AssertMembers {
        group: Name,
        count: u32,
    },
    AssertState {
        id: Object,
        state: String,
    },
    AssertBalance(String),
    Let {
        name: String,
        value: String,
    },
    Include(PathBuf),
    Timeout(Duration),
    Echo(String),
}

/// What has a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Message(MessageRef),
    Money(MoneyRef),
    File(FileRef),
    /// A full id, which may be any of theirs.
    Full([u8; 16]),
}

impl Object {
    fn read(word: &str) -> Result<Self, Failure> {
        match language::money_ref(word) {
            Some(MoneyRef::Full(id)) => Ok(Self::Full(id)),
            Some(money) => Ok(Self::Money(money)),
            None => match language::file_ref(word) {
                Some(file) => Ok(Self::File(file)),
                None => language::message_ref(&restore(word)).map(Self::Message),
            },
        }
    }
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
    check_ahead(trimmed)?;
    Ok(Some(step))
}

/// What can be said of a line before it runs. A line that must fail is read when it runs: bad grammar is a failure too.
fn check_ahead(text: &str) -> Result<(), Failure> {
    let has_variables = has_variables(text)?;
    if text.starts_with('!') {
        return Ok(());
    }
    if !has_variables {
        return body(&Expanded::literal(text)).map(|_| ());
    }
    let (verb, _) = split(text);
    if verb.contains('$') || is_directive(verb) { Ok(()) } else { language::check_verb(verb) }
}

/// Whether the line is one of the script's own, none of the command language.
fn is_directive(word: &str) -> bool {
    DIRECTIVES.iter().any(|directive| directive.eq_ignore_ascii_case(word))
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

pub(super) fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}

fn words(text: &str) -> Vec<&str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty()).collect()
}

pub(super) fn name(word: &str) -> Result<Name, Failure> {
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
        "EXPECT" => {
            let Expectation { not, kind, filters, within, bind } = expectation(rest)?;
            Ok(Body::Expect { not, kind, filters: Box::new(filters), within, bind })
        }
        "WAIT" => wait(&all),
        "SLEEP" => match all.as_slice() {
            [time] => Ok(Body::Sleep(duration(time)?)),
            _ => Err(usage("the form is: SLEEP duration; as in `SLEEP 500ms`")),
        },
        "ASSERT" => assert(&all),
        "LET" => {
            let (name, value) = split(rest);
            if name.is_empty() {
                return Err(usage("the form is: LET var value; as in `LET greeting good morning`"));
            }
            Ok(Body::Let { name: settable(&restore(name))?, value: restore(value) })
        }
        "INCLUDE" if !rest.trim().is_empty() => path(rest.trim()).map(Body::Include),
        "INCLUDE" => Err(usage("the form is: INCLUDE path; as in `INCLUDE accounts.txt`")),
        "TIMEOUT" => match all.as_slice() {
            [time] => Ok(Body::Timeout(duration(time)?)),
            _ => Err(usage("the form is: TIMEOUT duration; as in `TIMEOUT 10s`")),
        },
        "ECHO" => Ok(Body::Echo(restore(rest))),
        _ => match language::parse_expanded(line)? {
            Some(Line::To(target)) => Err(prompt_only(target.as_ref())),
            Some(command) => Ok(Body::Command(command)),
            None => Err(usage("there is no command on this line")),
        },
    }
}

/// What is said of TO in a script: there, each line says itself where it goes.
fn prompt_only(target: Option<&Target>) -> Failure {
    let example = target.map_or_else(|| "@bob hi".to_owned(), |target| format!("{target} hi"));
    usage(format!("TO is for the prompt alone; a line of a script says itself where it goes, as in `{example}`"))
}

/// A path: in quotes, or with `\\ ` for a blank; bare blanks are its own as well, since nothing follows it.
fn path(text: &str) -> Result<PathBuf, Failure> {
    let path = match text.strip_prefix('"') {
        None => text.replace("\\ ", " "),
        Some(quoted) => match quoted.split_once('"') {
            Some((path, "")) => path.to_owned(),
            _ => return Err(usage("a path in quotes ends with its quote, and nothing follows it")),
        },
    };
    Ok(PathBuf::from(restore(&path)))
}

fn must(rest: &str) -> Result<Body, Failure> {
    let (word, after) = split(rest);
    let (code, command) = match code(word) {
        Ok(code) if !rest.starts_with([' ', '\t']) => (Some(code), after),
        // `!refsued SEND bob hi` is a slip of the code; `!sned bob hi` is a command that fails.
        Err(failure) if !language::is_command(word) && language::is_command(split(after).0) => return Err(failure),
        _ => (None, rest),
    };
    let command = command.trim_start_matches([' ', '\t']);
    if command.is_empty() {
        return Err(usage("the form is: ![code] command; as in `!refused SEND alice hi`"));
    }
    let (first, _) = split(command);
    if command.starts_with('!') || is_directive(first) {
        return Err(usage("only commands can be required to fail; as in `!refused SEND alice hi`"));
    }
    Ok(Body::Must { code, command: Expanded::part(command) })
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
            Ok(Body::AssertState { id: Object::read(id)?, state: restore(state).to_lowercase() })
        }
        [what, group, count] if what.eq_ignore_ascii_case("MEMBERS") => {
            let count = restore(count);
            let read = count.parse().ok().filter(|_| count.bytes().all(|digit| digit.is_ascii_digit()));
            let count = read.ok_or_else(|| usage(format!("`{count}` is no number; as in `ASSERT MEMBERS team 3`")))?;
            Ok(Body::AssertMembers { group: name(group.strip_prefix('&').unwrap_or(group))?, count })
        }
        [what, amount] if what.eq_ignore_ascii_case("BALANCE") => Ok(Body::AssertBalance(filters::amount(amount)?)),
        _ => Err(usage(
            "the form is: ASSERT BALANCE amount, ASSERT ONLINE user, ASSERT MEMBERS group count, or ASSERT STATE id state",
        )),
    }
}

/// An integer and ms, s, m, h or d.
pub(super) fn duration(word: &str) -> Result<Duration, Failure> {
    let word = restore(word);
    language::duration(&word).map_err(|error| match error {
        NoDuration::Form => usage(format!("`{word}` is no duration; as in `500ms`, `10s` or `2m`")),
        NoDuration::TooLong => usage("that is longer than a year"),
    })
}
