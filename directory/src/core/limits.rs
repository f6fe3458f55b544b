//! How often what may be asked. Time comes from outside; memory is bounded by forgetting whoever was seen least lately.

mod recent;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use protocol::{
    AccountId, MessageId, Name, Timestamp,
    directory::Refusal,
    limits::{REFUSED_ORDERS_PER_HOUR, STRANGER_ENVELOPES_PER_HOUR},
};

use self::recent::Recent;

/// Requests of one account in a second. A node at full tilt makes fewer: it batches.
const REQUESTS_PER_SECOND: u64 = 1_000;
/// Requests that may come at once after a pause.
const REQUESTS_BURST: u64 = 2_000;
/// Sign-ups and sign-ins of one address in a minute: a school that starts its machines at once.
const ATTEMPTS_PER_MINUTE: u64 = 300;
/// Requests of one address in a second on connections that nobody has signed in on.
const STRANGERS_PER_SECOND: u64 = 100;
/// Such requests that may come at once: a sign-up has three, and a school starts its machines at once.
const STRANGERS_BURST: u64 = 2_000;
/// Conversations that one account makes in a minute: faster than anybody finds people to talk to. Each is kept for good.
const CREATIONS_PER_MINUTE: u64 = 60;
/// Conversations that may be made at once: somebody who writes to everybody they know.
const CREATIONS_BURST: u64 = 500;
/// Commits of one account in a second: more than a node at full tilt refreshes keys, with hundreds of messages to each.
const COMMITS_PER_SECOND: u64 = 20;
/// Commits that may come at once: all devices of somebody with a hundred conversations come back and refresh them all.
const COMMITS_BURST: u64 = 2_000;
/// Failures of one name from one address that cost nothing: slips of the finger.
const FREE_FAILURES: u32 = 5;
/// Failures of one address over all names that cost nothing: several people behind one address, a hundred of them in
/// the middle of signing in.
const FREE_FAILURES_ADDRESS: u32 = 150;
/// Longest wait after failures, in milliseconds: a person can bear it, a guesser gets sixty tries an hour.
const FAILURE_WAIT_MAX_MS: u64 = 60_000;
/// How long failures are remembered, in milliseconds.
const FAILURE_MEMORY_MS: u64 = 3_600_000;
/// An hour, in milliseconds: the window of a stranger's messages.
const HOUR_MS: u64 = 3_600_000;
/// Orders of one account that may be refused for good: see [`REFUSED_ORDERS_PER_HOUR`].
const REFUSED_BURST: u64 = REFUSED_ORDERS_PER_HOUR as u64;
/// Thousandths of one more of them in a second.
const REFUSED_THOUSANDTHS: u64 = REFUSED_BURST * 1_000 / 3_600;
/// How long buckets are remembered, in milliseconds: the slowest of them is full again by then.
const BUCKET_MEMORY_MS: u64 = 600_000;

/// A bucket that fills with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of a token.
    tokens: u64,
    at: Timestamp,
}

impl Bucket {
    fn take(bucket: Option<Self>, now: Timestamp, per_second_thousandths: u64, burst: u64) -> Result<Self, u64> {
        let full = burst * 1_000;
        let tokens = bucket.map_or(full, |bucket| {
            let gained = now.ms_since(bucket.at).saturating_mul(per_second_thousandths) / 1_000;
            bucket.tokens.saturating_add(gained).min(full)
        });
        match tokens.checked_sub(1_000) {
            Some(tokens) => Ok(Self { tokens, at: now }),
            None => Err((1_000 - tokens).saturating_mul(1_000) / per_second_thousandths.max(1) + 1),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    /// What is left of it now.
    fn remembered(failures: Option<&Self>, now: Timestamp) -> Option<Self> {
        failures.copied().filter(|failures| now.ms_since(failures.last) < FAILURE_MEMORY_MS)
    }

    fn wait_until(self, free: u32) -> Timestamp {
        let over = self.count.saturating_sub(free);
        if over == 0 {
            return Timestamp(0);
        }
        self.last.plus_ms((500_u64 << over.min(16)).min(FAILURE_WAIT_MAX_MS))
    }
}

#[derive(Debug, Default)]
struct Inner {
    requests: Recent<AccountId, Bucket>,
    creations: Recent<AccountId, Bucket>,
    commits: Recent<AccountId, Bucket>,
    attempts: Recent<IpAddr, Bucket>,
    unknown: Recent<IpAddr, Bucket>,
    by_name: Recent<(Name, IpAddr), Failures>,
    by_address: Recent<IpAddr, Failures>,
    strangers: Recent<(AccountId, AccountId), Vec<(MessageId, Timestamp)>>,
    refused_orders: Recent<AccountId, Bucket>,
}

/// Who asked how often.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<Inner>);

fn limited(wait_ms: u64) -> Refusal {
    Refusal::RateLimited { retry_after_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX) }
}

/// What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, of which one machine has all it likes.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

impl Limits {
    // Counts are whole at any moment.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of an account.
    pub(super) fn request(&self, now: Timestamp, account: AccountId) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let bucket = inner.requests.get(&account).copied();
        let bucket = Bucket::take(bucket, now, REQUESTS_PER_SECOND * 1_000, REQUESTS_BURST).map_err(limited)?;
        inner.requests.insert(account, bucket);
        Ok(())
    }

    /// A conversation that an account makes.
    pub(super) fn creation(&self, now: Timestamp, account: AccountId) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let bucket = inner.creations.get(&account).copied();
        let bucket = Bucket::take(bucket, now, CREATIONS_PER_MINUTE * 1_000 / 60, CREATIONS_BURST).map_err(limited)?;
        inner.creations.insert(account, bucket);
        Ok(())
    }

    /// A commit that an account submits.
    pub(super) fn commit(&self, now: Timestamp, account: AccountId) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let bucket = inner.commits.get(&account).copied();
        let bucket = Bucket::take(bucket, now, COMMITS_PER_SECOND * 1_000, COMMITS_BURST).map_err(limited)?;
        inner.commits.insert(account, bucket);
        Ok(())
    }

    /// A request on a connection that nobody has signed in on.
    pub(super) fn unknown(&self, now: Timestamp, address: IpAddr) -> Result<(), Refusal> {
        let (mut inner, address) = (self.lock(), network(address));
        let bucket = inner.unknown.get(&address).copied();
        let bucket = Bucket::take(bucket, now, STRANGERS_PER_SECOND * 1_000, STRANGERS_BURST).map_err(limited)?;
        inner.unknown.insert(address, bucket);
        Ok(())
    }

    /// A sign-up or sign-in from an address.
    pub(super) fn attempt(&self, now: Timestamp, address: IpAddr) -> Result<(), Refusal> {
        let (mut inner, address) = (self.lock(), network(address));
        let bucket = inner.attempts.get(&address).copied();
        let bucket = Bucket::take(bucket, now, ATTEMPTS_PER_MINUTE * 1_000 / 60, ATTEMPTS_PER_MINUTE);
        inner.attempts.insert(address, bucket.map_err(limited)?);
        Ok(())
    }

    /// Whether a password may be tried now. Failures elsewhere never lock the owner out: they count by address.
    pub(super) fn guess(&self, now: Timestamp, name: &Name, address: IpAddr) -> Result<(), Refusal> {
        let (inner, address) = (self.lock(), network(address));
        let by_name = Failures::remembered(inner.by_name.get(&(name.clone(), address)), now);
        let by_name = by_name.map(|failures| failures.wait_until(FREE_FAILURES));
        let by_address = Failures::remembered(inner.by_address.get(&address), now);
        let by_address = by_address.map(|failures| failures.wait_until(FREE_FAILURES_ADDRESS));
        match by_name.into_iter().chain(by_address).max() {
            Some(until) if until > now => Err(limited(until.ms_since(now))),
            _ => Ok(()),
        }
    }

    /// A password is tried. It counts as a failure until it succeeds: with OPAQUE whoever guesses finds out from our
    /// first answer, and need not come back to tell us.
    pub(super) fn tried(&self, now: Timestamp, name: &Name, address: IpAddr) {
        let (mut inner, address) = (self.lock(), network(address));
        let add = |failures: Option<&Failures>| Failures {
            count: Failures::remembered(failures, now).map_or(0, |failures| failures.count).saturating_add(1),
            last: now,
        };
        let by_name = add(inner.by_name.get(&(name.clone(), address)));
        inner.by_name.insert((name.clone(), address), by_name);
        let by_address = add(inner.by_address.get(&address));
        inner.by_address.insert(address, by_address);
    }

    /// A password was right.
    pub(super) fn succeeded(&self, name: &Name, address: IpAddr) {
        let (mut inner, address) = (self.lock(), network(address));
        inner.by_name.remove(&(name.clone(), address));
        if let Some(failures) = inner.by_address.get(&address).copied() {
            let count = failures.count.saturating_sub(1);
            inner.by_address.insert(address, Failures { count, ..failures });
        }
    }

    /// A stranger's message to somebody; the same message again counts once.
    pub(super) fn stranger(
        &self,
        now: Timestamp,
        from: AccountId,
        to: AccountId,
        message: MessageId,
    ) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let mut sent = inner.strangers.remove(&(from, to)).unwrap_or_default();
        sent.retain(|(_, at)| now.ms_since(*at) < HOUR_MS);
        let known = sent.iter().any(|(known, _)| *known == message);
        let room = sent.len() < STRANGER_ENVELOPES_PER_HOUR as usize;
        if !known && room {
            sent.push((message, now));
        }
        inner.strangers.insert((from, to), sent);
        if known || room { Ok(()) } else { Err(Refusal::StrangerLimit) }
    }

    /// Whether the ledger still looks at an account's orders: each that it refuses for good stays in its journal.
    pub(super) fn may_order(&self, now: Timestamp, payer: AccountId) -> Result<(), Refusal> {
        let inner = self.lock();
        Bucket::take(inner.refused_orders.get(&payer).copied(), now, REFUSED_THOUSANDTHS, REFUSED_BURST)
            .map(|_| ())
            .map_err(limited)
    }

    /// An account's order was refused for good.
    pub(super) fn order_refused(&self, now: Timestamp, payer: AccountId) {
        let mut inner = self.lock();
        let bucket = inner.refused_orders.get(&payer).copied();
        // What was handed in together may be refused together; nothing is owed for it.
        if let Ok(bucket) = Bucket::take(bucket, now, REFUSED_THOUSANDTHS, REFUSED_BURST) {
            inner.refused_orders.insert(payer, bucket);
        }
    }

    /// Forgets what no longer matters.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut inner = self.lock();
        inner.by_name.turn(now, FAILURE_MEMORY_MS);
        inner.by_address.turn(now, FAILURE_MEMORY_MS);
        inner.requests.turn(now, BUCKET_MEMORY_MS);
        inner.unknown.turn(now, BUCKET_MEMORY_MS);
        inner.attempts.turn(now, BUCKET_MEMORY_MS);
        inner.creations.turn(now, BUCKET_MEMORY_MS);
        inner.commits.turn(now, BUCKET_MEMORY_MS);
        inner.strangers.turn(now, HOUR_MS);
        inner.refused_orders.turn(now, HOUR_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ACCOUNT: AccountId = AccountId([1; 32]);

    #[test]
    fn five_hundred_requests_a_second_and_a_hundred_sign_ins_a_minute_always_pass() {
        let limits = Limits::default();
        for n in 0..5_000 {
            assert_eq!(limits.request(Timestamp(n * 2), ACCOUNT), Ok(()), "request {n}");
        }
        for n in 0..1_000 {
            assert_eq!(limits.attempt(Timestamp(n * 600), ADDRESS), Ok(()), "attempt {n}");
        }
    }

    #[test]
    fn a_flood_is_refused_with_the_time_to_come_back() {
        let limits = Limits::default();
        let passed = (0..10_000).take_while(|_| limits.request(Timestamp(0), ACCOUNT).is_ok()).count();
        assert_eq!(passed, 2_000);
        let Err(Refusal::RateLimited { retry_after_ms }) = limits.request(Timestamp(0), ACCOUNT) else { panic!() };
        assert_eq!(limits.request(Timestamp(u64::from(retry_after_ms)), ACCOUNT), Ok(()));
    }

    #[test]
    fn wrong_passwords_slow_their_own_address_and_never_the_owners() {
        let limits = Limits::default();
        let name = Name::parse("alice").unwrap();
        for n in 0..10 {
            limits.tried(Timestamp(n), &name, ADDRESS);
        }
        assert_eq!(limits.guess(Timestamp(10), &name, ADDRESS), Err(Refusal::RateLimited { retry_after_ms: 15_999 }));
        let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(limits.guess(Timestamp(10), &name, elsewhere), Ok(()));
        limits.succeeded(&name, ADDRESS);
        assert_eq!(limits.guess(Timestamp(10), &name, ADDRESS), Ok(()));
    }

    #[test]
    fn failures_are_forgotten_after_their_time_and_not_before_whatever_is_swept() {
        for swept in [false, true] {
            let limits = Limits::default();
            let name = Name::parse("alice").unwrap();
            for _ in 0..30 {
                limits.tried(Timestamp(FAILURE_MEMORY_MS), &name, ADDRESS);
            }
            // A sweep a second before it is forgotten and one in the middle of the wait.
            for at in [FAILURE_MEMORY_MS + 1, 2 * FAILURE_MEMORY_MS - 1_000].into_iter().filter(|_| swept) {
                limits.sweep(Timestamp(at));
            }
            limits.tried(Timestamp(2 * FAILURE_MEMORY_MS - 1), &name, ADDRESS);
            let wait = limits.guess(Timestamp(2 * FAILURE_MEMORY_MS), &name, ADDRESS);
            assert_eq!(wait, Err(Refusal::RateLimited { retry_after_ms: 59_999 }));
            assert_eq!(limits.guess(Timestamp(3 * FAILURE_MEMORY_MS), &name, ADDRESS), Ok(()));
            limits.tried(Timestamp(3 * FAILURE_MEMORY_MS), &name, ADDRESS);
            assert_eq!(limits.guess(Timestamp(3 * FAILURE_MEMORY_MS), &name, ADDRESS), Ok(()), "counted from one");
        }
    }

    #[test]
    fn an_ipv6_machine_is_its_network_and_a_mapped_address_is_ipv4() {
        let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("::ffff:192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn people_who_sign_in_rightly_never_slow_their_address() {
        let limits = Limits::default();
        for n in 0..1_000_u64 {
            let name = Name::parse(&format!("person-{n}")).unwrap();
            assert_eq!(limits.guess(Timestamp(n), &name, ADDRESS), Ok(()), "person {n}");
            limits.tried(Timestamp(n), &name, ADDRESS);
            limits.succeeded(&name, ADDRESS);
        }
    }

    #[test]
    fn one_password_tried_on_many_names_slows_the_address() {
        let limits = Limits::default();
        for n in 0..=FREE_FAILURES_ADDRESS {
            limits.tried(Timestamp(0), &Name::parse(&format!("person-{n}")).unwrap(), ADDRESS);
        }
        let next = Name::parse("next").unwrap();
        assert_eq!(limits.guess(Timestamp(0), &next, ADDRESS), Err(Refusal::RateLimited { retry_after_ms: 1_000 }));
        assert_eq!(limits.guess(Timestamp(1_000), &next, ADDRESS), Ok(()));
    }

    #[test]
    fn strangers_of_one_address_have_a_rate_and_others_have_theirs() {
        let limits = Limits::default();
        let passed = (0..10_000).take_while(|_| limits.unknown(Timestamp(0), ADDRESS).is_ok()).count();
        assert_eq!(passed, 2_000);
        let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(limits.unknown(Timestamp(0), elsewhere), Ok(()));
    }

    #[test]
    fn a_stranger_has_twenty_messages_an_hour_and_a_repetition_is_none() {
        let limits = Limits::default();
        let send = |n: u8, at| limits.stranger(Timestamp(at), ACCOUNT, AccountId([2; 32]), MessageId([n; 16]));
        for n in 0..20 {
            assert_eq!(send(n, 0), Ok(()));
        }
        assert_eq!(send(20, 1), Err(Refusal::StrangerLimit));
        assert_eq!(send(3, 1), Ok(()));
        assert_eq!(send(20, HOUR_MS), Ok(()));
    }
}
