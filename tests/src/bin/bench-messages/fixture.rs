//! Accounts for benches, written into a directory's store by the directory's own rules, before a directory is started on
//! it: thousands of real sign-ups would be minutes of Argon2 and of round trips.

use std::net::{Ipv4Addr, SocketAddr};

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
    BoundedBytes, DeviceId, Name, Timestamp,
    directory::{Registration, Reply, Request, SignUp},
    limits::CERTIFICATE_LIFETIME_MS,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use super::{Failed, now};

/// The password of every account of the fixture.
pub(super) const PASSWORD: &str = "correct-horse-1";

/// An account with one device, signed in.
pub(super) struct Account {
    pub(super) name: Name,
    pub(super) keys: DeviceKeys,
    pub(super) stretch: StretchParameters,
}

/// Puts accounts into the store.
pub(super) fn write<S: Store>(store: S, count: usize, stretch: StretchParameters) -> Result<Vec<Account>, Failed> {
    fill(&open(store)?, count, stretch)
}

/// The directory's rules over a store.
pub(super) fn open<S: Store>(store: S) -> Result<Service<S>, Failed> {
    let config = ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed: [7; 32] };
    Ok(Service::new(store, config, abort)?)
}

/// Makes accounts.
pub(super) fn fill<S: Store>(
    service: &Service<S>,
    count: usize,
    stretch: StretchParameters,
) -> Result<Vec<Account>, Failed> {
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
    let devices = root.device_list(1, vec![certificate], not_after)?;
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
    Ok(Account { name, keys, stretch })
}

/// An address of this machine's own, one for each of some thousand clients.
pub(super) fn address(index: usize) -> SocketAddr {
    let [.., high, low] = u32::try_from(index + 1).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0))
}
