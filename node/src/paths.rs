//! Where the paths of a line lead: from the folder that they are relative to, or from the person's own.

use std::path::{Path, PathBuf};

use node_core::command::{Command, Failure, FailureCode, FileCommand};

/// The command with its paths from the root; they are relative to `folder`.
///
/// # Errors
/// A [`Failure`] of class `conflict` if something is where ACCEPT shall put a file.
pub(crate) fn rooted(command: Command, folder: &Path, home: Option<&str>) -> Result<Command, Failure> {
    let lead = |path: &str| lead(path, folder, home);
    Ok(match command {
        Command::File(FileCommand::Send { to, path, caption }) => {
            Command::File(FileCommand::Send { to, path: lead(&path)?, caption })
        }
        Command::File(FileCommand::Accept { id, target: Some(target) }) => {
            let target = lead(&target)?;
            // Also a link that leads nowhere.
            if std::fs::symlink_metadata(&target).is_ok() {
                let text = format!("{target} exists already; ACCEPT it AS another path");
                return Err(Failure::new(FailureCode::Conflict, text));
            }
            Command::File(FileCommand::Accept { id, target: Some(target) })
        }
        command => command,
    })
}

fn lead(path: &str, folder: &Path, home: Option<&str>) -> Result<String, Failure> {
    let path = match (path.strip_prefix("~/"), home) {
        (Some(path), Some(home)) => Path::new(home).join(path),
        _ => folder.join(path),
    };
    let unknown = |error: std::io::Error| {
        Failure::new(FailureCode::Other, format!("can't tell where {} is: {error}", path.display()))
    };
    let path: PathBuf = std::path::absolute(&path).map_err(unknown)?;
    let no_text = |path: PathBuf| {
        Failure::new(FailureCode::Refused, format!("{} is not UTF-8; rename what it leads through", path.display()))
    };
    path.into_os_string().into_string().map_err(|path| no_text(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use node_core::{
        command::{FileRef, Recipient},
        event::ShortId,
    };
    use protocol::Name;

    use super::*;

    fn sent(path: &str) -> String {
        let to = Recipient::Person(Name::parse("bob").unwrap());
        let send = FileCommand::Send { to, path: path.to_owned(), caption: String::new() };
        match rooted(Command::File(send), Path::new("/scripts"), Some("/home/alice")) {
            Ok(Command::File(FileCommand::Send { path, .. })) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_path_leads_from_its_folder_from_home_or_from_the_root() {
        for (path, led) in [
            ("cat.png", "/scripts/cat.png"),
            ("./cat.png", "/scripts/cat.png"),
            ("/tmp/cat.png", "/tmp/cat.png"),
            ("~/cat.png", "/home/alice/cat.png"),
            ("~cat", "/scripts/~cat"),
            ("my cat.png", "/scripts/my cat.png"),
        ] {
            assert_eq!(sent(path), led, "{path}");
        }
    }

    #[test]
    fn nothing_that_is_there_is_a_place_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("taken"), b"").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        for (target, free) in [("taken", false), ("link", false), ("free", true)] {
            let id = FileRef::Short(ShortId::File(1));
            let accept = FileCommand::Accept { id, target: Some(target.to_owned()) };
            let result = rooted(Command::File(accept), folder.path(), None);
            let code = result.err().map(|failure| failure.code);
            assert_eq!(code, (!free).then_some(FailureCode::Conflict), "{target}");
        }
    }
}
