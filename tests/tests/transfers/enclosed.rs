//! Small files, which come with their offers.

use node_core::{
    command::{Command, FileCommand, FileRef, Recipient, Surveyed},
    event::EventKind,
    output::FileEffect,
    transfer::TransferState,
};
use protocol::{
    FileId,
    file::{Chunking, EnclosedFile, FileShape},
    limits::{CAPTION_MAX, FILE_ENCLOSED_MAX, FILE_NAME_MAX, SEEN_MAX},
};
use tests::table::{Seat, Table, named};

/// Alice offers Bob so many bytes.
fn offer(table: &mut Table, alice: Seat, name: &str, caption: &str, bytes: usize) {
    let surveyed = Box::new(Surveyed {
        name: name.to_owned(),
        shape: FileShape::File,
        chunking: Chunking::new(bytes as u64, 65_536).unwrap(),
        sha256: [7; 32],
        source: Vec::new(),
        enclosed: Some(vec![5; bytes]),
    });
    let offer = FileCommand::Offer { to: Recipient::Person(named("bob")), surveyed, caption: caption.to_owned() };
    table.command(alice, Command::File(offer)).unwrap();
}

/// What somebody was offered, in that order.
fn offered(table: &Table, seat: Seat) -> Vec<FileId> {
    let of = |event: EventKind| match event {
        EventKind::File(event) if event.incoming && event.state == TransferState::Offered => Some(event.uid),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(of).collect()
}

/// What somebody's disk is given, without anybody else, when they accept everything.
fn unpacked(table: &mut Table, seat: Seat) -> Vec<EnclosedFile> {
    let mut unpacked = Vec::new();
    for file in offered(table, seat) {
        table.begin(seat, Command::File(FileCommand::Accept { id: FileRef::Full(file), target: None }));
        for (at, effect) in std::mem::take(&mut table.files) {
            let FileEffect::Unpack { enclosed, target: None } = effect else { continue };
            assert_eq!((at, enclosed.offer().file), (seat, file));
            let path = format!("/inbox/{}", unpacked.len());
            table.happen(seat, node_core::input::FileInput::Received { file, path });
            unpacked.push(*enclosed);
        }
    }
    unpacked
}

#[test]
fn the_longest_file_with_the_longest_name_and_caption_comes_though_its_sender_is_away() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    for number in 0..SEEN_MAX {
        table.send(bob, "alice", &format!("number {number}")).unwrap();
    }
    table.sleep(bob);
    let (name, caption) = ("n".repeat(FILE_NAME_MAX), "c".repeat(CAPTION_MAX));
    offer(&mut table, alice, &name, &caption, FILE_ENCLOSED_MAX);
    table.sleep(alice);
    table.wake(bob);
    let unpacked = unpacked(&mut table, bob);
    let lengths = |file: &EnclosedFile| (file.offer().name.len(), file.offer().caption.len(), file.bytes().len());
    let lengths: Vec<_> = unpacked.iter().map(lengths).collect();
    assert_eq!(lengths, [(FILE_NAME_MAX, CAPTION_MAX, FILE_ENCLOSED_MAX)]);
}

#[test]
fn of_many_small_files_the_first_come_with_their_offers_and_the_others_when_both_are_there() {
    const MANY: usize = 30;
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "hello").unwrap();
    table.sleep(bob);
    for number in 0..MANY {
        offer(&mut table, alice, &format!("{number}"), "", FILE_ENCLOSED_MAX);
    }
    table.send(alice, "bob", "that is all of it").unwrap();
    table.sleep(alice);
    table.wake(bob);
    assert_eq!(offered(&table, bob).len(), MANY, "all of them are offered");
    let texts = [("alice".to_owned(), "that is all of it".to_owned())];
    assert_eq!(table.texts(bob), texts, "and what was said behind them is there");
    // Half a mebibyte may wait in a conversation; an offer itself is some hundred bytes.
    let first = 512 * 1024 / FILE_ENCLOSED_MAX;
    assert_eq!(unpacked(&mut table, bob).len(), first);
    table.wake(alice);
    table.set_together(alice, bob);
    let asked = table.files.iter().filter(|(_, effect)| matches!(effect, FileEffect::Receive { .. })).count();
    assert!(asked > 0, "the rest is asked for");
    // What has arrived makes room for others.
    offer(&mut table, alice, "one more", "", 10);
    let last = *offered(&table, bob).last().unwrap();
    table.files.clear();
    table.begin(bob, Command::File(FileCommand::Accept { id: FileRef::Full(last), target: None }));
    let written = table.files.iter().any(
        |(at, effect)| matches!(effect, FileEffect::Unpack { enclosed, .. } if *at == bob && enclosed.offer().file == last),
    );
    assert!(written, "{:?}", table.files);
}
