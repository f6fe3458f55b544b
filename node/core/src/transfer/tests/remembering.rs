//! What is remembered of transfers, and what is forgotten.

use std::iter::empty;

use super::{BOB, CONVERSATION, DEVICE, NOW, id, offer, offered, receive, take};
use crate::transfer::{TRANSFERS_MAX, Transfers};

#[test]
fn transfers_come_back_from_what_was_stored_and_go_on() {
    let mut bob = offered();
    bob.accept(id(1), Some("/x".to_owned())).unwrap();
    bob.begin(NOW, |_| true);
    let stored = bob.changes().unwrap();
    assert_eq!(stored.iter().map(|(file, _)| *file).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(bob.changes().unwrap(), []);
    let values = stored.iter().filter_map(|(_, value)| value.as_deref());
    let mut again = Transfers::load(values, empty()).unwrap();
    assert_eq!(again.get(id(1)), bob.get(id(1)));
    assert_eq!(again.changes().unwrap(), []);
    assert_eq!(again.begin(NOW, |_| true), [receive(1, DEVICE)], "what was under way is begun anew");
    take(&mut again, 2, DEVICE, None);
    assert_eq!(again.by_number(2), Some(id(2)), "numbers go on");
    assert!(Transfers::load([[1_u8].as_slice()].into_iter(), empty()).is_err());
}

#[test]
fn of_what_is_over_the_oldest_is_forgotten_and_what_is_open_stays() {
    let mut alice = Transfers::default();
    for number in 0..TRANSFERS_MAX as u64 {
        alice.offer(NOW, CONVERSATION, &[BOB], offer(number));
    }
    alice.cancel(id(7)).unwrap();
    alice.changes().unwrap();
    alice.offer(NOW, CONVERSATION, &[BOB], offer(9_999));
    assert_eq!(alice.get(id(7)), None);
    assert_eq!(alice.all().count(), TRANSFERS_MAX);
    let changed = alice.changes().unwrap();
    assert!(changed.contains(&(id(7), None)) && changed.len() == 2);
}
