//! What cannot be opened, or not yet: a message of a conversation that is not known, of an epoch whose commit has not
//! come, or of keys that are gone.

use mls_rs::CryptoProvider;
use protocol::{
    ConversationId, MessageId,
    peer::{Envelope, PeerFrame, PeerRefusal},
};

use super::Carrier;
use crate::{conversation::EARLY_MAX, core::Core, crypto::mls::OpenError, input::PeerId};

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
        if let Carrier::Peer(peer) = carrier {
            self.refuse(peer, envelope.id, reason);
        }
    }

    fn refuse(&mut self, peer: PeerId, id: MessageId, reason: PeerRefusal) {
        self.send_to_peer(peer, PeerFrame::Refused { id, reason });
    }
}
