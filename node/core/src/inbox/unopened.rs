//! What cannot be opened, or not yet: a message of a conversation that is not known, of an epoch whose commit has not
//! come, or of keys that are gone.

use mls_rs::CryptoProvider;
use protocol::{
    ConversationId, MessageId,
    peer::{Envelope, PeerFrame, PeerRefusal},
};

use super::Carrier;
use crate::{
    conversation::EARLY_MAX,
    core::Core,
    crypto::mls::{Conversation, OpenError},
    input::PeerId,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn on_unknown_conversation(&mut self, envelope: &Envelope, carrier: Carrier) {
        match carrier {
            Carrier::Peer(peer) => self.refuse(peer, envelope.id, PeerRefusal::UnknownConversation),
            Carrier::Mailbox { .. } if !self.conversations.contains_key(&envelope.conversation) => {
                self.mail.unknown_conversation(envelope.conversation);
            }
            // Its sender seals it anew when this device has come back.
            Carrier::Mailbox { .. } | Carrier::Kept => {}
        }
    }

    pub(super) fn on_early(&mut self, envelope: Envelope, carrier: Carrier) {
        let id = envelope.conversation;
        match carrier {
            // The mailbox is in order: a commit that should be there is not.
            Carrier::Mailbox { .. } => self.lose(id),
            Carrier::Peer(_) | Carrier::Kept => {
                let Some(state) = self.conversations.get_mut(&id) else { return };
                // Between two people the commit is at the mailbox before anybody seals after it. In a group somebody who
                // lies about the epoch would move everybody to come in anew.
                let sender = state.members().any(|member| member.entry.device == envelope.sender);
                state.commit_awaited |= sender && state.record.direct().is_some();
                let known = state.early.iter().any(|kept| kept.id == envelope.id);
                if !known && state.early.len() < EARLY_MAX {
                    state.early.push_back(envelope);
                }
                self.mail.want();
            }
        }
    }

    /// A commit was applied: what waited for it is opened.
    pub(crate) fn open_early(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        for envelope in std::mem::take(&mut state.early) {
            self.on_envelope(envelope, Carrier::Kept);
        }
    }

    pub(super) fn on_unopened(&mut self, envelope: &Envelope, carrier: Carrier, error: &OpenError) {
        self.report_refused("a message cannot be opened", error);
        let reason = match error {
            OpenError::EpochGone => PeerRefusal::EpochGone,
            _ => PeerRefusal::Unreadable,
        };
        match carrier {
            Carrier::Peer(peer) => self.refuse(peer, envelope.id, reason),
            Carrier::Mailbox { .. } | Carrier::Kept => self.show_epoch(envelope),
        }
    }

    /// Somebody sealed, in an epoch that is over, what this device can't open since it came in after it. If the commit by
    /// which it came in was kept from them they go on so for ever, and nothing tells them: so they hear, once in each epoch,
    /// something sealed in the present one.
    fn show_epoch(&mut self, envelope: &Envelope) {
        let Some(device) = self.own_device() else { return };
        let Some(state) = self.conversations.get_mut(&envelope.conversation) else { return };
        let Some(epoch) = state.group.as_ref().map(Conversation::epoch) else { return };
        let from_member = state.others(device).any(|member| member.entry.device == envelope.sender);
        if from_member && envelope.epoch < epoch && state.epoch_shown < epoch {
            self.tell_own_list(envelope.conversation);
        }
    }

    fn refuse(&mut self, peer: PeerId, id: MessageId, reason: PeerRefusal) {
        self.send_to_peer(peer, PeerFrame::Refused { id, reason });
    }
}
