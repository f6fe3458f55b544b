//! What people ask about money that cannot be: typed lines, real cores around a real directory.

use node::language::{self, Line};
use node_core::command::{CommandResult, Failure};
use protocol::{directory::PaymentLimits, money::Amount};
use tests::table::{Seat, Table};

use crate::{
    Next::{Do, Type},
    Row, row, settle,
};

/// Who types, and what.
type Sent = (&'static str, &'static str);

fn typed(table: &mut Table, seat: Seat, line: &str) -> CommandResult {
    match language::parse(line) {
        Ok(Some(Line::Core(command))) => table.command(seat, command),
        Ok(_) => panic!("no command of the core's: {line}"),
        Err(failure) => Err::<_, Failure>(failure),
    }
}

pub(crate) fn rows() -> Vec<Row<Sent>> {
    let usage = |line, says, next| row(("alice", line), "usage", says, next);
    let conflict = |sent: Sent, says, next| row(sent, "conflict", says, next);
    let refused = |sent: Sent, says, next| row(sent, "refused", says, next);
    vec![
        usage("PAY bob 0", &["more than zero"], Type("PAY bob 12.50")),
        usage("PAY bob -5", &["no sign"], Type("PAY bob 12.50")),
        usage("PAY bob 1e3", &["exponent"], Type("PAY bob 12.50")),
        usage("PAY bob 12,50", &["comma"], Type("PAY bob 12.50")),
        usage("PAY bob 0.001", &["has 2 decimals"], Do("write at most as many")),
        usage("PAY bob \u{663}", &["an amount is digits"], Type("PAY bob 12.50")),
        usage("PAY bob 92233720368547758.08", &["more money than any ledger"], Do("write a smaller amount")),
        usage("PAY 5 bob", &["the name comes first"], Type("PAY bob 5")),
        usage("ACCEPT 7", &["begins with its letter"], Type("ACCEPT r7")),
        conflict(("alice", "PAY nobody 5"), &["nobody"], Type("LIST")),
        conflict(("alice", "ACCEPT r99"), &["there is no such request"], Type("REQUESTS")),
        conflict(("alice", "DECLINE r99"), &["there is no such request"], Type("REQUESTS")),
        conflict(("alice", "CANCEL r99"), &["there is no such request"], Type("REQUESTS")),
        conflict(("alice", "REFUND p99"), &["there is no such payment"], Type("PAYMENTS")),
        conflict(("alice", "REQUEST GROUP nowhere 5"), &["there is no group nowhere"], Type("LIST GROUPS")),
        refused(("alice", "PAY bob 100.01"), &["100.00"], Type("BALANCE")),
        refused(("alice", "PAY alice 5"), &["that is you"], Do("name somebody else")),
        refused(("alice", "bob#5#alice"), &["bob's money, not yours"], Do("REQUEST bob AMOUNT")),
        refused(("alice", "PAY erin 5"), &["erin takes nothing from you"], Type("UNBLOCK erin")),
        refused(("dave", "REQUEST bob 5"), &["bob has not accepted you yet"], Do("SEND bob TEXT")),
    ]
}

#[test]
fn whatever_cannot_be_paid_or_asked_for_is_said_with_what_can() {
    let mut table = Table::with_money(Amount::new(10_000).unwrap(), PaymentLimits::default());
    let names = ["alice", "bob", "dave", "erin"];
    let seats = names.map(|name| (name, table.sign_up(name)));
    let seat = |name: &str| seats.iter().find(|(known, _)| *known == name).unwrap().1;
    for (who, line) in [("alice", "SEND bob hi"), ("erin", "BLOCK alice")] {
        typed(&mut table, seat(who), line).unwrap();
        table.pass(5_000);
    }
    settle(rows().into_iter().map(|row| {
        let (who, line) = row.sent;
        let failure = typed(&mut table, seat(who), line).unwrap_err();
        row.complaint(&format!("{who}: {line}"), failure.code.name(), &failure.message)
    }));
}
