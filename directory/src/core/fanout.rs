//! Bringing things into many mailboxes in bounded pieces, so that no change holds up the others for long.

use std::collections::BTreeSet;

use protocol::{DeviceId, directory::Push};

use crate::store::{Delivery, Store, StoreError};

use super::{Service, ServiceEffect};

/// Mailboxes that one change of the store reaches: some ten milliseconds of work, in which others wait.
pub(super) const PIECE: usize = 256;

/// One change of the store: deliveries, and of which of those asked for each is a piece.
#[derive(Default)]
struct Piece {
    of: Vec<usize>,
    deliveries: Vec<Delivery>,
    mailboxes: usize,
}

/// Cuts deliveries into changes of bounded size. What can be refused as a whole is never cut.
fn pieces(deliveries: Vec<Delivery>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut open = Piece::default();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let whole = delivery.quota.is_some_and(|quota| quota.items != u64::MAX);
        let most = if whole { delivery.recipients.len() } else { PIECE };
        for recipients in delivery.recipients.chunks(most.max(1)) {
            if open.mailboxes + recipients.len() > PIECE && !open.of.is_empty() {
                pieces.push(std::mem::take(&mut open));
            }
            open.of.push(number);
            open.mailboxes += recipients.len();
            open.deliveries.push(Delivery { recipients: recipients.to_vec(), ..delivery.clone() });
        }
    }
    if !open.of.is_empty() {
        pieces.push(open);
    }
    pieces
}

impl<S: Store> Service<S> {
    /// Puts items into mailboxes; for each, whether all of it has custody now. A crash in between leaves some of them
    /// without, and whoever asked asks again.
    pub(super) fn fan_out(&self, deliveries: Vec<Delivery>) -> Result<Vec<bool>, StoreError> {
        let mut taken = vec![true; deliveries.len()];
        for piece in pieces(deliveries) {
            for (number, done) in piece.of.into_iter().zip(self.store.deliver(&piece.deliveries)?) {
                if let Some(taken) = taken.get_mut(number) {
                    *taken &= done;
                }
            }
        }
        Ok(taken)
    }
}

/// One hint for each device that something waits for.
#[derive(Debug, Default)]
pub(super) struct Hints(BTreeSet<DeviceId>);

impl Hints {
    /// Adds those that have none yet.
    pub(super) fn give(&mut self, devices: impl IntoIterator<Item = DeviceId>, effects: &mut Vec<ServiceEffect>) {
        for device in devices {
            if self.0.insert(device) {
                effects.push(ServiceEffect::Push { device, push: Push::Mail });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;

    use super::*;
    use crate::store::Quota;

    fn delivery(recipients: usize, items: u64) -> Delivery {
        let device = |n: usize| DeviceId([u8::try_from(n % 256).unwrap(); 16]);
        Delivery {
            recipients: (0..recipients).map(|n| (device(n), true)).collect(),
            key: [1; 32],
            replaces: false,
            item: vec![1],
            message: None,
            expires: Timestamp(1),
            quota: Some(Quota { counted: [1; 32], items, bytes: u64::MAX }),
        }
    }

    /// Of each piece, which deliveries it is of and how many mailboxes of each.
    fn cut(deliveries: Vec<Delivery>) -> Vec<Vec<(usize, usize)>> {
        let sizes = |piece: Piece| {
            piece.of.into_iter().zip(piece.deliveries.into_iter().map(|part| part.recipients.len())).collect()
        };
        pieces(deliveries).into_iter().map(sizes).collect()
    }

    #[test]
    fn few_mailboxes_are_one_change_and_many_are_several() {
        assert_eq!(cut(vec![delivery(3, u64::MAX), delivery(2, 9)]), [vec![(0, 3), (1, 2)]]);
        let large = vec![delivery(2, 9), delivery(600, u64::MAX), delivery(1, u64::MAX)];
        assert_eq!(cut(large), [vec![(0, 2)], vec![(1, 256)], vec![(1, 256)], vec![(1, 88), (2, 1)]]);
        assert_eq!(cut(vec![delivery(300, 9)]), [[(0, 300)]], "what may be refused stays whole");
    }
}
