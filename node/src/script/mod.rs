//! Scripts: whole files of commands and expectations, played through real nodes.
//!
//! A file is read whole before anything of it runs (`parse`); `runner` then plays it line by line over a `Stage`,
//! which opens a node for each actor. It matches typed events, never text on a screen, and needs no sleeps.

mod ahead;
mod asserting;
mod ending;
mod expect;
mod filters;
mod output;
mod parse;
mod runner;
mod stage;
mod variables;
mod watching;

#[cfg(test)]
mod tests;

use std::time::Duration;

use node_core::{
    command::{CommandResult, Failure, Password},
    event::Event,
};

use crate::driver::NodeCommand;

pub use self::stage::{ScriptError, play};

/// One node of a script.
trait Actor: Send {
    /// Performs a command; what is certain after `timeout` is the result.
    fn perform(&mut self, command: NodeCommand, timeout: Duration) -> impl Future<Output = CommandResult> + Send;
    /// The next event since the actor was opened.
    fn next_event(&mut self) -> impl Future<Output = Option<Event>> + Send;
    /// The next event, if there is one already.
    fn try_next_event(&mut self) -> Option<Event>;
    /// Ends the node; its device stays signed in.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Where a script's actors come from.
trait Stage: Send {
    /// What it opens.
    type Actor: Actor;
    /// Opens the node of a named actor, or of the script's single one; the same profile again after a QUIT.
    fn open(&mut self, name: Option<&str>) -> impl Future<Output = Result<Self::Actor, Failure>> + Send;
    /// Whether profiles are gone with the run.
    fn is_temporary(&self, name: Option<&str>) -> bool;
    /// A password for whoever gives none on the line.
    fn password(&mut self) -> Result<Option<Password>, Failure>;
    /// Reads a file that a script includes.
    fn read(&mut self, path: &std::path::Path) -> std::io::Result<String>;
}
