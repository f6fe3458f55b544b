//! What somebody who guesses is answered: alike for a wrong password, for a name that nobody has and for an account that
//! has closed, in kind, in every length and in the words of a refusal.

use std::{collections::BTreeSet, net::Ipv4Addr};

use directory::store::Store;
use protocol::{
    Name, Signature,
    directory::{Recovery, Refusal, Reply, Request},
    frame,
    limits::{DIRECTORY_FRAME_MAX, OPAQUE_MAX},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use crate::hall::{Answer, Hall, Person, bytes};

over_both!(
    all_that_a_guesser_sees_is_alike_for_wrong_passwords_unknown_names_and_closed_accounts,
    what_is_drawn_anew_and_what_stays_is_the_same_for_known_and_unknown_names,
    asking_for_a_backup_tells_names_apart_at_the_rate_of_guesses_and_no_faster,
    a_recovery_that_proves_nothing_ends_alike_for_known_and_unknown_names,
);

/// Rounds of guesses over each store.
const DRAWS: u32 = 120;
/// Bytes of the evaluated password, which are the same for the same password under the same name.
const EVALUATION: usize = 33;
/// Bytes of a proof of the password.
const PROOF: usize = 32;

/// What can be seen of an answer without a key: its kind, the lengths of its fields, a refusal's words, and the length of
/// the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Started { credential: usize, frame: usize },
    Refused { refusal: Refusal, words: String, frame: usize },
}

fn seen(answer: &Answer) -> Seen {
    let frame = frame::encode_body(answer, DIRECTORY_FRAME_MAX).unwrap().len();
    match answer {
        Ok(Reply::SignInStarted { credential }) => Seen::Started { credential: credential.len(), frame },
        Err(refusal) => Seen::Refused { refusal: refusal.clone(), words: refusal.to_string(), frame },
        Ok(other) => panic!("{other:?}"),
    }
}

/// Somebody without an account, somewhere.
fn guesser(hall: &Hall<impl Store>, place: u32) -> Person {
    let mut guesser = Person::new("mallory", 9, hall.now);
    guesser.move_to(Ipv4Addr::from_bits(0xac10_0000 + place).into());
    guesser
}

fn garbage(rng: &mut ChaCha20Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn any_length(rng: &mut ChaCha20Rng) -> Vec<u8> {
    let length = rng.next_u32() as usize % (OPAQUE_MAX + 1);
    garbage(rng, length)
}

fn start(hall: &Hall<impl Store>, guesser: &mut Person, name: &str, credential: &[u8]) -> Answer {
    let request = Request::SignInStart { name: Name::parse(name).unwrap(), credential: bytes(credential) };
    let handled = hall.handle(guesser, request);
    assert_eq!(handled.effects, []);
    handled.answer
}

fn finish(hall: &Hall<impl Store>, guesser: &mut Person, proof: &[u8]) -> Answer {
    let handled = hall.handle(guesser, Request::SignInFinish { credential: bytes(proof) });
    assert_eq!(handled.effects, []);
    handled.answer
}

/// What a guesser sees who sends all that a guesser can send for a name; the same for each name in the same draw.
fn guess(hall: &Hall<impl Store>, name: &str, draw: u32, place: u32) -> Vec<Seen> {
    let mut rng = ChaCha20Rng::seed_from_u64(draw.into());
    let mut guesser = guesser(hall, place);
    let first = guesser.first_message(&format!("guess {draw}"));
    let another = guesser.first_message(&format!("another {draw}"));
    let mut answers = vec![finish(hall, &mut guesser, &garbage(&mut rng, PROOF))];
    // A start, the same again, and another; then a proof of the right length, and the proof again.
    answers.push(start(hall, &mut guesser, name, &first));
    answers.push(start(hall, &mut guesser, name, &first));
    answers.push(start(hall, &mut guesser, name, &another));
    let proof = garbage(&mut rng, PROOF);
    answers.push(finish(hall, &mut guesser, &proof));
    answers.push(finish(hall, &mut guesser, &proof));
    // Proofs that are none: of any length, and empty.
    for proof in [any_length(&mut rng), Vec::new()] {
        answers.push(start(hall, &mut guesser, name, &first));
        answers.push(finish(hall, &mut guesser, &proof));
    }
    // A start that is none, which counts too.
    answers.push(start(hall, &mut guesser, name, &any_length(&mut rng)));
    // By now this address has to wait for this name.
    answers.push(start(hall, &mut guesser, name, &first));
    answers.push(finish(hall, &mut guesser, &proof));
    answers.iter().map(seen).collect()
}

fn all_that_a_guesser_sees_is_alike_for_wrong_passwords_unknown_names_and_closed_accounts(mut hall: Hall<impl Store>) {
    hall.arrive("alice", 1);
    hall.arrive("somebody-with-a-name-this-long", 2);
    let mut carol = hall.arrive("carol", 3);
    assert!(matches!(hall.sign_in(&mut carol), Ok(Reply::SignedIn { .. })));
    assert_eq!(hall.ask(&mut carol, Request::CloseAccount), Ok(Reply::Done));
    let others = ["somebody-with-a-name-this-long", "carol", "nobody", "nobody-with-a-name-that-is-long", "ålice"];
    let mut kinds = BTreeSet::new();
    for draw in 0..DRAWS {
        let known = guess(&hall, "alice", draw, 8 * draw);
        for (name, place) in others.into_iter().zip(1..) {
            assert_eq!(guess(&hall, name, draw, 8 * draw + place), known, "draw {draw}: {name} is told from alice");
        }
        kinds.extend(known.iter().map(|seen| match seen {
            Seen::Started { .. } => "started".to_owned(),
            Seen::Refused { words, .. } => words.clone(),
        }));
        hall.pass(1_000);
    }
    let all = [
        "started",
        "the request is malformed: \"no OPAQUE request\"",
        "the request is malformed: \"there was no start\"",
        "too many requests; try again in 1000 ms",
        "wrong name or password",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all, "everything was seen");
}

fn what_is_drawn_anew_and_what_stays_is_the_same_for_known_and_unknown_names(mut hall: Hall<impl Store>) {
    hall.arrive("alice", 1);
    for (name, place) in [("alice", 1), ("nobody", 2)] {
        let mut guesser = guesser(&hall, place);
        let first = guesser.first_message("a guess");
        let mut answers = Vec::new();
        for _ in 0..50 {
            let answer = start(&hall, &mut guesser, name, &first);
            let Ok(Reply::SignInStarted { credential }) = answer else { panic!("{name}: {answer:?}") };
            answers.push(credential.to_vec());
            hall.pass(60_000);
        }
        let evaluations: BTreeSet<_> = answers.iter().map(|answer| answer[..EVALUATION].to_vec()).collect();
        assert_eq!(evaluations.len(), 1, "{name}: the evaluation of one password stays");
        let drawn: BTreeSet<_> = answers.iter().map(|answer| answer[EVALUATION..].to_vec()).collect();
        assert_eq!(drawn.len(), answers.len(), "{name}: the rest is drawn anew");
        // No byte of the rest stays, but for the first one of a compressed point, which has two values.
        for at in EVALUATION..answers[0].len() {
            let values: BTreeSet<u8> = answers.iter().map(|answer| answer[at]).collect();
            let is_point = values == BTreeSet::from([2, 3]);
            assert!(values.len() > 20 || is_point, "{name}: byte {at} takes {} values", values.len());
        }
    }
}

fn asking_for_a_backup_tells_names_apart_at_the_rate_of_guesses_and_no_faster(mut hall: Hall<impl Store>) {
    hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, 1);
    let ask = |hall: &Hall<_>, mallory: &mut Person, name: &str| {
        let registration = bytes(&mallory.first_message("a guess")[..EVALUATION]);
        hall.ask(mallory, Request::RecoveryStart { name: Name::parse(name).unwrap(), registration })
    };
    for name in ["alice", "nobody"] {
        // Recoveries and sign-ins count together, for each name.
        for _ in 0..3 {
            match ask(&hall, &mut mallory, name) {
                Ok(Reply::RecoveryStarted { .. }) => assert_eq!(name, "alice"),
                answer => assert_eq!((name, answer), ("nobody", Err(Refusal::WrongCredentials))),
            }
            let first = mallory.first_message("a guess");
            assert!(matches!(start(&hall, &mut mallory, name, &first), Ok(Reply::SignInStarted { .. })));
        }
        let limited = Err(Refusal::RateLimited { retry_after_ms: 1_000 });
        assert_eq!(ask(&hall, &mut mallory, name), limited, "{name}");
        let first = mallory.first_message("a guess");
        assert_eq!(start(&hall, &mut mallory, name, &first), limited, "{name}");
    }
    // And over all names together.
    hall.pass(60_000);
    let asked = (0..10_000).take_while(|n| {
        let answer = ask(&hall, &mut mallory, &format!("nobody-{n}"));
        answer == Err(Refusal::WrongCredentials)
    });
    assert!(asked.count() < 150, "an address that asks for many names is slowed");
}

fn a_recovery_that_proves_nothing_ends_alike_for_known_and_unknown_names(hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    let mut mallory = guesser(&hall, 1);
    for (name, signature) in [("alice", 1), ("nobody", 1), ("alice", 2), ("nobody", 2)] {
        let recovery = Recovery {
            name: Name::parse(name).unwrap(),
            registration: bytes(&[3; OPAQUE_MAX]),
            devices: alice.devices.clone(),
            root_backup: bytes(&[1; 64]),
            recovery_backup: bytes(&[2; 64]),
            signature: Signature([signature; 64]),
        };
        let answer = hall.ask(&mut mallory, Request::RecoveryFinish(Box::new(recovery)));
        assert_eq!(answer, Err(Refusal::WrongCredentials), "{name}");
    }
}
