//! Coming into a group: making it, following an invitation, joining an open one, coming in as a further device or anew.

use mls_rs::CryptoProvider;
use protocol::{
    ConversationId, DeviceId, Name, Timestamp,
    directory::{GroupListing, Refusal, Reply, Request},
    policy::{Access, GroupPolicy, Policy, Role},
};

use super::refusals::{self, refused};
use crate::{
    command::Failure,
    conversation::{ConversationState, joining::creation, known_incarnation, new_record, submission},
    core::Core,
    crypto::mls::{Changed, Commit, Conversation, JoinError},
    event::MemberChange,
    input::{Answer, CallId},
    link::Purpose,
    records::{GroupRecord, Intent, Phase},
    stored::Table,
};

/// How often what the directory gives of a group may lead nowhere before whoever wants to join hears of it.
const JOINS_MAX: u32 = 3;

impl<C: CryptoProvider + Clone> Core<C> {
    /// Makes a group that this account owns; it counts when the directory takes it.
    pub(super) fn found_group(&mut self, name: &Name, access: Access) -> Result<(ConversationId, u64), Failure> {
        let own = self.own().map(|own| own.account).ok_or_else(refusals::unknown_here)?;
        let mut nonce = [0; 16];
        self.entropy.fill_bytes(&mut nonce);
        let policy = Policy::Group(Box::new(GroupPolicy::founded(name.clone(), own, nonce, access)));
        let id = membership::conversation_id(&policy);
        let record = new_record(id, self.new_group(name.clone()), self.now);
        let incarnation = record.incarnation + 1;
        self.conversations.insert(id, ConversationState::new(record));
        let number = self.intend(id, Intent::Join)?;
        let Some(mls) = &self.mls else { return Err(refusals::unknown_here()) };
        let made = mls.create(self.now, &policy, incarnation, &[]).map_err(|error| error.to_string());
        match made.and_then(|(group, made)| Ok((group, creation(id, made)?))) {
            Ok((group, creation)) => {
                self.begin_creating(id, group, incarnation, creation);
                self.reconcile_conversation(id);
                Ok((id, number))
            }
            Err(error) => {
                self.report_bug("a group cannot be made", &error);
                self.forget_group(id);
                Err(refusals::unknown_here())
            }
        }
    }

    /// Whether it was a group that the directory did not take, for good.
    pub(crate) fn on_group_not_created(&mut self, id: ConversationId, call: CallId, answer: &Answer) -> bool {
        let Some(name) = self.group(id).map(|group| group.name.clone()) else { return false };
        let refusal = match answer {
            Answer::Refusal(Refusal::RateLimited { .. } | Refusal::Unavailable | Refusal::NotSignedIn) => return false,
            Answer::Refusal(refusal) => refusal.clone(),
            Answer::Reply(reply) if matches!(**reply, Reply::ConversationExists) => Refusal::NameTaken,
            _ => return false,
        };
        self.conversation_answer(id, call, answer.clone());
        self.end_intents(id, &refused(&refusal, &name));
        self.forget_group(id);
        true
    }

    /// A group of which nothing ever was goes without a trace.
    fn forget_group(&mut self, id: ConversationId) {
        self.drop_group(id, Phase::Absent);
        self.conversations.remove(&id);
        self.batch.delete(Table::Conversation, id.0.to_vec());
    }

    /// A group that this account is in, or wants to be in, and this device is not: it comes in by an external commit.
    pub(super) fn enter_by_itself(&mut self, listing: &GroupListing) -> ConversationId {
        let (id, now) = (listing.conversation, self.now);
        let was_out = self.phase(id).is_none_or(|phase| phase == Phase::Absent);
        self.expect_group(id, &listing.name);
        // Another device of this account is in it already: that is news to the book.
        if let Some(group) = self.edit_group(id).filter(|_| was_out && listing.role.is_some()) {
            group.changed_at = now;
        }
        id
    }

    pub(crate) fn expect_group(&mut self, id: ConversationId, name: &Name) {
        if !self.conversations.contains_key(&id) {
            let record = new_record(id, self.new_group(name.clone()), self.now);
            self.conversations.insert(id, ConversationState::new(record));
        }
        let Some(state) = self.conversations.get_mut(&id) else { return };
        if state.record.phase == Phase::Absent {
            state.record.joined_late = true;
            state.set_phase(Phase::Lost);
        }
    }

    /// A Welcome leads into a group: this account is invited.
    pub(crate) fn follow_invitation(
        &mut self,
        id: ConversationId,
        incarnation: u64,
        group: Conversation<C>,
        by_last_resort: bool,
        inviter: DeviceId,
    ) {
        let Policy::Group(policy) = group.policy().clone() else { return };
        let named = self.group_named(&policy.name).filter(|known| *known != id);
        let taken = named.and_then(|known| self.conversations.get(&known));
        if taken.is_some_and(|state| state.record.phase != Phase::Absent) || self.people.by_name(&policy.name).is_some()
        {
            self.staging.forget(id, incarnation);
            return self.report_misbehaviour("a Welcome leads into a group whose name is somebody else's here");
        }
        let by = group.members().find(|member| member.entry.device == inviter).map(|member| member.account);
        let held = self.conversations.get(&id);
        // Whoever only wants to come in, or hears of the group from the book, has not been in it.
        let was_in = |state: &ConversationState<C>| {
            state.is_active() || state.record.group().is_some_and(|group| group.known.is_some())
        };
        let returning = held.is_some_and(was_in);
        if known_incarnation(held) > 0 {
            self.drop_group(id, if returning { Phase::Lost } else { Phase::Absent });
        }
        let (now, kind) = (self.now, self.new_group(policy.name.clone()));
        let state = self.conversations.entry(id);
        let state = state.or_insert_with(|| ConversationState::new(new_record(id, kind, now)));
        state.adopt(group, incarnation);
        state.record.stale_keys = by_last_resort;
        state.record.joined_late = true;
        if let Some(group) = state.record.group_mut() {
            group.changed_at = now;
        }
        self.activate(id);
        let invited = self.own().map(|own| own.account).zip(by);
        if let Some((account, by)) = invited.filter(|_| !returning) {
            self.note_changes(id, &[Changed { account, by, change: MemberChange::Invited }]);
        }
        self.check_intents(id, None);
    }

    /// A Welcome into a group that this account was in once can't be used, as when its key package led into another
    /// conversation before: if the account is invited, this device comes in by itself.
    pub(crate) fn follow_lost_invitation(&mut self, id: ConversationId) {
        let out = self.group(id).filter(|_| self.phase(id) == Some(Phase::Absent));
        if let Some(name) = out.map(|group| group.name.clone()) {
            self.expect_group(id, &name);
        }
    }

    /// What the directory gave of a group was turned into an external commit, or could not be.
    pub(crate) fn enter_group(
        &mut self,
        id: ConversationId,
        incarnation: u64,
        tree: &[u8],
        joined: Result<(Conversation<C>, Commit), JoinError>,
    ) {
        let was_in = self.mls.as_ref().is_some_and(|mls| mls.is_in(tree));
        let leaving = self.conversations.get(&id).is_some_and(|state| state.working.is_inside == Some(false));
        if (!was_in || leaving) && !self.wants_to_join(id) {
            // The account is out of it, perhaps by another of its devices: nobody but the person leads it in again.
            self.staging.forget(id, incarnation);
            return self.find_oneself_out(id, MemberChange::Left);
        }
        let joined = joined.and_then(|(group, commit)| {
            let known = self.group(id).map(|known| known.name.clone());
            match group.policy() {
                Policy::Group(policy) if known.is_none_or(|known| known == policy.name) && group.id() == id => {
                    Ok((policy.name.clone(), group, commit))
                }
                _ => Err(JoinError::Foreign),
            }
        });
        let entered = joined.map(|(name, group, commit)| (name, group, submission(id, commit)));
        match entered {
            Ok((name, group, Ok(submission))) => {
                self.expect_group(id, &name);
                let Some(state) = self.conversations.get_mut(&id) else { return };
                state.adopt(group, incarnation);
                state.record.stale_keys = false;
                state.set_phase(Phase::Rejoining(Box::new(submission)));
                self.reconcile_conversation(id);
            }
            Ok((.., Err(error))) => self.on_not_entered(id, incarnation, &error, None),
            Err(JoinError::Refused(error)) => {
                let failure = self.group(id).map(|group| refusals::rules(&error, &group.name));
                self.on_not_entered(id, incarnation, &error, failure);
            }
            Err(error) => self.on_not_entered(id, incarnation, &error, None),
        }
    }

    fn on_not_entered(
        &mut self,
        id: ConversationId,
        incarnation: u64,
        error: &dyn std::fmt::Display,
        failure: Option<Failure>,
    ) {
        self.staging.forget(id, incarnation);
        self.report_refused("a group cannot be entered with what the directory gave", error);
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.failed_rejoins += 1;
        let tired = state.failed_rejoins >= JOINS_MAX && self.wants_to_join(id);
        match (failure, self.group(id).map(|group| group.name.clone())) {
            (Some(failure), _) => self.give_up_joining(id, &failure),
            (None, Some(name)) if tired => self.give_up_joining(id, &refusals::untrue(&name)),
            _ => self.delay(id),
        }
    }

    /// The directory does not give what leads into a group: this account is not in it any more, or may not come in.
    pub(crate) fn on_kept_out(&mut self, id: ConversationId, refusal: &Refusal) {
        let out = matches!(refusal, Refusal::Unknown | Refusal::NotMember | Refusal::Policy(_));
        if let Some(name) = self.group(id).map(|group| group.name.clone()).filter(|_| out) {
            self.give_up_joining(id, &refused(refusal, &name));
        }
    }

    fn give_up_joining(&mut self, id: ConversationId, failure: &Failure) {
        let was_in = !self.wants_to_join(id);
        self.end_intents(id, failure);
        let never = self.conversations.get(&id).is_some_and(|state| state.record.incarnation == 0);
        if was_in {
            return self.find_oneself_out(id, MemberChange::Removed);
        }
        if never {
            return self.forget_group(id);
        }
        self.depart(id);
    }

    /// This device is in a group now.
    pub(crate) fn on_group_entered(&mut self, id: ConversationId, by_itself: bool) {
        let (Some(own), true) = (self.own().map(|own| own.account), self.is_group(id)) else { return };
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.failed_rejoins = 0;
        state.working.grant_at = Timestamp(0);
        let founded = state.policy().is_some_and(|policy| policy.founder == own)
            && state.group.as_ref().is_some_and(|group| group.epoch() <= 1);
        let role = state.role_of(own);
        let Some(group) = state.record.group_mut() else { return };
        let joining = group.intents.iter().any(|intent| intent.what == Intent::Join);
        let joined = joining && role.is_some_and(|role| role > Role::Invited);
        if joining {
            group.changed_at = now;
        }
        // Whoever was invited, fell out and has joined meanwhile is told so with what was missed.
        let told = group.known.is_some();
        self.tell_what_was_missed(id);
        self.fail_rows_of_the_gone(id);
        if role == Some(Role::Invited) && !joining {
            // What was said here while the account was in it, as far as this device knew, reaches nobody.
            self.fail_all_rows(id);
        }
        if by_itself && !told && role == Some(Role::Invited) {
            self.note_own_change(id, MemberChange::Invited);
        }
        if joined && !founded && !told {
            self.note_own_change(id, MemberChange::Joined);
        }
        self.release_waiting_for_name();
    }

    /// Groups that this account is in, or was: what the book holds of them.
    pub(crate) fn groups_of_book(&self) -> Vec<(ConversationId, Name, bool, Timestamp)> {
        let begun = |phase: &Phase| !matches!(phase, Phase::Creating(_));
        let groups = self.conversations.iter().filter(|(_, state)| begun(&state.record.phase));
        let groups = groups.filter_map(|(id, state)| {
            let group = state.record.group()?;
            // Whoever only wants to come in is not in yet.
            let inside = state.record.phase != Phase::Absent && !self.wants_to_join(*id) && !state.working.doubted;
            Some((*id, group.name.clone(), inside, group.changed_at))
        });
        groups.collect()
    }

    /// What another device of this account says of a group.
    pub(crate) fn take_group_of_book(&mut self, id: ConversationId, name: &Name, inside: bool, changed_at: Timestamp) {
        let known = self.conversations.get(&id);
        let known_inside = known.is_some_and(|state| state.record.phase != Phase::Absent) && !self.wants_to_join(id);
        // Of two words of the same moment the one that says that the account is in it counts: whether that is so shows when
        // this device comes in.
        let is_news = |group: &GroupRecord| {
            group.changed_at < changed_at || group.changed_at == changed_at && inside && !known_inside
        };
        if known.is_some_and(|state| !state.record.group().is_some_and(is_news)) {
            return;
        }
        let was_in = known.is_some_and(|state| state.record.phase != Phase::Absent);
        if inside && known_inside {
            // Perhaps the account had gone in between, and this device with it.
            self.whereabouts.want();
        } else if inside {
            self.expect_group(id, name);
        } else if was_in {
            self.doubt_group(id);
        } else if known.is_none() {
            let record = new_record(id, self.new_group(name.clone()), self.now);
            self.conversations.insert(id, ConversationState::new(record));
        }
        if let Some(group) = self.edit_group(id) {
            group.changed_at = changed_at;
        }
    }

    /// Another device says that this account is in a group no more. If this one is in it, the directory knows better; else it
    /// asks before it comes in.
    fn doubt_group(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        match state.record.phase {
            Phase::Active => {
                state.working.doubted = true;
                state.flow.retry_now();
                self.mail.want();
            }
            _ => state.working.is_inside = None,
        }
    }

    /// Asks the directory for a group by its name.
    pub(crate) fn ask_for_group(&mut self, token: crate::command::CommandToken, name: Name) {
        self.ask(Purpose::Waiter { token }, Request::FindGroup { name });
    }
}
