//! The program as people start it: what it prints, what it refuses, and how it ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use protocol::{
    BoundedBytes,
    directory::{Reply, Request},
    peer::CloseCode,
};
use support::{
    Device, Person, connect,
    program::{Serving, run, text},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_and_ends_with_success() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::start(&[], folder.path());
        let raw = connect(serving.address, &Device::new(1)).await;
        assert!(matches!(raw.ask(&Request::Ping).await, Ok(Reply::Pong { .. })));
        serving.signal(signal);
        let closed = raw.closed().await;
        assert_eq!(closed, (u64::from(CloseCode::ShuttingDown as u32), "shutting down".to_owned()));
        drop(raw);
        let (code, printed, logged) = serving.ended();
        assert_eq!((code, printed.as_str()), (Some(0), ""), "{logged}");
        assert!(logged.contains("shut down"), "{logged}");
    }
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_stays() {
    let folder = tempfile::tempdir().unwrap();
    let first = Serving::start(&[], folder.path());
    let second = run(&["--bind", "127.0.0.1:0"], folder.path());
    assert_eq!(second.status.code(), Some(6));
    assert_eq!(text(&second.stdout), "");
    assert!(text(&second.stderr).contains("is in use by another directory process"), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("--data"), "{}", text(&second.stderr));
    first.signal("-TERM");
    assert_eq!(first.ended().0, Some(0));
}

#[test]
fn the_key_stays_the_same_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let first = Serving::start(&[], folder.path());
    let key = first.key.clone();
    first.signal("-KILL");
    first.ended();
    let second = Serving::start(&[], folder.path());
    assert_eq!(second.key, key);
    assert!(key.len() == 64 && key.bytes().all(|digit| digit.is_ascii_hexdigit()), "{key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_killed_tells_nodes_at_once_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = Serving::start(&[], folder.path());
    let raw = connect(first.address, &Device::new(1)).await;
    assert!(matches!(raw.ask(&Request::Ping).await, Ok(Reply::Pong { .. })));
    let address = first.address.to_string();
    first.signal("-KILL");
    first.ended();
    let _second = Serving::start(&["--bind", &address], folder.path());
    // The answer is no answer, but the end of the connection, long before it would be idle for too long.
    let begun = std::time::Instant::now();
    assert_eq!(raw.try_ask(&Request::Ping).await, None);
    assert_eq!(raw.connection.closed().await, quinn::ConnectionError::Reset);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_newer_schema_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&[], folder.path());
    serving.signal("-TERM");
    assert_eq!(serving.ended().0, Some(0));
    let database = folder.path().join("directory.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.pragma_update(None, "user_version", 1_000_000).unwrap();
    connection.close().unwrap();
    let before = std::fs::read(&database).unwrap();
    for arguments in [&["--bind", "127.0.0.1:0"][..], &["status"], &["invite"]] {
        let refused = run(arguments, folder.path());
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        assert_eq!(text(&refused.stdout), "");
        assert!(text(&refused.stderr).contains("newer"), "{}", text(&refused.stderr));
    }
    assert!(std::fs::read(&database).unwrap() == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_invites_and_looks_while_the_service_runs() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&["--registration", "invite"], folder.path());
    let made = run(&["invite", "2"], folder.path());
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let codes: Vec<&str> = text(&made.stdout).lines().collect();
    assert_eq!(codes.len(), 2);
    assert_ne!(codes[0], codes[1]);

    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let raw = connect(serving.address, &alice.device).await;
    let answer = raw.sign_up(&alice, Some(codes[0])).await;
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
    let raw = connect(serving.address, &bob.device).await;
    let again = raw.sign_up(&bob, Some(codes[0])).await;
    assert_eq!(again, Err(protocol::directory::Refusal::InviteNeeded));

    let status = run(&["status"], folder.path());
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    let status = text(&status.stdout);
    assert!(status.contains(&serving.key), "{status}");
    assert!(status.lines().any(|line| line.starts_with("accounts") && line.ends_with(" 1")), "{status}");
    assert!(status.lines().any(|line| line.starts_with("invites") && line.ends_with(" 1")), "{status}");
}

#[test]
fn the_operator_invites_and_looks_while_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    assert_eq!(text(&run(&["invite"], &data).stdout).lines().count(), 1);
    let status = run(&["status"], &data);
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    let status = text(&status.stdout);
    assert!(status.lines().any(|line| line.starts_with("invites") && line.ends_with(" 1")), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_resets_an_account_while_the_service_runs_and_the_old_device_is_out_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&["--registration", "closed"], folder.path());
    for (user, code, next) in [("alice", 6, "LIST"), ("not a name", 2, "spells")] {
        let refused = run(&["reset", user], folder.path());
        assert_eq!(refused.status.code(), Some(code), "{user}");
        assert_eq!(text(&refused.stdout), "");
        assert!(text(&refused.stderr).contains(user) && text(&refused.stderr).contains(next), "{refused:?}");
    }
    serving.signal("-TERM");
    assert_eq!(serving.ended().0, Some(0));

    let serving = Serving::start(&[], folder.path());
    let alice = Person::new("alice", 1);
    let old = alice.arrive(serving.address).await;
    let made = run(&["reset", "alice"], folder.path());
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let said = text(&made.stdout);
    let code = said.lines().next().unwrap();
    assert!(said.contains(&format!("SIGNUP alice INVITE {code}")), "{said}");
    for price in ["sees a changed key", "shut out", "start anew", "RESEND"] {
        assert!(said.contains(price), "{price}: {said}");
    }
    assert!(matches!(old.ask(&Request::Account).await, Ok(Reply::Account { .. })), "nothing changed yet");

    let mut again = Person::new("alice", 2);
    again.password = "another-password".to_owned();
    let raw = connect(serving.address, &again.device).await;
    let answer = raw.sign_up(&again, Some(code)).await;
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
    old.connection.closed().await;
    let old = connect(serving.address, &alice.device).await;
    assert_eq!(old.ask(&Request::Account).await, Err(protocol::directory::Refusal::NotSignedIn));
    assert!(matches!(raw.ask(&Request::Account).await, Ok(Reply::Account { .. })));
}

#[test]
fn the_operator_resets_an_account_only_where_something_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(&["reset", "alice"], &folder.path().join("none"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("nothing is kept in"), "{}", text(&refused.stderr));
    assert!(!folder.path().join("none").exists(), "and nothing is made there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_ends_the_process_and_what_was_acknowledged_is_there_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start_with_room_for(2_000, folder.path());
    let alice = Person::new("alice", 1);
    let raw = alice.arrive(serving.address).await;
    let mut kept = 0;
    loop {
        let book = BoundedBytes::new(vec![u8::try_from(kept).unwrap(); 100_000]).unwrap();
        match raw.try_ask(&Request::PutBook { version: kept + 1, book }).await {
            Some(Ok(Reply::Done)) => kept += 1,
            Some(other) => panic!("an answer that may not be true: {other:?}"),
            None => break,
        }
        assert!(kept < 100, "the disk never fills");
    }
    let (code, _, logged) = serving.ended();
    assert_eq!(code, Some(1), "{logged}");
    assert!(logged.contains("the disk failed to keep what was written"), "{logged}");

    let serving = Serving::start(&[], folder.path());
    let raw = connect(serving.address, &alice.device).await;
    let answer = raw.sign_in(&alice.name, &alice.password).await.unwrap();
    let Ok(Reply::SignedIn { book: Some((version, _)), .. }) = answer else { panic!("{answer:?}") };
    // The one that was never acknowledged may have reached the disk or not.
    assert!(version == kept || version == kept + 1, "{version} after {kept}");
}

#[test]
fn slips_on_the_command_line_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["--bind", "nowhere"][..], &["--registration", "maybe"], &["invite", "0"], &["issue"], &["-v", "-q"]]
    {
        let refused = run(arguments, folder.path());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&refused.stdout), "");
    }
}

#[test]
fn an_address_in_use_is_named_with_the_way_out() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Serving::start(&[], one.path());
    let refused = run(&["--bind", &first.address.to_string()], other.path());
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains(&first.address.to_string()) && said.contains("--bind"), "{said}");
}

#[test]
fn logs_go_to_the_file_as_json_and_the_line_stays_alone_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let arguments = ["--log-file", log.to_str().unwrap(), "--log-format", "json"];
    let serving = Serving::start(&arguments, &folder.path().join("data"));
    serving.signal("-TERM");
    let (code, printed, logged) = serving.ended();
    assert_eq!((code, printed.as_str(), logged.as_str()), (Some(0), "", ""));
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.lines().count() >= 2);
    assert!(lines.lines().all(|line| line.starts_with("{\"timestamp\":") && line.ends_with('}')), "{lines}");
}
