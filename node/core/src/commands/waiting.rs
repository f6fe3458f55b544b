//! What commands wait for, and when that has come.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, ConversationId, DeviceId, Timestamp,
    directory::{Request, Who},
};

use super::Waiting;
use crate::{
    command::{CommandToken, DeviceView, Outcome},
    conversation::ConversationState,
    core::Core,
    event::DeliveryState,
    link::Purpose,
    records::Phase,
};

impl<C: CryptoProvider + Clone> Core<C> {
    /// Waits for everything that waited at the directory, after a sign-in.
    pub(crate) fn wait_for_mail(&mut self, token: CommandToken) {
        let unread_before = self.waiters.unread;
        self.wait(token, Waiting::Resume { unread_before, entering: false });
    }

    /// The same on a new device, which also has to come into every conversation of the book.
    pub(crate) fn wait_for_entry(&mut self, token: CommandToken) {
        let unread_before = self.waiters.unread;
        self.waiters.commits.clear();
        self.wait(token, Waiting::Resume { unread_before, entering: true });
    }

    /// Waits until a device that was revoked is in no conversation any more.
    pub(crate) fn wait_for_removal(&mut self, token: CommandToken, device: DeviceId) {
        self.waiters.commits.clear();
        self.wait(token, Waiting::Removal { device });
    }

    /// Whoever waits for something that is wanted in a group.
    pub(crate) fn tokens_for_intent(&mut self, id: ConversationId, number: u64) -> Vec<CommandToken> {
        let is =
            |waiting: &Waiting| matches!(waiting, Waiting::Group { id: of, number: n } if (*of, *n) == (id, number));
        let waiting = self.waiters.waiting.iter().filter(|(_, waiting)| is(waiting));
        let tokens: Vec<CommandToken> = waiting.map(|(token, _)| *token).collect();
        for token in &tokens {
            self.waiters.take(*token);
        }
        tokens
    }

    /// Waits until the directory knows whether somebody is blocked, if it is there; else it is told later.
    pub(crate) fn wait_for_block(&mut self, token: CommandToken, account: AccountId) {
        self.wait(token, Waiting::Block { account });
    }

    /// Waits for the directory's word on the account's devices.
    pub(crate) fn wait_for_devices(&mut self, token: CommandToken) {
        self.wait(token, Waiting::Devices);
    }

    /// The directory has said which devices there are.
    pub(crate) fn finish_devices(&mut self, devices: &[DeviceView]) {
        let waiting = self.waiters.waiting.iter().filter(|(_, waiting)| matches!(waiting, Waiting::Devices));
        let tokens: Vec<CommandToken> = waiting.map(|(token, _)| *token).collect();
        for token in tokens {
            self.waiters.take(token);
            self.done(token, Ok(Outcome::Devices { devices: devices.to_vec() }));
        }
    }

    /// Whether every conversation that this device should be in is one that it can follow.
    fn has_entered(&self) -> bool {
        let outside = |phase: &Phase| matches!(phase, Phase::Lost | Phase::Rejoining(_));
        !self.link.book_wanted && !self.conversations.values().any(|state| outside(&state.record.phase))
    }

    fn is_removed(&self, device: DeviceId) -> bool {
        !self.conversations.values().flat_map(ConversationState::members).any(|member| member.entry.device == device)
    }

    /// Whether nothing is queued, in flight or owed that could be handed over.
    fn is_idle(&self) -> bool {
        let quiet = self.outbox.count(DeliveryState::Queued) == 0 && self.money.is_idle() && self.files.is_idle();
        quiet && (!self.is_online() || self.mail.is_drained() && self.owed_receipts().is_empty())
    }

    pub(crate) fn reconcile_waiters(&mut self) {
        let taken_in = self.is_online() && self.link.is_announced() && self.mail.is_drained();
        let idle = self.is_idle();
        let unread = self.waiters.unread;
        let mut ended = Vec::new();
        let mut asked = Vec::new();
        for (token, waiting) in &self.waiters.waiting {
            match waiting {
                Waiting::Removal { device } if self.is_removed(*device) => ended.push((*token, Ok(Outcome::Done))),
                Waiting::Resume { unread_before, entering } if taken_in && (!entering || self.has_entered()) => {
                    ended.push((*token, self.resumed(true, unread.saturating_sub(*unread_before))));
                }
                Waiting::Block { account } if !self.is_online() || self.is_block_told(*account) => {
                    ended.push((*token, Ok(Outcome::Done)));
                }
                Waiting::Idle if idle => ended.push((*token, Ok(Outcome::Done))),
                Waiting::Online { user, flow, .. } if self.is_online() && flow.is_ready(self.now) => {
                    asked.push((*token, user.clone()));
                }
                _ => {}
            }
        }
        for (token, result) in ended {
            match self.waiters.take(token) {
                Some(Waiting::Resume { entering: true, .. } | Waiting::Removal { .. }) => self.settle(token, result),
                _ => self.done(token, result),
            }
        }
        self.reconcile_settling();
        for (token, user) in asked {
            let who = Bounded::new(vec![Who::Name(user)]).unwrap_or_default();
            let call = self.ask(Purpose::Waiter { token }, Request::LookUp { who });
            for (waiting, state) in &mut self.waiters.waiting {
                if let Waiting::Online { flow, .. } = state
                    && *waiting == token
                {
                    flow.start(call);
                }
            }
        }
    }

    pub(crate) fn waiters_timer(&self) -> Option<Timestamp> {
        let polls = self.waiters.waiting.iter().filter_map(|(_, waiting)| match waiting {
            Waiting::Online { flow, .. } if self.is_online() => flow.due(),
            _ => None,
        });
        polls.chain(self.settling_timer()).min()
    }
}
