//! A directory that lies. Each lie ends in a named alarm or a refusal, never in plaintext under a key that is not the
//! recipient's.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod books;
mod devices;
mod hoard;
mod keys;
mod money;
mod receipt_keys;
