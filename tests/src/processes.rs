//! Real processes: a directory and nodes with cheap password stretching, on loopback, each in a process of its own that can
//! be killed. Nodes play scripts from standard input, and what they print comes as lines of JSON.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use serde_json::Value;

/// Longest silence of everything; then something hangs.
const SILENCE: Duration = Duration::from_secs(90);
/// Number of the lives that are not told apart.
const TOGETHER: u64 = 0;

/// Where the programs are: cargo tells only tests.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// `quick-directory`.
    pub directory: &'static str,
    /// `quick-node`.
    pub node: &'static str,
}

/// What came of a node's process.
#[derive(Debug)]
pub enum Said {
    /// This node printed a line.
    Line(usize, Value),
    /// This node's output ended.
    Ended(usize),
}

/// A directory's process and those of nodes around it.
#[derive(Debug)]
pub struct Stage {
    programs: Programs,
    folder: PathBuf,
    names: &'static [&'static str],
    directory: Process,
    address: String,
    key: String,
    said: Receiver<(u64, Said)>,
    say: Sender<(u64, Said)>,
}

/// A process that does not survive its test.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// SIGKILL.
    ///
    /// # Panics
    /// If the system refuses.
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn kill(&mut self) {
        self.0.kill().expect("a process that can be killed");
    }

    /// How it ended, once it has.
    ///
    /// # Panics
    /// If the system does not tell.
    #[expect(clippy::expect_used, reason = "for tests")]
    pub fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("the end of a process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::expect_used, clippy::panic, reason = "for tests")]
fn directory(programs: Programs, folder: &Path, address: &str) -> (Process, String, String) {
    let mut command = Command::new(programs.directory);
    let child = command.arg(folder.join("directory")).arg(address).stdout(Stdio::piped()).spawn();
    let mut child = Process(child.expect("a directory"));
    let mut line = String::new();
    let output = child.0.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["listening", address, "key", key] = words.as_slice() else { panic!("the directory said {line:?}") };
    (child, (*address).to_owned(), (*key).to_owned())
}

#[expect(clippy::expect_used, reason = "for tests")]
impl Stage {
    /// A new directory with its data in this folder, and nodes of these names, which have no accounts yet.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn new(programs: Programs, folder: &Path, names: &'static [&'static str]) -> Self {
        fs::write(folder.join("password"), "correct-horse-1\n").expect("a file");
        let (directory, address, key) = directory(programs, folder, "127.0.0.1:0");
        let (say, said) = channel();
        Self { programs, folder: folder.to_owned(), names, directory, address, key, said, say }
    }

    /// SIGKILL for the directory, and another one over the same data at the same address.
    pub fn restart_directory(&mut self) {
        self.directory.kill();
        self.directory.wait();
        self.directory = directory(self.programs, &self.folder, &self.address).0;
    }

    /// Starts one life of a node: it plays a script, and what it prints comes by [`Stage::next`] with this number.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn life(&self, node: usize, number: u64, script: &str) -> Process {
        self.begin(Command::new(self.programs.node), node, number, script)
    }

    /// The same, for a node none of whose files can get longer than so many bytes: a write beyond fails, as on a full disk.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn life_within(&self, bytes: u64, node: usize, number: u64, script: &str) -> Process {
        let mut command = Command::new("sh");
        // The limit is in blocks of 512 bytes. Unless the signal is ignored, it ends the process instead of failing the write.
        let limited = "trap '' XFSZ && ulimit -f \"$0\" && exec \"$@\"";
        command.args(["-c", limited, &(bytes / 512).to_string(), self.programs.node]);
        self.begin(command, node, number, script)
    }

    fn begin(&self, mut command: Command, node: usize, number: u64, script: &str) -> Process {
        let words = OpenOptions::new().create(true).append(true).open(self.words_file(node)).expect("a file");
        command.arg("--directory").arg(format!("{}#{}", self.address, self.key));
        command.arg("--data").arg(self.folder.join(self.names[node])).arg("--json");
        command.arg("-v").arg("--password-file").arg(self.folder.join("password")).args(["--script", "-"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr::<File>(words);
        let mut child = Process(piped.spawn().expect("a node"));
        child.0.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("a node that reads");
        let (say, output) = (self.say.clone(), child.0.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Whoever is killed may leave half a line.
                let Ok(line) = serde_json::from_str(&line) else { break };
                let _ = say.send((number, Said::Line(node, line)));
            }
            let _ = say.send((number, Said::Ended(node)));
        });
        child
    }

    /// What is printed next by whichever life, with its number.
    ///
    /// # Panics
    /// If everything is silent for too long.
    #[must_use]
    pub fn next(&self) -> (u64, Said) {
        self.said.recv_timeout(SILENCE).expect("somebody who says something")
    }

    /// Lets every node play a script to its end, all at once; what each printed.
    ///
    /// # Panics
    /// If one fails.
    #[must_use]
    pub fn all(&self, script: impl Fn(usize) -> String) -> Vec<Vec<Value>> {
        let lives: Vec<Process> = (0..self.names.len()).map(|node| self.life(node, TOGETHER, &script(node))).collect();
        let mut printed = vec![Vec::new(); self.names.len()];
        let mut ended = 0;
        while ended < lives.len() {
            match self.next() {
                (TOGETHER, Said::Line(node, line)) => printed[node].push(line),
                (TOGETHER, Said::Ended(_)) => ended += 1,
                _ => {}
            }
        }
        for (node, mut life) in lives.into_iter().enumerate() {
            let (last, words) = (printed[node].last(), self.words(node));
            let ended = life.wait();
            assert!(ended.success(), "{}: {ended}: {last:?}\n{words}", self.names[node]);
        }
        printed
    }

    /// What a node has said on standard error in all its lives.
    #[must_use]
    pub fn words(&self, node: usize) -> String {
        fs::read_to_string(self.words_file(node)).unwrap_or_default()
    }

    fn words_file(&self, node: usize) -> PathBuf {
        self.folder.join(format!("{}.words", self.names[node]))
    }
}

/// The result of a command of this verb among what a node printed.
///
/// # Panics
/// If there is none.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn result<'a>(printed: &'a [Value], verb: &str) -> &'a Value {
    printed.iter().find(|line| line["result"] == verb).expect("a result")
}
