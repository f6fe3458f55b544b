//! The reading thread: one line at a time, when it is asked for one.

use std::{
    io::BufRead as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use rustyline::{
    Cmd, ColorMode, ConditionalEventHandler, Config, Editor, Event, EventContext, EventHandler, KeyEvent, RepeatCount,
    error::ReadlineError,
    history::{History as _, MemHistory},
};
use zeroize::Zeroizing;

use super::{
    masking::{Masking, Secrets},
    modes::Modes,
    screen::Screen,
    terminal::{Answer, Ask},
};

/// Lines that the arrow keys reach back to.
const HISTORY_MAX: usize = 1_000;

/// Reads lines with editing, from a terminal that can.
pub(super) struct RichReader {
    editor: Editor<Masking, MemHistory>,
    secrets: Secrets,
    /// Whether the line was empty when Ctrl-C was pressed.
    empty: Arc<AtomicBool>,
    interrupted: bool,
}

impl RichReader {
    pub(super) fn new(secrets: Secrets, online: Arc<AtomicBool>, color: bool, modes: Modes) -> rustyline::Result<Self> {
        let config = config()?;
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history)?;
        editor.set_helper(Some(Masking::Line { secrets: secrets.clone(), online, color }));
        editor.bind_sequence(KeyEvent::alt('\r'), Cmd::Newline);
        let empty = Arc::new(AtomicBool::new(true));
        let noticing = EventHandler::Conditional(Box::new(NoticeEmpty(empty.clone())));
        editor.bind_sequence(KeyEvent::ctrl('C'), noticing);
        editor.bind_sequence(KeyEvent::ctrl('Z'), EventHandler::Conditional(Box::new(Suspend(modes))));
        Ok(Self { editor, secrets, empty, interrupted: false })
    }

    pub(super) fn printer(&mut self) -> rustyline::Result<impl rustyline::ExternalPrinter + Send + use<>> {
        self.editor.create_external_printer()
    }

    fn line(&mut self, prompt: &str, screen: &Screen) -> Answer {
        screen.set_open(true);
        let line = self.editor.readline(prompt);
        screen.set_open(false);
        let twice = self.interrupted && self.empty.load(Ordering::Relaxed);
        self.interrupted = matches!(line, Err(ReadlineError::Interrupted));
        match line {
            Ok(line) => {
                self.remember(&line);
                Answer::Line(Zeroizing::new(line))
            }
            Err(ReadlineError::Interrupted) if twice => Answer::Leave,
            Err(ReadlineError::Interrupted) => Answer::Cleared,
            Err(ReadlineError::Eof) => Answer::EndOfInput,
            Err(error) => Answer::Failed(std::io::Error::other(error)),
        }
    }

    /// An editor of its own for each secret, so that neither undo nor the kill ring can bring it back. What arrives
    /// meanwhile waits for the next line.
    fn secret(&mut self, prompt: &str, screen: &Screen) -> Answer {
        self.interrupted = false;
        screen.flush();
        let read = || -> rustyline::Result<String> {
            let config = config()?;
            let history = MemHistory::with_config(&config);
            let mut editor = Editor::with_history(config, history)?;
            editor.set_helper(Some(Masking::Secret));
            editor.readline(prompt)
        };
        match read() {
            Ok(secret) => Answer::Secret(Zeroizing::new(secret)),
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => Answer::Cleared,
            Err(error) => Answer::Failed(std::io::Error::other(error)),
        }
    }

    /// Keeps the line for the arrow keys, up to its secret.
    fn remember(&mut self, line: &str) {
        let shown = self.secrets.span(line).and_then(|span| line.get(..span.start)).unwrap_or(line);
        // A history that is full forgets its oldest line; nothing else can fail in memory.
        let _ = self.editor.history_mut().add(shown.trim_end());
    }
}

fn config() -> rustyline::Result<Config> {
    // Colours are forced so that masking works under NO_COLOR too; the mask itself leaves colours out then.
    Ok(Config::builder()
        .auto_add_history(false)
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .max_history_size(HISTORY_MAX)?
        .bracketed_paste(true)
        .color_mode(ColorMode::Forced)
        .build())
}

struct NoticeEmpty(Arc<AtomicBool>);

impl ConditionalEventHandler for NoticeEmpty {
    fn handle(&self, _event: &Event, _count: RepeatCount, _positive: bool, context: &EventContext<'_>) -> Option<Cmd> {
        self.0.store(context.line().is_empty(), Ordering::Relaxed);
        Some(Cmd::Interrupt)
    }
}

struct Suspend(Modes);

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _event: &Event, _count: RepeatCount, _positive: bool, _context: &EventContext<'_>) -> Option<Cmd> {
        self.0.suspend();
        Some(Cmd::Repaint)
    }
}

/// Reads plain lines: no editing, no escape codes.
pub(super) struct PlainReader {
    pub(super) modes: Modes,
}

impl PlainReader {
    fn line(prompt: String, screen: &Screen) -> Answer {
        match read_plain(prompt, screen) {
            Ok(Some(line)) => Answer::Line(line),
            Ok(None) => Answer::EndOfInput,
            Err(error) => Answer::Failed(error),
        }
    }

    fn secret(&self, prompt: String, screen: &Screen) -> Answer {
        self.modes.hide(false);
        let secret = read_plain(prompt, screen);
        self.modes.restore_input();
        match secret {
            Ok(Some(secret)) => Answer::Secret(secret),
            Ok(None) => Answer::Cleared,
            Err(error) => Answer::Failed(error),
        }
    }
}

fn read_plain(prompt: String, screen: &Screen) -> std::io::Result<Option<Zeroizing<String>>> {
    screen.set_prompt(Some(prompt));
    let mut line = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut line);
    screen.set_prompt(None);
    if read? == 0 {
        return Ok(None);
    }
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(Some(line))
}

/// Either reader.
pub(super) enum Reader {
    Rich(Box<RichReader>),
    Plain(PlainReader),
}

impl Reader {
    /// Serves until nobody asks or listens any more.
    pub(super) fn serve(
        mut self,
        asked: &mpsc::Receiver<Ask>,
        answers: &tokio::sync::mpsc::Sender<Answer>,
        screen: &Screen,
    ) {
        while let Ok(ask) = asked.recv() {
            let answer = match (&mut self, ask) {
                (Self::Rich(rich), Ask::Line { prompt }) => rich.line(&prompt, screen),
                (Self::Rich(rich), Ask::Secret { prompt }) => rich.secret(&prompt, screen),
                (Self::Plain(_), Ask::Line { prompt }) => PlainReader::line(prompt, screen),
                (Self::Plain(plain), Ask::Secret { prompt }) => plain.secret(prompt, screen),
            };
            if answers.blocking_send(answer).is_err() {
                return;
            }
        }
    }
}
