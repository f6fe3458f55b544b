//! What people ask of groups that cannot be: typed lines, real cores around a real directory.

use directory::core::Caller;
use membership::conversation_id;
use mls_rs::MlsMessage;
use node::language::{self, Line};
use node_core::command::CommandResult;
use protocol::{
    Bounded,
    directory::{CommitSubmission, HandshakeBytes, Refusal, Reply, Request},
    limits::GROUP_MEMBERS_MAX,
    policy::{Access, GroupPolicy, Policy, PolicyRefusal},
};
use tests::{
    crowd, fixture,
    table::{Seat, Table, named},
    world::CHEAP_STRETCH,
};

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

/// A thousand people are in it, each with a leaf of its own in the real tree.
#[test]
fn the_thousand_and_first_member_is_refused_with_what_to_do_instead() {
    let mut table = Table::new();
    // The certificates of the fixture's accounts are of today.
    table.now = fixture::now();
    let mut accounts = fixture::fill(&table.directory, GROUP_MEMBERS_MAX + 1, CHEAP_STRETCH).unwrap();
    let lawless = accounts.pop().unwrap();
    let policy = GroupPolicy::founded(named("team"), accounts[0].id, [7; 16], Access::Open);
    let crowd = crowd::gather(table.now, &accounts, &policy).unwrap();
    crowd::settle(&table.directory, table.now, &accounts, &policy, &crowd.first).unwrap();
    let bob = table.sign_up("bob");
    let refused = row((), "refused", &["team is full", "at most 1000 people"], Type("CREATE NAME"));
    let failure = typed(&mut table, bob, "JOIN team").unwrap_err();
    let listed = refused.complaint("JOIN team", failure.code.name(), &failure.message);
    // Somebody else was faster, so that it is full only when he wants to come in.
    table.serve(Box::new(|_, request, answer| match (request, answer) {
        (Request::FindGroup { .. }, Ok(Reply::Groups(groups))) => {
            let mut groups = groups.into_inner();
            groups.iter_mut().for_each(|group| group.members -= 1);
            Ok(Reply::Groups(Bounded::new(groups).unwrap()))
        }
        (_, answer) => answer,
    }));
    let failure = typed(&mut table, bob, "JOIN team").unwrap_err();
    // A program that asks nobody is refused by the directory.
    let info = crowd.first.group_info_message_allowing_ext_commit(false).unwrap();
    let builder = crowd::client(&lawless).unwrap().external_commit_builder().unwrap();
    let builder =
        builder.with_tree_data(crowd.first.export_tree().into_owned()).commit_time(crowd::mls_time(table.now));
    let (theirs, commit) = builder.build(info).unwrap();
    let info = theirs.group_info_message_allowing_ext_commit(false).unwrap();
    let bytes = |message: MlsMessage| HandshakeBytes::new(message.to_bytes().unwrap()).unwrap();
    let submission = CommitSubmission {
        conversation: conversation_id(&Policy::Group(Box::new(policy))),
        epoch: crowd.first.current_epoch(),
        commit: bytes(commit),
        welcome: None,
        group_info: bytes(info),
    };
    let tls_key = lawless.certificate.entry().unwrap().tls_key;
    let mut caller = Caller::new(tls_key, [0; 32], fixture::address(GROUP_MEMBERS_MAX));
    let _ = table.directory.connected(table.now, &mut caller);
    let handled = table.directory.handle(table.now, &mut caller, Request::SubmitCommit(Box::new(submission)));
    assert_eq!(handled.answer, Err(Refusal::Policy(PolicyRefusal::Full)));
    settle([listed, refused.complaint("JOIN team, late", failure.code.name(), &failure.message)]);
}
