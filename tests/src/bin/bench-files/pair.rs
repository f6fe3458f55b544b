//! Two devices of ours: what they carry, and what their connection can do bare.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use ::tests::fixture::Failed;
use bytes::Bytes;
use node::{
    files::{
        place::Place,
        source::Source,
        survey::{CHUNK, Survey},
    },
    net::{
        endpoint::{self, NodeEndpoint},
        file::{
            Served,
            receive::{PATIENCE, Receiving},
            serve::{Asked, Content, Serving},
        },
        tls::{AcceptedPeers, DeviceIdentity, Tls},
    },
};
use protocol::{
    BoundedText, FileId, PublicKey, Timestamp,
    file::{FileOffer, FileSecret, FileShape, stream::FilePart},
};
use quinn::Connection;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use tokio::{
    runtime::{Handle, Runtime},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// What is read from a stream at once where nothing is done with it.
const PIECE: usize = 64 * 1024;

/// Where the networks of two nodes run, each by itself as in a process of its own.
#[derive(Debug)]
pub(crate) struct Networks {
    sender: Runtime,
    recipient: Runtime,
}

impl Networks {
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self { sender: node::runtime()?, recipient: node::runtime()? })
    }
}

/// One of two devices that are connected.
#[derive(Debug)]
struct Side {
    network: Handle,
    connection: Connection,
    _endpoint: NodeEndpoint,
}

/// Two devices that are connected, as nodes are.
#[derive(Debug)]
pub(crate) struct Pair {
    sender: Side,
    recipient: Side,
}

impl Pair {
    /// Two endpoints of nodes, each on a socket of its own.
    pub(crate) fn connect(networks: &Networks) -> Result<Self, Failed> {
        let (one, two) = (device()?, device()?);
        let accepted = AcceptedPeers::default();
        accepted.replace([one.1]);
        let (listening, dialling) = (networks.sender.handle().clone(), networks.recipient.handle().clone());
        let listener = endpoint_on(&listening, two.0, accepted)?;
        let dialler = endpoint_on(&dialling, one.0, AcceptedPeers::default())?;
        let (listens, dials, address) = (listener.clone(), dialler.clone(), listener.local_address());
        let taking_up = listening.spawn(async move {
            let incoming = listens.accept().await.ok_or("nobody came")?;
            Ok::<_, Failed>(NodeEndpoint::finish_handshake(incoming).await?.0)
        });
        let dialled = dialling.spawn(async move { dials.connect_peer(address, two.1).await });
        let recipient = Side { connection: dialling.block_on(dialled)??, network: dialling, _endpoint: dialler };
        let sender = Side { connection: listening.block_on(taking_up)??, network: listening, _endpoint: listener };
        Ok(Self { sender, recipient })
    }

    /// Bytes of the largest packets that were found to pass.
    pub(crate) fn packet(&self) -> u16 {
        self.sender.connection.stats().path.current_mtu
    }

    /// So many bytes on one stream, always the same chunk of them, thrown away where they arrive.
    pub(crate) fn bare(&self, bytes: usize) -> Result<(), Failed> {
        let (sender, recipient) = (self.sender.connection.clone(), self.recipient.connection.clone());
        let sending = self.sender.network.spawn(async move {
            let chunk = Bytes::from_static(&[7; CHUNK as usize]);
            let mut stream = sender.open_uni().await?;
            for _ in 0..bytes / chunk.len() {
                stream.write_chunk(chunk.clone()).await?;
            }
            stream.finish()?;
            Ok::<_, Failed>(())
        });
        let receiving = self.recipient.network.spawn(async move {
            let mut stream = recipient.accept_uni().await?;
            let mut received = 0;
            while let Some(piece) = stream.read_chunk(PIECE, true).await? {
                received += piece.bytes.len();
            }
            if received == bytes { Ok::<_, Failed>(()) } else { Err("not all of it arrived".into()) }
        });
        self.recipient.network.block_on(receiving)??;
        self.sender.network.block_on(sending)?
    }

    /// A file or a folder, from where it is to its name in an inbox within `folder`.
    pub(crate) fn carry(&self, folder: &Path, offered: &Survey) -> Result<(), Failed> {
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
            patience: PATIENCE,
        };
        let (sender, recipient) = (self.sender.connection.clone(), self.recipient.connection.clone());
        let offered = offered.clone();
        let serving = async move { serve(&sender, &offered).await };
        let mut serving = AbortOnDropHandle::new(self.sender.network.spawn(serving));
        let receiving = self.recipient.network.spawn(async move { receiving.run(&recipient).await });
        self.recipient.network.block_on(async {
            tokio::select! {
                received = receiving => Ok(received?.map(|_| ())?),
                served = &mut serving => Err(served?.map_or_else(|error| error, |never| match never {})),
            }
        })
    }
}

/// An endpoint of a node on the network of one.
fn endpoint_on(network: &Handle, identity: DeviceIdentity, accepted: AcceptedPeers) -> Result<NodeEndpoint, Failed> {
    let _within = network.enter();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(NodeEndpoint::new(endpoint::bind(any)?, Tls::new(identity), accepted)?)
}

/// Answers whatever is asked.
async fn serve(sender: &Connection, offered: &Survey) -> Result<Infallible, Failed> {
    loop {
        answer(sender, offered).await?;
    }
}

async fn answer(sender: &Connection, offered: &Survey) -> Result<(), Failed> {
    let (send, recv) = sender.accept_bi().await?;
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

fn device() -> Result<(DeviceIdentity, PublicKey), Failed> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let public = PublicKey::from_slice(key.der_bytes()).ok_or("a key of another kind")?;
    Ok((DeviceIdentity::new(&key.serialize_der())?, public))
}
