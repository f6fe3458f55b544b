//! The fixed story of the crash sweep with groups: four people and everything that can become of a group, once.

use node_core::command::Command;
use protocol::{
    Name,
    policy::{Access, Role},
};

use super::{PersonIndex, chronicle::Chronicle};
use crate::world::{
    Setup, World,
    clock::{Moment, Span},
    crash::CrashPlan,
    node::Asked,
    sweep::Outcome,
    weather::Weather,
    witness::Violation,
};

/// The story's seed: any would do; it must stay the same between runs of one sweep.
const SEED: u64 = 11;
/// How often somebody wants the same before they leave it: a node that has died is back within twenty seconds.
const TRIES: usize = 6;
/// How long they wait each time.
const PATIENCE: Span = Span::seconds(8);
/// How long everybody may need to have an account.
const SIGNING_UP: Span = Span::seconds(90);
/// The people, by their places.
const ALICE: PersonIndex = 0;
const BOB: PersonIndex = 1;
const CAROL: PersonIndex = 2;
const DAVE: PersonIndex = 3;

/// Plays the story, with one death or none.
#[must_use]
pub fn play(plan: Option<CrashPlan>, readable: bool) -> Outcome {
    let mut world = World::new(Setup { seed: SEED, nodes: 4, weather: Weather::calm(), plan, readable });
    world.with_groups(0);
    world.acting = false;
    let told = world.tell_of_groups();
    let commits = world.commits();
    let violation = told.and_then(|()| world.heal_groups()).err();
    Outcome { violation, commits, lines: world.trace.lines().to_vec(), coverage: world.coverage }
}

impl World {
    fn tell_of_groups(&mut self) -> Result<(), Violation> {
        let Ok(team) = Name::parse("team") else { return Ok(()) };
        let (group, name) = (|| team.clone(), |world: &Self, of: PersonIndex| world.nodes[of].name.clone());
        self.run_until(Moment::default() + Span::seconds(6))?;
        while self.now < Moment::default() + SIGNING_UP && !(0..self.nodes.len()).all(|index| self.is_there(index)) {
            self.run_until(self.now + Span::ms(100))?;
        }
        let create = || Command::CreateGroup { group: group(), access: Access::Open };
        self.wish(ALICE, create, |world| world.role_in_team(ALICE).is_some())?;
        self.wish(BOB, || Command::Join { group: group() }, |world| world.role_in_team(BOB).is_some())?;
        let carol = name(self, CAROL);
        let invite = || Command::Invite { group: group(), user: carol.clone() };
        self.wish(ALICE, invite, |world| world.role_in_team(CAROL).is_some())?;
        let joined = |world: &Self| world.role_in_team(CAROL) == Some(Role::Member);
        self.wish(CAROL, || Command::Join { group: group() }, joined)?;
        self.say(ALICE, group());
        self.say(BOB, group());
        self.wish(DAVE, || Command::Join { group: group() }, |world| world.role_in_team(DAVE).is_some())?;
        let bob = name(self, BOB);
        let kick = || Command::Kick { group: group(), user: bob.clone() };
        self.wish(ALICE, kick, |world| world.role_in_team(BOB).is_none())?;
        self.say(CAROL, group());
        self.wish(DAVE, || Command::Leave { group: group() }, |world| world.role_in_team(DAVE).is_none())?;
        self.say(ALICE, group());
        self.say(CAROL, group());
        self.run_until(self.now + PATIENCE)
    }

    /// Somebody wants something, and again, until it is so.
    fn wish(
        &mut self,
        who: PersonIndex,
        what: impl Fn() -> Command,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<(), Violation> {
        for _ in 0..TRIES {
            self.command(who, Asked::Change("a wish"), what());
            let end = self.now + PATIENCE;
            while self.now < end && !is_so(self) {
                self.run_until(self.now + Span::ms(100))?;
            }
            if is_so(self) {
                break;
            }
        }
        self.run_until(self.now + Span::seconds(1))
    }

    fn role_in_team(&self, person: PersonIndex) -> Option<Role> {
        let groups = self.groups.as_ref()?;
        groups.chronicle_named("team").and_then(Chronicle::now)?.role(groups.account_of(person)?)
    }
}
