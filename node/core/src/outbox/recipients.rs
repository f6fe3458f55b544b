//! Whom a message is still for.

use std::collections::BTreeSet;

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{AccountId, DeviceId, MessageId};

use crate::{core::Core, event::DeliveryState};

impl<C: CryptoProvider + Clone> Core<C> {
    /// The devices that a message is for and that have it neither stored nor waiting at the mailbox.
    pub(crate) fn recipients(&self, id: MessageId) -> Vec<DeviceId> {
        let mut awaited = self.awaited(id);
        if let Some(entry) = self.outbox.get(id) {
            let waiting: BTreeSet<DeviceId> = entry.record.in_mailbox.iter().map(|(device, _)| *device).collect();
            awaited.retain(|device| !waiting.contains(device));
        }
        awaited
    }

    /// The devices that a message is for and that have not said that they have it.
    pub(crate) fn awaited(&self, id: MessageId) -> Vec<DeviceId> {
        let Some((entry, own)) = self.outbox.get(id).zip(self.own()) else { return Vec::new() };
        let Some(state) = self.conversations.get(&entry.record.conversation) else { return Vec::new() };
        // A group may have thousands: each is looked up among those who have it, not each of those for each.
        let delivered: BTreeSet<DeviceId> = entry.record.delivered.iter().copied().collect();
        let addressed: BTreeSet<DeviceId> = entry.record.addressed.iter().copied().collect();
        let has = |member: &VerifiedDevice| delivered.contains(&member.entry.device);
        let served: BTreeSet<AccountId> = state.members().filter(|m| has(m)).map(|member| member.account).collect();
        let known_to = |account: AccountId| account == own.account || served.contains(&account);
        // In a group whoever was not in it when it was sealed never gets it, nor does anybody towards whom it has failed, even
        // if they come back; whoever asked to leave gets nothing more.
        let open = || entry.record.rows.iter().filter(|row| row.state != DeliveryState::Failed);
        let settled = state.record.group().is_some() && entry.record.settled;
        let rows: Option<BTreeSet<AccountId>> = settled.then(|| open().map(|row| row.account).collect());
        let is_stranger =
            |account: AccountId| account != own.account && rows.as_ref().is_some_and(|rows| !rows.contains(&account));
        let late = |member: &VerifiedDevice| {
            let late = !addressed.is_empty() && !addressed.contains(&member.entry.device);
            late && known_to(member.account)
        };
        let meant = |member: &&VerifiedDevice| !entry.record.own_only || member.account == own.account;
        let open = state.others(own.device).filter(meant).filter(|member| !has(member) && !late(member));
        let open = open.filter(|member| !is_stranger(member.account) && !state.is_leaving(member.account));
        open.map(|member| member.entry.device).collect()
    }
}
