//! Who is at which leaf, and who was: each certificate is verified once, when its leaf changes.
//!
//! A message names its sender by a leaf, and leaves are used again. A message of a past epoch is therefore looked up
//! among those who were at the leaf then, never among today's members alone.

use std::collections::BTreeMap;

use membership::{certificate::VerifiedDevice, identity::device_of};
use mls_rs::{group::Member, identity::SigningIdentity};
use protocol::{AccountId, DeviceId, limits::PAST_EPOCHS};
use serde::{Deserialize, Serialize};

/// A device that was at a leaf up to the end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// The leaf's index.
    pub leaf: u32,
    /// The last epoch in which it was there.
    pub until: u64,
    /// The device.
    pub device: DeviceId,
    /// Its account.
    pub account: AccountId,
}

/// The leaves of one group.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    present: BTreeMap<u32, (SigningIdentity, VerifiedDevice)>,
    departed: Vec<Departed>,
}

impl Leaves {
    pub(super) fn with_departed(departed: Vec<Departed>) -> Self {
        Self { present: BTreeMap::new(), departed }
    }

    pub(super) fn devices(&self) -> impl Iterator<Item = &VerifiedDevice> {
        self.present.values().map(|(_, device)| device)
    }

    pub(super) fn departed(&self) -> &[Departed] {
        &self.departed
    }

    /// Takes the roster as it is; only leaves that changed are verified.
    pub(super) fn read(&mut self, roster: impl Iterator<Item = Member>) {
        let mut before = std::mem::take(&mut self.present);
        for member in roster {
            let known = before.remove(&member.index).filter(|(identity, _)| *identity == member.signing_identity);
            // A leaf whose identity does not hold was never let in.
            let device = known.map(|(_, device)| device).or_else(|| device_of(&member.signing_identity).ok());
            if let Some(device) = device {
                self.present.insert(member.index, (member.signing_identity, device));
            }
        }
    }

    /// Takes the roster after the commit that ended an epoch; answers who came and who went, as devices.
    pub(super) fn advance(
        &mut self,
        ended: u64,
        roster: impl Iterator<Item = Member>,
    ) -> (Vec<VerifiedDevice>, Vec<VerifiedDevice>) {
        let before: BTreeMap<u32, VerifiedDevice> =
            self.present.iter().map(|(leaf, (_, device))| (*leaf, device.clone())).collect();
        self.read(roster);
        for (leaf, device) in &before {
            if self.present.get(leaf).is_none_or(|(_, now)| now.entry.device != device.entry.device) {
                let (device, account) = (device.entry.device, device.account);
                self.departed.push(Departed { leaf: *leaf, until: ended, device, account });
            }
        }
        self.trim((ended + 1).saturating_sub(PAST_EPOCHS));
        let is_present = |device: &VerifiedDevice| self.devices().any(|d| d.entry.device == device.entry.device);
        let was_present = |device: &&VerifiedDevice| before.values().any(|d| d.entry.device == device.entry.device);
        let added = self.devices().filter(|device| !was_present(device)).cloned().collect();
        let removed = before.values().filter(|device| !is_present(device)).cloned().collect();
        (added, removed)
    }

    /// Who was at a leaf in an epoch.
    pub(super) fn at(&self, leaf: u32, epoch: u64) -> Option<(DeviceId, AccountId)> {
        let then = self.departed.iter().filter(|departed| departed.leaf == leaf && departed.until >= epoch);
        if let Some(then) = then.min_by_key(|departed| departed.until) {
            return Some((then.device, then.account));
        }
        self.present.get(&leaf).map(|(_, device)| (device.entry.device, device.account))
    }

    /// Where a device is now.
    pub(super) fn leaf_of(&self, device: DeviceId) -> Option<u32> {
        self.present.iter().find(|(_, (_, present))| present.entry.device == device).map(|(leaf, _)| *leaf)
    }

    /// Forgets who departed before epochs that are still kept.
    pub(super) fn trim(&mut self, oldest: u64) {
        self.departed.retain(|departed| departed.until >= oldest);
    }
}
