//! Commits: the own ones that refresh keys, everybody's as they come through the mailbox, and falling out.

use mls_rs::CryptoProvider;
use protocol::{CommitHash, ConversationId, DeviceId, directory::Reply};

use super::{
    GROUP_REFRESH_PAUSE_MS, PAST_EPOCH_AGE_MS, REFRESH_AFTER_MESSAGES, REFRESH_AFTER_MS, REFRESH_AT_ONCE_MESSAGES,
    WELCOME_WAIT_MS, commit_hash, is_final, submission,
};
use crate::{
    core::Core,
    input::{Answer, CallId},
    records::Phase,
};

impl<C: CryptoProvider + Clone> Core<C> {
    /// Proposes to remove devices that this account does not have any more; or new keys for an epoch that is old or much
    /// used, or that was joined by a last-resort key package. Never merely because of a reconnect.
    pub(super) fn commit_if_due(&mut self, id: ConversationId) {
        let now = self.now;
        let revoked = self.revoked_members(id);
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let Some(group) = state.group.as_mut().filter(|_| state.record.refresh.is_none()) else { return };
        let sent = state.record.sent_in_epoch;
        let age = now.ms_since(state.record.epoch_since);
        let old = age > REFRESH_AFTER_MS && sent > 0;
        // In a group every member's refresh is every other's work; before sealing has to stop it is made all the same.
        let calm = state.record.group().is_none() || age >= GROUP_REFRESH_PAUSE_MS || sent >= REFRESH_AT_ONCE_MESSAGES;
        let worn = (sent >= REFRESH_AFTER_MESSAGES || old) && calm;
        if !worn && !state.record.stale_keys && revoked.is_empty() {
            return;
        }
        let made =
            group.propose_removal(now, &revoked).map_err(|error| error.to_string()).and_then(|c| submission(id, c));
        match made {
            Ok(made) => {
                state.record.refresh = Some(made);
                state.refresh_accepted = false;
                state.changed = true;
                state.touched = true;
            }
            Err(error) => self.report_bug("a commit cannot be made", &error),
        }
    }

    /// Members of this account that it revoked.
    fn revoked_members(&self, id: ConversationId) -> Vec<DeviceId> {
        let (Some(own), Some(state)) = (self.own(), self.conversations.get(&id)) else { return Vec::new() };
        let mine = state.others(own.device).filter(|member| member.account == own.account);
        mine.map(|member| member.entry.device).filter(|device| self.people.revoked.contains(device)).collect()
    }

    pub(crate) fn on_commit_answer(&mut self, id: ConversationId, hash: CommitHash, call: CallId, answer: Answer) {
        let refusal = match &answer {
            Answer::Refusal(refusal) => Some(refusal.clone()),
            _ => None,
        };
        let refused = refusal.as_ref().is_some_and(is_final);
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
                state.commit_awaited |= refreshing || rejoining;
                self.mail.want();
            }
            Some(Reply::CommitLost { .. }) => {
                state.commit_awaited |= refreshing;
                self.on_commit_lost(id, rejoining, refreshing);
            }
            Some(_) => self.unexpected(id, "the directory answered a commit with something else"),
            None if refused => {
                self.on_commit_lost(id, rejoining, refreshing);
                self.on_group_refused(id, refusal.as_ref());
            }
            None if refreshing => self.on_group_refused(id, refusal.as_ref()),
            None => {}
        }
    }

    /// Everything that waited was taken in: an accepted commit that was not among it is not coming any more. It was kept
    /// back, or given up because this device was away for too long; nothing comes after it that would tell.
    pub(crate) fn miss_commits(&mut self) {
        let awaited = self.conversations.iter().filter(|(_, state)| state.commit_awaited || state.is_behind());
        let awaited: Vec<ConversationId> = awaited.map(|(id, _)| *id).collect();
        for id in awaited {
            self.report_refused("a commit is missing", &"it was accepted, and did not come through the mailbox");
            self.lose(id);
        }
    }

    pub(crate) fn on_commit_lost(&mut self, id: ConversationId, rejoining: bool, refreshing: bool) {
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
        self.hurry_group(id);
        self.mail.want();
    }

    /// A commit came through the mailbox.
    pub(crate) fn on_commit(&mut self, id: ConversationId, epoch: u64, commit: &[u8]) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let hash = crate::crypto::mls::commit_hash(commit);
        if matches!(&state.record.phase, Phase::Rejoining(own) if commit_hash(own) == hash) {
            self.note_commit(id, epoch);
            let Some(state) = self.conversations.get(&id) else { return };
            // What members said of their devices while this one was outside is not told again.
            let direct = state.record.peer();
            if let Some(peer) = direct {
                self.people.miss_list(peer);
            }
            self.activate_by(id, Some(epoch));
            // From whomever this commit is kept, they go on sealing what this device can't open until they hear of it.
            if direct.is_some() {
                self.tell_own_list(id);
            }
            return;
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
            Ok(applied) if applied.removed_self => {
                self.lose(id);
                self.on_removed_from_group(id, &applied);
            }
            Ok(applied) => {
                state.touched = true;
                state.changed = true;
                state.record.refresh = None;
                state.refresh_accepted = false;
                state.commit_awaited = false;
                state.record.stale_keys &= !applied.by_self;
                state.record.epoch_since = now;
                state.record.sent_in_epoch = 0;
                state.past.push_back((epoch, now));
                if applied.by_self {
                    self.note_commit(id, epoch);
                }
                // Whoever came back by itself can't read what was sealed before, and has lost what it had not stored.
                if applied.joined_by_itself {
                    self.seal_anew_for(id, &applied.added, applied.committer.as_ref());
                }
                self.check_new_members(id);
                self.on_group_changed(id, epoch, &applied);
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

    pub(crate) fn drop_group(&mut self, id: ConversationId, phase: Phase) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.remember_members();
        state.group = None;
        state.touched = false;
        state.record.refresh = None;
        state.refresh_accepted = false;
        state.commit_awaited = false;
        state.working.is_inside = None;
        state.working.behind = None;
        state.past.clear();
        let incarnation = state.record.incarnation;
        state.set_phase(phase);
        self.staging.forget(id, incarnation);
        // What happened meanwhile is not known here: perhaps the others came back by themselves too and can't read what was
        // sealed before, not even from the mailbox. Whoever has a message already knows it by its id.
        self.seal_anew(id);
    }

    pub(super) fn trim_past(&mut self, id: ConversationId) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        while state.past.front().is_some_and(|(_, since)| now.ms_since(*since) > PAST_EPOCH_AGE_MS) {
            if let Some((epoch, _)) = state.past.pop_front() {
                self.staging.trim(id, state.record.incarnation, epoch + 1);
                if let Some(group) = &mut state.group {
                    group.trim(epoch + 1);
                    state.touched = true;
                }
            }
        }
    }
}
