//! Groups are made by their founder alone, under a name that nothing else has, and told to whom they concern.

use directory::store::Store;
use membership::policy_extension;
use mls_rs::ExtensionList;
use protocol::{
    AccountId, Bounded, ConversationId,
    directory::{GroupListing, NewConversation, Refusal, Reply, Request},
    policy::{Access, GroupPolicy, Policy, PolicyRefusal, Role},
};

use crate::{
    circle::{NOBODY, context, founded, leave, policy_of},
    hall::{BEGIN, Hall, Person, bytes},
    talk::{Made, id_of, is_malformed, place},
};

over_both!(
    a_group_is_made_by_its_founder_alone_and_counts_once,
    a_group_that_begins_with_more_than_its_founder_is_refused,
    another_creation_of_the_same_group_comes_second,
    a_name_is_one_persons_or_one_groups_and_nothing_looks_like_it,
    groups_are_told_to_whom_they_concern,
    what_leads_into_a_group_is_given_to_whoever_may_come_in,
    a_device_is_told_in_which_epochs_the_groups_are_that_it_has_a_place_in,
);

fn a_group_is_made_by_its_founder_alone_and_counts_once(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let policy = founded(&alice, "team", Access::Open);
    let Made { new, .. } = hall.make_group(&alice, &policy, context(&policy));
    for _ in 0..2 {
        let handled = hall.handle(&mut alice, Request::CreateConversation(Box::new(new.clone())));
        assert_eq!((handled.answer, handled.effects), (Ok(Reply::CommitAccepted), vec![]));
    }
    assert_eq!(hall.mail(&mut alice), [], "nobody is owed anything");
    let (access, members, role) = (Access::Open, 1, Some(Role::Owner));
    let listing = GroupListing { conversation: new.conversation, name: policy.name, access, members, role };
    assert_eq!(hall.find(&mut alice, "team"), Some(listing));
    assert_eq!(hall.service.store().counts().unwrap().conversations, 1);
}

/// A list of one.
fn one<const MAX: usize>(account: AccountId) -> Bounded<AccountId, MAX> {
    Bounded::new(vec![account]).unwrap()
}

fn a_group_that_begins_with_more_than_its_founder_is_refused(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let honest = founded(&alice, "team", Access::Open);
    let make = |policy: &GroupPolicy| hall.make_group(&alice, policy, context(policy)).new;
    let mut only_policy = ExtensionList::new();
    only_policy.set(policy_extension(&Policy::Group(Box::new(honest.clone()))).unwrap());
    let later = |epochs: u64| {
        let mut made = hall.make_group(&alice, &honest, context(&honest));
        for _ in 0..epochs {
            made.group.commit(Vec::new()).unwrap();
            made.group.apply_pending_commit().unwrap();
        }
        hall.as_new(id_of(&made.group), &made.group)
    };
    let with_bob = {
        let mut group = hall.make_group(&alice, &honest, context(&honest)).group;
        let package = mls_rs::MlsMessage::from_bytes(&bob.package(hall.now)).unwrap();
        let welcome = hall.change(&mut group, None, |builder| builder.add_member(package).unwrap()).welcome.unwrap();
        group.apply_pending_commit().unwrap();
        NewConversation { welcome, ..hall.as_new(id_of(&group), &group) }
    };
    let cases = [
        ("another owner", make(&GroupPolicy { owners: one(bob.account), ..honest.clone() })),
        ("an admin", make(&GroupPolicy { admins: one(bob.account), ..honest.clone() })),
        ("somebody invited", make(&GroupPolicy { invited: one(bob.account), ..honest.clone() })),
        ("somebody banned", make(&GroupPolicy { banned: one(NOBODY), ..honest.clone() })),
        ("somebody who left", make(&GroupPolicy { left: Bounded::new(vec![(NOBODY, 1)]).unwrap(), ..honest.clone() })),
        ("no required capabilities", hall.make_group(&alice, &honest, only_policy).new),
        ("another id", NewConversation { conversation: ConversationId([1; 32]), ..make(&honest) }),
        ("a second device", with_bob.clone()),
        ("a Welcome", NewConversation { welcome: with_bob.welcome, ..make(&honest) }),
        ("no Welcome at all", NewConversation { welcome: bytes(&[1]), ..make(&honest) }),
        ("a later epoch", later(2)),
    ];
    let forged = make(&founded(&bob, "team", Access::Open));
    let (good, refreshed) = (make(&honest), later(1));
    for (what, new) in cases {
        let answer = hall.create(&mut alice, &new);
        assert!(is_malformed(&answer), "{what}: {answer:?}");
    }
    // In another's name: founded by bob, says alice; and alice's own, says bob.
    assert_eq!(hall.create(&mut alice, &forged), Err(Refusal::NotMember));
    assert_eq!(hall.create(&mut bob, &good), Err(Refusal::NotMember));
    let unenrolled = Person::with_device("alice", 1, 11, BEGIN.plus_ms(1_000_000));
    let strange = hall.make_group(&unenrolled, &honest, context(&honest)).new;
    assert!(is_malformed(&hall.create(&mut alice, &strange)), "a device that is not enrolled");
    assert_eq!(hall.find(&mut bob, "team"), None);
    assert_eq!(hall.create(&mut alice, &refreshed), Ok(Reply::CommitAccepted), "fresh keys are no harm");
}

fn another_creation_of_the_same_group_comes_second(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let policy = founded(&alice, "team", Access::Open);
    let [first, second] = [0, 1].map(|_| hall.make_group(&alice, &policy, context(&policy)).new);
    assert_eq!(hall.create(&mut alice, &first), Ok(Reply::CommitAccepted));
    assert_eq!(hall.create(&mut alice, &second), Ok(Reply::ConversationExists));
    let renamed = GroupPolicy { nonce: [9; 16], ..policy };
    let other = hall.make_group(&alice, &renamed, context(&renamed)).new;
    assert_eq!(hall.create(&mut alice, &other), Err(Refusal::NameTaken), "another group of the name");
}

fn a_name_is_one_persons_or_one_groups_and_nothing_looks_like_it(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    hall.arrive("paul", 2);
    let create = |alice: &mut Person, name: &str| {
        let policy = founded(alice, name, Access::Invite);
        let new = hall.make_group(alice, &policy, context(&policy)).new;
        hall.create(alice, &new)
    };
    // Cyrillic letters that look like Latin ones.
    let rows = [
        ("paul", Err(Refusal::NameTaken)),
        ("раul", Err(Refusal::NameConfusable)),
        ("scope", Ok(Reply::CommitAccepted)),
        ("sсоpe", Err(Refusal::NameConfusable)),
    ];
    for (name, expected) in rows {
        assert_eq!(create(&mut alice, name), expected, "{name}");
    }
    let sign_up = |name: &str, seed| hall.sign_up(&mut Person::new(name, seed, hall.now));
    assert_eq!(sign_up("scope", 3), Err(Refusal::NameTaken));
    assert_eq!(sign_up("sсоpe", 4), Err(Refusal::NameConfusable));
    let bob = sign_up("bob", 5);
    assert!(matches!(bob, Ok(Reply::SignedIn { .. })), "{bob:?}");
}

fn groups_are_told_to_whom_they_concern(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut club = hall.found(&mut alice, "club", Access::Invite);
    hall.found(&mut alice, "team", Access::Open);
    hall.found(&mut alice, "choir", Access::Invite);
    let invitation = hall.invitation(&mut club, &[&bob]);
    hall.settle(&mut alice, (&mut club, &invitation), &mut []);
    assert_eq!(hall.list(&mut alice, None), ["choir", "club", "team"]);
    assert_eq!(hall.list(&mut alice, Some("choir")), ["club", "team"]);
    assert_eq!(hall.list(&mut bob, None), ["club", "team"]);
    assert_eq!(hall.list(&mut carol, None), ["team"]);
    let told = |person: &mut Person| hall.find(person, "club").map(|group| (group.members, group.role));
    assert_eq!(told(&mut bob), Some((1, Some(Role::Invited))), "whoever is invited is not counted");
    assert_eq!(told(&mut carol), Some((1, None)), "a name is no secret");
    let mut theirs = hall.follow_welcome(&bob, &invitation, &club);
    let joined = policy_of(&theirs).with_joined(bob.account);
    let joins = hall.change(&mut theirs, Some(joined), |builder| builder);
    hall.settle(&mut bob, (&mut theirs, &joins), &mut [&mut club]);
    assert_eq!(told(&mut alice), Some((2, Some(Role::Owner))));
    assert_eq!(told(&mut bob), Some((2, Some(Role::Member))));
    assert_eq!(hall.find(&mut bob, "nothing"), None);
}

fn what_leads_into_a_group_is_given_to_whoever_may_come_in(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut team = hall.found(&mut alice, "team", Access::Open);
    let club = hall.found(&mut alice, "club", Access::Invite);
    let mut joined = hall.enter(&mut carol, &mut [&mut team]);
    let kick = hall.kick(&mut team, &carol);
    hall.settle(&mut alice, (&mut team, &kick), &mut []);
    hall.take_in(&mut joined, &kick);
    let ask = |person: &mut Person, conversation| match hall.ask(person, Request::Group { conversation }) {
        Ok(Reply::Group { epoch, .. }) => Ok(epoch),
        Err(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(&mut bob, id_of(&team)), Ok(2), "an open group is anybody's");
    assert_eq!(ask(&mut carol, id_of(&team)), Err(Refusal::Policy(PolicyRefusal::Banned)));
    assert_eq!(ask(&mut bob, id_of(&club)), Err(Refusal::Policy(PolicyRefusal::InviteOnly)));
    assert_eq!(ask(&mut alice, id_of(&club)), Ok(0));
    assert_eq!(ask(&mut bob, ConversationId([1; 32])), Err(Refusal::Unknown));
}

fn a_device_is_told_in_which_epochs_the_groups_are_that_it_has_a_place_in(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut team = hall.found(&mut alice, "team", Access::Open);
    let club = hall.found(&mut alice, "club", Access::Invite);
    let invitation = hall.invitation(&mut team, &[&bob]);
    hall.settle(&mut alice, (&mut team, &invitation), &mut []);
    let (team, club, nothing) = (place(&team), place(&club), (ConversationId([9; 32]), 0));
    let request = Request::Epochs { groups: vec![club, nothing, (team.0, 7)].try_into().unwrap() };
    let told = |epochs: [Option<u64>; 3]| Ok(Reply::Epochs(epochs.to_vec().try_into().unwrap()));
    assert_eq!(hall.ask(&mut alice, request.clone()), told([Some(club.1), None, Some(team.1)]));
    assert_eq!(hall.ask(&mut bob, request.clone()), told([None, None, Some(team.1)]), "invited is inside");
    assert_eq!(hall.ask(&mut carol, request.clone()), told([None; 3]), "an open group is none of hers either");
    let declined = leave(&bob, team.0, team.1);
    assert_eq!(hall.ask_to_leave(&mut bob, &declined), Ok(Reply::Done));
    assert_eq!(hall.ask(&mut bob, request), told([None; 3]), "whoever is leaving gets nothing more");
}
