//! Whole runs with several devices: a seed is played and healed, and reported.

use crate::world::{Setup, World, chance::Chance, clock::Span, report::Report, run::Story, weather::Weather};

/// Sets the dice of this story apart from those of the others.
const STORY_SEED: u64 = 0x6465_7669_6365;

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
    let messages = world.devices.as_ref().map_or(0, |devices| devices.watch.messages().count());
    let counts = vec![("machines", world.nodes.len()), ("messages", messages)];
    world.report(seed, Story::Storm, counts, violation)
}
