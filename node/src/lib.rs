//! Tuppence's node.

pub mod store;
