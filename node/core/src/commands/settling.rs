//! Commands that change who is in a conversation: done when the directory holds the change and whoever is connected has
//! applied it, so that what is started afterwards, on any node, is of the conversation as it is now.

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, ConversationId, Timestamp,
    directory::{Reply, Request},
    limits::SETTLING_MAX,
};

use super::Waiting;
use crate::{
    command::{CommandResult, CommandToken},
    core::Core,
    flow::Flow,
    input::{Answer, CallId},
    link::Purpose,
};

/// How long whoever is connected is waited for, in milliseconds (the command language's "at most 2 s"): a node that does
/// not take its mail must not hold up others' commands.
const SETTLE_MAX_MS: u64 = 2_000;
/// Pause between two questions, in milliseconds: what taking in a commit takes on a slow machine.
const SETTLE_PAUSE_MS: u64 = 40;

/// Changes on their way to whoever is connected, and what the command has come to.
#[derive(Debug)]
pub(crate) struct Settling {
    commits: Vec<(ConversationId, u64)>,
    until: Timestamp,
    flow: Flow,
    result: CommandResult,
}

impl Settling {
    pub(super) fn result(self) -> CommandResult {
        self.result
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// A commit of this device's that ended an epoch counts; whoever waits for such wants to know when it has arrived.
    pub(crate) fn note_commit(&mut self, conversation: ConversationId, epoch: u64) {
        let wanted =
            |waiting: &Waiting| matches!(waiting, Waiting::Resume { entering: true, .. } | Waiting::Removal { .. });
        if self.waiters.waiting.iter().any(|(_, waiting)| wanted(waiting)) && self.waiters.commits.len() < SETTLING_MAX
        {
            self.waiters.commits.push((conversation, epoch));
        }
    }

    /// The directory holds everything that a command changed: its end waits for the others.
    pub(super) fn settle(&mut self, token: CommandToken, result: CommandResult) {
        let commits = std::mem::take(&mut self.waiters.commits);
        self.settle_commits(token, result, commits);
    }

    /// The same, for these commits.
    pub(crate) fn settle_commits(
        &mut self,
        token: CommandToken,
        result: CommandResult,
        commits: Vec<(ConversationId, u64)>,
    ) {
        if commits.is_empty() {
            return self.done(token, result);
        }
        let until = self.now.plus_ms(SETTLE_MAX_MS);
        self.wait(token, Waiting::Settling(Settling { commits, until, flow: Flow::default(), result }));
    }

    pub(super) fn reconcile_settling(&mut self) {
        let (now, online) = (self.now, self.is_online());
        let mut asked = Vec::new();
        let mut ended = Vec::new();
        for (token, waiting) in &self.waiters.waiting {
            let Waiting::Settling(settling) = waiting else { continue };
            if settling.until <= now {
                ended.push(*token);
            } else if online && settling.flow.is_ready(now) {
                asked.push((*token, settling.commits.clone()));
            }
        }
        for token in ended {
            self.end_settling(token);
        }
        for (token, commits) in asked {
            let commits = Bounded::new(commits).unwrap_or_default();
            let call = self.ask(Purpose::Settling { token }, Request::Settling { commits });
            if let Some(settling) = self.settling(token) {
                settling.flow.start(call);
            }
        }
    }

    pub(crate) fn on_settling(&mut self, token: CommandToken, call: CallId, answer: Answer) {
        let at = self.now.plus_ms(SETTLE_PAUSE_MS);
        let Some(settling) = self.settling(token).filter(|settling| settling.flow.is(call)) else { return };
        match answer {
            Answer::Reply(reply) if matches!(*reply, Reply::Settling { devices: 1.. }) => settling.flow.wait_until(at),
            Answer::Lost => settling.flow.wait_until(at),
            // Nobody is left; or the directory can't say, and the change counts all the same.
            Answer::Reply(_) | Answer::Refusal(_) => self.end_settling(token),
        }
    }

    pub(super) fn settling_timer(&self) -> Option<Timestamp> {
        let online = self.is_online();
        let times = self.waiters.waiting.iter().filter_map(|(_, waiting)| match waiting {
            Waiting::Settling(settling) => {
                Some(settling.flow.due().filter(|_| online).map_or(settling.until, |due| due.min(settling.until)))
            }
            _ => None,
        });
        times.min()
    }

    fn settling(&mut self, token: CommandToken) -> Option<&mut Settling> {
        self.waiters.waiting.iter_mut().find_map(|(waiting, state)| match state {
            Waiting::Settling(settling) if *waiting == token => Some(settling),
            _ => None,
        })
    }

    fn end_settling(&mut self, token: CommandToken) {
        if let Some(Waiting::Settling(settling)) = self.waiters.take(token) {
            self.done(token, settling.result());
        }
    }
}
