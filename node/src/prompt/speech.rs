//! What the conversation at the prompt needs of the language: a line becomes something to do, or somebody to ask for a
//! password first.

use node_core::command::Failure;
use protocol::Name;

use crate::{
    driver::NodeCommand,
    language::{self, Line},
};

/// What a line asks for.
pub(super) enum Said {
    /// Something that the node does.
    Node(NodeCommand),
    /// A new account, whose password is to be asked for.
    SignUp {
        /// The name wished for.
        name: Name,
        /// An invite code.
        invite: Option<String>,
    },
    /// A session, whose password is to be asked for.
    SignIn {
        /// The account's name.
        name: Name,
    },
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
        Line::SignUp { name, password: None, invite } => Said::SignUp { name, invite },
        Line::SignIn { name, password: Some(password) } => Said::Node(NodeCommand::SignIn { name, password }),
        Line::SignIn { name, password: None } => Said::SignIn { name },
        Line::Core(command) => Said::Node(NodeCommand::Core(command)),
        Line::Help(topic) => Said::Help(language::help(topic.as_deref())?),
        Line::Quit => Said::Quit,
    }))
}
