//! Where the log goes: a file if one is named, standard error if somebody asked for it and no terminal would show it,
//! else nowhere. Never onto a prompt.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::{LogConfig, LogFormat, Verbosity};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file can't be written.
    #[error("can't write the log {}: {source}; name another file with --log-file", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts logging for the whole process. Call it once; what another part of the process started stays as it is.
///
/// # Errors
/// [`LogError`] if the file can't be opened.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    match &config.file {
        Some(path) => {
            let file = open(path).map_err(|source| LogError::File { path: path.clone(), source })?;
            write_to(config, std::sync::Mutex::new(file));
        }
        None if config.verbosity == Verbosity::Verbose && !io::stderr().is_terminal() => write_to(config, io::stderr),
        None => {}
    }
    Ok(())
}

/// Appends, so that the record of an earlier run stays; made for the owner alone, since it says who talks to whom.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn write_to<W>(config: &LogConfig, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(config.verbosity)).with_writer(writer);
    // A subscriber that is there already is some test's: it keeps its own.
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Our own crates as asked; of others only what went wrong, because they may log what we never would.
fn filter(verbosity: Verbosity) -> EnvFilter {
    let ours = match verbosity {
        Verbosity::Quiet => "warn",
        Verbosity::Normal => "info",
        Verbosity::Verbose => "debug",
    };
    EnvFilter::new(format!("warn,node={ours},node_core={ours},rustyline=off"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_log_file_is_appended_to_and_made_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for line in ["one\n", "two\n"] {
            io::Write::write_all(&mut open(&path).unwrap(), line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_log_that_cannot_be_written_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("missing").join("log"));
        let error = start(&LogConfig { file, format: LogFormat::Text, verbosity: Verbosity::Normal }).unwrap_err();
        assert!(error.to_string().contains("--log-file"), "{error}");
    }
}
