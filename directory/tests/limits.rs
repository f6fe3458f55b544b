//! How much one account and one address may ask over the wire: plenty, but guessing is slow.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use directory::server::{Server, Settings};
use protocol::{
    Name,
    directory::{Refusal, Reply, Request},
};
use support::{Device, Person, connect};

async fn directory() -> Server {
    Server::start(Settings::in_memory()).await.unwrap()
}

#[tokio::test]
async fn a_hundred_people_behind_one_address_start_to_sign_in_at_once() {
    let server = directory().await;
    let raw = connect(server.local_addr(), &Device::new(1)).await;
    for number in 0..100 {
        let name = Name::parse(&format!("person-{number}")).unwrap();
        let answer = raw.start_sign_in(&name).await;
        assert!(matches!(answer, Ok(Reply::SignInStarted { .. })), "{number}: {answer:?}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn an_account_may_ask_five_hundred_things_at_once() {
    let server = directory().await;
    let raw = Person::new("alice", 1).arrive(server.local_addr()).await;
    for number in 0..500 {
        let answer = raw.ask(&Request::Drain { after: None }).await;
        assert!(matches!(answer, Ok(Reply::Mail { .. })), "{number}: {answer:?}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_guess_counts_even_if_the_guesser_never_comes_back_to_finish() {
    let server = directory().await;
    let alice = Person::new("alice", 1);
    alice.arrive(server.local_addr()).await;
    let mut refused = false;
    // With OPAQUE the guesser knows after the first half; a new connection for each guess changes nothing.
    for _ in 0..20 {
        let guesser = connect(server.local_addr(), &Device::new(9)).await;
        refused |= matches!(guesser.start_sign_in(&alice.name).await, Err(Refusal::RateLimited { .. }));
    }
    assert!(refused);
    server.shutdown().await;
}

#[tokio::test]
async fn guessing_one_password_is_slowed_and_harms_nobody_else_behind_the_address() {
    let server = directory().await;
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    alice.arrive(server.local_addr()).await;
    bob.arrive(server.local_addr()).await;
    let guesser = connect(server.local_addr(), &Device::new(9)).await;
    let mut tries = 0;
    let refusal = loop {
        match guesser.start_sign_in(&alice.name).await {
            Ok(_) => assert_eq!(guesser.finish_wrongly().await, Err(Refusal::WrongCredentials)),
            Err(refusal) => break refusal,
        }
        tries += 1;
        assert!(tries < 20, "a guesser is not slowed");
    };
    assert!(matches!(refusal, Refusal::RateLimited { retry_after_ms: 1.. }), "{refusal:?}");
    // Slips of the finger are free.
    assert!(tries >= 3, "{tries}");
    let again = connect(server.local_addr(), &bob.device).await;
    let answer = again.sign_in(&bob.name, &bob.password).await.unwrap();
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
    server.shutdown().await;
}
