//! The core as the driver sees it. The second implementation is the one of the driver's tests, which says exactly which
//! effects follow from which inputs.

use std::num::NonZeroU32;

use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node_core::{Core, CoreConfig, Session, input::Input, output::Outputs, stored::Stored, stretch::StretchParameters};
use protocol::{Name, Timestamp};
use rand_core::{CryptoRng, RngCore};

/// How far a core's account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// There is none, and none is being made.
    None,
    /// A sign-up may have reached the directory or not.
    Pending,
    /// Signed in; reconnecting needs no password.
    SignedIn,
    /// Signed out; SIGNIN needs the password.
    SignedOut,
}

/// A core.
pub(super) trait Machine: Sized + 'static {
    /// Opens it from its records.
    ///
    /// # Errors
    /// In words, if they can't be used.
    fn open(stretch: StretchParameters, stored: Stored, now: Timestamp) -> Result<(Self, Outputs), String>;

    /// Takes what happened and says what to do.
    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Outputs;

    /// PKCS#8 DER of this device's TLS key.
    fn tls_key_pkcs8(&self) -> &[u8];

    /// The account's name, once there is an account.
    fn account_name(&self) -> Option<&Name>;

    /// How far the account is.
    fn account(&self) -> Account;
}

/// The core that nodes run.
pub(super) type NodeCore = Core<AwsLcCryptoProvider>;

impl Machine for NodeCore {
    fn open(stretch: StretchParameters, stored: Stored, now: Timestamp) -> Result<(Self, Outputs), String> {
        let crypto = AwsLcCryptoProvider::default();
        Self::open(CoreConfig { stretch }, crypto, Box::new(SystemEntropy), stored, now)
            .map_err(|error| error.to_string())
    }

    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Outputs {
        self.handle(now, inputs)
    }

    fn tls_key_pkcs8(&self) -> &[u8] {
        self.tls_key_pkcs8()
    }

    fn account_name(&self) -> Option<&Name> {
        self.account_name()
    }

    fn account(&self) -> Account {
        match self.session() {
            Session::SignedIn => Account::SignedIn,
            Session::SignedOut | Session::Closed => Account::SignedOut,
            Session::None if self.has_unfinished_sign_up() => Account::Pending,
            Session::None => Account::None,
        }
    }
}

/// The operating system's generator, as the core takes it.
#[derive(Debug)]
struct SystemEntropy;

/// Stands for any failure of the system's generator; the first code that is not the crate's own.
const NO_ENTROPY: NonZeroU32 = NonZeroU32::new(rand_core::Error::CUSTOM_START).unwrap();

impl RngCore for SystemEntropy {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    #[expect(clippy::expect_used, reason = "without randomness no key may be made, and the trait has no way to say so")]
    fn fill_bytes(&mut self, destination: &mut [u8]) {
        self.try_fill_bytes(destination).expect("the system gives random numbers");
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), rand_core::Error> {
        getrandom::fill(destination).map_err(|error| {
            tracing::error!(%error, "the system gives no random numbers");
            NO_ENTROPY.into()
        })
    }
}

impl CryptoRng for SystemEntropy {}
