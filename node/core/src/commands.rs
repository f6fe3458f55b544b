//! Commands: what each asks of the parts, and when it is done.
//!
//! A command completes when its effect is certain. Until then it waits here; whoever gave it may give up
//! ([`crate::input::Input::Abandoned`]), and what was begun goes on.

mod looking;
mod sending;
mod settling;
mod waiting;

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, ConversationId, DeviceId, FileId, MessageId, Name, Timestamp,
    directory::{GroupListing, Person, Reply, Request, Who},
    limits::LIST_MAX,
};

use self::settling::Settling;
use crate::{
    command::{Command, CommandResult, CommandToken, Failure, FailureCode, ListWhat, Outcome},
    core::Core,
    event::{DeliveryState, ShortId},
    flow::Flow,
    input::Answer,
    link::Purpose,
    money::MoneyWaiting,
    output::Effect,
};

/// Commands that may wait at a time: far more than a person or a script starts, few enough to stay small.
const WAITERS_MAX: usize = 1_024;
/// How often somebody's presence is asked for while it is waited for, in milliseconds; pushes come sooner.
const PRESENCE_POLL_MS: u64 = 1_000;
/// People that one LIST shows at most.
pub(crate) const LISTED_MAX: usize = 10 * LIST_MAX;

#[derive(Debug)]
pub(crate) enum Waiting {
    /// For a connection to the directory, to be tried then.
    Directory(Command),
    /// For the name's account, to send it this.
    Compose { to: Name, text: String },
    /// For a message to be handed over.
    Send { to: Name, short: ShortId, id: MessageId },
    /// For everything that waited at the directory to be taken in.
    Resume { unread_before: usize, entering: bool },
    /// For nothing to be queued.
    Idle,
    /// For a person to be online, or not.
    Online { user: Name, online: bool, flow: Flow },
    /// For the directory's word on a person's presence.
    AskOnline { user: Name },
    /// For the pages of a list.
    List { what: ListWhat, people: Vec<Person> },
    /// For a message of the timeline.
    Find { resend: bool },
    /// For the timeline.
    History,
    /// For what is found in the timeline.
    Search,
    /// For the answer to a request, which has a purpose of its own.
    Answer,
    /// For the name's account, to go on with this.
    Person { user: Name, command: Command },
    /// For the directory's word on the account's devices.
    Devices,
    /// For a revoked device to be in no conversation any more.
    Removal { device: DeviceId },
    /// For what a person wants to be changed in a group.
    Group { id: ConversationId, number: u64 },
    /// For the directory's word on a group, to go on with this.
    FindGroup { group: Name, command: Command },
    /// For the directory's word on how many are in a group.
    CountMembers { group: Name },
    /// For the pages of groups of a list.
    ListGroups { what: ListWhat, people: Vec<Person>, groups: Vec<GroupListing> },
    /// For the pages of a group's people.
    Members { group: Name, rest: Vec<AccountId> },
    /// For a message to a group to be handed over.
    SendGroup { group: Name, short: ShortId, id: MessageId },
    /// For the directory to know whether a person is blocked: until then it lets their money through.
    Block { account: AccountId },
    /// For something about money.
    Money(MoneyWaiting),
    /// For a file to be looked at.
    Survey { path: String },
    /// For a file that was accepted to begin.
    Accepting { file: FileId },
    /// For whoever is connected to apply what the command changed.
    Settling(Settling),
}

/// Commands that are not done yet.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Vec<(CommandToken, Waiting)>,
    unread: usize,
    /// This device's commits since somebody waits for such.
    commits: Vec<(ConversationId, u64)>,
}

impl Waiters {
    /// A message was shown.
    pub(crate) fn count_unread(&mut self) {
        self.unread = self.unread.saturating_add(1);
    }

    fn take(&mut self, token: CommandToken) -> Option<Waiting> {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == token)?;
        Some(self.waiting.remove(at).1)
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn on_command(&mut self, token: CommandToken, command: Command) {
        if self.waiters.waiting.len() >= WAITERS_MAX {
            let failure = Failure::new(FailureCode::Refused, "too many commands wait already; let some of them end");
            return self.done(token, Err(failure));
        }
        match command {
            Command::SignUp { name, password, invite } => self.sign_up(token, name, password, invite),
            Command::SignIn { name, password } => self.sign_in(token, name, password),
            Command::Recover { name, code, password } => self.recover(token, name, &code, password),
            Command::Ping => self.ping(token),
            command => match self.check_signed_in() {
                Ok(()) => {
                    let command = self.meant(command);
                    self.on_account_command(token, command);
                }
                Err(failure) => self.done(token, Err(failure)),
            },
        }
    }

    fn check_signed_in(&self) -> Result<(), Failure> {
        match self.own() {
            None => Err(Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account")),
            Some(own) if self.account.closed => {
                let text = format!("{} was closed; start with --profile NAME for another account", own.name);
                Err(Failure::new(FailureCode::Auth, text))
            }
            Some(own) if self.account.retired => {
                let text = format!(
                    "this device is not one of {0}'s any more: it was revoked, or its profile is a copy; \
                     SIGNIN {0} makes it a new one",
                    own.name
                );
                Err(Failure::new(FailureCode::Auth, text))
            }
            Some(own) if !self.account.session => {
                Err(Failure::new(FailureCode::Auth, format!("signed out; SIGNIN {} signs in", own.name)))
            }
            Some(_) => Ok(()),
        }
    }

    fn on_account_command(&mut self, token: CommandToken, command: Command) {
        match command {
            Command::SignOut => self.sign_out(token),
            Command::Resume => {
                let unread_before = self.waiters.unread;
                self.wait(token, Waiting::Resume { unread_before, entering: false });
                if !self.link.is_connected() && self.link.last_failure.is_some() {
                    self.on_unreachable();
                }
            }
            Command::WhoAmI => self.who_am_i(token),
            Command::Send { to, text } => self.send(token, to, text),
            Command::Resend { id } => self.find(token, id, true),
            Command::AskState { id } => self.find(token, id, false),
            Command::List { what } => self.list(token, what),
            Command::Contacts => self.show_people(token, Vec::new(), Vec::new(), None, |view| view.contact),
            Command::History { with, count } => self.history(token, with, count),
            Command::Search { text, with, since } => self.search(token, &text, with, since),
            Command::Status => self.status(token),
            Command::AskOnline { user } => self.ask_online(token, user),
            Command::WaitOnline { user, online } => {
                self.wait(token, Waiting::Online { user, online, flow: Flow::default() });
            }
            Command::WaitIdle => self.wait(token, Waiting::Idle),
            Command::Devices => self.devices(token),
            Command::Revoke { device, password } => self.start_revoke(token, device, password),
            Command::Passwd { old, new } => self.passwd(token, old, new),
            Command::CloseAccount { password } => self.close_account(token, password),
            Command::Verify { user, code, picture } => self.verify(token, user, code, picture),
            Command::Trust { user, code } => self.trust(token, user, &code),
            Command::Block { user, blocked } => self.block(token, user, blocked),
            Command::Unread => self.unread(token),
            Command::Read { target } => self.read(token, &target),
            Command::Money(command) => self.on_money_command(token, command),
            Command::File(command) => self.on_file_command(token, command),
            command => self.on_group_command(token, command),
        }
    }

    pub(crate) fn wait(&mut self, token: CommandToken, waiting: Waiting) {
        self.waiters.waiting.push((token, waiting));
    }

    /// Commands that are not done, with what they wait for.
    pub(crate) fn waiting_commands(&self) -> impl Iterator<Item = (CommandToken, &Waiting)> {
        self.waiters.waiting.iter().map(|(token, waiting)| (*token, waiting))
    }

    /// What one command waits for.
    pub(crate) fn waiting_command(&mut self, token: CommandToken) -> Option<&mut Waiting> {
        self.waiters.waiting.iter_mut().find(|(waiting, _)| *waiting == token).map(|(_, waiting)| waiting)
    }

    /// One command waits no longer.
    pub(crate) fn take_waiting_command(&mut self, token: CommandToken) -> Option<Waiting> {
        self.waiters.take(token)
    }

    /// A command ended.
    pub(crate) fn done(&mut self, token: CommandToken, result: CommandResult) {
        self.batch.effect(Effect::Done { token, result });
    }

    /// The failure of whatever needs the directory.
    pub(crate) fn unreachable(&self) -> Failure {
        let reason = self.link.last_failure.as_deref().unwrap_or(
            "the directory does not answer; start one with `directory --bind 0.0.0.0:7000`, or name another with \
             --directory HOST:PORT",
        );
        Failure::new(FailureCode::Unreachable, reason)
    }

    /// Runs what waited for a connection.
    pub(crate) fn resume_commands(&mut self) {
        let (ready, rest) = std::mem::take(&mut self.waiters.waiting)
            .into_iter()
            .partition(|(_, waiting)| matches!(waiting, Waiting::Directory(_)));
        self.waiters.waiting = rest;
        for (token, waiting) in ready {
            if let Waiting::Directory(command) = waiting {
                self.on_command(token, command);
            }
        }
    }

    pub(crate) fn on_abandoned(&mut self, token: CommandToken) {
        if self.abandon_account(token) {
            let failure = self.unreachable();
            return self.done(token, Err(failure));
        }
        let Some(waiting) = self.waiters.take(token) else { return };
        let result = match waiting {
            Waiting::Send { to, short, id } => {
                Ok(Outcome::Sent { id: short, uid: id, to, state: DeliveryState::Queued })
            }
            Waiting::SendGroup { group, short, id } => {
                let recipients = self.recipients_view(id);
                Ok(Outcome::SentGroup { id: short, uid: id, group, recipients })
            }
            Waiting::Group { id, number } => Err(self.abandon_intent(id, number)),
            Waiting::Resume { .. } => self.resumed(false, 0),
            Waiting::Settling(settling) => settling.result(),
            Waiting::Money(waiting) => Err(self.abandon_money(&waiting)),
            Waiting::Accepting { file } => self.abandon_accepting(file),
            Waiting::Survey { path } => {
                let text = format!(
                    "{path} is still being read; it is offered as soon as that is done, and FILES shows it then (a script \
                     says TIMEOUT before it, or WAIT IDLE behind it)"
                );
                Err(Failure::new(FailureCode::Unknown, text))
            }
            Waiting::Removal { .. } => {
                let text = "the device is revoked, but still has its place in a conversation; \
                            it is removed as soon as the directory takes the change (STATUS shows the connection)";
                Err(Failure::new(FailureCode::Unreachable, text))
            }
            Waiting::Idle => Err(Failure::new(FailureCode::Timeout, "something is still queued; STATUS shows what")),
            Waiting::Online { user, online, .. } => {
                let word = if online { "online" } else { "offline" };
                Err(Failure::new(FailureCode::Timeout, format!("{user} was not {word} in time")))
            }
            _ => Err(self.unreachable()),
        };
        self.done(token, result);
    }

    /// A way to others is gone: what is durable here and can go nowhere for now is done, as queued.
    pub(crate) fn on_unreachable(&mut self) {
        if self.link.is_connected() {
            return;
        }
        let connected: Vec<_> = self.peers.accounts().collect();
        let ends = |waiting: &Waiting| match waiting {
            Waiting::Send { to, .. } => {
                !self.people.by_name(to).is_some_and(|contact| connected.contains(&contact.account))
            }
            Waiting::SendGroup { .. }
            | Waiting::Resume { .. }
            | Waiting::Settling(_)
            | Waiting::Answer
            | Waiting::Devices => true,
            // Everything else repeats its request through lost connections, until whoever asked gives up.
            _ => false,
        };
        let waiting = self.waiters.waiting.iter();
        let ended: Vec<CommandToken> = waiting.filter(|(_, waiting)| ends(waiting)).map(|(token, _)| *token).collect();
        for token in ended {
            self.on_abandoned(token);
        }
    }

    fn ping(&mut self, token: CommandToken) {
        if self.link.is_connected() {
            let purpose = Purpose::Ping { token, asked: self.now };
            self.ask(purpose, Request::Ping);
            self.wait(token, Waiting::Answer);
        } else {
            self.wait_for_directory(token, Command::Ping);
        }
    }

    /// Keeps a command until the directory is connected, or until whoever asked gives up. PING asks just that, and is
    /// answered at once where the directory is known not to answer.
    pub(crate) fn wait_for_directory(&mut self, token: CommandToken, command: Command) {
        if command == Command::Ping && self.link.last_failure.is_some() {
            let failure = self.unreachable();
            self.done(token, Err(failure));
        } else {
            self.wait(token, Waiting::Directory(command));
        }
    }

    pub(crate) fn on_pong(&mut self, token: CommandToken, asked: Timestamp, answer: Answer) {
        if self.waiters.take(token).is_none() {
            return;
        }
        let result = match answer {
            Answer::Reply(reply) if matches!(*reply, Reply::Pong { .. }) => {
                Ok(Outcome::Pong { round_trip_ms: self.now.ms_since(asked) })
            }
            Answer::Reply(_) => Err(misbehaves()),
            Answer::Refusal(refusal) => Err(Failure::new(FailureCode::Refused, refusal.to_string())),
            Answer::Lost => Err(self.unreachable()),
        };
        self.done(token, result);
    }

    fn who_am_i(&mut self, token: CommandToken) {
        let Some(own) = self.own() else { return };
        let outcome = Outcome::WhoAmI {
            name: own.name.clone(),
            account: own.account.to_string(),
            device: own.device.to_string(),
            fingerprint: membership::fingerprint(&own.root_key).to_string(),
        };
        self.done(token, Ok(outcome));
    }

    fn resumed(&self, online: bool, unread: usize) -> CommandResult {
        let name = self.account_name().cloned().ok_or_else(|| self.unreachable())?;
        Ok(Outcome::SignedIn { name, online, unread })
    }

    /// Asks the directory who somebody is, to go on with the command then.
    pub(crate) fn find_person(&mut self, token: CommandToken, user: Name, command: Command) {
        if !self.is_online() {
            return self.wait_for_directory(token, command);
        }
        let who = Bounded::new(vec![Who::Name(user.clone())]).unwrap_or_default();
        self.wait(token, Waiting::Person { user, command });
        self.ask(Purpose::Waiter { token }, Request::LookUp { who });
    }
}

pub(crate) fn misbehaves() -> Failure {
    let text = "the directory gave an answer that does not hold; nothing was done (the log says more with -v)";
    Failure::new(FailureCode::Trust, text)
}

pub(crate) fn unknown_person(name: &Name) -> Failure {
    Failure::new(FailureCode::Conflict, format!("nobody here is called {name}; LIST shows who is"))
}

pub(crate) fn changed_key(name: &Name) -> Failure {
    let text = format!(
        "{name}'s key is another one than before, so nothing is sent; VERIFY {name} shows the new safety number: \
         if {name} reads the same one to you, TRUST {name} CODE accepts it"
    );
    Failure::new(FailureCode::Trust, text)
}
