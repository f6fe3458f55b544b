//! Single words that stand for values: names, ids, numbers, durations.

use std::time::Duration;

use jiff::{civil::Date, tz::TimeZone};
use node_core::{
    command::{Failure, MessageRef},
    event::ShortId,
};
use protocol::{MessageId, Name, Timestamp};

use super::{restore, usage};

/// Longest duration: a year. Longer ones are slips.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Reads a message's id, short (`m12`) or in full.
///
/// # Errors
/// A [`Failure`] of class `usage`.
pub fn message_ref(text: &str) -> Result<MessageRef, Failure> {
    let text = restore(text);
    if let Ok(uid) = text.parse::<MessageId>() {
        return Ok(MessageRef::Full(uid));
    }
    match text.strip_prefix(['m', 'M']).and_then(number) {
        Some(number) => Ok(MessageRef::Short(ShortId::Message(number))),
        None => Err(usage(format!("{text:?} is no message's id, which looks like m12; `HISTORY` shows them"))),
    }
}

/// Reads digits, and nothing else.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Reads a name.
///
/// # Errors
/// A [`Failure`] of class `usage`.
pub fn name(text: &str) -> Result<Name, Failure> {
    let text = restore(text);
    Name::parse(&text).map_err(|error| usage(format!("{text:?} is no name: {error}")))
}

/// Why a word is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDuration {
    /// It is not an integer and a unit.
    Form,
    /// It is longer than a year.
    TooLong,
}

/// An integer and ms, s, m, h or d.
pub(crate) fn duration(word: &str) -> Result<Duration, NoDuration> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).ok_or(NoDuration::Form)?;
    let (count, unit) = word.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(NoDuration::Form),
    };
    let count = number(count).ok_or(NoDuration::Form)?;
    let duration = count.checked_mul(ms).map(Duration::from_millis).ok_or(NoDuration::Form)?;
    if duration > DURATION_MAX { Err(NoDuration::TooLong) } else { Ok(duration) }
}

/// The beginning of a day that is given as its year, month and day, where this machine is: what HISTORY shows as that day.
pub(super) fn day(word: &str) -> Option<Timestamp> {
    let [year, month, day] = word.split('-').collect::<Vec<_>>().try_into().ok()?;
    let digits = |part: &str, count: usize| number(part).filter(|_| part.len() == count);
    let year = i16::try_from(digits(year, 4)?).ok()?;
    let (month, day) = (i8::try_from(digits(month, 2)?).ok()?, i8::try_from(digits(day, 2)?).ok()?);
    let begins = Date::new(year, month, day).ok()?.to_zoned(TimeZone::system()).ok()?;
    Some(Timestamp(u64::try_from(begins.timestamp().as_millisecond()).unwrap_or_default()))
}
