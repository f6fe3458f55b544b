//! Who cannot reach whom, and for how long.

use super::{Happening, Participant, World, clock::Span, coverage::Case, witness::Violation};

impl World {
    pub(super) fn is_parted(&self, one: Participant, other: Participant) -> bool {
        self.parted.contains(&(one.min(other), one.max(other)))
    }

    pub(super) fn on_second(&mut self) -> Result<(), Violation> {
        self.tick_directory()?;
        if self.acting && self.chance.happens(self.weather.partition) {
            let node = self.chance.index(self.nodes.len());
            let other = self.chance.index(self.nodes.len() + 1);
            let other = if other == self.nodes.len() { Participant::Directory } else { Participant::Node(other) };
            let length = Span::ms(self.chance.between(500, 60_000));
            self.part(Participant::Node(node), other, length);
        }
        // Nobody needs a directory that looks at its clock every second while all are away.
        let asleep = self.nodes.iter().all(|node| node.away);
        let at = self.now + Span::seconds(if asleep { 600 } else { 1 });
        self.queue.push(&mut self.chance, at, Happening::Second);
        Ok(())
    }

    /// Cuts two participants off from each other for a while.
    pub(super) fn part(&mut self, one: Participant, other: Participant, length: Span) {
        let pair = (one.min(other), one.max(other));
        if one == other || !self.parted.insert(pair) {
            return;
        }
        self.trace.note(self.now, &|| format!("{pair:?} are cut off"));
        match pair {
            (Participant::Directory, Participant::Node(node)) => {
                if let Some(connection) = self.nodes[node].connection {
                    self.break_connection(connection);
                }
            }
            (Participant::Node(one), Participant::Node(other)) => self.break_links(one, Some(other)),
            _ => {}
        }
        let at = self.now + length;
        self.queue.push(&mut self.chance, at, Happening::Rejoin(pair.0, pair.1));
    }

    pub(super) fn rejoin(&mut self, one: Participant, other: Participant) {
        if self.parted.remove(&(one, other)) {
            self.coverage.met(Case::PartitionHealed);
            self.trace.note(self.now, &|| format!("{one:?} and {other:?} reach each other again"));
        }
    }
}
