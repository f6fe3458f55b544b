//! Conversations between the hall's people: how they are made, and how they go on.

use directory::store::Store;
use membership::{conversation_id, direct_policy, policy_extension};
use mls_rs::{ExtensionList, MlsMessage, group::CommitBuilder};
use protocol::{
    ConversationId, DeviceId, MessageId,
    directory::{
        CommitSubmission, Deposit, DepositResult, HandshakeBytes, KeyPackageBytes, NewConversation, Refusal, Reply,
        Request,
    },
    peer::Envelope,
    policy::Policy,
};

use crate::hall::{Answer, Config, Hall, MlsGroup, Person, bytes, mls_time};

/// A conversation to be made, and its creator's state of it.
pub(crate) struct Made {
    pub(crate) group: MlsGroup,
    pub(crate) new: NewConversation,
}

/// What a conversation of two people is.
pub(crate) fn policy(one: &Person, other: &Person, generation: u32) -> Policy {
    direct_policy(one.entry.root_key, other.entry.root_key, generation)
}

impl<S: Store> Hall<S> {
    /// A conversation of this policy and id, with the devices of these packages.
    pub(crate) fn make(
        &self,
        creator: &Person,
        policy: &Policy,
        id: ConversationId,
        packages: &[KeyPackageBytes],
    ) -> Made {
        let time = mls_time(self.now);
        let mut extensions = ExtensionList::new();
        extensions.set(policy_extension(policy).unwrap());
        let builder = creator.client.group_builder().unwrap().with_group_id(id.0.to_vec());
        let builder = builder.with_group_context_extension(policy_extension(policy).unwrap()).with_now_time(time);
        let mut group = builder.build().unwrap();
        let mut commit = group.commit_builder().commit_time(time);
        for package in packages {
            commit = commit.add_member(MlsMessage::from_bytes(package).unwrap()).unwrap();
        }
        let output = commit.build().unwrap();
        group.apply_pending_commit().unwrap();
        let new = NewConversation {
            conversation: id,
            group_info: bytes(&output.external_commit_group_info.unwrap().to_bytes().unwrap()),
            tree: bytes(&group.export_tree().to_bytes().unwrap()),
            welcome: match output.welcome_messages.first() {
                Some(welcome) => bytes(&welcome.to_bytes().unwrap()),
                None => HandshakeBytes::default(),
            },
        };
        Made { group, new }
    }

    /// The conversation that two people have, made honestly but not submitted.
    pub(crate) fn make_direct(&self, creator: &mut Person, other: &Person, generation: u32) -> Made {
        let policy = policy(creator, other, generation);
        let packages: Vec<_> = self.take(creator, other.account).into_iter().map(|(_, package)| package).collect();
        self.make(creator, &policy, conversation_id(&policy), &packages)
    }

    /// Two people's conversation, made and taken in by both.
    pub(crate) fn talk(&self, creator: &mut Person, other: &mut Person) -> (MlsGroup, MlsGroup) {
        self.stock(other, 3);
        let Made { group, new } = self.make_direct(creator, other, 0);
        assert_eq!(self.create(creator, &new), Ok(Reply::CommitAccepted));
        let joined = self.join(other, &new);
        (group, joined)
    }

    pub(crate) fn create(&self, creator: &mut Person, new: &NewConversation) -> Answer {
        self.ask(creator, Request::CreateConversation(Box::new(new.clone())))
    }

    /// Follows a Welcome.
    pub(crate) fn join(&self, person: &Person, new: &NewConversation) -> MlsGroup {
        let tree = mls_rs::group::ExportedTree::from_bytes(&new.tree).unwrap();
        let welcome = MlsMessage::from_bytes(&new.welcome).unwrap();
        person.client.join_group(Some(tree), &welcome, Some(mls_time(self.now))).unwrap().0
    }

    /// Stocks so many key packages.
    pub(crate) fn stock(&self, person: &mut Person, count: usize) {
        let packages: Vec<_> = (0..count).map(|_| person.package(self.now)).collect();
        let request = Request::PublishKeyPackages { packages: packages.try_into().unwrap(), last_resort: None };
        let answer = self.ask(person, request);
        assert!(matches!(answer, Ok(Reply::KeyPackageStock { .. })), "{answer:?}");
    }

    /// A commit of a member, pending at its author.
    pub(crate) fn commit(
        &self,
        group: &mut MlsGroup,
        build: impl FnOnce(CommitBuilder<'_, Config>) -> CommitBuilder<'_, Config>,
    ) -> CommitSubmission {
        let (conversation, epoch) = (id_of(group), group.current_epoch());
        let output = build(group.commit_builder().commit_time(mls_time(self.now))).build().unwrap();
        CommitSubmission {
            conversation,
            epoch,
            commit: bytes(&output.commit_message.to_bytes().unwrap()),
            welcome: None,
            group_info: bytes(&output.external_commit_group_info.unwrap().to_bytes().unwrap()),
        }
    }

    /// A commit that only refreshes keys.
    pub(crate) fn refresh(&self, group: &mut MlsGroup) -> CommitSubmission {
        self.commit(group, |builder| builder)
    }

    /// A commit by which a device comes in by itself, in the place of these leaves.
    pub(crate) fn external(&self, person: &Person, of: &MlsGroup, replaces: &[u32]) -> (MlsGroup, CommitSubmission) {
        let time = mls_time(self.now);
        let info = of.group_info_message_allowing_ext_commit(false).unwrap();
        let mut builder = person.client.external_commit_builder().unwrap();
        builder = builder.with_tree_data(of.export_tree().into_owned()).commit_time(time);
        for leaf in replaces {
            builder = builder.with_removal(*leaf);
        }
        let (group, commit) = builder.build(info).unwrap();
        let submission = CommitSubmission {
            conversation: id_of(of),
            epoch: of.current_epoch(),
            commit: bytes(&commit.to_bytes().unwrap()),
            welcome: None,
            group_info: bytes(&group.group_info_message_allowing_ext_commit(false).unwrap().to_bytes().unwrap()),
        };
        (group, submission)
    }

    pub(crate) fn submit(&self, person: &mut Person, submission: &CommitSubmission) -> Answer {
        self.ask(person, Request::SubmitCommit(Box::new(submission.clone())))
    }

    /// Puts one message into mailboxes; the ciphertext is only as long as one.
    pub(crate) fn deposit(
        &self,
        person: &mut Person,
        group: (ConversationId, u64),
        number: u16,
        to: &[DeviceId],
    ) -> DepositResult {
        self.deposit_bytes(person, group, number, to, 256)
    }

    pub(crate) fn deposit_bytes(
        &self,
        person: &mut Person,
        (conversation, epoch): (ConversationId, u64),
        number: u16,
        to: &[DeviceId],
        length: usize,
    ) -> DepositResult {
        let sender = person.device();
        let envelope =
            Envelope { conversation, epoch, id: message(number), sender, ciphertext: bytes(&vec![7; length]) };
        let item = Deposit::Message { envelope, recipients: to.to_vec().try_into().unwrap() };
        let answer = self.ask(person, Request::Deposit { items: vec![item].try_into().unwrap() });
        let Ok(Reply::Deposited(results)) = answer else { panic!("{answer:?}") };
        results.into_inner().remove(0)
    }
}

pub(crate) fn message(number: u16) -> MessageId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    MessageId(id)
}

pub(crate) fn id_of(group: &MlsGroup) -> ConversationId {
    ConversationId::from_slice(group.group_id()).unwrap()
}

/// Where a message of a group's present state belongs.
pub(crate) fn place(group: &MlsGroup) -> (ConversationId, u64) {
    (id_of(group), group.current_epoch())
}

pub(crate) fn is_malformed(answer: &Answer) -> bool {
    matches!(answer, Err(Refusal::Malformed(_)))
}
