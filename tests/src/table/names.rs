//! What is at a seat goes by: names, passwords and addresses.

use std::net::{Ipv4Addr, SocketAddr};

use node_core::command::Password;
use protocol::Name;

use super::Seat;

/// A name.
///
/// # Panics
/// If it is none.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn named(name: &str) -> Name {
    Name::parse(name).expect("a name")
}

/// The password of the account of this name.
#[must_use]
pub fn password_of(name: &str) -> Password {
    Password::new(format!("password-of-{name}"))
}

/// Where a seat is.
pub(super) fn address(seat: Seat) -> SocketAddr {
    let host = u8::try_from(seat % 250).unwrap_or_default() + 1;
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), 7_000))
}
