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
pub mod healing;
mod inspection;
pub mod link;
pub mod mortal;
pub mod node;
mod parting;
mod perform;
pub mod queue;
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

use node_core::{
    Core, CoreConfig,
    input::{Answer, CallId, Input},
    stretch::StretchParameters,
};
use protocol::{
    Name,
    directory::{Push, Request},
    peer::PeerFrame,
};

use self::{
    chance::Chance,
    clock::{Moment, Span},
    coverage::Coverage,
    crash::{CrashPlan, Point},
    devices::Devices,
    directory::{ConnectionId, DirectoryHost},
    fault::{Fault, TAKEN_IN},
    link::{LinkId, Links},
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

/// Somebody who can be cut off from somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Participant {
    /// The directory.
    Directory,
    /// A node.
    Node(NodeIndex),
}

/// What can happen.
#[derive(Debug)]
pub enum Happening {
    /// A node's core is given what waits for it.
    Run(NodeIndex, u64),
    /// A node's timer.
    Timer {
        /// Whose.
        node: NodeIndex,
        /// In which life.
        life: u64,
        /// Which; only the latest counts.
        serial: u64,
    },
    /// Something reaches a node.
    Input(NodeIndex, u64, Box<Input>),
    /// A frame reaches the end of a connection.
    Frame {
        /// Which connection.
        link: LinkId,
        /// Which end.
        end: usize,
        /// What.
        frame: PeerFrame,
    },
    /// An end of a connection notices that it is gone.
    LinkGone {
        /// Which connection.
        link: LinkId,
        /// Which end.
        end: usize,
    },
    /// A node tries to reach the directory.
    Connect(NodeIndex, u64),
    /// A request reaches the directory.
    Request {
        /// On which connection.
        connection: ConnectionId,
        /// Named by the node.
        call: CallId,
        /// What.
        request: Box<Request>,
        /// Whether anybody waits for the answer.
        answered: bool,
    },
    /// An answer reaches a node.
    Answer {
        /// On which connection.
        connection: ConnectionId,
        /// To which request.
        call: CallId,
        /// What.
        answer: Answer,
    },
    /// A push reaches a node.
    Push {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        push: Push,
    },
    /// A side of a connection to the directory notices that it is gone.
    ConnectionGone {
        /// Which connection.
        connection: ConnectionId,
        /// Whether it is the node's side.
        at_node: bool,
    },
    /// A node starts.
    StartNode(NodeIndex),
    /// The directory starts.
    StartDirectory,
    /// A person at a node does something.
    Act(NodeIndex),
    /// A second has passed: partitions begin, and the directory looks at its clock.
    Second,
    /// A partition ends.
    Rejoin(Participant, Participant),
}

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
            Happening::Second => self.on_second(),
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
            let name = &self.nodes[index].name;
            self.trace.remark(self.now, || format!("{name} takes {line}"));
        }
        self.perform(index, outputs)
    }

    /// Opens a node's core from its disk.
    pub(super) fn start_node(&mut self, index: NodeIndex) -> Result<(), Violation> {
        let now = self.now.timestamp();
        let node = &mut self.nodes[index];
        if node.core.is_some() || node.away {
            return Ok(());
        }
        let config = CoreConfig { stretch: CHEAP_STRETCH };
        let entropy = Box::new(node.entropy.clone());
        let opened = Core::open(config, node.provider.clone(), entropy, node.disk.stored(), now);
        let name = node.name.to_string();
        let (core, outputs) =
            opened.map_err(|error| Violation::CannotOpen { node: name.clone(), error: error.to_string() })?;
        node.start(core);
        let life = node.life;
        self.trace.note(self.now, &|| format!("{name} starts"));
        self.perform(index, outputs)?;
        let at = self.now + Span::ms(self.chance.between(1, 300));
        self.queue.push(&mut self.chance, at, Happening::Connect(index, life));
        let at = self.now + Span::ms(self.chance.between(300, 2_000));
        self.queue.push(&mut self.chance, at, Happening::Act(index));
        Ok(())
    }

    /// A node dies and starts again a while later.
    pub(super) fn crash_node(&mut self, index: NodeIndex, point: Point) {
        self.trace.note(self.now, &|| format!("{} dies: {point:?}", self.nodes[index].name));
        self.stop_node(index);
        let node = &mut self.nodes[index];
        if let Some(before) = node.unsynced.pop_front() {
            match node.fault {
                Some(Fault::AcknowledgesEarly) => node.disk = before,
                Some(Fault::ForgetsSeen) => node.disk.roll_back(&before, &TAKEN_IN),
                _ => {}
            }
        }
        node.unsynced.clear();
        let at = self.now + Span::ms(self.chance.between(50, 20_000));
        self.queue.push(&mut self.chance, at, Happening::StartNode(index));
    }

    /// A commit failed: the core is dropped, and opened again from the disk.
    pub(super) fn reopen_after_failure(&mut self, index: NodeIndex) {
        self.stop_node(index);
        let at = self.now + Span::ms(self.chance.between(50, 5_000));
        self.queue.push(&mut self.chance, at, Happening::StartNode(index));
    }

    /// Everything of a node that is not durable is gone.
    pub(super) fn stop_node(&mut self, index: NodeIndex) {
        let node = &mut self.nodes[index];
        node.core = None;
        node.life += 1;
        node.inbox.clear();
        node.peers.clear();
        node.accepted.clear();
        node.asked.clear();
        let connection = node.connection.take();
        self.break_links(index, None);
        if let Some(connection) = connection {
            self.break_connection(connection);
        }
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
