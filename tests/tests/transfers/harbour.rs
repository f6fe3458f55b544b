//! Three people's cores, their disks and the streams between them, of which only the chunks are counted.

mod ending;

use std::collections::{BTreeMap, BTreeSet};

use node_core::{
    command::{Command, FileCommand, FileOutcome, FileRef, FileView, Outcome, Recipient, Surveyed},
    input::{FileInput, FileStream, PeerId},
    output::{FileEffect, ServeFile},
    transfer::{RECEIVING_MAX, Stopped, TransferState},
};
use protocol::{
    AccountId, FileId, Name,
    file::{
        Chunking, EnclosedFile, FileShape,
        stream::{FileFetch, FilePart, FileRefusal},
    },
    limits::{CHUNK_LENGTH_MIN, FILE_ENCLOSED_MAX, FILE_STREAMS_MAX},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use tests::table::{Seat, Table};

use crate::met::Met;

const STEPS: usize = 120;
const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const ALL: [Seat; 3] = [0, 1, 2];
/// Chunks of each file; some have none.
const CHUNKS: u64 = 12;

/// A file on its way, as far as the network knows.
struct Moving {
    sender: Seat,
    recipient: Seat,
    file: FileId,
    /// Who gets it, once the sender's core has said so.
    granted: Option<AccountId>,
    chunks: u64,
}

struct Harbour {
    table: Table,
    /// Whether everybody is in a group.
    grouped: bool,
    chance: ChaCha20Rng,
    moving: BTreeMap<FileStream, Moving>,
    streams: u64,
    /// What came with its offer and is being written, and who offered it.
    unpacking: BTreeMap<(Seat, FileId), Seat>,
    /// Chunks of what is not whole yet, on each disk.
    partial: BTreeMap<(Seat, FileId), u64>,
    whole: BTreeSet<(Seat, FileId)>,
    /// What a person here wanted, and did not cancel.
    wanted: BTreeSet<(Seat, FileId)>,
    /// Salts that keys were made of.
    salts: BTreeSet<[u8; 32]>,
    met: Met,
}

fn name(seat: Seat) -> Name {
    Name::parse(NAMES[seat]).unwrap()
}

impl Harbour {
    fn new(seed: u64) -> Self {
        let mut table = Table::new();
        for who in NAMES {
            table.sign_up(who);
        }
        let grouped = seed.is_multiple_of(3);
        let mut harbour = Self {
            table,
            grouped,
            chance: ChaCha20Rng::seed_from_u64(seed),
            moving: BTreeMap::new(),
            streams: 0,
            unpacking: BTreeMap::new(),
            partial: BTreeMap::new(),
            whole: BTreeSet::new(),
            wanted: BTreeSet::new(),
            salts: BTreeSet::new(),
            met: Met::default(),
        };
        if grouped {
            let group = Name::parse("team").unwrap();
            let access = protocol::policy::Access::Open;
            harbour.table.command(0, Command::CreateGroup { group: group.clone(), access }).unwrap();
            for seat in [1, 2] {
                harbour.table.command(seat, Command::Join { group: group.clone() }).unwrap();
            }
        }
        harbour
    }

    fn below(&mut self, limit: usize) -> usize {
        self.chance.next_u32() as usize % limit.max(1)
    }

    /// Happens once in so many times.
    fn once_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn awake(&mut self) -> Option<Seat> {
        let awake: Vec<Seat> = ALL.into_iter().filter(|seat| self.table.is_awake(*seat)).collect();
        let at = self.below(awake.len());
        awake.get(at).copied()
    }

    fn files(&mut self, seat: Seat) -> Vec<FileView> {
        match self.table.command(seat, Command::File(FileCommand::List)) {
            Ok(Outcome::File(FileOutcome::Files { files })) => files,
            other => panic!("{other:?}"),
        }
    }

    /// Does what the cores want, until they want nothing more.
    fn carry_out(&mut self) {
        while !self.table.files.is_empty() {
            for (seat, effect) in std::mem::take(&mut self.table.files) {
                self.effect(seat, effect);
            }
        }
        let from = |seat: Seat| self.moving.values().filter(move |moving| moving.recipient == seat);
        for seat in ALL {
            let unpacked = self.unpacking.keys().filter(|(here, _)| *here == seat).count();
            assert!(from(seat).count() <= RECEIVING_MAX && unpacked <= RECEIVING_MAX);
            for sender in ALL {
                assert!(from(seat).filter(|moving| moving.sender == sender).count() <= FILE_STREAMS_MAX);
            }
        }
    }

    fn effect(&mut self, seat: Seat, effect: FileEffect) {
        // Whoever is asleep wants nothing any more.
        if !self.table.is_awake(seat) {
            return;
        }
        match effect {
            FileEffect::Survey { .. } => panic!("offers are made of what was surveyed"),
            FileEffect::Receive { peer, offer, .. } => self.ask(seat, peer, offer.file, offer.chunking.count()),
            FileEffect::Unpack { enclosed, .. } => self.unpack(seat, &enclosed),
            FileEffect::Serve { stream, account, serving } => self.serve(seat, stream, account, &serving),
            FileEffect::Refuse { stream, refusal } => {
                self.met.refused += 1;
                self.stop(stream, Some(Stopped::Refused(refusal)));
            }
            FileEffect::StopReceiving { file } => {
                let of = |moving: &Moving| moving.recipient == seat && moving.file == file;
                self.stop_all(of, None);
                self.unpacking.remove(&(seat, file));
            }
            FileEffect::StopServing { file, account } => {
                let to = |moving: &Moving| account.is_none() || moving.granted == account;
                let of = |moving: &Moving| moving.sender == seat && moving.file == file && to(moving);
                self.stop_all(of, Some(Stopped::Refused(FileRefusal::Withdrawn)));
            }
            FileEffect::Discard { file, .. } => {
                self.partial.remove(&(seat, file));
            }
        }
    }

    fn unpack(&mut self, recipient: Seat, enclosed: &EnclosedFile) {
        let file = enclosed.offer().file;
        assert!(!self.whole.contains(&(recipient, file)), "nothing is written that is there");
        assert!(self.wanted.contains(&(recipient, file)), "nothing is written that nobody wants");
        let sender = usize::from(enclosed.bytes()[0]);
        assert!(enclosed.bytes().iter().all(|byte| usize::from(*byte) == sender));
        assert_eq!(self.unpacking.insert((recipient, file), sender), None, "it is written once at a time");
    }

    fn ask(&mut self, recipient: Seat, peer: PeerId, file: FileId, chunks: u64) {
        let Some((sender, there)) = self.table.across(recipient, peer) else {
            return self.table.happen(recipient, FileInput::Stopped { file, why: Stopped::Lost });
        };
        assert!(!self.whole.contains(&(recipient, file)), "nothing is fetched that is there");
        assert!(self.wanted.contains(&(recipient, file)), "nothing is fetched that nobody wants");
        self.streams += 1;
        let stream = FileStream(self.streams);
        let from = self.partial.get(&(recipient, file)).copied().unwrap_or_default();
        self.met.resumed += u64::from(from > 0);
        self.moving.insert(stream, Moving { sender, recipient, file, granted: None, chunks });
        let fetch = FileFetch { file, part: FilePart::Chunks, from };
        self.table.happen(sender, FileInput::Asked { stream, peer: there, fetch });
    }

    fn serve(&mut self, seat: Seat, stream: FileStream, account: AccountId, serving: &ServeFile) {
        assert!(self.salts.insert(serving.salt), "a salt is drawn for one stream");
        match self.moving.get_mut(&stream) {
            Some(moving) => {
                assert_eq!((moving.sender, serving.source.as_slice()), (seat, NAMES[seat].as_bytes()));
                moving.granted = Some(account);
            }
            None => self.table.happen(seat, FileInput::Served { stream }),
        }
    }

    /// A stream ends; the recipient hears why, unless it ended it itself.
    fn stop(&mut self, stream: FileStream, why: Option<Stopped>) {
        let Some(Moving { sender, recipient, file, .. }) = self.moving.remove(&stream) else { return };
        self.table.happen(sender, FileInput::Served { stream });
        if let Some(why) = why {
            self.table.happen(recipient, FileInput::Stopped { file, why });
        }
    }

    fn stop_all(&mut self, of: impl Fn(&Moving) -> bool, why: Option<Stopped>) {
        let streams: Vec<FileStream> = self.moving.iter().filter(|(_, m)| of(m)).map(|(stream, _)| *stream).collect();
        for stream in streams {
            self.stop(stream, why.clone());
        }
    }

    fn offer(&mut self, sender: Seat) {
        let chunks = if self.once_in(3) { 1 } else { self.below(CHUNKS as usize) as u64 };
        let recipient = (sender + 1 + self.below(2)) % NAMES.len();
        let to = match self.grouped && self.once_in(3) {
            true => Recipient::Group(Name::parse("team").unwrap()),
            false => Recipient::Person(name(recipient)),
        };
        let bytes = chunks * u64::from(CHUNK_LENGTH_MIN);
        let small = chunks > 0 && bytes <= FILE_ENCLOSED_MAX as u64;
        let surveyed = Box::new(Surveyed {
            name: "cat.png".to_owned(),
            shape: FileShape::File,
            chunking: Chunking::new(bytes, CHUNK_LENGTH_MIN).unwrap(),
            sha256: [7; 32],
            source: NAMES[sender].as_bytes().to_vec(),
            enclosed: small.then(|| vec![u8::try_from(sender).unwrap(); usize::try_from(bytes).unwrap()]),
        });
        let offer = FileCommand::Offer { to, surveyed, caption: String::new() };
        self.table.command(sender, Command::File(offer)).unwrap();
    }

    /// Somebody answers something, or changes their mind.
    fn answer(&mut self, seat: Seat) {
        let files = self.files(seat);
        let at = self.below(files.len());
        let Some(view) = files.get(at) else { return };
        let (id, key) = (FileRef::Full(view.uid), (seat, view.uid));
        let state = view.to.first().map(|(_, state)| *state);
        let command = match (view.incoming, state) {
            (true, Some(TransferState::Offered | TransferState::Failed)) if !self.once_in(6) => {
                self.wanted.insert(key);
                FileCommand::Accept { id, target: None }
            }
            (true, Some(TransferState::Offered)) => FileCommand::Decline { id, reason: String::new() },
            _ if self.once_in(8) => {
                self.met.withdrawn += 1;
                self.wanted.remove(&key);
                FileCommand::Cancel { id }
            }
            _ => return,
        };
        // What is over meanwhile refuses; ACCEPT need not wait for its first bytes.
        self.table.begin(seat, Command::File(command));
    }

    /// What came with its offer is written.
    fn write(&mut self) {
        let at = self.below(self.unpacking.len());
        let Some(((recipient, file), sender)) = self.unpacking.iter().nth(at).map(|(key, sender)| (*key, *sender))
        else {
            return;
        };
        self.unpacking.remove(&(recipient, file));
        if self.once_in(6) {
            self.met.full += 1;
            let why = Stopped::Disk("the disk is full".to_owned());
            return self.table.happen(recipient, FileInput::Stopped { file, why });
        }
        assert!(self.whole.insert((recipient, file)), "it came twice");
        self.met.received += 1;
        self.met.away += u64::from(!self.table.is_awake(sender));
        self.table.happen(recipient, FileInput::Received { file, path: "/inbox/cat.png".to_owned() });
    }

    /// Some chunks of a file arrive.
    fn arrive(&mut self) {
        self.write();
        let granted: Vec<FileStream> =
            self.moving.iter().filter(|(_, m)| m.granted.is_some()).map(|(stream, _)| *stream).collect();
        let at = self.below(granted.len());
        let Some(stream) = granted.get(at).copied() else { return };
        let more = self.below(4) as u64;
        let moving = &self.moving[&stream];
        let (file, recipient, chunks) = (moving.file, moving.recipient, moving.chunks);
        let there = self.partial.entry((recipient, file)).or_default();
        *there = (*there + more).min(chunks);
        let bytes = *there * u64::from(CHUNK_LENGTH_MIN);
        if *there < chunks {
            return self.table.happen(recipient, FileInput::Progress { file, account: None, bytes });
        }
        self.partial.remove(&(recipient, file));
        assert!(self.whole.insert((recipient, file)), "it came twice");
        self.met.received += 1;
        self.stop(stream, None);
        self.table.happen(recipient, FileInput::Received { file, path: "/inbox/cat.png".to_owned() });
    }

    fn disturb(&mut self) {
        let Some(seat) = self.awake() else { return };
        match self.below(6) {
            0 => {
                self.met.kills += 1;
                self.stop_all(|moving| [moving.sender, moving.recipient].contains(&seat), Some(Stopped::Lost));
                self.unpacking.retain(|(here, _), _| *here != seat);
                self.table.sleep(seat);
            }
            1 | 2 => {
                self.met.partings += 1;
                self.table.part_all(seat);
                self.stop_all(|moving| [moving.sender, moving.recipient].contains(&seat), Some(Stopped::Lost));
            }
            3 => {
                let streams: Vec<FileStream> = self.moving.keys().copied().collect();
                let at = self.below(streams.len());
                if let Some(stream) = streams.get(at) {
                    self.met.full += 1;
                    self.stop(*stream, Some(Stopped::Disk("the disk is full".to_owned())));
                }
            }
            4 if self.once_in(2) => {
                let files: Vec<FileId> = self.moving.values().map(|moving| moving.file).collect();
                let at = self.below(files.len());
                if let Some(file) = files.get(at).copied() {
                    self.met.lost += 1;
                    let sender = self.moving.values().find(|moving| moving.file == file).map(|moving| moving.sender);
                    self.table.happen(sender.unwrap(), FileInput::SourceLost { file, why: "gone".to_owned() });
                }
            }
            _ => {}
        }
    }

    /// Whoever sleeps may wake, and whoever is apart may meet.
    fn mend(&mut self, all: bool) {
        for seat in ALL {
            if !self.table.is_awake(seat) && (all || self.once_in(3)) {
                self.table.wake(seat);
            }
        }
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let both = self.table.is_awake(one) && self.table.is_awake(other);
            if both && !self.table.are_together(one, other) && (all || self.once_in(2)) {
                self.table.set_together(one, other);
            }
        }
    }

    fn step(&mut self) {
        if let Some(seat) = self.awake() {
            if self.once_in(4) {
                self.offer(seat);
            }
            self.carry_out();
            self.answer(seat);
        }
        self.carry_out();
        self.mend(false);
        for _ in 0..3 {
            self.carry_out();
            self.arrive();
        }
        if self.once_in(3) {
            self.disturb();
        }
        let ms = self.below(2_000) as u64;
        self.table.pass(ms);
        self.carry_out();
    }
}

/// Plays one seed: some time of trouble, and then none.
pub(crate) fn play(seed: u64) -> Met {
    let mut harbour = Harbour::new(seed);
    for _ in 0..STEPS {
        harbour.step();
    }
    harbour.end();
    harbour.met
}
