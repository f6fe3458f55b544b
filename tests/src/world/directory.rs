//! The directory of the world: the real service over the store in memory, the connections to it, and its deaths.

mod answers;
mod connections;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use directory::core::{Caller, Service, ServiceConfig, ServiceEffect};
use node_core::input::{Answer, CallId, Input};
use protocol::{
    Bounded, ConversationId,
    directory::{Cursor, HandshakeBytes, PaymentLimits, Refusal, Registration, Reply, Request},
    money::Amount,
};

use super::{
    Happening, World,
    clock::Span,
    coverage::Case,
    crash::Point,
    fault::Fault,
    groups::Submitted,
    market::Asking,
    mortal::{MortalLedger, MortalStore},
    witness::{NodeIndex, Violation},
};
use crate::ledger::money;

/// Names a connection between a node and the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Sets the store's dice apart from the scheduler's.
const STORE_SEED: u64 = 0x0073_746f_7265;

struct Connection {
    node: NodeIndex,
    life: u64,
    caller: Caller,
    broken: bool,
    gone_at_node: bool,
    gone_at_directory: bool,
    calls: BTreeMap<CallId, Asked>,
}

/// What the answer to a request may tell about a conversation.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Create,
    Commit(ConversationId),
    Group(ConversationId),
    Other,
}

/// The directory.
pub struct DirectoryHost {
    store: MortalStore,
    /// What was settled outlives whoever settles it.
    pub(super) ledger: Arc<MortalLedger>,
    /// What every new account has from the beginning.
    pub(super) opening: Amount,
    service: Option<Service<MortalStore>>,
    seed: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    last: u64,
    starts: u64,
    /// Who lost an epoch to another commit and has not had one accepted since.
    lost_commits: BTreeSet<(NodeIndex, ConversationId)>,
    /// Who asked how to come back by themselves.
    rejoins: BTreeSet<(NodeIndex, ConversationId)>,
    /// Mail that a hostile directory never hands over.
    kept_back: BTreeSet<(NodeIndex, Cursor)>,
    /// Who submitted which commit.
    authors: BTreeMap<Vec<u8>, NodeIndex>,
    /// What a node submitted that believes to win every epoch.
    believed: BTreeMap<(ConversationId, u64), HandshakeBytes>,
}

impl DirectoryHost {
    /// A directory that was never started.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let store = MortalStore::new(seed ^ STORE_SEED);
        Self {
            ledger: Arc::new(store.ledger()),
            store,
            opening: Amount::ZERO,
            service: None,
            seed,
            connections: BTreeMap::new(),
            last: 0,
            starts: 0,
            lost_commits: BTreeSet::new(),
            rejoins: BTreeSet::new(),
            kept_back: BTreeSet::new(),
            authors: BTreeMap::new(),
            believed: BTreeMap::new(),
        }
    }

    /// Starts the service over the store, with a generator of its own for each life.
    ///
    /// # Errors
    /// [`Violation::Bug`] if it cannot start over what it stored itself.
    fn start(&mut self) -> Result<(), Violation> {
        self.starts += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&self.starts.to_be_bytes());
        let config = ServiceConfig { registration: Registration::Open, presence_to_everyone: true, seed };
        // The world sees a store that failed by asking it.
        let money = money(self.ledger.clone(), self.opening, PaymentLimits::default());
        let started = Service::with_money(self.store.clone(), money, config, |_| {});
        let bug = |error| Violation::Bug { node: "the directory".to_owned(), what: format!("{error}") };
        self.service = Some(started.map_err(bug)?);
        Ok(())
    }

    /// Plants a fault: the store forgets that somebody went from a group.
    pub(super) fn forget_removals(&self) {
        self.store.forget_removals();
    }

    /// Nothing is kept back from a node any more.
    pub(super) fn forget_kept_back(&mut self, index: NodeIndex) {
        self.kept_back.retain(|(node, _)| *node != index);
    }

    /// Bytes that the store was given, and whether any were somebody's words.
    #[must_use]
    pub fn seen(&self) -> (u64, bool) {
        self.store.seen()
    }
}

impl World {
    pub(super) fn start_directory(&mut self) -> Result<(), Violation> {
        if self.directory.service.is_some() {
            return Ok(());
        }
        self.directory.start()?;
        self.trace.note(self.now, &|| "the directory starts".to_owned());
        if self.directory.starts > 1 {
            self.coverage.met(Case::DirectoryRestart);
        }
        Ok(())
    }

    /// The directory dies; presence, sessions' connections and logins under way are gone.
    fn crash_directory(&mut self) {
        self.trace.note(self.now, &|| "the directory dies".to_owned());
        self.directory.service = None;
        self.directory.ledger.die();
        let ids: Vec<ConnectionId> = self.directory.connections.keys().copied().collect();
        for id in ids {
            if let Some(connection) = self.directory.connections.get_mut(&id) {
                connection.gone_at_directory = true;
            }
            self.break_connection(id);
        }
        let at = self.now + Span::ms(self.chance.between(100, 15_000));
        self.queue.push(&mut self.chance, at, Happening::StartDirectory);
    }

    /// A node's request sets out.
    pub(super) fn send_request(&mut self, index: NodeIndex, id: ConnectionId, call: CallId, request: Request) {
        let hostile = self.weather.hostile;
        let asked = Asked::of(&request);
        let Some(connection) = self.directory.connections.get_mut(&id).filter(|c| !c.broken) else { return };
        connection.calls.insert(call, asked);
        if self.chance.happens(self.weather.request_lost) {
            if hostile {
                let wait = Span::ms(self.chance.between(100, 10_000));
                self.later_input(index, wait, Input::Reply { call, answer: Answer::Lost });
            } else {
                self.break_connection(id);
            }
            return;
        }
        // A sign-out that comes twice would end the next session too: that is what it says. A login's two steps belong to
        // one exchange of one connection; the first of two finishes ends it.
        let once =
            |r: &Request| matches!(r, Request::SignOut | Request::SignInStart { .. } | Request::SignInFinish { .. });
        let repeatable = !once(&request);
        if hostile && repeatable && self.chance.happens(self.weather.request_twice) {
            let at = self.now + self.way() + Span::ms(self.chance.between(0, 3_000));
            let request = Box::new(request.clone());
            self.queue.push(
                &mut self.chance,
                at,
                Happening::Request { connection: id, call, request, answered: false },
            );
        }
        let at = self.now + self.way();
        let request = Box::new(request);
        self.queue.push(&mut self.chance, at, Happening::Request { connection: id, call, request, answered: true });
    }

    /// What the directory says to a request of somebody who is connected, made past their program.
    pub(super) fn put_to_directory(&mut self, index: NodeIndex, request: Request) -> Option<Result<Reply, Refusal>> {
        let (now, id) = (self.now.timestamp(), self.nodes[index].connection?);
        let connection = self.directory.connections.get_mut(&id).filter(|c| !c.broken)?;
        let service = self.directory.service.as_ref()?;
        self.directory.store.expect(self.commits, None, 0);
        let handled = service.handle(now, &mut connection.caller, request);
        (self.commits, _) = self.directory.store.outcome();
        Some(handled.answer)
    }

    /// A request reaches the directory.
    pub(super) fn on_request(
        &mut self,
        id: ConnectionId,
        call: CallId,
        request: Request,
        answered: bool,
    ) -> Result<(), Violation> {
        let now = self.now.timestamp();
        let Some(connection) = self.directory.connections.get_mut(&id).filter(|c| !c.broken) else { return Ok(()) };
        let index = connection.node;
        let Some(service) = self.directory.service.as_ref() else { return Ok(()) };
        let mut submitted = None;
        if let Request::SubmitCommit(submission) = &request {
            let commit = submission.commit.to_vec();
            self.directory.authors.insert(commit.clone(), index);
            if self.nodes[index].fault == Some(Fault::BelievesItWon) {
                let place = (submission.conversation, submission.epoch);
                self.directory.believed.insert(place, submission.commit.clone());
            }
            submitted = Some(Submitted { conversation: submission.conversation, epoch: submission.epoch, commit });
        }
        let asking = Asking::of(&request);
        let believed = match &request {
            Request::Epochs { groups } => groups.iter().map(|(_, epoch)| Some(*epoch)).collect(),
            _ => Vec::new(),
        };
        self.directory.store.expect(self.commits, self.plan, self.weather.directory_crash);
        let handled = service.handle(now, &mut connection.caller, request);
        let (commits, died) = self.directory.store.outcome();
        self.commits = commits;
        let (changes, groups) = (self.directory.store.account_changes(), self.directory.store.group_changes());
        self.note_for_groups(index, &changes, groups, submitted)?;
        self.note_for_market(Some(index), &changes, asking)?;
        self.note_account_changes(index, changes);
        if let Some(point) = died {
            self.directory_dies_at(point);
            return Ok(());
        }
        let name = self.called(index);
        let text = format!("{:?} {:?}", handled.answer, handled.effects);
        self.trace.note(self.now, &|| format!("the directory answers {name} {call:?}: {text}"));
        let answer = match handled.answer {
            // Whoever keeps commits back does not say so either.
            Ok(Reply::Epochs(_)) if self.weather.hostile => {
                Answer::Reply(Box::new(Reply::Epochs(Bounded::new(believed).unwrap_or_default())))
            }
            Ok(reply) => Answer::Reply(Box::new(self.tamper(index, reply))),
            Err(refusal) => Answer::Refusal(refusal),
        };
        self.inspect_answer(&answer)?;
        self.directory_effects(handled.effects);
        if !answered {
            return Ok(());
        }
        if self.chance.happens(self.weather.answer_lost) {
            self.coverage.met(Case::AnswerLost);
            if self.weather.hostile {
                let wait = Span::ms(self.chance.between(100, 10_000));
                self.later_input(index, wait, Input::Reply { call, answer: Answer::Lost });
            } else {
                self.break_connection(id);
            }
            return Ok(());
        }
        let at = self.now + self.way();
        self.queue.push(&mut self.chance, at, Happening::Answer { connection: id, call, answer });
        Ok(())
    }

    fn directory_dies_at(&mut self, point: Point) {
        let before = point == Point::BeforeCommit;
        let case = if before { Case::DirectoryCrashBeforeCommit } else { Case::DirectoryCrashAfterCommit };
        self.coverage.met(case);
        if self.directory.ledger.died_here() {
            self.coverage.met(if before { Case::LedgerCrashBeforeBatch } else { Case::LedgerCrashAfterBatch });
        }
        self.crash_directory();
    }

    /// Carries out what the service wants.
    fn directory_effects(&mut self, effects: Vec<ServiceEffect>) {
        for effect in effects {
            self.trace.note(self.now, &|| format!("the directory performs {effect:?}"));
            match effect {
                ServiceEffect::Push { device, push } => {
                    for connection in self.connections_of(device) {
                        let at = self.now + self.way();
                        let push = push.clone();
                        self.queue.push(&mut self.chance, at, Happening::Push { connection, push });
                    }
                }
                ServiceEffect::CloseSession { device } => {
                    for connection in self.connections_of(device) {
                        self.break_connection(connection);
                    }
                }
            }
        }
    }

    /// The directory looks at its clock: leases end, mail expires.
    pub(super) fn tick_directory(&mut self) -> Result<(), Violation> {
        let now = self.now.timestamp();
        let Some(service) = self.directory.service.as_ref() else { return Ok(()) };
        // Where there is money, looking at the clock moves some: it is a place to die at.
        let (plan, crash) = match &self.market {
            Some(_) => (self.plan, self.weather.directory_crash),
            None => (None, 0),
        };
        self.directory.store.expect(self.commits, plan, crash);
        let effects = service.sweep(now);
        if self.market.is_some() {
            let (commits, died) = self.directory.store.outcome();
            self.commits = commits;
            self.note_for_market(None, &[], None)?;
            if let Some(point) = died {
                self.directory_dies_at(point);
                return Ok(());
            }
        }
        self.directory_effects(effects);
        Ok(())
    }
}

impl Asked {
    fn of(request: &Request) -> Self {
        match request {
            Request::CreateConversation(_) => Self::Create,
            Request::SubmitCommit(submission) => Self::Commit(submission.conversation),
            Request::Group { conversation } => Self::Group(*conversation),
            _ => Self::Other,
        }
    }
}
