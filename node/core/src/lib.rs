//! Tuppence's node without its I/O: one state machine that turns inputs into a transaction and effects.
//!
//! `handle(now, inputs) -> Outputs` is all of it. The core reads no clock, opens no socket and starts no task; time
//! comes with each call, randomness through [`entropy::Entropy`] and the MLS crypto provider, both given at
//! construction. The driver commits [`output::Outputs::persist`] and only then performs [`output::Outputs::after`].

mod account;
mod batch;
mod book;
pub mod command;
mod commands;
mod conversation;
mod core;
pub mod crypto;
mod delivery;
pub mod entropy;
pub mod event;
mod files;
mod flow;
mod group;
mod inbox;
pub mod input;
mod link;
mod mail;
mod money;
mod outbox;
pub mod output;
mod peers;
mod people;
mod receipts;
mod records;
pub mod stored;
pub mod stretch;
pub mod transfer;
pub mod trust;

pub use self::{
    account::WRONG_CREDENTIALS,
    core::{Core, CoreConfig, OpenError, Session},
};
