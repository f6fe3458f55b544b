//! What a script shows: on a terminal every step and what each actor sees; elsewhere what the commands return.

use std::io::Write;

use node_core::{
    command::{Command, CommandResult, Failure, FileCommand, MoneyCommand, Outcome},
    event::Event,
};
use protocol::Timestamp;

use crate::{
    language::Line,
    view::{Style, event_json, event_text, failure_json, failure_text, outcome_json, outcome_text, visible},
};

/// How results are shown.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// Text on a terminal: steps and events too.
    Terminal(Style),
    /// Text elsewhere: results only.
    Plain(Style),
    /// One object a line.
    Json,
}

/// Where a script's results and failures go.
pub(super) struct Output {
    pub(super) form: Form,
    pub(super) data: Box<dyn Write + Send>,
    pub(super) words: Box<dyn Write + Send>,
    /// Whether to name the actor before each line.
    pub(super) named: bool,
    /// The step that runs, as it will be shown.
    pub(super) step: Option<String>,
}

impl Output {
    fn line(&mut self, text: &str) {
        // Whoever reads may have gone; the script goes on and its exit code still says how it ended.
        let _ = writeln!(self.data, "{text}").and_then(|()| self.data.flush());
    }

    fn actor_lines(&mut self, actor: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = if self.named { text.replace('\n', "\n    ") } else { text.to_owned() };
        let head = if self.named { format!("{actor}| ") } else { String::new() };
        self.line(&format!("{head}{text}"));
    }

    /// A step that is about to run, without its password.
    pub(super) fn begin(&mut self, actor: Option<&str>, text: &str) {
        if let Form::Terminal(_) = self.form {
            let actor = actor.map(|actor| format!("{actor}> ")).unwrap_or_default();
            self.step = Some(format!("{actor}{}", visible(text)));
        }
    }

    /// The step is done, and shown before whatever it says. A step that fails is named by its failure.
    pub(super) fn complete(&mut self) {
        if let Some(step) = self.step.take() {
            self.line(&step);
        }
    }

    /// Something that an actor saw.
    pub(super) fn event(&mut self, actor: &str, event: &Event) {
        match &self.form {
            Form::Terminal(style) => {
                if let Some(text) = event_text(event, style) {
                    self.actor_lines(actor, &text);
                }
            }
            Form::Plain(_) => {}
            Form::Json => self.line(&event_json(event, actor)),
        }
    }

    /// What a command came to.
    pub(super) fn result(&mut self, actor: &str, verb: &str, result: &CommandResult, line: usize, at: Timestamp) {
        match (&self.form, result) {
            (Form::Json, Ok(outcome)) => self.line(&outcome_json(outcome, verb, actor, Some(line), at)),
            (Form::Json, Err(failure)) => self.line(&failure_json(failure, verb, actor, Some(line), at)),
            (Form::Terminal(style) | Form::Plain(style), Ok(outcome)) => {
                let text = outcome_text(outcome, style);
                self.complete();
                self.actor_lines(actor, &text);
            }
            // A failure stops the script, and is then said with its place.
            (Form::Terminal(_) | Form::Plain(_), Err(_)) => {}
        }
    }

    /// A command of the shell's own is done: programs are told, people have seen it.
    pub(super) fn done(&mut self, actor: &str, verb: &str, line: usize, at: Timestamp) {
        if let Form::Json = self.form {
            self.result(actor, verb, &Ok(Outcome::Done), line, at);
        }
    }

    /// Words of the script itself that are fit for a screen: HELP and ECHO.
    pub(super) fn say(&mut self, text: &str) {
        self.complete();
        match self.form {
            Form::Json => {
                let _ = writeln!(self.words, "{text}");
            }
            Form::Terminal(_) | Form::Plain(_) => self.line(text),
        }
    }

    /// A failure that ends the script.
    pub(super) fn failed(&mut self, place: &str, failure: &Failure) {
        let style = match &self.form {
            Form::Terminal(style) | Form::Plain(style) => Style { color: false, ..style.clone() },
            Form::Json => Style::local(false),
        };
        // The place names a file, whose name may come from a variable.
        let _ = writeln!(self.words, "{}{}", visible(place), failure_text(failure, &style));
    }

    /// The last line of a script on a terminal.
    pub(super) fn summary(&mut self, steps: usize, actors: usize, seconds: f64) {
        if let Form::Terminal(_) = self.form {
            self.line(&format!("{steps} steps, {actors} actors, {seconds:.1} s"));
        }
    }
}

/// The name of a command, whatever alias it was typed as.
pub(super) fn verb(line: &Line) -> &'static str {
    match line {
        Line::SignUp { .. } => "signup",
        Line::SignIn { .. } => "signin",
        Line::Revoke { .. } => "revoke",
        Line::Passwd(_) => "passwd",
        Line::Recover { .. } => "recover",
        Line::CloseAccount { .. } => "close",
        Line::To(_) => "to",
        Line::Help(_) => "help",
        Line::Quit => "quit",
        Line::Core(command) => match command {
            Command::SignOut => "signout",
            Command::WhoAmI => "whoami",
            Command::Ping => "ping",
            Command::Send { .. } | Command::SendGroup { .. } => "send",
            Command::Resend { .. } => "resend",
            Command::List { .. } => "list",
            Command::CreateGroup { .. } => "create",
            Command::Join { .. } => "join",
            Command::Leave { .. } => "leave",
            Command::Invite { .. } => "invite",
            Command::Kick { .. } => "kick",
            Command::Promote { .. } => "promote",
            Command::Demote { .. } => "demote",
            Command::Members { .. } => "members",
            Command::Mute { for_ms: Some(0), .. } => "unmute",
            Command::Mute { .. } => "mute",
            Command::Contacts => "contacts",
            Command::History { .. } => "history",
            Command::Search { .. } => "search",
            Command::Status => "status",
            Command::Unread => "unread",
            Command::Read { .. } => "read",
            Command::Devices => "devices",
            Command::Verify { .. } => "verify",
            Command::Trust { .. } => "trust",
            Command::Block { blocked: true, .. } => "block",
            Command::Block { blocked: false, .. } => "unblock",
            Command::Money(command) => money_verb(command),
            Command::File(command) => file_verb(command),
            _ => "other",
        },
    }
}

fn file_verb(command: &FileCommand) -> &'static str {
    match command {
        FileCommand::Send { .. } | FileCommand::Offer { .. } => "send",
        FileCommand::List => "files",
        FileCommand::Accept { .. } => "accept",
        FileCommand::Decline { .. } => "decline",
        FileCommand::Cancel { .. } => "cancel",
        FileCommand::SetUnasked { .. } => "set",
        FileCommand::AskState { .. } => "other",
    }
}

fn money_verb(command: &MoneyCommand) -> &'static str {
    match command {
        MoneyCommand::Pay { .. } => "pay",
        MoneyCommand::Request { .. } | MoneyCommand::RequestGroup { .. } => "request",
        MoneyCommand::Accept { .. } => "accept",
        MoneyCommand::Decline { .. } => "decline",
        MoneyCommand::Cancel { .. } => "cancel",
        MoneyCommand::Refund { .. } => "refund",
        MoneyCommand::Balance => "balance",
        MoneyCommand::Requests => "requests",
        MoneyCommand::Payments { .. } => "payments",
        MoneyCommand::Limits | MoneyCommand::SetLimit { .. } => "set",
        MoneyCommand::AskRequest { .. }
        | MoneyCommand::AskPayment { .. }
        | MoneyCommand::Weigh { .. }
        | MoneyCommand::WeighRequest { .. }
        | MoneyCommand::WeighRefund { .. } => "other",
    }
}
