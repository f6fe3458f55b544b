//! A siege: a directory in a process of its own is killed again and again while the bank's clients pay, and in the end what
//! they saw is held against what its ledger says.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use directory::store::{
    ledger::{IssueOrder, LedgerStore},
    sqlite::{SqliteStore, ledger::SqliteLedger},
};
use node_core::stretch::StretchParameters;
use protocol::{
    AccountId, BoundedText, OrderId,
    directory::{LedgerReply, LedgerRequest, Reply, Request},
    frame,
    money::{Amount, ENTRY_MAX, Entry},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use super::{
    Plan, Seen,
    faulty::Fault,
    history::{Evidence, Posting, check},
};
use crate::{
    client::{Client, ask},
    fixture::{self, Account, Failed, address},
};

/// Stretching as little as the function allows: nobody signs in here by a password.
const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
/// Entries that are read from the ledger's store at a time.
const PAGE: usize = 4_096;
/// How long the operator's money may take to be posted.
const POSTING: Duration = Duration::from_secs(120);
/// How often it is looked whether something has come that far.
const LOOK: Duration = Duration::from_millis(5);
/// Accounts whose balances are asked for in the end: each needs a connection of its own.
const ASKED: usize = 64;

/// When the directory is killed.
#[derive(Debug, Clone, Copy)]
pub enum Rhythm {
    /// After a time between these, over and over.
    Times(Duration, Duration),
    /// After so many transfers.
    Transfers(u64),
}

/// A siege.
#[derive(Debug, Clone)]
pub struct Siege {
    /// The program that is killed: `quick-directory`.
    pub program: PathBuf,
    /// Where it keeps its data: empty at first.
    pub folder: PathBuf,
    /// Who pays.
    pub plan: Plan,
    /// Accounts besides those that most payments go to.
    pub cold: usize,
    /// What each account has in the beginning.
    pub opening: Amount,
    /// When it is killed.
    pub rhythm: Rhythm,
    /// It lasts at least so long,
    pub lasts: Duration,
    /// has at least so many kills,
    pub kills: u64,
    /// and at least so many transfers,
    pub transfers: u64,
    /// but no longer than this: then its outcome says that there were fewer.
    pub at_most: Duration,
    /// What is wrong with its ledger.
    pub fault: Option<Fault>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Kills.
    pub kills: u64,
    /// Transfers in the log.
    pub transfers: usize,
    /// Orders that were answered, settled or not.
    pub answers: usize,
    /// Orders whose outcome was unknown at first, because no answer came: all of them have one now.
    pub unknown: u64,
    /// How often an order or a question was repeated because no answer came.
    pub retried: u64,
    /// Orders that were handed in again after their answer, which was the same.
    pub repeated: u64,
    /// Proofs that the log went on from what a client had seen.
    pub proofs: u64,
    /// How long it lasted.
    pub lasted: Duration,
    /// What cannot be, in words; empty if all is well.
    pub wrong: Vec<String>,
}

/// The directory's process. Dropping it ends it.
struct Fortress {
    program: PathBuf,
    folder: PathBuf,
    fault: Option<Fault>,
    process: Child,
    address: SocketAddr,
}

impl Fortress {
    fn start(siege: &Siege) -> Result<Self, Failed> {
        let (program, folder, fault) = (siege.program.clone(), siege.folder.clone(), siege.fault);
        let (process, address) = launch(&program, &folder, "127.0.0.1:0", fault)?;
        Ok(Self { program, folder, fault, process, address })
    }

    fn restart(&mut self) -> Result<(), Failed> {
        self.process.kill()?;
        self.process.wait()?;
        let place = self.address.to_string();
        (self.process, self.address) = launch(&self.program, &self.folder, &place, self.fault)?;
        Ok(())
    }
}

impl Drop for Fortress {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(program: &Path, folder: &Path, place: &str, fault: Option<Fault>) -> Result<(Child, SocketAddr), Failed> {
    let mut command = Command::new(program);
    command.arg(folder).arg(place);
    if let Some((word, _)) = Fault::ALL.iter().find(|(_, known)| Some(*known) == fault) {
        command.arg(word);
    }
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let output = process.stdout.take().ok_or("no output of the directory")?;
    BufReader::new(output).read_line(&mut line)?;
    let address = line.split_whitespace().nth(1).ok_or_else(|| format!("the directory said {line:?}"))?;
    Ok((process, address.parse()?))
}

/// Lays siege.
///
/// # Errors
/// Whatever keeps it from coming to an end; what the ledger did wrong is in the outcome.
pub async fn lay(siege: Siege) -> Result<Outcome, Failed> {
    let accounts = Arc::new(prepare(&siege)?);
    let begun = Instant::now();
    let mut fortress = Fortress::start(&siege)?;
    wait_for_money(&siege.folder).await?;
    let progress = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = watch::channel(false);
    let running = super::run(fortress.address, Arc::clone(&accounts), siege.plan, Arc::clone(&progress), stopped);
    let mut running = tokio::spawn(running);
    let mut rng = ChaCha20Rng::seed_from_u64(siege.plan.seed);
    let (mut kills, mut refused) = (0, Vec::new());
    // A client that has seen what may not be ends the siege.
    while !running.is_finished() {
        pause(siege.rhythm, &mut rng, &progress, || running.is_finished()).await;
        let enough = kills >= siege.kills && progress.load(Ordering::Relaxed) >= siege.transfers;
        if begun.elapsed() >= if enough { siege.lasts } else { siege.at_most } {
            break;
        }
        let (restarted, alive) = spawn_blocking(move || (fortress.restart(), fortress)).await?;
        fortress = alive;
        kills += 1;
        if let Err(error) = restarted {
            // What it finds on its own disk is not what it may have left there.
            refused.push(format!("it does not start again: {error}"));
            running.abort();
            break;
        }
    }
    let _ = stop.send(true);
    let (seen, mut wrong) = match (&mut running).await {
        Ok(Ok(seen)) => (seen, refused),
        Ok(Err(error)) => (Seen::default(), vec![error.to_string()]),
        Err(_) => (Seen::default(), refused),
    };
    let lasted = begun.elapsed();
    let balances = if wrong.is_empty() { balances(fortress.address, &accounts).await? } else { Vec::new() };
    drop(fortress);
    let ledger = SqliteLedger::open(&siege.folder)?;
    let log = read_log(&ledger)?;
    if wrong.is_empty() {
        let issuance = log.issuance;
        let evidence = Evidence {
            operations: &seen.operations,
            log: &log.postings,
            issuance,
            checkpoints: &seen.checkpoints,
            balances: &balances,
        };
        wrong.extend(check(&evidence).iter().map(ToString::to_string));
    }
    let transfers = log.postings.iter().filter(|posting| posting.order.is_some()).count();
    let Seen { operations, unknown, retried, repeated, proofs, .. } = seen;
    let answers = operations.len();
    Ok(Outcome { kills, transfers, answers, unknown, retried, repeated, proofs, lasted, wrong })
}

/// Accounts in the store, and what the operator gives them.
fn prepare(siege: &Siege) -> Result<Vec<Account>, Failed> {
    std::fs::create_dir_all(&siege.folder)?;
    let accounts = fixture::write(SqliteStore::open(&siege.folder)?, siege.plan.hot + siege.cold, CHEAP)?;
    let ledger = SqliteLedger::open(&siege.folder)?;
    for (number, account) in (0_u64..).zip(&accounts) {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        let (payee, amount) = (account.id, siege.opening);
        ledger.want_issue(&IssueOrder { id: OrderId(id), payee, amount, memo: BoundedText::default() })?;
    }
    Ok(accounts)
}

async fn wait_for_money(folder: &Path) -> Result<(), Failed> {
    let begun = Instant::now();
    let ledger = SqliteLedger::open(folder)?;
    while !ledger.wanted_issues()?.is_empty() {
        if begun.elapsed() > POSTING {
            return Err("the operator's money was not posted".into());
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn pause(rhythm: Rhythm, rng: &mut ChaCha20Rng, progress: &AtomicU64, over: impl Fn() -> bool) {
    let since = (Instant::now(), progress.load(Ordering::Relaxed));
    let time = match rhythm {
        Rhythm::Times(least, most) => {
            let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX).max(1);
            least + Duration::from_millis(rng.next_u64() % span)
        }
        Rhythm::Transfers(_) => Duration::MAX,
    };
    let come = |transfers| progress.load(Ordering::Relaxed).saturating_sub(since.1) >= transfers;
    let due = || match rhythm {
        Rhythm::Times(..) => since.0.elapsed() >= time,
        Rhythm::Transfers(transfers) => come(transfers),
    };
    while !due() && !over() {
        sleep(LOOK).await;
    }
}

async fn balances(directory: SocketAddr, accounts: &[Account]) -> Result<Vec<(AccountId, u64)>, Failed> {
    let mut balances = Vec::new();
    for (number, account) in accounts.iter().enumerate().take(ASKED) {
        let client = Client::connect(directory, account, address(number)).await?;
        let request = Request::Ledger(Box::new(LedgerRequest::Balance));
        let Reply::Ledger(reply) = ask(&client.connection, &request).await? else {
            return Err("no balance".into());
        };
        let LedgerReply::Balance { available, .. } = *reply else { return Err("no balance".into()) };
        balances.push((account.id, available.units()));
    }
    Ok(balances)
}

/// The log as it is on the disk.
struct Log {
    postings: Vec<Posting>,
    issuance: AccountId,
}

fn read_log(ledger: &SqliteLedger) -> Result<Log, Failed> {
    let (founding, _) = ledger.head()?.ok_or("there is no ledger")?;
    let issuance = settlement::issuance_account(founding.ledger);
    let mut postings = Vec::new();
    loop {
        let page = ledger.entries(postings.len() as u64, PAGE)?;
        if page.is_empty() {
            return Ok(Log { postings, issuance });
        }
        for bytes in page {
            postings.push(posting(frame::decode_body(&bytes, ENTRY_MAX)?, issuance)?);
        }
    }
}

fn posting(entry: Entry, issuance: AccountId) -> Result<Posting, Failed> {
    Ok(match entry {
        Entry::Transfer { order, .. } => {
            let order = order.order()?;
            Posting {
                order: Some((order.payer, order.id)),
                payer: order.payer,
                payee: order.payee,
                amount: order.amount.units(),
            }
        }
        Entry::Issue { payee, amount, .. } | Entry::Opening { payee, amount, .. } => {
            Posting { order: None, payer: issuance, payee, amount: amount.units() }
        }
    })
}
