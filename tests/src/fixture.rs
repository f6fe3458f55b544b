//! Accounts for benches and soaks, written into a directory's store by the directory's own rules, before a directory is started on
//! it: thousands of real sign-ups would be minutes of Argon2 and of round trips.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use directory::{
    core::{Caller, Service, ServiceConfig},
    store::Store,
};
use node_core::{
    command::{CommandToken, Password},
    crypto::keys::{DeviceKeys, RootKey},
    stretch::{StretchDone, StretchJob, StretchParameters, start_registration},
};
use protocol::{
    AccountId, BoundedBytes, DeviceId, Name, Timestamp,
    certificate::Certificate,
    directory::{Registration, Reply, Request, SignUp},
    limits::CERTIFICATE_LIFETIME_MS,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use rustix::time::{ClockId, clock_gettime};

/// Whatever went wrong: a bench or a soak ends with it.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The password of every account of the fixture.
pub const PASSWORD: &str = "correct-horse-1";

/// An account with one device, signed in.
pub struct Account {
    /// Its name.
    pub name: Name,
    /// Its id.
    pub id: AccountId,
    /// Its device.
    pub device: DeviceId,
    /// Its device's keys.
    pub keys: DeviceKeys,
    /// What its root key says of its device.
    pub certificate: Certificate,
    /// What its password was stretched with.
    pub stretch: StretchParameters,
}

impl std::fmt::Debug for Account {
    /// Without its keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Puts accounts into the store.
///
/// # Errors
/// Whatever the directory refuses.
pub fn write<S: Store>(store: S, count: usize, stretch: StretchParameters) -> Result<Vec<Account>, Failed> {
    fill(&open(store)?, count, stretch)
}

/// The directory's rules over a store.
///
/// # Errors
/// The store's.
pub fn open<S: Store>(store: S) -> Result<Service<S>, Failed> {
    let config = ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed: [7; 32] };
    Ok(Service::new(store, config, abort)?)
}

/// Makes accounts.
///
/// # Errors
/// Whatever the directory refuses.
pub fn fill<S: Store>(service: &Service<S>, count: usize, stretch: StretchParameters) -> Result<Vec<Account>, Failed> {
    // Accounts of different costs are different people.
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(stretch.memory_kib));
    (0..count).map(|index| sign_up(service, &mut rng, index, stretch)).collect()
}

/// A store that fails leaves nothing to measure.
fn abort(_: &directory::store::StoreError) {
    std::process::abort();
}

fn sign_up<S: Store>(
    service: &Service<S>,
    rng: &mut ChaCha20Rng,
    index: usize,
    stretch: StretchParameters,
) -> Result<Account, Failed> {
    let now = now();
    let name = Name::parse(&format!("bench{}x{index}", stretch.memory_kib))?;
    let keys = DeviceKeys::generate(rng);
    let not_after = Timestamp(now.0 + CERTIFICATE_LIFETIME_MS);
    let mut device = [0; 16];
    rng.fill_bytes(&mut device);
    let root = RootKey::generate(rng);
    let certificate = root.certify(&keys, DeviceId(device), not_after)?;
    let tls_key = certificate.entry()?.tls_key;
    let devices = root.device_list(1, vec![certificate.clone()], not_after)?;
    // Everybody from an address of their own: the limits of one address are not what is measured.
    let mut caller = Caller::new(tls_key, [0; 32], address(index));
    let password = Password::new(PASSWORD.to_owned());
    let (state, registration) = start_registration(&password, rng)?;
    let start = Request::SignUpStart { name: name.clone(), invite: None, registration };
    let Reply::SignUpStarted { registration } = service.handle(now, &mut caller, start).answer? else {
        return Err("a sign-up does not start".into());
    };
    let job = StretchJob::registration(CommandToken(1), state, password, registration, stretch, [9; 32]);
    let StretchDone::Registered { upload, .. } = job.run() else {
        return Err("a registration does not finish".into());
    };
    // Nobody opens these backups.
    let mut backup = vec![0; 64];
    rng.fill_bytes(&mut backup);
    let backup = BoundedBytes::new(backup)?;
    let sign_up = SignUp {
        name: name.clone(),
        invite: None,
        registration: upload,
        devices,
        root_backup: backup.clone(),
        recovery_backup: backup,
    };
    service.handle(now, &mut caller, Request::SignUpFinish(Box::new(sign_up))).answer?;
    let id = membership::account_id(&root.public());
    Ok(Account { name, id, device: DeviceId(device), keys, certificate, stretch })
}

/// An address of this machine's own, one for each of some thousand clients.
#[must_use]
pub fn address(index: usize) -> SocketAddr {
    let [.., high, low] = u32::try_from(index + 1).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0))
}

/// What this process has spent of its processors' time.
#[must_use]
pub fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or_default(), u32::try_from(spent.tv_nsec).unwrap_or_default())
}

/// The system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
