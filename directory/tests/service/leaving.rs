//! Leaving a group: from the request on nothing goes to whoever leaves and nothing is taken from them; others grant it; the
//! last one closes the group.

use directory::store::Store;
use protocol::{
    BoundedText,
    directory::{DepositResult, MailItem, Refusal, Reply, Request, SignUp},
    limits::LEAVE_EPOCHS,
    policy::{Access, GroupPolicy, PolicyRefusal, Role, SignedLeave},
};

use crate::{
    circle::{item, leave, policy_of},
    hall::{Hall, MlsGroup, Person, mail_for},
    talk::{id_of, is_malformed, place},
};

over_both!(
    whoever_leaves_gets_nothing_more_and_the_others_are_told,
    a_request_to_leave_is_granted_by_anybody_while_it_stands,
    whoever_comes_in_is_told_who_is_leaving,
    whoever_comes_in_again_takes_the_request_back,
    an_invitation_is_declined,
    the_last_owner_stays_while_others_remain,
    the_last_one_closes_the_group_for_good,
    nobody_stays_whose_account_is_closed,
    whoever_closes_an_account_is_out_of_every_group,
    whoever_owns_a_group_alone_stays_until_another_one_does,
    a_name_that_is_given_anew_takes_its_old_account_out_of_every_group,
    a_request_to_leave_that_does_not_hold_is_refused,
    a_request_that_was_granted_counts_once,
);

fn asked(group: &MlsGroup, signed: &SignedLeave) -> MailItem {
    MailItem::Leave { conversation: id_of(group), leave: signed.clone() }
}

/// Alice's open group, which bob and carol have joined.
fn team(hall: &Hall<impl Store>, people: [&mut Person; 3]) -> [MlsGroup; 3] {
    let [alice, bob, carol] = people;
    let mut alices = hall.found(alice, "team", Access::Open);
    let mut bobs = hall.enter(bob, &mut [&mut alices]);
    let carols = hall.enter(carol, &mut [&mut alices, &mut bobs]);
    [alices, bobs, carols]
}

fn arrivals(hall: &Hall<impl Store>) -> [Person; 3] {
    [hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3)]
}

fn whoever_leaves_gets_nothing_more_and_the_others_are_told(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, mut bobs, _] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let (id, epoch) = place(&alices);
    let before = hall.mail(&mut bob);
    let request = leave(&bob, id, epoch);
    let handled = hall.handle(&mut bob, Request::Leave { leave: request.clone() });
    assert_eq!(handled.answer, Ok(Reply::Done));
    assert_eq!(handled.effects, [mail_for(alice.device()), mail_for(carol.device())]);
    let again = hall.handle(&mut bob, Request::Leave { leave: request.clone() });
    assert_eq!((again.answer, again.effects), (Ok(Reply::Done), vec![]), "the same again");
    assert_eq!(hall.mail(&mut alice).last(), Some(&asked(&alices, &request)));
    assert_eq!(hall.mail(&mut carol), [item_of_last(&hall, &mut alice), asked(&alices, &request)]);
    let told = |person: &mut Person| hall.find(person, "team").map(|group| (group.members, group.role));
    assert_eq!(told(&mut alice), Some((2, Some(Role::Owner))));
    assert_eq!(told(&mut bob), Some((2, None)));
    // Nothing is taken from bob, and what others send to all goes to all but him.
    let to = [alice.device(), carol.device()];
    assert_eq!(hall.deposit(&mut bob, (id, epoch), 1, &to), DepositResult::Refused(Refusal::NotMember));
    let own = hall.change(&mut bobs, None, |builder| builder);
    assert_eq!(hall.submit(&mut bob, &own), Err(Refusal::NotMember));
    let to = [bob.device(), carol.device()];
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 2, &to), DepositResult::Stored);
    let refresh = hall.change(&mut alices, None, |builder| builder);
    assert_eq!(hall.submit(&mut alice, &refresh), Ok(Reply::CommitAccepted));
    assert_eq!(hall.mail(&mut bob), before, "nothing more");
    let carols = hall.mail(&mut carol);
    assert!(matches!(carols.as_slice(), [.., MailItem::Message { stranger: false, .. }, MailItem::Commit { .. }]));
}

/// The last commit in a mailbox.
fn item_of_last(hall: &Hall<impl Store>, person: &mut Person) -> MailItem {
    let mut commits = hall.mail(person).into_iter().filter(|item| matches!(item, MailItem::Commit { .. }));
    commits.next_back().unwrap()
}

fn a_request_to_leave_is_granted_by_anybody_while_it_stands(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, _, mut carols] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let (id, epoch) = place(&alices);
    let request = leave(&bob, id, epoch);
    let unasked = hall.grant(&mut carols, &bob, &request);
    let stale = Err(Refusal::Policy(PolicyRefusal::StaleLeave));
    assert_eq!(hall.submit(&mut carol, &unasked), stale, "bob has not asked the directory");
    assert_eq!(hall.ask_to_leave(&mut bob, &request), Ok(Reply::Done));
    let before = hall.mail(&mut bob).len();
    let granted = hall.grant(&mut carols, &bob, &request);
    hall.settle(&mut carol, (&mut carols, &granted), &mut [&mut alices]);
    assert_eq!(hall.mail(&mut alice).last(), Some(&item(&granted)));
    assert_eq!(hall.mail(&mut bob).len(), before, "who has left hears nothing of it");
    assert_eq!(hall.ask_to_leave(&mut bob, &request), Ok(Reply::Done), "the same again, now that it was granted");
    assert_eq!(hall.find(&mut alice, "team").map(|group| group.members), Some(2));
    let rest = hall.change(&mut alices, None, |builder| builder);
    assert_eq!(hall.submit(&mut alice, &rest), Ok(Reply::CommitAccepted));
}

fn whoever_comes_in_is_told_who_is_leaving(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let (mut dave, erin) = (hall.arrive("dave", 4), hall.arrive("erin", 5));
    let [mut alices, _, mut carols] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let request = leave(&bob, id_of(&alices), alices.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut bob, &request), Ok(Reply::Done));
    let mut daves = hall.enter(&mut dave, &mut [&mut alices, &mut carols]);
    assert_eq!(hall.mail(&mut dave).last(), Some(&asked(&alices, &request)));
    let second = leave(&carol, id_of(&carols), carols.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut carol, &second), Ok(Reply::Done), "in the same epoch");
    assert_eq!(hall.mail(&mut dave)[1..], [asked(&alices, &request), asked(&alices, &second)]);
    let invitation = hall.invitation(&mut daves, &[&erin]);
    hall.settle(&mut dave, (&mut daves, &invitation), &mut [&mut alices]);
    let (items, _) = hall.service.store().drain(erin.device(), None, 9, usize::MAX).unwrap();
    assert_eq!(items.len(), 3, "a Welcome and two requests");
    // Whoever has just come in grants it as well as anybody.
    let granted = hall.grant(&mut daves, &bob, &request);
    assert_eq!(hall.submit(&mut dave, &granted), Ok(Reply::CommitAccepted));
}

fn whoever_comes_in_again_takes_the_request_back(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, bobs, mut carols] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let request = leave(&bob, id_of(&alices), alices.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut bob, &request), Ok(Reply::Done));
    let early = hall.grant(&mut alices, &bob, &request);
    let (_, back) = hall.external(&bob, &bobs, &[bobs.current_member_index()]);
    assert_eq!(hall.submit(&mut bob, &back), Ok(Reply::CommitAccepted));
    assert_eq!(hall.mail(&mut bob).last(), Some(&item(&back)), "bob's mail goes on");
    assert!(matches!(hall.submit(&mut alice, &early), Ok(Reply::CommitLost { .. })));
    alices.clear_pending_commit();
    hall.take_in(&mut alices, &back);
    hall.take_in(&mut carols, &back);
    assert_eq!(hall.find(&mut bob, "team").map(|group| (group.members, group.role)), Some((3, Some(Role::Member))));
    let late = hall.grant(&mut alices, &bob, &request);
    assert_eq!(hall.submit(&mut alice, &late), Err(Refusal::Policy(PolicyRefusal::StaleLeave)));
}

fn an_invitation_is_declined(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let mut group = hall.found(&mut alice, "club", Access::Invite);
    let invitation = hall.invitation(&mut group, &[&bob]);
    hall.settle(&mut alice, (&mut group, &invitation), &mut []);
    assert_eq!(hall.list(&mut bob, None), ["club"]);
    let request = leave(&bob, id_of(&group), group.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut bob, &request), Ok(Reply::Done));
    assert_eq!(hall.list(&mut bob, None), Vec::<String>::new());
    let granted = hall.grant(&mut group, &bob, &request);
    hall.settle(&mut alice, (&mut group, &granted), &mut []);
    let (_, back) = hall.external(&bob, &group, &[]);
    assert!(hall.submit(&mut bob, &back).is_err(), "nobody comes back uninvited");
}

fn the_last_owner_stays_while_others_remain(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, mut bobs, mut carols] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let ask = |person: &mut Person, group: &MlsGroup| {
        let request = leave(person, id_of(group), group.current_epoch());
        hall.ask_to_leave(person, &request)
    };
    let last = Err(Refusal::Policy(PolicyRefusal::LastOwner));
    assert_eq!(ask(&mut alice, &alices), last);
    for role in [Role::Admin, Role::Owner] {
        let next = policy_of(&alices).with_role(bob.account, role).unwrap();
        let promotion = hall.change(&mut alices, Some(next), |builder| builder);
        hall.settle(&mut alice, (&mut alices, &promotion), &mut [&mut bobs, &mut carols]);
    }
    assert_eq!(ask(&mut alice, &alices), Ok(Reply::Done));
    assert_eq!(ask(&mut bob, &bobs), last, "alice is as good as gone");
    // Once they are not joined any more, nobody waits for whoever is on the way out.
    assert_eq!(ask(&mut carol, &carols), Ok(Reply::Done));
    assert_eq!(ask(&mut bob, &bobs), Ok(Reply::Done), "and closes it");
    assert_eq!(hall.find(&mut bob, "team"), None);
}

fn the_last_one_closes_the_group_for_good(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let mut group = hall.found(&mut alice, "team", Access::Open);
    let policy = policy_of(&group);
    let founding = hall.as_new(id_of(&group), &group);
    // Whoever is only invited keeps nothing open.
    let invitation = hall.invitation(&mut group, &[&bob]);
    hall.settle(&mut alice, (&mut group, &invitation), &mut []);
    let request = leave(&alice, id_of(&group), group.current_epoch());
    for _ in 0..2 {
        let handled = hall.handle(&mut alice, Request::Leave { leave: request.clone() });
        assert_eq!((handled.answer, handled.effects), (Ok(Reply::Done), vec![]));
    }
    let (id, epoch) = place(&group);
    for person in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(hall.find(person, "team"), None);
        assert_eq!(hall.list(person, None), Vec::<String>::new());
        assert_eq!(hall.ask(person, Request::Group { conversation: id }), Err(Refusal::Unknown));
        let to = [person.device()];
        assert_eq!(hall.deposit(person, (id, epoch), 1, &to), DepositResult::Refused(Refusal::Unknown));
        let settling = Request::Settling { commits: vec![(id, 0)].try_into().unwrap() };
        assert_eq!(hall.ask(person, settling), Err(Refusal::Unknown));
    }
    let later = leave(&bob, id, epoch);
    assert_eq!(hall.ask_to_leave(&mut bob, &later), Err(Refusal::Unknown));
    let refresh = hall.change(&mut group, None, |builder| builder);
    assert_eq!(hall.submit(&mut alice, &refresh), Err(Refusal::Unknown));
    // Its name is nobody's again: not the same group's, not another one's, not a person's.
    assert_eq!(hall.create(&mut alice, &founding), Err(Refusal::NameTaken));
    let policy = GroupPolicy { nonce: [8; 16], ..policy };
    let again = hall.make_group(&alice, &policy, crate::circle::context(&policy)).new;
    assert_eq!(hall.create(&mut alice, &again), Err(Refusal::NameTaken));
    assert_eq!(hall.sign_up(&mut Person::new("team", 9, hall.now)), Err(Refusal::NameTaken));
}

fn nobody_stays_whose_account_is_closed(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, ..] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let mail = hall.mail(&mut carol).len();
    for gone in [&bob, &carol] {
        hall.service.store().close_account(gone.account).unwrap();
    }
    // Their devices stay in the tree until somebody removes them, and get nothing more.
    let (id, epoch) = place(&alices);
    let to = [bob.device(), carol.device()];
    assert_eq!(hall.deposit(&mut alice, (id, epoch), 1, &to), DepositResult::Stored);
    let refresh = hall.change(&mut alices, None, |builder| builder);
    let handled = hall.handle(&mut alice, Request::SubmitCommit(Box::new(refresh)));
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::CommitAccepted), vec![mail_for(alice.device())]));
    let (items, _) = hall.service.store().drain(carol.device(), None, 99, usize::MAX).unwrap();
    assert_eq!(items.len(), mail);
    alices.apply_pending_commit().unwrap();
    let request = leave(&alice, id, alices.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut alice, &request), Ok(Reply::Done), "nobody else is left to own it");
    assert_eq!(hall.find(&mut alice, "team"), None);
}

/// What closing an account comes to, its password proven.
fn close(hall: &Hall<impl Store>, person: &mut Person) -> Result<Reply, Refusal> {
    assert!(matches!(hall.sign_in(person), Ok(Reply::SignedIn { .. })));
    hall.ask(person, Request::CloseAccount)
}

fn whoever_closes_an_account_is_out_of_every_group(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, _, _] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let mut alone = hall.found(&mut bob, "lonely", Access::Open);
    let invitation = hall.invitation(&mut alone, &[&carol]);
    hall.settle(&mut bob, (&mut alone, &invitation), &mut []);
    let mut club = hall.found(&mut alice, "club", Access::Invite);
    let invitation = hall.invitation(&mut club, &[&bob]);
    hall.settle(&mut alice, (&mut club, &invitation), &mut []);
    let before = hall.mail(&mut bob).len();
    assert_eq!(close(&hall, &mut bob), Ok(Reply::Done));
    assert_eq!(hall.list(&mut carol, None), ["team"], "nobody else had joined the other one");
    assert_eq!(hall.find(&mut carol, "lonely"), None);
    assert_eq!(hall.find(&mut alice, "team").map(|group| group.members), Some(2));
    let roles = hall.service.store().roster(id_of(&club)).unwrap().unwrap().accounts();
    assert_eq!(roles, [(alice.account, Role::Owner)].into(), "nor is the invitation good any more");
    // The others go on, whoever comes in is told of no request, and bob's device gets nothing.
    let refresh = hall.change(&mut alices, None, |builder| builder);
    assert_eq!(hall.submit(&mut alice, &refresh), Ok(Reply::CommitAccepted));
    alices.apply_pending_commit().unwrap();
    let mut dave = hall.arrive("dave", 4);
    hall.enter(&mut dave, &mut [&mut alices]);
    let told = hall.mail(&mut dave);
    assert!(matches!(told.as_slice(), [MailItem::Commit { .. }]), "{told:?}");
    assert_eq!(hall.find(&mut dave, "team").map(|group| group.members), Some(3));
    let (items, _) = hall.service.store().drain(bob.device(), None, 99, usize::MAX).unwrap();
    assert!(items.len() <= before, "{items:?}");
}

fn whoever_owns_a_group_alone_stays_until_another_one_does(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, mut bobs, mut carols] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    hall.found(&mut alice, "aside", Access::Open);
    assert_eq!(close(&hall, &mut alice), Err(Refusal::Policy(PolicyRefusal::LastOwner)));
    assert_eq!(hall.list(&mut alice, None), ["aside", "team"], "nothing has happened");
    assert!(hall.ask(&mut alice, Request::Account).is_ok());
    for role in [Role::Admin, Role::Owner] {
        let next = policy_of(&alices).with_role(bob.account, role).unwrap();
        let promotion = hall.change(&mut alices, Some(next), |builder| builder);
        hall.settle(&mut alice, (&mut alices, &promotion), &mut [&mut bobs, &mut carols]);
    }
    assert_eq!(close(&hall, &mut alice), Ok(Reply::Done));
    assert_eq!(hall.list(&mut bob, None), ["team"]);
    assert_eq!(close(&hall, &mut bob), Err(Refusal::Policy(PolicyRefusal::LastOwner)), "carol is there");
    assert_eq!(close(&hall, &mut carol), Ok(Reply::Done));
    assert_eq!(close(&hall, &mut bob), Ok(Reply::Done));
    assert_eq!(hall.list(&mut hall.arrive("dave", 4), None), Vec::<String>::new());
}

fn a_name_that_is_given_anew_takes_its_old_account_out_of_every_group(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    team(&hall, [&mut alice, &mut bob, &mut carol]);
    hall.found(&mut bob, "lonely", Access::Open);
    assert!(hall.service.store().offer_reset(&bob.name, "code").unwrap());
    let mut anew = Person::new("bob", 9, hall.now);
    let invite = || Some(BoundedText::new("code".to_owned()).unwrap());
    let (name, password) = (anew.name.clone(), anew.password.clone());
    let begin = |registration| Request::SignUpStart { name, invite: invite(), registration };
    let sign_up = SignUp {
        name: anew.name.clone(),
        invite: invite(),
        registration: hall.register(&mut anew, &password, begin).unwrap(),
        devices: anew.devices.clone(),
        root_backup: vec![1; 64].try_into().unwrap(),
        recovery_backup: vec![2; 64].try_into().unwrap(),
    };
    assert!(hall.ask(&mut anew, Request::SignUpFinish(Box::new(sign_up))).is_ok());
    assert_eq!(hall.find(&mut alice, "team").map(|group| group.members), Some(2));
    assert_eq!(hall.list(&mut anew, None), ["team"]);
    assert_eq!(hall.find(&mut anew, "team").and_then(|group| group.role), None);
}

fn a_request_to_leave_that_does_not_hold_is_refused(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [_, bobs, _] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let dave = &mut hall.arrive("dave", 4);
    let (id, epoch) = place(&bobs);
    let honest = leave(&bob, id, epoch);
    let forged = SignedLeave { signature: leave(&alice, id, epoch).signature, ..honest.clone() };
    let second = Person::with_device("bob", 2, 22, bob.entry.not_after);
    let malformed = [
        ("alice's", leave(&alice, id, epoch)),
        ("signed by alice", forged),
        ("signed for another epoch", SignedLeave { leave: leave(&bob, id, epoch - 1).leave, ..honest.clone() }),
        ("by a device that is not in the group", leave(&second, id, epoch)),
        ("of no sense", SignedLeave { leave: vec![1, 2, 3].try_into().unwrap(), ..honest.clone() }),
    ];
    for (what, request) in malformed {
        let answer = hall.ask_to_leave(&mut bob, &request);
        assert!(is_malformed(&answer), "{what}: {answer:?}");
    }
    let daves = leave(dave, id, epoch);
    let next_epochs = leave(&bob, id, epoch + 1);
    let stale = Err(Refusal::Policy(PolicyRefusal::StaleLeave));
    assert_eq!(hall.ask_to_leave(&mut bob, &next_epochs), stale, "of an epoch that is still to come");
    let elsewhere = leave(&bob, protocol::ConversationId([1; 32]), epoch);
    assert_eq!(hall.ask_to_leave(&mut bob, &elsewhere), Err(Refusal::Unknown));
    let (direct, _) = hall.talk(&mut alice, &mut bob);
    let direct = leave(&bob, id_of(&direct), 1);
    assert_eq!(hall.ask_to_leave(&mut bob, &direct), Err(Refusal::Unknown), "nobody leaves a direct conversation");
    assert_eq!(hall.ask_to_leave(dave, &daves), Err(Refusal::NotMember));
    // One that is too old, as members would say too.
    let mut next = hall.service.store().conversation(id).unwrap().unwrap();
    for n in 0..=LEAVE_EPOCHS {
        next.roster.epoch += 1;
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hall.service.store().commit(protocol::CommitHash(hash), &next, &[]).unwrap();
    }
    assert_eq!(hall.ask_to_leave(&mut bob, &honest), stale);
    assert_eq!(hall.ask_to_leave(&mut bob, &next_epochs), Ok(Reply::Done));
}

fn a_request_that_was_granted_counts_once(hall: Hall<impl Store>) {
    let [mut alice, mut bob, mut carol] = arrivals(&hall);
    let [mut alices, ..] = team(&hall, [&mut alice, &mut bob, &mut carol]);
    let request = leave(&bob, id_of(&alices), alices.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut bob, &request), Ok(Reply::Done));
    let granted = hall.grant(&mut alices, &bob, &request);
    hall.settle(&mut alice, (&mut alices, &granted), &mut []);
    let back = hall.enter(&mut bob, &mut [&mut alices]);
    let stale = Err(Refusal::Policy(PolicyRefusal::StaleLeave));
    assert_eq!(hall.ask_to_leave(&mut bob, &request), stale, "bob has come back since");
    let another = leave(&bob, id_of(&back), back.current_epoch());
    assert_eq!(hall.ask_to_leave(&mut bob, &another), Ok(Reply::Done));
    let newer = leave(&bob, id_of(&back), back.current_epoch() - 1);
    assert_eq!(
        hall.ask_to_leave(&mut bob, &newer),
        Ok(Reply::Done),
        "another request takes the place of one that stands"
    );
    assert_eq!(hall.mail(&mut alice).last(), Some(&asked(&alices, &newer)));
}
