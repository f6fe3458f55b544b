//! The fixed story of the crash sweep: two people and a directory, everything that the main job has in it, once.

use super::{
    Setup, World,
    clock::{Moment, Span},
    coverage::Coverage,
    crash::CrashPlan,
    weather::Weather,
    witness::Violation,
};

/// The story's seed: any would do; it must stay the same between runs of one sweep.
const SEED: u64 = 7;
/// Messages between the first ones and the absence.
const MESSAGES: usize = 30;
/// A day and an hour: every key is due for a refresh.
const DAY: Span = Span::hours(25);

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The broken promise, if one was.
    pub violation: Option<Violation>,
    /// Commits of nodes and directory up to healing.
    pub commits: u64,
    /// What was met.
    pub coverage: Coverage,
    /// The trace to read, if it was asked for.
    pub lines: Vec<String>,
}

/// Plays the story, with one death or none.
#[must_use]
pub fn play(plan: Option<CrashPlan>, readable: bool) -> Outcome {
    let mut world = World::new(Setup { seed: SEED, nodes: 2, weather: Weather::calm(), plan, readable });
    world.acting = false;
    let told = world.tell();
    let commits = world.commits();
    let violation = told.and_then(|()| world.heal()).err();
    Outcome { violation, commits, lines: world.trace.lines().to_vec(), coverage: world.coverage }
}

impl World {
    fn tell(&mut self) -> Result<(), Violation> {
        // Both sign up, and write to each other before either has heard of the other.
        self.run_until(Moment::default() + Span::seconds(12))?;
        self.send(0, 1);
        self.send(1, 0);
        self.run_until(self.now + Span::seconds(10))?;
        for _ in 0..MESSAGES / 2 {
            self.send(0, 1);
            self.send(1, 0);
            self.run_until(self.now + Span::ms(200))?;
        }
        // The second is away, is written to, and comes back.
        self.rest(1);
        self.send(0, 1);
        self.send(0, 1);
        self.run_until(self.now + Span::seconds(10))?;
        self.wake(1)?;
        self.run_until(self.now + Span::seconds(10))?;
        self.pass_a_day()?;
        // Once more, and the second never hears of the refresh: it falls out, and comes back by itself.
        self.withheld.insert(1);
        self.pass_a_day()
    }

    /// A day passes with both away; then keys are refreshed, and both write.
    fn pass_a_day(&mut self) -> Result<(), Violation> {
        self.rest(0);
        self.rest(1);
        self.run_until(self.now + DAY)?;
        self.wake(0)?;
        self.run_until(self.now + Span::seconds(5))?;
        self.wake(1)?;
        self.run_until(self.now + Span::seconds(10))?;
        self.send(0, 1);
        self.send(1, 0);
        self.run_until(self.now + Span::seconds(10))
    }

    fn rest(&mut self, index: usize) {
        self.nodes[index].away = true;
        self.stop_node(index);
    }

    fn wake(&mut self, index: usize) -> Result<(), Violation> {
        self.nodes[index].away = false;
        self.start_node(index)
    }
}
