//! Several files at a time, begun, stopped and cleaned up.

use std::{fs, path::PathBuf};

use node_core::{command::CommandToken, input::FileStream, transfer::Stopped};
use protocol::{
    AccountId,
    file::{FileOffer, FileSecret, stream::FileRefusal},
};
use tokio::sync::mpsc;

use super::{ID, LENGTH, World, bytes, inbox, offer, same};
use crate::{
    files::{
        SendError,
        source::Source,
        survey::{Survey, survey},
    },
    net::file::{
        carrier::{Carrier, Happened},
        serve::{Asked, Content, Serving},
    },
};

const BOB: AccountId = AccountId([0xb; 32]);

struct Side {
    carrier: Carrier,
    events: mpsc::Receiver<Happened>,
}

impl Side {
    fn new(inbox: PathBuf) -> Self {
        let (sender, events) = mpsc::channel(16);
        Self { carrier: Carrier::new(inbox, sender), events }
    }

    /// The next event but progress.
    async fn next(&mut self) -> Happened {
        loop {
            match self.events.recv().await.unwrap() {
                Happened::Progress { .. } | Happened::Served { .. } => {}
                happened => return happened,
            }
        }
    }
}

fn sides(world: &World) -> (Side, Side) {
    (Side::new(world.folder.path().join("unused")), Side::new(world.place.path().to_owned()))
}

/// Hands the next question to the sender's side.
async fn serve(world: &World, alice: &mut Side, offered: &Survey) {
    let (send, recv) = world.sender.accept_bi().await.unwrap();
    let asked = Asked::take_up(send, recv, world.shares.clone()).await.unwrap();
    let source = Source::new(&offered.path, offered.chunking, &offered.manifest, &offered.stamps).unwrap();
    let (chunking, content) = (offered.chunking, Content::Chunks(Box::new(source)));
    let serving = Serving { secret: FileSecret([9; 32]), salt: [1; 32], chunking, content };
    alice.carrier.serve((FileStream(1), asked), BOB, chunking, move || Ok(serving));
}

fn large(world: &World) -> (Survey, FileOffer) {
    let offered = survey(&world.write("a.bin", &bytes(300 * LENGTH))).unwrap();
    let offer = offer(&offered);
    (offered, offer)
}

#[tokio::test]
async fn what_is_surveyed_and_received_is_told_with_its_progress() {
    let world = World::new().await;
    let (mut alice, mut bob) = sides(&world);
    let path = world.write("a.bin", &bytes(20 * LENGTH));
    alice.carrier.survey(CommandToken(5), path.clone());
    let Happened::Surveyed { token: CommandToken(5), result: Ok(offered) } = alice.next().await else {
        panic!("not surveyed")
    };
    alice.carrier.survey(CommandToken(6), world.folder.path().join("nothing"));
    let missing = alice.next().await;
    assert!(
        matches!(missing, Happened::Surveyed { token: CommandToken(6), result: Err(SendError::Missing(_)) }),
        "{missing:?}"
    );
    let target = world.folder.path().join("elsewhere/b.bin");
    bob.carrier.receive(world.recipient.clone(), offer(&offered), Some(target.clone()));
    serve(&world, &mut alice, &offered).await;
    let mut words = 0;
    loop {
        match bob.events.recv().await.unwrap() {
            Happened::Progress { file: ID, account: None, .. } => words += 1,
            Happened::Received { file: ID, path: kept } => break assert!(kept == target && same(&kept, &path)),
            other => panic!("{other:?}"),
        }
    }
    assert!(words >= 1, "how far it was with its first bytes, at the least");
}

#[tokio::test]
async fn what_is_stopped_and_discarded_leaves_nothing_on_the_disk_and_says_nothing() {
    let world = World::new().await;
    let (mut alice, mut bob) = sides(&world);
    let (offered, offer) = large(&world);
    bob.carrier.receive(world.recipient.clone(), offer.clone(), None);
    serve(&world, &mut alice, &offered).await;
    assert!(matches!(bob.events.recv().await, Some(Happened::Progress { .. })));
    bob.carrier.discard(ID, None);
    // The next one begins when the disk is free again, and what it finds is nothing.
    bob.carrier.receive(world.recipient.clone(), offer, None);
    let (send, recv) = world.sender.accept_bi().await.unwrap();
    let asked = Asked::take_up(send, recv, world.shares.clone()).await.unwrap();
    assert_eq!(asked.fetch.from, 0);
    asked.refuse(FileRefusal::Withdrawn).await;
    let stopped = bob.next().await;
    assert!(matches!(stopped, Happened::Stopped { why: Stopped::Refused(FileRefusal::Withdrawn), .. }), "{stopped:?}");
    bob.carrier.discard(ID, None);
    bob.carrier.survey(CommandToken(1), world.folder.path().join("nothing"));
    assert!(matches!(bob.next().await, Happened::Surveyed { .. }));
    while inbox(&world) != Vec::<String>::new() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn sending_stops_for_whom_it_is_stopped_and_a_changed_source_is_told() {
    let world = World::new().await;
    let (mut alice, mut bob) = sides(&world);
    let (offered, offer) = large(&world);
    bob.carrier.receive(world.recipient.clone(), offer.clone(), None);
    serve(&world, &mut alice, &offered).await;
    assert!(matches!(bob.events.recv().await, Some(Happened::Progress { .. })));
    alice.carrier.stop_serving(ID, Some(AccountId([0xc; 32])));
    alice.carrier.stop_serving(ID, Some(BOB));
    let stopped = bob.next().await;
    assert!(matches!(stopped, Happened::Stopped { why: Stopped::Refused(FileRefusal::Withdrawn), .. }), "{stopped:?}");
    fs::write(&offered.path, b"something else").unwrap();
    bob.carrier.receive(world.recipient.clone(), offer, None);
    serve(&world, &mut alice, &offered).await;
    let stopped = bob.next().await;
    assert!(matches!(stopped, Happened::Stopped { why: Stopped::Refused(FileRefusal::Changed), .. }), "{stopped:?}");
    let lost = alice.next().await;
    assert!(matches!(lost, Happened::SourceLost { file: ID, .. }), "{lost:?}");
}

/// Whoever accepts waits for that.
#[tokio::test]
async fn a_file_is_not_on_its_way_before_its_first_bytes_are_there() {
    let world = World::new().await;
    let (mut alice, mut bob) = sides(&world);
    let (offered, offer) = large(&world);
    fs::write(&offered.path, b"something else").unwrap();
    bob.carrier.receive(world.recipient.clone(), offer, None);
    serve(&world, &mut alice, &offered).await;
    let first = bob.events.recv().await.unwrap();
    assert!(matches!(first, Happened::Stopped { why: Stopped::Refused(FileRefusal::Changed), .. }), "{first:?}");
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_in_words_for_the_person() {
    let world = World::new().await;
    let (offered, offer) = large(&world);
    let file = world.write("not-a-folder", b"");
    let mut bob = Side::new(file);
    bob.carrier.receive(world.recipient.clone(), offer, None);
    let Happened::Stopped { why: Stopped::Disk(words), .. } = bob.next().await else { panic!("it did not stop") };
    assert!(words.contains("not-a-folder") && words.contains("--inbox DIR"), "{words}");
    assert_eq!(offered.name, "a.bin");
}
