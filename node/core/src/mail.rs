//! The mailbox at the directory: read in order, taken in, and only then removed there.

use std::collections::{BTreeMap, BTreeSet};

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, ConversationId, DeviceId, MessageId, Timestamp,
    directory::{Cursor, MailItem, Reply, Request},
    limits::{MAILBOX_RETENTION_MS, REMOVE_MAX},
};

use crate::{
    core::{Core, OpenError},
    delivery::FULL_WAIT_MS,
    event::DeliveryState,
    flow::Flow,
    inbox::Carrier,
    input::Answer,
    link::Purpose,
    records::{self, WaitingRecord},
    stored::Table,
};

/// How often the mailbox is read without a hint, in milliseconds: hints may be lost.
const SWEEP_MS: u64 = 60_000;
/// How far this clock and the directory's may drift apart while the mailbox keeps a copy, in milliseconds: the latest
/// copy's end must not look like an earlier one's.
const CLOCK_DRIFT_MS: u64 = 10 * 60 * 1_000;
/// Unknown conversations that are looked into at a time; beyond, the next message from there is the next chance.
const STRAYS_MAX: usize = 64;

/// What is known of this device's mailbox, and what was taken in from anywhere.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    wanted: bool,
    from_start: bool,
    drain: Flow,
    /// How often it was read.
    reads: u64,
    /// The last time that it was read to its end.
    read_out: u64,
    swept: Timestamp,
    removable: BTreeSet<Cursor>,
    remove: Flow,
    seen: BTreeMap<MessageId, Timestamp>,
    waiting: BTreeMap<Vec<u8>, WaitingRecord>,
    strays: BTreeMap<ConversationId, Flow>,
}

impl Mail {
    pub(crate) fn load(stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Self, OpenError> {
        let mut mail = Self::default();
        for (table, key, value) in stored {
            match table {
                Table::Seen => {
                    let at = value.as_slice().try_into().map(u64::from_be_bytes);
                    let id = MessageId::from_slice(key).ok_or(OpenError::Record(Table::Seen))?;
                    mail.seen.insert(id, Timestamp(at.map_err(|_| OpenError::Record(Table::Seen))?));
                }
                Table::Waiting => {
                    let record = records::decode(value).map_err(|_| OpenError::Record(Table::Waiting))?;
                    mail.waiting.insert(key.clone(), record);
                }
                _ => {}
            }
        }
        Ok(mail)
    }

    /// Something waits there.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// After a new connection: also what was taken in before and perhaps not removed.
    pub(crate) fn want_all(&mut self) {
        self.wanted = true;
        self.from_start = true;
        self.removable.clear();
    }

    pub(crate) fn retry_now(&mut self) {
        self.drain.retry_now();
        self.remove.retry_now();
        self.strays.values_mut().for_each(Flow::retry_now);
    }

    /// Whether everything that waited was taken in.
    pub(crate) fn is_drained(&self) -> bool {
        !self.wanted && !self.drain.is_busy()
    }

    /// The next reading that covers everything that waits now: none if nothing does.
    pub(crate) fn covered_by(&self) -> u64 {
        if self.is_drained() { 0 } else { self.reads + 1 }
    }

    /// Whether it was read to its end at that reading or a later one.
    pub(crate) fn is_read_out(&self, reading: u64) -> bool {
        self.read_out >= reading || self.is_drained()
    }

    pub(crate) fn has_seen(&self, id: MessageId) -> bool {
        self.seen.contains_key(&id)
    }

    pub(crate) fn see(&mut self, id: MessageId, at: Timestamp) {
        self.seen.insert(id, at);
    }

    /// Forgets ids that are old, and says which.
    pub(crate) fn forget_seen(&mut self, is_old: impl Fn(Timestamp) -> bool) -> Vec<MessageId> {
        let old: Vec<MessageId> = self.seen.iter().filter(|(_, at)| is_old(**at)).map(|(id, _)| *id).collect();
        for id in &old {
            self.seen.remove(id);
        }
        old
    }

    pub(crate) fn keep_waiting(&mut self, key: Vec<u8>, record: WaitingRecord) {
        self.waiting.insert(key, record);
    }

    pub(crate) fn waiting(&self, key: &[u8]) -> Option<&WaitingRecord> {
        self.waiting.get(key)
    }

    pub(crate) fn drop_waiting(&mut self, key: &[u8]) {
        self.waiting.remove(key);
    }

    /// What waits in a conversation, to be kept under another key.
    pub(crate) fn take_waiting(&mut self, conversation: ConversationId) -> Vec<(Vec<u8>, WaitingRecord)> {
        self.waiting.extract_if(.., |_, waiting| waiting.conversation == conversation).collect()
    }

    /// Mail came for a conversation that this node does not know: perhaps it can come in by itself.
    pub(crate) fn unknown_conversation(&mut self, id: ConversationId) {
        if self.strays.len() < STRAYS_MAX {
            self.strays.entry(id).or_default();
        }
    }

    /// The directory answered about an unknown conversation, or the question was lost.
    pub(crate) fn stray_answered(&mut self, id: ConversationId, lost: bool, now: Timestamp, jitter: u64) {
        match self.strays.get_mut(&id) {
            Some(flow) if lost => flow.fail(now, jitter),
            _ => {
                self.strays.remove(&id);
            }
        }
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn reconcile_mail(&mut self) {
        if !(self.is_online() && self.link.is_announced()) {
            return;
        }
        if self.now.ms_since(self.mail.swept) >= SWEEP_MS {
            self.mail.wanted = true;
        }
        if self.mail.wanted && self.mail.drain.is_ready(self.now) {
            self.mail.wanted = false;
            self.mail.swept = self.now;
            let after = if std::mem::take(&mut self.mail.from_start) { None } else { self.account.drained };
            let call = self.ask(Purpose::Drain, Request::Drain { after });
            self.mail.drain.start(call);
            self.mail.reads += 1;
        }
        if !self.mail.removable.is_empty() && self.mail.remove.is_ready(self.now) {
            let cursors: Vec<Cursor> = self.mail.removable.iter().copied().take(REMOVE_MAX).collect();
            let request = Request::Remove { cursors: Bounded::new(cursors.clone()).unwrap_or_default() };
            let call = self.ask(Purpose::Remove { cursors }, request);
            self.mail.remove.start(call);
        }
        let ready = |(id, flow): (&ConversationId, &Flow)| flow.is_ready(self.now).then_some(*id);
        let strays: Vec<ConversationId> = self.mail.strays.iter().filter_map(ready).collect();
        for conversation in strays {
            let call = self.ask(Purpose::Group { conversation }, Request::Group { conversation });
            if let Some(flow) = self.mail.strays.get_mut(&conversation) {
                flow.start(call);
            }
        }
    }

    pub(crate) fn mail_timer(&self) -> Option<Timestamp> {
        if !(self.is_online() && self.link.is_announced()) {
            return None;
        }
        let sweep = self.mail.swept.plus_ms(SWEEP_MS);
        let drain = self.mail.drain.due().map(|due| if self.mail.wanted { due } else { due.max(sweep) });
        let remove = self.mail.remove.due().filter(|_| !self.mail.removable.is_empty());
        let strays = self.mail.strays.values().filter_map(Flow::due).min();
        drain.into_iter().chain(remove).chain(strays).min()
    }

    pub(crate) fn on_drained(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Answer::Reply(reply) = answer else {
            self.mail.wanted = true;
            self.mail.drain.fail(self.now, jitter);
            return;
        };
        let Reply::Mail { items, more } = *reply else {
            self.report_misbehaviour("the directory answered a drain with something else");
            self.mail.wanted = true;
            self.mail.drain.fail(self.now, jitter);
            return;
        };
        self.mail.drain.succeed();
        let drained_before = self.account.drained;
        for (cursor, item) in items {
            // What was taken in before only has to be removed.
            if drained_before.is_none_or(|drained| cursor > drained) {
                self.on_mail(item);
                self.account.drained = Some(cursor);
                self.account_changed = true;
            }
            self.mail.removable.insert(cursor);
        }
        // A page that holds only what was taken in before is followed by what was not.
        self.mail.wanted |= more;
        if !more {
            self.mail.read_out = self.mail.reads;
        }
        if self.mail.is_drained() {
            self.miss_commits();
        }
    }

    fn on_mail(&mut self, item: MailItem) {
        match item {
            MailItem::Message { envelope, stranger } => self.on_envelope(envelope, Carrier::Mailbox { stranger }),
            MailItem::Welcome { conversation, welcome, tree } => self.on_welcome(conversation, &welcome, &tree),
            MailItem::Commit { conversation, epoch, commit } => self.on_commit(conversation, epoch, &commit),
            MailItem::Receipt(receipt) => {
                self.on_receipt(&receipt);
            }
            MailItem::Expired { id, recipient, .. } => self.on_expired(id, recipient),
            MailItem::Leave { conversation, leave } => self.on_leave(conversation, leave),
        }
    }

    /// The mailbox gave a copy up before its recipient came for it. With the latest copy the message has failed. If it was
    /// deposited again since, sealed anew or because an answer was lost, the later copy may still wait; and a recipient
    /// who is there after all may have it already: then it has only lost its custody, and is deposited again if need be.
    fn on_expired(&mut self, id: MessageId, recipient: DeviceId) {
        let under_way = self.is_under_way(id, recipient);
        let now = self.now;
        let Some(entry) = self.outbox.edit(id) else { return };
        let since = entry.leave_mailbox(recipient);
        let is_latest = since.is_some_and(|since| now.ms_since(since) >= MAILBOX_RETENTION_MS - CLOCK_DRIFT_MS);
        if under_way || !is_latest {
            // In a group whoever has no room for it is told so at once, and holds nobody up: it is deposited again later.
            if entry.record.settled {
                entry.not_before = now.plus_ms(FULL_WAIT_MS);
            }
            return;
        }
        let reason = "not collected within fourteen days; RESEND sends it again".to_owned();
        if entry.record.settled {
            return self.fail_row_of(id, recipient, &reason);
        }
        // That one's own other devices have it is no word of the recipient's.
        if entry.record.state < DeliveryState::Delivered {
            self.advance(id, DeliveryState::Failed, Some(reason));
        }
        self.forget_message(id);
    }

    /// Whether a message was handed over directly, on a connection that still lives.
    fn is_under_way(&self, id: MessageId, device: DeviceId) -> bool {
        let direct = self.outbox.get(id).map(|entry| entry.direct.as_slice()).unwrap_or_default();
        direct.iter().any(|(to, on, _)| *to == device && self.peers.is_live(*on))
    }

    pub(crate) fn on_removed(&mut self, cursors: &[Cursor], answer: Answer) {
        let jitter = self.jitter();
        if !matches!(&answer, Answer::Reply(reply) if matches!(**reply, Reply::Done)) {
            self.mail.remove.fail(self.now, jitter);
            return;
        }
        self.mail.remove.succeed();
        for cursor in cursors {
            self.mail.removable.remove(cursor);
        }
    }
}
