//! What waits to be pushed to one node. Pushes are hints: those that say the same are one, and a slow reader loses
//! hints, never our memory.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use protocol::{directory::Push, frame, limits::STRANGER_FRAME_MAX};
use quinn::{SendStream, WriteError};
use tokio::sync::{Mutex as Turn, Notify};

use crate::server::link::Link;

/// Comings and goings that wait for one slow reader; it finds the rest by asking.
const PRESENCE_WAITING_MAX: usize = 256;

/// The pushes that wait for one connection.
#[derive(Debug, Default)]
pub(crate) struct PushQueue {
    // Held for a few instructions only, never across an await.
    waiting: Mutex<Waiting>,
    changed: Notify,
    // Whoever writes holds it, however long the node takes to read.
    writer: Turn<Writer>,
}

#[derive(Debug, Default)]
struct Waiting {
    mail: bool,
    key_packages_low: bool,
    account: bool,
    ledger: bool,
    closing: bool,
    presence: VecDeque<Push>,
    // Orders of this connection that the ledger is about to answer.
    orders: usize,
}

/// The stream of pushes, and what of a push did not fit into it yet.
#[derive(Debug, Default)]
struct Writer {
    stream: Option<SendStream>,
    unsent: Vec<u8>,
}

/// An order of the connection is on its way through the ledger: a hint of its money goes along with the answer, in the same
/// packet.
#[derive(Debug)]
pub(crate) struct Settling<'a>(&'a PushQueue);

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        let hinted = {
            let mut waiting = self.0.waiting();
            waiting.orders = waiting.orders.saturating_sub(1);
            waiting.orders == 0 && waiting.ledger
        };
        if hinted {
            self.0.changed.notify_one();
        }
    }
}

impl PushQueue {
    /// Adds a push, unless it says nothing new or the reader is too slow for it.
    pub(crate) fn push(&self, push: Push) {
        let at_once = {
            let mut waiting = self.waiting();
            let at_once = push != Push::Ledger || waiting.orders == 0;
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
            at_once
        };
        if at_once {
            self.changed.notify_one();
        }
    }

    /// Until this is dropped, hints of money wait for the answer.
    pub(crate) fn settling(&self) -> Settling<'_> {
        self.waiting().orders += 1;
        Settling(self)
    }

    /// Writes a hint of money that waits, as far as that goes at once: the rest is left to [`write_pushes`].
    pub(crate) fn write_hint(&self) {
        if !self.waiting().ledger {
            return;
        }
        let done = self.writer.try_lock().is_ok_and(|mut writer| {
            let hinted = writer.stream.is_some() && std::mem::take(&mut self.waiting().ledger);
            hinted && writer.add(&Push::Ledger).write_some()
        });
        if !done {
            self.changed.notify_one();
        }
    }

    /// The next push, mail before all else; none if there is only the rest of one before.
    async fn next(&self) -> Option<Push> {
        loop {
            if let Some(push) = self.take() {
                return Some(push);
            }
            self.changed.notified().await;
            // Somebody may have begun to write and left the rest.
            if self.writer.try_lock().is_ok_and(|writer| !writer.unsent.is_empty()) {
                return None;
            }
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

impl Writer {
    fn add(&mut self, push: &Push) -> &mut Self {
        match frame::encode(push, STRANGER_FRAME_MAX) {
            Ok(frame) => self.unsent.extend(frame),
            Err(error) => tracing::error!(%error, "a push could not be written"),
        }
        self
    }

    /// Writes what the stream takes at once; says whether that was all.
    fn write_some(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        while let (Some(stream), false) = (&mut self.stream, self.unsent.is_empty()) {
            match Pin::new(stream).poll_write(&mut context, &self.unsent) {
                Poll::Ready(Ok(length)) => drop(self.unsent.drain(..length)),
                // Whoever waits for the stream meets the error too.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        self.unsent.is_empty()
    }

    async fn write_all(&mut self) -> Result<(), WriteError> {
        while let (Some(stream), false) = (&mut self.stream, self.unsent.is_empty()) {
            let length = stream.write(&self.unsent).await?;
            self.unsent.drain(..length);
        }
        Ok(())
    }
}

/// Writes what waits to the node, on one stream, until the connection ends or the node knows that we close.
pub(crate) async fn write_pushes(link: Arc<Link>) {
    let queue = &link.pushes;
    loop {
        let push = queue.next().await;
        let mut writer = queue.writer.lock().await;
        if writer.stream.is_none() {
            let Ok(stream) = link.connection.open_uni().await else { return };
            writer.stream = Some(stream);
        }
        if let Some(push) = &push {
            writer.add(push);
        }
        if writer.write_all().await.is_err() {
            return;
        }
        if push == Some(Push::Closing) {
            // The last word: wait until the node has it, because closing a connection discards what is on its way.
            if let Some(stream) = &mut writer.stream {
                let _ = stream.finish();
                let _ = stream.stopped().await;
            }
            return;
        }
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

    #[test]
    fn a_hint_of_money_waits_for_the_answer_that_is_on_its_way_and_nothing_else_does() {
        let queue = PushQueue::default();
        let woken = || woken_since(&queue);
        let (first, second) = (queue.settling(), queue.settling());
        queue.push(Push::Ledger);
        assert!(!woken());
        drop(first);
        assert!(!woken(), "another order is on its way");
        drop(second);
        assert!(woken(), "nobody answered");
        let order = queue.settling();
        queue.push(Push::Mail);
        assert!(woken());
        drop(order);
    }

    /// Whether the writer of this queue has been woken since it was last asked.
    fn woken_since(queue: &PushQueue) -> bool {
        let mut notified = std::pin::pin!(queue.changed.notified());
        notified.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}
