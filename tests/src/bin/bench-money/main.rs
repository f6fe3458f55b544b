//! `scripts/bench money`: settled, signed, durable payments at 1, 64, 256 and 1,024 waiting clients, in process and through
//! QUIC, against what the same cores can verify in the same run; and what a book of a million entries costs. Build it in
//! release.
//!
//! Rates on the wall measure also what else this machine does, and the waiting for its disk. So beside them stands what a
//! payment takes of the processors' time, everything that this process does included, in verifications: the other one is
//! what is left at best.

mod book;
mod payers;
mod through;

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use protocol::PublicKey;
use settlement::signed::check_order;
use tests::fixture::{Failed, cpu};

use self::payers::{ACCOUNTS, OPENING, Payers};

/// How many clients wait at a time, and how many payments each run makes.
const RUNS: [(usize, usize); 4] = [(1, 2_000), (64, 20_000), (256, 40_000), (1_024, 40_000)];
/// Entries of the large book, unless the command line says otherwise; with none there is no book.
const ENTRIES: u64 = 1_000_000;
/// How long signatures are verified for the rate that everything is held against.
const VERIFYING: Duration = Duration::from_secs(2);

/// What a run came to.
struct Run {
    per_second: f64,
    /// Of the processors' time.
    per_cpu_second: f64,
    /// From handing an order over until its receipt is there, in order of length.
    times: Vec<Duration>,
}

impl Run {
    fn new(begun: Moment, mut times: Vec<Duration>) -> Self {
        let (per_second, per_cpu_second) = begun.rates(times.len());
        times.sort_unstable();
        Self { per_second, per_cpu_second, times }
    }

    fn percentile(&self, of: usize) -> Duration {
        self.times.get(self.times.len() * of / 100).copied().unwrap_or_default()
    }
}

/// When something began, on the wall and of the processors' time.
#[derive(Clone, Copy)]
struct Moment(Instant, Duration);

impl Moment {
    fn now() -> Self {
        Self(Instant::now(), cpu())
    }

    /// So many things since: for each second, and for each second of the processors' time.
    fn rates(self, count: usize) -> (f64, f64) {
        let (wall, spent) = (self.0.elapsed(), cpu() - self.1);
        (count as f64 / wall.as_secs_f64(), count as f64 / spent.as_secs_f64())
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// P-256 verifications on all cores, as the directory does them: for each second, and for each of the processors' time.
fn verifications(payers: &Payers) -> Result<(f64, f64), Failed> {
    let order = payers.sign(0, 1, 1)?;
    let key: PublicKey = membership::signing::public_key(payers.accounts[0].keys.order_key());
    let begun = Moment::now();
    let count = || {
        let mut count = 0_usize;
        while begun.0.elapsed() < VERIFYING && check_order(&order, &key).is_ok() {
            count += 1;
        }
        count
    };
    let total = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    Ok(begun.rates(total))
}

fn main() -> Result<(), Failed> {
    let entries = std::env::args().nth(1).map_or(Ok(ENTRIES), |count| count.parse())?;
    let mut out = std::io::stdout().lock();
    let folder = tempfile::tempdir()?;
    let payers = Payers::make(folder.path())?;
    let (verified, of_cpu) = verifications(&payers)?;
    writeln!(out, "payments, each signed, durable before the answer; the same machine, one run, {} cores", cores())?;
    writeln!(out, "P-256 verifications, all cores          {verified:>9.0} /s")?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut first = 1;
    for through_quic in [false, true] {
        for (waiting, count) in RUNS {
            let orders = payers.sign_all(first, count, if through_quic { waiting } else { ACCOUNTS })?;
            first += count as u64;
            let run = if through_quic {
                runtime.block_on(through::quic(folder.path(), &payers, orders, waiting))?
            } else {
                through::process(folder.path(), &payers, orders, waiting)?
            };
            let what = if through_quic { "through QUIC, clients on the same cores" } else { "in process" };
            writeln!(out, "{what}, {waiting} waiting: {:.0} payments/s", run.per_second)?;
            writeln!(out, "    against verifications               {:>9.3}", run.per_second / verified)?;
            writeln!(out, "    the same, of the processors' time   {:>9.3}", run.per_cpu_second / of_cpu)?;
            writeln!(out, "    p50 {:?}, p99 {:?}", run.percentile(50), run.percentile(99))?;
        }
    }
    payers.check(folder.path(), first - 1)?;
    if entries == 0 {
        return Ok(());
    }
    let book::Book { written, reopened, audited, bytes } = book::measure(&payers, entries)?;
    writeln!(out, "a book of {entries} entries")?;
    writeln!(out, "    written, in batches, signatures aside {written:>9.0} /s")?;
    writeln!(out, "    reopened in                         {reopened:?}")?;
    writeln!(out, "    audited in                          {audited:?}")?;
    writeln!(out, "    bytes an entry                      {bytes:>9.0}")?;
    writeln!(out, "    (each account began with {OPENING} minor units)")?;
    Ok(())
}
