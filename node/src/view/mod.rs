//! What events, results and failures look like: as text for people, as JSON for programs.
//!
//! Pure. Whatever came from elsewhere (messages, reasons) passes [`visible`] on its way to a screen, here and nowhere
//! else; JSON carries it exactly.

mod files;
mod groups;
mod history;
mod json;
mod money;
mod picture;
mod remote;
mod text;

pub use files::{progress_text, standing_text};
pub use json::{event_json, failure_json, outcome_json};
pub(crate) use remote::is_unseen;
pub use remote::visible;
pub use text::{Style, event_text, failure_text, outcome_text};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
