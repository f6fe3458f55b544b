//! Whatever somebody sends: a screen gets nothing that acts upon it, a program gets it exactly.

use std::sync::LazyLock;

use node_core::{
    command::{Failure, FailureCode, HistoryEntry, Outcome},
    event::{DeliveryState, Event, EventKind, ShortId, Trust},
};
use proptest::prelude::*;
use protocol::{MessageId, Name, Timestamp};
use regex::Regex;

use super::*;

/// What Unicode itself says must be made visible: a second opinion to the table of the view.
static ACTS_UPON_A_SCREEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Noncharacter_Code_Point}]").unwrap());

/// The sequences that the view itself colours with.
static COLOURS: LazyLock<Regex> = LazyLock::new(|| Regex::new("\u{1b}\\[[0-9]*m").unwrap());

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn event(kind: EventKind) -> Event {
    Event { seq: Some(1), at: Timestamp(0), kind }
}

fn message(text: &str) -> Event {
    event(EventKind::Message {
        id: ShortId::Message(1),
        uid: MessageId([1; 16]),
        from: name("bob"),
        text: text.to_owned(),
        sent_at: Timestamp(0),
        trust: Trust::Stranger,
        gap: false,
        to: None,
        group: None,
        muted: false,
    })
}

fn group_message(text: &str) -> Event {
    let mut event = message(text);
    if let EventKind::Message { group, .. } = &mut event.kind {
        *group = Some(name("team"));
    }
    event
}

fn group_history(text: &str) -> Outcome {
    let mut outcome = history(text);
    if let Outcome::History { messages } = &mut outcome {
        messages.iter_mut().for_each(|entry| entry.in_group = true);
    }
    outcome
}

fn failed(reason: &str) -> Event {
    event(EventKind::Receipt {
        id: ShortId::Message(1),
        uid: MessageId([1; 16]),
        to: name("bob"),
        state: DeliveryState::Failed,
        reason: Some(reason.to_owned()),
        group: None,
    })
}

fn history(text: &str) -> Outcome {
    let entry = HistoryEntry {
        id: ShortId::Message(1),
        uid: MessageId([1; 16]),
        from: name("alice"),
        to: name("bob"),
        text: text.to_owned(),
        at: Timestamp(0),
        sent_at: Timestamp(0),
        state: None,
        gap: false,
        in_group: false,
        member: None,
        money: None,
    };
    Outcome::History { messages: vec![entry] }
}

fn found(text: &str) -> Outcome {
    let Outcome::History { messages } = group_history(text) else { return Outcome::Done };
    Outcome::Found { messages, more: false }
}

/// Everything that a screen gets of a text.
fn screens(text: &str, style: &Style) -> Vec<String> {
    vec![
        visible(text).into_owned(),
        event_text(&message(text), style).unwrap(),
        event_text(&group_message(text), style).unwrap(),
        event_text(&failed(text), style).unwrap(),
        outcome_text(&group_history(text), style),
        outcome_text(&history(text), style),
        outcome_text(&found(text), style),
        failure_text(&Failure::new(FailureCode::Refused, text), style),
    ]
}

/// Everything that a program gets of a text, and where the text is in it.
fn objects(text: &str) -> Vec<(String, &'static str)> {
    let failure = Failure::new(FailureCode::Refused, text);
    vec![
        (event_json(&message(text), "alice"), "/text"),
        (event_json(&group_message(text), "alice"), "/text"),
        (event_json(&failed(text), "alice"), "/reason"),
        (outcome_json(&group_history(text), "history", "alice", Some(1), Timestamp(0)), "/messages/0/text"),
        (outcome_json(&history(text), "history", "alice", Some(1), Timestamp(0)), "/messages/0/text"),
        (outcome_json(&found(text), "search", "alice", Some(1), Timestamp(0)), "/messages/0/text"),
        (failure_json(&failure, "send", "alice", None, Timestamp(0)), "/error/message"),
    ]
}

/// Texts of every sort of character, those that do harm more often than by chance.
fn remote() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => any::<char>(),
        2 => prop::char::range('\0', '\u{a0}'),
        1 => prop::char::range('\u{200b}', '\u{206f}'),
        1 => prop::char::range('\u{fdcf}', '\u{fdf0}'),
        1 => prop::char::range('\u{fff0}', '\u{10000}'),
        1 => prop::char::range('\u{e0000}', '\u{e0080}'),
        1 => prop::sample::select(vec!['\n', '\r', '\u{1b}', '\u{85}', '\u{2028}', '"', '\\', '/']),
    ];
    prop::collection::vec(character, 0..40).prop_map(|characters| characters.into_iter().collect())
}

/// What `\u{…}` and indented lines stood for.
fn undone(shown: &str) -> String {
    let escape = Regex::new(r"\\u\{([0-9a-f]+)\}").unwrap();
    let shown = shown.replace("\n    ", "\n");
    let character =
        |found: &regex::Captures<'_>| char::from_u32(u32::from_str_radix(&found[1], 16).unwrap()).unwrap().to_string();
    escape.replace_all(&shown, character).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_a_screen_gets_acts_upon_it_and_further_lines_are_indented(text in remote()) {
        for color in [false, true] {
            let style = Style { color, zone: jiff::tz::TimeZone::UTC, reader: None };
            for shown in screens(&text, &style) {
                let shown = if color { COLOURS.replace_all(&shown, "").into_owned() } else { shown };
                let mut lines = shown.split('\n');
                prop_assert!(!ACTS_UPON_A_SCREEN.is_match(lines.next().unwrap_or_default()), "{:?}", shown);
                for line in lines {
                    prop_assert!(line.starts_with("    ") && !ACTS_UPON_A_SCREEN.is_match(line), "{:?}", shown);
                }
                // Only the text's own line breaks make lines.
                prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count(), "{:?}", shown);
            }
        }
    }

    #[test]
    fn what_is_made_visible_is_all_there(text in remote().prop_map(|text| text.replace('\\', ""))) {
        prop_assert_eq!(undone(&visible(&text)), text);
    }

    #[test]
    fn a_program_gets_one_line_without_such_characters_that_holds_the_text_exactly(text in remote()) {
        for (line, place) in objects(&text) {
            prop_assert!(!ACTS_UPON_A_SCREEN.is_match(&line), "{:?}", line);
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(object.pointer(place).and_then(|value| value.as_str()), Some(text.as_str()), "{}", line);
        }
    }
}

#[test]
fn every_single_character_of_unicode_is_judged_as_unicode_judges_it() {
    for c in '\0'..=char::MAX {
        let judged = is_unseen(c);
        assert_eq!(judged, ACTS_UPON_A_SCREEN.is_match(c.encode_utf8(&mut [0; 4])), "{:x}", u32::from(c));
    }
}
