//! What a peer did not take: left to the mailbox, or sealed anew.

use mls_rs::CryptoProvider;
use protocol::{MessageId, Timestamp, peer::PeerRefusal};

use super::HEAD_START_MS;
use crate::{core::Core, input::PeerId};

impl<C: CryptoProvider + Clone> Core<C> {
    /// A peer did not take a message.
    pub(crate) fn on_refused(&mut self, peer: PeerId, id: MessageId, reason: PeerRefusal) {
        let Some(device) = self.peers.device_of(peer) else { return };
        let now = self.now;
        let Some(entry) = self.outbox.edit(id) else { return };
        if !entry.direct.iter().any(|(to, on, _)| *to == device && *on == peer) {
            return;
        }
        match reason {
            // The mailbox is asked at once; this connection is not tried again for this message.
            PeerRefusal::UnknownConversation | PeerRefusal::Full => {
                for (_, _, at) in entry.direct.iter_mut().filter(|(to, ..)| *to == device) {
                    *at = Timestamp(now.0.saturating_sub(HEAD_START_MS));
                }
            }
            // What was sealed so can be read nowhere, the mailbox's copy included: it is sealed anew, for the mailbox, since
            // whoever refuses everything must not be asked again and again on a live connection.
            PeerRefusal::Unreadable => {
                entry.record.sealed = None;
                entry.leave_mailbox(device);
                for (_, _, at) in entry.direct.iter_mut().filter(|(to, ..)| *to == device) {
                    *at = Timestamp(now.0.saturating_sub(HEAD_START_MS));
                }
            }
            PeerRefusal::EpochGone => {
                entry.leave_mailbox(device);
                entry.record.sealed = None;
                entry.direct.retain(|(to, ..)| *to != device);
                self.mail.want();
            }
        }
    }
}
