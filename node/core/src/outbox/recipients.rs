//! Whom a message is still for.
//!
//! A group may have thousands, and this is asked several times for each message: whoever is looked for is looked for in
//! lists that are in order.

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{AccountId, DeviceId, MessageId};

use crate::{core::Core, event::DeliveryState};

/// A list in order, to be looked into many times. Those that are stored mostly are so already.
fn in_order<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// The devices that a message is for and that have it neither stored nor waiting at the mailbox.
    pub(crate) fn recipients(&self, id: MessageId) -> Vec<DeviceId> {
        let mut awaited = self.awaited(id);
        if let Some(entry) = self.outbox.get(id).filter(|entry| !entry.record.in_mailbox.is_empty()) {
            let waiting = in_order(entry.record.in_mailbox.iter().map(|(device, _)| *device));
            awaited.retain(|device| waiting.binary_search(device).is_err());
        }
        awaited
    }

    /// The devices that a message is for and that have not said that they have it.
    pub(crate) fn awaited(&self, id: MessageId) -> Vec<DeviceId> {
        let Some((entry, own)) = self.outbox.get(id).zip(self.own()) else { return Vec::new() };
        let Some(state) = self.conversations.get(&entry.record.conversation) else { return Vec::new() };
        let delivered = in_order(entry.record.delivered.iter().copied());
        let addressed = in_order(entry.record.addressed.iter().copied());
        let has = |member: &VerifiedDevice| delivered.binary_search(&member.entry.device).is_ok();
        let members = state.members().filter(|_| !delivered.is_empty());
        let served = in_order(members.filter(|member| has(member)).map(|member| member.account));
        let known_to = |account: AccountId| account == own.account || served.binary_search(&account).is_ok();
        // In a group whoever was not in it when it was sealed never gets it, nor does anybody towards whom it has failed, even
        // if they come back; whoever asked to leave gets nothing more.
        let settled = state.record.group().is_some() && entry.record.settled;
        let open = entry.record.rows.iter().filter(|row| settled && row.state != DeliveryState::Failed);
        let rows = in_order(open.map(|row| row.account));
        let is_stranger =
            |account: AccountId| settled && account != own.account && rows.binary_search(&account).is_err();
        let late = |member: &VerifiedDevice| {
            let late = !addressed.is_empty() && addressed.binary_search(&member.entry.device).is_err();
            late && known_to(member.account)
        };
        let leaving = state.leaving();
        let meant = |member: &&VerifiedDevice| !entry.record.own_only || member.account == own.account;
        let open = state.others(own.device).filter(meant).filter(|member| !has(member) && !late(member));
        let open = open.filter(|member| !is_stranger(member.account) && !leaving.contains(&member.account));
        open.map(|member| member.entry.device).collect()
    }
}
