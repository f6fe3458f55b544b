//! What a service is made with: what the operator chose, and the ledger.

use std::sync::Arc;

use protocol::{directory::Registration, money::Amount};

use crate::ledger::{Book, Direct, Settle};

/// What the operator chose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServiceConfig {
    /// How one gets an account.
    pub registration: Registration,
    /// Whether presence is told to everybody; else to whom the person accepted.
    pub presence_to_everyone: bool,
    /// Seed of the service's generator: from the system in production, fixed in tests.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for ServiceConfig {
    /// Without the seed, from which the secret behind all passwords is made at the first start.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("ServiceConfig");
        shown.field("registration", &self.registration);
        shown.field("presence_to_everyone", &self.presence_to_everyone).finish_non_exhaustive()
    }
}

/// The ledger that a service answers from.
#[derive(Clone)]
pub struct Money {
    /// What is read from.
    pub book: Arc<Book>,
    /// Who writes it.
    pub settle: Arc<dyn Settle>,
    /// What every new account has from the beginning.
    pub opening: Amount,
}

impl std::fmt::Debug for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Money").field("opening", &self.opening).finish_non_exhaustive()
    }
}

impl Money {
    /// A ledger that whoever asks writes, without opening balances.
    #[must_use]
    pub fn direct(book: Arc<Book>) -> Self {
        Self { settle: Arc::new(Direct(Arc::clone(&book))), book, opening: Amount::ZERO }
    }
}
