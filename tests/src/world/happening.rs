//! What can happen in the world, and to whom.

use node_core::input::{Answer, CallId, Input};
use protocol::{
    directory::{Push, Request},
    peer::PeerFrame,
};

use super::{directory::ConnectionId, link::LinkId, witness::NodeIndex};

/// Somebody who can be cut off from somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Participant {
    /// The directory.
    Directory,
    /// A node.
    Node(NodeIndex),
}

/// What can happen.
#[derive(Debug)]
pub enum Happening {
    /// A node's core is given what waits for it.
    Run(NodeIndex, u64),
    /// A node's timer.
    Timer {
        /// Whose.
        node: NodeIndex,
        /// In which life.
        life: u64,
        /// Which; only the latest counts.
        serial: u64,
    },
    /// Something reaches a node.
    Input(NodeIndex, u64, Box<Input>),
    /// A frame reaches the end of a connection.
    Frame {
        /// Which connection.
        link: LinkId,
        /// Which end.
        end: usize,
        /// What.
        frame: PeerFrame,
    },
    /// An end of a connection notices that it is gone.
    LinkGone {
        /// Which connection.
        link: LinkId,
        /// Which end.
        end: usize,
    },
    /// A node tries to reach the directory.
    Connect(NodeIndex, u64),
    /// A request reaches the directory.
    Request {
        /// On which connection.
        connection: ConnectionId,
        /// Named by the node.
        call: CallId,
        /// What.
        request: Box<Request>,
        /// Whether anybody waits for the answer.
        answered: bool,
    },
    /// An answer reaches a node.
    Answer {
        /// On which connection.
        connection: ConnectionId,
        /// To which request.
        call: CallId,
        /// What.
        answer: Answer,
    },
    /// A push reaches a node.
    Push {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        push: Push,
    },
    /// A side of a connection to the directory notices that it is gone.
    ConnectionGone {
        /// Which connection.
        connection: ConnectionId,
        /// Whether it is the node's side.
        at_node: bool,
    },
    /// A node starts.
    StartNode(NodeIndex),
    /// The directory starts.
    StartDirectory,
    /// A person at a node does something.
    Act(NodeIndex),
    /// A second has passed: partitions begin, and the directory looks at its clock.
    Second,
    /// A partition ends.
    Rejoin(Participant, Participant),
}
