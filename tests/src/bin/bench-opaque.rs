//! `scripts/bench opaque`: whether the time that the directory takes for a sign-in that fails tells whether there is such
//! a name. Asked of the rules themselves, without a network that would blur it: for each store, ten thousand sign-ins with a
//! wrong password and ten thousand of names that nobody has, in random order. Build it in release.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use ::tests::fixture::{self, Failed, now};
use directory::{
    core::{Caller, Service},
    store::{Store, memory::MemoryStore, sqlite::SqliteStore},
};
use node_core::{
    command::Password,
    stretch::{StretchParameters, start_login},
};
use protocol::{
    Name, PublicKey,
    directory::{OpaqueMessage, Refusal, Reply, Request},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};

/// Sign-ins of either kind that are measured.
const TRIALS: usize = 10_000;
/// Sign-ins before the first that is measured.
const WARM_UP: usize = 1_000;
/// Accounts that the directory holds.
const ACCOUNTS: usize = 1_000;
/// Bytes of a proof of a password.
const PROOF: usize = 32;
/// The directory never stretches passwords, so that the client's effort doesn't matter.
const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
/// Share of all times that the second statistic leaves out at the top: what the machine did meanwhile.
const CROPPED: f64 = 0.05;

fn main() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    say("store       name      mean µs   median µs      p99 µs")?;
    measure("memory", MemoryStore::default())?;
    measure("SQLite", SqliteStore::open(folder.path())?)
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

fn measure<S: Store>(what: &str, store: S) -> Result<(), Failed> {
    let service = fixture::open(store)?;
    let accounts = fixture::fill(&service, ACCOUNTS, CHEAP)?;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (mut known, mut unknown) = (Vec::with_capacity(TRIALS), Vec::with_capacity(TRIALS));
    let total = 2 * TRIALS + WARM_UP;
    for trial in 0..total {
        let account = &accounts[rng.next_u32() as usize % ACCOUNTS];
        // As long as a name that is known, and as many of them.
        let nobody = Name::parse(&account.name.as_str().replace("bench", "bunch"))?;
        // A coin for each, until one side has all that it needs.
        let is_known = if known.len() == TRIALS { false } else { unknown.len() == TRIALS || rng.next_u32() & 1 == 0 };
        let name = if is_known { account.name.clone() } else { nobody };
        let took = sign_in(&service, &mut rng, trial, name)?;
        if trial >= WARM_UP {
            if is_known { known.push(took) } else { unknown.push(took) }
        }
    }
    known.sort_unstable();
    unknown.sort_unstable();
    for (name, times) in [("known", &known), ("unknown", &unknown)] {
        let (mean, _) = mean_and_variance(times);
        let (median, p99) = (micros(times[times.len() / 2]), micros(times[times.len() * 99 / 100]));
        say(&format!("{what:<10}  {name:<8}{mean:>9.2}{median:>12.2}{p99:>12.2}"))?;
    }
    let mut all: Vec<Duration> = known.iter().chain(&unknown).copied().collect();
    all.sort_unstable();
    let limit = all[((all.len() - 1) as f64 * (1.0 - CROPPED)) as usize];
    let cropped = |times: &[Duration]| times[..times.partition_point(|time| *time <= limit)].to_vec();
    let (all, most) = (welch_t(&known, &unknown), welch_t(&cropped(&known), &cropped(&unknown)));
    say(&format!("{what:<10}  Welch's t {all:.2}; without the slowest twentieth {most:.2}"))?;
    Ok(())
}

/// One sign-in that fails, and how long the directory took for its two requests.
fn sign_in<S: Store>(
    service: &Service<S>,
    rng: &mut ChaCha20Rng,
    trial: usize,
    name: Name,
) -> Result<Duration, Failed> {
    let (_, credential) = start_login(&Password::new("a wrong password".to_owned()), rng)?;
    let (mut key, mut exporter, mut proof) = ([4; 65], [0; 32], vec![0; PROOF]);
    rng.fill_bytes(&mut key[1..]);
    rng.fill_bytes(&mut exporter);
    rng.fill_bytes(&mut proof);
    let proof = OpaqueMessage::new(proof)?;
    // Everybody from an address of their own: limits are not what is measured.
    let host = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(trial)?);
    let mut caller = Caller::new(PublicKey(key), exporter, SocketAddr::from((host, 7_000)));
    let now = now();
    let begun = Instant::now();
    let started = service.handle(now, &mut caller, Request::SignInStart { name, credential }).answer;
    let finished = service.handle(now, &mut caller, Request::SignInFinish { credential: proof }).answer;
    let took = begun.elapsed();
    match (started, finished) {
        (Ok(Reply::SignInStarted { .. }), Err(Refusal::WrongCredentials)) => Ok(took),
        other => Err(format!("a wrong password is answered {other:?}").into()),
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// In microseconds, and their square.
fn mean_and_variance(times: &[Duration]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().copied().map(micros).sum::<f64>() / count;
    let variance = times.iter().map(|time| (micros(*time) - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance)
}

/// How many standard errors two means lie apart (Welch); beyond 4.5 either way they differ beyond doubt.
fn welch_t(one: &[Duration], other: &[Duration]) -> f64 {
    let ((mean, variance), (other_mean, other_variance)) = (mean_and_variance(one), mean_and_variance(other));
    (mean - other_mean) / (variance / one.len() as f64 + other_variance / other.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welchs_t_is_that_of_the_textbook() {
        let times = |micros: [u64; 5]| micros.map(Duration::from_micros);
        let t = welch_t(&times([1, 2, 3, 4, 5]), &times([2, 4, 6, 8, 10]));
        assert!((t + 1.897_366).abs() < 1e-5, "{t}");
    }
}
