//! Tuppence's node.

pub mod config;
pub mod driver;
pub mod files;
pub mod language;
pub mod logging;
pub mod net;
pub mod password_source;
mod paths;
pub mod prompt;
mod run;
pub mod script;
pub mod store;
pub mod view;

pub use run::{RunError, run, runtime};
