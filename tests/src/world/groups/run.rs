//! Whole runs with groups: a seed is played and healed, and reported.

use crate::world::{
    Happening, Setup, World,
    chance::Chance,
    clock::Span,
    fault::Fault,
    report::Report,
    weather::Weather,
    witness::{NodeIndex, Violation},
};

/// Sets the dice of this story apart from those of the others.
const STORY_SEED: u64 = 0x6772_6f75_7073;
/// A day and an hour: every key is due for a refresh.
const DAY: Span = Span::hours(25);
/// How long somebody is away, in two parts, with a morning of the others between: the mailbox keeps nothing for so long.
const WEEKS: [Span; 2] = [Span::hours(15 * 24), Span::hours(16 * 24)];
/// How much of each day in between the others are there.
const MORNING: Span = Span::seconds(20);

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Everything goes wrong at once, for a minute.
    Storm,
    /// The same, then everybody is away for a day, and comes back with keys to refresh.
    Day,
    /// The same, and a device is away for a month.
    Month,
}

impl Story {
    /// What a seed is about.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 10 {
            0..2 => Self::Month,
            2..4 => Self::Day,
            _ => Self::Storm,
        }
    }
}

/// Plays a seed.
#[must_use]
pub fn play(seed: u64, readable: bool) -> Report {
    play_with(seed, readable, None)
}

/// Plays a seed with a fault planted.
#[must_use]
pub fn play_with(seed: u64, readable: bool, fault: Option<Fault>) -> Report {
    let story = Story::of(seed);
    let mut dice = Chance::new(seed ^ STORY_SEED);
    let people = 4 + dice.index(2);
    let weather = Weather::stormy(&mut dice);
    let mut world = World::new(Setup { seed: seed ^ STORY_SEED, nodes: people, weather, plan: None, readable });
    world.with_groups(1 + dice.index(2));
    match fault {
        Some(Fault::ForgetsRemovals) => world.directory.forget_removals(),
        Some(fault) => world.plant(0, fault),
        None => {}
    }
    let length = Span::seconds(45 + dice.between(0, 30));
    let played = match story {
        Story::Storm => world.run_until(world.now + length),
        Story::Day => world.day_of_groups(length),
        Story::Month => world.month_of_groups(length),
    };
    let violation = played.and_then(|()| world.heal_groups()).err();
    let messages = world.groups.as_ref().map_or(0, |groups| groups.talk.all().count());
    world.report(seed, story, vec![("messages", messages)], violation)
}

impl World {
    fn day_of_groups(&mut self, length: Span) -> Result<(), Violation> {
        self.run_until(self.now + length)?;
        self.sleep(DAY, None)?;
        self.run_until(self.now + MORNING)
    }

    /// A device is away for longer than the mailbox keeps anything; the others come for some moments now and then.
    fn month_of_groups(&mut self, length: Span) -> Result<(), Violation> {
        self.run_until(self.now + length)?;
        let gone: NodeIndex = self.chance.index(self.nodes.len());
        self.nodes[gone].away = true;
        self.stop_node(gone);
        for pause in WEEKS {
            self.run_until(self.now + MORNING)?;
            self.sleep(pause, Some(gone))?;
        }
        self.run_until(self.now + MORNING)?;
        self.nodes[gone].away = false;
        self.queue.push(&mut self.chance, self.now, Happening::StartNode(gone));
        self.run_until(self.now + MORNING)
    }
}
