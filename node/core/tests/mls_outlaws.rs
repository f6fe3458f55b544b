//! What a member of a group who keeps to no rule may try, and nobody else follows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod mls_people;

use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, group_context, identity::signing_identity, signing::sign,
};
use mls_people::{
    Device, NOW, Person, Talk,
    outlaw::{self, Builder, Outlaw},
};
use mls_rs::{
    Extension, ExtensionList, MlsMessage, error::MlsError, group::proposal::CustomProposal, identity::SigningIdentity,
};
use node_core::crypto::{
    keys::DeviceKeys,
    mls::{ApplyError, Changed, JoinError, MemberChange, ProposeError},
};
use protocol::{
    AccountId, ConversationId, DeviceId, Name, Timestamp,
    policy::{Access, GroupPolicy, LEAVE_LABEL, Leave, Policy, Role, SignedLeave},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

fn group(conversation: &Talk) -> GroupPolicy {
    let Policy::Group(group) = conversation.policy() else { panic!("a group") };
    (**group).clone()
}

fn context(policy: &GroupPolicy) -> ExtensionList {
    group_context(&Policy::Group(Box::new(policy.clone()))).unwrap()
}

fn leaf(conversation: &Talk, account: AccountId) -> u32 {
    conversation.members().position(|member| member.account == account).unwrap().try_into().unwrap()
}

fn proposal(leave: &SignedLeave) -> CustomProposal {
    CustomProposal::new(LEAVE_PROPOSAL_TYPE, protocol::frame::encode_body(leave, 256).unwrap())
}

/// Alice owns an open group; bob and mallory came in by themselves.
struct World {
    alice: Device,
    bob: Device,
    mallory: Device,
    hers: Talk,
    his: Talk,
    outlaw: Outlaw,
}

fn world() -> World {
    let [alice, bob, mallory] = [1, 2, 3].map(|number| Person::new(u64::from(number)).device(number));
    let policy = GroupPolicy::founded(Name::parse("team").unwrap(), alice.account, [7; 16], Access::Open);
    let (mut hers, creation) = alice.mls.create(NOW, &Policy::Group(Box::new(policy)), 1, &[]).unwrap();
    let (mut his, entered) = bob.mls.rejoin(NOW, 1, &creation.group_info, &creation.tree).unwrap();
    hers.apply(NOW, &entered.bytes).unwrap();
    let (outlaw, commit) = Outlaw::enter(&mallory, &entered.group_info, &hers.export_tree().unwrap());
    let joined = Changed { account: mallory.account, by: mallory.account, change: MemberChange::Joined };
    for member in [&mut hers, &mut his] {
        assert_eq!(member.apply(NOW, &commit).unwrap().changes, [joined]);
    }
    World { alice, bob, mallory, hers, his, outlaw }
}

/// A commit of mallory's that neither alice nor bob follows; both are where they were.
fn refused(world: &mut World, case: &str, what: impl FnOnce(Builder<'_>) -> Result<Builder<'_>, MlsError>) {
    let commit = world.outlaw.commit(what);
    for member in [&mut world.hers, &mut world.his] {
        let (epoch, policy) = (member.epoch(), member.policy().clone());
        let applied = member.apply(NOW, &commit);
        assert!(matches!(applied, Err(ApplyError::Refused(_))), "{case}: {applied:?}");
        assert_eq!((member.epoch(), member.policy()), (epoch, &policy), "{case}");
    }
}

#[test]
fn no_context_is_followed_but_the_one_that_the_commit_leads_to() {
    let mut world = world();
    let (alice, mallory, policy) = (world.alice.account, world.mallory.account, group(&world.hers));
    let only = |of_policy: bool| {
        let whole = context(&policy);
        whole.iter().filter(|one| (one.extension_type == POLICY_EXTENSION_TYPE) == of_policy).cloned().collect()
    };
    let mut no_policy = context(&policy);
    no_policy.set(Extension::new(POLICY_EXTENSION_TYPE, b"none".to_vec()));
    let direct = membership::direct_policy(protocol::PublicKey([4; 65]), protocol::PublicKey([5; 65]), 0);
    let contexts = [
        ("without the required capabilities", only(true)),
        ("with a policy that is none", no_policy),
        ("without a policy", only(false)),
        ("without anything", ExtensionList::new()),
        ("a direct conversation's", group_context(&direct).unwrap()),
        ("an owner more", context(&policy.with_role(mallory, Role::Owner).unwrap())),
        ("an admin more", context(&policy.with_role(mallory, Role::Admin).unwrap())),
        ("by invitation only", context(&GroupPolicy { access: Access::Invite, ..policy.clone() })),
        ("another name", context(&GroupPolicy { name: Name::parse("gang").unwrap(), ..policy.clone() })),
        ("somebody banned", context(&policy.with_kicked(AccountId([9; 32])).unwrap())),
    ];
    for (case, context) in contexts {
        refused(&mut world, case, |builder| builder.set_group_context_ext(context));
    }
    let (owner, next) = (leaf(&world.hers, alice), policy.with_role(mallory, Role::Owner).unwrap());
    let next = context(&next.with_kicked(alice).unwrap());
    refused(&mut world, "a kick", |builder| builder.remove_member(owner)?.set_group_context_ext(next));
    refused(&mut world, "a removal", |builder| builder.remove_member(owner));
    let dave = Person::new(4).device(4);
    let package = MlsMessage::from_bytes(&dave.mls.key_package(NOW, false).unwrap()).unwrap();
    refused(&mut world, "somebody who was not invited", |builder| builder.add_member(package.clone()));
    let next = context(&policy.with_invited(dave.account).unwrap());
    let fair = world.outlaw.commit(|builder| builder.add_member(package)?.set_group_context_ext(next));
    let invited = Changed { account: dave.account, by: mallory, change: MemberChange::Invited };
    assert_eq!(world.his.apply(NOW, &fair).unwrap().changes, [invited], "what is allowed is followed");
}

#[test]
fn nobody_is_let_go_who_did_not_ask_for_it_here_and_now() {
    let mut world = world();
    let (bob, mallory, policy, epoch) =
        (world.bob.account, world.mallory.account, group(&world.hers), world.hers.epoch());
    let (conversation, his_leaf) = (world.hers.id(), leaf(&world.hers, bob));
    let in_his_name =
        SignedLeave::bytes(&Leave { conversation, account: bob, device: world.bob.device, epoch }).unwrap();
    let by_mallory = sign(world.mallory.keys.mls_key(), LEAVE_LABEL, &in_his_name);
    let genuine = world.bob.leave(conversation, bob, epoch);
    let unlabelled = sign(world.bob.keys.mls_key(), b"another label\0", &in_his_name);
    let mut stranger = Person::new(2);
    stranger.device(2);
    let cases = [
        ("signed by another member", SignedLeave { leave: in_his_name.clone(), signature: by_mallory }),
        ("signed under another label", SignedLeave { leave: in_his_name, signature: unlabelled }),
        ("by a device of another account", world.mallory.leave(conversation, bob, epoch)),
        ("by a device of his that is not in the group", stranger.device(22).leave(conversation, bob, epoch)),
        ("of another group", world.bob.leave(ConversationId([1; 32]), bob, epoch)),
        ("of an epoch to come", world.bob.leave(conversation, bob, epoch + 1)),
        ("with another epoch than was signed", {
            let later = SignedLeave::bytes(&Leave { conversation, account: bob, device: world.bob.device, epoch: 0 });
            SignedLeave { leave: later.unwrap(), signature: genuine.signature }
        }),
    ];
    let as_said = |leave: &SignedLeave| GroupPolicy {
        left: vec![(bob, leave.leave().unwrap().epoch)].try_into().unwrap(),
        ..policy.clone()
    };
    for (case, leave) in cases {
        let next = context(&as_said(&leave));
        refused(&mut world, case, |builder| {
            builder.remove_member(his_leaf)?.custom_proposal(proposal(&leave)).set_group_context_ext(next)
        });
    }
    let next = policy.with_left(&genuine.leave().unwrap(), epoch).unwrap();
    refused(&mut world, "a request and no removal", |builder| {
        builder.custom_proposal(proposal(&genuine)).set_group_context_ext(context(&next))
    });
    refused(&mut world, "a removal and no note of it", |builder| {
        Ok(builder.remove_member(his_leaf)?.custom_proposal(proposal(&genuine)))
    });
    let more = context(&next.with_role(mallory, Role::Admin).unwrap());
    refused(&mut world, "a promotion along with it", |builder| {
        builder.remove_member(his_leaf)?.custom_proposal(proposal(&genuine)).set_group_context_ext(more)
    });
    let fair = world.outlaw.commit(|builder| {
        builder.remove_member(his_leaf)?.custom_proposal(proposal(&genuine)).set_group_context_ext(context(&next))
    });
    let left = Changed { account: bob, by: bob, change: MemberChange::Left };
    assert_eq!(world.hers.apply(NOW, &fair).unwrap().changes, [left], "what he asked for is done");
    let gone = world.his.apply(NOW, &fair).unwrap();
    assert_eq!((gone.removed_self, gone.changes), (true, vec![left]));
    assert_eq!(gone.committer.map(|device| device.entry.device), Some(DeviceId([3; 16])));
}

#[test]
fn nobody_comes_in_or_takes_others_in_under_a_certificate_that_its_account_did_not_sign() {
    let mut world = world();
    let (bob, mut eve) = (world.bob.identity.clone(), Person::new(4));
    let (hers, tree) = (world.hers.propose_refresh(NOW).unwrap(), |talk: &Talk| talk.export_tree().unwrap());
    world.hers.apply(NOW, &hers.bytes).unwrap();
    let unsigned = {
        let (device, keys) = (DeviceId([4; 16]), DeviceKeys::generate(&mut ChaCha20Rng::seed_from_u64(4)));
        let mut certificate = Person::new(2).root.certify(&keys, device, Timestamp(u64::MAX)).unwrap();
        certificate.signature.0[40] ^= 1;
        Device { identity: signing_identity(&certificate).unwrap(), keys, ..eve.device(4) }
    };
    let another_key = {
        let device = eve.device(5);
        let key = device.identity.signature_key.clone();
        Device { identity: SigningIdentity::new(bob.credential, key), ..device }
    };
    for (case, imposter) in [("not signed", unsigned), ("another device's", another_key)] {
        let (_, entered) = Outlaw::enter(&imposter, &hers.group_info, &tree(&world.hers));
        let applied = world.hers.apply(NOW, &entered);
        assert!(matches!(applied, Err(ApplyError::Refused(_))), "{case}: {applied:?}");

        let package = outlaw::key_package(&imposter, true);
        let next = group(&world.hers).with_invited(AccountId([4; 32])).unwrap();
        let refused = world.hers.propose_invitation(NOW, &next, &[package]);
        assert!(matches!(refused, Err(ProposeError::KeyPackage(0, _))), "{case}: {refused:?}");

        let name = Name::parse("trap").unwrap();
        let policy = GroupPolicy::founded(name, world.bob.account, [8; 16], Access::Open);
        let (group_info, tree) = Outlaw::found(&imposter, &Policy::Group(Box::new(policy)));
        let joined = world.alice.mls.rejoin(NOW, 1, &group_info, &tree).map(|_| ());
        assert!(matches!(joined, Err(JoinError::Malformed { .. })), "{case}: {joined:?}");
    }
}
