//! How the commands of people with money end: what they were promised, and which failures have a cause.

use directory::store::ledger::{KnownOutcome, LedgerStore as _};
use node_core::{
    Session,
    command::{BalanceView, CommandResult, Failure, FailureCode, MoneyOutcome, Outcome, PaymentView, RequestView},
};
use protocol::{OrderId, RequestId, directory::RequestState};

use super::{
    Errand, RequestKey,
    errands::{Answer, Promise},
};
use crate::world::{
    World,
    coverage::Case,
    node::Asked,
    witness::{NodeIndex, Violation},
};

/// What a device says of its account's money after healing.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) payments: Option<Vec<PaymentView>>,
    pub(super) requests: Option<Vec<RequestView>>,
    pub(super) balance: Option<BalanceView>,
    pub(super) unknown: Option<usize>,
}

impl Told {
    pub(super) fn is_whole(&self) -> bool {
        self.payments.is_some() && self.requests.is_some() && self.balance.is_some() && self.unknown.is_some()
    }
}

impl World {
    /// A command ended.
    pub(in crate::world) fn done_in_market(
        &mut self,
        index: NodeIndex,
        asked: &Asked,
        result: CommandResult,
    ) -> Result<(), Violation> {
        let text = format!("{} ends {asked:?}: {result:?}", self.of_market(index));
        self.trace.note(self.now, &|| text.clone());
        match (asked, result) {
            (Asked::WaitIdle, Ok(_)) => self.nodes[index].idle = true,
            (Asked::Change(what), result) if self.entered_group(index, what, &result) => {}
            (Asked::Money(errand), Ok(Outcome::Money(outcome))) => return self.promised(index, errand, outcome),
            (Asked::Money(Errand::Learn), Ok(Outcome::Status(status))) => {
                self.told(index, |told| told.unknown = Some(status.unknown));
            }
            (_, Ok(_)) => {}
            (asked, Err(failure)) if self.has_cause_in_market(index, asked, &failure) => {
                if let Asked::Money(errand) = asked {
                    self.denied(index, errand, &failure);
                }
            }
            (_, Err(failure)) => {
                let what = format!("{asked:?} failed with {:?}: {}", failure.code, failure.message);
                return Err(Violation::UnexpectedFailure { node: self.of_market(index), what });
            }
        }
        Ok(())
    }

    fn has_cause_in_market(&self, index: NodeIndex, asked: &Asked, failure: &Failure) -> bool {
        let has_account = self.nodes[index].core.as_ref().is_some_and(|core| core.session() != Session::None);
        match (asked, failure.code) {
            // A sign-up that was given up goes on by itself, and may be done before it is asked for again.
            (Asked::SignUp, FailureCode::Conflict) => has_account,
            (Asked::SignUp | Asked::SignIn, FailureCode::Auth | FailureCode::Refused) => false,
            (_, FailureCode::Auth | FailureCode::Trust | FailureCode::Usage | FailureCode::Other) => false,
            // Others may have been quicker, or have less; and nobody may be there.
            _ => true,
        }
    }

    fn told(&mut self, index: NodeIndex, tell: impl FnOnce(&mut Told)) {
        if let Some(market) = self.market.as_mut() {
            tell(market.told.entry(index).or_default());
        }
    }

    /// Somebody was told that something is done: the ledger has it by now.
    fn promised(&mut self, index: NodeIndex, errand: &Errand, outcome: MoneyOutcome) -> Result<(), Violation> {
        match outcome {
            MoneyOutcome::Paid { uid, to, amount, balance, ledger_seq, .. } => {
                self.coverage.met(Case::ToldPaid);
                self.is_posted(index, uid, ledger_seq)?;
                let Some(market) = self.market.as_mut() else { return Ok(()) };
                let (to, amount, balance) = (to.to_string(), amount.to_string(), balance.to_string());
                market.promises.push(Promise { node: index, id: uid, to, amount, balance, index: ledger_seq });
                self.answered(errand, Answer::Done);
            }
            MoneyOutcome::Requested { uid, .. } => {
                let Some(own) = self.market.as_ref().and_then(|market| market.account_at(index)) else { return Ok(()) };
                self.stands(index, (own, uid), |_| true)?;
                self.answered(errand, Answer::Done);
            }
            MoneyOutcome::RequestedGroup { uid, shares, .. } => {
                let Some(own) = self.market.as_ref().and_then(|market| market.account_at(index)) else { return Ok(()) };
                let asked = shares.iter().filter(|share| share.refused.is_none());
                let ids: Vec<RequestId> = asked.map(|share| share.uid).collect();
                for id in &ids {
                    self.stands(index, (own, *id), |_| true)?;
                }
                self.split(index, uid, ids);
                self.answered(errand, Answer::Done);
            }
            MoneyOutcome::Closed { uid, state, .. } => {
                let Some(key) = self.key_of(uid) else { return self.check_taken_back(index, uid) };
                self.stands(index, key, |found| found == state)?;
                if let Some(market) = self.market.as_mut() {
                    market.ended.insert(key);
                }
            }
            MoneyOutcome::Payments { payments } => self.told(index, |told| told.payments = Some(payments)),
            MoneyOutcome::Requests { requests } => self.told(index, |told| told.requests = Some(requests)),
            MoneyOutcome::Balance(balance) => self.told(index, |told| told.balance = Some(balance)),
            _ => {}
        }
        Ok(())
    }

    fn is_posted(&self, index: NodeIndex, id: OrderId, place: u64) -> Result<(), Violation> {
        let own = self.market.as_ref().and_then(|market| market.account_at(index));
        let known = own.and_then(|own| self.directory.ledger.kept_of(own, id));
        if known.is_some_and(|known| known.outcome == KnownOutcome::Posted(place)) {
            return Ok(());
        }
        Err(Violation::ToldNotKept { node: self.of_market(index), what: format!("{id:?} is entry {place}: {known:?}") })
    }

    pub(super) fn stands(
        &self,
        index: NodeIndex,
        key: RequestKey,
        so: impl Fn(RequestState) -> bool,
    ) -> Result<(), Violation> {
        let found = self.directory.ledger.requests(&[key]).ok().and_then(|mut found| found.pop()?);
        if found.as_ref().is_some_and(|record| so(record.state)) {
            return Ok(());
        }
        Err(Violation::ToldNotKept { node: self.of_market(index), what: format!("{key:?}: {found:?}") })
    }

    fn key_of(&self, id: RequestId) -> Option<RequestKey> {
        self.market.as_ref()?.requests.keys().find(|(_, of)| *of == id).copied()
    }

    fn denied(&mut self, index: NodeIndex, errand: &Errand, failure: &Failure) {
        // Whoever gives up before anything was signed is told that nobody answers.
        let answer = if failure.code == FailureCode::Unknown { Answer::Unknown } else { Answer::Denied(index) };
        self.coverage.met_if(Case::ToldNotPaid, matches!((errand, &answer), (Errand::Pay(_), Answer::Denied(_))));
        self.answered(errand, answer);
    }

    fn answered(&mut self, errand: &Errand, answer: Answer) {
        let (Errand::Pay(memo) | Errand::Request(memo) | Errand::Split(memo)) = errand else { return };
        if let Some(wish) = self.market.as_mut().and_then(|market| market.wishes.get_mut(memo)) {
            wish.answer = answer;
        }
    }
}
