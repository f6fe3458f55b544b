//! How scripts end otherwise than well.

use super::played::{Script, asked, end};

#[tokio::test(start_paused = true)]
async fn a_script_stops_at_its_first_failure_names_its_place_and_ends_with_its_code() {
    for code in 1..=9 {
        let script = format!("# a comment\n\nPING\n  SEND bob fail {code}\nPING");
        let played = Script::new(&script).play().await;
        let name =
            ["other", "usage", "unreachable", "auth", "trust", "conflict", "refused", "unknown", "timeout"][code - 1];
        assert_eq!(usize::from(played.code), code);
        assert_eq!(played.words, format!("dir/s.txt:4: {name}: as asked\n"));
        assert_eq!(played.asked, ["me: Ping", &format!("me: send bob fail {code}"), "me: closed"]);
    }
    assert_eq!(end(Script::new("")).await, (0, String::new()));
    assert_eq!(end(Script::new("# nothing\n\n")).await, (0, String::new()));
}

#[tokio::test(start_paused = true)]
async fn what_must_fail_has_to_fail_as_the_line_says() {
    for (line, code) in [
        // A bare mark takes 2 to 7.
        ("!SEND bob fail 1", 9),
        ("! SEND bob fail 2", 0),
        ("!SEND bob fail 3", 0),
        ("!SEND bob fail 4", 0),
        ("!SEND bob fail 5", 0),
        ("!SEND bob fail 6", 0),
        ("!SEND bob fail 7", 0),
        ("!SEND bob fail 8", 9),
        ("!SEND bob fail 9", 9),
        ("!@bob fail 7", 0),
        // A code or its name takes itself.
        ("!1 SEND bob fail 1", 0),
        ("!8 SEND bob fail 8", 0),
        ("!unknown SEND bob fail 8", 0),
        ("!timeout SEND bob fail 9", 0),
        ("!Refused SEND bob fail 7", 0),
        ("!7 SEND bob fail 7", 0),
        ("!refused SEND bob fail 6", 9),
        ("!6 SEND bob fail 7", 9),
        // Success is never what was asked for.
        ("!SEND bob hi", 9),
        ("!refused SEND bob hi", 9),
        // Bad grammar is a failure of a command like any other, found when it runs.
        ("!usage SEND bob", 0),
        ("!SEND", 0),
        ("!frobnicate", 0),
        ("!sned bob hi", 0),
        ("!usage frobnicate", 0),
        ("!2 signup bob short", 0),
        ("!conflict frobnicate", 9),
        ("!REPLY m1 hi", 0),
        // What is neither code nor command is a slip of the code.
        ("!refsued SEND bob hi", 2),
        ("!10 SEND bob hi", 2),
        ("!0 SEND bob hi", 2),
        ("!", 2),
        ("!refused", 2),
        // Only commands can be required to fail.
        ("!timeout EXPECT MESSAGE", 2),
        ("!usage EXPECT NONSENSE", 2),
        ("!ECHO hi", 2),
        ("!!SEND bob hi", 2),
    ] {
        let played = Script::new(&format!("PING\n{line}")).play().await;
        assert_eq!(played.code, code, "{line}: {}", played.words);
        assert_eq!(played.asked.first().map(String::as_str), Some("me: Ping"), "{line}: read when it runs");
        assert_eq!(played.words.starts_with("dir/s.txt:2: "), code != 0, "{line}: {}", played.words);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_assertion_is_9() {
    for (line, code) in [
        ("ASSERT ONLINE bob", 0),
        ("assert online BOB", 0),
        ("ASSERT ONLINE carol", 9),
        ("ASSERT STATE m1 delivered", 0),
        ("ASSERT STATE 01010101010101010101010101010101 Delivered", 0),
        ("ASSERT STATE m1 sent", 9),
        ("ASSERT STATE m1 read", 9),
        ("ASSERT STATE 1 sent", 2),
        ("ASSERT ONLINE", 2),
        ("ASSERT BALANCE five", 2),
        ("ASSERT MEMBERS team 3", 0),
        ("assert members &TEAM 3", 0),
        ("ASSERT MEMBERS team 4", 9),
        ("ASSERT MEMBERS team", 2),
        ("ASSERT MEMBERS team three", 2),
        ("ASSERT MEMBERS team +3", 2),
        ("ASSERT MEMBERS t 3", 2),
        ("ASSERT", 2),
    ] {
        let (ended, words) = end(Script::new(line)).await;
        assert_eq!(ended, code, "{line}: {words}");
        assert_eq!(words.starts_with("dir/s.txt:1: "), code != 0, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_file_is_read_before_anything_runs() {
    for line in [
        "frobnicate",
        "SEND",
        "SEND bob",
        "alice bob> hi",
        "alice > PING",
        "REPLY m1 hi",
        "WAIT",
        "WAIT ONLINE",
        "WAIT IDLE FOR 5s",
        "SLEEP",
        "TIMEOUT",
        "TIMEOUT soon",
        "LET",
        "LET 1x 5",
        "LET _ 5",
        "INCLUDE",
        "ECHO ${",
        "ECHO ${a b}",
        "ECHO ${A:-${B}}",
        "RESEND 12",
        // The verb is known to be unknown whatever the variables are.
        "sned ${WHO} hi",
        "frobnicate ${X}",
    ] {
        let played = Script::new(&format!("PING\n{line}")).environment("X", "x").environment("WHO", "bob").play().await;
        assert_eq!((played.code, played.asked.len()), (2, 0), "{line}: {}", played.words);
        assert!(played.words.starts_with("dir/s.txt:2: usage: "), "{line}: {}", played.words);
    }
    // A verb that a variable makes is found when it runs.
    let played = Script::new("PING\n${X} bob hi").environment("X", "sned").play().await;
    assert_eq!((played.code, played.asked.len()), (2, 2), "{}", played.words);
}

#[tokio::test(start_paused = true)]
async fn lines_without_an_actor_belong_to_the_only_one() {
    assert_eq!(asked(Script::new("PING")).await, ["me: Ping"]);
    assert_eq!(asked(Script::new("alice> PING\nSTATUS")).await, ["alice: Ping", "alice: Status"]);
    // A later `>` is text, and so is one behind a blank.
    assert_eq!(asked(Script::new("alice>SEND bob a > b")).await, ["alice: send bob a > b"]);
    assert_eq!(asked(Script::new("\u{feff}alice>   PING\r\nalice>\r\n")).await, ["alice: Ping"]);
    let globals = "alice> PING\nbob> PING\nLET x 1\nTIMEOUT 5s\nSLEEP 1ms\nECHO hi\nINCLUDE i.txt\n  # no";
    assert_eq!(asked(Script::new(globals).file("dir/i.txt", "")).await, ["alice: Ping", "bob: Ping"]);
    for line in ["PING", "EXPECT MESSAGE", "WAIT IDLE", "ASSERT ONLINE bob", "!usage PING x"] {
        let played = Script::new(&format!("alice> PING\nbob> PING\n{line}")).play().await;
        assert_eq!(played.code, 2, "{line}");
        assert!(played.words.contains("with several actors this line needs one"), "{}", played.words);
        // What must fail is read when it runs.
        assert_eq!(played.asked.is_empty(), !line.starts_with('!'), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_temporary_profile_must_have_nothing_left() {
    let lost = "messages or files of alice are still on their way, and its profile is temporary: they are lost";
    for (script, kept, code) in [
        ("alice> SEND bob queue", false, 3),
        ("alice> SEND bob queue", true, 0),
        // The single actor's own profile is kept.
        ("SEND bob queue", false, 0),
        ("alice> SEND bob hi", false, 0),
        // What was left behind by leaving is lost just so.
        ("alice> SEND bob queue\nalice> QUIT", false, 3),
        ("alice> SEND bob queue\nalice> SIGNOUT", false, 3),
        ("alice> SEND bob queue\nalice> QUIT", true, 0),
    ] {
        let script = Script::new(script);
        let (ended, words) = end(if kept { script.kept() } else { script }).await;
        let expected = if code == 0 { String::new() } else { format!("dir/s.txt: unreachable: {lost}\n") };
        assert_eq!((ended, words), (code, expected));
    }
    // A failure ends it at once.
    let played = Script::new("alice> SEND bob queue\nalice> SEND bob fail 7").play().await;
    assert_eq!((played.code, played.took.as_secs()), (7, 0));
}
