//! Connections between nodes and the directory: made, broken, noticed to be gone, made again.

use std::collections::BTreeMap;

use directory::core::Caller;
use node_core::input::Input;
use protocol::DeviceId;

use super::{Connection, ConnectionId};
use crate::world::{Happening, Participant, World, clock::Span, witness::NodeIndex};

/// How long it takes at most, in milliseconds, until a side notices that the other is gone.
const NOTICED_WITHIN_MS: u64 = 15_000;
/// How long a node waits before it dials again, in milliseconds.
const REDIAL_MS: (u64, u64) = (200, 3_000);

impl World {
    pub(in crate::world) fn on_connect(&mut self, index: NodeIndex, life: u64) {
        let node = &self.nodes[index];
        if node.life != life || node.core.is_none() || node.connection.is_some() {
            return;
        }
        let parted = self.is_parted(Participant::Directory, Participant::Node(index));
        let key = node.tls_key();
        let now = self.now.timestamp();
        let exporter = self.chance.bytes();
        let (Some(service), Some(key), false) = (self.directory.service.as_ref(), key, parted) else {
            let reason = "the directory does not answer".to_owned();
            self.input(index, Input::DirectoryDisconnected { reason });
            return self.redial(index);
        };
        let mut caller = Caller::new(key, exporter, Self::address(index));
        self.directory.store.expect(self.commits, None, 0);
        let effects = service.connected(now, &mut caller);
        self.directory.last += 1;
        let id = ConnectionId(self.directory.last);
        let connection = Connection {
            node: index,
            life,
            caller,
            broken: false,
            gone_at_node: false,
            gone_at_directory: false,
            calls: BTreeMap::new(),
        };
        self.directory.connections.insert(id, connection);
        self.nodes[index].connection = Some(id);
        self.directory_effects(effects);
        let (addresses, directory) = (vec![Self::address(index)], crate::ledger::fingerprint());
        self.input(index, Input::DirectoryConnected { exporter, addresses, directory });
    }

    pub(super) fn redial(&mut self, index: NodeIndex) {
        let life = self.nodes[index].life;
        let at = self.now + Span::ms(self.chance.between(REDIAL_MS.0, REDIAL_MS.1));
        self.queue.push(&mut self.chance, at, Happening::Connect(index, life));
    }

    /// A node ends its connection to the directory, and makes another one later.
    pub(in crate::world) fn leave_directory(&mut self, index: NodeIndex) {
        let Some(id) = self.nodes[index].connection.take() else { return };
        if let Some(connection) = self.directory.connections.get_mut(&id) {
            connection.gone_at_node = true;
        }
        self.break_connection(id);
        self.input(index, Input::DirectoryDisconnected { reason: "signed out".to_owned() });
        self.redial(index);
    }

    /// A connection carries nothing any more; both sides notice sooner or later.
    pub(in crate::world) fn break_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.directory.connections.get_mut(&id).filter(|c| !c.broken) else { return };
        connection.broken = true;
        for at_node in [true, false] {
            let at = self.now + Span::ms(self.chance.between(1, NOTICED_WITHIN_MS));
            self.queue.push(&mut self.chance, at, Happening::ConnectionGone { connection: id, at_node });
        }
    }

    pub(in crate::world) fn on_connection_gone(&mut self, id: ConnectionId, at_node: bool) {
        let Some(connection) = self.directory.connections.get_mut(&id) else { return };
        let (node, life) = (connection.node, connection.life);
        let known = if at_node {
            std::mem::replace(&mut connection.gone_at_node, true)
        } else {
            std::mem::replace(&mut connection.gone_at_directory, true)
        };
        if at_node {
            if !known && self.nodes[node].life == life && self.nodes[node].connection == Some(id) {
                self.nodes[node].connection = None;
                self.input(node, Input::DirectoryDisconnected { reason: "the connection was lost".to_owned() });
                self.redial(node);
            }
        } else if !known {
            self.disconnect_at_directory(id);
        }
        let done = |c: &Connection| c.gone_at_node && c.gone_at_directory;
        if self.directory.connections.get(&id).is_some_and(done) {
            self.directory.connections.remove(&id);
        }
    }

    pub(super) fn connections_of(&self, device: DeviceId) -> Vec<ConnectionId> {
        let of = |c: &Connection| !c.gone_at_directory && c.caller.device() == Some(device);
        self.directory.connections.iter().filter(|(_, c)| of(c)).map(|(id, _)| *id).collect()
    }

    pub(super) fn disconnect_at_directory(&mut self, id: ConnectionId) {
        let now = self.now.timestamp();
        let Some(connection) = self.directory.connections.get_mut(&id) else { return };
        let Some(service) = self.directory.service.as_ref() else { return };
        self.directory.store.expect(self.commits, None, 0);
        let effects = service.disconnected(now, &mut connection.caller);
        self.directory_effects(effects);
    }
}
