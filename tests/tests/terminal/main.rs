//! The prompt on a real (pseudo-)terminal, as a person sees it: this test program starts itself as the one that
//! prompts, types at it, sends it things to show, and looks at the screen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails in a test fails the test")]

mod child;
mod files;
mod pseudo;
mod session;

use pseudo::Pseudo;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";
const ENTER: &str = "\r";
const ALT_ENTER: &str = "\x1b\r";

#[test]
fn what_arrives_while_typing_stands_above_and_the_typed_text_stays() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("SEND bob half a");
    terminal.wait_for_line("alice ○ › SEND bob half a");
    terminal.tell("print bob: hello");
    terminal.tell("print carol: hello too");
    terminal.wait_for_lines(&["bob: hello", "carol: hello too", "alice ○ › SEND bob half a"]);
    assert_eq!(terminal.cursor_column(), "alice ○ › SEND bob half a".chars().count());
    terminal.type_text(" sentence");
    terminal.type_text(ENTER);
    terminal.wait_for_line("line: \"SEND bob half a sentence\"");
}

#[test]
fn a_flood_while_typing_loses_neither_a_line_nor_a_key() {
    let mut terminal = Pseudo::start(60, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    let text = "the quick brown fox jumps";
    for (number, key) in text.chars().enumerate() {
        for part in 0..8 {
            terminal.tell(&format!("print flood {}", number * 8 + part));
        }
        terminal.type_text(&key.to_string());
    }
    terminal.wait_for_lines(&["flood 198", "flood 199", &format!("alice ○ › {text}")]);
    let all = terminal.everything_shown();
    let shown: Vec<usize> = all
        .split("flood ")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap())
        .collect();
    assert_eq!(shown, (0..200).collect::<Vec<_>>());
}

#[test]
fn the_mark_in_the_prompt_changes_with_the_connection_while_a_line_is_being_typed() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("half");
    terminal.tell("online");
    terminal.tell("print connected");
    terminal.wait_for_lines(&["connected", "alice ● › half"]);
}

#[test]
fn a_password_on_the_line_is_bullets_as_it_is_typed_and_is_not_remembered() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    // None of these letters occurs in anything else that is shown.
    for key in "signup bob ZQXJZQXJ".chars() {
        terminal.type_text(&key.to_string());
    }
    terminal.wait_for_line("alice ○ › signup bob ••••••••");
    terminal.tell("print redrawn");
    terminal.wait_for_lines(&["redrawn", "alice ○ › signup bob ••••••••"]);
    terminal.type_text(ENTER);
    terminal.wait_for_line("secret of 8 characters");
    terminal.type_text(UP);
    terminal.wait_for_line("alice ○ › signup bob");
    assert!(!terminal.everything_shown().contains(['Z', 'Q', 'X', 'J']), "{}", terminal.everything_shown());
}

#[test]
fn a_password_that_is_asked_for_is_hidden_and_comes_back_by_no_key() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("password");
    terminal.type_text(ENTER);
    terminal.wait_for_line("Password:");
    terminal.type_text("ZQXJZQXJ");
    terminal.wait_for_line("Password: ••••••••");
    // What arrives meanwhile waits for the next line.
    terminal.tell("print later");
    // Ctrl-U puts the text where Ctrl-Y would take it from.
    terminal.type_text("\x15");
    terminal.type_text("ZQXJ");
    terminal.type_text(ENTER);
    terminal.wait_for_lines(&["later", "secret of 4 characters", "alice ○ ›"]);
    terminal.type_text("\x19");
    terminal.type_text("x");
    terminal.wait_for_line("alice ○ › x");
    assert!(!terminal.everything_shown().contains(['Z', 'Q', 'X', 'J']), "{}", terminal.everything_shown());
}

#[test]
fn a_paste_of_several_lines_is_one_text_and_runs_nothing_by_itself() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    assert!(terminal.takes_pastes());
    terminal.type_text("\x1b[200~one\r\ntwo\nthree\n\x1b[201~");
    terminal.type_text("!");
    terminal.wait_for_line("!");
    assert!(!terminal.everything_shown().contains("line:"));
    terminal.type_text(ENTER);
    terminal.wait_for_line("line: \"one\\ntwo\\nthree\\n!\"");
}

#[test]
fn alt_enter_starts_a_new_line_of_the_same_text() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("one");
    terminal.type_text(ALT_ENTER);
    terminal.type_text("two");
    terminal.wait_for_lines(&["alice ○ › one", "two"]);
    terminal.type_text(ENTER);
    terminal.wait_for_line("line: \"one\\ntwo\"");
}

#[test]
fn ctrl_c_clears_the_line_and_leaves_only_when_it_is_pressed_twice_in_a_row() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("half");
    terminal.wait_for_line("alice ○ › half");
    terminal.type_text(CTRL_C);
    terminal.wait_for_lines(&["cleared", "alice ○ ›"]);
    terminal.type_text("other");
    terminal.wait_for_line("alice ○ › other");
    terminal.type_text(CTRL_C);
    terminal.wait_for_lines(&["alice ○ › other", "cleared", "alice ○ ›"]);
    terminal.type_text(CTRL_C);
    terminal.wait_for_line("left");
    assert_eq!(terminal.exit_code(), 130);
    terminal.assert_sane();
}

#[test]
fn ctrl_d_leaves() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text(CTRL_D);
    assert_eq!(terminal.exit_code(), 0);
    terminal.assert_sane();
}

#[test]
fn sigterm_in_the_middle_of_a_line_leaves_the_terminal_as_it_was() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("half a li");
    terminal.wait_for_line("alice ○ › half a li");
    assert!(!terminal.is_sane(), "the editor has the terminal");
    terminal.terminate();
    assert_eq!(terminal.exit_code(), 143);
    terminal.assert_sane();
}

#[test]
fn a_panic_on_any_thread_leaves_the_terminal_as_it_was_and_says_what_happened() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.tell("panic");
    terminal.wait_for_text("as it was told to");
    assert_eq!(terminal.exit_code(), 101);
    terminal.assert_sane();
}

#[test]
fn a_narrow_terminal_wraps_the_line_and_keeps_it() {
    let mut terminal = Pseudo::start(20, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("SEND bob a text that is longer");
    terminal.wait_for_lines(&["alice ○ › SEND bob a", " text that is longer"]);
    terminal.tell("print bob: this is longer than the screen");
    terminal.wait_for_lines(&[
        "bob: this is longer",
        "than the screen",
        "alice ○ › SEND bob a",
        " text that is longer",
    ]);
}

#[test]
fn the_prompt_shows_where_bare_lines_go_beside_the_mark_of_the_connection() {
    let mut terminal = Pseudo::start(80, "xterm-256color");
    terminal.wait_for_line("alice ○ ›");
    terminal.type_text("to &team\r");
    terminal.wait_for_line("alice ○ &team ›");
    terminal.tell("online");
    terminal.tell("print connected");
    terminal.wait_for_lines(&["connected", "alice ● &team ›"]);
    let mut terminal = Pseudo::start(80, "dumb");
    terminal.wait_for_line("alice>");
    terminal.type_text("to @bob\n");
    terminal.wait_for_line("alice @bob>");
}

#[test]
fn a_dumb_terminal_gets_plain_lines_and_no_escape_code() {
    let mut terminal = Pseudo::start(80, "dumb");
    terminal.wait_for_line("alice>");
    terminal.tell("print bob: hello");
    // Not before the prompt is back: what is typed earlier would stand above it.
    terminal.wait_for_lines(&["bob: hello", "alice>"]);
    terminal.type_text("PING\n");
    terminal.wait_for_lines(&["line: \"PING\"", "alice>"]);
    terminal.type_text("password\n");
    terminal.wait_for_text("Password:");
    terminal.wait_until_hidden();
    terminal.type_text("ZQXJZQXJ\n");
    terminal.wait_for_lines(&["secret of 8 characters", "alice>"]);
    terminal.type_text(CTRL_D);
    assert_eq!(terminal.exit_code(), 0);
    terminal.assert_sane();
    assert!(!terminal.everything_shown().contains(['\x1b', 'Z', 'Q', 'X', 'J']), "{:?}", terminal.everything_shown());
}
