//! Passwords that don't come from a person: from a file, or from a command such as a password manager's.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

use node_core::command::{Failure, FailureCode, Password};
use zeroize::Zeroizing;

use crate::config::PasswordSource;

/// Longest password that is read, in bytes: more is some other file.
const LENGTH_MAX: u64 = 4_096;

/// Why a source gave no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file can't be read.
    #[error("can't read the password from {}: {source}; name another file with --password-file", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The command can't be run.
    #[error("can't run the command of --password-command: {0}")]
    Command(io::Error),
    /// The command failed.
    #[error("the command of --password-command ended with {0}; run it by hand to see why")]
    Failed(ExitStatus),
    /// The first line is empty.
    #[error("there is no password in the first line of what --password-file or --password-command gave")]
    Empty,
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        Self::new(FailureCode::Usage, error.to_string())
    }
}

impl PasswordSource {
    /// The first line, without its end.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn read(&self) -> Result<Password, PasswordError> {
        match self {
            Self::File(path) => {
                let failed = |source| PasswordError::File { path: path.clone(), source };
                first_line(File::open(path).map_err(failed)?).map_err(failed)
            }
            Self::Command(command) => {
                let mut child = Command::new("sh")
                    .args(["-c", command])
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn()
                    .map_err(PasswordError::Command)?;
                let line = child.stdout.take().map_or_else(|| Ok(Zeroizing::default()), first_line);
                let status = child.wait().map_err(PasswordError::Command)?;
                if !status.success() {
                    return Err(PasswordError::Failed(status));
                }
                line.map_err(PasswordError::Command)
            }
        }
        .and_then(|line| if line.is_empty() { Err(PasswordError::Empty) } else { Ok(Password::new(line.to_string())) })
    }
}

fn first_line(source: impl io::Read) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(source.take(LENGTH_MAX)).read_line(&mut line)?;
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Result<Password, PasswordError> {
        PasswordSource::Command(text.to_owned()).read()
    }

    #[test]
    fn the_first_line_is_the_password_without_its_end_and_with_its_blanks() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, " correct horse \r\nsecond line\n").unwrap();
        assert_eq!(PasswordSource::File(file).read().unwrap(), Password::new(" correct horse ".to_owned()));
        assert_eq!(command("printf 'one\\ntwo\\n'").unwrap(), Password::new("one".to_owned()));
        assert_eq!(command("printf one").unwrap(), Password::new("one".to_owned()));
    }

    #[test]
    fn a_source_without_a_password_says_what_to_do() {
        assert!(matches!(command("true"), Err(PasswordError::Empty)));
        assert!(matches!(command("echo no; exit 3"), Err(PasswordError::Failed(status)) if status.code() == Some(3)));
        let missing = PasswordSource::File("/nonexistent/password".into()).read().unwrap_err();
        assert!(missing.to_string().contains("--password-file"), "{missing}");
    }
}
