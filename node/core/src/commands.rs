//! Commands: what each asks of the parts, and when it is done.
//!
//! A command completes when its effect is certain. Until then it waits here; whoever gave it may give up
//! ([`crate::input::Input::Abandoned`]), and what was begun goes on.

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, MessageId, Name, Timestamp,
    directory::{Person, Reply, Request, Who},
    limits::LIST_MAX,
};

use crate::{
    command::{
        Command, CommandResult, CommandToken, Failure, FailureCode, HistoryEntry, ListWhat, MessageRef, Outcome,
        PersonView, StatusView,
    },
    core::Core,
    event::{DeliveryState, ShortId, Trust},
    flow::Flow,
    input::{Answer, CallId},
    link::Purpose,
    output::Effect,
    people::Found,
};

/// Commands that may wait at a time: far more than a person or a script starts, few enough to stay small.
const WAITERS_MAX: usize = 1_024;
/// How often somebody's presence is asked for while it is waited for, in milliseconds; pushes come sooner.
const PRESENCE_POLL_MS: u64 = 1_000;
/// People that one LIST shows at most.
const LISTED_MAX: usize = 10 * LIST_MAX;

#[derive(Debug)]
enum Waiting {
    /// For a connection to the directory, to be tried then.
    Directory(Command),
    /// For the name's account, to send it this.
    Compose { to: Name, text: String },
    /// For a message to be handed over.
    Send { to: Name, short: ShortId, id: MessageId },
    /// For everything that waited at the directory to be taken in.
    Resume { unread_before: usize },
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
    /// For the answer to a request, which has a purpose of its own.
    Answer,
}

/// Commands that are not done yet.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Vec<(CommandToken, Waiting)>,
    unread: usize,
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
            Command::Ping => self.ping(token),
            command => match self.check_signed_in() {
                Ok(()) => self.on_account_command(token, command),
                Err(failure) => self.done(token, Err(failure)),
            },
        }
    }

    fn check_signed_in(&self) -> Result<(), Failure> {
        match self.own() {
            None => Err(Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account")),
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
                self.wait(token, Waiting::Resume { unread_before });
                if !self.link.is_connected() && self.link.last_failure.is_some() {
                    self.on_unreachable();
                }
            }
            Command::WhoAmI => self.who_am_i(token),
            Command::Send { to, text } => self.send(token, to, text),
            Command::Resend { id } => self.find(token, id, true),
            Command::AskState { id } => self.find(token, id, false),
            Command::List { what } => self.list(token, what),
            Command::Contacts => self.show_people(token, Vec::new(), |view| view.contact),
            Command::History { with, count } => self.history(token, with, count),
            Command::Status => self.status(token),
            Command::AskOnline { user } => self.ask_online(token, user),
            Command::WaitOnline { user, online } => {
                self.wait(token, Waiting::Online { user, online, flow: Flow::default() });
            }
            Command::WaitIdle => self.wait(token, Waiting::Idle),
            Command::SignUp { .. } | Command::SignIn { .. } | Command::Ping => {}
        }
    }

    fn wait(&mut self, token: CommandToken, waiting: Waiting) {
        self.waiters.waiting.push((token, waiting));
    }

    /// A command ended.
    pub(crate) fn done(&mut self, token: CommandToken, result: CommandResult) {
        self.batch.effect(Effect::Done { token, result });
    }

    /// The failure of whatever needs the directory.
    pub(crate) fn unreachable(&self) -> Failure {
        let reason = self.link.last_failure.as_deref().unwrap_or("the directory does not answer");
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
            Waiting::Resume { .. } => self.resumed(false, 0),
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
            Waiting::Resume { .. } | Waiting::Answer => true,
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
    fn wait_for_directory(&mut self, token: CommandToken, command: Command) {
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

    fn send(&mut self, token: CommandToken, to: Name, text: String) {
        if self.own().is_some_and(|own| own.name == to) {
            let failure = Failure::new(FailureCode::Refused, "that is you; SEND NAME text goes to somebody else");
            return self.done(token, Err(failure));
        }
        if let Some(account) = self.people.by_name(&to).map(|contact| contact.account) {
            return self.send_to(token, account, to, &text);
        }
        if !self.is_online() {
            return self.wait_for_directory(token, Command::Send { to, text });
        }
        let who = Bounded::new(vec![Who::Name(to.clone())]).unwrap_or_default();
        self.ask(Purpose::LookUpName { token, name: to.clone() }, Request::LookUp { who });
        self.wait(token, Waiting::Compose { to, text });
    }

    fn send_to(&mut self, token: CommandToken, account: protocol::AccountId, to: Name, text: &str) {
        if self.people.trust(account) == Trust::Changed {
            return self.done(token, Err(changed_key(&to)));
        }
        match self.enqueue(account, text) {
            Ok((short, id)) => {
                self.wait(token, Waiting::Send { to, short, id });
                if !self.link.is_connected() && self.link.last_failure.is_some() {
                    self.on_unreachable();
                }
            }
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    pub(crate) fn on_name_found(&mut self, token: CommandToken, name: Name, answer: Answer) {
        let Some(Waiting::Compose { to, text }) = self.waiters.take(token) else { return };
        let people = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::People(people) => people,
                _ => return self.done(token, Err(misbehaves())),
            },
            Answer::Refusal(refusal) => {
                return self.done(token, Err(Failure::new(FailureCode::Refused, refusal.to_string())));
            }
            Answer::Lost => return self.wait(token, Waiting::Directory(Command::Send { to, text })),
        };
        let Some(person) = people.iter().find(|person| person.name == name) else {
            return self.done(token, Err(unknown_person(&name)));
        };
        match self.take_person(person) {
            Found::Known(account) => self.send_to(token, account, to, &text),
            Found::Changed(_) => self.done(token, Err(changed_key(&name))),
            Found::Unusable => self.done(token, Err(misbehaves())),
        }
    }

    /// A message was handed over, or is known to wait.
    pub(crate) fn settle_send(&mut self, message: MessageId, state: DeliveryState) {
        let mut settled = Vec::new();
        for (token, waiting) in &self.waiters.waiting {
            if let Waiting::Send { to, short, id } = waiting
                && *id == message
            {
                settled.push((*token, to.clone(), *short));
            }
        }
        for (token, to, id) in settled {
            self.waiters.take(token);
            self.done(token, Ok(Outcome::Sent { id, uid: message, to, state }));
        }
    }

    fn find(&mut self, token: CommandToken, id: MessageRef, resend: bool) {
        self.wait(token, Waiting::Find { resend });
        self.batch.effect(Effect::FindMessage { token, id });
    }

    pub(crate) fn on_message_found(&mut self, token: CommandToken, entry: Result<Option<HistoryEntry>, String>) {
        let Some(Waiting::Find { resend }) = self.waiters.take(token) else { return };
        let entry = match entry {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                let failure = Failure::new(FailureCode::Conflict, "there is no such message; HISTORY shows their ids");
                return self.done(token, Err(failure));
            }
            Err(error) => return self.done(token, Err(Failure::new(FailureCode::Other, error))),
        };
        match (entry.state, resend) {
            (None, _) => {
                let text = format!("{} is a message that you received, not one that you sent", entry.id);
                self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
            (Some(state), false) => self.done(token, Ok(Outcome::State(state))),
            (Some(DeliveryState::Failed), true) => self.send(token, entry.to, entry.text),
            (Some(state), true) => {
                let text = format!("{} is {}; only a message that failed is sent again", entry.id, state.word());
                self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
        }
    }

    fn history(&mut self, token: CommandToken, with: Option<Name>, count: usize) {
        if let Some(name) = &with
            && self.people.by_name(name).is_none()
        {
            return self.done(token, Err(unknown_person(name)));
        }
        self.wait(token, Waiting::History);
        self.batch.effect(Effect::ReadHistory { token, with, count });
    }

    pub(crate) fn on_history_read(&mut self, token: CommandToken, entries: Result<Vec<HistoryEntry>, String>) {
        if self.waiters.take(token).is_none() {
            return;
        }
        let result = entries.map(|messages| Outcome::History { messages });
        self.done(token, result.map_err(|error| Failure::new(FailureCode::Other, error)));
    }

    fn list(&mut self, token: CommandToken, what: ListWhat) {
        if matches!(what, ListWhat::Groups | ListWhat::Mine) || !self.is_online() {
            return self.show_list(token, what, Vec::new());
        }
        self.wait(token, Waiting::List { what, people: Vec::new() });
        self.ask(Purpose::Waiter { token }, Request::ListOnline { after: None });
    }

    fn show_list(&mut self, token: CommandToken, what: ListWhat, people: Vec<Person>) {
        let with_people = matches!(what, ListWhat::All | ListWhat::Users);
        self.show_people(token, people, |_| with_people);
    }

    fn show_people(&mut self, token: CommandToken, online: Vec<Person>, keep: impl Fn(&PersonView) -> bool) {
        for person in &online {
            self.note_presence(person.account, person.online, person.last_seen);
        }
        let own = self.own().map(|own| own.account);
        let strangers = online.into_iter().filter(|p| Some(p.account) != own && self.people.get(p.account).is_none());
        let strangers = strangers.filter_map(|person| {
            let list = membership::certificate::verify_device_list(&person.devices).ok()?;
            (list.account == person.account).then(|| PersonView {
                name: person.name,
                online: person.online,
                last_seen: person.last_seen,
                contact: false,
                trust: Trust::Stranger,
                fingerprint: membership::fingerprint(&list.root_key).to_string(),
            })
        });
        let known = self.people.all().filter_map(|contact| {
            Some(PersonView {
                name: contact.name.clone()?,
                online: self.people.is_online(contact.account),
                last_seen: contact.last_seen,
                contact: contact.accepted,
                trust: self.people.trust(contact.account),
                fingerprint: membership::fingerprint(&contact.root_key).to_string(),
            })
        });
        let mut people: Vec<PersonView> = known.chain(strangers).filter(|view| keep(view)).collect();
        people.sort_by(|one, other| one.name.cmp(&other.name));
        self.done(token, Ok(Outcome::People { people }));
    }

    fn status(&mut self, token: CommandToken) {
        let peers = self.peers.accounts().filter_map(|account| self.people.name_of(account).cloned());
        let mut peers: Vec<Name> = peers.collect();
        peers.sort();
        let view = StatusView {
            name: self.account_name().cloned(),
            online: self.is_online() && self.link.is_announced(),
            addresses: self.link.all_addresses().iter().map(ToString::to_string).collect(),
            peers,
            queued: self.outbox.count(DeliveryState::Queued),
            sent: self.outbox.count(DeliveryState::Sent),
            conversations: self.conversations.len(),
        };
        self.done(token, Ok(Outcome::Status(view)));
    }

    fn ask_online(&mut self, token: CommandToken, user: Name) {
        if !self.is_online() {
            return self.wait_for_directory(token, Command::AskOnline { user });
        }
        let who = Bounded::new(vec![Who::Name(user.clone())]).unwrap_or_default();
        self.wait(token, Waiting::AskOnline { user });
        self.ask(Purpose::Waiter { token }, Request::LookUp { who });
    }

    /// An answer to a command's own request.
    pub(crate) fn on_waiter_answer(&mut self, token: CommandToken, call: CallId, answer: Answer) {
        let Some(waiting) = self.waiters.take(token) else { return };
        let people = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::People(people) => Ok(people.into_inner()),
                _ => Err(misbehaves()),
            },
            Answer::Refusal(refusal) => Err(Failure::new(FailureCode::Refused, refusal.to_string())),
            Answer::Lost => Err(self.unreachable()),
        };
        match (waiting, people) {
            (Waiting::Online { user, online, flow }, people) if flow.is(call) => {
                self.on_presence_answer(token, user, online, people.ok());
            }
            (Waiting::AskOnline { user }, Ok(people)) => {
                let found = people.iter().find(|person| person.name == user);
                let result = found.map(|person| Outcome::Online(person.online)).ok_or_else(|| unknown_person(&user));
                self.done(token, result);
            }
            (Waiting::List { what, people: mut all }, Ok(people)) => {
                let more = people.len() == LIST_MAX && all.len() < LISTED_MAX;
                let after = people.last().map(|person| person.name.clone());
                all.extend(people);
                if more {
                    self.wait(token, Waiting::List { what, people: all });
                    self.ask(Purpose::Waiter { token }, Request::ListOnline { after });
                } else {
                    self.show_list(token, what, all);
                }
            }
            (Waiting::Online { .. }, _) => {}
            (_, Err(failure)) => self.done(token, Err(failure)),
            (waiting, Ok(_)) => self.wait(token, waiting),
        }
    }

    fn on_presence_answer(&mut self, token: CommandToken, user: Name, online: bool, people: Option<Vec<Person>>) {
        let found = people.as_ref().map(|people| people.iter().find(|person| person.name == user));
        match found {
            Some(Some(person)) if person.online == online => self.done(token, Ok(Outcome::Online(online))),
            Some(None) => self.done(token, Err(unknown_person(&user))),
            _ => {
                let mut flow = Flow::default();
                flow.wait_until(self.now.plus_ms(PRESENCE_POLL_MS));
                self.wait(token, Waiting::Online { user, online, flow });
            }
        }
    }

    /// Somebody came or went: whoever waits for it asks at once.
    pub(crate) fn presence_hint(&mut self, name: &Name) {
        for (_, waiting) in &mut self.waiters.waiting {
            if let Waiting::Online { user, flow, .. } = waiting
                && user == name
            {
                flow.retry_now();
            }
        }
    }

    fn resumed(&self, online: bool, unread: usize) -> CommandResult {
        let name = self.account_name().cloned().ok_or_else(|| self.unreachable())?;
        Ok(Outcome::SignedIn { name, online, unread })
    }

    /// Waits for everything that waited at the directory, after a sign-in.
    pub(crate) fn wait_for_mail(&mut self, token: CommandToken) {
        let unread_before = self.waiters.unread;
        self.wait(token, Waiting::Resume { unread_before });
    }

    /// Whether nothing is queued, in flight or owed that could be handed over.
    fn is_idle(&self) -> bool {
        let quiet = self.outbox.count(DeliveryState::Queued) == 0;
        quiet && (!self.is_online() || self.mail.is_drained() && self.owed_receipts().is_empty())
    }

    pub(crate) fn reconcile_waiters(&mut self) {
        let taken_in = self.is_online() && self.link.is_announced() && self.mail.is_drained();
        let idle = self.is_idle();
        let unread = self.waiters.unread;
        let mut ended = Vec::new();
        let mut asked = Vec::new();
        for (token, waiting) in &self.waiters.waiting {
            match waiting {
                Waiting::Resume { unread_before } if taken_in => {
                    ended.push((*token, self.resumed(true, unread.saturating_sub(*unread_before))));
                }
                Waiting::Idle if idle => ended.push((*token, Ok(Outcome::Done))),
                Waiting::Online { user, flow, .. } if self.is_online() && flow.is_ready(self.now) => {
                    asked.push((*token, user.clone()));
                }
                _ => {}
            }
        }
        for (token, result) in ended {
            self.waiters.take(token);
            self.done(token, result);
        }
        for (token, user) in asked {
            let who = Bounded::new(vec![Who::Name(user)]).unwrap_or_default();
            let call = self.ask(Purpose::Waiter { token }, Request::LookUp { who });
            for (waiting, state) in &mut self.waiters.waiting {
                if let Waiting::Online { flow, .. } = state
                    && *waiting == token
                {
                    flow.start(call);
                }
            }
        }
    }

    pub(crate) fn waiters_timer(&self) -> Option<Timestamp> {
        let polls = self.waiters.waiting.iter().filter_map(|(_, waiting)| match waiting {
            Waiting::Online { flow, .. } if self.is_online() => flow.due(),
            _ => None,
        });
        polls.min()
    }
}

fn misbehaves() -> Failure {
    let text = "the directory gave an answer that does not hold; nothing was done (the log says more with -v)";
    Failure::new(FailureCode::Trust, text)
}

fn unknown_person(name: &Name) -> Failure {
    Failure::new(FailureCode::Conflict, format!("nobody here is called {name}; LIST shows who is"))
}

fn changed_key(name: &Name) -> Failure {
    let text = format!(
        "the directory gives another key for {name} than the one pinned here, so nothing is sent; \
         CONTACTS shows the pinned fingerprint, and WHOAMI at {name}'s own node shows theirs: compare them"
    );
    Failure::new(FailureCode::Trust, text)
}
