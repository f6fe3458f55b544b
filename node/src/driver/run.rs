//! The one loop of a node: it owns the core, and with it all state; everything else reports to it.

use std::collections::HashMap;

use node_core::{
    command::{Command, CommandResult, CommandToken, Failure, FailureCode, Password},
    input::Input,
};
use protocol::{Fingerprint, Name, peer::CloseCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    NodeCommand, StartError,
    account::{ending, sign_in_first},
    event_log::EventWriter,
    machine::{Account, Machine},
    profile::{Place, Store, is_fatal},
    session::{Common, ForDriver, Happened, Session},
};
use crate::{
    net::directory::{DirectoryEvent, pin},
    store::{MemoryProfile, Profile},
};

/// Calls taken up together at most.
const CALLS_MAX: usize = 32;

/// What the handle asks of the loop.
#[derive(Debug)]
pub(super) enum Call {
    /// Perform this.
    Perform { token: CommandToken, command: NodeCommand, reply: oneshot::Sender<CommandResult> },
    /// Nobody waits for it any more.
    Abandon(CommandToken),
    /// Disconnect, and tell when that is done.
    ShutDown(oneshot::Sender<()>),
}

/// Why the loop can't go on, in a sentence for whoever uses the node.
#[derive(Debug)]
pub(super) struct Fatal(pub(super) String);

/// What is to be done when a command ends, besides telling its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing.
    Plain,
    /// If it came to nothing, the new profile is removed.
    SignUp,
    /// If it failed, the profile is locked again.
    Unlock,
    /// The profile is locked.
    SignOut,
    /// The profile opens with this password from now on, if it is right at the directory.
    Rewrap,
}

#[derive(Debug)]
struct Running {
    reply: oneshot::Sender<CommandResult>,
    purpose: Purpose,
    /// What the profile is to open with if all goes well.
    password: Option<Password>,
}

/// What state the profile is in.
#[derive(Debug)]
pub(super) enum State<K> {
    /// It exists, and its password was not given.
    Locked(Name),
    /// There is a core: over memory while nobody has signed up, over the encrypted profile otherwise.
    Live(Box<Session<K>>),
    /// One session has ended and the next has not begun; never while anything is waited for but that.
    Between,
}

/// What a result leads to.
pub(super) enum Transition {
    Lock,
    Unclaim,
    Restart,
}

/// The loop's state.
#[derive(Debug)]
pub(super) struct Driver<K> {
    pub(super) common: Common,
    pub(super) place: Place,
    pub(super) pin: Option<Fingerprint>,
    first_contact: watch::Sender<Option<Fingerprint>>,
    events: EventWriter,
    pub(super) state: State<K>,
    running: HashMap<CommandToken, Running>,
    /// The directory's key has changed: nothing is done until the person says which one is right.
    blocked: Option<Failure>,
}

impl<K: Machine> Driver<K> {
    /// Finds out what state the profile is in, and connects if nothing has to be unlocked first.
    pub(super) fn open(
        common: Common,
        place: Place,
        first_contact: watch::Sender<Option<Fingerprint>>,
        events: EventWriter,
    ) -> Result<Self, StartError> {
        let pin = match common.surroundings.directory.fingerprint {
            Some(given) => Some(given),
            None => pin::load(place.folder())?,
        };
        let (state, shown) = match Profile::peek(place.folder())? {
            Some(owner) => (State::Locked(owner), Vec::new()),
            None => {
                let (session, shown) = Self::fresh(&common, pin).map_err(StartError::Open)?;
                (State::Live(Box::new(session)), shown)
            }
        };
        let running = HashMap::new();
        let mut driver = Self { common, place, pin, first_contact, events, state, running, blocked: None };
        driver.tell(shown);
        Ok(driver)
    }

    /// A core over memory, for whoever has no account yet.
    pub(super) fn fresh(common: &Common, pin: Option<Fingerprint>) -> Result<(Session<K>, Vec<ForDriver>), String> {
        let store = Store::Memory(MemoryProfile::default());
        Session::open(common, store, node_core::stored::Stored::default(), pin).map_err(|error| error.to_string())
    }

    /// Runs until it is shut down, every handle is gone, or something fatal happens.
    pub(super) async fn run(mut self, mut calls: mpsc::Receiver<Call>) -> Result<(), Fatal> {
        let alarm = self.common.surroundings.alarm.clone();
        let mut farewells = Vec::new();
        let result = loop {
            if let Err(fatal) = self.work().await {
                break Err(fatal);
            }
            let mut called = Vec::new();
            let session = match &mut self.state {
                State::Live(session) => Some(session),
                State::Locked(_) | State::Between => None,
            };
            let happened = async {
                match session {
                    Some(session) => session.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = alarm.raised() => break Err(Fatal("a part of this program has failed; the log says where".into())),
                count = calls.recv_many(&mut called, CALLS_MAX) => {
                    let ends = count == 0;
                    for call in called {
                        match call {
                            Call::Perform { token, command, reply } => self.begin(token, command, reply).await,
                            Call::Abandon(token) => self.abandon(token),
                            Call::ShutDown(done) => farewells.push(done),
                        }
                    }
                    if ends || !farewells.is_empty() {
                        break Ok(());
                    }
                }
                happened = happened => self.absorb(happened),
            }
        };
        self.end().await;
        drop(farewells);
        result
    }

    /// Lets the core work until it has nothing to do.
    async fn work(&mut self) -> Result<(), Fatal> {
        while let State::Live(session) = &mut self.state {
            if !session.has_work() {
                break;
            }
            match session.step() {
                Ok(shown) => {
                    if let Some(transition) = self.tell(shown) {
                        self.make(transition).await?;
                    }
                }
                Err(error) if is_fatal(&error) => {
                    return Err(Fatal(format!("{error}; this disk can't be relied on, so the node stops")));
                }
                Err(error) => self.reopen(&error).await?,
            }
        }
        Ok(())
    }

    /// Shows events and ends commands. Tells what follows from the commands' ends.
    pub(super) fn tell(&mut self, shown: Vec<ForDriver>) -> Option<Transition> {
        let mut transition = None;
        for item in shown {
            match item {
                ForDriver::Show(event) => self.events.push(event),
                ForDriver::Restart => transition = Some(Transition::Restart),
                ForDriver::Done { token, result } => {
                    let Some(Running { reply, purpose, password }) = self.running.remove(&token) else { continue };
                    if let Some(password) = password.filter(|_| result.is_ok()) {
                        self.rewrap(&password);
                    }
                    transition = self.follows(purpose, &result).or(transition);
                    let result = result.map_err(|failure| self.explained(purpose, failure));
                    // Whoever asked may have gone.
                    let _ = reply.send(result);
                }
            }
        }
        transition
    }

    fn follows(&self, purpose: Purpose, result: &CommandResult) -> Option<Transition> {
        let State::Live(session) = &self.state else { return None };
        let nothing_came_of_it = || session.store.profile().is_some() && session.core.account() == Account::None;
        match purpose {
            Purpose::SignUp if result.is_err() && nothing_came_of_it() => Some(Transition::Unclaim),
            // A password that opens the profile and not the account was changed elsewhere: the profile stays open, so that
            // the new one can be given.
            Purpose::Unlock if result.as_ref().is_err_and(|failure| failure.code != FailureCode::Auth) => {
                Some(Transition::Lock)
            }
            Purpose::SignOut if result.is_ok() => Some(Transition::Lock),
            _ => None,
        }
    }

    async fn make(&mut self, transition: Transition) -> Result<(), Fatal> {
        match transition {
            Transition::Lock => self.lock().await,
            Transition::Unclaim => self.unclaim().await,
            Transition::Restart => self.restart().await,
        }
    }

    fn absorb(&mut self, happened: Happened) {
        let State::Live(session) = &mut self.state else { return };
        match happened {
            Happened::Timer => session.on_timer(),
            Happened::Nothing => session.on_quiet(),
            Happened::Stretched(done) => session.feed(Input::Stretched { done }),
            Happened::Peers(events) => events.into_iter().for_each(|event| session.on_peer(event)),
            Happened::Files(events) => events.into_iter().for_each(|event| session.on_file(event)),
            Happened::Directory(events) => events.into_iter().for_each(|event| self.on_directory(event)),
        }
    }

    fn on_directory(&mut self, event: DirectoryEvent) {
        let State::Live(session) = &mut self.state else { return };
        match event {
            DirectoryEvent::Connected { generation, exporter, addresses, fingerprint } => {
                let directory = fingerprint;
                session.on_connected(generation, Input::DirectoryConnected { exporter, addresses, directory });
                self.keep_pin(fingerprint);
            }
            DirectoryEvent::Disconnected { reason } => session.on_disconnected(reason),
            DirectoryEvent::Answered { call, answer } => session.feed(Input::Reply { call, answer }),
            DirectoryEvent::Push(push) => session.feed(Input::Push(push)),
            DirectoryEvent::KeyChanged { pinned, found } => {
                let failure = changed_key(&self.common.surroundings.directory.host_port, pinned, found);
                session.on_disconnected(failure.message.clone());
                let waiting: Vec<CommandToken> = self.running.keys().copied().collect();
                waiting.into_iter().for_each(|token| session.feed(Input::Abandoned { token }));
                self.fail_running(&failure);
                self.blocked = Some(failure);
            }
        }
    }

    /// From the first contact on this directory and no other: shown once, and kept beside the profile.
    fn keep_pin(&mut self, found: Fingerprint) {
        if self.pin.is_none() {
            self.first_contact.send_replace(Some(found));
        }
        self.pin = Some(found);
        self.store_pin();
    }

    pub(super) fn store_pin(&self) {
        let State::Live(session) = &self.state else { return };
        let (Some(pin), Some(_)) = (self.pin, session.store.profile()) else { return };
        let stored = match pin::load(self.place.folder()) {
            Ok(Some(stored)) if stored == pin => Ok(()),
            _ => pin::store(self.place.folder(), pin),
        };
        if let Err(error) = stored {
            tracing::error!(%error, "the directory's key could not be kept; the next start takes it for a first contact");
        }
    }

    /// Starts a command, or answers it at once.
    async fn begin(&mut self, token: CommandToken, command: NodeCommand, reply: oneshot::Sender<CommandResult>) {
        let begun = match &self.blocked {
            Some(failure) => Err(failure.clone()),
            None => match command {
                NodeCommand::SignUp { name, password, invite }
                | NodeCommand::Core(Command::SignUp { name, password, invite }) => self.sign_up(name, password, invite),
                NodeCommand::SignIn { name, password } | NodeCommand::Core(Command::SignIn { name, password }) => {
                    self.sign_in(name, password)
                }
                NodeCommand::Core(Command::Recover { name, code, password }) => self.recover(name, code, password),
                NodeCommand::Core(Command::SignOut) => Ok((Command::SignOut, Purpose::SignOut)),
                NodeCommand::Core(command) => Ok((command, Purpose::Plain)),
            },
        };
        let failure = match (begun, &mut self.state) {
            (Ok((command, purpose)), State::Live(session)) => {
                session.hint();
                let password = match &command {
                    Command::Passwd { new, .. } => Some(new.duplicate()),
                    Command::SignIn { password, .. } if purpose == Purpose::Rewrap => Some(password.duplicate()),
                    _ => None,
                };
                session.feed(Input::Command { token, command });
                self.running.insert(token, Running { reply, purpose, password });
                return;
            }
            (Ok(_), State::Locked(owner)) => sign_in_first(owner),
            (Ok(_), State::Between) => ending(),
            (Err(failure), _) => failure,
        };
        // Whoever asked may have gone.
        let _ = reply.send(Err(failure));
    }

    fn abandon(&mut self, token: CommandToken) {
        if let State::Live(session) = &mut self.state
            && self.running.contains_key(&token)
        {
            session.feed(Input::Abandoned { token });
        }
    }

    pub(super) fn fail_running(&mut self, failure: &Failure) {
        for (_, Running { reply, .. }) in self.running.drain() {
            let _ = reply.send(Err(failure.clone()));
        }
    }

    async fn end(mut self) {
        drop(self.end_session(CloseCode::ShuttingDown).await);
    }
}

fn changed_key(place: &str, pinned: Fingerprint, found: Fingerprint) -> Failure {
    let text = format!(
        "the directory at {place} has another key than the one pinned here ({pinned}): it may be somebody else's. If \
         its operator confirms the new key, start again with --directory {place}#{found}"
    );
    Failure::new(FailureCode::Trust, text)
}
