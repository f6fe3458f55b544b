//! What is kept of money in the history.

use node_core::{
    command::{HistoryEntry, MessageRef, MoneyLine},
    event::{Money, ShortId},
};
use protocol::{
    directory::RequestState,
    money::{Amount, Currency},
};

use super::{commit, entry, name, on_both, timeline};

#[test]
fn what_is_about_money_comes_back_is_found_by_its_memo_and_is_no_message() {
    on_both(|store| {
        let amount = Money::new(Amount::new(1_250).unwrap(), &Currency::default());
        let (id, request) = (ShortId::Payment(7), Some(ShortId::Request(9)));
        let lines = [
            MoneyLine::Payment { id, amount, request, refund_of: None },
            MoneyLine::Request { id, amount, group: Some(name("team")), total: Some(amount), state: None },
            MoneyLine::Closed { id: ShortId::Request(9), state: RequestState::Declined },
        ];
        let text = "for the biscuits".to_owned();
        let line = |(number, money)| HistoryEntry {
            money: Some(money),
            text: text.clone(),
            uid: entry(4, "alice", "bob", None).uid,
            ..entry(number, "alice", "bob", None)
        };
        let mut entries: Vec<HistoryEntry> = (1..).zip(lines).map(line).collect();
        store.commit(commit(entries.iter().cloned().map(timeline).collect())).unwrap();
        assert_eq!(store.history(Some(&name("bob")), 10).unwrap(), entries);
        assert!(matches!(store.index(), Ok(true)));
        assert_eq!(store.search(&["biscuits".to_owned()], None, None, 10).unwrap(), entries);
        assert_eq!(store.message(MessageRef::Short(ShortId::Message(1))).unwrap(), None);
        // Whoever was paid knows the order's id, and can call a message so.
        let message = entry(4, "alice", "bob", None);
        store.commit(commit(vec![timeline(message.clone())])).unwrap();
        assert_eq!(store.message(MessageRef::Full(message.uid)).unwrap(), Some(message.clone()));
        entries.push(message);
        assert_eq!(store.history(None, 10).unwrap(), entries);
    });
}
