//! A group with a foreign member: what the commits of groups are made of, between our MLS library and OpenMLS.
//!
//! It stands below the product's own wrapper and rules, on the libraries themselves: it pins down what they let a group
//! be, so that what is built on it can rely on it. With the wrapper and the rules they meet in [`product`]. Policies and requests are opaque here. After every commit everybody,
//! an observer without keys included, holds byte for byte the same group context, and the members the same epoch
//! authenticator: [`Everybody::follow`] sees to it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "group_interop/everybody.rs"]
mod everybody;
#[path = "group_interop/foreign.rs"]
mod foreign;
#[path = "group_interop/ours.rs"]
mod ours;
#[path = "group_interop/product.rs"]
mod product;

use everybody::{Everybody, FOREIGN, FOUNDER, founded};
use foreign::{Read, foreign};
use membership::POLICY_EXTENSION_TYPE;
use mls_rs::{
    error::MlsError,
    group::ExportedTree,
    mls_rules::CommitDirection::{Receive, Send},
};
use openmls::{prelude::*, treesync::errors::LeafNodeValidationError};
use ours::*;
use protocol::policy::POLICY_EXTENSION;

/// The second one of ours, and one that comes later.
const SECOND: u8 = 3;
const LATER: u8 = 4;

/// The founder, OpenMLS and a second one of ours.
fn three() -> Everybody {
    let mut everybody = founded(b"policy 0");
    everybody.invite_openmls(b"policy 1");
    everybody.invite_ours(SECOND, b"policy 2");
    everybody.rules.take();
    everybody
}

#[test]
fn openmls_joins_by_a_welcome_reads_the_policy_and_talks_both_ways() {
    let mut everybody = founded(b"policy 0");
    let add = Some(everybody.foreign.key_package());
    let (welcome, _) = everybody.founder_commits(&Changes { add, ..Changes::default() });
    let group = everybody.foreign.join(&welcome.unwrap(), &everybody.tree());
    assert_eq!(group.extensions().unknown(POLICY_EXTENSION).unwrap().0, b"policy 0");
    everybody.theirs = Some(group);
    everybody.agree();
    everybody.talk();
}

#[test]
fn an_invitation_and_its_change_of_policy_are_one_commit() {
    let mut everybody = founded(b"policy 0");
    everybody.invite_openmls(b"policy 1");
    let read = everybody.invite_ours(SECOND, b"policy 2");
    assert_eq!(read, Read { added: 1, policy: Some(b"policy 2".to_vec()), ..Read::default() });
    everybody.talk();

    let later = everybody.client(LATER);
    let add = Some(key_package(&later));
    let welcome = everybody.openmls_commits(&Changes { add, policy: Some(b"policy 3"), ..Changes::default() });
    everybody.join(&later, &welcome.unwrap());
    assert_eq!((everybody.members(), policy_in(&everybody.ours[0].context().extensions)), (4, b"policy 3".to_vec()));
    everybody.talk();
}

#[test]
fn a_removal_and_its_change_of_policy_are_one_commit() {
    let mut everybody = three();
    let second = everybody.leaf_of(SECOND);
    let changes = Changes { remove: Some(second), policy: Some(b"policy 3"), ..Changes::default() };
    let (_, read) = everybody.founder_commits(&changes);
    assert_eq!(read, Read { removed: vec![second], policy: Some(b"policy 3".to_vec()), ..Read::default() });
    assert_eq!((everybody.ours.len(), everybody.members()), (1, 2));
    everybody.talk();

    let remove = Some(everybody.leaf_of(FOREIGN));
    everybody.founder_commits(&Changes { remove, policy: Some(b"policy 4"), ..Changes::default() });
    assert!(everybody.theirs.is_none(), "OpenMLS knows that it is out");
}

#[test]
fn a_request_to_leave_travels_by_value_beside_the_removal_and_the_change_of_policy() {
    let mut everybody = three();
    let second = everybody.leaf_of(SECOND);
    let changes =
        Changes { remove: Some(second), policy: Some(b"policy 3"), request: Some(b"signed"), ..Changes::default() };
    let (_, read) = everybody.founder_commits(&changes);
    let requests = vec![(LEAVE_PROPOSAL, b"signed".to_vec())];
    assert_eq!(read, Read { added: 0, removed: vec![second], policy: Some(b"policy 3".to_vec()), requests });
    assert_eq!((everybody.ours.len(), everybody.members()), (1, 2));
    everybody.talk();
}

#[test]
fn openmls_commits_somebodys_request_to_leave_as_we_do() {
    let mut everybody = three();
    let remove = Some(everybody.leaf_of(SECOND));
    let changes = Changes { remove, policy: Some(b"policy 3"), request: Some(b"signed"), ..Changes::default() };
    everybody.openmls_commits(&changes);
    assert_eq!((everybody.ours.len(), everybody.members()), (1, 2));
    assert_eq!(policy_in(&everybody.ours[0].context().extensions), b"policy 3");
    everybody.talk();
}

#[test]
fn the_rules_see_the_same_of_a_commit_wherever_it_is_made_or_followed() {
    let mut everybody = three();
    let remove = Some(everybody.leaf_of(SECOND));
    let changes = Changes { remove, policy: Some(b"policy 3"), request: Some(b"signed"), ..Changes::default() };
    let mut seen = Seen {
        committer: device(FOUNDER),
        external: false,
        members: 3,
        policy: b"policy 2".to_vec(),
        new_policy: Some(b"policy 3".to_vec()),
        added: Vec::new(),
        removed: vec![device(SECOND)],
        requests: vec![b"signed".to_vec()],
    };
    everybody.founder_commits(&changes);
    // The founder, the one that goes and the observer.
    assert_eq!(everybody.rules.take(), [(Send, seen.clone()), (Receive, seen.clone()), (Receive, seen.clone())]);

    let mut everybody = three();
    everybody.openmls_commits(&changes);
    seen.committer = device(FOREIGN);
    assert_eq!(everybody.rules.take(), [(Receive, seen.clone()), (Receive, seen.clone()), (Receive, seen)]);
}

#[test]
fn we_come_in_by_ourselves_from_what_openmls_says_of_the_group() {
    let mut everybody = three();
    everybody.openmls_commits(&Changes { policy: Some(b"policy 3"), ..Changes::default() });
    everybody.rules.take();
    let info = everybody.foreign.group_info(everybody.theirs.as_ref().unwrap());
    let tree = ExportedTree::from_bytes(&everybody.tree()).unwrap();
    let builder = everybody.client(LATER).external_commit_builder().unwrap().with_tree_data(tree);
    let (group, commit) = builder.build(info).unwrap();
    everybody.follow(&commit);
    everybody.ours.push(group);
    everybody.agree();
    let (_, seen) = everybody.rules.take().remove(0);
    assert_eq!((seen.committer, seen.external, seen.members), (device(LATER), true, 3));
    assert_eq!((seen.policy, seen.new_policy), (b"policy 3".to_vec(), None));
    everybody.talk();
}

#[test]
fn openmls_comes_in_by_itself_and_comes_back_in_its_old_leafs_place() {
    let mut everybody = founded(b"policy 0");
    everybody.invite_ours(SECOND, b"policy 1");
    for removed in [Vec::new(), vec![device(FOREIGN)]] {
        everybody.rules.take();
        // Whoever comes back has lost its state.
        everybody.theirs = None;
        everybody.foreign = foreign(FOREIGN, BOTH);
        let info = everybody.ours[0].group_info_message_allowing_ext_commit(false).unwrap();
        let (group, commit) = everybody.foreign.enter(&info, &everybody.tree()).unwrap();
        everybody.follow(&commit);
        everybody.theirs = Some(group);
        everybody.agree();
        let (_, seen) = everybody.rules.take().remove(0);
        assert_eq!((seen.committer, seen.external, seen.removed), (device(FOREIGN), true, removed));
        assert_eq!(everybody.members(), 3);
        everybody.talk();
    }
}

/// Members that declare only one of the two code points.
const HALVES: [Declares; 2] = [Declares { policy: false, leave: true }, Declares { policy: true, leave: false }];

/// Whether our library misses just what is not declared.
fn misses(declares: Declares, refused: &MlsError) -> bool {
    match refused {
        MlsError::RequiredExtensionNotFound(missing) => !declares.policy && *missing == POLICY_EXTENSION_TYPE,
        MlsError::RequiredProposalNotFound(missing) => !declares.leave && *missing == LEAVE_PROPOSAL_TYPE,
        _ => false,
    }
}

#[test]
fn neither_adds_who_does_not_declare_both_code_points() {
    let mut everybody = three();
    for declares in HALVES {
        let add = Some(foreign(LATER, declares).key_package());
        let refused = commit(&mut everybody.ours[0], &Changes { add, ..Changes::default() }).unwrap_err();
        assert!(misses(declares, &refused), "{refused}");

        let add = Some(key_package(&client(LATER, declares, &everybody.rules)));
        let group = everybody.theirs.as_mut().unwrap();
        let refused = everybody.foreign.commit(group, &Changes { add, ..Changes::default() }).unwrap_err();
        let missing = if declares.policy {
            ProposalValidationError::LeafNodeValidation(LeafNodeValidationError::UnsupportedProposals)
        } else {
            ProposalValidationError::InsufficientCapabilities
        };
        assert_eq!(refused, CreateCommitError::ProposalValidationError(missing));
    }
    everybody.agree();
    everybody.talk();
}

/// Our library lets a joiner make such a commit and believe in it; that nobody follows is what counts.
#[test]
fn nobody_comes_in_by_itself_without_declaring_both_code_points() {
    let mut everybody = three();
    let info = everybody.ours[0].group_info_message_allowing_ext_commit(false).unwrap();
    for declares in HALVES {
        let refused = foreign(LATER, declares).enter(&info, &everybody.tree()).map(|_| ()).unwrap_err();
        let missing = if declares.policy {
            LeafNodeValidationError::UnsupportedProposals
        } else {
            LeafNodeValidationError::UnsupportedExtensions
        };
        assert_eq!(refused, CreateCommitError::LeafNodeValidation(missing));

        let tree = ExportedTree::from_bytes(&everybody.tree()).unwrap();
        let client = client(LATER, declares, &everybody.rules);
        let builder = client.external_commit_builder().unwrap().with_tree_data(tree);
        let (_, commit) = builder.build(info.clone()).unwrap();
        for refused in everybody.refusals(&commit) {
            assert!(misses(declares, &refused), "{refused}");
        }
        let refused = everybody.foreign.process(everybody.theirs.as_mut().unwrap(), &commit).unwrap_err();
        let missing = if declares.policy {
            StageCommitError::LeafNodeValidation(LeafNodeValidationError::UnsupportedProposals)
        } else {
            StageCommitError::ExternalCommitValidation(ExternalCommitValidationError::UnsupportedGroupContextExtensions)
        };
        assert_eq!(refused, missing);
    }
    everybody.agree();
    everybody.talk();
}

#[test]
fn a_change_of_policy_that_does_not_name_what_it_requires_is_refused_by_openmls() {
    let mut everybody = three();
    let builder = everybody.ours[0].commit_builder().set_group_context_ext(bare_context(b"policy 3")).unwrap();
    let commit = builder.build().unwrap().commit_message;
    let refused = everybody.foreign.process(everybody.theirs.as_mut().unwrap(), &commit).unwrap_err();
    let missing = GroupContextExtensionsProposalValidationError::ExtensionNotInRequiredCapabilities;
    assert_eq!(refused, StageCommitError::GroupContextExtensionsProposalValidationError(missing));
}
