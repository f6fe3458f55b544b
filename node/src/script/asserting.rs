//! What must hold now, asked of an actor's node and by it afresh of the directory.

use node_core::{
    command::{
        Command, Failure, FailureCode, FileCommand, FileOutcome, FileRef, MessageRef, MoneyCommand, MoneyOutcome,
        MoneyRef, Outcome,
    },
    event::request_word,
};
use protocol::{FileId, MessageId};

use super::{
    Stage,
    parse::Object,
    runner::{Runner, not_met},
};

impl<S: Stage> Runner<S> {
    pub(super) async fn assert_state(&mut self, name: Option<&str>, id: Object, state: &str) -> Result<(), Failure> {
        let mut questions = questions(id).into_iter().peekable();
        while let Some(question) = questions.next() {
            let found = match self.ask(name, question, self.timeout).await {
                // A full id may be another kind's.
                Err(failure) if failure.code == FailureCode::Conflict && questions.peek().is_some() => continue,
                answer => word(&answer?).ok_or_else(|| not_met("that has no state"))?,
            };
            let differs = || not_met(format!("the state is {found}, not {state}"));
            return if found == state { Ok(()) } else { Err(differs()) };
        }
        Err(not_met("that has no state"))
    }

    pub(super) async fn assert_balance(&mut self, name: Option<&str>, amount: &str) -> Result<(), Failure> {
        match self.ask(name, Command::Money(MoneyCommand::Balance), self.timeout).await? {
            Outcome::Money(MoneyOutcome::Balance(view)) if view.available.is(amount) => Ok(()),
            Outcome::Money(MoneyOutcome::Balance(view)) => {
                Err(not_met(format!("the balance is {}, not {amount}", view.available)))
            }
            _ => Err(not_met("there is no balance")),
        }
    }
}

/// What is asked about an object, one after the other until one knows it.
fn questions(id: Object) -> Vec<Command> {
    let money = |id| match id {
        MoneyRef::Short(node_core::event::ShortId::Payment(_)) => MoneyCommand::AskPayment { id },
        _ => MoneyCommand::AskRequest { id },
    };
    match id {
        Object::Message(id) => vec![Command::AskState { id }],
        Object::Money(id) => vec![Command::Money(money(id))],
        Object::File(id) => vec![Command::File(FileCommand::AskState { id })],
        Object::Full(full) => {
            let id = MoneyRef::Full(full);
            vec![
                Command::AskState { id: MessageRef::Full(MessageId(full)) },
                Command::Money(MoneyCommand::AskRequest { id }),
                Command::Money(MoneyCommand::AskPayment { id }),
                Command::File(FileCommand::AskState { id: FileRef::Full(FileId(full)) }),
            ]
        }
    }
}

fn word(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::State(state) => Some(state.word()),
        Outcome::Money(MoneyOutcome::RequestState(state)) => Some(request_word(*state)),
        Outcome::Money(MoneyOutcome::PaymentState(state)) => Some(state.word()),
        Outcome::File(FileOutcome::State(state)) => Some(state.word()),
        _ => None,
    }
}
