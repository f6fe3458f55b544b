//! The money of every directory that is played here: one root key, and a ledger that outlives whoever serves it.

use std::sync::Arc;

use directory::{
    core::Money,
    ledger::{Book, Direct, Founder},
    store::ledger::LedgerStore,
};
use p256::ecdsa::SigningKey;
use protocol::{Fingerprint, directory::PaymentLimits, money::Amount};

/// The directory's root key.
///
/// # Panics
/// Never: the bytes are a scalar.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn root() -> SigningKey {
    SigningKey::from_slice(&[0xd1; 32]).expect("a scalar of the curve")
}

/// What every connection proves of it, unless a test says otherwise.
#[must_use]
pub fn fingerprint() -> Fingerprint {
    membership::fingerprint(&membership::signing::public_key(&root()))
}

/// A ledger over what was kept of it, where every new account has this much.
///
/// # Panics
/// If what was kept is no ledger.
#[must_use]
#[expect(clippy::expect_used, reason = "for tests")]
pub fn money(store: Arc<dyn LedgerStore>, opening: Amount, limits: PaymentLimits) -> Money {
    let founder = Founder { root: root(), currency: None, limits, seed: [8; 32] };
    let book = Arc::new(Book::open(store, founder).expect("a ledger that opens"));
    Money { settle: Arc::new(Direct(Arc::clone(&book))), book, opening }
}
