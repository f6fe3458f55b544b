//! What came of a whole run.

use std::fmt::Debug;

use super::{World, coverage::Coverage, witness::Violation};

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What it was about.
    pub story: String,
    /// The broken promise, if one was.
    pub violation: Option<Violation>,
    /// What was met.
    pub coverage: Coverage,
    /// Hash of the whole trace.
    pub hash: [u8; 32],
    /// How much of what there was in the end, with its name.
    pub counts: Vec<(&'static str, usize)>,
    /// The trace to read, if it was asked for.
    pub lines: Vec<String>,
}

impl World {
    /// The end of the run of a seed.
    pub(super) fn report(
        self,
        seed: u64,
        story: impl Debug,
        counts: Vec<(&'static str, usize)>,
        violation: Option<Violation>,
    ) -> Report {
        Report {
            seed,
            story: format!("{story:?}"),
            violation,
            hash: self.trace.hash(),
            counts,
            lines: self.trace.lines().to_vec(),
            coverage: self.coverage,
        }
    }
}
