//! Groups through the MLS wrapper: who comes in, who goes and how, and what members do not accept.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod mls_people;

use std::collections::BTreeSet;

use membership::rules::RulesError;
use mls_people::{DAY_MS, Device, NOW, Person, Talk, id, opened, outlaw};
use node_core::{
    crypto::mls::{
        Applied, ApplyError, Changed, Commit, JoinError,
        MemberChange::{self, Demoted, Invited, Joined, Left, Promoted, Removed},
        OpenError, ProposeError,
    },
    stored::{Change, Table},
};
use protocol::{
    Name, Timestamp,
    policy::{Access, GroupPolicy, Policy, PolicyRefusal, Role},
};

fn founded(by: &Device, access: Access) -> Policy {
    let name = Name::parse("team").unwrap();
    Policy::Group(Box::new(GroupPolicy::founded(name, by.account, [7; 16], access)))
}

fn group(conversation: &Talk) -> GroupPolicy {
    let Policy::Group(group) = conversation.policy() else { panic!("a group") };
    (**group).clone()
}

fn changed(whose: &Device, by: &Device, change: MemberChange) -> Changed {
    Changed { account: whose.account, by: by.account, change }
}

/// Everybody who stays applies a commit, and sees the same.
fn everybody<const N: usize>(commit: &Commit, members: [&mut Talk; N]) -> Vec<Changed> {
    let mut seen: Option<(Applied, Policy, Vec<_>)> = None;
    for member in members {
        let mut applied = member.apply(NOW, &commit.bytes).unwrap();
        assert!(!applied.removed_self);
        applied.by_self = false;
        let now = (applied, member.policy().clone(), member.members().cloned().collect());
        assert_eq!(seen.get_or_insert(now.clone()), &now);
    }
    seen.unwrap().0.changes
}

/// Somebody comes in by an external commit after one that these members applied.
fn comes_in<const N: usize>(who: &Device, after: &Commit, mut members: [&mut Talk; N]) -> (Talk, Commit, Vec<Changed>) {
    let tree = members[0].export_tree().unwrap();
    let (entered, commit) = who.mls.rejoin(NOW, 1, &after.group_info, &tree).unwrap();
    let changes = everybody(&commit, members.each_mut().map(|member| &mut **member));
    assert_eq!(entered.policy(), members[0].policy());
    (entered, commit, changes)
}

/// Alice owns it, bob and carol joined it.
struct Three {
    alice: Device,
    bob: Device,
    carol: Device,
    hers: Talk,
    his: Talk,
    carols: Talk,
    last: Commit,
}

fn three(access: Access) -> Three {
    let devices = [1, 2, 3].map(|number| Person::new(u64::from(number)).device(number));
    let [alice, bob, carol] = devices;
    let (mut hers, creation) = alice.mls.create(NOW, &founded(&alice, access), 1, &[]).unwrap();
    let next = group(&hers).with_invited(bob.account).unwrap().with_invited(carol.account).unwrap();
    let packages = [&bob, &carol].map(|device| device.mls.key_package(NOW, false).unwrap());
    let invited = hers.propose_invitation(NOW, &next, &packages).unwrap();
    assert!(creation.welcome.is_empty());
    hers.apply(NOW, &invited.bytes).unwrap();
    let (welcome, tree) = (invited.welcome.unwrap(), hers.export_tree().unwrap());
    let [mut his, mut carols] = [&bob, &carol].map(|device| {
        let joined = device.mls.join(NOW, 1, &welcome, &tree).unwrap();
        assert_eq!(joined.inviter, alice.device);
        joined.conversation
    });
    let joins = his.propose_policy(NOW, &group(&his).with_joined(bob.account)).unwrap();
    assert_eq!(everybody(&joins, [&mut hers, &mut his, &mut carols]), [changed(&bob, &bob, Joined)]);
    let last = carols.propose_policy(NOW, &group(&carols).with_joined(carol.account)).unwrap();
    assert_eq!(everybody(&last, [&mut hers, &mut his, &mut carols]), [changed(&carol, &carol, Joined)]);
    Three { alice, bob, carol, hers, his, carols, last }
}

#[test]
fn a_founder_is_alone_and_owns_the_group_and_what_was_written_is_loaded_again() {
    let alice = Person::new(1).device(1);
    let policy = founded(&alice, Access::Open);
    let (mut hers, creation) = alice.mls.create(NOW, &policy, 1, &[]).unwrap();
    assert_eq!((creation.welcome.len(), hers.epoch(), hers.policy()), (0, 1, &policy));
    assert_eq!(hers.accounts(), BTreeSet::from([alice.account]));
    assert_eq!(hers.id(), membership::conversation_id(&policy));
    assert_eq!(group(&hers).role(alice.account), Role::Owner);
    let commit = hers.propose_refresh(NOW).unwrap();
    assert_eq!((commit.welcome, hers.apply(NOW, &commit.bytes).unwrap().changes), (None, Vec::new()));
    hers.write().unwrap();
    let loaded = alice.mls.load(hers.id(), 1, Vec::new()).unwrap().unwrap();
    assert_eq!((loaded.epoch(), loaded.policy()), (2, &policy));
    let direct = membership::direct_policy(Person::new(1).root.public(), Person::new(2).root.public(), 0);
    assert!(alice.mls.create(NOW, &direct, 1, &[]).is_err(), "nobody talks to nobody");
}

#[test]
fn an_invitation_is_one_welcome_for_all_devices_and_is_taken_up_by_a_commit_of_one_of_them() {
    let (alice, mut b) = (Person::new(1).device(1), Person::new(2));
    let (first, second) = (b.device(2), b.device(22));
    let (mut hers, _) = alice.mls.create(NOW, &founded(&alice, Access::Invite), 1, &[]).unwrap();
    let packages = [&first, &second].map(|device| device.mls.key_package(NOW, false).unwrap());
    let next = group(&hers).with_invited(first.account).unwrap();
    let commit = hers.propose_invitation(NOW, &next, &packages).unwrap();
    let applied = hers.apply(NOW, &commit.bytes).unwrap();
    assert_eq!(applied.changes, [changed(&first, &alice, Invited)]);
    assert_eq!(applied.committer.map(|device| device.entry.device), Some(alice.device));
    assert_eq!(
        (applied.by_self, applied.policy_before, applied.added.len()),
        (true, founded(&alice, Access::Invite), 2)
    );
    let (welcome, tree) = (commit.welcome.unwrap(), hers.export_tree().unwrap());
    let [mut one, mut other] =
        [&first, &second].map(|device| device.mls.join(NOW, 1, &welcome, &tree).unwrap().conversation);
    assert_eq!(group(&one), next);
    let said = hers.seal(NOW, id(1), b"before he joins").unwrap();
    assert_eq!(one.open(NOW, &said), opened(&alice, 1, 2, b"before he joins"));

    let joins = one.propose_policy(NOW, &next.with_joined(first.account)).unwrap();
    let for_him = hers.propose_policy(NOW, &next.with_joined(first.account));
    let not_his = RulesError::Refused(PolicyRefusal::UnknownChange);
    assert!(matches!(for_him, Err(ProposeError::Refused(refusal)) if refusal == not_his), "by himself only");
    assert_eq!(everybody(&joins, [&mut hers, &mut one, &mut other]), [changed(&first, &first, Joined)]);
    assert_eq!(group(&hers).role(first.account), Role::Member);

    // A third device of his comes in by itself; the second is revoked by the first.
    let third = b.device(23);
    let (mut another, _, changes) = comes_in(&third, &joins, [&mut hers, &mut one, &mut other]);
    assert_eq!(changes, []);
    let revokes = one.propose_removal(NOW, &[second.device]).unwrap();
    assert_eq!(everybody(&revokes, [&mut hers, &mut one, &mut another]), []);
    let gone = other.apply(NOW, &revokes.bytes).unwrap();
    assert!(gone.removed_self && gone.changes.is_empty(), "the account stays");
}

#[test]
fn a_key_package_that_does_not_hold_is_named_and_nothing_is_pending_then() {
    let (alice, mut b) = (Person::new(1).device(1), Person::new(2));
    let (first, second) = (b.device(2), b.device(22));
    let (mut hers, _) = alice.mls.create(NOW, &founded(&alice, Access::Open), 1, &[]).unwrap();
    let next = group(&hers).with_invited(first.account).unwrap();
    let good = first.mls.key_package(NOW, false).unwrap();
    let expired = second.mls.key_package(Timestamp(NOW.0 - 85 * DAY_MS), false).unwrap();
    let before_groups = outlaw::key_package(&second, false);
    for bad in [expired, before_groups, vec![1, 2, 3].try_into().unwrap()] {
        let refused = hers.propose_invitation(NOW, &next, &[good.clone(), bad]);
        assert!(matches!(refused, Err(ProposeError::KeyPackage(1, _))), "{refused:?}");
    }
    assert!(hers.propose_invitation(NOW, &next, &[good]).is_ok());
}

#[test]
fn anybody_comes_into_an_open_group_and_nobody_into_one_by_invitation() {
    let Three { alice, bob, carol, mut hers, mut his, mut carols, last } = three(Access::Open);
    let dave = Person::new(4).device(4);
    let (mut daves, _, changes) = comes_in(&dave, &last, [&mut hers, &mut his, &mut carols]);
    assert_eq!(changes, [changed(&dave, &dave, Joined)]);
    assert_eq!(group(&hers).role(dave.account), Role::Member);
    let epoch = hers.epoch();
    for (number, from) in [(1, &alice), (2, &bob), (3, &carol), (4, &dave)] {
        let mut all = [&mut hers, &mut his, &mut carols, &mut daves];
        let (sender, others) = all.split_at_mut(usize::from(number));
        let (sender, before) = sender.split_last_mut().unwrap();
        let sealed = sender.seal(NOW, id(number), &[number]).unwrap();
        for other in before.iter_mut().chain(others) {
            assert_eq!(other.open(NOW, &sealed), opened(from, number, epoch, &[number]));
        }
    }

    let three = three(Access::Invite);
    let refused = dave.mls.rejoin(NOW, 1, &three.last.group_info, &three.hers.export_tree().unwrap());
    let invite_only = RulesError::Refused(PolicyRefusal::InviteOnly);
    assert!(matches!(refused, Err(JoinError::Refused(refusal)) if refusal == invite_only));
    let (mut his, mut hers) = (three.his, three.hers);
    let package = dave.mls.key_package(NOW, false).unwrap();
    let next = group(&his).with_invited(dave.account).unwrap();
    let refused = his.propose_invitation(NOW, &next, std::slice::from_ref(&package));
    let not_permitted = RulesError::Refused(PolicyRefusal::NotPermitted);
    assert!(matches!(refused, Err(ProposeError::Refused(refusal)) if refusal == not_permitted));
    assert!(hers.propose_invitation(NOW, &next, &[package]).is_ok());
}

#[test]
fn whoever_is_kicked_reads_no_more_and_comes_back_by_an_invitation_only() {
    let Three { alice, bob, carol, mut hers, mut his, mut carols, .. } = three(Access::Open);
    let next = group(&hers).with_kicked(bob.account).unwrap();
    let refused = carols.propose_kick(NOW, &next, bob.account);
    let not_permitted = RulesError::Refused(PolicyRefusal::NotPermitted);
    assert!(matches!(refused, Err(ProposeError::Refused(refusal)) if refusal == not_permitted));
    let kick = hers.propose_kick(NOW, &next, bob.account).unwrap();
    assert_eq!(everybody(&kick, [&mut hers, &mut carols]), [changed(&bob, &alice, Removed)]);
    let gone = his.apply(NOW, &kick.bytes).unwrap();
    assert!(gone.removed_self && gone.changes == [changed(&bob, &alice, Removed)]);
    assert_eq!(gone.committer.map(|device| device.entry.device), Some(alice.device));
    let sealed = hers.seal(NOW, id(1), b"without bob").unwrap();
    assert_eq!(his.open(NOW, &sealed), Err(OpenError::FutureEpoch(5)));
    assert_eq!(carols.open(NOW, &sealed), opened(&alice, 1, 5, b"without bob"));
    let back = bob.mls.rejoin(NOW, 2, &kick.group_info, &hers.export_tree().unwrap());
    let banned = RulesError::Refused(PolicyRefusal::Banned);
    assert!(matches!(back, Err(JoinError::Refused(refusal)) if refusal == banned));

    let package = bob.mls.key_package(NOW, false).unwrap();
    let invited = hers.propose_invitation(NOW, &next.with_invited(bob.account).unwrap(), &[package]).unwrap();
    assert_eq!(everybody(&invited, [&mut hers, &mut carols]), [changed(&bob, &alice, Invited)]);
    assert_eq!(group(&carols).role(bob.account), Role::Invited);
    let joined = bob.mls.join(NOW, 3, &invited.welcome.unwrap(), &hers.export_tree().unwrap()).unwrap();
    assert_eq!(joined.conversation.accounts(), BTreeSet::from([alice.account, bob.account, carol.account]));
}

#[test]
fn whoever_leaves_is_let_go_by_anothers_commit_and_nothing_comes_from_them_or_in_their_name_after_it() {
    let Three { bob, carol, mut hers, mut his, mut carols, .. } = three(Access::Open);
    let [before, late] = [1, 2].map(|number| his.seal(NOW, id(number), b"goodbye").unwrap());
    let stays = carols.seal(NOW, id(3), b"hello").unwrap();
    assert_eq!(hers.open(NOW, &before), opened(&bob, 1, 4, b"goodbye"));
    let leave = bob.leave(his.id(), bob.account, his.epoch());
    let next = group(&hers).with_left(&leave.leave().unwrap(), hers.epoch()).unwrap();
    let own = his.propose_leave(NOW, &next, &leave);
    assert!(matches!(own, Err(ProposeError::Refused(_))), "nobody grants their own request");
    let granted = carols.propose_leave(NOW, &next, &leave).unwrap();
    assert_eq!(everybody(&granted, [&mut hers, &mut carols]), [changed(&bob, &bob, Left)]);
    let gone = his.apply(NOW, &granted.bytes).unwrap();
    assert_eq!((gone.removed_self, gone.changes), (true, vec![changed(&bob, &bob, Left)]));
    assert_eq!(hers.open(NOW, &stays), opened(&carol, 3, 4, b"hello"));
    assert_eq!(hers.open(NOW, &late), Err(OpenError::SenderGone));
    // Somebody else has his leaf now, and has not said it.
    let dave = Person::new(4).device(4);
    let (mut daves, entered, _) = comes_in(&dave, &granted, [&mut hers, &mut carols]);
    assert_eq!(carols.open(NOW, &late), Err(OpenError::SenderGone));

    // He comes back; his request has had its effect.
    let (mut again, _, changes) = comes_in(&bob, &entered, [&mut hers, &mut carols, &mut daves]);
    assert_eq!(changes, [changed(&bob, &bob, Joined)]);
    let refused = hers.propose_leave(NOW, &group(&hers).with_kicked(bob.account).unwrap(), &leave);
    let stale = RulesError::Refused(PolicyRefusal::StaleLeave);
    assert!(matches!(refused, Err(ProposeError::Refused(refusal)) if refusal == stale));
    let leave = bob.leave(again.id(), bob.account, again.epoch());
    let next = group(&hers).with_left(&leave.leave().unwrap(), hers.epoch()).unwrap();
    let granted = hers.propose_leave(NOW, &next, &leave).unwrap();
    assert_eq!(everybody(&granted, [&mut hers, &mut carols, &mut daves]), [changed(&bob, &bob, Left)]);
    assert!(again.apply(NOW, &granted.bytes).unwrap().removed_self);
}

#[test]
fn owners_promote_and_demote_and_one_of_them_stays() {
    let Three { alice, bob, mut hers, mut his, mut carols, .. } = three(Access::Open);
    let start = group(&hers);
    let role = |policy: &GroupPolicy, role| policy.with_role(bob.account, role).unwrap();
    for (next, change) in
        [(Role::Admin, Promoted), (Role::Owner, Promoted), (Role::Admin, Demoted), (Role::Owner, Promoted)]
    {
        let commit = hers.propose_policy(NOW, &role(&group(&hers), next)).unwrap();
        assert_eq!(everybody(&commit, [&mut hers, &mut his, &mut carols]), [changed(&bob, &alice, change)]);
        assert_eq!(group(&carols).role(bob.account), next);
    }
    let refused = carols.propose_policy(NOW, &role(&group(&hers), Role::Admin));
    let not_permitted = RulesError::Refused(PolicyRefusal::NotPermitted);
    assert!(matches!(refused, Err(ProposeError::Refused(refusal)) if refusal == not_permitted));
    let steps = his.propose_policy(NOW, &group(&his).with_role(alice.account, Role::Admin).unwrap()).unwrap();
    assert_eq!(everybody(&steps, [&mut hers, &mut his, &mut carols]), [changed(&alice, &bob, Demoted)]);
    assert_eq!(group(&his).with_role(bob.account, Role::Admin), Err(PolicyRefusal::LastOwner));
    assert_eq!(
        start.with_left(&alice.leave(hers.id(), alice.account, 4).leave().unwrap(), 4),
        Err(PolicyRefusal::LastOwner)
    );
    let leave = bob.leave(his.id(), bob.account, his.epoch());
    let granted = carols.propose_leave(NOW, &group(&carols), &leave);
    let last = RulesError::Refused(PolicyRefusal::LastOwner);
    assert!(matches!(granted, Err(ProposeError::Refused(refusal)) if refusal == last));
}

#[test]
fn of_two_commits_of_one_epoch_one_counts_and_the_other_is_made_anew() {
    let Three { alice, bob, mut hers, mut his, mut carols, .. } = three(Access::Open);
    let next = group(&hers).with_role(bob.account, Role::Admin).unwrap();
    let (lost, won) = (hers.propose_policy(NOW, &next).unwrap(), his.propose_refresh(NOW).unwrap());
    assert_eq!(everybody(&won, [&mut hers, &mut his, &mut carols]), []);
    assert!(matches!(carols.apply(NOW, &lost.bytes), Err(ApplyError::Refused(_))));
    assert_eq!(group(&hers).role(bob.account), Role::Member, "what was proposed is nothing yet");
    let again = hers.propose_policy(NOW, &next).unwrap();
    assert_eq!(everybody(&again, [&mut hers, &mut his, &mut carols]), [changed(&bob, &alice, Promoted)]);
}

#[test]
fn a_large_groups_tree_is_written_when_it_changes_and_not_with_each_message() {
    let devices: Vec<Device> = (1..=52).map(|number| Person::new(u64::from(number)).device(number)).collect();
    let (alice, guests) = devices.split_first().unwrap();
    let (mut hers, _) = alice.mls.create(NOW, &founded(alice, Access::Invite), 1, &[]).unwrap();
    hers.write().unwrap();
    let mut next = group(&hers);
    for guest in guests {
        next = next.with_invited(guest.account).unwrap();
    }
    let packages: Vec<_> = guests.iter().map(|guest| guest.mls.key_package(NOW, false).unwrap()).collect();
    let commit = hers.propose_invitation(NOW, &next, &packages).unwrap();
    hers.apply(NOW, &commit.bytes).unwrap();
    let first = &guests[0];
    let mut his = first.mls.join(NOW, 1, &commit.welcome.unwrap(), &hers.export_tree().unwrap()).unwrap().conversation;
    drop(alice.staging.take_changes());
    hers.write().unwrap();
    assert_eq!(trees(&alice.staging.take_changes()), (1, 0));
    for number in 0..3 {
        let mut loaded = alice.mls.load(hers.id(), 1, Vec::new()).unwrap().unwrap();
        assert_eq!((loaded.members().count(), loaded.epoch()), (52, hers.epoch()));
        let sealed = loaded.seal(NOW, id(number), b"to all").unwrap();
        assert_eq!(his.open(NOW, &sealed), opened(alice, number, 2, b"to all"));
        loaded.write().unwrap();
        assert_eq!(trees(&alice.staging.take_changes()), (0, 0), "the same epoch");
        hers = loaded;
    }
    his.write().unwrap();
    assert_eq!(trees(&first.staging.take_changes()), (1, 0));
    first.staging.forget(his.id(), 1);
    assert_eq!(trees(&first.staging.take_changes()), (0, 1), "a membership that is over leaves nothing");
    // With the second of two who go, the tree is a part of the state again; a commit that is pending is kept either way.
    for (guest, expected) in guests[49..].iter().zip([(1, 0), (0, 1)]) {
        let next = group(&hers).with_kicked(guest.account).unwrap();
        let commit = hers.propose_kick(NOW, &next, guest.account).unwrap();
        hers.write().unwrap();
        assert_eq!(trees(&alice.staging.take_changes()), (0, 0), "nothing is changed yet");
        hers = alice.mls.load(hers.id(), 1, hers.departed().to_vec()).unwrap().unwrap();
        assert_eq!(everybody(&commit, [&mut hers, &mut his]), [changed(guest, alice, Removed)]);
        hers.write().unwrap();
        assert_eq!(trees(&alice.staging.take_changes()), expected);
        hers = alice.mls.load(hers.id(), 1, hers.departed().to_vec()).unwrap().unwrap();
        assert_eq!(hers.members().count(), his.members().count());
    }
}

/// How often a tree was written, and how often deleted.
fn trees(changes: &[Change]) -> (usize, usize) {
    let put = |change: &&Change| matches!(change, Change::Put { table: Table::GroupTree, .. });
    let deleted = |change: &&Change| matches!(change, Change::Delete { table: Table::GroupTree, .. });
    (changes.iter().filter(put).count(), changes.iter().filter(deleted).count())
}
