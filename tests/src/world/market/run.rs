//! Whole runs with money: a seed is played and healed, and reported.

use crate::world::{
    Participant, Setup, World,
    chance::Chance,
    clock::Span,
    fault::Fault,
    report::Report,
    weather::Weather,
    witness::{NodeIndex, Violation},
};

/// Sets the dice of this story apart from those of the others.
const STORY_SEED: u64 = 0x006d_6f6e_6579;
/// A day and an hour: orders that nobody has handed in by then never settle, and keys are due for a refresh.
const DAY: Span = Span::hours(25);
/// Somebody is away for so long: the mailbox keeps everything.
const WEEK: Span = Span::hours(7 * 24);
/// Everybody is away for so long: open requests expire.
const MONTH: Span = Span::hours(31 * 24);
/// How much of each day the others are there.
const MORNING: Span = Span::seconds(20);
/// How long whoever is cut off from the directory pays others before they go away.
const EVENING: Span = Span::seconds(10);

/// How much more often the directory dies than in other worlds.
const DIES_MORE_OFTEN: u64 = 3;
/// How often there is a group, for which see `shares`.
const SPLITS: u64 = 333_000;

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Everything goes wrong at once, for a minute.
    Storm,
    /// The same, and somebody pays others while cut off from the directory; then everybody is away for a day.
    Day,
    /// The same, and a device is away for a week, while the others come now and then.
    Week,
    /// The same, and everybody is away for a month.
    Month,
}

impl Story {
    /// What a seed is about.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 10 {
            0..2 => Self::Day,
            2..4 => Self::Week,
            4 => Self::Month,
            _ => Self::Storm,
        }
    }
}

/// Plays a seed.
#[must_use]
pub fn play(seed: u64, readable: bool) -> Report {
    play_with(seed, readable, None)
}

/// Plays a seed with a fault planted in the ledger's store.
#[must_use]
pub fn play_with(seed: u64, readable: bool, fault: Option<Fault>) -> Report {
    let story = Story::of(seed);
    let mut dice = Chance::new(seed ^ STORY_SEED);
    let people = 3 + dice.index(3);
    let stormy = Weather::stormy(&mut dice);
    // Payments are few beside the rest of what the directory writes, and it is around their batches that it has to die.
    let weather = Weather { directory_crash: DIES_MORE_OFTEN * stormy.directory_crash, ..stormy };
    let splits = dice.happens(SPLITS);
    let mut world = World::new(Setup { seed: seed ^ STORY_SEED, nodes: people, weather, plan: None, readable });
    world.with_market(1, splits);
    if let Some(fault) = fault {
        world.directory.ledger.plant(fault);
    }
    let length = Span::seconds(40 + dice.between(0, 30));
    let played = world.run_until(world.now + length).and_then(|()| match story {
        Story::Storm => Ok(()),
        Story::Day => world.day_of_money(),
        Story::Week => world.week_of_money(),
        Story::Month => world.month_of_money(),
    });
    let violation = played.and_then(|()| world.heal_market()).err();
    let entries = world.market.as_ref().map_or(0, |market| market.posted.len());
    world.report(seed, story, vec![("entries", entries)], violation)
}

impl World {
    fn day_of_money(&mut self) -> Result<(), Violation> {
        let alone: NodeIndex = self.chance.index(self.nodes.len());
        self.part(Participant::Node(alone), Participant::Directory, EVENING + DAY);
        self.run_until(self.now + EVENING)?;
        self.sleep(DAY, None)?;
        self.run_until(self.now + MORNING)
    }

    fn week_of_money(&mut self) -> Result<(), Violation> {
        let gone: NodeIndex = self.chance.index(self.nodes.len());
        self.nodes[gone].away = true;
        self.stop_node(gone);
        self.run_until(self.now + MORNING)?;
        self.sleep(WEEK, Some(gone))?;
        self.run_until(self.now + MORNING)?;
        self.nodes[gone].away = false;
        self.start_node(gone)?;
        self.run_until(self.now + MORNING)
    }

    fn month_of_money(&mut self) -> Result<(), Violation> {
        if let Some(market) = self.market.as_mut() {
            market.was_long = true;
        }
        self.sleep(MONTH, None)?;
        self.run_until(self.now + MORNING)
    }
}
