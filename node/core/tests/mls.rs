//! The MLS wrapper, between devices that exchange bytes and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mls_people;

use membership::direct_policy;
use mls_people::{DAY_MS, Device, NOW, Person, Provider, id, opened};
use node_core::{
    crypto::mls::{Conversation, CreateError, JoinError, OpenError, Staging},
    stored::Table,
};
use protocol::{DeviceId, PublicKey, Timestamp};

/// Alice's device and bob's in a conversation that alice made.
struct Pair {
    roots: [PublicKey; 2],
    alice: Device,
    bob: Device,
    hers: Conversation<Provider>,
    his: Conversation<Provider>,
}

fn pair() -> Pair {
    let (mut a, mut b) = (Person::new(1), Person::new(2));
    let (alice, bob) = (a.device(1), b.device(2));
    let roots = [a.root.public(), b.root.public()];
    let package = bob.mls.key_package(NOW, false).unwrap();
    let policy = direct_policy(roots[0], roots[1], 0);
    let (hers, creation) = alice.mls.create(NOW, &policy, 1, &[package]).unwrap();
    let joined = bob.mls.join(NOW, 1, &creation.welcome, &creation.tree).unwrap();
    assert!(!joined.by_last_resort && joined.inviter == alice.device);
    Pair { roots, alice, bob, hers, his: joined.conversation }
}

/// A commit of one side, applied by both.
fn refresh(by: &mut Conversation<Provider>, other: &mut Conversation<Provider>) {
    let commit = by.propose_refresh(NOW).unwrap();
    let (here, there) = (by.apply(NOW, &commit.bytes).unwrap(), other.apply(NOW, &commit.bytes).unwrap());
    assert!(here.by_self && !there.by_self && !here.joined_by_itself);
    assert_eq!((here.epoch, &here.added, &here.removed), (there.epoch, &there.added, &there.removed));
    assert_eq!((here.added.len(), here.removed.len()), (0, 0));
}

#[test]
fn what_one_seals_the_other_opens_in_any_order_and_once() {
    let mut pair = pair();
    let sealed: Vec<Vec<u8>> = (0..4).map(|n| pair.hers.seal(NOW, id(n), &[n; 3]).unwrap()).collect();
    for n in [2, 0, 3, 1] {
        assert_eq!(pair.his.open(NOW, &sealed[usize::from(n)]), opened(&pair.alice, n, 1, &[n; 3]));
    }
    for message in &sealed {
        assert_eq!(pair.his.open(NOW, message), Err(OpenError::KeyUsed));
    }
    let answer = pair.his.seal(NOW, id(9), b"and back").unwrap();
    assert_eq!(pair.hers.open(NOW, &answer), opened(&pair.bob, 9, 1, b"and back"));
}

#[test]
fn lengths_show_in_steps_only() {
    let mut pair = pair();
    let lengths = [0, 1, 200, 252].map(|length| pair.hers.seal(NOW, id(1), &vec![7; length]).unwrap().len());
    // A DER signature is a byte or two shorter now and then, whatever is signed.
    let apart = |one: usize, other: usize| one.abs_diff(other) <= 4;
    assert!(lengths.iter().all(|length| apart(*length, lengths[0])), "{lengths:?}");
    assert!(apart(pair.hers.seal(NOW, id(1), &[7; 253]).unwrap().len(), lengths[0] + 256));
}

#[test]
fn what_is_not_sealed_by_a_member_is_refused_by_name() {
    let mut pair = pair();
    let sealed = pair.hers.seal(NOW, id(1), b"hello").unwrap();
    assert_eq!(pair.his.open(NOW, b"no message"), Err(OpenError::Malformed));
    assert_eq!(pair.his.open(NOW, &sealed[..sealed.len() - 1]), Err(OpenError::Malformed));
    let commit = pair.hers.propose_refresh(NOW).unwrap();
    assert_eq!(pair.his.open(NOW, &commit.bytes), Err(OpenError::Malformed));
    pair.hers.drop_pending();
    assert!(matches!(pair.hers.open(NOW, &sealed), Err(OpenError::Forged(_) | OpenError::KeyUsed)), "one's own");
    assert_eq!(pair.his.open(NOW, &sealed), opened(&pair.alice, 1, 1, b"hello"));
    for back in [1, 40, 200] {
        let mut altered = pair.hers.seal(NOW, id(2), b"hello").unwrap();
        let at = altered.len() - back;
        altered[at] ^= 1;
        let refused = pair.his.open(NOW, &altered);
        assert!(matches!(refused, Err(OpenError::Forged(_) | OpenError::KeyUsed)), "{back} from the end: {refused:?}");
    }
    let after = pair.hers.seal(NOW, id(3), b"after").unwrap();
    assert_eq!(pair.his.open(NOW, &after), opened(&pair.alice, 3, 1, b"after"));

    let other = self::pair();
    let (mut stranger, mut hers) = (Person::new(3), other.hers);
    let package = stranger.device(3).mls.key_package(NOW, false).unwrap();
    let policy = direct_policy(other.roots[0], stranger.root.public(), 0);
    let (mut elsewhere, _) = other.alice.mls.create(NOW, &policy, 1, &[package]).unwrap();
    let sealed = elsewhere.seal(NOW, id(1), b"hello").unwrap();
    assert_eq!(hers.open(NOW, &sealed), Err(OpenError::OtherConversation));
}

#[test]
fn messages_of_past_epochs_open_while_those_are_kept_and_of_later_ones_not_yet() {
    let mut pair = pair();
    let old = pair.hers.seal(NOW, id(1), b"old").unwrap();
    let older = pair.hers.seal(NOW, id(2), b"older").unwrap();
    refresh(&mut pair.hers, &mut pair.his);
    let commit = pair.hers.propose_refresh(NOW).unwrap();
    pair.hers.apply(NOW, &commit.bytes).unwrap();
    let early = pair.hers.seal(NOW, id(3), b"early").unwrap();
    assert_eq!(pair.his.open(NOW, &early), Err(OpenError::FutureEpoch(3)));
    pair.his.apply(NOW, &commit.bytes).unwrap();
    assert_eq!(pair.his.open(NOW, &early), opened(&pair.alice, 3, 3, b"early"));
    pair.his.write().unwrap();
    assert_eq!(pair.his.open(NOW, &old), opened(&pair.alice, 1, 1, b"old"));
    pair.his.write().unwrap();
    assert_eq!(pair.bob.staging.past_epochs(pair.his.id(), 1), [1, 2]);
    pair.bob.staging.trim(pair.his.id(), 1, 2);
    let mut again = pair.bob.mls.load(pair.his.id(), 1, Vec::new()).unwrap().unwrap();
    assert_eq!(again.open(NOW, &older), Err(OpenError::EpochGone));
}

#[test]
fn of_two_commits_of_one_epoch_the_loser_is_dropped_and_the_winner_applied() {
    let mut pair = pair();
    let (hers, his) = (pair.hers.propose_refresh(NOW).unwrap(), pair.his.propose_refresh(NOW).unwrap());
    for conversation in [&mut pair.hers, &mut pair.his] {
        conversation.apply(NOW, &his.bytes).unwrap();
        assert_eq!(conversation.epoch(), 2);
        assert!(conversation.apply(NOW, &hers.bytes).is_err(), "an epoch has one commit");
    }
    let sealed = pair.hers.seal(NOW, id(1), b"on").unwrap();
    assert_eq!(pair.his.open(NOW, &sealed), opened(&pair.alice, 1, 2, b"on"));
}

#[test]
fn a_device_comes_back_in_its_old_place_and_is_told_apart_from_who_was_there_before() {
    let mut pair = pair();
    let before = pair.his.seal(NOW, id(1), b"from the old place").unwrap();
    let (_, creation) = {
        let policy = direct_policy(pair.roots[0], pair.roots[1], 0);
        let package = pair.bob.mls.key_package(NOW, false).unwrap();
        pair.alice.mls.create(NOW, &policy, 7, &[package]).unwrap()
    };
    // What the directory would hold of the first group: the state that a refresh publishes.
    let commit = pair.hers.propose_refresh(NOW).unwrap();
    pair.hers.apply(NOW, &commit.bytes).unwrap();
    let tree = pair.hers.export_tree().unwrap();
    drop(creation);

    // Another device of bob's enters first, so that the leaves are not what they were.
    let mut person = Person::new(2);
    person.device(2);
    let second = person.device(22);
    let (his_second, entered) = second.mls.rejoin(NOW, 1, &commit.group_info, &tree).unwrap();
    let applied = pair.hers.apply(NOW, &entered.bytes).unwrap();
    let added: Vec<DeviceId> = applied.added.iter().map(|device| device.entry.device).collect();
    assert!(applied.joined_by_itself && added == [second.device] && applied.removed.is_empty());

    // The first one, which has lost its state, comes back in its own place.
    let tree = pair.hers.export_tree().unwrap();
    let (mut back, returned) = pair.bob.mls.rejoin(NOW, 2, &entered.group_info, &tree).unwrap();
    let mut his_second = his_second;
    for conversation in [&mut pair.hers, &mut his_second] {
        let applied = conversation.apply(NOW, &returned.bytes).unwrap();
        assert!(applied.joined_by_itself && applied.added.is_empty() && applied.removed.is_empty());
    }
    let mut members: Vec<DeviceId> = pair.hers.members().map(|member| member.entry.device).collect();
    members.sort_unstable();
    assert_eq!(members, [pair.alice.device, pair.bob.device, second.device]);
    assert_eq!(pair.hers.open(NOW, &before), opened(&pair.bob, 1, 1, b"from the old place"));
    let sealed = back.seal(NOW, id(2), b"back").unwrap();
    assert_eq!(pair.hers.open(NOW, &sealed), opened(&pair.bob, 2, 4, b"back"));
    assert_eq!(his_second.open(NOW, &sealed), opened(&pair.bob, 2, 4, b"back"));
}

#[test]
fn a_conversation_that_was_written_is_loaded_as_it_was_and_repeats_no_key() {
    let mut pair = pair();
    let first = pair.hers.seal(NOW, id(1), b"first").unwrap();
    pair.hers.write().unwrap();
    let mut loaded = pair.alice.mls.load(pair.hers.id(), 1, pair.hers.departed().to_vec()).unwrap().unwrap();
    let second = loaded.seal(NOW, id(2), b"second").unwrap();
    assert_eq!(pair.his.open(NOW, &second), opened(&pair.alice, 2, 1, b"second"));
    assert_eq!(pair.his.open(NOW, &first), opened(&pair.alice, 1, 1, b"first"));
    assert!(pair.alice.mls.load(pair.hers.id(), 2, Vec::new()).unwrap().is_none(), "another incarnation");
}

#[test]
fn a_welcome_leads_in_once_unless_it_names_a_last_resort_package_and_that_is_said() {
    let (mut a, mut b) = (Person::new(1), Person::new(2));
    let (alice, bob) = (a.device(1), b.device(2));
    let policy = direct_policy(a.root.public(), b.root.public(), 0);
    for last_resort in [false, true] {
        let package = bob.mls.key_package(NOW, last_resort).unwrap();
        let (_, creation) = alice.mls.create(NOW, &policy, 1, &[package]).unwrap();
        let mut joined = bob.mls.join(NOW, 1, &creation.welcome, &creation.tree).unwrap();
        assert_eq!(joined.by_last_resort, last_resort);
        joined.conversation.write().unwrap();
        let again = bob.mls.join(NOW, 2, &creation.welcome, &creation.tree);
        assert_eq!(again.is_ok(), last_resort);
        assert!(last_resort || matches!(again, Err(JoinError::NotForUs)));
    }
}

#[test]
fn what_is_not_the_two_peoples_conversation_is_not_joined() {
    let (mut a, mut b, mut c) = (Person::new(1), Person::new(2), Person::new(3));
    let (alice, bob, carol) = (a.device(1), b.device(2), c.device(3));
    let packages = [bob.mls.key_package(NOW, false).unwrap(), carol.mls.key_package(NOW, false).unwrap()];
    let policy = direct_policy(a.root.public(), b.root.public(), 0);
    let made = alice.mls.create(NOW, &policy, 1, &packages);
    assert!(matches!(made, Err(CreateError::Bug(_))), "carol has no place there");
    let elsewhere = direct_policy(a.root.public(), c.root.public(), 0);
    assert!(alice.mls.create(NOW, &elsewhere, 1, &packages[..1]).is_err(), "nor has bob in hers");

    let (_, creation) = alice.mls.create(NOW, &policy, 1, &packages[..1]).unwrap();
    assert!(matches!(carol.mls.join(NOW, 1, &creation.welcome, &creation.tree), Err(JoinError::NotForUs)));
    let cut = &creation.tree[..creation.tree.len() / 2];
    assert!(matches!(bob.mls.join(NOW, 1, &creation.welcome, cut), Err(JoinError::Malformed { .. })));
    let mut altered = creation.welcome.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(bob.mls.join(NOW, 1, &altered, &creation.tree), Err(JoinError::Malformed { .. })));
    let expired = bob.mls.key_package(Timestamp(NOW.0 - 85 * DAY_MS), false).unwrap();
    let packages = [bob.mls.key_package(NOW, false).unwrap(), expired];
    assert!(matches!(alice.mls.create(NOW, &policy, 1, &packages), Err(CreateError::KeyPackage(1, _))));
}

#[test]
fn private_keys_of_packages_go_when_nobody_can_use_them_any_more() {
    let device = Person::new(1).device(1);
    let kept = |staging: &Staging| {
        let changes = staging.take_changes();
        let of = |change: &&node_core::stored::Change| match change {
            node_core::stored::Change::Delete { table, .. } => *table == Table::KeyPackage,
            _ => false,
        };
        changes.iter().filter(of).count()
    };
    device.mls.key_package(NOW, false).unwrap();
    device.mls.key_package(NOW, true).unwrap();
    let week = NOW.plus_ms(7 * DAY_MS);
    device.mls.key_package(week, true).unwrap();
    device.mls.forget_old_key_packages(week.plus_ms(14 * DAY_MS));
    assert_eq!(kept(&device.staging), 0, "a Welcome may still name each of them");
    device.mls.forget_old_key_packages(week.plus_ms(14 * DAY_MS + 1_000));
    assert_eq!(kept(&device.staging), 1, "the last-resort one that was replaced");
    device.mls.forget_old_key_packages(NOW.plus_ms(84 * DAY_MS + 1_000));
    assert_eq!(kept(&device.staging), 1, "the one that expired; the newest last-resort one is a week younger");
}
