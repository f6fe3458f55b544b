//! The virtual network: the real cores of nodes and directory, and in place of everything around them one queue of
//! things to come, ordered by virtual time and drawn from one seed.
//!
//! It knows what a driver, a transport and a disk may do to a core, and does all of it. What must hold in spite of that
//! is the [`witness`]'s to say. A run is a function of its seed: the same seed gives the same trace.

pub mod actors;
pub mod chance;
pub mod clock;
pub mod coverage;
pub mod crash;
pub mod devices;
pub mod directory;
pub mod disk;
pub mod fault;
pub mod groups;
mod happening;
pub mod healing;
mod inspection;
pub mod link;
mod lives;
pub mod market;
pub mod mortal;
pub mod node;
mod parting;
mod perform;
pub mod queue;
pub mod report;
pub mod run;
pub mod sweep;
pub mod trace;
pub mod weather;
mod wishes;
pub mod witness;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use node_core::{input::Input, stretch::StretchParameters};
use protocol::Name;

pub use self::happening::{Happening, Participant};
use self::{
    chance::Chance,
    clock::{Moment, Span},
    coverage::Coverage,
    crash::{CrashPlan, Point},
    devices::Devices,
    directory::DirectoryHost,
    fault::Fault,
    groups::Groups,
    link::Links,
    market::Market,
    node::Node,
    queue::Queue,
    trace::Trace,
    weather::Weather,
    witness::{Keys, NodeIndex, Violation, Witness},
};
use crate::{entropy::SeededEntropy, provider::SeededProvider};

/// Names of the people, in the order in which nodes are made.
pub const NAMES: [&str; 8] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"];
/// What the cores are told to stretch passwords with: as little as the function allows.
pub const CHEAP_STRETCH: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };

/// How a world is made.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Everything is drawn from it.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// What goes wrong.
    pub weather: Weather,
    /// One crash at an exact place.
    pub plan: Option<CrashPlan>,
    /// Whether the trace keeps lines to read.
    pub readable: bool,
}

/// The world.
pub struct World {
    pub(crate) now: Moment,
    pub(crate) chance: Chance,
    pub(crate) queue: Queue<Happening>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) directory: DirectoryHost,
    pub(crate) links: Links,
    pub(crate) weather: Weather,
    pub(crate) parted: BTreeSet<(Participant, Participant)>,
    pub(crate) acting: bool,
    /// Nodes from whom the directory keeps the next handshake.
    pub(crate) withheld: BTreeSet<NodeIndex>,
    pub(crate) plan: Option<CrashPlan>,
    pub(crate) commits: u64,
    pub(crate) texts: u64,
    pub(crate) seed: u64,
    /// Whose the machines are, if people have several.
    pub(crate) devices: Option<Box<Devices>>,
    /// What people do in groups, if they do.
    pub(crate) groups: Option<Box<Groups>>,
    /// What people do with money, if they do.
    pub(crate) market: Option<Box<Market>>,
    /// Whether the directory has kept things back.
    pub(crate) was_hostile: bool,
    /// A promise that was seen broken where nothing could be returned.
    pub(crate) broken: Option<Violation>,
    /// The observer.
    pub witness: Witness,
    /// What the run has met.
    pub coverage: Coverage,
    /// What happened.
    pub trace: Trace,
}

impl World {
    /// A world whose directory and nodes are about to start.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the people's names are names, and the suite is supported")]
    pub fn new(setup: Setup) -> Self {
        let keys = Keys::default();
        let names: Vec<Name> = NAMES.iter().take(setup.nodes).map(|name| Name::parse(name).expect("a name")).collect();
        let nodes = names.iter().enumerate().map(|(index, name)| {
            let participant = 2 * index as u64 + 10;
            let provider = SeededProvider::new(SeededEntropy::new(setup.seed, participant + 1), keys.clone());
            Node::new(name.clone(), SeededEntropy::new(setup.seed, participant), provider)
        });
        let mut world = Self {
            now: Moment::default(),
            chance: Chance::new(setup.seed),
            queue: Queue::default(),
            nodes: nodes.collect(),
            directory: DirectoryHost::new(setup.seed),
            links: Links::default(),
            weather: setup.weather,
            parted: BTreeSet::new(),
            acting: true,
            withheld: BTreeSet::new(),
            plan: setup.plan,
            commits: 0,
            texts: 0,
            seed: setup.seed,
            devices: None,
            groups: None,
            market: None,
            was_hostile: false,
            broken: None,
            witness: Witness::new(names, keys),
            coverage: Coverage::default(),
            trace: Trace::new(setup.readable),
        };
        world.queue.push(&mut world.chance, Moment::default(), Happening::StartDirectory);
        world.queue.push(&mut world.chance, Moment::default() + Span::seconds(1), Happening::Second);
        for index in 0..world.nodes.len() {
            let at = Moment::default() + Span::ms(world.chance.between(1, 2_000));
            world.queue.push(&mut world.chance, at, Happening::StartNode(index));
        }
        world
    }

    /// How many commits nodes and directory have come to.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Plants a fault in a node.
    pub fn plant(&mut self, index: NodeIndex, fault: Fault) {
        self.nodes[index].fault = Some(fault);
    }

    /// Lets time pass up to a moment.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run_until(&mut self, end: Moment) -> Result<(), Violation> {
        while self.queue.next().is_some_and(|next| next <= end) {
            self.step()?;
            self.broken.take().map_or(Ok(()), Err)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Violation> {
        let Some((at, happening)) = self.queue.pop() else { return Ok(()) };
        self.now = self.now.max(at);
        self.witness.time(self.now);
        match happening {
            Happening::Run(node, life) => self.run_node(node, life)?,
            Happening::Timer { node, life, serial } => {
                if self.nodes[node].life == life && self.nodes[node].timer == serial {
                    self.input(node, Input::Tick);
                }
            }
            Happening::Input(node, life, input) => {
                if self.nodes[node].life == life {
                    self.input(node, *input);
                }
            }
            Happening::Frame { link, end, frame } => self.on_frame(link, end, frame),
            Happening::LinkGone { link, end } => self.on_link_gone(link, end),
            Happening::Connect(node, life) => self.on_connect(node, life),
            Happening::Request { connection, call, request, answered } => {
                self.on_request(connection, call, *request, answered)?;
            }
            Happening::Answer { connection, call, answer } => self.on_answer(connection, call, answer),
            Happening::Push { connection, push } => self.on_push(connection, push),
            Happening::ConnectionGone { connection, at_node } => self.on_connection_gone(connection, at_node),
            Happening::StartNode(node) => self.start_node(node)?,
            Happening::StartDirectory => self.start_directory()?,
            Happening::Act(node) => self.act(node)?,
            Happening::Second => self.on_second()?,
            Happening::Rejoin(one, other) => self.rejoin(one, other),
        }
        Ok(())
    }

    /// Something reaches a node; its core is given everything that has by the time it runs.
    pub(super) fn input(&mut self, index: NodeIndex, input: Input) {
        let node = &mut self.nodes[index];
        if node.core.is_none() {
            return;
        }
        let first = node.inbox.is_empty();
        let life = node.life;
        node.inbox.push(input);
        if first {
            let at = self.now + Span(self.chance.between(10, 3_000));
            self.queue.push(&mut self.chance, at, Happening::Run(index, life));
        }
    }

    pub(super) fn later_input(&mut self, index: NodeIndex, wait: Span, input: Input) {
        let life = self.nodes[index].life;
        let at = self.now + wait;
        self.queue.push(&mut self.chance, at, Happening::Input(index, life, Box::new(input)));
    }

    fn run_node(&mut self, index: NodeIndex, life: u64) -> Result<(), Violation> {
        let now = self.now.timestamp();
        let node = &mut self.nodes[index];
        if node.life != life {
            return Ok(());
        }
        let inputs = std::mem::take(&mut node.inbox);
        let Some(core) = node.core.as_mut() else { return Ok(()) };
        let lines: Option<Vec<String>> =
            self.trace.readable().then(|| inputs.iter().map(|i| format!("{i:?}")).collect());
        let outputs = core.handle(now, inputs);
        for line in lines.into_iter().flatten() {
            let name = self.called(index);
            self.trace.remark(self.now, || format!("{name} takes {line}"));
        }
        self.perform(index, outputs)
    }

    /// A node in traces: its person, and which of all machines it is.
    fn called(&self, index: NodeIndex) -> String {
        format!("{}/{index}", self.nodes[index].name)
    }

    /// One way between two participants.
    pub(super) fn way(&mut self) -> Span {
        let (low, high) = self.weather.delay_ms;
        Span(self.chance.between(low * 1_000, high * 1_000 + 1))
    }

    /// Counts a commit, and says whether the plan wants a death there.
    pub(super) fn next_commit(&mut self) -> Option<Point> {
        let number = self.commits;
        self.commits += 1;
        self.plan.filter(|plan| plan.commit == number).map(|plan| plan.point)
    }

    pub(super) fn address(index: NodeIndex) -> SocketAddr {
        let last = u8::try_from(index + 1).unwrap_or(u8::MAX);
        SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 7_000))
    }
}
