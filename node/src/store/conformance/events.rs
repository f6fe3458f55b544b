//! The event log, on both stores.

use super::*;

#[test]
fn events_follow_each_other_and_are_read_from_any_kept_point() {
    on_both(|store| {
        assert_eq!(store.events_since(0, 10).unwrap(), []);
        store.commit(commit((1..=5).map(|seq| Change::Event(event(seq))).collect())).unwrap();
        assert_eq!(store.events_since(0, 2).unwrap(), [event(1), event(2)]);
        assert_eq!(store.events_since(3, 10).unwrap(), [event(4), event(5)]);
        assert_eq!(store.events_since(5, 10).unwrap(), []);
        assert_eq!(store.events_since(u64::MAX, 10).unwrap(), []);
        assert_eq!(store.records().unwrap().last_event, 5);
    });
}

#[test]
fn receipts_that_are_told_at_once_are_read_one_by_one_from_any_of_them() {
    let receipt = |seq: u64, to: &str, state: DeliveryState| {
        let (id, uid, group) = (ShortId::Message(1), MessageId([1; 16]), Some(name("team")));
        Event {
            seq: Some(seq),
            at: Timestamp(1),
            kind: EventKind::Receipt { id, uid, to: name(to), state, reason: None, group },
        }
    };
    let people = ["bob", "carol", "dora", "emil"];
    let all: Vec<Event> = [vec![event(1)]]
        .into_iter()
        .chain(
            [DeliveryState::Sent, DeliveryState::Delivered]
                .map(|state| people.map(|to| (to, state)).to_vec())
                .map(|told| told.into_iter().map(|(to, state)| receipt(0, to, state)).collect()),
        )
        .chain([vec![event(1), event(1)]])
        .flatten()
        .zip(1..)
        .map(|(event, seq)| Event { seq: Some(seq), ..event })
        .collect();
    on_both(|store| {
        for commit_of in all.chunks(5) {
            store.commit(commit(commit_of.iter().cloned().map(Change::Event).collect())).unwrap();
        }
        for after in 0..=all.len() {
            for most in 1..=all.len() {
                let follow: Vec<Event> = all[after..].iter().take(most).cloned().collect();
                assert_eq!(store.events_since(after as u64, most).unwrap(), follow, "{most} after {after}");
            }
        }
        assert_eq!(store.records().unwrap().last_event, all.len() as u64);
        store.reopen().unwrap();
        assert_eq!(store.records().unwrap().last_event, all.len() as u64);
        assert_eq!(store.events_since(0, 99).unwrap(), all);
    });
}

#[test]
fn many_receipts_are_dropped_as_one_by_one() {
    let receipt = |seq: u64| {
        let (id, uid, to, state) = (ShortId::Message(1), MessageId([1; 16]), name("bob"), DeliveryState::Sent);
        let kind = EventKind::Receipt { id, uid, to, state, reason: None, group: Some(name("team")) };
        Change::Event(Event { seq: Some(seq), at: Timestamp(1), kind })
    };
    on_both(|store| {
        store.commit(commit((1..=100).map(receipt).collect())).unwrap();
        store.commit(commit((101..=EVENTS_KEPT + 10).map(|seq| Change::Event(event(seq))).collect())).unwrap();
        assert!(matches!(store.events_since(9, 1), Err(EventsError::Dropped { oldest: 11 })));
        assert_eq!(store.events_since(10, 100).unwrap()[0].seq, Some(11));
        assert_eq!(store.events_since(10, 100).unwrap().len(), 100);
        store
            .commit(commit((EVENTS_KEPT + 11..=EVENTS_KEPT + 200).map(|seq| Change::Event(event(seq))).collect()))
            .unwrap();
        assert!(matches!(store.events_since(199, 1), Err(EventsError::Dropped { oldest: 201 })));
    });
}

#[test]
fn the_oldest_events_are_dropped_and_a_reader_from_before_them_is_told() {
    on_both(|store| {
        let last = EVENTS_KEPT + 10;
        store.commit(commit((1..=EVENTS_KEPT).map(|seq| Change::Event(event(seq))).collect())).unwrap();
        store.commit(commit((EVENTS_KEPT + 1..=last).map(|seq| Change::Event(event(seq))).collect())).unwrap();
        assert!(matches!(store.events_since(9, 1), Err(EventsError::Dropped { oldest: 11 })));
        assert_eq!(store.events_since(10, 1).unwrap(), [event(11)]);
        assert_eq!(store.events_since(last - 1, 10).unwrap(), [event(last)]);
    });
}
