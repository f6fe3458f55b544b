//! What happened to whom in a group: told in the order of its commits, as soon as the people's names are known.

use mls_rs::CryptoProvider;
use protocol::{
    ConversationId, MessageId, Name,
    policy::{Committer, Role},
};

use crate::{
    command::{HistoryEntry, MemberLine},
    conversation::ConversationState,
    core::Core,
    crypto::mls::{Applied, Changed, People, changes},
    event::{EventKind, MemberChange},
    records::{ChangeRecord, KnownRecord, Phase},
    stored::Change,
};

/// Changes that wait for a name in one group; the oldest go untold beyond that.
const UNTOLD_MAX: usize = 4_096;

impl<C: CryptoProvider + Clone> ConversationState<C> {
    /// This device falls out of a group: who was in it is kept, so that it can tell what has changed when it is back.
    pub(crate) fn remember_members(&mut self) {
        let Some(policy) = self.policy().cloned().filter(|_| self.record.phase == Phase::Active) else { return };
        let accounts = self.members().map(|member| member.account).collect();
        if let Some(group) = self.record.group_mut() {
            group.known = Some(Box::new(KnownRecord { policy, accounts }));
        }
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// This device is back in a group that it had fallen out of: what became of its people is told. In which order and by
    /// whom nobody can say here any more, so each is told as of the person whom it befell.
    pub(super) fn tell_what_was_missed(&mut self, id: ConversationId) {
        let Some(known) = self.edit_group(id).and_then(|group| group.known.take()) else { return };
        let Some((own, state)) = self.own().zip(self.conversations.get(&id)) else { return };
        let Some(policy) = state.policy() else { return };
        let accounts = state.members().map(|member| member.account).collect();
        let before = People { policy: &known.policy, accounts: &known.accounts };
        let after = People { policy, accounts: &accounts };
        let missed = changes(before, after, Committer::Member(own.account));
        let invited_anew = policy.role(own.account) == Role::Invited && known.policy.role(own.account) > Role::Invited;
        let missed = missed.into_iter().map(|Changed { account, change, .. }| Changed { account, by: account, change });
        let missed: Vec<Changed> = missed.collect();
        if invited_anew {
            self.fail_all_rows(id);
        }
        self.note_changes(id, &missed);
    }

    /// A commit was applied in a group.
    pub(crate) fn on_group_changed(&mut self, id: ConversationId, epoch: u64, applied: &Applied) {
        if !self.is_group(id) {
            return;
        }
        self.note_changes(id, &applied.changes);
        self.drop_granted(id, applied);
        let own = self.own().map(|own| own.account);
        if applied.changes.iter().any(|changed| Some(changed.account) == own && changed.change == MemberChange::Joined)
        {
            // What was said since the invitation.
            self.release_waiting_for_name();
        }
        let gone = applied.changes.iter();
        let gone = gone.filter(|changed| matches!(changed.change, MemberChange::Left | MemberChange::Removed));
        for changed in gone {
            self.fail_rows(id, changed.account);
        }
        self.check_intents(id, applied.by_self.then_some(epoch));
    }

    /// Keeps what a commit changed until it was told.
    pub(super) fn note_changes(&mut self, id: ConversationId, changes: &[Changed]) {
        let at = self.now;
        let Some(group) = self.edit_group(id) else { return };
        for changed in changes {
            let Changed { account, by, change } = *changed;
            group.untold.push_back(ChangeRecord { account, by, change, at });
            if group.untold.len() > UNTOLD_MAX {
                group.untold.pop_front();
            }
        }
        self.tell_changes(id);
    }

    /// This account did something to itself that no commit of others tells of.
    pub(super) fn note_own_change(&mut self, id: ConversationId, change: MemberChange) {
        let Some(own) = self.own().map(|own| own.account) else { return };
        self.note_changes(id, &[Changed { account: own, by: own, change }]);
    }

    /// Names became known, or are known not to be: whatever waited for them is told.
    pub(crate) fn tell_all_changes(&mut self) {
        let waiting = |id: &ConversationId| self.group(*id).is_some_and(|group| !group.untold.is_empty());
        let ids: Vec<ConversationId> = self.conversations.keys().copied().filter(waiting).collect();
        for id in ids {
            self.tell_changes(id);
        }
    }

    fn tell_changes(&mut self, id: ConversationId) {
        while let Some(next) = self.group(id).and_then(|group| group.untold.front().copied()) {
            let names = self.member_name(next.account).zip(self.member_name(next.by));
            // Whom the directory does not name any more nobody can tell of.
            let nameless = [next.account, next.by].iter().any(|account| self.people.is_nameless(*account));
            if names.is_none() && !nameless {
                return;
            }
            if let Some(group) = self.edit_group(id) {
                group.untold.pop_front();
            }
            if let Some((user, by)) = names {
                self.tell_change(id, user, by, next);
            }
        }
    }

    fn tell_change(&mut self, id: ConversationId, user: Name, by: Name, told: ChangeRecord) {
        let Some(name) = self.group(id).map(|group| group.name.clone()) else { return };
        let short = self.next_short_id();
        let mut uid = [0; 16];
        self.entropy.fill_bytes(&mut uid);
        let entry = HistoryEntry {
            id: short,
            uid: MessageId(uid),
            from: by.clone(),
            to: name.clone(),
            text: String::new(),
            at: told.at,
            sent_at: told.at,
            state: None,
            gap: false,
            in_group: true,
            member: Some(MemberLine { user: user.clone(), change: told.change }),
            money: None,
        };
        self.batch.change(Change::Timeline { conversation: id, entry });
        self.batch.event(self.now, EventKind::Member { group: name, user, by, change: told.change });
    }
}
