//! The prompt: one thread that reads lines, one that prints, so that what arrives never garbles what is being typed.
//!
//! Owns the terminal: its modes, the line being edited, the line history (in memory only, never with a secret in it),
//! masking, and the way back to a sane terminal however the program ends. It does not know what a line means, nor what
//! a message looks like: it is given text to print, and a function that finds the secret in a line.

mod asking;
mod converse;
mod deliveries;
mod editor;
mod masking;
mod modes;
mod paying;
mod screen;
mod speech;
mod terminal;
mod transfers;

pub(crate) use converse::Conversation;
pub use masking::SecretSpan;
pub use modes::{Kind, kind_of_standard_input};
pub use screen::Screen;
pub use terminal::{Answer, Ask, Terminal, TerminalError};
