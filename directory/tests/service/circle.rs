//! Groups of the hall's people: how they are made, changed, entered and left, honestly and not.

use directory::store::Store;
use membership::{LEAVE_PROPOSAL_TYPE, conversation_id, group_context, signing::sign};
use mls_rs::{
    ExtensionList, MlsMessage,
    group::{CommitBuilder, proposal::CustomProposal},
};
use protocol::{
    AccountId, ConversationId, Name,
    directory::{CommitSubmission, GroupListing, HandshakeBytes, MailItem, NewConversation, Reply, Request},
    frame,
    limits::DIRECTORY_FRAME_MAX,
    policy::{Access, GroupPolicy, LEAVE_LABEL, Leave, Policy, SignedLeave},
};

use crate::{
    hall::{Answer, Config, Hall, MlsGroup, Person, bytes, key, mls_time},
    talk::{Made, id_of},
};

/// What a group of this founder's is.
pub(crate) fn founded(founder: &Person, name: &str, access: Access) -> GroupPolicy {
    GroupPolicy::founded(Name::parse(name).unwrap(), founder.account, [3; 16], access)
}

/// What a group is at present.
pub(crate) fn policy_of(group: &MlsGroup) -> GroupPolicy {
    match membership::policy_of(&group.context().extensions) {
        Ok(Policy::Group(policy)) => *policy,
        other => panic!("{other:?}"),
    }
}

/// The whole context of a group of this policy.
pub(crate) fn context(policy: &GroupPolicy) -> ExtensionList {
    group_context(&Policy::Group(Box::new(policy.clone()))).unwrap()
}

/// Where all of a person's devices sit in a group.
pub(crate) fn leaves_of(group: &MlsGroup, person: &Person) -> Vec<u32> {
    let whose = |member: &mls_rs::group::Member| {
        membership::identity::claimed_device(&member.signing_identity).unwrap().0 == person.account
    };
    group.roster().members_iter().filter(whose).map(|member| member.index).collect()
}

/// A request to leave by a device of a person's.
pub(crate) fn leave(person: &Person, conversation: ConversationId, epoch: u64) -> SignedLeave {
    let leave = Leave { conversation, account: person.account, device: person.device(), epoch };
    let leave = SignedLeave::bytes(&leave).unwrap();
    SignedLeave { signature: sign(&key(person.device().0[0], 2), LEAVE_LABEL, &leave), leave }
}

/// A commit, in everybody's mailbox.
pub(crate) fn item(submission: &CommitSubmission) -> MailItem {
    let CommitSubmission { conversation, epoch, commit, .. } = submission.clone();
    MailItem::Commit { conversation, epoch, commit }
}

type Build<'a> = CommitBuilder<'a, Config>;

impl<S: Store> Hall<S> {
    /// A group of this policy, id and context, which these packages' devices are in besides its creator's.
    pub(crate) fn make_group(&self, creator: &Person, policy: &GroupPolicy, context: ExtensionList) -> Made {
        let id = conversation_id(&Policy::Group(Box::new(policy.clone())));
        let builder = creator.client.group_builder().unwrap().with_group_id(id.0.to_vec());
        let builder = builder.with_group_context_extensions(context).with_now_time(mls_time(self.now));
        let group = builder.build().unwrap();
        Made { new: self.as_new(id, &group), group }
    }

    /// A group as it is, to be made at the directory.
    pub(crate) fn as_new(&self, conversation: ConversationId, group: &MlsGroup) -> NewConversation {
        let info = group.group_info_message_allowing_ext_commit(false).unwrap();
        NewConversation {
            conversation,
            group_info: bytes(&info.to_bytes().unwrap()),
            tree: bytes(&group.export_tree().to_bytes().unwrap()),
            welcome: HandshakeBytes::default(),
        }
    }

    /// A group, founded at the directory.
    pub(crate) fn found(&self, founder: &mut Person, name: &str, access: Access) -> MlsGroup {
        let policy = founded(founder, name, access);
        let Made { group, new } = self.make_group(founder, &policy, context(&policy));
        assert_eq!(self.create(founder, &new), Ok(Reply::CommitAccepted));
        group
    }

    /// A change of a group, pending at its author: to this policy, and what else it does.
    pub(crate) fn change(
        &self,
        group: &mut MlsGroup,
        next: Option<GroupPolicy>,
        build: impl FnOnce(Build<'_>) -> Build<'_>,
    ) -> CommitSubmission {
        let (conversation, epoch) = (id_of(group), group.current_epoch());
        group.clear_pending_commit();
        let mut builder = build(group.commit_builder().commit_time(mls_time(self.now)));
        if let Some(next) = next {
            builder = builder.set_group_context_ext(context(&next)).unwrap();
        }
        let output = builder.build().unwrap();
        let welcome = output.welcome_messages.first().map(|welcome| bytes(&welcome.to_bytes().unwrap()));
        let (commit, info) = (output.commit_message, output.external_commit_group_info.unwrap());
        let (commit, group_info) = (bytes(&commit.to_bytes().unwrap()), bytes(&info.to_bytes().unwrap()));
        CommitSubmission { conversation, epoch, commit, welcome, group_info }
    }

    /// An invitation of a person's devices.
    pub(crate) fn invitation(&self, group: &mut MlsGroup, of: &[&Person]) -> CommitSubmission {
        let account = |policy: GroupPolicy, person: &&Person| policy.with_invited(person.account).unwrap();
        let next = of.iter().fold(policy_of(group), account);
        let packages: Vec<_> = of.iter().map(|person| person.package(self.now)).collect();
        self.change(group, Some(next), |mut builder| {
            for package in &packages {
                builder = builder.add_member(MlsMessage::from_bytes(package).unwrap()).unwrap();
            }
            builder
        })
    }

    /// A kick of a person, with all devices.
    pub(crate) fn kick(&self, group: &mut MlsGroup, whom: &Person) -> CommitSubmission {
        let (next, leaves) = (policy_of(group).with_kicked(whom.account).unwrap(), leaves_of(group, whom));
        self.change(group, Some(next), |builder| without(builder, &leaves))
    }

    /// The granting of a request to leave.
    pub(crate) fn grant(&self, group: &mut MlsGroup, whom: &Person, signed: &SignedLeave) -> CommitSubmission {
        let next = policy_of(group).with_left(&signed.leave().unwrap(), group.current_epoch()).unwrap();
        let data = frame::encode_body(signed, DIRECTORY_FRAME_MAX).unwrap();
        let (leaves, granted) = (leaves_of(group, whom), CustomProposal::new(LEAVE_PROPOSAL_TYPE, data));
        self.change(group, Some(next), |builder| without(builder, &leaves).custom_proposal(granted))
    }

    /// A person's device comes in by itself, and all these follow.
    pub(crate) fn enter(&self, person: &mut Person, there: &mut [&mut MlsGroup]) -> MlsGroup {
        let (group, commit) = self.external(person, there[0], &[]);
        assert_eq!(self.submit(person, &commit), Ok(Reply::CommitAccepted));
        for other in there {
            self.take_in(other, &commit);
        }
        group
    }

    /// An author's pending commit is submitted, and all these follow.
    pub(crate) fn settle(
        &self,
        by: &mut Person,
        (group, commit): (&mut MlsGroup, &CommitSubmission),
        others: &mut [&mut MlsGroup],
    ) {
        assert_eq!(self.submit(by, commit), Ok(Reply::CommitAccepted));
        group.apply_pending_commit().unwrap();
        for other in others {
            self.take_in(other, commit);
        }
    }

    /// Follows the Welcome of an invitation that its author has applied.
    pub(crate) fn follow_welcome(&self, person: &Person, invitation: &CommitSubmission, there: &MlsGroup) -> MlsGroup {
        let tree = there.export_tree().into_owned();
        let welcome = MlsMessage::from_bytes(invitation.welcome.as_ref().unwrap()).unwrap();
        person.client.join_group(Some(tree), &welcome, Some(mls_time(self.now))).unwrap().0
    }

    pub(crate) fn take_in(&self, group: &mut MlsGroup, commit: &CommitSubmission) {
        let commit = MlsMessage::from_bytes(&commit.commit).unwrap();
        group.process_incoming_message_with_time(commit, mls_time(self.now)).unwrap();
    }

    pub(crate) fn ask_to_leave(&self, person: &mut Person, leave: &SignedLeave) -> Answer {
        self.ask(person, Request::Leave { leave: leave.clone() })
    }

    /// What a person is told of a group.
    pub(crate) fn find(&self, person: &mut Person, name: &str) -> Option<GroupListing> {
        let answer = self.ask(person, Request::FindGroup { name: Name::parse(name).unwrap() });
        let Ok(Reply::Groups(groups)) = answer else { panic!("{answer:?}") };
        assert!(groups.len() < 2);
        groups.into_inner().pop()
    }

    /// Names of the groups that a person is told of, after one.
    pub(crate) fn list(&self, person: &mut Person, after: Option<&str>) -> Vec<String> {
        let after = after.map(|name| Name::parse(name).unwrap());
        let answer = self.ask(person, Request::ListGroups { after });
        let Ok(Reply::Groups(groups)) = answer else { panic!("{answer:?}") };
        groups.iter().map(|group| group.name.to_string()).collect()
    }
}

fn without<'a>(mut builder: Build<'a>, leaves: &[u32]) -> Build<'a> {
    for leaf in leaves {
        builder = builder.remove_member(*leaf).unwrap();
    }
    builder
}

/// Somebody who is in no group.
pub(crate) const NOBODY: AccountId = AccountId([77; 32]);
