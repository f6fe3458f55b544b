//! Money with real processes: payments over QUIC to a directory that is killed, and what the operator's commands say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use std::{path::Path, time::Duration};

use protocol::{
    AccountId, LedgerId, MemoCommitment, OrderId, Timestamp,
    directory::{LedgerReply, LedgerRequest, OwnEntry, Push, Reply, Request},
    money::{Amount, Entry, Order, ReceiptKey, SignedOrder},
};
use settlement::{proof, receipt, signed};
use support::{
    Person, Raw, connect, key,
    program::{Serving, run, text},
};

/// Payments of the run that is interrupted.
const PAYMENTS: u8 = 40;

fn account(person: &Person) -> AccountId {
    membership::account_id(&membership::signing::public_key(&person.root))
}

async fn arrive(serving: &Serving, person: &Person) -> Raw {
    let raw = connect(serving.address, &person.device).await;
    let answer = raw.sign_up(person, None).await;
    assert!(matches!(answer, Ok(Reply::SignedIn { enrolled: true, .. })), "{answer:?}");
    raw
}

async fn ask(raw: &Raw, request: LedgerRequest) -> LedgerReply {
    match raw.ask(&Request::Ledger(Box::new(request))).await {
        Ok(Reply::Ledger(reply)) => *reply,
        other => panic!("{other:?}"),
    }
}

/// The receipt key, as the directory whose key was printed vouches for it.
async fn terms(serving: &Serving, raw: &Raw) -> ReceiptKey {
    let LedgerReply::Terms { key, .. } = ask(raw, LedgerRequest::Terms).await else { panic!() };
    receipt::verify_key(&key, serving.key.parse().unwrap()).unwrap()
}

async fn balance(raw: &Raw) -> u64 {
    let LedgerReply::Balance { available, .. } = ask(raw, LedgerRequest::Balance).await else { panic!() };
    available.units()
}

fn order(ledger: LedgerId, id: u8, payer: &Person, payee: &Person) -> SignedOrder {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let order = Order {
        ledger,
        id: OrderId([id; 16]),
        payer: account(payer),
        payee: account(payee),
        amount: Amount::new(u64::from(id)).unwrap(),
        memo: MemoCommitment([id; 32]),
        answers: None,
        refunds: None,
        not_after: Timestamp(u64::try_from(now).unwrap() + 600_000),
        device: payer.device.id(),
    };
    signed::sign_order(&order, &key(payer.device.seed + 51)).unwrap()
}

/// Hands an order in; `None` if the connection ends before there is an answer.
async fn settle(raw: &Raw, order: &SignedOrder) -> Option<OwnEntry> {
    let request = Request::Ledger(Box::new(LedgerRequest::Settle { order: order.clone() }));
    match raw.try_ask(&request).await? {
        Ok(Reply::Ledger(reply)) => match *reply {
            LedgerReply::Settled(own) => Some(*own),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// What the audit says: its exit code, the first words, and what was complained of.
fn audited(folder: &Path) -> (Option<i32>, String, String) {
    let output = run(&["audit"], folder);
    let words: Vec<&str> = text(&output.stdout).split(' ').take(3).collect();
    (output.status.code(), words.join(" "), text(&output.stderr).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_settled_is_settled_once_and_proven_whenever_the_directory_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--opening-balance", "100.00", "--currency", "EUR"];
    let mut serving = Serving::start(&flags, folder.path());
    let (alice, bob) = (Person::new("alice", 1), Person::new("bob", 2));
    let (mut raw, mut other) = (arrive(&serving, &alice).await, arrive(&serving, &bob).await);
    let key = terms(&serving, &raw).await;
    let orders: Vec<SignedOrder> = (1..=PAYMENTS).map(|id| order(key.ledger, id, &alice, &bob)).collect();
    let mut before = None;
    let mut places = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        // From both ends at once, by the way over two connections.
        let (mut mine, mut theirs) = tokio::join!(settle(&raw, order), settle(&other, order));
        if number % 10 == 5 {
            serving.signal("-KILL");
            serving = Serving::start(&flags, folder.path());
            (raw, other) = (connect(serving.address, &alice.device).await, connect(serving.address, &bob.device).await);
            let (again, their) = (settle(&raw, order).await.unwrap(), settle(&other, order).await.unwrap());
            assert_eq!(mine.as_ref().map(|own| own.entry.index), Some(again.entry.index));
            (mine, theirs) = (Some(again), Some(their));
        }
        let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
        assert_eq!(mine.entry.index, theirs.entry.index);
        let verified = receipt::verify(&mine.entry, &key).unwrap();
        assert!(matches!(&verified.entry, Entry::Transfer { order: settled, .. } if settled == order));
        places.push(verified.index);
        let now = verified.checkpoint;
        if let Some((size, root)) = before.replace((now.size, now.root)) {
            let request = LedgerRequest::Consistency { from: size, to: Some(now.size) };
            let LedgerReply::Consistency { proof, .. } = ask(&raw, request).await else { panic!() };
            proof::verify_consistency((size, &root), (now.size, &now.root), &proof).unwrap();
        }
    }
    let entries = u64::from(PAYMENTS) + 2;
    assert_eq!(places, (2..entries).collect::<Vec<_>>());
    let paid: u64 = (1..=u64::from(PAYMENTS)).sum();
    assert_eq!((balance(&raw).await, balance(&other).await), (10_000 - paid, 10_000 + paid));
    let LedgerReply::Entries { entries: own, more: false } =
        ask(&other, LedgerRequest::Entries { after: Some(1) }).await
    else {
        panic!()
    };
    assert!(own.iter().all(|own| receipt::verify(&own.entry, &key).is_ok()) && own.len() == usize::from(PAYMENTS));
    // While it serves and afterwards.
    let passed = (Some(0), format!("ok {entries} entries"), String::new());
    assert_eq!(audited(folder.path()), passed);
    serving.signal("-TERM");
    serving.ended();
    assert_eq!(audited(folder.path()), passed);
    let exported = run(&["export"], folder.path());
    assert_eq!(exported.status.code(), Some(0), "{}", text(&exported.stderr));
    let lines: Vec<serde_json::Value> =
        text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, entries);
    assert_eq!((&lines[0]["kind"], &lines[0]["amount"]), (&"opening".into(), &"100.00".into()));
    assert_eq!((&lines[2]["kind"], &lines[2]["amount"]), (&"transfer".into(), &"0.01".into()));
    // Somebody changes what was settled.
    let connection = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    connection.execute("UPDATE own SET balance = balance + 5 WHERE place = 9", []).unwrap();
    drop(connection);
    let (code, said, why) = audited(folder.path());
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(why.starts_with("directory: entry 9: "), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_issues_money_whether_the_service_runs_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&["--currency", "point:0"], folder.path());
    let alice = Person::new("alice", 1);
    let raw = arrive(&serving, &alice).await;
    assert_eq!(balance(&raw).await, 0, "nothing is given unless the operator says so");
    let issued = run(&["issue", "alice", "50", "for", "the", "fair"], folder.path());
    assert_eq!(text(&issued.stdout), "issued 50 point to alice · balance 50 point · entry 0\n", "{issued:?}");
    let mut pushes = raw.pushes().await;
    let told = async { while pushes.next().await.unwrap() != Push::Ledger {} };
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    assert_eq!(balance(&raw).await, 50);
    serving.signal("-TERM");
    serving.ended();
    let issued = run(&["issue", "alice", "7"], folder.path());
    assert_eq!(text(&issued.stdout), "issued 7 point to alice · balance 57 point · entry 1\n", "{issued:?}");
    let status = run(&["status"], folder.path());
    assert!(text(&status.stdout).contains("2 entries, 57 point issued"), "{}", text(&status.stdout));
    let memo = text(&run(&["export"], folder.path()).stdout).lines().next().unwrap().to_owned();
    assert!(memo.contains("\"memo\":\"for the fair\""), "{memo}");
    assert_eq!(audited(folder.path()).0, Some(0));
    for (arguments, code) in [
        (&["issue", "bob", "5"][..], 6),
        (&["issue", "alice", "0.5"], 2),
        (&["issue", "alice", "0"], 2),
        (&["issue", "alice", "9223372036854775808"], 2),
        (&["issue", "alice", "9223372036854775807"], 7),
        (&["issue", "r7", "5"], 2),
    ] {
        let refused = run(arguments, folder.path());
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", text(&refused.stderr));
        assert!(text(&refused.stdout).is_empty());
    }
}

#[test]
fn money_does_not_change_its_name_and_flags_are_amounts_of_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(Serving::start(&["--currency", "EUR"], folder.path()));
    for (arguments, code, says) in [
        (&["--currency", "USD"][..], 6, "\"EUR:2\""),
        (&["--opening-balance", "1.005"], 2, "--opening-balance 1.005: at most 2 decimals"),
        (&["--limit-day", "5,0"], 2, "--limit-day 5,0: an amount is digits"),
    ] {
        let refused = run(&[&["--bind", "127.0.0.1:0"], arguments].concat(), folder.path());
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(says), "{}", text(&refused.stderr));
    }
    for command in ["audit", "export"] {
        let empty = tempfile::tempdir().unwrap();
        let refused = run(&[command], empty.path());
        assert_eq!(refused.status.code(), Some(1), "{command}");
        assert!(text(&refused.stderr).contains("there is no ledger in"), "{}", text(&refused.stderr));
    }
}
