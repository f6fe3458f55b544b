//! Lines about one's account and about whom to trust.

use node_core::command::{Command, Failure, Password};

use super::{Line, form, needed, restore, usage, verbs::Verb, words::Words};

/// Fewest characters of a password on the line.
const PASSWORD_MIN: usize = 8;

/// What is said when a password on the line has more than one word.
const ONE_WORD: &str = "a password on the line is one word; leave it out to be asked for one with blanks";

fn password(words: &mut Words<'_>) -> Result<Option<Password>, Failure> {
    let password = words.next().map(|word| Password::new(restore(word)));
    // What follows is not repeated: it may be the rest of a password with a blank in it.
    if words.next().is_some() { Err(usage(ONE_WORD)) } else { Ok(password) }
}

pub(super) fn sign_up(words: &mut Words<'_>) -> Result<Line, Failure> {
    let name = needed(words, Verb::SignUp)?;
    let mut password = None;
    let mut next = words.next();
    if let Some(word) = next.filter(|word| !word.eq_ignore_ascii_case("invite")) {
        password = Some(new_password(word)?);
        next = words.next();
    }
    let invite = match next {
        None => None,
        Some(word) if word.eq_ignore_ascii_case("invite") => match words.next() {
            Some(code) => Some(restore(code)),
            None => return Err(usage(format!("INVITE needs a code; {}", form(Verb::SignUp)))),
        },
        // The word is not repeated: it may be the rest of a password with a blank in it.
        Some(_) => return Err(usage(ONE_WORD)),
    };
    Ok(Line::SignUp { name, password, invite })
}

pub(super) fn sign_in(words: &mut Words<'_>) -> Result<Line, Failure> {
    let name = needed(words, Verb::SignIn)?;
    Ok(Line::SignIn { name, password: password(words)? })
}

fn new_password(word: &str) -> Result<Password, Failure> {
    let word = restore(word);
    if word.chars().count() < PASSWORD_MIN {
        return Err(usage(format!("a password has {PASSWORD_MIN} or more characters")));
    }
    Ok(Password::new(word))
}

pub(super) fn revoke(words: &mut Words<'_>) -> Result<Line, Failure> {
    let Some(device) = words.next().map(restore) else {
        return Err(usage(format!("REVOKE needs a device, as DEVICES shows it; {}", form(Verb::Revoke))));
    };
    if !device.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(usage(format!("{device:?} is no device, which looks like 3f9a01c2; DEVICES shows them")));
    }
    Ok(Line::Revoke { device, password: password(words)? })
}

pub(super) fn passwd(words: &mut Words<'_>) -> Result<Line, Failure> {
    let Some(old) = words.next().map(|word| Password::new(restore(word))) else { return Ok(Line::Passwd(None)) };
    let Some(new) = words.next() else {
        return Err(usage(format!(
            "PASSWD takes the old password and the new one, or asks for both; {}",
            form(Verb::Passwd)
        )));
    };
    let new = new_password(new)?;
    if words.next().is_some() { Err(usage(ONE_WORD)) } else { Ok(Line::Passwd(Some((old, new)))) }
}

pub(super) fn recover(words: &mut Words<'_>) -> Result<Line, Failure> {
    let name = needed(words, Verb::Recover)?;
    let Some(code) = words.next().map(restore) else { return Ok(Line::Recover { name, secrets: None }) };
    let Some(new) = words.next() else {
        let text = "RECOVER takes the code in one word and a new password, or asks for both";
        return Err(usage(format!("{text}; {}", form(Verb::Recover))));
    };
    let new = new_password(new)?;
    if words.next().is_some() { Err(usage(ONE_WORD)) } else { Ok(Line::Recover { name, secrets: Some((code, new)) }) }
}

pub(super) fn close(words: &mut Words<'_>) -> Result<Line, Failure> {
    match words.next() {
        Some(word) if word.eq_ignore_ascii_case("account") => Ok(Line::CloseAccount { password: password(words)? }),
        _ => Err(usage(format!("CLOSE closes only the whole account; {}", form(Verb::Close)))),
    }
}

/// A safety number as it was typed: its groups are words of the line.
fn number(words: &mut Words<'_>) -> Option<String> {
    let groups: Vec<String> = std::iter::from_fn(|| words.next().map(restore)).collect();
    (!groups.is_empty()).then(|| groups.join(" "))
}

pub(super) fn verify(words: &mut Words<'_>) -> Result<Line, Failure> {
    let user = needed(words, Verb::Verify)?;
    let code = number(words);
    let picture = code.as_ref().is_some_and(|code| code.eq_ignore_ascii_case("qr"));
    let code = code.filter(|_| !picture);
    Ok(Line::Core(Command::Verify { user, code, picture }))
}

pub(super) fn trust(words: &mut Words<'_>) -> Result<Line, Failure> {
    let user = needed(words, Verb::Trust)?;
    match number(words) {
        Some(code) => Ok(Line::Core(Command::Trust { user, code })),
        None => {
            let text = format!("TRUST needs the safety number, which VERIFY {user} shows");
            Err(usage(format!("{text}; {}", form(Verb::Trust))))
        }
    }
}
