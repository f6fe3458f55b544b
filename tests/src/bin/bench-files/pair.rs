//! Two devices of ours: what they carry, and what their connection can do bare.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use ::tests::fixture::Failed;
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
            receive::Receiving,
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
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What is read from a stream at once where nothing is done with it.
const PIECE: usize = 64 * 1024;

/// Two devices that are connected, as nodes are.
#[derive(Debug)]
pub(crate) struct Pair {
    sender: Connection,
    recipient: Connection,
    _endpoints: [NodeEndpoint; 2],
}

impl Pair {
    /// Two endpoints of nodes, each on a socket of its own.
    pub(crate) async fn connect() -> Result<Self, Failed> {
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

    /// Bytes of the largest packets that were found to pass.
    pub(crate) fn packet(&self) -> u16 {
        self.sender.stats().path.current_mtu
    }

    /// So many bytes on one stream, thrown away where they arrive.
    pub(crate) async fn bare(&self, bytes: usize) -> Result<(), Failed> {
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

    /// A file or a folder, from where it is to its name in an inbox within `folder`.
    pub(crate) async fn carry(&self, folder: &Path, offered: &Survey) -> Result<(), Failed> {
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
