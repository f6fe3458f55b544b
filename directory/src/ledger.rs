//! The ledger at work: the rules over a store and a log, with the key that vouches for them.

mod book;
pub mod log;

pub use book::{Book, Direct, Done, Finish, Founder, OpenError, Settle};
