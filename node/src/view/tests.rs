use node_core::{
    command::{Failure, FailureCode, HistoryEntry, Outcome},
    event::{DeliveryState, Event, EventKind, ShortId, Trust},
};
use protocol::{MessageId, Name, Timestamp};

use super::*;

/// ESC, OSC 52, a C1 control, bidi override, lone CR, zero width space.
const HOSTILE: &str = "a\u{1b}[2Jb\u{1b}]52;c;eA==\u{7}c\u{9b}d\u{202e}e\rf\u{200b}g\u{e0041}h";
const SHOWN: &str = "a\\u{1b}[2Jb\\u{1b}]52;c;eA==\\u{7}c\\u{9b}d\\u{202e}e\\u{d}f\\u{200b}g\\u{e0041}h";

fn style() -> Style {
    Style { color: false, zone: jiff::tz::TimeZone::UTC }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn message(text: &str) -> Event {
    let kind = EventKind::Message {
        id: ShortId::Message(12),
        uid: MessageId([0xab; 16]),
        from: name("bob"),
        text: text.to_owned(),
        sent_at: Timestamp(1_000),
        trust: Trust::Pinned,
        gap: false,
        to: None,
        group: None,
    };
    Event { seq: Some(6), at: Timestamp(1_769_856_127_120), kind }
}

fn entry(text: &str) -> HistoryEntry {
    HistoryEntry {
        id: ShortId::Message(3),
        uid: MessageId([1; 16]),
        from: name("alice"),
        to: name("bob"),
        text: text.to_owned(),
        at: Timestamp(0),
        sent_at: Timestamp(u64::MAX),
        state: Some(DeliveryState::Sent),
        gap: true,
        in_group: false,
        member: None,
    }
}

#[test]
fn hostile_text_is_shown_escaped_everywhere() {
    assert_eq!(visible(HOSTILE), SHOWN);
    assert_eq!(event_text(&message(HOSTILE), &style()).unwrap(), format!("10:42 bob: {SHOWN} m12"));
    let history = outcome_text(&Outcome::History { messages: vec![entry(HOSTILE)] }, &style());
    assert!(history.contains(SHOWN), "{history}");
    let failure = failure_text(&Failure::new(FailureCode::Refused, HOSTILE), &style());
    assert_eq!(failure, format!("refused: {SHOWN}"));
}

#[test]
fn a_text_of_several_lines_is_indented() {
    assert_eq!(event_text(&message("one\ntwo"), &style()).unwrap(), "10:42 bob: one\n    two m12");
}

#[test]
fn json_carries_text_exactly_with_no_raw_format_character() {
    let line = event_json(&message(HOSTILE), "alice");
    let start = r#"{"v":1,"seq":6,"at":"2026-01-31T10:42:07.120Z","actor":"alice","event":"message","id":"m12","uid":"#;
    assert!(line.starts_with(start), "{line}");
    assert!(line.contains("\\u202e") && line.contains("\\u009b") && line.contains("\\udb40\\udc41"), "{line}");
    assert!(line.chars().all(|c| !remote::is_unseen(c)), "{line}");
    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["text"], HOSTILE);
    assert_eq!(read.get("gap"), None, "what does not apply is absent");
}

#[test]
fn results_and_failures_are_objects_of_their_own() {
    let sent = Outcome::Sent {
        id: ShortId::Message(12),
        uid: MessageId([0xab; 16]),
        to: name("bob"),
        state: DeliveryState::Delivered,
    };
    assert_eq!(
        outcome_json(&sent, "send", "alice", Some(5), Timestamp(0)),
        format!(
            r#"{{"v":1,"at":"1970-01-01T00:00:00.000Z","actor":"alice","result":"send","ok":true,"line":5,"id":"m12","uid":"{}","to":"bob","state":"delivered"}}"#,
            "ab".repeat(16)
        )
    );
    let failure = Failure::new(FailureCode::Refused, "no");
    assert_eq!(
        failure_json(&failure, "send", "alice", None, Timestamp(0)),
        r#"{"v":1,"at":"1970-01-01T00:00:00.000Z","actor":"alice","result":"send","ok":false,"error":{"code":7,"message":"no","name":"refused"}}"#
    );
}

#[test]
fn a_history_entry_says_its_state_and_its_gap_in_both_forms() {
    let outcome = Outcome::History { messages: vec![entry("hi")] };
    assert_eq!(
        outcome_text(&outcome, &style()),
        "(messages before this one are missing)\nm3 1970-01-01 00:00 alice → bob: hi [sent]"
    );
    let json: serde_json::Value =
        serde_json::from_str(&outcome_json(&outcome, "history", "alice", None, Timestamp(0))).unwrap();
    assert_eq!(json["messages"][0]["state"], "sent");
    assert_eq!(json["messages"][0]["gap"], true);
    assert_eq!(json["messages"][0]["sent_at"].as_str().unwrap().len(), "2026-01-31T10:42:07.120Z".len());
}

#[test]
fn colours_are_used_only_where_they_are_wanted() {
    let colorful = Style { color: true, ..style() };
    assert!(event_text(&message("hi"), &colorful).unwrap().contains("\u{1b}[1mbob\u{1b}[0m"));
    assert!(!event_text(&message("hi"), &style()).unwrap().contains('\u{1b}'));
}
