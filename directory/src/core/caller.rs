//! A connection, as the service knows it: what TLS has proven of it, and who is signed in on it.

use std::net::SocketAddr;

use protocol::{AccountId, DeviceId, PublicKey};

use super::{opaque, sessions::Session};

/// A connection, as the service knows it.
pub struct Caller {
    pub(super) tls_key: PublicKey,
    pub(super) exporter: [u8; 32],
    pub(super) observed: SocketAddr,
    pub(super) session: Option<Session>,
    pub(super) login: Option<opaque::PendingLogin>,
    /// The account whose password was proven on this connection, until that is used.
    pub(super) proven: Option<AccountId>,
}

impl std::fmt::Debug for Caller {
    /// Without the exporter, which binds a password's proof to this connection.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Caller");
        shown.field("observed", &self.observed).field("session", &self.session);
        shown.field("login", &self.login).finish_non_exhaustive()
    }
}

impl Caller {
    /// A new connection: the key that TLS has proven, the connection's exporter, and where it comes from.
    #[must_use]
    pub fn new(tls_key: PublicKey, exporter: [u8; 32], observed: SocketAddr) -> Self {
        Self { tls_key, exporter, observed, session: None, login: None, proven: None }
    }

    /// The device that is signed in on it.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.session.map(|session| session.device)
    }

    /// The account that is signed in on it.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.session.map(|session| session.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_shows_no_exporter() {
        let caller = Caller::new(PublicKey([4; 65]), [171; 32], ([127, 0, 0, 1], 7_000).into());
        let shown = format!("{caller:?} {caller:#?}");
        assert!(shown.contains("127.0.0.1:7000"), "{shown}");
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    }
}
