//! `scripts/bench messages`: messages between two real nodes, against the MLS library's own rates and bare QUIC frames, in
//! one run on one machine, as ratios; and sign-ins at a directory that holds thousands of accounts. Build it in release.

mod sign_ins;

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use directory::{
    server::{Server, Settings},
    store::sqlite::SqliteStore,
};
use membership::{direct_policy, identity::signing_identity};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node::{
    config::DirectoryAddress,
    driver::{Node, NodeCommand, NodeConfig, ProfileLocation},
};
use node_core::{
    command::{Command, Password},
    crypto::{
        keys::{DeviceKeys, RootKey},
        mls::{Conversation, Mls, Staging},
    },
    event::EventKind,
    stretch::StretchParameters,
};
use protocol::{DeviceId, MessageId, Name, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tests::fixture::{self, Failed, now};
use tokio::runtime::Handle;

/// A text of a usual length.
const TEXT: usize = 200;
/// Messages of the throughput runs: below the count at which keys are refreshed.
const MESSAGES: usize = 450;
/// Commands under way at a time, as a busy bot would have.
const UNDER_WAY: usize = 64;
/// Messages of the latency run, one after the other.
const SINGLE: usize = 200;
/// Frames of the bare QUIC run.
const FRAMES: usize = 100_000;
/// Accounts that the directory holds before anything is measured.
const ACCOUNTS: usize = 5_000;
/// Accounts whose passwords are stretched as the programs do it.
const STRETCHED: usize = 60;
/// Sign-ins under way at a time.
const SIGNING_IN: usize = 64;
/// Stretching as little as the function allows: what is left is what the directory and the network do.
const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
/// A folder in memory, where the system has one: what is written there is not durable and waits for no disk.
const IN_MEMORY: &str = "/dev/shm";

fn mls(seed: u64) -> Result<(Mls<AwsLcCryptoProvider>, protocol::PublicKey), Failed> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (root, keys) = (RootKey::generate(&mut rng), DeviceKeys::generate(&mut rng));
    let certificate = root.certify(&keys, DeviceId([seed.to_le_bytes()[0]; 16]), Timestamp(u64::MAX))?;
    let identity = signing_identity(&certificate)?;
    Ok((Mls::new(AwsLcCryptoProvider::default(), identity, keys.mls_key(), Staging::default())?, root.public()))
}

/// Seals and opens a second on one core, through the product's wrapper, nothing stored.
fn library() -> Result<(f64, f64), Failed> {
    let ((alice, a), (bob, b)) = (mls(1)?, mls(2)?);
    let package = bob.key_package(now(), false)?;
    let (mut ours, creation) = alice.create(now(), &direct_policy(a, b, 0), 1, &[package])?;
    let mut theirs: Conversation<_> = bob.join(now(), 1, &creation.welcome, &creation.tree)?.conversation;
    let text = vec![b'x'; TEXT];
    let begun = Instant::now();
    let count = u8::MAX;
    let mut sealed = Vec::new();
    for round in 0..4 {
        for n in 0..count {
            sealed.push(ours.seal(now(), MessageId([n.wrapping_mul(round); 16]), &text)?);
        }
    }
    let seals = sealed.len() as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for message in &sealed {
        theirs.open(now(), message)?;
    }
    Ok((seals, sealed.len() as f64 / begun.elapsed().as_secs_f64()))
}

/// Frames a second over one QUIC stream on loopback, written one by one, each as long as a sealed message.
async fn bare_frames() -> Result<f64, Failed> {
    let key = rcgen::generate_simple_self_signed(vec!["tuppence.invalid".to_owned()])?;
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())?;
    let server = quinn::ServerConfig::with_single_cert(vec![certificate.clone()], private)?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = quinn::Endpoint::server(server, local)?;
    let address = server.local_addr()?;
    let reader = tokio::spawn(async move {
        let Some(incoming) = server.accept().await else { return Ok(0) };
        let connection = incoming.await?;
        let mut stream = connection.accept_uni().await?;
        let mut buffer = vec![0; 64 * 1024];
        let mut total = 0;
        while let Some(length) = stream.read(&mut buffer).await? {
            total += length;
        }
        Ok::<_, Failed>(total)
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate)?;
    let client = quinn::Endpoint::client(local)?;
    let config = quinn::ClientConfig::with_root_certificates(Arc::new(roots))?;
    let connection = client.connect_with(config, address, "tuppence.invalid")?.await?;
    let mut stream = connection.open_uni().await?;
    let frame = vec![7; 640];
    let begun = Instant::now();
    for _ in 0..FRAMES {
        stream.write_all(&frame).await?;
    }
    stream.finish()?;
    let total = reader.await??;
    Ok((total / frame.len()) as f64 / begun.elapsed().as_secs_f64())
}

async fn start(network: &Handle, server: &Server, profile: PathBuf) -> Result<Node, Failed> {
    let config = NodeConfig {
        directory: DirectoryAddress {
            host_port: server.local_addr().to_string(),
            fingerprint: server.fingerprint().to_string().parse().ok(),
        },
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        profile: ProfileLocation::Folder(profile),
        stretch: CHEAP,
        inbox: None,
    };
    Ok(network.spawn(Node::start(config)).await??)
}

const PATIENCE: Duration = Duration::from_secs(60);

async fn sign_up(network: &Handle, server: &Server, name: &str, folder: &Path) -> Result<Node, Failed> {
    let node = start(network, server, folder.join(name)).await?;
    let (name, password) = (Name::parse(name)?, Password::new("correct-horse-1".to_owned()));
    node.perform(NodeCommand::SignUp { name, password, invite: None }, PATIENCE).await?;
    Ok(node)
}

async fn send(node: &Node, to: &Name, text: &str) -> Result<(), Failed> {
    let command = NodeCommand::Core(Command::Send { to: to.clone(), text: text.to_owned() });
    node.perform(command, PATIENCE).await?;
    Ok(())
}

/// Waits until a node was shown so many more messages.
async fn shown(events: &mut node::driver::EventStream, mut count: usize) -> Result<(), Failed> {
    while count > 0 {
        let event = events.next().await.ok_or("the node ended")?;
        count -= usize::from(matches!(event.kind, EventKind::Message { .. }));
    }
    Ok(())
}

/// What two nodes come to.
struct Nodes {
    per_second: f64,
    /// From handing over until the recipient's node has stored and shown the message, in order of length.
    one_way: Vec<Duration>,
    /// From handing over until the sender's node has stored the receipt.
    both_ways: Vec<Duration>,
}

/// The value that so many in a hundred do not exceed.
fn percentile(sorted: &[Duration], of: usize) -> Duration {
    sorted.get(sorted.len() * of / 100).copied().unwrap_or_default()
}

/// Two nodes with their profiles in this folder, at this directory; the network of each runs by itself, as in a process of
/// its own.
async fn nodes(networks: &[Handle; 2], server: &Server, folder: &Path) -> Result<Nodes, Failed> {
    let [one, two] = networks;
    let (alice, bob) = (sign_up(one, server, "alice", folder).await?, sign_up(two, server, "bob", folder).await?);
    let (a, b) = (Name::parse("alice")?, Name::parse("bob")?);
    let mut seen = bob.events();
    send(&alice, &b, "hello").await?;
    shown(&mut seen, 1).await?;
    send(&bob, &a, "hello").await?;
    // Until both have found each other directly, the mailbox carries.
    loop {
        send(&alice, &b, "direct?").await?;
        shown(&mut seen, 1).await?;
        let status = alice.perform(NodeCommand::Core(Command::Status), PATIENCE).await?;
        if let node_core::command::Outcome::Status(status) = status
            && !status.peers.is_empty()
        {
            break;
        }
    }
    let text = "x".repeat(TEXT);
    let (mut one_way, mut both_ways) = (Vec::new(), Vec::new());
    for _ in 0..SINGLE {
        let begun = Instant::now();
        let there = async { shown(&mut seen, 1).await.map(|()| begun.elapsed()) };
        let back = async { send(&alice, &b, &text).await.map(|()| begun.elapsed()) };
        let (there, back) = tokio::try_join!(there, back)?;
        one_way.push(there);
        both_ways.push(back);
    }
    one_way.sort_unstable();
    both_ways.sort_unstable();
    let begun = Instant::now();
    let tasks = (0..UNDER_WAY).map(|task| {
        let (alice, b, text) = (alice.clone(), b.clone(), text.clone());
        tokio::spawn(async move {
            for _ in (task..MESSAGES).step_by(UNDER_WAY) {
                send(&alice, &b, &text).await?;
            }
            Ok::<_, Failed>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let per_second = MESSAGES as f64 / begun.elapsed().as_secs_f64();
    alice.shutdown().await;
    bob.shutdown().await;
    Ok(Nodes { per_second, one_way, both_ways })
}

/// What a directory with thousands of accounts comes to.
struct Loaded {
    written: f64,
    cheap: f64,
    stretched: f64,
    nodes: Nodes,
}

async fn loaded(networks: &[Handle; 2]) -> Result<Loaded, Failed> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("directory");
    std::fs::create_dir_all(&data)?;
    let begun = Instant::now();
    let accounts = fixture::write(SqliteStore::open(&data)?, ACCOUNTS, CHEAP)?;
    let written = ACCOUNTS as f64 / begun.elapsed().as_secs_f64();
    let few = fixture::write(SqliteStore::open(&data)?, STRETCHED, StretchParameters::PRODUCTION)?;
    let server = Server::start(Settings::in_folder(&data)).await?;
    let cheap = sign_ins::per_second(server.local_addr(), Arc::new(accounts), SIGNING_IN).await?;
    let stretched = sign_ins::per_second(server.local_addr(), Arc::new(few), SIGNING_IN).await?;
    let nodes = nodes(networks, &server, folder.path()).await?;
    server.shutdown().await;
    Ok(Loaded { written, cheap, stretched, nodes })
}

/// The same two nodes with nothing durable: profiles and directory in memory.
async fn without_durability(networks: &[Handle; 2]) -> Result<Option<Nodes>, Failed> {
    if !Path::new(IN_MEMORY).is_dir() {
        return Ok(None);
    }
    let folder = tempfile::Builder::new().prefix("tuppence-bench-").tempdir_in(IN_MEMORY)?;
    let server = Server::start(Settings::in_memory()).await?;
    let nodes = nodes(networks, &server, folder.path()).await?;
    server.shutdown().await;
    Ok(Some(nodes))
}

fn main() -> Result<(), Failed> {
    let (seals, opens) = library()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let networks = [node::runtime()?, node::runtime()?];
    let handles = networks.each_ref().map(|network| network.handle().clone());
    let frames = runtime.block_on(bare_frames())?;
    let loaded = runtime.block_on(loaded(&handles))?;
    let in_memory = runtime.block_on(without_durability(&handles))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "messages of {TEXT} bytes; the same machine, one run")?;
    writeln!(out, "MLS library, one core, nothing stored   {seals:>9.0} seals/s   {opens:>9.0} opens/s")?;
    writeln!(out, "bare QUIC frames of 640 bytes           {frames:>9.0} frames/s")?;
    let all = [("sealed, durable, receipted", Some(&loaded.nodes)), ("the same, nothing durable", in_memory.as_ref())];
    for (what, nodes) in all {
        let Some(nodes) = nodes else {
            writeln!(out, "node to node, {what}: {IN_MEMORY} is not there")?;
            continue;
        };
        let rate = nodes.per_second;
        writeln!(out, "node to node, {what:<26} {rate:>8.0} messages/s, {UNDER_WAY} under way")?;
        writeln!(out, "    against the library's opens         {:>9.3}", rate / opens)?;
        writeln!(out, "    against bare frames                 {:>9.4}", rate / frames)?;
        for (way, times) in
            [("one way, until stored there", &nodes.one_way), ("and the receipt back", &nodes.both_ways)]
        {
            writeln!(out, "    {way:<35} p50 {:?}, p99 {:?}", percentile(times, 50), percentile(times, 99))?;
        }
    }
    writeln!(out, "a directory with {ACCOUNTS} accounts, {SIGNING_IN} clients at a time, a new connection each")?;
    writeln!(out, "    accounts written by the fixture     {:>9.0} /s", loaded.written)?;
    writeln!(out, "    sign-ins, stretching aside          {:>9.0} /s", loaded.cheap)?;
    writeln!(out, "    sign-ins, passwords stretched       {:>9.1} /s", loaded.stretched)?;
    Ok(())
}
