//! `scripts/bench money`: settled, signed, durable payments at 1, 64, 256 and 1,024 waiting clients, in process and through
//! QUIC, against what the same cores can verify in the same run; and what a book of a million entries costs. Build it in
//! release.
//!
//! Rates on the wall measure also what else this machine does, and the waiting for its disk. So beside them stands what a
//! payment takes of the processors' time, everything that this process does included, in verifications: the other one is
//! what is left at best.

mod bare;
mod book;
mod payers;
mod through;

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use protocol::{PublicKey, money::SignedOrder};
use settlement::signed::check_order;
use tests::fixture::{Failed, cpu};

use self::payers::{ACCOUNTS, OPENING, Payers, Signed};

/// How many clients wait at a time, and how many payments each run makes.
const RUNS: [(usize, usize); 4] = [(1, 2_000), (64, 20_000), (256, 40_000), (1_024, 40_000)];
/// Entries of the large book, unless the command line says otherwise; with none there is no book.
const ENTRIES: u64 = 1_000_000;
/// Name of the threads that clients run on.
const CLIENTS: &str = "clients";
/// How long signatures are verified for the rate that everything is held against.
const VERIFYING: Duration = Duration::from_secs(2);

/// What a run came to.
struct Run {
    per_second: f64,
    /// Of the processors' time.
    per_cpu_second: f64,
    /// Of what the clients' threads left of it to everything else.
    per_service_second: f64,
    /// From handing an order over until its receipt is there, in order of length.
    times: Vec<Duration>,
}

impl Run {
    fn new(begun: Moment, mut times: Vec<Duration>) -> Self {
        let (per_second, per_cpu_second, per_service_second) = begun.rates(times.len());
        times.sort_unstable();
        Self { per_second, per_cpu_second, per_service_second, times }
    }

    fn percentile(&self, of: usize) -> Duration {
        self.times.get(self.times.len() * of / 100).copied().unwrap_or_default()
    }
}

/// When something began: on the wall, of the processors' time, and of what clients took of that.
#[derive(Clone, Copy)]
struct Moment(Instant, Duration, Duration);

impl Moment {
    fn now() -> Self {
        Self(Instant::now(), cpu(), clients_cpu())
    }

    /// So many things since: for each second, for each second of the processors' time, and of that without the clients'.
    fn rates(self, count: usize) -> (f64, f64, f64) {
        let (wall, spent) = (self.0.elapsed(), cpu() - self.1);
        let served = spent.saturating_sub(clients_cpu() - self.2);
        let per = |time: Duration| count as f64 / time.as_secs_f64();
        (per(wall), per(spent), per(served))
    }
}

/// What the clients' threads have spent of the processors' time.
fn clients_cpu() -> Duration {
    let spent = |task: &std::path::Path| -> Option<u64> {
        let named = std::fs::read_to_string(task.join("comm")).ok()?;
        let times = std::fs::read_to_string(task.join("schedstat")).ok()?;
        times.split_whitespace().next().filter(|_| named.trim() == CLIENTS)?.parse().ok()
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    Duration::from_nanos(tasks.filter_map(|task| spent(&task.path())).sum())
}

/// A runtime whose threads have this name.
fn runtime(name: &str) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// P-256 verifications on all cores, as the directory does them: for each second, and for each of the processors' time. Of as
/// many orders and keys as there are people: a processor learns what one signature has it do, and then does it faster.
fn verifications(payers: &Payers) -> Result<(f64, f64), Failed> {
    let orders = payers.sign_all(0, ACCOUNTS, ACCOUNTS)?;
    let key = |signed: &Signed| membership::signing::public_key(payers.accounts[signed.payer].keys.order_key());
    let orders: Vec<(SignedOrder, PublicKey)> =
        orders.into_iter().map(|signed| (key(&signed), signed)).map(|(key, signed)| (signed.order, key)).collect();
    let begun = Moment::now();
    let count = || {
        let holds = |(order, key): &&(SignedOrder, PublicKey)| check_order(order, key).is_ok();
        orders.iter().cycle().take_while(|_| begun.0.elapsed() < VERIFYING).take_while(holds).count()
    };
    let total = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    let (verified, of_cpu, _) = begun.rates(total);
    Ok((verified, of_cpu))
}

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let entries = arguments.next().map_or(Ok(ENTRIES), |count| count.parse())?;
    // Of the runs only these, for whoever looks for what takes the time: `process:256` or `quic:256`.
    let only = arguments.next();
    let wanted = |kind: &str, waiting: usize| only.as_ref().is_none_or(|only| *only == format!("{kind}:{waiting}"));
    let mut out = std::io::stdout().lock();
    let folder = tempfile::tempdir()?;
    let payers = Payers::make(folder.path())?;
    let (verified, of_cpu) = verifications(&payers)?;
    writeln!(out, "payments, each signed, durable before the answer; the same machine, one run, {} cores", cores())?;
    writeln!(out, "P-256 verifications, all cores          {verified:>9.0} /s")?;
    writeln!(out, "    one takes, of a processor's time    {:>9.1} µs", 1e6 / of_cpu)?;
    let (clients, directory) = (runtime(CLIENTS)?, runtime("directory")?);
    let mut first = 1;
    for (waiting, count) in RUNS.into_iter().filter(|(waiting, _)| wanted("process", *waiting)) {
        let orders = payers.sign_all(first, count, ACCOUNTS)?;
        first += count as u64;
        writeln!(out, "in process, {waiting} waiting")?;
        tell(&mut out, &through::process(folder.path(), &payers, orders, waiting)?, (verified, of_cpu))?;
    }
    for (waiting, count) in RUNS.into_iter().filter(|(waiting, _)| wanted("quic", *waiting)) {
        let bare = bare::measure(&clients, &directory, waiting, count)?;
        writeln!(out, "bare QUIC round trips, {waiting} waiting, clients on the same cores")?;
        tell(&mut out, &bare, (verified, of_cpu))?;
        let orders = payers.sign_all(first, count, waiting)?;
        first += count as u64;
        writeln!(out, "through QUIC, {waiting} waiting, clients on the same cores")?;
        let run = through::quic(folder.path(), &payers, orders, (waiting, &clients, &directory))?;
        tell(&mut out, &run, (verified, of_cpu))?;
        let at_best = 1.0 / (1.0 + of_cpu / bare.per_cpu_second);
        writeln!(out, "    one verification and one bare round trip alone would be {at_best:.3}")?;
        let alone = run.per_service_second / of_cpu;
        writeln!(out, "    of the directory's own time, the clients' aside         {alone:.3}")?;
    }
    payers.check(folder.path(), first - 1)?;
    if entries > 0 {
        tell_of_book(&mut out, &payers, entries)?;
    }
    Ok(())
}

/// A run beside what the cores can verify: on the wall, and of the processors' time.
fn tell(out: &mut impl Write, run: &Run, (verified, of_cpu): (f64, f64)) -> Result<(), Failed> {
    writeln!(out, "    for each second                     {:>9.0}", run.per_second)?;
    writeln!(out, "    against verifications               {:>9.3}", run.per_second / verified)?;
    writeln!(out, "    the same, of the processors' time   {:>9.3}", run.per_cpu_second / of_cpu)?;
    writeln!(out, "    of a processor's time, each         {:>9.1} µs", 1e6 / run.per_cpu_second)?;
    writeln!(out, "    p50 {:?}, p99 {:?}", run.percentile(50), run.percentile(99))?;
    Ok(())
}

fn tell_of_book(out: &mut impl Write, payers: &Payers, entries: u64) -> Result<(), Failed> {
    let book::Book { written, reopened, audited, bytes } = book::measure(payers, entries)?;
    writeln!(out, "a book of {entries} entries")?;
    writeln!(out, "    written, in batches, signatures aside {written:>9.0} /s")?;
    writeln!(out, "    reopened in                         {reopened:?}")?;
    writeln!(out, "    audited in                          {audited:?}")?;
    writeln!(out, "    bytes an entry                      {bytes:>9.0}")?;
    writeln!(out, "    (each account began with {OPENING} minor units)")?;
    Ok(())
}
