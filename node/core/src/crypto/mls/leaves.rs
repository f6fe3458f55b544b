//! Who is at which leaf, and who was.
//!
//! The library lets no leaf into a group whose certificate does not hold; so what a leaf claims is so, and no signature is
//! checked a second time: a commit in a large group costs what it changes.
//!
//! A message names its sender by a leaf, and leaves are used again. A message of a past epoch is therefore looked up
//! among those who were at the leaf then, never among today's members alone.

use std::collections::{BTreeMap, BTreeSet};

use membership::{certificate::VerifiedDevice, identity::claimed_device};
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

    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// The accounts that have a device here.
    pub(super) fn accounts(&self) -> BTreeSet<AccountId> {
        self.devices().map(|device| device.account).collect()
    }

    /// The accounts that have a device here when these leaves are empty.
    pub(super) fn accounts_without(&self, leaves: &BTreeSet<u32>) -> BTreeSet<AccountId> {
        let stay = self.present.iter().filter(|(leaf, _)| !leaves.contains(leaf));
        stay.map(|(_, (_, device))| device.account).collect()
    }

    /// Takes the roster as it is; answers which devices came to their leaves, and which went from which.
    fn read(&mut self, roster: impl Iterator<Item = Member>) -> (Vec<VerifiedDevice>, Vec<(u32, VerifiedDevice)>) {
        let mut before = std::mem::take(&mut self.present);
        let (mut came, mut went) = (Vec::new(), Vec::new());
        for member in roster {
            let was = before.remove(&member.index);
            let device = match was {
                Some((identity, device)) if identity == member.signing_identity => device,
                other => {
                    went.extend(other.map(|(_, device)| (member.index, device)));
                    // A leaf whose identity says nothing was never let in.
                    let Some(device) = device_at(&member.signing_identity) else { continue };
                    came.push(device.clone());
                    device
                }
            };
            self.present.insert(member.index, (member.signing_identity, device));
        }
        went.extend(before.into_iter().map(|(leaf, (_, device))| (leaf, device)));
        (came, went)
    }

    /// Takes the roster of a group that was just entered or loaded.
    pub(super) fn begin(&mut self, roster: impl Iterator<Item = Member>) {
        self.read(roster);
    }

    /// Takes the roster after the commit that ended an epoch; answers who came and who went, as devices.
    pub(super) fn advance(
        &mut self,
        ended: u64,
        roster: impl Iterator<Item = Member>,
    ) -> (Vec<VerifiedDevice>, Vec<VerifiedDevice>) {
        let (came, went) = self.read(roster);
        for (leaf, device) in &went {
            let stayed = self.present.get(leaf).is_some_and(|(_, now)| now.entry.device == device.entry.device);
            if !stayed {
                let (device, account) = (device.entry.device, device.account);
                self.departed.push(Departed { leaf: *leaf, until: ended, device, account });
            }
        }
        self.trim((ended + 1).saturating_sub(PAST_EPOCHS));
        // A device that came back, or has another certificate, is the same device.
        let id = |device: &VerifiedDevice| device.entry.device;
        let came_ids: BTreeSet<DeviceId> = came.iter().map(id).collect();
        let went_ids: BTreeSet<DeviceId> = went.iter().map(|(_, device)| id(device)).collect();
        let added = came.into_iter().filter(|device| !went_ids.contains(&id(device))).collect();
        let removed = went.into_iter().map(|(_, device)| device).filter(|device| !came_ids.contains(&id(device)));
        (added, removed.collect())
    }

    /// Who was at a leaf in an epoch.
    pub(super) fn at(&self, leaf: u32, epoch: u64) -> Option<(DeviceId, AccountId)> {
        let then = self.departed.iter().filter(|departed| departed.leaf == leaf && departed.until >= epoch);
        if let Some(then) = then.min_by_key(|departed| departed.until) {
            return Some((then.device, then.account));
        }
        self.present.get(&leaf).map(|(_, device)| (device.entry.device, device.account))
    }

    /// Where devices are now.
    pub(super) fn leaves_of(&self, wanted: impl Fn(&VerifiedDevice) -> bool) -> Vec<u32> {
        self.present.iter().filter(|(_, (_, device))| wanted(device)).map(|(leaf, _)| *leaf).collect()
    }

    /// The device that is at a leaf now.
    pub(super) fn device(&self, leaf: u32) -> Option<&VerifiedDevice> {
        self.present.get(&leaf).map(|(_, device)| device)
    }

    /// Forgets who departed before epochs that are still kept.
    pub(super) fn trim(&mut self, oldest: u64) {
        self.departed.retain(|departed| departed.until >= oldest);
    }
}

/// The device of a leaf that the library has validated.
pub(super) fn device_at(identity: &SigningIdentity) -> Option<VerifiedDevice> {
    claimed_device(identity).ok().map(|(account, entry)| VerifiedDevice { account, entry })
}
