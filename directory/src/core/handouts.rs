//! Commits, Welcomes and requests to leave on their way from the conversation that they change into mailboxes.
//!
//! What is owed is kept with the change itself; whoever comes by next makes it good: the request that made the change, its
//! repetition, the next change of the same conversation, or the sweep.

use std::collections::BTreeSet;

use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Timestamp,
    directory::{MailItem, Refusal, Reply},
    limits::MAILBOX_RETENTION_MS,
};
use sha2::{Digest as _, Sha256};

use crate::store::{Delivery, Handout, Quota, Store, StoreError};

use super::{
    Answer, Service, ServiceEffect, Stop,
    fanout::{Hints, PIECE},
    mailbox,
};

/// Commits and Welcomes of one device that may wait for another: a device with a full mailbox of messages has made a few
/// dozen commits, and this is for somebody away for a fortnight from several conversations.
const HANDSHAKES_MAX: u64 = 1_000;
/// Bytes of such that may wait.
const HANDSHAKE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What is handed out in one sweep: what does not hold up requests. More than a few wait only after a crash.
const HANDOUTS_MAX: usize = 64;

/// Place of a commit among what is owed for the epoch that it begins.
pub(super) const COMMIT: u64 = 0;
/// Place of a Welcome.
pub(super) const WELCOME: u64 = 1;
/// Requests to leave come after both, each at the place of its count beyond this one.
pub(super) const LEAVES: u64 = 1;

pub(super) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

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
    /// The epoch that the change begins, or that it comes in.
    pub(super) epoch: u64,
    /// Its place there.
    pub(super) number: u64,
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
            // Whoever comes in anew is told again of what it was told before.
            MailItem::Leave { leave, .. } => {
                (false, hash(&[b"leave", &leave.leave, &leave.signature.0, &self.epoch.to_be_bytes()]))
            }
            _ => return Err(super::malformed("nothing that a change owes")),
        };
        Ok(Handout {
            conversation: self.conversation,
            epoch: self.epoch,
            number: self.number,
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
        if self.without_room(author, devices)?.is_empty() { Ok(()) } else { Err(Refusal::MailboxFull.into()) }
    }

    /// Devices for whom too many of an author's changes wait.
    pub(super) fn without_room(&self, author: DeviceId, devices: &[DeviceId]) -> Result<Vec<DeviceId>, StoreError> {
        let waiting = self.store.waiting(devices, counted(author))?;
        let full = |(items, bytes): (u64, u64)| items >= HANDSHAKES_MAX || bytes >= HANDSHAKE_BYTES_MAX;
        let devices = devices.iter().zip(waiting);
        Ok(devices.filter(|(_, waiting)| full(*waiting)).map(|(device, _)| *device).collect())
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
            let roster = self.store.roster(*conversation)?;
            let roster = roster.filter(|roster| roster.role(account).is_some()).ok_or(Refusal::Unknown)?;
            let Some(commit) = self.store.commit_of(roster.id, *epoch)? else { continue };
            let there = |member: &DeviceId| *member != device && self.presence.is_present(*member);
            let there: Vec<DeviceId> = roster.members.into_keys().filter(there).collect();
            let holding = self.store.holds(&there, commit_key(commit))?;
            behind.extend(there.into_iter().zip(holding).filter(|(_, holds)| *holds).map(|(member, _)| member));
        }
        Ok(Reply::Settling { devices: u32::try_from(behind.len()).unwrap_or(u32::MAX) })
    }

    fn hand_out(&self, handout: Handout, effects: &mut Vec<ServiceEffect>) -> Result<(), StoreError> {
        if handout.welcome {
            self.store.used(handout.author, &handout.devices)?;
        }
        let mut hints = Hints::default();
        for devices in handout.devices.chunks(PIECE) {
            // Devices that are revoked stay in their conversations until somebody removes them, and collect nothing.
            let known = self.store.devices_by_id(devices)?.into_iter().zip(devices);
            let there = known.filter(|(known, _)| !known.as_ref().is_some_and(|known| known.revoked));
            let there: Vec<DeviceId> = there.map(|(_, device)| *device).collect();
            let delivery = Delivery {
                recipients: there.iter().map(|device| (*device, true)).collect(),
                key: handout.key,
                replaces: false,
                item: handout.item.clone(),
                message: None,
                expires: handout.expires,
                // Counted, never refused: see `check_room`.
                quota: Some(Quota { counted: counted(handout.author), items: u64::MAX, bytes: u64::MAX }),
            };
            self.store.deliver(&[delivery])?;
            hints.give(there, effects);
        }
        self.store.handed_out(handout.conversation, handout.epoch, handout.number)
    }
}
