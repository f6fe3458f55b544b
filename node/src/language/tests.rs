mod files;
mod looking;
mod money;

use node_core::{
    command::{ListWhat, MessageRef},
    event::ShortId,
};
use protocol::{limits::TEXT_MAX, policy::Access};

use super::*;

fn parsed(line: &str) -> Line {
    parse(line).unwrap().unwrap()
}

fn refused(line: &str) -> String {
    let failure = parse(line).unwrap_err();
    assert_eq!(failure.code, FailureCode::Usage, "{line}");
    failure.message
}

fn bob() -> Name {
    name("bob").unwrap()
}

fn team() -> Name {
    name("team").unwrap()
}

fn sends(text: &str) -> Line {
    Line::Core(Command::Send { to: bob(), text: text.to_owned() })
}

#[test]
fn a_text_starts_after_one_blank_and_is_kept_verbatim() {
    for (line, text) in [
        ("SEND bob hi", "hi"),
        ("send  BOB   two blanks before", "  two blanks before"),
        ("msg bob it's \"quoted\" \\ ", "it's \"quoted\" \\ "),
        ("@bob hi all", "hi all"),
        ("SEND bob -- FILE x", "FILE x"),
        ("@bob -- -- x", "-- x"),
        ("SEND bob --", "--"),
        ("\u{feff}SEND bob hi\r\n", "hi"),
        ("SEND bob one\ntwo", "one\ntwo"),
    ] {
        assert_eq!(parsed(line), sends(text), "{line:?}");
    }
}

#[test]
fn a_text_goes_to_a_group_by_its_word_or_its_mark() {
    for (line, text) in [
        ("SEND GROUP team hi", "hi"),
        ("send group TEAM  two blanks", " two blanks"),
        ("SEND GROUP &team hi", "hi"),
        ("SEND &team hi", "hi"),
        ("&team hi all", "hi all"),
        ("&Team -- FILE x", "FILE x"),
        ("SEND GROUP team -- FILE x", "FILE x"),
        ("SEND GROUP team -- -- x", "-- x"),
        ("msg group team bob hi", "bob hi"),
    ] {
        let expected = Line::Core(Command::SendGroup { group: team(), text: text.to_owned() });
        assert_eq!(parsed(line), expected, "{line:?}");
    }
    assert_eq!(parsed("SEND @bob group hi"), sends("group hi"));
}

#[test]
fn groups_have_their_verbs_and_names_may_carry_their_marks() {
    let (group, user) = (team, bob);
    for (line, expected) in [
        ("CREATE team", Command::CreateGroup { group: group(), access: Access::Open }),
        ("create Team open", Command::CreateGroup { group: group(), access: Access::Open }),
        ("create &team invite", Command::CreateGroup { group: group(), access: Access::Invite }),
        ("JOIN team", Command::Join { group: group() }),
        ("join &team", Command::Join { group: group() }),
        ("leave team", Command::Leave { group: group() }),
        ("invite team bob", Command::Invite { group: group(), user: user() }),
        ("INVITE &team @bob", Command::Invite { group: group(), user: user() }),
        ("kick team bob", Command::Kick { group: group(), user: user() }),
        ("promote team bob", Command::Promote { group: group(), user: user() }),
        ("demote team bob", Command::Demote { group: group(), user: user() }),
        ("members team", Command::Members { group: group() }),
        ("list mine", Command::List { what: ListWhat::Mine }),
        ("history &team 5", Command::History { with: Some(group()), count: 5 }),
        ("history team", Command::History { with: Some(group()), count: 20 }),
        ("read &team", Command::Read { target: group() }),
        ("read @bob", Command::Read { target: user() }),
        ("mute team", Command::Mute { target: group(), for_ms: None }),
        ("MUTE &team 8h", Command::Mute { target: group(), for_ms: Some(8 * 3_600_000) }),
        ("mute @bob 500ms", Command::Mute { target: user(), for_ms: Some(500) }),
        ("mute bob 0s", Command::Mute { target: user(), for_ms: Some(0) }),
        ("unmute &team", Command::Mute { target: group(), for_ms: Some(0) }),
    ] {
        assert_eq!(parsed(line), Line::Core(expected), "{line}");
    }
    for (line, target) in [
        ("TO", None),
        ("to bob", Some(Target::Person(bob()))),
        ("to @bob", Some(Target::Person(bob()))),
        ("TO &team", Some(Target::Group(team()))),
        ("TO GROUP team", Some(Target::Group(team()))),
    ] {
        assert_eq!(parsed(line), Line::To(target), "{line}");
    }
}

#[test]
fn nothing_in_a_line_is_nothing() {
    for line in ["", "   ", "\r\n", "\t"] {
        assert_eq!(parse(line), Ok(None));
    }
}

#[test]
fn verbs_have_older_names_in_any_case() {
    for (line, expected) in [
        ("signout", Line::Core(Command::SignOut)),
        ("Logout", Line::Core(Command::SignOut)),
        ("hi", Line::Core(Command::Ping)),
        ("HELLO", Line::Core(Command::Ping)),
        ("exit", Line::Quit),
        ("whoami", Line::Core(Command::WhoAmI)),
        ("list users", Line::Core(Command::List { what: ListWhat::Users })),
        ("history", Line::Core(Command::History { with: None, count: 20 })),
        ("history bob 5", Line::Core(Command::History { with: Some(bob()), count: 5 })),
        ("history 5", Line::Core(Command::History { with: None, count: 5 })),
        ("resend m12", Line::Core(Command::Resend { id: MessageRef::Short(ShortId::Message(12)) })),
        ("help send", Line::Help(Some("send".into()))),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
}

#[test]
fn signing_up_takes_a_password_and_an_invite_or_neither() {
    let password = || Some(Password::new("hunter2hunter2".into()));
    let line =
        |password, invite: Option<&str>| Line::SignUp { name: bob(), password, invite: invite.map(str::to_owned) };
    assert_eq!(parsed("signup bob"), line(None, None));
    assert_eq!(parsed("register bob hunter2hunter2"), line(password(), None));
    assert_eq!(parsed("signup bob hunter2hunter2 invite abc"), line(password(), Some("abc")));
    assert_eq!(parsed("signup bob INVITE abc"), line(None, Some("abc")));
    assert_eq!(parsed("login bob x"), Line::SignIn { name: bob(), password: Some(Password::new("x".into())) });
}

/// A line of each way to be wrong, and a part of what is said about it.
const WRONG: [(&str, &str); 60] = [
    ("sned bob hi", "did you mean SEND?"),
    ("regster bob", "did you mean SIGNUP?"),
    ("histroy", "did you mean HISTORY?"),
    ("frobnicate", "`HELP` lists all"),
    ("bob hi", "`HELP` lists all"),
    ("reply m1 hi", "REPLY is not in this version"),
    ("hello bob", "PING takes no \"bob\""),
    ("quit now", "QUIT takes no \"now\""),
    ("help send me", "HELP takes no \"me\""),
    ("SEND", "SEND needs a name and a text"),
    ("SEND bob", "`SEND bob text`"),
    ("@bob", "`SEND bob text`"),
    ("@bob -- ", "`SEND bob text`"),
    ("@ hi", "is no name"),
    ("SEND bob ", "`SEND bob text`"),
    ("SEND bob FILE a b", "`SEND bob FILE \"my cat.png\" -- look`"),
    ("SEND GROUP", "SEND GROUP needs a group's name and a text"),
    ("SEND GROUP team", "`SEND GROUP team text`"),
    ("&team", "`SEND GROUP team text`"),
    ("&team -- ", "`SEND GROUP team text`"),
    ("& hi", "is no name"),
    ("&send hi", "reserved"),
    ("SEND GROUP team FILE", "`SEND GROUP team FILE PATH`"),
    ("TO bob hi", "TO takes no \"hi\""),
    ("TO GROUP", "TO GROUP needs a group's name"),
    ("creat team", "did you mean CREATE?"),
    ("invit team bob", "did you mean INVITE?"),
    ("membres team", "did you mean MEMBERS?"),
    ("CREATE", "CREATE needs a group's name"),
    ("CREATE GROUP team", "without GROUP before it"),
    ("CREATE team private", "never \"private\""),
    ("CREATE join", "reserved"),
    ("JOIN", "JOIN needs a group's name"),
    ("JOIN team bob", "JOIN takes no \"bob\""),
    ("LEAVE", "LEAVE needs a group's name"),
    ("INVITE team", "INVITE needs a group and a person"),
    ("KICK bob", "KICK needs a group and a person"),
    ("PROMOTE team bob owner", "PROMOTE takes no \"owner\""),
    ("DEMOTE", "DEMOTE needs a group's name"),
    ("MEMBERS GROUP team", "without GROUP before it"),
    ("READ", "READ needs the name of a person or a group"),
    ("MUTE", "MUTE needs the name of a person or a group"),
    ("MUTE team off", "`UNMUTE team`"),
    ("MUTE team soon", "\"soon\" is no duration"),
    ("MUTE team 400d", "`MUTE team` has no end"),
    ("UNMUTE team 5m", "UNMUTE takes no \"5m\""),
    ("signup", "SIGNUP needs a name"),
    ("r", "SIGNUP needs a name"),
    ("i", "SIGNIN needs a name"),
    ("I am late, sorry", "`@bob I am late` says it to bob"),
    ("r u there?", "\"r\" is SIGNUP only when it stands alone"),
    ("signup m12 hunter2hunter2", "id"),
    ("signup bob short", "8 or more"),
    ("signup bob INVITE", "INVITE needs a code"),
    ("resend", "RESEND needs a message's id"),
    ("resend 12", "did you mean `RESEND m12`?"),
    ("resend twelve", "looks like m12"),
    ("history bob 0", "from 1 to 10000"),
    ("history bob x", "from 1 to 10000"),
    ("list everything", "USERS"),
];

#[test]
fn what_is_wrong_is_said_with_the_right_command_and_never_with_a_password() {
    for (line, part) in WRONG {
        assert!(refused(line).contains(part), "{line}: {}", refused(line));
    }
    for line in ["signup bob correcthorse battery", "signin bob correcthorse battery", "sigin bob battery"] {
        assert!(!refused(line).contains("battery"), "{}", refused(line));
    }
}

#[test]
fn every_command_that_help_or_a_hint_names_can_be_typed() {
    for example in verbs::all().flat_map(Verb::examples) {
        assert!(matches!(parse(example), Ok(Some(_))), "{example}");
    }
    for verb in verbs::all() {
        let help = help(Some(verb.word())).unwrap();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix(verbs::EXAMPLE)).collect();
        assert!(!examples.is_empty(), "{help}");
        for example in examples {
            let first = example.split(' ').next().unwrap();
            assert!(Verb::find(first) == Some(verb) || ["@bob", "&team", "me#12.50#bob"].contains(&first), "{example}");
        }
    }
    let text = help(Some("text")).unwrap();
    let examples: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(verbs::EXAMPLE)).collect();
    assert_eq!(examples.len(), 2, "{text}");
    for example in examples {
        assert!(matches!(parse(example), Ok(Some(Line::Core(Command::Send { .. })))), "{example}");
    }
    let text = help(Some("groups")).unwrap();
    let examples: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(verbs::EXAMPLE)).collect();
    assert_eq!(examples.len(), 7, "{text}");
    for example in examples {
        assert!(matches!(parse(example), Ok(Some(Line::Core(_)))), "{example}");
    }
    let text = help(Some("money")).unwrap();
    let examples: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(verbs::EXAMPLE)).collect();
    assert_eq!(examples.len(), 10, "{text}");
    for example in examples {
        assert!(matches!(parse(example), Ok(Some(Line::Core(Command::Money(_))))), "{example}");
    }
    // A command in a hint stands between backticks, and nothing else does.
    for (line, _) in WRONG {
        let hint = refused(line);
        for command in hint.split('`').skip(1).step_by(2) {
            assert!(matches!(parse(command), Ok(Some(_))), "{line}: {command}: {hint}");
        }
    }
    for message in [help(None).unwrap(), refused(&format!("SEND bob {}", "x".repeat(TEXT_MAX + 1)))] {
        assert!(!message.contains('`'), "{message}");
    }
}

#[test]
fn a_line_with_a_misspelt_verb_hides_what_the_verb_that_was_meant_would() {
    for (line, secret) in [
        ("sigin bob hunter2", Some("hunter2")),
        ("/SINGIN bob hunter2", Some("hunter2")),
        ("sginup bob hunter2 invite abc", Some("hunter2")),
        ("logn bob hunter2", Some("hunter2")),
        ("regster bob hunter2", Some("hunter2")),
        ("paswd old new", Some("old new")),
        ("recovr bob code new", Some("code new")),
        ("sign in bob hunter2", Some("bob hunter2")),
        // A verb that there is means itself, however near it is to another.
        ("logout bob hunter2", None),
        ("signout bob hunter2", None),
        ("resend bob hunter2", None),
        ("sned bob hunter2", None),
        ("@sigin bob hunter2", None),
        ("si bob hunter2", None),
    ] {
        assert_eq!(secret_span(line).and_then(|span| line.get(span)), secret, "{line:?}");
    }
    assert_eq!(redact("sigin bob hunter2"), "sigin bob …");
}

#[test]
fn a_text_with_noncharacters_is_sent_as_it_is() {
    let text: String = ('\u{fdd0}'..='\u{fdef}').chain(['\u{ffff}', '\u{10fffe}']).collect();
    assert_eq!(parsed(&format!("SEND bob {text}")), sends(&text));
    let mut line = Expanded::literal("SEND bob <\u{fdd0} ");
    line.push_value(&format!(" {text}\n"));
    line.push_literal(">");
    assert_eq!(parse_expanded(&line).unwrap(), Some(sends(&format!("<\u{fdd0}  {text}\n>"))));
    assert_eq!(line.to_text(), format!("SEND bob <\u{fdd0}  {text}\n>"));
}

#[test]
fn a_text_and_a_line_have_their_limits() {
    let text = "x".repeat(TEXT_MAX);
    assert_eq!(parsed(&format!("SEND bob {text}")), sends(&text));
    assert!(refused(&format!("SEND bob {text}x")).contains("in parts"));
    assert!(refused(&format!("SEND bob {}", "x".repeat(LINE_MAX))).contains("at most"));
}

#[test]
fn a_value_never_adds_words_and_comes_back_whole() {
    let mut line = Expanded::empty();
    line.push_literal("SEND bob ");
    line.push_value("a b\nc");
    assert_eq!(parse_expanded(&line).unwrap(), Some(sends("a b\nc")));
    let mut line = Expanded::empty();
    line.push_literal("signin bob ");
    line.push_value("correct horse");
    let password = Some(Password::new("correct horse".into()));
    assert_eq!(parse_expanded(&line).unwrap(), Some(Line::SignIn { name: bob(), password }));
    let mut line = Expanded::empty();
    line.push_literal("SEND ");
    line.push_value("bob hi");
    assert!(parse_expanded(&line).is_err());
}

#[test]
fn secrets_are_found_while_they_are_typed() {
    for (line, secret) in [
        ("signup bob hunter2", Some("hunter2")),
        ("  SIGNIN  bob  h", Some("h")),
        ("signin bob two words", Some("two words")),
        ("signup bob hunter2 INVITE abc", Some("hunter2")),
        ("signup bob INVITE abc", None),
        ("passwd old new", Some("old new")),
        ("recover bob code new", Some("code new")),
        ("signup bob", None),
        ("signup bob ", None),
        ("send bob hunter2", None),
        ("I am late, sorry", None),
        ("", None),
    ] {
        assert_eq!(secret_span(line).and_then(|span| line.get(span)), secret, "{line:?}");
    }
    assert_eq!(redact("signup bob hunter2 INVITE abc"), "signup bob … INVITE abc");
    assert_eq!(redact("send bob hunter2"), "send bob hunter2");
}

#[test]
fn help_knows_every_verb_and_fits_a_terminal() {
    let overview = help(None).unwrap();
    assert!(overview.lines().all(|line| line.len() <= 80), "{overview}");
    for verb in verbs::all() {
        let help = help(Some(verb.word())).unwrap();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
    for topic in topics::all() {
        let help = help(Some(topic)).unwrap();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert!(overview.contains(topic), "{topic} can be found");
    }
    let verbs = overview.lines().filter_map(|line| line.split(' ').next()).filter(|word| !word.is_empty());
    let known = verbs.inspect(|verb| assert!(help(Some(verb)).unwrap().starts_with(verb))).count();
    assert_eq!(known, 47);
    assert!(help(Some("nonsense")).is_err());
}

proptest::proptest! {
    #[test]
    fn a_value_is_one_word_and_comes_back_whole_whatever_it_holds(
        before in "[ -~\\u{fdd0}-\\u{fdd8}]{0,8}",
        value in "(?s)[\\x00-\\x7f\\u{fdd0}-\\u{fdd8}\\u{2028}]{0,12}",
    ) {
        let mut line = Expanded::literal(&before);
        line.push_value(&value);
        proptest::prop_assert_eq!(line.to_text(), format!("{before}{value}"));
        let mut line = Expanded::empty();
        line.push_value(&value);
        proptest::prop_assert!(Words::new(line.as_str()).count() <= 1);
    }

    #[test]
    fn no_line_makes_the_parser_panic_and_a_secret_always_lies_within_its_line(line in "\\PC{0,60}") {
        let _ = parse(&line);
        let _ = redact(&line);
        let dressed = format!("signup {line}");
        let _ = parse(&dressed);
        if let Some(span) = secret_span(&dressed) {
            proptest::prop_assert!(dressed.get(span).is_some());
        }
    }
}
