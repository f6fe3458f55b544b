//! A directory in a process of its own, to be killed and started again: `quick-directory FOLDER ADDRESS:PORT`. It prints
//! `listening ADDRESS:PORT key FINGERPRINT` as the shipped program does, and serves until it is killed.

use std::{io::Write as _, process::ExitCode};

use directory::server::{Server, Settings};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(address)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
    let Ok(address) = address.parse() else { return ExitCode::from(2) };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let mut settings = Settings::in_folder(folder);
        settings.listening.bind = address;
        let Ok(server) = Server::start(settings).await else { return ExitCode::FAILURE };
        let line = format!("listening {} key {}\n", server.local_addr(), server.fingerprint());
        if std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()).is_err() {
            return ExitCode::FAILURE;
        }
        std::future::pending().await
    })
}
