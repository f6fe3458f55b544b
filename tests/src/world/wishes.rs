//! What people ask of their nodes, and what of it they ask again: messages that failed.

use node_core::{
    command::{Command, CommandToken, MessageRef},
    event::{DeliveryState, Event, EventKind},
    input::Input,
};
use protocol::MessageId;

use super::{
    World,
    coverage::Case,
    node::Asked,
    witness::{Message, NodeIndex, Violation},
};

impl World {
    /// A person gives a command.
    pub(super) fn command(&mut self, index: NodeIndex, asked: Asked, command: Command) {
        if !self.is_worth_asking(index, &command) {
            return;
        }
        let node = &mut self.nodes[index];
        if node.core.is_none() {
            return;
        }
        node.last_token += 1;
        let token = CommandToken(node.last_token);
        node.asked.insert(token, (asked, self.now));
        self.input(index, Input::Command { token, command });
    }

    /// Everybody sends again what failed and was not sent again.
    pub(super) fn resend_everything(&mut self) {
        let failed = |(uid, message): (&MessageId, &Message)| message.failed.then_some((message.from, *uid));
        let failed: Vec<(NodeIndex, MessageId)> = self.witness.messages().filter_map(failed).collect();
        for (index, uid) in failed {
            self.command(index, Asked::ResendOf(uid), Command::Resend { id: MessageRef::Full(uid) });
        }
    }

    /// A person who sees a text go out again does not send it once more, and waits for the answer before repeating it.
    fn is_worth_asking(&self, index: NodeIndex, command: &Command) -> bool {
        let Command::Resend { id: MessageRef::Full(uid) } = command else { return true };
        let Some(message) = self.witness.message(*uid) else { return true };
        let latest = self.witness.latest(&message.text);
        latest.is_some_and(|latest| latest.index == message.index && latest.state == DeliveryState::Failed)
            && !self.nodes[index].is_asking(&Asked::Resend)
            && !self.nodes[index].is_asking(&Asked::ResendOf(*uid))
    }

    /// Whoever has a message that failed has it written in the event log, with the reason.
    ///
    /// # Errors
    /// [`Violation::FailedSilently`].
    pub(super) fn every_failure_is_told(&self) -> Result<(), Violation> {
        for (uid, message) in self.witness.messages().filter(|(_, message)| message.failed) {
            let tells = |event: &Event| match &event.kind {
                EventKind::Receipt { uid: of, state: DeliveryState::Failed, reason: Some(reason), .. } => {
                    of == uid && !reason.is_empty()
                }
                _ => false,
            };
            if !self.nodes[message.from].disk.events().iter().any(tells) {
                return Err(Violation::FailedSilently { uid: *uid });
            }
        }
        Ok(())
    }

    /// Counts what expired, and what became of it.
    pub(super) fn count_resent(&mut self) {
        let messages: Vec<Message> = self.witness.messages().map(|(_, message)| message.clone()).collect();
        for message in messages {
            let resent = message.resends.is_some() && message.shown;
            self.coverage.met_if(Case::ExpiredAndTold, message.failed);
            self.coverage.met_if(Case::ExpiredResentShown, resent && !message.shown_again);
            self.coverage.met_if(Case::ResentHadArrived, resent && message.shown_again);
            self.coverage.met_if(Case::ShownAfterExpiry, message.shown_late);
        }
    }
}
