//! What the conversation at the prompt needs of the language: a line becomes something to do, or somebody to ask for a
//! password first.

use node_core::command::{Command, Failure};

use super::asking::Lacking;
use crate::{
    driver::NodeCommand,
    language::{self, Line},
};

/// What a line asks for.
pub(super) enum Said {
    /// Something that the node does.
    Node(NodeCommand),
    /// Something that the node does once secrets were asked for.
    Lacking(Lacking),
    /// Something to be read.
    Help(String),
    /// To leave.
    Quit,
}

/// What a line means; `None` if there is nothing in it.
pub(super) fn understand(line: &str) -> Result<Option<Said>, Failure> {
    let Some(line) = language::parse(line)? else { return Ok(None) };
    Ok(Some(match line {
        Line::SignUp { name, password: Some(password), invite } => {
            Said::Node(NodeCommand::SignUp { name, password, invite })
        }
        Line::SignUp { name, password: None, invite } => Said::Lacking(Lacking::SignUp { name, invite }),
        Line::SignIn { name, password: Some(password) } => Said::Node(NodeCommand::SignIn { name, password }),
        Line::SignIn { name, password: None } => Said::Lacking(Lacking::SignIn { name }),
        Line::Revoke { device, password: Some(password) } => core(Command::Revoke { device, password }),
        Line::Revoke { device, password: None } => Said::Lacking(Lacking::Revoke { device }),
        Line::Passwd(Some((old, new))) => core(Command::Passwd { old, new }),
        Line::Passwd(None) => Said::Lacking(Lacking::Passwd),
        Line::Recover { name, secrets: Some((code, password)) } => core(Command::Recover { name, code, password }),
        Line::Recover { name, secrets: None } => Said::Lacking(Lacking::Recover { name }),
        Line::CloseAccount { password: Some(password) } => core(Command::CloseAccount { password }),
        Line::CloseAccount { password: None } => Said::Lacking(Lacking::CloseAccount),
        Line::Core(command) => Said::Node(NodeCommand::Core(command)),
        Line::Help(topic) => Said::Help(language::help(topic.as_deref())?),
        Line::Quit => Said::Quit,
    }))
}

const fn core(command: Command) -> Said {
    Said::Node(NodeCommand::Core(command))
}
