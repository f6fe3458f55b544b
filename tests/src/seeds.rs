//! Many seeds at once: each played twice, on every core that there is, and what is asked of what came of them.
//!
//! A failing seed is named. `SEED=n cargo test -p tests --test virtual_groups`, or another of its kind, plays it alone and
//! prints its trace; `SEEDS=n` plays more or fewer than the test says, `FROM=n` begins with another than the first.

use std::{
    env, fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::world::{
    coverage::{Case, Coverage, LEAST},
    report::Report,
};

/// Lines of a trace that are printed, the last ones.
const LINES_PRINTED: usize = 200_000;

/// Runs of one kind: one for each seed.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    /// Plays a seed; with a trace to read, if it is asked for.
    pub play: fn(u64, bool) -> Report,
    /// Seeds of one run of the test, from the first on.
    pub seeds: u64,
    /// What so many seeds have to meet, each often enough.
    pub required: &'a [Case],
}

impl Runs<'_> {
    /// Plays them, or only those that the environment names.
    ///
    /// # Panics
    ///
    /// If a promise is broken, if two runs of a seed differ, if a case was met too rarely.
    pub fn prove(self) {
        if let Some(seed) = named("SEED") {
            return self.replay(seed);
        }
        let first = named("FROM").unwrap_or(0);
        let seeds = named("SEEDS").unwrap_or(self.seeds);
        let reports = play_twice(first..first + seeds, |seed| (self.play)(seed, false));
        let mut coverage = Coverage::default();
        let mut broken = Vec::new();
        let mut counts = Counts::default();
        for (first, second) in &reports {
            coverage.add(&first.coverage);
            counts.add(first);
            if let Some(violation) = &first.violation {
                broken.push(format!("SEED={} {}: {violation:?}", first.seed, first.story));
            }
            if first.hash != second.hash {
                broken.push(format!("SEED={} {}: two runs differ", first.seed, first.story));
            }
        }
        print(&format!("{seeds} seeds{counts}\n{coverage}"));
        assert!(broken.is_empty(), "{} of {seeds} seeds failed:\n{}", broken.len(), broken.join("\n"));
        // Fewer than these have no chance to meet every case.
        if seeds >= self.seeds {
            assert_eq!(coverage.missing(self.required), [], "cases met fewer than {LEAST} times");
        }
    }

    fn replay(self, seed: u64) {
        let report = (self.play)(seed, true);
        for line in &report.lines[report.lines.len().saturating_sub(LINES_PRINTED)..] {
            print(line);
        }
        let mut counts = Counts::default();
        counts.add(&report);
        print(&format!("SEED={seed} {}{counts}\n{}", report.story, report.coverage));
        assert_eq!(report.violation, None, "SEED={seed}");
        let again = (self.play)(seed, true);
        let differs = report.lines.iter().zip(&again.lines).find(|(one, other)| one != other);
        assert_eq!(differs, None, "SEED={seed}: two runs differ");
        assert_eq!(report.hash, again.hash, "SEED={seed}: two runs differ in bytes that no line shows");
    }
}

#[expect(clippy::expect_used, reason = "a typing mistake in the environment ends the test")]
fn named(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|number| number.parse().expect("a number"))
}

#[expect(clippy::print_stdout, reason = "what a test shows if it fails")]
fn print(text: &str) {
    println!("{text}");
}

/// How much of what there was in all runs.
#[derive(Default)]
struct Counts(Vec<(&'static str, usize)>);

impl Counts {
    fn add(&mut self, report: &Report) {
        for (name, count) in &report.counts {
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += count,
                None => self.0.push((name, *count)),
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, count)| write!(f, ", {count} {name}"))
    }
}

/// Plays each seed twice; what came of it, in the order of the seeds.
fn play_twice<R: Send>(seeds: Range<u64>, play: impl Fn(u64) -> R + Sync) -> Vec<(R, R)> {
    let next = AtomicU64::new(seeds.start);
    let played = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let pair = (play(seed), play(seed));
                    // A push leaves the list as good as before, whoever panics afterwards.
                    played.lock().unwrap_or_else(PoisonError::into_inner).push((seed, pair));
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
    played.sort_by_key(|(seed, _)| *seed);
    played.into_iter().map(|(_, pair)| pair).collect()
}
