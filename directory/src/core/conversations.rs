//! Conversations: followed by their public half, so that only commits that their rules allow are put in order.

use std::{collections::BTreeSet, time::Duration};

use membership::{
    POLICY_EXTENSION_TYPE, account_id,
    certificate::VerifiedDevice,
    conversation_id, direct_conversation_id,
    identity::{DeviceIdentityProvider, device_of},
    policy_of,
    rules::{ConversationRules, RulesError},
};
use mls_rs::{
    KeyPackage, MlsMessage, WireFormat,
    error::MlsError,
    external_client::{
        ExternalClient, ExternalReceivedMessage, ExternalSnapshot,
        builder::{ExternalBaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    },
    group::ExportedTree,
    time::MlsTime,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Timestamp,
    certificate::DeviceEntry,
    directory::{CommitSubmission, HandshakeBytes, MailItem, NewConversation, Refusal, Reply, TreeBytes},
    limits::TREE_MAX,
    policy::Policy,
};
use sha2::{Digest as _, Sha256};

use crate::store::{CommitOutcome, ConversationMade, ConversationRecord, Store, StoreError};

use super::{Answer, Service, ServiceEffect, Stop, handouts::Owed, malformed};

type Config = WithMlsRules<
    ConversationRules,
    WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<AwsLcCryptoProvider, ExternalBaseConfig>>,
>;
type Group = mls_rs::external_client::ExternalGroup<Config>;

/// The MLS library's client for whoever is no member: it verifies and draws nothing at random.
pub(super) struct Observer(ExternalClient<Config>);

impl Observer {
    pub(super) fn new() -> Self {
        let client = ExternalClient::builder()
            .crypto_provider(AwsLcCryptoProvider::default())
            .identity_provider(DeviceIdentityProvider)
            .mls_rules(ConversationRules)
            .extension_type(POLICY_EXTENSION_TYPE)
            .build();
        Self(client)
    }

    /// Checks a key package's signature, lifetime and capabilities.
    pub(super) fn validate(&self, message: MlsMessage, time: MlsTime) -> Result<KeyPackage, MlsError> {
        self.0.validate_key_package(message, Some(time))
    }
}

fn mls_time(now: Timestamp) -> MlsTime {
    MlsTime::from_duration_since_epoch(Duration::from_secs(now.seconds()))
}

/// Why the library did not take somebody's bytes: the rules that members apply too, or the bytes themselves.
fn refused(error: &MlsError) -> Stop {
    if let MlsError::MlsRulesError(rules) = error
        && let Some(RulesError::Refused(which)) = rules.inner_dyn_error().downcast_ref()
    {
        return Refusal::Policy(*which).into();
    }
    malformed(&format!("the conversation's bytes do not hold: {error}"))
}

fn damaged(error: &MlsError) -> Stop {
    Stop::Store(StoreError::Damaged(format!("a conversation's public state: {error}")))
}

/// A Welcome is for everybody but the creator: who is left out would be a member that can read nothing.
fn check_welcome(welcome: &MlsMessage, members: usize) -> Result<(), Stop> {
    let named: BTreeSet<&[u8]> =
        welcome.welcome_key_package_references().into_iter().map(|package| &**package).collect();
    if welcome.wire_format() == WireFormat::Welcome && named.len() + 1 == members {
        Ok(())
    } else {
        Err(malformed("the Welcome is not for everybody else"))
    }
}

/// The device that says that it made a commit, which is still to be verified: its leaf comes with the commit.
fn claimed_author(commit: &MlsMessage) -> Result<VerifiedDevice, Stop> {
    let leaf = commit.commit_path_leaf_node().ok_or_else(|| malformed("no commit with new keys"))?;
    device_of(&leaf.signing_identity).map_err(|error| malformed(&error.to_string()))
}

pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

impl<S: Store> Service<S> {
    pub(super) fn create_conversation(
        &self,
        now: Timestamp,
        (account, creator): (AccountId, DeviceId),
        new: &NewConversation,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let made_by = hash(&[&new.group_info, &new.tree, &new.welcome]);
        let info = MlsMessage::from_bytes(&new.group_info).map_err(|error| refused(&error))?;
        let tree = ExportedTree::from_bytes(&new.tree).map_err(|error| refused(&error))?;
        let welcome = MlsMessage::from_bytes(&new.welcome).map_err(|error| refused(&error))?;
        self.limits.creation(now, account)?;
        let group = self.observer.0.observe_group(info, Some(tree), Some(mls_time(now)));
        let group = group.map_err(|error| refused(&error))?;
        // Before anything is looked up: whoever is not one of its people must not learn whether it exists.
        let record = self.check_new(now, (&group, &welcome), account, new, made_by)?;
        if !record.members.contains(&creator) {
            return Err(Refusal::NotMember.into());
        }
        match self.store.conversation(new.conversation)? {
            Some(known) if known.made_by != made_by => return Ok(Reply::ConversationExists),
            // The same again.
            Some(_) => {}
            None => self.check_room(creator, &record.members)?,
        }
        let (conversation, welcome, tree) = (new.conversation, new.welcome.clone(), new.tree.clone());
        let others = record.members.iter().copied().filter(|member| *member != creator);
        let owed = Owed {
            conversation,
            epoch: record.epoch,
            author: creator,
            devices: others.collect(),
            item: &MailItem::Welcome { conversation, welcome, tree },
        };
        match self.store.create_conversation(&record, &owed.handout(now)?)? {
            ConversationMade::Exists => Ok(Reply::ConversationExists),
            ConversationMade::Made => {
                self.hand_out_of(conversation, effects)?;
                Ok(Reply::CommitAccepted)
            }
        }
    }

    fn check_new(
        &self,
        now: Timestamp,
        (group, welcome): (&Group, &MlsMessage),
        creator: AccountId,
        new: &NewConversation,
        made_by: [u8; 32],
    ) -> Result<ConversationRecord, Stop> {
        let policy = policy_of(&group.group_context().extensions).map_err(|error| malformed(&error.to_string()))?;
        let right_id = conversation_id(&policy) == new.conversation;
        if !right_id || group.group_context().group_id != new.conversation.0 {
            return Err(malformed("the conversation's id does not follow from its policy"));
        }
        let Policy::Direct { roots: roots @ [one, other], generation } = &policy else {
            return Err(malformed("not a direct conversation"));
        };
        let people = roots.each_ref().map(account_id);
        let members = self.members(group, &people)?;
        if members.iter().any(|member| member.not_after <= now) {
            return Err(malformed("a device's certificate has expired"));
        }
        check_welcome(welcome, members.len())?;
        if !people.contains(&creator) {
            return Err(Refusal::NotMember.into());
        }
        let records = self.store.accounts_by_id(&people)?;
        let known = records
            .iter()
            .zip(roots)
            .all(|(record, root)| record.as_ref().is_some_and(|record| record.root_key == *root));
        if !known {
            return Err(Refusal::Unknown.into());
        }
        // One generation follows the other, so that two people have no more conversations than they had to give up.
        if let Some(before) = generation.checked_sub(1)
            && self.store.conversation(direct_conversation_id(one, other, before))?.is_none()
        {
            return Err(Refusal::Unknown.into());
        }
        Ok(ConversationRecord {
            id: new.conversation,
            people,
            epoch: group.group_context().epoch,
            snapshot: group.snapshot().to_bytes().map_err(|error| damaged(&error))?,
            group_info: new.group_info.to_vec(),
            members: members.iter().map(|member| member.device).collect(),
            made_by,
        })
    }

    /// The members' devices, each of which must be enrolled, with these keys, by the account that it says it is of.
    fn members(&self, group: &Group, people: &[AccountId; 2]) -> Result<Vec<DeviceEntry>, Stop> {
        let mut claimed = Vec::new();
        for member in group.roster().members_iter() {
            claimed.push(device_of(&member.signing_identity).map_err(|error| malformed(&error.to_string()))?);
        }
        let ids: Vec<DeviceId> = claimed.iter().map(|device| device.entry.device).collect();
        for (claimed, known) in claimed.iter().zip(self.store.devices_by_id(&ids)?) {
            let same = known.is_some_and(|known| {
                known.account == claimed.account
                    && known.mls_key == claimed.entry.mls_key
                    && people.contains(&known.account)
            });
            if !same {
                return Err(malformed("the conversation has a device that its people do not have"));
            }
        }
        Ok(claimed.into_iter().map(|device| device.entry).collect())
    }

    pub(super) fn submit_commit(
        &self,
        now: Timestamp,
        (account, author): (AccountId, DeviceId),
        submission: &CommitSubmission,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        if submission.welcome.is_some() {
            return Err(malformed("devices come into a direct conversation by external commit, without a Welcome"));
        }
        let commit = MlsMessage::from_bytes(&submission.commit).map_err(|error| refused(&error))?;
        let info = MlsMessage::from_bytes(&submission.group_info).map_err(|error| refused(&error))?;
        let claimed = claimed_author(&commit)?;
        self.limits.commit(now, account)?;
        let record = self.store.conversation(submission.conversation)?;
        let record = record.filter(|record| record.people.contains(&account)).ok_or(Refusal::Unknown)?;
        if claimed.entry.device != author {
            return Err(Refusal::NotMember.into());
        }
        let hash = CommitHash(Sha256::digest(&*submission.commit).into());
        let before: BTreeSet<DeviceId> = record.members.iter().copied().chain([author]).collect();
        let room = || self.check_room(author, &before.iter().copied().collect::<Vec<_>>());
        if submission.epoch != record.epoch {
            return match self.store.commit_of(record.id, submission.epoch)? {
                Some(winner) if winner == hash => {
                    self.hand_out_of(record.id, effects)?;
                    Ok(Reply::CommitAccepted)
                }
                Some(winner) => Ok(Reply::CommitLost { winner }),
                None => Err(room().err().unwrap_or_else(|| Refusal::Stale.into())),
            };
        }
        room()?;
        let (next, committer) = self.follow(now, &record, submission, (commit, info))?;
        if committer != author {
            return Err(Refusal::NotMember.into());
        }
        if next.members.iter().any(|member| *member != author && !record.members.contains(member)) {
            return Err(malformed("devices come into a direct conversation by themselves"));
        }
        // What an earlier change still owes comes first, so that everybody gets commits in their order.
        self.hand_out_of(record.id, effects)?;
        let owed = Owed {
            conversation: record.id,
            epoch: next.epoch,
            author,
            devices: before.clone(),
            item: &MailItem::Commit {
                conversation: record.id,
                epoch: submission.epoch,
                commit: submission.commit.clone(),
            },
        };
        match self.store.commit(hash, &next, &owed.handout(now)?)? {
            CommitOutcome::Accepted => {
                self.hand_out_of(record.id, effects)?;
                Ok(Reply::CommitAccepted)
            }
            CommitOutcome::Lost(winner) => Ok(Reply::CommitLost { winner }),
            CommitOutcome::WrongEpoch => Err(Refusal::Stale.into()),
        }
    }

    /// Applies a commit to the public state, and checks that the GroupInfo that it brings is of the state after it.
    fn follow(
        &self,
        now: Timestamp,
        record: &ConversationRecord,
        submission: &CommitSubmission,
        (commit, info): (MlsMessage, MlsMessage),
    ) -> Result<(ConversationRecord, DeviceId), Stop> {
        let snapshot = ExternalSnapshot::from_bytes(&record.snapshot).map_err(|error| damaged(&error))?;
        let mut group = self.observer.0.load_group(snapshot).map_err(|error| damaged(&error))?;
        let time = mls_time(now);
        let received = group.process_incoming_message_with_time(commit, time).map_err(|error| refused(&error))?;
        let ExternalReceivedMessage::Commit(description) = received else { return Err(malformed("no commit")) };
        let committer = group.roster().member_with_index(description.committer).map_err(|error| refused(&error))?;
        let committer = device_of(&committer.signing_identity).map_err(|error| malformed(&error.to_string()))?;
        let tree = group.export_tree().map_err(|error| refused(&error))?;
        if tree.len() > TREE_MAX {
            return Err(malformed("the conversation's tree would be longer than anybody could be given"));
        }
        let tree = ExportedTree::from_bytes(&tree).map_err(|error| refused(&error))?;
        let observed = self.observer.0.observe_group(info, Some(tree), Some(time)).map_err(|error| refused(&error))?;
        // All of the state, the confirmation tag too, which nobody outside can compute: so at least it is the same in both.
        let snapshot = group.snapshot().to_bytes().map_err(|error| damaged(&error))?;
        if observed.snapshot().to_bytes().map_err(|error| damaged(&error))? != snapshot {
            return Err(malformed("the GroupInfo is of another state than the commit leads to"));
        }
        let next = ConversationRecord {
            epoch: group.group_context().epoch,
            snapshot,
            group_info: submission.group_info.to_vec(),
            members: self.members(&group, &record.people)?.iter().map(|member| member.device).collect(),
            ..record.clone()
        };
        Ok((next, committer.entry.device))
    }

    pub(super) fn group(&self, asker: AccountId, conversation: ConversationId) -> Answer {
        let record = self.store.conversation(conversation)?.ok_or(Refusal::Unknown)?;
        if !record.people.contains(&asker) {
            return Err(Refusal::Unknown.into());
        }
        let snapshot = ExternalSnapshot::from_bytes(&record.snapshot).map_err(|error| damaged(&error))?;
        let group = self.observer.0.load_group(snapshot).map_err(|error| damaged(&error))?;
        let tree = group.export_tree().map_err(|error| damaged(&error))?;
        let too_long = |_| Stop::Store(StoreError::Damaged("a conversation beyond its limits".to_owned()));
        Ok(Reply::Group {
            epoch: record.epoch,
            group_info: HandshakeBytes::new(record.group_info).map_err(too_long)?,
            tree: TreeBytes::new(tree).map_err(too_long)?,
        })
    }
}
