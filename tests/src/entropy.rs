//! Seeded generators in place of the system's, one for each node, so that a run can be repeated byte by byte.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Error, RngCore, SeedableRng as _};

/// A generator whose clones draw from one sequence: a node's core and its MLS provider share it, and it goes on after a
/// crash, as a system's generator would.
#[derive(Debug, Clone)]
pub struct SeededEntropy(Arc<Mutex<ChaCha20Rng>>);

impl SeededEntropy {
    /// The generator of one participant: the same seed and participant draw the same bytes, and no two participants do.
    #[must_use]
    pub fn new(seed: u64, participant: u64) -> Self {
        let mut generator = ChaCha20Rng::seed_from_u64(seed);
        generator.set_stream(participant);
        Self(Arc::new(Mutex::new(generator)))
    }

    fn generator(&self) -> MutexGuard<'_, ChaCha20Rng> {
        // A panic while drawing leaves a usable generator; the panic itself is reported elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RngCore for SeededEntropy {
    fn next_u32(&mut self) -> u32 {
        self.generator().next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.generator().next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.generator().fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.generator().try_fill_bytes(bytes)
    }
}

impl CryptoRng for SeededEntropy {}
