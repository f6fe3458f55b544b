//! When the store dies, and what it has seen: what became durable in it, for whoever compares it with what nodes say.

use std::collections::BTreeMap;

use directory::store::{Delivery, Roster, Standing, StoreError};
use protocol::{AccountId, ConversationId, DeviceId, MessageId, certificate::SignedDeviceList};

use super::ledger::LedgerChange;
use crate::world::{
    chance::Chance,
    crash::{CrashPlan, Point},
    disk::contains,
    witness::CANARY,
};

/// When the store dies, and what it has seen.
#[derive(Debug)]
pub(super) struct Fate {
    pub(super) chance: Chance,
    pub(super) crash: u64,
    pub(super) plan: Option<CrashPlan>,
    pub(super) changes: u64,
    pub(super) died: Option<Point>,
    pub(super) bytes_seen: u64,
    pub(super) plaintext_seen: bool,
    pub(super) account_changes: Vec<AccountChange>,
    pub(super) group_changes: Vec<GroupChange>,
    pub(super) ledger_changes: Vec<LedgerChange>,
    pub(super) died_in_ledger: bool,
    rosters: BTreeMap<ConversationId, Roster>,
    /// Whoever was in a group and is not, if the store forgets that they went.
    former: Option<BTreeMap<(ConversationId, DeviceId), AccountId>>,
}

/// What became durable of an account.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// It has these devices.
    Devices(SignedDeviceList),
    /// It has another password.
    Password,
    /// A device is known to have sent so much.
    Counter(DeviceId, u64),
}

/// What became durable of a group.
#[derive(Debug, Clone)]
pub enum GroupChange {
    /// It is so now: another epoch, or one more who is leaving.
    Stands(Roster),
    /// It is closed for good.
    Closed(ConversationId),
    /// A message was put into the mailbox of a device that is not in it, or whose account is leaving.
    Strayed(MessageId, DeviceId),
}

impl Fate {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            crash: 0,
            plan: None,
            changes: 0,
            died: None,
            bytes_seen: 0,
            plaintext_seen: false,
            account_changes: Vec::new(),
            group_changes: Vec::new(),
            ledger_changes: Vec::new(),
            died_in_ledger: false,
            rosters: BTreeMap::new(),
            former: None,
        }
    }

    /// From now on the store forgets that somebody went from a group.
    pub(super) fn forget_removals(&mut self) {
        self.former.get_or_insert_default();
    }

    /// A conversation stands so now.
    pub(super) fn stands(&mut self, roster: &Roster) {
        let newer = |known: &Roster| (known.epoch, known.leaves) < (roster.epoch, roster.leaves);
        if roster.audience.group().is_none() || !self.rosters.get(&roster.id).is_none_or(newer) {
            return;
        }
        let before = self.rosters.insert(roster.id, roster.clone());
        if let Some((former, before)) = self.former.as_mut().zip(before.as_ref()) {
            let gone = before.members.iter().filter(|(device, _)| !roster.members.contains_key(*device));
            former.extend(gone.map(|(device, account)| ((roster.id, *device), *account)));
        }
        self.group_changes.push(GroupChange::Stands(roster.clone()));
    }

    pub(super) fn closed(&mut self, id: ConversationId) {
        self.rosters.remove(&id);
        self.group_changes.push(GroupChange::Closed(id));
    }

    /// What a store that forgets says of those who went.
    pub(super) fn misremember(&self, id: ConversationId, devices: &[DeviceId], standing: &mut Standing) {
        let Some(former) = &self.former else { return };
        for (device, whose) in devices.iter().zip(&mut standing.whose) {
            *whose = whose.or_else(|| former.get(&(id, *device)).copied());
        }
    }

    /// Something is put into mailboxes.
    pub(super) fn delivers(&mut self, delivery: &Delivery) {
        let Some((_, id, message)) = delivery.message else { return };
        let Some(roster) = self.rosters.get(&id) else { return };
        let inside =
            |device: &DeviceId| roster.members.get(device).is_some_and(|account| !roster.leaving.contains_key(account));
        let strayed = delivery.recipients.iter().filter(|(device, _)| !inside(device));
        self.group_changes.extend(strayed.map(|(device, _)| GroupChange::Strayed(message, *device)));
    }

    pub(super) fn begin(&mut self, bytes: &[&[u8]]) -> Result<Option<Point>, StoreError> {
        if self.died.is_some() {
            return Err(dead());
        }
        for bytes in bytes {
            self.bytes_seen += bytes.len() as u64;
            self.plaintext_seen |= contains(bytes, CANARY.as_bytes());
        }
        let number = self.changes;
        self.changes += 1;
        let planned = self.plan.filter(|plan| plan.commit == number).map(|plan| plan.point);
        if planned == Some(Point::BeforeCommit) || self.chance.happens(self.crash) {
            self.died = Some(Point::BeforeCommit);
            return Err(dead());
        }
        Ok(planned)
    }

    pub(super) fn end(&mut self, planned: Option<Point>) -> Result<(), StoreError> {
        if planned == Some(Point::AfterCommit) || self.chance.happens(self.crash) {
            self.died = Some(Point::AfterCommit);
            return Err(dead());
        }
        Ok(())
    }
}

pub(super) fn dead() -> StoreError {
    StoreError::Fatal("the process died here".to_owned())
}
