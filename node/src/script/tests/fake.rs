//! A stage whose actors do as their lines say.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use node_core::{
    command::{Command, CommandResult, Failure, FailureCode, MoneyCommand, Outcome, Password, StatusView},
    event::{DeliveryState, Event, EventKind, MemberChange, ShortId, Trust},
};
use protocol::{MessageId, Name, Timestamp};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    driver::NodeCommand,
    script::{Actor, Stage},
};

/// What all actors share.
#[derive(Default)]
pub(super) struct World {
    /// What each will see, and when.
    coming: BTreeMap<String, VecDeque<(Duration, Event)>>,
    /// Everything that was asked of an actor, as `alice: …`.
    pub(super) asked: Vec<String>,
    queued: BTreeMap<String, usize>,
    sent: u8,
    begun: Option<Instant>,
}

impl World {
    fn elapsed(&mut self) -> Duration {
        self.begun.get_or_insert_with(Instant::now).elapsed()
    }

    pub(super) fn post(&mut self, to: &str, after: Duration, kind: EventKind) {
        let at = self.elapsed() + after;
        let events = self.coming.entry(to.to_owned()).or_default();
        let place = events.iter().take_while(|(due, _)| *due <= at).count();
        events.insert(place, (at, Event { seq: None, at: Timestamp(0), kind }));
    }
}

/// A person's name.
pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// The id of the n-th message that is sent.
pub(super) fn uid(number: u8) -> MessageId {
    MessageId([number; 16])
}

/// What an actor sees when the n-th message comes.
pub(super) fn message(from: &str, number: u8, text: &str) -> EventKind {
    EventKind::Message {
        id: ShortId::Message(number.into()),
        uid: uid(number),
        from: name(from),
        text: text.to_owned(),
        sent_at: Timestamp(0),
        trust: Trust::Pinned,
        gap: false,
        to: None,
        group: None,
        muted: false,
    }
}

/// The same, said in a group.
pub(super) fn group_message(group: &str, from: &str, number: u8, text: &str) -> EventKind {
    let mut kind = message(from, number, text);
    if let EventKind::Message { group: in_group, .. } = &mut kind {
        *in_group = Some(name(group));
    }
    kind
}

/// What everybody in a group sees of somebody.
pub(super) fn member(group: &str, user: &str, by: &str, change: MemberChange) -> EventKind {
    EventKind::Member { group: name(group), user: name(user), by: name(by), change }
}

/// What an actor sees of a message of its own.
pub(super) fn receipt(to: &str, number: u8, state: DeliveryState) -> EventKind {
    let reason = (state == DeliveryState::Failed).then(|| "it expired".to_owned());
    EventKind::Receipt {
        id: ShortId::Message(number.into()),
        uid: uid(number),
        to: name(to),
        state,
        reason,
        group: None,
    }
}

/// Does as its lines say: `SEND bob fail 7` fails with that code, `SEND bob take 5 …` needs so many seconds,
/// `SEND bob queue …` stays queued; whatever else is sent arrives and is acknowledged at once. `bob` is online.
pub(super) struct FakeActor {
    label: String,
    world: Arc<Mutex<World>>,
}

impl FakeActor {
    fn send(&self, to: &Name, text: &str) -> Result<Outcome, Failure> {
        let mut words = text.split(' ');
        if let (Some("fail"), Some(code)) = (words.next(), words.next()) {
            return Err(Failure::new(code_numbered(code.parse().unwrap()), "as asked"));
        }
        let mut world = self.world.lock().unwrap();
        world.sent += 1;
        let number = world.sent;
        let state = if text.starts_with("queue") {
            *world.queued.entry(self.label.clone()).or_default() += 1;
            DeliveryState::Queued
        } else {
            world.post(to.as_str(), Duration::ZERO, message(self.author(), number, text));
            world.post(&self.label, Duration::ZERO, receipt(to.as_str(), number, DeliveryState::Delivered));
            DeliveryState::Delivered
        };
        Ok(Outcome::Sent { id: ShortId::Message(number.into()), uid: uid(number), to: to.clone(), state })
    }

    /// The label of the single actor is a word that nobody may be called.
    fn author(&self) -> &str {
        if self.label == "me" { "myself" } else { &self.label }
    }

    fn queued(&self) -> usize {
        self.world.lock().unwrap().queued.get(&self.label).copied().unwrap_or_default()
    }

    async fn core(&self, command: Command, timeout: Duration) -> CommandResult {
        let late = |code| Failure::new(code, "in vain");
        match command {
            Command::Send { to, text } => {
                let seconds = text.strip_prefix("take ").and_then(|rest| rest.split(' ').next()?.parse().ok());
                let needed = Duration::from_secs(seconds.unwrap_or(0));
                sleep(needed.min(timeout)).await;
                if needed > timeout { Err(late(FailureCode::Unreachable)) } else { self.send(&to, &text) }
            }
            Command::WaitIdle if self.queued() > 0 => {
                sleep(timeout).await;
                Err(late(FailureCode::Timeout))
            }
            Command::WaitOnline { user, online } if (user == name("bob")) != online => {
                sleep(timeout).await;
                Err(late(FailureCode::Timeout))
            }
            Command::AskOnline { user } => Ok(Outcome::Online(user == name("bob"))),
            Command::AskMembers { .. } => Ok(Outcome::MemberCount(3)),
            Command::Money(MoneyCommand::Balance) => Ok(super::money::balance()),
            Command::SendGroup { group, .. } => {
                let mut world = self.world.lock().unwrap();
                world.sent += 1;
                let (id, uid) = (ShortId::Message(world.sent.into()), uid(world.sent));
                let recipients = vec![(name("bob"), DeliveryState::Delivered), (name("carol"), DeliveryState::Queued)];
                Ok(Outcome::SentGroup { id, uid, group, recipients })
            }
            Command::AskState { .. } => Ok(Outcome::State(DeliveryState::Delivered)),
            Command::Status => {
                // Long enough that something can come meanwhile.
                sleep(Duration::from_millis(10)).await;
                Ok(Outcome::Status(StatusView {
                    name: None,
                    online: true,
                    addresses: Vec::new(),
                    peers: Vec::new(),
                    unknown: 0,
                    queued: self.queued(),
                    sent: 0,
                    files: 0,
                    conversations: 0,
                }))
            }
            Command::Ping => Ok(Outcome::Pong { round_trip_ms: 1 }),
            Command::SignOut => Ok(Outcome::SignedOut),
            _ => Ok(Outcome::Done),
        }
    }
}

/// The class of a failure by its number.
pub(super) fn code_numbered(number: u8) -> FailureCode {
    let codes = [
        FailureCode::Other,
        FailureCode::Usage,
        FailureCode::Unreachable,
        FailureCode::Auth,
        FailureCode::Trust,
        FailureCode::Conflict,
        FailureCode::Refused,
        FailureCode::Unknown,
        FailureCode::Timeout,
    ];
    codes.into_iter().find(|code| *code as u8 == number).unwrap()
}

fn told(command: &NodeCommand) -> String {
    let word = |password: &Password| String::from_utf8(password.expose().to_vec()).unwrap();
    match command {
        NodeCommand::SignUp { name, password, .. } => format!("signup {name} {}", word(password)),
        NodeCommand::SignIn { name, password } => format!("signin {name} {}", word(password)),
        NodeCommand::Core(Command::Send { to, text }) => format!("send {to} {text}"),
        NodeCommand::Core(Command::SendGroup { group, text }) => format!("send group {group} {text}"),
        NodeCommand::Core(command) => format!("{command:?}"),
    }
}

impl Actor for FakeActor {
    async fn perform(&mut self, command: NodeCommand, timeout: Duration) -> CommandResult {
        self.world.lock().unwrap().asked.push(format!("{}: {}", self.label, told(&command)));
        match command {
            NodeCommand::Core(command) => self.core(command, timeout).await,
            NodeCommand::SignUp { name, .. } | NodeCommand::SignIn { name, .. } => {
                Ok(Outcome::SignedIn { name, online: true, unread: 0 })
            }
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        let (due, begun) = {
            let mut world = self.world.lock().unwrap();
            world.elapsed();
            (world.coming.get(&self.label).and_then(|events| events.front()).map(|(due, _)| *due), world.begun)
        };
        match (due, begun) {
            (Some(due), Some(begun)) => sleep_until(begun + due).await,
            _ => std::future::pending().await,
        }
        self.try_next_event()
    }

    fn try_next_event(&mut self) -> Option<Event> {
        let mut world = self.world.lock().unwrap();
        let now = world.elapsed();
        let events = world.coming.get_mut(&self.label)?;
        if events.front()?.0 > now {
            return None;
        }
        events.pop_front().map(|(_, event)| event)
    }

    async fn close(self) {
        let mut world = self.world.lock().unwrap();
        world.asked.push(format!("{}: closed", self.label));
        // A node that is started again does not tell what the one before it told.
        let now = world.elapsed();
        if let Some(events) = world.coming.get_mut(&self.label) {
            events.retain(|(due, _)| *due > now);
        }
    }
}

/// Where the actors come from.
pub(super) struct FakeStage {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) files: BTreeMap<String, String>,
    pub(super) kept: bool,
    pub(super) password: Option<String>,
}

impl Stage for FakeStage {
    type Actor = FakeActor;

    async fn open(&mut self, name: Option<&str>) -> Result<FakeActor, Failure> {
        Ok(FakeActor { label: name.unwrap_or("me").to_owned(), world: Arc::clone(&self.world) })
    }

    fn is_temporary(&self, name: Option<&str>) -> bool {
        name.is_some() && !self.kept
    }

    fn password(&mut self) -> Result<Option<Password>, Failure> {
        Ok(self.password.clone().map(Password::new))
    }

    fn read(&mut self, path: &Path) -> io::Result<String> {
        let text = self.files.get(&path.display().to_string()).cloned();
        text.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}
