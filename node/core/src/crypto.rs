//! The node's cryptography, each protocol through the crate that implements it: MLS, HKDF with AES-GCM, ECDSA.
//!
//! Nothing here knows conversations' bookkeeping, people or the directory; nothing outside here knows the libraries.

pub mod file;
pub mod keys;
pub mod mls;
pub mod receipt;
pub mod seal;
