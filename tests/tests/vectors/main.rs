//! Published vectors through the functions that the programs use, and tampering with what a root key signs and seals.
//!
//! Each set counts what it ran and asserts the count, so that a set that silently became empty, or was exchanged for
//! another, fails. The counts belong to the version of the vectors that the lock file names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crypto_basics;
mod passive_client;
mod rfc5869;
mod rfc9807;
mod tampering;
mod wycheproof;
