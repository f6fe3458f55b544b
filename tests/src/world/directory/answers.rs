//! What the directory says, on its way to the nodes.

use node_core::input::{Answer, CallId, Input};
use protocol::{
    Bounded,
    directory::{MailItem, Push, Reply},
};

use super::{Asked, ConnectionId};
use crate::world::{World, coverage::Case, fault::Fault, witness::NodeIndex};

impl World {
    pub(in crate::world) fn on_answer(&mut self, id: ConnectionId, call: CallId, answer: Answer) {
        let Some(connection) = self.directory.connections.get_mut(&id).filter(|c| !c.broken) else { return };
        let (index, life, asked) = (connection.node, connection.life, connection.calls.remove(&call));
        if self.nodes[index].life != life || self.nodes[index].connection != Some(id) {
            return;
        }
        if let (Some(asked), Answer::Reply(reply)) = (asked, &answer) {
            self.count_answer(index, asked, reply);
        }
        let answer = match self.nodes[index].fault {
            Some(Fault::BelievesItWon) => self.flatter(answer),
            _ => answer,
        };
        self.input(index, Input::Reply { call, answer });
    }

    /// What somebody hears who is to believe that they have won every epoch.
    fn flatter(&self, answer: Answer) -> Answer {
        let Answer::Reply(mut reply) = answer else { return answer };
        match &mut *reply {
            lost @ Reply::CommitLost { .. } => *lost = Reply::CommitAccepted,
            Reply::Mail { items, .. } => {
                let believed = |item: MailItem| match item {
                    MailItem::Commit { conversation, epoch, commit } => {
                        let own = self.directory.believed.get(&(conversation, epoch)).cloned();
                        MailItem::Commit { conversation, epoch, commit: own.unwrap_or(commit) }
                    }
                    item => item,
                };
                let all = std::mem::take(items).into_iter().map(|(cursor, item)| (cursor, believed(item)));
                *items = Bounded::new(all.collect()).unwrap_or_default();
            }
            _ => {}
        }
        Answer::Reply(reply)
    }

    pub(super) fn count_answer(&mut self, index: NodeIndex, asked: Asked, reply: &Reply) {
        match (asked, reply) {
            (Asked::Create, Reply::ConversationExists) => self.coverage.met(Case::FirstMessageRace),
            (Asked::Commit(conversation), Reply::CommitLost { .. }) => {
                self.directory.lost_commits.insert((index, conversation));
            }
            (Asked::Group(conversation), Reply::Group { .. }) => {
                self.directory.rejoins.insert((index, conversation));
            }
            (Asked::Commit(conversation), Reply::CommitAccepted) => {
                if self.directory.lost_commits.remove(&(index, conversation)) {
                    self.coverage.met(Case::LostCommitRedone);
                }
                if self.directory.rejoins.remove(&(index, conversation)) {
                    self.coverage.met(Case::ExternalRejoin);
                }
            }
            (_, Reply::Mail { items, .. }) => {
                for (_, item) in items {
                    if let MailItem::Message { envelope, .. } = item
                        && self.witness.arrived(envelope.id, index, false)
                    {
                        self.coverage.met(Case::DuplicateDelivery);
                    }
                }
            }
            _ => {}
        }
    }

    pub(in crate::world) fn on_push(&mut self, id: ConnectionId, push: Push) {
        let Some(connection) = self.directory.connections.get(&id).filter(|c| !c.broken) else { return };
        let (index, life) = (connection.node, connection.life);
        if self.nodes[index].life == life && self.nodes[index].connection == Some(id) {
            self.input(index, Input::Push(push));
        }
    }

    /// A hostile directory leaves handshakes out of what waits.
    pub(super) fn tamper(&mut self, index: NodeIndex, reply: Reply) -> Reply {
        let Reply::Mail { items, more } = reply else { return reply };
        let mut kept = Vec::new();
        for item in items {
            // Without its own commit it would come in anew, each time by another one.
            let handshake = match &item.1 {
                MailItem::Welcome { .. } => true,
                MailItem::Commit { commit, .. } => self.directory.authors.get(&**commit) != Some(&index),
                _ => false,
            };
            let kept_back = self.directory.kept_back.contains(&(index, item.0));
            let mut begin = || self.withheld.remove(&index) || self.chance.happens(self.weather.handshake_withheld);
            if kept_back || (handshake && begin()) {
                self.directory.kept_back.insert((index, item.0));
                self.trace.note(self.now, &|| format!("a handshake is withheld from {}", self.nodes[index].name));
            } else {
                kept.push(item);
            }
        }
        Reply::Mail { items: Bounded::new(kept).unwrap_or_default(), more }
    }
}
