//! Carrying messages: directly first, through the mailbox otherwise, and what the recipients say of them.
//!
//! Each message has, for each device of its recipient, three ways to be: not handed over, in the mailbox's custody, or
//! stored there and receipted. A live connection gets a head start; then the mailbox is asked too, and whoever receives
//! a message twice shows it once.

mod refused;

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, BoundedBytes, ConversationId, DeviceId, MessageId, Timestamp,
    certificate::Receipt,
    directory::{Deposit, DepositResult, Refusal, Reply, Request},
    limits::{DEPOSIT_BYTES_MAX, DEPOSIT_MAX, DEPOSIT_RECIPIENTS_MAX, MAIL_EPOCHS},
    peer::{Envelope, PeerFrame},
};

use crate::{
    conversation::{ConversationState, EPOCH_MESSAGES_MAX},
    core::Core,
    event::DeliveryState,
    flow::Flow,
    input::{Answer, PeerId},
    link::Purpose,
    outbox::OutboxEntry,
    receipts::RECEIPT_WAIT_MS,
    records::{ConversationRecord, SealedRecord},
};

/// How long a live connection is given before the mailbox is asked too, in milliseconds.
const HEAD_START_MS: u64 = 300;
/// Messages under way on one connection without a receipt: as many as a receipt's extras can name.
const WINDOW_MAX: usize = 256;
/// How long a recipient that takes no more is left alone, in milliseconds.
pub(crate) const FULL_WAIT_MS: u64 = 60_000;

/// What one item of a deposit was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deposited {
    /// A message for these devices.
    Message { id: MessageId, epoch: u64, devices: Vec<DeviceId>, asked: Timestamp },
    /// A receipt for this device.
    Receipt { receipt: Receipt },
}

/// Where handing over to the mailbox stands.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) deposit: Flow,
    /// Receipts sent on a connection and not confirmed yet.
    pub(crate) receipts: Vec<(Receipt, PeerId, Timestamp)>,
}

impl Delivery {
    pub(crate) fn retry_now(&mut self) {
        self.deposit.retry_now();
    }

    /// A connection is gone, and with it what was on it.
    pub(crate) fn forget_peer(&mut self, peer: PeerId) {
        self.receipts.retain(|(_, on, _)| *on != peer);
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn reconcile_delivery(&mut self) {
        for conversation in self.outbox.conversations() {
            if let Some(state) = self.conversations.get_mut(&conversation) {
                state.wanted = true;
            }
            if !self.is_listed(conversation) {
                self.check_lists(conversation);
            }
            self.settle_delivered(conversation);
            self.send_directly(conversation);
        }
        if self.is_online() && self.link.is_announced() && self.peers.delivery.deposit.is_ready(self.now) {
            self.deposit();
        }
    }

    pub(crate) fn delivery_timer(&self) -> Option<Timestamp> {
        if !(self.is_online() && self.link.is_announced()) {
            return None;
        }
        let deposit = self.peers.delivery.deposit.due()?;
        let receipts = self.peers.delivery.receipts.iter().map(|(.., at)| at.plus_ms(RECEIPT_WAIT_MS));
        let unsent = (!self.due_receipts().is_empty()).then_some(self.now);
        let messages = self.outbox.all().filter_map(|entry| self.deposit_due(entry.record.id));
        receipts.chain(unsent).chain(messages).min().map(|due| due.max(deposit))
    }

    /// When the mailbox is to be asked for a message, if it is at all.
    fn deposit_due(&self, id: MessageId) -> Option<Timestamp> {
        let entry = self.outbox.get(id)?;
        let state = self.conversations.get(&entry.record.conversation).filter(|state| state.is_active())?;
        if entry.depositing || entry.record.state == DeliveryState::Failed || self.is_held_back(&state.record) {
            return None;
        }
        let stamp = state.stamp();
        if entry.served.get() == Some(stamp) || !self.is_listed(entry.record.conversation) || !self.may_seal(entry) {
            return None;
        }
        let open = self.recipients(id);
        if open.is_empty() {
            entry.served.set(Some(stamp));
        }
        open.into_iter().map(|device| self.due_for(entry, device)).min().map(|due| due.max(entry.not_before))
    }

    /// When the mailbox is to be asked for a device's copy: a live connection gets a head start.
    fn due_for(&self, entry: &OutboxEntry, device: DeviceId) -> Timestamp {
        let direct = entry.direct.iter().find(|(to, on, _)| *to == device && self.peers.is_live(*on));
        direct.map_or(Timestamp(0), |(_, _, at)| at.plus_ms(HEAD_START_MS))
    }

    /// The devices whose copies the mailbox is asked to take now: in a group those only whom no connection may still serve.
    fn due_recipients(&self, id: MessageId) -> Vec<DeviceId> {
        let mut devices = self.recipients(id);
        if let Some(entry) = self.outbox.get(id).filter(|entry| self.is_group(entry.record.conversation)) {
            devices.retain(|device| self.due_for(entry, *device) <= self.now);
        }
        devices
    }

    /// Whether nothing may be sent to a person because their key changed.
    pub(crate) fn is_blocked(&self, account: protocol::AccountId) -> bool {
        self.people.trust(account) == crate::event::Trust::Changed || self.has_blocked(account)
    }

    /// Whether nothing may be sent in a conversation because of the person whom it is with.
    fn is_held_back(&self, record: &ConversationRecord) -> bool {
        record.peer().is_some_and(|peer| self.is_blocked(peer))
    }

    /// Whether a message is to go to a device on a connection: also when the mailbox has it already.
    fn is_open_for(&self, entry: &OutboxEntry, device: DeviceId) -> bool {
        let waits = entry.is_in_mailbox(device) && !entry.is_delivered_to(device);
        waits || self.recipients(entry.record.id).contains(&device)
    }

    /// The ciphertext of a message, sealed now if it was not or if its epoch left retention before anybody had custody.
    fn sealed(&mut self, id: MessageId) -> Option<Envelope> {
        let own = self.own_device()?;
        let now = self.now;
        let entry = self.outbox.get(id)?;
        let conversation = entry.record.conversation;
        self.conversations.get(&conversation).filter(|state| state.is_active())?;
        if !self.link.confirmed || !self.is_listed(conversation) || !self.may_seal(entry) {
            return None;
        }
        let entry = self.outbox.get(id)?;
        let state = self.conversations.get_mut(&conversation)?;
        let group = state.group.as_mut()?;
        let usable = |sealed: &&SealedRecord| sealed.epoch.saturating_add(MAIL_EPOCHS) >= group.epoch();
        if let Some(sealed) = entry.record.sealed.as_ref().filter(usable) {
            let (epoch, ciphertext) = (sealed.epoch, sealed.ciphertext.clone());
            return Some(Envelope { conversation, epoch, sender: own, id, ciphertext });
        }
        if state.record.sent_in_epoch >= EPOCH_MESSAGES_MAX || state.record.stale_keys {
            return None;
        }
        let epoch = group.epoch();
        let sealed = group.seal(now, id, &entry.record.content).map_err(|error| error.to_string());
        state.touched = true;
        state.changed = true;
        state.record.sent_in_epoch += 1;
        let ciphertext = match sealed.and_then(|c| BoundedBytes::new(c).map_err(|error| error.to_string())) {
            Ok(ciphertext) => ciphertext,
            Err(error) => {
                self.report_bug("a message cannot be sealed", &error);
                return None;
            }
        };
        self.account.send_counter += 1;
        self.account_changed = true;
        let members = self.conversations.get(&conversation).into_iter().flat_map(|state| state.others(own));
        let members: Vec<DeviceId> = members.map(|member| member.entry.device).collect();
        let entry = self.outbox.edit(id)?;
        if entry.record.addressed.is_empty() {
            entry.record.addressed = members;
        }
        entry.record.sealed = Some(SealedRecord { epoch, ciphertext: ciphertext.clone() });
        if self.is_group(conversation) {
            self.settle_rows(id, conversation);
        }
        Some(Envelope { conversation, epoch, sender: own, id, ciphertext })
    }

    /// Hands over on live connections whatever is not on its way there, in order, within the window.
    pub(crate) fn send_directly(&mut self, conversation: ConversationId) {
        let Some(state) = self.conversations.get(&conversation).filter(|state| state.is_active()) else { return };
        if self.peers.is_alone() || self.is_held_back(&state.record) {
            return;
        }
        let Some(own) = self.own_device() else { return };
        let others: Vec<DeviceId> = state.others(own).map(|member| member.entry.device).collect();
        for device in others {
            let Some(peer) = self.peers.of_device(device) else { continue };
            let mut under_way = 0;
            let mut unsent = Vec::new();
            for entry in self.outbox.of(conversation) {
                if entry.record.state == DeliveryState::Failed || !self.is_open_for(entry, device) {
                    continue;
                }
                if entry.direct.iter().any(|(to, on, _)| *to == device && *on == peer) {
                    under_way += 1;
                } else {
                    unsent.push(entry.record.id);
                }
                if under_way + unsent.len() >= WINDOW_MAX {
                    break;
                }
            }
            for id in unsent {
                let Some(envelope) = self.sealed(id) else { break };
                let now = self.now;
                if let Some(entry) = self.outbox.touch(id) {
                    entry.direct.retain(|(to, ..)| *to != device);
                    entry.direct.push((device, peer, now));
                }
                self.send_to_peer(peer, PeerFrame::Message(envelope));
            }
        }
    }

    fn deposit(&mut self) {
        let mut items = Vec::new();
        let mut what = Vec::new();
        let (mut bytes, mut copies) = (0, DEPOSIT_MAX);
        for (conversation, device) in self.due_receipts() {
            let receipt = self.receipt_for(conversation, device).filter(|_| items.len() < DEPOSIT_MAX);
            if let Some(receipt) = receipt
                && let Some(signed) = self.sign(&receipt)
            {
                items.push(Deposit::Receipt { receipt: signed, recipient: device });
                what.push(Deposited::Receipt { receipt });
            }
        }
        let due: Vec<MessageId> = self
            .outbox
            .all()
            .map(|entry| entry.record.id)
            .filter(|id| self.deposit_due(*id).is_some_and(|due| due <= self.now))
            .take(DEPOSIT_MAX - items.len())
            .collect();
        for id in due {
            let Some(envelope) = self.sealed(id) else { continue };
            bytes += envelope.ciphertext.len();
            if bytes > DEPOSIT_BYTES_MAX {
                break;
            }
            let devices = self.due_recipients(id);
            copies += devices.len();
            if copies > DEPOSIT_RECIPIENTS_MAX {
                break;
            }
            let Some(entry) = self.outbox.touch(id).filter(|_| !devices.is_empty()) else { continue };
            entry.depositing = true;
            let epoch = envelope.epoch;
            let recipients = Bounded::new(devices.clone()).unwrap_or_default();
            items.push(Deposit::Message { envelope, recipients });
            what.push(Deposited::Message { id, epoch, devices, asked: self.now });
        }
        if items.is_empty() {
            return;
        }
        let request = Request::Deposit { items: Bounded::new(items).unwrap_or_default() };
        let call = self.ask(Purpose::Deposit { items: what }, request);
        self.peers.delivery.deposit.start(call);
    }

    pub(crate) fn on_deposited(&mut self, items: Vec<Deposited>, answer: Answer) {
        let jitter = self.jitter();
        let results = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::Deposited(results) if results.len() == items.len() => Some(results),
                _ => {
                    self.report_misbehaviour("the directory answered a deposit with something else");
                    None
                }
            },
            Answer::Refusal(refusal) => {
                self.report_refused("the directory refused a deposit", &refusal);
                None
            }
            Answer::Lost => None,
        };
        for item in &items {
            if let Deposited::Message { id, .. } = item
                && let Some(entry) = self.outbox.touch(*id)
            {
                entry.depositing = false;
            }
        }
        let Some(results) = results else {
            self.peers.delivery.deposit.fail(self.now, jitter);
            return;
        };
        self.peers.delivery.deposit.succeed();
        for (item, result) in items.into_iter().zip(results) {
            match item {
                Deposited::Message { id, epoch, devices, asked } => {
                    let copies: Vec<_> = devices.into_iter().map(|device| (device, asked)).collect();
                    self.on_message_deposited(id, epoch, copies, &result);
                }
                Deposited::Receipt { receipt } => {
                    let gone = matches!(result, DepositResult::Refused(Refusal::NotMember | Refusal::Unknown));
                    if result == DepositResult::Stored || gone && self.is_group(receipt.conversation) {
                        // Whoever has left a group asks for nothing any more.
                        self.on_receipt_confirmed(&receipt);
                    } else {
                        self.peers.delivery.deposit.fail(self.now, jitter);
                    }
                }
            }
        }
    }

    fn on_message_deposited(
        &mut self,
        id: MessageId,
        epoch: u64,
        copies: Vec<(DeviceId, Timestamp)>,
        result: &DepositResult,
    ) {
        let now = self.now;
        let Some(conversation) = self.outbox.get(id).map(|entry| entry.record.conversation) else { return };
        let is_group = self.is_group(conversation);
        let Some(entry) = self.outbox.edit(id) else { return };
        // A message that was sealed anew meanwhile is not what the mailbox holds.
        let same = entry.record.sealed.as_ref().is_some_and(|sealed| sealed.epoch == epoch);
        match result {
            DepositResult::Stored if same => {
                entry.record.in_mailbox.retain(|(to, _)| copies.iter().all(|(device, _)| to != device));
                entry.record.in_mailbox.extend(copies.iter().copied());
                if is_group {
                    let devices: Vec<DeviceId> = copies.into_iter().map(|(device, _)| device).collect();
                    return self.advance_rows(id, conversation, &devices);
                }
                self.advance(id, DeliveryState::Sent, None);
            }
            DepositResult::Stored => {}
            DepositResult::StaleEpoch => {
                entry.record.sealed = None;
                entry.not_before = now.plus_ms(HEAD_START_MS);
                self.mail.want();
                // The commit that ended the epoch waits in the mailbox, or never comes.
                if let Some(state) = self.conversations.get_mut(&conversation).filter(|s| s.record.group().is_some()) {
                    state.commit_awaited |= state.group.as_ref().is_some_and(|group| group.epoch() == epoch);
                }
            }
            DepositResult::Refused(Refusal::StrangerLimit | Refusal::MailboxFull | Refusal::RateLimited { .. }) => {
                entry.not_before = now.plus_ms(FULL_WAIT_MS);
                self.settle_send(id, DeliveryState::Queued);
                self.settle_group_send(id, true);
            }
            DepositResult::Refused(Refusal::NotMember | Refusal::Unknown) if is_group => {
                entry.not_before = now.plus_ms(HEAD_START_MS);
                self.on_group_deposit_refused(conversation);
            }
            DepositResult::Refused(refusal) => {
                entry.not_before = now.plus_ms(FULL_WAIT_MS);
                let refusal = refusal.clone();
                self.report_refused("the mailbox refused a message", &refusal);
                if matches!(refusal, Refusal::NotMember | Refusal::Unknown) {
                    self.lose(conversation);
                    // Perhaps a device is gone, or the whole account.
                    if let Some(peer) = self.conversations.get(&conversation).and_then(|state| state.record.peer()) {
                        self.people.doubt(peer);
                    }
                }
            }
        }
    }

    /// Forgets what every device of the recipient has, or has waiting for it while another device has it; and what was for
    /// one's own other devices alone, once there is none of them left that it is for.
    fn settle_delivered(&mut self, conversation: ConversationId) {
        if !self.conversations.get(&conversation).is_some_and(ConversationState::is_active) {
            return;
        }
        let group = self.is_group(conversation);
        if group {
            self.settle_all_alone(conversation);
        }
        let settled = |entry: &&OutboxEntry| match entry.record.state {
            _ if group && !entry.record.own_only => self.is_settled(entry),
            DeliveryState::Delivered | DeliveryState::Read => self.recipients(entry.record.id).is_empty(),
            _ => entry.record.own_only && self.awaited(entry.record.id).is_empty(),
        };
        let done: Vec<MessageId> = self.outbox.of(conversation).filter(settled).map(|entry| entry.record.id).collect();
        for id in done {
            self.settle_group_send(id, true);
            self.forget_message(id);
        }
    }
}
