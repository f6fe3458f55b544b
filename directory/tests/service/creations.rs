//! Conversations are made once, by one of their two people, with devices that these people have.

use directory::store::Store;
use membership::conversation_id;
use protocol::{
    ConversationId, Timestamp,
    directory::{HandshakeBytes, MailItem, NewConversation, Refusal, Reply, Request},
};

use crate::{
    hall::{BEGIN, Hall, Person, key, mail_for},
    talk::{Made, is_malformed, policy},
};

over_both!(
    a_creation_counts_once_and_its_welcome_comes_once,
    whoever_comes_second_is_told_to_join,
    a_creation_that_does_not_hold_is_refused,
    a_welcome_that_leaves_somebody_out_is_refused,
    a_device_whose_certificate_has_expired_is_neither_offered_nor_taken_in,
    somebody_else_neither_makes_a_conversation_nor_learns_of_it,
    a_generation_needs_the_one_before,
    nobody_makes_conversations_without_end,
);

fn a_creation_counts_once_and_its_welcome_comes_once(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    hall.stock(&mut bob, 1);
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 0);
    for _ in 0..2 {
        assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted));
    }
    let welcome =
        MailItem::Welcome { conversation: new.conversation, welcome: new.welcome.clone(), tree: new.tree.clone() };
    assert_eq!(hall.mail(&mut bob), [welcome]);
    assert_eq!(hall.mail(&mut alice), []);
    assert_eq!(hall.service.store().counts().unwrap().conversations, 1);
}

fn whoever_comes_second_is_told_to_join(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    hall.stock(&mut alice, 1);
    hall.stock(&mut bob, 1);
    let first = hall.make_direct(&mut alice, &bob, 0);
    let second = hall.make_direct(&mut bob, &alice, 0);
    let handled = hall.handle(&mut alice, Request::CreateConversation(Box::new(first.new)));
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::CommitAccepted), vec![mail_for(bob.device())]));
    let handled = hall.handle(&mut bob, Request::CreateConversation(Box::new(second.new)));
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::ConversationExists), vec![]));
    assert_eq!(hall.mail(&mut alice), [], "what lost leads nobody in");
}

fn a_creation_that_does_not_hold_is_refused(hall: Hall<impl Store>) {
    let (mut alice, bob, carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let unenrolled = Person::with_device("bob", 2, 22, Timestamp(u64::MAX));
    let strange = Person::new("nobody", 9, BEGIN);
    let package = |person: &Person| person.package(hall.now);
    let with_bob = policy(&alice, &bob, 0);
    let id = conversation_id(&with_bob);
    let good = |packages: &[_]| hall.make(&alice, &with_bob, id, packages).new;
    let renamed = NewConversation { conversation: ConversationId([1; 32]), ..good(&[package(&bob)]) };
    let nobodys_key = membership::signing::public_key(&key(250, 9));
    let with_nobody = membership::direct_policy(alice.entry.root_key, nobodys_key, 0);
    let cases = [
        ("an id that does not follow", hall.make(&alice, &with_bob, ConversationId([1; 32]), &[package(&bob)]).new),
        ("another id than the group's", renamed),
        ("another's tree", NewConversation { tree: good(&[package(&bob)]).tree, ..good(&[package(&bob)]) }),
        ("no GroupInfo", NewConversation { group_info: HandshakeBytes::default(), ..good(&[package(&bob)]) }),
        ("other people's roots", {
            let with_carol = policy(&alice, &carol, 0);
            hall.make(&alice, &with_carol, conversation_id(&with_carol), &[package(&bob)]).new
        }),
        ("a third person's device", good(&[package(&bob), package(&carol)])),
        ("a device that is not enrolled", good(&[package(&bob), package(&unenrolled)])),
        ("a device of nobody's", good(&[package(&strange)])),
    ];
    let honest = good(&[package(&bob)]);
    for (what, new) in cases {
        let answer = hall.create(&mut alice, &new);
        assert!(is_malformed(&answer), "{what}: {answer:?}");
    }
    let with_nobody = hall.make(&alice, &with_nobody, conversation_id(&with_nobody), &[]).new;
    let answer = hall.create(&mut alice, &with_nobody);
    assert!(is_malformed(&answer), "nobody to talk to: {answer:?}");
    assert_eq!(hall.service.store().counts().unwrap().conversations, 0);
    assert_eq!(hall.create(&mut alice, &honest), Ok(Reply::CommitAccepted), "the honest one");
}

fn a_welcome_that_leaves_somebody_out_is_refused(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    hall.stock(&mut bob, 1);
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 0);
    for welcome in [HandshakeBytes::default(), new.group_info.clone()] {
        let answer = hall.create(&mut alice, &NewConversation { welcome, ..new.clone() });
        assert!(is_malformed(&answer), "{answer:?}");
    }
    assert_eq!(hall.mail(&mut bob), []);
    assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted), "nothing stands in the honest one's way");
}

fn a_device_whose_certificate_has_expired_is_neither_offered_nor_taken_in(mut hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let mut bob = Person::with_device("bob", 2, 2, BEGIN.plus_ms(60_000));
    assert!(hall.sign_up(&mut bob).is_ok());
    hall.stock(&mut bob, 1);
    assert_eq!(hall.take(&mut alice, bob.account).len(), 1);
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 0);
    hall.pass(60_000);
    assert_eq!(hall.take(&mut alice, bob.account), []);
    let answer = hall.create(&mut alice, &new);
    assert!(is_malformed(&answer), "{answer:?}");
}

fn somebody_else_neither_makes_a_conversation_nor_learns_of_it(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    hall.stock(&mut bob, 1);
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 0);
    let ask = |carol: &mut Person| {
        let made = hall.create(carol, &new);
        (made, hall.ask(carol, Request::Group { conversation: new.conversation }))
    };
    let before = ask(&mut carol);
    assert_eq!(before, (Err(Refusal::NotMember), Err(Refusal::Unknown)));
    assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted));
    assert_eq!(ask(&mut carol), before, "the same answers, whether it exists or not");
    // Nor may one of the two put the other's word in: who makes it is in it.
    let answer = hall.create(&mut bob, &new);
    assert_eq!(answer, Ok(Reply::CommitAccepted), "the same request by another member says nothing new");
}

fn a_generation_needs_the_one_before(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    hall.stock(&mut bob, 9);
    for generation in [1, 2, u32::MAX] {
        let Made { new, .. } = hall.make_direct(&mut alice, &bob, generation);
        assert_eq!(hall.create(&mut alice, &new), Err(Refusal::Unknown), "generation {generation} of nothing");
    }
    for generation in 0..3 {
        let Made { new, .. } = hall.make_direct(&mut alice, &bob, generation);
        assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted), "generation {generation}");
    }
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 4);
    assert_eq!(hall.create(&mut alice, &new), Err(Refusal::Unknown), "one is left out");
}

fn nobody_makes_conversations_without_end(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    hall.stock(&mut bob, 1);
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 0);
    // A broken one costs no more of the directory's time than a look, and counts as well.
    let broken = NewConversation { conversation: ConversationId([1; 32]), ..new.clone() };
    let made = (0..1_000).take_while(|_| is_malformed(&hall.create(&mut alice, &broken))).count();
    assert_eq!(made, 500);
    let Err(Refusal::RateLimited { retry_after_ms }) = hall.create(&mut alice, &new) else { panic!() };
    assert!(hall.create(&mut bob, &new).is_ok(), "others are not slowed");
    hall.pass(u64::from(retry_after_ms));
    assert_eq!(hall.create(&mut alice, &new), Ok(Reply::CommitAccepted));
}
