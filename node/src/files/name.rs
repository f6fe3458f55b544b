//! What a file is called here: somebody else's name for it is a hint.
//!
//! Pure: a name that comes out leads nowhere, is shown as it is, and can be taken on any of today's file systems. What is
//! taken already is for whoever creates it to find out; [`numbered`] says what to try next.

use crate::view::is_unseen;

/// What stands for a name of which nothing is left.
const NAMELESS: &str = "file";
/// Longest name that comes out, in bytes: what file systems take (255), with room for a number.
const NAME_MAX: usize = 240;
/// Longest ending that a long name keeps when it is cut, in bytes with its dot.
const ENDING_MAX: usize = 16;
/// Names that lead to devices on some systems, whatever their ending.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// The same, with a digit behind.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];
/// What stands in the place of a character that no name here has.
const REPLACEMENT: char = '_';

/// The name under which a file or a folder that somebody offered is put into the inbox: the last part of the hint, never
/// hidden.
#[must_use]
pub fn received(hint: &str) -> String {
    // A hint that ends with a separator names what is before it.
    let hint = hint.trim_end_matches(['/', '\\']);
    let base = hint.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = part(base);
    match name.strip_prefix('.') {
        Some(rest) => fit(&format!("{REPLACEMENT}{rest}")),
        None => name,
    }
}

/// The name of something within a received folder: as [`received`], but a dot at the beginning stays.
#[must_use]
pub fn part(name: &str) -> String {
    let known = |c: char| if is_unfit(c) { REPLACEMENT } else { c };
    let name: String = name.chars().map(known).collect();
    // Some systems drop blanks and dots at the end, so that the name would be another one there.
    let name = name.trim_start().trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    if name.is_empty() {
        return NAMELESS.to_owned();
    }
    let name = if is_device(name) { format!("{REPLACEMENT}{name}") } else { name.to_owned() };
    fit(&name)
}

/// The name with a number, for when it is taken: `cat (1).png`. Of a name from here it is never too long.
#[must_use]
pub fn numbered(name: &str, number: u32) -> String {
    let (stem, ending) = split(name);
    format!("{stem} ({number}){ending}")
}

fn is_unfit(c: char) -> bool {
    is_unseen(c) || matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let digit = |rest: &str| {
        let mut characters = rest.chars();
        matches!((characters.next(), characters.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    };
    DEVICES.contains(&stem.as_str())
        || NUMBERED_DEVICES.iter().any(|device| stem.strip_prefix(device).is_some_and(digit))
}

/// Stem and ending, the ending with its dot; a dot at the beginning begins no ending.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.').filter(|at| *at > 0) {
        Some(at) => name.split_at(at),
        None => (name, ""),
    }
}

fn fit(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let (stem, ending) = match split(name) {
        (stem, ending) if ending.len() <= ENDING_MAX => (stem, ending),
        _ => (name, ""),
    };
    let mut length = NAME_MAX - ending.len();
    while !stem.is_char_boundary(length) {
        length -= 1;
    }
    let stem = stem.split_at(length).0.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    format!("{stem}{ending}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hint_becomes_a_name_that_leads_nowhere() {
        let rows = [
            ("cat.png", "cat.png"),
            ("Grüße an alle.txt", "Grüße an alle.txt"),
            ("猫.png", "猫.png"),
            ("/etc/passwd", "passwd"),
            ("../../.ssh/authorized_keys", "authorized_keys"),
            ("a/b/", "b"),
            ("C:\\Windows\\system32\\cmd.exe", "cmd.exe"),
            ("C:cmd.exe", "C_cmd.exe"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("/", "file"),
            ("   ", "file"),
            ("...", "file"),
            ("a/..", "file"),
            (".bashrc", "_bashrc"),
            ("..hidden", "_.hidden"),
            (" cat.png", "cat.png"),
            ("cat.png . .", "cat.png"),
            ("a\0b", "a_b"),
            ("a\nb\u{1b}[2J", "a_b_[2J"),
            ("exe\u{202e}gnp.cat", "exe_gnp.cat"),
            ("a\u{200b}b\u{feff}c", "a_b_c"),
            ("what?*|<>\":.txt", "what_______.txt"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("Nul .tar.gz", "_Nul .tar.gz"),
            ("COM1", "_COM1"),
            ("lpt³.log", "_lpt³.log"),
            ("COM10", "COM10"),
            ("COMA", "COMA"),
            ("CONSOLE", "CONSOLE"),
            ("AUX/aux", "_aux"),
        ];
        for (hint, name) in rows {
            assert_eq!(received(hint), name, "{hint:?}");
        }
    }

    #[test]
    fn within_a_folder_a_dot_at_the_beginning_stays() {
        for (hint, name) in [(".gitignore", ".gitignore"), ("..", "file"), ("a\u{202e}b", "a_b"), ("aux", "_aux")] {
            assert_eq!(part(hint), name, "{hint:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_keeps_a_short_ending() {
        let long = "ä".repeat(300);
        assert_eq!(received(&format!("{long}.png")), format!("{}.png", "ä".repeat(118)));
        assert_eq!(received(&format!("a.{long}")), format!("a.{}", "ä".repeat(119)));
        assert_eq!(received(&long), "ä".repeat(120));
        assert_eq!(received(&format!("{}{}", "a".repeat(240), ". x")), format!("{}. x", "a".repeat(237)));
    }

    #[test]
    fn a_taken_name_gets_a_number_before_its_ending() {
        let rows = [
            ("cat.png", "cat (1).png"),
            ("cat", "cat (1)"),
            ("a.tar.gz", "a.tar (1).gz"),
            (".gitignore", ".gitignore (1)"),
        ];
        for (name, expected) in rows {
            assert_eq!(numbered(name, 1), expected);
        }
        let longest = numbered(&received(&"x".repeat(1_000)), u32::MAX);
        assert!(longest.len() <= 255, "{}", longest.len());
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_any_system_takes(hint in "\\PC{0,40}|[./\\\\ ]{0,12}|[\\x00-\\x1f\u{202a}-\u{202e}a.]{0,300}") {
            let name = received(&hint);
            prop_assert!(!name.is_empty() && name.len() <= NAME_MAX, "{:?}", name);
            prop_assert!(!name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']), "{:?}", name);
            prop_assert!(!name.chars().any(is_unfit), "{:?}", name);
            prop_assert!(!is_device(&name), "{:?}", name);
            prop_assert_eq!(received(&name), name.clone(), "a name from here stays");
            prop_assert_eq!(part(&name), name);
        }
    }
}
