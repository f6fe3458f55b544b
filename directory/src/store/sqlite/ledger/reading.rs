//! What is read of the ledger.

use std::collections::HashMap;

use protocol::{
    AccountId, DeviceId, OrderId, RequestId, Timestamp,
    certificate::Certificate,
    directory::{LedgerRefusal, RequestState},
    frame,
    money::{Amount, ENTRY_MAX, Entry, HashBytes, Order, SignedRequest},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sha2::{Digest as _, Sha256};

use super::{
    Founding, Head, IssueOrder, Known, OrderKey, Original, OwnRecord, RequestKey, RequestRecord, RequestStep,
    StoreError, Stored, decode, fatal, integer, order_id, schema,
};
use crate::store::ledger::KnownOutcome;

/// Append only, as they are on disks; the schema's indices know the first.
const STATES: [RequestState; 6] = [
    RequestState::Open,
    RequestState::Paid,
    RequestState::Declined,
    RequestState::Cancelled,
    RequestState::Expired,
    RequestState::Refunded,
];

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

pub(super) fn code(state: RequestState) -> Stored<i64> {
    let place = STATES.iter().position(|known| *known == state).ok_or_else(|| damaged("a request's state"))?;
    i64::try_from(place).map_err(|_| damaged("a request's state"))
}

pub(super) fn state(code: i64) -> Stored<RequestState> {
    let place = usize::try_from(code).ok();
    place.and_then(|place| STATES.get(place)).copied().ok_or_else(|| damaged("a request's state"))
}

pub(super) fn place(value: i64) -> Stored<u64> {
    u64::try_from(value).map_err(|_| damaged("a place"))
}

pub(super) fn account_id(bytes: &[u8]) -> Stored<AccountId> {
    AccountId::from_slice(bytes).ok_or_else(|| damaged("an account"))
}

fn entry(bytes: &[u8]) -> Stored<Entry> {
    frame::decode_body(bytes, ENTRY_MAX).map_err(|_| damaged("an entry"))
}

fn order_of(bytes: &[u8]) -> Stored<Option<Order>> {
    match entry(bytes)? {
        Entry::Transfer { order, .. } => order.order().map(Some).map_err(|_| damaged("an order")),
        Entry::Issue { .. } | Entry::Opening { .. } => Ok(None),
    }
}

/// All rows of a query, each made into something.
pub(super) fn all<R, T>(
    db: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<R>,
    make: impl Fn(R) -> Stored<T>,
) -> Stored<Vec<T>> {
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let rows = statement.query_map(parameters, |row| read(row)).map_err(fatal)?;
    rows.map(|row| make(row.map_err(fatal)?)).collect()
}

/// The row of a query, if there is one.
pub(super) fn one<R>(
    db: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<R>,
) -> Stored<Option<R>> {
    db.prepare_cached(sql).and_then(|mut statement| statement.query_row(parameters, read).optional()).map_err(fatal)
}

pub(super) fn request_id(bytes: &[u8]) -> Stored<RequestId> {
    RequestId::from_slice(bytes).ok_or_else(|| damaged("a request's id"))
}

pub(super) fn device_id(bytes: &[u8]) -> Stored<DeviceId> {
    DeviceId::from_slice(bytes).ok_or_else(|| damaged("a device"))
}

pub(super) fn account_numbers(db: &Connection) -> Stored<HashMap<AccountId, i64>> {
    let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?));
    let pairs = all(db, "SELECT id, number FROM account", [], read, |(id, number)| Ok((account_id(&id)?, number)))?;
    Ok(pairs.into_iter().collect())
}

pub(super) fn device_numbers(db: &Connection) -> Stored<HashMap<DeviceId, i64>> {
    let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?));
    let make =
        |(id, number): (Vec<u8>, i64)| Ok((DeviceId::from_slice(&id).ok_or_else(|| damaged("a device"))?, number));
    Ok(all(db, "SELECT id, number FROM device", [], read, make)?.into_iter().collect())
}

fn number(db: &Connection, account: AccountId) -> Stored<Option<i64>> {
    one(db, "SELECT number FROM account WHERE id = ?1", params![account.0.as_slice()], |row| row.get(0))
}

pub(super) fn head(db: &Connection) -> Stored<Option<(Founding, Head)>> {
    let sql = "SELECT founding.record, head.record FROM founding, head";
    let found: Option<(Vec<u8>, Vec<u8>)> = one(db, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.map(|(founding, head)| Ok((decode(&founding)?, decode(&head)?))).transpose()
}

pub(super) fn balances(db: &Connection) -> Stored<Vec<(AccountId, i64)>> {
    let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?));
    all(db, "SELECT id, balance FROM account", [], read, |(id, balance)| Ok((account_id(&id)?, balance)))
}

pub(super) fn closed(db: &Connection) -> Stored<Vec<(AccountId, bool)>> {
    let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?));
    let sql = "SELECT account, finished FROM closed ORDER BY account";
    all(db, sql, [], read, |(account, finished)| Ok((account_id(&account)?, finished)))
}

/// What is known of orders of the accounts with these numbers; nothing of one whose account has none.
pub(super) fn known(
    db: &Connection,
    orders: impl Iterator<Item = Option<(i64, OrderId)>>,
) -> Stored<Vec<Option<Known>>> {
    let sql = "SELECT place, refused FROM known WHERE id = ?1 AND owner = ?2";
    let mut statement = db.prepare_cached(sql).map_err(fatal)?;
    let one = |order: Option<(i64, OrderId)>| {
        let Some((owner, id)) = order else { return Ok(None) };
        let mut rows = statement.query(params![id.0.as_slice(), owner]).map_err(fatal)?;
        let Some(row) = rows.next().map_err(fatal)? else { return Ok(None) };
        let (at, refused) = (row.get(0).map_err(fatal)?, row.get(1).map_err(fatal)?);
        known_as(db, at, refused).map(Some)
    };
    orders.map(one).collect()
}

fn known_as(db: &Connection, at: Option<i64>, refused: Option<Vec<u8>>) -> Stored<Known> {
    let missing = || damaged("an order without its entry");
    let Some(at) = at.map(place).transpose()? else {
        let (hash, refusal): (HashBytes, LedgerRefusal) = decode(&refused.ok_or_else(missing)?)?;
        return Ok(Known { hash, outcome: KnownOutcome::Refused(refusal) });
    };
    let sql = "SELECT bytes FROM entry WHERE place = ?1";
    let bytes: Vec<u8> = one(db, sql, params![integer(at)], |row| row.get(0))?.ok_or_else(missing)?;
    // The order's hash; where nobody signed, that of the entry.
    let signed = match entry(&bytes)? {
        Entry::Transfer { order, .. } => Sha256::digest(&*order.order),
        Entry::Issue { .. } | Entry::Opening { .. } => Sha256::digest(&bytes),
    };
    Ok(Known { hash: signed.into(), outcome: KnownOutcome::Posted(at) })
}

pub(super) fn original(db: &Connection, (payer, id): &OrderKey) -> Stored<Option<Original>> {
    let sql = "SELECT entry.bytes, refund.refunded FROM known JOIN entry ON entry.place = known.place
                   LEFT JOIN refund ON refund.place = known.place WHERE known.id = ?1 AND known.owner = ?2";
    let Some(owner) = number(db, *payer)? else { return Ok(None) };
    let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<i64>>(1)?));
    let Some((bytes, refunded)) = one(db, sql, params![id.0.as_slice(), owner], read)? else { return Ok(None) };
    let Some(order) = order_of(&bytes)? else { return Ok(None) };
    let refunded = place(refunded.unwrap_or(0))?;
    let refunded = Amount::new(refunded).ok_or_else(|| damaged("a refund"))?;
    let answers = order.answers.as_ref().and_then(|request| request.request().ok()).map(|request| request.id);
    Ok(Some(Original { payer: order.payer, payee: order.payee, amount: order.amount, refunded, answers }))
}

const REQUEST: &str = "SELECT request.request, payee.id, request.id, payer.id, request.not_after, request.state
    FROM request JOIN account AS payee ON payee.number = request.payee
                 JOIN account AS payer ON payer.number = request.payer";

type RequestRow = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, i64, i64);

fn request_row(row: &Row<'_>) -> rusqlite::Result<RequestRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn request_record((request, payee, id, payer, not_after, code): RequestRow) -> Stored<RequestRecord> {
    Ok(RequestRecord {
        request: decode(&request)?,
        payee: account_id(&payee)?,
        id: request_id(&id)?,
        payer: account_id(&payer)?,
        not_after: Timestamp(place(not_after)?),
        state: state(code)?,
    })
}

pub(super) fn request(db: &Connection, (payee, id): &RequestKey) -> Stored<Option<RequestRecord>> {
    let sql = format!("{REQUEST} WHERE payee.id = ?1 AND request.id = ?2");
    one(db, &sql, params![payee.0.as_slice(), id.0.as_slice()], request_row)?.map(request_record).transpose()
}

pub(super) fn expired_requests(db: &Connection, time: Timestamp, at_most: usize) -> Stored<Vec<RequestRecord>> {
    let sql = format!(
        "{REQUEST} WHERE request.state = 0 AND request.not_after <= ?1 ORDER BY request.not_after, payee.id, request.id LIMIT ?2"
    );
    all(db, &sql, params![integer(time.0), integer(at_most as u64)], request_row, request_record)
}

pub(super) fn open_requests(db: &Connection, payee: AccountId, payer: AccountId) -> Stored<(usize, usize)> {
    let Some(payee) = number(db, payee)? else { return Ok((0, 0)) };
    let payer = number(db, payer)?;
    let sql = "SELECT count(*), count(*) FILTER (WHERE payer = ?2) FROM request WHERE state = 0 AND payee = ?1";
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let (all, pair) = one(db, sql, params![payee, payer], read)?.unwrap_or_default();
    let count = |value: i64| usize::try_from(value).map_err(|_| damaged("a count"));
    Ok((count(all)?, count(pair)?))
}

pub(super) fn paid_since(db: &Connection, payer: AccountId, since: Timestamp) -> Stored<Vec<(AccountId, Amount)>> {
    let Some(account) = number(db, payer)? else { return Ok(Vec::new()) };
    let sql = "SELECT entry.bytes FROM own JOIN entry ON entry.place = own.place
               WHERE own.piece = ?1 AND own.account = ?2 ORDER BY own.place DESC";
    let mut paid = Vec::new();
    for piece in (0..=last_piece(db)?).rev() {
        let mut statement = db.prepare_cached(sql).map_err(fatal)?;
        let mut rows = statement.query(params![integer(piece), account]).map_err(fatal)?;
        while let Some(row) = rows.next().map_err(fatal)? {
            let bytes: Vec<u8> = row.get(0).map_err(fatal)?;
            if entry(&bytes)?.at() < since {
                return Ok(paid);
            }
            let order = order_of(&bytes)?.filter(|order| order.payer == payer);
            paid.extend(order.map(|order| (order.payee, order.amount)));
        }
        // Time never goes back: what stands before a piece that begins earlier is earlier too.
        let first = entries(db, schema::begin(piece), 1)?;
        if first.first().map(|bytes| entry(bytes)).transpose()?.is_some_and(|first| first.at() < since) {
            break;
        }
    }
    Ok(paid)
}

/// The piece of what is known by account that the last entry is in.
fn last_piece(db: &Connection) -> Stored<u64> {
    let last: Option<i64> = one(db, "SELECT max(place) FROM entry", [], |row| row.get(0))?.flatten();
    Ok(schema::piece(place(last.unwrap_or(0))?))
}

pub(super) fn own(db: &Connection, account: AccountId, after: Option<u64>, at_most: usize) -> Stored<Vec<OwnRecord>> {
    let Some(account) = number(db, account)? else { return Ok(Vec::new()) };
    let sql = "SELECT own.place, entry.bytes, device.certificate, own.balance
               FROM own JOIN entry ON entry.place = own.place LEFT JOIN device ON device.number = entry.device
               WHERE own.piece = ?1 AND own.account = ?2 AND own.place > ?3 ORDER BY own.place LIMIT ?4";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let make = |(at, bytes, certificate, balance): (i64, Vec<u8>, Option<Vec<u8>>, i64)| {
        let certificate = certificate.map(|certificate| decode::<Certificate>(&certificate)).transpose()?;
        Ok(OwnRecord { index: place(at)?, bytes, certificate, balance })
    };
    let mut found = Vec::new();
    for piece in schema::piece(after.unwrap_or(0))..=last_piece(db)? {
        let rest = integer(at_most.saturating_sub(found.len()) as u64);
        if rest == 0 {
            break;
        }
        found.extend(all(db, sql, params![integer(piece), account, after.map_or(-1, integer), rest], read, make)?);
    }
    Ok(found)
}

pub(super) fn steps(
    db: &Connection,
    account: AccountId,
    after: Option<u64>,
    at_most: usize,
) -> Stored<Vec<(RequestStep, SignedRequest)>> {
    let Some(account) = number(db, account)? else { return Ok(Vec::new()) };
    let sql = "SELECT step.place, payee.id, step.id, payer.id, step.state, step.of_order, step.at, request.request
               FROM step_of JOIN step ON step.place = step_of.place
                   JOIN request ON request.payee = step.payee AND request.id = step.id
                   JOIN account AS payee ON payee.number = request.payee
                   JOIN account AS payer ON payer.number = request.payer
               WHERE step_of.account = ?1 AND step_of.place > ?2 ORDER BY step_of.place LIMIT ?3";
    type Step = (i64, Vec<u8>, Vec<u8>, Vec<u8>, i64, Option<Vec<u8>>, i64, Vec<u8>);
    let read = |row: &Row<'_>| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
    };
    let make = |(at_place, payee, id, payer, code, order, at, request): Step| {
        let id = request_id(&id)?;
        let step = RequestStep {
            place: place(at_place)?,
            key: (account_id(&payee)?, id),
            payer: account_id(&payer)?,
            state: state(code)?,
            order: order.map(|order| order_id(&order)).transpose()?,
            at: Timestamp(place(at)?),
        };
        Ok((step, decode(&request)?))
    };
    all(db, sql, params![account, after.map_or(-1, integer), integer(at_most as u64)], read, make)
}

pub(super) fn entries(db: &Connection, from: u64, at_most: usize) -> Stored<Vec<Vec<u8>>> {
    let sql = "SELECT bytes FROM entry WHERE place >= ?1 ORDER BY place LIMIT ?2";
    all(db, sql, params![integer(from), integer(at_most as u64)], |row| row.get(0), Ok)
}

pub(super) fn tile(db: &Connection, level: u8, place: u64) -> Stored<Option<Vec<u8>>> {
    one(db, "SELECT hashes FROM tile WHERE level = ?1 AND place = ?2", params![level, integer(place)], |row| row.get(0))
}

pub(super) fn tile_roots(db: &Connection, level: u8, from: u64) -> Stored<Vec<HashBytes>> {
    let sql = "SELECT root FROM tile WHERE level = ?1 AND place >= ?2 ORDER BY place";
    let make = |root: Vec<u8>| HashBytes::try_from(root.as_slice()).map_err(|_| damaged("a tile's root"));
    all(db, sql, params![level, integer(from)], |row| row.get(0), make)
}

pub(super) fn wanted_issues(db: &Connection) -> Stored<Vec<IssueOrder>> {
    all(db, "SELECT record FROM wanted_issue ORDER BY id", [], |row| row.get::<_, Vec<u8>>(0), |record| decode(&record))
}
