//! Mailboxes, in the model.

use std::sync::Arc;

use protocol::{DeviceId, Timestamp, directory::Cursor};

use super::{
    super::{Delivery, ExpiredMessage, MailRecord, Mailbox, Stored},
    Inner, Item, MailboxOf, MemoryStore,
};

impl Mailbox for MemoryStore {
    fn forget_mail(&self, devices: &[DeviceId]) -> Stored<()> {
        let mut inner = self.lock();
        for device in devices {
            inner.boxes.remove(device);
        }
        Ok(())
    }

    fn deliver(&self, deliveries: &[Delivery]) -> Stored<Vec<bool>> {
        let mut inner = self.lock();
        Ok(deliveries.iter().map(|delivery| deliver(&mut inner, delivery)).collect())
    }

    fn waiting(&self, devices: &[DeviceId], counted: [u8; 32]) -> Stored<Vec<(u64, u64)>> {
        let inner = self.lock();
        Ok(devices.iter().map(|device| waiting(inner.boxes.get(device), counted)).collect())
    }

    fn holds(&self, devices: &[DeviceId], key: [u8; 32]) -> Stored<Vec<bool>> {
        let inner = self.lock();
        let holds = |mailbox: &MailboxOf| mailbox.items.values().any(|item| item.key == key);
        Ok(devices.iter().map(|device| inner.boxes.get(device).is_some_and(holds)).collect())
    }

    fn drain(
        &self,
        device: DeviceId,
        after: Option<Cursor>,
        items: usize,
        bytes: usize,
    ) -> Stored<(Vec<MailRecord>, bool)> {
        let inner = self.lock();
        let Some(mailbox) = inner.boxes.get(&device) else { return Ok((Vec::new(), false)) };
        let mut taken: Vec<MailRecord> = Vec::new();
        let mut total = 0;
        for (cursor, item) in mailbox.items.iter().filter(|(cursor, _)| after.is_none_or(|after| **cursor > after)) {
            total += item.item.len();
            if taken.len() == items || (total > bytes && !taken.is_empty()) {
                return Ok((taken, true));
            }
            taken.push(MailRecord { cursor: *cursor, item: item.item.to_vec(), accepted: item.accepted });
        }
        Ok((taken, false))
    }

    fn remove(&self, device: DeviceId, cursors: &[Cursor]) -> Stored<()> {
        if let Some(mailbox) = self.lock().boxes.get_mut(&device) {
            for cursor in cursors {
                mailbox.items.remove(cursor);
            }
        }
        Ok(())
    }

    fn expire(
        &self,
        now: Timestamp,
        items: usize,
        notice: &dyn Fn(&ExpiredMessage) -> Option<Delivery>,
    ) -> Stored<Vec<ExpiredMessage>> {
        let mut inner = self.lock();
        let mut expired = Vec::new();
        let mut left = items;
        for (recipient, mailbox) in &mut inner.boxes {
            let old: Vec<Cursor> =
                mailbox.items.iter().filter(|(_, item)| item.expires <= now).map(|(c, _)| *c).take(left).collect();
            left -= old.len();
            for cursor in old {
                if let Some((sender, conversation, id)) = mailbox.items.remove(&cursor).and_then(|item| item.message) {
                    expired.push(ExpiredMessage { sender, conversation, id, recipient: *recipient });
                }
            }
            mailbox.known.retain(|_, expires| *expires > now);
        }
        expired.sort_unstable();
        for notice in expired.iter().filter_map(notice) {
            deliver(&mut inner, &notice);
        }
        Ok(expired)
    }
}

fn waiting(mailbox: Option<&MailboxOf>, counted: [u8; 32]) -> (u64, u64) {
    let all = mailbox.into_iter().flat_map(|mailbox| mailbox.items.values());
    let same = all.filter(|item| item.counted == Some(counted));
    same.fold((0, 0), |(items, bytes), item| (items + 1, bytes + item.item.len() as u64))
}

fn deliver(inner: &mut Inner, delivery: &Delivery) -> bool {
    let fits = |device: &DeviceId| {
        let Some(quota) = delivery.quota else { return true };
        let mailbox = inner.boxes.get(device);
        if mailbox.is_some_and(|mailbox| mailbox.known.contains_key(&delivery.key)) {
            return true;
        }
        let (items, bytes) = waiting(mailbox, quota.counted);
        items < quota.items && bytes + delivery.item.len() as u64 <= quota.bytes
    };
    if !delivery.recipients.iter().all(|(device, _)| fits(device)) {
        return false;
    }
    let item = Arc::new(delivery.item.clone());
    for (device, accepted) in &delivery.recipients {
        let mailbox = inner.boxes.entry(*device).or_default();
        if delivery.replaces {
            mailbox.items.retain(|_, item| item.key != delivery.key);
        } else if mailbox.known.contains_key(&delivery.key) {
            continue;
        }
        mailbox.known.insert(delivery.key, delivery.expires);
        mailbox.next += 1;
        let item = Item {
            key: delivery.key,
            item: Arc::clone(&item),
            accepted: *accepted,
            message: delivery.message,
            expires: delivery.expires,
            counted: delivery.quota.map(|quota| quota.counted),
        };
        mailbox.items.insert(Cursor(mailbox.next), item);
    }
    true
}
