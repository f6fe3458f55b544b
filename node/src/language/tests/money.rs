//! Lines about money: what each comes to, and what is said to whoever slips.

use node_core::{
    command::{MoneyCommand, MoneyRef, OwnLimit},
    event::ShortId,
};

use super::*;

fn money(line: &str) -> MoneyCommand {
    match parsed(line) {
        Line::Core(Command::Money(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn pays(payer: Option<Name>, amount: &str, memo: &str) -> MoneyCommand {
    MoneyCommand::Pay { payer, to: bob(), amount: amount.to_owned(), memo: memo.to_owned(), id: None }
}

#[test]
fn a_payment_names_whom_how_much_and_perhaps_what_for() {
    for (line, expected) in [
        ("PAY bob 12.50", pays(None, "12.50", "")),
        ("pay @Bob 5 lunch & tip", pays(None, "5", "lunch & tip")),
        ("PAY bob 5  two blanks", pays(None, "5", " two blanks")),
        ("me#12.50#bob", pays(None, "12.50", "")),
        ("ME#5#Bob", pays(None, "5", "")),
        ("alice#5#bob", pays(Some(name("alice").unwrap()), "5", "")),
        // Too much for nine decimals, and not for two.
        ("PAY bob 92233720368547758.07", pays(None, "92233720368547758.07", "")),
    ] {
        assert_eq!(money(line), expected, "{line}");
    }
    let memo = "lunch".to_owned();
    let expected = MoneyCommand::Request { from: bob(), amount: "5".to_owned(), memo: memo.clone() };
    assert_eq!(money("REQUEST bob 5 lunch"), expected);
    let expected = MoneyCommand::RequestGroup { group: team(), amount: "90".to_owned(), memo };
    assert_eq!(money("request group &team 90 lunch"), expected);
}

#[test]
fn requests_and_payments_are_named_by_their_ids() {
    let request = MoneyRef::Short(ShortId::Request(7));
    let payment = MoneyRef::Short(ShortId::Payment(4));
    let full = MoneyRef::Full([0xab; 16]);
    let because = "paid in cash".to_owned();
    for (line, expected) in [
        ("ACCEPT r7", MoneyCommand::Accept { id: request }),
        ("accept R7", MoneyCommand::Accept { id: request }),
        (&format!("ACCEPT {}", "ab".repeat(16)), MoneyCommand::Accept { id: full }),
        ("DECLINE r7", MoneyCommand::Decline { id: request, reason: String::new() }),
        ("DECLINE r7 paid in cash", MoneyCommand::Decline { id: request, reason: because.clone() }),
        ("CANCEL r7 paid in cash", MoneyCommand::Cancel { id: request, reason: because }),
        ("REFUND p4", MoneyCommand::Refund { id: payment, amount: None }),
        ("refund P4 2.50", MoneyCommand::Refund { id: payment, amount: Some("2.50".to_owned()) }),
        ("REQUESTS", MoneyCommand::Requests),
        ("BALANCE", MoneyCommand::Balance),
        ("PAYMENTS", MoneyCommand::Payments { with: None, count: 20 }),
        ("PAYMENTS 5", MoneyCommand::Payments { with: None, count: 5 }),
        ("payments bob 5", MoneyCommand::Payments { with: Some(bob()), count: 5 }),
    ] {
        assert_eq!(money(line), expected, "{line}");
    }
}

#[test]
fn limits_are_set_lifted_and_shown() {
    let set = |limit, amount: Option<&str>| MoneyCommand::SetLimit { limit, amount: amount.map(str::to_owned) };
    for (line, expected) in [
        ("SET", MoneyCommand::Limits),
        ("SET limit.day", MoneyCommand::Limits),
        ("SET limit.payment 100", set(OwnLimit::Payment, Some("100"))),
        ("set LIMIT.DAY 200.50", set(OwnLimit::Day, Some("200.50"))),
        ("SET limit.peer none", set(OwnLimit::Peer, None)),
        ("SET confirm.above 0", set(OwnLimit::Confirm, Some("0"))),
    ] {
        assert_eq!(money(line), expected, "{line}");
    }
    assert!(refused("SET limit.day 0").contains("more than zero"));
    assert!(refused("SET colour red").contains("limit.payment"));
}

#[test]
fn whoever_slips_is_told_the_line_that_was_meant() {
    for (line, said) in [
        ("PAY 5 bob", "`PAY bob 5`"),
        ("REQUEST 12.50 bob", "`REQUEST bob 12.50`"),
        ("REQUEST GROUP 90 team", "`REQUEST GROUP team 90`"),
        ("PAY bob .5", "`PAY bob 0.5`"),
        ("PAY bob 12,50", "`PAY bob 12.50`"),
        ("me#.5#bob", "`me#0.5#bob`"),
        ("me#5#bob lunch", "`PAY bob 5 lunch`"),
        ("ACCEPT 7", "`ACCEPT r7`"),
        ("REFUND 4", "`REFUND p4`"),
        ("ACCEPT m12", "REQUESTS"),
        ("REFUND r7", "PAYMENTS"),
        ("PAY bob 1 000", "`PAY bob 1000`"),
        ("PAY", "PAY bob 12.50"),
        ("PAY bob", "needs an amount"),
        ("PAY bob lunch", "as in `PAY bob 12.50`"),
        ("PAYMENTS bob all", "no number"),
        ("PAYMENTS 0", "at least one"),
        ("BALANCE now", "takes no"),
    ] {
        let message = refused(line);
        assert!(message.contains(said), "{line}: {message}");
    }
}

#[test]
fn what_is_no_amount_is_refused_before_anything_is_asked() {
    for amount in [
        "0",
        "0.00",
        "-5",
        "+5",
        "1e3",
        "1 000",
        "1 000.50",
        "٣",
        "５",
        "5.",
        "1.2.3",
        "9223372036854775808",
        "5€",
        "0x5",
    ] {
        assert!(!refused(&format!("PAY bob {amount}")).is_empty(), "{amount}");
    }
    assert!(refused(&format!("PAY bob 5 {}", "m".repeat(1_025))).contains("1024 bytes"));
    assert!(refused(&format!("DECLINE r7 {}", "m".repeat(1_025))).contains("1024 bytes"));
}
