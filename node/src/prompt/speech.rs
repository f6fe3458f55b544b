//! What the conversation at the prompt needs of the language: a line becomes something to do, or somebody to ask for a
//! password first.

use std::path::Path;

use node_core::command::{Command, Failure};

use super::asking::Lacking;
use crate::{
    driver::NodeCommand,
    language::{self, Line, Target},
    paths::rooted,
};

/// What a line asks for.
pub(super) enum Said {
    /// Something that the node does.
    Node(NodeCommand),
    /// Something that the node does once secrets were asked for.
    Lacking(Lacking),
    /// Where bare lines go from now on.
    To(Option<Target>),
    /// Something to be read.
    Help(String),
    /// To leave.
    Quit,
}

impl Said {
    /// The same with its paths from the root; they are relative to where the program was started.
    pub(super) fn rooted(self, home: Option<&str>) -> Result<Self, Failure> {
        match self {
            Self::Node(NodeCommand::Core(command)) => rooted(command, Path::new(""), home).map(core),
            said => Ok(said),
        }
    }
}

/// What a line means; `None` if there is nothing in it. While bare lines go somewhere, a command takes a slash before it,
/// which it may have at any time; two of them are one slash that is said.
pub(super) fn understand(line: &str, target: Option<&Target>) -> Result<Option<Said>, Failure> {
    let command = match (line.strip_prefix('/'), target) {
        (Some(rest), None) => rest,
        (Some(rest), Some(_)) if !rest.starts_with('/') => rest,
        (slashed, Some(target)) => {
            let text = slashed.unwrap_or(line);
            return if text.trim().is_empty() { Ok(None) } else { target.message(text.to_owned()).map(core).map(Some) };
        }
        (None, None) => line,
    };
    let Some(line) = language::parse(command)? else { return Ok(None) };
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
        Line::To(target) => Said::To(target),
        Line::Help(topic) => Said::Help(language::help(topic.as_deref())?),
        Line::Quit => Said::Quit,
    }))
}

const fn core(command: Command) -> Said {
    Said::Node(NodeCommand::Core(command))
}

/// Whether somebody else may be at the prompt afterwards.
pub(super) fn changes_person(said: &Said) -> bool {
    matches!(
        said,
        Said::Node(
            NodeCommand::SignUp { .. }
                | NodeCommand::SignIn { .. }
                | NodeCommand::Core(Command::SignOut | Command::Recover { .. } | Command::CloseAccount { .. })
        )
    )
}

#[cfg(test)]
mod tests {
    use protocol::Name;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// What a line comes to: the command, or a word for what is none.
    fn said(line: &str, target: Option<&Target>) -> String {
        match understand(line, target) {
            Ok(Some(Said::Node(NodeCommand::Core(command)))) => format!("{command:?}"),
            Ok(Some(Said::To(target))) => format!("to {target:?}"),
            Ok(Some(Said::Quit)) => "quit".to_owned(),
            Ok(Some(_)) => "something else".to_owned(),
            Ok(None) => "nothing".to_owned(),
            Err(failure) => failure.code.name().to_owned(),
        }
    }

    #[test]
    fn with_a_target_bare_lines_are_said_and_commands_take_a_slash() {
        let says = |text: &str| format!("{:?}", Command::SendGroup { group: name("team"), text: text.to_owned() });
        let team = Target::Group(name("team"));
        for (line, expected) in [
            ("hello all", says("hello all").as_str()),
            ("  as it stands ", &says("  as it stands ")),
            ("quit", &says("quit")),
            ("-- x", &says("-- x")),
            ("@bob hi", &says("@bob hi")),
            ("one\ntwo", &says("one\ntwo")),
            ("//etc/passwd", &says("/etc/passwd")),
            ("///", &says("//")),
            ("/quit", "quit"),
            ("/PING", "Ping"),
            ("/@bob hi", &format!("{:?}", Command::Send { to: name("bob"), text: "hi".to_owned() })),
            ("/to", "to None"),
            ("/TO bob", "to Some(Person(\"bob\"))"),
            ("/frobnicate", "usage"),
            ("", "nothing"),
            ("  ", "nothing"),
            ("/", "nothing"),
        ] {
            assert_eq!(said(line, Some(&team)), expected, "{line}");
        }
        let bob = Target::Person(name("bob"));
        let expected = format!("{:?}", Command::Send { to: name("bob"), text: "hi".to_owned() });
        assert_eq!(said("hi", Some(&bob)), expected);
        assert_eq!(said(&"x".repeat(20_000), Some(&bob)), "usage");
    }

    #[test]
    fn without_a_target_nothing_is_said_by_itself_and_a_slash_does_no_harm() {
        for (line, expected) in [
            ("hello all", "usage"),
            ("PING", "Ping"),
            ("/PING", "Ping"),
            ("//PING", "usage"),
            ("to &team", "to Some(Group(\"team\"))"),
            ("TO @bob", "to Some(Person(\"bob\"))"),
            ("TO bob", "to Some(Person(\"bob\"))"),
            ("TO GROUP team", "to Some(Group(\"team\"))"),
            ("TO", "to None"),
            ("TO bob hi", "usage"),
            ("/", "nothing"),
        ] {
            assert_eq!(said(line, None), expected, "{line}");
        }
    }
}
