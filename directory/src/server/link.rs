//! One connection as the rest of the server sees it: a number for the logs, what waits to be pushed, and a way to end
//! it with a reason.

use std::sync::OnceLock;

use protocol::{DeviceId, peer::CloseCode};
use quinn::{Connection, VarInt};
use tokio_util::sync::CancellationToken;

use crate::server::push::PushQueue;

/// Longest reason that goes over the wire with a close; it fits into one packet.
const REASON_BYTES_MAX: usize = 256;

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    /// Counts connections since the start; the logs' short id.
    pub(crate) number: u64,
    /// The connection itself.
    pub(crate) connection: Connection,
    /// What waits to be pushed.
    pub(crate) pushes: PushQueue,
    // A connection's device never changes: it is the one whose key the handshake proved.
    device: OnceLock<DeviceId>,
    signed_in: CancellationToken,
    end: OnceLock<(CloseCode, String)>,
    ended: CancellationToken,
}

impl Link {
    pub(crate) fn new(number: u64, connection: Connection) -> Self {
        let (signed_in, ended) = (CancellationToken::new(), CancellationToken::new());
        let pushes = PushQueue::default();
        Self { number, connection, pushes, device: OnceLock::new(), signed_in, end: OnceLock::new(), ended }
    }

    /// The device that is, or was, signed in on it.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.device.get().copied()
    }

    /// Notes that its device has signed in.
    pub(crate) fn sign_in(&self, device: DeviceId) {
        if self.device.set(device).is_ok() {
            self.signed_in.cancel();
        }
    }

    /// Waits until its device signs in.
    pub(crate) async fn signed_in(&self) {
        self.signed_in.cancelled().await;
    }

    /// Ends the connection once the requests in hand are answered. The first reason counts.
    pub(crate) fn end(&self, code: CloseCode) {
        self.end_because(code, code.reason().to_owned());
    }

    /// As [`Link::end`], with words of its own.
    pub(crate) fn end_because(&self, code: CloseCode, reason: String) {
        if self.end.set((code, reason)).is_ok() {
            self.ended.cancel();
        }
    }

    /// Waits until somebody ends the connection.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Why the connection ends.
    pub(crate) fn end_reason(&self) -> (CloseCode, &str) {
        self.end.get().map_or((CloseCode::Done, CloseCode::Done.reason()), |(code, reason)| (*code, reason))
    }

    /// Closes the connection with the reason that was given.
    pub(crate) fn close(&self) {
        let (code, reason) = self.end_reason();
        let cut = reason.floor_char_boundary(REASON_BYTES_MAX);
        self.connection.close(VarInt::from_u32(code as u32), &reason.as_bytes()[..cut]);
    }
}
