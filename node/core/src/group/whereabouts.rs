//! Whether this device is where its groups are. What was kept back from it, or given up by the mailbox while it was away, comes
//! no more, and where nobody talks nothing tells of it: so it asks the directory in which epochs its groups are, on each
//! connection and now and then, one small question for all of them. Whoever is not there, having read the mailbox out since,
//! comes in anew.
//!
//! What the directory says here decides about nothing but that: who is in a group shows what leads into it.

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, ConversationId, Timestamp,
    directory::{Reply, Request},
    limits::EPOCHS_MAX,
};

use crate::{
    conversation::ConversationState, core::Core, crypto::mls::Conversation, flow::Flow, input::Answer, link::Purpose,
    records::Intent,
};

/// How often the directory is asked without a cause, in milliseconds: what one that keeps commits back can hide for no longer
/// once it does so no more, at the price of one look at a row for each group.
const ASK_EVERY_MS: u64 = 3_600_000;

/// What is asked of all groups at once.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    wanted: bool,
    asked: Timestamp,
    flow: Flow,
}

impl Whereabouts {
    /// The directory is to be asked.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    pub(crate) fn retry_now(&mut self) {
        self.flow.retry_now();
    }
}

impl<C: CryptoProvider + Clone> ConversationState<C> {
    /// Whether the directory says that a group is where this device is not.
    pub(crate) fn is_behind(&self) -> bool {
        let epoch = self.group.as_ref().map(Conversation::epoch);
        self.working.behind.zip(epoch).is_some_and(|(there, here)| here < there)
    }

    /// Where this device is in a group: incarnation and epoch.
    fn place(&self) -> Option<(u64, u64)> {
        self.record.group().filter(|_| self.is_active())?;
        Some((self.record.incarnation, self.group.as_ref()?.epoch()))
    }

    /// Whether this account wants to leave a group, and has perhaps.
    fn wants_to_leave(&self) -> bool {
        let intents = self.record.group().into_iter().flat_map(|group| &group.intents);
        intents.into_iter().any(|intent| intent.what == Intent::Leave)
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn reconcile_whereabouts(&mut self) {
        if !(self.is_online() && self.link.is_announced()) {
            return;
        }
        if self.now.ms_since(self.whereabouts.asked) >= ASK_EVERY_MS {
            self.whereabouts.wanted = true;
        }
        // What waits in the mailbox leads there by itself.
        if !self.whereabouts.wanted || !self.mail.is_drained() || !self.whereabouts.flow.is_ready(self.now) {
            return;
        }
        self.whereabouts.wanted = false;
        self.whereabouts.asked = self.now;
        let places = self.conversations.iter().filter_map(|(id, state)| Some((*id, state.place()?)));
        let places: Vec<(ConversationId, (u64, u64))> = places.take(EPOCHS_MAX).collect();
        if places.is_empty() {
            return;
        }
        let epochs = places.iter().map(|(id, (_, epoch))| (*id, *epoch)).collect();
        let groups = places.into_iter().map(|(id, (incarnation, _))| (id, incarnation)).collect();
        let request = Request::Epochs { groups: Bounded::new(epochs).unwrap_or_default() };
        let call = self.ask(Purpose::Epochs { groups }, request);
        self.whereabouts.flow.start(call);
    }

    pub(crate) fn whereabouts_timer(&self) -> Option<Timestamp> {
        let in_groups = self.conversations.values().any(|state| state.place().is_some());
        if !(self.is_online() && self.link.is_announced() && self.mail.is_drained() && in_groups) {
            return None;
        }
        let due = self.whereabouts.flow.due()?;
        let wanted = self.whereabouts.wanted;
        Some(if wanted { due } else { due.max(self.whereabouts.asked.plus_ms(ASK_EVERY_MS)) })
    }

    /// The directory said where groups are, in which this device was in these incarnations.
    pub(crate) fn on_epochs(&mut self, groups: &[(ConversationId, u64)], answer: Answer) {
        let jitter = self.jitter();
        let Answer::Reply(reply) = answer else {
            self.whereabouts.wanted |= answer == Answer::Lost;
            return self.whereabouts.flow.fail(self.now, jitter);
        };
        let epochs = match *reply {
            Reply::Epochs(epochs) if epochs.len() == groups.len() => epochs,
            _ => {
                self.whereabouts.flow.fail(self.now, jitter);
                return self.report_misbehaviour("the directory answered for epochs with something else");
            }
        };
        self.whereabouts.flow.succeed();
        for ((id, incarnation), epoch) in groups.iter().zip(epochs) {
            let Some(state) = self.conversations.get_mut(id) else { continue };
            let same = state.place().is_some_and(|(now, _)| now == *incarnation);
            // Whoever is leaving has no place any more once the directory knows, and hears so by the answer to that.
            if !same || epoch.is_none() && state.wants_to_leave() {
                continue;
            }
            state.working.behind = Some(epoch.unwrap_or(u64::MAX));
            if state.is_behind() {
                self.mail.want();
            }
        }
    }
}
