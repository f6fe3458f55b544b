//! What a conversation's record and its requests are made of.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, CommitHash, ConversationId, Timestamp,
    directory::{CommitSubmission, HandshakeBytes, Refusal, Request},
};

use super::ConversationState;
use crate::{
    crypto::mls::Commit,
    link::Purpose,
    records::{ConversationRecord, Kind, Phase},
};

pub(crate) fn known_incarnation<C: CryptoProvider + Clone>(state: Option<&ConversationState<C>>) -> u64 {
    state.map_or(0, |state| state.record.incarnation)
}

pub(super) fn direct(peer: AccountId, generation: u32) -> Kind {
    Kind::Direct { peer, generation }
}

pub(crate) fn new_record(id: ConversationId, kind: Kind, now: Timestamp) -> ConversationRecord {
    ConversationRecord {
        id,
        kind,
        incarnation: 0,
        phase: Phase::Absent,
        refresh: None,
        stale_keys: false,
        sent_in_epoch: 0,
        epoch_since: now,
        next_sequence: 0,
        next_shared: 0,
        last_content: [0; 32],
        latest: Vec::new(),
        senders: Vec::new(),
        departed: Vec::new(),
        unread: 0,
        joined_late: false,
        list_told: 0,
        muted_until: None,
        checkpoint_told: 0,
    }
}

pub(crate) fn submission(conversation: ConversationId, commit: Commit) -> Result<CommitSubmission, String> {
    let bytes = |bytes: Vec<u8>| HandshakeBytes::new(bytes).map_err(|error| error.to_string());
    Ok(CommitSubmission {
        conversation,
        epoch: commit.epoch,
        commit: bytes(commit.bytes)?,
        welcome: commit.welcome.map(bytes).transpose()?,
        group_info: bytes(commit.group_info)?,
    })
}

pub(super) fn submit(submission: &CommitSubmission) -> (Purpose, Request) {
    let purpose = Purpose::Commit { conversation: submission.conversation, hash: commit_hash(submission) };
    (purpose, Request::SubmitCommit(Box::new(submission.clone())))
}

pub(super) fn commit_hash(submission: &CommitSubmission) -> CommitHash {
    crate::crypto::mls::commit_hash(&submission.commit)
}

/// Whether asking again with the same bytes can only be refused again.
pub(super) fn is_final(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Malformed(_) | Refusal::Unknown | Refusal::NotMember | Refusal::Policy(_) | Refusal::Stale
    )
}
