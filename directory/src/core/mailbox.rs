//! Mailboxes: what may be put where, and how it comes out.

use std::collections::BTreeSet;

use protocol::{
    AccountId, Bounded, DeviceId, Timestamp,
    certificate::SignedReceipt,
    directory::{Cursor, Deposit, DepositResult, MailItem, Push, Refusal, Reply},
    frame,
    limits::{DEPOSIT_BYTES_MAX, DIRECTORY_FRAME_MAX, DRAIN_BYTES_MAX, DRAIN_MAX, MAIL_EPOCHS, MAILBOX_RETENTION_MS},
    peer::Envelope,
};
use sha2::{Digest as _, Sha256};

use crate::store::{Delivery, DeviceRecord, ExpiredMessage, Quota, Store, StoreError};

use super::{Answer, Service, ServiceEffect, Stop, malformed};

/// Messages of one sender that may wait for one device: weeks of a lively conversation.
const QUOTA_ITEMS: u64 = 20_000;
/// Bytes of one sender that may wait for one device.
const QUOTA_BYTES: u64 = 64 * 1024 * 1024;
/// Items given up in one sweep: what does not hold up requests.
const EXPIRE_MAX: usize = 1_000;

/// An item as the store keeps it.
pub(super) fn encode(item: &MailItem) -> Result<Vec<u8>, Stop> {
    frame::encode_body(item, DIRECTORY_FRAME_MAX).map_err(|error| malformed(&error.to_string()))
}

impl<S: Store> Service<S> {
    pub(super) fn deposit(
        &self,
        now: Timestamp,
        (account, device): (AccountId, DeviceId),
        items: Bounded<Deposit, { protocol::limits::DEPOSIT_MAX }>,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let length = |item: &Deposit| match item {
            Deposit::Message { envelope, .. } => envelope.ciphertext.len(),
            Deposit::Receipt { .. } => 0,
        };
        if items.iter().map(length).sum::<usize>() > DEPOSIT_BYTES_MAX {
            return Err(malformed("too many bytes in one deposit"));
        }
        let mut results = Vec::new();
        let mut deliveries = Vec::new();
        for item in items {
            let checked = match item {
                Deposit::Message { envelope, recipients } => {
                    self.message(now, (account, device), envelope, &recipients)
                }
                Deposit::Receipt { receipt, recipient } => self.receipt(now, (account, device), &receipt, recipient),
            };
            match checked {
                Ok(delivery) => {
                    deliveries.push(delivery);
                    results.push(DepositResult::Stored);
                }
                Err(Stop::Refused(Refusal::Stale)) => results.push(DepositResult::StaleEpoch),
                Err(Stop::Refused(refusal)) => results.push(DepositResult::Refused(refusal)),
                Err(error) => return Err(error),
            }
        }
        let taken = self.store.deliver(&deliveries)?;
        let mut taken = deliveries.iter().zip(taken);
        for result in results.iter_mut().filter(|result| **result == DepositResult::Stored) {
            match taken.next() {
                Some((delivery, true)) => effects.extend(hints(delivery, effects)),
                _ => *result = DepositResult::Refused(Refusal::MailboxFull),
            }
        }
        Ok(Reply::Deposited(Bounded::new(results).unwrap_or_default()))
    }

    fn message(
        &self,
        now: Timestamp,
        (account, device): (AccountId, DeviceId),
        envelope: Envelope,
        recipients: &[DeviceId],
    ) -> Result<Delivery, Stop> {
        if envelope.sender != device {
            return Err(malformed("a message of another device"));
        }
        if recipients.is_empty() {
            return Err(malformed("a message for nobody"));
        }
        let record = self.store.conversation(envelope.conversation)?;
        let record = record.filter(|record| record.people.contains(&account)).ok_or(Refusal::Unknown)?;
        if envelope.epoch > record.epoch {
            return Err(malformed("an epoch that is still to come"));
        }
        if !record.members.contains(&device) {
            return Err(Refusal::NotMember.into());
        }
        let behind = record.epoch - envelope.epoch;
        if behind > MAIL_EPOCHS {
            return Err(Refusal::Stale.into());
        }
        let known = self.store.devices_by_id(recipients)?.into_iter();
        let is_there = |known: &DeviceRecord| record.members.contains(&known.device) && !known.revoked;
        let known = known.map(|known| known.filter(is_there));
        // Who has not seen the latest commits may not know yet who has left.
        let stranger = if behind > 0 { Refusal::Stale } else { Refusal::NotMember };
        let known = known.collect::<Option<Vec<_>>>().ok_or(stranger)?;
        let pairs: Vec<_> = known.iter().map(|recipient| (recipient.account, account)).collect();
        if self.store.has_blocked(&pairs)?.contains(&true) {
            return Err(Refusal::Blocked.into());
        }
        let mut told = Vec::new();
        for (recipient, accepted) in known.into_iter().zip(self.store.has_accepted(&pairs)?) {
            let accepted = accepted || recipient.account == account;
            if !accepted {
                self.limits.stranger(now, account, recipient.account, envelope.id)?;
            }
            told.push((recipient.device, accepted));
        }
        let key = Sha256::new().chain_update(b"message").chain_update(device.0).chain_update(envelope.id.0);
        // A message that was sealed anew is another item: the recipient may have taken the first one and not read it.
        let key = key.chain_update(envelope.epoch.to_be_bytes()).finalize();
        // Over all conversations, of which two people may have one after the other.
        let counted = Sha256::new().chain_update(b"messages").chain_update(device.0).finalize();
        let message = Some((device, envelope.conversation, envelope.id));
        Ok(Delivery {
            recipients: told,
            key: key.into(),
            replaces: false,
            item: encode(&MailItem::Message { envelope, stranger: false })?,
            message,
            expires: now.plus_ms(MAILBOX_RETENTION_MS),
            quota: Some(Quota { counted: counted.into(), items: QUOTA_ITEMS, bytes: QUOTA_BYTES }),
        })
    }

    fn receipt(
        &self,
        now: Timestamp,
        (account, device): (AccountId, DeviceId),
        signed: &SignedReceipt,
        recipient: DeviceId,
    ) -> Result<Delivery, Stop> {
        let receipt = signed.receipt().map_err(|error| malformed(&error.to_string()))?;
        if receipt.device != device || receipt.sender != recipient {
            return Err(malformed("a receipt of another device"));
        }
        let record = self.store.conversation(receipt.conversation)?;
        let record = record.filter(|record| record.people.contains(&account)).ok_or(Refusal::Unknown)?;
        if !record.members.contains(&device) || !record.members.contains(&recipient) {
            return Err(Refusal::NotMember.into());
        }
        let key = Sha256::new().chain_update(b"receipt").chain_update(receipt.conversation.0);
        let key = key.chain_update(device.0).chain_update(recipient.0).finalize();
        Ok(Delivery {
            recipients: vec![(recipient, true)],
            key: key.into(),
            replaces: true,
            item: encode(&MailItem::Receipt(signed.clone()))?,
            message: None,
            expires: now.plus_ms(MAILBOX_RETENTION_MS),
            quota: None,
        })
    }

    pub(super) fn drain(&self, device: DeviceId, after: Option<Cursor>) -> Answer {
        let (records, more) = self.store.drain(device, after, DRAIN_MAX, DRAIN_BYTES_MAX)?;
        let mut items = Vec::new();
        for record in records {
            let item = frame::decode_body(&record.item, DIRECTORY_FRAME_MAX);
            let item = item.map_err(|error| Stop::Store(StoreError::Damaged(format!("an item of mail: {error}"))))?;
            let item = match item {
                MailItem::Message { envelope, .. } => MailItem::Message { envelope, stranger: !record.accepted },
                item => item,
            };
            items.push((record.cursor, item));
        }
        Ok(Reply::Mail { items: Bounded::new(items).unwrap_or_default(), more })
    }

    /// Gives up mail that nobody came for, and tells its senders.
    pub(super) fn expire_mail(&self, now: Timestamp) -> Result<Vec<ServiceEffect>, StoreError> {
        let notice = |message: &ExpiredMessage| {
            let item =
                MailItem::Expired { conversation: message.conversation, id: message.id, recipient: message.recipient };
            // Each copy of a message that is given up is told: a later one may be of another epoch.
            let key = Sha256::new().chain_update(b"expired").chain_update(message.id.0);
            let key = key.chain_update(message.recipient.0).chain_update(now.0.to_be_bytes());
            Some(Delivery {
                recipients: vec![(message.sender, true)],
                key: key.finalize().into(),
                replaces: false,
                item: encode(&item).ok()?,
                message: None,
                expires: now.plus_ms(MAILBOX_RETENTION_MS),
                quota: None,
            })
        };
        let told: BTreeSet<DeviceId> =
            self.store.expire(now, EXPIRE_MAX, &notice)?.into_iter().map(|message| message.sender).collect();
        Ok(told.into_iter().map(|device| ServiceEffect::Push { device, push: Push::Mail }).collect())
    }
}

/// One hint for each recipient that has none yet.
fn hints(delivery: &Delivery, effects: &[ServiceEffect]) -> Vec<ServiceEffect> {
    let hints = delivery.recipients.iter().map(|(device, _)| ServiceEffect::Push { device: *device, push: Push::Mail });
    hints.filter(|hint| !effects.contains(hint)).collect()
}
