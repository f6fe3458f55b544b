//! Commits in groups: the directory lets pass what the rule allows, whoever asks; both sides of a change get what they need
//! of it, from one step.

use directory::store::{Handout, Store};
use mls_rs::MlsMessage;
use protocol::{
    CommitHash,
    directory::{CommitSubmission, MailItem, Refusal, Reply, Request, TreeBytes},
    frame,
    limits::DIRECTORY_FRAME_MAX,
    policy::{Access, GroupPolicy, PolicyRefusal, Role},
};
use sha2::{Digest as _, Sha256};

use crate::{
    circle::{item, leaves_of, policy_of},
    hall::{Hall, MlsGroup, Person, bytes, mail_for},
    talk::{id_of, is_malformed},
};

over_both!(
    whoever_is_invited_gets_the_welcome_and_everybody_else_the_commit,
    a_welcome_is_for_exactly_those_who_are_added,
    nobody_brings_in_a_device_that_its_account_does_not_have,
    nobody_does_what_their_role_does_not_allow,
    whoever_was_kicked_gets_the_commit_and_comes_in_only_by_an_invitation,
    the_second_commit_of_an_epoch_lost_and_a_repetition_counts,
    devices_come_into_an_open_group_by_themselves_with_nobody_there,
    somebody_else_commits_nothing,
    both_things_that_a_crash_kept_back_come_by_the_sweep,
    a_mailbox_that_is_full_of_somebodys_commits_keeps_nobody_from_changing_a_group,
);

/// A group of alice's that these are in, each of whom came in by themselves.
fn team<const N: usize>(
    hall: &Hall<impl Store>,
    owner: &mut Person,
    others: [&mut Person; N],
) -> (MlsGroup, Vec<MlsGroup>) {
    let mut group = hall.found(owner, "team", Access::Open);
    let mut joined: Vec<MlsGroup> = Vec::new();
    for person in others {
        let mut there: Vec<&mut MlsGroup> = std::iter::once(&mut group).chain(joined.iter_mut()).collect();
        let next = hall.enter(person, &mut there);
        joined.push(next);
    }
    (group, joined)
}

fn welcome(commit: &CommitSubmission, group: &MlsGroup) -> MailItem {
    let tree: TreeBytes = bytes(&group.export_tree().to_bytes().unwrap());
    MailItem::Welcome { conversation: commit.conversation, welcome: commit.welcome.clone().unwrap(), tree }
}

fn whoever_is_invited_gets_the_welcome_and_everybody_else_the_commit(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = team(&hall, &mut alice, [&mut bob]);
    let before = [hall.mail(&mut alice).len(), hall.mail(&mut bob).len()];
    let invitation = hall.invitation(&mut group, &[&carol]);
    let request = || Request::SubmitCommit(Box::new(invitation.clone()));
    let handled = hall.handle(&mut alice, request());
    let told = [&alice, &bob, &carol].map(|person| mail_for(person.device()));
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::CommitAccepted), told.to_vec()));
    let again = hall.handle(&mut alice, request());
    assert_eq!((again.answer, again.effects), (Ok(Reply::CommitAccepted), vec![]), "the same again");
    group.apply_pending_commit().unwrap();
    assert_eq!(hall.mail(&mut carol), [welcome(&invitation, &group)]);
    assert_eq!(hall.mail(&mut alice)[before[0]..], [item(&invitation)]);
    assert_eq!(hall.mail(&mut bob)[before[1]..], [item(&invitation)]);
    let joined = hall.follow_welcome(&carol, &invitation, &group);
    assert_eq!(policy_of(&joined).role(carol.account), Role::Invited);
}

fn a_welcome_is_for_exactly_those_who_are_added(hall: Hall<impl Store>) {
    let (mut alice, bob, carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = team(&hall, &mut alice, []);
    let both = hall.invitation(&mut group, &[&bob, &carol]);
    let plain = hall.change(&mut group, None, |builder| builder);
    let one = hall.invitation(&mut group, &[&bob]);
    let with = |welcome: &Option<_>| CommitSubmission { welcome: welcome.clone(), ..one.clone() };
    let cases = [
        ("none", with(&None)),
        ("for one more", with(&both.welcome)),
        ("for one less", CommitSubmission { welcome: one.welcome.clone(), ..both }),
        ("that is none", with(&Some(one.commit.clone()))),
        ("for nobody", CommitSubmission { welcome: one.welcome.clone(), ..plain }),
        ("for another package of the same device", with(&hall.invitation(&mut group, &[&bob]).welcome)),
    ];
    for (what, commit) in cases {
        let answer = hall.submit(&mut alice, &commit);
        assert!(is_malformed(&answer), "a Welcome {what}: {answer:?}");
    }
    assert_eq!(hall.submit(&mut alice, &one), Ok(Reply::CommitAccepted));
}

fn nobody_brings_in_a_device_that_its_account_does_not_have(hall: Hall<impl Store>) {
    let (mut alice, bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (mut group, _) = team(&hall, &mut alice, []);
    let unenrolled = Person::with_device("bob", 2, 22, bob.entry.not_after);
    let strange = Person::new("nobody", 9, hall.now);
    let expired = Person::with_device("bob", 2, 2, hall.now);
    let cases = [
        ("not enrolled", vec![&unenrolled]),
        ("one of two", vec![&bob, &unenrolled]),
        ("nobody's", vec![&strange]),
        ("with a certificate that has expired", vec![&expired]),
    ];
    for (what, devices) in cases {
        let invitation = hall.invitation(&mut group, &devices);
        let answer = hall.submit(&mut alice, &invitation);
        assert!(is_malformed(&answer), "{what}: {answer:?}");
    }
    let honest = hall.invitation(&mut group, &[&bob]);
    assert_eq!(hall.submit(&mut alice, &honest), Ok(Reply::CommitAccepted));
}

fn nobody_does_what_their_role_does_not_allow(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let dave = hall.arrive("dave", 4);
    let mut group = hall.found(&mut alice, "club", Access::Invite);
    let mut theirs = {
        let invitation = hall.invitation(&mut group, &[&bob, &carol]);
        hall.settle(&mut alice, (&mut group, &invitation), &mut []);
        [hall.follow_welcome(&bob, &invitation, &group), hall.follow_welcome(&carol, &invitation, &group)]
    };
    let [bobs, carols] = &mut theirs;
    let joined = policy_of(bobs).with_joined(bob.account);
    let joins = hall.change(bobs, Some(joined), |builder| builder);
    hall.settle(&mut bob, (bobs, &joins), &mut [&mut group, carols]);
    let now = policy_of(bobs);
    let role = |whom: &Person, role| Some(now.with_role(whom.account, role).unwrap());
    let kick = hall.kick(bobs, &carol);
    let upward = {
        let (next, leaves) = (now.with_kicked(alice.account), leaves_of(bobs, &alice));
        hall.change(bobs, Some(GroupPolicy { owners: vec![bob.account].try_into().unwrap(), ..next.unwrap() }), |b| {
            b.remove_member(leaves[0]).unwrap()
        })
    };
    let not_permitted = PolicyRefusal::NotPermitted;
    let cases = [
        ("an invitation by a member", hall.invitation(bobs, &[&dave]), not_permitted),
        ("a kick by a member", kick, not_permitted),
        ("a kick upward", upward, not_permitted),
        ("a promotion of oneself", hall.change(bobs, role(&bob, Role::Admin), |builder| builder), not_permitted),
        (
            "another name",
            {
                let name = protocol::Name::parse("crew").unwrap();
                hall.change(bobs, Some(GroupPolicy { name, ..now.clone() }), |builder| builder)
            },
            PolicyRefusal::UnknownChange,
        ),
        (
            "opening it",
            { hall.change(bobs, Some(GroupPolicy { access: Access::Open, ..now.clone() }), |builder| builder) },
            PolicyRefusal::UnknownChange,
        ),
        (
            "carol's word that she has joined",
            { hall.change(bobs, Some(now.with_joined(carol.account)), |builder| builder) },
            PolicyRefusal::UnknownChange,
        ),
    ];
    for (what, commit, which) in cases {
        assert_eq!(hall.submit(&mut bob, &commit), Err(Refusal::Policy(which)), "{what}");
    }
    let invites = hall.invitation(carols, &[&dave]);
    assert_eq!(hall.submit(&mut carol, &invites), Err(Refusal::Policy(not_permitted)), "whoever is only invited");
    let honest = hall.change(bobs, None, |builder| builder);
    assert_eq!(hall.submit(&mut bob, &honest), Ok(Reply::CommitAccepted), "and the epoch is still open");
}

fn whoever_was_kicked_gets_the_commit_and_comes_in_only_by_an_invitation(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, mut others) = team(&hall, &mut alice, [&mut bob, &mut carol]);
    let before = hall.mail(&mut carol).len();
    let kick = hall.kick(&mut group, &carol);
    hall.settle(&mut alice, (&mut group, &kick), &mut [&mut others[0]]);
    let next = hall.change(&mut group, None, |builder| builder);
    hall.settle(&mut alice, (&mut group, &next), &mut [&mut others[0]]);
    assert_eq!(hall.mail(&mut carol)[before..], [item(&kick)]);
    let (_, back) = hall.external(&carol, &group, &[]);
    assert_eq!(hall.submit(&mut carol, &back), Err(Refusal::Policy(PolicyRefusal::Banned)));
    let mut members = others.remove(0);
    let lifts = hall.invitation(&mut members, &[&carol]);
    assert_eq!(
        hall.submit(&mut bob, &lifts),
        Err(Refusal::Policy(PolicyRefusal::NotPermitted)),
        "a member lifts no ban"
    );
    let invitation = hall.invitation(&mut group, &[&carol]);
    hall.settle(&mut alice, (&mut group, &invitation), &mut []);
    assert_eq!(hall.mail(&mut carol).last(), Some(&welcome(&invitation, &group)));
    assert_eq!(policy_of(&group).banned.len(), 0);
}

fn the_second_commit_of_an_epoch_lost_and_a_repetition_counts(hall: Hall<impl Store>) {
    let (mut alice, mut bob, carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, mut others) = team(&hall, &mut alice, [&mut bob]);
    let (first, second) = (hall.invitation(&mut group, &[&carol]), hall.change(&mut others[0], None, |b| b));
    assert_eq!(hall.submit(&mut alice, &first), Ok(Reply::CommitAccepted));
    let winner = CommitHash(Sha256::digest(&*first.commit).into());
    assert_eq!(hall.submit(&mut bob, &second), Ok(Reply::CommitLost { winner }));
    assert_eq!(hall.submit(&mut alice, &first), Ok(Reply::CommitAccepted));
    let future = CommitSubmission { epoch: first.epoch + 7, ..second };
    assert_eq!(hall.submit(&mut bob, &future), Err(Refusal::Stale));
}

fn devices_come_into_an_open_group_by_themselves_with_nobody_there(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let mut second = Person::with_device("alice", 1, 11, alice.entry.not_after);
    hall.enrol(&mut alice, &mut second);
    let (mut group, _) = team(&hall, &mut alice, [&mut bob]);
    let (_, comes) = hall.external(&second, &group, &[]);
    assert_eq!(hall.submit(&mut second, &comes), Ok(Reply::CommitAccepted));
    hall.take_in(&mut group, &comes);
    let members = |person: &mut Person| hall.find(person, "team").map(|group| group.members);
    assert_eq!(members(&mut alice), Some(2), "accounts, not devices");
    assert_eq!(hall.mail(&mut second), [item(&comes)]);
    // Into a group by invitation comes whoever is in it, with another device, and nobody else.
    let mut club = hall.found(&mut alice, "club", Access::Invite);
    let (_, intrusion) = hall.external(&bob, &club, &[]);
    assert_eq!(hall.submit(&mut bob, &intrusion), Err(Refusal::Policy(PolicyRefusal::InviteOnly)));
    hall.enter(&mut second, &mut [&mut club]);
}

fn somebody_else_commits_nothing(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, _) = team(&hall, &mut alice, [&mut bob]);
    let commit = hall.change(&mut group, None, |builder| builder);
    assert_eq!(hall.submit(&mut bob, &commit), Err(Refusal::NotMember), "another's");
    assert_eq!(hall.submit(&mut carol, &commit), Err(Refusal::NotMember), "another's, by a stranger");
    let (mut intruder, intrusion) = hall.external(&carol, &group, &[]);
    assert_eq!(hall.submit(&mut alice, &intrusion), Err(Refusal::NotMember));
    // Somebody who only says that they came in.
    let refresh = hall.change(&mut intruder, None, |builder| builder);
    let early = CommitSubmission { epoch: group.current_epoch(), ..refresh };
    assert_eq!(hall.submit(&mut carol, &early), Err(Refusal::NotMember));
    let elsewhere = CommitSubmission { conversation: protocol::ConversationId([1; 32]), ..commit.clone() };
    assert_eq!(hall.submit(&mut alice, &elsewhere), Err(Refusal::Unknown));
    assert_eq!(hall.submit(&mut alice, &commit), Ok(Reply::CommitAccepted));
}

fn both_things_that_a_crash_kept_back_come_by_the_sweep(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (group, _) = team(&hall, &mut alice, [&mut bob]);
    let store = hall.service.store();
    let mut next = store.conversation(id_of(&group)).unwrap().unwrap();
    next.roster.epoch += 1;
    let (conversation, epoch) = (id_of(&group), next.roster.epoch);
    let commit = MailItem::Commit { conversation, epoch: epoch - 1, commit: bytes(&[1]) };
    let invitation = MailItem::Welcome { conversation, welcome: bytes(&[2]), tree: bytes(&[3]) };
    let owed = |number, item: &MailItem, device| Handout {
        conversation,
        epoch,
        number,
        author: alice.device(),
        devices: vec![device],
        welcome: number == 1,
        key: [u8::try_from(number).unwrap(); 32],
        item: frame::encode_body(item, DIRECTORY_FRAME_MAX).unwrap(),
        expires: hall.now.plus_ms(1_000_000),
    };
    let handouts = [owed(0, &commit, bob.device()), owed(1, &invitation, carol.device())];
    store.commit(CommitHash([1; 32]), &next, &handouts).unwrap();
    let before = hall.mail(&mut bob);
    assert_eq!(hall.service.sweep(hall.now), [mail_for(bob.device()), mail_for(carol.device())]);
    assert_eq!(hall.service.sweep(hall.now), [], "once");
    assert_eq!(hall.mail(&mut bob), [before, vec![commit]].concat());
    assert_eq!(hall.mail(&mut carol), [invitation]);
}

fn a_mailbox_that_is_full_of_somebodys_commits_keeps_nobody_from_changing_a_group(hall: Hall<impl Store>) {
    let (mut alice, mut bob, mut carol) = (hall.arrive("alice", 1), hall.arrive("bob", 2), hall.arrive("carol", 3));
    let (mut group, others) = team(&hall, &mut alice, [&mut bob, &mut carol]);
    // What bob does not collect: thirty-two mebibytes of alice's.
    let record = hall.service.store().conversation(id_of(&group)).unwrap().unwrap();
    for n in 0..64_u8 {
        let mut other = record.clone();
        other.roster.id = protocol::ConversationId([n; 32]);
        let handout = Handout {
            conversation: other.roster.id,
            epoch: 1,
            number: 0,
            author: alice.device(),
            devices: vec![bob.device()],
            welcome: false,
            key: [n; 32],
            item: vec![n; 512 * 1024],
            expires: hall.now.plus_ms(1_000_000),
        };
        hall.service.store().create_conversation(&other, &[handout]).unwrap();
    }
    while !hall.service.sweep(hall.now).is_empty() {}
    let commit = hall.change(&mut group, None, |builder| builder);
    let handled = hall.handle(&mut alice, Request::SubmitCommit(Box::new(commit.clone())));
    let told = [&alice, &carol].map(|person| mail_for(person.device()));
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::CommitAccepted), told.to_vec()));
    group.apply_pending_commit().unwrap();
    // Bob comes in anew when he is back.
    let old = others[0].current_member_index();
    let (_, back) = hall.external(&bob, &group, &[old]);
    assert_eq!(hall.submit(&mut bob, &back), Ok(Reply::CommitAccepted));
    let received = MlsMessage::from_bytes(&back.commit).unwrap();
    assert!(group.process_incoming_message(received).is_ok());
    // Who has no room for an invitation is not invited: nothing else would tell them.
    let kick = hall.kick(&mut group, &bob);
    assert_eq!(hall.submit(&mut alice, &kick), Ok(Reply::CommitAccepted));
    group.apply_pending_commit().unwrap();
    let invitation = hall.invitation(&mut group, &[&bob]);
    assert_eq!(hall.submit(&mut alice, &invitation), Err(Refusal::MailboxFull));
}
