//! Files that include files, parts for some actors only, and commands from arguments.

use super::played::{Script, asked, end};
use crate::script::stage::commands_steps;

#[tokio::test(start_paused = true)]
async fn an_included_file_is_found_from_the_one_that_includes_it() {
    let script = Script::new("PING\nINCLUDE sub/one.txt\nSTATUS")
        .file("dir/sub/one.txt", "SEND bob one\nINCLUDE two.txt\nINCLUDE ../three.txt")
        .file("dir/sub/two.txt", "SEND bob two")
        .file("dir/sub/../three.txt", "SEND bob three");
    let sent = ["me: Ping", "me: send bob one", "me: send bob two", "me: send bob three", "me: Status"];
    assert_eq!(asked(script).await, sent);
    // As often as one likes, but not within itself.
    let twice = Script::new("INCLUDE one.txt\nINCLUDE one.txt").file("dir/one.txt", "PING");
    assert_eq!(asked(twice).await, ["me: Ping", "me: Ping"]);
    for line in ["a b.txt", "\"a b.txt\"", "a\\ b.txt", "  a b.txt  "] {
        let script = Script::new(&format!("INCLUDE {line}")).file("dir/a b.txt", "PING");
        assert_eq!(asked(script).await, ["me: Ping"], "{line}");
    }
    let home = Script::new("INCLUDE ~/a.txt").environment("HOME", "/home/bob").file("/home/bob/a.txt", "PING");
    assert_eq!(asked(home).await, ["me: Ping"]);
    let absolute = Script::new("INCLUDE /a b.txt").file("/a b.txt", "PING");
    assert_eq!(asked(absolute).await, ["me: Ping"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_included_file_is_said_with_its_place_before_anything_runs() {
    let with = |text: &str| Script::new("PING\nINCLUDE one.txt").file("dir/one.txt", text);
    for (script, code, words) in [
        (with("PING\n\nSEND bob"), 2, "dir/one.txt:3: usage: "),
        (with("INCLUDE \"a"), 2, "dir/one.txt:1: usage: a path in quotes"),
        (with("INCLUDE \"a\" b"), 2, "dir/one.txt:1: usage: a path in quotes"),
        (with("sned ${A} hi"), 2, "dir/one.txt:1: usage: "),
        (with("INCLUDE one.txt"), 2, "dir/one.txt:1: usage: dir/one.txt includes itself"),
        (with("INCLUDE s.txt"), 2, "dir/one.txt:1: usage: dir/s.txt includes itself"),
        (with("INCLUDE two.txt").file("dir/two.txt", "\nWAIT"), 2, "dir/two.txt:2: usage: "),
        (with("INCLUDE gone.txt"), 6, "dir/one.txt:1: conflict: dir/gone.txt can't be included: "),
        (Script::new("PING\nINCLUDE gone.txt"), 6, "dir/s.txt:2: conflict: dir/gone.txt can't be included: "),
    ] {
        let played = script.play().await;
        assert_eq!((played.code, played.asked.len()), (code, 0), "{}", played.words);
        assert!(played.words.starts_with(words), "{}", played.words);
    }
    // A path with variables is known only when its line runs.
    let script = Script::new("PING\nINCLUDE ${F}").environment("F", "one.txt").file("dir/one.txt", "\nSEND bob");
    let played = script.play().await;
    assert_eq!((played.code, played.asked.len()), (2, 2));
    assert!(played.words.starts_with("dir/one.txt:2: usage: "), "{}", played.words);
}

#[tokio::test(start_paused = true)]
async fn files_include_files_sixteen_levels_deep() {
    let deep = |levels: usize| {
        let file = |level: usize| if level == levels { "PING".to_owned() } else { format!("INCLUDE {}", level + 1) };
        (1..=levels).fold(Script::new("INCLUDE 1"), |script, level| script.file(&format!("dir/{level}"), &file(level)))
    };
    assert_eq!(asked(deep(16)).await, ["me: Ping"]);
    let (code, words) = end(deep(17)).await;
    assert_eq!(code, 2);
    assert!(words.starts_with("dir/16:1: usage: dir/17 is included too deep"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn included_lines_have_actors_of_their_own() {
    let script = Script::new("alice> PING\nINCLUDE bob.txt").file("dir/bob.txt", "bob> PING");
    assert_eq!(asked(script).await, ["alice: Ping", "bob: Ping"]);
    // Whoever comes in by a file makes it several.
    let script = Script::new("alice> PING\nSTATUS\nINCLUDE bob.txt").file("dir/bob.txt", "bob> PING");
    let played = script.play().await;
    assert_eq!((played.code, played.asked.len()), (2, 0), "{}", played.words);
    assert!(played.words.starts_with("dir/s.txt:2: "), "{}", played.words);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_asked_for_plays_its_lines_only() {
    let text = "LET x hi\nalice> SEND bob ${x}\nbob> SEND carol ${nothing}\ncarol> PING";
    assert_eq!(asked(Script::new(text).only("alice")).await, ["alice: send bob hi"]);
    assert_eq!(asked(Script::new(text).only("carol").only("alice")).await, ["alice: send bob hi", "carol: Ping"]);
    // The lines of others are read all the same, so that every machine says the same about the file.
    assert_eq!(end(Script::new("alice> PING\nbob> sned").only("alice")).await.0, 2);
    let elsewhere = Script::new("alice> PING\nbob> INCLUDE gone.txt").only("alice");
    assert_eq!(asked(elsewhere).await, ["alice: Ping"]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_whom_the_script_does_not_know_is_refused_with_those_it_knows() {
    let text = "bob> PING\nalice> PING";
    let told = "dir/s.txt: usage: nobody in this script is called carol; its actors are alice, bob\n";
    for only in [vec!["carol"], vec!["alice", "carol"]] {
        let script = only.into_iter().fold(Script::new(text), Script::only);
        let played = script.play().await;
        assert_eq!((played.code, played.words.as_str(), played.asked.len()), (2, told, 0));
    }
    let (code, words) = end(Script::new("PING").only("alice")).await;
    assert_eq!(code, 2);
    assert!(words.contains("no line of this script has an actor"), "{words}");
    // Where a path has variables, more may come.
    let late = || Script::new("alice> PING\nINCLUDE ${F}").environment("F", "b.txt").file("dir/b.txt", "bob> PING");
    assert_eq!(asked(late().only("bob")).await, ["bob: Ping"]);
    let (code, words) = end(late().only("carol")).await;
    assert_eq!(code, 2);
    assert!(words.contains("its actors are alice, bob"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn what_let_sets_in_arguments_is_no_password() {
    let line = "LET p hunter2hunter2\nSIGNIN bob ${p}";
    assert_eq!(asked(Script::new(line)).await, ["me: signin bob hunter2hunter2"]);
    let (code, words) = end(Script::new(line).named("-c")).await;
    assert_eq!((code, words.contains("a password in arguments")), (2, true), "{words}");
    let line = "SIGNIN bob ${PW}";
    assert_eq!(asked(Script::new(line).named("-c").environment("PW", "hunter22")).await, ["me: signin bob hunter22"]);
}

#[test]
fn commands_from_arguments_are_numbered_and_hold_no_password() {
    let commands = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
        let told = |step: &crate::script::parse::Step| format!("{}{}", step.place.prefix(), step.text);
        match commands_steps(&list) {
            Ok(steps) => Ok(steps.iter().map(told).collect::<Vec<_>>()),
            Err((place, failure)) => Err(format!("{}{}", place.prefix(), failure.code.name())),
        }
    };
    assert_eq!(
        commands(&["PING", "STATUS\nLIST"]),
        Ok(vec!["-c:1: PING".into(), "-c:2: STATUS".into(), "-c:2: LIST".into()])
    );
    assert_eq!(commands(&["PING", "frob"]), Err("-c:2: usage".into()));
    for line in
        ["SIGNIN bob hunter22", "!auth signin bob hunter22", "alice> SIGNUP bob hunter22", "! sigin bob hunter22"]
    {
        assert_eq!(commands(&["PING", line]), Err("-c:2: usage".into()), "{line}");
    }
    // What the environment holds is in no arguments; a default is.
    assert_eq!(commands(&["SIGNIN bob ${PW}"]), Ok(vec!["-c:1: SIGNIN bob ${PW}".into()]));
    for line in ["SIGNIN bob ${PW:-hunter22}", "SIGNIN bob ${PW}2", "SIGNIN bob ${"] {
        assert_eq!(commands(&[line]), Err("-c:1: usage".into()), "{line}");
    }
    assert_eq!(commands(&["SIGNIN bob"]), Ok(vec!["-c:1: SIGNIN bob".into()]));
}
