//! The invariants. The witness sees every durable change and everything on every wire, knows who meant what for whom, and
//! says which promise was broken.

mod keys;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use node_core::event::{DeliveryState, Event, EventKind};
use protocol::{ConversationId, DeviceId, MessageId, Name, limits::MAILBOX_RETENTION_MS, peer::Envelope};

use super::clock::{Moment, Span};

pub use keys::Keys;
pub use violation::Violation;

/// What every text of this world starts with: whoever finds it where it must not be has found plaintext.
pub const CANARY: &str = "canary-";

/// A node, by its place in the world.
pub type NodeIndex = usize;

/// A message that was durably queued.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who wrote it.
    pub from: NodeIndex,
    /// To whom.
    pub to: NodeIndex,
    /// What.
    pub text: String,
    /// Counts the sender's messages to that recipient.
    pub index: usize,
    /// When it was queued.
    pub since: Moment,
    /// The message that it sends again, if it does.
    pub resends: Option<MessageId>,
    /// What the sender's store says of it.
    pub state: DeliveryState,
    /// Whether the recipient's event log holds it.
    pub shown: bool,
    /// Whether the sender was told that it failed.
    pub failed: bool,
    /// Whether it had been told so when the message was shown.
    pub shown_late: bool,
    /// Whether the text had been shown before.
    pub shown_again: bool,
}

/// What came of showing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whether a gap before it is visible.
    pub gap: bool,
}

/// The observer of a whole run.
#[derive(Debug, Default)]
pub struct Witness {
    names: Vec<Name>,
    intended: BTreeMap<String, (NodeIndex, NodeIndex)>,
    messages: BTreeMap<MessageId, Message>,
    order: BTreeMap<(NodeIndex, NodeIndex), Vec<MessageId>>,
    last_shown: BTreeMap<(NodeIndex, NodeIndex), usize>,
    texts_shown: BTreeSet<String>,
    now: Moment,
    /// The latest message with each text.
    latest: BTreeMap<String, MessageId>,
    epochs: BTreeMap<ConversationId, BTreeMap<DeviceId, u64>>,
    /// By which of its two ways a message has come to a node.
    ways: BTreeMap<(MessageId, NodeIndex), [bool; 2]>,
    /// Which message keys sealed what.
    pub keys: Keys,
}

impl Witness {
    /// A witness who knows these people.
    #[must_use]
    pub fn new(names: Vec<Name>, keys: Keys) -> Self {
        Self { names, keys, ..Self::default() }
    }

    /// Time has passed.
    pub fn time(&mut self, now: Moment) {
        self.now = now;
    }

    /// The latest message with this text.
    #[must_use]
    pub fn latest(&self, text: &str) -> Option<&Message> {
        self.messages.get(self.latest.get(text)?)
    }

    /// Somebody is about to send a text.
    pub fn intend(&mut self, from: NodeIndex, to: NodeIndex, text: String) {
        self.intended.insert(text, (from, to));
    }

    /// The messages that were durably queued.
    pub fn messages(&self) -> impl Iterator<Item = (&MessageId, &Message)> {
        self.messages.iter()
    }

    /// One message.
    #[must_use]
    pub fn message(&self, uid: MessageId) -> Option<&Message> {
        self.messages.get(&uid)
    }

    /// A sender has made a message durable.
    ///
    /// # Errors
    /// [`Violation`] if nobody meant it, or if it was queued before and has not failed.
    pub fn queued(
        &mut self,
        from: NodeIndex,
        uid: MessageId,
        text: &str,
        state: Option<DeliveryState>,
    ) -> Result<(), Violation> {
        let intended = self.intended.get(text).filter(|(sender, _)| *sender == from);
        let (_, to) = *intended.ok_or_else(|| Violation::NotIntended { uid, text: text.to_owned() })?;
        if self.messages.contains_key(&uid) {
            return Err(Violation::QueuedTwice { uid });
        }
        let resends = self.latest.insert(text.to_owned(), uid);
        if let Some(first) = resends.filter(|first| self.messages.get(first).is_some_and(|message| !message.failed)) {
            return Err(Violation::QueuedAgain { first, again: uid });
        }
        let order = self.order.entry((from, to)).or_default();
        let message = Message {
            from,
            to,
            text: text.to_owned(),
            index: order.len(),
            since: self.now,
            resends,
            state: state.unwrap_or(DeliveryState::Queued),
            shown: false,
            failed: false,
            shown_late: false,
            shown_again: false,
        };
        order.push(uid);
        self.messages.insert(uid, message);
        Ok(())
    }

    /// A sender's durable state of a message changes.
    ///
    /// # Errors
    /// [`Violation::StateBackwards`] if it goes back; [`Violation::NotIntended`] if there is no such message;
    /// [`Violation::FailedEarly`] if it fails while the mailbox keeps it.
    pub fn state(&mut self, uid: MessageId, state: DeliveryState) -> Result<(), Violation> {
        let unknown = || Violation::NotIntended { uid, text: "(a state of an unknown message)".to_owned() };
        let message = self.messages.get_mut(&uid).ok_or_else(unknown)?;
        let before = message.state;
        let forward = match (before, state) {
            (DeliveryState::Delivered | DeliveryState::Read, DeliveryState::Failed) => false,
            (_, DeliveryState::Failed) | (DeliveryState::Failed, _) => true,
            (before, after) => after >= before,
        };
        if !forward {
            return Err(Violation::StateBackwards { uid, before, after: state });
        }
        if state == DeliveryState::Failed && self.now < message.since + Span::ms(MAILBOX_RETENTION_MS) {
            return Err(Violation::FailedEarly { uid });
        }
        message.state = state;
        message.failed |= state == DeliveryState::Failed;
        Ok(())
    }

    /// A recipient's event log now holds this event.
    ///
    /// # Errors
    /// [`Violation`] if it should not.
    pub fn shown(&mut self, at: NodeIndex, event: &Event) -> Result<Option<Shown>, Violation> {
        let EventKind::Message { uid, from, text, gap, .. } = &event.kind else { return Ok(None) };
        let uid = *uid;
        let message = self.messages.get_mut(&uid);
        let message = message.ok_or_else(|| Violation::ShownUnsent { uid, text: text.clone() })?;
        let as_sent = message.to == at && self.names.get(message.from) == Some(from) && message.text == *text;
        if !as_sent {
            return Err(Violation::ShownWrong { uid, text: text.clone() });
        }
        if message.shown {
            return Err(Violation::ShownTwice { uid });
        }
        message.shown = true;
        message.shown_again = self.texts_shown.contains(text);
        message.shown_late = message.failed;
        let (pair, index, failed) = ((message.from, at), message.index, message.failed);
        let resent = message.resends.is_some();
        let again = !self.texts_shown.insert(text.clone());
        // Whoever was told that a message failed may send its text again, although the word of its arrival was only
        // late: that is a person's decision, and another message. Nobody else may make a text come twice.
        if again && !failed && !resent {
            return Err(Violation::ShownTwice { uid });
        }
        self.check_order(pair, index, *gap, uid)?;
        Ok(Some(Shown { gap: *gap }))
    }

    fn check_order(
        &mut self,
        pair: (NodeIndex, NodeIndex),
        index: usize,
        gap: bool,
        uid: MessageId,
    ) -> Result<(), Violation> {
        let next = self.last_shown.get(&pair).map_or(0, |last| last + 1);
        if index < next {
            // It was missing when a later one was shown, and that one said so; else it would have been reported then.
            return Ok(());
        }
        let skipped = self.order.get(&pair).and_then(|order| order.get(next..index)).unwrap_or_default();
        let missing = skipped.iter().any(|uid| self.messages.get(uid).is_some_and(|message| !message.shown));
        self.last_shown.insert(pair, index);
        if missing && !gap { Err(Violation::HiddenGap { uid, skipped: skipped.len() }) } else { Ok(()) }
    }

    /// A message reached a node by one of its two ways. Says whether it has come there by both now.
    pub fn arrived(&mut self, uid: MessageId, at: NodeIndex, directly: bool) -> bool {
        let ways = self.ways.entry((uid, at)).or_default();
        let before = *ways == [true; 2];
        ways[usize::from(directly)] = true;
        !before && *ways == [true; 2]
    }

    /// A message left its node.
    ///
    /// # Errors
    /// [`Violation::KeyReuse`].
    pub fn left(&mut self, envelope: &Envelope) -> Result<(), Violation> {
        self.epochs.entry(envelope.conversation).or_default().insert(envelope.sender, envelope.epoch);
        self.keys.left(envelope)
    }

    /// Forgets in which epochs messages were sealed.
    pub fn forget_epochs(&mut self) {
        self.epochs.clear();
    }

    /// The first conversation whose members sealed their latest messages in different epochs.
    #[must_use]
    pub fn disagreement(&self) -> Option<Violation> {
        self.epochs.iter().find_map(|(conversation, epochs)| {
            let epochs: BTreeSet<u64> = epochs.values().copied().collect();
            let epochs: Vec<u64> = epochs.into_iter().collect();
            (epochs.len() > 1).then_some(Violation::Disagreement { conversation: *conversation, epochs })
        })
    }

    /// After healing: everything that was queued was shown, unless its sender was told that it failed.
    ///
    /// # Errors
    /// [`Violation::Lost`] with the first message that was not.
    pub fn nothing_is_lost(&self) -> Result<(), Violation> {
        self.messages
            .iter()
            .find(|(_, message)| !message.shown && !message.failed)
            .map_or(Ok(()), |lost| self.lost(lost))
    }

    /// After everything that failed was sent again: every text was shown, as itself or as what was sent again.
    ///
    /// # Errors
    /// [`Violation::Lost`] with the first message whose text was not.
    pub fn nothing_is_lost_for_good(&self) -> Result<(), Violation> {
        let lost = self.messages.iter().find(|(_, message)| !self.texts_shown.contains(&message.text));
        lost.map_or(Ok(()), |lost| self.lost(lost))
    }

    fn lost(&self, (uid, message): (&MessageId, &Message)) -> Result<(), Violation> {
        Err(Violation::Lost {
            uid: *uid,
            from: self.names[message.from].to_string(),
            to: self.names[message.to].to_string(),
            index: message.index,
            state: message.state,
        })
    }

    /// How many messages are not shown yet and have not failed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.messages.values().filter(|message| !message.shown && !message.failed).count()
    }
}
