//! Own messages until they are delivered: plaintext that survives everything, sealed when it is handed over.

mod numbering;
mod recipients;
mod writing;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, BoundedBytes, BoundedText, ConversationId, DeviceId, MessageId, Name, Timestamp,
    frame::FrameError,
    limits::{CIPHERTEXT_MAX, SEEN_MAX},
    peer::{Body, Content},
};
use sha2::{Digest as _, Sha256};

use self::writing::Written;
use crate::{
    command::{Failure, FailureCode, HistoryEntry},
    conversation::Stamp,
    core::{Core, OpenError},
    event::{DeliveryState, EventKind, ShortId},
    input::PeerId,
    records::{self, AudienceKey, OutboxRecord},
    stored::{Change, Table},
};

/// Own messages that may wait at a time; a bot that sends into the void hears of it before the disk is full.
pub(crate) const OUTBOX_MAX: usize = 20_000;

/// A message on its way, with what only this run knows of it.
#[derive(Debug)]
pub(crate) struct OutboxEntry {
    pub(crate) record: OutboxRecord,
    /// The connection that it was last sent on to each device, and when.
    pub(crate) direct: Vec<(DeviceId, PeerId, Timestamp)>,
    /// Devices for which the mailbox is being asked to take it.
    pub(crate) depositing: bool,
    /// Devices that it is kept from the mailbox for until this moment, after a refusal.
    pub(crate) not_before: Timestamp,
    /// The reading of the mailbox that covers what waited there when it was said.
    pub(crate) looked_by: u64,
    /// The people of its conversation among whom nobody was left whom the mailbox would have to be asked for: as long as
    /// they and the record are the same, nobody is. A group may have thousands, and many messages wait for the last of them.
    pub(crate) served: Cell<Option<Stamp>>,
    /// Whom it is for, if that is written apart and was looked up in this run.
    audience: Option<AudienceKey>,
}

impl OutboxEntry {
    fn new(record: OutboxRecord) -> Self {
        let (direct, not_before, served) = (Vec::new(), Timestamp(0), Cell::new(None));
        Self { record, direct, depositing: false, not_before, looked_by: 0, served, audience: None }
    }

    /// Whether it was ever sealed by the device that this one is now, so that somebody can have it.
    pub(crate) fn was_sealed(&self) -> bool {
        self.record.sealed.is_some() || !self.record.addressed.is_empty()
    }

    /// Whether the mailbox has custody of a device's copy.
    pub(crate) fn is_in_mailbox(&self, device: DeviceId) -> bool {
        self.record.in_mailbox.iter().any(|(to, _)| *to == device)
    }

    /// The mailbox has no custody of a device's copy any more; tells since when it had.
    pub(crate) fn leave_mailbox(&mut self, device: DeviceId) -> Option<Timestamp> {
        let place = self.record.in_mailbox.iter().position(|(to, _)| *to == device)?;
        Some(self.record.in_mailbox.swap_remove(place).1)
    }

    /// Whether a device has it.
    pub(crate) fn is_delivered_to(&self, device: DeviceId) -> bool {
        self.record.delivered.contains(&device)
    }
}

/// Everything that is on its way, in the order of sending within each conversation.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: BTreeMap<(ConversationId, u64), OutboxEntry>,
    by_id: BTreeMap<MessageId, (ConversationId, u64)>,
    changed: BTreeSet<MessageId>,
    written: Written,
}

impl Outbox {
    pub(crate) fn load(stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Self, OpenError> {
        let mut outbox = Self::default();
        for record in outbox.written.load(stored)? {
            outbox.insert(record);
        }
        outbox.changed.clear();
        Ok(outbox)
    }

    fn insert(&mut self, record: OutboxRecord) {
        let place = (record.conversation, record.sequence);
        self.changed.insert(record.id);
        self.by_id.insert(record.id, place);
        self.entries.insert(place, OutboxEntry::new(record));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&OutboxEntry> {
        self.entries.get(self.by_id.get(&id)?)
    }

    /// For changes of what is stored.
    pub(crate) fn edit(&mut self, id: MessageId) -> Option<&mut OutboxEntry> {
        let place = self.by_id.get(&id)?;
        self.changed.insert(id);
        let entry = self.entries.get_mut(place)?;
        entry.served.set(None);
        Some(entry)
    }

    /// For changes of what only this run knows.
    pub(crate) fn touch(&mut self, id: MessageId) -> Option<&mut OutboxEntry> {
        self.entries.get_mut(self.by_id.get(&id)?)
    }

    /// The messages of a conversation, in order.
    pub(crate) fn of(&self, conversation: ConversationId) -> impl Iterator<Item = &OutboxEntry> {
        self.entries.range((conversation, 0)..=(conversation, u64::MAX)).map(|(_, entry)| entry)
    }

    /// All messages.
    pub(crate) fn all(&self) -> impl Iterator<Item = &OutboxEntry> {
        self.entries.values()
    }

    /// For changes of what only this run knows, everywhere.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut OutboxEntry> {
        self.entries.values_mut()
    }

    /// Conversations that something waits in.
    pub(crate) fn conversations(&self) -> BTreeSet<ConversationId> {
        self.entries.keys().map(|(conversation, _)| *conversation).collect()
    }

    pub(crate) fn count(&self, state: DeliveryState) -> usize {
        self.entries.values().filter(|entry| entry.record.state == state).count()
    }

    /// Moves the messages of a conversation to what it is called now.
    pub(crate) fn rename(&mut self, old: ConversationId, new: ConversationId) {
        let numbers: Vec<u64> = self.of(old).map(|entry| entry.record.sequence).collect();
        for number in numbers {
            let Some(mut entry) = self.entries.remove(&(old, number)) else { continue };
            entry.record.conversation = new;
            entry.served.set(None);
            self.by_id.insert(entry.record.id, (new, number));
            self.changed.insert(entry.record.id);
            self.entries.insert((new, number), entry);
        }
    }

    /// Takes the messages of a conversation out, in order.
    fn take(&mut self, conversation: ConversationId) -> Vec<OutboxRecord> {
        let ids: Vec<MessageId> = self.of(conversation).map(|entry| entry.record.id).collect();
        let places = ids.iter().filter_map(|id| self.by_id.remove(id)).collect::<Vec<_>>();
        self.changed.extend(ids);
        places.into_iter().filter_map(|place| self.entries.remove(&place)).map(|entry| entry.record).collect()
    }

    fn remove(&mut self, id: MessageId) {
        if let Some(place) = self.by_id.remove(&id) {
            self.entries.remove(&place);
            self.changed.insert(id);
        }
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Takes a text for a person: durable with this call's transaction, on its way right after.
    pub(crate) fn enqueue(&mut self, to: AccountId, text: &str) -> Result<(ShortId, MessageId), Failure> {
        self.check_outbox()?;
        if self.has_blocked(to) {
            let name = self.people.name_of(to).map_or_else(|| "them".to_owned(), ToString::to_string);
            let text = format!("you blocked {name}; UNBLOCK {name} first");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        let unnamed = || Failure::new(FailureCode::Conflict, "this person is not known here; LIST shows who is");
        let id = self.conversation_with(to).ok_or_else(unnamed)?;
        let name = self.people.name_of(to).cloned().ok_or_else(unnamed)?;
        let sent = self.enqueue_text(id, name, text)?;
        if self.people.accept(to) {
            self.book_changed();
        }
        self.announce_accepted_peers();
        Ok(sent)
    }

    /// Takes a text for a group, likewise.
    pub(crate) fn enqueue_for_group(
        &mut self,
        id: ConversationId,
        group: &Name,
        text: &str,
    ) -> Result<(ShortId, MessageId), Failure> {
        self.check_outbox()?;
        self.enqueue_text(id, group.clone(), text)
    }

    pub(crate) fn check_outbox(&self) -> Result<(), Failure> {
        if self.outbox.len() < OUTBOX_MAX {
            return Ok(());
        }
        let text =
            format!("{OUTBOX_MAX} messages wait already; nothing more is taken until some are delivered (STATUS)");
        Err(Failure::new(FailureCode::Refused, text))
    }

    /// Takes a text for a conversation with a person or group of this name.
    fn enqueue_text(&mut self, id: ConversationId, to: Name, text: &str) -> Result<(ShortId, MessageId), Failure> {
        let body = BoundedText::new(text.to_owned()).map_err(|error| {
            Failure::new(FailureCode::Usage, format!("the text is too long: {error} bytes; send it in parts"))
        })?;
        let unnamed = || Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account");
        let own = self.own().map(|own| own.name.clone()).ok_or_else(unnamed)?;
        let mut uid = [0; 16];
        self.entropy.fill_bytes(&mut uid);
        let uid = MessageId(uid);
        let short = self.next_short_id();
        let now = self.now;
        self.put_into_outbox(id, uid, Some(short), Body::Text(body), false).map_err(|error| bug(&error))?;
        let entry = HistoryEntry {
            id: short,
            uid,
            from: own,
            to,
            text: text.to_owned(),
            at: now,
            sent_at: now,
            state: Some(DeliveryState::Queued),
            gap: false,
            in_group: self.is_group(id),
            member: None,
            money: None,
        };
        self.batch.change(Change::Timeline { conversation: id, entry });
        Ok((short, uid))
    }

    /// Takes something for a conversation that is never shown: for everybody in it, or for one's own devices alone.
    pub(crate) fn enqueue_hidden(&mut self, id: ConversationId, body: Body, own_only: bool) {
        if self.is_only_invited(id) {
            return;
        }
        let mut uid = [0; 16];
        self.entropy.fill_bytes(&mut uid);
        if let Err(error) = self.put_into_outbox(id, MessageId(uid), None, body, own_only) {
            self.report_bug("a message cannot be written", &error);
        }
    }

    /// Puts something at the end of what waits in a conversation.
    pub(crate) fn put_into_outbox(
        &mut self,
        id: ConversationId,
        uid: MessageId,
        short: Option<ShortId>,
        body: Body,
        own_only: bool,
    ) -> Result<(), FrameError> {
        let now = self.now;
        let told = self.conversations.get(&id).map_or(0, |state| state.record.checkpoint_told);
        let checkpoint = self.money.checkpoint_to_tell(told);
        let told = checkpoint.as_ref().map_or(told, |(_, size)| *size);
        let Some(state) = self.conversations.get_mut(&id) else { return Ok(()) };
        state.record.checkpoint_told = told;
        let latest = state.record.latest.len().saturating_sub(SEEN_MAX);
        let content = Content {
            id: uid,
            sequence: state.record.next_sequence,
            shared: state.record.next_shared,
            previous: state.record.last_content,
            seen: Bounded::new(state.record.latest[latest..].to_vec()).unwrap_or_default(),
            sent_at: now,
            checkpoint: checkpoint.map(|(checkpoint, _)| Box::new(checkpoint)),
            body,
        };
        let bytes = records::encode(&content)?;
        let hash = Sha256::digest(&bytes).into();
        let too_long = |_| FrameError::TooLong { length: CIPHERTEXT_MAX, limit: CIPHERTEXT_MAX };
        let record = OutboxRecord {
            id: uid,
            short,
            conversation: id,
            sequence: content.sequence,
            shared: content.shared,
            own_only,
            addressed: Vec::new(),
            content: BoundedBytes::new(bytes).map_err(too_long)?,
            state: DeliveryState::Queued,
            sealed: None,
            in_mailbox: Vec::new(),
            delivered: Vec::new(),
            rows: Vec::new(),
            settled: false,
        };
        state.record.next_sequence += 1;
        if !own_only {
            state.record.last_content = hash;
            state.record.next_shared += 1;
        }
        state.changed = true;
        state.wanted = true;
        self.outbox.insert(record);
        if let Some(entry) = self.outbox.touch(uid) {
            entry.looked_by = self.mail.covered_by();
        }
        Ok(())
    }

    /// A message made progress towards its person; states never go back.
    pub(crate) fn advance(&mut self, id: MessageId, state: DeliveryState, reason: Option<String>) {
        self.advance_for(id, state, reason, None);
    }

    /// The same, towards a person who has lost their name to another key.
    pub(crate) fn advance_for(
        &mut self,
        id: MessageId,
        state: DeliveryState,
        reason: Option<String>,
        name: Option<Name>,
    ) {
        let Some(entry) = self.outbox.edit(id) else { return };
        if state <= entry.record.state {
            return;
        }
        entry.record.state = state;
        let (short, conversation) = (entry.record.short, entry.record.conversation);
        let peer = self.conversations.get(&conversation).and_then(|state| state.record.peer());
        let Some(short) = short else { return self.on_offer_advanced(id, peer, state, reason.as_deref()) };
        self.batch.change(Change::TimelineState { uid: id, state });
        if let Some(to) = name.or_else(|| peer.and_then(|peer| self.people.name_of(peer)).cloned()) {
            self.batch.event(self.now, EventKind::Receipt { id: short, uid: id, to, state, reason, group: None });
        }
        self.settle_send(id, state);
    }

    /// Forgets a message that needs nothing more.
    pub(crate) fn forget_message(&mut self, id: MessageId) {
        self.outbox.remove(id);
    }

    /// A member came back by itself and cannot read what was sealed before: what it has not acknowledged is sealed
    /// anew, under the same ids.
    pub(crate) fn seal_anew(&mut self, conversation: ConversationId) {
        let ids: Vec<MessageId> = self.outbox.of(conversation).map(|entry| entry.record.id).collect();
        for id in ids {
            if let Some(entry) = self.outbox.edit(id) {
                entry.record.sealed = None;
                entry.record.in_mailbox.clear();
                entry.direct.clear();
                entry.depositing = false;
            }
        }
    }
}

pub(crate) fn bug(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::Other, format!("a bug of this program: {error}"))
}
