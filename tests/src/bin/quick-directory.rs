//! A directory in a process of its own, to be killed and started again: `quick-directory FOLDER ADDRESS:PORT [FAULT]`. It
//! prints `listening ADDRESS:PORT key FINGERPRINT` as the shipped program does, and serves until it is killed. With a fault
//! it keeps its ledger as no directory may.

use std::{io::Write as _, path::Path, process::ExitCode, sync::Arc};

use directory::{
    server::{Server, Settings, StartError},
    store::sqlite::{SqliteStore, ledger::SqliteLedger},
};
use tests::bank::faulty::{Fault, Faulty};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(address)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
    let Ok(address) = address.parse() else { return ExitCode::from(2) };
    let fault = match arguments.next().map(|word| Fault::named(&word)) {
        None => None,
        Some(Some(fault)) => Some(fault),
        Some(None) => return ExitCode::from(2),
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let mut settings = Settings::in_folder(&folder);
        settings.listening.bind = address;
        let started = match fault {
            None => Server::start(settings).await,
            Some(fault) => faulty(settings, Path::new(&folder), fault).await,
        };
        let Ok(server) = started else { return ExitCode::FAILURE };
        let line = format!("listening {} key {}\n", server.local_addr(), server.fingerprint());
        if std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()).is_err() {
            return ExitCode::FAILURE;
        }
        // Whatever its store can no longer keep ends it, as it ends the shipped program.
        server.failed().await;
        ExitCode::FAILURE
    })
}

async fn faulty(settings: Settings, folder: &Path, fault: Fault) -> Result<Server, StartError> {
    let ledger = Arc::new(Faulty::new(SqliteLedger::open(folder)?, fault));
    Server::start_over(settings, SqliteStore::open(folder)?, ledger).await
}
