//! Commits and Welcomes on their way from the conversation that they changed into mailboxes.
//!
//! What is owed is kept with the change itself; whoever comes by next makes it good: the request that made the change, its
//! repetition, the next change of the same conversation, or the sweep.

use std::collections::BTreeSet;

use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Timestamp,
    directory::{MailItem, Push, Refusal, Reply},
    limits::MAILBOX_RETENTION_MS,
};
use sha2::{Digest as _, Sha256};

use crate::store::{Delivery, Handout, Quota, Store, StoreError};

use super::{Answer, Service, ServiceEffect, Stop, conversations::hash, mailbox};

/// Commits and Welcomes of one device that may wait for another: a device with a full mailbox of messages has made a few
/// dozen commits, and this is for somebody away for a fortnight from several conversations.
const HANDSHAKES_MAX: u64 = 1_000;
/// Bytes of such that may wait.
const HANDSHAKE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What is handed out in one sweep: what does not hold up requests. More than a few wait only after a crash.
const HANDOUTS_MAX: usize = 64;

/// What a device's commits and Welcomes are counted by.
fn counted(author: DeviceId) -> [u8; 32] {
    hash(&[b"handshakes", &author.0])
}

/// What makes a commit the same item in everybody's mailbox.
fn commit_key(commit: CommitHash) -> [u8; 32] {
    hash(&[b"commit", &commit.0])
}

/// A change of a conversation, and what is owed for it.
pub(super) struct Owed<'a> {
    pub(super) conversation: ConversationId,
    /// The epoch that the change begins.
    pub(super) epoch: u64,
    pub(super) author: DeviceId,
    pub(super) devices: BTreeSet<DeviceId>,
    pub(super) item: &'a MailItem,
}

impl Owed<'_> {
    /// As the store keeps it.
    pub(super) fn handout(self, now: Timestamp) -> Result<Handout, Stop> {
        let (welcome, key) = match self.item {
            MailItem::Welcome { welcome, .. } => (true, hash(&[b"welcome", welcome])),
            MailItem::Commit { commit, .. } => (false, commit_key(CommitHash(Sha256::digest(&**commit).into()))),
            _ => return Err(super::malformed("neither a Welcome nor a commit")),
        };
        Ok(Handout {
            conversation: self.conversation,
            epoch: self.epoch,
            author: self.author,
            devices: self.devices.into_iter().collect(),
            welcome,
            key,
            item: mailbox::encode(self.item)?,
            expires: now.plus_ms(MAILBOX_RETENTION_MS),
        })
    }
}

impl<S: Store> Service<S> {
    /// Refuses a change while too many of its author's wait for somebody: what has been accepted must reach everybody, so
    /// the quota stands before that.
    pub(super) fn check_room(&self, author: DeviceId, devices: &[DeviceId]) -> Result<(), Stop> {
        let waiting = self.store.waiting(devices, counted(author))?;
        let full = |(items, bytes): &(u64, u64)| *items >= HANDSHAKES_MAX || *bytes >= HANDSHAKE_BYTES_MAX;
        if waiting.iter().any(full) { Err(Refusal::MailboxFull.into()) } else { Ok(()) }
    }

    /// Hands out whatever a conversation still owes, in the order of its epochs.
    pub(super) fn hand_out_of(
        &self,
        conversation: ConversationId,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<(), StoreError> {
        for handout in self.store.handouts(Some(conversation), HANDOUTS_MAX)? {
            self.hand_out(handout, effects)?;
        }
        Ok(())
    }

    /// Hands out what a crash has left undone.
    pub(super) fn sweep_handouts(&self) -> Result<Vec<ServiceEffect>, StoreError> {
        let mut effects = Vec::new();
        for handout in self.store.handouts(None, HANDOUTS_MAX)? {
            self.hand_out(handout, &mut effects)?;
        }
        Ok(effects)
    }

    /// How many connected members have not taken these commits from their mailboxes yet.
    pub(super) fn settling(
        &self,
        (account, device): (AccountId, DeviceId),
        commits: &[(ConversationId, u64)],
    ) -> Answer {
        let mut behind = BTreeSet::new();
        for (conversation, epoch) in commits {
            let record = self.store.conversation(*conversation)?;
            let record = record.filter(|record| record.people.contains(&account)).ok_or(Refusal::Unknown)?;
            let Some(commit) = self.store.commit_of(record.id, *epoch)? else { continue };
            let there = |member: &DeviceId| *member != device && self.presence.is_present(*member);
            let there: Vec<DeviceId> = record.members.into_iter().filter(there).collect();
            let holding = self.store.holds(&there, commit_key(commit))?;
            behind.extend(there.into_iter().zip(holding).filter(|(_, holds)| *holds).map(|(member, _)| member));
        }
        Ok(Reply::Settling { devices: u32::try_from(behind.len()).unwrap_or(u32::MAX) })
    }

    fn hand_out(&self, handout: Handout, effects: &mut Vec<ServiceEffect>) -> Result<(), StoreError> {
        if handout.welcome {
            self.store.used(handout.author, &handout.devices)?;
        }
        let delivery = Delivery {
            recipients: handout.devices.iter().map(|device| (*device, true)).collect(),
            key: handout.key,
            replaces: false,
            item: handout.item,
            message: None,
            expires: handout.expires,
            // Counted, never refused: see `check_room`.
            quota: Some(Quota { counted: counted(handout.author), items: u64::MAX, bytes: u64::MAX }),
        };
        self.store.deliver(&[delivery])?;
        self.store.handed_out(handout.conversation, handout.epoch)?;
        let hints = handout.devices.into_iter().map(|device| ServiceEffect::Push { device, push: Push::Mail });
        effects.extend(hints);
        Ok(())
    }
}
