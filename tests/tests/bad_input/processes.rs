//! The node's command line, and what it names.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    Next::{Do, NodeFlag},
    Row, Says, row, settle,
};

/// What a node ends with, by exit code, and what it says on standard error.
pub(crate) fn node(folder: &Path, arguments: &[&str], input: &str) -> (&'static str, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quick-node"));
    command.current_dir(folder).env_clear().env("HOME", folder).args(arguments);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A node that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let names = ["ok", "other", "usage", "unreachable", "auth", "trust", "conflict", "refused", "unknown", "timeout"];
    let code = output.status.code().and_then(|code| names.get(usize::try_from(code).ok()?).copied());
    (code.unwrap_or("killed"), String::from_utf8(output.stderr).unwrap())
}

/// Arguments, and what stands in standard input.
type Sent = (&'static [&'static str], &'static str);

const PASSWORD: &[&str] = &["-c", "SIGNUP alice correct-horse-1"];
const SCRIPT: &[&str] = &["--script", "-"];
const NOBODY: &[&str] = &["--directory", "127.0.0.1:9", "--script", "-"];

pub(crate) fn rows() -> Vec<Row<Sent>> {
    let usage = |sent: &'static [&'static str], says: Says, next| row((sent, ""), "usage", says, next);
    let played = |input, says: Says, next| row((SCRIPT, input), "usage", says, next);
    vec![
        usage(&["--directory", "nowhere"], &["'nowhere'"], Do("HOST:PORT")),
        usage(&["--directory", "a:1#12"], &["64 hexadecimal digits"], Do("`directory` prints it")),
        usage(&["--profile", "../x"], &["'../x'"], Do("a profile's name has letters")),
        usage(&["--set", "1x=5"], &["'1x=5'"], Do("letters, digits and '_'")),
        usage(&["--frobnicate"], &["--frobnicate"], NodeFlag("--help")),
        usage(&["--data", "a", "--profile", "b"], &["cannot be used with"], NodeFlag("--help")),
        usage(PASSWORD, &["a password in arguments can be read by everybody"], NodeFlag("--password-file")),
        row((&["--script", "absent.txt"], ""), "conflict", &["absent.txt can't be read"], Do("No such file")),
        row((&["--script", "latin.txt"], ""), "conflict", &["latin.txt can't be read"], Do("UTF-8")),
        row(
            (&["--log-file", "absent/log", "-c", "HELP"], ""),
            "other",
            &["can't write the log absent/log"],
            NodeFlag("--log-file"),
        ),
        row(
            (&["--bind", "192.0.2.1:0", "-c", "PING"], ""),
            "other",
            &["can't listen on 192.0.2.1:0"],
            NodeFlag("--bind"),
        ),
        row(
            (&["--script", "-", "--password-file", "absent"], "SIGNUP alice\n"),
            "usage",
            &["can't read the password from absent"],
            NodeFlag("--password-file"),
        ),
        row(
            (&["--script", "-", "--password-command", "false"], "SIGNUP alice\n"),
            "usage",
            &["--password-command ended with"],
            Do("run it by hand"),
        ),
        played("SIGNUP alice\n", &["a script can't be asked for a password"], NodeFlag("--password-file")),
        row(
            (NOBODY, "TIMEOUT 1s\nSIGNUP alice correct-horse-1\n"),
            "unreachable",
            &["the directory does not answer", "`directory --bind"],
            NodeFlag("--directory"),
        ),
    ]
}

#[test]
fn a_node_that_does_not_start_or_reach_anybody_says_why_and_what_to_do() {
    settle(rows().into_iter().map(|row| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("latin.txt"), b"ECHO caf\xe9\n").unwrap();
        let (arguments, input) = row.sent;
        let (code, sentence) = node(folder.path(), arguments, input);
        row.complaint(&format!("{arguments:?} {input:?}"), code, &sentence)
    }));
}
