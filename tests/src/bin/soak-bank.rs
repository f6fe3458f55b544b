//! `scripts/soak`: a bank under siege for as long as is wished, with real processes. It ends with 0 if nothing happened that
//! cannot be; with a fault planted in the ledger, if that was noticed. Build it in release.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use protocol::money::Amount;
use tests::{
    bank::{
        Plan,
        faulty::Fault,
        siege::{Outcome, Rhythm, Siege, lay},
    },
    fixture::Failed,
};

/// Clients, each with its connection.
const CLIENTS: usize = 16;
/// Accounts that most payments go to and come from: half of the clients'.
const HOT: usize = 8;
/// The others.
const COLD: usize = 1_000;
/// What each account has in the beginning, in minor units: little enough that money runs out now and then.
const OPENING: u64 = 10_000;
/// The largest payment, in minor units.
const AMOUNT: u64 = 2_000;
/// Fewest kills and answers of a siege that counts.
const KILLS: u64 = 30;
const ANSWERS: u64 = 20_000;
/// How long the directory may be silent altogether.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two kills.
const BETWEEN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

fn main() -> Result<ExitCode, Failed> {
    Ok(if run()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run() -> Result<bool, Failed> {
    let mut arguments = std::env::args().skip(1);
    let (Some(program), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: soak-bank QUICK-DIRECTORY SECONDS [SEED [FAULT]]".into());
    };
    let seconds: u64 = seconds.parse()?;
    let seed = arguments.next().map(|seed| seed.parse()).transpose()?.unwrap_or(1);
    let fault = match arguments.next() {
        Some(word) => Some(Fault::named(&word).ok_or("no such fault")?),
        None => None,
    };
    let folder = tempfile::tempdir()?;
    let amount = |units| Amount::new(units).unwrap_or_default();
    let siege = Siege {
        program: PathBuf::from(program),
        folder: folder.path().join("directory"),
        plan: Plan { clients: CLIENTS, hot: HOT, amount: amount(AMOUNT), patience: PATIENCE, seed },
        cold: COLD,
        opening: amount(OPENING),
        rhythm: Rhythm::Times(BETWEEN.0, BETWEEN.1),
        lasts: Duration::from_secs(seconds),
        kills: KILLS,
        answers: ANSWERS,
        fault,
    };
    let outcome = tokio::runtime::Runtime::new()?.block_on(lay(siege))?;
    report(seed, fault, &outcome)?;
    Ok(outcome.wrong.is_empty() == fault.is_none())
}

fn report(seed: u64, fault: Option<Fault>, outcome: &Outcome) -> std::io::Result<()> {
    let Outcome { kills, transfers, answers, retried, repeated, proofs, lasted, wrong } = outcome;
    let mut lines = vec![
        format!("seed {seed}{}", fault.map_or_else(String::new, |fault| format!(", planted: {fault:?}"))),
        format!("{:.0} s, {kills} kills of the directory", lasted.as_secs_f64()),
        format!(
            "{transfers} transfers in the log, {answers} orders answered, {retried} times without an answer at first"
        ),
        format!("{repeated} handed in again after their answer, {proofs} consistency proofs"),
    ];
    match wrong.len() {
        0 => lines.push("everything that was seen can be".to_owned()),
        count => lines.push(format!("{count} things that cannot be:")),
    }
    lines.extend(wrong.iter().take(10).map(|wrong| format!("  {wrong}")));
    writeln!(std::io::stdout(), "{}", lines.join("\n"))
}
