//! The server side of OPAQUE (RFC 9807): the directory checks passwords that it never sees.

use opaque_ke::{
    CipherSuite, CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, ServerLogin,
    ServerLoginParameters, ServerRegistration, ServerSetup, TripleDh,
};
use protocol::{Name, directory::OpaqueMessage};
use rand_chacha::ChaCha20Rng;

use crate::store::{Instance, StoreError};

/// Name of the secret without which every password is dead.
const SETUP: &str = "opaque server setup v1";

/// Bytes of a record behind its public key: a masking key, and an envelope of a nonce and a tag.
const RECORD_REST: usize = 3 * 32;

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_p256::NistP256;
    type KeyExchange = TripleDh<opaque_p256::NistP256, opaque_sha2::Sha256>;
    type Ksf = argon2::Argon2<'static>;
}

/// A message of the exchange is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotOpaque;

/// A login between its two requests.
pub(super) struct PendingLogin {
    pub(super) name: Name,
    state: ServerLogin<Suite>,
    context: [u8; 32],
    /// The account's record that the first answer was made of.
    tried: Vec<u8>,
}

impl std::fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingLogin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The directory's half of every password.
pub(super) struct PasswordServer {
    setup: ServerSetup<Suite>,
    /// A record of nobody's. It is read in the place of one that is not there, so that reading takes as long: a point of
    /// the curve is dear to read.
    nobody: Vec<u8>,
}

impl PasswordServer {
    pub(super) fn open(store: &impl Instance, rng: &mut ChaCha20Rng) -> Result<Self, StoreError> {
        let bytes = match store.secret(SETUP)? {
            Some(bytes) => bytes,
            None => store.secret_or(SETUP, &ServerSetup::<Suite>::new(rng).serialize())?,
        };
        let setup = ServerSetup::<Suite>::deserialize(&bytes);
        let setup = setup.map_err(|_| StoreError::Damaged("the secret behind all passwords".to_owned()))?;
        let nobody = [setup.keypair().public().serialize().as_slice(), &[0; RECORD_REST]].concat();
        Ok(Self { setup, nobody })
    }

    /// Answers a registration request. The name is the credential's identifier.
    pub(super) fn register(&self, name: &Name, request: &[u8]) -> Result<OpaqueMessage, NotOpaque> {
        let request = RegistrationRequest::deserialize(request).map_err(|_| NotOpaque)?;
        let start = ServerRegistration::<Suite>::start(&self.setup, request, name.as_str().as_bytes());
        let start = start.map_err(|_| NotOpaque)?;
        OpaqueMessage::new(start.message.serialize().to_vec()).map_err(|_| NotOpaque)
    }

    /// The record to be kept of an uploaded registration.
    pub(super) fn record(upload: &[u8]) -> Result<Vec<u8>, NotOpaque> {
        let upload = RegistrationUpload::<Suite>::deserialize(upload).map_err(|_| NotOpaque)?;
        Ok(ServerRegistration::finish(upload).serialize().to_vec())
    }

    /// Answers a login request; without a record, with one that looks the same and that no password opens.
    pub(super) fn log_in(
        &self,
        name: &Name,
        record: Option<&[u8]>,
        request: &[u8],
        context: [u8; 32],
        rng: &mut ChaCha20Rng,
    ) -> Result<(PendingLogin, OpaqueMessage), NotOpaque> {
        let tried = record.unwrap_or(&self.nobody).to_vec();
        let read = ServerRegistration::<Suite>::deserialize(record.unwrap_or(&self.nobody)).map_err(|_| NotOpaque)?;
        let record = record.is_some().then_some(read);
        let request = CredentialRequest::deserialize(request).map_err(|_| NotOpaque)?;
        let parameters = ServerLoginParameters { context: Some(&context), ..Default::default() };
        let start = ServerLogin::start(rng, &self.setup, record, request, name.as_str().as_bytes(), parameters);
        let start = start.map_err(|_| NotOpaque)?;
        let message = OpaqueMessage::new(start.message.serialize().to_vec()).map_err(|_| NotOpaque)?;
        Ok((PendingLogin { name: name.clone(), state: start.state, context, tried }, message))
    }
}

impl PendingLogin {
    /// Whether the password that is tried is still the account's: it may change between the two steps, and what its
    /// successor sealed is nothing for whoever knows only the old one.
    pub(super) fn is_for(&self, record: &[u8]) -> bool {
        self.tried == record
    }

    /// Whether the client has proven the password.
    pub(super) fn finish(self, credential: &[u8]) -> bool {
        let Ok(credential) = CredentialFinalization::deserialize(credential) else { return false };
        let parameters = ServerLoginParameters { context: Some(&self.context), ..Default::default() };
        self.state.finish(credential, parameters).is_ok()
    }
}
