//! Where two or more reasons to refuse stand at once, the one that [`Refusal`] lists first is told.

use directory::store::{Store, memory::MemoryStore};
use protocol::{
    ConversationId, Name,
    directory::{CommitSubmission, DepositResult, NewConversation, Refusal, Registration, Request},
    policy::{Access, PolicyRefusal, SignedLeave},
};

use crate::{
    circle::{context, founded, leave},
    hall::{BEGIN, Hall, Person},
    talk::{Made, is_malformed, place},
};

over_both!(
    of_commits,
    of_commits_in_groups,
    of_creations,
    of_groups,
    of_deposits,
    of_departures,
    of_sign_ups,
    whoever_asks_too_much_hears_that_first,
);

/// Takes all that one may ask for at a time.
fn exhaust(hall: &Hall<impl Store>, person: &mut Person) {
    for _ in 0..10_000 {
        if hall.ask(person, Request::Ping).is_err() {
            return;
        }
    }
    panic!("no limit");
}

fn of_commits(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, mut joined) = hall.talk(&mut alice, &mut bob);
    let theirs = joined.current_member_index();
    let forbidden = hall.commit(&mut group, |builder| builder.remove_member(theirs).unwrap());
    let honest = hall.refresh(&mut joined);
    let welcome = Some(honest.commit.clone());
    let future = forbidden.epoch + 1;
    // Malformed, of a conversation that is unknown, not the caller's own, stale and against the rules.
    let all = CommitSubmission { welcome, epoch: future, ..forbidden.clone() };
    assert!(is_malformed(&hall.submit(&mut carol, &all)));
    let mut reasons = vec![
        ("unknown before not a member", Refusal::Unknown, 3, CommitSubmission { epoch: future, ..forbidden.clone() }),
        ("not a member before stale", Refusal::NotMember, 2, CommitSubmission { epoch: future, ..forbidden.clone() }),
        ("not a member before the rules", Refusal::NotMember, 2, forbidden.clone()),
        ("stale before the rules", Refusal::Stale, 1, CommitSubmission { epoch: future, ..forbidden.clone() }),
        ("the rules", Refusal::Policy(PolicyRefusal::ForeignRemoval), 1, forbidden),
    ];
    for (what, refusal, who, submission) in reasons.drain(..) {
        let person = match who {
            1 => &mut alice,
            2 => &mut bob,
            _ => &mut carol,
        };
        assert_eq!(hall.submit(person, &submission), Err(refusal), "{what}");
    }
    // Too many, of what is malformed and of what is unknown.
    while !matches!(hall.submit(&mut carol, &honest), Err(Refusal::RateLimited { .. })) {}
    hall.pass(1);
    assert!(is_malformed(&hall.submit(&mut carol, &all)), "malformed before too many");
    let answer = hall.submit(&mut carol, &honest);
    assert!(matches!(answer, Err(Refusal::RateLimited { .. })), "too many before unknown: {answer:?}");
}

fn of_commits_in_groups(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let mut group = hall.found(&mut alice, "club", Access::Invite);
    let invitation = hall.invitation(&mut group, &[&bob]);
    hall.settle(&mut alice, (&mut group, &invitation), &mut []);
    let mut theirs = hall.follow_welcome(&bob, &invitation, &group);
    let forbidden = hall.invitation(&mut theirs, &[&carol]);
    let future = CommitSubmission { epoch: forbidden.epoch + 9, ..forbidden.clone() };
    let unread = CommitSubmission { commit: Default::default(), ..future.clone() };
    assert!(is_malformed(&hall.submit(&mut carol, &unread)), "malformed before who may come in");
    let bare = CommitSubmission { welcome: None, ..future.clone() };
    let invite_only = Err(Refusal::Policy(PolicyRefusal::InviteOnly));
    assert_eq!(hall.submit(&mut carol, &bare), invite_only, "who may not come in hears no more");
    assert!(is_malformed(&hall.submit(&mut alice, &bare)), "malformed before whose it is");
    assert_eq!(hall.submit(&mut alice, &future), Err(Refusal::NotMember), "whose it is before stale");
    assert_eq!(hall.submit(&mut bob, &future), Err(Refusal::Stale), "stale before the rules");
    assert_eq!(hall.submit(&mut bob, &forbidden), Err(Refusal::Policy(PolicyRefusal::NotPermitted)));
}

fn of_groups(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let policy = founded(&alice, "bob", Access::Open);
    let taken = hall.make_group(&alice, &policy, context(&policy)).new;
    let broken = NewConversation { tree: Default::default(), ..taken.clone() };
    assert!(is_malformed(&hall.create(&mut bob, &broken)), "malformed before not a member");
    assert_eq!(hall.create(&mut bob, &taken), Err(Refusal::NotMember), "not a member before a name that is taken");
    assert_eq!(hall.create(&mut alice, &taken), Err(Refusal::NameTaken));
    while !matches!(hall.create(&mut alice, &taken), Err(Refusal::RateLimited { .. })) {}
    hall.pass(1);
    assert!(is_malformed(&hall.create(&mut alice, &broken)), "malformed before too many");
    assert!(matches!(hall.create(&mut alice, &taken), Err(Refusal::RateLimited { .. })), "too many before taken");
}

fn of_departures(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let mut group = hall.found(&mut alice, "team", Access::Open);
    hall.enter(&mut bob, &mut [&mut group]);
    let (id, epoch) = place(&group);
    let last = leave(&alice, id, epoch);
    let stale = leave(&alice, id, epoch + 1);
    let unknown = leave(&alice, ConversationId([1; 32]), epoch);
    let unsigned = SignedLeave { signature: stale.signature, ..last.clone() };
    assert!(is_malformed(&hall.ask_to_leave(&mut alice, &unsigned)), "unsigned before the last owner");
    assert_eq!(hall.ask_to_leave(&mut alice, &stale), Err(Refusal::Policy(PolicyRefusal::StaleLeave)));
    assert_eq!(hall.ask_to_leave(&mut alice, &last), Err(Refusal::Policy(PolicyRefusal::LastOwner)));
    while !matches!(hall.ask_to_leave(&mut alice, &last), Err(Refusal::RateLimited { .. })) {}
    hall.pass(1);
    assert!(is_malformed(&hall.ask_to_leave(&mut alice, &leave(&bob, id, epoch))), "malformed before too many");
    let answer = hall.ask_to_leave(&mut alice, &unknown);
    assert!(matches!(answer, Err(Refusal::RateLimited { .. })), "too many before unknown: {answer:?}");
}

fn of_creations(mut hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    hall.stock(&mut bob, 1);
    let Made { new, .. } = hall.make_direct(&mut alice, &bob, 1);
    let broken = NewConversation { tree: Default::default(), ..new.clone() };
    assert!(is_malformed(&hall.create(&mut carol, &broken)), "malformed before not a member and unknown");
    assert_eq!(hall.create(&mut alice, &new), Err(Refusal::Unknown));
    // Somebody else hears nothing of what exists and what does not.
    assert_eq!(hall.create(&mut carol, &new), Err(Refusal::NotMember));
    while !matches!(hall.create(&mut alice, &new), Err(Refusal::RateLimited { .. })) {}
    hall.pass(1);
    assert!(is_malformed(&hall.create(&mut alice, &broken)), "malformed before too many");
    assert!(matches!(hall.create(&mut alice, &new), Err(Refusal::RateLimited { .. })), "too many before unknown");
}

fn of_deposits(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    let (id, epoch) = place(&group);
    let refused = DepositResult::Refused;
    let is_malformed = |result: &DepositResult| matches!(result, DepositResult::Refused(Refusal::Malformed(_)));
    assert!(is_malformed(&hall.deposit(&mut carol, (id, epoch), 1, &[])), "malformed before unknown");
    assert_eq!(hall.deposit(&mut carol, (id, epoch + 1), 1, &[bob.device()]), refused(Refusal::Unknown));
    let both = [bob.device(), carol.device()];
    assert!(is_malformed(&hall.deposit(&mut alice, (id, epoch + 1), 1, &both)), "malformed before not a member");
    for number in 0..20 {
        assert_eq!(hall.deposit(&mut alice, (id, epoch), number, &[bob.device()]), DepositResult::Stored);
    }
    assert_eq!(
        hall.deposit(&mut alice, (id, epoch), 20, &both),
        refused(Refusal::NotMember),
        "before a stranger's limit"
    );
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 20, &[bob.device()]), refused(Refusal::StrangerLimit));
}

fn of_sign_ups(hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    // The name is taken, and the device too; then the name looks like one that is taken.
    let mut again = Person::with_device("alice", 5, 1, alice.entry.not_after);
    assert_eq!(hall.sign_up(&mut again), Err(Refusal::NameTaken));
    let mut alike = Person::new("a1ice", 6, hall.now);
    assert_eq!(hall.sign_up(&mut alike), Err(Refusal::NameConfusable));
    let mut taken = Person::with_device("a1ice", 6, 1, alice.entry.not_after);
    assert_eq!(hall.sign_up(&mut taken), Err(Refusal::DeviceTaken), "before what it looks like");
    let mut expired = Person::with_device("alice", 7, 7, BEGIN);
    expired.name = Name::parse("a1ice").unwrap();
    assert!(is_malformed(&hall.sign_up(&mut expired)), "malformed before confusable");
    let start = Request::SignUpStart { name: alice.name.clone(), invite: None, registration: Default::default() };
    assert!(is_malformed(&hall.ask(&mut expired, start)), "malformed before taken");
}

fn whoever_asks_too_much_hears_that_first(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    exhaust(&hall, &mut alice);
    let answer = hall.ask(&mut alice, Request::TakeKeyPackages { account: protocol::AccountId([7; 32]) });
    assert!(matches!(answer, Err(Refusal::RateLimited { .. })), "before unknown: {answer:?}");
    let mut stranger = Person::new("stranger", 9, hall.now);
    assert_eq!(hall.ask(&mut stranger, Request::SignOut), Err(Refusal::NotSignedIn));
    exhaust(&hall, &mut stranger);
    let answer = hall.ask(&mut stranger, Request::SignOut);
    assert!(matches!(answer, Err(Refusal::RateLimited { .. })), "before not signed in: {answer:?}");
}

#[test]
fn where_nobody_may_register_nobody_learns_of_names() {
    for (registration, refusal) in
        [(Registration::Closed, Refusal::RegistrationClosed), (Registration::Invite, Refusal::InviteNeeded)]
    {
        let store = MemoryStore::default();
        Hall::over(store.clone()).arrive("alice", 1);
        let hall = Hall::configured(store, true, registration);
        for name in ["alice", "bob"] {
            assert_eq!(hall.sign_up(&mut Person::new(name, 9, BEGIN)), Err(refusal.clone()), "{name}");
        }
    }
}
