//! Lines about files.

use node_core::{
    command::{Command, FileCommand, FileRef, MoneyCommand, MoneyRef, Recipient},
    event::ShortId,
};
use protocol::{FileId, Name};

use super::super::{Expanded, Line, parse, parse_expanded};

fn file(line: &str) -> FileCommand {
    match parse(line) {
        Ok(Some(Line::Core(Command::File(command)))) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn sent(path: &str, caption: &str) -> FileCommand {
    FileCommand::Send { to: Recipient::Person(name("bob")), path: path.to_owned(), caption: caption.to_owned() }
}

const THIRD: FileRef = FileRef::Short(ShortId::File(3));

#[test]
fn a_path_takes_quotes_or_backslashes_and_a_caption_follows_two_hyphens() {
    for (line, path, caption) in [
        ("SEND bob FILE cat.png", "cat.png", ""),
        ("send @bob file cat.png", "cat.png", ""),
        ("SEND bob FILE   cat.png  ", "cat.png", ""),
        ("SEND bob FILE cat.png -- look at her", "cat.png", "look at her"),
        ("SEND bob FILE cat.png --  it's \"her\" ", "cat.png", " it's \"her\" "),
        ("SEND bob FILE cat.png --", "cat.png", ""),
        ("SEND bob FILE \"my cat.png\"", "my cat.png", ""),
        ("SEND bob FILE \"a -- b\" -- c -- d", "a -- b", "c -- d"),
        ("SEND bob FILE \"my \\\"cat\\\".png\"", "my \"cat\".png", ""),
        ("SEND bob FILE my\\ cat.png -- hi", "my cat.png", "hi"),
        ("SEND bob FILE a\\b\\\\c", "a\\b\\c", ""),
        ("SEND bob FILE --", "--", ""),
        ("SEND bob FILE ~/Grüße.txt", "~/Grüße.txt", ""),
    ] {
        assert_eq!(file(line), sent(path, caption), "{line}");
    }
    let to = Recipient::Group(name("team"));
    let group = FileCommand::Send { to, path: "x".to_owned(), caption: String::new() };
    assert_eq!(file("SEND GROUP team FILE x"), group);
    assert_eq!(file("SEND &team FILE x"), group);
    let text = parse("SEND bob -- FILE x").unwrap();
    assert_eq!(text, Some(Line::Core(Command::Send { to: name("bob"), text: "FILE x".to_owned() })));
}

#[test]
fn a_variable_is_one_path_whatever_is_in_it() {
    for value in ["my cat.png", "a \"b\" \\ -- c", "/tmp/x"] {
        let mut line = Expanded::literal("SEND bob FILE ");
        line.push_value(value);
        line.push_literal(" -- hi");
        let parsed = parse_expanded(&line).unwrap();
        assert_eq!(parsed, Some(Line::Core(Command::File(sent(value, "hi")))), "{value}");
    }
}

#[test]
fn the_letter_of_an_id_tells_a_file_from_a_request() {
    let target = |path: &str| Some(path.to_owned());
    let full = FileRef::Full(FileId([0xab; 16]));
    let id = "ab".repeat(16);
    assert_eq!(file("FILES"), FileCommand::List);
    assert_eq!(file("ACCEPT f3"), FileCommand::Accept { id: THIRD, target: None });
    assert_eq!(file("accept F3 as \"my cat.png\""), FileCommand::Accept { id: THIRD, target: target("my cat.png") });
    assert_eq!(file(&format!("ACCEPT {id} AS x")), FileCommand::Accept { id: full, target: target("x") });
    assert_eq!(file("DECLINE f3 too large"), FileCommand::Decline { id: THIRD, reason: "too large".to_owned() });
    assert_eq!(file("CANCEL f3"), FileCommand::Cancel { id: THIRD });
    // What a full id means is for the core to say.
    let money = Command::Money(MoneyCommand::Accept { id: MoneyRef::Full([0xab; 16]) });
    assert_eq!(parse(&format!("ACCEPT {id}")).unwrap(), Some(Line::Core(money)));
    for wrong in ["ACCEPT f3 x", "ACCEPT f3 AS", "ACCEPT m3", "CANCEL f3 x", "ACCEPT f", "DECLINE f-1", "FILES all"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_taken_unasked_has_a_name_and_a_size() {
    let set = |bytes| FileCommand::SetUnasked { from: name("bob"), bytes };
    for (line, bytes) in [
        ("SET accept.bob 0", Some(0)),
        ("SET accept.bob 512", Some(512)),
        ("set ACCEPT.bob 10k", Some(10 << 10)),
        ("SET accept.bob 10M", Some(10 << 20)),
        ("SET accept.bob 2G", Some(2 << 30)),
        ("SET accept.bob 1t", Some(1 << 40)),
        ("SET accept.bob none", None),
    ] {
        assert_eq!(file(line), set(bytes), "{line}");
    }
    for wrong in ["10MB", "1.5G", "-1", "M", "99999999999T", ""] {
        assert!(parse(&format!("SET accept.bob {wrong}")).is_err(), "{wrong}");
    }
    assert!(parse("SET accept. 5").is_err() && parse("SET accept.b 5").is_err());
}
