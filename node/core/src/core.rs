//! The state machine: it owns everything, takes inputs, and answers with one transaction and the effects after it.
//!
//! Each part keeps its own state and its own file; this one opens the core from its records, hands inputs on, and ends
//! each call by reconciling: what is wanted and not under way is started, what changed is written once.
//!
//! **Invariant:** nothing leaves the core that is not in the transaction of the same call or an earlier one.

use std::collections::BTreeMap;

use mls_rs::CryptoProvider;
use protocol::{ConversationId, DeviceId, Name, Timestamp, certificate::Certificate};

use crate::{
    account::AccountFlow,
    batch::Batch,
    commands::Waiters,
    conversation::ConversationState,
    crypto::{
        keys::DeviceKeys,
        mls::{Conversation, Mls, Staging},
    },
    entropy::Entropy,
    files::Files,
    group::Whereabouts,
    input::Input,
    link::Link,
    mail::Mail,
    money::Money,
    outbox::Outbox,
    output::{Effect, Outputs},
    peers::Peers,
    people::People,
    records::{self, ACCOUNT_KEY, AccountRecord, KEYS_KEY, OwnAccount},
    stored::{Stored, Table},
    stretch::StretchParameters,
};

/// What the core is told once, at construction.
#[derive(Debug, Clone, Copy)]
pub struct CoreConfig {
    /// How hard passwords are stretched.
    pub stretch: StretchParameters,
}

/// Whether the directory takes this device for signed in, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// No account yet.
    None,
    /// Signed in; reconnecting needs no password.
    SignedIn,
    /// Signed out; SIGNIN needs the password.
    SignedOut,
    /// The account was closed.
    Closed,
}

/// Why a core cannot be opened from what is stored. Each is local damage or a bug, never a peer's doing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A record does not decode.
    #[error("a record of table {0:?} cannot be read: the profile is damaged, or a newer program wrote it")]
    Record(Table),
    /// The cryptographic library cannot start.
    #[error("the cryptographic library refuses this profile's keys: {0}")]
    Crypto(String),
}

/// The node without its I/O.
pub struct Core<C: CryptoProvider + Clone> {
    pub(crate) config: CoreConfig,
    pub(crate) crypto: C,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) now: Timestamp,
    pub(crate) batch: Batch,
    pub(crate) staging: Staging,
    pub(crate) keys: DeviceKeys,
    pub(crate) mls: Option<Mls<C>>,
    pub(crate) account: AccountRecord,
    pub(crate) account_changed: bool,
    pub(crate) account_flow: AccountFlow,
    pub(crate) link: Link,
    pub(crate) people: People,
    pub(crate) conversations: BTreeMap<ConversationId, ConversationState<C>>,
    pub(crate) outbox: Outbox,
    pub(crate) mail: Mail,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) money: Money,
    pub(crate) files: Files,
    pub(crate) peers: Peers,
    pub(crate) waiters: Waiters,
}

impl<C: CryptoProvider + Clone> std::fmt::Debug for Core<C> {
    /// Names the account only: everything else is secret or long.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("account", &self.account_name()).finish_non_exhaustive()
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Opens a core from its records; from none, it makes this device's keys, which the returned outputs persist.
    ///
    /// # Errors
    /// [`OpenError`] if a record or a key cannot be used.
    pub fn open(
        config: CoreConfig,
        crypto: C,
        mut entropy: Box<dyn Entropy>,
        stored: Stored,
        now: Timestamp,
    ) -> Result<(Self, Outputs), OpenError> {
        let find = |key: &[u8]| {
            stored.records.iter().find(|(table, found, _)| *table == Table::Account && found == key).map(|r| &r.2)
        };
        let account: AccountRecord = match find(ACCOUNT_KEY) {
            Some(bytes) => records::decode(bytes).map_err(|_| OpenError::Record(Table::Account))?,
            None => AccountRecord::default(),
        };
        let stored_keys = find(KEYS_KEY);
        let keys = match stored_keys {
            Some(bytes) => DeviceKeys::from_stored(bytes).map_err(|_| OpenError::Record(Table::Account))?,
            None => DeviceKeys::generate(&mut *entropy),
        };
        let mut batch = Batch::new(stored.last_event);
        if stored_keys.is_none() {
            batch.put(Table::Account, KEYS_KEY.to_vec(), keys.to_stored().to_vec());
        }
        let staging = Staging::load(&stored.records);
        let mut core = Self {
            config,
            crypto,
            entropy,
            now,
            batch,
            staging,
            keys,
            mls: None,
            account,
            account_changed: false,
            account_flow: AccountFlow::default(),
            link: Link::default(),
            people: People::load(&stored.records)?,
            conversations: BTreeMap::new(),
            outbox: Outbox::load(&stored.records)?,
            mail: Mail::load(&stored.records)?,
            whereabouts: Whereabouts::default(),
            money: Money::load(&stored.records)?,
            files: Files::load(&stored.records)?,
            peers: Peers::default(),
            waiters: Waiters::default(),
        };
        if let Some(own) = core.account.own.clone().filter(|_| !core.account.retired) {
            core.start_mls(&own.certificate)?;
        }
        core.note_own_devices();
        core.load_conversations(&stored.records)?;
        core.trim_seen();
        core.announce_accepted_peers();
        let outputs = core.finish();
        Ok((core, outputs))
    }

    /// Takes what happened, in order, and says what to make durable and then to do.
    pub fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Outputs {
        // A clock that was set back must not undo time-outs that are under way.
        self.now = self.now.max(now);
        for input in inputs {
            self.handle_input(input);
        }
        self.reconcile();
        self.finish()
    }

    /// PKCS#8 DER of this device's TLS key.
    #[must_use]
    pub fn tls_key_pkcs8(&self) -> &[u8] {
        self.keys.tls_pkcs8()
    }

    /// The account's name, once there is an account.
    #[must_use]
    pub fn account_name(&self) -> Option<&Name> {
        self.account.own.as_ref().map(|own| &own.name)
    }

    /// Whether the directory takes this device for signed in.
    #[must_use]
    pub fn session(&self) -> Session {
        match (&self.account.own, self.account.session) {
            (None, _) => Session::None,
            (Some(_), _) if self.account.closed => Session::Closed,
            (Some(_), true) => Session::SignedIn,
            (Some(_), false) => Session::SignedOut,
        }
    }

    /// Whether a sign-up or an enrolment may have reached the directory, and goes on when it is there again.
    #[must_use]
    pub fn has_unfinished_sign_up(&self) -> bool {
        self.account.pending.is_some() || self.account.enrolling.is_some()
    }

    /// What this device holds of a conversation that it can follow: for whoever compares members with each other.
    #[must_use]
    pub fn conversation(&self, id: ConversationId) -> Option<&Conversation<C>> {
        self.conversations.get(&id).filter(|state| state.is_active())?.group.as_ref()
    }

    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Command { token, command } => self.on_command(token, command),
            Input::Abandoned { token } => self.on_abandoned(token),
            Input::DirectoryConnected { exporter, addresses, directory } => {
                self.on_directory_connected(exporter, addresses, directory);
            }
            Input::DirectoryDisconnected { reason } => self.on_directory_disconnected(reason),
            Input::Reply { call, answer } => self.on_answer(call, answer),
            Input::Push(push) => self.on_push(push),
            Input::PeerConnected { peer, tls_key, dialled } => self.on_peer_connected(peer, tls_key, dialled),
            Input::PeerFrame { peer, frame } => self.on_peer_frame(peer, frame),
            Input::PeerDisconnected { peer } => self.on_peer_disconnected(peer),
            Input::DialFailed { device } => self.on_dial_failed(device),
            Input::Tick => {}
            Input::Stretched { done } => self.on_stretched(done),
            Input::HistoryRead { token, entries } => self.on_history_read(token, entries),
            Input::MessageFound { token, entry } => self.on_message_found(token, entry),
            Input::File(input) => self.on_file_input(input),
        }
    }

    /// Starts whatever is wanted and not under way. Cheap when nothing is.
    fn reconcile(&mut self) {
        self.pass_gaps();
        self.reconcile_account();
        self.reconcile_link();
        self.reconcile_people();
        self.reconcile_book();
        // Before the conversations: what is to be said of money and files may need one.
        self.reconcile_money();
        self.reconcile_files();
        self.reconcile_conversations();
        self.reconcile_mail();
        self.reconcile_whereabouts();
        self.reconcile_peers();
        // Receipts first: what a connection carries now need not be deposited too.
        self.reconcile_receipts();
        self.reconcile_delivery();
        self.reconcile_waiters();
    }

    /// Writes what changed, once, and hands the batch over.
    fn finish(&mut self) -> Outputs {
        if self.account_changed {
            self.account_changed = false;
            let record = records::encode(&self.account);
            self.put_record(Table::Account, ACCOUNT_KEY.to_vec(), record);
        }
        self.write_people();
        self.write_money();
        self.write_files();
        self.write_conversations();
        self.write_outbox();
        for change in self.staging.take_changes() {
            self.batch.change(change);
        }
        let timer = self.next_timer();
        self.batch.finish(timer)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        [
            self.account_timer(),
            self.link_timer(),
            self.people_timer(),
            self.book_timer(),
            self.conversations_timer(),
            self.mail_timer(),
            self.whereabouts_timer(),
            self.money_timer(),
            self.files_timer(),
            self.peers_timer(),
            self.delivery_timer(),
            self.waiters_timer(),
        ]
        .into_iter()
        .flatten()
        .min()
        // A moment that has passed is handled at the next one; the driver must not spin.
        .map(|at| at.max(self.now.plus_ms(1)))
    }

    /// Starts the MLS client of this device, once it has a certificate.
    pub(crate) fn start_mls(&mut self, certificate: &Certificate) -> Result<(), OpenError> {
        let identity = membership::identity::signing_identity(certificate).map_err(crypto_error)?;
        let mls = Mls::new(self.crypto.clone(), identity, self.keys.mls_key(), self.staging.clone());
        self.mls = Some(mls.map_err(crypto_error)?);
        Ok(())
    }

    /// This device's account, once there is one.
    pub(crate) fn own(&self) -> Option<&OwnAccount> {
        self.account.own.as_ref()
    }

    /// This device, once there is an account.
    pub(crate) fn own_device(&self) -> Option<DeviceId> {
        self.own().map(|own| own.device)
    }

    /// Whether requests that need an account can be made now.
    pub(crate) fn is_online(&self) -> bool {
        self.link.is_connected() && self.account.session && self.account.own.is_some()
    }

    /// A number for jitter.
    pub(crate) fn jitter(&mut self) -> u64 {
        self.entropy.next_u64()
    }

    /// Puts a record into the transaction.
    pub(crate) fn put_record(
        &mut self,
        table: Table,
        key: Vec<u8>,
        record: Result<Vec<u8>, protocol::frame::FrameError>,
    ) {
        match record {
            Ok(value) => self.batch.put(table, key, value),
            Err(error) => self.report_bug("a record cannot be written", &error),
        }
    }

    /// A bug of this program: said aloud in the log, never hidden, never fatal to what else goes on.
    pub(crate) fn report_bug(&mut self, what: &'static str, error: &dyn std::fmt::Display) {
        self.batch.effect(Effect::ReportBug { what, detail: error.to_string() });
    }
}

fn crypto_error(error: impl std::fmt::Display) -> OpenError {
    OpenError::Crypto(error.to_string())
}
