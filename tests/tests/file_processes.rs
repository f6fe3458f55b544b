//! Real processes under SIGKILL while a large file goes from one to the other: each side is killed ten times, and each time
//! it goes on where the recipient's disk was, with less than one chunk sent again.
//!
//! A second file comes to a node whose disk takes no more in the middle of it.
//!
//! `TRANSFER_MIB` makes the file larger or smaller; a fast machine may need more for all the kills to find their time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::{BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
};

use node::files::survey::CHUNK;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tests::processes::{Process, Programs, Said, Stage};

const PROGRAMS: Programs =
    Programs { directory: env!("CARGO_BIN_EXE_quick-directory"), node: env!("CARGO_BIN_EXE_quick-node") };
const NAMES: [&str; 2] = ["alice", "bob"];
const ALICE: usize = 0;
const BOB: usize = 1;
/// Of each side.
const KILLS: u64 = 10;
const MIB: u64 = 1024 * 1024;
const MIB_DEFAULT: u64 = 1_024;

/// A file in which no two chunks are the same.
fn write(path: &Path, bytes: u64) {
    let mut file = File::create(path).unwrap();
    let mut block: Vec<u8> = (0..MIB as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for number in 0..bytes / MIB {
        block[..8].copy_from_slice(&number.to_be_bytes());
        block[CHUNK as usize..CHUNK as usize + 8].copy_from_slice(&(!number).to_be_bytes());
        file.write_all(&block).unwrap();
    }
}

fn hash(path: &Path) -> String {
    let (mut reader, mut hasher) = (BufReader::new(File::open(path).unwrap()), Sha256::new());
    let mut piece = vec![0; MIB as usize];
    loop {
        match reader.read(&mut piece).unwrap() {
            0 => break hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            length => hasher.update(&piece[..length]),
        }
    }
}

/// How much there is of what is not whole yet.
fn partial(inbox: &Path) -> u64 {
    let partials = fs::read_dir(inbox.join(".tuppence-partial"));
    let lengths = partials.into_iter().flatten().map(|entry| fs::metadata(entry.unwrap().path().join("data")));
    lengths.map(|found| found.map_or(0, |found| found.len())).sum()
}

struct Lives {
    stage: Stage,
    lives: [Option<Process>; 2],
    numbers: [u64; 2],
    last: u64,
}

impl Lives {
    fn begin(&mut self, node: usize, script: &str) {
        self.last += 1;
        self.numbers[node] = self.last;
        self.lives[node] = Some(self.stage.life(node, self.last, script));
    }

    fn kill(&mut self, node: usize) {
        let mut life = self.lives[node].take().unwrap();
        life.kill();
        life.wait();
    }

    /// What the present life of a node says next.
    fn next(&self) -> (usize, Value) {
        loop {
            match self.stage.next() {
                (number, Said::Line(node, line)) if self.numbers[node] == number => return (node, line),
                (number, Said::Ended(node)) if self.numbers[node] == number => {
                    panic!("{} ended:\n{}", NAMES[node], self.stage.words(node));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_large_file_arrives_whole_however_often_either_side_is_killed() {
    let mib = std::env::var("TRANSFER_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(MIB_DEFAULT);
    let folder = tempfile::tempdir().unwrap();
    let (sent, inbox) = (folder.path().join("large.bin"), folder.path().join("bob/inbox"));
    write(&sent, mib * MIB);
    let stage = Stage::new(PROGRAMS, folder.path(), &NAMES);
    let _ = stage.all(|node| format!("SIGNUP {}\n", NAMES[node]));
    let mut lives = Lives { stage, lives: [None, None], numbers: [0; 2], last: 0 };
    let ends = ["EXPECT FILE TO bob STATE received WITHIN 10m\n", "EXPECT FILE FROM alice STATE received WITHIN 10m\n"];
    let offers = format!("TIMEOUT 2m\nSEND bob FILE \"{}\"\n{}", sent.display(), ends[ALICE]);
    let takes = format!("EXPECT FILE FROM alice STATE offered WITHIN 2m AS f\nACCEPT ${{f}}\n{}", ends[BOB]);
    lives.begin(ALICE, &offers);
    lives.begin(BOB, &takes);

    let (mut kills, mut least, mut seen) = ([0; 2], 0, 0);
    let kept = loop {
        let (node, line) = lives.next();
        if node == BOB && line["event"] == "progress" {
            let bytes = line["bytes"].as_u64().unwrap();
            assert!(bytes >= least, "it went back to {bytes}, though {least} were whole");
            seen = bytes.max(seen);
            let next = if kills[ALICE] <= kills[BOB] { ALICE } else { BOB };
            // The first word of a stream says only from where it goes on; it will do where the machine is quicker than the kills.
            let hurried = bytes * 2 * KILLS > mib * MIB * (kills[ALICE] + kills[BOB]);
            if kills[next] < KILLS && (bytes > least || hurried) {
                lives.kill(next);
                kills[next] += 1;
                // Whatever was whole on the disk is never sent again; what is not a whole chunk may be.
                least = partial(&inbox).max(seen) / u64::from(CHUNK) * u64::from(CHUNK);
                lives.begin(next, ends[next]);
            }
        }
        if node == BOB && line["event"] == "file" && line["state"] == "received" {
            break line;
        }
    };
    assert_eq!(kills, [KILLS; 2], "it was there too soon: let it be larger by TRANSFER_MIB");
    let path = PathBuf::from(kept["path"].as_str().unwrap());
    assert_eq!(path.parent(), Some(inbox.as_path()));
    let whole = hash(&sent);
    assert_eq!((hash(&path), kept["sha256"].as_str()), (whole.clone(), Some(whole.as_str())));
    assert_eq!(partial(&inbox), 0, "nothing is left beside it");
}

/// How long any file of a node may get whose disk takes no more.
const ROOM: u64 = 3 * MIB;

#[test]
fn a_disk_that_takes_no_more_is_said_and_what_there_is_is_gone_on_with_once_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let (sent, inbox) = (folder.path().join("large.bin"), folder.path().join("bob/inbox"));
    write(&sent, 8 * MIB);
    let stage = Stage::new(PROGRAMS, folder.path(), &NAMES);
    let _ = stage.all(|node| format!("SIGNUP {}\n", NAMES[node]));
    let mut lives = Lives { stage, lives: [None, None], numbers: [0; 2], last: 0 };
    let ends = "EXPECT FILE TO bob STATE received WITHIN 2m\n";
    lives.begin(ALICE, &format!("TIMEOUT 2m\nSEND bob FILE \"{}\"\n{ends}", sent.display()));
    let takes = "EXPECT FILE FROM alice STATE offered WITHIN 2m AS f\nACCEPT ${f}\nEXPECT FILE FROM alice STATE failed WITHIN 2m\nSLEEP 2m\n";
    lives.last += 1;
    lives.numbers[BOB] = lives.last;
    lives.lives[BOB] = Some(lives.stage.life_within(ROOM, BOB, lives.last, takes));
    let states = |lives: &Lives, wanted: &str| loop {
        let (node, line) = lives.next();
        if node == BOB && line["event"] == "file" && line["state"] == wanted {
            break line;
        }
    };
    let failed = states(&lives, "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("can't write to") && reason.contains("--inbox"), "{reason}");
    assert_eq!(partial(&inbox), ROOM, "what the disk took is there");
    lives.kill(BOB);

    lives.begin(BOB, "TIMEOUT 2m\nACCEPT f1\nEXPECT FILE FROM alice STATE received WITHIN 2m\n");
    let kept = loop {
        let (node, line) = lives.next();
        if node == BOB && line["event"] == "progress" {
            let bytes = line["bytes"].as_u64().unwrap();
            assert!(bytes >= ROOM, "it went back to {bytes}");
        }
        if node == BOB && line["event"] == "file" && line["state"] == "received" {
            break line;
        }
    };
    let path = PathBuf::from(kept["path"].as_str().unwrap());
    assert_eq!(hash(&path), hash(&sent));
    assert_eq!(partial(&inbox), 0, "nothing is left beside it");
}
