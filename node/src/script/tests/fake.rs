//! A stage whose actors do as their lines say, and a script played on it.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use node_core::{
    command::{Command, CommandResult, Failure, FailureCode, Outcome, Password, StatusView},
    event::{DeliveryState, Event, EventKind, ShortId, Trust},
};
use protocol::{MessageId, Name, Timestamp};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    driver::NodeCommand,
    script::{
        Actor, Stage,
        output::{Form, Output},
        parse::parse,
        runner::Runner,
        variables::Variables,
    },
    view::Style,
};

/// What all actors share.
#[derive(Default)]
struct World {
    /// What each will see, and when.
    coming: BTreeMap<String, VecDeque<(Duration, Event)>>,
    /// Everything that was asked of an actor, as `alice: …`.
    asked: Vec<String>,
    queued: BTreeMap<String, usize>,
    sent: u8,
    begun: Option<Instant>,
}

impl World {
    fn elapsed(&mut self) -> Duration {
        self.begun.get_or_insert_with(Instant::now).elapsed()
    }

    fn post(&mut self, to: &str, after: Duration, kind: EventKind) {
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
    }
}

/// What an actor sees of a message of its own.
pub(super) fn receipt(to: &str, number: u8, state: DeliveryState) -> EventKind {
    let reason = (state == DeliveryState::Failed).then(|| "it expired".to_owned());
    EventKind::Receipt { id: ShortId::Message(number.into()), uid: uid(number), to: name(to), state, reason }
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
            Command::AskState { .. } => Ok(Outcome::State(DeliveryState::Delivered)),
            Command::Status => {
                // Long enough that something can come meanwhile.
                sleep(Duration::from_millis(10)).await;
                Ok(Outcome::Status(StatusView {
                    name: None,
                    online: true,
                    addresses: Vec::new(),
                    peers: Vec::new(),
                    queued: self.queued(),
                    sent: 0,
                    conversations: 0,
                }))
            }
            Command::Ping => Ok(Outcome::Pong { round_trip_ms: 1 }),
            Command::SignOut => Ok(Outcome::SignedOut),
            _ => Ok(Outcome::Done),
        }
    }
}

fn code_numbered(number: u8) -> FailureCode {
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
    world: Arc<Mutex<World>>,
    files: BTreeMap<String, String>,
    kept: bool,
    password: Option<String>,
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

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A script, and what surrounds it.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    name: Option<String>,
    files: Vec<(String, String)>,
    given: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
    only: Vec<String>,
    events: Vec<(String, Duration, EventKind)>,
    kept: bool,
    password: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Played {
    pub(super) code: u8,
    pub(super) data: String,
    pub(super) words: String,
    /// What was asked of the actors.
    pub(super) asked: Vec<String>,
    /// How long it seemed to take.
    pub(super) took: Duration,
}

impl Script {
    /// The script `dir/s.txt`.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// In a file of another name than `dir/s.txt`.
    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.given.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn only(mut self, name: &str) -> Self {
        self.only.push(name.to_owned());
        self
    }

    /// What an actor will see after so many milliseconds.
    pub(super) fn event(mut self, actor: &str, after_ms: u64, kind: EventKind) -> Self {
        self.events.push((actor.to_owned(), Duration::from_millis(after_ms), kind));
        self
    }

    pub(super) fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    pub(super) fn password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    pub(super) async fn play(self) -> Played {
        self.play_as(Form::Plain(style())).await
    }

    pub(super) async fn play_as(self, form: Form) -> Played {
        let begun = Instant::now();
        let (data, words) = (Paper::default(), Paper::default());
        let mut output =
            Output { form, data: Box::new(data.clone()), words: Box::new(words.clone()), named: false, step: None };
        let mut world = World::default();
        for (actor, after, kind) in self.events {
            world.post(&actor, after, kind);
        }
        let world = Arc::new(Mutex::new(world));
        let code = match parse(self.name.as_deref().unwrap_or("dir/s.txt"), &self.text) {
            Err((place, failure)) => {
                output.failed(&place.prefix(), &failure);
                failure.code as u8
            }
            Ok(steps) => {
                let stage = FakeStage {
                    world: Arc::clone(&world),
                    files: self.files.into_iter().collect(),
                    kept: self.kept,
                    password: self.password,
                };
                let variables = Variables::new(&self.given, self.environment);
                Runner::new(stage, variables, self.only, output).play(steps, Path::new("dir")).await
            }
        };
        let asked = world.lock().unwrap().asked.clone();
        Played { code, data: data.text(), words: words.text(), asked, took: begun.elapsed() }
    }
}

/// Text without colours, in UTC.
pub(super) fn style() -> Style {
    Style { color: false, zone: jiff::tz::TimeZone::UTC }
}

/// Plays a script that ends well; what was asked of its actors.
pub(super) async fn asked(script: Script) -> Vec<String> {
    let played = script.play().await;
    assert_eq!((played.code, played.words.as_str()), (0, ""));
    played.asked.into_iter().filter(|line| !line.ends_with(": closed") && !line.ends_with(": WaitIdle")).collect()
}

/// Plays a script to its exit code and the words about it.
pub(super) async fn end(script: Script) -> (u8, String) {
    let played = script.play().await;
    (played.code, played.words)
}
