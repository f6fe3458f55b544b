//! Nodes start, stop and die.

use node_core::{Core, CoreConfig};

use super::{
    CHEAP_STRETCH, Happening, World,
    clock::Span,
    crash::Point,
    fault::{Fault, LED_TO, TAKEN_IN},
    witness::{NodeIndex, Violation},
};

impl World {
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
        let name = self.called(index);
        let (core, outputs) =
            opened.map_err(|error| Violation::CannotOpen { node: name.clone(), error: error.to_string() })?;
        let node = &mut self.nodes[index];
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
        let name = self.called(index);
        self.trace.note(self.now, &|| format!("{name} dies: {point:?}"));
        self.stop_node(index);
        let node = &mut self.nodes[index];
        if let Some(before) = node.unsynced.pop_front() {
            match node.fault {
                Some(Fault::AcknowledgesEarly) => node.disk = before,
                Some(Fault::ForgetsSeen) => node.disk.roll_back(&before, &TAKEN_IN),
                Some(Fault::ForgetsCommits) => node.disk.roll_back(&before, &LED_TO),
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
}
