//! Tuppence's node.

pub mod config;
pub mod net;
pub mod prompt;
pub mod store;
