//! What happened since the run began, for any number of readers, each from the beginning.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use node_core::event::Event;
use tokio::sync::watch;

/// Events that are held for readers. A reader that falls further behind misses the oldest; the profile still has them.
const EVENTS_HELD_MAX: usize = 100_000;

/// The log: one writer, many readers. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct EventLog {
    /// A mutex, since readers are on other threads; it is never held while anything is waited for.
    held: Arc<Mutex<Held>>,
    /// Number of events so far; its sender's end is the log's end.
    count: watch::Receiver<u64>,
}

#[derive(Debug, Default)]
struct Held {
    events: VecDeque<Event>,
    /// Events that were dropped at the front.
    dropped: u64,
}

/// The log's writing end. When it is dropped, readers come to the end.
#[derive(Debug)]
pub(super) struct EventWriter {
    held: Arc<Mutex<Held>>,
    count: watch::Sender<u64>,
}

/// A log without events.
pub(super) fn event_log() -> (EventWriter, EventLog) {
    let held = Arc::new(Mutex::new(Held::default()));
    let (sender, count) = watch::channel(0);
    (EventWriter { held: held.clone(), count: sender }, EventLog { held, count })
}

impl EventWriter {
    pub(super) fn push(&self, event: Event) {
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.events.push_back(event);
            if held.events.len() > EVENTS_HELD_MAX {
                held.events.pop_front();
                held.dropped += 1;
            }
        }
        self.count.send_modify(|count| *count += 1);
    }
}

impl EventLog {
    pub(super) fn reader(&self) -> EventStream {
        EventStream { log: self.clone(), next: 0 }
    }
}

/// Reads every event since the run began, in order.
#[derive(Debug, Clone)]
pub struct EventStream {
    log: EventLog,
    next: u64,
}

impl EventStream {
    /// The next event, once there is one; `None` when the node has ended and all was read. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.log.count.changed().await.is_err() {
                // What was written last may have come just before the end.
                return self.try_next();
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        let held = self.log.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.next = self.next.max(held.dropped);
        let event = held.events.get(usize::try_from(self.next - held.dropped).ok()?).cloned();
        self.next += u64::from(event.is_some());
        event
    }
}

#[cfg(test)]
mod tests {
    use node_core::event::{ConnectionState, EventKind};
    use protocol::Timestamp;

    use super::*;

    fn event(number: u64) -> Event {
        let kind = EventKind::Connection { state: ConnectionState::Online };
        Event { seq: Some(number), at: Timestamp(number), kind }
    }

    #[tokio::test]
    async fn each_reader_sees_everything_from_the_beginning_and_then_the_end() {
        let (writer, log) = event_log();
        let mut early = log.reader();
        writer.push(event(1));
        assert_eq!(early.next().await, Some(event(1)));
        assert_eq!(early.try_next(), None);
        writer.push(event(2));
        let mut late = log.reader();
        drop(writer);
        assert_eq!(early.next().await, Some(event(2)));
        assert_eq!(early.next().await, None);
        assert_eq!((late.next().await, late.next().await, late.next().await), (Some(event(1)), Some(event(2)), None));
    }

    #[test]
    fn a_reader_that_falls_too_far_behind_goes_on_with_the_oldest_that_is_held() {
        let (writer, log) = event_log();
        let mut reader = log.reader();
        for number in 0..=EVENTS_HELD_MAX as u64 {
            writer.push(event(number));
        }
        assert_eq!(reader.try_next(), Some(event(1)));
    }
}
