//! The numbers of what waits, when its sender becomes another device.

use mls_rs::CryptoProvider;
use protocol::{BoundedBytes, ConversationId, peer::Content};
use sha2::{Digest as _, Sha256};

use crate::{core::Core, records, stored::Table};

impl<C: CryptoProvider + Clone> Core<C> {
    /// Numbers what waits in a conversation from the beginning: its sender is another device from now on.
    pub(crate) fn renumber(&mut self, conversation: ConversationId) {
        let (mut number, mut shared) = (0, 0);
        let mut previous = [0; 32];
        let before = self.own_device();
        for mut record in self.outbox.take(conversation) {
            let Ok(content) = records::decode::<Content>(&record.content) else { continue };
            let content = Content { sequence: number, shared, previous, ..content };
            let Some(bytes) = records::encode(&content).ok().and_then(|bytes| BoundedBytes::new(bytes).ok()) else {
                continue;
            };
            record.sequence = number;
            record.shared = shared;
            number += 1;
            if !record.own_only {
                previous = Sha256::digest(&*bytes).into();
                shared += 1;
            }
            record.content = bytes;
            record.addressed.clear();
            // If this profile is a copy, the device before has the same: neither shows the other what both wrote.
            record.delivered.extend(before);
            self.mail.see(record.id, self.now);
            self.batch.put(Table::Seen, record.id.0.to_vec(), self.now.0.to_be_bytes().to_vec());
            self.outbox.insert(record);
        }
        if let Some(state) = self.conversations.get_mut(&conversation) {
            state.record.next_sequence = number;
            state.record.next_shared = shared;
            state.record.last_content = previous;
            state.changed = true;
        }
    }
}
