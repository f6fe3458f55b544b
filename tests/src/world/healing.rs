//! The end of a run: the weather calms, everybody comes back and answers, and then everything must have arrived.

use std::collections::BTreeSet;

use node_core::{Session, command::Command};

use super::{
    Happening, World,
    clock::{Moment, Span},
    disk::find,
    node::Asked,
    weather::Weather,
    witness::{CANARY, NodeIndex, Violation},
};

/// How long healing may take. Longer than every time-out and delay of the cores together; shorter than a day, so that
/// nothing is helped along by an expiry.
const HEALING_MAX: Span = Span::hours(3);
/// Exchanges after which everybody must be in one epoch.
const EXCHANGES_MAX: usize = 3;
/// How often it is looked whether everything has healed.
const LOOK_EVERY: Span = Span::seconds(5);

impl World {
    /// Calms the weather, lets everybody come back, and checks what must hold then.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.calm_down();
        let end = self.now + HEALING_MAX;
        self.wait_for(end, Self::everybody_is_in)?;
        self.answer_everybody();
        self.wait_for(end, Self::everything_has_come)?;
        self.wait_for(end, Self::everybody_is_idle)?;
        self.witness.nothing_is_lost()?;
        self.every_failure_is_told()?;
        self.check_agreement(end)?;
        self.check_secrecy()
    }

    pub(super) fn calm_down(&mut self) {
        self.trace.note(self.now, &|| "everything heals".to_owned());
        self.acting = false;
        self.weather = Weather::calm();
        self.plan = None;
        for (one, other) in std::mem::take(&mut self.parted) {
            self.queue.push(&mut self.chance, self.now, Happening::Rejoin(one, other));
            self.parted.insert((one, other));
        }
        self.queue.push(&mut self.chance, self.now, Happening::StartDirectory);
        for index in 0..self.nodes.len() {
            self.nodes[index].away = false;
            let at = self.now + Span::ms(1);
            self.queue.push(&mut self.chance, at, Happening::StartNode(index));
        }
    }

    fn wait_for(&mut self, end: Moment, healed: impl Fn(&mut Self) -> bool) -> Result<(), Violation> {
        while !healed(self) {
            if self.now >= end {
                self.witness.nothing_is_lost()?;
                let busy = self.nodes.iter().find(|node| !node.idle);
                let node = busy.map_or_else(String::new, |node| node.name.to_string());
                return Err(Violation::NotIdle { node, pending: self.witness.pending() });
            }
            self.run_until(self.now + LOOK_EVERY)?;
        }
        Ok(())
    }

    pub(super) fn everybody_is_in(&mut self) -> bool {
        self.nodes.iter().all(|node| {
            node.connection.is_some() && node.core.as_ref().is_some_and(|core| core.session() == Session::SignedIn)
        })
    }

    /// Whoever was written to writes back, so that nobody stays a stranger and every conversation is used both ways.
    fn answer_everybody(&mut self) {
        let pairs: BTreeSet<(NodeIndex, NodeIndex)> =
            self.witness.messages().flat_map(|(_, m)| [(m.from, m.to), (m.to, m.from)]).collect();
        for (from, to) in pairs {
            self.send(from, to);
        }
        for node in &mut self.nodes {
            node.idle = false;
        }
    }

    /// Whether every message that was asked for was queued or refused, and every queued one was shown or failed.
    fn everything_has_come(&mut self) -> bool {
        let sending = self.nodes.iter().flat_map(|node| node.asked.values());
        let sending =
            sending.filter(|(asked, _)| matches!(asked, Asked::Send(_) | Asked::Resend | Asked::ResendOf(_))).count();
        sending == 0 && self.witness.pending() == 0
    }

    /// Asks everybody who has not answered yet whether they are idle, and says whether all are.
    pub(super) fn everybody_is_idle(&mut self) -> bool {
        for index in 0..self.nodes.len() {
            if !self.nodes[index].idle && !self.nodes[index].is_asking(&Asked::WaitIdle) {
                self.command(index, Asked::WaitIdle, Command::WaitIdle);
            }
        }
        self.nodes.iter().all(|node| node.idle)
    }

    /// One more exchange between all who know each other shows that they are in one epoch: each reads the other, and
    /// both seal in the same. A key refresh in the middle of one is no disagreement; it is over by the next.
    fn check_agreement(&mut self, end: Moment) -> Result<(), Violation> {
        let mut found = None;
        for _ in 0..EXCHANGES_MAX {
            self.witness.forget_epochs();
            self.answer_everybody();
            self.wait_for(end, Self::everything_has_come)?;
            self.wait_for(end, Self::everybody_is_idle)?;
            self.witness.nothing_is_lost()?;
            found = self.witness.disagreement();
            if found.is_none() {
                return Ok(());
            }
        }
        found.map_or(Ok(()), Err)
    }

    /// Only sender and recipient hold a message's words; and the search finds what is there.
    fn check_secrecy(&self) -> Result<(), Violation> {
        for (index, node) in self.nodes.iter().enumerate() {
            let found = canaries(&node.disk.dump());
            for (_, message) in self.witness.messages() {
                let mine = message.from == index || message.to == index;
                // A message that failed need not have come.
                let must = mine && (message.from == index || message.shown);
                // The filler is the same everywhere; what is before it is not.
                let holds = found.contains(message.text.trim_end_matches('x').as_bytes());
                let holder = node.name.to_string();
                if holds && !mine {
                    return Err(Violation::ForeignPlaintext { holder });
                }
                if must && !holds {
                    return Err(Violation::ControlFailed { holder });
                }
            }
        }
        let holder = "the directory".to_owned();
        match self.directory.seen() {
            (0, _) => Err(Violation::ControlFailed { holder }),
            (_, true) => Err(Violation::ForeignPlaintext { holder }),
            _ => Ok(()),
        }
    }
}

/// Every text's beginning that is found: the canary's word, the seed, the number, and a dash behind each.
fn canaries(dump: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut rest = dump;
    while let Some(at) = find(rest, CANARY.as_bytes()) {
        rest = &rest[at..];
        let dashes = rest.iter().enumerate().filter(|(_, byte)| **byte == b'-');
        if let Some((last, _)) = dashes.take(3).nth(2) {
            found.insert(rest[..=last].to_vec());
        }
        rest = &rest[CANARY.len()..];
    }
    found
}
