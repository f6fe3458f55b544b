//! The end of a run with money: the weather calms, everybody comes back, and then the ledger adds up, has what people were
//! told, and every device tells of its account what the ledger has.

use node_core::command::{Command, MoneyCommand};

use super::{Errand, books::Books, errands::Answer, shown};
use crate::world::{
    World,
    clock::{Moment, Span},
    coverage::Case,
    node::Asked,
    witness::{NodeIndex, Violation},
};

/// How long healing may take; see the healing of the world with one device each.
const HEALING_MAX: Span = Span::hours(3);
/// How often it is looked whether everything has healed.
const LOOK_EVERY: Span = Span::seconds(5);
/// Longer than a node waits for anything before it tells a payment, and than between two looks at the ledger.
const NEWS: Span = Span::seconds(100);
/// Payments that are listed: more than there are.
const ALL: usize = 100_000;

impl World {
    /// Calms the weather, lets everybody come back, and checks what must hold then.
    pub(super) fn heal_market(&mut self) -> Result<(), Violation> {
        self.calm_down();
        let end = self.now + HEALING_MAX;
        self.wait_in_market(end, Self::everybody_is_in, "not everybody is signed in")?;
        self.settle_down(end)?;
        // Whoever fell out of a conversation learns of it when something is said there; then all of it still works.
        self.write_to_everybody();
        self.settle_down(end)?;
        self.write_to_everybody();
        self.settle_down(end)?;
        self.trade_once_more();
        self.settle_down(end)?;
        self.run_until(self.now + NEWS)?;
        self.settle_down(end)?;
        self.learn();
        self.wait_in_market(end, Self::all_have_learnt, "not every device says what it has")?;
        let books = Books::read(&*self.directory.ledger)?;
        self.check_promises(&books)?;
        for index in 0..self.nodes.len() {
            self.check_payments(index, &books)?;
            self.check_requests(index)?;
        }
        self.check_denials(&books)?;
        self.check_words_of_money()
    }

    /// Lets time pass until something holds.
    fn wait_in_market(&mut self, end: Moment, healed: impl Fn(&mut Self) -> bool, what: &str) -> Result<(), Violation> {
        while !healed(self) {
            if self.now >= end {
                let asked = self.nodes.iter().flat_map(|node| node.asked.values().map(|(asked, _)| asked));
                let asked: Vec<&Asked> = asked.collect();
                return Err(Violation::Undecided { what: format!("{what}; asked: {asked:?}") });
            }
            self.run_until(self.now + LOOK_EVERY)?;
        }
        Ok(())
    }

    /// Everybody's commands have ended, and everybody is idle: nothing is unknown.
    fn settle_down(&mut self, end: Moment) -> Result<(), Violation> {
        let ended = |world: &mut Self| {
            let mut asked = world.nodes.iter().flat_map(|node| node.asked.values());
            !asked.any(|(asked, _)| matches!(asked, Asked::Money(_) | Asked::Send(_)))
        };
        self.wait_in_market(end, ended, "a command has not ended")?;
        for node in &mut self.nodes {
            node.idle = false;
        }
        self.wait_in_market(end, Self::everybody_is_idle, "not everybody is idle")
    }

    /// Everybody writes to everybody, on every device.
    fn write_to_everybody(&mut self) {
        let people = self.market.as_ref().map_or(0, |market| market.names.len());
        for index in 0..self.nodes.len() {
            let own = self.market.as_ref().map_or(0, |market| market.owners[index]);
            for other in (0..people).filter(|other| *other != own) {
                self.write_line_to(index, other);
            }
        }
    }

    /// Everybody pays somebody and asks somebody, on every device.
    fn trade_once_more(&mut self) {
        let people = self.market.as_ref().map_or(0, |market| market.names.len());
        if let Some(market) = self.market.as_mut() {
            market.all_there = Some((market.posted.len() as u64, market.requests.keys().copied().collect()));
        }
        for index in 0..self.nodes.len() {
            let own = self.market.as_ref().map_or(0, |market| market.owners[index]);
            self.pay(index, (own + 1) % people, 1);
            self.ask_for(index, (own + people - 1) % people, 2);
        }
    }

    fn learn(&mut self) {
        for index in 0..self.nodes.len() {
            let money =
                [MoneyCommand::Payments { with: None, count: ALL }, MoneyCommand::Requests, MoneyCommand::Balance];
            let asked = || Asked::Money(Errand::Learn);
            money.into_iter().for_each(|command| self.command(index, asked(), Command::Money(command)));
            self.command(index, asked(), Command::Status);
        }
    }

    fn all_have_learnt(&mut self) -> bool {
        let told = self.market.as_ref().map(|market| &market.told);
        (0..self.nodes.len()).all(|index| told.and_then(|told| told.get(&index)).is_some_and(super::Told::is_whole))
    }

    /// Every payment that somebody was told of is there, as they were told.
    fn check_promises(&self, books: &Books) -> Result<(), Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        for promise in &market.promises {
            let own = market.account_at(promise.node);
            let deal = books.deal(promise.index);
            let holds = deal.zip(own).is_some_and(|(deal, own)| {
                let balance = deal.balance(own).and_then(|units| u64::try_from(units).ok());
                (deal.id, deal.payer) == (Some(promise.id), Some(own))
                    && market.name_of(deal.payee).is_some_and(|name| name.as_str() == promise.to)
                    && (shown(deal.amount), balance.map(shown))
                        == (promise.amount.clone(), Some(promise.balance.clone()))
            });
            if !holds {
                let what = format!("{promise:?}, and the ledger has {deal:?}");
                return Err(Violation::ToldNotKept { node: self.of_market(promise.node), what });
            }
        }
        Ok(())
    }

    /// What somebody was told not to be paid, or asked for, is not; and each wish was fulfilled once at most.
    fn check_denials(&mut self, books: &Books) -> Result<(), Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let mut met = Vec::new();
        for (memo, wish) in &market.wishes {
            let done = if wish.splits {
                self.check_shares(memo, wish)?
            } else if wish.asks {
                self.requests_with(memo).len()
            } else {
                books.deals.iter().filter(|deal| self.memo_of(deal.index) == Some(memo)).count()
            };
            let node = |index: NodeIndex| self.of_market(index);
            match (&wish.answer, done) {
                (_, 2..) => return Err(Violation::SettledTwice { what: format!("{memo}: {wish:?}") }),
                (Answer::Denied(index), 1) => {
                    return Err(Violation::DeniedAndDone { node: node(*index), what: format!("{memo}: {wish:?}") });
                }
                (Answer::Done, 0) => {
                    let node = market.names[wish.by].to_string();
                    return Err(Violation::ToldNotKept { node, what: format!("{memo}: {wish:?}") });
                }
                (Answer::Unknown, 1) if !wish.asks => met.push(Case::UnknownWasPaid),
                (Answer::Unknown, 0) if !wish.asks => met.push(Case::UnknownWasNotPaid),
                _ => {}
            }
        }
        met.into_iter().for_each(|case| self.coverage.met(case));
        Ok(())
    }

    /// The directory has seen nobody's words.
    fn check_words_of_money(&self) -> Result<(), Violation> {
        match self.directory.seen() {
            (0, _) => Err(Violation::ControlFailed { holder: "the directory".to_owned() }),
            (_, true) => Err(Violation::ForeignPlaintext { holder: "the directory".to_owned() }),
            _ => Ok(()),
        }
    }
}
