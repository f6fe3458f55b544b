//! `scripts/bench groups`: what groups of ten, a hundred and a thousand cost whoever acts, each member, and the directory,
//! against the MLS library's own figures for the same tree and against bare QUIC fan-out, in one run. Build it in release.

mod fanout;
mod hall;
mod library;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use directory::store::Accounts as _;
use node_core::command::Command;
use protocol::{
    Name,
    policy::{Access, GroupPolicy},
};
use tests::{
    crowd,
    fixture::{self, Failed, cpu},
    world::CHEAP_STRETCH,
};

use self::{
    hall::{Hall, Spent},
    library::Library,
};

/// Members of the groups.
const SIZES: [usize; 3] = [10, 100, 1_000];
/// How often somebody joins and is kicked.
const CHANGES: [&str; 5] = ["carol", "dora", "emil", "finn", "gina"];
/// Messages one after the other, and at once.
const SINGLE: usize = 50;
const AT_ONCE: usize = 64;
/// Time in which everybody connected takes in what there is, in milliseconds of the clock that steps.
const SETTLE_MS: u64 = 10_000;

/// The middle one.
pub(crate) fn median<T: Ord + Copy + Default>(all: &mut [T]) -> T {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// What somebody's doing cost whom.
#[derive(Default)]
struct Cost {
    actor: Vec<Duration>,
    member: Vec<Duration>,
    directory: Vec<Duration>,
    up: Vec<usize>,
    down: Vec<usize>,
    actor_written: Vec<usize>,
    member_down: Vec<usize>,
    member_written: Vec<usize>,
}

/// What a group of one size comes to.
struct Figures {
    size: usize,
    create: Cost,
    join: Cost,
    kick: Cost,
    send: Cost,
    /// What the last of the sends cost its sender.
    last: Duration,
    /// Sends for each second of CPU, so many at once: the sender's, the directory's, and that of one who reads. The clock on
    /// the wall would also measure what else this machine does.
    sends: f64,
    library: Library,
    bare: f64,
}

impl Cost {
    /// Does it, and counts what it cost until everybody has taken it in.
    fn count(
        &mut self,
        hall: &mut Hall,
        (actor, member): (usize, usize),
        act: impl FnOnce(&mut Hall) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let before = (hall.spent(actor), hall.spent(member), hall.directory);
        act(hall)?;
        hall.pass(SETTLE_MS)?;
        let (by, of): (Spent, Spent) = (hall.spent(actor), hall.spent(member));
        self.actor.push(by.cpu - before.0.cpu);
        self.member.push(of.cpu - before.1.cpu);
        self.directory.push(hall.directory - before.2);
        self.up.push(by.up - before.0.up);
        self.down.push(by.down - before.0.down);
        self.actor_written.push(by.written - before.0.written);
        self.member_down.push(of.down - before.1.down);
        self.member_written.push(of.written - before.1.written);
        Ok(())
    }
}

fn measure(size: usize) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir()?;
    let mut hall = Hall::new(folder.path())?;
    let (alice, bob) = (hall.sign_up("alice")?, hall.sign_up("bob")?);
    // With them and whoever comes in, it is as many as are wanted.
    let mut accounts = fixture::fill(&hall.service, size - 2, CHEAP_STRETCH)?;
    let stranger = accounts.pop().ok_or("nobody")?;
    let (team, aside) = (Name::parse("team")?, Name::parse("aside")?);
    let found = hall.service.store().accounts_by_name(&[Name::parse("alice")?])?;
    let owner = found.into_iter().flatten().next().ok_or("alice has no account")?.account;
    let policy = GroupPolicy::founded(team.clone(), owner, [7; 16], Access::Open);
    let mut crowd = crowd::gather(hall.now, &accounts, &policy)?;
    crowd::settle(&hall.service, hall.now, &accounts, &policy, &crowd.first)?;
    for (index, account) in accounts.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
        hall.connect(index, account)?;
    }
    let join = || Command::Join { group: Name::parse("team").unwrap_or_else(|_| unreachable!()) };
    let joiners = CHANGES.iter().map(|name| hall.sign_up(name)).collect::<Result<Vec<_>, _>>()?;
    for member in [alice, bob] {
        hall.command(member, join())?;
        hall.pass(SETTLE_MS)?;
    }
    let mut figures = Figures {
        size,
        create: Cost::default(),
        join: Cost::default(),
        kick: Cost::default(),
        send: Cost::default(),
        last: Duration::ZERO,
        sends: 0.0,
        library: library::measure(hall.now, &mut crowd, &stranger)?,
        bare: tokio::runtime::Runtime::new()?.block_on(fanout::per_second((size / 2).max(1)))?,
    };
    let create = Command::CreateGroup { group: aside, access: Access::Open };
    figures.create.count(&mut hall, (alice, bob), |hall| hall.command(alice, create))?;
    for (joiner, name) in joiners.into_iter().zip(CHANGES) {
        figures.join.count(&mut hall, (joiner, bob), |hall| hall.command(joiner, join()))?;
        let kick = Command::Kick { group: team.clone(), user: Name::parse(name)? };
        figures.kick.count(&mut hall, (alice, bob), |hall| hall.command(alice, kick))?;
    }
    let say = || Command::SendGroup { group: team.clone(), text: "x".repeat(200) };
    for _ in 0..SINGLE {
        figures.send.count(&mut hall, (alice, bob), |hall| hall.command(alice, say()))?;
    }
    figures.last = figures.send.actor.last().copied().unwrap_or_default();
    let begun = cpu();
    hall.commands(alice, (0..AT_ONCE).map(|_| say()).collect())?;
    figures.sends = AT_ONCE as f64 / (cpu() - begun).as_secs_f64();
    Ok(figures)
}

type Row = (&'static str, fn(&mut Figures) -> String);

fn ms(of: Duration) -> String {
    format!("{:.2} ms", of.as_secs_f64() * 1e3)
}

fn middle(of: &mut [Duration]) -> String {
    ms(median(of))
}

fn kib(of: &mut [usize]) -> String {
    format!("{:.1} KiB", median(of) as f64 / 1024.0)
}

const ROWS: &[Row] = &[
    ("create: actor, CPU", |f| middle(&mut f.create.actor)),
    ("        directory, CPU", |f| middle(&mut f.create.directory)),
    ("        actor, bytes up", |f| kib(&mut f.create.up)),
    ("join:   actor, CPU", |f| middle(&mut f.join.actor)),
    ("        each member, CPU", |f| middle(&mut f.join.member)),
    ("        directory, CPU", |f| middle(&mut f.join.directory)),
    ("        actor, bytes up", |f| kib(&mut f.join.up)),
    ("        actor, bytes down", |f| kib(&mut f.join.down)),
    ("        actor, bytes written", |f| kib(&mut f.join.actor_written)),
    ("        each member, bytes down", |f| kib(&mut f.join.member_down)),
    ("        each member, bytes written", |f| kib(&mut f.join.member_written)),
    ("kick:   actor, CPU", |f| middle(&mut f.kick.actor)),
    ("        each member, CPU", |f| middle(&mut f.kick.member)),
    ("        directory, CPU", |f| middle(&mut f.kick.directory)),
    ("        actor, bytes up", |f| kib(&mut f.kick.up)),
    ("        each member, bytes down", |f| kib(&mut f.kick.member_down)),
    ("send:   sender, CPU", |f| middle(&mut f.send.actor)),
    ("        sender, CPU of the last", |f| ms(f.last)),
    ("        reader, CPU", |f| middle(&mut f.send.member)),
    ("        directory, CPU", |f| middle(&mut f.send.directory)),
    ("        sender, bytes up", |f| kib(&mut f.send.up)),
    ("        sender, bytes written", |f| kib(&mut f.send.actor_written)),
    ("        at once, for a second of CPU", |f| format!("{:.0}", f.sends)),
    ("        copies, for a second of CPU", |f| format!("{:.0}", f.sends * (f.size - 1) as f64)),
    ("library: commit", |f| ms(f.library.commit)),
    ("         apply", |f| ms(f.library.apply)),
    ("         external join", |f| ms(f.library.join)),
    ("         seal", |f| ms(f.library.seal)),
    ("         open", |f| ms(f.library.open)),
    ("         commit, bytes", |f| format!("{:.1} KiB", f.library.bytes as f64 / 1024.0)),
    ("bare QUIC frames, a second of CPU", |f| format!("{:.0}", f.bare)),
];

fn main() -> Result<(), Failed> {
    let largest = std::env::args().nth(1).map(|size| size.parse()).transpose()?.unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= largest) {
        let begun = (Instant::now(), cpu());
        let figures = measure(size)?;
        let mut errors = std::io::stderr().lock();
        writeln!(errors, "{size} members: {:.1?}, {:.1?} of CPU", begun.0.elapsed(), cpu() - begun.1)?;
        all.push(figures);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<36}{}", "members", SIZES.map(|size| format!("{size:>14}")).concat())?;
    for (what, show) in ROWS {
        let cells: String = all.iter_mut().map(|figures| format!("{:>14}", show(figures))).collect();
        writeln!(out, "{what:<36}{cells}")?;
    }
    Ok(())
}
