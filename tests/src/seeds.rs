//! Many seeds at once: each played twice, on every core that there is.

use std::{
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Plays each seed below `seeds` twice; what came of it, in the order of the seeds.
pub fn play_all<R: Send>(seeds: u64, play: impl Fn(u64) -> R + Sync) -> Vec<(R, R)> {
    play_these(0..seeds, play)
}

/// The same with any seeds that follow each other.
pub fn play_these<R: Send>(seeds: Range<u64>, play: impl Fn(u64) -> R + Sync) -> Vec<(R, R)> {
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
