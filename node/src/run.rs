//! From a configuration to an exit code: what `main` calls, and what tests call with cheaper stretching.

use std::process::ExitCode;

use node_core::{command::FailureCode, stretch::StretchParameters};
use tokio::runtime::{Builder, Runtime};

use crate::{
    config::{Config, Source},
    driver::{Node, NodeConfig, ProfileLocation, StartError},
    language,
    logging::{self, LogError},
    prompt::{Conversation, Terminal, TerminalError},
    script::{self, ScriptError},
    store::{Profile, ProfileError},
    view::Style,
};

/// Why a node did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The profile can't be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no prompt.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// The script can't begin.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The system refuses threads or signals.
    #[error("the system refuses what a node needs: {0}")]
    System(#[from] std::io::Error),
}

impl RunError {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Profile(error) => error.code(),
            Self::Start(error) => error.code(),
            Self::Script(error) => error.code(),
            Self::Log(_) | Self::Terminal(_) | Self::System(_) => FailureCode::Other,
        }
    }
}

/// Threads on which a node's network runs. The core, commits, the prompt, and whatever reads, seals, hashes or writes files
/// have threads of their own, so here is only QUIC: its tasks hand each packet on to each other and share a lock, so that on
/// two threads they wait for each other and for each other's caches. One carries more than half a gigabyte a second.
const NETWORK_THREADS: usize = 1;

/// Where the network of a node runs; [`run`] is called on it.
///
/// # Errors
/// Whatever the system says that refuses a thread.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(NETWORK_THREADS).enable_all().build()
}

/// Runs a node to its end: the prompt until the person leaves, or a script until it is played.
///
/// # Errors
/// [`RunError`] if it could not begin.
pub async fn run(config: Config, stretch: StretchParameters) -> Result<ExitCode, RunError> {
    logging::start(&config.log)?;
    match &config.source {
        Source::Prompt => at_prompt(config, stretch).await.map(ExitCode::from),
        _ => Ok(ExitCode::from(script::play(config, stretch).await?)),
    }
}

async fn at_prompt(config: Config, stretch: StretchParameters) -> Result<u8, RunError> {
    let home = config.environment.get("HOME").cloned();
    let folder = config.profile.folder;
    let owner = Profile::peek(&folder)?;
    let node = Node::start(NodeConfig {
        directory: config.directory,
        bind: config.bind,
        profile: ProfileLocation::Folder(folder),
        stretch,
        inbox: config.inbox,
    })
    .await?;
    let terminal = Terminal::start(config.terminal, language::secret_span, config.color)?;
    let (node, code) = Conversation::new(node, terminal, config.password, Style::local(config.color), config.yes, home)
        .run(owner)
        .await?;
    node.shutdown().await;
    Ok(code)
}
