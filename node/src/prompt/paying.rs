//! Asking before money leaves: above what the person has set, a payment is weighed, shown with the balance after it, and
//! made when they say yes.

use node_core::command::{Command, CommandResult, MoneyCommand, MoneyOutcome, Outcome};

use super::speech::Said;
use crate::driver::NodeCommand;

/// A payment on its way through a person's hands.
#[derive(Debug)]
pub(super) struct Paying {
    /// Whether nobody is to be asked.
    yes: bool,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Nothing,
    /// The node is asked what it would come to.
    Weighing(MoneyCommand),
    /// The person is.
    Asking(MoneyCommand, String),
}

/// What follows from what a payment would come to.
#[derive(Debug)]
pub(super) enum Weighed {
    /// It is made.
    Pay(NodeCommand),
    /// The person is asked.
    Ask,
    /// It was no weighing, or nothing came of it.
    No,
}

impl Paying {
    pub(super) const fn new(yes: bool) -> Self {
        Self { yes, stage: Stage::Nothing }
    }

    /// Whether this is something that may be asked about.
    pub(super) fn may_ask(&self, said: &Said) -> bool {
        match said {
            Said::Node(NodeCommand::Core(Command::Money(command))) => !self.yes && weighing(command).is_some(),
            _ => false,
        }
    }

    /// What runs first in a command's place.
    pub(super) fn weigh(&mut self, command: NodeCommand) -> NodeCommand {
        match command {
            NodeCommand::Core(Command::Money(command)) if !self.yes => match weighing(&command) {
                Some(weighing) => {
                    self.stage = Stage::Weighing(command);
                    money(weighing)
                }
                None => money(command),
            },
            command => command,
        }
    }

    /// The node has answered.
    pub(super) fn weighed(&mut self, result: &CommandResult) -> Weighed {
        let Stage::Weighing(command) = std::mem::take(&mut self.stage) else { return Weighed::No };
        // A full id may be a file's, for which nothing is paid.
        if let Ok(Outcome::File(_)) = result {
            return Weighed::Pay(money(command));
        }
        let Ok(Outcome::Money(MoneyOutcome::Weighed { amount, to, after, confirm })) = result else {
            return Weighed::No;
        };
        if !confirm {
            return Weighed::Pay(money(command));
        }
        let to = match (&command, to) {
            (_, Some(to)) | (MoneyCommand::Pay { to, .. }, None) => format!(" to {to}"),
            (_, None) => String::new(),
        };
        let after = after.map_or_else(String::new, |after| format!(" Balance afterwards {after}."));
        self.stage = Stage::Asking(command, format!("Pay {amount}{to}?{after} [y/N] "));
        Weighed::Ask
    }

    /// What the person is asked now.
    pub(super) fn question(&self) -> Option<&str> {
        match &self.stage {
            Stage::Asking(_, question) => Some(question),
            _ => None,
        }
    }

    /// Takes the person's answer: what is to be paid, or nothing; `None` if nothing was asked.
    pub(super) fn answer(&mut self, line: &str) -> Option<Option<NodeCommand>> {
        match std::mem::take(&mut self.stage) {
            Stage::Asking(command, _) => {
                let yes = ["y", "yes"].iter().any(|yes| yes.eq_ignore_ascii_case(line.trim()));
                Some(yes.then(|| money(command)))
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// Nobody waits for it any longer.
    pub(super) fn forget(&mut self) {
        self.stage = Stage::Nothing;
    }
}

const fn money(command: MoneyCommand) -> NodeCommand {
    NodeCommand::Core(Command::Money(command))
}

/// What tells what a payment would come to.
fn weighing(command: &MoneyCommand) -> Option<MoneyCommand> {
    match command {
        MoneyCommand::Pay { amount, .. } => Some(MoneyCommand::Weigh { amount: amount.clone() }),
        MoneyCommand::Refund { id, amount } => Some(MoneyCommand::WeighRefund { id: *id, amount: amount.clone() }),
        MoneyCommand::Accept { id } => Some(MoneyCommand::WeighRequest { id: *id }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use node_core::{command::Failure, command::FailureCode, event::Money};
    use protocol::{Name, money::Amount};

    use super::*;

    fn pay() -> MoneyCommand {
        let to = Name::parse("bob").unwrap();
        MoneyCommand::Pay { payer: None, to, amount: "12.5".to_owned(), memo: String::new(), id: None }
    }

    fn weight(confirm: bool) -> CommandResult {
        let money = |units| Money { amount: Amount::new(units).unwrap(), scale: 2 };
        let (amount, after) = (money(1_250), Some(money(8_750)));
        Ok(Outcome::Money(MoneyOutcome::Weighed { amount, to: None, after, confirm }))
    }

    fn is_pay(command: &NodeCommand) -> bool {
        matches!(command, NodeCommand::Core(Command::Money(command)) if *command == pay())
    }

    #[test]
    fn a_payment_is_weighed_asked_about_and_made_only_after_a_yes() {
        for (line, paid) in [("y", true), (" YES ", true), ("", false), ("n", false), ("yess", false)] {
            let mut paying = Paying::new(false);
            let first = paying.weigh(money(pay()));
            assert!(
                matches!(first, NodeCommand::Core(Command::Money(MoneyCommand::Weigh { amount })) if amount == "12.5")
            );
            assert!(matches!(paying.weighed(&weight(true)), Weighed::Ask));
            assert_eq!(paying.question(), Some("Pay 12.50 to bob? Balance afterwards 87.50. [y/N] "));
            let answer = paying.answer(line).unwrap();
            assert_eq!(answer.as_ref().is_some_and(is_pay), paid, "{line:?}");
            assert!(paying.question().is_none() && paying.answer("y").is_none());
        }
    }

    #[test]
    fn what_need_not_be_asked_is_made_at_once() {
        let mut paying = Paying::new(false);
        paying.weigh(money(pay()));
        assert!(matches!(paying.weighed(&weight(false)), Weighed::Pay(command) if is_pay(&command)));
        assert!(is_pay(&Paying::new(true).weigh(money(pay()))));
        let said = Said::Node(money(pay()));
        assert!(Paying::new(false).may_ask(&said) && !Paying::new(true).may_ask(&said));
    }

    #[test]
    fn what_cannot_be_weighed_is_not_paid() {
        let mut paying = Paying::new(false);
        paying.weigh(money(pay()));
        let failed = Err(Failure::new(FailureCode::Unreachable, "no directory"));
        assert!(matches!(paying.weighed(&failed), Weighed::No));
        assert!(paying.answer("y").is_none());
    }
}
