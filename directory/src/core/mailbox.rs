//! Mailboxes: how what is in them comes out, and what becomes of what nobody came for.

use std::collections::BTreeSet;

use protocol::{
    Bounded, DeviceId, Timestamp,
    directory::{Cursor, MailItem, Push, Reply},
    frame,
    limits::{DIRECTORY_FRAME_MAX, DRAIN_BYTES_MAX, DRAIN_MAX, MAILBOX_RETENTION_MS},
};

use crate::store::{Delivery, ExpiredMessage, Store, StoreError};

use super::{Answer, Service, ServiceEffect, Stop, handouts::hash, malformed};

/// Items given up in one sweep: what does not hold up requests.
const EXPIRE_MAX: usize = 1_000;

/// An item as the store keeps it.
pub(super) fn encode(item: &MailItem) -> Result<Vec<u8>, Stop> {
    frame::encode_body(item, DIRECTORY_FRAME_MAX).map_err(|error| malformed(&error.to_string()))
}

/// What tells a sender that a message never came to its recipient.
pub(super) fn notice(now: Timestamp, message: &ExpiredMessage) -> Option<Delivery> {
    let item = MailItem::Expired { conversation: message.conversation, id: message.id, recipient: message.recipient };
    Some(Delivery {
        recipients: vec![(message.sender, true)],
        // Each copy of a message that is given up is told: a later one may be of another epoch.
        key: hash(&[b"expired", &message.id.0, &message.recipient.0, &now.0.to_be_bytes()]),
        replaces: false,
        item: encode(&item).ok()?,
        message: None,
        expires: now.plus_ms(MAILBOX_RETENTION_MS),
        quota: None,
    })
}

impl<S: Store> Service<S> {
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
        let notice = |message: &ExpiredMessage| notice(now, message);
        let told: BTreeSet<DeviceId> =
            self.store.expire(now, EXPIRE_MAX, &notice)?.into_iter().map(|message| message.sender).collect();
        Ok(told.into_iter().map(|device| ServiceEffect::Push { device, push: Push::Mail }).collect())
    }
}
