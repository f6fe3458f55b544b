//! Where a participant can die, and the plan of a run that dies at one exact place.

/// A place between two steps of the one who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A transaction is made and not yet durable.
    BeforeCommit,
    /// It is durable, and nothing else has happened.
    AfterCommit,
    /// Some effects have happened and others have not.
    BetweenEffects,
}

/// One crash at the `commit`-th commit of anybody, counted from zero over nodes and directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPlan {
    /// Which commit.
    pub commit: u64,
    /// [`Point::BeforeCommit`] or [`Point::AfterCommit`].
    pub point: Point,
}
