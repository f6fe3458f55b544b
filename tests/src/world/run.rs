//! Whole runs: a seed becomes a kind of story, is played and healed, and reported.

use super::{
    Happening, Setup, World,
    chance::{Chance, MILLION},
    clock::{Moment, Span},
    coverage::Case,
    fault::Fault,
    report::Report,
    weather::Weather,
    witness::{NodeIndex, Violation},
};

/// Messages that wait for a node that is away, in a story of that kind.
const AWAY_MESSAGES: usize = 2_000;
/// How many of them are asked for at a time.
const AWAY_BATCH: usize = 100;
/// A day and an hour: every key is due for a refresh.
const DAY: Span = Span::hours(25);

/// Days in a story of that kind: whoever loses the race of one morning may win that of a later one.
const DAYS: usize = 2;
/// Between the others' visits while one is away: what is written before the first pause expires, what is written
/// after it does not, unless the last pause is a long one.
const PAUSES: [Span; 2] = [Span::hours(9 * 24), Span::hours(4 * 24)];
/// The last pause: until the first letters have expired; or until the word of it has waited for longer than mail does.
const LAST_PAUSES: [Span; 2] = [Span::hours(2 * 24), Span::hours(20 * 24)];
/// Rounds of letters at each visit.
const LETTERS_MAX: u64 = 4;
/// How often it is looked for what failed, while everything still goes wrong.
const RESENDINGS: usize = 3;
/// How much of each of them everybody is there.
const MORNING: Span = Span::seconds(20);

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Everything goes wrong at once, for some minutes.
    Storm,
    /// The same, then everybody is away for a day, and comes back at once with keys to refresh; and again.
    Day,
    /// The same, and somebody is away for longer than the mailbox keeps anything, while the others write to them.
    Fortnight,
    /// Two thousand messages are written to a node that is away.
    Away,
}

impl Story {
    /// What a seed is about.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 10 {
            0 => Self::Away,
            1..3 => Self::Day,
            3 => Self::Fortnight,
            _ => Self::Storm,
        }
    }
}

/// Plays a seed.
#[must_use]
pub fn play(seed: u64, readable: bool) -> Report {
    play_with(seed, readable, None)
}

/// Plays a seed with a fault planted in its first node.
#[must_use]
pub fn play_with(seed: u64, readable: bool, fault: Option<Fault>) -> Report {
    let story = Story::of(seed);
    let mut dice = Chance::new(seed ^ 0x5eed);
    let (nodes, weather) = match story {
        Story::Away => (2, Weather { node_crash: 0, directory_crash: 0, ..Weather::stormy(&mut dice) }),
        _ => (3 + dice.index(6).min(dice.index(6)), Weather::stormy(&mut dice)),
    };
    let mut world = World::new(Setup { seed, nodes, weather, plan: None, readable });
    if let Some(fault) = fault {
        world.plant(0, fault);
    }
    let length = Span::seconds(30 + dice.between(0, 40));
    let result = match story {
        Story::Storm => world.storm(length),
        Story::Day => world.day(length),
        Story::Fortnight => world.fortnight(length),
        Story::Away => world.away(),
    };
    let counts = vec![("messages", world.witness.messages().count())];
    world.report(seed, story, counts, result.err())
}

impl World {
    fn storm(&mut self, length: Span) -> Result<(), Violation> {
        self.run_until(self.now + length)?;
        self.heal()
    }

    fn day(&mut self, length: Span) -> Result<(), Violation> {
        self.run_until(self.now + length)?;
        for _ in 0..DAYS {
            self.sleep(DAY, None)?;
            self.run_until(self.now + MORNING)?;
        }
        self.heal()
    }

    /// Somebody is away for longer than the mailbox keeps anything. The others come for some minutes now and then and
    /// write to them; in the end the first messages have expired, the last ones wait, and what failed is sent again,
    /// before or after the one who was away has come back.
    fn fortnight(&mut self, length: Span) -> Result<(), Violation> {
        self.run_until(self.now + length)?;
        let gone = self.chance.index(self.nodes.len());
        self.nodes[gone].away = true;
        self.stop_node(gone);
        let last = LAST_PAUSES[self.chance.index(LAST_PAUSES.len())];
        for pause in PAUSES.into_iter().chain([last]) {
            for _ in 0..self.chance.between(1, LETTERS_MAX) {
                for index in (0..self.nodes.len()).filter(|index| *index != gone) {
                    self.send(index, gone);
                }
                self.run_until(self.now + MORNING)?;
            }
            self.sleep(pause, Some(gone))?;
        }
        let returns_first = self.chance.happens(MILLION / 2);
        if returns_first {
            self.nodes[gone].away = false;
            self.queue.push(&mut self.chance, self.now, Happening::StartNode(gone));
        }
        for _ in 0..RESENDINGS {
            self.run_until(self.now + MORNING)?;
            self.resend_everything();
        }
        self.heal()?;
        // Some were told only while everything healed.
        self.resend_everything();
        self.heal()?;
        self.witness.nothing_is_lost_for_good()?;
        self.count_resent();
        Ok(())
    }

    /// Everybody is away for a while; then all come back but one.
    pub(super) fn sleep(&mut self, length: Span, but: Option<NodeIndex>) -> Result<(), Violation> {
        for index in 0..self.nodes.len() {
            self.nodes[index].away = true;
            self.stop_node(index);
        }
        let morning = self.now + length;
        self.run_until(morning)?;
        for index in (0..self.nodes.len()).filter(|index| Some(*index) != but) {
            self.nodes[index].away = false;
            self.queue.push(&mut self.chance, morning, Happening::StartNode(index));
        }
        Ok(())
    }

    /// The first node writes; the second one is away from soon after they have met until everything is written.
    fn away(&mut self) -> Result<(), Violation> {
        self.acting = false;
        let weather = std::mem::replace(&mut self.weather, Weather::calm());
        self.run_until(Moment::default() + Span::seconds(20))?;
        self.send(1, 0);
        self.run_until(self.now + Span::seconds(20))?;
        self.weather = weather;
        self.nodes[1].away = true;
        self.stop_node(1);
        let before = self.witness.messages().count();
        for _ in 0..AWAY_MESSAGES / AWAY_BATCH {
            for _ in 0..AWAY_BATCH {
                self.send(0, 1);
            }
            self.run_until(self.now + Span::seconds(10))?;
        }
        let waiting = self.witness.pending();
        self.heal()?;
        if self.witness.messages().count() - before >= AWAY_MESSAGES && waiting >= AWAY_MESSAGES {
            self.coverage.met(Case::TwoThousandWhileAway);
        }
        Ok(())
    }
}
