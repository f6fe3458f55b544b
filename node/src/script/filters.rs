//! From the words after EXPECT to what an event must be like.

use std::time::Duration;

use node_core::command::Failure;
use protocol::{
    BoundedText,
    money::{AmountError, Currency, SCALE_MAX},
};
use regex::Regex;

use super::{
    expect::{Filters, Kind, Text},
    parse::{duration, name, split},
    runner::usage,
    variables::settable,
};
use crate::language::{hold, restore};

/// How long EXPECT waits unless told otherwise.
const EXPECT_DEFAULT: Duration = Duration::from_secs(10);
/// How long EXPECT NOT waits unless told otherwise.
const EXPECT_NOT_DEFAULT: Duration = Duration::from_secs(1);
/// Longest compiled regex, in bytes.
const REGEX_MAX: usize = 1024 * 1024;

/// What EXPECT waits for.
pub(super) struct Expectation {
    pub(super) not: bool,
    pub(super) kind: Kind,
    pub(super) filters: Filters,
    pub(super) within: Duration,
    /// The variable that keeps the event's id.
    pub(super) bind: Option<String>,
}

/// Reads what stands after EXPECT.
pub(super) fn expectation(rest: &str) -> Result<Expectation, Failure> {
    let (first, after) = split(rest);
    let not = first.eq_ignore_ascii_case("NOT");
    let (kind, mut rest) = if not { split(after) } else { (first, after) };
    let unknown = || usage("the form is: EXPECT [NOT] event; MESSAGE, RECEIPT, FILE and the like");
    let kind = Kind::read(kind).ok_or_else(unknown)?;
    let mut filters = Filters::default();
    let (mut within, mut bind) = (None, None);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            break;
        }
        if rest.starts_with('"') || rest.starts_with("~/") {
            let (text, after) = if rest.starts_with('"') { quoted(rest)? } else { pattern(rest)? };
            once(&mut filters.text, text, "a text")?;
            rest = after;
            continue;
        }
        let (keyword, after) = split(rest);
        let (value, after) = split(after);
        if value.is_empty() {
            return Err(usage(format!("something is missing after {}", restore(keyword))));
        }
        match keyword.to_uppercase().as_str() {
            "FROM" => once(&mut filters.from, name(value)?, "FROM")?,
            "TO" => once(&mut filters.to, name(value)?, "TO")?,
            "IN" => once(&mut filters.in_group, name(value.strip_prefix('&').unwrap_or(value))?, "IN")?,
            "STATE" => once(&mut filters.state, restore(value).to_lowercase(), "STATE")?,
            "ID" => once(&mut filters.id, restore(value).to_lowercase(), "ID")?,
            "AS" => once(&mut bind, settable(&restore(value))?, "AS")?,
            "WITHIN" => once(&mut within, duration(value)?, "WITHIN")?,
            "AMOUNT" => once(&mut filters.amount, amount(value)?, "AMOUNT")?,
            _ => {
                let keyword = restore(keyword);
                let text =
                    format!("`{keyword}` is no filter; FROM, TO, IN, STATE, AMOUNT, ID, \"text\", ~/regex/ and AS are");
                return Err(usage(text));
            }
        }
        rest = after;
    }
    let within = within.unwrap_or(if not { EXPECT_NOT_DEFAULT } else { EXPECT_DEFAULT });
    if filters.amount.is_some() && !matches!(kind, Kind::Payment | Kind::Request) {
        return Err(usage("only a PAYMENT or a REQUEST has an AMOUNT"));
    }
    if filters.from.is_some() && kind == Kind::Closed {
        return Err(usage("CLOSED is from nobody; ID names the request, as in `EXPECT CLOSED ID ${r} STATE paid`"));
    }
    let has_id = !matches!(kind, Kind::Member | Kind::Presence | Kind::KeyChange);
    if bind.is_some() && (not || !has_id) {
        return Err(usage("AS keeps the id of an event that is taken; this one has none"));
    }
    Ok(Expectation { not, kind, filters, within, bind })
}

/// An amount that an event or a balance must have, zero too; only the directory knows how many decimals there are.
pub(super) fn amount(word: &str) -> Result<String, Failure> {
    let word = restore(word);
    let finest = Currency::new(BoundedText::default(), SCALE_MAX).unwrap_or_default();
    match finest.parse_any(&word) {
        Ok(_) | Err(AmountError::TooLarge) => Ok(word),
        Err(error) => Err(usage(format!("{word:?}: {error}"))),
    }
}

fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), Failure> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(usage(format!("{what} stands twice; each filter stands once"))),
    }
}

/// A text in quotes, with `\" \\ \n \t \u{…}`.
fn quoted(rest: &str) -> Result<(Text, &str), Failure> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Text::Whole(restore(&text)), &rest[at + 1..])),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some('u') => {
                    let digits: String = characters.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                    let number = digits.strip_prefix('{').and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    let character = number.and_then(char::from_u32);
                    hold(&mut text, character.ok_or_else(|| usage("`\\u` needs the form \\u{202e}"))?);
                }
                _ => return Err(usage("in quotes, \\\" \\\\ \\n \\t and \\u{…} are the escapes")),
            },
            character => text.push(character),
        }
    }
    Err(usage("a text in quotes does not end; close it with \""))
}

fn pattern(rest: &str) -> Result<(Text, &str), Failure> {
    let mut source = String::new();
    let mut characters = rest.char_indices().skip(2);
    while let Some((at, character)) = characters.next() {
        match character {
            '/' => {
                let regex = regex::RegexBuilder::new(&restore(&source)).size_limit(REGEX_MAX).build();
                let regex: Regex = regex.map_err(|error| usage(format!("the regex does not hold: {error}")))?;
                return Ok((Text::Matching(regex), &rest[at + 1..]));
            }
            '\\' => match characters.next() {
                Some((_, '/')) => source.push('/'),
                Some((_, escaped)) => source.extend(['\\', escaped]),
                None => break,
            },
            character => source.push(character),
        }
    }
    Err(usage("a regex does not end; close it with /"))
}
