//! The ledger's store of the world: it dies as the directory's other store does, and with it.

use directory::store::{
    Stored,
    ledger::{
        Batch, Founding, Head, IssueOrder, Known, LedgerStore, OrderKey, Original, OwnRecord, RequestKey,
        RequestRecord, RequestStep,
    },
};
use protocol::{
    AccountId, Timestamp,
    money::{Amount, HashBytes, SignedRequest},
};

use super::MortalStore;

/// The ledger beside a mortal store.
#[derive(Debug, Clone)]
pub struct MortalLedger(pub MortalStore);

macro_rules! reads {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Stored<$out> {
            self.0.read(|inner| inner.ledger().$name($($argument),*))
        })*
    };
}

impl LedgerStore for MortalLedger {
    reads! {
        // It is done once, before anybody is there.
        found(founding: &Founding, head: &Head) -> Founding;
        head() -> Option<(Founding, Head)>;
        balances() -> Vec<(AccountId, i64)>;
        known(orders: &[OrderKey]) -> Vec<Option<Known>>;
        originals(orders: &[OrderKey]) -> Vec<Option<Original>>;
        requests(keys: &[RequestKey]) -> Vec<Option<RequestRecord>>;
        open_requests(payee: AccountId, payer: AccountId) -> (usize, usize);
        expired_requests(time: Timestamp, at_most: usize) -> Vec<RequestRecord>;
        paid_since(payer: AccountId, since: Timestamp) -> Vec<(AccountId, Amount)>;
        own(account: AccountId, after: Option<u64>, at_most: usize) -> Vec<OwnRecord>;
        steps(account: AccountId, after: Option<u64>, at_most: usize) -> Vec<(RequestStep, SignedRequest)>;
        entries(from: u64, at_most: usize) -> Vec<Vec<u8>>;
        tile(level: u8, place: u64) -> Option<Vec<u8>>;
        tile_roots(level: u8, from: u64) -> Vec<HashBytes>;
        wanted_issues() -> Vec<IssueOrder>;
    }

    fn keep(&self, batch: &Batch) -> Stored<()> {
        let bytes: Vec<&[u8]> = batch.entries.iter().map(|entry| entry.bytes.as_slice()).collect();
        self.0.change(&bytes, |inner| inner.ledger().keep(batch))
    }

    fn want_issue(&self, issue: &IssueOrder) -> Stored<()> {
        self.0.change(&[], |inner| inner.ledger().want_issue(issue))
    }
}
