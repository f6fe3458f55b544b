//! Where values come from, and what they can't do.

use super::played::{Script, asked, end};

#[tokio::test(start_paused = true)]
async fn let_comes_before_set_before_the_environment_before_the_default() {
    let script = |text: &str| {
        Script::new(text).environment("A", "env").environment("B", "env").environment("E", "").set("B", "set")
    };
    for (line, sent) in [
        ("SEND bob ${A}", "env"),
        ("SEND bob ${B}", "set"),
        ("LET A own\nSEND bob ${A}", "own"),
        ("LET B own\nSEND bob ${B}", "own"),
        ("LET B one\nLET B two words\nSEND bob ${B}", "two words"),
        ("SEND bob ${C:-default}", "default"),
        ("SEND bob ${C:-two words}", "two words"),
        ("SEND bob ${A:-default}", "env"),
        ("SEND bob ${E:-default}", "default"),
        ("SEND bob <${E}>", "<>"),
        ("SEND bob <${C:-}>", "<>"),
        ("SEND bob $${A} $A {A} $", "${A} $A {A} $"),
        ("SEND bob ${A}${B}", "envset"),
        ("LET n bob\nSEND ${n} hi", "hi"),
        ("LET s SE\n${s}ND bob hi", "hi"),
        ("LET d ${A} and more\nSEND bob ${d}", "env and more"),
    ] {
        assert_eq!(asked(script(line)).await, [format!("me: send bob {sent}")], "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_set_is_usage_when_its_line_runs() {
    for line in ["ECHO ${NOPE}", "ECHO ${_}", "SEND ${NOPE} hi", "!usage SEND ${NOPE} hi"] {
        let played = Script::new(&format!("PING\n{line}")).play().await;
        assert_eq!((played.code, played.asked.len()), (2, 2), "{line}: {}", played.words);
        assert!(played.words.starts_with("dir/s.txt:2: usage: "), "{}", played.words);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_never_adds_words_lines_quotes_or_variables() {
    let hostile = "a b\"c\\d/e\n${A}\tf\u{fdd0}\u{fdd7}g";
    let script = |text: &str| Script::new(text).environment("V", hostile).environment("A", "no");
    assert_eq!(asked(script("SEND bob ${V}")).await, [format!("me: send bob {hostile}")]);
    assert_eq!(asked(script("SEND bob <${V}>")).await, [format!("me: send bob <{hostile}>")]);
    // The same text written by itself is the same text.
    assert_eq!(asked(Script::new("SEND bob \u{fdd0}\u{fdd7}")).await, ["me: send bob \u{fdd0}\u{fdd7}"]);
    // A name of two words is no name, a path of two words is one path, a verb with a text is no verb.
    assert_eq!(end(Script::new("SEND ${N} hi").environment("N", "bob hi")).await.0, 2);
    assert_eq!(end(Script::new("${N}").environment("N", "SEND bob hi")).await.0, 2);
    let include = Script::new("INCLUDE ${P}").environment("P", "a b.txt").file("dir/a b.txt", "PING");
    assert_eq!(asked(include).await, ["me: Ping"]);
    // In an expectation, too.
    let matching = "alice> SEND bob ${V}\nbob> EXPECT MESSAGE FROM alice \"${V}\"";
    assert_eq!(asked(script(matching)).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_id_is_the_actors_own() {
    let script = "\
alice> SEND bob one
bob> SEND alice two
alice> EXPECT RECEIPT ID ${_}
bob> EXPECT RECEIPT ID ${_}
alice> PING
alice> EXPECT MESSAGE ID 02020202020202020202020202020202
alice> ECHO ${_}";
    let played = Script::new(script).play().await;
    assert_eq!((played.code, played.words.as_str()), (0, ""));
    assert!(played.data.ends_with("\n01010101010101010101010101010101\n"), "{}", played.data);
}

#[tokio::test(start_paused = true)]
async fn passwords_come_from_the_line_the_environment_or_a_file_but_never_from_arguments() {
    let line = "SIGNUP bob ${PW}";
    assert_eq!(asked(Script::new(line).environment("PW", "two words!")).await, ["me: signup bob two words!"]);
    assert_eq!(asked(Script::new("SIGNIN bob").password("from a file")).await, ["me: signin bob from a file"]);
    assert_eq!(asked(Script::new("SIGNIN bob hunter22").password("file")).await, ["me: signin bob hunter22"]);
    assert_eq!(end(Script::new("SIGNIN bob")).await.0, 2);
    for line in [line, "SIGNIN bob ${PW}", "LET p ${PW}\nSIGNIN bob ${p}", "SIGNUP bob x${PW} INVITE abc"] {
        let (code, words) = end(Script::new(line).set("PW", "hunter2hunter2")).await;
        assert_eq!(code, 2, "{line}");
        assert!(words.contains("a password in arguments") && !words.contains("hunter2"), "{words}");
    }
    // What is set anew in the script comes from the script.
    let script = Script::new("LET p ${PW}\nLET p hunter22\nSIGNIN bob ${p}").set("PW", "hunter2hunter2");
    assert_eq!(asked(script).await, ["me: signin bob hunter22"]);
    // A name may come from there.
    let script = Script::new("SIGNIN ${N} hunter22").set("N", "bob");
    assert_eq!(asked(script).await, ["me: signin bob hunter22"]);
}
