//! Tuppence's node.

pub mod config;
pub mod driver;
pub mod logging;
pub mod net;
pub mod password_source;
pub mod prompt;
pub mod store;
