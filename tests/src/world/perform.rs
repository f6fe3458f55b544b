//! The driver of a node, in virtual time: commits what the core wants durable, then performs the effects, and can be
//! made to die between any two steps.

use node_core::{
    command::{CommandResult, CommandToken, Outcome},
    event::{Event, EventKind},
    input::{Answer, Input},
    output::{Effect, Outputs},
    stored::{Change, Table, Transaction},
};
use protocol::directory::Request;

use super::{
    Happening, World,
    clock::{Moment, Span},
    coverage::Case,
    crash::Point,
    fault::Fault,
    node::Asked,
    witness::{NodeIndex, Violation},
};

/// Commits that a store which acknowledges early still holds in memory.
pub(super) const UNSYNCED_MAX: usize = 3;

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    Durable,
    /// The node is dead, or its core must be dropped.
    Ended,
}

impl World {
    /// Does what a core wants.
    pub(super) fn perform(&mut self, index: NodeIndex, outputs: Outputs) -> Result<(), Violation> {
        let Outputs { persist, after } = outputs;
        if self.nodes[index].fault == Some(Fault::PerformsFirst) {
            self.perform_effects(index, after)?;
            if let Some(transaction) = persist.filter(|_| self.nodes[index].core.is_some()) {
                self.commit(index, transaction)?;
            }
            return Ok(());
        }
        if let Some(transaction) = persist
            && self.commit(index, transaction)? == Commit::Ended
        {
            return Ok(());
        }
        self.perform_effects(index, after)
    }

    fn perform_effects(&mut self, index: NodeIndex, effects: Vec<Effect>) -> Result<(), Violation> {
        let life = self.nodes[index].life;
        for (place, effect) in effects.into_iter().enumerate() {
            if place > 0 && self.chance.happens(self.weather.node_crash) {
                self.coverage.met(Case::NodeCrashBetweenEffects);
                self.crash_node(index, Point::BetweenEffects);
            }
            if self.nodes[index].life != life {
                return Ok(());
            }
            let name = self.called(index);
            self.trace.effect(self.now, &name, &effect);
            self.observe_device_effect(index, &effect);
            self.observe_group_effect(&effect);
            self.effect(index, effect)?;
        }
        Ok(())
    }

    fn commit(&mut self, index: NodeIndex, transaction: Transaction) -> Result<Commit, Violation> {
        let planned = self.next_commit();
        if planned == Some(Point::BeforeCommit) || self.chance.happens(self.weather.node_crash) {
            self.coverage.met(Case::NodeCrashBeforeCommit);
            self.crash_node(index, Point::BeforeCommit);
            return Ok(Commit::Ended);
        }
        if self.chance.happens(self.weather.disk_full) {
            self.coverage.met(Case::NodeDiskFull);
            let name = self.called(index);
            self.trace.note(self.now, &|| format!("{name} finds its disk full"));
            self.reopen_after_failure(index);
            return Ok(Commit::Ended);
        }
        let name = self.called(index);
        self.trace.transaction(self.now, &name, &transaction);
        if self.market.is_some() {
            self.observe_market_transaction(index, &transaction)?;
        } else if self.groups.is_some() {
            self.observe_group_transaction(index, &transaction)?;
        } else if self.devices.is_some() {
            self.observe_device_transaction(index, &transaction)?;
        } else {
            self.observe_transaction(index, &transaction)?;
        }
        let forgets = [Fault::AcknowledgesEarly, Fault::ForgetsSeen, Fault::ForgetsCommits];
        let forgets = self.nodes[index].fault.is_some_and(|fault| forgets.contains(&fault));
        let node = &mut self.nodes[index];
        if forgets {
            node.unsynced.push_back(node.disk.clone());
            if node.unsynced.len() > UNSYNCED_MAX {
                node.unsynced.pop_front();
            }
        }
        node.disk.apply(transaction)?;
        if planned == Some(Point::AfterCommit) || self.chance.happens(self.weather.node_crash) {
            self.coverage.met(Case::NodeCrashAfterCommit);
            self.crash_node(index, Point::AfterCommit);
            return Ok(Commit::Ended);
        }
        Ok(Commit::Durable)
    }

    /// What the invariants say about a transaction that is about to be durable.
    fn observe_transaction(&mut self, index: NodeIndex, transaction: &Transaction) -> Result<(), Violation> {
        for change in &transaction.changes {
            match change {
                Change::Timeline { entry, .. } if entry.from == self.nodes[index].name => {
                    self.witness.queued(index, entry.uid, &entry.text, entry.state)?;
                }
                Change::TimelineState { uid, state } => self.observe_state(*uid, *state)?,
                Change::Event(Event { kind: EventKind::Receipt { uid, state, .. }, .. }) => {
                    self.observe_state(*uid, *state)?;
                }
                Change::Event(event) => {
                    let shown = self.witness.shown(index, event)?;
                    self.coverage.met_if(Case::GapShown, shown.is_some_and(|shown| shown.gap));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn observe_state(
        &mut self,
        uid: protocol::MessageId,
        state: node_core::event::DeliveryState,
    ) -> Result<(), Violation> {
        use node_core::event::DeliveryState::{Delivered, Read};
        self.witness.state(uid, state)?;
        let Some(message) = self.witness.message(uid) else { return Ok(()) };
        // Stored is enough: shown, or waiting for a message before it.
        let disk = &self.nodes[message.to].disk;
        let stored = message.shown || disk.table_holds(Table::Waiting, uid.as_bytes());
        if matches!(state, Delivered | Read) && !stored {
            return Err(Violation::DeliveredNotDurable { uid });
        }
        Ok(())
    }

    fn effect(&mut self, index: NodeIndex, effect: Effect) -> Result<(), Violation> {
        match effect {
            Effect::Ask { call, request } => self.ask(index, call, *request)?,
            Effect::Send { peer, frame } => self.send_frame(index, peer, frame)?,
            Effect::Dial { device, tls_key, addresses } => self.dial(index, device, tls_key, &addresses),
            Effect::ClosePeer { peer } => self.close_link(index, peer),
            Effect::AcceptPeers { tls_keys } => self.nodes[index].accepted = tls_keys.into_iter().collect(),
            Effect::SetTimer { at } => self.set_timer(index, at),
            Effect::Stretch { job } => {
                let wait = Span::ms(self.chance.between(20, 200));
                let done = job.run();
                self.later_input(index, wait, Input::Stretched { done });
            }
            Effect::Show(event) => self.show(index, event)?,
            Effect::Done { token, result } => self.done(index, token, result)?,
            Effect::ReadHistory { token, with, count } => {
                let entries = Ok(self.nodes[index].disk.history(with.as_ref(), count));
                self.later_input(index, Span::ms(1), Input::HistoryRead { token, entries });
            }
            Effect::Search { token, words, with, since, count } => {
                let entries = Ok(self.nodes[index].disk.search(&words, with.as_ref(), since, count));
                self.later_input(index, Span::ms(1), Input::HistoryRead { token, entries });
            }
            Effect::FindMessage { token, id } => {
                let entry = Ok(self.nodes[index].disk.find(id));
                self.later_input(index, Span::ms(1), Input::MessageFound { token, entry });
            }
            Effect::ReportBug { what, detail } => {
                let node = self.called(index);
                return Err(Violation::Bug { node, what: format!("{what}: {detail}") });
            }
            Effect::ReportMisbehaviour { what, detail } => self.doubt(index, what, &detail)?,
            Effect::File(effect) => {
                let what = format!("a node without files wants {effect:?}");
                return Err(Violation::Bug { node: self.nodes[index].name.to_string(), what });
            }
            Effect::CloseDirectory => self.leave_directory(index),
            Effect::Restart => self.reopen_after_failure(index),
        }
        Ok(())
    }

    fn set_timer(&mut self, index: NodeIndex, at: protocol::Timestamp) {
        let node = &mut self.nodes[index];
        node.timer += 1;
        let happening = Happening::Timer { node: index, life: node.life, serial: node.timer };
        let at = Moment::at(at).max(self.now);
        self.queue.push(&mut self.chance, at, happening);
    }

    fn show(&mut self, index: NodeIndex, event: Event) -> Result<(), Violation> {
        if event.seq.is_some() && !self.nodes[index].disk.holds(&event) {
            return Err(Violation::ShownNotDurable { event: Box::new(event) });
        }
        Ok(())
    }

    fn done(&mut self, index: NodeIndex, token: CommandToken, result: CommandResult) -> Result<(), Violation> {
        let Some((asked, since)) = self.nodes[index].asked.remove(&token) else { return Ok(()) };
        if self.market.is_some() {
            return self.done_in_market(index, &asked, result);
        }
        if self.groups.is_some() {
            return self.done_in_groups(index, &asked, result);
        }
        if self.devices.is_some() {
            return self.done_with_devices(index, &asked, since, result);
        }
        match (&asked, result) {
            (Asked::SignUp, Ok(_)) => self.nodes[index].signed_up = true,
            (Asked::Send(_) | Asked::Resend, Ok(Outcome::Sent { uid, .. })) => {
                let durable = self.nodes[index].disk.timeline().any(|entry| entry.uid == uid);
                if !durable {
                    return Err(Violation::AcknowledgedNotDurable { uid });
                }
            }
            (Asked::WaitIdle, Ok(_)) => self.nodes[index].idle = true,
            (_, Ok(_)) => {}
            (_, Err(failure)) => return self.command_failed(index, &asked, &failure),
        }
        Ok(())
    }

    /// Asks the directory, if there is a connection to it.
    fn ask(&mut self, index: NodeIndex, call: node_core::input::CallId, request: Request) -> Result<(), Violation> {
        self.inspect_request(&request)?;
        match self.nodes[index].connection {
            Some(connection) => self.send_request(index, connection, call, request),
            None => self.later_input(index, Span::ms(1), Input::Reply { call, answer: Answer::Lost }),
        }
        Ok(())
    }
}
