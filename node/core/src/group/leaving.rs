//! Going out of a group: asking to, granting what others ask, and what is left behind.

use membership::signing;
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, DeviceId, Timestamp,
    directory::{Refusal, Reply, Request},
    policy::{LEAVE_LABEL, Leave, PolicyRefusal, SignedLeave},
};

use super::{
    intents::Standing,
    refusals::{self, refused},
};
use crate::{
    command::Failure,
    conversation::{ConversationState, submission},
    core::Core,
    crypto::mls::{Applied, Conversation},
    event::{DeliveryState, MemberChange},
    input::{Answer, CallId},
    link::Purpose,
    records::{Intent, Phase},
    stored::Table,
};

/// How long a request to leave waits for what was said before, in milliseconds, and how often.
const LEAVE_WAIT_MS: u64 = 100;
const LEAVE_WAITS_MAX: u32 = 20;
/// How long each device waits for those before it to grant a request to leave, in milliseconds: a commit's round trip.
const GRANT_STEP_MS: u64 = 400;
/// Devices that wait for their turn; whoever comes later in the order waits as long as the last of them, and a while more.
const GRANT_TURNS: u64 = 50;
/// How much longer the others wait at most, in milliseconds.
const GRANT_REST_MS: u64 = 60_000;

impl<C: CryptoProvider + Clone> Core<C> {
    /// Whether something that was said before is still on its way to the directory: afterwards nobody could open it.
    pub(super) fn leave_waits(&mut self, id: ConversationId) -> bool {
        let queued = self.outbox.of(id).any(|entry| entry.record.state == DeliveryState::Queued);
        let at = self.now.plus_ms(LEAVE_WAIT_MS);
        let Some(state) = self.conversations.get_mut(&id) else { return false };
        if !queued || state.working.waited >= LEAVE_WAITS_MAX {
            state.working.waited = 0;
            return false;
        }
        state.working.waited += 1;
        state.flow.wait_until(at);
        true
    }

    /// Why this account can't go out of all its groups, if a group needs it.
    pub(crate) fn needed_in_a_group(&self) -> Option<Failure> {
        self.conversations.keys().find_map(|id| match self.standing(*id, Intent::Leave) {
            Some(Standing::Refused(failure)) => Some(failure),
            _ => None,
        })
    }

    /// This account wants to be out of every group that this device is in.
    pub(crate) fn leave_every_group(&mut self) {
        let inside = |id: &ConversationId| matches!(self.standing(*id, Intent::Leave), Some(Standing::Open));
        let ids: Vec<ConversationId> = self.conversations.keys().copied().filter(inside).collect();
        for id in ids {
            let Some(group) = self.group(id) else { continue };
            // What else was wanted there has no sense any more, and must not hold up the end.
            if !group.intents.iter().any(|intent| intent.what == Intent::Leave) {
                self.end_intents(id, &refusals::leaving());
                if let Err(failure) = self.intend(id, Intent::Leave) {
                    self.report_bug("a group can't be left", &failure);
                }
            }
        }
    }

    /// Whether this account is about to leave a group.
    pub(crate) fn leaves_groups(&self) -> bool {
        let groups = self.conversations.values().filter_map(|state| state.record.group());
        groups.flat_map(|group| &group.intents).any(|intent| intent.what == Intent::Leave)
    }

    /// The groups that it has not left yet are left no more.
    pub(crate) fn stay_in_groups(&mut self) {
        let wanted = |(id, state): (&ConversationId, &ConversationState<C>)| {
            let mut intents = state.record.group()?.intents.iter();
            intents.find(|intent| intent.what == Intent::Leave).map(|intent| (*id, intent.number))
        };
        let wanted: Vec<(ConversationId, u64)> = self.conversations.iter().filter_map(wanted).collect();
        let failure = self.unreachable();
        for (id, number) in wanted {
            self.end_intent(id, number, Err(failure.clone()), None);
        }
    }

    /// This account's request to leave, signed in the present epoch.
    pub(super) fn leave_request(&mut self, id: ConversationId) -> Option<(Purpose, Request)> {
        let own = self.own()?;
        let (account, device) = (own.account, own.device);
        let epoch = self.conversations.get(&id)?.group.as_ref()?.epoch();
        let leave = Leave { conversation: id, account, device, epoch };
        match SignedLeave::bytes(&leave) {
            Ok(bytes) => {
                let signature = signing::sign(self.keys.mls_key(), LEAVE_LABEL, &bytes);
                let leave = SignedLeave { leave: bytes, signature };
                Some((Purpose::Leave { conversation: id }, Request::Leave { leave }))
            }
            Err(error) => {
                self.report_bug("a request to leave cannot be signed", &error);
                None
            }
        }
    }

    /// The directory answered a request to leave: from then on this account is out of the group.
    pub(crate) fn on_leave_answer(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        let refusal = match &answer {
            Answer::Refusal(refusal) => Some(refusal.clone()),
            _ => None,
        };
        let reply = self.conversation_answer(id, call, answer);
        let Some(group) = self.group(id) else { return };
        let name = group.name.clone();
        let Some(intent) = group.intents.iter().find(|intent| intent.what == Intent::Leave).cloned() else { return };
        match (reply, refusal) {
            (Some(Reply::Done), _) | (_, Some(Refusal::Unknown | Refusal::NotMember)) => {
                self.note_own_change(id, MemberChange::Left);
                self.end_intent(id, intent.number, Ok(()), None);
                self.depart(id);
            }
            (Some(_), _) => self.unexpected(id, "the directory answered a request to leave with something else"),
            (None, Some(refusal @ Refusal::Policy(PolicyRefusal::LastOwner))) => {
                self.end_intent(id, intent.number, Err(refused(&refusal, &name)), None);
            }
            // Made anew in the epoch that is the present one by then.
            (None, _) => self.mail.want(),
        }
    }

    /// Another member asks to leave: some other member grants it by a commit.
    pub(crate) fn on_leave(&mut self, id: ConversationId, signed: SignedLeave) {
        if self.is_of_later_epoch(id, &signed) {
            self.report_refused(
                "a commit is missing",
                &"somebody asks to leave in an epoch that this device never saw",
            );
            return self.lose(id);
        }
        let Some(leave) = self.check_leave(id, &signed) else { return };
        let at = self.now.plus_ms(self.grant_delay(id, leave.account));
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.working.grant_at = at;
        let Some(group) = self.edit_group(id) else { return };
        if !group.leaves.contains(&signed) {
            group.leaves.push(signed);
        }
    }

    /// Whether a request was made in an epoch that this device is not in yet. The mailbox is in order: the commit that began
    /// it should have come before.
    fn is_of_later_epoch(&self, id: ConversationId, signed: &SignedLeave) -> bool {
        let state = self.conversations.get(&id).filter(|state| state.is_active());
        let epoch = state.and_then(|state| state.group.as_ref()).map(Conversation::epoch);
        signed.leave().is_ok_and(|leave| leave.conversation == id && epoch.is_some_and(|epoch| leave.epoch > epoch))
    }

    /// What a request to leave says, if a member's device signed it for its account and it still counts.
    fn check_leave(&mut self, id: ConversationId, signed: &SignedLeave) -> Option<Leave> {
        let leave = signed.leave().ok()?;
        let state = self.conversations.get(&id).filter(|state| state.is_active() && leave.conversation == id)?;
        let (policy, group) = (state.policy()?, state.group.as_ref()?);
        let member = state.members().find(|m| m.entry.device == leave.device && m.account == leave.account);
        // Whoever is gone already was let go.
        let key = member?.entry.mls_key;
        if signing::verify(&key, LEAVE_LABEL, &signed.leave, &signed.signature).is_err() {
            self.report_misbehaviour("a request to leave is not signed by a member's device");
            return None;
        }
        policy.with_left(&leave, group.epoch()).is_ok().then_some(leave)
    }

    /// How long this device waits for others to grant a request: each has its turn, so that not all try at once.
    fn grant_delay(&mut self, id: ConversationId, leaver: AccountId) -> u64 {
        let rest = self.entropy.next_u64() % GRANT_REST_MS;
        let (Some(own), Some(state)) = (self.own_device(), self.conversations.get(&id)) else { return 0 };
        let before = |device: DeviceId| device < own;
        let turn = state.members().filter(|m| m.account != leaver && before(m.entry.device)).count() as u64;
        if turn < GRANT_TURNS { turn * GRANT_STEP_MS } else { GRANT_TURNS * GRANT_STEP_MS + rest }
    }

    /// Makes the commit that grants a request to leave, if it is this device's turn.
    pub(super) fn grant_leave(&mut self, id: ConversationId) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let due = state.working.grant_at <= now;
        let first = state.record.group().and_then(|group| group.leaves.first().cloned()).filter(|_| due);
        let (Some(signed), Some(policy)) = (first, state.policy().cloned()) else { return };
        let Some(group) = &mut state.group else { return };
        group.drop_pending();
        let next = signed.leave().ok().and_then(|leave| policy.with_left(&leave, group.epoch()).ok());
        let made = next.and_then(|next| {
            let made = group.propose_leave(now, &next, &signed).map_err(|error| error.to_string());
            made.and_then(|commit| submission(id, commit)).ok()
        });
        state.touched = true;
        state.changed = true;
        match made {
            Some(made) => {
                state.record.refresh = Some(made);
                state.refresh_accepted = false;
            }
            // It does not count any more.
            None => {
                if let Some(group) = state.record.group_mut() {
                    group.leaves.retain(|leave| *leave != signed);
                }
            }
        }
    }

    /// Forgets requests to leave that a commit granted, or that do not count any more: whoever comes in anew takes theirs
    /// back.
    pub(super) fn drop_granted(&mut self, id: ConversationId, applied: &Applied) {
        let Some(state) = self.conversations.get(&id) else { return };
        let Some((policy, group)) = state.policy().zip(state.group.as_ref()) else { return };
        let epoch = group.epoch();
        let back = applied.committer.as_ref().filter(|_| applied.joined_by_itself).map(|device| device.account);
        let counts = |leave: &Leave| {
            let present = Some(leave.account) != back && state.role_of(leave.account).is_some();
            present && policy.with_left(leave, epoch) != Err(PolicyRefusal::StaleLeave)
        };
        let leaves = state.record.group().map(|group| group.leaves.clone()).unwrap_or_default();
        let kept: Vec<SignedLeave> =
            leaves.iter().filter(|signed| signed.leave().is_ok_and(|leave| counts(&leave))).cloned().collect();
        if kept.len() == leaves.len() {
            return;
        }
        if let Some(group) = self.edit_group(id) {
            group.leaves = kept;
        }
    }

    /// A commit took this device out of a group.
    pub(crate) fn on_removed_from_group(&mut self, id: ConversationId, applied: &Applied) {
        let Some(own) = self.own().map(|own| own.account).filter(|_| self.is_group(id)) else { return };
        let gone = |change| matches!(change, MemberChange::Left | MemberChange::Removed);
        let whole = applied.changes.iter().any(|changed| changed.account == own && gone(changed.change));
        self.note_changes(id, &applied.changes);
        // A device of an account that stays in it was revoked, and hears so otherwise.
        if whole {
            self.depart(id);
        }
    }

    /// This account is in a group no more: what was said stays, and everything else goes.
    pub(crate) fn depart(&mut self, id: ConversationId) {
        let Some(name) = self.group(id).map(|group| group.name.clone()) else { return };
        self.drop_group(id, Phase::Absent);
        self.fail_all_rows(id);
        for (key, _) in self.mail.take_waiting(id) {
            self.batch.delete(Table::Waiting, key);
        }
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        let taken: Vec<(DeviceId, u64)> =
            state.record.senders.drain(..).map(|sender| (sender.device, sender.next)).collect();
        state.record.latest.clear();
        state.record.departed.clear();
        state.record.stale_keys = false;
        state.record.unread = 0;
        state.record.list_told = 0;
        // Whoever comes back has missed what was said meanwhile, and is not told of it as of a gap.
        state.record.joined_late = true;
        state.gaps.clear();
        state.early.clear();
        state.wanted = false;
        state.working.grant_at = Timestamp(0);
        state.working.doubted = false;
        if let Some(group) = state.record.group_mut() {
            group.leaves.clear();
            group.known = None;
            group.taken_below.retain(|(device, _)| taken.iter().all(|(newer, _)| newer != device));
            group.taken_below.extend(taken);
            group.changed_at = now;
        }
        state.changed = true;
        self.end_intents(id, &refusals::not_a_member(&name));
        self.announce_accepted_peers();
        self.book_changed();
    }
}
