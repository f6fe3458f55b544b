//! Whether this account is in a group still: another device of its may have left, or been made to leave, while this one was
//! away. Whoever comes in by itself asks first, since that would take back a request to leave; and what another device
//! wrote into the book is compared with what the directory has now.

use mls_rs::CryptoProvider;
use protocol::{
    ConversationId,
    directory::{Reply, Request},
};

use crate::{
    core::Core,
    event::MemberChange,
    input::{Answer, CallId},
    link::Purpose,
    records::Phase,
};

impl<C: CryptoProvider + Clone> Core<C> {
    /// The question whether this account is in a group still, if it is to be asked now.
    pub(crate) fn confirm(&self, id: ConversationId) -> Option<(Purpose, Request)> {
        let state = self.conversations.get(&id)?;
        let name = state.record.group()?.name.clone();
        let open = match state.record.phase {
            Phase::Lost => state.working.is_inside.is_none() && !self.wants_to_join(id),
            // If a commit took this account out, it tells more.
            Phase::Active => state.working.doubted && self.mail.is_drained(),
            _ => false,
        };
        open.then_some((Purpose::Confirm { conversation: id }, Request::FindGroup { name }))
    }

    pub(crate) fn on_confirmed(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        let Some(reply) = self.conversation_answer(id, call, answer) else { return };
        let Reply::Groups(found) = reply else {
            return self.unexpected(id, "the directory answered for a group's name with something else");
        };
        let inside = found.iter().any(|listing| listing.conversation == id && listing.role.is_some());
        let now = self.now;
        let Some(state) = self.conversations.get_mut(&id) else { return };
        match state.record.phase {
            Phase::Lost => {
                state.working.is_inside = Some(inside);
                // Whoever was out and finds out that they are in has news for the book.
                if let Some(group) = state.record.group_mut().filter(|group| inside && group.known.is_none()) {
                    group.changed_at = now;
                    state.changed = true;
                }
                self.reconcile_conversation(id);
            }
            Phase::Active if state.working.doubted && inside => {
                state.working.doubted = false;
                state.changed = true;
                if let Some(group) = state.record.group_mut() {
                    group.changed_at = now;
                }
                self.book_changed();
            }
            Phase::Active if state.working.doubted => {
                self.note_own_change(id, MemberChange::Left);
                self.depart(id);
            }
            _ => {}
        }
    }

    /// What leads into a group shows that this account is not in it any more, and did not go by what this device has seen.
    pub(super) fn find_oneself_out(&mut self, id: ConversationId, change: MemberChange) {
        let Some(group) = self.group(id) else { return };
        let (was_in, before) = (group.known.is_some(), group.changed_at);
        if was_in {
            self.note_own_change(id, change);
        }
        self.depart(id);
        // Nobody decided that here and now: whatever another device knows of later counts.
        if let Some(group) = self.edit_group(id) {
            group.changed_at = before.plus_ms(1);
        }
    }
}
