//! Conversations: making them, joining them, keeping their keys fresh, coming back to them.
//!
//! A conversation is in one [`Phase`]; each phase has one request that leads out of it, started by
//! [`Core::reconcile_conversations`] and answered here. Commits count when they come through the mailbox, the device's
//! own too, so that everything of an epoch is handled before the commit that ends it.
//!
//! **Invariant:** a group object of an incarnation that lost is forgotten before anything else is sealed.

use std::collections::VecDeque;

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, PublicKey, Timestamp,
    directory::{
        CommitSubmission, HandshakeBytes, KeyPackageBytes, NewConversation, Refusal, Reply, Request, TreeBytes,
    },
    peer::Envelope,
};

use crate::{
    core::{Core, OpenError},
    crypto::mls::{Commit, Conversation, JoinError},
    flow::Flow,
    input::{Answer, CallId},
    link::Purpose,
    records::{self, ConversationRecord, Phase, SenderRecord},
    stored::Table,
};

/// Own messages of one epoch after which keys are refreshed.
pub(crate) const REFRESH_AFTER_MESSAGES: u32 = 500;
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

/// A conversation in memory.
pub(crate) struct ConversationState<C: CryptoProvider + Clone> {
    pub(crate) record: ConversationRecord,
    pub(crate) changed: bool,
    pub(crate) group: Option<Conversation<C>>,
    /// The group's members; reading them anew means verifying every certificate again.
    pub(crate) members: Vec<VerifiedDevice>,
    /// Whether the group's state must be written with this call.
    pub(crate) touched: bool,
    pub(crate) flow: Flow,
    /// Direct messages whose commit has not come yet.
    pub(crate) early: VecDeque<Envelope>,
    /// Whether the refresh was accepted and only has to come through the mailbox.
    refresh_accepted: bool,
    /// Whether something is known to wait for this conversation.
    pub(crate) wanted: bool,
    /// When the oldest gap of each sender is given up.
    pub(crate) gaps: Vec<(DeviceId, Timestamp)>,
    /// When past epochs began to be past, oldest first.
    past: VecDeque<(u64, Timestamp)>,
}

impl<C: CryptoProvider + Clone> ConversationState<C> {
    pub(crate) fn new(record: ConversationRecord) -> Self {
        Self {
            record,
            changed: true,
            group: None,
            members: Vec::new(),
            touched: false,
            flow: Flow::default(),
            early: VecDeque::new(),
            refresh_accepted: false,
            wanted: false,
            gaps: Vec::new(),
            past: VecDeque::new(),
        }
    }

    /// Whether messages can be sealed and opened.
    pub(crate) fn is_active(&self) -> bool {
        self.record.phase == Phase::Active && self.group.is_some()
    }

    /// The other person's devices that are members.
    pub(crate) fn peer_devices(&self) -> Vec<DeviceId> {
        self.peers().map(|member| member.entry.device).collect()
    }

    /// TLS keys of the other person's devices.
    pub(crate) fn peer_tls_keys(&self) -> Vec<(DeviceId, PublicKey)> {
        self.peers().map(|member| (member.entry.device, member.entry.tls_key)).collect()
    }

    fn peers(&self) -> impl Iterator<Item = &VerifiedDevice> {
        let peer = self.record.peer;
        self.members.iter().filter(move |member| member.account == peer)
    }

    /// Takes a group as this conversation's, to be written with this call.
    fn adopt(&mut self, group: Conversation<C>, incarnation: u64) {
        self.members = group.members();
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
                confirmed_below: 0,
                receipt_owed: false,
            });
            senders.len() - 1
        });
        &mut senders[at]
    }

    fn set_phase(&mut self, phase: Phase) {
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
                match mls.load(id, incarnation) {
                    Ok(Some(group)) => {
                        state.members = group.members();
                        state.group = Some(group);
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
        let own_root = self.own()?.root_key;
        let peer_root = self.people.get(account)?.root_key;
        let id = membership::direct_conversation_id(&own_root, &peer_root, 0);
        let now = self.now;
        self.conversations.entry(id).or_insert_with(|| ConversationState::new(new_record(id, account, now)));
        Some(id)
    }

    pub(crate) fn reconcile_conversations(&mut self) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            if self.is_online() && self.link.is_announced() {
                self.reconcile_conversation(id);
            }
        }
    }

    fn reconcile_conversation(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        if !state.flow.is_ready(self.now) {
            return;
        }
        let (purpose, request) = match &state.record.phase {
            Phase::Absent if state.wanted => {
                let account = state.record.peer;
                (Purpose::TakeKeyPackages { conversation: id }, Request::TakeKeyPackages { account })
            }
            Phase::Absent => return,
            Phase::Creating(creation) => {
                let purpose = Purpose::Create { conversation: id, incarnation: state.record.incarnation };
                (purpose, Request::CreateConversation(creation.clone()))
            }
            Phase::Lost => (Purpose::Group { conversation: id }, Request::Group { conversation: id }),
            Phase::Rejoining(submission) => submit(submission),
            Phase::Active => {
                self.refresh_if_due(id);
                let Some(state) = self.conversations.get(&id) else { return };
                match &state.record.refresh {
                    Some(submission) if !state.refresh_accepted => submit(submission),
                    _ => return,
                }
            }
        };
        let call = self.ask(purpose, request);
        if let Some(state) = self.conversations.get_mut(&id) {
            state.flow.start(call);
        }
    }

    pub(crate) fn conversations_timer(&self) -> Option<Timestamp> {
        let gaps = self.conversations.values().flat_map(|state| state.gaps.iter().map(|(_, at)| *at)).min();
        if !(self.is_online() && self.link.is_announced()) {
            return gaps;
        }
        let waits = self.conversations.values().filter(|state| match &state.record.phase {
            Phase::Absent => state.wanted,
            Phase::Active => state.record.refresh.is_some() && !state.refresh_accepted,
            _ => true,
        });
        waits.filter_map(|state| state.flow.due()).chain(gaps).min()
    }

    /// Proposes new keys for an epoch that is old or much used. Never merely because of a reconnect.
    fn refresh_if_due(&mut self, id: ConversationId) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let Some(group) = state.group.as_mut().filter(|_| state.record.refresh.is_none()) else { return };
        let sent = state.record.sent_in_epoch;
        let old = now.ms_since(state.record.epoch_since) > REFRESH_AFTER_MS && sent > 0;
        if sent < REFRESH_AFTER_MESSAGES && !old {
            return;
        }
        let made = group.propose_refresh(now).map_err(|error| error.to_string()).and_then(|c| submission(id, c));
        match made {
            Ok(made) => {
                state.record.refresh = Some(made);
                state.refresh_accepted = false;
                state.changed = true;
                state.touched = true;
            }
            Err(error) => self.report_bug("a key refresh cannot be made", &error),
        }
    }

    pub(crate) fn on_key_packages(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        let Some(reply) = self.conversation_answer(id, call, answer) else { return };
        let Reply::KeyPackages(packages) = reply else {
            return self.unexpected(id, "the directory answered for key packages with something else");
        };
        if self.conversations.get(&id).is_none_or(|state| state.record.phase != Phase::Absent) {
            return;
        }
        let packages: Vec<KeyPackageBytes> = packages.into_iter().map(|(_, package)| package).collect();
        if packages.is_empty() {
            return self.unexpected(id, "the directory has no key package for somebody");
        }
        self.create(id, &packages);
    }

    fn create(&mut self, id: ConversationId, packages: &[KeyPackageBytes]) {
        let now = self.now;
        let Some(state) = self.conversations.get(&id) else { return };
        let incarnation = state.record.incarnation + 1;
        let roots = self.own().map(|own| own.root_key).zip(self.people.get(state.record.peer).map(|c| c.root_key));
        let (Some((own, peer)), Some(mls)) = (roots, &self.mls) else { return };
        let policy = membership::direct_policy(own, peer, state.record.generation);
        let made = mls.create(now, &policy, incarnation, packages).map_err(|error| error.to_string());
        let made = made.and_then(|(group, creation)| {
            let bytes = |bytes: Vec<u8>| HandshakeBytes::new(bytes).map_err(|error| error.to_string());
            let creation = NewConversation {
                conversation: id,
                group_info: bytes(creation.group_info)?,
                tree: TreeBytes::new(creation.tree).map_err(|error| error.to_string())?,
                welcome: bytes(creation.welcome)?,
            };
            Ok((group, creation))
        });
        match made {
            Ok((group, creation)) => {
                let Some(state) = self.conversations.get_mut(&id) else { return };
                state.adopt(group, incarnation);
                state.record.epoch_since = now;
                state.record.sent_in_epoch = 0;
                state.set_phase(Phase::Creating(Box::new(creation)));
            }
            Err(error) => {
                self.report_refused("a conversation cannot be made with what the directory gave", &error);
                self.staging.forget(id, incarnation);
                self.delay(id);
            }
        }
        self.reconcile_conversation(id);
    }

    pub(crate) fn on_created(&mut self, id: ConversationId, incarnation: u64, call: CallId, answer: Answer) {
        let refused = matches!(&answer, Answer::Refusal(refusal) if is_final(refusal));
        let current = self.conversations.get(&id).is_some_and(|state| {
            state.record.incarnation == incarnation && matches!(state.record.phase, Phase::Creating(_))
        });
        let reply = self.conversation_answer(id, call, answer);
        if !current {
            return;
        }
        match reply {
            Some(Reply::CommitAccepted) => self.activate(id),
            Some(Reply::ConversationExists) => {
                self.drop_group(id, Phase::Lost);
                let until = self.now.plus_ms(WELCOME_WAIT_MS);
                if let Some(state) = self.conversations.get_mut(&id) {
                    state.flow.wait_until(until);
                }
                self.mail.want();
            }
            Some(_) => self.unexpected(id, "the directory answered a creation with something else"),
            // What was made is not acceptable, as with a key package that was used meanwhile: it is made anew.
            None if refused => {
                self.drop_group(id, Phase::Absent);
                self.delay(id);
            }
            None => {}
        }
    }

    /// A Welcome came through the mailbox.
    pub(crate) fn on_welcome(&mut self, id: ConversationId, welcome: &[u8], tree: &[u8]) {
        let now = self.now;
        let known = self.conversations.get(&id);
        if known.is_some_and(|state| matches!(state.record.phase, Phase::Active | Phase::Rejoining(_))) {
            return;
        }
        let incarnation = known.map_or(1, |state| state.record.incarnation + 1);
        let Some(mls) = &self.mls else { return };
        match mls.join(now, incarnation, welcome, tree) {
            Ok(group) if group.id() == id => {
                let own = self.own().map(|own| own.account);
                let peer = group.members().into_iter().find(|member| Some(member.account) != own);
                let Some(peer) = peer else {
                    self.staging.forget(id, incarnation);
                    return self.report_misbehaviour("a Welcome leads into a conversation with nobody");
                };
                let account = self.people.pin(peer.entry.root_key);
                if known_incarnation(self.conversations.get(&id)) > 0 {
                    self.drop_group(id, Phase::Lost);
                }
                let state = self.conversations.entry(id);
                let state = state.or_insert_with(|| ConversationState::new(new_record(id, account, now)));
                state.adopt(group, incarnation);
                self.activate(id);
            }
            Ok(_) => {
                self.staging.forget(id, incarnation);
                self.report_misbehaviour("a Welcome leads into another conversation than it says");
            }
            Err(error) => self.on_welcome_failed(id, incarnation, &error),
        }
    }

    fn on_welcome_failed(&mut self, id: ConversationId, incarnation: u64, error: &JoinError) {
        self.staging.forget(id, incarnation);
        self.report_refused("a Welcome cannot be used", error);
        // If the conversation is one that this device should be in, it comes in by itself.
        if let Some(state) = self.conversations.get_mut(&id) {
            state.flow.retry_now();
        } else if !matches!(error, JoinError::Malformed { .. }) {
            self.mail.unknown_conversation(id);
        }
    }

    /// This device is a member now.
    fn activate(&mut self, id: ConversationId) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.record.epoch_since = now;
        state.record.sent_in_epoch = 0;
        state.record.refresh = None;
        state.refresh_accepted = false;
        state.set_phase(Phase::Active);
        self.announce_accepted_peers();
        self.open_early(id);
    }

    pub(crate) fn on_group(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        let unknown = matches!(answer, Answer::Refusal(Refusal::Unknown));
        if !self.conversations.contains_key(&id) {
            return self.on_stray_group(id, answer);
        }
        let reply = self.conversation_answer(id, call, answer);
        if self.conversations.get(&id).is_none_or(|state| state.record.phase != Phase::Lost) {
            return;
        }
        match reply {
            Some(Reply::Group { group_info, tree, .. }) => self.rejoin(id, &group_info, &tree),
            Some(_) => self.unexpected(id, "the directory answered for a group with something else"),
            None if unknown => {
                if let Some(state) = self.conversations.get_mut(&id) {
                    state.set_phase(Phase::Absent);
                }
            }
            None => {}
        }
    }

    /// What was asked for a conversation that this node knows only from mail that it could not open.
    fn on_stray_group(&mut self, id: ConversationId, answer: Answer) {
        let lost = answer == Answer::Lost;
        if let Answer::Reply(reply) = answer
            && let Reply::Group { group_info, tree, .. } = *reply
        {
            self.rejoin(id, &group_info, &tree);
        }
        let jitter = self.jitter();
        self.mail.stray_answered(id, lost, self.now, jitter);
    }

    fn rejoin(&mut self, id: ConversationId, group_info: &[u8], tree: &[u8]) {
        let now = self.now;
        let incarnation = known_incarnation(self.conversations.get(&id)) + 1;
        let own = self.own().map(|own| own.account);
        let Some(mls) = &self.mls else { return };
        let joined = mls.rejoin(now, incarnation, group_info, tree).map_err(|error| error.to_string());
        let joined = joined.and_then(|(group, commit)| {
            let peer = group.members().into_iter().find(|member| Some(member.account) != own);
            let peer = peer.ok_or_else(|| "nobody else is in it".to_owned())?;
            if group.id() != id {
                return Err("it is another conversation".to_owned());
            }
            Ok((group, peer.entry.root_key, submission(id, commit)?))
        });
        match joined {
            Ok((group, root_key, submission)) => {
                let peer = self.people.pin(root_key);
                let state = self.conversations.entry(id);
                let state = state.or_insert_with(|| ConversationState::new(new_record(id, peer, now)));
                state.adopt(group, incarnation);
                state.set_phase(Phase::Rejoining(Box::new(submission)));
                self.reconcile_conversation(id);
            }
            Err(error) => {
                self.staging.forget(id, incarnation);
                self.report_refused("a conversation cannot be rejoined", &error);
                self.delay(id);
            }
        }
    }

    pub(crate) fn on_commit_answer(&mut self, id: ConversationId, hash: CommitHash, call: CallId, answer: Answer) {
        let refused = matches!(&answer, Answer::Refusal(refusal) if is_final(refusal));
        let reply = self.conversation_answer(id, call, answer);
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let rejoining = matches!(&state.record.phase, Phase::Rejoining(own) if commit_hash(own) == hash);
        let refreshing = state.record.refresh.as_ref().is_some_and(|own| commit_hash(own) == hash);
        match reply {
            // It counts when it comes through the mailbox, behind everything of the epoch that it ends.
            Some(Reply::CommitAccepted) => {
                if refreshing {
                    state.refresh_accepted = true;
                }
                if rejoining {
                    state.flow.wait_until(self.now.plus_ms(WELCOME_WAIT_MS));
                }
                self.mail.want();
            }
            Some(Reply::CommitLost { .. }) => self.on_commit_lost(id, rejoining, refreshing),
            Some(_) => self.unexpected(id, "the directory answered a commit with something else"),
            None if refused => self.on_commit_lost(id, rejoining, refreshing),
            None => {}
        }
    }

    fn on_commit_lost(&mut self, id: ConversationId, rejoining: bool, refreshing: bool) {
        if rejoining {
            self.drop_group(id, Phase::Lost);
        } else if refreshing && let Some(state) = self.conversations.get_mut(&id) {
            if let Some(group) = &mut state.group {
                group.drop_pending();
            }
            state.record.refresh = None;
            state.changed = true;
            state.touched = true;
        }
        self.delay(id);
        self.mail.want();
    }

    /// A commit came through the mailbox.
    pub(crate) fn on_commit(&mut self, id: ConversationId, epoch: u64, commit: &[u8]) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let hash = crate::crypto::mls::commit_hash(commit);
        if matches!(&state.record.phase, Phase::Rejoining(own) if commit_hash(own) == hash) {
            return self.activate(id);
        }
        let Some(group) = state.group.as_mut().filter(|_| state.record.phase == Phase::Active) else { return };
        if epoch < group.epoch() {
            return;
        }
        let applied = if epoch > group.epoch() {
            Err("a commit is missing".to_owned())
        } else {
            group.apply(now, commit).map_err(|error| error.to_string())
        };
        match applied {
            Ok(applied) if applied.removed_self => self.lose(id),
            Ok(applied) => {
                state.members = group.members();
                state.touched = true;
                state.changed = true;
                state.record.refresh = None;
                state.refresh_accepted = false;
                state.record.epoch_since = now;
                state.record.sent_in_epoch = 0;
                state.past.push_back((epoch, now));
                // Whoever came back by itself can't read what was sealed before, and has lost what it had not stored.
                if applied.joined_by_itself {
                    self.seal_anew(id);
                }
                self.trim_past(id);
                self.announce_accepted_peers();
                self.open_early(id);
            }
            Err(error) => {
                self.report_refused("a commit cannot be applied", &error);
                self.lose(id);
            }
        }
    }

    /// This device cannot follow the conversation any more; it comes back by an external commit.
    pub(crate) fn lose(&mut self, id: ConversationId) {
        self.drop_group(id, Phase::Lost);
        self.announce_accepted_peers();
    }

    fn drop_group(&mut self, id: ConversationId, phase: Phase) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.group = None;
        state.members.clear();
        state.touched = false;
        state.record.refresh = None;
        state.refresh_accepted = false;
        state.past.clear();
        let incarnation = state.record.incarnation;
        state.set_phase(phase);
        self.staging.forget(id, incarnation);
        // What happened meanwhile is not known here: perhaps the others came back by themselves too and can't read what was
        // sealed before, not even from the mailbox. Whoever has a message already knows it by its id.
        self.seal_anew(id);
    }

    fn trim_past(&mut self, id: ConversationId) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        while state.past.front().is_some_and(|(_, since)| now.ms_since(*since) > PAST_EPOCH_AGE_MS) {
            if let Some((epoch, _)) = state.past.pop_front() {
                self.staging.trim(id, state.record.incarnation, epoch + 1);
            }
        }
    }

    /// The answer to a conversation's request, if it is the one under way and an answer at all; else the flow waits.
    fn conversation_answer(&mut self, id: ConversationId, call: CallId, answer: Answer) -> Option<Reply> {
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

    fn unexpected(&mut self, id: ConversationId, what: &'static str) {
        self.report_misbehaviour(what);
        self.delay(id);
    }

    fn delay(&mut self, id: ConversationId) {
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
                && let Err(error) = group.write()
            {
                failed = Some(error.to_string());
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

fn known_incarnation<C: CryptoProvider + Clone>(state: Option<&ConversationState<C>>) -> u64 {
    state.map_or(0, |state| state.record.incarnation)
}

fn new_record(id: ConversationId, peer: AccountId, now: Timestamp) -> ConversationRecord {
    ConversationRecord {
        id,
        peer,
        generation: 0,
        incarnation: 0,
        phase: Phase::Absent,
        refresh: None,
        sent_in_epoch: 0,
        epoch_since: now,
        next_sequence: 0,
        last_content: [0; 32],
        latest: Vec::new(),
        senders: Vec::new(),
    }
}

fn submission(conversation: ConversationId, commit: Commit) -> Result<CommitSubmission, String> {
    let bytes = |bytes: Vec<u8>| HandshakeBytes::new(bytes).map_err(|error| error.to_string());
    Ok(CommitSubmission {
        conversation,
        epoch: commit.epoch,
        commit: bytes(commit.bytes)?,
        welcome: None,
        group_info: bytes(commit.group_info)?,
    })
}

fn submit(submission: &CommitSubmission) -> (Purpose, Request) {
    let purpose = Purpose::Commit { conversation: submission.conversation, hash: commit_hash(submission) };
    (purpose, Request::SubmitCommit(Box::new(submission.clone())))
}

fn commit_hash(submission: &CommitSubmission) -> CommitHash {
    crate::crypto::mls::commit_hash(&submission.commit)
}

/// Whether asking again with the same bytes can only be refused again.
fn is_final(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Malformed(_) | Refusal::Unknown | Refusal::NotMember | Refusal::Policy(_) | Refusal::Stale
    )
}
