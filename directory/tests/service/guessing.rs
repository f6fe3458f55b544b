//! Guessing is slowed, for each account and each address; its owner is never locked out.

use std::net::{IpAddr, Ipv4Addr};

use directory::store::Store;
use protocol::{
    Name,
    directory::{Refusal, Reply, Request},
};

use crate::hall::{Hall, Person, bytes};

over_both!(
    each_wrong_guess_makes_the_next_one_wait_longer_up_to_a_minute,
    knocking_while_one_has_to_wait_neither_helps_nor_harms,
    the_owner_gets_in_elsewhere_at_once_and_here_after_the_wait_and_is_free_then,
    who_is_signed_in_behind_a_guessers_address_notices_nothing,
    one_password_tried_on_many_names_slows_the_address_and_no_other,
    an_address_of_ipv6_is_its_network,
    an_hour_has_room_for_seventy_guesses,
);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
/// Wrong passwords for one name that cost nothing.
const FREE: usize = 5;
/// Wrong passwords over all names from one address that cost nothing.
const FREE_ADDRESS: usize = 150;

/// A wrong password for a name: `None` if it was heard, else how long to wait.
fn guess(hall: &Hall<impl Store>, guesser: &mut Person, name: &str) -> Option<u32> {
    let credential = bytes(&guesser.first_message("a guess"));
    match hall.ask(guesser, Request::SignInStart { name: Name::parse(name).unwrap(), credential }) {
        Ok(Reply::SignInStarted { .. }) => {
            let answer = hall.ask(guesser, Request::SignInFinish { credential: bytes(&[7; 32]) });
            assert_eq!(answer, Err(Refusal::WrongCredentials));
            None
        }
        Err(Refusal::RateLimited { retry_after_ms }) => Some(retry_after_ms),
        other => panic!("{other:?}"),
    }
}

fn guesser(hall: &Hall<impl Store>, address: IpAddr) -> Person {
    let mut guesser = Person::new("mallory", 9, hall.now);
    guesser.move_to(address);
    guesser
}

/// Whether the right password opens an account, or how long to wait.
fn sign_in(hall: &Hall<impl Store>, person: &mut Person) -> Result<(), u32> {
    match hall.sign_in(person) {
        Ok(Reply::SignedIn { .. }) => Ok(()),
        Err(Refusal::RateLimited { retry_after_ms }) => Err(retry_after_ms),
        other => panic!("{other:?}"),
    }
}

/// The owner of an account on a machine that is not enrolled.
fn new_machine(hall: &Hall<impl Store>, of: &Person, address: IpAddr) -> Person {
    let mut machine = Person::with_device(of.name.as_str(), 1, 77, hall.now.plus_ms(1_000_000_000));
    machine.move_to(address);
    machine
}

fn each_wrong_guess_makes_the_next_one_wait_longer_up_to_a_minute(mut hall: Hall<impl Store>) {
    hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, HERE);
    // Wrong so far, and the wait that the next one meets.
    let rows = [
        (1, None),
        (2, None),
        (3, None),
        (4, None),
        (5, None),
        (6, Some(1_000)),
        (7, Some(2_000)),
        (8, Some(4_000)),
        (9, Some(8_000)),
        (10, Some(16_000)),
        (11, Some(32_000)),
        (12, Some(60_000)),
        (13, Some(60_000)),
        (14, Some(60_000)),
    ];
    // A name that nobody has is slowed alike.
    for name in ["alice", "nobody"] {
        for (wrong, wait) in rows {
            assert_eq!(guess(&hall, &mut mallory, name), None, "{name}: guess {wrong} is heard");
            let Some(wait) = wait else { continue };
            // A new connection is no way around it, nor one on which somebody else signed in.
            mallory.move_to(HERE);
            assert_eq!(guess(&hall, &mut mallory, name), Some(wait), "{name}: after {wrong}");
            hall.pass(u64::from(wait) - 1);
            assert_eq!(guess(&hall, &mut mallory, name), Some(1), "{name}: after {wrong}, too early");
            hall.pass(1);
        }
    }
}

fn knocking_while_one_has_to_wait_neither_helps_nor_harms(mut hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    alice.move_to(HERE);
    let mut mallory = guesser(&hall, HERE);
    while guess(&hall, &mut mallory, "alice").is_none() {}
    for passed in 0..100 {
        assert_eq!(guess(&hall, &mut mallory, "alice"), Some(1_000 - passed * 10));
        hall.pass(10);
    }
    let mut machine = new_machine(&hall, &alice, HERE);
    assert_eq!(sign_in(&hall, &mut machine), Ok(()));
}

fn the_owner_gets_in_elsewhere_at_once_and_here_after_the_wait_and_is_free_then(mut hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, HERE);
    loop {
        match guess(&hall, &mut mallory, "alice") {
            Some(8_000) => break,
            wait => hall.pass(wait.unwrap_or_default().into()),
        }
    }
    assert_eq!(sign_in(&hall, &mut new_machine(&hall, &alice, ELSEWHERE)), Ok(()), "elsewhere at once");
    let mut here = new_machine(&hall, &alice, HERE);
    assert_eq!(sign_in(&hall, &mut here), Err(8_000), "success elsewhere does not free a guesser here");
    hall.pass(8_000);
    assert_eq!(sign_in(&hall, &mut here), Ok(()), "here after the wait");
    for slip in 0..FREE {
        assert_eq!(guess(&hall, &mut here, "alice"), None, "slip {slip} is free again");
    }
    assert_eq!(sign_in(&hall, &mut here), Ok(()), "and success clears them");
}

fn who_is_signed_in_behind_a_guessers_address_notices_nothing(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    alice.move_to(HERE);
    assert_eq!(hall.service.connected(hall.now, &mut alice.caller), []);
    let mut mallory = guesser(&hall, HERE);
    while guess(&hall, &mut mallory, "alice").is_none() {}
    assert!(matches!(hall.ask(&mut alice, Request::Drain { after: None }), Ok(Reply::Mail { .. })));
    // Reconnecting needs no password.
    alice.move_to(HERE);
    assert_eq!(hall.service.connected(hall.now, &mut alice.caller), []);
    assert!(matches!(hall.ask(&mut alice, Request::Drain { after: None }), Ok(Reply::Mail { .. })));
}

fn one_password_tried_on_many_names_slows_the_address_and_no_other(mut hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, HERE);
    let heard = (0..10_000).take_while(|n| guess(&hall, &mut mallory, &format!("person-{n}")).is_none()).count();
    assert_eq!(heard, FREE_ADDRESS + 1);
    let waits: Vec<_> = (0..8)
        .map(|n| {
            let wait = guess(&hall, &mut mallory, &format!("other-{n}")).unwrap();
            hall.pass(wait.into());
            assert_eq!(guess(&hall, &mut mallory, &format!("other-{n}")), None);
            wait
        })
        .collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    let mut here = new_machine(&hall, &alice, HERE);
    assert_eq!(sign_in(&hall, &mut here), Err(60_000), "whoever shares the address waits");
    assert_eq!(sign_in(&hall, &mut new_machine(&hall, &alice, ELSEWHERE)), Ok(()));
    hall.pass(60_000);
    assert_eq!(sign_in(&hall, &mut here), Ok(()), "a minute at most");
}

fn an_address_of_ipv6_is_its_network(hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, HERE);
    let heard = (0..100_u32).take_while(|n| {
        mallory.move_to(format!("2001:db8:1:2:{n:x}::{n:x}").parse().unwrap());
        guess(&hall, &mut mallory, "alice").is_none()
    });
    assert_eq!(heard.count(), FREE + 1);
    let next = "2001:db8:1:3::1".parse().unwrap();
    assert_eq!(sign_in(&hall, &mut new_machine(&hall, &alice, next)), Ok(()), "the network beside it is another");
}

fn an_hour_has_room_for_seventy_guesses(mut hall: Hall<impl Store>) {
    hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, HERE);
    let (mut heard, end) = (0, hall.now.plus_ms(3_600_000));
    while hall.now < end {
        match guess(&hall, &mut mallory, "alice") {
            None => heard += 1,
            Some(wait) => hall.pass(wait.into()),
        }
        hall.service.sweep(hall.now);
    }
    assert_eq!(heard, 70, "of a guesser who never waits longer than needed");
}
