//! What waits to be pushed to one node. Pushes are hints: those that say the same are one, and a slow reader loses
//! hints, never our memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::{directory::Push, frame, limits::STRANGER_FRAME_MAX};
use tokio::sync::Notify;

use crate::server::link::Link;

/// Comings and goings that wait for one slow reader; it finds the rest by asking.
const PRESENCE_WAITING_MAX: usize = 256;

/// The pushes that wait for one connection.
#[derive(Debug, Default)]
pub(crate) struct PushQueue {
    // Held for a few instructions only, never across an await.
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    mail: bool,
    key_packages_low: bool,
    account: bool,
    ledger: bool,
    closing: bool,
    presence: VecDeque<Push>,
}

impl PushQueue {
    /// Adds a push, unless it says nothing new or the reader is too slow for it.
    pub(crate) fn push(&self, push: Push) {
        {
            let mut waiting = self.waiting();
            match push {
                Push::Mail => waiting.mail = true,
                Push::KeyPackagesLow => waiting.key_packages_low = true,
                Push::Closing => waiting.closing = true,
                Push::Account => waiting.account = true,
                Push::Ledger => waiting.ledger = true,
                Push::Presence { .. } if waiting.presence.len() < PRESENCE_WAITING_MAX => {
                    waiting.presence.push_back(push);
                }
                Push::Presence { .. } => {}
            }
        }
        self.changed.notify_one();
    }

    /// The next push, mail before all else.
    async fn next(&self) -> Push {
        loop {
            if let Some(push) = self.take() {
                return push;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Push> {
        let mut waiting = self.waiting();
        if std::mem::take(&mut waiting.mail) {
            Some(Push::Mail)
        } else if std::mem::take(&mut waiting.closing) {
            Some(Push::Closing)
        } else if std::mem::take(&mut waiting.account) {
            Some(Push::Account)
        } else if std::mem::take(&mut waiting.ledger) {
            Some(Push::Ledger)
        } else if std::mem::take(&mut waiting.key_packages_low) {
            Some(Push::KeyPackagesLow)
        } else {
            waiting.presence.pop_front()
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves flags and a list, each of which is right by itself.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what waits to the node, on one stream, until the connection ends or the node knows that we close.
pub(crate) async fn write_pushes(link: Arc<Link>) {
    let queue = &link.pushes;
    let mut push = queue.next().await;
    let Ok(mut stream) = link.connection.open_uni().await else { return };
    loop {
        match frame::encode(&push, STRANGER_FRAME_MAX) {
            Ok(frame) if stream.write_all(&frame).await.is_err() => return,
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a push could not be written"),
        }
        if push == Push::Closing {
            // The last word: wait until the node has it, because closing a connection discards what is on its way.
            let _ = stream.finish();
            let _ = stream.stopped().await;
            return;
        }
        push = queue.next().await;
    }
}

#[cfg(test)]
mod tests {
    use protocol::{AccountId, Name};

    use super::*;

    fn presence(number: u8, online: bool) -> Push {
        Push::Presence { account: AccountId([number; 32]), name: Name::parse("alice").unwrap(), online }
    }

    #[test]
    fn mail_that_waits_is_one_push_and_comes_first() {
        let queue = PushQueue::default();
        queue.push(presence(1, true));
        queue.push(Push::Mail);
        queue.push(Push::Mail);
        assert_eq!(queue.take(), Some(Push::Mail));
        assert_eq!(queue.take(), Some(presence(1, true)));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn a_reader_that_is_too_slow_loses_hints_but_never_mail() {
        let queue = PushQueue::default();
        (0..2 * PRESENCE_WAITING_MAX).for_each(|_| queue.push(presence(2, false)));
        queue.push(Push::Mail);
        let mut taken = std::iter::from_fn(|| queue.take());
        assert_eq!(taken.next(), Some(Push::Mail));
        assert_eq!(taken.count(), PRESENCE_WAITING_MAX);
    }
}
