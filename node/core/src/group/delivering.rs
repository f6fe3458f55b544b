//! What is said in a group, on its way: one ciphertext for all, and a state for each of its people.
//!
//! Who gets a message is settled when it is first sealed. Whoever comes later gets it never, whoever goes before it has
//! arrived has missed it, and nobody's failure holds up anybody else.

use std::collections::BTreeSet;

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{AccountId, ConversationId, DeviceId, MessageId, policy::Role};

use crate::{
    core::Core,
    event::{DeliveryState, EventKind},
    outbox::OutboxEntry,
    records::RowRecord,
    stored::Change,
};

/// How often in a row the mailbox refuses this device as none of a group's before it comes in anew.
const DEPOSITS_REFUSED_MAX: u32 = 3;

/// How far a message has come towards whoever is furthest from having it. It has failed when nobody will get it.
fn overall(rows: &[RowRecord]) -> DeliveryState {
    let counted = || rows.iter().filter(|row| row.counted).map(|row| row.state);
    let open = counted().filter(|state| *state != DeliveryState::Failed).min();
    let failed = || counted().next().map_or(DeliveryState::Delivered, |_| DeliveryState::Failed);
    open.unwrap_or_else(failed)
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Who would get a message in a group if it were sealed now.
    pub(crate) fn rows_now(&self, id: ConversationId) -> Vec<RowRecord> {
        let Some((own, state)) = self.own().zip(self.conversations.get(&id)) else { return Vec::new() };
        let Some(policy) = state.policy() else { return Vec::new() };
        let others = state.members().map(|member| member.account).filter(|account| *account != own.account);
        let mut others: Vec<AccountId> = others.filter(|account| !state.is_leaving(*account)).collect();
        others.sort_unstable();
        others.dedup();
        let row = |account| RowRecord {
            account,
            state: DeliveryState::Queued,
            counted: policy.role(account) > Role::Invited,
        };
        others.into_iter().map(row).collect()
    }

    /// A message to a group is sealed for the first time: these people get it.
    pub(crate) fn settle_rows(&mut self, message: MessageId, id: ConversationId) {
        let rows = self.rows_now(id);
        let Some(entry) = self.outbox.edit(message) else { return };
        if !entry.record.settled && !entry.record.own_only {
            entry.record.rows = rows;
            entry.record.settled = true;
        }
        self.settle_overall(message);
    }

    /// A message made progress towards one of a group's people; states never go back.
    pub(crate) fn advance_row(
        &mut self,
        message: MessageId,
        account: AccountId,
        state: DeliveryState,
        reason: Option<String>,
    ) {
        self.advance_all(message, &BTreeSet::from([account]), state, reason.as_deref());
    }

    /// The same towards many at once: what that costs grows with how many they are, and not with its square.
    fn advance_all(
        &mut self,
        message: MessageId,
        accounts: &BTreeSet<AccountId>,
        state: DeliveryState,
        reason: Option<&str>,
    ) {
        let moves = |row: &RowRecord| {
            let arrived = row.state == DeliveryState::Delivered || row.state == DeliveryState::Read;
            let onward = state > row.state && !(arrived && state == DeliveryState::Failed);
            onward && accounts.contains(&row.account)
        };
        if !self.outbox.get(message).is_some_and(|entry| entry.record.rows.iter().any(moves)) {
            return;
        }
        let Some(entry) = self.outbox.edit(message) else { return };
        let (short, conversation) = (entry.record.short, entry.record.conversation);
        let mut told = Vec::new();
        for row in entry.record.rows.iter_mut().filter(|row| moves(row)) {
            row.state = state;
            told.extend(row.counted.then_some(row.account));
        }
        let group = self.group(conversation).map(|group| group.name.clone());
        if short.is_none() {
            for to in &told {
                self.on_offer_advanced(message, Some(*to), state, reason);
            }
        }
        if let Some((id, group)) = short.zip(group) {
            for to in told.into_iter().filter_map(|account| self.people.name_of(account).cloned()) {
                let (reason, group) = (reason.map(str::to_owned), Some(group.clone()));
                self.batch.event(self.now, EventKind::Receipt { id, uid: message, to, state, reason, group });
            }
        }
        self.settle_overall(message);
    }

    fn settle_overall(&mut self, message: MessageId) {
        let Some(entry) = self.outbox.get(message).filter(|entry| !entry.record.own_only) else { return };
        let state = overall(&entry.record.rows);
        if state != entry.record.state
            && let Some(entry) = self.outbox.edit(message)
        {
            entry.record.state = state;
            if entry.record.short.is_some() {
                self.batch.change(Change::TimelineState { uid: message, state });
            }
        }
        self.settle_group_send(message, false);
    }

    /// A message that nobody else who has joined is there for has arrived as it is said. Whoever joins later was not there,
    /// though it may still wait for one's own other devices.
    pub(crate) fn settle_alone(&mut self, id: ConversationId, message: MessageId) {
        if self.is_joined(id) && self.rows_now(id).iter().all(|row| !row.counted) {
            self.settle_rows(message, id);
        }
    }

    /// The mailbox has copies for these devices.
    pub(crate) fn advance_rows(&mut self, message: MessageId, id: ConversationId, devices: &[DeviceId]) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.working.deposits_refused = 0;
        let devices: BTreeSet<DeviceId> = devices.iter().copied().collect();
        let meant = |member: &&VerifiedDevice| devices.contains(&member.entry.device);
        let accounts: BTreeSet<AccountId> = state.members().filter(meant).map(|member| member.account).collect();
        self.advance_all(message, &accounts, DeliveryState::Sent, None);
    }

    /// This device is in a group anew: whoever went meanwhile went unseen, and so did whoever is invited and had joined.
    pub(super) fn fail_rows_of_the_gone(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get(&id) else { return };
        let gone = |row: &RowRecord| match state.role_of(row.account) {
            Some(role) => row.counted && role == Role::Invited,
            None => true,
        };
        let rows = self.outbox.of(id).flat_map(|entry| &entry.record.rows);
        let gone: BTreeSet<AccountId> = rows.filter(|row| gone(row)).map(|row| row.account).collect();
        for account in gone {
            self.fail_rows(id, account);
        }
    }

    /// Somebody is in a group no more: what has not reached them does not reach them.
    pub(super) fn fail_rows(&mut self, id: ConversationId, account: AccountId) {
        let messages: Vec<MessageId> = self.outbox.of(id).map(|entry| entry.record.id).collect();
        for message in messages {
            let reason = "left the group before it arrived".to_owned();
            self.advance_row(message, account, DeliveryState::Failed, Some(reason));
        }
    }

    /// This account is in a group no more: nothing that waits here reaches anybody.
    pub(super) fn fail_all_rows(&mut self, id: ConversationId) {
        let messages: Vec<MessageId> = self.outbox.of(id).map(|entry| entry.record.id).collect();
        for message in messages {
            let rows = self.outbox.get(message).map(|entry| entry.record.rows.clone()).unwrap_or_default();
            for row in rows.iter().filter(|row| row.state == DeliveryState::Queued) {
                let reason = "you left the group before it was sent".to_owned();
                self.advance_row(message, row.account, DeliveryState::Failed, Some(reason));
            }
            let unsent = self.outbox.get(message).filter(|entry| !entry.record.settled && entry.record.short.is_some());
            if unsent.is_some() {
                self.batch.change(Change::TimelineState { uid: message, state: DeliveryState::Failed });
            }
            self.settle_group_send(message, true);
            self.forget_message(message);
        }
    }

    /// The mailbox gave a device's copy up: with the last copy of its account the message has failed towards it.
    pub(crate) fn fail_row_of(&mut self, message: MessageId, device: DeviceId, reason: &str) {
        let Some(entry) = self.outbox.get(message) else { return };
        let Some(state) = self.conversations.get(&entry.record.conversation) else { return };
        let Some(account) = state.members().find(|m| m.entry.device == device).map(|m| m.account) else { return };
        let mut devices = state.members().filter(|member| member.account == account).map(|member| member.entry.device);
        let elsewhere = devices.any(|device| entry.is_in_mailbox(device) || entry.is_delivered_to(device));
        drop(devices);
        if elsewhere {
            return;
        }
        self.advance_row(message, account, DeliveryState::Failed, Some(reason.to_owned()));
    }

    /// Whether a message to a group needs nothing more: everybody has it or never will, and nobody waits for a copy.
    pub(crate) fn is_settled(&self, entry: &OutboxEntry) -> bool {
        let ended = |row: &RowRecord| row.state >= DeliveryState::Delivered || !row.counted;
        let ended = entry.record.settled && entry.record.rows.iter().all(ended);
        ended && self.recipients(entry.record.id).is_empty()
    }

    /// The same for what was said while this device could not know whether anybody is there.
    pub(crate) fn settle_all_alone(&mut self, id: ConversationId) {
        let open = |entry: &&OutboxEntry| !entry.record.settled && !entry.record.own_only;
        let open: Vec<MessageId> = self.outbox.of(id).filter(open).map(|entry| entry.record.id).collect();
        for message in open {
            self.settle_alone(id, message);
        }
    }

    /// Devices came into a group by themselves: they can't read what was sealed before, and have lost what they had not
    /// stored. What was meant for them is sealed anew; nobody else gets it twice.
    pub(crate) fn seal_anew_for(
        &mut self,
        id: ConversationId,
        added: &[VerifiedDevice],
        committer: Option<&VerifiedDevice>,
    ) {
        if !self.is_group(id) {
            return self.seal_anew(id);
        }
        let came: Vec<DeviceId> = added.iter().chain(committer).map(|device| device.entry.device).collect();
        let messages: Vec<MessageId> = self.outbox.of(id).map(|entry| entry.record.id).collect();
        for message in messages {
            let awaited = self.awaited(message);
            let Some(device) = came.iter().find(|device| awaited.contains(device)) else { continue };
            if let Some(entry) = self.outbox.edit(message) {
                entry.leave_mailbox(*device);
                entry.direct.retain(|(to, ..)| to != device);
                entry.record.sealed = None;
            }
        }
    }

    /// The mailbox takes nothing from this device in a group, or not for one of those whom it was for: somebody came or
    /// went. If that is not to be seen in what waits here, this device comes in anew.
    pub(crate) fn on_group_deposit_refused(&mut self, id: ConversationId) {
        self.mail.want();
        let Some(state) = self.conversations.get_mut(&id) else { return };
        // What waited when it was last refused has to be seen first: many messages may be refused at once.
        if !self.mail.is_read_out(state.working.refused_by) {
            return;
        }
        state.working.refused_by = self.mail.covered_by();
        state.working.deposits_refused += 1;
        if state.working.deposits_refused >= DEPOSITS_REFUSED_MAX {
            state.working.deposits_refused = 0;
            self.lose(id);
        }
    }

    /// A message to a group went as far as is certain for now, or `at_last` is known to wait: whoever waits for it hears so.
    pub(crate) fn settle_group_send(&mut self, message: MessageId, at_last: bool) {
        let waiting = self.group_sends(message);
        if waiting.is_empty() {
            return;
        }
        let Some(entry) = self.outbox.get(message) else { return };
        let mut rows = entry.record.rows.iter().filter(|row| row.counted);
        let gone = entry.record.settled && rows.all(|row| row.state > DeliveryState::Queued);
        if !(gone || at_last) {
            return;
        }
        self.end_group_sends(message, waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_far_as_it_is_towards_the_last_of_those_whom_it_can_reach() {
        use DeliveryState::{Delivered, Failed, Queued, Read, Sent};

        let row = |state| RowRecord { account: AccountId([1; 32]), state, counted: true };
        let of = |states: &[DeliveryState]| overall(&states.iter().copied().map(row).collect::<Vec<_>>());
        assert_eq!(of(&[]), Delivered, "nobody else is there");
        assert_eq!(of(&[Queued, Delivered]), Queued);
        assert_eq!(of(&[Sent, Delivered, Failed]), Sent);
        assert_eq!(of(&[Read, Delivered]), Delivered);
        assert_eq!(of(&[Failed, Failed]), Failed);
        let invited = RowRecord { counted: false, ..row(Queued) };
        assert_eq!(overall(&[invited, row(Delivered)]), Delivered, "whoever is invited is not counted");
    }
}
