//! A group of real processes: twelve nodes talk while who is among them changes, two of them and the directory are killed,
//! and at the end all agree on who is in, on what happened to whom in which order, and on what was said.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::Value;
use tests::processes::{Process, Programs, Said, Stage, result};

const PROGRAMS: Programs =
    Programs { directory: env!("CARGO_BIN_EXE_quick-directory"), node: env!("CARGO_BIN_EXE_quick-node") };
const NAMES: [&str; 12] =
    ["anna", "bert", "cleo", "dora", "emil", "finn", "gina", "hugo", "iris", "jana", "karl", "lena"];
/// Who is in the group when everybody begins to talk; the first has made it.
const AT_FIRST: [usize; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11];
/// Who stays all the time.
const STEADY: usize = 6;
/// Who leaves and comes in again; who leaves for good; who is kicked for good; who is kicked and invited again.
const BACK: usize = 6;
const GONE: usize = 7;
const KICKED: usize = 10;
const FORGIVEN: usize = 11;
/// Who comes in by an invitation while everybody talks.
const INVITED: [usize; 3] = [8, 9, FORGIVEN];
/// Who is killed: they talk, and two of them change the group.
const MORTAL: [usize; 5] = [2, 3, 4, 5, 6];
/// Messages of each.
const MESSAGES: usize = 24;
/// Changes before everybody talks, and fewest while they do.
const BEFORE: usize = 12;
const CHANGES: usize = 20;
/// Fewest messages that are acknowledged: the others are those of whoever is kicked.
const ACKNOWLEDGED: usize = 250;
/// Acknowledgements until a node, the directory, and another node are killed.
const KILLS: [usize; 3] = [40, 80, 120];
/// The roles in the end, without those who are out.
const ROLES: [(&str, &str); 10] = [
    ("anna", "owner"),
    ("bert", "owner"),
    ("cleo", "admin"),
    ("dora", "owner"),
    ("emil", "member"),
    ("finn", "admin"),
    ("gina", "member"),
    ("iris", "member"),
    ("jana", "member"),
    ("lena", "member"),
];

/// What each does to the group, besides talking.
fn wishes(node: usize) -> &'static [&'static str] {
    match node {
        0 => &[
            "PROMOTE team dora",
            "PROMOTE team emil",
            "DEMOTE team emil",
            "PROMOTE team dora",
            "PROMOTE team cleo",
            "DEMOTE team cleo",
        ],
        1 => &[
            "PROMOTE team finn",
            "EXPECT MESSAGE FROM lena IN team \"11 3\" WITHIN 60s",
            "KICK team lena",
            "DEMOTE team finn",
            "INVITE team lena",
            "PROMOTE team finn",
            "DEMOTE team finn",
            "PROMOTE team finn",
        ],
        2 => &["INVITE team iris", "KICK team karl"],
        3 => &["INVITE team jana"],
        BACK => &["LEAVE team", "JOIN team"],
        GONE => &["LEAVE team"],
        8 => &["EXPECT MEMBER FROM iris IN team STATE invited WITHIN 60s", "JOIN team"],
        9 => &["EXPECT MEMBER FROM jana IN team STATE invited WITHIN 60s", "JOIN team"],
        FORGIVEN => &[
            "EXPECT MEMBER FROM lena IN team STATE removed WITHIN 60s",
            "EXPECT MEMBER FROM lena IN team STATE invited WITHIN 60s",
            "JOIN team",
        ],
        _ => &[],
    }
}

/// One line each: talk with wishes in between. Whoever is not in yet begins with them, whoever goes ends with them, and who
/// comes back has them in a row, since there is nothing to be said outside.
fn script(node: usize) -> Vec<String> {
    let mut wishes = wishes(node).iter();
    let mut lines: Vec<String> = Vec::new();
    for n in 0..MESSAGES {
        let wanted = match node {
            8 | 9 if n == 0 => wishes.len(),
            BACK | FORGIVEN if n == 4 => wishes.len(),
            0..=4 if n % 3 == 2 => 1,
            _ => 0,
        };
        lines.extend(wishes.by_ref().take(wanted).map(|wish| (*wish).to_owned()));
        lines.push(format!("SEND GROUP team {node} {n}"));
    }
    lines.extend(wishes.map(|wish| (*wish).to_owned()));
    if node < 2 {
        // Somebody is there until the last of those who go was let go.
        lines.push("EXPECT MEMBER FROM hugo IN team STATE left WITHIN 60s".to_owned());
    }
    lines
}

/// One node's lives.
struct Lives {
    lines: Vec<String>,
    child: Option<Process>,
    number: u64,
    /// The line that the present life begins with.
    first: usize,
    /// The next line that was not tried yet, as far as was heard.
    next: usize,
    /// Whether it was killed; what it had printed is still on its way.
    killed: bool,
    /// A change that a kill interrupted: it is wanted again, and may be so already.
    interrupted: Option<usize>,
    over: bool,
}

/// A message that a node acknowledged: who said it, and how far it had come by then to whom.
struct Acknowledged {
    sender: usize,
    recipients: BTreeMap<String, String>,
}

/// What was heard while everybody talked.
#[derive(Default)]
struct Heard {
    acknowledged: BTreeMap<String, Acknowledged>,
    /// What each was told of who is in the group, in the order in which it was told.
    told: Vec<BTreeMap<u64, Value>>,
    /// Who was killed, and at which line as far as was known.
    killed: Vec<String>,
}

impl Lives {
    fn new(node: usize) -> Self {
        let lines = script(node);
        Self { lines, child: None, number: 0, first: 0, next: 0, killed: false, interrupted: None, over: false }
    }

    /// A command of this life came to something.
    fn on_result(&mut self, node: usize, line: &Value, heard: &mut Heard) {
        let at = self.first + usize::try_from(line["line"].as_u64().unwrap()).unwrap() - 1;
        self.next = at + 1;
        if line["ok"] == true {
            if line["result"] == "send_group" || line["result"] == "send" {
                let rows = line["recipients"].as_array().unwrap().iter();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let recipients = rows.map(|row| (text(&row["name"]), text(&row["state"]))).collect();
                heard.acknowledged.insert(text(&line["uid"]), Acknowledged { sender: node, recipients });
            }
            return;
        }
        // Whoever is kicked hears it when it wants to talk, and what was interrupted may be so already.
        let is_out = node == KICKED && line["error"]["name"] == "refused";
        self.over = is_out;
        assert!(is_out || self.interrupted == Some(at), "{}: {}: {line}", NAMES[node], self.lines[at]);
    }

    /// This life has ended.
    fn on_end(&mut self, node: usize, stage: &Stage) {
        let Some(mut child) = self.child.take() else { return };
        let ended = child.wait();
        if std::mem::take(&mut self.killed) {
            // Something said that has no answer may be shown or not, and is not said again.
            match self.lines.get(self.next) {
                Some(line) if line.starts_with("SEND") => self.next += 1,
                _ => self.interrupted = Some(self.next),
            }
        } else if ended.success() {
            self.next = self.lines.len();
        } else {
            let excused = self.over || self.interrupted.is_some_and(|at| self.next == at + 1);
            assert!(excused, "{}: {ended}\n{}", NAMES[node], stage.words(node));
        }
    }
}

/// Everybody talks and changes the group at once, until all have played their lines.
fn talk(stage: &mut Stage, rng: &mut ChaCha20Rng) -> Heard {
    let mut heard = Heard { told: vec![BTreeMap::new(); NAMES.len()], ..Heard::default() };
    let mut lives: Vec<Lives> = (0..NAMES.len()).map(Lives::new).collect();
    let (mut number, mut kills) = (0, KILLS.into_iter().enumerate().peekable());
    loop {
        for (node, life) in lives.iter_mut().enumerate() {
            if life.child.is_none() && !life.over && life.next < life.lines.len() {
                number += 1;
                (life.number, life.first) = (number, life.next);
                life.child = Some(stage.life(node, number, &(life.lines[life.next..].join("\n") + "\n")));
            }
        }
        if lives.iter().all(|life| life.child.is_none()) {
            break;
        }
        let (number, said) = stage.next();
        match said {
            Said::Line(node, line) => {
                if line["event"] == "member" {
                    heard.told[node].insert(line["seq"].as_u64().unwrap(), line);
                } else if lives[node].number == number && !line["line"].is_null() {
                    lives[node].on_result(node, &line, &mut heard);
                }
            }
            Said::Ended(node) if lives[node].number == number => lives[node].on_end(node, stage),
            Said::Ended(_) => {}
        }
        if let Some((which, _)) = kills.next_if(|(_, after)| heard.acknowledged.len() >= *after) {
            if which == 1 {
                stage.restart_directory();
                continue;
            }
            let busy = |life: &Lives| life.child.is_some() && !life.killed && life.next < life.lines.len();
            let busy: Vec<usize> = MORTAL.into_iter().filter(|node| busy(&lives[*node])).collect();
            let who = busy[rng.next_u32() as usize % busy.len()];
            let victim = &mut lives[who];
            heard.killed.push(format!("{} at {}", NAMES[who], victim.lines[victim.next]));
            victim.child.as_mut().unwrap().kill();
            victim.killed = true;
        }
    }
    assert!(kills.next().is_none(), "the directory and two nodes were killed");
    heard
}

/// Who, what, by whom.
type Change = (String, String, String);

fn change(line: &Value) -> Change {
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    (text("user"), text("change"), text("by"))
}

/// What stands in somebody's timeline of the group: its messages, and its changes.
fn timeline(printed: &[Value]) -> (Vec<Value>, Vec<Change>) {
    let all = result(printed, "history")["messages"].as_array().unwrap().clone();
    let (changes, messages): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|entry| entry["change"].is_string());
    (messages, changes.iter().map(change).collect())
}

/// Everybody who is in says the same of who is.
fn check_members(shown: &[Vec<Value>], members: &[usize]) {
    let expected: BTreeMap<&str, &str> = ROLES.into_iter().collect();
    for node in members {
        let rows = result(&shown[*node], "members")["members"].as_array().unwrap();
        let roles: BTreeMap<&str, &str> =
            rows.iter().map(|row| (row["name"].as_str().unwrap(), row["role"].as_str().unwrap())).collect();
        assert_eq!((roles, rows.len()), (expected.clone(), ROLES.len()), "{}", NAMES[*node]);
    }
}

/// Everybody has seen the same changes in the same order, for as long as they were in; and was told of them in that order.
fn check_changes(shown: &[Vec<Value>], heard: &Heard) {
    let all: Vec<Vec<Change>> = shown.iter().map(|printed| timeline(printed).1).collect();
    let whole = all[0].clone();
    assert!(whole.len() >= BEFORE + CHANGES, "{whole:?}");
    for (node, mine) in all.iter().enumerate() {
        let ends = |change: &Change| change.0 == NAMES[node] && (change.1 == "left" || change.1 == "removed");
        // Whoever leaves is out at once, and for the others when that was granted, unless they came in again before.
        let own = |change: &Change| change.0 == NAMES[node] && (node == BACK || node == GONE && change.1 == "left");
        let until = whole.iter().position(|change| node == GONE && ends(change)).unwrap_or(whole.len());
        let whole: Vec<&Change> = whole[..until].iter().filter(|change| !own(change)).collect();
        let mut rest = whole.as_slice();
        for span in mine.split_inclusive(ends) {
            let span: Vec<&Change> = span.iter().filter(|change| !own(change)).collect();
            if span.is_empty() {
                continue;
            }
            let at = rest.windows(span.len()).position(|window| window == span);
            let at = at.unwrap_or_else(|| panic!("{}: {span:?} is no part of {rest:?}", NAMES[node]));
            rest = &rest[at + span.len()..];
        }
        assert!(rest.is_empty() || node == GONE || node == KICKED, "{} has not seen {rest:?}", NAMES[node]);
        let mut later = mine.iter();
        let told: Vec<Change> = heard.told[node].values().map(change).collect();
        assert!(!told.is_empty() && told.iter().all(|told| later.any(|seen| seen == told)), "{told:?}, {mine:?}");
    }
}

/// What was acknowledged is shown once and in order to whom it was for; nobody sees what was not for them.
fn check_messages(shown: &[Vec<Value>], heard: &Heard, members: &[usize]) {
    assert!(heard.acknowledged.len() >= ACKNOWLEDGED, "{}", heard.acknowledged.len());
    let mut complaints = Vec::new();
    for (node, printed) in shown.iter().enumerate() {
        let messages = timeline(printed).0;
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for message in &messages {
            *count.entry(message["uid"].as_str().unwrap()).or_default() += 1;
        }
        for sender in (0..NAMES.len()).filter(|sender| *sender != node) {
            let from = messages.iter().filter(|message| message["from"] == NAMES[sender]);
            let texts: Vec<&str> = from.map(|message| message["text"].as_str().unwrap()).collect();
            let late = texts.iter().filter(|text| text.contains("late")).count();
            let both = members.contains(&sender) && members.contains(&node);
            assert_eq!(late, usize::from(both), "{} from {}, late", NAMES[node], NAMES[sender]);
            let numbers = texts.iter().filter_map(|text| text.split_once(' ')?.1.parse().ok());
            let mut numbers: Vec<usize> = numbers.collect();
            if node == BACK || INVITED.contains(&node) {
                // What was on its way when somebody came or went may come behind the first that they have seen inside.
                numbers.sort_unstable();
            }
            if !numbers.is_sorted_by(|one, next| one < next) {
                complaints.push(format!("{} from {}: {numbers:?}", NAMES[node], NAMES[sender]));
            }
        }
        for (uid, said) in heard.acknowledged.iter().filter(|(_, said)| said.sender != node) {
            let state = said.recipients.get(NAMES[node]).map(String::as_str);
            let stay = |who: usize| who < STEADY;
            let must = match state {
                Some("delivered" | "read") => true,
                Some("sent") => stay(node),
                _ => stay(node) && stay(said.sender),
            };
            // While the directory is away it may not be settled yet whom something is for; and whoever is invited gets it
            // without being counted.
            let settled = !said.recipients.values().any(|state| state == "queued");
            let may = state.is_some() || !settled || INVITED.contains(&node);
            let shown = count.get(uid.as_str()).copied().unwrap_or_default();
            let fine = if must { shown == 1 } else { shown <= usize::from(may) };
            if !fine {
                let who = NAMES[said.sender];
                complaints.push(format!("{}: {uid} of {who}: shown {shown} times, {state:?}", NAMES[node]));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn twelve_processes_agree_on_who_is_in_and_on_what_was_said_whoever_is_killed() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(PROGRAMS, folder.path(), &NAMES);
    let signed_up = |node| format!("SIGNUP {}\n", NAMES[node]);
    let _ = stage.all(|node| if node == 0 { signed_up(node) + "CREATE team\n" } else { signed_up(node) });
    let _ = stage.all(|node| match node {
        0 => "EXPECT MEMBER FROM bert STATE joined\nEXPECT MEMBER FROM cleo STATE joined\n\
              PROMOTE team bert\nPROMOTE team bert\nPROMOTE team cleo\n"
            .to_owned(),
        node if AT_FIRST.contains(&node) => "JOIN team\n".to_owned(),
        _ => "PING\n".to_owned(),
    });
    let heard = talk(&mut stage, &mut rng);
    println!("killed: {:?}", heard.killed);

    // Whoever is in the group hears everybody in it, and whoever is not says and hears nothing any more.
    let members: Vec<usize> = (0..NAMES.len()).filter(|node| *node != GONE && *node != KICKED).collect();
    let _ = stage.all(|node| match node {
        GONE => "!refused SEND GROUP team too late\n".to_owned(),
        KICKED => "!refused SEND GROUP team too late\n!refused JOIN team\n".to_owned(),
        node => {
            let others = members.iter().filter(|other| **other != node);
            let heard = others.map(|o| format!("EXPECT MESSAGE FROM {} IN team \"late\" WITHIN 60s\n", NAMES[*o]));
            heard.fold("SEND GROUP team late\n".to_owned(), |script, line| script + &line)
        }
    });
    let shown = stage.all(|node| {
        let members = if members.contains(&node) { "MEMBERS team" } else { "!refused MEMBERS team" };
        format!("WAIT IDLE WITHIN 60s\n{members}\nHISTORY &team 10000\n")
    });
    check_members(&shown, &members);
    check_changes(&shown, &heard);
    check_messages(&shown, &heard, &members);
}
