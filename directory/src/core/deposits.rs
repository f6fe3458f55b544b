//! What may be put into whose mailbox: messages between two people, messages to a group, and receipts.

use protocol::{
    AccountId, Bounded, ConversationId, DeviceId, MessageId, Timestamp,
    certificate::SignedReceipt,
    directory::{Deposit, DepositResult, MailItem, Refusal, Reply},
    limits::{DEPOSIT_BYTES_MAX, DEPOSIT_MAX, DEPOSIT_RECIPIENTS_MAX, MAIL_EPOCHS, MAILBOX_RETENTION_MS},
    peer::Envelope,
    policy::{GroupPolicy, Role},
};

use crate::store::{Audience, Delivery, ExpiredMessage, Quota, Standing, Store, StoreError};

use super::{
    Answer, Service, ServiceEffect, Stop,
    fanout::Hints,
    handouts::hash,
    mailbox::{encode, notice},
    malformed,
};

/// Messages of one sender that may wait for one device: weeks of a lively conversation.
const QUOTA_ITEMS: u64 = 20_000;
/// Bytes of one sender that may wait for one device.
const QUOTA_BYTES: u64 = 64 * 1024 * 1024;

/// Something that may be put into mailboxes, and what its sender is told of those into which it may not.
struct Checked {
    delivery: Delivery,
    notices: Vec<Delivery>,
}

impl<S: Store> Service<S> {
    pub(super) fn deposit(
        &self,
        now: Timestamp,
        (account, device): (AccountId, DeviceId),
        items: Bounded<Deposit, DEPOSIT_MAX>,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        check_size(&items)?;
        let (mut results, mut deliveries, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        for item in items {
            let checked = match item {
                Deposit::Message { envelope, recipients } => {
                    self.message(now, (account, device), envelope, &recipients, effects)
                }
                Deposit::Receipt { receipt, recipient } => self.receipt(now, (account, device), &receipt, recipient),
            };
            match checked {
                Ok(checked) => {
                    deliveries.push(checked.delivery);
                    notices.extend(checked.notices);
                    results.push(DepositResult::Stored);
                }
                Err(Stop::Refused(Refusal::Stale)) => results.push(DepositResult::StaleEpoch),
                Err(Stop::Refused(refusal)) => results.push(DepositResult::Refused(refusal)),
                Err(error) => return Err(error),
            }
        }
        let devices: Vec<Vec<DeviceId>> = deliveries.iter().map(recipients_of).collect();
        let mut taken = devices.into_iter().zip(self.fan_out(deliveries)?);
        let mut hints = Hints::default();
        for result in results.iter_mut().filter(|result| **result == DepositResult::Stored) {
            match taken.next() {
                Some((devices, true)) => hints.give(devices, effects),
                _ => *result = DepositResult::Refused(Refusal::MailboxFull),
            }
        }
        if !notices.is_empty() {
            self.fan_out(notices)?;
            hints.give([device], effects);
        }
        Ok(Reply::Deposited(Bounded::new(results).unwrap_or_default()))
    }

    fn message(
        &self,
        now: Timestamp,
        (account, device): (AccountId, DeviceId),
        envelope: Envelope,
        recipients: &[DeviceId],
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<Checked, Stop> {
        if envelope.sender != device {
            return Err(malformed("a message of another device"));
        }
        if recipients.is_empty() {
            return Err(malformed("a message for nobody"));
        }
        let asked: Vec<DeviceId> = recipients.iter().copied().chain([device]).collect();
        let standing = self.standing(envelope.conversation, account, &asked)?;
        // The commit that began the latest epoch comes before whatever is said in it, and before its sender hears of it.
        self.hand_out_of(envelope.conversation, effects)?;
        if envelope.epoch > standing.epoch {
            return Err(malformed("an epoch that is still to come"));
        }
        check_speaker(&standing, account)?;
        let behind = standing.epoch - envelope.epoch;
        if behind > MAIL_EPOCHS {
            return Err(Refusal::Stale.into());
        }
        // Who has not seen the latest commits may not know yet who has left.
        let absent = || Stop::from(if behind > 0 { Refusal::Stale } else { Refusal::NotMember });
        let members = recipients.iter().zip(&standing.whose).map(|(device, whose)| whose.map(|whose| (*device, whose)));
        let members = members.collect::<Option<Vec<_>>>().ok_or_else(absent)?;
        let there = self.not_revoked(&members)?;
        // A message that was sealed anew is another item: the recipient may have taken the first one and not read it.
        let key = hash(&[b"message", &device.0, &envelope.id.0, &envelope.epoch.to_be_bytes()]);
        // Over all conversations, of which two people may have one after the other.
        let quota = Quota { counted: hash(&[b"messages", &device.0]), items: QUOTA_ITEMS, bytes: QUOTA_BYTES };
        let (recipients, quota, full) = match &standing.audience {
            Audience::People(_) if there.len() < members.len() => return Err(absent()),
            Audience::People(_) => (self.to_people(now, account, envelope.id, &there)?, quota, Vec::new()),
            Audience::Group(_) => {
                let (there, full) = self.to_group(&standing, &quota, key, there)?;
                // Whoever has no room was sorted out: one recipient's failure never blocks the others.
                (there, Quota { items: u64::MAX, bytes: u64::MAX, ..quota }, full)
            }
        };
        let (sender, conversation, id) = (device, envelope.conversation, envelope.id);
        let failed = full.into_iter().map(|recipient| ExpiredMessage { sender, conversation, id, recipient });
        let notices = failed.filter_map(|message| notice(now, &message)).collect();
        let delivery = Delivery {
            recipients,
            key,
            replaces: false,
            item: encode(&MailItem::Message { envelope, stranger: false })?,
            message: Some((sender, conversation, id)),
            expires: now.plus_ms(MAILBOX_RETENTION_MS),
            quota: Some(quota),
        };
        Ok(Checked { delivery, notices })
    }

    /// What decides about somebody's item of a conversation, if it is one that they may know of.
    fn standing(
        &self,
        conversation: ConversationId,
        account: AccountId,
        devices: &[DeviceId],
    ) -> Result<Standing, Stop> {
        let standing = self.store.standing(conversation, devices)?.ok_or(Refusal::Unknown)?;
        match &standing.audience {
            Audience::People(people) if !people.contains(&account) => Err(Refusal::Unknown.into()),
            _ => Ok(standing),
        }
    }

    fn not_revoked(&self, members: &[(DeviceId, AccountId)]) -> Result<Vec<(DeviceId, AccountId)>, StoreError> {
        let devices: Vec<DeviceId> = members.iter().map(|(device, _)| *device).collect();
        let known = members.iter().zip(self.store.devices_by_id(&devices)?);
        Ok(known
            .filter(|(_, known)| known.as_ref().is_some_and(|known| !known.revoked))
            .map(|(member, _)| *member)
            .collect())
    }

    /// Whether each of somebody's devices takes a message as one from somebody whom they have accepted.
    fn to_people(
        &self,
        now: Timestamp,
        from: AccountId,
        id: MessageId,
        to: &[(DeviceId, AccountId)],
    ) -> Result<Vec<(DeviceId, bool)>, Stop> {
        let pairs: Vec<_> = to.iter().map(|(_, account)| (*account, from)).collect();
        if self.store.has_blocked(&pairs)?.contains(&true) {
            return Err(Refusal::Blocked.into());
        }
        let mut told = Vec::new();
        for ((device, account), accepted) in to.iter().zip(self.store.has_accepted(&pairs)?) {
            let accepted = accepted || *account == from;
            if !accepted {
                self.limits.stranger(now, from, *account, id)?;
            }
            told.push((*device, accepted));
        }
        Ok(told)
    }

    /// Those of a group who get a message, and those who have no room for it. Nobody in a group is a stranger there, and
    /// whoever is leaving gets nothing more.
    #[expect(clippy::type_complexity, reason = "two lists, each of which has one reader")]
    fn to_group(
        &self,
        standing: &Standing,
        quota: &Quota,
        key: [u8; 32],
        to: Vec<(DeviceId, AccountId)>,
    ) -> Result<(Vec<(DeviceId, bool)>, Vec<DeviceId>), StoreError> {
        let stay: Vec<DeviceId> = to
            .into_iter()
            .filter(|(_, account)| !standing.leaving.contains(account))
            .map(|(device, _)| device)
            .collect();
        let waiting = self.store.waiting(&stay, quota.counted)?;
        let (mut there, mut full) = (Vec::new(), Vec::new());
        for (device, (items, bytes)) in stay.into_iter().zip(waiting) {
            // What is there already keeps its place.
            let room = items < quota.items && bytes < quota.bytes || self.store.holds(&[device], key)?.contains(&true);
            if room { there.push((device, true)) } else { full.push(device) }
        }
        Ok((there, full))
    }

    fn receipt(
        &self,
        now: Timestamp,
        (account, device): (AccountId, DeviceId),
        signed: &SignedReceipt,
        recipient: DeviceId,
    ) -> Result<Checked, Stop> {
        let receipt = signed.receipt().map_err(|error| malformed(&error.to_string()))?;
        if receipt.device != device || receipt.sender != recipient {
            return Err(malformed("a receipt of another device"));
        }
        let standing = self.standing(receipt.conversation, account, &[recipient, device])?;
        check_speaker(&standing, account)?;
        let there = |whose: &AccountId| !standing.leaving.contains(whose);
        if !standing.whose.first().is_some_and(|whose| whose.as_ref().is_some_and(there)) {
            return Err(Refusal::NotMember.into());
        }
        let delivery = Delivery {
            recipients: vec![(recipient, true)],
            key: hash(&[b"receipt", &receipt.conversation.0, &device.0, &recipient.0]),
            replaces: true,
            item: encode(&MailItem::Receipt(signed.clone()))?,
            message: None,
            expires: now.plus_ms(MAILBOX_RETENTION_MS),
            quota: None,
        };
        Ok(Checked { delivery, notices: Vec::new() })
    }
}

fn check_size(items: &[Deposit]) -> Result<(), Stop> {
    let (mut bytes, mut recipients) = (0, 0);
    for item in items {
        match item {
            Deposit::Message { envelope, recipients: to } => {
                bytes += envelope.ciphertext.len();
                recipients += to.len();
            }
            Deposit::Receipt { .. } => recipients += 1,
        }
    }
    if bytes > DEPOSIT_BYTES_MAX {
        return Err(malformed("too many bytes in one deposit"));
    }
    if recipients > DEPOSIT_RECIPIENTS_MAX {
        return Err(malformed("too many recipients in one deposit"));
    }
    Ok(())
}

/// Whether the device that was asked for last may say something: it is a member, and in a group its account has joined and
/// is not leaving.
fn check_speaker(standing: &Standing, account: AccountId) -> Result<(), Stop> {
    let own = standing.whose.last().is_some_and(|whose| *whose == Some(account));
    let joined = |policy: &GroupPolicy| policy.role(account) > Role::Invited && !standing.leaving.contains(&account);
    let may = own && standing.audience.group().is_none_or(joined);
    if may { Ok(()) } else { Err(Refusal::NotMember.into()) }
}

fn recipients_of(delivery: &Delivery) -> Vec<DeviceId> {
    delivery.recipients.iter().map(|(device, _)| *device).collect()
}
