//! What arrives: opened once, shown once, in its sender's order, and receipted.
//!
//! A message is known twice over: by its id before anything is opened, and by its sender's sequence number afterwards.
//! So the same message may come directly and through the mailbox, or sealed anew, and is shown once.

mod hidden;
mod reading;
mod unopened;

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, BoundedBytes, ConversationId, DeviceId, Name, Timestamp, frame,
    limits::{CIPHERTEXT_MAX, SEEN_MAX},
    peer::{Body, Content, Envelope},
};
use sha2::{Digest as _, Sha256};

use crate::{
    command::HistoryEntry,
    core::Core,
    crypto::mls::Opened,
    event::{EventKind, ShortId, Trust},
    input::PeerId,
    records::{self, WaitingRecord, waiting_key},
    stored::{Change, Table},
};

/// How long a missing predecessor is waited for before the message is shown with a gap, in milliseconds.
pub(crate) const GAP_WAIT_MS: u64 = 5_000;
/// Messages beyond a missing one that are kept from one device; what comes further ahead is not taken yet.
const WAITING_MAX: usize = 4_096;
/// Numbers given up as missing that are remembered from one device; the oldest are forgotten.
const MISSING_MAX: usize = 1_024;

/// How far before the first message that it sees a device that joined late still takes messages of their sender.
const LATE_WELCOME: u64 = 64;

/// Where a message came from, and so whom a refusal goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A peer connection.
    Peer(PeerId),
    /// The mailbox; the flag says whether the directory marks the sender as a stranger.
    Mailbox { stranger: bool },
    /// This core, which kept it until its commit came.
    Kept,
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Takes a sealed message.
    pub(crate) fn on_envelope(&mut self, envelope: Envelope, carrier: Carrier) {
        let id = envelope.conversation;
        if self.mail.has_seen(envelope.id) {
            // Whoever repeats it has not heard that it arrived.
            self.owe_receipt(id, envelope.sender);
            return;
        }
        let Some(state) = self.conversations.get_mut(&id).filter(|state| state.is_active() || state.is_creating())
        else {
            return self.on_unknown_conversation(&envelope, carrier);
        };
        let creating = state.is_creating();
        let Some(group) = &mut state.group else { return };
        if creating {
            // Whoever writes in it has got its Welcome: the directory took it, though its answer has not come yet. What does
            // not open is of the creation that won.
            return match group.open(self.now, &envelope.ciphertext) {
                Ok(opened) => {
                    self.activate(id);
                    self.on_opened(id, opened, carrier);
                }
                Err(_) => self.on_unknown_conversation(&envelope, carrier),
            };
        }
        if envelope.epoch > group.epoch() {
            return self.on_early(envelope, carrier);
        }
        state.touched = true;
        match group.open(self.now, &envelope.ciphertext) {
            Ok(opened) => self.on_opened(id, opened, carrier),
            Err(error) => self.on_unopened(&envelope, carrier, &error),
        }
    }

    fn on_opened(&mut self, id: ConversationId, opened: Opened, carrier: Carrier) {
        let content: Content = match frame::decode_body(&opened.content, CIPHERTEXT_MAX) {
            Ok(content) => content,
            Err(error) => return self.report_refused("a message's content is malformed", &error),
        };
        if content.id != opened.id {
            return self.report_misbehaviour("a message's content has another id than its envelope");
        }
        self.mail.see(opened.id, self.now);
        self.batch.put(Table::Seen, opened.id.0.to_vec(), self.now.0.to_be_bytes().to_vec());
        if let Some(checkpoint) = &content.checkpoint {
            self.take_vouched((**checkpoint).clone());
        }
        let stranger = carrier == Carrier::Mailbox { stranger: true };
        self.take_content(id, &opened, &content, stranger);
    }

    fn take_content(&mut self, id: ConversationId, opened: &Opened, content: &Content, stranger: bool) {
        let (named, sequence) = (self.is_named(id, opened.account), self.number(opened.account, content));
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let unknown = !state.record.senders.iter().any(|sender| sender.device == opened.device);
        let late_joiner = state.record.joined_late;
        let taken = state.record.group().map(|group| group.taken_below.as_slice()).unwrap_or_default();
        let taken = taken.iter().find(|(device, _)| *device == opened.device).map_or(0, |(_, below)| *below);
        let sender = state.sender(opened.device, opened.account);
        sender.receipt_owed = true;
        if unknown && late_joiner {
            // What was said before this device came was not for it; if some of it comes after all, it is welcome.
            sender.next = sequence.max(taken);
            sender.missing.extend(sequence.saturating_sub(LATE_WELCOME).max(taken)..sequence);
        }
        let late = sender.missing.iter().position(|missing| *missing == sequence);
        if sequence < sender.next && late.is_none() || sender.waiting.contains(&sequence) {
            return;
        }
        if sender.waiting.len() >= WAITING_MAX {
            return self.report_misbehaviour("a sender is too far ahead of what is missing");
        }
        if let Some(late) = late {
            sender.missing.remove(late);
            // What was before a device came it tells nobody that it misses; between what it shows all the same it does.
            sender.gap_untold |= late_joiner && sender.missing.iter().any(|missing| *missing > sequence);
            if named {
                self.show_message(id, opened.account, opened.device, content, stranger, true);
                return;
            }
        }
        if sequence == sender.next && sender.waiting.is_empty() && named {
            self.show_next(id, opened.account, opened.device, content, &opened.content, stranger);
            return;
        }
        sender.waiting.push(sequence);
        sender.waiting.sort_unstable();
        let Ok(bytes) = BoundedBytes::new(opened.content.clone()) else { return };
        let waiting = WaitingRecord {
            conversation: id,
            device: opened.device,
            sequence,
            id: opened.id,
            stranger,
            content: bytes,
        };
        let key = waiting.key();
        let record = records::encode(&waiting);
        self.put_record(Table::Waiting, key.clone(), record);
        self.mail.keep_waiting(key, waiting);
        self.release_in_order(id, opened.device);
    }

    /// Shows whatever is next in a sender's order; starts or ends the wait for what is missing.
    fn release_in_order(&mut self, id: ConversationId, device: DeviceId) {
        while let Some((account, waiting)) = self.next_in_order(id, device) {
            self.release(account, &waiting, false);
        }
        let at = self.now.plus_ms(GAP_WAIT_MS);
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let sender = state.record.senders.iter().find(|sender| sender.device == device);
        let gap = sender.is_some_and(|sender| sender.waiting.first().is_some_and(|first| *first > sender.next));
        let known = state.gaps.iter().position(|(waiting, _)| *waiting == device);
        match (gap, known) {
            (true, None) => state.gaps.push((device, at)),
            (false, Some(at)) => {
                state.gaps.remove(at);
            }
            _ => {}
        }
    }

    fn next_in_order(&self, id: ConversationId, device: DeviceId) -> Option<(AccountId, WaitingRecord)> {
        let state = self.conversations.get(&id)?;
        let sender = state.record.senders.iter().find(|sender| sender.device == device)?;
        let first = *sender.waiting.first().filter(|_| self.is_named(id, sender.account))?;
        let waiting = self.mail.waiting(&waiting_key(id, device, first))?;
        (first <= sender.next).then(|| (sender.account, waiting.clone()))
    }

    fn release(&mut self, account: AccountId, waiting: &WaitingRecord, gap: bool) {
        let (id, device) = (waiting.conversation, waiting.device);
        let key = waiting.key();
        self.mail.drop_waiting(&key);
        self.batch.delete(Table::Waiting, key);
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let sender = state.sender(device, account);
        sender.waiting.retain(|sequence| *sequence != waiting.sequence);
        let late = waiting.sequence < sender.next;
        match frame::decode_body::<Content>(&waiting.content, CIPHERTEXT_MAX) {
            Ok(content) if late => self.show_message(id, account, device, &content, waiting.stranger, true),
            Ok(content) => {
                if gap {
                    self.give_up_until(id, account, device, waiting.sequence);
                }
                self.show_next(id, account, device, &content, &waiting.content, waiting.stranger);
            }
            Err(error) => self.report_bug("a waiting message cannot be read", &error),
        }
    }

    /// The wait for what is missing is over: what follows is shown, with its gap.
    pub(crate) fn pass_gaps(&mut self) {
        let now = self.now;
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            let Some(state) = self.conversations.get_mut(&id) else { continue };
            let due: Vec<DeviceId> =
                state.gaps.iter().filter(|(_, at)| *at <= now).map(|(device, _)| *device).collect();
            state.gaps.retain(|(_, at)| *at > now);
            for device in due {
                self.pass_gap(id, device);
            }
        }
    }

    fn pass_gap(&mut self, id: ConversationId, device: DeviceId) {
        let Some(state) = self.conversations.get(&id) else { return };
        let Some(sender) = state.record.senders.iter().find(|sender| sender.device == device) else { return };
        let Some(first) = sender.waiting.first() else { return };
        let account = sender.account;
        if self.is_named(id, account)
            && let Some(waiting) = self.mail.waiting(&waiting_key(id, device, *first)).cloned()
        {
            self.release(account, &waiting, true);
        }
        self.release_in_order(id, device);
    }

    fn give_up_until(&mut self, id: ConversationId, account: AccountId, device: DeviceId, sequence: u64) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let sender = state.sender(device, account);
        sender.gap_untold |= sender.next < sequence;
        let from = sender.next.max(sequence.saturating_sub(MISSING_MAX as u64));
        sender.missing.extend(from..sequence);
        let excess = sender.missing.len().saturating_sub(MISSING_MAX);
        sender.missing.drain(..excess);
    }

    fn show_next(
        &mut self,
        id: ConversationId,
        account: AccountId,
        device: DeviceId,
        content: &Content,
        bytes: &[u8],
        stranger: bool,
    ) {
        let (shows, number) = (self.is_shown(account, content), self.number(account, content));
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let sender = state.sender(device, account);
        // The sender's own chain says which message came before; another one means that one is missing.
        let broken = content.previous != sender.last_content && sender.last_content != [0; 32];
        let gap = sender.gap_untold || broken;
        // What nobody sees can tell nobody: the next text does.
        sender.gap_untold = gap && !shows;
        sender.next = number.saturating_add(1);
        if !matches!(content.body, Body::Read(_)) {
            sender.last_content = Sha256::digest(bytes).into();
        }
        self.show_message(id, account, device, content, stranger, gap);
    }

    /// A content's number among those of its sender that are for this device.
    fn number(&self, account: AccountId, content: &Content) -> u64 {
        let own = self.own().is_some_and(|own| own.account == account);
        if own { content.sequence } else { content.shared }
    }

    /// Whether a person sees it: what is for nodes is not shown, nor is what a blocked person sends.
    fn is_shown(&self, account: AccountId, content: &Content) -> bool {
        let own = self.own().is_some_and(|own| own.account == account);
        matches!(content.body, Body::Text(_)) && (own || !self.has_blocked(account))
    }

    fn show_message(
        &mut self,
        id: ConversationId,
        account: AccountId,
        device: DeviceId,
        content: &Content,
        stranger: bool,
        gap: bool,
    ) {
        let Some(own_account) = self.own().map(|own| own.account) else { return };
        let Some((from, to)) = self.between(id, account) else { return };
        let group = self.group(id).map(|group| group.name.clone());
        if let Some(state) = self.conversations.get_mut(&id) {
            state.changed = true;
            state.sender(device, account).receipt_owed = true;
        }
        let Body::Text(text) = &content.body else {
            return self.take_hidden(id, (account, device), &content.body, stranger);
        };
        if !self.is_shown(account, content) {
            return;
        }
        let short = self.next_short_id();
        let accepted = self.people.get(account).is_some_and(|contact| contact.accepted);
        let trust = match self.trust_of(account) {
            _ if group.is_some() => self.trust_in_group(account),
            Trust::Pinned if stranger && !accepted && !self.shares_group(account) => Trust::Stranger,
            trust => trust,
        };
        let mut muted = false;
        if let Some(state) = self.conversations.get_mut(&id) {
            muted = state.record.muted_until.is_some_and(|until| until > self.now);
            state.record.latest.push(content.id);
            let excess = state.record.latest.len().saturating_sub(SEEN_MAX);
            state.record.latest.drain(..excess);
        }
        let entry = HistoryEntry {
            id: short,
            uid: content.id,
            from: from.clone(),
            to: to.clone(),
            text: text.to_string(),
            at: self.now,
            sent_at: content.sent_at,
            state: None,
            gap,
            in_group: group.is_some(),
            member: None,
            money: None,
        };
        self.batch.change(Change::Timeline { conversation: id, entry });
        let (uid, text, sent_at) = (content.id, text.to_string(), content.sent_at);
        let own = account == own_account;
        let to = own.then_some(to);
        let shown = EventKind::Message { id: short, uid, from, text, sent_at, trust, gap, to, group, muted };
        self.batch.event(self.now, shown);
        if own {
            // Whoever answers on one device has read what was there.
            self.mark_read_here(id);
        } else {
            self.waiters.count_unread();
            self.count_unread(id, device, content.shared);
        }
    }

    /// Whether it is known between whom a conversation is, so that what comes in it can be shown.
    /// In a group also whether this account has joined: what is said before waits for that.
    fn is_named(&self, id: ConversationId, sender: AccountId) -> bool {
        let Some(state) = self.conversations.get(&id) else { return false };
        match state.record.peer() {
            Some(peer) => self.people.name_of(peer).is_some(),
            None => self.is_joined(id) && self.member_name(sender).is_some(),
        }
    }

    /// From whom to whom something was said: what one's own other device sent is shown as sent; in a group it was said to
    /// the group.
    fn between(&self, id: ConversationId, sender: AccountId) -> Option<(Name, Name)> {
        let own = self.own()?;
        let from = self.member_name(sender)?;
        let record = &self.conversations.get(&id)?.record;
        let to = match (record.group(), record.peer()) {
            (Some(group), _) => group.name.clone(),
            (None, Some(peer)) if sender == own.account => self.people.name_of(peer)?.clone(),
            (None, _) => own.name.clone(),
        };
        Some((from, to))
    }

    /// The next number of a message's short id.
    pub(crate) fn next_short_id(&mut self) -> ShortId {
        self.account.last_message += 1;
        self.account_changed = true;
        ShortId::Message(self.account.last_message)
    }

    /// A name became known, or this account has joined a group: what waited for it is shown.
    pub(crate) fn release_waiting_for_name(&mut self) {
        self.tell_all_changes();
        let waiting: Vec<(ConversationId, DeviceId)> = self
            .conversations
            .iter()
            .flat_map(|(id, state)| state.record.senders.iter().map(move |sender| (*id, sender)))
            .filter(|(_, sender)| !sender.waiting.is_empty())
            .map(|(id, sender)| (id, sender.device))
            .collect();
        for (id, device) in waiting {
            self.release_in_order(id, device);
        }
    }

    /// Ids of messages that can't come again are forgotten, so that memory follows the retention of the mailbox.
    pub(crate) fn trim_seen(&mut self) {
        let keep = protocol::limits::MAILBOX_RETENTION_MS + 24 * 3_600 * 1_000;
        let now = self.now;
        for id in self.mail.forget_seen(|seen: Timestamp| now.ms_since(seen) > keep) {
            self.batch.delete(Table::Seen, id.0.to_vec());
        }
    }
}
