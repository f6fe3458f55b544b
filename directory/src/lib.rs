//! Tuppence's directory: who has an account, where its devices are, and what waits for them.

pub mod config;
pub mod core;
pub mod ledger;
pub mod logging;
pub mod operator;
pub mod server;
pub mod store;
pub mod tls;
