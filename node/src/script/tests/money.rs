//! What EXPECT and ASSERT take of money.

use node_core::{
    command::{BalanceView, MoneyOutcome, Outcome},
    event::{EventKind, Money, ShortId},
};
use protocol::{OrderId, RequestId, Timestamp, directory::RequestState, money::Amount};

use super::{
    fake::name,
    played::{Script, end},
};

fn money(units: u64) -> Money {
    Money { amount: Amount::new(units).unwrap(), scale: 2 }
}

/// What everybody's balance is on this stage.
pub(super) fn balance() -> Outcome {
    let (available, held) = (money(8_750), money(0));
    let view = BalanceView { available, held, currency: String::new(), requests: 0, requested: None };
    Outcome::Money(MoneyOutcome::Balance(view))
}

fn payment(from: Option<&str>, number: u8, units: u64, memo: Option<&str>) -> EventKind {
    EventKind::Payment {
        id: ShortId::Payment(number.into()),
        uid: OrderId([number; 16]),
        from: from.map(name),
        to: Some(name("alice")),
        amount: money(units),
        memo: memo.map(str::to_owned),
        balance: money(units),
        ledger_seq: number.into(),
        request: None,
        refund_of: None,
    }
}

fn request(from: &str, number: u8, units: u64, memo: &str) -> EventKind {
    EventKind::Request {
        id: ShortId::Request(number.into()),
        uid: RequestId([number; 16]),
        from: name(from),
        to: name("alice"),
        group: Some(name("team")),
        total: Some(money(3 * units)),
        amount: money(units),
        memo: memo.to_owned(),
        expires_at: Timestamp(0),
    }
}

fn closed(number: u8, state: RequestState, reason: Option<&str>) -> EventKind {
    EventKind::Closed {
        id: ShortId::Request(number.into()),
        uid: RequestId([number; 16]),
        state,
        payment: None,
        reason: reason.map(str::to_owned),
    }
}

fn busy(script: &str) -> Script {
    let events = [
        payment(None, 1, 10_000, Some("float")),
        request("bob", 7, 1_250, "lunch"),
        request("carol", 8, 500, ""),
        closed(7, RequestState::Paid, None),
        closed(8, RequestState::Declined, Some("paid in cash")),
        payment(Some("bob"), 2, 1_250, Some("lunch")),
        payment(Some("bob"), 3, 5, None),
        closed(7, RequestState::Refunded, None),
    ];
    events.into_iter().fold(Script::new(script), |script, event| script.event("me", 0, event))
}

#[tokio::test(start_paused = true)]
async fn each_filter_takes_what_it_says_and_nothing_else() {
    for (script, met) in [
        ("EXPECT PAYMENT", true),
        ("EXPECT PAYMENT FROM bob AMOUNT 12.5 \"lunch\"", true),
        ("EXPECT PAYMENT FROM bob AMOUNT 12.50", true),
        ("EXPECT PAYMENT FROM bob AMOUNT 12.51", false),
        ("EXPECT PAYMENT FROM carol", false),
        ("EXPECT PAYMENT TO alice ID p2", true),
        ("EXPECT PAYMENT ID 03030303030303030303030303030303 AMOUNT 0.05", true),
        ("EXPECT PAYMENT ~/flo/ AMOUNT 100", true),
        ("EXPECT PAYMENT STATE paid", false),
        ("EXPECT REQUEST FROM bob AMOUNT 12.50 \"lunch\" IN team", true),
        ("EXPECT REQUEST FROM carol \"\"", true),
        ("EXPECT REQUEST FROM carol AMOUNT 12.50", false),
        ("EXPECT CLOSED STATE paid", true),
        ("EXPECT CLOSED ID r8 STATE declined \"paid in cash\"", true),
        ("EXPECT CLOSED ID r8 STATE paid", false),
        ("EXPECT CLOSED STATE expired", false),
        // Each object has a cursor of its own: what is expected of one takes nothing of another.
        ("EXPECT CLOSED ID r7 STATE refunded\nEXPECT CLOSED ID r8", true),
        ("EXPECT CLOSED ID r7 STATE refunded\nEXPECT CLOSED ID r7 STATE paid", false),
        ("EXPECT REQUEST FROM carol\nEXPECT REQUEST FROM bob", true),
        ("EXPECT REQUEST AS r\nEXPECT CLOSED ID ${r} STATE paid", true),
        ("EXPECT PAYMENT FROM bob AS p\nEXPECT PAYMENT ID ${p} WITHIN 1s", false),
    ] {
        let (code, words) = end(busy(script)).await;
        assert_eq!(code, if met { 0 } else { 9 }, "{script}: {words}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_balance_is_compared_by_its_value() {
    for (line, code) in [
        ("ASSERT BALANCE 87.50", 0),
        ("assert balance 87.5", 0),
        ("ASSERT BALANCE 87.51", 9),
        ("ASSERT BALANCE 0", 9),
        ("ASSERT BALANCE", 2),
        ("ASSERT BALANCE 87,50", 2),
        ("ASSERT BALANCE -5", 2),
    ] {
        let (ended, words) = end(Script::new(line)).await;
        assert_eq!(ended, code, "{line}: {words}");
    }
}
