//! Plays steps: finds each one's actor, runs it, and stops at the first failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use node_core::command::{Command, CommandResult, Failure, FailureCode, MoneyOutcome, Outcome, Password};
use protocol::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{
    Actor, Stage,
    expect::Log,
    output::{Output, verb},
    parse::{ARGUMENTS, Body, STEPS_MAX, Step, body, secret_span},
    variables::Variables,
};
use crate::{
    driver::NodeCommand,
    language::{Line, help},
    paths::rooted,
    view::visible,
};

/// How long every command may take unless the script says otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// An actor of the script: its node while it is open, and what it has seen.
pub(super) struct Player<A> {
    pub(super) actor: Option<A>,
    pub(super) log: Log,
    /// The full id that its last command made.
    pub(super) last: Option<String>,
    /// Messages that were still queued when it signed out or was closed.
    pub(super) left: usize,
}

/// A failure and where it happened.
pub(super) struct Failed {
    /// What stands before the failure: `FILE:LINE: `, or the file alone where it is in no line of it.
    pub(super) place: String,
    pub(super) failure: Failure,
}

impl Failed {
    pub(super) fn at(step: &Step, failure: Failure) -> Self {
        Self { place: step.place.prefix(), failure }
    }
}

/// A script on its way.
pub(super) struct Runner<S: Stage> {
    pub(super) stage: S,
    pub(super) players: BTreeMap<Option<String>, Player<S::Actor>>,
    pub(super) variables: Variables,
    pub(super) timeout: Duration,
    pub(super) output: Output,
    pub(super) only: Vec<String>,
    /// Everybody whose lines were read so far.
    pub(super) named: BTreeSet<String>,
    pub(super) steps: usize,
    /// What the paths of the line that runs are relative to.
    folder: PathBuf,
}

pub(super) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Usage, message)
}

pub(super) fn not_met(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Timeout, message)
}

impl<S: Stage> Runner<S> {
    pub(super) fn new(stage: S, variables: Variables, only: Vec<String>, output: Output) -> Self {
        Self {
            stage,
            players: BTreeMap::new(),
            variables,
            timeout: TIMEOUT_DEFAULT,
            output,
            only,
            named: BTreeSet::new(),
            steps: 0,
            folder: PathBuf::from("."),
        }
    }

    /// Plays a whole script and ends its actors; the exit code.
    pub(super) async fn play(mut self, steps: Vec<Step>, folder: &Path) -> u8 {
        let begun = Instant::now();
        let ended = match self.survey(&steps, folder) {
            Ok(()) => self.run_whole(&steps, folder).await,
            Err(failed) => Err(failed),
        };
        let code = match ended {
            Ok(()) => 0,
            Err(Failed { place, failure }) => {
                self.output.failed(&place, &failure);
                failure.code as u8
            }
        };
        self.output.summary(self.steps, self.players.len(), begun.elapsed().as_secs_f64());
        self.close().await;
        code
    }

    async fn run_whole(&mut self, steps: &[Step], folder: &Path) -> Result<(), Failed> {
        let file = steps.first().map(|step| step.place.file.to_string()).unwrap_or_default();
        self.run(steps, folder, &mut vec![PathBuf::from(&file)]).await?;
        self.check_asked_for(steps)?;
        // The end of a script is in no line of it, but in its file.
        self.settle().await.map_err(|failure| Failed { place: format!("{file}: "), failure })
    }

    async fn run(&mut self, steps: &[Step], folder: &Path, within: &mut Vec<PathBuf>) -> Result<(), Failed> {
        for step in steps {
            let failed = |failure| Failed::at(step, failure);
            if !self.is_played(step) {
                continue;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(failed(usage(format!("a script has at most {STEPS_MAX} steps"))));
            }
            let last = self.last_id(step.actor.as_deref().or(self.single()));
            let expanded = self.variables.expand(&step.text, last.as_deref()).map_err(failed)?;
            let parsed = body(&expanded).map_err(failed)?;
            let actor = self.whose(step, &parsed).map_err(failed)?;
            let shown = secret_span(&step.text).map_or(step.text.clone(), |span| {
                format!("{}••••••••", step.text.get(..span.start).unwrap_or_default())
            });
            self.output.begin(actor.as_deref(), &shown);
            if let Body::Include(path) = parsed {
                Box::pin(self.include(&self.resolved(folder, &path), within, step)).await?;
                continue;
            }
            folder.clone_into(&mut self.folder);
            self.perform(actor.as_deref(), step, parsed).await.map_err(failed)?;
            self.output.complete();
            self.see_all();
        }
        Ok(())
    }

    async fn include(&mut self, path: &Path, within: &mut Vec<PathBuf>, step: &Step) -> Result<(), Failed> {
        let steps = self.included(path, within, step)?;
        self.output.complete();
        // A path with variables could not be read ahead.
        self.named.extend(steps.iter().filter_map(|step| step.actor.clone()));
        self.output.named = !self.named.is_empty();
        within.push(path.to_owned());
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let played = self.run(&steps, &folder, within).await;
        within.pop();
        played
    }

    /// A password must not come in by the arguments of the process.
    fn check_arguments(&self, text: &str, line: &Line) -> Result<(), Failure> {
        let has_password = matches!(
            line,
            Line::SignUp { password: Some(_), .. }
                | Line::SignIn { password: Some(_), .. }
                | Line::Revoke { password: Some(_), .. }
                | Line::CloseAccount { password: Some(_) }
                | Line::Passwd(Some(_))
                | Line::Recover { secrets: Some(_), .. }
        );
        let secret = secret_span(text).and_then(|span| text.get(span)).unwrap_or_default();
        if has_password && self.variables.takes_from_arguments(secret) {
            return Err(usage("a password in arguments can be read by everybody on this machine; use the environment"));
        }
        Ok(())
    }

    fn last_id(&self, actor: Option<&str>) -> Option<String> {
        let player = self.players.get(&actor.map(str::to_owned))?;
        player.last.clone()
    }

    async fn perform(&mut self, name: Option<&str>, step: &Step, parsed: Body) -> Result<(), Failure> {
        let line = step.place.line;
        match parsed {
            Body::Command(command) => self.command(name, &step.text, command, line).await,
            Body::Must { code, command } => {
                let ended = match body(&command) {
                    Ok(Body::Command(command)) => self.command(name, &step.text, command, line).await,
                    Ok(_) => return Err(usage("only commands can be required to fail")),
                    Err(failure) => Err(failure),
                };
                must_fail(code, ended)
            }
            Body::Expect { not, kind, filters, within, bind } => {
                let text = &step.text;
                if not {
                    self.expect_not(name, kind, &filters, within, text).await
                } else {
                    self.expect(name, kind, &filters, within, bind, text).await
                }
            }
            Body::WaitOnline { user, online, within } => {
                let within = within.unwrap_or(self.timeout);
                self.ask(name, Command::WaitOnline { user, online }, within).await.map(|_| ())
            }
            Body::WaitIdle { within } => {
                let within = within.unwrap_or(self.timeout);
                self.ask(name, Command::WaitIdle, within).await.map(|_| ())
            }
            Body::Sleep(time) => {
                sleep_until(Instant::now() + time).await;
                Ok(())
            }
            Body::AssertOnline(user) => {
                match self.ask(name, Command::AskOnline { user: user.clone() }, self.timeout).await? {
                    Outcome::Online(true) => Ok(()),
                    _ => Err(not_met(format!("{user} is not online"))),
                }
            }
            Body::AssertMembers { group, count } => {
                match self.ask(name, Command::AskMembers { group: group.clone() }, self.timeout).await? {
                    Outcome::MemberCount(found) if found == count => Ok(()),
                    Outcome::MemberCount(found) => Err(not_met(format!("{group} has {found} members, not {count}"))),
                    _ => Err(not_met(format!("{group} has no members that could be counted"))),
                }
            }
            Body::AssertState { id, state } => self.assert_state(name, id, &state).await,
            Body::AssertBalance(amount) => self.assert_balance(name, &amount).await,
            Body::Let { name, value } => {
                let from_arguments = *step.place.file == *ARGUMENTS || self.variables.takes_from_arguments(&step.text);
                self.variables.set(&name, value)?;
                if from_arguments {
                    self.variables.mark_from_arguments(&name);
                }
                Ok(())
            }
            Body::Timeout(time) => {
                self.timeout = time;
                Ok(())
            }
            Body::Echo(text) => {
                self.output.say(&visible(&text));
                Ok(())
            }
            Body::Include(_) => Ok(()),
        }
    }

    pub(super) async fn ask(&mut self, name: Option<&str>, command: Command, within: Duration) -> CommandResult {
        let actor = self.actor(name).await?;
        actor.perform(NodeCommand::Core(command), within).await
    }

    /// A command; its result is shown, and its id kept as `${_}`.
    async fn command(&mut self, name: Option<&str>, text: &str, line: Line, number: usize) -> Result<(), Failure> {
        self.check_arguments(text, &line)?;
        let verb = verb(&line);
        let shown = name.unwrap_or("me").to_owned();
        self.note_left(name, &line).await;
        let command = match line {
            Line::Help(topic) => {
                let text = help(topic.as_deref())?;
                self.output.say(&text);
                self.output.done(&shown, verb, number, now());
                return Ok(());
            }
            Line::Quit => {
                self.quit(name).await;
                self.output.done(&shown, verb, number, now());
                return Ok(());
            }
            Line::SignUp { name, password, invite } => {
                let password = self.password(password)?;
                NodeCommand::SignUp { name, password, invite }
            }
            Line::SignIn { name, password } => NodeCommand::SignIn { name, password: self.password(password)? },
            line => NodeCommand::Core(self.core_command(line)?),
        };
        let timeout = self.timeout;
        let result = match self.rooted(command) {
            Ok(command) => self.actor(name).await?.perform(command, timeout).await,
            Err(failure) => Err(failure),
        };
        self.see_all();
        self.output.result(&shown, verb, &result, number, now());
        let outcome = result?;
        if let Some(id) = made(&outcome)
            && let Some(player) = self.players.get_mut(&name.map(str::to_owned))
        {
            player.last = Some(id);
        }
        Ok(())
    }

    /// The command with its paths from the root; a script's are relative to its file.
    fn rooted(&self, command: NodeCommand) -> Result<NodeCommand, Failure> {
        match command {
            NodeCommand::Core(command) => rooted(command, &self.folder, self.variables.home()).map(NodeCommand::Core),
            command => Ok(command),
        }
    }

    /// What the core does for a line, with the passwords that it needs.
    fn core_command(&mut self, line: Line) -> Result<Command, Failure> {
        Ok(match line {
            Line::Revoke { device, password } => Command::Revoke { device, password: self.password(password)? },
            Line::CloseAccount { password } => Command::CloseAccount { password: self.password(password)? },
            Line::Passwd(Some((old, new))) => Command::Passwd { old, new },
            Line::Passwd(None) => {
                return Err(usage("a script can't be asked for passwords; PASSWD old new names both"));
            }
            Line::Recover { name, secrets: Some((code, password)) } => Command::Recover { name, code, password },
            Line::Recover { name, secrets: None } => {
                return Err(usage(format!("a script can't be asked for a code; RECOVER {name} code new names all")));
            }
            Line::Core(command) => command,
            Line::SignUp { name, password, invite } => {
                Command::SignUp { name, password: self.password(password)?, invite }
            }
            Line::SignIn { name, password } => Command::SignIn { name, password: self.password(password)? },
            Line::Help(_) | Line::Quit | Line::To(_) => Command::Status,
        })
    }

    fn password(&mut self, given: Option<Password>) -> Result<Password, Failure> {
        if let Some(password) = given {
            return Ok(password);
        }
        let found = self.stage.password()?;
        found.ok_or_else(|| usage("a script can't be asked for a password; give --password-file F"))
    }

    pub(super) async fn actor(&mut self, name: Option<&str>) -> Result<&mut S::Actor, Failure> {
        let key = name.map(str::to_owned);
        let closed = self.players.get(&key).is_none_or(|player| player.actor.is_none());
        if closed {
            let actor = self.stage.open(name).await?;
            let player = self.players.entry(key.clone());
            player.or_insert_with(|| Player { actor: None, log: Log::default(), last: None, left: 0 }).actor =
                Some(actor);
        }
        let player = self.players.get_mut(&key).and_then(|player| player.actor.as_mut());
        player.ok_or_else(|| Failure::new(FailureCode::Other, "the actor has ended"))
    }
}

/// The full id that a command made, for `${_}`.
fn made(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Sent { uid, .. } | Outcome::SentGroup { uid, .. } => Some(uid.to_string()),
        Outcome::Money(MoneyOutcome::Paid { uid, .. }) => Some(uid.to_string()),
        Outcome::Money(MoneyOutcome::Requested { uid, .. } | MoneyOutcome::RequestedGroup { uid, .. }) => {
            Some(uid.to_string())
        }
        _ => None,
    }
}

/// What became of a command that had to fail.
fn must_fail(code: Option<FailureCode>, ended: Result<(), Failure>) -> Result<(), Failure> {
    match (code, ended) {
        (_, Ok(())) => Err(not_met("it succeeded, and should have failed")),
        (Some(code), Err(failure)) if code == failure.code => Ok(()),
        (None, Err(failure)) if (2..=7).contains(&(failure.code as u8)) => Ok(()),
        (_, Err(failure)) => {
            Err(not_met(format!("it failed otherwise than it should: {}: {failure}", failure.code.name())))
        }
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
