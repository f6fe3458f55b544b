//! No message key seals two different ciphertexts that both leave.
//!
//! MLS derives one key for each (conversation, epoch, sender's leaf, generation). Which one sealed a ciphertext cannot be
//! seen from outside, so the seeded provider tells each key it seals with; the ciphertext's authentication tag, its last
//! bytes on the wire, tells which of them that was.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::peer::Envelope;
use sha2::{Digest as _, Sha256};

use super::Violation;

/// Bytes of an AES-GCM tag.
const TAG_LENGTH: usize = 16;

type Hash = [u8; 32];
type Tag = [u8; TAG_LENGTH];

#[derive(Debug, Default)]
struct Sealed {
    key_of: BTreeMap<Tag, Hash>,
    left: BTreeMap<Hash, Hash>,
}

/// What was sealed with which key, and what of it left. Clones share it: one for each provider and one for the witness.
#[derive(Debug, Clone, Default)]
pub struct Keys(Arc<Mutex<Sealed>>);

impl Keys {
    /// A provider sealed something.
    pub fn sealed(&self, key: &[u8], ciphertext: &[u8]) {
        if let Some(tag) = tag(ciphertext) {
            self.lock().key_of.insert(tag, Sha256::digest(key).into());
        }
    }

    /// A message left its node.
    ///
    /// # Errors
    /// [`Violation::KeyReuse`] if its key has sealed another message that left.
    pub fn left(&self, envelope: &Envelope) -> Result<(), Violation> {
        let mut sealed = self.lock();
        let Some(key) = tag(&envelope.ciphertext).and_then(|tag| sealed.key_of.get(&tag).copied()) else {
            // Whatever this node did not seal is no message of ours; the recipient will refuse it.
            return Ok(());
        };
        let ciphertext: Hash = Sha256::digest(&*envelope.ciphertext).into();
        let first = *sealed.left.entry(key).or_insert(ciphertext);
        if first == ciphertext {
            Ok(())
        } else {
            Err(Violation::KeyReuse { conversation: envelope.conversation, epoch: envelope.epoch })
        }
    }

    /// How many messages left whose key is known: a search that sees nothing would find nothing.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.lock().left.len()
    }

    fn lock(&self) -> MutexGuard<'_, Sealed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tag(ciphertext: &[u8]) -> Option<Tag> {
    ciphertext.len().checked_sub(TAG_LENGTH).and_then(|at| ciphertext[at..].try_into().ok())
}
