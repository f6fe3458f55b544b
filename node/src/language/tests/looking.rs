//! Lines that look for what was said.

use super::*;

#[test]
fn a_search_has_words_and_then_a_place_and_a_day() {
    let day = |text| values::day(text).unwrap();
    let search = |text: &str, with, since| Line::Core(Command::Search { text: text.to_owned(), with, since });
    for (line, expected) in [
        ("SEARCH biscuits", search("biscuits", None, None)),
        ("search  two   words", search("two words", None, None)),
        ("search eight in team", search("eight", Some(team()), None)),
        ("SEARCH eight IN &team", search("eight", Some(team()), None)),
        ("SEARCH eight IN @bob", search("eight", Some(bob()), None)),
        ("SEARCH eight SINCE 2026-02-28", search("eight", None, Some(day("2026-02-28")))),
        ("SEARCH a b IN team SINCE 2026-02-28", search("a b", Some(team()), Some(day("2026-02-28")))),
        ("SEARCH a b since 2026-02-28 in team", search("a b", Some(team()), Some(day("2026-02-28")))),
        // Each is taken once, from the end; without a word before it, it is one itself.
        ("SEARCH come in bob in team", search("come in bob", Some(team()), None)),
        ("SEARCH in", search("in", None, None)),
        ("SEARCH in team", search("in team", None, None)),
        ("SEARCH since 2026", search("since 2026", None, None)),
        ("SEARCH sign in", search("sign in", None, None)),
        ("SEARCH -- sign in sheet", search("sign in sheet", None, None)),
        ("SEARCH -- x SINCE 2026-02-28", search("x SINCE 2026-02-28", None, None)),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
    assert_eq!(day("2026-02-28").0 % 60_000, 0, "a day begins with a minute");
    let hours = (day("2026-03-01").0 - day("2026-02-28").0) / 3_600_000;
    assert!((22..=26).contains(&hours), "a day has some {hours} hours");
}
