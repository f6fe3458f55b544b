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

#[test]
fn what_is_wrong_is_said_with_the_right_command_and_never_with_a_password() {
    for (line, part) in [
        ("sned bob hi", "SEND name text"),
        ("frobnicate", "HELP lists all"),
        ("bob hi", "HELP"),
        ("hello bob", "PING takes no \"bob\""),
        ("SEND", "SEND name text"),
        ("SEND bob", "SEND bob text"),
        ("SEND bob ", "SEND bob text"),
        ("SEND bob FILE x", "SEND bob -- FILE"),
        ("SEND GROUP team hi", "groups"),
        ("signup", "SIGNUP name"),
        ("r", "SIGNUP name"),
        ("signup m12 hunter2hunter2", "id"),
        ("signup bob short", "8 or more"),
        ("resend 12", "m12"),
        ("history bob 0", "HISTORY [name]"),
        ("list everything", "USERS"),
    ] {
        assert!(refused(line).contains(part), "{line}: {}", refused(line));
    }
    assert!(!refused("signup bob correcthorse battery").contains("battery"));
    assert!(!refused("signin bob correcthorse battery").contains("battery"));
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
    let verbs = overview.lines().filter_map(|line| line.split(' ').next()).filter(|word| !word.is_empty());
    let known = verbs.inspect(|verb| assert!(help(Some(verb)).unwrap().starts_with(verb))).count();
    assert_eq!(known, 13);
    assert!(help(Some("nonsense")).is_err());
}

proptest::proptest! {
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
