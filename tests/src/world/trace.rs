//! What happened, as one hash to compare two runs by, and as lines to read when a seed fails.

use std::fmt::Write as _;

use node_core::{
    output::Effect,
    stored::{Change, Table, Transaction},
};
use protocol::{frame, limits::DIRECTORY_FRAME_MAX, limits::PEER_FRAME_MAX};
use sha2::{Digest as _, Sha256};

use super::clock::Moment;

/// Lines kept for reading at most: the first ones, since what comes later follows from them.
const LINES_MAX: usize = 400_000;

/// The trace of one run.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: Sha256,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace, which keeps lines only if somebody will read them.
    #[must_use]
    pub fn new(readable: bool) -> Self {
        Self { hash: Sha256::new(), lines: readable.then(Vec::new) }
    }

    /// Something happened that the hash must cover.
    pub fn note(&mut self, now: Moment, what: &dyn Fn() -> String) {
        let text = what();
        self.hash.update(now.0.to_be_bytes());
        self.hash.update(text.as_bytes());
        self.line(now, text);
    }

    /// A transaction is about to become durable.
    pub fn transaction(&mut self, now: Moment, node: &str, transaction: &Transaction) {
        let mut tables = String::new();
        for change in &transaction.changes {
            match change {
                Change::Put { table, key, value } => {
                    self.hash.update([1, *table as u8]);
                    self.hash.update(key);
                    let digest = value_digest(*table, value);
                    self.hash.update(digest);
                    let _ = write!(tables, " +{table:?}={:02x}{:02x}", digest[0], digest[1]);
                }
                Change::Delete { table, key } => {
                    self.hash.update([2, *table as u8]);
                    self.hash.update(key);
                    let _ = write!(tables, " -{table:?}");
                }
                other => {
                    let text = format!("{other:?}");
                    self.hash.update(text.as_bytes());
                    let _ = write!(tables, " {text}");
                }
            }
        }
        self.line(now, format!("{node} commits{tables}"));
    }

    /// An effect is about to be performed.
    pub fn effect(&mut self, now: Moment, node: &str, effect: &Effect) {
        match effect {
            Effect::Ask { request, .. } => {
                self.hash.update(frame::encode_body(request, DIRECTORY_FRAME_MAX).unwrap_or_default());
            }
            Effect::Send { frame, .. } => {
                self.hash.update(frame::encode_body(frame, PEER_FRAME_MAX).unwrap_or_default());
            }
            _ => {}
        }
        // The debug form leaves bytes out; those that matter are hashed above.
        let text = format!("{effect:?}");
        self.hash.update(now.0.to_be_bytes());
        self.hash.update(text.as_bytes());
        self.line(now, format!("{node} performs {text}"));
    }

    /// Whether lines are kept.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.lines.is_some()
    }

    /// A line for the reader, which the hash need not cover since it follows from what it covers.
    pub fn remark(&mut self, now: Moment, what: impl Fn() -> String) {
        if self.readable() {
            self.line(now, what());
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    fn line(&mut self, now: Moment, text: String) {
        let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < LINES_MAX) else { return };
        lines.push(format!("{:>12.3} {text}", now.0 as f64 / 1_000.0));
    }
}

/// What a record's value is, for the comparison of two runs. The MLS library keeps the keys of skipped messages in a map
/// without an order and writes them as they come: of its own records only which bytes they have counts, not where.
fn value_digest(table: Table, value: &[u8]) -> [u8; 32] {
    if !matches!(table, Table::GroupState | Table::GroupEpoch) {
        return Sha256::digest(value).into();
    }
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let counts: Vec<u8> = counts.iter().flat_map(|count| count.to_be_bytes()).collect();
    Sha256::digest(&counts).into()
}
