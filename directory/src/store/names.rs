//! Names of groups. They share one namespace with those of people: what looks like one of the others is not given out, and
//! nothing is given out twice.

use protocol::{ConversationId, Name};

use super::Stored;

/// What came of asking for a name. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameClaimed {
    /// It is this group's, now or since before.
    Claimed,
    /// It is or was somebody else's.
    Taken,
    /// It looks like one that is or was somebody else's.
    Confusable,
}

/// Names of groups.
pub trait Names {
    /// Gives a group its name for good, before the group is made: whoever asks again for the same group has it.
    fn claim_name(&self, name: &Name, skeleton: &str, group: ConversationId) -> Stored<NameClaimed>;
    /// The group that a name was given to, also if it was never made or is closed.
    fn name_of_group(&self, name: &Name) -> Stored<Option<ConversationId>>;
}
