//! The terminal as the rest of the program sees it: ask for a line, take the answer, print.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use tokio::sync::mpsc as async_mpsc;
use zeroize::Zeroizing;

use super::{
    editor::{PlainReader, Reader, RichReader},
    masking::{MARK, SecretSpan, Secrets},
    modes::{Kind, Modes},
    screen::Screen,
};

/// Answers that wait to be taken; each asks for at most one more.
const ANSWERS_WAITING: usize = 2;

/// What the reading thread is to do.
#[derive(Debug)]
pub enum Ask {
    /// Read a line.
    Line {
        /// Stands in front of it.
        prompt: String,
    },
    /// Read a secret, hidden.
    Secret {
        /// Stands in front of it.
        prompt: String,
    },
}

/// What became of it.
#[derive(Debug)]
pub enum Answer {
    /// A line; it may hold a secret.
    Line(Zeroizing<String>),
    /// A secret.
    Secret(Zeroizing<String>),
    /// Ctrl-C: the line is cleared, or the secret not given.
    Cleared,
    /// Ctrl-C for the second time in a row.
    Leave,
    /// Ctrl-D, or the terminal's end.
    EndOfInput,
    /// The terminal is gone.
    Failed(std::io::Error),
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The line editor can't use the terminal.
    #[error("can't use this terminal: {0}; try again with TERM=dumb")]
    Editor(#[from] rustyline::error::ReadlineError),
    /// The system gives no thread.
    #[error("can't start the prompt: {0}; close some programs and try again")]
    Thread(#[from] std::io::Error),
}

/// A person's terminal. Dropping it puts the terminal back into the state in which it was found.
pub struct Terminal {
    asks: mpsc::Sender<Ask>,
    answers: async_mpsc::Receiver<Answer>,
    screen: Screen,
    online: Arc<AtomicBool>,
    /// Whether bare lines go to somebody.
    said: Arc<AtomicBool>,
    modes: Modes,
    rich: bool,
    /// Whether somebody sits before a prompt now.
    asked: bool,
}

impl Terminal {
    /// Takes hold of the terminal and starts the two threads.
    ///
    /// # Errors
    /// [`TerminalError`]; then the terminal is as it was.
    pub fn start(kind: Kind, secret: SecretSpan, color: bool) -> Result<Self, TerminalError> {
        let modes = Modes::remember(kind);
        modes.restore_on_panic();
        let (online, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let rich = kind == Kind::Rich;
        let (reader, screen) = if rich {
            let mut reader =
                RichReader::new(Secrets { find: secret, said: said.clone() }, online.clone(), color, modes.clone())?;
            let screen = Screen::start(Some(reader.printer()?))?;
            (Reader::Rich(Box::new(reader)), screen)
        } else {
            (Reader::Plain(PlainReader { modes: modes.clone() }), Screen::start(None::<NoPrinter>)?)
        };
        let (asks, asked) = mpsc::channel();
        let (sender, answers) = async_mpsc::channel(ANSWERS_WAITING);
        let shown = screen.clone();
        std::thread::Builder::new().name("prompt".into()).spawn(move || reader.serve(&asked, &sender, &shown))?;
        Ok(Self { asks, answers, screen, online, said, modes, rich, asked: false })
    }

    /// Asks for a line; the answer comes by [`Terminal::answer`]. Ask once for each answer. The prompt shows who is there,
    /// and where a bare line goes.
    pub fn ask_line(&mut self, name: Option<&str>, target: Option<&str>) {
        self.said.store(target.is_some(), Ordering::Relaxed);
        let target = target.map_or_else(String::new, |target| format!("{target} "));
        let prompt = match (name, self.rich) {
            (Some(name), true) => format!("{name} {MARK} {target}› "),
            (Some(name), false) => format!("{name} {target}").trim_end().to_owned() + "> ",
            (None, true) => format!("{target}› "),
            (None, false) => target.trim_end().to_owned() + "> ",
        };
        self.ask(Ask::Line { prompt });
    }

    /// Asks for a line that answers a question.
    pub fn ask_question(&mut self, question: &str) {
        self.ask(Ask::Line { prompt: question.to_owned() });
    }

    /// Asks for a secret.
    pub fn ask_secret(&mut self, prompt: &str) {
        self.ask(Ask::Secret { prompt: prompt.to_owned() });
    }

    /// Nobody is asked for now: what is printed appears at once, and what is typed waits unseen for the next line.
    pub fn hold(&self) {
        self.modes.hide(true);
        self.screen.set_open(true);
    }

    fn ask(&mut self, ask: Ask) {
        self.asked = true;
        if self.rich {
            self.screen.set_open(false);
        }
        self.modes.restore_input();
        // A reading thread that has ended is noticed where its answer is awaited.
        let _ = self.asks.send(ask);
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        let answer = self.answers.recv().await.unwrap_or(Answer::EndOfInput);
        self.asked = false;
        answer
    }

    /// What the mark in the prompt says; it changes when something is printed, or with the next line.
    pub fn set_online(&self, online: bool) {
        self.online.store(online, Ordering::Relaxed);
    }

    /// Where to print.
    #[must_use]
    pub const fn screen(&self) -> &Screen {
        &self.screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.modes.restore();
        if self.asked {
            // Whatever comes next does not stand on the line that was being typed.
            self.screen.print("");
        }
        self.screen.finish();
    }
}

/// A plain terminal is printed to directly.
enum NoPrinter {}

impl rustyline::ExternalPrinter for NoPrinter {
    fn print(&mut self, _text: String) -> rustyline::Result<()> {
        match *self {}
    }
}
