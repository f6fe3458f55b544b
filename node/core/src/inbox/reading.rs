//! What was read: on one device, and so on all of the account.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, ConversationId, DeviceId,
    limits::READ_MARKS_MAX,
    peer::{Body, ReadMark},
};

use crate::{core::Core, records::ConversationRecord};

impl<C: CryptoProvider + Clone> Core<C> {
    /// A text was shown that is read already if another device said so before it came here.
    pub(super) fn count_unread(&mut self, id: ConversationId, device: DeviceId, sequence: u64) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let sender = state.record.senders.iter().find(|sender| sender.device == device);
        if sender.is_none_or(|sender| sequence >= sender.read_below) {
            state.record.unread = state.record.unread.saturating_add(1);
            state.changed = true;
        }
    }

    /// Everything that was shown in a conversation is read; tells whether that is news.
    pub(super) fn mark_read_here(&mut self, id: ConversationId) -> bool {
        let Some(state) = self.conversations.get_mut(&id).filter(|state| state.record.unread > 0) else { return false };
        state.record.unread = 0;
        state.changed = true;
        for sender in &mut state.record.senders {
            sender.read_below = sender.next;
        }
        true
    }

    /// The person at this node has read a conversation: one's own other devices hear of it.
    pub(crate) fn mark_read(&mut self, with: AccountId) {
        if let Some(id) = self.known_with(with) {
            self.mark_conversation_read(id);
        }
    }

    /// The same of a conversation, a group's too.
    pub(crate) fn mark_conversation_read(&mut self, id: ConversationId) {
        let Some(own) = self.own().map(|own| (own.account, own.device)) else { return };
        if !self.mark_read_here(id) {
            return;
        }
        let Some(state) = self.conversations.get(&id) else { return };
        if !state.others(own.1).any(|member| member.account == own.0) {
            return;
        }
        let senders = state.record.senders.iter().filter(|sender| sender.account != own.0);
        let marks = senders.map(|sender| ReadMark { device: sender.device, below: sender.read_below });
        let marks = Bounded::new(marks.take(READ_MARKS_MAX).collect()).unwrap_or_default();
        self.enqueue_hidden(id, Body::Read(marks), true);
    }

    /// One's own other device says what was read there.
    pub(super) fn take_marks(&mut self, id: ConversationId, marks: &[ReadMark]) {
        let Some(own) = self.own().map(|own| own.account) else { return };
        let Some(state) = self.conversations.get_mut(&id) else { return };
        for mark in marks {
            let wrote = state.record.senders.iter().find(|sender| sender.device == mark.device);
            let account = state.record.peer().or(wrote.map(|sender| sender.account));
            let Some(account) = account else { continue };
            let sender = state.sender(mark.device, account);
            sender.read_below = sender.read_below.max(mark.below);
        }
        state.record.unread = state.record.unread.min(open(&state.record, own));
        state.changed = true;
    }
}

/// Messages that were taken in and are beyond what was read: texts are at most as many.
fn open(record: &ConversationRecord, own: AccountId) -> u32 {
    let peers = record.senders.iter().filter(|sender| sender.account != own);
    let open = peers.map(|sender| sender.next.saturating_sub(sender.read_below)).fold(0_u64, u64::saturating_add);
    u32::try_from(open).unwrap_or(u32::MAX)
}
