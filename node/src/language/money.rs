//! Lines about money.

use node_core::{
    command::{Command, Failure, MoneyCommand, MoneyRef, OwnLimit},
    event::ShortId,
};
use protocol::{
    BoundedText, Name, OrderId,
    limits::CLOSING_REASON_MAX,
    money::{AmountError, Currency, MEMO_MAX, SCALE_MAX},
};

use super::{Line, form, name, restore, usage, values::number, verbs::Verb, words::Words};

/// Payments that PAYMENTS shows unless told otherwise.
const PAYMENTS_DEFAULT: usize = 20;
/// The keys of SET, and what each stands for.
const KEYS: [(&str, OwnLimit); 4] = [
    ("limit.payment", OwnLimit::Payment),
    ("limit.day", OwnLimit::Day),
    ("limit.peer", OwnLimit::Peer),
    ("confirm.above", OwnLimit::Confirm),
];
/// What is set where there shall be no limit.
const NO_LIMIT: &str = "none";

const fn core(command: MoneyCommand) -> Command {
    Command::Money(command)
}

/// `payer#amount#user`, which counts only as a whole line without blanks; `None` for any other line.
pub(super) fn hashed(line: &str) -> Option<Result<Line, Failure>> {
    let line = line.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
    let [payer, amount, to] = line.split('#').collect::<Vec<_>>().try_into().ok()?;
    if payer.is_empty() {
        return None;
    }
    if let Some((to, rest)) = to.split_once([' ', '\t', '\n']) {
        let text = format!(
            "nothing follows PAYER#AMOUNT#NAME; did you mean `PAY {} {} {}`?",
            restore(to),
            restore(amount),
            restore(rest)
        );
        return Some(Err(usage(text)));
    }
    if line.contains([' ', '\t', '\n']) {
        return None;
    }
    Some(read_hashed(payer, amount, to))
}

fn read_hashed(payer: &str, amount: &str, to: &str) -> Result<Line, Failure> {
    let payer = if payer.eq_ignore_ascii_case("me") { None } else { Some(name(payer)?) };
    let mine = payer.as_ref().map_or("me", Name::as_str);
    let amount = amount_of(&restore(amount), |amount| format!("{mine}#{amount}#{}", restore(to)))?;
    let to = name(to.strip_prefix('@').unwrap_or(to))?;
    Ok(Line::Core(core(MoneyCommand::Pay { payer, to, amount, memo: String::new(), id: None })))
}

/// An amount as it stands, if its form is right in any currency; `corrected` is the line with another one.
fn amount_of(word: &str, corrected: impl Fn(&str) -> String) -> Result<String, Failure> {
    match check(word) {
        Ok(()) => Ok(word.to_owned()),
        Err(error @ AmountError::NoWhole) if check(&format!("0{word}")).is_ok() => {
            Err(usage(format!("{error}; did you mean `{}`?", corrected(&format!("0{word}")))))
        }
        Err(error @ AmountError::Form) if word.split(',').count() == 2 && check(&word.replace(',', ".")).is_ok() => {
            Err(usage(format!("{error}; did you mean `{}`?", corrected(&word.replace(',', ".")))))
        }
        Err(error) => Err(usage(format!("{word:?}: {error}; as in `{}`", corrected("12.50")))),
    }
}

/// Whether a word is an amount in some currency. Only the core knows which it is, and so what is too much of it.
fn check(word: &str) -> Result<(), AmountError> {
    let in_scale = |scale, word: &str| {
        let currency = Currency::new(BoundedText::default(), scale).unwrap_or_default();
        currency.parse(word).map(|_| ())
    };
    match in_scale(SCALE_MAX, word) {
        Err(AmountError::TooLarge) => in_scale(0, word.split('.').next().unwrap_or_default()),
        other => other,
    }
}

/// Somebody and an amount, whichever way round they were meant, and the memo behind them.
fn party_and_amount(words: &mut Words<'_>, verb: Verb, group: bool) -> Result<(Name, String, String), Failure> {
    let what = if group { "a group's name" } else { "a name" };
    let head = if group { format!("{} GROUP", verb.word()) } else { verb.word().to_owned() };
    let Some(who) = words.next() else {
        return Err(usage(format!("{head} needs {what} and an amount; {}", form(verb))));
    };
    let bare = who.strip_prefix(if group { '&' } else { '@' }).unwrap_or(who);
    let shown = restore(who);
    let Some(amount) = words.next().map(restore) else {
        return Err(usage(format!("{head} needs an amount behind the name; {}", form(verb))));
    };
    if check(&shown).is_ok() && name(&amount).is_ok() {
        return Err(usage(format!("the name comes first; did you mean `{head} {amount} {shown}`?")));
    }
    let who = name(bare)?;
    let amount = amount_of(&amount, |amount| format!("{head} {who} {amount}"))?;
    let memo = restore(words.text());
    let thousands = memo.split(['.', ' ']).next().filter(|digits| digits.len() == 3 && number(digits).is_some());
    if let Some(digits) = thousands.filter(|_| number(&amount).is_some()) {
        let text = format!(
            "an amount has no blanks; did you mean `{head} {who} {amount}{digits}`? A memo that begins so needs a word before it"
        );
        return Err(usage(text));
    }
    if memo.len() > MEMO_MAX {
        return Err(usage(format!("a memo has at most {MEMO_MAX} bytes, this one has {}; shorten it", memo.len())));
    }
    Ok((who, amount, memo))
}

pub(super) fn pay(words: &mut Words<'_>) -> Result<Command, Failure> {
    let (to, amount, memo) = party_and_amount(words, Verb::Pay, false)?;
    Ok(core(MoneyCommand::Pay { payer: None, to, amount, memo, id: None::<OrderId> }))
}

pub(super) fn request(words: &mut Words<'_>) -> Result<Command, Failure> {
    if words.clone().next().is_some_and(|word| word.eq_ignore_ascii_case("group")) {
        words.next();
        let (group, amount, memo) = party_and_amount(words, Verb::Request, true)?;
        return Ok(core(MoneyCommand::RequestGroup { group, amount, memo }));
    }
    let (from, amount, memo) = party_and_amount(words, Verb::Request, false)?;
    Ok(core(MoneyCommand::Request { from, amount, memo }))
}

/// What a short id's letter stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Payment,
}

impl Kind {
    const fn what(self) -> &'static str {
        match self {
            Self::Request => {
                "the id of a request or a file, which looks like r7 or f3; `REQUESTS` and `FILES` show them"
            }
            Self::Payment => "a payment's id, which looks like p4; `PAYMENTS` shows them",
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Request => 'r',
            Self::Payment => 'p',
        }
    }
}

/// The id of a request or a payment, short or in full; of neither: `None`.
pub(crate) fn money_ref(word: &str) -> Option<MoneyRef> {
    let word = restore(word);
    if let Ok(OrderId(full)) = word.parse::<OrderId>() {
        return Some(MoneyRef::Full(full));
    }
    let (letter, digits) = word.split_at_checked(1)?;
    let number = number(digits)?;
    match letter {
        "r" | "R" => Some(MoneyRef::Short(ShortId::Request(number))),
        "p" | "P" => Some(MoneyRef::Short(ShortId::Payment(number))),
        _ => None,
    }
}

fn id(words: &mut Words<'_>, verb: Verb, kind: Kind) -> Result<MoneyRef, Failure> {
    let Some(word) = words.next().map(restore) else {
        return Err(usage(format!("{} needs {}; {}", verb.word(), kind.what(), form(verb))));
    };
    if number(&word).is_some() {
        let letter = kind.letter();
        return Err(usage(format!("an id begins with its letter; did you mean `{} {letter}{word}`?", verb.word())));
    }
    match (money_ref(&word), kind) {
        (Some(found @ (MoneyRef::Full(_) | MoneyRef::Short(ShortId::Request(_)))), Kind::Request)
        | (Some(found @ (MoneyRef::Full(_) | MoneyRef::Short(ShortId::Payment(_)))), Kind::Payment) => Ok(found),
        _ => Err(usage(format!("{word:?} is not {}", kind.what()))),
    }
}

pub(super) fn accept(words: &mut Words<'_>) -> Result<Command, Failure> {
    Ok(core(MoneyCommand::Accept { id: id(words, Verb::Accept, Kind::Request)? }))
}

fn closing(words: &mut Words<'_>, verb: Verb) -> Result<(MoneyRef, String), Failure> {
    let id = id(words, verb, Kind::Request)?;
    let reason = restore(words.text());
    if reason.len() > CLOSING_REASON_MAX {
        let text =
            format!("a reason has at most {CLOSING_REASON_MAX} bytes, this one has {}; shorten it", reason.len());
        return Err(usage(text));
    }
    Ok((id, reason))
}

pub(super) fn decline(words: &mut Words<'_>) -> Result<Command, Failure> {
    closing(words, Verb::Decline).map(|(id, reason)| core(MoneyCommand::Decline { id, reason }))
}

pub(super) fn cancel(words: &mut Words<'_>) -> Result<Command, Failure> {
    closing(words, Verb::Cancel).map(|(id, reason)| core(MoneyCommand::Cancel { id, reason }))
}

pub(super) fn refund(words: &mut Words<'_>) -> Result<Command, Failure> {
    let id = id(words, Verb::Refund, Kind::Payment)?;
    let shown = match id {
        MoneyRef::Short(id) => id.to_string(),
        MoneyRef::Full(full) => OrderId(full).to_string(),
    };
    let amount = words.next().map(restore).map(|word| amount_of(&word, |amount| format!("REFUND {shown} {amount}")));
    Ok(core(MoneyCommand::Refund { id, amount: amount.transpose()? }))
}

pub(super) fn payments(words: &mut Words<'_>) -> Result<Command, Failure> {
    let (mut with, mut count) = (None, PAYMENTS_DEFAULT);
    if let Some(word) = words.next() {
        match number(word) {
            Some(number) => count = at_least_one(number)?,
            None => {
                with = Some(name(word.strip_prefix('@').unwrap_or(word))?);
                if let Some(word) = words.next() {
                    let wrong = || usage(format!("{:?} is no number; {}", restore(word), form(Verb::Payments)));
                    count = at_least_one(number(word).ok_or_else(wrong)?)?;
                }
            }
        }
    }
    Ok(core(MoneyCommand::Payments { with, count }))
}

fn at_least_one(number: u64) -> Result<usize, Failure> {
    match usize::try_from(number) {
        Ok(0) => Err(usage(format!("at least one payment; {}", form(Verb::Payments)))),
        Ok(count) => Ok(count),
        Err(_) => Ok(usize::MAX),
    }
}

pub(super) fn set(words: &mut Words<'_>) -> Result<Command, Failure> {
    let Some(key) = words.next().map(restore) else { return Ok(core(MoneyCommand::Limits)) };
    let found = KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&key));
    let Some((key, limit)) = found else {
        let known = KEYS.map(|(known, _)| known).join(", ");
        let unasked = super::files::UNASKED;
        return Err(usage(format!("{key:?} can't be set; what can is {known}, {unasked}NAME; {}", form(Verb::Set))));
    };
    let Some(value) = words.next().map(restore) else { return Ok(core(MoneyCommand::Limits)) };
    let amount = match value.eq_ignore_ascii_case(NO_LIMIT) {
        true => None,
        // A prompt that asks above nothing asks always.
        false if *limit == OwnLimit::Confirm && is_zero(&value) => Some(value),
        false => Some(amount_of(&value, |amount| format!("SET {key} {amount}"))?),
    };
    Ok(core(MoneyCommand::SetLimit { limit: *limit, amount }))
}

fn is_zero(word: &str) -> bool {
    check(word) == Err(AmountError::Zero)
}
