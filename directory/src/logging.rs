//! Where log lines go and how they look. What they say is decided where they are written: ids and durations, never
//! contents, keys or passwords.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::Arc,
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{MakeWriter, format::FmtSpan},
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::config::{Arguments, LogFormat};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The file can't be written.
    #[error("cannot write the log to {path}: {source}; choose another file with --log-file")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else has set up logging in this process; a bug.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Sends the program's log lines to standard error, in colour if `colour` says so, or to a file.
///
/// # Errors
/// [`LoggingError`] if the file can't be written.
pub fn start(arguments: &Arguments, colour: bool) -> Result<(), LoggingError> {
    let layer = match &arguments.log_file {
        Some(path) => layer(arguments.log_format, Arc::new(open(path)?), false),
        None => layer(arguments.log_format, io::stderr, colour),
    };
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // The libraries below speak of packets and states: their debugging is for their authors, and asked for with -vv.
    let libraries = if arguments.verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().parse_lossy(format!("{libraries},directory={level}"));
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    Ok(())
}

fn layer<W>(format: LogFormat, writer: W, colour: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Text => layer.with_ansi(colour).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// Appends, so that a restart keeps what was there; readable by the operator alone, because it says who talks to whom.
fn open(path: &Path) -> Result<File, LoggingError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| LoggingError::File { path: path.display().to_string(), source })
}
