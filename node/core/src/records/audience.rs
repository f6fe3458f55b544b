//! The form on disk of a message to many: whom it is for is written once for all messages to the same people, and each message
//! says by their places who has it. A group of a thousand would else be written anew with each of its messages, several times.

use std::collections::BTreeMap;

use protocol::{AccountId, ConversationId, DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{OutboxRecord, RowRecord};
use crate::event::DeliveryState;

/// With more devices than this a message's people are kept apart; of fewer there is less to write than a record of their own.
const APART_ABOVE: usize = 4;

/// The name of an audience: its hash.
pub(crate) type AudienceKey = [u8; 32];

/// Whom messages of a group are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AudienceRecord {
    pub(crate) conversation: ConversationId,
    addressed: Vec<DeviceId>,
    /// Everybody, and whether they are counted.
    people: Vec<(AccountId, bool)>,
}

/// A message whose people are kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LargeRecord {
    pub(crate) audience: AudienceKey,
    /// Everything else of it, and of who has it whatever is said of devices that are not in the audience.
    rest: OutboxRecord,
    states: Vec<DeliveryState>,
    /// Places of devices whose copy the mailbox has custody of, by when it was asked to take it.
    in_mailbox: Vec<(Timestamp, Places)>,
    delivered: Places,
}

/// Places in a list: a bit for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Places(Vec<u8>);

impl Places {
    fn insert(&mut self, place: usize) {
        let byte = place / 8;
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(byte) {
            *bits |= 1 << (place % 8);
        }
    }

    fn of<'a, T>(&'a self, all: &'a [T]) -> impl Iterator<Item = &'a T> {
        let bit = |place: usize| self.0.get(place / 8).is_some_and(|bits| bits >> (place % 8) & 1 == 1);
        all.iter().enumerate().filter(move |(place, _)| bit(*place)).map(|(_, one)| one)
    }
}

impl AudienceRecord {
    /// The audience of a message, if it is one that is kept apart.
    pub(crate) fn of(record: &OutboxRecord) -> Option<Self> {
        let OutboxRecord { conversation, addressed, rows, settled, .. } = record;
        let apart = *settled && addressed.len() > APART_ABOVE;
        let people = || rows.iter().map(|row| (row.account, row.counted)).collect();
        apart.then(|| Self { conversation: *conversation, addressed: addressed.clone(), people: people() })
    }

    /// What it is known by, from how it is written.
    pub(crate) fn key(bytes: &[u8]) -> AudienceKey {
        Sha256::digest(bytes).into()
    }

    /// The message again; nothing if it is not one of this audience.
    pub(crate) fn join(&self, large: LargeRecord) -> Option<OutboxRecord> {
        let LargeRecord { rest, states, in_mailbox, delivered, .. } = large;
        let mut record = rest;
        if states.len() != self.people.len() || record.conversation != self.conversation {
            return None;
        }
        let rows = self.people.iter().zip(states);
        record.rows =
            rows.map(|((account, counted), state)| RowRecord { account: *account, state, counted: *counted }).collect();
        for (asked, places) in &in_mailbox {
            record.in_mailbox.extend(places.of(&self.addressed).map(|device| (*device, *asked)));
        }
        record.delivered.extend(delivered.of(&self.addressed));
        record.addressed = self.addressed.clone();
        Some(record)
    }
}

impl LargeRecord {
    /// A message of the audience with this key, without what the audience says.
    pub(crate) fn of(record: &OutboxRecord, audience: AudienceKey) -> Self {
        let mut places: Vec<(DeviceId, usize)> = record.addressed.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let place_of = |device: &DeviceId| {
            let found = places.binary_search_by(|(known, _)| known.cmp(device)).ok()?;
            places.get(found).map(|(_, place)| *place)
        };
        let mut in_mailbox: BTreeMap<Timestamp, Places> = BTreeMap::new();
        let (mut aside, mut delivered, mut delivered_aside) = (Vec::new(), Places::default(), Vec::new());
        for (device, asked) in &record.in_mailbox {
            match place_of(device) {
                Some(place) => in_mailbox.entry(*asked).or_default().insert(place),
                None => aside.push((*device, *asked)),
            }
        }
        for device in &record.delivered {
            match place_of(device) {
                Some(place) => delivered.insert(place),
                None => delivered_aside.push(*device),
            }
        }
        let rest = OutboxRecord {
            addressed: Vec::new(),
            rows: Vec::new(),
            in_mailbox: aside,
            delivered: delivered_aside,
            content: record.content.clone(),
            sealed: record.sealed.clone(),
            ..*record
        };
        let states = record.rows.iter().map(|row| row.state).collect();
        Self { audience, rest, states, in_mailbox: in_mailbox.into_iter().collect(), delivered }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{BoundedBytes, MessageId};

    use super::*;
    use crate::{
        event::ShortId,
        records::{self, SealedRecord},
    };

    fn device(number: u16) -> DeviceId {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&(number.wrapping_mul(40_503)).to_be_bytes());
        DeviceId(id)
    }

    /// A message to so many, a third of whom have it, a third of whose copies wait since one of two moments.
    fn message(devices: u16) -> OutboxRecord {
        let states = [DeliveryState::Queued, DeliveryState::Sent, DeliveryState::Delivered];
        let row = |number: u16| RowRecord {
            account: AccountId([u8::try_from(number % 251).unwrap(); 32]),
            state: states[usize::from(number % 3)],
            counted: !number.is_multiple_of(5),
        };
        let of = |rest: u16| (0..devices).filter(move |number| number % 3 == rest);
        OutboxRecord {
            id: MessageId([1; 16]),
            short: Some(ShortId::Message(7)),
            conversation: ConversationId([2; 32]),
            sequence: 3,
            shared: 4,
            own_only: false,
            addressed: (0..devices).map(device).collect(),
            content: BoundedBytes::new(vec![5; 300]).unwrap(),
            state: DeliveryState::Queued,
            sealed: Some(SealedRecord { epoch: 6, ciphertext: BoundedBytes::new(vec![7; 600]).unwrap() }),
            in_mailbox: of(1).map(|number| (device(number), Timestamp(u64::from(number % 2)))).collect(),
            delivered: of(2).map(device).collect(),
            rows: (0..devices).map(row).collect(),
            settled: true,
        }
    }

    fn in_order(mut record: OutboxRecord) -> OutboxRecord {
        record.in_mailbox.sort_unstable();
        record.delivered.sort_unstable();
        record
    }

    #[test]
    fn a_message_to_many_is_the_same_again_and_written_without_them() {
        for devices in [5, 8, 9, 64, 1_000] {
            let mut record = message(devices);
            // Devices that came later are not in the audience.
            record.in_mailbox.push((DeviceId([0xee; 16]), Timestamp(9)));
            record.delivered.push(DeviceId([0xef; 16]));
            let audience = AudienceRecord::of(&record).unwrap();
            let large = LargeRecord::of(&record, [9; 32]);
            let bytes = records::encode(&large).unwrap();
            assert!(bytes.len() < 1_200 + 2 * usize::from(devices), "{devices}: {}", bytes.len());
            let read = records::decode(&bytes).unwrap();
            assert_eq!(in_order(audience.join(read).unwrap()), in_order(record), "{devices}");
        }
    }

    #[test]
    fn few_and_whoever_is_not_settled_yet_are_not_kept_apart_and_another_audience_is_noticed() {
        assert_eq!(AudienceRecord::of(&message(4)), None);
        assert_eq!(AudienceRecord::of(&OutboxRecord { settled: false, ..message(9) }), None);
        let other = AudienceRecord::of(&message(10)).unwrap();
        assert_eq!(other.join(LargeRecord::of(&message(9), [9; 32])), None);
    }
}
