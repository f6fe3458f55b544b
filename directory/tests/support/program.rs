//! The program as people start it, in a process of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// The program, with its output caught and nothing of our environment that could change it.
pub(crate) fn program(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_directory"));
    command.args(arguments).arg("--data").arg(folder).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(arguments: &[&str], folder: &Path) -> Output {
    program(arguments, folder).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A serving process; killed if the test ends before it does.
pub(crate) struct Serving {
    pub(crate) child: Child,
    output: BufReader<std::process::ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Serving {
    pub(crate) fn start(arguments: &[&str], folder: &Path) -> Self {
        let anywhere: &[&str] = if arguments.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
        Self::spawn(&mut program(&[anywhere, arguments].concat(), folder))
    }

    /// With no file allowed to grow beyond so many blocks of 512 bytes: a disk that fills up.
    pub(crate) fn start_with_room_for(blocks: u32, folder: &Path) -> Self {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_directory"), "--bind", "127.0.0.1:0", "--data"]);
        command.arg(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let ["listening", address, "key", key] = words[..] else { panic!("it printed {line:?}") };
        Self { address: address.parse().unwrap(), key: key.to_owned(), child, output }
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// The exit code, what was printed after the first line, and what was logged.
    pub(crate) fn ended(mut self) -> (Option<i32>, String, String) {
        let (mut printed, mut logged) = (String::new(), String::new());
        self.output.read_to_string(&mut printed).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).unwrap();
        (self.child.wait().unwrap().code(), printed, logged)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
