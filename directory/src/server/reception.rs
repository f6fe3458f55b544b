//! What the server needs of whatever answers requests: one visit for each connection, and a look now and then at what
//! passes with time. All of it may wait for the disk, and is called on threads made for that.

use std::{fmt, net::SocketAddr};

use protocol::{AccountId, DeviceId, PublicKey, Timestamp, directory::Request};

use crate::core::{Begun, Handled, ServiceEffect};

/// Receives connections.
pub trait Reception: Send + Sync {
    /// A device connects. The handshake has proved its TLS key; `binding` is the connection's exporter for OPAQUE.
    fn receive(&self, tls_key: PublicKey, binding: [u8; 32], observed: SocketAddr) -> Box<dyn Visit>;

    /// Looks after what passes with time: leases, retention.
    fn sweep(&self, now: Timestamp) -> Vec<ServiceEffect>;

    /// Does what the operator's commands have left to be done.
    fn issue_wanted(&self, _now: Timestamp) -> Vec<ServiceEffect> {
        Vec::new()
    }
}

/// One connection's dealings with the service, one call at a time.
pub trait Visit: Send {
    /// The connection stands. A device that is signed in is so at once, without a password.
    fn connected(&mut self, now: Timestamp) -> Vec<ServiceEffect>;

    /// Answers a request and says what follows from it.
    fn handle(&mut self, now: Timestamp, request: Request) -> Handled;

    /// Answers a request, or says what its answer waits for.
    fn begin(&mut self, now: Timestamp, request: Request) -> Begun {
        Begun::Done(self.handle(now, request))
    }

    /// The connection is gone, and no newer one of its device took its place.
    fn disconnected(&mut self, now: Timestamp) -> Vec<ServiceEffect>;

    /// The device that is signed in on the connection, if one is.
    fn device(&self) -> Option<DeviceId>;

    /// The account of that device.
    fn account(&self) -> Option<AccountId>;
}

impl fmt::Debug for dyn Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("device", &self.device()).finish_non_exhaustive()
    }
}
