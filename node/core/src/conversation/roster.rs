//! Whose devices are in a conversation, against whose should be.
//!
//! Members come and go by commits, which their own account's root key has signed for; whether a device is still its
//! account's says the account's latest list. Nothing is sealed while the two differ: a directory that hides that a device
//! was revoked gains nothing by it.

use std::collections::BTreeSet;

use mls_rs::CryptoProvider;
use protocol::{AccountId, ConversationId, PublicKey, peer::Body};

use super::{ConversationState, direct, new_record};
use crate::{core::Core, crypto::mls::Conversation, records::Phase};

/// Generations before the present one of a conversation that are still known by their ids: each was given up because nobody
/// could come back into it, which is rare, and how many there were is another person's word.
const GENERATIONS_OVER_MAX: u32 = 16;

impl<C: CryptoProvider + Clone> Core<C> {
    /// Whether every member is a device that its account's latest list names.
    pub(crate) fn is_listed(&self, id: ConversationId) -> bool {
        let Some(state) = self.conversations.get(&id) else { return false };
        // A group may have thousands, and each message asks several times.
        let now = (state.stamp(), self.people.lists);
        if let Some((_, listed)) = state.working.listed.get().filter(|(as_of, _)| *as_of == now) {
            return listed;
        }
        // Whom a group holds nobody chose for this person: whose list the directory does not show keeps nobody from talking.
        let unseen = state.record.group().is_some();
        let listed = state.members().all(|member| {
            self.people.listed(member.account).map_or(unseen, |listed| listed.contains(&member.entry.device))
        });
        state.working.listed.set(Some((now, listed)));
        listed
    }

    /// Looks for newer lists of whoever has an unlisted device in a conversation.
    pub(crate) fn check_lists(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get(&id) else { return };
        let unlisted = state.members().filter(|member| {
            !self.people.listed(member.account).is_some_and(|listed| listed.contains(&member.entry.device))
        });
        let accounts: Vec<AccountId> = unlisted.map(|member| member.account).collect();
        let own = self.own().map(|own| own.account);
        for account in accounts.into_iter().filter(|account| Some(*account) != own) {
            self.people.doubt(account);
        }
    }

    /// The members changed: whoever is not listed is looked up, of one's own account too.
    pub(crate) fn check_new_members(&mut self, id: ConversationId) {
        self.pin_members(id);
        self.check_lists(id);
        let Some((own, state)) = self.own().zip(self.conversations.get(&id)) else { return };
        let listed = self.people.listed(own.account).unwrap_or_default();
        if state.others(own.device).any(|m| m.account == own.account && !listed.contains(&m.entry.device)) {
            self.link.want_account();
        }
    }

    /// The list of one's own devices is newer than every commit that was seen: members that it does not name are revoked,
    /// and not merely new.
    pub(crate) fn note_revoked(&mut self) {
        let Some(own) = self.own() else { return };
        let listed = self.people.listed(own.account).unwrap_or_default();
        let members = self.conversations.values().flat_map(ConversationState::members);
        let mine = members.filter(|m| m.account == own.account && !listed.contains(&m.entry.device));
        self.people.revoked = mine.map(|member| member.entry.device).collect();
    }

    /// Tells everybody in a conversation of a device list that this device made, as far as it knows: one that was told by
    /// two is told once.
    pub(super) fn tell_list(&mut self, id: ConversationId) {
        let version = self.own().and_then(|own| own.devices.list().ok()).map_or(0, |list| list.version);
        if ![self.account.list_made, self.account.list_asked].contains(&version) {
            return;
        }
        if self.is_group(id) && !self.is_joined(id) {
            return;
        }
        if self.conversations.get(&id).is_some_and(|state| state.record.list_told < version) {
            self.tell_own_list(id);
        }
    }

    /// Tells everybody in a conversation which devices this account has, sealed in the present epoch: whoever lacks a commit
    /// before it notices.
    pub(crate) fn tell_own_list(&mut self, id: ConversationId) {
        if self.is_only_invited(id) {
            return;
        }
        let Some(devices) = self.own().map(|own| own.devices.clone()) else { return };
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.epoch_shown = state.group.as_ref().map_or(0, Conversation::epoch);
        state.record.list_told = devices.list().map_or(0, |list| list.version);
        state.changed = true;
        self.enqueue_hidden(id, Body::Devices(devices), false);
    }

    /// A conversation that another device of this account is in: this one comes in by itself.
    pub(crate) fn expect_conversation(&mut self, account: AccountId, generation: u32) {
        let Some(own_root) = self.own().map(|own| own.root_key) else { return };
        let Some(peer_root) = self.people.get(account).map(|contact| contact.root_key) else { return };
        if self.known_with(account).is_some() {
            return;
        }
        let id = membership::direct_conversation_id(&own_root, &peer_root, generation);
        let mut state = ConversationState::new(new_record(id, direct(account, generation), self.now));
        state.record.phase = Phase::Lost;
        state.record.joined_late = true;
        self.conversations.insert(id, state);
    }

    /// Direct conversations that another device of this account is in, as the directory says: the book names those that a
    /// device could tell of before it was lost. What is not known is looked at as what mail came of: who is in it shows.
    pub(crate) fn enter_elsewhere(&mut self, conversations: &[ConversationId]) {
        let over: BTreeSet<ConversationId> = self.generations_over();
        let known = |id: &ConversationId| self.conversations.contains_key(id) || over.contains(id);
        for id in conversations.iter().filter(|id| !known(id)) {
            self.mail.unknown_conversation(*id);
        }
    }

    /// The latest generations of direct conversations that others have followed.
    fn generations_over(&self) -> BTreeSet<ConversationId> {
        let Some(own) = self.own().map(|own| own.root_key) else { return BTreeSet::new() };
        let held = self.conversations.values().filter_map(|state| state.record.direct());
        let held = held.filter_map(|(peer, generation)| Some((self.people.get(peer)?.root_key, generation)));
        let before = |(peer, generation): (PublicKey, u32)| {
            (generation.saturating_sub(GENERATIONS_OVER_MAX)..generation)
                .map(move |before| membership::direct_conversation_id(&own, &peer, before))
        };
        held.flat_map(before).collect()
    }

    /// The generation of the conversation with somebody, once there is a group.
    pub(crate) fn generation_with(&self, account: AccountId) -> Option<u32> {
        let state = self.conversations.get(&self.known_with(account)?)?;
        let begun = !matches!(state.record.phase, Phase::Absent | Phase::Creating(_));
        state.record.direct().map(|(_, generation)| generation).filter(|_| begun)
    }

    /// This device becomes another one: no group that it was in is its own any more, and what waits is numbered anew.
    pub(crate) fn begin_conversations_anew(&mut self) {
        let ids: Vec<ConversationId> = self.conversations.keys().copied().collect();
        for id in ids {
            let Some(state) = self.conversations.get_mut(&id) else { continue };
            let phase = match state.record.phase {
                Phase::Absent | Phase::Creating(_) => Phase::Absent,
                _ => Phase::Lost,
            };
            state.record.stale_keys = false;
            state.record.departed.clear();
            state.record.list_told = 0;
            if let Some(group) = state.record.group_mut().filter(|_| phase == Phase::Absent) {
                group.intents.clear();
            }
            self.drop_group(id, phase);
            self.renumber(id);
        }
        self.announce_accepted_peers();
    }
}
