//! From settings to a service that answers: the data folder, the store in it, the directory's secrets, and one visit for
//! each connection.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use protocol::{
    AccountId, DeviceId, PublicKey, Timestamp,
    directory::{Registration, Request},
};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{Begun, Caller, Handled, Money, Service, ServiceConfig, ServiceEffect},
    server::{
        Listening, StartError,
        data_folder::DataFolder,
        money::{self, MoneySettings},
        reception::{Reception, Visit},
        settling,
        transport::ResetKey,
    },
    store::{
        Instance, Store, StoreError,
        ledger::LedgerStore,
        memory::MemoryStore,
        sqlite::{SqliteStore, ledger::SqliteLedger},
    },
    tls::{TlsError, identity::RootKey},
};

/// Name of the directory's root key among the store's secrets.
const ROOT_KEY: &str = "directory root key v1";

/// Name of the key of stateless resets among the store's secrets.
const RESET_KEY: &str = "stateless reset key v1";

/// Where a directory keeps what it knows.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In a folder, durably.
    Folder(PathBuf),
    /// In memory, for as long as somebody holds it.
    Memory(MemoryStore),
}

/// What a directory is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where and how to listen.
    pub listening: Listening,
    /// Where to keep what it knows.
    pub storage: Storage,
    /// Who can register.
    pub registration: Registration,
    /// Whether everybody may see who is online; else only whom the person accepted.
    pub presence_to_everyone: bool,
    /// What the money is.
    pub money: MoneySettings,
}

impl Settings {
    /// A directory for anybody, on a free port of this machine alone, in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            listening: Listening::locally(),
            storage: Storage::Memory(MemoryStore::default()),
            registration: Registration::Open,
            presence_to_everyone: true,
            money: MoneySettings::default(),
        }
    }

    /// The same in a folder.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { storage: Storage::Folder(folder.into()), ..Self::in_memory() }
    }
}

/// What is there once the store is open.
pub(crate) struct Opened {
    pub(crate) reception: Arc<dyn Reception>,
    pub(crate) root: RootKey,
    pub(crate) reset: ResetKey,
    pub(crate) folder: Option<Arc<DataFolder>>,
    /// Cancelled when the store can no longer make anything durable.
    pub(crate) failed: CancellationToken,
}

/// Opens what the settings name. Blocks on the disk.
pub(crate) fn open(settings: Settings) -> Result<Opened, StartError> {
    match &settings.storage {
        Storage::Folder(folder) => {
            let taken = Arc::new(DataFolder::take(folder)?);
            let ledger = Arc::new(SqliteLedger::open(folder)?);
            open_over(SqliteStore::open(folder)?, ledger, &settings, Some(taken))
        }
        Storage::Memory(store) => open_over(store.clone(), Arc::new(store.ledger()), &settings, None),
    }
}

/// Opens what the settings name, over other stores: the folder, if they name one, is this process's all the same. Blocks on
/// the disk.
pub(crate) fn open_stores<S: Store>(
    store: S,
    ledger: Arc<dyn LedgerStore>,
    settings: &Settings,
) -> Result<Opened, StartError> {
    let folder = match &settings.storage {
        Storage::Folder(folder) => Some(Arc::new(DataFolder::take(folder)?)),
        Storage::Memory(_) => None,
    };
    open_over(store, ledger, settings, folder)
}

fn open_over<S: Store>(
    store: S,
    ledger: Arc<dyn LedgerStore>,
    settings: &Settings,
    folder: Option<Arc<DataFolder>>,
) -> Result<Opened, StartError> {
    let (root, reset) = (root_key(&store)?, reset_key(&store)?);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(TlsError::Randomness)?;
    let Settings { registration, presence_to_everyone, .. } = *settings;
    let failed = CancellationToken::new();
    let on_fatal = {
        let failed = failed.clone();
        move |error: &StoreError| match error {
            StoreError::Fatal(_) => {
                tracing::error!(%error, "the store failed; the process has to end");
                failed.cancel();
            }
            // One record that can't be read is no reason to take the service from everybody, and would not be mended by
            // a restart.
            StoreError::Damaged(_) | StoreError::NewerSchema { .. } => {
                tracing::error!(%error, "a request met bad data")
            }
        }
    };
    let (book, opening) = money::open(ledger, &root, &settings.money)?;
    let settle = settling::start(Arc::clone(&book), folder.clone(), failed.clone()).map_err(StartError::Threads)?;
    let money = Money { book, settle: Arc::new(settle), opening };
    let config = ServiceConfig { registration, presence_to_everyone, seed };
    let service = Service::with_money(store, money, config, on_fatal)?;
    Ok(Opened { reception: Arc::new(Desk(Arc::new(service))), root, reset, folder, failed })
}

/// The directory's root key: made once, then always the same.
///
/// # Errors
/// [`StartError`] if the store has none and can't keep one, or has a damaged one.
pub(crate) fn root_key(store: &impl Instance) -> Result<RootKey, StartError> {
    let kept = match store.secret(ROOT_KEY)? {
        Some(kept) => kept,
        None => store.secret_or(ROOT_KEY, &RootKey::generate_pkcs8()?)?,
    };
    Ok(RootKey::from_pkcs8(&kept)?)
}

fn reset_key(store: &impl Instance) -> Result<ResetKey, StartError> {
    let kept = match store.secret(RESET_KEY)? {
        Some(kept) => kept,
        None => store.secret_or(RESET_KEY, ResetKey::generate()?.as_bytes())?,
    };
    ResetKey::from_slice(&kept).ok_or_else(|| StoreError::Damaged("the key of stateless resets".to_owned()).into())
}

struct Desk<S>(Arc<Service<S>>);

impl<S: Store> Reception for Desk<S> {
    fn receive(&self, tls_key: PublicKey, binding: [u8; 32], observed: SocketAddr) -> Box<dyn Visit> {
        Box::new(Call { service: Arc::clone(&self.0), caller: Caller::new(tls_key, binding, observed) })
    }

    fn sweep(&self, now: Timestamp) -> Vec<ServiceEffect> {
        self.0.sweep(now)
    }

    fn issue_wanted(&self, now: Timestamp) -> Vec<ServiceEffect> {
        self.0.issue_wanted(now)
    }
}

struct Call<S> {
    service: Arc<Service<S>>,
    caller: Caller,
}

impl<S: Store> Visit for Call<S> {
    fn connected(&mut self, now: Timestamp) -> Vec<ServiceEffect> {
        self.service.connected(now, &mut self.caller)
    }

    fn handle(&mut self, now: Timestamp, request: Request) -> Handled {
        self.service.handle(now, &mut self.caller, request)
    }

    fn begin(&mut self, now: Timestamp, request: Request) -> Begun {
        self.service.begin(now, &mut self.caller, request)
    }

    fn disconnected(&mut self, now: Timestamp) -> Vec<ServiceEffect> {
        self.service.disconnected(now, &mut self.caller)
    }

    fn device(&self) -> Option<DeviceId> {
        self.caller.device()
    }

    fn account(&self) -> Option<AccountId> {
        self.caller.account()
    }
}
