//! What the conversation hears besides the person: results that change who is there, events, and the node's end.

use node_core::{
    command::{Command, FailureCode, Outcome},
    event::{ConnectionState, Event, EventKind},
};

use tokio::time::Instant;

use super::{Conversation, Next, TIMEOUT};
use crate::{driver::NodeCommand, view::event_text};

impl Conversation {
    /// Who is at the prompt now?
    pub(super) fn notice(&mut self, outcome: &Outcome) {
        let (name, online) = match outcome {
            Outcome::SignedUp { name, .. } | Outcome::Recovered { name, .. } => (Some(name.clone()), true),
            Outcome::SignedIn { name, online, .. } => (Some(name.clone()), *online),
            Outcome::SignedOut => (None, false),
            _ => return,
        };
        if name.is_none() {
            self.target = None;
        }
        self.style.reader.clone_from(&name);
        self.name = name;
        self.terminal.set_online(online);
    }

    pub(super) fn on_event(&mut self, event: &Event) -> Next {
        if let EventKind::Connection { state } = &event.kind {
            self.terminal.set_online(*state == ConnectionState::Online);
        }
        let line = self.transfers.hear(&event.kind, Instant::now());
        let news = self.deliveries.is_news_event(event);
        let text = if news { event_text(event, &self.style) } else { None };
        if text.is_some() || line.is_some() {
            self.terminal.screen().show(text, line);
        }
        Next::Wait
    }

    /// Nothing was heard for long of something that was on its way.
    pub(super) fn on_stillness(&mut self) -> Next {
        let line = self.transfers.be_still(Instant::now());
        self.terminal.screen().set_status(line);
        Next::Wait
    }

    /// Something fatal happened below: it says what, and there is nobody left to talk to.
    pub(super) async fn on_node_ended(&mut self) -> Next {
        match self.node.perform(NodeCommand::Core(Command::Ping), TIMEOUT).await {
            Err(failure) => {
                self.complain(&failure);
                Next::Leave(failure.code as u8)
            }
            Ok(_) => Next::Leave(FailureCode::Other as u8),
        }
    }

    pub(super) fn on_first_contact(&mut self) -> Next {
        if let Some(fingerprint) = *self.first_contact.borrow_and_update() {
            self.terminal.screen().print(format!(
                "First contact with this directory. Its key from now on: {fingerprint}\n\
                 Compare it with what `directory` printed when it was started."
            ));
        }
        Next::Wait
    }
}
