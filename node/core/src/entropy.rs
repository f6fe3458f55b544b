//! Where the core's randomness comes from: the system's generator in a node, a seeded one in the virtual network.

use rand_core::{CryptoRng, RngCore};

/// A cryptographic generator that can be handed between threads.
pub trait Entropy: RngCore + CryptoRng + Send {}

impl<T: RngCore + CryptoRng + Send> Entropy for T {}
