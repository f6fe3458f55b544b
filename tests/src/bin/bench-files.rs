//! `scripts/bench files`: a large file and many small ones between two devices on loopback, against bare QUIC, and what the
//! cryptography under it can do alone, in one run on one machine. Build it in release.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};

use ::tests::fixture::Failed;
use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use node::{
    files::{
        place::Place,
        source::Source,
        survey::{CHUNK, Survey, survey},
    },
    net::{
        endpoint::{self, NodeEndpoint},
        file::{
            Served,
            receive::Receiving,
            serve::{Asked, Content, Serving},
        },
        tls::{AcceptedPeers, DeviceIdentity, Tls},
    },
};
use node_core::crypto::file::{ChunkSealer, StreamSecrets};
use protocol::{
    BoundedText, FileId, PublicKey, Timestamp,
    file::{Chunking, FileOffer, FileSecret, FileShape, stream::FilePart},
};
use quinn::Connection;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes of the large file.
const LARGE: usize = 1 << 30;
/// Small files, and bytes of each.
const SMALL: (usize, usize) = (2_000, 8 * 1024);
/// Runs of each kind, of which the median counts.
const RUNS: usize = 5;
/// A folder in memory, where the system has one: so the network is measured, and not the disk.
const IN_MEMORY: &str = "/dev/shm";
/// What is read from a stream at once where nothing is done with it.
const PIECE: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    cryptography()?;
    let memory = Path::new(IN_MEMORY);
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
    let (large, small) = (folder.path().join("large"), folder.path().join("small"));
    fs::write(&large, (0..LARGE).map(|at| (at / 4096 * 31 + at % 251) as u8).collect::<Vec<_>>())?;
    fs::create_dir(&small)?;
    for number in 0..SMALL.0 {
        fs::write(small.join(number.to_string()), vec![number as u8; SMALL.1])?;
    }
    let pair = Pair::connect().await?;
    let bytes = LARGE as f64;
    let bare = measure(async || pair.bare(LARGE).await).await?;
    report("bare QUIC, 1 GiB", bare, bytes)?;
    let hashing = measure(async || survey(&large).map(|_| ()).map_err(Failed::from)).await?;
    report("survey, 1 GiB", hashing, bytes)?;
    for (what, path, bytes) in [("file, 1 GiB", &large, bytes), ("2,000 files", &small, (SMALL.0 * SMALL.1) as f64)] {
        let offered = survey(path)?;
        report(what, measure(async || pair.carry(folder.path(), &offered).await).await?, bytes)?;
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

fn report(what: &str, (wall, cpu): (f64, f64), bytes: f64) -> std::io::Result<()> {
    say(&format!("{what:24} {wall:8.3} s wall {cpu:8.2} s CPU {:8.2} GB/s", bytes / wall / 1e9))
}

/// Seconds on the wall and of CPU, the median of both.
async fn measure(run: impl AsyncFn() -> Result<(), Failed>) -> Result<(f64, f64), Failed> {
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (begun, before) = (Instant::now(), cpu_seconds()?);
        run().await?;
        walls.push(begun.elapsed().as_secs_f64());
        cpus.push(cpu_seconds()? - before);
    }
    walls.sort_by(f64::total_cmp);
    cpus.sort_by(f64::total_cmp);
    Ok((walls[RUNS / 2], cpus[RUNS / 2]))
}

/// What this process has used of all processors, user and system.
fn cpu_seconds() -> Result<f64, Failed> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The fields after the name: user time is the twelfth, system time the thirteenth, in hundredths of a second.
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let ticks: f64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

/// Sealing as it is done, the same by the other library, and hashing, on one core.
fn cryptography() -> Result<(), Failed> {
    let chunking = Chunking::new(LARGE as u64, CHUNK).ok_or("no such chunks")?;
    let secret = FileSecret([1; 32]);
    let secrets = StreamSecrets { secret: &secret, file: FileId([2; 16]), part: FilePart::Chunks, salt: [3; 32] };
    let mut sealer = ChunkSealer::new(&secrets, chunking, 0)?;
    let mut chunk = Vec::with_capacity(CHUNK as usize + 16);
    let rate = |begun: Instant| LARGE as f64 / begun.elapsed().as_secs_f64() / 1e9;
    let begun = Instant::now();
    for _ in 0..chunking.count() {
        chunk.resize(CHUNK as usize, 7);
        sealer.seal(&mut chunk)?;
    }
    say(&format!("seal (aws-lc-rs)         {:8.2} GB/s a core", rate(begun)))?;
    let (cipher, begun) = (Aes256Gcm::new(&[1; 32].into()), Instant::now());
    for index in 0..chunking.count() {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&index.to_be_bytes());
        let sealed = cipher.encrypt_inout_detached(&nonce.into(), &[], chunk.as_mut_slice().into());
        sealed.map_err(|_| "aes-gcm refuses")?;
    }
    say(&format!("seal (aes-gcm)           {:8.2} GB/s a core", rate(begun)))?;
    let begun = Instant::now();
    for _ in 0..chunking.count() {
        std::hint::black_box(Sha256::digest(&chunk));
    }
    say(&format!("SHA-256                  {:8.2} GB/s a core", rate(begun)))?;
    Ok(())
}

/// Two devices that are connected.
struct Pair {
    sender: Connection,
    recipient: Connection,
    _endpoints: [NodeEndpoint; 2],
}

impl Pair {
    async fn connect() -> Result<Self, Failed> {
        let (one, two) = (device()?, device()?);
        let accepted = AcceptedPeers::default();
        accepted.replace([one.1]);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let dialler = NodeEndpoint::new(endpoint::bind(any)?, Tls::new(one.0), AcceptedPeers::default())?;
        let listener = NodeEndpoint::new(endpoint::bind(any)?, Tls::new(two.0), accepted)?;
        let taking_up = async {
            let incoming = listener.accept().await.ok_or("nobody came")?;
            Ok::<_, Failed>(NodeEndpoint::finish_handshake(incoming).await?.0)
        };
        let (dialled, taken_up) = tokio::join!(dialler.connect_peer(listener.local_address(), two.1), taking_up);
        Ok(Self { sender: taken_up?, recipient: dialled?, _endpoints: [dialler, listener] })
    }

    /// So many bytes on one stream, thrown away where they arrive.
    async fn bare(&self, bytes: usize) -> Result<(), Failed> {
        let sending = async {
            let mut stream = self.sender.open_uni().await?;
            for _ in 0..bytes / CHUNK as usize {
                stream.write_chunk(vec![7; CHUNK as usize].into()).await?;
            }
            stream.finish()?;
            Ok::<_, Failed>(())
        };
        let receiving = async {
            let mut stream = self.recipient.accept_uni().await?;
            while stream.read_chunk(PIECE, true).await?.is_some() {}
            Ok::<_, Failed>(())
        };
        let (sent, received) = tokio::join!(sending, receiving);
        sent.and(received)
    }

    /// A file or a folder, from one folder to its name in another, and away again.
    async fn carry(&self, folder: &Path, offered: &Survey) -> Result<(), Failed> {
        let inbox = folder.join("inbox");
        let offer = FileOffer {
            file: FileId([7; 16]),
            secret: FileSecret([9; 32]),
            name: BoundedText::new(offered.name.clone())?,
            shape: offered.shape,
            chunking: offered.chunking,
            sha256: offered.sha256,
            caption: BoundedText::default(),
            expires: Timestamp(u64::MAX),
        };
        let receiving = Receiving {
            offer,
            place: Arc::new(Place::open(&inbox)?),
            name: None,
            taken: watch::Sender::new(0),
            cancelled: CancellationToken::new(),
        };
        let serving = async {
            loop {
                self.serve(offered).await?;
            }
        };
        tokio::select! {
            received = receiving.run(&self.recipient) => received.map(|_| ())?,
            served = serving => return served,
        }
        fs::remove_dir_all(inbox)?;
        Ok(())
    }

    async fn serve(&self, offered: &Survey) -> Result<(), Failed> {
        let (send, recv) = self.sender.accept_bi().await?;
        let asked = Asked::take_up(send, recv, Served::default().shares()).await?;
        let (chunking, content) = match (asked.fetch.part, offered.shape) {
            (FilePart::Manifest, FileShape::Folder { manifest }) => {
                (offered.chunking.of_manifest(manifest), Content::Manifest(offered.manifest.clone()))
            }
            _ => {
                let source = Source::new(&offered.path, offered.chunking, &offered.manifest, &offered.stamps)?;
                (offered.chunking, Content::Chunks(Box::new(source)))
            }
        };
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        let serving = Serving { secret: FileSecret([9; 32]), salt, chunking, content };
        asked.serve(serving, CancellationToken::new(), |_| {}).await?;
        Ok(())
    }
}

fn device() -> Result<(DeviceIdentity, PublicKey), Failed> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let public = PublicKey::from_slice(key.der_bytes()).ok_or("a key of another kind")?;
    Ok((DeviceIdentity::new(&key.serialize_der())?, public))
}
