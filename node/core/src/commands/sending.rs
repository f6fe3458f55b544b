//! SEND and RESEND.

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, MessageId, Name,
    directory::{Reply, Request, Who},
};

use super::{Waiting, changed_key, misbehaves};
use crate::{
    command::{Command, CommandToken, Failure, FailureCode, HistoryEntry, MessageRef, Outcome},
    core::Core,
    event::{DeliveryState, ShortId, Trust},
    input::Answer,
    link::Purpose,
    output::Effect,
    people::Found,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn send(&mut self, token: CommandToken, to: Name, text: String) {
        if let Some(id) = self.group_named(&to) {
            return self.done(token, Err(self.a_group(id, &to)));
        }
        if self.own().is_some_and(|own| own.name == to) {
            let failure = Failure::new(FailureCode::Refused, "that is you; SEND NAME text goes to somebody else");
            return self.done(token, Err(failure));
        }
        if let Some(account) = self.people.by_name(&to).map(|contact| contact.account) {
            return self.send_to(token, account, to, &text);
        }
        if !self.is_online() {
            return self.wait_for_directory(token, Command::Send { to, text });
        }
        let who = Bounded::new(vec![Who::Name(to.clone())]).unwrap_or_default();
        self.ask(Purpose::LookUpName { token, name: to.clone() }, Request::LookUp { who });
        self.wait(token, Waiting::Compose { to, text });
    }

    pub(super) fn send_to(&mut self, token: CommandToken, account: protocol::AccountId, to: Name, text: &str) {
        if self.people.trust(account) == Trust::Changed {
            return self.done(token, Err(changed_key(&to)));
        }
        match self.enqueue(account, text) {
            Ok((short, id)) => {
                // Whoever answers has read what was there; the answer itself tells the other devices.
                self.mark_read(account);
                self.wait(token, Waiting::Send { to, short, id });
                if !self.link.is_connected() && self.link.last_failure.is_some() {
                    self.on_unreachable();
                }
            }
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    pub(crate) fn on_name_found(&mut self, token: CommandToken, name: Name, answer: Answer) {
        let Some(Waiting::Compose { to, text }) = self.waiters.take(token) else { return };
        let people = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::People(people) => people,
                _ => return self.done(token, Err(misbehaves())),
            },
            Answer::Refusal(refusal) => {
                return self.done(token, Err(Failure::new(FailureCode::Refused, refusal.to_string())));
            }
            Answer::Lost => return self.wait(token, Waiting::Directory(Command::Send { to, text })),
        };
        let Some(person) = people.iter().find(|person| person.name == name) else {
            // Perhaps it is a group, which has another command.
            self.ask_for_group(token, name.clone());
            return self.wait(token, Waiting::FindGroup { group: name, command: Command::Send { to, text } });
        };
        match self.take_person(person) {
            Found::Known(account) => self.send_to(token, account, to, &text),
            Found::Changed(_) => self.done(token, Err(changed_key(&name))),
            Found::Unusable => self.done(token, Err(misbehaves())),
        }
    }

    /// A message was handed over, or is known to wait.
    pub(crate) fn settle_send(&mut self, message: MessageId, state: DeliveryState) {
        let mut settled = Vec::new();
        for (token, waiting) in &self.waiters.waiting {
            if let Waiting::Send { to, short, id } = waiting
                && *id == message
            {
                settled.push((*token, to.clone(), *short));
            }
        }
        for (token, to, id) in settled {
            self.waiters.take(token);
            self.done(token, Ok(Outcome::Sent { id, uid: message, to, state }));
        }
    }

    /// Whoever waits for a message to a group: by what it is called here, and in which group.
    pub(crate) fn group_sends(&self, message: MessageId) -> Vec<(CommandToken, Name, ShortId)> {
        let waiting = self.waiters.waiting.iter().filter_map(|(token, waiting)| match waiting {
            Waiting::SendGroup { group, short, id } if *id == message => Some((*token, group.clone(), *short)),
            _ => None,
        });
        waiting.collect()
    }

    /// A message to a group is where it is for now.
    pub(crate) fn end_group_sends(&mut self, message: MessageId, waiting: Vec<(CommandToken, Name, ShortId)>) {
        for (token, group, id) in waiting {
            self.waiters.take(token);
            let recipients = self.recipients_view(message);
            self.done(token, Ok(Outcome::SentGroup { id, uid: message, group, recipients }));
        }
    }

    pub(super) fn find(&mut self, token: CommandToken, id: MessageRef, resend: bool) {
        self.wait(token, Waiting::Find { resend });
        self.batch.effect(Effect::FindMessage { token, id });
    }

    pub(crate) fn on_message_found(&mut self, token: CommandToken, entry: Result<Option<HistoryEntry>, String>) {
        let Some(Waiting::Find { resend }) = self.waiters.take(token) else { return };
        let entry = match entry {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                let failure = Failure::new(FailureCode::Conflict, "there is no such message; HISTORY shows their ids");
                return self.done(token, Err(failure));
            }
            Err(error) => return self.done(token, Err(Failure::new(FailureCode::Other, error))),
        };
        match (entry.state, resend) {
            (None, _) => {
                let text = format!("{} is a message that you received, not one that you sent", entry.id);
                self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
            (Some(state), false) => self.done(token, Ok(Outcome::State(state))),
            (Some(DeliveryState::Failed), true) if entry.in_group => {
                self.on_command(token, Command::SendGroup { group: entry.to, text: entry.text });
            }
            (Some(DeliveryState::Failed), true) => self.send(token, entry.to, entry.text),
            (Some(state), true) => {
                let text = format!("{} is {}; only a message that failed is sent again", entry.id, state.word());
                self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
        }
    }
}
