//! Bad input, row by row: what was sent, the class of the answer, what the sentence says, and the next step that it names.
//!
//! Each module has the rows of one door through which input comes. A next step is a command that can be typed, a flag that
//! the program has, or something that a person does elsewhere; the first two are tried. What only whoever breaks TLS meets
//! has its rows where the keys are: `directory/tests/tls.rs` and `node/src/net/tls/tests.rs`; what a directory does to a
//! connection that sends bad frames is in `directory/tests/misbehaviour.rs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod accounts;
mod files;
mod frames;
mod groups;
mod lines;
mod money;
mod names;
mod processes;
mod scripts;
mod transfers;

use std::{collections::BTreeMap, ffi::OsString};

use clap::CommandFactory as _;
use node::{config::Config, language, prompt::Kind};

/// Fewest rows of the whole table.
const ROWS_MIN: usize = 60;

/// What a sentence tells to do.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// To type this, with NAME and CODE in the place of what the person knows.
    Type(&'static str),
    /// To write this line in a script.
    Write(&'static str),
    /// To start the node with this flag.
    NodeFlag(&'static str),
    /// To start the directory with this flag.
    DirectoryFlag(&'static str),
    /// Something that no program can do for a person, in the sentence's words.
    Do(&'static str),
    /// Nothing: only a program that breaks the protocol is told this.
    Nothing,
}

/// Parts of a sentence, in their order.
type Says = &'static [&'static str];

/// One row.
#[derive(Debug)]
struct Row<S> {
    /// What was sent.
    sent: S,
    /// The class of the answer.
    code: &'static str,
    /// What its sentence says.
    says: Says,
    /// What to do.
    next: Next,
}

const fn row<S>(sent: S, code: &'static str, says: Says, next: Next) -> Row<S> {
    Row { sent, code, says, next }
}

impl<S> Row<S> {
    /// What is wrong with an answer, if anything is; `what` names the row.
    fn complaint(&self, what: &str, code: &str, sentence: &str) -> Option<String> {
        let wrong = |how: String| Some(format!("{what}: {how}: {code}: {sentence:?}"));
        if code != self.code {
            return wrong(format!("not {}", self.code));
        }
        let mut rest = sentence;
        for part in self.says {
            let Some(at) = rest.find(part) else { return wrong(format!("{part:?} is missing in its place")) };
            rest = &rest[at + part.len()..];
        }
        // Whatever was sent: what would change a terminal is visible.
        let changes = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        if sentence.contains(changes) {
            return wrong("it would change a terminal".to_owned());
        }
        match self.next.is_good(sentence) {
            true => None,
            false => wrong(format!("{:?} is not named, or is not there", self.next)),
        }
    }
}

impl Next {
    /// Whether a sentence names it, and it exists.
    fn is_good(self, sentence: &str) -> bool {
        let names = |words: &str| sentence.contains(words);
        match self {
            Self::Type(command) => names(command) && can_be_typed(command),
            Self::Write(line) => names(line) && scripts::can_be_played(line),
            Self::NodeFlag(flag) => names(flag) && node_help().contains(flag),
            Self::DirectoryFlag(flag) => names(flag) && directory_help().contains(flag),
            Self::Do(words) => names(words),
            Self::Nothing => true,
        }
    }
}

/// Fails with all complaints at once.
fn settle(complaints: impl IntoIterator<Item = Option<String>>) {
    let all: Vec<String> = complaints.into_iter().flatten().collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

fn can_be_typed(command: &str) -> bool {
    let number = ["12345"; 12].join(" ");
    let filled = command.replace("INVITE CODE", "INVITE 7f3k-9q2x").replace("CODE", &number);
    let filled = filled.replace("NAME", "somebody");
    matches!(language::parse(&filled), Ok(Some(_)))
}

fn node_help() -> String {
    let arguments = ["node", "--help"].map(OsString::from);
    Config::read(arguments, BTreeMap::new(), Kind::Pipe).unwrap_err().to_string()
}

fn directory_help() -> String {
    directory::config::Arguments::command().render_long_help().to_string()
}

#[test]
fn the_table_has_its_rows() {
    let all = [
        lines::rows().len(),
        names::rows().len(),
        scripts::rows().len(),
        processes::rows().len(),
        accounts::rows().len(),
        groups::rows().len(),
        money::rows().len(),
        frames::decoded().len() + frames::asked().len(),
        files::profiles().len() + files::folders().len(),
        transfers::rows().len(),
    ];
    assert!(all.iter().sum::<usize>() >= ROWS_MIN, "{all:?}");
}

#[test]
fn a_next_step_that_does_not_exist_is_found_out() {
    assert!(can_be_typed("SIGNIN NAME") && !can_be_typed("FROBNICATE NAME") && !can_be_typed("SIGNIN"));
    assert!(node_help().contains("--profile") && !node_help().contains("--frobnicate"));
    assert!(directory_help().contains("--data") && !directory_help().contains("--frobnicate"));
    assert!(scripts::can_be_played("SLEEP 1ms") && !scripts::can_be_played("SLEEP well"));
}

#[test]
fn an_answer_that_is_not_the_rows_is_found_out() {
    let row = row((), "auth", &["wrong", "password"], Next::Type("SIGNIN NAME"));
    assert_eq!(row.complaint("", "auth", "wrong password; try SIGNIN NAME again"), None);
    for (code, sentence) in [
        ("usage", "wrong password; try SIGNIN NAME again"),
        ("auth", "password wrong; try SIGNIN NAME again"),
        ("auth", "wrong password; try again"),
        ("auth", "wrong \u{1b}[2J password; try SIGNIN NAME again"),
    ] {
        assert!(row.complaint("", code, sentence).is_some(), "{sentence:?}");
    }
}
