//! Connections to other nodes: whose they are, which one counts, and when one is looked for.

use std::collections::BTreeMap;

use membership::certificate::VerifiedDevice;
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, DeviceId, PublicKey, Timestamp,
    directory::{Reply, Request},
    peer::{Hello, PeerFrame},
};

use crate::{
    conversation::ConversationState,
    core::Core,
    delivery::Delivery,
    flow::Flow,
    inbox::Carrier,
    input::{Answer, PeerId},
    link::Purpose,
    output::Effect,
    records::ConversationRecord,
};

/// Devices of a group up to which its people are dialled; in larger ones whoever is not connected gets everything from the
/// mailbox, which one upload serves.
const GROUP_DIALLED_MAX: usize = 32;
/// How long a person whose devices could not be reached directly is not dialled again, in milliseconds. The mailbox
/// carries meanwhile; coming online ends the wait.
const DIAL_PAUSE_MS: u64 = 30_000;
/// Connections of one pair that stand within this time of each other were dialled by both at once, in milliseconds: a few
/// round trips. Whoever dials later has no other any more, though this side may not have noticed.
const DIALLED_AT_ONCE_MS: u64 = 2_000;

#[derive(Debug)]
struct PeerState {
    device: DeviceId,
    account: AccountId,
    tls_key: PublicKey,
    dialled: bool,
    since: Timestamp,
}

/// All connections to other nodes.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    live: BTreeMap<PeerId, PeerState>,
    by_device: BTreeMap<DeviceId, PeerId>,
    dials: BTreeMap<AccountId, Flow>,
    dialling: BTreeMap<DeviceId, AccountId>,
    accepted: Vec<PublicKey>,
    pub(crate) delivery: Delivery,
}

impl Peers {
    pub(crate) fn is_live(&self, peer: PeerId) -> bool {
        self.live.contains_key(&peer)
    }

    /// Whether there is no connection to anybody.
    pub(crate) fn is_alone(&self) -> bool {
        self.live.is_empty()
    }

    pub(crate) fn of_device(&self, device: DeviceId) -> Option<PeerId> {
        self.by_device.get(&device).copied()
    }

    pub(crate) fn device_of(&self, peer: PeerId) -> Option<DeviceId> {
        self.live.get(&peer).map(|state| state.device)
    }

    pub(crate) fn account_of(&self, peer: PeerId) -> Option<AccountId> {
        self.live.get(&peer).map(|state| state.account)
    }

    /// Accounts that a connection stands to.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.live.values().map(|state| state.account)
    }

    pub(crate) fn retry_now(&mut self) {
        self.dials.values_mut().for_each(Flow::retry_now);
        self.delivery.retry_now();
    }

    /// A person came or went.
    pub(crate) fn retry(&mut self, account: AccountId) {
        if let Some(flow) = self.dials.get_mut(&account) {
            flow.retry_now();
        }
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Tells the driver whose connections to accept, if that changed: devices of people whom this person wrote to.
    pub(crate) fn announce_accepted_peers(&mut self) {
        let Some((own, own_account)) = self.own().map(|own| (own.device, own.account)) else { return };
        let welcome = |account| self.people.get(account).is_some_and(|contact| contact.accepted && !contact.blocked);
        let mut keys: Vec<PublicKey> = Vec::new();
        for state in self.conversations.values().filter(|state| state.is_active()) {
            let peer = state.record.peer();
            let accepted = state.others(own).filter(|member| match peer {
                Some(peer) => welcome(peer),
                // Who shares a group may not know for that where this node is.
                None => member.account == own_account || welcome(member.account),
            });
            keys.extend(accepted.map(|member| member.entry.tls_key));
        }
        keys.sort_unstable();
        keys.dedup();
        if keys != self.peers.accepted {
            self.peers.accepted.clone_from(&keys);
            self.batch.effect(Effect::AcceptPeers { tls_keys: keys });
        }
    }

    pub(crate) fn on_peer_connected(&mut self, peer: PeerId, tls_key: PublicKey, dialled: bool) {
        let owner = self.member(|member| member.entry.tls_key == tls_key);
        let owner = owner.map(|member| (member.entry.device, member.account));
        let (Some((device, account)), Some(own)) = (owner, self.own_device()) else {
            self.report_misbehaviour("a connection from a device that is nobody's here");
            self.batch.effect(Effect::ClosePeer { peer });
            return;
        };
        self.peers.dialling.remove(&device);
        if let Some(flow) = self.peers.dials.get_mut(&account) {
            flow.succeed();
        }
        if let Some(older) = self.peers.by_device.get(&device).copied() {
            // Both sides may have dialled: both keep the connection that the lower device id dialled, else the newer. Where a
            // file waits, one that has stood for longer was lost by whoever dials again; all else goes by the mailbox then.
            let lower_dialled = |dialled: bool| dialled == (own < device);
            let waited = self.files.waits_between(account);
            let at_once = |since: Timestamp| !waited || self.now.ms_since(since) < DIALLED_AT_ONCE_MS;
            let older_dialled =
                self.peers.live.get(&older).is_some_and(|state| lower_dialled(state.dialled) && at_once(state.since));
            if older_dialled && !lower_dialled(dialled) {
                self.batch.effect(Effect::ClosePeer { peer });
                return;
            }
            self.batch.effect(Effect::ClosePeer { peer: older });
            self.forget_peer(older);
            self.begin_files_anew(device);
        }
        let since = self.now;
        self.peers.live.insert(peer, PeerState { device, account, tls_key, dialled, since });
        self.peers.by_device.insert(device, peer);
        self.files.retry_now();
        let Some(own) = self.own() else { return };
        let hello = Hello {
            certificate: own.certificate.clone(),
            list_version: own.devices.list().map(|list| list.version).unwrap_or_default(),
            echo: self.highest_sequence_from(device),
        };
        self.send_to_peer(peer, PeerFrame::Hello(hello));
    }

    /// A device that is a member of some conversation.
    fn member(&self, is: impl Fn(&VerifiedDevice) -> bool) -> Option<&VerifiedDevice> {
        self.conversations.values().flat_map(ConversationState::members).find(|member| is(member))
    }

    fn highest_sequence_from(&self, device: DeviceId) -> u64 {
        let senders = self.conversations.values().flat_map(|state| &state.record.senders);
        senders.filter(|sender| sender.device == device).map(|sender| sender.next).max().unwrap_or_default()
    }

    pub(crate) fn on_peer_disconnected(&mut self, peer: PeerId) {
        self.forget_peer(peer);
        self.on_unreachable();
    }

    fn forget_peer(&mut self, peer: PeerId) {
        if let Some(state) = self.peers.live.remove(&peer)
            && self.peers.by_device.get(&state.device) == Some(&peer)
        {
            self.peers.by_device.remove(&state.device);
        }
        self.peers.delivery.forget_peer(peer);
        for entry in self.outbox.all_mut() {
            entry.direct.retain(|(_, on, _)| *on != peer);
        }
    }

    pub(crate) fn on_dial_failed(&mut self, device: DeviceId) {
        if let Some(account) = self.peers.dialling.remove(&device) {
            self.pause_dials(account);
        }
    }

    /// Nobody answered: the mailbox carries meanwhile. A file can't go by it, so it has another try sooner.
    fn pause_dials(&mut self, account: AccountId) {
        let until = self.now.plus_ms(DIAL_PAUSE_MS);
        let jitter = self.parted_by_files().contains(&account).then(|| self.jitter());
        let Some(flow) = self.peers.dials.get_mut(&account) else { return };
        match jitter {
            Some(jitter) => flow.fail(self.now, jitter),
            None => flow.wait_until(until),
        }
    }

    pub(crate) fn on_peer_frame(&mut self, peer: PeerId, frame: PeerFrame) {
        let Some(state) = self.peers.live.get(&peer) else { return };
        let device = state.device;
        match frame {
            PeerFrame::Hello(hello) => self.on_hello(peer, &hello),
            PeerFrame::Message(envelope) if envelope.sender == device => {
                self.on_envelope(envelope, Carrier::Peer(peer));
            }
            PeerFrame::Message(_) => self.report_misbehaviour("a peer sent a message of another device"),
            PeerFrame::Receipt(signed) => {
                if self.on_receipt(&signed)
                    && let Ok(receipt) = signed.receipt()
                {
                    let stored = PeerFrame::ReceiptStored {
                        conversation: receipt.conversation,
                        delivered_below: receipt.delivered_below,
                        read_below: receipt.read_below,
                    };
                    self.send_to_peer(peer, stored);
                }
            }
            PeerFrame::ReceiptStored { conversation, delivered_below, .. } => {
                self.on_receipt_stored(peer, conversation, delivered_below);
            }
            PeerFrame::Refused { id, reason } => self.on_refused(peer, id, reason),
        }
    }

    fn on_hello(&mut self, peer: PeerId, hello: &Hello) {
        let known = self.peers.live.get(&peer);
        let holds = membership::certificate::verify_certificate(&hello.certificate).is_ok_and(|device| {
            known.is_some_and(|state| {
                device.entry.device == state.device
                    && device.account == state.account
                    && device.entry.tls_key == state.tls_key
            })
        });
        if !holds {
            self.report_misbehaviour("a peer said hello with another device's certificate");
            self.batch.effect(Effect::ClosePeer { peer });
            return self.forget_peer(peer);
        }
        // Whoever counts only what is for everybody has seen none of the rest.
        let own = known.map(|state| state.account) == self.own().map(|own| own.account);
        let next = |record: &ConversationRecord| if own { record.next_sequence } else { record.next_shared };
        let highest = self.conversations.values().map(|state| next(&state.record)).max().unwrap_or_default();
        if hello.echo > highest {
            self.on_copied();
        }
    }

    pub(crate) fn send_to_peer(&mut self, peer: PeerId, frame: PeerFrame) {
        self.batch.effect(Effect::Send { peer, frame });
    }

    /// Looks for a direct connection to whomever something is to be said to.
    pub(crate) fn reconcile_peers(&mut self) {
        if !(self.is_online() && self.link.is_announced()) {
            return;
        }
        for account in self.unconnected() {
            if self.peers.dials.entry(account).or_default().is_ready(self.now) {
                let call = self.ask(Purpose::Addresses { account }, Request::Addresses { account });
                self.peers.dials.entry(account).or_default().start(call);
            }
        }
    }

    /// People with something waiting for them, accepted, and with a device that no connection stands to.
    fn unconnected(&self) -> Vec<AccountId> {
        let waiting: Vec<ConversationId> = self.outbox.conversations().into_iter().collect();
        let states = waiting.iter().filter_map(|id| self.conversations.get(id)).filter(|state| state.is_active());
        let own = self.own_device().unwrap_or(DeviceId([0; 16]));
        let own_account = self.own().map(|own| own.account);
        // In a group those only whom this person talks to apart from it, and few at a time: the mailbox serves the others.
        let accepted = |account| self.people.get(account).is_some_and(|contact| contact.accepted && !contact.blocked);
        let dialled = |state: &ConversationState<C>, account: AccountId| {
            state.record.peer().is_some() || Some(account) == own_account || accepted(account)
        };
        let small = |state: &&ConversationState<C>| {
            state.record.peer().is_some() || state.members().count() <= GROUP_DIALLED_MAX
        };
        let apart = states
            .filter(small)
            .flat_map(|state| state.others(own).filter(move |member| dialled(state, member.account)));
        let apart = apart.filter(|member| self.peers.of_device(member.entry.device).is_none());
        let mut accounts: Vec<AccountId> = apart.map(|member| member.account).collect();
        accounts.extend(self.parted_by_files());
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    /// People whom a file waits for on either side, with a device that no connection stands to. Whoever offered something in
    /// a group may know where those are who accepted it, and not the other way round; so both sides try.
    fn parted_by_files(&self) -> Vec<AccountId> {
        let connected = |device: DeviceId| self.peers.of_device(device).is_some();
        let from = self.files.awaited().into_iter().filter(|(_, device)| !connected(*device));
        let mut parted: Vec<AccountId> = from.map(|(account, _)| account).collect();
        let linked = |account: &AccountId| self.peers.accounts().any(|other| other == *account);
        parted.extend(self.files.awaiting().into_iter().filter(|account| !linked(account)));
        parted.retain(|account| !self.is_blocked(*account));
        parted
    }

    /// Whether nothing can be had of a person directly for now: no connection stands, and none is being looked for.
    pub(crate) fn is_out_of_reach(&self, account: AccountId) -> bool {
        if self.peers.accounts().any(|other| other == account) {
            return false;
        }
        let pauses = |flow: &Flow| flow.due().is_some_and(|due| due > self.now);
        let dialling = self.peers.dialling.values().any(|other| *other == account);
        let known_away = !dialling && self.peers.dials.get(&account).is_some_and(pauses);
        known_away || !self.is_online() && self.link.last_failure.is_some()
    }

    pub(crate) fn peers_timer(&self) -> Option<Timestamp> {
        if !(self.is_online() && self.link.is_announced()) {
            return None;
        }
        let dials = self.unconnected().into_iter();
        dials.filter_map(|account| self.peers.dials.get(&account).map_or(Some(self.now), Flow::due)).min()
    }

    pub(crate) fn on_addresses(&mut self, account: AccountId, answer: Answer) {
        let jitter = self.jitter();
        let reply = match answer {
            Answer::Reply(reply) => *reply,
            Answer::Refusal(_) => return self.pause_dials(account),
            Answer::Lost => {
                if let Some(flow) = self.peers.dials.get_mut(&account) {
                    flow.fail(self.now, jitter);
                }
                return;
            }
        };
        // Whatever comes of it, the next try waits; a connection that stands ends the need for one.
        self.pause_dials(account);
        let Reply::Addresses(devices) = reply else {
            return self.report_misbehaviour("the directory answered for addresses with something else");
        };
        for told in devices {
            let pinned = self.member(|member| member.entry.device == told.device && member.account == account);
            let pinned = pinned.map(|member| member.entry.tls_key);
            // The key that is pinned is the one in the conversation, whatever the directory says.
            let Some(tls_key) = pinned else { continue };
            if self.peers.of_device(told.device).is_none() && !told.addresses.is_empty() {
                self.peers.dialling.insert(told.device, account);
                let addresses = told.addresses.into_inner();
                self.batch.effect(Effect::Dial { device: told.device, tls_key, addresses });
            }
        }
    }
}
