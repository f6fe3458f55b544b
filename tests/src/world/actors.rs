//! People at the nodes: they sign up, write to each other, go away and come back, sign out and in, at random.

use node_core::{
    Session,
    command::{Command, Failure, FailureCode, ListWhat, MessageRef, Password},
    event::DeliveryState,
    input::Input,
};
use protocol::Name;

use super::{
    Happening, World,
    clock::Span,
    node::Asked,
    witness::{CANARY, NodeIndex, Violation},
};

/// How long a person waits for a command.
const PATIENCE: Span = Span::seconds(30);
/// The longest burst of messages.
const BURST_MAX: u64 = 40;

impl World {
    /// A person does something, and will again.
    pub(super) fn act(&mut self, index: NodeIndex) -> Result<(), Violation> {
        if self.nodes[index].core.is_none() {
            // Whoever starts the node makes its person act again.
            return Ok(());
        }
        self.give_up(index);
        if self.market.is_some() {
            self.act_in_market(index);
        } else if self.groups.is_some() {
            self.act_in_groups(index);
        } else if self.devices.is_some() {
            self.act_with_devices(index);
        } else if self.enter(index) && self.acting {
            self.act_at_random(index);
        }
        let life = self.nodes[index].life;
        let pause = Span::ms(self.chance.between(100, 8_000));
        if self.nodes[index].core.is_some() && self.nodes[index].life == life {
            self.queue.push(&mut self.chance, self.now + pause, Happening::Act(index));
        }
        Ok(())
    }

    /// Whoever has waited too long for a command stops waiting.
    fn give_up(&mut self, index: NodeIndex) {
        let late: Vec<_> = self.nodes[index]
            .asked
            .iter()
            .filter(|(_, (_, since))| *since + PATIENCE < self.now)
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            // What is said to whoever gives up on money counts as much as what is said to whoever waits.
            if self.market.is_none() {
                self.nodes[index].asked.remove(&token);
            }
            self.input(index, Input::Abandoned { token });
        }
    }

    /// Signs up or in where that is needed. Says whether the person is signed in.
    fn enter(&mut self, index: NodeIndex) -> bool {
        let node = &self.nodes[index];
        let Some(core) = &node.core else { return false };
        let (session, name) = (core.session(), node.name.clone());
        let password = Password::new(node.password.clone());
        let entering = node.is_asking(&Asked::SignUp) || node.is_asking(&Asked::SignIn);
        match session {
            Session::SignedIn => return true,
            _ if entering => {}
            Session::None => {
                self.command(index, Asked::SignUp, Command::SignUp { name, password, invite: None });
            }
            Session::SignedOut | Session::Closed => {
                self.command(index, Asked::SignIn, Command::SignIn { name, password })
            }
        }
        false
    }

    fn act_at_random(&mut self, index: NodeIndex) {
        match self.chance.between(0, 100) {
            0..55 => {
                let to = self.somebody_else(index);
                self.send(index, to);
            }
            55..65 => {
                let to = self.somebody_else(index);
                for _ in 0..self.chance.between(5, BURST_MAX) {
                    self.send(index, to);
                }
            }
            65..73 => self.leave(index),
            73..77 => self.command(index, Asked::SignOut, Command::SignOut),
            77..82 => self.resend(index),
            82..86 => self.command(index, Asked::Look, Command::Ping),
            86..90 => self.command(index, Asked::Look, Command::List { what: ListWhat::All }),
            90..93 => self.command(index, Asked::Look, Command::Status),
            93..96 => self.command(index, Asked::Look, Command::History { with: None, count: 20 }),
            _ => {}
        }
    }

    fn somebody_else(&mut self, index: NodeIndex) -> NodeIndex {
        let other = self.chance.index(self.nodes.len() - 1);
        if other >= index { other + 1 } else { other }
    }

    /// Sends a text that no other message of this world has.
    pub(super) fn send(&mut self, from: NodeIndex, to: NodeIndex) {
        self.texts += 1;
        let length = match self.chance.between(0, 20) {
            0 => 15_000,
            1..4 => 1_000,
            _ => 20,
        };
        let filler = usize::try_from(self.chance.between(0, length)).unwrap_or(0);
        let text = format!("{CANARY}{:x}-{}-{}", self.seed, self.texts, "x".repeat(filler));
        let name = self.nodes[to].name.clone();
        self.witness.intend(from, to, text.clone());
        self.command(from, Asked::Send(text.clone()), Command::Send { to: name, text });
    }

    fn resend(&mut self, index: NodeIndex) {
        let own: Name = self.nodes[index].name.clone();
        let failed = self.nodes[index]
            .disk
            .timeline()
            .find(|entry| entry.from == own && entry.state == Some(DeliveryState::Failed))
            .map(|entry| entry.uid);
        if let Some(uid) = failed {
            self.command(index, Asked::Resend, Command::Resend { id: MessageRef::Full(uid) });
        }
    }

    /// The node stops, and starts again later.
    fn leave(&mut self, index: NodeIndex) {
        self.trace.note(self.now, &|| format!("{} goes away", self.nodes[index].name));
        self.stop_node(index);
        let at = self.now + Span::ms(self.chance.between(1_000, 90_000));
        self.queue.push(&mut self.chance, at, Happening::StartNode(index));
    }

    /// A command failed: some failures are what the weather does, the others are nobody's fault but ours.
    pub(super) fn command_failed(
        &mut self,
        index: NodeIndex,
        asked: &Asked,
        failure: &Failure,
    ) -> Result<(), Violation> {
        let has_account = self.nodes[index].core.as_ref().is_some_and(|core| core.session() != Session::None);
        let explained = match (asked, failure.code) {
            // A sign-up that was given up goes on by itself, and may be done before it is asked for again.
            (Asked::SignUp, FailureCode::Conflict) => has_account,
            (Asked::SignUp | Asked::SignIn, FailureCode::Auth | FailureCode::Refused) => false,
            // Not everybody has signed up when others write to them first.
            (Asked::Send(_), FailureCode::Conflict) => true,
            (_, FailureCode::Trust | FailureCode::Usage | FailureCode::Other) => false,
            _ => true,
        };
        if explained {
            return Ok(());
        }
        let what = format!("{asked:?} failed with {:?}: {}", failure.code, failure.message);
        Err(Violation::UnexpectedFailure { node: self.nodes[index].name.to_string(), what })
    }
}
