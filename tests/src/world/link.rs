//! Connections between two nodes: two ordered streams of frames that end together.

use std::collections::BTreeMap;

use node_core::input::{Input, PeerId};
use protocol::{DeviceId, PublicKey, frame, limits::PEER_FRAME_MAX, peer::PeerFrame};

use super::{
    Happening, Participant, World,
    clock::{Moment, Span},
    coverage::Case,
    disk::contains,
    witness::{CANARY, NodeIndex, Violation},
};

/// Names a connection between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// How long it takes, in milliseconds, until a side notices that the other is gone: the transport's idle time-out.
const NOTICED_WITHIN_MS: u64 = 45_000;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct End {
    node: NodeIndex,
    life: u64,
    peer: PeerId,
    /// When the last frame towards this end arrives: the next one does not overtake it.
    last_arrival: Moment,
    gone: bool,
}

/// A connection between two nodes.
#[derive(Debug, Clone)]
pub struct Link {
    ends: [End; 2],
    broken: bool,
}

/// All connections between nodes.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<LinkId, Link>,
    last: u64,
}

impl World {
    /// A node dials a device.
    pub(super) fn dial(
        &mut self,
        from: NodeIndex,
        device: DeviceId,
        tls_key: PublicKey,
        addresses: &[std::net::SocketAddr],
    ) {
        let own_key = self.nodes[from].tls_key();
        let listener = (0..self.nodes.len()).find(|index| {
            let node = &self.nodes[*index];
            node.tls_key() == Some(tls_key)
                && addresses.contains(&Self::address(*index))
                && own_key.is_some_and(|key| node.accepted.contains(&key))
        });
        let reachable = listener.filter(|to| !self.is_parted(Participant::Node(from), Participant::Node(*to)));
        let fails = self.chance.happens(self.weather.dial_fails);
        let (Some(to), Some(own_key), false) = (reachable, own_key, fails) else {
            let wait = Span::ms(self.chance.between(5, 3_000));
            return self.later_input(from, wait, Input::DialFailed { device });
        };
        let id = self.connect_nodes(from, to);
        let (near, far) = (self.links.links[&id].ends[0].peer, self.links.links[&id].ends[1].peer);
        let (one, other) = (self.way(), self.way());
        self.later_input(to, one, Input::PeerConnected { peer: far, tls_key: own_key, dialled: false });
        self.later_input(from, one + other, Input::PeerConnected { peer: near, tls_key, dialled: true });
        // Frames wait until their end knows of the connection.
        if let Some(link) = self.links.links.get_mut(&id) {
            link.ends[0].last_arrival = self.now + one + other;
            link.ends[1].last_arrival = self.now + one;
        }
    }

    fn connect_nodes(&mut self, from: NodeIndex, to: NodeIndex) -> LinkId {
        self.links.last += 1;
        let id = LinkId(self.links.last);
        let ends = [from, to].map(|index| {
            let node = &mut self.nodes[index];
            node.last_peer += 1;
            let peer = PeerId(node.last_peer);
            node.peers.insert(peer, id);
            End { node: index, life: node.life, peer, last_arrival: Moment::default(), gone: false }
        });
        self.links.links.insert(id, Link { ends, broken: false });
        id
    }

    /// A node sends a frame.
    pub(super) fn send_frame(&mut self, from: NodeIndex, peer: PeerId, frame: PeerFrame) -> Result<(), Violation> {
        self.inspect_frame(&frame)?;
        let Some(id) = self.nodes[from].peers.get(&peer).copied() else { return Ok(()) };
        let hostile = self.weather.hostile;
        let lost = self.chance.happens(self.weather.frame_lost);
        if lost && !hostile {
            self.break_link(id);
            return Ok(());
        }
        let twice = hostile && self.chance.happens(self.weather.frame_twice);
        if twice {
            self.coverage.met(Case::FrameDuplicated);
        }
        for _ in 0..usize::from(!lost) + usize::from(twice) {
            let arrival = self.now + self.way();
            let Some(link) = self.links.links.get_mut(&id).filter(|link| !link.broken) else { return Ok(()) };
            let far = usize::from(link.ends[0].node == from && link.ends[0].peer == peer);
            let end = &mut link.ends[far];
            let known = end.last_arrival + Span(1);
            let at = arrival.max(known);
            if !hostile {
                end.last_arrival = at;
            }
            self.queue.push(&mut self.chance, at, Happening::Frame { link: id, end: far, frame: frame.clone() });
        }
        Ok(())
    }

    fn inspect_frame(&mut self, frame: &PeerFrame) -> Result<(), Violation> {
        if let PeerFrame::Message(envelope) = frame {
            self.witness.left(envelope)?;
        }
        let bytes = frame::encode_body(frame, PEER_FRAME_MAX).unwrap_or_default();
        if contains(&bytes, CANARY.as_bytes()) {
            return Err(Violation::PlaintextOnWire { what: "a frame between two nodes" });
        }
        Ok(())
    }

    pub(super) fn on_frame(&mut self, id: LinkId, end: usize, frame: PeerFrame) {
        let Some(link) = self.links.links.get(&id).filter(|link| !link.broken) else { return };
        let End { node, life, peer, gone, .. } = link.ends[end];
        if gone || self.nodes[node].life != life {
            return;
        }
        if let PeerFrame::Message(envelope) = &frame
            && self.witness.arrived(envelope.id, node, true)
        {
            self.coverage.met(Case::DuplicateDelivery);
        }
        self.input(node, Input::PeerFrame { peer, frame });
    }

    /// A connection carries nothing any more; both sides notice sooner or later.
    pub(super) fn break_link(&mut self, id: LinkId) {
        let Some(link) = self.links.links.get_mut(&id).filter(|link| !link.broken) else { return };
        link.broken = true;
        for end in 0..2 {
            let at = self.now + Span::ms(self.chance.between(1, NOTICED_WITHIN_MS));
            self.queue.push(&mut self.chance, at, Happening::LinkGone { link: id, end });
        }
    }

    pub(super) fn on_link_gone(&mut self, id: LinkId, end: usize) {
        let Some(link) = self.links.links.get_mut(&id) else { return };
        let End { node, life, peer, gone, .. } = link.ends[end];
        link.ends[end].gone = true;
        if link.ends.iter().all(|end| end.gone) {
            self.links.links.remove(&id);
        }
        if !gone && self.nodes[node].life == life && self.nodes[node].peers.remove(&peer).is_some() {
            self.input(node, Input::PeerDisconnected { peer });
        }
    }

    /// A node closes a connection: it knows at once, the other side soon.
    pub(super) fn close_link(&mut self, from: NodeIndex, peer: PeerId) {
        let Some(id) = self.nodes[from].peers.remove(&peer) else { return };
        let Some(link) = self.links.links.get_mut(&id) else { return };
        link.broken = true;
        let near = usize::from(!(link.ends[0].node == from && link.ends[0].peer == peer));
        link.ends[near].gone = true;
        let at = self.now + self.way();
        self.queue.push(&mut self.chance, at, Happening::LinkGone { link: id, end: 1 - near });
    }

    /// Breaks every connection of a node, or between two.
    pub(super) fn break_links(&mut self, one: NodeIndex, other: Option<NodeIndex>) {
        let touches = |link: &Link| {
            let nodes = [link.ends[0].node, link.ends[1].node];
            nodes.contains(&one) && other.is_none_or(|other| nodes.contains(&other))
        };
        let ids: Vec<LinkId> = self.links.links.iter().filter(|(_, link)| touches(link)).map(|(id, _)| *id).collect();
        for id in ids {
            self.break_link(id);
        }
    }
}
