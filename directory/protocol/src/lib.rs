//! Everything that crosses a wire between Tuppence's programs, and nothing else.
//!
//! Participants: a **node** (one device of one account), the **directory**, and another node as **peer**. Node and
//! directory exchange [`directory::Request`], [`directory::Reply`] and [`directory::Push`]; two nodes exchange
//! [`peer::PeerFrame`], and the bytes of files beside them ([`file::stream`]). Each value is one frame (see [`frame`]): a length, checked against the receiver's limit before
//! anything is allocated, then postcard, in which trailing bytes are refused.
//!
//! This crate knows neither clocks nor sockets nor keys: it says what bytes mean and how long they may be.
//! Enumerations are append-only; a change of an existing variant needs a new ALPN version.

pub mod bounded;
pub mod certificate;
pub mod directory;
pub mod file;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod money;
pub mod name;
pub mod peer;
pub mod policy;

pub use bounded::{Bounded, BoundedBytes, BoundedText};
pub use ids::{
    AccountId, CommitHash, ConversationId, DeviceId, FileId, Fingerprint, LedgerId, MemoCommitment, MessageId, OrderId,
    PublicKey, RequestId, Signature, Timestamp,
};
pub use name::Name;

/// ALPN of connections between a node and its directory.
pub const ALPN_DIRECTORY: &[u8] = b"tuppence-directory/1";
/// ALPN of connections between two nodes.
pub const ALPN_PEER: &[u8] = b"tuppence-peer/1";
