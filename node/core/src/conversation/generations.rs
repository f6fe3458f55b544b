//! Generations of a direct conversation: what is begun anew when nobody can come back into what there was.
//!
//! A generation is a group of its own, with an id of its own. To the two people it is the same conversation: who wrote
//! what so far, the numbers of the messages and what waits to be sent are taken along, so that nothing is shown twice.

use mls_rs::CryptoProvider;
use protocol::{AccountId, ConversationId, DeviceId};

use crate::{
    core::Core,
    records::{Kind, Phase, WaitingRecord},
    stored::Table,
};

/// How often coming back is tried with what the directory gives before the next generation is begun: once more than
/// once, since what it gives may have been read between two of its changes.
const REJOINS_MAX: u32 = 2;

impl<C: CryptoProvider + Clone> Core<C> {
    /// What the directory gave for a conversation leads nowhere.
    pub(super) fn on_rejoin_failed(&mut self, id: ConversationId) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.failed_rejoins += 1;
        let failed = state.failed_rejoins >= REJOINS_MAX;
        let next = state.record.direct().filter(|_| failed);
        let next = next.and_then(|(account, generation)| Some((account, generation.checked_add(1)?)));
        let Some((account, generation)) = next else { return self.delay(id) };
        let roots = self.own().map(|own| own.root_key).zip(self.people.get(account).map(|contact| contact.root_key));
        let Some((own, peer)) = roots else { return };
        let next = membership::direct_conversation_id(&own, &peer, generation);
        self.report_misbehaviour("nobody can come back into a conversation with what the directory holds of it");
        self.begin_generation(id, next, generation);
    }

    /// Whether this generation is followed; if it is a later one than what is kept here, what is kept goes with it. Where
    /// this device still holds a group, only one of its members may have begun the next: `beginners` are those who may be
    /// the ones.
    pub(super) fn follow_generation(
        &mut self,
        id: ConversationId,
        account: AccountId,
        generation: u32,
        beginners: &[DeviceId],
    ) -> bool {
        let Some(known) = self.known_with(account).filter(|known| *known != id) else { return true };
        let Some(state) = self.conversations.get(&known) else { return true };
        let by_member = state.group.is_none() || state.members().any(|member| beginners.contains(&member.entry.device));
        let later = state.record.direct().is_some_and(|(_, held)| generation > held);
        if !later || !by_member {
            self.report_misbehaviour(
                "somebody leads into another generation of a conversation than the one that is held",
            );
            return false;
        }
        self.begin_generation(known, id, generation);
        true
    }

    /// Takes everything of a conversation along into another generation, which this device is not a member of yet.
    fn begin_generation(&mut self, old: ConversationId, new: ConversationId, generation: u32) {
        self.drop_group(old, Phase::Absent);
        let Some(mut state) = self.conversations.remove(&old) else { return };
        self.batch.delete(Table::Conversation, old.0.to_vec());
        state.record.id = new;
        if let Kind::Direct { generation: held, .. } = &mut state.record.kind {
            *held = generation;
        }
        state.record.stale_keys = false;
        state.record.departed.clear();
        state.failed_rejoins = 0;
        state.changed = true;
        // Whoever wrote has to hear, under the new id, what arrived.
        for sender in &mut state.record.senders {
            sender.receipt_owed = true;
            sender.confirmed_below = 0;
        }
        self.conversations.insert(new, state);
        self.outbox.rename(old, new);
        self.files.rename(old, new);
        for (key, waiting) in self.mail.take_waiting(old) {
            self.batch.delete(Table::Waiting, key);
            let waiting = WaitingRecord { conversation: new, ..waiting };
            let record = crate::records::encode(&waiting);
            self.put_record(Table::Waiting, waiting.key(), record);
            self.mail.keep_waiting(waiting.key(), waiting);
        }
        self.announce_accepted_peers();
    }
}
