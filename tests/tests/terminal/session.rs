//! Whole nodes at terminals, and a real directory between them.

use std::{collections::BTreeMap, ffi::OsString};

use directory::server::{Server, Settings};
use node::{config::Config, prompt::Kind};
use node_core::stretch::StretchParameters;

use crate::pseudo::Pseudo;

/// The arguments of the node under the pseudo-terminal, one a line.
const ARGUMENTS: &str = "TUPPENCE_TEST_ARGUMENTS";
const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
const PASSWORD: &str = "ZQXJ-zqxj-77";

/// The node under the pseudo-terminal: all of the program but the cost of stretching.
#[test]
fn child_that_is_a_node() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let environment = BTreeMap::from([("NO_COLOR".to_owned(), "1".to_owned())]);
    let arguments = std::iter::once("node").chain(arguments.lines()).map(OsString::from);
    let config = Config::read(arguments, environment, Kind::Rich).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(node::run(config, CHEAP)).unwrap();
    // An exit code says nothing about itself but this.
    let code = (0..=u8::MAX).find(|number| std::process::ExitCode::from(*number) == code).unwrap();
    std::process::exit(i32::from(code));
}

/// A directory, and a folder for profiles. The directory is dropped rather than shut down: nobody waits for nodes that
/// a test has killed.
pub(crate) struct Place {
    server: Server,
    pub(crate) folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Place {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(Settings::in_memory())).unwrap();
        Self { server, folder: tempfile::tempdir().unwrap(), _runtime: runtime }
    }

    fn sit_down(&self, profile: &str) -> Pseudo {
        let server = &self.server;
        let folder = self.folder.path().join(profile);
        let directory = format!("{}#{}", server.local_addr(), server.fingerprint());
        let arguments = format!(
            "--data\n{}\n--directory\n{directory}\n--bind\n127.0.0.1:0\n-v\n--log-file\n{}",
            folder.display(),
            self.log(profile).display()
        );
        let environment = [("TERM", "xterm-256color"), (ARGUMENTS, arguments.as_str())];
        Pseudo::run("session::child_that_is_a_node", 100, &environment)
    }

    fn log(&self, profile: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{profile}.log"))
    }

    pub(crate) fn sign_up(&self, name: &str) -> Pseudo {
        let mut terminal = self.sit_down(name);
        terminal.wait_for_line("›");
        terminal.type_text(&format!("signup {name} {PASSWORD}\r"));
        terminal.wait_for_line(&format!("{name} ● ›"));
        terminal
    }
}

#[test]
fn two_people_talk_and_what_arrives_leaves_the_typed_text_alone() {
    let place = Place::new();
    let mut alice = place.sign_up("alice");
    let mut bob = place.sign_up("bob");
    bob.type_text("SEND alice half a");
    bob.wait_for_line("bob ● › SEND alice half a");
    alice.type_text("@bob hello \u{202e}bob\r");
    bob.wait_for_text("hello \\u{202e}bob m1");
    bob.wait_for_line("bob ● › SEND alice half a");
    bob.type_text(" sentence\r");
    alice.wait_for_text("bob: half a sentence m2");
    for terminal in [&alice, &bob] {
        assert!(!terminal.everything_shown().contains(PASSWORD));
    }
}

#[test]
fn bare_lines_go_where_to_says_and_the_prompt_shows_where_that_is() {
    let place = Place::new();
    let mut alice = place.sign_up("alice");
    let mut bob = place.sign_up("bob");
    alice.type_text("good evening\r");
    alice.wait_for_text("there is no command \"good\"");
    alice.type_text("to bob\r");
    alice.wait_for_line("alice ● @bob ›");
    alice.type_text("quit is what I say\r");
    bob.wait_for_text("alice (a stranger): quit is what I say m1");
    alice.type_text("//etc is a folder\r");
    bob.wait_for_text("/etc is a folder m2");
    alice.type_text("/whoami\r");
    alice.wait_for_text("fingerprint");
    alice.type_text("/TO &team\r");
    alice.wait_for_line("alice ● &team ›");
    alice.type_text("/to\r");
    alice.wait_for_line("Lines are commands again.");
    alice.wait_for_line("alice ● ›");
    alice.type_text("frobnicate\r");
    alice.wait_for_text("there is no command \"frobnicate\"");
}

#[test]
fn what_happens_in_a_group_is_on_the_screen_and_what_is_muted_is_in_the_history() {
    let place = Place::new();
    let mut alice = place.sign_up("alice");
    let mut bob = place.sign_up("bob");
    alice.type_text("create team invite\r");
    alice.wait_for_line("done");
    bob.type_text("join team\r");
    bob.wait_for_text("refused: team is by invitation only");
    alice.type_text("invite team bob\r");
    alice.wait_for_text("you invited bob to team");
    bob.wait_for_text("alice invited you to team; JOIN team comes in, LEAVE team declines");
    bob.type_text("join team\r");
    bob.wait_for_text("you joined team");
    // It is done when the others have it too.
    bob.wait_for_line("done");
    alice.wait_for_text("bob joined team");
    alice.type_text("to &team\r");
    alice.wait_for_line("alice ● &team ›");
    alice.type_text("hi \u{202e}all\r");
    bob.wait_for_text("[team] alice: hi \\u{202e}all");
    bob.type_text("mute team\r");
    bob.wait_for_lines(&["bob ● › mute team", "done", "bob ● ›"]);
    bob.type_text("list mine\r");
    bob.wait_for_text("mine, member  1 unread  muted");
    alice.type_text("ZQXJ ZQXJ\r");
    alice.wait_for_text("m4 to team: ");
    alice.type_text("/kick team bob\r");
    bob.wait_for_text("alice kicked you from team");
    assert!(!bob.everything_shown().contains("ZQXJ"), "{}", bob.everything_shown());
    bob.type_text("history &team\r");
    bob.wait_for_text("[team] alice: ZQXJ ZQXJ");
}

#[test]
fn a_profile_asks_for_its_password_and_takes_only_the_right_one() {
    let place = Place::new();
    let mut alice = place.sign_up("alice");
    alice.type_text("quit\r");
    assert_eq!(alice.exit_code(), 0);
    alice.assert_sane();

    let mut alice = place.sit_down("alice");
    alice.wait_for_line("Password of alice:");
    alice.type_text("something else\r");
    alice.wait_for_text("auth: wrong password");
    alice.wait_for_line("›");
    alice.type_text("signin alice\r");
    alice.wait_for_line("Password of alice:");
    alice.type_text(&format!("{PASSWORD}\r"));
    alice.wait_for_line("Signed in as alice, online.");
    assert!(!alice.everything_shown().contains("something"));
}

#[test]
fn sigterm_ends_a_session_with_its_code_and_a_sane_terminal() {
    let place = Place::new();
    let mut alice = place.sign_up("alice");
    alice.type_text("half a li");
    alice.wait_for_line("alice ● › half a li");
    alice.terminate();
    assert_eq!(alice.exit_code(), 143);
    alice.assert_sane();
}

#[test]
fn a_second_node_on_an_open_profile_is_told_that_it_is_in_use() {
    let place = Place::new();
    let mut first = place.sign_up("alice");
    let mut second = place.sit_down("alice");
    second.wait_for_line("Password of alice:");
    second.type_text(&format!("{PASSWORD}\r"));
    second.wait_for_text("profile in use");
    first.type_text("whoami\r");
    first.wait_for_text("fingerprint");
}

#[test]
fn a_log_tells_of_connections_and_never_what_was_said_or_typed() {
    let place = Place::new();
    let mut alice = place.sign_up("alice");
    let mut bob = place.sign_up("bob");
    alice.type_text("@bob canary-51f0 for you\r");
    bob.wait_for_text("canary-51f0 for you m1");
    bob.type_text("@alice canary-51f0 for you too\r");
    alice.wait_for_text("canary-51f0 for you too m2");
    for (profile, terminal) in [("alice", &mut alice), ("bob", &mut bob)] {
        terminal.type_text("quit\r");
        assert_eq!(terminal.exit_code(), 0);
        let log = std::fs::read_to_string(place.log(profile)).unwrap();
        assert!(log.contains("directory connected"), "the log is written: {log}");
        assert!(!log.contains("canary-51f0") && !log.contains(PASSWORD), "{log}");
    }
}
