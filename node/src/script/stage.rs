//! Scripts on real nodes: reading them from where they are, and the profiles of their actors.

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use node_core::{
    command::{CommandResult, Failure, FailureCode, Password},
    event::Event,
    stretch::StretchParameters,
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Actor, Stage,
    output::{Form, Output},
    parse::{ARGUMENTS, Place, Step, parse, secret_span},
    runner::Runner,
    variables::{Variables, is_only_variables},
};
use crate::{
    config::{Config, DirectoryAddress, PasswordSource, Source},
    driver::{EventStream, Node, NodeCommand, NodeConfig, ProfileLocation, StartError},
    store::Profile,
    view::Style,
};

/// Longest script, in bytes.
const SCRIPT_MAX: u64 = 16 * 1024 * 1024;
/// What a process that a person interrupted exits with.
const INTERRUPTED: u8 = 130;
/// What a process that was terminated exits with.
const TERMINATED: u8 = 143;
/// How long unlocking a profile at the start may take.
const UNLOCK: Duration = Duration::from_secs(30);

/// Why a script cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It can't be read.
    #[error("{path} can't be read: {error}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The system refuses signals or a temporary folder.
    #[error("the system refuses what a script needs: {0}")]
    System(#[from] io::Error),
}

impl ScriptError {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Unreadable { .. } => FailureCode::Conflict,
            Self::System(_) => FailureCode::Other,
        }
    }
}

/// Plays what the configuration names, to its exit code.
///
/// # Errors
/// [`ScriptError`] if it could not begin.
pub async fn play(config: Config, stretch: StretchParameters) -> Result<u8, ScriptError> {
    let form = if config.json {
        Form::Json
    } else if io::stdout().is_terminal() {
        Form::Terminal(Style::local(config.color))
    } else {
        Form::Plain(Style::local(config.color))
    };
    let mut output =
        Output { form, data: Box::new(io::stdout()), words: Box::new(io::stderr()), named: false, step: None };
    let (steps, folder) = match read(&config.source)? {
        Ok(read) => read,
        Err((place, failure)) => {
            output.failed(&place.prefix(), &failure);
            return Ok(failure.code as u8);
        }
    };
    let stage = NodeStage {
        directory: config.directory,
        bind: config.bind,
        folder: config.profile.folder,
        given: config.profile.given,
        inbox: config.inbox,
        password: config.password,
        stretch,
        temporary: None,
    };
    let variables = Variables::new(&config.variables, config.environment);
    let runner = Runner::new(stage, variables, config.actors, output);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Dropping the runner drops its nodes, which end as after a QUIT.
    tokio::select! {
        code = runner.play(steps, &folder) => Ok(code),
        _ = interrupt.recv() => Ok(INTERRUPTED),
        _ = terminate.recv() => Ok(TERMINATED),
    }
}

type Parsed = Result<(Vec<Step>, PathBuf), (Place, Failure)>;

fn read(source: &Source) -> Result<Parsed, ScriptError> {
    let here = PathBuf::from(".");
    Ok(match source {
        Source::File(path) => {
            let shown = path.display().to_string();
            let text = read_file(path).map_err(|error| ScriptError::Unreadable { path: shown.clone(), error })?;
            let folder = path.parent().map_or(here, Path::to_owned);
            parse(&shown, &text).map(|steps| (steps, folder))
        }
        Source::StandardInput => {
            let text = read_whole(io::stdin().lock());
            let text = text.map_err(|error| ScriptError::Unreadable { path: "standard input".to_owned(), error })?;
            parse("-", &text).map(|steps| (steps, here))
        }
        Source::Commands(commands) => commands_steps(commands).map(|steps| (steps, here)),
        Source::Prompt => Ok((Vec::new(), here)),
    })
}

pub(super) fn commands_steps(commands: &[String]) -> Result<Vec<Step>, (Place, Failure)> {
    let mut steps = Vec::new();
    let says_secret = |step: &Step| {
        let secret = secret_span(&step.text).and_then(|span| step.text.get(span));
        secret.is_some_and(|secret| !is_only_variables(secret))
    };
    for (number, command) in (1..).zip(commands) {
        let place = Place { file: ARGUMENTS.into(), line: number };
        let parsed = parse(ARGUMENTS, command).map_err(|(_, failure)| (place.clone(), failure))?;
        if parsed.iter().any(says_secret) {
            let text = "a password in arguments can be read by everybody on this machine; use --password-file F";
            return Err((place, Failure::new(FailureCode::Usage, text)));
        }
        steps.extend(parsed.into_iter().map(|step| Step { place: place.clone(), ..step }));
    }
    Ok(steps)
}

fn read_file(path: &Path) -> io::Result<String> {
    read_whole(std::fs::File::open(path)?)
}

/// A script that goes on beyond the limit is refused: half of it would be another script.
fn read_whole(source: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    let length = source.take(SCRIPT_MAX + 1).read_to_string(&mut text)?;
    if length as u64 > SCRIPT_MAX {
        return Err(io::Error::other(format!("a script has at most {SCRIPT_MAX} bytes")));
    }
    Ok(text)
}

/// Opens real nodes.
struct NodeStage {
    directory: DirectoryAddress,
    bind: std::net::SocketAddr,
    folder: PathBuf,
    given: bool,
    inbox: Option<PathBuf>,
    password: Option<PasswordSource>,
    stretch: StretchParameters,
    /// Named actors' profiles, unless a folder was given: gone with the run.
    temporary: Option<tempfile::TempDir>,
}

impl NodeStage {
    fn profile(&mut self, name: Option<&str>) -> io::Result<PathBuf> {
        let Some(name) = name else { return Ok(self.folder.clone()) };
        if self.given {
            return Ok(self.folder.join(name));
        }
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => tempfile::Builder::new().prefix("tuppence-").tempdir()?,
        };
        Ok(self.temporary.insert(temporary).path().join(name))
    }
}

/// A node and what it tells.
struct NodeActor {
    node: Node,
    events: EventStream,
}

impl Actor for NodeActor {
    async fn perform(&mut self, command: NodeCommand, timeout: Duration) -> CommandResult {
        self.node.perform(command, timeout).await
    }

    async fn next_event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    fn try_next_event(&mut self) -> Option<Event> {
        self.events.try_next()
    }

    async fn close(self) {
        self.node.shutdown().await;
    }
}

impl Stage for NodeStage {
    type Actor = NodeActor;

    async fn open(&mut self, name: Option<&str>) -> Result<NodeActor, Failure> {
        let other = |error: io::Error| Failure::new(FailureCode::Other, error.to_string());
        let folder = self.profile(name).map_err(other)?;
        let config = NodeConfig {
            directory: self.directory.clone(),
            bind: self.bind,
            profile: ProfileLocation::Folder(folder.clone()),
            stretch: self.stretch,
            // Several actors don't share one.
            inbox: self.inbox.as_ref().map(|inbox| name.map_or_else(|| inbox.clone(), |name| inbox.join(name))),
        };
        let refused = |error: StartError| Failure::new(error.code(), error.to_string());
        let node = Node::start(config).await.map_err(refused)?;
        let events = node.events();
        // A password that was given for the run unlocks a profile that is there.
        let owner = Profile::peek(&folder).map_err(|error| Failure::new(error.code(), error.to_string()))?;
        if let (None, Some(owner), Some(password)) = (name, owner, self.password()?) {
            let command = NodeCommand::SignIn { name: owner, password };
            node.perform(command, UNLOCK).await?;
        }
        Ok(NodeActor { node, events })
    }

    fn is_temporary(&self, name: Option<&str>) -> bool {
        name.is_some() && !self.given
    }

    fn password(&mut self) -> Result<Option<Password>, Failure> {
        Ok(self.password.as_ref().map(PasswordSource::read).transpose()?)
    }

    fn read(&mut self, path: &Path) -> io::Result<String> {
        read_file(path)
    }
}
