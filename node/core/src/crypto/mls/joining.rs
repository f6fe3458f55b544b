//! Coming into a conversation that others made: by a Welcome, or by an external commit.

use membership::{identity::claimed_device, rules::RulesError};
use mls_rs::{CryptoProvider, MlsMessage, error::MlsError, group::ExportedTree, identity::SigningIdentity};
use protocol::{AccountId, DeviceId, Timestamp, policy::Policy};

use super::{
    Conversation, Mls, commit_hash, mls_time,
    proposing::{Commit, refusal_of},
};

/// Why a conversation cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The Welcome is for another device, or for a key package that is gone.
    #[error("the Welcome is for a key package that is not here")]
    NotForUs,
    /// It does not decode, or its signatures do not hold.
    #[error("malformed or forged: {detail}")]
    Malformed {
        /// What the library said.
        detail: String,
    },
    /// The conversation's rule keeps this account out.
    #[error(transparent)]
    Refused(RulesError),
    /// The group is not what its policy and id say.
    #[error("the group is not the conversation that its policy and id say")]
    Foreign,
}

/// A conversation that was joined by a Welcome.
pub struct Joined<C: CryptoProvider + Clone> {
    /// The conversation.
    pub conversation: Conversation<C>,
    /// Whether by a last-resort key package. The same Welcome would then lead in again, to the same keys: nothing may be
    /// sealed before this device has refreshed its keys.
    pub by_last_resort: bool,
    /// The device that invited: it signed the group's state.
    pub inviter: DeviceId,
}

impl<C: CryptoProvider + Clone> Mls<C> {
    /// Joins by a Welcome. The key package that it used is deleted with the conversation's first write, unless it is a
    /// last-resort one.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(&self, now: Timestamp, incarnation: u64, welcome: &[u8], tree: &[u8]) -> Result<Joined<C>, JoinError> {
        let tree = ExportedTree::from_bytes(tree).map_err(malformed)?;
        let welcome = MlsMessage::from_bytes(welcome).map_err(malformed)?;
        let by_last_resort = self.names_last_resort(&welcome);
        let joined = self.client(incarnation).join_group(Some(tree), &welcome, Some(mls_time(now)));
        let (group, info) = joined.map_err(|error| match error {
            MlsError::WelcomeKeyPackageNotFound => JoinError::NotForUs,
            error => malformed(error),
        })?;
        let conversation = self.conversation(group, incarnation, Vec::new()).map_err(malformed)?;
        check_whole(&conversation)?;
        let inviter = conversation.device_at(info.sender).ok_or(JoinError::Foreign)?;
        Ok(Joined { conversation, by_last_resort, inviter })
    }

    /// Whether a device of this account has a place in a tree. What it claims is checked when a commit is built on it.
    #[must_use]
    pub fn is_in(&self, tree: &[u8]) -> bool {
        let own = self.own.account;
        let claims = |identity: &SigningIdentity| claimed_device(identity).is_ok_and(|(account, _)| account == own);
        ExportedTree::from_bytes(tree)
            .is_ok_and(|tree| tree.roster().members_iter().any(|member| claims(&member.signing_identity)))
    }

    /// Joins by an external commit, in the place of this device's old leaf if there is one: a direct conversation, a group
    /// of this account's, or for the first time a group that is open.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn rejoin(
        &self,
        now: Timestamp,
        incarnation: u64,
        group_info: &[u8],
        tree: &[u8],
    ) -> Result<(Conversation<C>, Commit), JoinError> {
        let info = MlsMessage::from_bytes(group_info).map_err(malformed)?;
        let tree = ExportedTree::from_bytes(tree).map_err(malformed)?;
        let epoch = info.as_group_info().ok_or(JoinError::Foreign)?.group_context().epoch;
        // What the tree claims here is checked when the commit is built on it.
        let old = tree.roster().members_iter().find(|member| {
            claimed_device(&member.signing_identity).is_ok_and(|(_, entry)| entry.device == self.own.entry.device)
        });
        let client = self.client(incarnation);
        let builder = client.external_commit_builder().map_err(malformed)?;
        let builder = builder.with_tree_data(tree).commit_time(mls_time(now));
        let builder = match old {
            Some(old) => builder.with_removal(old.index),
            None => builder,
        };
        let built = builder.build(info);
        let (group, commit) = built.map_err(|error| match refusal_of(&error) {
            Some(refusal) => JoinError::Refused(refusal),
            None => malformed(error),
        })?;
        let bytes = commit.to_bytes().map_err(malformed)?;
        let group_info = group.group_info_message_allowing_ext_commit(false).map_err(malformed)?;
        let group_info = group_info.to_bytes().map_err(malformed)?;
        let conversation = self.conversation(group, incarnation, Vec::new()).map_err(malformed)?;
        check_whole(&conversation)?;
        let hash = commit_hash(&bytes);
        Ok((conversation, Commit { epoch, bytes, hash, group_info, welcome: None }))
    }
}

fn malformed(error: impl std::fmt::Display) -> JoinError {
    JoinError::Malformed { detail: error.to_string() }
}

/// A conversation has the id that follows from its policy. A direct one has devices of its two people only; a group's
/// context holds what every group's does, without which no commit could change its policy.
fn check_whole<C: CryptoProvider + Clone>(conversation: &Conversation<C>) -> Result<(), JoinError> {
    let policy = conversation.policy();
    let right_id = membership::conversation_id(policy) == conversation.id();
    let whole = match policy {
        Policy::Direct { roots: [one, other], .. } => {
            let people: [AccountId; 2] = [membership::account_id(one), membership::account_id(other)];
            conversation.members().all(|member| people.contains(&member.account))
        }
        Policy::Group(_) => membership::group_context(policy).is_ok_and(|whole| whole == *conversation.extensions()),
    };
    if right_id && whole { Ok(()) } else { Err(JoinError::Foreign) }
}
