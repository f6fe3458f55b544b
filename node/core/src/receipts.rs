//! Receipts: what this device says of others' messages, and what others' devices say of its own.

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{
    Bounded, ConversationId, DeviceId, MessageId, Timestamp,
    certificate::{Receipt, SignedReceipt},
    limits::RECEIPT_EXTRAS_MAX,
    peer::PeerFrame,
};

use crate::{
    core::Core,
    crypto::receipt::{sign_receipt, verify_receipt},
    event::DeliveryState,
    input::PeerId,
    outbox::OutboxEntry,
};

/// How long a receipt on a connection is given before the mailbox is asked to carry it, in milliseconds.
pub(crate) const RECEIPT_WAIT_MS: u64 = 1_000;

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn owe_receipt(&mut self, id: ConversationId, device: DeviceId) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        if let Some(sender) = state.record.senders.iter_mut().find(|sender| sender.device == device) {
            sender.receipt_owed = true;
            state.changed = true;
        }
    }

    /// What this device says of a sender's messages.
    pub(crate) fn receipt_for(&self, id: ConversationId, device: DeviceId) -> Option<Receipt> {
        let own = self.own()?;
        let state = self.conversations.get(&id)?;
        let sender = state.record.senders.iter().find(|sender| sender.device == device)?;
        let contiguous = sender.missing.first().copied().unwrap_or(sender.next);
        // Bounded: what lies further back was in an earlier receipt.
        let from = contiguous.max(sender.next.saturating_sub(RECEIPT_EXTRAS_MAX as u64));
        let beyond = (from..sender.next).filter(|sequence| !sender.missing.contains(sequence));
        let all: Vec<u64> = beyond.chain(sender.waiting.iter().copied()).collect();
        let latest = all.len().saturating_sub(RECEIPT_EXTRAS_MAX);
        Some(Receipt {
            conversation: id,
            recipient: own.account,
            device: own.device,
            sender: device,
            delivered_below: contiguous,
            delivered_also: Bounded::new(all[latest..].to_vec()).unwrap_or_default(),
            read_below: 0,
        })
    }

    /// A recipient's device says what it has stored.
    pub(crate) fn on_receipt(&mut self, signed: &SignedReceipt) -> bool {
        let receipt = match signed.receipt() {
            Ok(receipt) => receipt,
            Err(error) => {
                self.report_refused("a receipt is malformed", &error);
                return false;
            }
        };
        let Some(state) = self.conversations.get(&receipt.conversation) else { return false };
        let signer = |m: &&VerifiedDevice| m.entry.device == receipt.device && m.account == receipt.recipient;
        let key = state.members().find(signer).map(|member| member.entry.mls_key);
        let peer = state.record.peer();
        let for_us = Some(receipt.sender) == self.own_device();
        if !for_us || key.is_none_or(|key| verify_receipt(&key, signed).is_err()) {
            self.report_misbehaviour("a receipt is not signed by a member's device");
            return false;
        }
        let own = self.own().is_some_and(|own| own.account == receipt.recipient);
        let theirs = Some(receipt.recipient) == peer || peer.is_none() && !own;
        let meant = self.outbox.of(receipt.conversation).filter(|entry| !(theirs && entry.record.own_only));
        let covered = meant.filter(|entry| {
            // One's own devices count what is for them alone too.
            let number = if theirs { entry.record.shared } else { entry.record.sequence };
            number < receipt.delivered_below || receipt.delivered_also.contains(&number)
        });
        // A receipt names everything since the beginning: what it has said before is not written anew.
        let news: Vec<&OutboxEntry> = covered.filter(|entry| !entry.is_delivered_to(receipt.device)).collect();
        if news.iter().any(|entry| !entry.was_sealed()) {
            self.doubt_keys();
            return false;
        }
        let news: Vec<MessageId> = news.into_iter().map(|entry| entry.record.id).collect();
        for id in news {
            let Some(entry) = self.outbox.edit(id) else { continue };
            entry.record.delivered.push(receipt.device);
            // One's own other devices have it too; that it arrived says the other person's device alone, unless it is for
            // one's own devices only.
            if theirs && peer.is_none() {
                self.advance_row(id, receipt.recipient, DeliveryState::Delivered, None);
            } else if theirs || entry.record.own_only {
                self.advance(id, DeliveryState::Delivered, None);
            }
        }
        true
    }

    /// Somebody has, under the number of a message that this device never sealed, one that another holder of its keys did;
    /// or says so falsely. Only the directory's count decides.
    fn doubt_keys(&mut self) {
        self.report_misbehaviour("a receipt says that something has arrived that was never sent");
        self.link.doubt();
    }

    pub(crate) fn sign(&mut self, receipt: &Receipt) -> Option<SignedReceipt> {
        let signed = sign_receipt(self.keys.mls_key(), receipt).map_err(|error| error.to_string());
        signed.map_err(|error| self.report_bug("a receipt cannot be signed", &error)).ok()
    }

    /// Whoever it was for has a receipt; if it still says all that there is to say, nothing more is owed.
    pub(crate) fn on_receipt_confirmed(&mut self, confirmed: &Receipt) {
        let (conversation, device) = (confirmed.conversation, confirmed.sender);
        self.peers.delivery.receipts.retain(|(sent, ..)| sent != confirmed);
        if self.receipt_for(conversation, device).as_ref() == Some(confirmed)
            && let Some(state) = self.conversations.get_mut(&conversation)
            && let Some(sender) = state.record.senders.iter_mut().find(|sender| sender.device == device)
        {
            sender.receipt_owed = false;
            sender.confirmed_below = confirmed.delivered_below;
            state.changed = true;
        }
    }

    /// A peer has stored the receipt that was sent on its connection.
    pub(crate) fn on_receipt_stored(&mut self, peer: PeerId, conversation: ConversationId, delivered_below: u64) {
        let sent = self.peers.delivery.receipts.iter().find(|(sent, on, _)| {
            *on == peer && sent.conversation == conversation && sent.delivered_below == delivered_below
        });
        if let Some(receipt) = sent.map(|(receipt, ..)| receipt.clone()) {
            self.on_receipt_confirmed(&receipt);
        }
    }

    /// Receipts that the mailbox has to carry: owed, and on no connection or for too long.
    pub(crate) fn due_receipts(&self) -> Vec<(ConversationId, DeviceId)> {
        let due = |at: &Timestamp| at.plus_ms(RECEIPT_WAIT_MS) <= self.now;
        let sent = &self.peers.delivery.receipts;
        let mut owed = self.owed_receipts();
        owed.retain(|(conversation, device)| {
            let on_its_way = sent.iter().find(|(r, ..)| r.conversation == *conversation && r.sender == *device);
            on_its_way.is_none_or(|(.., at)| due(at))
        });
        owed
    }

    pub(crate) fn owed_receipts(&self) -> Vec<(ConversationId, DeviceId)> {
        // Whoever is only invited to a group says nothing there, not even what has arrived.
        let says = |id: &ConversationId| !self.is_group(*id) || self.is_joined(*id);
        let active = self.conversations.iter().filter(|(id, state)| state.is_active() && says(id));
        let senders = active.flat_map(|(id, state)| {
            // Whoever is no member any more asks for nothing, and the mailbox carries nothing for them.
            let member = |device| state.members().any(|member| member.entry.device == device);
            let owed = state.record.senders.iter().filter(move |sender| sender.receipt_owed && member(sender.device));
            owed.map(|sender| (*id, sender.device))
        });
        senders.collect()
    }

    /// Sends what is owed on live connections: one receipt for a whole batch of messages.
    pub(crate) fn reconcile_receipts(&mut self) {
        for (conversation, device) in self.owed_receipts() {
            let Some(peer) = self.peers.of_device(device) else { continue };
            let Some(receipt) = self.receipt_for(conversation, device) else { continue };
            if self.peers.delivery.receipts.iter().any(|(sent, on, _)| *sent == receipt && *on == peer) {
                continue;
            }
            let Some(signed) = self.sign(&receipt) else { continue };
            let now = self.now;
            let sent = &mut self.peers.delivery.receipts;
            sent.retain(|(r, ..)| !(r.conversation == conversation && r.sender == device));
            sent.push((receipt, peer, now));
            self.send_to_peer(peer, PeerFrame::Receipt(signed));
        }
    }
}
