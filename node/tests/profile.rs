//! The profile's folder as others see it: another process, somebody who copies it, a crash, a newer program.

#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use node::store::{Profile, ProfileError, ProfileStore as _};
use node_core::{
    command::{FailureCode, HistoryEntry, Password},
    event::{DeliveryState, Event, EventKind, ShortId, Trust},
    stored::{Change, Table, Transaction},
    stretch::StretchParameters,
};
use protocol::{ConversationId, MessageId, Name, Timestamp};

const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
const PASSWORD: &str = "canary-password-5d1f";
const TEXT: &str = "canary-text-77aa";
const RECORD: &str = "canary-record-3c09";
const EVENT: &str = "canary-event-e18b";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn password() -> Password {
    Password::new(PASSWORD.to_owned())
}

fn create(folder: &Path) -> Profile {
    Profile::create(folder, &name("alice"), &password(), CHEAP).unwrap()
}

fn record(value: &[u8]) -> Transaction {
    Transaction { changes: vec![Change::Put { table: Table::Account, key: b"k".to_vec(), value: value.to_vec() }] }
}

#[test]
fn what_was_written_is_there_after_opening_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = create(folder.path());
    profile.commit(record(b"kept")).unwrap();
    drop(profile);
    assert_eq!(Profile::peek(folder.path()).unwrap(), Some(name("alice")));
    let (profile, stored) = Profile::open(folder.path(), &password()).unwrap();
    assert_eq!(profile.name(), &name("alice"));
    assert_eq!(stored.records, [(Table::Account, b"k".to_vec(), b"kept".to_vec())]);
}

#[test]
fn folder_and_files_belong_to_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep").join("profile");
    let mut profile = create(&folder);
    profile.commit(record(b"something in the write-ahead log")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4, "key, database, its log, lock");
}

#[test]
fn a_second_opener_is_told_that_the_profile_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let profile = create(folder.path());
    let error = Profile::open(folder.path(), &password()).unwrap_err();
    assert!(matches!(error, ProfileError::InUse));
    assert!(error.to_string().starts_with("profile in use: "), "{error}");
    assert!(error.to_string().contains("`node --profile NAME`"), "{error}");
    assert_eq!(error.code(), FailureCode::Conflict);
    drop(profile);
    Profile::open(folder.path(), &password()).unwrap();
}

#[test]
fn wrong_password_absent_profile_and_a_taken_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Profile::peek(folder.path()).unwrap(), None);
    assert!(matches!(Profile::open(folder.path(), &password()), Err(ProfileError::NotFound(_))));
    drop(create(folder.path()));
    let wrong = Profile::open(folder.path(), &Password::new("canary".to_owned())).unwrap_err();
    assert!(matches!(wrong, ProfileError::WrongPassword));
    assert_eq!(wrong.code(), FailureCode::Auth);
    let taken = Profile::create(folder.path(), &name("bob"), &password(), CHEAP).unwrap_err();
    assert!(matches!(&taken, ProfileError::Exists { name } if name == "alice"), "{taken}");
}

#[test]
fn another_password_opens_it_after_rewrapping_and_the_old_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = create(folder.path());
    profile.commit(record(b"kept")).unwrap();
    let other = Password::new("another one".to_owned());
    profile.check(&password()).unwrap();
    profile.rewrap(&other, CHEAP).unwrap();
    profile.check(&other).unwrap();
    assert!(matches!(profile.check(&password()), Err(ProfileError::WrongPassword)));
    drop(profile);
    assert!(matches!(Profile::open(folder.path(), &password()), Err(ProfileError::WrongPassword)));
    let (_, stored) = Profile::open(folder.path(), &other).unwrap();
    assert_eq!(stored.records.len(), 1);
}

#[test]
fn a_discarded_profile_leaves_nothing_behind_but_what_others_put_there() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    create(&empty).discard().unwrap();
    assert!(!empty.exists());
    let shared = folder.path().join("shared");
    let profile = create(&shared);
    fs::write(shared.join("letter.txt"), "mine").unwrap();
    profile.discard().unwrap();
    let left: Vec<_> = fs::read_dir(&shared).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
    create(&shared);
}

#[test]
fn damage_is_named_with_its_place_and_nothing_is_made_anew() {
    let damages: [fn(&Path); 4] = [
        |folder| fs::write(folder.join("profile.key"), b"tuppence profile\n").unwrap(),
        |folder| fs::remove_file(folder.join("profile.db")).unwrap(),
        |folder| fs::write(folder.join("profile.db"), vec![0x5a; 8_192]).unwrap(),
        |folder| {
            let mut bytes = fs::read(folder.join("profile.db")).unwrap();
            bytes[100] ^= 1;
            fs::write(folder.join("profile.db"), bytes).unwrap();
        },
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        drop(create(folder.path()));
        damage(folder.path());
        let before = fs::read(folder.path().join("profile.db")).ok();
        let error = Profile::open(folder.path(), &password()).unwrap_err();
        assert!(matches!(error, ProfileError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("restore the whole folder from a backup"), "{error}");
        assert_eq!(fs::read(folder.path().join("profile.db")).ok(), before);
    }
}

/// Everything that a copier of the folder would get.
fn bytes_of(folder: &Path) -> Vec<u8> {
    fs::read_dir(folder).unwrap().flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

fn contains(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
}

fn canaries() -> Transaction {
    let entry = HistoryEntry {
        id: ShortId::Message(1),
        uid: MessageId([1; 16]),
        from: name("alice"),
        to: name("canary-name-bob"),
        text: TEXT.to_owned(),
        at: Timestamp(1),
        sent_at: Timestamp(1),
        state: Some(DeliveryState::Queued),
        gap: false,
        in_group: false,
        member: None,
        money: None,
    };
    let kind = EventKind::Message {
        id: ShortId::Message(2),
        uid: MessageId([2; 16]),
        from: name("canary-name-bob"),
        text: EVENT.to_owned(),
        sent_at: Timestamp(1),
        trust: Trust::Pinned,
        gap: false,
        to: None,
        group: None,
        muted: false,
    };
    let mut transaction = record(RECORD.as_bytes());
    transaction.changes.push(Change::Timeline { conversation: ConversationId([3; 32]), entry });
    transaction.changes.push(Change::Event(Event { seq: Some(1), at: Timestamp(1), kind }));
    transaction
}

#[test]
fn a_copied_folder_reveals_nothing_open_or_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut profile = create(folder.path());
    profile.commit(canaries()).unwrap();
    let open = bytes_of(folder.path());
    drop(profile);
    let closed = bytes_of(folder.path());
    for canary in [PASSWORD, TEXT, RECORD, EVENT, "canary-name-bob", "SQLite format 3", "CREATE TABLE"] {
        assert!(!contains(&open, canary), "{canary} while open");
        assert!(!contains(&closed, canary), "{canary} after closing");
    }
    // The search does find what lies there in the clear: the owner's name, and the same rows without a key.
    assert!(contains(&closed, "alice"));
    let plain = rusqlite::Connection::open(folder.path().join("plain.db")).unwrap();
    plain.execute_batch(&format!("CREATE TABLE t (x); INSERT INTO t VALUES ('{TEXT}')")).unwrap();
    drop(plain);
    let with_plain = bytes_of(folder.path());
    assert!(contains(&with_plain, TEXT) && contains(&with_plain, "SQLite format 3"));
}

const CRASH_FOLDER: &str = "TUPPENCE_TEST_CRASH_FOLDER";
/// Records of one transaction: enough that a kill falls into the middle of some.
const RECORDS: u64 = 50;

fn generation(number: u64) -> Transaction {
    let mut changes: Vec<_> = (0..RECORDS)
        .map(|key| Change::Put {
            table: Table::GroupState,
            key: key.to_be_bytes().to_vec(),
            value: number.to_be_bytes().repeat(200),
        })
        .collect();
    let state = node_core::event::ConnectionState::Online;
    let kind = EventKind::Connection { state };
    changes.push(Change::Event(Event { seq: Some(number), at: Timestamp(number), kind }));
    Transaction { changes }
}

/// The process that is killed: commits generation after generation and says so after each.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CRASH_FOLDER) else { return };
    let (mut profile, stored) = Profile::open(Path::new(&folder), &password()).unwrap();
    for number in stored.last_event + 1.. {
        profile.commit(generation(number)).unwrap();
        writeln!(std::io::stdout(), "committed {number}").unwrap();
    }
}

#[test]
fn a_process_killed_while_committing_leaves_whole_transactions_and_all_that_it_reported() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()));
    for round in 1..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
            .env(CRASH_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut reported = lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        let mut last = reported.nth(round).unwrap();
        child.kill().unwrap();
        last = reported.last().unwrap_or(last);
        child.wait().unwrap();

        let (_, stored) = Profile::open(folder.path(), &password()).unwrap();
        assert!(stored.last_event >= last, "{} was reported, {} is there", last, stored.last_event);
        assert_eq!(stored.records.len() as u64, RECORDS);
        let whole = stored.last_event.to_be_bytes().repeat(200);
        assert!(stored.records.iter().all(|(_, _, value)| *value == whole), "a torn transaction");
    }
}
