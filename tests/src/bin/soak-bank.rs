//! `scripts/soak`: a bank under siege for as long as is wished, with real processes. It ends with 0 if nothing happened that
//! cannot be, in as many kills and transfers as make it count; with a fault planted in the ledger, if that was noticed.
//! Build it in release.

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
/// Fewest kills and transfers of a siege that counts.
const KILLS: u64 = 30;
const TRANSFERS: u64 = 20_000;
/// And of one whose ledger has a fault.
const FAULTY: (u64, u64) = (5, 1_000);
/// A machine on which that takes so many times as long as was asked for is too slow to say anything.
const SLOW: u32 = 4;
/// How long the directory may be silent altogether.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two kills.
const BETWEEN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

fn main() -> Result<ExitCode, Failed> {
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
    let lasts = Duration::from_secs(seconds);
    let (kills, transfers) = if fault.is_some() { FAULTY } else { (KILLS, TRANSFERS) };
    let siege = Siege {
        program: PathBuf::from(program),
        folder: folder.path().join("directory"),
        plan: Plan { clients: CLIENTS, hot: HOT, amount: amount(AMOUNT), patience: PATIENCE, seed },
        cold: COLD,
        opening: amount(OPENING),
        rhythm: Rhythm::Times(BETWEEN.0, BETWEEN.1),
        lasts,
        kills,
        transfers,
        at_most: lasts * SLOW,
        fault,
    };
    let outcome = tokio::runtime::Runtime::new()?.block_on(lay(siege))?;
    let verdict = verdict(fault, &outcome);
    report(seed, fault, &outcome, verdict)?;
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the siege says what it was laid for; else why not.
fn verdict(fault: Option<Fault>, outcome: &Outcome) -> Result<&'static str, &'static str> {
    let enough = outcome.kills >= KILLS && outcome.transfers as u64 >= TRANSFERS;
    match (fault, outcome.wrong.is_empty()) {
        (Some(_), false) => Ok("the fault was noticed"),
        (Some(_), true) => Err("the fault went unnoticed"),
        (None, false) => Err("what was seen cannot be"),
        (None, true) if !enough => Err("too few kills or transfers to say anything"),
        (None, true) => Ok("everything that was seen can be"),
    }
}

fn report(
    seed: u64,
    fault: Option<Fault>,
    outcome: &Outcome,
    verdict: Result<&'static str, &'static str>,
) -> std::io::Result<()> {
    let Outcome { kills, transfers, answers, unknown, retried, repeated, proofs, lasted, wrong } = outcome;
    let mut lines = vec![
        format!("seed {seed}{}", fault.map_or_else(String::new, |fault| format!(", planted: {fault:?}"))),
        format!("{:.0} s, {kills} kills of the directory, {transfers} transfers in its log", lasted.as_secs_f64()),
        format!("{answers} orders answered, {unknown} of them after an unknown outcome ({retried} repetitions)"),
        format!("{repeated} handed in again after their answer, {proofs} consistency proofs"),
    ];
    if !wrong.is_empty() {
        lines.push(format!("{} things that cannot be:", wrong.len()));
    }
    lines.extend(wrong.iter().take(10).map(|wrong| format!("  {wrong}")));
    lines.push(match verdict {
        Ok(verdict) => format!("passed: {verdict}"),
        Err(verdict) => format!("FAILED: {verdict}"),
    });
    writeln!(std::io::stdout(), "{}", lines.join("\n"))
}
