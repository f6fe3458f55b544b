//! A service over a store, and people who ask it without a network: real passwords, real certificates, real MLS.

use std::{net::SocketAddr, time::Duration};

use argon2::Argon2;
use directory::{
    core::{Caller, Handled, Service, ServiceConfig, ServiceEffect},
    store::{Store, memory::MemoryStore, sqlite::SqliteStore},
};
use membership::{
    LEAVE_PROPOSAL_TYPE, POLICY_EXTENSION_TYPE, SUITE,
    identity::{DeviceIdentityProvider, signing_identity},
    rules::ConversationRules,
    signing::{public_key, sign},
};
use mls_rs::{
    Client, ExtensionList, Group, MlsRules,
    client_builder::{BaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    extension::recommended::LastResortKeyPackageExt,
    group::{GroupContext, Roster},
    mls_rules::{CommitDirection, CommitOptions, CommitSource, EncryptionOptions, ProposalBundle},
    time::MlsTime,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientLoginFinishResult, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, Identifiers, RegistrationResponse, TripleDh,
};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, Bounded, BoundedBytes, DeviceId, Name, Timestamp,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DEVICE_LIST_LABEL, DeviceEntry, DeviceList, SignedDeviceList},
    directory::{KeyPackageBytes, OpaqueMessage, Push, Refusal, Registration, Reply, Request, SignUp},
    frame,
    limits::{CERTIFICATE_LIFETIME_MS, DIRECTORY_FRAME_MAX, KEY_PACKAGE_LIFETIME_S},
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// When every test begins: in the year 3015, so that a clock that was not given is noticed.
pub(crate) const BEGIN: Timestamp = Timestamp(33_000_000_000_000);
/// The exporter of every connection here.
pub(crate) const EXPORTER: [u8; 32] = [5; 32];

/// What a request came to.
pub(crate) type Answer = Result<Reply, Refusal>;

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_p256::NistP256;
    type KeyExchange = TripleDh<opaque_p256::NistP256, opaque_sha2::Sha256>;
    type Ksf = Argon2<'static>;
}

/// Writes as we do and lets everything pass: the service's own judgement is what is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lawless;

impl MlsRules for Lawless {
    type Error = <ConversationRules as MlsRules>::Error;

    fn filter_proposals(
        &self,
        _direction: CommitDirection,
        _source: CommitSource,
        _roster: &Roster<'_>,
        _context: &GroupContext,
        proposals: ProposalBundle,
    ) -> Result<ProposalBundle, Self::Error> {
        Ok(proposals)
    }

    fn commit_options(
        &self,
        roster: &Roster<'_>,
        context: &GroupContext,
        proposals: &ProposalBundle,
    ) -> Result<CommitOptions, Self::Error> {
        ConversationRules.commit_options(roster, context, proposals)
    }

    fn encryption_options(
        &self,
        roster: &Roster<'_>,
        context: &GroupContext,
    ) -> Result<EncryptionOptions, Self::Error> {
        ConversationRules.encryption_options(roster, context)
    }
}

pub(crate) type Config = WithMlsRules<
    Lawless,
    WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<AwsLcCryptoProvider, BaseConfig>>,
>;
pub(crate) type MlsGroup = Group<Config>;

/// The service over the model.
pub(crate) fn in_memory() -> Hall<MemoryStore> {
    Hall::over(MemoryStore::default())
}

/// The service over SQLite in a folder.
pub(crate) fn on_disk(folder: &std::path::Path) -> Hall<SqliteStore> {
    Hall::over(SqliteStore::open(folder).unwrap())
}

/// A service at a time.
pub(crate) struct Hall<S> {
    pub(crate) service: Service<S>,
    pub(crate) now: Timestamp,
}

impl<S: Store> Hall<S> {
    pub(crate) fn over(store: S) -> Self {
        Self::configured(store, true, Registration::Open)
    }

    /// A service where presence is told to everybody, or only to whom a person accepted.
    pub(crate) fn configured(store: S, presence_to_everyone: bool, registration: Registration) -> Self {
        let config = ServiceConfig { registration, presence_to_everyone, seed: [9; 32] };
        let fatal = |error: &directory::store::StoreError| panic!("the store failed: {error}");
        Self { service: Service::new(store, config, fatal).unwrap(), now: BEGIN }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    pub(crate) fn handle(&self, person: &mut Person, request: Request) -> Handled {
        self.service.handle(self.now, &mut person.caller, request)
    }

    pub(crate) fn ask(&self, person: &mut Person, request: Request) -> Answer {
        self.handle(person, request).answer
    }

    /// What is done besides a request that is answered.
    pub(crate) fn effects(&self, person: &mut Person, request: Request) -> Vec<ServiceEffect> {
        let handled = self.handle(person, request);
        handled.answer.unwrap();
        handled.effects
    }

    /// Somebody who has signed up, on a connection of theirs.
    pub(crate) fn arrive(&self, name: &str, seed: u8) -> Person {
        let mut person = Person::new(name, seed, self.now);
        let answer = self.sign_up(&mut person);
        assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
        person
    }

    /// What registers a password, once the directory has answered this request.
    pub(crate) fn register(
        &self,
        person: &mut Person,
        password: &str,
        begin: impl FnOnce(OpaqueMessage) -> Request,
    ) -> Result<OpaqueMessage, Refusal> {
        let start = ClientRegistration::<Suite>::start(&mut person.rng, password.as_bytes()).unwrap();
        let response = match self.ask(person, begin(bytes(&start.message.serialize())))? {
            Reply::SignUpStarted { registration } => RegistrationResponse::deserialize(&registration).unwrap(),
            other => panic!("{other:?}"),
        };
        let stretching = cheap_stretching();
        let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&stretching));
        let finish = start.state.finish(&mut person.rng, password.as_bytes(), response, parameters).unwrap();
        Ok(bytes(&finish.message.serialize()))
    }

    pub(crate) fn sign_up(&self, person: &mut Person) -> Answer {
        let (name, password) = (person.name.clone(), person.password.clone());
        let begin = |registration| Request::SignUpStart { name, invite: None, registration };
        let sign_up = SignUp {
            name: person.name.clone(),
            invite: None,
            registration: self.register(person, &password, begin)?,
            devices: person.devices.clone(),
            root_backup: bytes(&[1; 64]),
            recovery_backup: bytes(&[2; 64]),
        };
        self.ask(person, Request::SignUpFinish(Box::new(sign_up)))
    }

    /// Takes another device of the same person into the account, and connects it.
    pub(crate) fn enrol(&self, person: &mut Person, another: &mut Person) {
        let certificates = vec![person.certificate.clone(), another.certificate.clone()];
        let devices = device_list(&person.root, 2, certificates);
        assert_eq!(self.ask(person, Request::UpdateDevices { devices }), Ok(Reply::Done));
        self.connect(another);
        assert_eq!(another.caller.account(), Some(person.account));
    }

    /// The first half of a sign-in: what the directory answers, and what the password makes of it.
    pub(crate) fn start_sign_in(&self, person: &mut Person, name: &str, password: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        self.try_start(person, name, password).unwrap()
    }

    fn try_start(
        &self,
        person: &mut Person,
        name: &str,
        password: &str,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), Refusal> {
        let start = ClientLogin::<Suite>::start(&mut person.rng, password.as_bytes()).unwrap();
        let credential = bytes(&start.message.serialize());
        let name = Name::parse(name).unwrap();
        let credential = match self.ask(person, Request::SignInStart { name, credential })? {
            Reply::SignInStarted { credential } => credential,
            other => panic!("{other:?}"),
        };
        let response = CredentialResponse::deserialize(&credential).unwrap();
        let stretching = cheap_stretching();
        let parameters = ClientLoginFinishParameters::new(Some(&EXPORTER), Identifiers::default(), Some(&stretching));
        let finish: Result<ClientLoginFinishResult<Suite>, _> =
            start.state.finish(&mut person.rng, password.as_bytes(), response, parameters);
        Ok((credential.to_vec(), finish.ok().map(|finish| finish.message.serialize().to_vec())))
    }

    pub(crate) fn sign_in(&self, person: &mut Person) -> Answer {
        let (name, password) = (person.name.to_string(), person.password.clone());
        let (_, credential) = self.try_start(person, &name, &password)?;
        self.ask(person, Request::SignInFinish { credential: bytes(&credential.unwrap()) })
    }

    /// A new connection of the same device.
    pub(crate) fn connect(&self, person: &mut Person) {
        let mut caller = person.connection();
        assert_eq!(self.service.connected(self.now, &mut caller), []);
        person.caller = caller;
    }

    /// One key package of a person, taken by another.
    pub(crate) fn take(&self, by: &mut Person, of: AccountId) -> Vec<(DeviceId, KeyPackageBytes)> {
        match self.ask(by, Request::TakeKeyPackages { account: of }) {
            Ok(Reply::KeyPackages(packages)) => packages.into_inner(),
            other => panic!("{other:?}"),
        }
    }

    /// Everything that waits for a person's device.
    pub(crate) fn mail(&self, person: &mut Person) -> Vec<protocol::directory::MailItem> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let answer = self.ask(person, Request::Drain { after });
            let Ok(Reply::Mail { items: page, more }) = answer else { panic!("{answer:?}") };
            after = page.iter().map(|(cursor, _)| *cursor).next_back().or(after);
            items.extend(page.into_iter().map(|(_, item)| item));
            if !more {
                return items;
            }
        }
    }
}

/// Somebody with a root key and one device.
pub(crate) struct Person {
    pub(crate) name: Name,
    pub(crate) password: String,
    pub(crate) entry: DeviceEntry,
    pub(crate) devices: SignedDeviceList,
    pub(crate) certificate: Certificate,
    root: SigningKey,
    pub(crate) account: AccountId,
    pub(crate) client: Client<Config>,
    pub(crate) caller: Caller,
    rng: ChaCha20Rng,
}

pub(crate) fn key(seed: u8, purpose: u8) -> SigningKey {
    let mut bytes = [seed; 32];
    bytes[1] = purpose;
    SigningKey::from_slice(&bytes).unwrap()
}

impl Person {
    /// Somebody whose keys follow from the seed, below 200.
    pub(crate) fn new(name: &str, seed: u8, now: Timestamp) -> Self {
        Self::with_device(name, seed, seed, now.plus_ms(CERTIFICATE_LIFETIME_MS))
    }

    /// The same person on another device, which nobody enrolled; or one whose certificate ends at some time.
    pub(crate) fn with_device(name: &str, seed: u8, device: u8, not_after: Timestamp) -> Self {
        let (root, mls) = (key(seed, 1), key(device, 2));
        let entry = DeviceEntry {
            root_key: public_key(&root),
            device: DeviceId([device; 16]),
            tls_key: public_key(&key(device, 3)),
            mls_key: public_key(&mls),
            order_key: public_key(&key(device, 4)),
            not_after,
        };
        let certificate = certify(&root, &entry);
        let devices = device_list(&root, 1, vec![certificate.clone()]);
        let client = client(&certificate, &mls);
        let name = Name::parse(name).unwrap();
        Self {
            password: format!("correct-horse-{name}"),
            name,
            account: membership::account_id(&entry.root_key),
            caller: Caller::new(entry.tls_key, EXPORTER, address(seed)),
            rng: ChaCha20Rng::from_seed([device; 32]),
            entry,
            devices,
            certificate,
            root,
            client,
        }
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.entry.device
    }

    /// A connection that nobody has told the service of.
    pub(crate) fn connection(&self) -> Caller {
        Caller::new(self.entry.tls_key, EXPORTER, address(self.entry.device.0[0]))
    }

    /// A connection of the same device from somewhere else, that nobody has told the service of.
    pub(crate) fn move_to(&mut self, address: std::net::IpAddr) {
        self.caller = Caller::new(self.entry.tls_key, EXPORTER, (address, 7_000).into());
    }

    /// What OPAQUE says first for a password; nobody comes back to end it.
    pub(crate) fn first_message(&mut self, password: &str) -> Vec<u8> {
        ClientLogin::<Suite>::start(&mut self.rng, password.as_bytes()).unwrap().message.serialize().to_vec()
    }

    pub(crate) fn package(&self, now: Timestamp) -> KeyPackageBytes {
        self.make_package(now, ExtensionList::new())
    }

    pub(crate) fn last_resort(&self, now: Timestamp) -> KeyPackageBytes {
        let mut extensions = ExtensionList::new();
        extensions.set_from(LastResortKeyPackageExt).unwrap();
        self.make_package(now, extensions)
    }

    fn make_package(&self, now: Timestamp, extensions: ExtensionList) -> KeyPackageBytes {
        let message =
            self.client.generate_key_package_message(extensions, ExtensionList::new(), Some(mls_time(now))).unwrap();
        bytes(&message.to_bytes().unwrap())
    }
}

/// A root key's word for all devices.
pub(crate) fn device_list(root: &SigningKey, version: u64, certificates: Vec<Certificate>) -> SignedDeviceList {
    let list = DeviceList {
        root_key: public_key(root),
        version,
        devices: Bounded::new(certificates).unwrap(),
        not_after: Timestamp(u64::MAX),
    };
    let list: BoundedBytes<_> = bytes(&frame::encode_body(&list, DIRECTORY_FRAME_MAX).unwrap());
    SignedDeviceList { signature: sign(root, DEVICE_LIST_LABEL, &list), list }
}

/// A root key's word for a device.
pub(crate) fn certify(root: &SigningKey, entry: &DeviceEntry) -> Certificate {
    let entry: BoundedBytes<_> = bytes(&frame::encode_body(entry, DIRECTORY_FRAME_MAX).unwrap());
    Certificate { signature: sign(root, DEVICE_ENTRY_LABEL, &entry), entry }
}

pub(crate) fn client(certificate: &Certificate, mls: &SigningKey) -> Client<Config> {
    Client::builder()
        .crypto_provider(AwsLcCryptoProvider::default())
        .identity_provider(DeviceIdentityProvider)
        .mls_rules(Lawless)
        .extension_type(POLICY_EXTENSION_TYPE)
        .custom_proposal_type(LEAVE_PROPOSAL_TYPE)
        .key_package_lifetime(Duration::from_secs(KEY_PACKAGE_LIFETIME_S))
        .signing_identity(signing_identity(certificate).unwrap(), mls.to_bytes().to_vec().into(), SUITE)
        .build()
}

pub(crate) fn mls_time(now: Timestamp) -> MlsTime {
    MlsTime::from_duration_since_epoch(Duration::from_secs(now.seconds()))
}

/// A machine of its own for each seed.
fn address(seed: u8) -> SocketAddr {
    ([10, 0, 0, seed], 7_000).into()
}

/// Cheap on purpose: the directory never stretches a password.
fn cheap_stretching() -> Argon2<'static> {
    let parameters = argon2::Params::new(8, 1, 1, None).unwrap();
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters)
}

pub(crate) fn bytes<const MAX: usize>(bytes: &[u8]) -> BoundedBytes<MAX> {
    BoundedBytes::new(bytes.to_vec()).unwrap()
}

pub(crate) fn mail_for(device: DeviceId) -> ServiceEffect {
    ServiceEffect::Push { device, push: Push::Mail }
}
