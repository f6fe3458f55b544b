//! What the tests of more than one crate share: a seeded world in place of sockets, disks, clocks and chance.
//!
//! Nothing here is part of a program that is shipped.

pub mod bank;
pub mod client;
pub mod crowd;
pub mod entropy;
pub mod fixture;
pub mod fuzz;
pub mod ledger;
pub mod processes;
pub mod provider;
pub mod seeds;
pub mod table;
pub mod world;
