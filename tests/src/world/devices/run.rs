//! Whole runs with several devices: a seed is played and healed, and reported.

use crate::world::{
    Setup, World, chance::Chance, clock::Span, coverage::Coverage, weather::Weather, witness::Violation,
};

/// Sets the dice of this story apart from those of the others.
const STORY_SEED: u64 = 0x6465_7669_6365;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The broken promise, if one was.
    pub violation: Option<Violation>,
    /// What was met.
    pub coverage: Coverage,
    /// Hash of the whole trace.
    pub hash: [u8; 32],
    /// Messages that were durably queued.
    pub messages: usize,
    /// Machines at the end.
    pub machines: usize,
    /// The trace to read, if it was asked for.
    pub lines: Vec<String>,
}

/// Plays a seed.
#[must_use]
pub fn play(seed: u64, readable: bool) -> Report {
    let mut dice = Chance::new(seed ^ STORY_SEED);
    let people = 2 + dice.index(3);
    let weather = Weather::stormy(&mut dice);
    let mut world = World::new(Setup { seed: seed ^ STORY_SEED, nodes: people, weather, plan: None, readable });
    world.with_devices();
    let length = Span::seconds(60 + dice.between(0, 60));
    let violation = world.run_until(world.now + length).and_then(|()| world.heal_devices()).err();
    Report {
        seed,
        violation,
        hash: world.trace.hash(),
        messages: world.devices.as_ref().map_or(0, |devices| devices.watch.messages().count()),
        machines: world.nodes.len(),
        lines: world.trace.lines().to_vec(),
        coverage: world.coverage,
    }
}
