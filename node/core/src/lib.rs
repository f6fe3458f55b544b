//! Tuppence's node without its I/O: one state machine that turns inputs into a transaction and effects.
//!
//! `handle(now, inputs) -> Outputs` is all of it. The core reads no clock, opens no socket and starts no task; time
//! comes with each call, randomness through [`entropy::Entropy`] and the MLS crypto provider, both given at
//! construction. The driver commits [`output::Outputs::persist`] and only then performs [`output::Outputs::after`].

pub mod command;
pub mod entropy;
pub mod event;
pub mod input;
pub mod output;
pub mod stored;
pub mod stretch;
