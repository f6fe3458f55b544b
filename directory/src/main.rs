//! The program `directory`: reads its command line, then serves or does what the operator asks.

use std::{
    env,
    io::{IsTerminal as _, Write as _, stderr, stdout},
    process::ExitCode,
};

use clap::Parser as _;
use directory::{
    config::{Arguments, PresenceMode},
    ledger::OpenError,
    logging,
    operator::{self, OperatorError},
    server::{Listening, Patience, Server, Settings, StartError, Storage, data_folder::DataFolderError},
};
use tokio::signal::unix::{SignalKind, signal};

/// Exit codes, as the command language has them.
const OTHER: u8 = 1;
const USAGE: u8 = 2;
const CONFLICT: u8 = 6;
const REFUSED: u8 = 7;
const UNKNOWN: u8 = 8;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for and go to standard output; everything else is a slip.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "directory: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let in_use = matches!(error.downcast_ref(), Some(StartError::DataFolder(DataFolderError::InUse(_))));
    let other_currency = matches!(error.downcast_ref(), Some(StartError::Ledger(OpenError::OtherCurrency { .. })));
    let no_amount = matches!(error.downcast_ref(), Some(StartError::Amount { .. }));
    match error.downcast_ref() {
        Some(OperatorError::UnknownUser(_)) => CONFLICT,
        Some(OperatorError::NoName(..) | OperatorError::NoAmount(..) | OperatorError::LongMemo) => USAGE,
        Some(OperatorError::TooMuch(_)) => REFUSED,
        Some(OperatorError::Late) => UNKNOWN,
        _ if other_currency => CONFLICT,
        _ if no_amount => USAGE,
        _ if in_use => CONFLICT,
        _ => OTHER,
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    logging::start(arguments, colour_wanted())?;
    match &arguments.command {
        Some(command) => {
            operator::perform(&arguments.data_folder()?, command, &mut stdout().lock())?;
            Ok(())
        }
        None => tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(arguments)),
    }
}

/// Colour is for terminals that have it and people who want it.
fn colour_wanted() -> bool {
    stderr().is_terminal()
        && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let server = Server::start(Settings {
        listening: Listening { bind: arguments.bind, patience: Patience::default() },
        storage: Storage::Folder(arguments.data_folder()?),
        registration: arguments.registration.into(),
        presence_to_everyone: arguments.presence == PresenceMode::Everyone,
        money: arguments.money(),
    })
    .await?;
    {
        let mut out = stdout().lock();
        writeln!(out, "listening {} key {}", server.local_addr(), server.fingerprint())?;
        out.flush()?;
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = server.failed() => {
            // Whatever we said after this might not be true after a restart: nothing is drained, nothing retried.
            anyhow::bail!("the disk failed to keep what was written; see the log, make room or replace the disk, and start again");
        }
    }
    server.shutdown().await;
    Ok(())
}
