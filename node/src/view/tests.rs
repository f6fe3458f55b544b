use node_core::{
    command::{Failure, FailureCode, GroupView, HistoryEntry, MemberLine, MemberView, MoneyLine, Outcome, PersonView},
    event::{DeliveryState, Event, EventKind, MemberChange, Money, ShortId, Trust},
};
use protocol::{
    MessageId, Name, Timestamp,
    directory::RequestState,
    money::{Amount, Currency},
    policy::{Access, Role},
};

use super::*;

/// ESC, OSC 52, a C1 control, bidi override, lone CR, zero width space.
const HOSTILE: &str = "a\u{1b}[2Jb\u{1b}]52;c;eA==\u{7}c\u{9b}d\u{202e}e\rf\u{200b}g\u{e0041}h";
const SHOWN: &str = "a\\u{1b}[2Jb\\u{1b}]52;c;eA==\\u{7}c\\u{9b}d\\u{202e}e\\u{d}f\\u{200b}g\\u{e0041}h";

fn style() -> Style {
    Style { color: false, zone: jiff::tz::TimeZone::UTC, reader: None }
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
        muted: false,
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
        money: None,
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
    assert!(line.chars().all(|c| !is_unseen(c)), "{line}");
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
fn a_history_says_what_was_paid_asked_for_and_ended() {
    let amount = Money::new(Amount::new(1_250).unwrap(), &Currency::default());
    let (paid, asked) = (ShortId::Payment(7), ShortId::Request(9));
    let rows = [
        (
            MoneyLine::Payment { id: paid, amount, request: Some(asked), refund_of: None },
            "lunch",
            "p7 1970-01-01 00:00 alice → bob: paid 12.50 for r9 · lunch",
            r#"{"amount":"12.50","at":"1970-01-01T00:00:00.000Z","from":"alice","id":"p7","kind":"payment","memo":"lunch","request":"r9","to":"bob"}"#,
        ),
        (
            MoneyLine::Payment { id: paid, amount, request: None, refund_of: Some(ShortId::Payment(3)) },
            "",
            "p7 1970-01-01 00:00 alice → bob: paid 12.50 back from p3",
            r#"{"amount":"12.50","at":"1970-01-01T00:00:00.000Z","from":"alice","id":"p7","kind":"payment","refund_of":"p3","to":"bob"}"#,
        ),
        (
            MoneyLine::Request {
                id: asked,
                amount,
                group: Some(name("team")),
                total: Some(amount),
                state: Some(RequestState::Open),
            },
            HOSTILE,
            &format!("r9 1970-01-01 00:00 alice → bob: asks for 12.50, a share of 12.50 in team · {SHOWN}"),
            r#"{"amount":"12.50","at":"1970-01-01T00:00:00.000Z","from":"alice","group":"team","id":"r9","kind":"request","state":"requested","to":"bob","total":"12.50"}"#,
        ),
        (
            MoneyLine::Closed { id: asked, state: RequestState::Declined },
            "too much",
            "r9 1970-01-01 00:00 alice → bob: declined: too much",
            r#"{"at":"1970-01-01T00:00:00.000Z","from":"alice","id":"r9","kind":"closed","reason":"too much","state":"declined","to":"bob"}"#,
        ),
    ];
    for (money, text, line, expected) in rows {
        let entry = HistoryEntry { gap: false, state: None, money: Some(money), ..entry(text) };
        let outcome = Outcome::History { messages: vec![entry] };
        assert_eq!(outcome_text(&outcome, &style()), line);
        let json: serde_json::Value =
            serde_json::from_str(&outcome_json(&outcome, "history", "alice", None, Timestamp(0))).unwrap();
        let mut fields = json["messages"][0].clone();
        fields.as_object_mut().unwrap().remove("uid").unwrap();
        if text == HOSTILE {
            assert_eq!(fields.as_object_mut().unwrap().remove("memo").unwrap(), HOSTILE);
        }
        assert_eq!(fields, serde_json::from_str::<serde_json::Value>(expected).unwrap());
    }
}

#[test]
fn what_was_found_looks_as_in_the_history_and_says_whether_there_is_more() {
    let found = |more| Outcome::Found { messages: vec![HistoryEntry { gap: false, ..entry("hi") }], more };
    let line = "m3 1970-01-01 00:00 alice → bob: hi [sent]";
    assert_eq!(outcome_text(&found(false), &style()), line);
    let rest = "There are older ones than these 1; more words, or IN and a name, lead to them.";
    assert_eq!(outcome_text(&found(true), &style()), format!("{line}\n{rest}"));
    let nothing = Outcome::Found { messages: Vec::new(), more: false };
    assert_eq!(outcome_text(&nothing, &style()), "Nothing was found.");
    assert_eq!(json(&found(false), "search").get("more"), None);
    assert_eq!(json(&found(true), "search")["more"], true);
    assert_eq!(json(&found(true), "search")["messages"][0]["text"], "hi");
    assert_eq!(json(&nothing, "search")["messages"].as_array().map(Vec::len), Some(0));
}

fn sent_to(team: &[(&str, DeliveryState)]) -> Outcome {
    let recipients = team.iter().map(|(to, state)| (name(to), *state)).collect();
    Outcome::SentGroup { id: ShortId::Message(12), uid: MessageId([0xab; 16]), group: name("team"), recipients }
}

#[test]
fn a_message_to_a_group_says_how_far_it_got_at_a_length_that_does_not_grow_with_the_group() {
    use DeliveryState::{Delivered, Failed, Queued, Read, Sent};
    let many: Vec<String> = (0..12).map(|number| format!("person-{number:02}")).collect();
    let many = many.iter().map(|name| (name.as_str(), Sent)).chain([("zoe", Read)]).collect();
    for (states, shown) in [
        (vec![("bob", Delivered), ("carol", Queued), ("dave", Read)], "2 of 3 delivered, carol queued"),
        (vec![("bob", Delivered), ("carol", Read)], "delivered to all 2"),
        (vec![("bob", Sent), ("carol", Sent), ("dave", Sent)], "sent to all 3"),
        (vec![("bob", Sent)], "sent to bob"),
        (vec![("bob", Sent), ("carol", Queued)], "0 of 2 delivered, carol queued; bob sent"),
        (
            vec![("bob", Sent), ("carol", Failed), ("dave", Sent), ("erin", Sent)],
            "0 of 4 delivered, bob, dave and erin sent; carol failed",
        ),
        (many, "1 of 13 delivered, person-00, person-01, person-02, person-03, person-04 and 7 more sent"),
        (vec![("bob", Queued), ("carol", Queued)], "queued here until somebody can be reached"),
        (vec![("bob", Failed), ("carol", Failed)], "failed for all 2"),
        (vec![], "nobody else is in it"),
    ] {
        assert_eq!(outcome_text(&sent_to(&states), &style()), format!("m12 to team: {shown}"));
    }
    assert_eq!(
        outcome_json(&sent_to(&[("bob", Delivered), ("carol", Queued)]), "send", "alice", Some(5), Timestamp(0)),
        format!(
            r#"{{"v":1,"at":"1970-01-01T00:00:00.000Z","actor":"alice","result":"send","ok":true,"line":5,"id":"m12","uid":"{}","group":"team","recipients":[{{"name":"bob","state":"delivered"}},{{"name":"carol","state":"queued"}}]}}"#,
            "ab".repeat(16)
        )
    );
}

fn group(text: &str, members: u32, role: Option<Role>, access: Access) -> GroupView {
    GroupView { name: name(text), members, role, access, unread: 0, muted: false }
}

fn person(text: &str) -> PersonView {
    let (trust, fingerprint) = (Trust::Pinned, "ab".to_owned());
    PersonView { name: name(text), online: true, last_seen: None, contact: true, trust, fingerprint }
}

fn json(outcome: &Outcome, verb: &str) -> serde_json::Value {
    serde_json::from_str(&outcome_json(outcome, verb, "alice", None, Timestamp(0))).unwrap()
}

#[test]
fn a_list_says_of_each_group_how_many_are_in_it_what_one_is_in_it_and_what_one_can_do() {
    let groups = vec![
        GroupView { unread: 4, muted: true, ..group("club", 1, Some(Role::Owner), Access::Invite) },
        group("crew", 12, None, Access::Open),
        group("guild", 3, Some(Role::Invited), Access::Invite),
        group("secret", 2, None, Access::Invite),
    ];
    let both = Outcome::People { people: vec![person("bob")], groups: groups.clone(), balance: None };
    let shown = "\
&club    1 member    mine, owner  4 unread  muted
&crew    12 members  open: JOIN crew comes in
&guild   3 members   you are invited: JOIN guild comes in, LEAVE guild declines
&secret  2 members   by invitation
bob  online   contact, key pinned";
    assert_eq!(outcome_text(&both, &style()), shown);
    let only = |people: Vec<PersonView>, groups: Vec<GroupView>| {
        outcome_text(&Outcome::People { people, groups, balance: None }, &style())
    };
    assert_eq!(only(vec![], groups[1..2].to_vec()), "&crew  12 members  open: JOIN crew comes in");
    assert_eq!(only(vec![person("bob")], vec![]), "bob  online   contact, key pinned");
    assert!(only(vec![], vec![]).contains("CREATE name"));
    let rows = &json(&both, "list")["groups"];
    let mine = serde_json::json!(
        { "name": "club", "members": 1, "role": "owner", "access": "invite", "unread": 4, "muted": true }
    );
    assert_eq!(rows[0], mine);
    assert_eq!(rows[1], serde_json::json!({ "name": "crew", "members": 12, "access": "open" }));
    assert_eq!(json(&both, "contacts").get("groups"), None);
    let unread = Outcome::Unread { people: vec![(name("bob"), 2)], groups: vec![(name("team"), 3)] };
    assert_eq!(outcome_text(&unread, &style()), "bob  2\n&team  3");
}

#[test]
fn members_are_shown_with_role_presence_devices_and_key() {
    let view =
        |text, role, trust, devices, this| MemberView { name: name(text), role, online: this, trust, devices, this };
    let members = vec![
        view("alice", Role::Owner, Trust::Verified, 2, true),
        view("bob", Role::Member, Trust::Pinned, 1, false),
        view("carol", Role::Invited, Trust::Changed, 1, false),
    ];
    let outcome = Outcome::Members { group: name("team"), members };
    let shown = "\
alice  owner    online   2 devices  you
bob    member   offline  1 device   key pinned
carol  invited  offline  1 device   key changed";
    assert_eq!(outcome_text(&outcome, &style()), shown);
    let bob = serde_json::json!(
        { "name": "bob", "role": "member", "online": false, "trust": "pinned", "devices": 1, "this": false }
    );
    let object = json(&outcome, "members");
    assert_eq!((&object["group"], &object["members"][1]), (&"team".into(), &bob));
    assert_eq!(outcome_text(&Outcome::MemberCount(3), &style()), "3");
}

#[test]
fn who_came_and_went_is_a_sentence_that_speaks_to_whoever_reads_it() {
    use MemberChange::{Demoted, Invited, Joined, Left, Promoted, Removed};
    let alice = Style { reader: Some(name("alice")), ..style() };
    for (user, by, change, named, spoken) in [
        ("alice", "alice", Joined, "alice joined team", "you joined team"),
        ("bob", "bob", Left, "bob left team", "bob left team"),
        ("bob", "alice", Invited, "alice invited bob to team", "you invited bob to team"),
        (
            "alice",
            "bob",
            Invited,
            "bob invited alice to team",
            "bob invited you to team; JOIN team comes in, LEAVE team declines",
        ),
        ("carol", "alice", Removed, "alice kicked carol from team", "you kicked carol from team"),
        ("alice", "carol", Removed, "carol kicked alice from team", "carol kicked you from team"),
        ("alice", "bob", Promoted, "bob promoted alice in team", "bob promoted you in team"),
        ("bob", "alice", Demoted, "alice demoted bob in team", "you demoted bob in team"),
    ] {
        let kind = EventKind::Member { group: name("team"), user: name(user), by: name(by), change };
        let event = Event { seq: Some(7), at: Timestamp(0), kind };
        assert_eq!(event_text(&event, &style()).unwrap(), format!("00:00 {named}"));
        assert_eq!(event_text(&event, &alice).unwrap(), format!("00:00 {spoken}"));
        assert_eq!(
            event_json(&event, "me"),
            format!(
                r#"{{"v":1,"seq":7,"at":"1970-01-01T00:00:00.000Z","actor":"me","event":"member","group":"team","user":"{user}","by":"{by}","change":"{}"}}"#,
                change.word()
            )
        );
        // The past has nothing to be done about.
        let member = Some(MemberLine { user: name(user), change });
        let line = HistoryEntry { from: name(by), to: name("team"), gap: false, state: None, member, ..entry("") };
        let outcome = Outcome::History { messages: vec![HistoryEntry { in_group: true, ..line }] };
        assert_eq!(outcome_text(&outcome, &style()), format!("m3 1970-01-01 00:00 {named}"));
        let object = &json(&outcome, "history")["messages"][0];
        let fields = [&object["group"], &object["user"], &object["by"], &object["change"]];
        assert_eq!(fields, ["team", user, by, change.word()]);
        assert_eq!(object.get("text"), None);
    }
}

#[test]
fn what_was_said_in_a_group_names_it() {
    let mut event = message(HOSTILE);
    if let EventKind::Message { group, trust, .. } = &mut event.kind {
        (*group, *trust) = (Some(name("team")), Trust::Changed);
    }
    assert_eq!(event_text(&event, &style()).unwrap(), format!("10:42 [team] bob (key changed): {SHOWN} m12"));
    let line = event_json(&event, "alice");
    assert!(line.contains(r#""from":"bob","group":"team","text":"#), "{line}");
    // One's own, from another device.
    if let EventKind::Message { to, trust, .. } = &mut event.kind {
        (*to, *trust) = (Some(name("team")), Trust::Verified);
    }
    assert_eq!(event_text(&event, &style()).unwrap(), format!("10:42 [team] bob: {SHOWN} m12"));
    // What is muted is for programs and for the history alone.
    if let EventKind::Message { muted, .. } = &mut event.kind {
        *muted = true;
    }
    assert_eq!(event_text(&event, &style()), None);
    assert!(event_json(&event, "alice").ends_with(r#","to":"team","muted":true}"#));
    let said = HistoryEntry { to: name("team"), in_group: true, gap: false, ..entry(HOSTILE) };
    let outcome = Outcome::History { messages: vec![said] };
    assert_eq!(outcome_text(&outcome, &style()), format!("m3 1970-01-01 00:00 [team] alice: {SHOWN} [sent]"));
    let object = &json(&outcome, "history")["messages"][0];
    assert_eq!((&object["group"], object.get("to")), (&"team".into(), None));
    let receipt = |state, reason: Option<&str>| {
        let (id, uid, to) = (ShortId::Message(12), MessageId([1; 16]), name("carol"));
        let (reason, group) = (reason.map(str::to_owned), Some(name("team")));
        Event { seq: None, at: Timestamp(0), kind: EventKind::Receipt { id, uid, to, state, reason, group } }
    };
    let shown = |event| event_text(&event, &style());
    assert_eq!(shown(receipt(DeliveryState::Delivered, None)).unwrap(), "00:00 m12 to carol in team delivered");
    let failed = "00:00 m12 to carol in team failed: it expired; RESEND m12 tries again";
    assert_eq!(shown(receipt(DeliveryState::Failed, Some("it expired"))).unwrap(), failed);
    assert_eq!(shown(receipt(DeliveryState::Sent, None)), None);
}

#[test]
fn colours_are_used_only_where_they_are_wanted() {
    let colorful = Style { color: true, ..style() };
    assert!(event_text(&message("hi"), &colorful).unwrap().contains("\u{1b}[1mbob\u{1b}[0m"));
    assert!(!event_text(&message("hi"), &style()).unwrap().contains('\u{1b}'));
}
