//! Real processes under SIGKILL: a thousand messages between four nodes while nodes and directory die at random. Every
//! message that was acknowledged is shown exactly once, in its sender's order.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::Value;
use tests::processes::{Process, Programs, Said, Stage, result};

const PROGRAMS: Programs =
    Programs { directory: env!("CARGO_BIN_EXE_quick-directory"), node: env!("CARGO_BIN_EXE_quick-node") };
const NAMES: [&str; 4] = ["anna", "bert", "cleo", "dora"];
/// Messages of each node: somewhat more than 250, since one that a kill interrupts is not tried again.
const MESSAGES: usize = 280;
const ACKNOWLEDGED: usize = 1_000;
/// Acknowledgements between two kills, so that none falls into an idle moment.
const BETWEEN_KILLS: usize = 22;
const KILLS: usize = 20;

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
    child: Option<Process>,
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
    let mut stage = Stage::new(PROGRAMS, folder.path(), &NAMES);
    let _ = stage.all(|node| format!("SIGNUP {}\n", NAMES[node]));
    // Everybody writes to everybody, so that nobody is a stranger.
    let _ = stage.all(|node| others(node).iter().map(|other| format!("SEND {} hello\n", NAMES[*other])).collect());

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
            life.child = Some(stage.life(node, numbers, &script(node, life.next)));
        }
        if lives.iter().all(|life| life.child.is_none()) {
            break;
        }
        let (number, said) = stage.next();
        match said {
            Said::Line(node, line) if lives[node].number == number => {
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
                    child.wait();
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
                lives[node].child.as_mut().unwrap().kill();
                lives[node].killed = true;
                node_kills += 1;
            } else {
                stage.restart_directory();
                directory_kills += 1;
            }
        }
    }
    println!("{} acknowledged, {node_kills} node kills, {directory_kills} directory kills", acknowledged.len());
    assert!(acknowledged.len() >= ACKNOWLEDGED && node_kills >= KILLS && directory_kills >= KILLS);

    // Everything that still waits is handed over, then taken in.
    let _ = stage.all(|_| "WAIT IDLE WITHIN 60s\n".to_owned());
    let shown = stage.all(|_| "WAIT IDLE WITHIN 60s\nHISTORY 10000\n".to_owned());
    for (node, lines) in shown.iter().enumerate() {
        let history = result(lines, "history");
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
