//! Conversations and what they owe, in the model.

use protocol::{
    AccountId, CommitHash, ConversationId, DeviceId, Name,
    directory::GroupListing,
    policy::{Access, Role, SignedLeave},
};

use super::{
    super::{
        CommitOutcome, ConversationMade, ConversationRecord, Conversations, Handout, Handouts, Roster, Standing, Stored,
    },
    Inner, MemoryStore,
};

impl Inner {
    fn keep(&mut self, handouts: &[Handout]) {
        for handout in handouts {
            self.handouts.insert((handout.conversation, handout.epoch, handout.number), handout.clone());
        }
    }

    /// The conversation of a roster, if nothing has changed since it was looked at.
    fn unchanged(&mut self, id: ConversationId, epoch: u64, leaves: u64) -> Option<&mut ConversationRecord> {
        let found = self.conversations.get_mut(&id)?;
        (found.roster.epoch == epoch && found.roster.leaves == leaves).then_some(found)
    }
}

impl Conversations for MemoryStore {
    fn create_conversation(&self, record: &ConversationRecord, handouts: &[Handout]) -> Stored<ConversationMade> {
        let mut inner = self.lock();
        if inner.closed_conversations.contains_key(&record.roster.id) {
            return Ok(ConversationMade::Closed);
        }
        match inner.conversations.get(&record.roster.id) {
            Some(known) if known.made_by == record.made_by => Ok(ConversationMade::Made),
            Some(_) => Ok(ConversationMade::Exists),
            None => {
                inner.conversations.insert(record.roster.id, record.clone());
                inner.keep(handouts);
                Ok(ConversationMade::Made)
            }
        }
    }

    fn conversation(&self, id: ConversationId) -> Stored<Option<ConversationRecord>> {
        Ok(self.lock().conversations.get(&id).cloned())
    }

    fn roster(&self, id: ConversationId) -> Stored<Option<Roster>> {
        Ok(self.lock().conversations.get(&id).map(|record| record.roster.clone()))
    }

    fn standing(&self, id: ConversationId, devices: &[DeviceId]) -> Stored<Option<Standing>> {
        let inner = self.lock();
        let standing = |Roster { audience, epoch, members, leaving, .. }: &Roster| Standing {
            audience: audience.clone(),
            epoch: *epoch,
            whose: devices.iter().map(|device| members.get(device).copied()).collect(),
            leaving: leaving.keys().copied().collect(),
        };
        Ok(inner.conversations.get(&id).map(|record| standing(&record.roster)))
    }

    fn commit(&self, hash: CommitHash, next: &ConversationRecord, handouts: &[Handout]) -> Stored<CommitOutcome> {
        let mut inner = self.lock();
        let Roster { id, epoch, leaves, .. } = next.roster;
        let Some(epoch) = epoch.checked_sub(1) else { return Ok(CommitOutcome::WrongEpoch) };
        if let Some(winner) = inner.commits.get(&(id, epoch)) {
            return Ok(if *winner == hash { CommitOutcome::Accepted } else { CommitOutcome::Lost(*winner) });
        }
        if inner.conversations.get(&id).map(|known| known.roster.epoch) != Some(epoch) {
            return Ok(CommitOutcome::WrongEpoch);
        }
        let Some(known) = inner.unchanged(id, epoch, leaves) else { return Ok(CommitOutcome::Moved) };
        *known = ConversationRecord { made_by: known.made_by, ..next.clone() };
        inner.commits.insert((id, epoch), hash);
        inner.keep(handouts);
        Ok(CommitOutcome::Accepted)
    }

    fn commit_of(&self, id: ConversationId, epoch: u64) -> Stored<Option<CommitHash>> {
        Ok(self.lock().commits.get(&(id, epoch)).copied())
    }

    fn ask_to_leave(&self, next: &Roster, handouts: &[Handout]) -> Stored<bool> {
        let mut inner = self.lock();
        let Some(before) = next.leaves.checked_sub(1) else { return Ok(false) };
        let Some(known) = inner.unchanged(next.id, next.epoch, before) else { return Ok(false) };
        (known.roster.leaves, known.roster.leaving) = (next.leaves, next.leaving.clone());
        inner.keep(handouts);
        Ok(true)
    }

    fn close_conversation(&self, roster: &Roster, by: Option<&SignedLeave>) -> Stored<bool> {
        let mut inner = self.lock();
        if inner.unchanged(roster.id, roster.epoch, roster.leaves).is_none() {
            return Ok(false);
        }
        inner.conversations.remove(&roster.id);
        inner.commits.retain(|(of, _), _| *of != roster.id);
        inner.handouts.retain(|(of, ..), _| *of != roster.id);
        inner.closed_conversations.insert(roster.id, by.cloned());
        Ok(true)
    }

    fn closed_by(&self, id: ConversationId) -> Stored<Option<SignedLeave>> {
        Ok(self.lock().closed_conversations.get(&id).cloned().flatten())
    }

    fn groups(&self, asker: AccountId, after: Option<&Name>, at_most: usize) -> Stored<Vec<GroupListing>> {
        let inner = self.lock();
        let listings = inner.conversations.values().filter_map(|record| record.roster.listing(asker));
        let shown = |group: &GroupListing| {
            after.is_none_or(|after| group.name > *after) && (group.access == Access::Open || group.role.is_some())
        };
        let mut groups: Vec<GroupListing> = listings.filter(shown).collect();
        groups.sort_by(|one, other| (&one.name, one.conversation).cmp(&(&other.name, other.conversation)));
        groups.truncate(at_most);
        Ok(groups)
    }

    fn elsewhere(&self, account: AccountId, device: DeviceId, at_most: usize) -> Stored<Vec<ConversationId>> {
        let inner = self.lock();
        let outside = |Roster { audience, members, .. }: &Roster| {
            audience.group().is_none()
                && !members.contains_key(&device)
                && members.values().any(|member| *member == account)
        };
        let rosters = inner.conversations.values().map(|record| &record.roster);
        Ok(rosters.filter(|roster| outside(roster)).map(|roster| roster.id).take(at_most).collect())
    }

    fn groups_of(
        &self,
        account: AccountId,
        after: Option<ConversationId>,
        at_most: usize,
    ) -> Stored<Vec<ConversationId>> {
        let inner = self.lock();
        let inside = |record: &&ConversationRecord| {
            record.roster.audience.group().is_some() && record.roster.role(account).is_some()
        };
        let ids = inner.conversations.values().filter(inside).map(|record| record.roster.id);
        Ok(ids.filter(|id| after.is_none_or(|after| *id > after)).take(at_most).collect())
    }

    fn share_group(&self, one: AccountId, other: AccountId) -> Stored<bool> {
        let joined = |record: &ConversationRecord, account: AccountId| {
            record.roster.audience.group().is_some()
                && record.roster.accounts().get(&account).is_some_and(|role| *role > Role::Invited)
        };
        let inner = self.lock();
        Ok(inner.conversations.values().any(|record| joined(record, one) && joined(record, other)))
    }

    fn group(&self, asker: AccountId, id: ConversationId) -> Stored<Option<GroupListing>> {
        Ok(self.lock().conversations.get(&id).and_then(|record| record.roster.listing(asker)))
    }
}

impl Handouts for MemoryStore {
    fn handouts(&self, of: Option<ConversationId>, at_most: usize) -> Stored<Vec<Handout>> {
        let inner = self.lock();
        let waiting = inner.handouts.values().filter(|handout| of.is_none_or(|of| handout.conversation == of));
        Ok(waiting.take(at_most).cloned().collect())
    }

    fn handed_out(&self, conversation: ConversationId, epoch: u64, number: u64) -> Stored<()> {
        self.lock().handouts.remove(&(conversation, epoch, number));
        Ok(())
    }
}
