//! Coming into a conversation: making it, following a Welcome, coming in by oneself.

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, DeviceId,
    directory::{HandshakeBytes, KeyPackageBytes, NewConversation, Refusal, Reply, TreeBytes},
    policy::Policy,
};

use super::{ConversationState, WELCOME_WAIT_MS, direct, is_final, known_incarnation, new_record, submission};
use crate::{
    core::Core,
    crypto::mls::{Conversation, Creation, JoinError, Joined},
    input::{Answer, CallId},
    records::Phase,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn on_key_packages(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        if self.conversations.get(&id).is_some_and(|state| state.record.group().is_some()) {
            return self.on_invitation_packages(id, call, answer);
        }
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

    pub(super) fn create(&mut self, id: ConversationId, packages: &[KeyPackageBytes]) {
        let now = self.now;
        let Some(state) = self.conversations.get(&id) else { return };
        let incarnation = state.record.incarnation + 1;
        let Some((peer, generation)) = state.record.direct() else { return };
        let roots = self.own().map(|own| own.root_key).zip(self.people.get(peer).map(|c| c.root_key));
        let (Some((own, peer)), Some(mls)) = (roots, &self.mls) else { return };
        let policy = membership::direct_policy(own, peer, generation);
        let made = mls.create(now, &policy, incarnation, packages).map_err(|error| error.to_string());
        let made = made.and_then(|(group, made)| Ok((group, creation(id, made)?)));
        match made {
            Ok((group, _)) if !self.check_packages(id, group.members()) => {
                self.staging.forget(id, incarnation);
                self.delay(id);
            }
            Ok((group, creation)) => self.begin_creating(id, group, incarnation, creation),
            Err(error) => {
                self.report_refused("a conversation cannot be made with what the directory gave", &error);
                self.staging.forget(id, incarnation);
                self.delay(id);
            }
        }
        self.reconcile_conversation(id);
    }

    /// What was made is this conversation's, if the directory takes it.
    pub(crate) fn begin_creating(
        &mut self,
        id: ConversationId,
        group: Conversation<C>,
        incarnation: u64,
        creation: NewConversation,
    ) {
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.adopt(group, incarnation);
        state.record.epoch_since = now;
        state.record.sent_in_epoch = 0;
        state.record.stale_keys = false;
        state.set_phase(Phase::Creating(Box::new(creation)));
    }

    /// Whether the devices that a conversation is to begin with are on their accounts' latest lists. One that is not is
    /// newer than the list that is known here, or was revoked: only the next list tells.
    fn check_packages<'a>(&mut self, id: ConversationId, members: impl Iterator<Item = &'a VerifiedDevice>) -> bool {
        let listed = |member: &&VerifiedDevice| {
            self.people.listed(member.account).is_some_and(|listed| listed.contains(&member.entry.device))
        };
        let unlisted: Vec<AccountId> = members.filter(|member| !listed(member)).map(|member| member.account).collect();
        let Some(account) = unlisted.first().copied() else { return true };
        let asked = self.conversations.get_mut(&id).is_some_and(|state| std::mem::replace(&mut state.list_asked, true));
        if asked && !self.people.is_doubted(account) {
            self.report_misbehaviour("a key package of a device that its account's list does not name");
        }
        self.people.doubt(account);
        false
    }

    pub(crate) fn on_created(&mut self, id: ConversationId, incarnation: u64, call: CallId, answer: Answer) {
        let refused = matches!(&answer, Answer::Refusal(refusal) if is_final(refusal));
        if self.on_group_not_created(id, call, &answer) {
            return;
        }
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
        let known = self.conversations.get(&id);
        let active = known.and_then(|state| state.group.as_ref().filter(|_| state.is_active()));
        // Whoever is in a group gets a Welcome into a later epoch if they went, and do not know yet, and were invited again.
        let epoch = active.filter(|_| self.is_group(id)).map(Conversation::epoch);
        if known.is_some_and(|state| matches!(state.record.phase, Phase::Active | Phase::Rejoining(_)))
            && epoch.is_none()
        {
            return;
        }
        let incarnation = known_incarnation(known) + 1;
        let Some(mls) = &self.mls else { return };
        match mls.join(self.now, incarnation, welcome, tree) {
            Ok(joined) if epoch.is_some_and(|epoch| joined.conversation.epoch() <= epoch) => {
                self.staging.forget(id, incarnation);
            }
            Err(_) if epoch.is_some() => self.staging.forget(id, incarnation),
            Ok(joined) if joined.conversation.id() == id => self.follow_welcome(id, incarnation, joined),
            Ok(_) => {
                self.staging.forget(id, incarnation);
                self.report_misbehaviour("a Welcome leads into another conversation than it says");
            }
            Err(error) => self.on_welcome_failed(id, incarnation, &error),
        }
    }

    fn follow_welcome(&mut self, id: ConversationId, incarnation: u64, joined: Joined<C>) {
        let Joined { conversation: group, by_last_resort, inviter } = joined;
        if matches!(group.policy(), Policy::Group(_)) {
            return self.follow_invitation(id, incarnation, group, by_last_resort, inviter);
        }
        let own = self.own().map(|own| own.account);
        let peer = group.members().find(|member| Some(member.account) != own).map(|member| member.entry.root_key);
        let (Some(peer), Policy::Direct { generation, .. }) = (peer, group.policy().clone()) else {
            self.staging.forget(id, incarnation);
            return self.report_misbehaviour("a Welcome leads into a conversation with nobody");
        };
        let account = self.people.pin(peer);
        if !self.follow_generation(id, account, generation, &[inviter]) {
            return self.staging.forget(id, incarnation);
        }
        if known_incarnation(self.conversations.get(&id)) > 0 {
            self.drop_group(id, Phase::Lost);
        }
        let now = self.now;
        let state = self.conversations.entry(id);
        let state = state.or_insert_with(|| ConversationState::new(new_record(id, direct(account, generation), now)));
        state.adopt(group, incarnation);
        state.record.stale_keys = by_last_resort;
        self.activate(id);
    }

    pub(super) fn on_welcome_failed(&mut self, id: ConversationId, incarnation: u64, error: &JoinError) {
        self.staging.forget(id, incarnation);
        self.report_refused("a Welcome cannot be used", error);
        // If the conversation is one that this device should be in, it comes in by itself.
        if matches!(error, JoinError::NotForUs) {
            self.follow_lost_invitation(id);
        }
        if let Some(state) = self.conversations.get_mut(&id) {
            state.flow.retry_now();
        } else if !matches!(error, JoinError::Malformed { .. }) {
            self.mail.unknown_conversation(id);
        }
    }

    pub(crate) fn on_group(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        let unknown = matches!(answer, Answer::Refusal(Refusal::Unknown));
        if !self.conversations.contains_key(&id) {
            return self.on_stray_group(id, answer);
        }
        let refusal = match &answer {
            Answer::Refusal(refusal) => Some(refusal.clone()),
            _ => None,
        };
        let reply = self.conversation_answer(id, call, answer);
        if self.conversations.get(&id).is_none_or(|state| state.record.phase != Phase::Lost) {
            return;
        }
        if let Some(refusal) = refusal.filter(|_| self.is_group(id)) {
            return self.on_kept_out(id, &refusal);
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
    pub(super) fn on_stray_group(&mut self, id: ConversationId, answer: Answer) {
        let lost = answer == Answer::Lost;
        if let Answer::Reply(reply) = answer
            && let Reply::Group { group_info, tree, .. } = *reply
        {
            self.rejoin(id, &group_info, &tree);
        }
        let jitter = self.jitter();
        self.mail.stray_answered(id, lost, self.now, jitter);
    }

    pub(super) fn rejoin(&mut self, id: ConversationId, group_info: &[u8], tree: &[u8]) {
        let now = self.now;
        let incarnation = known_incarnation(self.conversations.get(&id)) + 1;
        let own = self.own().map(|own| own.account);
        let Some(mls) = &self.mls else { return };
        let joined = mls.rejoin(now, incarnation, group_info, tree);
        if self.is_group(id) || joined.as_ref().is_ok_and(|(group, _)| matches!(group.policy(), Policy::Group(_))) {
            return self.enter_group(id, incarnation, tree, joined);
        }
        let joined = joined.map_err(|error| error.to_string()).and_then(|(group, commit)| {
            let peer = group.members().find(|member| Some(member.account) != own);
            let root_key = peer.ok_or_else(|| "nobody else is in it".to_owned())?.entry.root_key;
            if group.id() != id {
                return Err("it is another conversation".to_owned());
            }
            Ok((group, root_key, submission(id, commit)?))
        });
        match joined {
            Ok((group, root_key, submission)) => {
                let peer = self.people.pin(root_key);
                let Policy::Direct { generation, .. } = *group.policy() else { return };
                let others = group.members().filter(|member| member.account == peer);
                let others: Vec<DeviceId> = others.map(|member| member.entry.device).collect();
                if !self.follow_generation(id, peer, generation, &others) {
                    return self.staging.forget(id, incarnation);
                }
                let state = self.conversations.entry(id);
                let state =
                    state.or_insert_with(|| ConversationState::new(new_record(id, direct(peer, generation), now)));
                state.adopt(group, incarnation);
                state.record.stale_keys = false;
                state.failed_rejoins = 0;
                state.set_phase(Phase::Rejoining(Box::new(submission)));
                self.reconcile_conversation(id);
            }
            Err(error) => {
                self.staging.forget(id, incarnation);
                self.report_refused("a conversation cannot be rejoined", &error);
                self.on_rejoin_failed(id);
            }
        }
    }
}

/// What the directory gets of a conversation that was made.
pub(crate) fn creation(conversation: ConversationId, made: Creation) -> Result<NewConversation, String> {
    let bytes = |bytes: Vec<u8>| HandshakeBytes::new(bytes).map_err(|error| error.to_string());
    Ok(NewConversation {
        conversation,
        group_info: bytes(made.group_info)?,
        tree: TreeBytes::new(made.tree).map_err(|error| error.to_string())?,
        welcome: bytes(made.welcome)?,
    })
}
