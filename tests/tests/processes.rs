//! Real processes under SIGKILL: a thousand messages between four nodes while nodes and directory die at random. Every
//! message that was acknowledged is shown exactly once, in its sender's order.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::Value;

const NAMES: [&str; 4] = ["anna", "bert", "cleo", "dora"];
/// Messages of each node: somewhat more than 250, since one that a kill interrupts is not tried again.
const MESSAGES: usize = 280;
const ACKNOWLEDGED: usize = 1_000;
/// Acknowledgements between two kills, so that none falls into an idle moment.
const BETWEEN_KILLS: usize = 22;
const KILLS: usize = 20;
/// Longest silence of everything; then something hangs.
const SILENCE: Duration = Duration::from_secs(90);

enum Said {
    Line(usize, String),
    Ended(usize),
}

struct World {
    folder: PathBuf,
    directory: Child,
    address: String,
    key: String,
    said: Receiver<(u64, Said)>,
    say: Sender<(u64, Said)>,
}

fn directory(folder: &Path, address: &str) -> (Child, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quick-directory"));
    let mut child = command.arg(folder.join("directory")).arg(address).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["listening", address, "key", key] = words.as_slice() else { panic!("the directory said {line:?}") };
    (child, (*address).to_owned(), (*key).to_owned())
}

impl World {
    fn new(folder: &Path) -> Self {
        fs::write(folder.join("password"), "correct-horse-1\n").unwrap();
        let (directory, address, key) = directory(folder, "127.0.0.1:0");
        let (say, said) = channel();
        Self { folder: folder.to_owned(), directory, address, key, said, say }
    }

    fn restart_directory(&mut self) {
        self.directory.kill().unwrap();
        self.directory.wait().unwrap();
        self.directory = directory(&self.folder, &self.address).0;
    }

    /// Starts one life of a node: it plays a script from standard input, and what it prints comes by the channel.
    fn life(&self, node: usize, number: u64, script: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quick-node"));
        command.arg("--directory").arg(format!("{}#{}", self.address, self.key));
        command.arg("--data").arg(self.folder.join(NAMES[node])).arg("--json");
        command.arg("--password-file").arg(self.folder.join("password")).args(["--script", "-"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let (say, output) = (self.say.clone(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = say.send((number, Said::Line(node, line)));
            }
            let _ = say.send((number, Said::Ended(node)));
        });
        child
    }

    /// Lets every node play a script to its end, all at once; what each printed.
    fn all(&self, script: impl Fn(usize) -> String) -> Vec<Vec<Value>> {
        let lives: Vec<Child> = (0..NAMES.len()).map(|node| self.life(node, 0, &script(node))).collect();
        let mut printed = vec![Vec::new(); NAMES.len()];
        let mut ended = 0;
        while ended < lives.len() {
            match self.said.recv_timeout(SILENCE).unwrap() {
                (0, Said::Line(node, line)) => printed[node].push(serde_json::from_str(&line).unwrap()),
                (0, Said::Ended(_)) => ended += 1,
                _ => {}
            }
        }
        for (node, mut life) in lives.into_iter().enumerate() {
            assert_eq!(life.wait().unwrap().code(), Some(0), "{}: {:?}", NAMES[node], printed[node].last());
        }
        printed
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.directory.kill();
        let _ = self.directory.wait();
    }
}

fn others(node: usize) -> Vec<usize> {
    (0..NAMES.len()).filter(|other| *other != node).collect()
}

/// The script of a node's messages from one on: one message a line.
fn script(node: usize, from: usize) -> String {
    let others = others(node);
    (from..MESSAGES).map(|n| format!("SEND {} {node} {n}\n", NAMES[others[n % others.len()]])).collect()
}

/// One node's lives.
struct Lives {
    child: Option<Child>,
    number: u64,
    /// The message that the present life's first line sends.
    first: usize,
    /// The next message that was not tried yet, as far as was heard.
    next: usize,
    /// Whether it was killed; what it had printed is still on its way.
    killed: bool,
}

#[test]
fn acknowledged_messages_are_shown_once_and_in_order_whoever_is_killed() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path());
    world.all(|node| format!("SIGNUP {}\n", NAMES[node]));
    // Everybody writes to everybody, so that nobody is a stranger.
    world.all(|node| others(node).iter().map(|other| format!("SEND {} hello\n", NAMES[*other])).collect());

    let mut acknowledged: BTreeMap<(usize, usize), String> = BTreeMap::new();
    let mut lives: Vec<Lives> =
        (0..NAMES.len()).map(|_| Lives { child: None, number: 0, first: 0, next: 0, killed: false }).collect();
    let (mut node_kills, mut directory_kills, mut numbers, mut since) = (0, 0, 0, 0);
    loop {
        for (node, life) in
            lives.iter_mut().enumerate().filter(|(_, life)| life.child.is_none() && life.next < MESSAGES)
        {
            numbers += 1;
            (life.number, life.first) = (numbers, life.next);
            life.child = Some(world.life(node, numbers, &script(node, life.next)));
        }
        if lives.iter().all(|life| life.child.is_none()) {
            break;
        }
        let (number, said) = world.said.recv_timeout(SILENCE).unwrap();
        match said {
            Said::Line(node, line) if lives[node].number == number => {
                let line: Value = serde_json::from_str(&line).unwrap();
                if line["result"] != "send" {
                    continue;
                }
                let n = lives[node].first + usize::try_from(line["line"].as_u64().unwrap()).unwrap() - 1;
                lives[node].next = n + 1;
                if line["ok"] == true {
                    acknowledged.insert((node, n), line["uid"].as_str().unwrap().to_owned());
                    since += 1;
                }
            }
            Said::Ended(node) if lives[node].number == number => {
                if let Some(mut child) = lives[node].child.take() {
                    child.wait().unwrap();
                }
                // What was under way has no answer: it may be shown or not, and is not tried again.
                lives[node].next += usize::from(std::mem::take(&mut lives[node].killed));
            }
            _ => {}
        }
        if since >= BETWEEN_KILLS {
            since = 0;
            if node_kills <= directory_kills {
                let busy = |node: &usize| lives[*node].child.is_some() && !lives[*node].killed;
                let busy: Vec<usize> = (0..NAMES.len()).filter(busy).collect();
                let Some(node) = busy.get(rng.next_u32() as usize % busy.len().max(1)).copied() else { continue };
                lives[node].child.as_mut().unwrap().kill().unwrap();
                lives[node].killed = true;
                node_kills += 1;
            } else {
                world.restart_directory();
                directory_kills += 1;
            }
        }
    }
    println!("{} acknowledged, {node_kills} node kills, {directory_kills} directory kills", acknowledged.len());
    assert!(acknowledged.len() >= ACKNOWLEDGED && node_kills >= KILLS && directory_kills >= KILLS);

    // Everything that still waits is handed over, then taken in.
    world.all(|_| "WAIT IDLE WITHIN 60s\n".to_owned());
    let shown = world.all(|_| "WAIT IDLE WITHIN 60s\nHISTORY 10000\n".to_owned());
    for (node, lines) in shown.iter().enumerate() {
        let history = lines.iter().find(|line| line["result"] == "history").unwrap();
        let received: Vec<&Value> =
            history["messages"].as_array().unwrap().iter().filter(|message| message["from"] != NAMES[node]).collect();
        for other in others(node) {
            let from: Vec<&&Value> = received.iter().filter(|message| message["from"] == NAMES[other]).collect();
            let texts = from.iter().filter_map(|message| message["text"].as_str()?.split_once(' '));
            let numbers: Vec<usize> = texts.filter_map(|(_, n)| n.parse().ok()).collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(numbers, sorted, "{} from {}: once each and in order", NAMES[node], NAMES[other]);
            let mine = acknowledged
                .iter()
                .filter(|((sender, n), _)| *sender == other && others(other)[n % others(other).len()] == node);
            for ((_, n), uid) in mine {
                let count = from.iter().filter(|message| message["uid"] == uid.as_str()).count();
                assert_eq!(count, 1, "{} from {}: message {n} ({uid})", NAMES[node], NAMES[other]);
            }
        }
    }
}
