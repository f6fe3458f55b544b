//! Who is signed in, who is there, and who may know where.

use directory::{
    core::{Caller, ServiceEffect},
    store::{Store, memory::MemoryStore},
};
use protocol::{
    AccountId, Bounded, Name,
    directory::{DeviceAddresses, Person as Listed, Push, Refusal, Registration, Reply, Request, Who},
    limits::LEASE_MS,
};

use crate::hall::{Answer, Hall, Person, bytes};

over_both!(
    a_sign_out_ends_every_connection_of_the_device_at_once,
    what_a_connection_announces_after_a_sign_out_elsewhere_is_taken_back,
    a_device_that_signed_out_comes_back_by_its_password,
    a_session_outlives_the_process_and_ends_with_the_certificate,
    an_unknown_name_and_a_wrong_password_answer_alike,
    a_lease_that_is_not_renewed_ends_and_is_told,
    addresses_are_told_only_to_whom_a_person_accepted,
    a_stranger_is_answered_nothing_but_a_ping,
);

fn announce(hall: &Hall<impl Store>, person: &mut Person) -> (Answer, Vec<ServiceEffect>) {
    let handled = hall.handle(person, Request::Announce { addresses: Bounded::default(), send_counter: 0 });
    (handled.answer, handled.effects)
}

fn look_up(hall: &Hall<impl Store>, by: &mut Person, who: AccountId) -> Listed {
    let answer = hall.ask(by, Request::LookUp { who: vec![Who::Account(who)].try_into().unwrap() });
    let Ok(Reply::People(people)) = answer else { panic!("{answer:?}") };
    people.into_inner().remove(0)
}

fn told(device: &Person, account: &Person, online: bool) -> ServiceEffect {
    let push = Push::Presence { account: account.account, name: account.name.clone(), online };
    ServiceEffect::Push { device: device.device(), push }
}

/// What another connection of a person's device is told.
fn ping(hall: &Hall<impl Store>, caller: &mut Caller) -> (Option<AccountId>, Vec<ServiceEffect>) {
    let handled = hall.service.handle(hall.now, caller, Request::Ping);
    let Ok(Reply::Pong { account, .. }) = handled.answer else { panic!("{:?}", handled.answer) };
    (account, handled.effects)
}

fn a_sign_out_ends_every_connection_of_the_device_at_once(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    assert!(announce(&hall, &mut bob).0.is_ok());
    assert!(announce(&hall, &mut alice).0.is_ok());
    let mut other = alice.connection();
    assert_eq!(hall.service.connected(hall.now, &mut other), []);
    assert_eq!(ping(&hall, &mut other), (Some(alice.account), vec![]));
    let closed = ServiceEffect::CloseSession { device: alice.device() };
    let handled = hall.handle(&mut alice, Request::SignOut);
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::Done), vec![told(&bob, &alice, false), closed.clone()]));
    assert_eq!(ping(&hall, &mut other), (None, vec![closed]), "it is told, and then a stranger's");
    for caller in [&mut other, &mut alice.caller] {
        let handled = hall.service.handle(hall.now, caller, Request::Drain { after: None });
        assert_eq!((handled.answer, handled.effects), (Err(Refusal::NotSignedIn), vec![]));
    }
    assert!(!look_up(&hall, &mut bob, alice.account).online);
    assert_eq!(ping(&hall, &mut bob.caller), (Some(bob.account), vec![]), "nobody else's session ends");
}

fn what_a_connection_announces_after_a_sign_out_elsewhere_is_taken_back(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    assert!(announce(&hall, &mut bob).0.is_ok());
    let mut other = alice.connection();
    assert_eq!(hall.service.connected(hall.now, &mut other), []);
    assert!(hall.ask(&mut alice, Request::SignOut).is_ok());
    alice.caller = other;
    let closed = ServiceEffect::CloseSession { device: alice.device() };
    assert_eq!(announce(&hall, &mut alice), (Err(Refusal::NotSignedIn), vec![closed]));
    assert!(!look_up(&hall, &mut bob, alice.account).online);
    // A new connection has no session either.
    hall.connect(&mut alice);
    assert_eq!(announce(&hall, &mut alice), (Err(Refusal::NotSignedIn), vec![]));
}

fn a_device_that_signed_out_comes_back_by_its_password(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    assert!(hall.ask(&mut alice, Request::SignOut).is_ok());
    let answer = hall.sign_in(&mut alice);
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
    assert!(announce(&hall, &mut alice).0.is_ok());
    // With the right password, but from a device that the account does not have.
    let (name, password) = (alice.name.to_string(), alice.password.clone());
    let (_, credential) = hall.start_sign_in(&mut bob, &name, &password);
    let answer = hall.ask(&mut bob, Request::SignInFinish { credential: bytes(&credential.unwrap()) });
    let Ok(Reply::SignedIn { account, enrolled, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!((account, enrolled), (alice.account, false));
    assert_eq!(bob.caller.account(), Some(bob.account), "and it stays whose it was");
}

fn a_session_outlives_the_process_and_ends_with_the_certificate(mut hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    hall.connect(&mut alice);
    assert_eq!(ping(&hall, &mut alice.caller).0, Some(alice.account));
    hall.pass(protocol::limits::CERTIFICATE_LIFETIME_MS - 1);
    hall.connect(&mut alice);
    assert_eq!(ping(&hall, &mut alice.caller).0, Some(alice.account));
    hall.pass(1);
    hall.connect(&mut alice);
    assert_eq!(ping(&hall, &mut alice.caller).0, None);
    let answer = hall.sign_in(&mut alice);
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: false, .. })), "only the root key renews it: {answer:?}");
}

fn an_unknown_name_and_a_wrong_password_answer_alike(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let mut mallory = Person::new("mallory", 9, hall.now);
    let mut lengths = Vec::new();
    for (name, password) in [("alice", "wrong"), ("nobody", "wrong"), ("nobody", "wrong"), ("alice", "correct")] {
        let (answer, credential) = hall.start_sign_in(&mut mallory, name, password);
        assert_eq!(credential, None, "{name}");
        lengths.push(answer.len());
        let finish = hall.ask(&mut mallory, Request::SignInFinish { credential: bytes(&[7; 32]) });
        assert_eq!(finish, Err(Refusal::WrongCredentials), "{name}");
    }
    assert_eq!(lengths, [lengths[0]; 4], "as long for everybody");
    // What is the same for each name must be so for one that nobody has: the masked response is drawn anew each time,
    // the evaluation of the password under the name's key is not.
    let evaluation = |mallory: &mut Person, name: &str| {
        *mallory = Person::new("mallory", 9, hall.now);
        hall.start_sign_in(mallory, name, "wrong").0[..33].to_vec()
    };
    for name in ["alice", "nobody"] {
        assert_eq!(evaluation(&mut mallory, name), evaluation(&mut mallory, name), "{name}");
    }
    assert!(matches!(hall.sign_in(&mut alice), Ok(Reply::SignedIn { .. })));
}

fn a_lease_that_is_not_renewed_ends_and_is_told(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    assert_eq!(announce(&hall, &mut bob).1, []);
    assert_eq!(announce(&hall, &mut alice).1, [told(&bob, &alice, true)]);
    hall.pass(LEASE_MS - 1);
    assert_eq!(hall.service.sweep(hall.now), []);
    assert_eq!(announce(&hall, &mut bob).1, [], "a renewal is no coming");
    hall.pass(1);
    assert_eq!(hall.service.sweep(hall.now), [told(&bob, &alice, false)]);
    let seen = look_up(&hall, &mut bob, alice.account);
    assert_eq!((seen.online, seen.last_seen), (false, Some(hall.now)));
    assert_eq!(announce(&hall, &mut alice).1, [told(&bob, &alice, true)], "and it comes back");
    assert!(look_up(&hall, &mut bob, alice.account).online);
}

fn addresses_are_told_only_to_whom_a_person_accepted(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    assert!(announce(&hall, &mut bob).0.is_ok());
    let addresses = |alice: &mut Person, of: AccountId| {
        let answer = hall.ask(alice, Request::Addresses { account: of });
        let Ok(Reply::Addresses(addresses)) = answer else { panic!("{answer:?}") };
        addresses.into_inner()
    };
    assert_eq!(addresses(&mut alice, bob.account), []);
    // That she accepted him tells her nothing; that he accepted her does.
    let accept = |person: &mut Person, other: AccountId| {
        let request = Request::Accept { accounts: vec![other].try_into().unwrap() };
        assert_eq!(hall.ask(person, request), Ok(Reply::Done));
    };
    accept(&mut alice, bob.account);
    assert_eq!(addresses(&mut alice, bob.account), []);
    accept(&mut bob, alice.account);
    let known = DeviceAddresses {
        device: bob.device(),
        tls_key: bob.entry.tls_key,
        addresses: vec!["10.0.0.2:7000".parse().unwrap()].try_into().unwrap(),
    };
    assert_eq!(addresses(&mut alice, bob.account), [known]);
    assert_eq!(addresses(&mut alice, AccountId([77; 32])), []);
    hall.service.disconnected(hall.now, &mut bob.caller);
    assert_eq!(addresses(&mut alice, bob.account), [], "gone is gone");
}

fn a_stranger_is_answered_nothing_but_a_ping(hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    let mut stranger = Person::new("stranger", 9, hall.now);
    let who = vec![Who::Name(alice.name.clone())].try_into().unwrap();
    let requests = [
        Request::SignOut,
        Request::LookUp { who },
        Request::ListOnline { after: None },
        Request::TakeKeyPackages { account: alice.account },
        Request::Drain { after: None },
    ];
    for request in requests {
        assert_eq!(hall.ask(&mut stranger, request), Err(Refusal::NotSignedIn));
    }
    assert_eq!(ping(&hall, &mut stranger.caller), (None, vec![]));
}

#[test]
fn presence_is_told_only_to_whom_a_person_accepted_where_the_operator_says_so() {
    let hall = Hall::configured(MemoryStore::default(), false, Registration::Open);
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let accept = Request::Accept { accounts: vec![bob.account].try_into().unwrap() };
    assert_eq!(hall.ask(&mut alice, accept), Ok(Reply::Done));
    for person in [&mut bob, &mut carol] {
        assert!(announce(&hall, person).0.is_ok());
    }
    assert_eq!(announce(&hall, &mut alice).1, [told(&bob, &alice, true)]);
    let listed = |by: &mut Person| {
        let answer = hall.ask(by, Request::ListOnline { after: None });
        let Ok(Reply::People(people)) = answer else { panic!("{answer:?}") };
        people.into_inner().into_iter().map(|person| person.name).collect::<Vec<Name>>()
    };
    assert_eq!(listed(&mut bob), [alice.name.clone(), bob.name.clone()]);
    assert_eq!(listed(&mut carol), [carol.name.clone()]);
    assert_eq!(look_up(&hall, &mut carol, alice.account).last_seen, None);
}
