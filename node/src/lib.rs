//! Tuppence's node.

pub mod config;
pub mod prompt;
pub mod store;
