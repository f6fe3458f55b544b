//! Profiles and data folders on disk that are not as they were left.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use directory::{
    config::Command,
    operator,
    server::{Server, Settings, StartError, data_folder::DataFolderError},
    store::sqlite::{DATABASE, SqliteStore},
};
use node::store::Profile;
use node_core::{command::Password, stretch::StretchParameters};
use protocol::Name;

use crate::{
    Next::{DirectoryFlag, Do, NodeFlag, Type},
    Row,
    processes::node,
    row, settle,
};

const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
const RIGHT: &str = "SIGNIN alice correct-horse-1\n";
/// Where SQLite keeps the number of the schema, which its first page has in the clear.
const SCHEMA_VERSION_AT: u64 = 60;
const BACKUP: &str = "restore the whole folder from a backup";

/// What happens to a profile of alice's, and what is then typed.
type Sent = (&'static str, fn(&Path), &'static str);

fn cut(file: &Path, length: u64) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

pub(crate) fn profiles() -> Vec<Row<Sent>> {
    let damaged = |sent: Sent| row(sent, "other", &["the profile in", "is damaged"] as &[_], Do(BACKUP));
    let whole: fn(&Path) = |_| {};
    vec![
        row(
            ("whole", whole, "SIGNIN alice wrong-horse\n"),
            "auth",
            &["wrong password for this profile"],
            Type("SIGNIN NAME"),
        ),
        row(("whole", whole, "SIGNUP bob correct-horse-1\n"), "conflict", &["belongs to alice"], NodeFlag("--profile")),
        row(("whole", whole, "SIGNIN bob correct-horse-1\n"), "conflict", &["belongs to alice"], NodeFlag("--profile")),
        row(("whole", whole, "SEND bob hi\n"), "auth", &["sign in first"], Type("SIGNIN alice")),
        row(
            (
                "a newer program's",
                |folder| {
                    let mut key = fs::read(folder.join("profile.key")).unwrap();
                    let at = key.iter().position(|byte| *byte == b'\n').unwrap() + 1;
                    key[at] += 1;
                    fs::write(folder.join("profile.key"), key).unwrap();
                },
                RIGHT,
            ),
            "other",
            &["written by a newer node"],
            Do("update this program"),
        ),
        damaged(("a cut key file", |folder| cut(&folder.join("profile.key"), 30), RIGHT)),
        damaged(("an empty key file", |folder| cut(&folder.join("profile.key"), 0), RIGHT)),
        damaged(("another key file", |folder| fs::write(folder.join("profile.key"), "a letter").unwrap(), RIGHT)),
        damaged(("a cut database", |folder| cut(&folder.join("profile.db"), 100), RIGHT)),
        damaged(("no database", |folder| fs::remove_file(folder.join("profile.db")).unwrap(), RIGHT)),
        damaged(("another database", |folder| fs::write(folder.join("profile.db"), [b'x'; 8_192]).unwrap(), RIGHT)),
        row(
            ("a damaged pin", |folder| fs::write(folder.join("directory.pin"), "12").unwrap(), RIGHT),
            "trust",
            &["directory.pin is damaged"],
            NodeFlag("--directory"),
        ),
        row(
            (
                "a folder for a key file",
                |folder| {
                    fs::remove_file(folder.join("profile.key")).unwrap();
                    fs::create_dir(folder.join("profile.key")).unwrap();
                },
                RIGHT,
            ),
            "other",
            &["can't use", "profile.key"],
            Do("check its permissions"),
        ),
    ]
}

fn profile(folder: &Path) -> Profile {
    let password = Password::new("correct-horse-1".to_owned());
    Profile::create(folder, &Name::parse("alice").unwrap(), &password, CHEAP).unwrap()
}

fn open(home: &Path, folder: &Path, input: &str) -> (&'static str, String) {
    let folder = folder.to_str().unwrap();
    let arguments = ["--directory", "127.0.0.1:9", "--data", folder, "--script", "-"];
    node(home, &arguments, &format!("TIMEOUT 1s\n{input}"))
}

#[test]
fn a_profile_that_does_not_open_says_why_and_what_to_do() {
    settle(profiles().into_iter().map(|row| {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("profile");
        drop(profile(&folder));
        let (what, damage, input) = row.sent;
        damage(&folder);
        let (code, sentence) = open(home.path(), &folder, input);
        row.complaint(&format!("{what}: {input:?}"), code, &sentence)
    }));
}

#[test]
fn a_profile_in_use_and_a_place_that_is_none_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("profile");
    let held = profile(&folder);
    let in_use = row((), "conflict", &["profile in use"], NodeFlag("--profile"));
    let (code, sentence) = open(home.path(), &folder, RIGHT);
    settle([in_use.complaint("a profile in use", code, &sentence)]);
    drop(held);

    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let nowhere = row((), "other", &["can't use", "Not a directory"], Do("check its permissions"));
    let (code, sentence) = open(home.path(), &file.join("below"), "SIGNUP alice correct-horse-1\n");
    settle([nowhere.complaint("a folder below a file", code, &sentence)]);
}

/// What a directory finds in its data folder.
type Found = (&'static str, fn(&Path));

pub(crate) fn folders() -> Vec<Row<Found>> {
    vec![
        row(
            ("a newer program's data", |folder| {
                drop(SqliteStore::open(folder).unwrap());
                let mut file = OpenOptions::new().read(true).write(true).open(folder.join(DATABASE)).unwrap();
                let mut version = [0; 4];
                file.seek(SeekFrom::Start(SCHEMA_VERSION_AT)).unwrap();
                file.read_exact(&mut version).unwrap();
                assert_ne!(u32::from_be_bytes(version), 0, "it is there");
                file.seek(SeekFrom::Start(SCHEMA_VERSION_AT)).unwrap();
                file.write_all(&999_u32.to_be_bytes()).unwrap();
            }),
            "other",
            &["schema version 999"],
            Do("use a newer program"),
        ),
        row(
            ("another file", |folder| fs::write(folder.join(DATABASE), [b'x'; 8_192]).unwrap()),
            "other",
            &["not a database"],
            Do("database"),
        ),
        row(
            ("a folder for a database", |folder| fs::create_dir(folder.join(DATABASE)).unwrap()),
            "other",
            &["the data folder", "cannot be used"],
            DirectoryFlag("--data"),
        ),
    ]
}

fn start(folder: &Path) -> Result<Server, StartError> {
    let mut settings = Settings::in_folder(folder);
    settings.listening.bind = "127.0.0.1:0".parse().unwrap();
    tokio::runtime::Handle::current().block_on(Server::start(settings))
}

/// As the program's exit code has it.
fn code(error: &StartError) -> &'static str {
    if matches!(error, StartError::DataFolder(DataFolderError::InUse(_))) { "conflict" } else { "other" }
}

#[test]
fn a_directory_whose_folder_is_not_its_own_says_what_to_do() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _within = runtime.enter();
    settle(folders().into_iter().map(|row| {
        let folder = tempfile::tempdir().unwrap();
        let (what, put) = row.sent;
        put(folder.path());
        let error = start(folder.path()).err().unwrap();
        row.complaint(what, code(&error), &error.to_string())
    }));
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).unwrap();
    let error = start(folder.path()).err().unwrap();
    let in_use = row((), "conflict", &["in use by another directory process"], DirectoryFlag("--data"));
    settle([in_use.complaint("a folder in use", code(&error), &error.to_string())]);
    runtime.block_on(server.shutdown());

    let empty = tempfile::tempdir().unwrap();
    let error = operator::perform(empty.path(), &Command::Status, &mut Vec::new()).unwrap_err();
    let nothing = row((), "other", &["nothing is kept in", "yet", "start the service"], DirectoryFlag("--data"));
    settle([nothing.complaint("status of nothing", "other", &error.to_string())]);
}
