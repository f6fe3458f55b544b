//! Whatever is changed in a ledger that is kept, the audit notices, and says where.

use std::{path::Path, sync::Arc};

use membership::signing::{public_key, sign};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, BoundedBytes, DeviceId, MemoCommitment, OrderId, RequestId, Timestamp,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DeviceEntry},
    directory::{PaymentLimits, RequestState},
    frame,
    money::{Amount, Order, PaymentRequest, SignedRequest},
};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{AuditError, Audited, audit};
use crate::{
    core::ledger::{Operation, Standing, Submission},
    ledger::{Book, Founder},
    store::{
        ledger::RequestRecord,
        sqlite::ledger::{LEDGER, SqliteLedger},
    },
};

const NOW: Timestamp = Timestamp(33_000_000_000_000);
/// Payments back and forth: with what else there is, more than a tile and less than two.
const PAYMENTS: u64 = 290;

struct Person {
    account: AccountId,
    device: DeviceId,
    key: SigningKey,
    certificate: Certificate,
}

fn person(n: u8) -> Person {
    let (root, key) = (SigningKey::from_slice(&[n; 32]).unwrap(), SigningKey::from_slice(&[n + 100; 32]).unwrap());
    let entry = DeviceEntry {
        root_key: public_key(&root),
        device: DeviceId([n; 16]),
        tls_key: public_key(&key),
        mls_key: public_key(&key),
        order_key: public_key(&key),
        not_after: Timestamp(u64::MAX),
    };
    let (account, device) = (membership::account_id(&entry.root_key), entry.device);
    let entry = BoundedBytes::new(frame::encode_body(&entry, 1_024).unwrap()).unwrap();
    let certificate = Certificate { signature: sign(&root, DEVICE_ENTRY_LABEL, &entry), entry };
    Person { account, device, key, certificate }
}

struct Made {
    folder: TempDir,
    book: Book,
}

impl Made {
    fn order(&self, id: u64, payer: &Person, payee: &Person, units: u64) -> Order {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&id.to_be_bytes());
        Order {
            ledger: self.book.rules().ledger,
            id: OrderId(bytes),
            payer: payer.account,
            payee: payee.account,
            amount: Amount::new(units).unwrap(),
            memo: MemoCommitment([1; 32]),
            answers: None,
            refunds: None,
            not_after: NOW.plus_ms(1_000),
            device: payer.device,
        }
    }

    fn settle(order: Order, payer: &Person) -> Operation {
        let signed = settlement::signed::sign_order(&order, &payer.key).unwrap();
        let hash = Sha256::digest(&*signed.order).into();
        let standing = Standing { revoked: false, payee_known: true, blocked: false };
        let certificate = payer.certificate.clone();
        Operation::Settle(Box::new(Submission { signed, order, hash, certificate, standing }))
    }

    fn ask(&self, id: u8, payee: &Person, payer: &Person) -> (Operation, SignedRequest) {
        let request = PaymentRequest {
            ledger: self.book.rules().ledger,
            id: RequestId([id; 16]),
            payee: payee.account,
            payer: payer.account,
            amount: Amount::new(7).unwrap(),
            memo: MemoCommitment([1; 32]),
            not_after: NOW.plus_ms(1_000),
            device: payee.device,
        };
        let signed = settlement::signed::sign_request(&request, &payee.key).unwrap();
        let PaymentRequest { id, payee: asker, payer, not_after, .. } = request;
        let (request, state) = (signed.clone(), RequestState::Open);
        let record = RequestRecord { request, payee: asker, id, payer, not_after, state };
        let device = (payee.device, payee.certificate.clone());
        (Operation::OpenRequest { record, device, against: None }, signed)
    }

    fn perform(&self, operations: &[Operation]) {
        self.book.perform(NOW, operations).unwrap();
    }

    fn audit(&self) -> Result<Audited, AuditError> {
        audit(&SqliteLedger::open(self.folder.path()).unwrap())
    }
}

/// Two people with 1,000 each who pay back and forth, ask, pay what is asked, and give some back.
fn made() -> Made {
    let folder = tempfile::tempdir().unwrap();
    let root = SigningKey::from_slice(&[9; 32]).unwrap();
    let founder = Founder { root, currency: None, limits: PaymentLimits::default(), seed: [1; 32] };
    let book = Book::open(Arc::new(SqliteLedger::open(folder.path()).unwrap()), founder).unwrap();
    let made = Made { folder, book };
    let people = [person(1), person(2)];
    let opening = |of: &Person| Operation::Open { payee: of.account, amount: Amount::new(1_000).unwrap() };
    made.perform(&people.each_ref().map(opening));
    let pay = |id: u64| {
        let (payer, payee) = if id.is_multiple_of(2) { (&people[0], &people[1]) } else { (&people[1], &people[0]) };
        Made::settle(made.order(id, payer, payee, 3), payer)
    };
    made.perform(&(0..PAYMENTS).map(pay).collect::<Vec<_>>());
    let (paid, signed) = made.ask(1, &people[0], &people[1]);
    made.perform(&[paid, made.ask(2, &people[0], &people[1]).0]);
    let answer = Order { answers: Some(signed), ..made.order(900, &people[1], &people[0], 7) };
    let original = answer.id;
    let back = Order { refunds: Some(original), ..made.order(901, &people[0], &people[1], 2) };
    made.perform(&[Made::settle(answer, &people[1]), Made::settle(back, &people[0])]);
    // Refused for good: known, and no entry.
    made.perform(&[Made::settle(made.order(902, &people[0], &people[1], 5_000), &people[0])]);
    made
}

fn change(folder: &Path, sql: &str) {
    let connection = Connection::open(folder.join(LEDGER)).unwrap();
    let changed = connection.execute(sql, []).unwrap();
    assert!(changed > 0, "nothing is changed by {sql}");
}

#[test]
fn an_honest_ledger_passes_also_before_its_first_entry() {
    let made = made();
    let audited = made.audit().unwrap();
    let expected = (PAYMENTS + 4, PAYMENTS + 2, 2, 2_000);
    assert_eq!((audited.entries, audited.transfers, audited.accounts, audited.issued), expected);
    let folder = tempfile::tempdir().unwrap();
    let none = audit(&SqliteLedger::open(folder.path()).unwrap());
    assert!(matches!(none, Err(AuditError::Nothing)), "{none:?}");
    let root = SigningKey::from_slice(&[9; 32]).unwrap();
    let founder = Founder { root, currency: None, limits: PaymentLimits::default(), seed: [1; 32] };
    Book::open(Arc::new(SqliteLedger::open(folder.path()).unwrap()), founder).unwrap();
    assert_eq!(audit(&SqliteLedger::open(folder.path()).unwrap()).unwrap().entries, 0);
}

#[test]
fn whatever_is_changed_is_noticed_where_it_is() {
    let last = PAYMENTS + 3;
    // What is changed, and the entry that is named.
    let cases: [(String, u64); 28] = [
        ("UPDATE entry SET bytes = x'00' WHERE place = 7".to_owned(), 7),
        // A signature, in a whole tile and in the last one; the ledger's time; the amount.
        (flip(17, "length(bytes) - 20"), 17),
        (flip(280, "length(bytes) - 20"), 280),
        (flip(20, "length(bytes) - 1"), 20),
        (flip(30, "120"), 30),
        ("UPDATE entry SET bytes = (SELECT bytes FROM entry WHERE place = 10) WHERE place = 12".to_owned(), 12),
        ("UPDATE entry SET device = NULL WHERE place = 15".to_owned(), 15),
        ("UPDATE entry SET device = 3 - device WHERE place = 16".to_owned(), 16),
        ("UPDATE entry SET device = 1 WHERE place = 1".to_owned(), 1),
        ("DELETE FROM entry WHERE place = 40".to_owned(), 40),
        (format!("DELETE FROM entry WHERE place = {last}"), last - 1),
        (format!("INSERT INTO entry SELECT place + 1, bytes, device FROM entry WHERE place = {last}"), last + 1),
        ("UPDATE own SET balance = balance + 1 WHERE place = 50".to_owned(), 50),
        ("DELETE FROM own WHERE place = 51".to_owned(), 51),
        (format!("INSERT INTO own VALUES (0, 1, {last} + 5, 7)"), last),
        ("UPDATE account SET balance = balance + 1 WHERE balance > 0".to_owned(), last),
        ("INSERT INTO account (id, balance) VALUES (zeroblob(32), 5)".to_owned(), 0),
        ("DELETE FROM known WHERE place = 60".to_owned(), 60),
        ("UPDATE known SET place = 61 WHERE place = 62".to_owned(), 62),
        ("UPDATE known SET place = 400, refused = NULL WHERE refused IS NOT NULL".to_owned(), last),
        ("UPDATE refund SET refunded = refunded - 1".to_owned(), last),
        ("DELETE FROM refund".to_owned(), last),
        ("INSERT INTO refund VALUES (70, 1)".to_owned(), last),
        ("UPDATE request SET state = 2 WHERE state = 1".to_owned(), last - 1),
        ("UPDATE request SET state = 1 WHERE state = 0".to_owned(), last),
        ("UPDATE request SET request = (SELECT request FROM request WHERE state = 1) WHERE state = 0".to_owned(), last),
        (
            "UPDATE device SET certificate = (SELECT certificate FROM device WHERE number = 2) WHERE number = 1"
                .to_owned(),
            2,
        ),
        ("DELETE FROM device WHERE number = 2".to_owned(), 3),
    ];
    let made = made();
    for (sql, entry) in cases {
        noticed(&made, &sql, entry);
    }
}

#[test]
fn a_changed_tree_and_a_changed_checkpoint_are_noticed() {
    let made = made();
    let last = PAYMENTS + 3;
    let cases = [
        ("UPDATE tile SET root = zeroblob(32)", 255),
        ("UPDATE tile SET hashes = zeroblob(8192)", 0),
        ("UPDATE tile SET hashes = CAST(substr(hashes, 1, 320) || zeroblob(32) || substr(hashes, 353) AS BLOB)", 10),
        ("UPDATE tile SET hashes = CAST(hashes || zeroblob(32) AS BLOB)", 255),
        ("DELETE FROM tile", 255),
        ("INSERT INTO tile VALUES (0, 1, zeroblob(8192), zeroblob(32))", last),
    ];
    for (sql, entry) in cases {
        noticed(&made, sql, entry);
    }
    for sql in [
        // The signature, the root, and the receipt key.
        "UPDATE head SET record = CAST(substr(record, 1, length(record) - 1) || x'00' AS BLOB)",
        "UPDATE head SET record = CAST(substr(record, 1, 60) || x'0000' || substr(record, 63) AS BLOB)",
        "UPDATE founding SET record = CAST(substr(record, 1, length(record) - 1) || x'00' AS BLOB)",
    ] {
        noticed(&made, sql, last);
    }
}

/// Changes a copy of a ledger, and looks for the entry that is named.
fn noticed(made: &Made, sql: &str, entry: u64) {
    let copy = tempfile::tempdir().unwrap();
    let source = Connection::open(made.folder.path().join(LEDGER)).unwrap();
    source.execute("VACUUM INTO ?1", [copy.path().join(LEDGER).to_str().unwrap()]).unwrap();
    change(copy.path(), sql);
    match audit(&SqliteLedger::open(copy.path()).unwrap()) {
        Err(AuditError::Broken { entry: named, .. } | AuditError::Checkpoint { entry: named, .. }) => {
            assert_eq!(named, entry, "{sql}");
        }
        other => panic!("{sql}: {other:?}"),
    }
}

/// Changes one byte of an entry, at a place counted from one.
fn flip(place: u64, at: &str) -> String {
    format!(
        "UPDATE entry SET bytes = CAST(substr(bytes, 1, {at} - 1) || CASE substr(bytes, {at}, 1) WHEN x'01' THEN x'02'
             ELSE x'01' END || substr(bytes, {at} + 1) AS BLOB) WHERE place = {place}"
    )
}
