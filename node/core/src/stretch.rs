//! Password stretching as an effect: OPAQUE's client (RFC 9807), split where it takes long.
//!
//! The core starts an exchange, the directory answers, and the answer is finished on a thread of the driver's, because
//! Argon2id (RFC 9106) takes its time on purpose. P-256 for the OPRF and for 3DH; the connection's TLS exporter is the
//! context of a login, so that it can't be carried to another connection.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, Identifiers, RegistrationResponse, TripleDh, errors::ProtocolError,
};
use protocol::directory::OpaqueMessage;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use crate::{
    command::{CommandToken, Password},
    entropy::Entropy,
};

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

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_p256::NistP256;
    type KeyExchange = TripleDh<opaque_p256::NistP256, opaque_sha2::Sha256>;
    type Ksf = Argon2<'static>;
}

/// A registration between its start and the directory's answer.
pub struct RegistrationState(ClientRegistration<Suite>);

/// A login between its start and the directory's answer.
pub struct LoginState(ClientLogin<Suite>);

/// A password cannot be used: it is longer than the protocol takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that password cannot be used; choose a shorter one")]
pub struct UnusablePassword;

/// Starts a registration; the message goes to the directory.
///
/// # Errors
/// [`UnusablePassword`].
pub fn start_registration(
    password: &Password,
    entropy: &mut dyn Entropy,
) -> Result<(RegistrationState, OpaqueMessage), UnusablePassword> {
    let mut rng = seeded(entropy);
    let start = ClientRegistration::<Suite>::start(&mut rng, password.expose()).map_err(|_| UnusablePassword)?;
    let message = OpaqueMessage::new(start.message.serialize().to_vec()).map_err(|_| UnusablePassword)?;
    Ok((RegistrationState(start.state), message))
}

/// Starts a login; the message goes to the directory.
///
/// # Errors
/// [`UnusablePassword`].
pub fn start_login(
    password: &Password,
    entropy: &mut dyn Entropy,
) -> Result<(LoginState, OpaqueMessage), UnusablePassword> {
    let mut rng = seeded(entropy);
    let start = ClientLogin::<Suite>::start(&mut rng, password.expose()).map_err(|_| UnusablePassword)?;
    let message = OpaqueMessage::new(start.message.serialize().to_vec()).map_err(|_| UnusablePassword)?;
    Ok((LoginState(start.state), message))
}

fn seeded(entropy: &mut dyn Entropy) -> ChaCha20Rng {
    let mut seed = [0; 32];
    entropy.fill_bytes(&mut seed);
    ChaCha20Rng::from_seed(seed)
}

/// A job that takes long: it holds secrets, draws its randomness from a seed that the core gave it, and is run once.
pub struct StretchJob {
    job: CommandToken,
    password: Password,
    response: OpaqueMessage,
    parameters: StretchParameters,
    seed: [u8; 32],
    kind: Kind,
}

enum Kind {
    Registration(RegistrationState),
    Login(Box<LoginState>, [u8; 32]),
}

impl fmt::Debug for StretchJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StretchJob").field("job", &self.job).finish_non_exhaustive()
    }
}

impl StretchJob {
    /// Finishes a registration with the directory's answer.
    #[must_use]
    pub fn registration(
        job: CommandToken,
        state: RegistrationState,
        password: Password,
        response: OpaqueMessage,
        parameters: StretchParameters,
        seed: [u8; 32],
    ) -> Self {
        Self { job, password, response, parameters, seed, kind: Kind::Registration(state) }
    }

    /// Finishes a login with the directory's answer on the connection of this exporter.
    #[must_use]
    pub fn login(
        job: CommandToken,
        state: LoginState,
        password: Password,
        response: OpaqueMessage,
        exporter: [u8; 32],
        parameters: StretchParameters,
        seed: [u8; 32],
    ) -> Self {
        Self { job, password, response, parameters, seed, kind: Kind::Login(Box::new(state), exporter) }
    }

    /// Runs the job; takes some 130 ms with the production parameters.
    #[must_use]
    pub fn run(self) -> StretchDone {
        let job = self.job;
        let failed = |reason| StretchDone::Failed { job, reason };
        let Ok(argon2) = self.parameters.argon2() else { return failed(StretchFailure::Malformed) };
        let mut rng = ChaCha20Rng::from_seed(self.seed);
        match self.kind {
            Kind::Registration(state) => {
                let Ok(response) = RegistrationResponse::deserialize(&self.response) else {
                    return failed(StretchFailure::Malformed);
                };
                let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&argon2));
                match state.0.finish(&mut rng, self.password.expose(), response, parameters) {
                    Ok(done) => match OpaqueMessage::new(done.message.serialize().to_vec()) {
                        Ok(upload) => {
                            let export_key = Zeroizing::new(done.export_key.to_vec());
                            StretchDone::Registered { job, upload, export_key }
                        }
                        Err(_) => failed(StretchFailure::Malformed),
                    },
                    Err(_) => failed(StretchFailure::Malformed),
                }
            }
            Kind::Login(state, exporter) => {
                let Ok(response) = CredentialResponse::deserialize(&self.response) else {
                    return failed(StretchFailure::Malformed);
                };
                let parameters =
                    ClientLoginFinishParameters::new(Some(&exporter), Identifiers::default(), Some(&argon2));
                match state.0.finish(&mut rng, self.password.expose(), response, parameters) {
                    Ok(done) => match OpaqueMessage::new(done.message.serialize().to_vec()) {
                        Ok(finalization) => {
                            let export_key = Zeroizing::new(done.export_key.to_vec());
                            StretchDone::LoggedIn { job, finalization, export_key }
                        }
                        Err(_) => failed(StretchFailure::Malformed),
                    },
                    Err(ProtocolError::InvalidLoginError) => failed(StretchFailure::WrongPassword),
                    Err(_) => failed(StretchFailure::Malformed),
                }
            }
        }
    }
}

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StretchFailure {
    /// Password and record do not belong together, or there is no such record: it looks the same.
    WrongPassword,
    /// The directory's message is none.
    Malformed,
}

/// The result of a [`StretchJob`].
pub enum StretchDone {
    /// A registration can be uploaded.
    Registered {
        /// Which job.
        job: CommandToken,
        /// OPAQUE RegistrationRecord.
        upload: OpaqueMessage,
        /// What only this password gives.
        export_key: Zeroizing<Vec<u8>>,
    },
    /// A login can be finished.
    LoggedIn {
        /// Which job.
        job: CommandToken,
        /// OPAQUE KE3.
        finalization: OpaqueMessage,
        /// What only this password gives.
        export_key: Zeroizing<Vec<u8>>,
    },
    /// It did not work.
    Failed {
        /// Which job.
        job: CommandToken,
        /// Why.
        reason: StretchFailure,
    },
}

impl StretchDone {
    /// Which job it was.
    #[must_use]
    pub fn job(&self) -> CommandToken {
        match self {
            Self::Registered { job, .. } | Self::LoggedIn { job, .. } | Self::Failed { job, .. } => *job,
        }
    }
}

impl fmt::Debug for StretchDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StretchDone").field("job", &self.job()).finish_non_exhaustive()
    }
}
