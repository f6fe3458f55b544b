//! Real directory, real nodes, whole scripts: what a person would see, and what a thief would find.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use directory::server::{Server, Settings};

fn script(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    if name == "demo.txt" {
        tests.parent().unwrap().join("examples").join(name)
    } else {
        tests.join("scripts").join(name)
    }
}

/// A directory for one test, and nodes that use it.
struct Place {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with_opening_balance(None)
    }

    /// Where everybody begins with a hundred.
    fn rich() -> Self {
        Self::with_opening_balance(Some("100.00"))
    }

    fn with_opening_balance(balance: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut settings = Settings::in_folder(folder.path().join("directory"));
        settings.money.opening_balance = balance.map(str::to_owned);
        let server = runtime.block_on(Server::start(settings)).unwrap();
        Self { runtime, server: Some(server), folder }
    }

    fn node(&self, arguments: &[&str]) -> Command {
        let server = self.server.as_ref().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_quick-node"));
        command.arg("--directory").arg(format!("{}#{}", server.local_addr(), server.fingerprint()));
        command.args(arguments).env("HOME", self.folder.path()).env_remove("XDG_DATA_HOME");
        command
    }

    fn play(&self, name: &str, arguments: &[&str]) -> Output {
        let output = self.node(arguments).arg("--script").arg(script(name)).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_demo_plays() {
    let output = Place::rich().play("demo.txt", &[]);
    assert!(text(&output.stdout).contains("The meeting is at eight."));
}

#[test]
fn mistakes_have_their_classes() {
    Place::new().play("mistakes.txt", &[]);
}

#[test]
fn one_person_has_several_devices_and_decides_whom_to_trust() {
    Place::new().play("devices.txt", &[]);
}

#[test]
fn people_make_groups_talk_in_them_and_agree_on_who_is_in() {
    Place::new().play("groups.txt", &[]);
}

/// What `files.txt` sends.
fn sent(folder: &Path) {
    let photos = folder.join("photos/2026");
    fs::create_dir_all(photos.join("empty")).unwrap();
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes) in [
        ("cat.png", b"a cat".as_slice()),
        ("my cat.png", b"my cat"),
        ("empty", b""),
        ("large.bin", &large),
        ("photos/one.png", b"one"),
        ("photos/2026/two.png", b"two"),
        ("photos/2026/.hidden", b""),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", photos.join("link")).unwrap();
}

/// Everything in a folder, with its bytes; folders have none.
fn tree(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                found.push((name, None));
                folders.push(path);
            } else {
                found.push((name, Some(fs::read(path).unwrap())));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn people_offer_files_and_folders_and_take_them() {
    let place = Place::new();
    let (from, out, inbox) =
        (place.folder.path().join("from"), place.folder.path().join("out"), place.folder.path().join("in"));
    fs::create_dir_all(&from).unwrap();
    sent(&from);
    let (dir, into) = (format!("DIR={}", from.display()), format!("OUT={}", out.display()));
    let inboxes = inbox.display().to_string();
    let output = place.play("files.txt", &["--json", "--inbox", &inboxes, "--set", &dir, "--set", &into]);
    let sent = |name: &str| Some(fs::read(from.join(name)).unwrap());
    // What came while its sender was there, and what was taken when she had gone.
    let files = ["cat (1).png", "cat (2).png", "cat (3).png", "cat.png"].map(|name| (name, "cat.png"));
    let files = files.into_iter().chain(["empty", "empty (1)", "empty (2)"].map(|name| (name, "empty")));
    let files = files.chain(["large (1).bin", "large.bin"].map(|name| (name, "large.bin")));
    let mut expected: Vec<_> = files.map(|(name, as_sent)| (name.to_owned(), sent(as_sent))).collect();
    for photos in ["photos", "photos (1)"] {
        expected.extend([
            (photos.to_owned(), None),
            (format!("{photos}/2026"), None),
            (format!("{photos}/2026/.hidden"), sent("empty")),
            (format!("{photos}/2026/empty"), None),
            (format!("{photos}/2026/two.png"), sent("photos/2026/two.png")),
            (format!("{photos}/one.png"), sent("photos/one.png")),
        ]);
    }
    expected.sort();
    assert_eq!(tree(&inbox.join("bob")), expected, "nothing else, and no link");
    assert_eq!(tree(&inbox.join("carol")), [("cat.png".to_owned(), sent("cat.png"))]);
    assert_eq!(tree(&out), [("taken here.png".to_owned(), sent("my cat.png"))]);
    let text = text(&output.stdout);
    assert!(text.contains(r#""event":"progress""#), "{text}");
}

#[test]
fn people_pay_and_ask_for_money_where_they_talk() {
    let place = Place::rich();
    let output = place.play("money.txt", &["--json"]);
    let text = text(&output.stdout);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let got = lines.iter().find(|line| line["actor"] == "bob" && line["event"] == "payment").unwrap();
    let fields = ["from", "to", "amount", "memo", "balance"].map(|field| got[field].as_str().unwrap());
    assert_eq!(fields, ["alice", "bob", "12.50", "lunch", "112.50"]);
    // Nobody else paid or got anything, and nothing was made or lost.
    let last = |actor: &str| {
        let mut of = lines.iter().filter(|line| line["actor"] == actor && line["event"] == "payment");
        let balance = of.next_back().unwrap()["balance"].as_str().unwrap();
        balance.replace('.', "").parse::<u64>().unwrap()
    };
    assert_eq!(last("alice") + last("bob"), 20_000);
}

#[test]
fn what_was_said_is_found_by_its_words() {
    let place = Place::new();
    let output = place.play("search.txt", &["--json"]);
    let results = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>();
    let searches = results.iter().filter(|line: &&serde_json::Value| line["result"] == "search" && line["ok"] == true);
    let found = searches.map(|line| {
        let messages = line["messages"].as_array().unwrap().iter();
        messages.map(|message| message["text"].as_str().unwrap()).collect::<Vec<_>>()
    });
    let (direct, answer) = ("I bring the biscuits", "\"Biscuits\"? it's café au lait OR nothing");
    let (group, blocked) = ("biscuits for everybody at eight", "carol reads no biscuits of mine");
    let expected: [&[&str]; 11] = [
        &[direct, answer, group, blocked],
        &[group, blocked],
        &[direct, answer],
        &[answer],
        &[direct, answer],
        &[],
        &[answer],
        &["meet me in town"],
        &[group],
        &[group],
        &[group],
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn whoever_is_away_misses_nothing() {
    Place::new().play("away.txt", &[]);
}

#[test]
fn remote_text_never_reaches_a_terminal_unescaped() {
    let hostile = "a\u{1b}[2J\u{1b}]52;c;AAAA\u{7}\u{9b}31m\u{202e}\rpwned";
    let place = Place::new();
    let output = place.node(&["--script"]).arg(script("hostile.txt")).env("HOSTILE", hostile).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains(r"a\u{1b}[2J\u{1b}]52;c;AAAA\u{7}\u{9b}31m\u{202e}\u{d}pwned"), "{shown}");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{shown:?}");

    let place = Place::new();
    let output =
        place.node(&["--json", "--script"]).arg(script("hostile.txt")).env("HOSTILE", hostile).output().unwrap();
    let shown = text(&output.stdout);
    assert!(shown.contains(r"a\u001b[2J\u001b]52;c;AAAA\u0007\u009b31m\u202e\rpwned"), "{shown}");
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{shown:?}");
    for line in shown.lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
}

/// Files below a folder that hold one of these words.
fn found(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(self::found(&path, words));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for word in words {
            if bytes.windows(word.len()).any(|window| window == word.as_bytes()) {
                found.push(format!("{word} in {}", path.display()));
            }
        }
    }
    found
}

#[test]
fn copied_folders_and_logs_reveal_nothing_of_what_was_said() {
    let place = Place::rich();
    let profiles = place.folder.path().join("profiles");
    let log = place.folder.path().join("node.log");
    let (profiles_text, log_text) = (profiles.to_str().unwrap(), log.to_str().unwrap());
    place.play("demo.txt", &["--data", profiles_text, "-v", "--log-file", log_text]);
    let secrets = ["least of all", "good biscuits", "ginger biscuits", "correct-horse-1", "correct-horse-2"];
    assert!(fs::metadata(&log).unwrap().len() > 0, "there is a log to look at");
    assert!(profiles.join("alice").join("profile.key").exists(), "there are profiles to look at");
    // A file that was taken lies open where its person wants it; the demo sends itself.
    fs::remove_file(profiles.join("bob").join("inbox").join("demo.txt")).unwrap();
    assert_eq!(found(place.folder.path(), &secrets), Vec::<String>::new());
    // The same search finds what is there to be found.
    fs::write(profiles.join("planted"), "… the good biscuits …").unwrap();
    let control = found(place.folder.path(), &secrets);
    assert_eq!(control, [format!("good biscuits in {}", profiles.join("planted").display())]);
}
