//! Messages a second into mailboxes on disk, through the service itself: one caller alone, then sixteen at once.
//!
//! `cargo bench -p directory --bench deposits`, or `cargo test -p directory --bench deposits` for unoptimised code. Each
//! deposit is answered when it is on the disk. The folder is the build's, because a temporary one may be in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a measurement ends where a test would"
)]

#[path = "../tests/service/hall.rs"]
mod hall;
#[path = "../tests/service/talk.rs"]
mod talk;

use std::{
    thread,
    time::{Duration, Instant},
};

use directory::store::sqlite::SqliteStore;
use protocol::{
    ConversationId, DeviceId,
    directory::{DepositResult, Reply, Request},
};

use hall::{Hall, Person};

/// Callers at once.
const CALLERS: u8 = 16;
/// How long each figure is measured.
const MEASURED: Duration = Duration::from_secs(4);

/// Somebody who writes, and where to.
struct Writer {
    person: Person,
    place: (ConversationId, u64),
    to: DeviceId,
    sent: u16,
}

fn writer(hall: &Hall<SqliteStore>, number: u8) -> Writer {
    let mut person = hall.arrive(&format!("writer-{number}"), number);
    let mut reader = hall.arrive(&format!("reader-{number}"), number + 100);
    let (group, _) = hall.talk(&mut person, &mut reader);
    let accept = Request::Accept { accounts: vec![person.account].try_into().unwrap() };
    assert_eq!(hall.ask(&mut reader, accept), Ok(Reply::Done));
    Writer { person, place: talk::place(&group), to: reader.device(), sent: 0 }
}

/// Deposits one message after the other until the time is over; how many there were.
fn write(hall: &Hall<SqliteStore>, writer: &mut Writer, until: Instant) -> u32 {
    let mut count = 0;
    while Instant::now() < until {
        let stored = hall.deposit(&mut writer.person, writer.place, writer.sent, &[writer.to]);
        assert_eq!(stored, DepositResult::Stored);
        writer.sent += 1;
        count += 1;
    }
    count
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut hall = hall::on_disk(folder.path());
    let mut writers: Vec<Writer> = (1..=CALLERS).map(|number| writer(&hall, number)).collect();
    for callers in [1, usize::from(CALLERS)] {
        // The clock of the hall stands still: what may be asked at once is fresh for each figure.
        hall.pass(60_000);
        let begun = Instant::now();
        let hall = &hall;
        let count: u32 = thread::scope(|scope| {
            let threads: Vec<_> = writers
                .iter_mut()
                .take(callers)
                .map(|writer| scope.spawn(move || write(hall, writer, begun + MEASURED)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        println!("{callers:>2} callers: {:.0} messages/s", f64::from(count) / begun.elapsed().as_secs_f64());
    }
}
