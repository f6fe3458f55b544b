//! The ledger at work: the rules over a store and a log, with the key that vouches for them.

pub mod audit;
mod book;
pub mod export;
pub mod log;

pub use book::{Book, Direct, Done, Finish, Founder, OpenError, Settle};
