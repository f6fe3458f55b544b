//! The bank under siege, as short as it can be: some kills in some thousand payments; and each planted fault is noticed.
//! `scripts/soak` is the same for as long as is wished.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, time::Duration};

use protocol::money::Amount;
use tests::bank::{
    Plan,
    faulty::Fault,
    siege::{Outcome, Rhythm, Siege, lay},
};

fn play(kills: u64, between: u64, fault: Option<Fault>) -> Outcome {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let amount = |units| Amount::new(units).unwrap();
    // A ledger with a fault may be so far gone that it answers nothing any more.
    let patience = Duration::from_secs(if fault.is_some() { 5 } else { 60 });
    let siege = Siege {
        program: PathBuf::from(env!("CARGO_BIN_EXE_quick-directory")),
        folder: folder.path().join("directory"),
        plan: Plan { clients: 8, hot: 4, amount: amount(2_000), patience, seed },
        cold: 40,
        opening: amount(10_000),
        rhythm: Rhythm::Transfers(between),
        lasts: Duration::ZERO,
        kills,
        transfers: kills * between,
        at_most: Duration::MAX,
        fault,
    };
    tokio::runtime::Runtime::new().unwrap().block_on(lay(siege)).unwrap()
}

#[test]
fn no_payment_is_lost_or_doubled_whenever_the_directory_is_killed() {
    let outcome = play(8, 250, None);
    assert_eq!(outcome.wrong, Vec::<String>::new(), "{outcome:?}");
    assert!(outcome.kills >= 8 && outcome.transfers >= 1_000 && outcome.unknown >= 8, "{outcome:?}");
    assert!(outcome.repeated >= 100 && outcome.proofs >= 8, "{outcome:?}");
}

#[test]
fn every_planted_fault_is_noticed() {
    for (word, fault) in Fault::ALL {
        let outcome = play(6, 150, Some(fault));
        assert!(!outcome.wrong.is_empty(), "{word} went unnoticed: {outcome:?}");
    }
}
