//! Whether what clients saw and what a ledger says can both be true.
//!
//! A client's operation happened at some moment between its call and its return. So whatever returned before another was
//! called stands before it in the log; a balance that was told, or that was too small, was so at some place of the log
//! between those; and an operation that was acknowledged is in the log once, where its receipt says.

use std::collections::{BTreeMap, HashMap};

use protocol::{AccountId, OrderId, money::HashBytes};

/// What a client handed in and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// The order.
    pub order: OrderId,
    /// How much, in minor units.
    pub amount: u64,
    /// Whose connection it was handed in on.
    pub asker: AccountId,
    /// When it was first handed in, in microseconds of a clock that all share.
    pub called: u64,
    /// When the answer came.
    pub returned: u64,
    /// The answer.
    pub answer: Answer,
}

/// The ledger's answer to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is this entry; and the asker's balance after it.
    Posted {
        /// Its place in the log.
        index: u64,
        /// In minor units.
        balance: u64,
    },
    /// The payer had only so much.
    Insufficient {
        /// In minor units.
        available: u64,
    },
}

/// An entry of the log as it is in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posting {
    /// The order; none for money from the issuance account.
    pub order: Option<(AccountId, OrderId)>,
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// How much, in minor units.
    pub amount: u64,
}

/// What cannot be. Each names the operation or the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// An acknowledged order is not where its receipt says.
    #[error("lost: {0:?} was acknowledged and is not at its place")]
    Lost(OrderId),
    /// An order is in the log twice.
    #[error("doubled: {0:?} stands at {1} and at {2}")]
    Doubled(OrderId, u64, u64),
    /// An order is in the log that was refused or never handed in.
    #[error("invented: the entry at {0} was never acknowledged")]
    Invented(u64),
    /// An account other than the issuance account has less than nothing.
    #[error("overdrawn: after {0}")]
    Overdrawn(u64),
    /// A balance that was told is not the one after the entry.
    #[error("balance: {0:?} was told {1}, the log says {2}")]
    Balance(OrderId, u64, i128),
    /// Something returned before another was called and stands after it.
    #[error("order: {0:?} returned before the entry at {1} was called, and stands after it")]
    OutOfOrder(OrderId, u64),
    /// Refused for want of money that was there all the time.
    #[error("refused: {0:?} was told that only {1} were there, which was so at no moment between call and return")]
    Refused(OrderId, u64),
    /// Two logs of one size.
    #[error("forked: two roots for {0} entries")]
    Forked(u64),
    /// In the end an account has another balance than the log says.
    #[error("final: an account has {0}, the log says {1}")]
    Final(u64, i128),
}

/// Everything that is compared.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What clients saw.
    pub operations: &'a [Operation],
    /// The log.
    pub log: &'a [Posting],
    /// The account that money comes from.
    pub issuance: AccountId,
    /// Roots that were signed, by size, as they were seen.
    pub checkpoints: &'a [(u64, HashBytes)],
    /// Balances that were told when everything was quiet, in minor units.
    pub balances: &'a [(AccountId, u64)],
}

/// Balances of an account over the log: after each entry that concerns it.
type Course = Vec<(u64, i128)>;

/// Everything that cannot be; nothing if all is well.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let courses = replay(evidence, &mut wrong);
    let places = places(evidence.log, &mut wrong);
    check_entries(evidence, &places, &courses, &mut wrong);
    check_order(evidence, &mut wrong);
    check_refusals(evidence, &courses, &mut wrong);
    check_roots(evidence.checkpoints, &mut wrong);
    for (account, told) in evidence.balances {
        let last = courses.get(account).and_then(|course| course.last()).map_or(0, |(_, balance)| *balance);
        if last != i128::from(*told) {
            wrong.push(Wrong::Final(*told, last));
        }
    }
    wrong
}

fn replay(evidence: &Evidence<'_>, wrong: &mut Vec<Wrong>) -> HashMap<AccountId, Course> {
    let mut courses: HashMap<AccountId, Course> = HashMap::new();
    for (index, posting) in (0..).zip(evidence.log) {
        for (account, change) in
            [(posting.payer, -i128::from(posting.amount)), (posting.payee, i128::from(posting.amount))]
        {
            let course = courses.entry(account).or_default();
            let balance = course.last().map_or(0, |(_, balance)| *balance) + change;
            course.push((index, balance));
            if balance < 0 && account != evidence.issuance {
                wrong.push(Wrong::Overdrawn(index));
            }
        }
    }
    courses
}

fn places(log: &[Posting], wrong: &mut Vec<Wrong>) -> HashMap<(AccountId, OrderId), u64> {
    let mut places = HashMap::new();
    for (index, posting) in (0..).zip(log) {
        let Some(order) = posting.order else { continue };
        if let Some(before) = places.insert(order, index) {
            wrong.push(Wrong::Doubled(order.1, before, index));
        }
    }
    places
}

fn check_entries(
    evidence: &Evidence<'_>,
    places: &HashMap<(AccountId, OrderId), u64>,
    courses: &HashMap<AccountId, Course>,
    wrong: &mut Vec<Wrong>,
) {
    let mut acknowledged = HashMap::new();
    for operation in evidence.operations {
        let Answer::Posted { index, balance } = operation.answer else { continue };
        acknowledged.insert(index, operation.order);
        if places.get(&(operation.payer, operation.order)) != Some(&index) {
            wrong.push(Wrong::Lost(operation.order));
            continue;
        }
        let course = courses.get(&operation.asker).map_or(&[][..], Vec::as_slice);
        let after = course.iter().find(|(at, _)| *at == index).map_or(0, |(_, balance)| *balance);
        if after != i128::from(balance) {
            wrong.push(Wrong::Balance(operation.order, balance, after));
        }
    }
    for (index, posting) in (0..).zip(evidence.log) {
        if posting.order.is_some_and(|(_, order)| acknowledged.get(&index) != Some(&order)) {
            wrong.push(Wrong::Invented(index));
        }
    }
}

/// Whatever returned before another was called stands before it.
fn check_order(evidence: &Evidence<'_>, wrong: &mut Vec<Wrong>) {
    let posted = |operation: &Operation| match operation.answer {
        Answer::Posted { index, .. } => Some((index, operation.called, operation.returned, operation.order)),
        Answer::Insufficient { .. } => None,
    };
    let mut posted: Vec<_> = evidence.operations.iter().filter_map(posted).collect();
    posted.sort_unstable();
    // From the end of the log: the earliest return of anything that stands later.
    let mut earliest: Option<(u64, OrderId)> = None;
    for (index, called, returned, order) in posted.into_iter().rev() {
        if let Some((_, later)) = earliest.filter(|(before, _)| *before < called) {
            wrong.push(Wrong::OutOfOrder(later, index));
        }
        if earliest.is_none_or(|(before, _)| returned < before) {
            earliest = Some((returned, order));
        }
    }
}

/// A refusal for want of money names a balance that was so at some place of the log between call and return.
fn check_refusals(evidence: &Evidence<'_>, courses: &HashMap<AccountId, Course>, wrong: &mut Vec<Wrong>) {
    let mut returns: BTreeMap<u64, u64> = BTreeMap::new();
    let mut calls: BTreeMap<u64, u64> = BTreeMap::new();
    for operation in evidence.operations {
        if let Answer::Posted { index, .. } = operation.answer {
            returns.entry(operation.returned).and_modify(|last| *last = index.max(*last)).or_insert(index);
            calls.entry(operation.called).and_modify(|first| *first = index.min(*first)).or_insert(index);
        }
    }
    // What stands in the log for certain when something is called, and what can't stand in it yet when it returns.
    let certain = running(returns, u64::max);
    let impossible = running(calls.into_iter().rev(), u64::min);
    for operation in evidence.operations {
        let Answer::Insufficient { available } = operation.answer else { continue };
        let from = before(&certain, operation.called);
        let until = after(&impossible, operation.returned).unwrap_or(u64::MAX);
        let course = courses.get(&operation.payer).map_or(&[][..], Vec::as_slice);
        let at_call = from.and_then(|from| course.iter().take_while(|(index, _)| *index <= from).last());
        let meanwhile = course.iter().filter(|(index, _)| from.is_none_or(|from| *index > from) && *index < until);
        let was = |balance: i128| balance == i128::from(available) && balance < i128::from(operation.amount);
        let first = at_call.map_or(0, |(_, balance)| *balance);
        if !was(first) && !meanwhile.map(|(_, balance)| *balance).any(was) {
            wrong.push(Wrong::Refused(operation.order, available));
        }
    }
}

/// The running best of what comes, in the order in which it comes.
fn running(items: impl IntoIterator<Item = (u64, u64)>, best: fn(u64, u64) -> u64) -> Vec<(u64, u64)> {
    let mut so_far = None;
    let mut steps = Vec::new();
    for (moment, index) in items {
        let next = so_far.map_or(index, |so_far| best(so_far, index));
        so_far = Some(next);
        steps.push((moment, next));
    }
    steps
}

/// The last step strictly before a moment, of steps that ascend.
fn before(steps: &[(u64, u64)], moment: u64) -> Option<u64> {
    let count = steps.partition_point(|(at, _)| *at < moment);
    count.checked_sub(1).and_then(|last| steps.get(last)).map(|(_, index)| *index)
}

/// The last step strictly after a moment, of steps that descend.
fn after(steps: &[(u64, u64)], moment: u64) -> Option<u64> {
    let count = steps.partition_point(|(at, _)| *at > moment);
    count.checked_sub(1).and_then(|last| steps.get(last)).map(|(_, index)| *index)
}

fn check_roots(checkpoints: &[(u64, HashBytes)], wrong: &mut Vec<Wrong>) {
    let mut roots = HashMap::new();
    for (size, root) in checkpoints {
        if roots.insert(*size, *root).is_some_and(|before| before != *root) {
            wrong.push(Wrong::Forked(*size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANK: AccountId = AccountId([0; 32]);
    const ANNA: AccountId = AccountId([1; 32]);
    const BERT: AccountId = AccountId([2; 32]);

    fn order(number: u8) -> OrderId {
        OrderId([number; 16])
    }

    fn opening(payee: AccountId) -> Posting {
        Posting { order: None, payer: BANK, payee, amount: 100 }
    }

    fn posting(number: u8, payer: AccountId, payee: AccountId, amount: u64) -> Posting {
        Posting { order: Some((payer, order(number))), payer, payee, amount }
    }

    fn operation(number: u8, payer: AccountId, amount: u64, times: (u64, u64), answer: Answer) -> Operation {
        let payee = if payer == ANNA { BERT } else { ANNA };
        let (called, returned) = times;
        Operation { payer, payee, order: order(number), amount, asker: payer, called, returned, answer }
    }

    fn posted(index: u64, balance: u64) -> Answer {
        Answer::Posted { index, balance }
    }

    /// Anna pays Bert 60, is refused another 60, and gets 30 back.
    fn good() -> (Vec<Operation>, Vec<Posting>) {
        let operations = vec![
            operation(1, ANNA, 60, (10, 20), posted(2, 40)),
            operation(2, ANNA, 60, (30, 40), Answer::Insufficient { available: 40 }),
            operation(3, BERT, 30, (50, 60), posted(3, 130)),
        ];
        (operations, vec![opening(ANNA), opening(BERT), posting(1, ANNA, BERT, 60), posting(3, BERT, ANNA, 30)])
    }

    fn wrong(operations: &[Operation], log: &[Posting]) -> Vec<Wrong> {
        let checkpoints = [(3, [3; 32]), (4, [4; 32]), (3, [3; 32])];
        let balances = [(ANNA, 70), (BERT, 130)];
        check(&Evidence { operations, log, issuance: BANK, checkpoints: &checkpoints, balances: &balances })
    }

    #[test]
    fn a_history_that_can_be_is_passed() {
        let (operations, log) = good();
        assert_eq!(wrong(&operations, &log), []);
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_found() {
        let (operations, mut log) = good();
        log.pop();
        let found = wrong(&operations, &log);
        assert!(found.contains(&Wrong::Lost(order(3))) && found.contains(&Wrong::Final(70, 40)), "{found:?}");
    }

    #[test]
    fn what_stands_twice_or_was_never_acknowledged_is_found() {
        let (operations, mut log) = good();
        log.push(posting(3, BERT, ANNA, 30));
        let found = wrong(&operations, &log);
        assert!(found.contains(&Wrong::Doubled(order(3), 3, 4)) && found.contains(&Wrong::Invented(4)), "{found:?}");
    }

    #[test]
    fn a_refused_order_that_was_posted_all_the_same_is_found() {
        let (operations, mut log) = good();
        log.push(posting(2, ANNA, BERT, 60));
        assert!(wrong(&operations, &log).contains(&Wrong::Invented(4)));
    }

    #[test]
    fn an_account_below_nothing_is_found() {
        let (mut operations, mut log) = good();
        log.push(posting(4, ANNA, BERT, 71));
        operations.push(operation(4, ANNA, 71, (70, 80), posted(4, 0)));
        assert!(wrong(&operations, &log).contains(&Wrong::Overdrawn(4)));
    }

    #[test]
    fn a_balance_that_never_was_is_found() {
        let (mut operations, log) = good();
        operations[0].answer = posted(2, 41);
        assert_eq!(wrong(&operations, &log), [Wrong::Balance(order(1), 41, 40)]);
    }

    #[test]
    fn an_order_of_the_log_that_contradicts_the_clock_is_found() {
        let (mut operations, log) = good();
        (operations[0].called, operations[0].returned) = (70, 80);
        assert!(wrong(&operations, &log).contains(&Wrong::OutOfOrder(order(3), 2)));
    }

    #[test]
    fn a_refusal_for_want_of_money_that_was_there_is_found() {
        let (mut operations, log) = good();
        operations[1].answer = Answer::Insufficient { available: 70 };
        assert_eq!(wrong(&operations, &log), [Wrong::Refused(order(2), 70)]);
        // Asked for while the money came back, either may be so.
        operations[1].returned = 55;
        operations[1].amount = 80;
        assert_eq!(wrong(&operations, &log), []);
    }

    #[test]
    fn two_roots_of_one_size_are_found() {
        let (operations, log) = good();
        let checkpoints = [(3, [3; 32]), (3, [4; 32])];
        let evidence =
            Evidence { operations: &operations, log: &log, issuance: BANK, checkpoints: &checkpoints, balances: &[] };
        assert_eq!(check(&evidence), [Wrong::Forked(3)]);
    }
}
