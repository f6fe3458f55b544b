//! Variables of a script: `${VAR}`, `${VAR:-default}`, and `$${` for `${` itself.

use std::collections::{BTreeMap, BTreeSet};

use node_core::command::{Failure, FailureCode};

use crate::language::Expanded;

/// Longest value: as long as a line.
const VALUE_MAX: usize = crate::language::LINE_MAX;

/// What names stand for: LET and AS first, then `--set`, then the environment.
#[derive(Debug, Default)]
pub(super) struct Variables {
    own: BTreeMap<String, String>,
    given: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    /// Own ones whose values came from the arguments of the process.
    from_arguments: BTreeSet<String>,
}

/// A piece of a line.
enum Piece<'a> {
    Literal(&'a str),
    Variable { name: &'a str, default: Option<&'a str> },
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Usage, message)
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn pieces(line: &str) -> Result<Vec<Piece<'_>>, Failure> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            pieces.push(Piece::Literal(before));
            pieces.push(Piece::Literal("${"));
            rest = &variable[2..];
            continue;
        }
        pieces.push(Piece::Literal(before));
        let (inner, after) = variable[2..]
            .split_once('}')
            .ok_or_else(|| usage("`${` without `}`; write `$${` for the two characters themselves"))?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err(usage(format!("`{name}` is no name of a variable; write `$${{` for `${{` itself")));
        }
        if default.is_some_and(|default| default.contains("${")) {
            return Err(usage(format!("the default of `{name}` can't hold another variable; use LET for it")));
        }
        pieces.push(Piece::Variable { name, default });
        rest = after;
    }
    pieces.push(Piece::Literal(rest));
    Ok(pieces)
}

/// The name of a variable that a script may set.
pub(super) fn settable(name: &str) -> Result<String, Failure> {
    match name {
        "_" => Err(usage("`_` is the id that the actor's last command made, and can't be set")),
        name if is_name(name) => Ok(name.to_owned()),
        name => Err(usage(format!("`{name}` is no name of a variable; letters, digits and _ make one"))),
    }
}

/// Whether a line has variables; refuses malformed ones.
pub(super) fn has_variables(line: &str) -> Result<bool, Failure> {
    Ok(pieces(line)?.iter().any(|piece| matches!(piece, Piece::Variable { .. })))
}

/// Whether a piece of a line says nothing itself: variables and no defaults.
pub(super) fn is_only_variables(piece: &str) -> bool {
    let says_nothing = |piece: &Piece<'_>| matches!(piece, Piece::Literal("") | Piece::Variable { default: None, .. });
    pieces(piece).is_ok_and(|pieces| pieces.iter().all(says_nothing))
}

impl Variables {
    pub(super) fn new(given: &[(String, String)], environment: BTreeMap<String, String>) -> Self {
        Self { given: given.iter().cloned().collect(), environment, ..Self::default() }
    }

    /// LET and AS.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), Failure> {
        if value.len() > VALUE_MAX {
            return Err(usage("that value is longer than a line"));
        }
        self.from_arguments.remove(name);
        self.own.insert(name.to_owned(), value);
        Ok(())
    }

    /// The value that LET gave came from the arguments of the process.
    pub(super) fn mark_from_arguments(&mut self, name: &str) {
        self.from_arguments.insert(name.to_owned());
    }

    /// A line with its variables' values; `last` is `${_}`.
    pub(super) fn expand(&self, line: &str, last: Option<&str>) -> Result<Expanded, Failure> {
        let mut expanded = Expanded::empty();
        for piece in pieces(line)? {
            match piece {
                Piece::Literal(text) => expanded.push_literal(text),
                Piece::Variable { name: "_", default } => {
                    let value =
                        last.or(default).ok_or_else(|| usage("`${_}`: no command of this actor made an id yet"))?;
                    expanded.push_value(value);
                }
                Piece::Variable { name, default } => {
                    let value = [&self.own, &self.given, &self.environment].into_iter().find_map(|map| map.get(name));
                    // As in a shell, `:-` stands in for what is empty, too.
                    let value = value.map(String::as_str).filter(|value| !value.is_empty() || default.is_none());
                    let value = value.or(default);
                    let unset = || usage(format!("the variable {name} is not set; use LET, --set or the environment"));
                    expanded.push_value(value.ok_or_else(unset)?);
                }
            }
        }
        Ok(expanded)
    }

    /// The person's own folder.
    pub(super) fn home(&self) -> Option<&str> {
        self.environment.get("HOME").map(String::as_str).filter(|home| !home.is_empty())
    }

    /// Whether a piece of a line would put a value of `--set` there, which everybody on the machine can read.
    pub(super) fn takes_from_arguments(&self, piece: &str) -> bool {
        let Ok(pieces) = pieces(piece) else { return false };
        pieces.iter().any(|piece| match piece {
            Piece::Variable { name, .. } if self.own.contains_key(*name) => self.from_arguments.contains(*name),
            Piece::Variable { name, .. } => self.given.contains_key(*name),
            Piece::Literal(_) => false,
        })
    }
}
