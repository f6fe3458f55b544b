//! What EXPECT takes, and which cursor it moves.

use node_core::event::{DeliveryState, EventKind, MemberChange};

use super::{
    fake::{group_message, member, message, name, receipt, uid},
    played::{Script, end},
};

/// What alice sees: each kind, from several people, out of order.
fn busy(script: &str) -> Script {
    let key = EventKind::KeyChanged { user: name("bob"), fingerprint: "ab".into() };
    let events = [
        message("bob", 1, "one"),
        message("carol", 2, "one"),
        message("bob", 3, "two"),
        receipt("bob", 4, DeliveryState::Sent),
        receipt("carol", 5, DeliveryState::Delivered),
        receipt("bob", 4, DeliveryState::Delivered),
        EventKind::Presence { user: name("bob"), online: true },
        message("bob", 6, "a \"quoted\"\\ text\n\tü/\u{202e}\u{fdd0}"),
        EventKind::Presence { user: name("bob"), online: false },
        key,
        receipt("bob", 7, DeliveryState::Failed),
        receipt("bob", 8, DeliveryState::Read),
    ];
    seen(script, events.into())
}

/// What alice sees of two groups: people come and go, are heard, and hear her.
fn busy_groups(script: &str) -> Script {
    let mut in_team = receipt("carol", 9, DeliveryState::Delivered);
    if let EventKind::Receipt { group, .. } = &mut in_team {
        *group = Some(name("team"));
    }
    let mut from_phone = group_message("team", "alice", 5, "from my phone");
    if let EventKind::Message { to, .. } = &mut from_phone {
        *to = Some(name("team"));
    }
    let events = vec![
        member("team", "alice", "alice", MemberChange::Joined),
        member("team", "bob", "alice", MemberChange::Invited),
        message("bob", 1, "hi"),
        member("team", "bob", "bob", MemberChange::Joined),
        group_message("team", "bob", 2, "hi"),
        group_message("club", "bob", 3, "hi there"),
        member("club", "carol", "bob", MemberChange::Removed),
        member("team", "bob", "alice", MemberChange::Promoted),
        in_team,
        from_phone,
        member("team", "bob", "alice", MemberChange::Demoted),
        member("team", "bob", "bob", MemberChange::Left),
    ];
    seen(script, events)
}

fn seen(script: &str, events: Vec<EventKind>) -> Script {
    events.into_iter().fold(Script::new(script), |script, event| script.event("me", 0, event))
}

#[tokio::test(start_paused = true)]
async fn each_filter_takes_what_it_says_and_nothing_else() {
    for (script, met) in [
        ("EXPECT MESSAGE", true),
        ("expect message from BOB", true),
        ("EXPECT MESSAGE FROM dave", false),
        ("EXPECT MESSAGE \"two\"", true),
        ("EXPECT MESSAGE \"tw\"", false),
        ("EXPECT MESSAGE \"Two\"", false),
        ("EXPECT MESSAGE FROM carol \"two\"", false),
        ("EXPECT MESSAGE \"two\" FROM bob", true),
        ("EXPECT MESSAGE ~/^t.o$/", true),
        ("EXPECT MESSAGE ~/w/", true),
        ("EXPECT MESSAGE ~/^w/", false),
        ("EXPECT MESSAGE ~/ü\\/\\p{Cf}/", true),
        (r#"EXPECT MESSAGE "a \"quoted\"\\ text\n\tü/\u{202e}\u{fdd0}""#, true),
        ("EXPECT MESSAGE ID m3", true),
        ("EXPECT MESSAGE ID M3", true),
        ("EXPECT MESSAGE ID m4", false),
        ("EXPECT MESSAGE ID 03030303030303030303030303030303", true),
        ("EXPECT MESSAGE IN team", false),
        ("EXPECT MESSAGE TO bob", false),
        ("EXPECT MESSAGE STATE delivered", false),
        ("EXPECT RECEIPT TO carol", true),
        ("EXPECT RECEIPT TO dave", false),
        // A receipt is from nobody.
        ("EXPECT RECEIPT FROM bob", false),
        ("EXPECT RECEIPT ID m4 STATE queued", true),
        ("EXPECT RECEIPT ID m4 STATE sent", true),
        ("EXPECT RECEIPT ID m4 STATE Delivered", true),
        ("EXPECT RECEIPT ID m4 STATE read", false),
        ("EXPECT RECEIPT ID m8 STATE queued", true),
        // Failed is only itself, and nothing else is failed.
        ("EXPECT RECEIPT ID m7 STATE failed", true),
        ("EXPECT RECEIPT ID m7 STATE sent", false),
        ("EXPECT RECEIPT ID m8 STATE failed", false),
        ("EXPECT RECEIPT \"it expired\"", true),
        ("EXPECT RECEIPT ~/./ STATE read", false),
        ("EXPECT PRESENCE FROM bob STATE online", true),
        ("EXPECT PRESENCE FROM bob STATE offline", true),
        ("EXPECT PRESENCE FROM carol", false),
        ("EXPECT KEYCHANGE FROM bob", true),
        ("EXPECT KEYCHANGE FROM carol", false),
    ] {
        let expected = if met { 0 } else { 9 };
        assert_eq!(end(busy(script)).await.0, expected, "{script}");
        let not = script.to_uppercase().replacen("EXPECT ", "", 1).len();
        let not = format!("EXPECT NOT {}", &script[script.len() - not..]);
        assert_eq!(end(busy(&not)).await.0, 9 - expected, "{not}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_in_groups_is_told_apart_by_group_person_and_change() {
    for (script, met) in [
        ("EXPECT MESSAGE IN team", true),
        ("EXPECT MESSAGE FROM bob IN TEAM \"hi\"", true),
        ("EXPECT MESSAGE IN &club ~/there/", true),
        ("EXPECT MESSAGE IN club \"hi\"", false),
        ("EXPECT MESSAGE IN nobody", false),
        ("EXPECT MESSAGE FROM alice TO team IN team", true),
        // Without IN it may be anywhere: the first is to alice herself.
        ("EXPECT MESSAGE FROM bob \"hi\" ID m1", true),
        ("EXPECT RECEIPT TO carol IN team STATE delivered", true),
        ("EXPECT RECEIPT TO carol IN club", false),
        ("EXPECT MEMBER", true),
        ("EXPECT MEMBER FROM bob IN team STATE joined", true),
        ("EXPECT MEMBER FROM bob IN team STATE Invited", true),
        ("EXPECT MEMBER FROM bob STATE promoted", true),
        ("EXPECT MEMBER FROM bob STATE demoted", true),
        ("EXPECT MEMBER FROM bob STATE left", true),
        ("EXPECT MEMBER FROM carol IN club STATE removed", true),
        // A state is the change itself, and none that comes later.
        ("EXPECT MEMBER FROM carol STATE invited", false),
        ("EXPECT MEMBER FROM carol IN team", false),
        ("EXPECT MEMBER FROM alice STATE joined", true),
        // FROM is who it happens to, whoever does it.
        ("EXPECT MEMBER FROM alice STATE invited", false),
        ("EXPECT MEMBER \"bob\"", false),
        ("EXPECT MEMBER TO bob", false),
        // Each person has a cursor of their own, in all groups together.
        ("EXPECT MEMBER FROM bob STATE joined\nEXPECT NOT MEMBER FROM bob STATE invited", true),
        ("EXPECT MEMBER FROM bob STATE left\nEXPECT MEMBER FROM carol", true),
        ("EXPECT MEMBER FROM bob STATE left\nEXPECT MESSAGE FROM bob IN team", true),
    ] {
        let expected = if met { 0 } else { 9 };
        assert_eq!(end(busy_groups(script)).await.0, expected, "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_group_has_an_id_like_any_other() {
    let played = Script::new("SEND GROUP team hi all\nECHO ${_}\n&team again").play().await;
    assert_eq!((played.code, played.words.as_str()), (0, ""));
    let id = uid(1);
    let shown =
        format!("m1 to team: 1 of 2 delivered, carol queued\n{id}\nm2 to team: 1 of 2 delivered, carol queued\n");
    assert_eq!(played.data, shown);
    assert_eq!(played.asked[..2], ["me: send group team hi all", "me: send group team again"]);
}

#[tokio::test(start_paused = true)]
async fn there_is_one_cursor_for_each_kind_and_sender() {
    for (script, met) in [
        // The earliest first, each once.
        ("EXPECT MESSAGE \"one\"\nEXPECT MESSAGE \"one\"\nEXPECT NOT MESSAGE \"one\"", true),
        ("EXPECT MESSAGE FROM bob AS m\nEXPECT MESSAGE FROM bob \"two\"", true),
        // What lies before the cursor is gone, as far as this sender goes.
        ("EXPECT MESSAGE \"two\"\nEXPECT NOT MESSAGE FROM bob \"one\"", true),
        ("EXPECT MESSAGE \"two\"\nEXPECT MESSAGE FROM carol \"one\"", true),
        ("EXPECT MESSAGE \"two\"\nEXPECT MESSAGE \"one\"\nEXPECT NOT MESSAGE \"one\"", true),
        // Another kind has its own.
        ("EXPECT KEYCHANGE\nEXPECT MESSAGE FROM bob \"one\"\nEXPECT PRESENCE STATE online", true),
        // A receipt's is its recipient's.
        ("EXPECT RECEIPT TO bob STATE delivered\nEXPECT RECEIPT TO carol STATE delivered", true),
        ("EXPECT RECEIPT TO bob STATE read\nEXPECT NOT RECEIPT TO bob", true),
        ("EXPECT PRESENCE STATE offline\nEXPECT NOT PRESENCE STATE online", true),
        // A failed expectation moves nothing, and neither do ASSERT and WAIT.
        ("EXPECT NOT MESSAGE \"x\"\nWAIT ONLINE bob\nASSERT ONLINE bob\nEXPECT MESSAGE FROM bob \"one\"", true),
    ] {
        assert_eq!(end(busy(script)).await, (if met { 0 } else { 9 }, String::new()), "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_actor_has_its_own_log_which_survives_signing_out_and_leaving() {
    let script = "\
bob> PING
alice> SEND bob one
alice> SEND bob two
bob> EXPECT MESSAGE \"one\"
bob> SIGNOUT
bob> QUIT
alice> EXPECT NOT MESSAGE
bob> EXPECT MESSAGE FROM alice \"two\" AS m
alice> EXPECT RECEIPT ID ${m}
alice> EXPECT RECEIPT ID ${_}
bob> EXPECT NOT RECEIPT";
    // The second receipt's cursor is the first one's: it has been passed.
    let (code, words) = end(Script::new(script)).await;
    assert_eq!(code, 9);
    assert_eq!(words, "dir/s.txt:10: timeout: did not happen within 10s: EXPECT RECEIPT ID ${_}\n");
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_somebody_leaves_is_in_the_log() {
    let script = Script::new("PING\nQUIT\nEXPECT MESSAGE \"late\"").event("me", 5, message("bob", 1, "late"));
    assert_eq!(end(script).await, (0, String::new()));
}

#[tokio::test(start_paused = true)]
async fn as_keeps_the_full_id_for_every_actor() {
    let script = "\
alice> SEND bob one
bob> EXPECT MESSAGE FROM alice AS m
alice> EXPECT RECEIPT TO bob ID ${m} AS r
bob> ECHO ${m} ${r}
alice> ECHO ${_}
alice> RESEND ${m}";
    let played = Script::new(script).play().await;
    let id = uid(1);
    assert_eq!((played.code, played.words.as_str()), (0, ""));
    assert!(played.data.contains(&format!("\n{id} {id}\n{id}\n")), "{}", played.data);
    assert!(played.asked.iter().any(|line| line.starts_with("alice: Resend { id: Full")), "{:?}", played.asked);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_expectation_is_refused_before_anything_runs() {
    for (line, part) in [
        ("EXPECT", "EXPECT [NOT] event"),
        ("EXPECT NOT", "EXPECT [NOT] event"),
        ("EXPECT NEWS", "EXPECT [NOT] event"),
        ("EXPECT FILE AMOUNT 5", "only a PAYMENT or a REQUEST has an AMOUNT"),
        ("EXPECT MESSAGE FROM", "something is missing after FROM"),
        ("EXPECT MESSAGE FROM b FROM carol", "`b` is no name"),
        ("EXPECT MESSAGE FROM bob FROM carol", "FROM stands twice"),
        ("EXPECT MESSAGE \"a\" ~/b/", "a text stands twice"),
        ("EXPECT MESSAGE WITHIN 1s WITHIN 2s", "WITHIN stands twice"),
        ("EXPECT MESSAGE STATE a STATE b", "STATE stands twice"),
        ("EXPECT MESSAGE ID m1 ID m2", "ID stands twice"),
        ("EXPECT MESSAGE TO bob TO bob", "TO stands twice"),
        ("EXPECT MESSAGE IN team IN team", "IN stands twice"),
        ("EXPECT MESSAGE AS a AS b", "AS stands twice"),
        ("EXPECT MESSAGE BY bob", "`BY` is no filter"),
        ("EXPECT MESSAGE AMOUNT 5", "only a PAYMENT or a REQUEST has an AMOUNT"),
        ("EXPECT PAYMENT AMOUNT five", "an amount is digits"),
        ("EXPECT PAYMENT AMOUNT 5 AMOUNT 6", "AMOUNT stands twice"),
        ("EXPECT CLOSED FROM bob", "CLOSED is from nobody"),
        ("EXPECT MESSAGE \"a", "does not end"),
        ("EXPECT MESSAGE \"\\x\"", "are the escapes"),
        ("EXPECT MESSAGE \"\\u{d800}\"", "\\u{202e}"),
        ("EXPECT MESSAGE ~/a", "does not end"),
        ("EXPECT MESSAGE ~/(/", "the regex does not hold"),
        ("EXPECT MESSAGE AS 1st", "is no name of a variable"),
        ("EXPECT MESSAGE AS _", "can't be set"),
        ("EXPECT PRESENCE AS p", "has none"),
        ("EXPECT MEMBER AS p", "has none"),
        ("TO bob", "as in `@bob hi`"),
        ("TO &team", "as in `&team hi`"),
        ("TO", "TO is for the prompt alone"),
        ("EXPECT NOT MESSAGE AS m", "has none"),
    ] {
        let played = Script::new(&format!("PING\n{line}")).play().await;
        assert_eq!((played.code, played.asked.len()), (2, 0), "{line}: {}", played.words);
        assert!(played.words.starts_with("dir/s.txt:2: usage: "), "{}", played.words);
        assert!(played.words.contains(part), "{line}: {}", played.words);
    }
}
