//! The fixed story of the crash sweep with money: two people and a directory; what can be done with money, once each.

use node_core::command::{Command, MoneyCommand, MoneyRef};

use super::{Errand, PersonIndex};
use crate::world::{
    Participant, Setup, World,
    clock::{Moment, Span},
    crash::CrashPlan,
    node::Asked,
    sweep::Outcome,
    weather::Weather,
    witness::Violation,
};

/// The story's seed: any would do; it must stay the same between runs of one sweep.
const SEED: u64 = 7;
/// How long everything in one step may take where nobody dies.
const STEP: Span = Span::seconds(8);
/// How long signing up takes at most, whoever dies.
const SIGNED_UP_WITHIN: Span = Span::seconds(300);
/// How long the payer is cut off from the directory.
const CUT_OFF: Span = Span::seconds(20);

/// Plays the story, with one death or none.
#[must_use]
pub fn play(plan: Option<CrashPlan>, readable: bool) -> Outcome {
    let mut world = World::new(Setup { seed: SEED, nodes: 2, weather: Weather::calm(), plan, readable });
    world.acting = false;
    world.with_market(0, false);
    let told = world.trade();
    let commits = world.commits();
    let violation = told.and_then(|()| world.heal_market()).err();
    Outcome { violation, commits, lines: world.trace.lines().to_vec(), coverage: world.coverage }
}

impl World {
    fn trade(&mut self) -> Result<(), Violation> {
        // Both sign up, and know each other.
        while !self.everybody_is_in() && self.now < Moment::default() + SIGNED_UP_WITHIN {
            self.run_until(self.now + STEP)?;
        }
        self.write_line_to(0, 1);
        self.run_until(self.now + STEP)?;
        self.write_line_to(1, 0);
        self.run_until(self.now + STEP)?;
        // One pays, and gets it back; one wants to pay too much.
        self.pay(0, 1, 1_200);
        self.run_until(self.now + STEP)?;
        self.give_back_the_last(1);
        self.pay(0, 1, 1_000_000);
        self.run_until(self.now + STEP)?;
        // Three requests: one is paid, one declined, one taken back.
        for amount in [300, 400, 500] {
            self.ask_for(1, 0, amount);
        }
        self.run_until(self.now + STEP)?;
        let asked: Vec<_> = self.market.iter().flat_map(|market| market.requests.keys().map(|(_, id)| *id)).collect();
        for (place, id) in asked.into_iter().enumerate() {
            match place {
                0 => self.accept(0, id),
                1 => self.end(0, id),
                _ => self.cancel(1, id),
            }
        }
        self.run_until(self.now + STEP)?;
        // Two are connected, and one of them pays while the directory is out of their reach.
        self.part(Participant::Node(0), Participant::Directory, CUT_OFF);
        self.run_until(self.now + STEP + STEP)?;
        self.pay(0, 1, 700);
        self.run_until(self.now + CUT_OFF)
    }

    fn give_back_the_last(&mut self, index: PersonIndex) {
        let own = self.market.as_ref().and_then(|market| market.account_at(index));
        let mut posted = self.market.iter().flat_map(|market| market.posted.iter().rev());
        let Some(id) = posted.find(|deal| deal.payer.is_some() && Some(deal.payee) == own).and_then(|deal| deal.id)
        else {
            return;
        };
        let command = MoneyCommand::Refund { id: MoneyRef::Full(id.0), amount: None };
        self.command(index, Asked::Money(Errand::Refund(id)), Command::Money(command));
    }
}
