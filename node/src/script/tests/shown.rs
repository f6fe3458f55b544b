//! What a script shows, and to whom.

use std::collections::BTreeMap;

use super::{
    fake::message,
    played::{Script, style},
};
use crate::script::{
    output::Form,
    parse::{DIRECTIVES, body, parse},
    variables::Variables,
};

const SCRIPT: &str = "\
# a comment
alice> SIGNUP alice correct-horse-1
alice> SEND bob hi
bob> EXPECT MESSAGE FROM alice
ECHO hello\u{1b}
bob> !auth SIGNIN bob wrong-horse
SLEEP 1500ms";

#[tokio::test(start_paused = true)]
async fn a_terminal_shows_each_step_as_it_completes_and_what_each_actor_sees() {
    let played = Script::new(&SCRIPT.replace("!auth SIGNIN bob wrong-horse", "!auth SEND alice fail 4"))
        .play_as(Form::Terminal(style()))
        .await;
    let shown = "\
alice> SIGNUP alice ••••••••
alice| Signed in as alice, online.
alice| 00:00 m1 to bob delivered
alice> SEND bob hi
alice| m1 to bob: delivered
bob| 00:00 alice: hi m1
bob> EXPECT MESSAGE FROM alice
ECHO hello\\u{1b}
hello\\u{1b}
bob> !auth SEND alice fail 4
SLEEP 1500ms
6 steps, 2 actors, 1.5 s
";
    assert_eq!((played.data.as_str(), played.words.as_str(), played.code), (shown, "", 0));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_complete_is_not_shown_as_done() {
    let script = Script::new("PING\nEXPECT MESSAGE\nPING").event("me", 2_000, message("bob", 1, "hi"));
    let played = script.play_as(Form::Terminal(style())).await;
    let shown = "\
PING
The directory answered after 1 ms.
00:00 bob: hi m1
EXPECT MESSAGE
PING
The directory answered after 1 ms.
3 steps, 1 actors, 2.0 s
";
    assert_eq!((played.data.as_str(), played.code), (shown, 0));
    let played = Script::new("PING\nSEND bob fail 7").play_as(Form::Terminal(style())).await;
    assert_eq!(played.data, "PING\nThe directory answered after 1 ms.\n2 steps, 1 actors, 0.0 s\n");
    assert_eq!(played.words, "dir/s.txt:2: refused: as asked\n");
}

#[tokio::test(start_paused = true)]
async fn a_misspelt_sign_in_shows_no_password() {
    for form in [Form::Terminal(style()), Form::Plain(style()), Form::Json] {
        let played =
            Script::new("!sigin bob hunter2hunter2\n!usage SIGNUP bob hunter2hunter2 and more").play_as(form).await;
        assert_eq!(played.code, 0);
        assert!(!played.data.contains("hunter2") && !played.words.contains("hunter2"), "{}", played.data);
    }
}

#[tokio::test(start_paused = true)]
async fn elsewhere_there_is_what_the_commands_return_and_nothing_else() {
    let played = Script::new("alice> SEND bob hi\nbob> EXPECT MESSAGE\nECHO done\nbob> HELP QUIT").play().await;
    let shown = "\
alice| m1 to bob: delivered
done
QUIT
    leaves; this device stays signed in (also: exit)
    as in  QUIT
";
    assert_eq!((played.data.as_str(), played.words.as_str(), played.code), (shown, "", 0));
}

#[tokio::test(start_paused = true)]
async fn programs_get_one_object_for_each_event_and_each_result() {
    let script = "alice> SEND bob hi\nbob> EXPECT MESSAGE\nbob> !refused SEND alice fail 7\nECHO aside\nbob> QUIT";
    let played = Script::new(script).play_as(Form::Json).await;
    assert_eq!((played.code, played.words.as_str()), (0, "aside\n"));
    let objects: Vec<serde_json::Value> = played.data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |object: &serde_json::Value| {
        let kind = object.get("event").or(object.get("result")).and_then(|kind| kind.as_str()).unwrap();
        format!("{} {kind} {} {}", object["actor"].as_str().unwrap(), object["ok"], object["line"])
    };
    assert_eq!(
        objects.iter().map(told).collect::<Vec<_>>(),
        [
            "alice receipt null null",
            "alice send true 1",
            "bob message null null",
            "bob send false 3",
            "bob quit true 5",
        ]
    );
    assert_eq!(objects[3]["error"], serde_json::json!({ "code": 7, "name": "refused", "message": "as asked" }));
}

#[test]
fn every_line_that_help_gives_for_scripts_is_one_and_every_directive_is_among_them() {
    let text = crate::language::help(Some("scripts")).unwrap();
    let examples: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    as in  ")).collect();
    assert!(examples.len() > DIRECTIVES.len(), "{text}");
    for example in &examples {
        let steps = parse("help", example).unwrap_or_else(|(_, failure)| panic!("{example}: {failure}"));
        let known = Variables::new(
            &[("m".into(), "m12".into()), ("r".into(), "r7".into()), ("greeting".into(), "hi".into())],
            BTreeMap::new(),
        );
        let expanded = known.expand(&steps[0].text, None).unwrap();
        assert!(body(&expanded).is_ok(), "{example}");
    }
    for directive in DIRECTIVES {
        let form = format!("{directive} ");
        let line = |example: &&str| example.split_once("> ").map_or(*example, |(_, line)| line).starts_with(&form);
        assert!(examples.iter().any(line), "{directive}");
        assert_eq!(crate::language::help(Some(directive)).unwrap(), text);
    }
}

#[test]
fn help_names_every_code_with_its_number() {
    let text = crate::language::help(Some("codes")).unwrap();
    let words: Vec<&str> = text.split([' ', '\n', ',']).collect();
    for number in 1..=9 {
        let code = super::fake::code_numbered(number);
        assert!(words.windows(2).any(|pair| pair == [number.to_string().as_str(), code.name()]), "{number}: {text}");
    }
}
