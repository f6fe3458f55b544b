//! The conversation with the person at the prompt: lines in, commands to the node, results and events out.
//!
//! Commands run one after the other, while the next line is being typed already; only those that change who is at the
//! prompt hold it up until they are done.

mod hearing;

use std::{collections::VecDeque, pin::Pin, time::Duration};

use node_core::command::{CommandResult, Failure, FailureCode};
use protocol::Name;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::Instant,
};
use zeroize::Zeroizing;

use super::{
    asking::{Answered, Asking, Lacking},
    deliveries::Deliveries,
    paying::{Paying, Weighed},
    speech::{self, Said, changes_person},
    terminal::{Answer, Terminal},
    transfers::Transfers,
};
use crate::{
    config::PasswordSource,
    driver::{EventStream, Node, NodeCommand},
    language::Target,
    view::{Style, failure_text, outcome_text},
};

/// How long a command may take; the same as in scripts.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long somebody who waits at an empty screen is left without a word.
const PATIENCE: Duration = Duration::from_secs(3);
/// Commands that may wait for the one that runs: more than a person types ahead, less than a pasted book.
const WAITING_MAX: usize = 64;
/// What a process that a person interrupted exits with.
const INTERRUPTED: u8 = 130;
/// What a process that was terminated exits with.
const TERMINATED: u8 = 143;

type Running = Pin<Box<dyn Future<Output = CommandResult> + Send>>;

/// What the person sees next.
enum Next {
    Ask,
    Wait,
    Leave(u8),
}

/// One person's conversation with one node.
pub(crate) struct Conversation {
    node: Node,
    terminal: Terminal,
    events: EventStream,
    first_contact: watch::Receiver<Option<protocol::Fingerprint>>,
    password: Option<PasswordSource>,
    style: Style,
    name: Option<Name>,
    /// Where bare lines go.
    target: Option<Target>,
    /// What is asked for: a secret, or a line if absent.
    wanted: Option<Asking>,
    /// Whether the reading thread has been asked and has not answered.
    asked: bool,
    waiting: VecDeque<Said>,
    running: Option<Running>,
    /// Whether the prompt comes back only when the running command is done.
    holding: bool,
    /// When to say that it takes long.
    impatient_at: Option<Instant>,
    deliveries: Deliveries,
    transfers: Transfers,
    /// Where `~` leads.
    home: Option<String>,
    /// What would be paid, and how far it has come.
    paying: Paying,
}

impl Conversation {
    pub(crate) fn new(
        node: Node,
        terminal: Terminal,
        password: Option<PasswordSource>,
        style: Style,
        yes: bool,
        home: Option<String>,
    ) -> Self {
        Self {
            events: node.events(),
            first_contact: node.first_contact(),
            node,
            terminal,
            password,
            style,
            name: None,
            target: None,
            wanted: None,
            asked: false,
            waiting: VecDeque::new(),
            running: None,
            holding: false,
            impatient_at: None,
            deliveries: Deliveries::default(),
            transfers: Transfers::default(),
            home,
            paying: Paying::new(yes),
        }
    }

    /// Talks until the person leaves or a signal ends it; gives back the node to be shut down, and the exit code.
    ///
    /// # Errors
    /// What the system says if signals can't be listened to.
    pub(crate) async fn run(mut self, owner: Option<Name>) -> std::io::Result<(Node, u8)> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut next = self.greet(owner);
        loop {
            match next {
                Next::Ask => self.ask(),
                Next::Wait if self.holding && !self.asked => self.terminal.hold(),
                Next::Wait => {}
                Next::Leave(code) => return Ok((self.node, code)),
            }
            next = tokio::select! {
                _ = terminate.recv() => Next::Leave(TERMINATED),
                _ = hang_up.recv() => Next::Leave(TERMINATED),
                _ = interrupt.recv() => self.on_interrupt(),
                answer = self.terminal.answer(), if self.asked => self.on_answer(answer),
                result = finished(&mut self.running) => self.on_result(result),
                () = reached(self.impatient_at) => self.on_impatience(),
                () = reached(self.transfers.still_at()) => self.on_stillness(),
                event = self.events.next() => match event {
                    Some(event) => self.on_event(&event),
                    None => self.on_node_ended().await,
                },
                Ok(()) = self.first_contact.changed() => self.on_first_contact(),
            };
        }
    }

    fn say(&self, text: impl Into<String>) {
        self.terminal.screen().print(text);
    }

    fn complain(&self, failure: &Failure) {
        self.say(failure_text(failure, &self.style));
    }

    /// Says where one is, and unlocks the profile if there is one.
    fn greet(&mut self, owner: Option<Name>) -> Next {
        match owner {
            None => {
                self.say("Nobody has signed up here yet: SIGNUP NAME makes an account, HELP lists the commands.");
            }
            Some(name) => {
                self.say(format!("This is {name}'s profile. HELP lists the commands, Ctrl-D leaves."));
                return self.need_secrets(Lacking::SignIn { name });
            }
        }
        Next::Ask
    }

    /// Asks for what comes next, unless that was done already or the running command holds the prompt.
    fn ask(&mut self) {
        if self.asked || self.holding {
            return;
        }
        self.asked = true;
        if let Some(question) = self.paying.question() {
            return self.terminal.ask_question(question);
        }
        match &self.wanted {
            None => {
                let target = self.target.as_ref().map(ToString::to_string);
                self.terminal.ask_line(self.name.as_ref().map(Name::as_str), target.as_deref());
            }
            Some(asking) => self.terminal.ask_secret(&asking.text()),
        }
    }

    /// Ctrl-C while no line is read, or a signal from elsewhere.
    fn on_interrupt(&mut self) -> Next {
        if self.asked {
            return Next::Leave(INTERRUPTED);
        }
        self.running = None;
        self.impatient_at = None;
        self.holding = false;
        self.paying.forget();
        self.say("Not waited for any longer; Ctrl-C twice leaves.");
        self.start_next()
    }

    fn on_answer(&mut self, answer: Answer) -> Next {
        self.asked = false;
        match answer {
            Answer::Line(line) => self.on_line(&line),
            Answer::Secret(secret) => self.on_secret(secret),
            Answer::Cleared => {
                if let Some(confirmed) = self.paying.answer("") {
                    return self.on_confirmed(confirmed);
                }
                let text = if self.wanted.take().is_some() { "No password given." } else { "Ctrl-C again leaves." };
                self.say(text);
                Next::Ask
            }
            Answer::Leave => Next::Leave(INTERRUPTED),
            Answer::EndOfInput => Next::Leave(0),
            Answer::Failed(error) => {
                tracing::warn!(%error, "the terminal is gone");
                Next::Leave(FailureCode::Other as u8)
            }
        }
    }

    fn on_line(&mut self, line: &str) -> Next {
        if let Some(confirmed) = self.paying.answer(line) {
            return self.on_confirmed(confirmed);
        }
        let understood = speech::understand(line, self.target.as_ref());
        match understood.and_then(|said| said.map(|said| said.rooted(self.home.as_deref())).transpose()) {
            Ok(None) => Next::Ask,
            Ok(Some(Said::Lacking(lacking))) => self.need_secrets(lacking),
            Ok(Some(Said::To(target))) => self.turn_to(target),
            Ok(Some(said)) => self.enqueue(said),
            Err(failure) => {
                self.complain(&failure);
                Next::Ask
            }
        }
    }

    /// Bare lines go there from the next one on; what was typed before goes where it went.
    fn turn_to(&mut self, target: Option<Target>) -> Next {
        match &target {
            Some(target) => {
                self.say(format!("Lines go to {target} now; / before a command, // for a slash, /TO leaves."));
            }
            None if self.target.is_some() => self.say("Lines are commands again."),
            None => self.say("Lines are commands; TO NAME or TO &GROUP sends them there."),
        }
        self.target = target;
        Next::Ask
    }

    /// Takes the password from where the command line says, or asks for what is lacking.
    fn need_secrets(&mut self, lacking: Lacking) -> Next {
        let asking = Asking::new(lacking);
        let Some(source) = &self.password else {
            self.wanted = Some(asking);
            return Next::Ask;
        };
        match source.read() {
            Ok(password) => self.on_answered(asking.answer_from_source(&password)),
            Err(error) => {
                self.complain(&error.into());
                Next::Ask
            }
        }
    }

    fn on_secret(&mut self, secret: Zeroizing<String>) -> Next {
        let Some(asking) = self.wanted.take() else { return Next::Ask };
        self.on_answered(asking.answer(secret))
    }

    fn on_answered(&mut self, answered: Answered) -> Next {
        match answered {
            Answered::More(asking) => self.wanted = Some(asking),
            Answered::Whole(command) => return self.enqueue(Said::Node(command)),
            Answered::Nothing(text) => self.say(text),
        }
        Next::Ask
    }

    fn enqueue(&mut self, said: Said) -> Next {
        if self.waiting.len() >= WAITING_MAX {
            let text = "too many commands wait already; Ctrl-C twice leaves";
            self.complain(&Failure::new(FailureCode::Refused, text));
            return Next::Ask;
        }
        // Nothing can follow these two until they are done: one ends the conversation, the other changes who talks.
        self.holding |= self.holds(&said);
        self.waiting.push_back(said);
        self.start_next()
    }

    /// Whether nothing can be said until this is done: it ends the conversation, changes who talks, or may ask before it
    /// pays.
    fn holds(&self, said: &Said) -> bool {
        matches!(said, Said::Quit) || changes_person(said) || self.paying.may_ask(said)
    }

    /// The person has answered whether to pay.
    fn on_confirmed(&mut self, confirmed: Option<NodeCommand>) -> Next {
        match confirmed {
            Some(command) => self.start(command),
            None => {
                self.say("Not paid.");
                self.holding = self.waiting.iter().any(|said| self.holds(said));
                return self.start_next();
            }
        }
        Next::Ask
    }

    fn start(&mut self, command: NodeCommand) {
        let node = self.node.clone();
        self.running = Some(Box::pin(async move { node.perform(command, TIMEOUT).await }));
        self.impatient_at = self.holding.then(|| Instant::now() + PATIENCE);
    }

    fn start_next(&mut self) -> Next {
        while self.running.is_none()
            && let Some(said) = self.waiting.pop_front()
        {
            match said {
                Said::Node(command) => {
                    let command = self.paying.weigh(command);
                    self.start(command);
                }
                Said::Help(text) => self.say(text),
                Said::Quit => return Next::Leave(0),
                // Answered before they came here.
                Said::Lacking(_) | Said::To(_) => {}
            }
        }
        if self.holding { Next::Wait } else { Next::Ask }
    }

    fn on_impatience(&mut self) -> Next {
        self.impatient_at = None;
        self.say("No answer yet; still trying. Ctrl-C stops waiting.");
        Next::Wait
    }

    fn on_result(&mut self, result: CommandResult) -> Next {
        self.running = None;
        self.impatient_at = None;
        match self.paying.weighed(&result) {
            Weighed::Pay(command) => {
                self.start(command);
                return Next::Wait;
            }
            Weighed::Ask => {
                self.holding = false;
                return Next::Ask;
            }
            Weighed::No => {}
        }
        match result {
            Ok(outcome) => {
                self.notice(&outcome);
                let text = self.deliveries.is_news(&outcome).then(|| outcome_text(&outcome, &self.style));
                self.terminal.screen().show(text, self.transfers.hear_result(&outcome));
            }
            Err(failure) => self.complain(&failure),
        }
        self.holding = self.waiting.iter().any(|said| self.holds(said));
        self.start_next()
    }
}

/// A moment; never, if there is none.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The running command's result; never, if none runs.
async fn finished(running: &mut Option<Running>) -> CommandResult {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}
