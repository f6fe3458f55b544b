//! Who hears of a new list of somebody's devices.

use node_core::{
    command::Command,
    event::{DeviceChange, EventKind},
};
use protocol::directory::{Refusal, Request};
use tests::table::{Table, named, password_of};

#[test]
fn a_revocation_whose_answer_is_lost_is_told_to_everybody_all_the_same() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    let phone = table.sit();
    table.command(phone, Command::SignIn { name: named("alice"), password: password_of("alice") }).unwrap();
    table.send(bob, "alice", "one").unwrap();
    table.pass(10_000);
    let devices = || {
        move |kind| match kind {
            EventKind::Device { device, change, .. } => Some((device, change)),
            _ => None,
        }
    };
    let (lost, added) = table.events(alice).into_iter().find_map(devices()).unwrap();
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
    let told = |seat| table.events(seat).into_iter().filter_map(devices()).collect::<Vec<_>>();
    assert_eq!(told(alice), [(lost.clone(), DeviceChange::Added), (lost.clone(), DeviceChange::Revoked)]);
    assert_eq!(told(bob), [(lost, DeviceChange::Revoked)]);
}
