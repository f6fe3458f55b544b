//! What people ask of groups that cannot be: typed lines, real cores around a real directory.

use node::language::{self, Line};
use node_core::command::CommandResult;
use tests::table::{Seat, Table};

use crate::{
    Next::{Do, Type},
    Row, row, settle,
};

/// Who types, and what.
type Sent = (&'static str, &'static str);

fn typed(table: &mut Table, seat: Seat, line: &str) -> CommandResult {
    let Ok(Some(Line::Core(command))) = language::parse(line) else { panic!("no command of the core's: {line}") };
    table.command(seat, command)
}

pub(crate) fn rows() -> Vec<Row<Sent>> {
    let conflict = |sent: Sent, says, next| row(sent, "conflict", says, next);
    let refused = |sent: Sent, says, next| row(sent, "refused", says, next);
    let which = Type("LIST GROUPS");
    vec![
        conflict(("alice", "JOIN nowhere"), &["there is no group nowhere"], which),
        conflict(("alice", "LEAVE nowhere"), &["there is no group nowhere"], which),
        conflict(("alice", "&nowhere hi"), &["there is no group nowhere"], which),
        conflict(("alice", "MEMBERS nowhere"), &["there is no group nowhere"], which),
        conflict(("alice", "KICK nowhere bob"), &["there is no group nowhere"], which),
        conflict(("alice", "MUTE nowhere"), &["called nowhere"], Type("LIST")),
        conflict(("alice", "SEARCH hi IN nowhere"), &["called nowhere"], Type("LIST")),
        conflict(("alice", "SEARCH see you in town"), &["called town"], Type("SEARCH -- TEXT")),
        conflict(("alice", "INVITE team nobody"), &["nobody here is called nobody"], Type("LIST")),
        conflict(("bob", "CREATE team"), &["the name team is taken"], Do("choose another one")),
        conflict(("dave", "CREATE alice"), &["the name alice is taken"], Do("choose another one")),
        conflict(("dave", "CREATE tearn"), &["looks like one that is taken"], Do("choose another one")),
        conflict(("alice", "SEND team hi"), &["team is a group, not a person"], Type("SEND GROUP team TEXT")),
        conflict(("dave", "SEND team hi"), &["team is a group that you are not in"], Type("JOIN team")),
        conflict(("dave", "@team hi"), &["team is a group", "JOIN"], Type("SEND GROUP team TEXT")),
        conflict(("carol", "SEND team hi"), &["team is a group that you are not in"], Type("JOIN team")),
        conflict(("alice", "SEND nobody hi"), &["nobody here is called nobody"], Type("LIST")),
        conflict(("dave", "SEND GROUP erin hi"), &["erin is a person, not a group"], Type("SEND erin TEXT")),
        conflict(("alice", "SEND GROUP bob hi"), &["bob is a person, not a group"], Type("SEND bob TEXT")),
        conflict(("bob", "JOIN team"), &["you", "already"], Type("MEMBERS team")),
        conflict(("alice", "INVITE team bob"), &["bob is", "already"], Type("MEMBERS team")),
        conflict(("alice", "KICK team dave"), &["dave is not in team"], Type("MEMBERS team")),
        conflict(("alice", "PROMOTE team dave"), &["dave is not in team"], Type("MEMBERS team")),
        conflict(("alice", "DEMOTE team bob"), &["bob is", "already"], Type("MEMBERS team")),
        refused(("dave", "SEND GROUP team hi"), &["you are not in team"], Type("JOIN team")),
        refused(("dave", "LEAVE team"), &["you are not in team"], Type("JOIN team")),
        refused(("dave", "MEMBERS team"), &["you are not in team"], Type("JOIN team")),
        refused(("dave", "PROMOTE team bob"), &["you are not in team"], Type("JOIN team")),
        refused(("bob", "JOIN club"), &["club is by invitation only"], Do("ask one of its owners or admins")),
        refused(("carol", "JOIN team"), &["you were kicked from team"], Do("INVITE by an owner or admin")),
        refused(("bob", "KICK team alice"), &["your role in team is not enough"], Type("MEMBERS team")),
        refused(("bob", "PROMOTE team erin"), &["your role in team is not enough"], Type("MEMBERS team")),
        refused(("alice", "LEAVE team"), &["team would have no owner"], Type("PROMOTE team NAME")),
        refused(("alice", "DEMOTE team alice"), &["team would have no owner"], Type("PROMOTE team NAME")),
    ]
}

#[test]
fn whatever_cannot_be_in_a_group_is_said_with_what_can() {
    let mut table = Table::new();
    let names = ["alice", "bob", "carol", "dave", "erin"];
    let seats = names.map(|name| (name, table.sign_up(name)));
    let seat = |name: &str| seats.iter().find(|(known, _)| *known == name).unwrap().1;
    let made = [
        ("alice", "CREATE team"),
        ("bob", "JOIN team"),
        ("carol", "JOIN team"),
        ("erin", "JOIN team"),
        ("dave", "CREATE club INVITE"),
        ("alice", "KICK team carol"),
    ];
    for (who, line) in made {
        typed(&mut table, seat(who), line).unwrap();
        table.pass(5_000);
    }
    settle(rows().into_iter().map(|row| {
        let (who, line) = row.sent;
        let failure = typed(&mut table, seat(who), line).unwrap_err();
        row.complaint(&format!("{who}: {line}"), failure.code.name(), &failure.message)
    }));
}
