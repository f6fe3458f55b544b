//! What people ask of files that cannot be: real nodes around a real directory, and what only time or a disk brings about.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
};

use directory::server::{Server, Settings};
use node::{
    files::{ReceiveError, SendError},
    language::{self, Line},
};
use node_core::command::{Command, CommandResult, FileCommand, Recipient, Surveyed};
use protocol::{
    Name,
    file::{Chunking, FileShape},
    limits::{CHUNK_LENGTH_MIN, OFFER_LIFETIME_MS},
};
use serde_json::Value;
use tests::table::{Seat, Table};

use crate::{
    Next::{Do, NodeFlag, Type},
    Row, row, settle,
};

/// What is offered, and taken, before the rows are played. The inbox of carol is a file.
const BEFORE: &str = "\
alice> SIGNUP alice correct-horse-1
bob> SIGNUP bob correct-horse-2
carol> SIGNUP carol correct-horse-3
alice> CREATE team
bob> JOIN team
alice> SEND bob FILE cat.png
alice> LET taken ${_}
bob> EXPECT FILE FROM alice STATE offered
bob> ACCEPT ${taken}
bob> EXPECT FILE FROM alice ID ${taken} STATE received WITHIN 30s
alice> SEND bob FILE cat.png
alice> LET declined ${_}
bob> EXPECT FILE FROM alice ID ${declined} STATE offered
bob> DECLINE ${declined} no more cats
alice> EXPECT FILE TO bob ID ${declined} STATE declined
alice> SEND bob FILE cat.png
alice> LET withdrawn ${_}
bob> EXPECT FILE FROM alice ID ${withdrawn} STATE offered
alice> CANCEL ${withdrawn}
bob> EXPECT FILE FROM alice ID ${withdrawn} STATE cancelled
alice> SEND bob FILE cat.png
alice> LET unwanted ${_}
bob> EXPECT FILE FROM alice ID ${unwanted} STATE offered
bob> CANCEL ${unwanted}
alice> SEND bob FILE cat.png
alice> LET open ${_}
bob> EXPECT FILE FROM alice ID ${open} STATE offered
alice> SEND carol FILE cat.png
alice> LET nowhere ${_}
carol> EXPECT FILE FROM alice ID ${nowhere} STATE offered
";

/// Who types, and what.
type Sent = (&'static str, &'static str);

pub(crate) fn rows() -> Vec<Row<Sent>> {
    let conflict = |sent: Sent, says, next| row(sent, "conflict", says, next);
    let refused = |sent: Sent, says, next| row(sent, "refused", says, next);
    let which = Type("FILES");
    vec![
        conflict(("alice", "SEND bob FILE nothing.png"), &["there is no", "nothing.png"], Type("SEND NAME -- TEXT")),
        conflict(("alice", "SEND team FILE cat.png"), &["team is a group"], Type("SEND GROUP team FILE PATH")),
        conflict(("alice", "SEND nobody FILE cat.png"), &["nobody here is called nobody"], Type("LIST")),
        conflict(("alice", "SEND GROUP nowhere FILE cat.png"), &["there is no group nowhere"], Type("LIST GROUPS")),
        conflict(("alice", "SEND bob FILE /proc/uptime"), &["was changed"], Do("send it again")),
        conflict(("bob", "ACCEPT f999"), &["there is no such file"], which),
        conflict(("bob", "DECLINE f999"), &["there is no such file"], which),
        conflict(("bob", "CANCEL f999"), &["there is no such file"], which),
        conflict(("bob", "ACCEPT ${open} AS cat.png"), &["cat.png exists already"], Do("ACCEPT it AS another path")),
        conflict(("bob", "SET accept.nobody 1M"), &["nobody here is called nobody"], Type("LIST")),
        conflict(("bob", "SET accept.team 1M"), &["team is no other person"], Do("from people, one by one")),
        refused(("alice", "SEND alice FILE cat.png"), &["that is you"], Type("SEND NAME FILE PATH")),
        refused(("alice", "SEND bob FILE /dev/null"), &["neither a file nor a folder"], Do("only those can be sent")),
        refused(("alice", "SEND bob FILE /proc/self/mem"), &["can't read"], Do("check who may read it")),
        refused(("alice", "ACCEPT ${open}"), &["a file that you offered"], Do("CANCEL takes it back")),
        refused(("alice", "CANCEL ${declined}"), &["declined already"], which),
        refused(("bob", "ACCEPT ${taken}"), &["received already"], which),
        refused(("bob", "DECLINE ${taken}"), &["received already"], which),
        refused(("bob", "CANCEL ${taken}"), &["received already"], which),
        refused(("bob", "ACCEPT ${withdrawn}"), &["cancelled already"], which),
        refused(("bob", "ACCEPT ${unwanted}"), &["cancelled already"], which),
        refused(("carol", "ACCEPT ${nowhere}"), &["can't write to"], NodeFlag("--inbox")),
    ]
}

/// Words of errors that only a full disk, a hostile name or a person without rights brings about.
fn sentences() -> Vec<Row<String>> {
    let path = || PathBuf::from("/inbox");
    let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let receive = |error: ReceiveError, says, next| row(error.to_string(), "refused", says, next);
    let send = |error: SendError, says, next| row(error.to_string(), "refused", says, next);
    vec![
        receive(
            ReceiveError::NoSpace { path: path(), needed: 100, free: 5 },
            &["there is no room in /inbox", "100 bytes are to come and 5 are free"],
            Do("make room and ACCEPT it again"),
        ),
        receive(ReceiveError::Full(path()), &["the disk of /inbox is full"], Do("make room and ACCEPT it again")),
        receive(ReceiveError::Mismatch, &["what came is not what was offered"], Do("ask for it again")),
        receive(ReceiveError::Foreign(path()), &["/inbox is not yours alone"], NodeFlag("--inbox")),
        receive(ReceiveError::Io { path: path(), source: denied() }, &["can't write to /inbox"], NodeFlag("--inbox")),
        send(SendError::Unreadable { path: path(), source: denied() }, &["can't read"], Do("check who may read it")),
        send(SendError::Name(path()), &["is not UTF-8"], Do("rename it and send it again")),
        send(SendError::TooLarge(path()), &["too large to be sent"], Do("send parts of it")),
        send(SendError::Changed(path()), &["was changed since it was offered"], Do("send it again")),
    ]
}

/// Plays lines with real nodes, and tells what went wrong in each that had to: class and sentence.
fn played(folder: &Path, lines: &str) -> Vec<(String, String)> {
    played_by(std::process::Command::new(env!("CARGO_BIN_EXE_quick-node")), folder, lines)
}

fn played_by(mut command: std::process::Command, folder: &Path, lines: &str) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(Settings::in_folder(folder.join("directory")))).unwrap();
    let script = folder.join("script.txt");
    fs::write(&script, lines).unwrap();
    command.arg("--directory").arg(format!("{}#{}", server.local_addr(), server.fingerprint()));
    command.args(["--json", "--inbox"]).arg(folder.join("inbox")).arg("--script").arg(&script).env("HOME", folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    runtime.block_on(server.shutdown());
    let lines = String::from_utf8(output.stdout).unwrap();
    let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failures = objects.filter(|object| object["ok"] == false);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    failures.map(|failure| (word(&failure["error"]["name"]), word(&failure["error"]["message"]))).collect()
}

#[test]
fn whatever_cannot_be_done_with_a_file_is_said_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("inbox")).unwrap();
    for (name, text) in [("cat.png", "a cat"), ("inbox/carol", "no folder")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut lines = BEFORE.to_owned();
    for row in rows() {
        let (who, line) = row.sent;
        lines.push_str(&format!("{who}> !{} {line}\n", row.code));
    }
    let failures = played(folder.path(), &lines);
    assert_eq!(failures.len(), rows().len(), "{failures:?}");
    let complaints = rows().into_iter().zip(failures).map(|(row, (code, sentence))| {
        let (who, line) = row.sent;
        row.complaint(&format!("{who}: {line}"), &code, &sentence)
    });
    settle(complaints);
}

/// An account without rights: root may read and write everything, whatever its mode.
const NOBODY: u32 = 65_534;

/// A node that somebody without rights runs: whoever runs this test or, for root, nobody, who gets everything in the folder.
fn without_rights(folder: &Path) -> std::process::Command {
    let program = Path::new(env!("CARGO_BIN_EXE_quick-node"));
    if !rustix::process::geteuid().is_root() {
        return std::process::Command::new(program);
    }
    // Where the program is built nobody may not look.
    let copy = folder.join("quick-node");
    fs::copy(program, &copy).unwrap();
    let mut owned = vec![folder.to_owned()];
    while let Some(path) = owned.pop() {
        if path.is_dir() {
            owned.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = std::process::Command::new(copy);
    command.uid(NOBODY).gid(NOBODY);
    command
}

#[test]
fn what_may_not_be_read_or_written_is_said_with_who_may() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["locked", "half", "half/locked", "inbox", "inbox/bob"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["locked/a", "half/a", "half/locked/a", "secret.txt", "cat.png"] {
        fs::write(at(name), "some bytes").unwrap();
    }
    let command = without_rights(folder.path());
    let modes = [("locked", 0), ("half/locked", 0), ("secret.txt", 0), ("inbox/bob", 0o500)];
    let set = |name: &str, mode| fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    modes.iter().for_each(|(name, mode)| set(name, *mode));
    let refused = |sent: Sent, says, next| row(sent, "refused", says, next);
    let rows = [
        refused(("alice", "SEND bob FILE locked"), &["can't read", "locked"], Do("check who may read it")),
        refused(("alice", "SEND bob FILE half"), &["can't read", "half/locked"], Do("check who may read it")),
        refused(("alice", "SEND bob FILE secret.txt"), &["can't read", "secret.txt"], Do("check who may read it")),
        refused(("bob", "ACCEPT ${cat}"), &["can't write to", "inbox/bob"], NodeFlag("--inbox")),
    ];
    let mut lines =
        "alice> SIGNUP alice correct-horse-1\nbob> SIGNUP bob correct-horse-2\nalice> SEND bob FILE cat.png\n\
                     alice> LET cat ${_}\nbob> EXPECT FILE FROM alice ID ${cat} STATE offered\n"
            .to_owned();
    for row in &rows {
        let (who, line) = row.sent;
        lines.push_str(&format!("{who}> !{} {line}\n", row.code));
    }
    let failures = played_by(command, folder.path(), &lines);
    // So that whoever is not root can remove them.
    modes.iter().for_each(|(name, _)| set(name, 0o700));
    assert_eq!(failures.len(), rows.len(), "{failures:?}");
    settle(rows.into_iter().zip(failures).map(|(row, (code, sentence))| {
        let (who, line) = row.sent;
        row.complaint(&format!("{who}: {line}"), &code, &sentence)
    }));
}

fn typed(table: &mut Table, seat: Seat, line: &str) -> CommandResult {
    let Ok(Some(Line::Core(command))) = language::parse(line) else { panic!("no command of the core's: {line}") };
    table.command(seat, command)
}

#[test]
fn an_offer_that_nobody_wanted_in_time_is_refused() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    let surveyed = Box::new(Surveyed {
        name: "cat.png".to_owned(),
        shape: FileShape::File,
        chunking: Chunking::new(5, CHUNK_LENGTH_MIN).unwrap(),
        sha256: [7; 32],
        source: Vec::new(),
        enclosed: None,
    });
    let to = Recipient::Person(Name::parse("bob").unwrap());
    let offer = FileCommand::Offer { to, surveyed, caption: String::new() };
    table.command(alice, Command::File(offer)).unwrap();
    table.pass(5_000);
    table.pass(OFFER_LIFETIME_MS);
    let expired = row("ACCEPT f1", "refused", &["expired already"], Type("FILES"));
    let failure = typed(&mut table, bob, expired.sent).unwrap_err();
    settle([expired.complaint(expired.sent, failure.code.name(), &failure.message)]);
}

#[test]
fn what_a_disk_says_comes_with_what_to_do() {
    settle(sentences().into_iter().map(|row| row.complaint(&row.sent, "refused", &row.sent)));
}
