//! Which deliveries are news at the prompt: each is told once, and a message to many people does not tell of each.

use std::collections::VecDeque;

use node_core::{
    command::Outcome,
    event::{DeliveryState, Event, EventKind},
};
use protocol::{MessageId, Name};

/// People whose delivery is still told when they were missing at first; of more, nobody wants to read line by line.
const AWAITED_MAX: usize = 5;
/// Messages to groups whose late deliveries are told; those before them are found in HISTORY.
const MESSAGES_MAX: usize = 16;

/// What was told of, and what is still waited for.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// The last message to a person that was told to be delivered.
    told: Option<MessageId>,
    /// Whom messages to groups had not reached when SEND said how far they got.
    awaited: VecDeque<(MessageId, Vec<Name>)>,
}

impl Deliveries {
    /// Whether a result is to be told.
    pub(super) fn is_news(&mut self, outcome: &Outcome) -> bool {
        match outcome {
            // Told once, whether the command or the event tells it first.
            Outcome::Sent { uid, state: DeliveryState::Delivered, .. } => self.told.replace(*uid) != Some(*uid),
            Outcome::SentGroup { uid, recipients, .. } => {
                let missing = recipients.iter().filter(|(_, state)| *state < DeliveryState::Delivered);
                self.wait(*uid, missing.map(|(name, _)| name.clone()).collect());
                true
            }
            _ => true,
        }
    }

    /// Whether an event is to be told.
    pub(super) fn is_news_event(&mut self, event: &Event) -> bool {
        match &event.kind {
            EventKind::Receipt { uid, to, state: DeliveryState::Delivered, group: Some(_), .. } => {
                self.awaited.iter_mut().any(|(awaited, names)| {
                    let place = names.iter().position(|name| awaited == uid && name == to);
                    place.map(|place| names.swap_remove(place)).is_some()
                })
            }
            EventKind::Receipt { state: DeliveryState::Read, group: Some(_), .. } => false,
            EventKind::Receipt { uid, state: DeliveryState::Delivered, group: None, .. } => {
                self.told.replace(*uid) != Some(*uid)
            }
            _ => true,
        }
    }

    fn wait(&mut self, uid: MessageId, names: Vec<Name>) {
        if names.is_empty() || names.len() > AWAITED_MAX {
            return;
        }
        if self.awaited.len() >= MESSAGES_MAX {
            self.awaited.pop_front();
        }
        self.awaited.push_back((uid, names));
    }
}

#[cfg(test)]
mod tests {
    use node_core::event::ShortId;
    use protocol::Timestamp;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn receipt(to: &str, state: DeliveryState, in_group: bool) -> Event {
        let (id, uid) = (ShortId::Message(1), MessageId([1; 16]));
        let group = in_group.then(|| name("team"));
        let kind = EventKind::Receipt { id, uid, to: name(to), state, reason: None, group };
        Event { seq: None, at: Timestamp(0), kind }
    }

    fn sent_group(uid: MessageId, states: &[(&str, DeliveryState)]) -> Outcome {
        let recipients = states.iter().map(|(to, state)| (name(to), *state)).collect();
        Outcome::SentGroup { id: ShortId::Message(1), uid, group: name("team"), recipients }
    }

    #[test]
    fn a_delivery_to_a_person_is_told_once_by_whichever_comes_first() {
        let (id, uid, to) = (ShortId::Message(1), MessageId([1; 16]), name("bob"));
        let sent = Outcome::Sent { id, uid, to, state: DeliveryState::Delivered };
        let delivered = receipt("bob", DeliveryState::Delivered, false);
        let mut deliveries = Deliveries::default();
        assert!(deliveries.is_news(&sent) && !deliveries.is_news_event(&delivered));
        let mut deliveries = Deliveries::default();
        assert!(deliveries.is_news_event(&delivered) && !deliveries.is_news(&sent));
        assert!(deliveries.is_news_event(&receipt("bob", DeliveryState::Read, false)));
    }

    #[test]
    fn in_a_group_those_are_told_who_were_missing_when_the_message_went_out() {
        let mut deliveries = Deliveries::default();
        let delivered = |to| receipt(to, DeliveryState::Delivered, true);
        // Before SEND has said how far the message got, it says nothing by the way.
        assert!(!deliveries.is_news_event(&delivered("bob")));
        let states =
            [("bob", DeliveryState::Delivered), ("carol", DeliveryState::Queued), ("dave", DeliveryState::Sent)];
        assert!(deliveries.is_news(&sent_group(MessageId([1; 16]), &states)));
        assert!(!deliveries.is_news_event(&delivered("bob")));
        assert!(deliveries.is_news_event(&delivered("carol")) && !deliveries.is_news_event(&delivered("carol")));
        assert!(deliveries.is_news_event(&delivered("dave")));
        assert!(!deliveries.is_news_event(&receipt("dave", DeliveryState::Read, true)));
        assert!(deliveries.is_news_event(&receipt("dave", DeliveryState::Failed, true)));
    }

    #[test]
    fn a_thousand_late_deliveries_are_not_told_one_by_one_and_nothing_grows_without_end() {
        let mut deliveries = Deliveries::default();
        let names: Vec<String> = (0..1_000).map(|number| format!("person-{number}")).collect();
        let states: Vec<(&str, DeliveryState)> =
            names.iter().map(|name| (name.as_str(), DeliveryState::Sent)).collect();
        assert!(deliveries.is_news(&sent_group(MessageId([1; 16]), &states)));
        assert!(!deliveries.is_news_event(&receipt("person-7", DeliveryState::Delivered, true)));
        for number in 0..100 {
            deliveries.is_news(&sent_group(MessageId([number; 16]), &[("bob", DeliveryState::Sent)]));
        }
        assert_eq!(deliveries.awaited.len(), MESSAGES_MAX);
    }
}
