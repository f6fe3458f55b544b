//! Whom to trust: safety numbers compared, changed keys accepted, people blocked.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, Name, PublicKey,
    directory::{Person, Reply, Request},
    limits::LOOK_UP_MAX,
};
use sha2::{Digest as _, Sha512};

use crate::{
    command::{Command, CommandToken, Failure, FailureCode, Outcome},
    core::Core,
    event::{DeliveryState, Trust},
    input::Answer,
    link::Purpose,
    records::OwnAccount,
};

/// Label before the two root keys when their safety number is taken.
const SAFETY_NUMBER: &[u8] = b"tuppence safety number v1\0";
/// Groups of a safety number.
const GROUPS: usize = 12;
/// Bytes of the hash behind one group: reduced to five decimal digits, the bias is below one in ten million.
const GROUP_BYTES: usize = 5;

/// What two people compare: twelve groups of five digits from SHA-512 over both root keys in ascending order, so that
/// both see the same. Some 199 bits: nobody finds another pair of keys with the same number.
#[must_use]
pub fn safety_number(one: &PublicKey, other: &PublicKey) -> String {
    let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
    let hash = Sha512::new().chain_update(SAFETY_NUMBER).chain_update(low.0).chain_update(high.0).finalize();
    let group = |bytes: &[u8]| {
        let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    };
    hash.chunks(GROUP_BYTES).take(GROUPS).map(group).collect::<Vec<_>>().join(" ")
}

/// The digits of a number, however they were typed; nothing if there is anything else in it.
fn digits(code: &str) -> Option<String> {
    let kept = |c: &char| !matches!(c, ' ' | '-' | '\t');
    let digits: String = code.chars().filter(kept).collect();
    (digits.len() == GROUPS * 5 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// The number with a person: of their new key, if it changed.
    fn number_with(&self, account: AccountId) -> Option<String> {
        let contact = self.people.get(account)?;
        let key = contact.changed_to.as_ref().unwrap_or(&contact.root_key);
        Some(safety_number(&self.own()?.root_key, key))
    }

    /// The person whom a command names, or the command waits until the directory has said who that is.
    pub(crate) fn person(
        &mut self,
        token: CommandToken,
        user: &Name,
        command: impl FnOnce() -> Command,
    ) -> Option<AccountId> {
        if self.own().is_some_and(|own| own.name == *user) {
            let failure = Failure::new(FailureCode::Refused, "that is you; name somebody else");
            self.done(token, Err(failure));
            return None;
        }
        if let Some(contact) = self.people.by_name(user) {
            return Some(contact.account);
        }
        self.find_person(token, user.clone(), command());
        None
    }

    pub(crate) fn verify(&mut self, token: CommandToken, user: Name, code: Option<String>, picture: bool) {
        let again = || Command::Verify { user: user.clone(), code: code.clone(), picture };
        let Some(account) = self.person(token, &user, again) else { return };
        let Some(number) = self.number_with(account) else { return };
        let trust = self.trust_of(account);
        let Some(code) = code else {
            return self.done(token, Ok(Outcome::SafetyNumber { user, number, trust, picture }));
        };
        if trust == Trust::Changed {
            let text =
                format!("{user}'s key changed; VERIFY {user} shows the new number, TRUST {user} CODE accepts it");
            return self.done(token, Err(Failure::new(FailureCode::Trust, text)));
        }
        if let Err(failure) = compare(&user, &number, &code) {
            return self.done(token, Err(failure));
        }
        let now = self.now;
        if let Some(contact) = self.people.edit(account) {
            contact.verified = true;
            contact.changed_at = now;
        }
        self.book_changed();
        self.done(token, Ok(Outcome::Verified { user }));
    }

    pub(crate) fn trust(&mut self, token: CommandToken, user: Name, code: &str) {
        let again = || Command::Trust { user: user.clone(), code: code.to_owned() };
        let Some(account) = self.person(token, &user, again) else { return };
        let changed_to = self.people.get(account).and_then(|contact| contact.changed_to);
        let (Some(key), Some(number)) = (changed_to, self.number_with(account)) else {
            let text = format!("{user}'s key has not changed; VERIFY {user} CODE compares the number");
            return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
        };
        if self.is_pinned_number(account, code) {
            self.keep_old_key(account);
            return self.done(token, Ok(Outcome::Verified { user }));
        }
        if let Err(failure) = compare(&user, &number, code) {
            return self.done(token, Err(failure));
        }
        self.accept_new_key(account, &user, key);
        self.done(token, Ok(Outcome::Verified { user }));
    }

    /// A name stays its account's: whoever calls a known person otherwise frees the name for another key, and whoever
    /// calls somebody like the person here wants their words to pass for one's own.
    pub(crate) fn is_misnamed(&self, person: &Person) -> bool {
        let is_own = |own: &OwnAccount| (own.account == person.account) != (own.name == person.name);
        self.own().is_some_and(is_own) || self.people.name_of(person.account).is_some_and(|name| *name != person.name)
    }

    /// Whether that is the number of the key that was pinned before the change.
    fn is_pinned_number(&self, account: AccountId, code: &str) -> bool {
        let keys = self.own().zip(self.people.get(account));
        let number = keys.map(|(own, contact)| safety_number(&own.root_key, &contact.root_key));
        number.is_some_and(|number| digits(code) == digits(&number))
    }

    /// The person still has the key that was pinned: whoever said that it changed was wrong, or lied.
    fn keep_old_key(&mut self, account: AccountId) {
        let now = self.now;
        if let Some(contact) = self.people.edit(account) {
            contact.changed_to = None;
            contact.verified = true;
            contact.changed_at = now;
        }
        self.report_misbehaviour("the directory said that a key changed that did not");
        self.people.doubt(account);
        self.book_changed();
    }

    fn accept_new_key(&mut self, old: AccountId, user: &Name, key: PublicKey) {
        let now = self.now;
        let blocked = self.people.get(old).is_some_and(|contact| contact.blocked);
        self.people.set_name(old, None);
        if let Some(contact) = self.people.edit(old) {
            contact.former = true;
            contact.changed_to = None;
            contact.changed_at = now;
        }
        let new = self.people.pin(key);
        self.people.set_name(new, Some(user.clone()));
        self.people.accept(new);
        if let Some(contact) = self.people.edit(new) {
            contact.verified = true;
            contact.former = false;
            contact.changed_at = now;
            contact.blocked = blocked;
            contact.block_told = !blocked;
        }
        self.people.doubt(new);
        self.book_changed();
        // What was said in groups by whoever has the new key waited for their name.
        self.release_waiting_for_name();
        // What was sealed for the old key, or waited, reaches nobody any more.
        let reason = format!("{user}'s key changed meanwhile; RESEND sends it to the new one");
        if let Some(conversation) = self.known_with(old) {
            let waiting: Vec<_> = self.outbox.of(conversation).map(|entry| entry.record.id).collect();
            for id in waiting {
                self.fail_message(id, user, &reason);
            }
        }
        self.announce_accepted_peers();
    }

    pub(crate) fn block(&mut self, token: CommandToken, user: Name, blocked: bool) {
        let again = || Command::Block { user: user.clone(), blocked };
        let Some(account) = self.person(token, &user, again) else { return };
        let now = self.now;
        if self.people.get(account).is_some_and(|contact| contact.blocked != blocked) {
            if let Some(contact) = self.people.edit(account) {
                contact.blocked = blocked;
                contact.block_told = false;
                contact.changed_at = now;
            }
            self.people.block.retry_now();
            self.book_changed();
            self.announce_accepted_peers();
        }
        self.wait_for_block(token, account);
    }

    /// Whether the directory knows what this account has decided about somebody.
    pub(crate) fn is_block_told(&self, account: AccountId) -> bool {
        self.people.get(account).is_none_or(|contact| contact.block_told)
    }

    /// Whether nothing of a person is taken and nothing sent to them.
    pub(crate) fn has_blocked(&self, account: AccountId) -> bool {
        self.people.get(account).is_some_and(|contact| contact.blocked)
    }

    /// Tells the directory whom this account blocks.
    pub(crate) fn tell_block(&mut self) {
        let untold: Vec<(AccountId, bool)> =
            self.people.all().filter(|c| !c.block_told).map(|contact| (contact.account, contact.blocked)).collect();
        let Some((_, blocked)) = untold.first().copied() else { return };
        let alike = untold.into_iter().filter(|(_, other)| *other == blocked).take(LOOK_UP_MAX);
        let accounts: Vec<AccountId> = alike.map(|(account, _)| account).collect();
        let request = Request::Block { accounts: Bounded::new(accounts.clone()).unwrap_or_default(), blocked };
        let call = self.ask(Purpose::Block { accounts, blocked }, request);
        self.people.block.start(call);
    }

    pub(crate) fn on_block_told(&mut self, accounts: Vec<AccountId>, blocked: bool, answer: Answer) {
        let jitter = self.jitter();
        if !matches!(&answer, Answer::Reply(reply) if matches!(**reply, Reply::Done)) {
            return self.people.block.fail(self.now, jitter);
        }
        self.people.block.succeed();
        for account in accounts {
            if let Some(contact) = self.people.edit(account).filter(|contact| contact.blocked == blocked) {
                contact.block_told = true;
            }
        }
    }

    /// A message that will not arrive: said so, and forgotten.
    fn fail_message(&mut self, id: protocol::MessageId, user: &Name, reason: &str) {
        self.advance_for(id, DeliveryState::Failed, Some(reason.to_owned()), Some(user.clone()));
        self.forget_message(id);
    }
}

fn compare(user: &Name, number: &str, code: &str) -> Result<(), Failure> {
    let Some(code) = digits(code) else {
        let text = format!("a safety number is {GROUPS} groups of five digits; VERIFY {user} shows the one to compare");
        return Err(Failure::new(FailureCode::Usage, text));
    };
    if Some(code) == digits(number) {
        return Ok(());
    }
    let text = format!(
        "that is not the number between you and {user}: one of you misread it, or somebody stands between you; \
         nothing was changed here, and VERIFY {user} shows it once more"
    );
    Err(Failure::new(FailureCode::Trust, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_number_and_another_key_gives_another() {
        let (one, other, third) = (PublicKey([1; 65]), PublicKey([2; 65]), PublicKey([3; 65]));
        let number = safety_number(&one, &other);
        assert_eq!(number, safety_number(&other, &one));
        assert_ne!(number, safety_number(&one, &third));
        let groups: Vec<&str> = number.split(' ').collect();
        assert_eq!(groups.len(), 12);
        assert!(groups.iter().all(|group| group.len() == 5 && group.bytes().all(|b| b.is_ascii_digit())), "{number}");
    }

    #[test]
    fn a_number_is_compared_however_it_is_typed() {
        let bob = Name::parse("bob").unwrap();
        let number = safety_number(&PublicKey([1; 65]), &PublicKey([2; 65]));
        for typed in [number.clone(), number.replace(' ', ""), number.replace(' ', "-"), format!(" {number} ")] {
            assert_eq!(compare(&bob, &number, &typed), Ok(()), "{typed}");
        }
        let first = if number.starts_with('0') { "1" } else { "0" };
        let code = |typed: &str| compare(&bob, &number, typed).unwrap_err().code;
        assert_eq!(code(&format!("{first}{}", &number[1..])), FailureCode::Trust);
        for typed in ["", "12345", &number[1..], &format!("{number}1"), &number.replace(' ', "x")] {
            assert_eq!(code(typed), FailureCode::Usage, "{typed}");
        }
    }
}
