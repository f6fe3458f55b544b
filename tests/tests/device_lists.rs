//! Who hears of a new list of somebody's devices.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use node_core::{
    command::Command,
    event::{DeviceChange, EventKind},
};
use protocol::{
    Bounded,
    directory::{Refusal, Reply, Request},
    policy::Access,
};
use tests::table::{Seat, Table, named, password_of};

/// What a node was told of somebody's devices.
fn told(table: &Table, seat: Seat) -> Vec<(String, DeviceChange)> {
    let device = |kind| match kind {
        EventKind::Device { device, change, .. } => Some((device, change)),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(device).collect()
}

/// Another machine of somebody's.
fn second(table: &mut Table, name: &str) -> Seat {
    let seat = table.sit();
    table.command(seat, Command::SignIn { name: named(name), password: password_of(name) }).unwrap();
    seat
}

#[test]
fn a_revocation_whose_answer_is_lost_is_told_to_everybody_all_the_same() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    second(&mut table, "alice");
    table.send(bob, "alice", "one").unwrap();
    table.pass(10_000);
    let (lost, added) = told(&table, alice).remove(0);
    assert_eq!(added, DeviceChange::Added);

    // The directory takes the list, and its answer does not come.
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::UpdateDevices { .. } if seat == alice => Err(Refusal::NotMember),
        _ => answer,
    }));
    let revoke = Command::Revoke { device: lost.clone(), password: password_of("alice") };
    assert!(table.command(alice, revoke).is_err());
    table.be_honest();
    table.hang_up(alice);
    table.connect(alice);
    table.pass(10_000);
    assert_eq!(told(&table, alice), [(lost.clone(), DeviceChange::Added), (lost.clone(), DeviceChange::Revoked)]);
    assert_eq!(told(&table, bob), [(lost, DeviceChange::Revoked)]);
}

/// Bob is away while Alice revokes her phone; everything that tells him is kept back, but for a message that leads him in anew.
fn revoked_unseen(table: &mut Table) -> (Seat, String, Rc<Cell<bool>>) {
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    second(table, "alice");
    table.send(bob, "alice", "one").unwrap();
    table.pass(10_000);
    let (lost, _) = told(table, alice).remove(0);
    table.sleep(bob);
    table.command(alice, Command::Revoke { device: lost.clone(), password: password_of("alice") }).unwrap();
    table.pass(10_000);
    let (withholding, refusing) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(true)));
    let (withheld, withholds, refuses) = (RefCell::new(BTreeSet::new()), Rc::clone(&withholding), Rc::clone(&refusing));
    table.serve(Box::new(move |seat, request, answer| match (request, answer) {
        (_, Ok(Reply::Mail { items, more })) if seat == bob => {
            if withholds.get() {
                withheld.borrow_mut().extend(items.iter().map(|(cursor, _)| *cursor));
            }
            let given = items.into_iter().filter(|(cursor, _)| !withheld.borrow().contains(cursor)).collect();
            Ok(Reply::Mail { items: Bounded::new(given).unwrap(), more })
        }
        (Request::LookUp { .. }, _) if seat == bob && refuses.get() => Err(Refusal::Unavailable),
        (_, answer) => answer,
    }));
    table.wake(bob);
    table.pass(10_000);
    withholding.set(false);
    table.sleep(bob);
    table.send(alice, "bob", "two").unwrap();
    // Nor does she tell him again.
    table.sleep(alice);
    table.wake(bob);
    table.pass(10_000);
    (bob, lost, refusing)
}

#[test]
fn whoever_came_back_and_died_before_a_list_was_shown_looks_for_it_after_the_restart() {
    let mut table = Table::new();
    let (bob, lost, refusing) = revoked_unseen(&mut table);
    assert_eq!(told(&table, bob), []);
    table.sleep(bob);
    refusing.set(false);
    table.wake(bob);
    table.pass(10_000);
    assert_eq!(told(&table, bob), [(lost, DeviceChange::Revoked)]);
}

#[test]
fn an_answer_that_another_one_overtook_is_no_lie_and_the_same_later_is_one() {
    const LIE: &str = "an older list of somebody's devices was shown than before";
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.command(alice, Command::CreateGroup { group: named("team"), access: Access::Open }).unwrap();
    table.command(bob, Command::Join { group: named("team") }).unwrap();
    table.pass(10_000);
    // The first answer, and from the third on the first one again. What members say of their devices is kept back.
    let shown = RefCell::new(Vec::new());
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { .. }) if seat == bob => Ok(Reply::Mail { items: Bounded::default(), more: false }),
        Ok(Reply::People(people)) if seat == bob => {
            shown.borrow_mut().push(people);
            let nth = [0, 1].get(shown.borrow().len() - 1).copied().unwrap_or(0);
            Ok(Reply::People(shown.borrow()[nth].clone()))
        }
        answer => answer,
    }));
    let members = || Command::Members { group: named("team") };
    table.command(bob, members()).unwrap();
    second(&mut table, "alice");
    for result in table.commands(vec![(bob, members()), (bob, members())]) {
        assert!(result.is_ok(), "{result:?}");
    }
    assert!(!table.misbehaviour(bob).contains(&LIE), "{:?}", table.misbehaviour(bob));
    assert_eq!(told(&table, bob).len(), 1, "the newer one was told");
    table.command(bob, members()).unwrap();
    assert!(table.misbehaviour(bob).contains(&LIE), "{:?}", table.misbehaviour(bob));
}
