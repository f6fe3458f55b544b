//! Accounts over the wire: signing up with real OPAQUE, coming back without a password, going for good.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use directory::server::{Server, Settings};
use protocol::{
    Bounded, Name,
    directory::{Push, Refusal, Registration, Reply, Request, Who},
    peer::CloseCode,
};
use support::{Device, Person, connect};

async fn directory() -> Server {
    Server::start(Settings::in_memory()).await.unwrap()
}

fn announce() -> Request {
    Request::Announce { addresses: Bounded::default(), send_counter: 0 }
}

fn code(code: CloseCode) -> u64 {
    u64::from(code as u32)
}

#[tokio::test]
async fn signing_up_signs_in_and_the_key_alone_is_enough_to_come_back() {
    let server = directory().await;
    let alice = Person::new("alice", 1);
    let first = alice.arrive(server.local_addr()).await;
    let account = membership::account_id(&membership::signing::public_key(&alice.root));
    let Ok(Reply::Pong { account: signed_in, .. }) = first.ask(&Request::Ping).await else { panic!("no pong") };
    assert_eq!(signed_in, Some(account));
    first.connection.close(0_u32.into(), b"");

    let again = connect(server.local_addr(), &alice.device).await;
    let Ok(Reply::Pong { account: signed_in, .. }) = again.ask(&Request::Ping).await else { panic!("no pong") };
    assert_eq!(signed_in, Some(account));
    server.shutdown().await;
}

#[tokio::test]
async fn the_password_signs_the_same_device_in_again() {
    let server = directory().await;
    let alice = Person::new("alice", 1);
    let first = alice.arrive(server.local_addr()).await;
    assert_eq!(first.ask(&Request::SignOut).await, Ok(Reply::Done));
    let again = connect(server.local_addr(), &alice.device).await;
    let answer = again.sign_in(&alice.name, &alice.password).await.unwrap();
    let Ok(Reply::SignedIn { enrolled, root_backup, devices, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!((enrolled, &*root_backup, devices), (true, &alice.backup[..], alice.devices()));
    assert!(matches!(again.ask(&announce()).await, Ok(Reply::Announced { .. })));
    server.shutdown().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_alike() {
    let server = directory().await;
    let alice = Person::new("alice", 1);
    alice.arrive(server.local_addr()).await;
    let stranger = connect(server.local_addr(), &Device::new(9)).await;
    // The node can't open the answer to either: it never gets to finish.
    assert_eq!(stranger.sign_in(&alice.name, "wrong-password").await, None);
    assert_eq!(stranger.sign_in(&Name::parse("nobody").unwrap(), "wrong-password").await, None);
    // One that finishes all the same is refused alike.
    for name in ["alice", "nobody"] {
        let answer = stranger.force_sign_in(&Name::parse(name).unwrap()).await;
        assert_eq!(answer, Err(Refusal::WrongCredentials), "{name}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn signing_out_ends_the_session_at_once() {
    let server = directory().await;
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let first = alice.arrive(server.local_addr()).await;
    let other = bob.arrive(server.local_addr()).await;
    assert_eq!(first.ask(&Request::SignOut).await, Ok(Reply::Done));
    let (why, _) = first.closed().await;
    assert_eq!(why, code(CloseCode::SignedOut));

    let again = connect(server.local_addr(), &alice.device).await;
    assert_eq!(again.ask(&announce()).await, Err(Refusal::NotSignedIn));
    let who = Bounded::new(vec![Who::Name(alice.name.clone())]).unwrap();
    let Ok(Reply::People(people)) = other.ask(&Request::LookUp { who }).await else { panic!("no people") };
    assert_eq!(people.iter().map(|person| person.online).collect::<Vec<_>>(), [false]);
    server.shutdown().await;
}

#[tokio::test]
async fn strangers_are_told_to_sign_in() {
    let server = directory().await;
    let stranger = connect(server.local_addr(), &Device::new(9)).await;
    assert_eq!(stranger.ask(&announce()).await, Err(Refusal::NotSignedIn));
    assert_eq!(stranger.ask(&Request::Drain { after: None }).await, Err(Refusal::NotSignedIn));
    server.shutdown().await;
}

#[tokio::test]
async fn a_newer_connection_of_a_device_takes_the_older_ones_place() {
    let server = directory().await;
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let older = alice.arrive(server.local_addr()).await;
    let watcher = bob.arrive(server.local_addr()).await;
    let newer = connect(server.local_addr(), &alice.device).await;
    assert_eq!(older.closed().await, (code(CloseCode::Superseded), "superseded".to_owned()));
    assert!(matches!(newer.ask(&announce()).await, Ok(Reply::Announced { .. })));
    let who = Bounded::new(vec![Who::Name(alice.name.clone())]).unwrap();
    let Ok(Reply::People(people)) = watcher.ask(&Request::LookUp { who }).await else { panic!("no people") };
    assert_eq!(people.iter().map(|person| person.online).collect::<Vec<_>>(), [true]);
    server.shutdown().await;
}

#[tokio::test]
async fn others_hear_that_somebody_came_and_went() {
    let server = directory().await;
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let watcher = alice.arrive(server.local_addr()).await;
    assert!(matches!(watcher.ask(&announce()).await, Ok(Reply::Announced { .. })));
    let account = membership::account_id(&membership::signing::public_key(&bob.root));
    let said = |online| Push::Presence { account, name: bob.name.clone(), online };

    let guest = bob.arrive(server.local_addr()).await;
    assert!(matches!(guest.ask(&announce()).await, Ok(Reply::Announced { .. })));
    let mut pushes = watcher.pushes().await;
    assert_eq!(pushes.next_presence_of(account).await, said(true));
    guest.connection.close(0_u32.into(), b"");
    assert_eq!(pushes.next_presence_of(account).await, said(false));
    server.shutdown().await;
}

#[tokio::test]
async fn a_taken_name_and_a_taken_device_are_refused() {
    let server = directory().await;
    Person::new("alice", 1).arrive(server.local_addr()).await;
    let other = Person { name: Name::parse("alice").unwrap(), ..Person::new("mallory", 2) };
    let raw = connect(server.local_addr(), &other.device).await;
    assert_eq!(raw.sign_up(&other, None).await, Err(Refusal::NameTaken));
    server.shutdown().await;
}

#[tokio::test]
async fn closed_means_closed_and_an_invite_needs_its_code() {
    for (registration, refusal) in
        [(Registration::Closed, Refusal::RegistrationClosed), (Registration::Invite, Refusal::InviteNeeded)]
    {
        let server = Server::start(Settings { registration, ..Settings::in_memory() }).await.unwrap();
        let alice = Person::new("alice", 1);
        let raw = connect(server.local_addr(), &alice.device).await;
        assert_eq!(raw.sign_up(&alice, Some("not-a-code")).await, Err(refusal));
        let Ok(Reply::Pong { registration: told, .. }) = raw.ask(&Request::Ping).await else { panic!("no pong") };
        assert_eq!(told, registration);
        server.shutdown().await;
    }
}

#[tokio::test]
async fn accounts_and_the_directorys_key_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let alice = Person::new("alice", 1);
    let server = Server::start(Settings::in_folder(folder.path())).await.unwrap();
    let key = server.fingerprint();
    alice.arrive(server.local_addr()).await;
    server.shutdown().await;

    let server = Server::start(Settings::in_folder(folder.path())).await.unwrap();
    assert_eq!(server.fingerprint(), key);
    let again = connect(server.local_addr(), &alice.device).await;
    assert!(matches!(again.ask(&announce()).await, Ok(Reply::Announced { .. })));
    let answer = again.sign_in(&alice.name, &alice.password).await.unwrap();
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
    server.shutdown().await;
}

#[tokio::test]
async fn where_presence_is_for_contacts_others_see_nobody_come() {
    let server = Server::start(Settings { presence_to_everyone: false, ..Settings::in_memory() }).await.unwrap();
    let (alice, bob, carol) = (Person::new("alice", 1), Person::new("bob", 2), Person::new("carol", 3));
    let watched = alice.arrive(server.local_addr()).await;
    let contact = bob.arrive(server.local_addr()).await;
    let stranger = carol.arrive(server.local_addr()).await;
    assert!(matches!(watched.ask(&announce()).await, Ok(Reply::Announced { .. })));
    let accounts = Bounded::new(vec![membership::account_id(&membership::signing::public_key(&bob.root))]).unwrap();
    assert_eq!(watched.ask(&Request::Accept { accounts }).await, Ok(Reply::Done));
    for (asker, sees) in [(&contact, true), (&stranger, false)] {
        let who = Bounded::new(vec![Who::Name(alice.name.clone())]).unwrap();
        let Ok(Reply::People(people)) = asker.ask(&Request::LookUp { who }).await else { panic!("no people") };
        assert_eq!(people.iter().map(|person| person.online).collect::<Vec<_>>(), [sees]);
        let Ok(Reply::People(people)) = asker.ask(&Request::ListOnline { after: None }).await else { panic!("none") };
        assert_eq!(people.iter().any(|person| person.name == alice.name), sees);
    }
    server.shutdown().await;
}
