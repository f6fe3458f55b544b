//! `scripts/bench files`: a large file and many small ones between two devices on loopback, beside scp, rsync,
//! magic-wormhole and sendme, and beside what bare QUIC, a copy, sealing and hashing take alone, in one run on one machine,
//! in turn, as medians. Build it in release. With `alone` as its argument it leaves the others out, for a profiler's sake.

mod pair;
mod passes;
mod rivals;
mod spent;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ::tests::fixture::Failed;
use node::files::survey::{Survey, survey};

use crate::{
    pair::{Networks, Pair},
    rivals::{Sendme, Ssh, Wormhole, say},
    spent::{Spending, Spent, median},
};

/// A GiB of QUIC alone, between two endpoints with the transport of nodes: the most that there can be.
const BARE: &str = "bare QUIC";
/// Bytes of the large file.
const LARGE: usize = 1 << 30;
/// Small files, and bytes of each.
const SMALL: (usize, usize) = (2_000, 8 * 1024);
/// Runs of each kind, of which the median counts.
const RUNS: usize = 5;
/// A folder in memory, where the system has one: so the network is measured, and not the disk.
const IN_MEMORY: &str = "/dev/shm";

fn main() -> Result<(), Failed> {
    let memory = Path::new(IN_MEMORY);
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let alone = std::env::args().any(|argument| argument == "alone");
    let mut bench = Bench::prepare(folder.path(), alone)?;
    for _ in 0..RUNS {
        bench.large()?;
        bench.small()?;
    }
    bench.report()
}

/// What was measured under one name.
struct Row {
    name: &'static str,
    runs: Vec<Spent>,
}

struct Bench {
    folder: PathBuf,
    large: PathBuf,
    small: PathBuf,
    ssh: Option<Ssh>,
    wormhole: Option<Wormhole>,
    sendme: Option<Sendme>,
    rows: Vec<Row>,
    packet: u16,
    networks: Networks,
}

impl Bench {
    fn prepare(folder: &Path, alone: bool) -> Result<Self, Failed> {
        let (large, small) = (folder.join("large"), folder.join("small"));
        fs::write(&large, (0..LARGE).map(|at| (at / 4096 * 31 + at % 251) as u8).collect::<Vec<_>>())?;
        fs::create_dir(&small)?;
        for number in 0..SMALL.0 {
            fs::write(small.join(number.to_string()), vec![number as u8; SMALL.1])?;
        }
        let (ssh, wormhole, sendme) = if alone {
            (None, None, None)
        } else {
            let ssh = skipping("scp and rsync", Ssh::start(folder)?)?;
            let wormhole = skipping("magic-wormhole", Wormhole::start(folder)?)?;
            (ssh, wormhole, skipping("sendme", Sendme::find(folder)?)?)
        };
        if let Some(Err(why)) = ssh.as_ref().map(|_| rivals::rsync()) {
            say(&format!("rsync: {why}"))?;
        }
        let (folder, networks) = (folder.to_owned(), Networks::start()?);
        Ok(Self { folder, large, small, ssh, wormhole, sendme, rows: Vec::new(), packet: 0, networks })
    }

    fn note(&mut self, name: &'static str, spent: Spent) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.runs.push(spent),
            None => self.rows.push(Row { name, runs: vec![spent] }),
        }
    }

    /// One round of everything that has to do with the large file.
    fn large(&mut self) -> Result<(), Failed> {
        let (large, to) = (self.large.clone(), self.folder.join("carried"));
        self.note("two hash passes", passes::hashing(LARGE)?);
        self.note("two AEAD passes", passes::sealing(LARGE)?);
        self.note("copy", passes::copy(&large, &to)?);
        let pair = Pair::connect(&self.networks)?;
        let spending = Spending::begin(None)?;
        pair.bare(LARGE)?;
        self.note(BARE, spending.end()?);
        let spending = Spending::begin(None)?;
        let offered = survey(&large)?;
        self.note("1 GiB: survey", spending.end()?);
        let ours = self.ours(&offered)?;
        self.note("1 GiB: ours", ours);
        if let Some(ssh) = &self.ssh {
            let (nothing, scp) = (ssh.nothing()?, ssh.scp(&large, &to)?);
            same(&large, &to)?;
            self.note("ssh, nothing carried", nothing);
            self.note("1 GiB: scp", scp);
        }
        if let Some(wormhole) = &self.wormhole {
            let spent = wormhole.carry(&large, &to)?;
            same(&large, &to)?;
            self.note("1 GiB: wormhole", spent);
        }
        if let Some(sendme) = &self.sendme {
            let spent = sendme.carry(&large)?;
            self.note("1 GiB: sendme", spent);
        }
        Ok(())
    }

    /// One round of everything that has to do with many small files.
    fn small(&mut self) -> Result<(), Failed> {
        let (small, to) = (self.small.clone(), self.folder.join("carried"));
        let spending = Spending::begin(None)?;
        let offered = survey(&small)?;
        self.note("2,000 files: survey", spending.end()?);
        let ours = self.ours(&offered)?;
        self.note("2,000 files: ours", ours);
        if let Some(ssh) = &self.ssh {
            let rsync = ssh.rsync(&small, &to)?;
            if let Some(spent) = rsync {
                fs::remove_dir_all(&to)?;
                self.note("2,000 files: rsync", spent);
            }
        }
        if let Some(wormhole) = &self.wormhole {
            let spent = wormhole.carry(&small, &to)?;
            fs::remove_dir_all(&to)?;
            self.note("2,000 files: wormhole", spent);
        }
        Ok(())
    }

    /// What was offered, from a first packet between two devices to its name, on a connection of its own.
    fn ours(&mut self, offered: &Survey) -> Result<Spent, Failed> {
        let spending = Spending::begin(None)?;
        let pair = Pair::connect(&self.networks)?;
        pair.carry(&self.folder, offered)?;
        let spent = spending.end()?;
        self.packet = pair.packet();
        fs::remove_dir_all(self.folder.join("inbox"))?;
        Ok(spent)
    }

    fn of(&self, name: &str) -> Option<Spent> {
        self.rows.iter().find(|row| row.name == name).map(|row| median(&row.runs))
    }

    fn report(&self) -> Result<(), Failed> {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        say(&format!("packets of {} bytes, medians of {RUNS}, load {}", self.packet, load.trim()))?;
        for row in &self.rows {
            let Spent { wall, cpu } = median(&row.runs);
            say(&format!("{:24} {wall:8.3} s wall {cpu:8.2} s CPU", row.name))?;
        }
        for (ours, survey, rivals) in [
            ("1 GiB: ours", "1 GiB: survey", ["1 GiB: scp", "1 GiB: wormhole", "1 GiB: sendme"].as_slice()),
            ("2,000 files: ours", "2,000 files: survey", ["2,000 files: rsync", "2,000 files: wormhole"].as_slice()),
        ] {
            let Some((ours, survey)) = self.of(ours).zip(self.of(survey)) else { continue };
            for (rival, name) in rivals.iter().filter_map(|name| Some((self.of(name)?, name))) {
                let (accepted, offered) = (rival.wall / ours.wall, rival.wall / (ours.wall + survey.wall));
                say(&format!(
                    "{name:24} {accepted:6.2} of ours from ACCEPT on, {offered:6.2} with the survey before the offer; \
                     CPU {:.2}",
                    rival.cpu / (ours.cpu + survey.cpu)
                ))?;
            }
        }
        if let Some((bare, scp)) = self.of(BARE).zip(self.of("1 GiB: scp")) {
            let most = scp.wall / bare.wall;
            say(&format!(
                "1 GiB: scp              {most:6.2} of bare QUIC, with nothing read, sealed, hashed or written"
            ))?;
        }
        let parts = [BARE, "copy", "two AEAD passes", "two hash passes"].map(|name| self.of(name));
        let parts: f64 = parts.into_iter().flatten().map(|spent| spent.cpu).sum();
        if let Some((ours, survey)) = self.of("1 GiB: ours").zip(self.of("1 GiB: survey")) {
            let cpu = ours.cpu + survey.cpu;
            say(&format!("CPU of a GiB, survey and all: {cpu:.2} s, {:.2} of its parts' {parts:.2} s", cpu / parts))?;
        }
        Ok(())
    }
}

/// What was found, or a line that says why it is left out.
fn skipping<T>(name: &str, found: Result<T, String>) -> Result<Option<T>, Failed> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(why) => {
            say(&format!("{name}: {why}"))?;
            Ok(None)
        }
    }
}

/// Whether a rival carried all of it, and then away with it.
fn same(from: &Path, to: &Path) -> Result<(), Failed> {
    if fs::metadata(from)?.len() != fs::metadata(to)?.len() {
        return Err("a rival did not carry all of it".into());
    }
    Ok(fs::remove_file(to)?)
}
