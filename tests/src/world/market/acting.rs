//! What people do with money: mostly such as can be done, at random.

use directory::store::ledger::{IssueOrder, LedgerStore as _};
use node_core::{
    Session,
    command::{Command, ListWhat, MoneyCommand, MoneyRef, Password},
};
use protocol::{BoundedText, Name, OrderId, RequestId, directory::RequestState, money::Amount};

use super::{
    Errand, OPENING, PersonIndex, RequestKey,
    errands::{Answer, Wish},
    shown,
};
use crate::world::{
    Happening, Participant, World,
    chance::MILLION,
    clock::Span,
    coverage::Case,
    node::Asked,
    witness::{CANARY, NodeIndex},
};

/// Payments in one go.
const BURST_MAX: u64 = 5;
/// Most that is paid at once; now and then more than anybody has.
const AMOUNT_MAX: u64 = 4_000;
/// How often somebody wants to pay more than they have.
const TOO_MUCH: u64 = 80_000;
/// How often whoever is cut off from the directory pays somebody.
const PAYS_CUT_OFF: u64 = 600_000;
/// Times that the operator issues money.
const ISSUES_MAX: u64 = 4;

impl World {
    /// Signs up or in where that is needed, or does something.
    pub(in crate::world) fn act_in_market(&mut self, index: NodeIndex) {
        if !self.enter_for_market(index) || !self.acting {
            return;
        }
        let alone = self.is_parted(Participant::Directory, Participant::Node(index));
        if alone && self.chance.happens(PAYS_CUT_OFF) {
            return self.pay_somebody(index);
        }
        if self.enter_group_to_split(index) {
            return;
        }
        self.act_with_money(index);
    }

    /// Says whether the node's owner is signed in there.
    fn enter_for_market(&mut self, index: NodeIndex) -> bool {
        let Some((market, core)) = self.market.as_ref().zip(self.nodes[index].core.as_ref()) else { return false };
        let entering = self.nodes[index].is_asking(&Asked::SignUp) || self.nodes[index].is_asking(&Asked::SignIn);
        let session = core.session();
        if session == Session::SignedIn {
            return true;
        }
        if entering || core.has_unfinished_sign_up() {
            return false;
        }
        let (name, password) = (self.nodes[index].name.clone(), Password::new(self.nodes[index].password.clone()));
        let known = market.account_at(index).is_some();
        if session == Session::None && market.is_first(index) && !known {
            self.command(index, Asked::SignUp, Command::SignUp { name, password, invite: None });
        } else if known {
            self.command(index, Asked::SignIn, Command::SignIn { name, password });
        }
        false
    }

    fn act_with_money(&mut self, index: NodeIndex) {
        match self.chance.between(0, 100) {
            0..26 => self.pay_somebody(index),
            26..30 => {
                for _ in 0..self.chance.between(2, BURST_MAX) {
                    self.pay_somebody(index);
                }
            }
            30..44 => self.ask_somebody(index),
            44..48 => self.ask_everybody(index),
            48..62 => self.answer_one(index, Self::accept),
            62..67 => self.answer_one(index, Self::end),
            67..72 => self.take_one_back(index),
            72..78 => self.answer_at_once(index),
            78..85 => self.give_back(index),
            85..88 => self.write_a_line(index),
            88..91 => self.look_at_money(index),
            91..94 => self.leave_the_market(index),
            94..98 => {
                let length = Span::ms(self.chance.between(5_000, 60_000));
                self.part(Participant::Node(index), Participant::Directory, length);
            }
            _ => self.issue(),
        }
    }

    fn leave_the_market(&mut self, index: NodeIndex) {
        let who = self.of_market(index);
        self.trace.note(self.now, &|| format!("{who} goes away"));
        self.stop_node(index);
        let at = self.now + Span::ms(self.chance.between(1_000, 40_000));
        self.queue.push(&mut self.chance, at, Happening::StartNode(index));
    }

    /// Somebody else.
    fn anybody_but(&mut self, index: NodeIndex) -> PersonIndex {
        let Some(market) = self.market.as_ref() else { return 0 };
        let (own, people) = (market.owners[index], market.names.len());
        let other = self.chance.index(people - 1);
        if other >= own { other + 1 } else { other }
    }

    pub(super) fn words(&mut self) -> String {
        self.texts += 1;
        format!("{CANARY}{:x}-{}-", self.seed, self.texts)
    }

    fn reason(&mut self, id: RequestId) -> String {
        let reason = self.words();
        if let Some(market) = self.market.as_mut() {
            market.reasons.entry(id).or_default().insert(reason.clone());
        }
        reason
    }

    /// Something that nobody else wants with these words.
    fn want(&mut self, index: NodeIndex, with: PersonIndex, amount: u64, asks: bool) -> Option<(String, Name)> {
        let memo = self.words();
        let market = self.market.as_mut()?;
        let wish = Wish { by: market.owners[index], with, amount, asks, splits: false, answer: Answer::None };
        market.wishes.insert(memo.clone(), wish);
        Some((memo, market.names[with].clone()))
    }

    fn pay_somebody(&mut self, index: NodeIndex) {
        let (with, most) = (self.anybody_but(index), self.most());
        let amount = self.chance.between(1, most);
        self.pay(index, with, amount);
    }

    fn most(&mut self) -> u64 {
        if self.chance.happens(TOO_MUCH) { 10 * OPENING } else { AMOUNT_MAX }
    }

    /// Pays somebody, now and then under an id of the caller's own.
    pub(super) fn pay(&mut self, index: NodeIndex, with: PersonIndex, amount: u64) {
        let Some((memo, to)) = self.want(index, with, amount, false) else { return };
        let own = self.chance.bytes();
        let id = self.chance.happens(MILLION / 3).then(|| {
            let mut id = [0; 16];
            id.copy_from_slice(&own[..16]);
            OrderId(id)
        });
        let command = MoneyCommand::Pay { payer: None, to, amount: shown(amount), memo: memo.clone(), id };
        self.command(index, Asked::Money(Errand::Pay(memo)), Command::Money(command));
    }

    pub(super) fn ask_somebody(&mut self, index: NodeIndex) {
        let (with, most) = (self.anybody_but(index), self.most());
        let amount = self.chance.between(1, most);
        self.ask_for(index, with, amount);
    }

    /// Asks somebody for money.
    pub(super) fn ask_for(&mut self, index: NodeIndex, with: PersonIndex, amount: u64) {
        let Some((memo, from)) = self.want(index, with, amount, true) else { return };
        let command = MoneyCommand::Request { from, amount: shown(amount), memo: memo.clone() };
        self.command(index, Asked::Money(Errand::Request(memo)), Command::Money(command));
    }

    /// A request that fits; mostly one that is open.
    fn some_request(&mut self, fits: impl Fn(&RequestKey, protocol::AccountId) -> bool) -> Option<RequestKey> {
        let over = self.chance.happens(MILLION / 10);
        let market = self.market.as_ref()?;
        let open = |state: RequestState| over || state == RequestState::Open;
        let requests = market.requests.iter().filter(|(key, found)| open(found.state) && fits(key, found.payer));
        let fitting: Vec<RequestKey> = requests.map(|(key, _)| *key).collect();
        (!fitting.is_empty()).then(|| fitting[self.chance.index(fitting.len())])
    }

    fn answer_one(&mut self, index: NodeIndex, answer: impl Fn(&mut Self, NodeIndex, RequestId)) {
        let own = self.market.as_ref().and_then(|market| market.account_at(index));
        match self.some_request(|_, payer| Some(payer) == own) {
            Some((_, id)) => answer(self, index, id),
            None => self.ask_somebody(index),
        }
    }

    /// Pays what somebody asks for.
    pub(super) fn accept(&mut self, index: NodeIndex, id: RequestId) {
        let command = MoneyCommand::Accept { id: MoneyRef::Full(id.0) };
        self.command(index, Asked::Money(Errand::Accept(id)), Command::Money(command));
    }

    pub(super) fn end(&mut self, index: NodeIndex, id: RequestId) {
        let (reason, id_ref) = (self.reason(id), MoneyRef::Full(id.0));
        let command = MoneyCommand::Decline { id: id_ref, reason: reason.clone() };
        self.command(index, Asked::Money(Errand::End(id, reason)), Command::Money(command));
    }

    pub(super) fn cancel(&mut self, index: NodeIndex, id: RequestId) {
        let (reason, id_ref) = (self.reason(id), MoneyRef::Full(id.0));
        let command = MoneyCommand::Cancel { id: id_ref, reason: reason.clone() };
        self.command(index, Asked::Money(Errand::End(id, reason)), Command::Money(command));
    }

    fn take_one_back(&mut self, index: NodeIndex) {
        if self.take_a_whole_back(index) {
            return;
        }
        let own = self.market.as_ref().and_then(|market| market.account_at(index));
        if let Some((_, id)) = self.some_request(|(payee, _), _| Some(*payee) == own) {
            self.cancel(index, id);
        }
    }

    /// Everybody whom a request concerns answers it, on all their devices.
    fn answer_at_once(&mut self, index: NodeIndex) {
        let own = self.market.as_ref().and_then(|market| market.account_at(index));
        let Some((payee, id)) = self.some_request(|_, payer| Some(payer) == own) else { return };
        let Some(market) = self.market.as_ref() else { return };
        // A device that is just being signed in is nobody's to give commands to.
        let is_in =
            |node: &NodeIndex| self.nodes[*node].core.as_ref().is_some_and(|core| core.session() == Session::SignedIn);
        let payers: Vec<NodeIndex> = market.nodes_of(market.owners[index]).filter(is_in).collect();
        let payees: Vec<NodeIndex> =
            market.person_of(payee).map_or_else(Vec::new, |person| market.nodes_of(person).filter(is_in).collect());
        self.coverage.met(Case::AnsweredAtOnce);
        for node in payers {
            if self.chance.happens(MILLION / 4) { self.end(node, id) } else { self.accept(node, id) }
        }
        if self.chance.happens(MILLION / 3) {
            payees.into_iter().for_each(|node| self.cancel(node, id));
        }
    }

    /// Gives back what somebody paid, all or a part of what is left.
    fn give_back(&mut self, index: NodeIndex) {
        let Some(market) = self.market.as_ref() else { return };
        let own = market.account_at(index);
        let got = market.posted.iter().filter(|deal| deal.payer.is_some() && Some(deal.payee) == own);
        let (asked, unasked): (Vec<_>, Vec<_>) = got.partition(|deal| deal.request.is_some());
        // What was asked for is given back whole more often than it would be if all were alike: that ends the request anew.
        let got = if asked.is_empty() || self.chance.happens(MILLION / 3) { unasked } else { asked };
        let got: Vec<(OrderId, u64)> = got.into_iter().filter_map(|deal| Some((deal.id?, deal.amount))).collect();
        if got.is_empty() {
            return;
        }
        let (id, amount) = got[self.chance.index(got.len())];
        let part = self.chance.happens(MILLION / 4).then(|| shown(self.chance.between(1, amount + 1)));
        let command = MoneyCommand::Refund { id: MoneyRef::Full(id.0), amount: part };
        self.command(index, Asked::Money(Errand::Refund(id)), Command::Money(command));
    }

    fn write_a_line(&mut self, index: NodeIndex) {
        let with = self.anybody_but(index);
        self.write_line_to(index, with);
    }

    /// Writes to somebody.
    pub(super) fn write_line_to(&mut self, index: NodeIndex, with: PersonIndex) {
        let text = self.words();
        let Some(to) = self.market.as_ref().map(|market| market.names[with].clone()) else { return };
        self.command(index, Asked::Send(text.clone()), Command::Send { to, text });
    }

    fn look_at_money(&mut self, index: NodeIndex) {
        let command = match self.chance.between(0, 4) {
            0 => Command::Money(MoneyCommand::Balance),
            1 => Command::Money(MoneyCommand::Requests),
            2 => Command::Money(MoneyCommand::Payments { with: None, count: 20 }),
            _ => Command::List { what: ListWhat::All },
        };
        self.command(index, Asked::Look, command);
    }

    /// The operator issues money to somebody.
    fn issue(&mut self) {
        let Some(market) = self.market.as_mut().filter(|market| market.issues < ISSUES_MAX) else { return };
        let accounts: Vec<protocol::AccountId> = market.accounts.keys().copied().collect();
        if accounts.is_empty() {
            return;
        }
        market.issues += 1;
        let number = market.issues;
        let payee = accounts[self.chance.index(accounts.len())];
        let Some(amount) = Amount::new(self.chance.between(1, AMOUNT_MAX)) else { return };
        let Ok(memo) = BoundedText::new(format!("grant {number}")) else { return };
        let drawn = self.chance.bytes();
        let mut id = [0; 16];
        id.copy_from_slice(&drawn[..16]);
        self.trace.note(self.now, &|| format!("the operator issues {amount:?}"));
        // The operator's command writes to the file whether the service runs or not.
        let _ = self.directory.ledger.want_issue(&IssueOrder { id: OrderId(id), payee, amount, memo });
    }
}
