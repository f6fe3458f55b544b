//! The network of one node: one UDP socket, the connection to its directory, and its connections to peers.
//!
//! It owns sockets, TLS, streams and frames. It does not know what frames mean: they go to the driver as inputs of the
//! core and come from it as effects.

pub mod alarm;
pub mod directory;
pub mod endpoint;
pub mod file;
pub mod frames;
pub mod peer;
pub mod tls;
