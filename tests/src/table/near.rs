//! Two nodes that a test sets together: whatever they say to each other directly arrives at once.

use std::collections::BTreeMap;

use node_core::input::{Input, PeerId};
use protocol::peer::PeerFrame;

use super::{Seat, Table};

/// Connections between nodes, from each side.
#[derive(Debug, Default)]
pub(super) struct Near {
    links: BTreeMap<(Seat, PeerId), (Seat, PeerId)>,
    last: u64,
}

impl Near {
    fn next(&mut self) -> PeerId {
        self.last += 1;
        PeerId(self.last)
    }
}

impl Table {
    /// Connects two nodes directly.
    pub fn set_together(&mut self, one: Seat, other: Seat) {
        let keys = self.tls_key(one).zip(self.tls_key(other));
        let Some((one_key, other_key)) = keys else { return };
        let (here, there) = (self.near.next(), self.near.next());
        self.near.links.insert((one, here), (other, there));
        self.near.links.insert((other, there), (one, here));
        self.queue.push_back((one, Input::PeerConnected { peer: here, tls_key: other_key, dialled: true }));
        self.queue.push_back((other, Input::PeerConnected { peer: there, tls_key: one_key, dialled: false }));
        self.settle();
    }

    /// Ends every direct connection of a node.
    pub fn part_all(&mut self, seat: Seat) {
        let peers: Vec<PeerId> = self.near.links.keys().filter(|(of, _)| *of == seat).map(|(_, peer)| *peer).collect();
        for peer in peers {
            self.part(seat, peer);
        }
    }

    /// Whom a connection leads to, and what it is called there.
    #[must_use]
    pub fn across(&self, seat: Seat, peer: PeerId) -> Option<(Seat, PeerId)> {
        self.near.links.get(&(seat, peer)).copied()
    }

    /// Whether two nodes are connected directly.
    #[must_use]
    pub fn are_together(&self, one: Seat, other: Seat) -> bool {
        self.near.links.iter().any(|((of, _), (to, _))| (*of, *to) == (one, other))
    }

    pub(super) fn pass_on(&mut self, seat: Seat, peer: PeerId, frame: PeerFrame) {
        if let Some((to, there)) = self.near.links.get(&(seat, peer)).copied() {
            self.queue.push_back((to, Input::PeerFrame { peer: there, frame }));
        }
    }

    pub(super) fn part(&mut self, seat: Seat, peer: PeerId) {
        let Some((to, there)) = self.near.links.remove(&(seat, peer)) else { return };
        self.near.links.remove(&(to, there));
        self.queue.push_back((seat, Input::PeerDisconnected { peer }));
        self.queue.push_back((to, Input::PeerDisconnected { peer: there }));
    }
}
