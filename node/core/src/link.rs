//! The connection to the directory: requests under way, what their answers mean, presence and key packages.
//!
//! A request is never waited for: its purpose is kept under its [`CallId`], and the answer finds its part of the core.

use std::{collections::BTreeMap, net::SocketAddr};

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, CommitHash, ConversationId, DeviceId, Fingerprint, Name, Timestamp,
    certificate::SignedDeviceList,
    directory::{Cursor, KeyPackageBytes, Push, Refusal, Reply, Request},
    limits::{ADDRESSES_MAX, KEY_PACKAGES, KEY_PACKAGES_LOW, LEASE_RENEWAL_MS},
};

use crate::{
    command::CommandToken,
    core::Core,
    delivery::Deposited,
    event::{ConnectionState, EventKind},
    flow::Flow,
    input::{Answer, CallId},
    money::Asked,
    output::Effect,
};

/// How old the last-resort key package may become, in milliseconds: a week.
const LAST_RESORT_AGE_MS: u64 = 7 * 24 * 3_600 * 1_000;

/// Why a request was made; decides what its answer means.
#[derive(Debug)]
pub(crate) enum Purpose {
    Announce,
    Publish { last_resort: bool },
    Ping { token: CommandToken, asked: Timestamp },
    RegistrationStart,
    SignUpFinish,
    SignInStart,
    SignInFinish,
    Enrol,
    Revoke { device: DeviceId, list: SignedDeviceList },
    ChangePassword,
    CloseAccount,
    Account,
    Book,
    PutBook { version: u64 },
    Block { accounts: Vec<AccountId>, blocked: bool },
    Settling { token: CommandToken },
    SignOut { token: CommandToken },
    LookUpAccounts { accounts: Vec<AccountId> },
    LookUpName { token: CommandToken, name: Name },
    Waiter { token: CommandToken },
    Accept { accounts: Vec<AccountId> },
    Addresses { account: AccountId },
    TakeKeyPackages { conversation: ConversationId },
    Create { conversation: ConversationId, incarnation: u64 },
    Commit { conversation: ConversationId, hash: CommitHash },
    Group { conversation: ConversationId },
    Leave { conversation: ConversationId },
    Confirm { conversation: ConversationId },
    Epochs { groups: Vec<(ConversationId, u64)> },
    Deposit { items: Vec<Deposited> },
    Drain,
    Remove { cursors: Vec<Cursor> },
    Ledger(Asked),
}

/// The connection to the directory and the requests on it.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// TLS exporter of the standing connection.
    exporter: Option<[u8; 32]>,
    addresses: Vec<SocketAddr>,
    observed: Option<SocketAddr>,
    calls: BTreeMap<CallId, Purpose>,
    /// What was asked last.
    pub(crate) last_call: CallId,
    /// What the answer that is being taken in was asked by.
    pub(crate) answering: Option<CallId>,
    announce: Flow,
    announce_due: Timestamp,
    publish: Flow,
    publish_wanted: bool,
    publish_last_resort: bool,
    /// Why the last connection ended or did not come about.
    pub(crate) last_failure: Option<String>,
    /// What the watchers were told last.
    shown: Option<ConnectionState>,
    /// Whether the directory has confirmed this device since it was connected.
    announced: bool,
    /// Whether directory or a peer has confirmed, since this core was opened, that nobody else has sealed with its keys.
    pub(crate) confirmed: bool,
    /// Fingerprint of the directory's root key.
    pub(crate) directory: Option<Fingerprint>,
    pub(crate) account: Flow,
    account_wanted: bool,
    pub(crate) book: Flow,
    pub(crate) book_wanted: bool,
}

impl Link {
    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        self.exporter.is_some()
    }

    /// The standing connection's TLS exporter.
    pub(crate) fn exporter(&self) -> Option<[u8; 32]> {
        self.exporter
    }

    /// Whether the directory has confirmed this device since it was connected.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced
    }

    /// Somebody else has perhaps sealed with this device's keys: the directory is asked at once. What it confirmed before
    /// stands until then, or whoever lies about receipts could keep this device from saying anything to anybody.
    pub(crate) fn doubt(&mut self) {
        self.announce_due = Timestamp(0);
    }

    /// The directory is to be asked how the account stands.
    pub(crate) fn want_account(&mut self) {
        self.account_wanted = true;
    }

    /// Whether it has not been asked yet since that was wanted.
    pub(crate) fn is_account_wanted(&self) -> bool {
        self.account_wanted
    }

    /// Where this node can be reached, as far as it knows.
    pub(crate) fn all_addresses(&self) -> Vec<SocketAddr> {
        let mut all = self.addresses.clone();
        all.extend(self.observed.filter(|observed| !self.addresses.contains(observed)));
        all
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Asks the directory.
    pub(crate) fn ask(&mut self, purpose: Purpose, request: Request) -> CallId {
        let call = CallId(self.link.last_call.0 + 1);
        self.link.last_call = call;
        self.link.calls.insert(call, purpose);
        self.batch.effect(Effect::Ask { call, request: Box::new(request) });
        call
    }

    pub(crate) fn on_directory_connected(
        &mut self,
        exporter: [u8; 32],
        addresses: Vec<SocketAddr>,
        directory: Fingerprint,
    ) {
        self.link.exporter = Some(exporter);
        self.link.directory = Some(directory);
        self.link.want_account();
        self.link.addresses = addresses.into_iter().take(ADDRESSES_MAX).collect();
        self.link.announce = Flow::default();
        self.link.announce_due = self.now;
        self.link.announced = false;
        self.retry_everything();
        self.whereabouts.want();
        self.mail.want_all();
        self.resume_account();
        self.resume_commands();
    }

    pub(crate) fn on_directory_disconnected(&mut self, reason: String) {
        self.link.exporter = None;
        self.link.announced = false;
        self.link.last_failure = Some(reason);
        // The driver answers what was asked on the old connection with `Lost`; a purpose without an answer is none.
        let lost: Vec<CallId> = self.link.calls.keys().copied().collect();
        for call in lost {
            self.on_answer(call, Answer::Lost);
        }
        self.money.reset();
        self.interrupt_account();
        self.people.all_offline();
        if self.account.own.is_some() && self.account.session {
            self.show_connection(ConnectionState::Offline);
        }
        self.on_unreachable();
    }

    /// Tells watchers, if it is news.
    pub(crate) fn show_connection(&mut self, state: ConnectionState) {
        if self.link.shown != Some(state) {
            self.link.shown = Some(state);
            self.batch.event(self.now, EventKind::Connection { state });
        }
    }

    pub(crate) fn on_push(&mut self, push: Push) {
        match push {
            Push::Mail => self.mail.want(),
            Push::Presence { account, name, online } => self.on_presence(account, name, online),
            Push::KeyPackagesLow => self.link.publish_wanted = true,
            Push::Account => self.link.want_account(),
            // The connection will end by itself; the driver dials again.
            Push::Closing => {}
            Push::Ledger => self.money.want(),
        }
    }

    pub(crate) fn on_answer(&mut self, call: CallId, answer: Answer) {
        let Some(purpose) = self.link.calls.remove(&call) else { return };
        self.link.answering = Some(call);
        self.take_answer(call, purpose, answer);
        self.link.answering = None;
    }

    fn take_answer(&mut self, call: CallId, purpose: Purpose, answer: Answer) {
        if let Answer::Refusal(Refusal::NotSignedIn) = &answer {
            self.on_session_ended();
        }
        match purpose {
            Purpose::Announce => self.on_announced(answer),
            Purpose::Publish { last_resort } => self.on_published(last_resort, answer),
            Purpose::Ping { token, asked } => self.on_pong(token, asked, answer),
            Purpose::RegistrationStart => self.on_registration_started(call, answer),
            Purpose::Enrol => self.on_enrolled(call, answer),
            Purpose::Revoke { device, list } => self.on_revoked(call, device, list, answer),
            Purpose::ChangePassword => self.on_password_changed(call, answer),
            Purpose::CloseAccount => self.on_account_closed(call, answer),
            Purpose::Account => self.on_account(answer),
            Purpose::Book => self.on_book(answer),
            Purpose::PutBook { version } => self.on_book_put(version, answer),
            Purpose::Block { accounts, blocked } => self.on_block_told(accounts, blocked, answer),
            Purpose::SignUpFinish => self.on_signed_up(call, answer),
            Purpose::SignInStart => self.on_sign_in_started(call, answer),
            Purpose::SignInFinish => self.on_signed_in(call, answer),
            Purpose::SignOut { token } => self.on_signed_out(token),
            Purpose::LookUpAccounts { accounts } => self.on_accounts_found(&accounts, answer),
            Purpose::LookUpName { token, name } => self.on_name_found(token, name, answer),
            Purpose::Settling { token } => self.on_settling(token, call, answer),
            Purpose::Waiter { token } => self.on_waiter_answer(token, call, answer),
            Purpose::Accept { accounts } => self.on_accept_told(accounts, answer),
            Purpose::Addresses { account } => self.on_addresses(account, answer),
            Purpose::TakeKeyPackages { conversation } => self.on_key_packages(conversation, call, answer),
            Purpose::Create { conversation, incarnation } => self.on_created(conversation, incarnation, call, answer),
            Purpose::Commit { conversation, hash } => self.on_commit_answer(conversation, hash, call, answer),
            Purpose::Group { conversation } => self.on_group(conversation, call, answer),
            Purpose::Leave { conversation } => self.on_leave_answer(conversation, call, answer),
            Purpose::Confirm { conversation } => self.on_confirmed(conversation, call, answer),
            Purpose::Epochs { groups } => self.on_epochs(&groups, answer),
            Purpose::Deposit { items } => self.on_deposited(items, answer),
            Purpose::Drain => self.on_drained(answer),
            Purpose::Remove { cursors } => self.on_removed(&cursors, answer),
            Purpose::Ledger(asked) => self.on_ledger_answer(asked, answer),
        }
    }

    pub(crate) fn reconcile_link(&mut self) {
        if !self.is_online() {
            return;
        }
        if self.link.announce_due <= self.now && self.link.announce.is_ready(self.now) {
            let addresses = Bounded::new(self.link.addresses.clone()).unwrap_or_default();
            let send_counter = self.account.send_counter;
            let call = self.ask(Purpose::Announce, Request::Announce { addresses, send_counter });
            self.link.announce.start(call);
        }
        if self.link.account_wanted && self.link.announced && self.link.account.is_ready(self.now) {
            self.link.account_wanted = false;
            let call = self.ask(Purpose::Account, Request::Account);
            self.link.account.start(call);
        }
        if self.link.publish_wanted && self.link.announced && self.link.publish.is_ready(self.now) {
            self.publish_key_packages();
        }
    }

    pub(crate) fn link_timer(&self) -> Option<Timestamp> {
        if !self.is_online() {
            return None;
        }
        let announce = self.link.announce.due().map(|due| due.max(self.link.announce_due));
        let publish = self.link.publish.due().filter(|_| self.link.publish_wanted && self.link.announced);
        let account = self.link.account.due().filter(|_| self.link.account_wanted && self.link.announced);
        announce.into_iter().chain(publish).chain(account).min()
    }

    fn on_announced(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Answer::Reply(reply) = answer else {
            self.link.announce.fail(self.now, jitter);
            return;
        };
        let Reply::Announced { observed, send_counter, key_packages, last_resort } = *reply else {
            self.report_misbehaviour("the directory answered an announcement with something else");
            self.link.announce.fail(self.now, jitter);
            return;
        };
        if send_counter > self.account.send_counter {
            return self.on_copied();
        }
        self.link.confirmed = true;
        self.link.announce.succeed();
        self.link.announce_due = self.now.plus_ms(LEASE_RENEWAL_MS);
        self.link.observed = Some(observed);
        let old = self.now.ms_since(self.account.last_resort_at) > LAST_RESORT_AGE_MS;
        self.link.publish_last_resort = !last_resort || old;
        let low = usize::try_from(key_packages).is_ok_and(|left| left <= KEY_PACKAGES_LOW);
        self.link.publish_wanted |= low || self.link.publish_last_resort;
        if !self.link.announced {
            self.link.announced = true;
            self.show_connection(ConnectionState::Online);
        }
    }

    /// Somebody else has sealed with this device's keys: this profile is a copy, or was restored from one.
    pub(crate) fn on_copied(&mut self) {
        self.report_misbehaviour(
            "this profile is a copy or an old one: its keys are dropped, and SIGNIN makes new ones",
        );
        self.show_connection(ConnectionState::SignedOut);
        self.drop_device();
    }

    fn publish_key_packages(&mut self) {
        let Some(mls) = &self.mls else { return };
        mls.forget_old_key_packages(self.now);
        let made: Result<Vec<KeyPackageBytes>, _> =
            (0..KEY_PACKAGES - KEY_PACKAGES_LOW).map(|_| mls.key_package(self.now, false)).collect();
        let last_resort = self.link.publish_last_resort.then(|| mls.key_package(self.now, true)).transpose();
        let (packages, last_resort) = match (made, last_resort) {
            (Ok(packages), Ok(last_resort)) => (packages, last_resort),
            (Err(error), _) | (_, Err(error)) => {
                self.report_bug("key packages cannot be made", &error);
                self.link.publish_wanted = false;
                return;
            }
        };
        let purpose = Purpose::Publish { last_resort: last_resort.is_some() };
        let packages = Bounded::new(packages).unwrap_or_default();
        let call = self.ask(purpose, Request::PublishKeyPackages { packages, last_resort });
        self.link.publish.start(call);
    }

    fn on_published(&mut self, last_resort: bool, answer: Answer) {
        let jitter = self.jitter();
        if !matches!(&answer, Answer::Reply(reply) if matches!(**reply, Reply::KeyPackageStock { .. })) {
            self.link.publish.fail(self.now, jitter);
            return;
        }
        self.link.publish.succeed();
        self.link.publish_wanted = false;
        if last_resort {
            self.link.publish_last_resort = false;
            self.account.last_resort_at = self.now;
            self.account_changed = true;
        }
    }

    fn on_session_ended(&mut self) {
        if self.account.session {
            self.account.session = false;
            self.account_changed = true;
            self.show_connection(ConnectionState::SignedOut);
        }
    }

    /// A connection stands again, or something else changed for the better.
    fn retry_everything(&mut self) {
        self.link.publish.retry_now();
        self.link.account.retry_now();
        self.link.book.retry_now();
        self.people.block.retry_now();
        self.people.look_up.retry_now();
        self.people.accept.retry_now();
        self.mail.retry_now();
        self.whereabouts.retry_now();
        self.money.reset();
        for conversation in self.conversations.values_mut() {
            conversation.flow.retry_now();
        }
        self.peers.retry_now();
    }

    /// What a peer or the directory did against the protocol, for the log.
    pub(crate) fn report_misbehaviour(&mut self, what: &'static str) {
        self.batch.effect(Effect::ReportMisbehaviour { what, detail: String::new() });
    }

    /// The same, with what the check said.
    pub(crate) fn report_refused(&mut self, what: &'static str, error: &dyn std::fmt::Display) {
        self.batch.effect(Effect::ReportMisbehaviour { what, detail: error.to_string() });
    }
}
