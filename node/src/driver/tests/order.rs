//! The order of things, with a core that says exactly which effects follow from which command.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    sync::Arc,
};

use node_core::{
    command::{Command, CommandResult, CommandToken, Failure, FailureCode, ListWhat, Outcome},
    event::{ConnectionState, Event, EventKind},
    input::{Answer, CallId, Input},
    output::{Effect, Outputs},
    stored::{Change, Stored, Transaction},
    stretch::StretchParameters,
};
use p256::{SecretKey, pkcs8::EncodePrivateKey as _};
use protocol::{Name, Timestamp, directory::Request};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{
    NodeCommand,
    event_log::event_log,
    machine::{Account, Machine},
    network::Surroundings,
    profile::{Place, ProfileLocation},
    run::{Call, Driver, Fatal},
    session::Common,
};
use crate::{config::DirectoryAddress, net::endpoint};

thread_local! {
    /// How often a core was opened in this test, and with which last event.
    static OPENED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// The moment at which the last timer was set and the one at which it came.
    static TIMER: Cell<Option<(Timestamp, Timestamp)>> = const { Cell::new(None) };
}

/// Answers CONTACTS after a commit that can't succeed, STATUS after one that can, PING after a request to a directory
/// that is not there, and LIST after a timer.
#[derive(Debug)]
struct Scripted {
    key: Vec<u8>,
    last_event: u64,
    asking: Option<CommandToken>,
    timed: Option<(CommandToken, Timestamp)>,
}

fn event(seq: u64) -> Event {
    Event { seq: Some(seq), at: Timestamp(seq), kind: EventKind::Connection { state: ConnectionState::Online } }
}

impl Scripted {
    fn commit_and_show(&mut self, token: CommandToken, seq: u64) -> Outputs {
        let shown = event(seq);
        let persist = Some(Transaction { changes: vec![Change::Event(shown.clone())] });
        Outputs { persist, after: vec![Effect::Show(shown), Effect::Done { token, result: Ok(Outcome::Done) }] }
    }

    fn command(&mut self, now: Timestamp, token: CommandToken, command: Command) -> Outputs {
        match command {
            Command::Contacts => self.commit_and_show(token, self.last_event + 7),
            Command::Status => {
                self.last_event += 1;
                self.commit_and_show(token, self.last_event)
            }
            Command::Ping => {
                self.asking = Some(token);
                let ask = Effect::Ask { call: CallId(1), request: Box::new(Request::Ping) };
                Outputs { persist: None, after: vec![ask] }
            }
            Command::List { .. } => {
                let at = now.plus_ms(20);
                self.timed = Some((token, at));
                Outputs {
                    persist: None,
                    after: vec![Effect::SetTimer { at: now.plus_ms(60_000) }, Effect::SetTimer { at }],
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn done(token: CommandToken, result: CommandResult) -> Outputs {
        Outputs { persist: None, after: vec![Effect::Done { token, result }] }
    }
}

impl Machine for Scripted {
    fn open(_: StretchParameters, stored: Stored, _: Timestamp) -> Result<(Self, Outputs), String> {
        OPENED.with_borrow_mut(|opened| opened.push(stored.last_event));
        let key = SecretKey::from_slice(&[7; 32]).unwrap().to_pkcs8_der().unwrap().as_bytes().to_vec();
        Ok((Self { key, last_event: stored.last_event, asking: None, timed: None }, Outputs::default()))
    }

    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Outputs {
        let mut all = Outputs::default();
        for input in inputs {
            let outputs = match input {
                Input::Command { token, command } => self.command(now, token, command),
                Input::Reply { call: CallId(1), answer: Answer::Lost } => {
                    let token = self.asking.take().expect("one answer for one request");
                    Self::done(token, Err(Failure::new(FailureCode::Unreachable, "lost")))
                }
                Input::Tick => {
                    let (token, at) = self.timed.take().expect("one tick for one timer");
                    TIMER.set(Some((at, now)));
                    Self::done(token, Ok(Outcome::Done))
                }
                _ => Outputs::default(),
            };
            assert!(all.persist.is_none() || outputs.persist.is_none(), "one transaction in each of these tests");
            all.persist = all.persist.or(outputs.persist);
            all.after.extend(outputs.after);
        }
        all
    }

    fn tls_key_pkcs8(&self) -> &[u8] {
        &self.key
    }

    fn account_name(&self) -> Option<&Name> {
        None
    }

    fn account(&self) -> Account {
        Account::None
    }
}

/// Runs a node with the scripted core on this thread, and hands its call queue and its events to the test.
async fn with_node<F: Future<Output = ()>>(
    test: impl FnOnce(mpsc::Sender<Call>, super::super::EventStream) -> F,
) -> Result<(), Fatal> {
    let directory = DirectoryAddress { host_port: "127.0.0.1:9".to_owned(), fingerprint: None };
    let socket = endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let surroundings = Surroundings { directory, socket, alarm: Default::default(), last_peer: Arc::default() };
    let common =
        Common::new(surroundings, StretchParameters { memory_kib: 8, passes: 1, lanes: 1 }, PathBuf::from("inbox"));
    let (writer, log) = event_log();
    let place = Place::new(ProfileLocation::Temporary).unwrap();
    let driver = Driver::<Scripted>::open(common, place, watch::channel(None).0, writer).unwrap();
    let (calls, queue) = mpsc::channel(8);
    let (ended, ()) = tokio::join!(driver.run(queue), test(calls, log.reader()));
    ended
}

async fn perform(calls: &mpsc::Sender<Call>, number: u64, command: Command) -> CommandResult {
    let (reply, answer) = oneshot::channel();
    let command = NodeCommand::Core(command);
    calls.send(Call::Perform { token: CommandToken(number), command, reply }).await.unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn after_a_commit_that_failed_nothing_follows_and_the_core_is_opened_from_what_is_stored() {
    let ended = with_node(async |calls, mut events| {
        assert_eq!(perform(&calls, 1, Command::Status).await, Ok(Outcome::Done));
        assert_eq!(events.try_next(), Some(event(1)));
        let failure = perform(&calls, 2, Command::Contacts).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Other);
        assert_eq!(events.try_next(), None);
        assert_eq!(OPENED.take(), [0, 1]);
        // It goes on where the disk is, not where the dropped core was.
        assert_eq!(perform(&calls, 3, Command::Status).await, Ok(Outcome::Done));
        assert_eq!(events.try_next(), Some(event(2)));
    })
    .await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_request_without_a_connection_is_answered_as_lost_once() {
    let ended = with_node(async |calls, _| {
        let lost = Failure::new(FailureCode::Unreachable, "lost");
        assert_eq!(perform(&calls, 1, Command::Ping).await, Err(lost));
    })
    .await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_later_timer_replaces_the_earlier_and_does_not_come_before_its_time() {
    let ended = with_node(async |calls, _| {
        assert_eq!(perform(&calls, 1, Command::List { what: ListWhat::All }).await, Ok(Outcome::Done));
    })
    .await;
    let (set, came) = TIMER.take().unwrap();
    assert!(set <= came && came < set.plus_ms(30_000), "{set:?} {came:?}");
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_panic_in_a_part_of_the_node_ends_it_with_a_message() {
    let directory = DirectoryAddress { host_port: "127.0.0.1:9".to_owned(), fingerprint: None };
    let socket = endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let alarm = crate::net::alarm::Alarm::default();
    let surroundings = Surroundings { directory, socket, alarm: alarm.clone(), last_peer: Arc::default() };
    let common =
        Common::new(surroundings, StretchParameters { memory_kib: 8, passes: 1, lanes: 1 }, PathBuf::from("inbox"));
    let place = Place::new(ProfileLocation::Temporary).unwrap();
    let driver = Driver::<Scripted>::open(common, place, watch::channel(None).0, event_log().0).unwrap();
    let (_calls, queue) = mpsc::channel(8);
    let guard = alarm.guard();
    tokio::spawn(async move {
        let _guard = guard;
        panic!("on purpose");
    });
    let Err(Fatal(why)) = driver.run(queue).await else { panic!("it went on") };
    assert!(why.contains("has failed"), "{why}");
}
