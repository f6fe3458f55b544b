//! What a change of a conversation owes to mailboxes. It is kept in the same step as the change and forgotten once the
//! mailboxes have it, so that no crash in between keeps a commit or a Welcome from anybody, and no transaction spans both.

use protocol::{ConversationId, DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Stored;

/// A Welcome, a commit or a request to leave on its way into mailboxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handout {
    /// The conversation.
    pub conversation: ConversationId,
    /// The epoch that the change began, or that it came in.
    pub epoch: u64,
    /// Its place among what is owed for that epoch.
    pub number: u64,
    /// The device that made the change.
    pub author: DeviceId,
    /// For whom it is: fixed when the change was made, whoever comes and goes afterwards.
    pub devices: Vec<DeviceId>,
    /// Whether it is a Welcome, which uses up key packages.
    pub welcome: bool,
    /// What makes it the same item of a mailbox, whenever it comes.
    pub key: [u8; 32],
    /// Postcard of the item.
    pub item: Vec<u8>,
    /// When mailboxes give it up.
    pub expires: Timestamp,
}

/// What is still to be handed out. Each was kept by [`super::Conversations`].
pub trait Handouts {
    /// What waits, of one conversation or of all, what a conversation owed earlier first; at most so many.
    fn handouts(&self, of: Option<ConversationId>, at_most: usize) -> Stored<Vec<Handout>>;
    /// The mailboxes have it.
    fn handed_out(&self, conversation: ConversationId, epoch: u64, number: u64) -> Stored<()>;
}
