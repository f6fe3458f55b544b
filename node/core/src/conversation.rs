//! Conversations: making them, joining them, keeping their keys fresh, coming back to them.
//!
//! A conversation is in one [`Phase`]; each phase has one request that leads out of it, started by
//! [`Core::reconcile_conversations`] and answered here. Commits count when they come through the mailbox, the device's
//! own too, so that everything of an epoch is handled before the commit that ends it.
//!
//! **Invariant:** a group object of an incarnation that lost is forgotten before anything else is sealed.

mod commits;
mod forms;
mod generations;
pub(crate) mod joining;
mod roster;

use std::collections::VecDeque;

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, DeviceId, Timestamp,
    directory::{Reply, Request},
    peer::Envelope,
};

use self::forms::{commit_hash, direct, is_final, submit};
pub(crate) use self::forms::{known_incarnation, new_record, submission};
use crate::{
    core::{Core, OpenError},
    crypto::mls::Conversation,
    flow::Flow,
    group::Working,
    input::{Answer, CallId},
    link::Purpose,
    records::{self, ConversationRecord, Phase, SenderRecord},
    stored::Table,
};

/// Own messages of one epoch after which keys are refreshed.
pub(crate) const REFRESH_AFTER_MESSAGES: u32 = 500;
/// Own messages of one epoch after which they are refreshed in a group too whose epoch is young.
const REFRESH_AT_ONCE_MESSAGES: u32 = 800;
/// How long after the last commit a group's keys are refreshed at the earliest, in milliseconds: altogether once a minute,
/// since what one member does all others follow.
const GROUP_REFRESH_PAUSE_MS: u64 = 60_000;
/// Age of an epoch after which keys are refreshed, in milliseconds, once there is something to say in it.
const REFRESH_AFTER_MS: u64 = 24 * 3_600 * 1_000;
/// Own messages of one epoch beyond which nothing is sealed before a commit is accepted: the recipient's library opens
/// a message at most 1,024 ahead of the last one that it saw.
pub(crate) const EPOCH_MESSAGES_MAX: u32 = 900;
/// Direct messages of a later epoch that wait in memory for their commit; beyond, the sender keeps them.
pub(crate) const EARLY_MAX: usize = 1_024;
/// How long a device that lost the race of first messages waits for the winner's Welcome before it joins by itself, in
/// milliseconds.
const WELCOME_WAIT_MS: u64 = 3_000;
/// How long past epochs are kept for stragglers, in milliseconds.
const PAST_EPOCH_AGE_MS: u64 = 24 * 3_600 * 1_000;

/// What tells whether the people of a conversation are still the same: they change with its epochs, and by who is leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    incarnation: u64,
    epoch: u64,
    leaves: u64,
}

/// A conversation in memory.
pub(crate) struct ConversationState<C: CryptoProvider + Clone> {
    pub(crate) record: ConversationRecord,
    pub(crate) changed: bool,
    pub(crate) group: Option<Conversation<C>>,
    /// Whether the group's state must be written with this call.
    pub(crate) touched: bool,
    pub(crate) flow: Flow,
    /// Direct messages whose commit has not come yet.
    pub(crate) early: VecDeque<Envelope>,
    /// How often in a row this device could not come back with what the directory gave.
    pub(crate) failed_rejoins: u32,
    /// Whether the peer's list was asked for anew because of a key package of a device that it does not name.
    pub(crate) list_asked: bool,
    /// Whether the refresh was accepted and only has to come through the mailbox.
    pub(crate) refresh_accepted: bool,
    /// Whether a commit was accepted, this device's or another in its place, that has not come yet.
    pub(crate) commit_awaited: bool,
    /// The last epoch in which this device said something of itself, so that nobody overlooks that it came in.
    pub(crate) epoch_shown: u64,
    /// Whether something is known to wait for this conversation.
    pub(crate) wanted: bool,
    /// When the oldest gap of each sender is given up.
    pub(crate) gaps: Vec<(DeviceId, Timestamp)>,
    /// When past epochs began to be past, oldest first.
    past: VecDeque<(u64, Timestamp)>,
    /// What of a group only this run knows.
    pub(crate) working: Working,
}

impl<C: CryptoProvider + Clone> ConversationState<C> {
    pub(crate) fn new(record: ConversationRecord) -> Self {
        Self {
            record,
            changed: true,
            group: None,
            touched: false,
            flow: Flow::default(),
            early: VecDeque::new(),
            failed_rejoins: 0,
            list_asked: false,
            refresh_accepted: false,
            commit_awaited: false,
            epoch_shown: 0,
            wanted: false,
            gaps: Vec::new(),
            past: VecDeque::new(),
            working: Working::default(),
        }
    }

    /// Whether messages can be sealed and opened.
    pub(crate) fn is_active(&self) -> bool {
        self.record.phase == Phase::Active && self.group.is_some()
    }

    /// Whether there is a group here that the directory has perhaps accepted.
    pub(crate) fn is_creating(&self) -> bool {
        matches!(self.record.phase, Phase::Creating(_)) && self.group.is_some()
    }

    /// The other members: the other person's devices, and one's own other ones.
    pub(crate) fn others(&self, own: DeviceId) -> impl Iterator<Item = &VerifiedDevice> {
        self.members().filter(move |member| member.entry.device != own)
    }

    /// The devices that are members; none while there is no group.
    pub(crate) fn members(&self) -> impl Iterator<Item = &VerifiedDevice> {
        self.group.iter().flat_map(Conversation::members)
    }

    /// Whose conversation it is now.
    pub(crate) fn stamp(&self) -> Stamp {
        let leaves = self.record.group().into_iter().flat_map(|group| &group.leaves);
        // Signatures are as good as chance.
        let of = |leave: &protocol::policy::SignedLeave| {
            leave.signature.0.first_chunk().map_or(1, |chunk| u64::from_be_bytes(*chunk))
        };
        let leaves = leaves.fold(0, |sum: u64, leave| sum.rotate_left(1) ^ of(leave));
        let epoch = self.group.as_ref().map_or(0, Conversation::epoch);
        Stamp { incarnation: self.record.incarnation, epoch, leaves }
    }

    /// Takes a group as this conversation's, to be written with this call.
    pub(crate) fn adopt(&mut self, group: Conversation<C>, incarnation: u64) {
        self.group = Some(group);
        self.touched = true;
        self.record.incarnation = incarnation;
        self.changed = true;
    }

    /// What was taken in from a device.
    pub(crate) fn sender(&mut self, device: DeviceId, account: AccountId) -> &mut SenderRecord {
        self.changed = true;
        let senders = &mut self.record.senders;
        let at = senders.iter().position(|sender| sender.device == device).unwrap_or_else(|| {
            senders.push(SenderRecord {
                device,
                account,
                next: 0,
                missing: Vec::new(),
                waiting: Vec::new(),
                last_content: [0; 32],
                gap_untold: false,
                confirmed_below: 0,
                receipt_owed: false,
                read_below: 0,
            });
            senders.len() - 1
        });
        &mut senders[at]
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.record.phase = phase;
        self.changed = true;
        self.flow.retry_now();
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn load_conversations(&mut self, stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<(), OpenError> {
        for (_, _, value) in stored.iter().filter(|(table, ..)| *table == Table::Conversation) {
            let record: ConversationRecord =
                records::decode(value).map_err(|_| OpenError::Record(Table::Conversation))?;
            let mut state = ConversationState::new(record);
            state.changed = false;
            state.wanted = true;
            let (id, incarnation) = (state.record.id, state.record.incarnation);
            let has_group = !matches!(state.record.phase, Phase::Absent | Phase::Lost);
            if has_group && let Some(mls) = &self.mls {
                match mls.load(id, incarnation, state.record.departed.clone()) {
                    Ok(Some(group)) => {
                        state.group = Some(group);
                        // How old they are is not stored: they are kept for a whole day more.
                        let past = self.staging.past_epochs(id, incarnation);
                        state.past = past.into_iter().map(|epoch| (epoch, self.now)).collect();
                    }
                    // A group that is gone or unreadable is come back to by an external commit.
                    Ok(None) | Err(_) => state.set_phase(Phase::Lost),
                }
            }
            for sender in &state.record.senders {
                if !sender.waiting.is_empty() {
                    state.gaps.push((sender.device, self.now.plus_ms(crate::inbox::GAP_WAIT_MS)));
                }
            }
            self.conversations.insert(id, state);
        }
        Ok(())
    }

    /// The conversation with a person, made in name if there is none.
    pub(crate) fn conversation_with(&mut self, account: AccountId) -> Option<ConversationId> {
        if let Some(known) = self.known_with(account) {
            return Some(known);
        }
        let own_root = self.own()?.root_key;
        let peer_root = self.people.get(account)?.root_key;
        let id = membership::direct_conversation_id(&own_root, &peer_root, 0);
        self.conversations.insert(id, ConversationState::new(new_record(id, direct(account, 0), self.now)));
        Some(id)
    }

    /// The conversation with a person, if there is one: of all its generations one is kept.
    pub(crate) fn known_with(&self, account: AccountId) -> Option<ConversationId> {
        self.conversations.iter().find(|(_, state)| state.record.peer() == Some(account)).map(|(id, _)| *id)
    }

    pub(crate) fn reconcile_conversations(&mut self) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            self.trim_past(id);
            if self.is_online() && self.link.is_announced() {
                self.reconcile_conversation(id);
            }
        }
    }

    pub(crate) fn reconcile_conversation(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        if !state.flow.is_ready(self.now) {
            return;
        }
        if let Some(asked) = self.confirm(id) {
            return self.ask_for_conversation(id, asked);
        }
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let (purpose, request) = match &state.record.phase {
            Phase::Absent if state.wanted => {
                let Some(account) = state.record.peer() else { return };
                (Purpose::TakeKeyPackages { conversation: id }, Request::TakeKeyPackages { account })
            }
            Phase::Absent => return,
            Phase::Creating(creation) => {
                let purpose = Purpose::Create { conversation: id, incarnation: state.record.incarnation };
                (purpose, Request::CreateConversation(creation.clone()))
            }
            Phase::Lost => (Purpose::Group { conversation: id }, Request::Group { conversation: id }),
            Phase::Rejoining(submission) => submit(submission),
            // Nothing is made of an epoch that is over.
            Phase::Active if state.commit_awaited && state.record.group().is_some() => return,
            Phase::Active => {
                self.tell_list(id);
                match self.advance_group(id) {
                    Some(asked) => return self.ask_for_conversation(id, asked),
                    None => self.commit_if_due(id),
                }
                let Some(state) = self.conversations.get(&id) else { return };
                match &state.record.refresh {
                    Some(submission) if !state.refresh_accepted => submit(submission),
                    _ => return,
                }
            }
        };
        self.ask_for_conversation(id, (purpose, request));
    }

    fn ask_for_conversation(&mut self, id: ConversationId, (purpose, request): (Purpose, Request)) {
        let call = self.ask(purpose, request);
        if let Some(state) = self.conversations.get_mut(&id) {
            state.flow.start(call);
        }
    }

    pub(crate) fn conversations_timer(&self) -> Option<Timestamp> {
        let gaps = self.conversations.values().flat_map(|state| state.gaps.iter().map(|(_, at)| *at));
        let past = self.conversations.values().filter_map(|state| state.past.front());
        let past = past.map(|(_, since)| since.plus_ms(PAST_EPOCH_AGE_MS + 1));
        let always = gaps.chain(past).min();
        if !(self.is_online() && self.link.is_announced()) {
            return always;
        }
        let waits = self.conversations.values().filter(|state| match &state.record.phase {
            Phase::Absent => state.wanted && state.record.peer().is_some(),
            Phase::Active => state.record.refresh.is_some() && !state.refresh_accepted || state.working.doubted,
            _ => true,
        });
        let groups = self.conversations.values().filter_map(ConversationState::group_due);
        waits.filter_map(|state| state.flow.due()).chain(groups).chain(always).min()
    }

    /// This device is a member now.
    pub(crate) fn activate(&mut self, id: ConversationId) {
        self.activate_by(id, None);
    }

    /// The same, by a commit of its own that ended an epoch.
    pub(crate) fn activate_by(&mut self, id: ConversationId, ended: Option<u64>) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.record.epoch_since = now;
        state.record.sent_in_epoch = 0;
        state.record.refresh = None;
        state.refresh_accepted = false;
        state.commit_awaited = false;
        state.set_phase(Phase::Active);
        self.announce_accepted_peers();
        self.book_changed();
        self.check_new_members(id);
        self.on_group_entered(id, ended.is_some());
        self.check_intents(id, ended);
        self.open_early(id);
    }

    /// The answer to a conversation's request, if it is the one under way and an answer at all; else the flow waits.
    pub(crate) fn conversation_answer(&mut self, id: ConversationId, call: CallId, answer: Answer) -> Option<Reply> {
        let jitter = self.jitter();
        let now = self.now;
        let state = self.conversations.get_mut(&id)?;
        if !state.flow.is(call) {
            return None;
        }
        match answer {
            Answer::Reply(reply) => {
                state.flow.succeed();
                Some(*reply)
            }
            Answer::Refusal(refusal) => {
                state.flow.fail(now, jitter);
                self.report_refused("the directory refused a conversation's request", &refusal);
                None
            }
            Answer::Lost => {
                state.flow.fail(now, jitter);
                None
            }
        }
    }

    pub(crate) fn unexpected(&mut self, id: ConversationId, what: &'static str) {
        self.report_misbehaviour(what);
        self.delay(id);
    }

    pub(crate) fn delay(&mut self, id: ConversationId) {
        let jitter = self.jitter();
        if let Some(state) = self.conversations.get_mut(&id) {
            state.flow.fail(self.now, jitter);
        }
    }

    pub(crate) fn write_conversations(&mut self) {
        let mut records = Vec::new();
        let mut failed = None;
        for (id, state) in &mut self.conversations {
            if std::mem::take(&mut state.touched)
                && let Some(group) = &mut state.group
            {
                if let Err(error) = group.write() {
                    failed = Some(error.to_string());
                }
                if state.record.departed != group.departed() {
                    state.record.departed = group.departed().to_vec();
                    state.changed = true;
                }
            }
            if std::mem::take(&mut state.changed) {
                records.push((id.0.to_vec(), records::encode(&state.record)));
            }
        }
        for (key, record) in records {
            self.put_record(Table::Conversation, key, record);
        }
        if let Some(error) = failed {
            self.report_bug("a conversation's keys cannot be written", &error);
        }
    }
}
