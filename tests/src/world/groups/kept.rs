//! Keys that ex-members kept: whoever goes deletes them, and somebody might not. With all that was ever sent they open
//! nothing of what was said after they went.

use std::collections::BTreeSet;

use node_core::{
    crypto::{
        keys::DeviceKeys,
        mls::{Mls, Staging},
    },
    stored::Table,
};
use protocol::{ConversationId, DeviceId, MessageId, peer::Envelope};

use crate::world::{
    World,
    coverage::Case,
    disk::Disk,
    witness::{NodeIndex, Violation},
};

/// What an MLS client is made of.
const KEYS: [Table; 6] = [
    Table::Account,
    Table::GroupState,
    Table::GroupStateHead,
    Table::GroupStateRest,
    Table::GroupEpoch,
    Table::GroupTree,
];
/// Where a device keeps its private keys.
pub(super) const DEVICE_KEYS: &[u8] = b"device keys";

/// The keys of one device at the end of one stay.
#[derive(Debug)]
struct Relic {
    index: NodeIndex,
    conversation: ConversationId,
    incarnation: u64,
    epoch: u64,
    records: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

/// Everything that was kept, and everything that was ever said in groups.
#[derive(Debug, Default)]
pub(super) struct Kept {
    relics: Vec<Relic>,
    known: BTreeSet<(MessageId, DeviceId, u64)>,
    said: Vec<Envelope>,
}

impl Kept {
    /// A message of a group left its sender.
    pub(super) fn said(&mut self, envelope: &Envelope) {
        if self.known.insert((envelope.id, envelope.sender, envelope.epoch)) {
            self.said.push(envelope.clone());
        }
    }

    /// A device is about to give up its keys of a group.
    pub(super) fn take(
        &mut self,
        index: NodeIndex,
        conversation: ConversationId,
        incarnation: u64,
        epoch: u64,
        disk: &Disk,
    ) {
        let records = disk.stored().records.into_iter().filter(|(table, ..)| KEYS.contains(table)).collect();
        self.relics.push(Relic { index, conversation, incarnation, epoch, records });
    }
}

impl World {
    /// Tries every ex-member's kept keys on everything that was ever said.
    pub(super) fn try_kept_keys(&mut self) -> Result<(), Violation> {
        let Some(groups) = self.groups.as_mut() else { return Ok(()) };
        let relics = std::mem::take(&mut groups.kept.relics);
        for relic in relics {
            if let Some(opened) = self.try_relic(&relic)? {
                self.coverage.met(Case::KeptKeysShutOut);
                self.coverage.met_if(Case::KeptKeysOpened, opened);
            }
        }
        Ok(())
    }

    /// Says whether the keys opened something that they should; nothing if there was nothing later to be tried.
    fn try_relic(&self, relic: &Relic) -> Result<Option<bool>, Violation> {
        let Some(groups) = self.groups.as_ref() else { return Ok(None) };
        let own = groups.account_of(groups.owners[relic.index]).zip(groups.device_of(relic.index));
        let Some(((account, device), chronicle)) = own.zip(groups.chronicles.get(&relic.conversation)) else {
            return Ok(None);
        };
        let Some(gone) = chronicle.gone_after(account, relic.epoch) else { return Ok(None) };
        let of_group = groups.kept.said.iter().filter(|said| said.conversation == relic.conversation);
        let of_others: Vec<&Envelope> = of_group.filter(|said| said.sender != device).collect();
        if !of_others.iter().any(|said| said.epoch >= gone) {
            return Ok(None);
        }
        let node = self.of_groups(relic.index);
        let bug = |what: String| Violation::Bug { node: node.clone(), what };
        let keys = relic.records.iter().find(|(table, key, _)| *table == Table::Account && key == DEVICE_KEYS);
        let keys = keys.and_then(|(_, _, value)| DeviceKeys::from_stored(value).ok());
        let identity =
            groups.certificates.get(&device).and_then(|own| membership::identity::signing_identity(own).ok());
        let Some((keys, identity)) = keys.zip(identity) else { return Err(bug("keys that cannot be read".to_owned())) };
        let provider = self.nodes[relic.index].provider.clone();
        let mls = Mls::new(provider, identity, keys.mls_key(), Staging::load(&relic.records));
        let mls = mls.map_err(|error| bug(error.to_string()))?;
        let held =
            mls.load(relic.conversation, relic.incarnation, Vec::new()).map_err(|error| bug(error.to_string()))?;
        let Some(mut held) = held else { return Err(bug("kept keys that are none".to_owned())) };
        let now = self.now.timestamp();
        // Commits are no secret: they lead it as far as it can follow, its own removal included.
        for epoch in relic.epoch + 1..=chronicle.epoch() {
            let commit = chronicle.state(epoch).and_then(|state| state.commit.as_ref());
            if commit.is_none_or(|commit| held.apply(now, commit).is_err()) {
                break;
            }
        }
        let mut opened = false;
        for said in of_others {
            match held.open(now, &said.ciphertext) {
                Ok(_) if said.epoch >= gone => return Err(Violation::KeptKeysOpen { node, epoch: said.epoch }),
                Ok(_) => opened = true,
                Err(_) => {}
            }
        }
        Ok(Some(opened))
    }
}
