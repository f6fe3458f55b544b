//! A node of the world: a durable disk, and a core that can be dropped at any moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use node_core::{
    Core,
    command::CommandToken,
    input::{Input, PeerId},
};
use p256::{SecretKey, elliptic_curve::sec1::ToSec1Point as _, pkcs8::DecodePrivateKey as _};
use protocol::{MessageId, Name, PublicKey};

use super::{clock::Moment, directory::ConnectionId, disk::Disk, fault::Fault, link::LinkId, market::Errand};
use crate::{entropy::SeededEntropy, provider::SeededProvider};

/// What a running command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// SIGNUP.
    SignUp,
    /// SIGNIN.
    SignIn,
    /// SIGNOUT.
    SignOut,
    /// SEND of this text.
    Send(String),
    /// RESEND, of whatever comes to mind.
    Resend,
    /// RESEND of this message.
    ResendOf(MessageId),
    /// Anything that only looks.
    Look,
    /// `WAIT IDLE`.
    WaitIdle,
    /// REVOKE.
    Revoke,
    /// PASSWD.
    Passwd,
    /// SEND GROUP of this text.
    Say(String),
    /// Anything about money.
    Money(Errand),
    /// Anything that changes who is in a group.
    Change(&'static str),
}

/// One node.
pub struct Node {
    /// Its person's name.
    pub name: Name,
    /// Its person's password.
    pub password: String,
    /// What is durable.
    pub disk: Disk,
    /// What the disk was before its latest commits, if its store acknowledges early.
    pub unsynced: VecDeque<Disk>,
    /// The core, while the node runs.
    pub core: Option<Core<SeededProvider>>,
    tls_key: Option<PublicKey>,
    /// Counts the cores: what was meant for an earlier one is not for this one.
    pub life: u64,
    /// What waits to be handed to the core.
    pub inbox: Vec<Input>,
    /// The connection to the directory.
    pub connection: Option<ConnectionId>,
    /// Live peer connections: the link, and which end of it this node is.
    pub peers: BTreeMap<PeerId, LinkId>,
    /// The TLS keys that this node lets in.
    pub accepted: BTreeSet<PublicKey>,
    /// The serial of the timer that counts.
    pub timer: u64,
    /// The last peer connection's number.
    pub last_peer: u64,
    /// Commands that have not ended.
    pub asked: BTreeMap<CommandToken, (Asked, Moment)>,
    /// The last command's number.
    pub last_token: u64,
    /// Whether the directory holds an account for this person, as far as this node was told.
    pub signed_up: bool,
    /// Whether the node rests until its actor starts it again.
    pub away: bool,
    /// Whether a `WAIT IDLE` ended well in this life.
    pub idle: bool,
    /// What is wrong with its driver or its store.
    pub fault: Option<Fault>,
    /// Where core and provider draw from.
    pub entropy: SeededEntropy,
    /// This node's provider.
    pub provider: SeededProvider,
}

impl Node {
    /// A node that was never started.
    #[must_use]
    pub fn new(name: Name, entropy: SeededEntropy, provider: SeededProvider) -> Self {
        let password = format!("password-of-{name}");
        Self {
            name,
            password,
            disk: Disk::default(),
            unsynced: VecDeque::new(),
            core: None,
            tls_key: None,
            life: 0,
            inbox: Vec::new(),
            connection: None,
            peers: BTreeMap::new(),
            accepted: BTreeSet::new(),
            timer: 0,
            last_peer: 0,
            asked: BTreeMap::new(),
            last_token: 0,
            signed_up: false,
            away: false,
            idle: false,
            fault: None,
            entropy,
            provider,
        }
    }

    /// Takes a core that has just been opened.
    pub fn start(&mut self, core: Core<SeededProvider>) {
        // Deriving a public key takes longer than anything else that a dial needs: once a life is enough.
        self.tls_key = SecretKey::from_pkcs8_der(core.tls_key_pkcs8())
            .ok()
            .and_then(|key| PublicKey::from_slice(key.public_key().to_sec1_point(false).as_bytes()));
        self.core = Some(core);
        self.idle = false;
    }

    /// The device's TLS key, while the node runs.
    #[must_use]
    pub fn tls_key(&self) -> Option<PublicKey> {
        self.tls_key.filter(|_| self.core.is_some())
    }

    /// Whether a command of this kind is running.
    #[must_use]
    pub fn is_asking(&self, asked: &Asked) -> bool {
        self.asked.values().any(|(running, _)| running == asked)
    }
}
