//! Looking through the whole ledger: nothing that is kept is taken at its word. Every signature, every balance, the sum, what
//! is known of each order, each request and the log's tree are made anew from the first entry on, and compared.

mod books;
mod signatures;

use std::{
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};

use protocol::money::HashBytes;

use super::log::{Log, leaf};
use crate::store::{
    StoreError,
    ledger::{Founding, Head},
    sqlite::ledger::{
        SqliteLedger,
        snapshot::{EntryRow, Snapshot, is_root},
    },
};

use self::{
    books::Books,
    signatures::{Signatures, Unchecked},
};

/// Entries that are read in one go; their signatures every core helps with.
const PIECE: usize = 8_192;

/// Why a ledger does not pass.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// What is kept contradicts itself.
    #[error("entry {entry}: {what}")]
    Broken {
        /// Where it breaks.
        entry: u64,
        /// What does.
        what: String,
    },
    /// The last checkpoint does not say what the entries do.
    #[error("the checkpoint after entry {entry}: {what}")]
    Checkpoint {
        /// The last entry before it.
        entry: u64,
        /// What is wrong with it.
        what: String,
    },
    /// There is none.
    #[error("there is no ledger yet; it begins with the service's first start")]
    Nothing,
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Entries.
    pub entries: u64,
    /// Transfers among them: each had a signature.
    pub transfers: u64,
    /// Accounts that ever had money, the issuance account aside.
    pub accounts: u64,
    /// Minor units that were ever issued, opening balances included.
    pub issued: u64,
    /// Root of the log.
    pub root: HashBytes,
}

type Checked<T> = Result<T, AuditError>;

fn broken<T>(entry: u64, what: impl Into<String>) -> Checked<T> {
    Err(AuditError::Broken { entry, what: what.into() })
}

/// Looks through a ledger as it is at this moment.
///
/// # Errors
/// [`AuditError`], which names the first entry that breaks.
pub fn audit(ledger: &SqliteLedger) -> Result<Audited, AuditError> {
    ledger.at_one_moment(look_through)?
}

fn look_through(kept: &Snapshot<'_>) -> Checked<Audited> {
    let (founding, head) = kept.head()?.ok_or(AuditError::Nothing)?;
    let mut books = Books::new(founding.ledger);
    let mut signatures = Signatures::default();
    let mut log = Log::default();
    read_through(kept, &mut books, &mut signatures, &mut log)?;
    let size = log.size();
    books.compare(kept, size)?;
    signatures.check_requests(kept, size)?;
    let root = check_head(&log, &founding, &head, books.time())?;
    let [.., tiles] = kept.counts()?;
    if tiles != whole_tiles(size) {
        return broken(size.saturating_sub(1), "there are more tiles of the log's tree than entries for them");
    }
    let (transfers, accounts, issued) = books.totals();
    Ok(Audited { entries: size, transfers, accounts, issued, root })
}

/// Reads all entries; the signatures of what was read are looked at while the next is.
fn read_through(kept: &Snapshot<'_>, books: &mut Books, signatures: &mut Signatures, log: &mut Log) -> Checked<()> {
    thread::scope(|scope| {
        let mut earlier: Option<ScopedJoinHandle<'_, Checked<()>>> = None;
        loop {
            let read = read_piece(kept, books, signatures, log);
            // What breaks earlier is what is told.
            earlier.take().map_or(Ok(Ok(())), ScopedJoinHandle::join).unwrap_or_else(|bug| resume_unwind(bug))?;
            let unchecked = read?;
            if unchecked.is_none() {
                return Ok(());
            }
            earlier = unchecked.map(|unchecked| scope.spawn(move || signatures::check_all(&unchecked)));
        }
    })
}

/// Reads a piece of the entries, and says which signatures are still to be looked at; none if there are no more entries.
fn read_piece(
    kept: &Snapshot<'_>,
    books: &mut Books,
    signatures: &mut Signatures,
    log: &mut Log,
) -> Checked<Option<Vec<Unchecked>>> {
    let entries = kept.entries(log.size(), PIECE)?;
    let mut unchecked = Vec::new();
    for entry in &entries {
        let place = log.size();
        if entry.place != place {
            return broken(place, "it is missing");
        }
        grow(kept, log, entry)?;
        let read = books.take(kept, place, &entry.bytes)?;
        unchecked.extend(signatures.asked(kept, place, entry.device, read)?);
    }
    Ok((!entries.is_empty()).then_some(unchecked))
}

/// Adds an entry to the tree that is made anew; what is whole now has to be what is kept.
fn grow(kept: &Snapshot<'_>, log: &mut Log, entry: &EntryRow) -> Checked<()> {
    for tile in log.append([leaf(&entry.bytes)]) {
        let Some((hashes, root)) = kept.tile(tile.level, tile.place)? else {
            return broken(entry.place, "a tile of the log's tree that ends here is missing");
        };
        let mut pairs = (0_u64..).zip(tile.hashes.chunks(32).zip(hashes.chunks(32)));
        match pairs.find(|(_, (made, kept))| made != kept) {
            Some((within, _)) if tile.level == 0 => {
                let place = tile.place * super::log::TILE as u64 + within;
                return broken(place, "it is not what the log's tree was made of");
            }
            None if hashes == tile.hashes && is_root(&root, &tile.root) => {}
            _ => {
                return broken(
                    entry.place,
                    "a tile of the log's tree that ends here is not what follows from the entries",
                );
            }
        }
    }
    Ok(())
}

fn check_head(log: &Log, founding: &Founding, head: &Head, time: protocol::Timestamp) -> Checked<HashBytes> {
    let wrong = |what: &str| AuditError::Checkpoint { entry: log.size().saturating_sub(1), what: what.to_owned() };
    let checkpoint = head.checkpoint.checkpoint().map_err(|_| wrong("it can't be read"))?;
    let root = log.own_root().ok_or_else(|| wrong("there is no root"))?;
    if head.size != log.size() || checkpoint.size != log.size() {
        return Err(wrong(&format!("it is of {} entries, and {} are there", checkpoint.size, log.size())));
    }
    if checkpoint.root != root {
        return Err(wrong("the entries are not those that it was signed for"));
    }
    if checkpoint.ledger != founding.ledger || head.time < time || checkpoint.time < time {
        return Err(wrong("it is of another ledger or of an earlier time"));
    }
    let key = p256::ecdsa::SigningKey::from_slice(&founding.receipt_key);
    let key = key.map_err(|_| wrong("the receipt key is damaged"))?;
    let (key, bytes) = (membership::signing::public_key(&key), &head.checkpoint.checkpoint);
    membership::signing::verify(&key, protocol::money::CHECKPOINT_LABEL, bytes, &head.checkpoint.signature)
        .map_err(|_| wrong("the receipt key did not sign it"))?;
    Ok(root)
}

/// Tiles of a log of this size that are whole.
fn whole_tiles(size: u64) -> u64 {
    let tile = super::log::TILE as u64;
    std::iter::successors(Some(size / tile), |level| Some(level / tile)).take_while(|level| *level > 0).sum()
}

#[cfg(test)]
mod tests;
