//! Two devices on loopback, and files between them.

mod carrying;
mod cut;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::file::{FileOffer, FileSecret, stream::FilePart, stream::FileRefusal};
use quinn::Connection;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Served, Shares,
    fetch::FetchError,
    receive::{PATIENCE, Receiving},
    serve::{Asked, Content, ServeError, Serving},
};
use crate::{
    files::{
        ReceiveError,
        place::Place,
        source::Source,
        survey::{CHUNK, Survey, survey},
        tests::{ID, offer},
    },
    net::{
        endpoint::{self, NodeEndpoint},
        tls::{AcceptedPeers, Tls, material::Key},
    },
};

const LENGTH: usize = CHUNK as usize;

fn endpoint(key: &Key, accepted: AcceptedPeers) -> NodeEndpoint {
    let socket = endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    NodeEndpoint::new(socket, Tls::new(key.identity()), accepted).unwrap()
}

/// A device with something to offer, and one that wants it.
struct World {
    folder: TempDir,
    place: Arc<Place>,
    sender: Connection,
    recipient: Connection,
    salts: AtomicU64,
    shares: Shares,
    _endpoints: (NodeEndpoint, NodeEndpoint),
}

impl World {
    async fn new() -> Self {
        let (one, two, accepted) = (Key::new(), Key::new(), AcceptedPeers::default());
        accepted.replace([one.public()]);
        let (dialler, listener) = (endpoint(&one, AcceptedPeers::default()), endpoint(&two, accepted));
        let taking_up = async { NodeEndpoint::finish_handshake(listener.accept().await.unwrap()).await.unwrap() };
        let (dialled, (sender, _)) =
            tokio::join!(dialler.connect_peer(listener.local_address(), two.public()), taking_up);
        let folder = TempDir::new().unwrap();
        let place = Arc::new(Place::open(&folder.path().join("inbox")).unwrap());
        let (recipient, salts) = (dialled.unwrap(), AtomicU64::new(0));
        Self {
            folder,
            place,
            sender,
            recipient,
            salts,
            shares: Served::default().shares(),
            _endpoints: (dialler, listener),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn receiving(&self, offer: &FileOffer) -> Receiving {
        let (taken, cancelled) = (watch::Sender::new(0), CancellationToken::new());
        let (offer, place) = (offer.clone(), self.place.clone());
        Receiving { offer, place, name: None, taken, cancelled, patience: PATIENCE }
    }

    /// Answers the next question with what was surveyed, until it is taken or not.
    async fn serve_once(&self, offered: &Survey, withdrawn: CancellationToken) -> (u64, Result<(), ServeError>) {
        let (send, recv) = self.sender.accept_bi().await.unwrap();
        let asked = Asked::take_up(send, recv, self.shares.clone()).await.unwrap();
        let mut salt = [0; 32];
        salt[..8].copy_from_slice(&self.salts.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let (chunking, content) = match (asked.fetch.part, offer(offered).shape) {
            (FilePart::Manifest, protocol::file::FileShape::Folder { manifest }) => {
                (offered.chunking.of_manifest(manifest), Content::Manifest(offered.manifest.clone()))
            }
            _ => {
                let source = Source::new(&offered.path, offered.chunking, &offered.manifest, &offered.stamps);
                (offered.chunking, Content::Chunks(Box::new(source.unwrap())))
            }
        };
        let serving = Serving { secret: offer(offered).secret, salt, chunking, content };
        let from = asked.fetch.from;
        (from, asked.serve(serving, withdrawn, |_| {}).await)
    }

    async fn serve(&self, offered: &Survey) {
        loop {
            self.serve_once(offered, CancellationToken::new()).await.1.unwrap();
        }
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / LENGTH * 31 + at % 251) as u8).collect()
}

/// Receives while the sender serves.
async fn receive(world: &World, offered: &Survey) -> Result<PathBuf, FetchError> {
    let receiving = world.receiving(&offer(offered));
    tokio::select! {
        received = receiving.run(&world.recipient) => received,
        () = world.serve(offered) => unreachable!("it serves for as long as somebody asks"),
    }
}

fn inbox(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.place.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).unwrap() == fs::read(other).unwrap()
}

#[tokio::test]
async fn a_file_arrives_whatever_its_size() {
    for length in [0, 1, LENGTH, 40 * LENGTH + 3] {
        let world = World::new().await;
        let path = world.write("a.bin", &bytes(length));
        let received = receive(&world, &survey(&path).unwrap()).await.unwrap();
        assert_eq!(received, world.place.path().join("a.bin"));
        assert!(same(&received, &path), "{length}");
    }
}

#[tokio::test]
async fn a_folder_arrives_by_its_list() {
    let world = World::new().await;
    world.write("src/a", &bytes(LENGTH / 3));
    world.write("src/deep/b", &bytes(3 * LENGTH));
    world.write("src/empty", b"");
    let offered = survey(&world.folder.path().join("src")).unwrap();
    let received = receive(&world, &offered).await.unwrap();
    for name in ["a", "deep/b", "empty"] {
        assert!(same(&received.join(name), &offered.path.join(name)), "{name}");
    }
    let offer = offer(&offered);
    world.receiving(&offer).place.discard(offer.file).unwrap();
    assert_eq!(inbox(&world), ["src"], "the list and the place for what is not whole are gone");
}

#[tokio::test]
async fn after_an_interruption_no_chunk_that_was_written_is_asked_for_again() {
    let world = World::new().await;
    let path = world.write("a.bin", &bytes(300 * LENGTH));
    let offered = survey(&path).unwrap();
    let mut last = 0;
    for stop in [3, 9, 20] {
        let receiving = world.receiving(&offer(&offered));
        let (cancelled, mut taken) = (receiving.cancelled.clone(), receiving.taken.subscribe());
        let stopping = async {
            taken.wait_for(|taken| *taken >= stop).await.unwrap();
            cancelled.cancel();
        };
        let serving = world.serve_once(&offered, CancellationToken::new());
        let (received, (from, served), ()) = tokio::join!(receiving.run(&world.recipient), serving, stopping);
        assert!(matches!(received, Err(FetchError::Cancelled)), "{received:?}");
        // It was let go of without a word if it was cancelled before the first chunk.
        assert!(matches!(served, Err(ServeError::Stopped(None | Some(FileRefusal::Unwanted)))), "{served:?}");
        assert!(from >= last && from < 300);
        last = stop;
    }
    let receiving = world.receiving(&offer(&offered));
    let serving = world.serve_once(&offered, CancellationToken::new());
    let (received, (from, served)) = tokio::join!(receiving.run(&world.recipient), serving);
    assert!(from >= last && served.is_ok());
    assert!(same(&received.unwrap(), &path));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_fails_on_both_sides_and_leaves_no_name() {
    let world = World::new().await;
    let path = world.write("a.bin", &bytes(200 * LENGTH));
    let offered = survey(&path).unwrap();
    let receiving = world.receiving(&offer(&offered));
    let mut taken = receiving.taken.subscribe();
    let changing = async {
        taken.wait_for(|taken| *taken >= 3).await.unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5).unwrap();
    };
    let serving = world.serve_once(&offered, CancellationToken::new());
    let (received, (_, served), ()) = tokio::join!(receiving.run(&world.recipient), serving, changing);
    assert!(matches!(received, Err(FetchError::Refused(FileRefusal::Changed))), "{received:?}");
    assert!(matches!(served, Err(ServeError::Disk(_))), "{served:?}");
    assert_eq!(inbox(&world), [".tuppence-partial"]);
}

#[tokio::test]
async fn a_withdrawn_file_stops_and_both_sides_know_why() {
    let world = World::new().await;
    let offered = survey(&world.write("a.bin", &bytes(200 * LENGTH))).unwrap();
    let (receiving, withdrawn) = (world.receiving(&offer(&offered)), CancellationToken::new());
    let mut taken = receiving.taken.subscribe();
    let withdrawing = async {
        taken.wait_for(|taken| *taken >= 2).await.unwrap();
        withdrawn.cancel();
    };
    let serving = world.serve_once(&offered, withdrawn.clone());
    let (received, (_, served), ()) = tokio::join!(receiving.run(&world.recipient), serving, withdrawing);
    assert!(matches!(received, Err(FetchError::Refused(FileRefusal::Withdrawn))), "{received:?}");
    assert!(matches!(served, Err(ServeError::Withdrawn)), "{served:?}");
}

#[tokio::test]
async fn a_refused_question_and_a_wrong_secret_are_told_apart() {
    let world = World::new().await;
    let offered = survey(&world.write("a.bin", b"abc")).unwrap();
    let refusing = async {
        let (send, recv) = world.sender.accept_bi().await.unwrap();
        Asked::take_up(send, recv, world.shares.clone()).await.unwrap().refuse(FileRefusal::Unknown).await;
    };
    let (received, ()) = tokio::join!(world.receiving(&offer(&offered)).run(&world.recipient), refusing);
    assert!(matches!(received, Err(FetchError::Refused(FileRefusal::Unknown))), "{received:?}");
    let wrong = FileOffer { secret: FileSecret([8; 32]), ..offer(&offered) };
    let serving = world.serve_once(&offered, CancellationToken::new());
    let (received, (_, served)) = tokio::join!(world.receiving(&wrong).run(&world.recipient), serving);
    assert!(matches!(received, Err(FetchError::Misbehaved(_))), "{received:?}");
    assert!(matches!(served, Err(ServeError::Stopped(Some(FileRefusal::Malformed)))), "{served:?}");
}

#[tokio::test]
async fn what_is_offered_under_another_hash_never_takes_its_name() {
    let world = World::new().await;
    let offered = survey(&world.write("a.bin", &bytes(2 * LENGTH))).unwrap();
    let lying = FileOffer { sha256: [1; 32], ..offer(&offered) };
    let serving = world.serve_once(&offered, CancellationToken::new());
    let (received, _) = tokio::join!(world.receiving(&lying).run(&world.recipient), serving);
    assert!(matches!(received, Err(FetchError::Disk(ReceiveError::Mismatch))), "{received:?}");
    assert_eq!(inbox(&world), [".tuppence-partial"]);
}

#[tokio::test]
async fn a_message_does_not_wait_for_a_file_that_nobody_takes() {
    let world = World::new().await;
    let offered = survey(&world.write("a.bin", &bytes(100 * LENGTH))).unwrap();
    // A recipient that asks, and then reads nothing of what comes.
    let (mut asking, _unread) = world.recipient.open_bi().await.unwrap();
    let fetch = protocol::file::stream::FileFetch { file: ID, part: FilePart::Chunks, from: 0 };
    let limit = protocol::limits::FILE_FRAME_MAX;
    crate::net::frames::write_frames(&mut asking, &[fetch], limit).await.unwrap();
    let message = async {
        // As much as waits at most on one connection.
        let mut stream = world.sender.open_uni().await.unwrap();
        stream.write_all(&vec![5; 1024 * 1024]).await.unwrap();
        stream.finish().unwrap();
    };
    let heard = async {
        let mut stream = world.recipient.accept_uni().await.unwrap();
        stream.read_to_end(2 * 1024 * 1024).await.unwrap().len()
    };
    tokio::select! {
        _ = world.serve_once(&offered, CancellationToken::new()) => panic!("nobody has taken it"),
        ((), heard) = async { tokio::join!(message, heard) } => assert_eq!(heard, 1024 * 1024),
    }
}

#[tokio::test]
async fn whoever_asks_for_too_many_files_at_once_is_told_to_come_again() {
    let world = World::new().await;
    let offered = survey(&world.write("a.bin", b"abc")).unwrap();
    let mut places = Vec::new();
    for _ in 0..protocol::limits::FILE_STREAMS_MAX {
        let (mut asking, unread) = world.recipient.open_bi().await.unwrap();
        let fetch = protocol::file::stream::FileFetch { file: ID, part: FilePart::Chunks, from: 0 };
        crate::net::frames::write_frames(&mut asking, &[fetch], protocol::limits::FILE_FRAME_MAX).await.unwrap();
        let (send, recv) = world.sender.accept_bi().await.unwrap();
        places.push((Asked::take_up(send, recv, world.shares.clone()).await.unwrap(), asking, unread));
    }
    let refusing = async {
        let (send, recv) = world.sender.accept_bi().await.unwrap();
        Asked::take_up(send, recv, world.shares.clone()).await.map(|_| ())
    };
    let (received, refused) = tokio::join!(world.receiving(&offer(&offered)).run(&world.recipient), refusing);
    assert!(matches!(received, Err(FetchError::Refused(FileRefusal::Busy))), "{received:?}");
    assert!(matches!(refused, Err(ServeError::Busy)), "{refused:?}");
    places.clear();
    assert!(receive(&world, &offered).await.is_ok(), "a place is free again");
}
