//! The ledger as it was at one moment, for whoever looks through all of it while it is written on.

use std::collections::HashMap;

use protocol::{
    AccountId, DeviceId, OrderId, RequestId,
    certificate::Certificate,
    directory::RequestState,
    money::{HashBytes, SignedRequest},
};
use rusqlite::{Connection, Row, params};

use super::{Founding, Head, SqliteLedger, Stored, decode, integer, reading, schema::piece};

/// An entry as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct EntryRow {
    pub(crate) place: u64,
    pub(crate) bytes: Vec<u8>,
    /// Number of the device that signed.
    pub(crate) device: Option<i64>,
}

/// A request as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct RequestRow {
    pub(crate) payee: AccountId,
    pub(crate) id: RequestId,
    pub(crate) state: RequestState,
    pub(crate) signed: SignedRequest,
}

/// One moment of a ledger.
pub(crate) struct Snapshot<'a> {
    db: &'a Connection,
    accounts: HashMap<AccountId, i64>,
}

impl SqliteLedger {
    /// Looks through the ledger as it is now, whatever is written meanwhile.
    pub(crate) fn at_one_moment<T>(&self, look: impl FnOnce(&Snapshot<'_>) -> T) -> Stored<T> {
        self.read(|db| Ok(look(&Snapshot { db, accounts: reading::account_numbers(db)? })))
    }
}

impl Snapshot<'_> {
    pub(crate) fn head(&self) -> Stored<Option<(Founding, Head)>> {
        reading::head(self.db)
    }

    pub(crate) fn balances(&self) -> Stored<Vec<(AccountId, i64)>> {
        reading::balances(self.db)
    }

    /// Accounts that are closed.
    pub(crate) fn closed(&self) -> Stored<Vec<(AccountId, bool)>> {
        reading::closed(self.db)
    }

    /// Entries from a place on, in order.
    pub(crate) fn entries(&self, from: u64, at_most: usize) -> Stored<Vec<EntryRow>> {
        let sql = "SELECT place, bytes, device FROM entry WHERE place >= ?1 ORDER BY place LIMIT ?2";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?));
        let make = |(place, bytes, device)| Ok(EntryRow { place: reading::place(place)?, bytes, device });
        reading::all(self.db, sql, params![integer(from), integer(at_most as u64)], read, make)
    }

    pub(crate) fn certificate(&self, device: i64) -> Stored<Option<(DeviceId, Certificate)>> {
        let sql = "SELECT id, certificate FROM device WHERE number = ?1";
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
        let found = reading::one(self.db, sql, params![device], read)?;
        let make = |(id, certificate): (Vec<u8>, Vec<u8>)| Ok((reading::device_id(&id)?, decode(&certificate)?));
        found.map(make).transpose()
    }

    /// The certificate that is kept of a device, by its own id.
    pub(crate) fn certificate_of(&self, device: DeviceId) -> Stored<Option<Certificate>> {
        let sql = "SELECT certificate FROM device WHERE id = ?1";
        let read = |row: &Row<'_>| row.get::<_, Vec<u8>>(0);
        let found = reading::one(self.db, sql, params![device.0.as_slice()], read)?;
        found.map(|certificate| decode(&certificate)).transpose()
    }

    /// What an account had after an entry, as it is kept.
    pub(crate) fn balance_after(&self, account: AccountId, place: u64) -> Stored<Option<i64>> {
        let Some(number) = self.accounts.get(&account) else { return Ok(None) };
        let sql = "SELECT balance FROM own WHERE piece = ?1 AND account = ?2 AND place = ?3";
        reading::one(self.db, sql, params![integer(piece(place)), number, integer(place)], |row| row.get(0))
    }

    /// The entry that an order is known as; `None` if it is not known, or refused.
    pub(crate) fn known_as(&self, owner: AccountId, id: OrderId) -> Stored<Option<u64>> {
        let Some(number) = self.accounts.get(&owner) else { return Ok(None) };
        let sql = "SELECT place FROM known WHERE id = ?1 AND owner = ?2 AND place IS NOT NULL";
        let found = reading::one(self.db, sql, params![id.0.as_slice(), number], |row| row.get::<_, i64>(0))?;
        found.map(reading::place).transpose()
    }

    /// Of entries, of what accounts have after entries, of orders that are known as entries, and of tiles: how many.
    pub(crate) fn counts(&self) -> Stored<[u64; 4]> {
        let sql = "SELECT (SELECT count(*) FROM entry), (SELECT count(*) FROM own),
                          (SELECT count(*) FROM known WHERE place IS NOT NULL), (SELECT count(*) FROM tile)";
        let read = |row: &Row<'_>| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
        let [entries, own, known, tiles] = reading::one(self.db, sql, [], read)?.unwrap_or_default();
        Ok([reading::place(entries)?, reading::place(own)?, reading::place(known)?, reading::place(tiles)?])
    }

    /// How much of each payment was given back, as it is kept.
    pub(crate) fn refunds(&self) -> Stored<HashMap<u64, u64>> {
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let make = |(place, refunded)| Ok((reading::place(place)?, reading::place(refunded)?));
        Ok(reading::all(self.db, "SELECT place, refunded FROM refund", [], read, make)?.into_iter().collect())
    }

    /// Every request.
    pub(crate) fn requests(&self) -> Stored<Vec<RequestRow>> {
        let sql = "SELECT account.id, request.id, request.state, request.request
                   FROM request JOIN account ON account.number = request.payee";
        let read = |row: &Row<'_>| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?, row.get::<_, Vec<u8>>(3)?))
        };
        let make = |(payee, id, state, signed): (Vec<u8>, Vec<u8>, i64, Vec<u8>)| {
            let (payee, id) = (reading::account_id(&payee)?, reading::request_id(&id)?);
            Ok(RequestRow { payee, id, state: reading::state(state)?, signed: decode(&signed)? })
        };
        reading::all(self.db, sql, [], read, make)
    }

    /// A tile's hashes and its root, as they are kept.
    pub(crate) fn tile(&self, level: u8, place: u64) -> Stored<Option<(Vec<u8>, Vec<u8>)>> {
        let sql = "SELECT hashes, root FROM tile WHERE level = ?1 AND place = ?2";
        reading::one(self.db, sql, params![level, integer(place)], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

/// What a tile's root is kept as.
pub(crate) fn is_root(kept: &[u8], root: &HashBytes) -> bool {
    kept == root.as_slice()
}
