//! What is shown above the line being typed: a queue, and the one thread that empties it.
//!
//! Printing waits while nobody is at the prompt (a password is being typed, a command runs): the next prompt shows all
//! of it first. So nothing that prints ever waits for a person.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustyline::ExternalPrinter;

/// Texts that wait for the screen at most; older ones give way, since HISTORY has them.
const WAITING_MAX: usize = 4_096;
/// How long somebody waits for texts to be printed: a terminal that takes longer is stuck.
const FLUSH_WAIT: Duration = Duration::from_millis(500);
/// Puts the cursor at the beginning of the line above, and clears it.
const UP_AND_CLEAR: &str = "\x1b[1A\r\x1b[2K";
/// Width of a terminal that does not say.
const COLUMNS: usize = 80;

#[derive(Default)]
struct Queue {
    texts: VecDeque<String>,
    dropped: usize,
    /// Whether there is somebody to print for: at a line editor, or at a plain terminal, always.
    open: bool,
    /// What a plain terminal asks for a line with, while it does; a line editor draws its own.
    prompt: Option<String>,
    prompted: bool,
    printing: bool,
    finished: bool,
    /// Stands below everything else, in the line above the prompt of a line editor, and changes in its place.
    status: Option<String>,
    /// Whether it is another one than the one that is shown.
    status_changed: bool,
    /// Whether the line above the prompt is a status.
    status_shown: bool,
}

impl Queue {
    fn take(&mut self) -> Option<String> {
        let prompt = self.prompt.as_ref().filter(|_| !self.prompted || !self.texts.is_empty());
        let nothing = self.texts.is_empty() && prompt.is_none() && !self.status_changed;
        if nothing || !(self.open || self.finished) {
            return None;
        }
        // What stands on the prompt's line stays there; the prompt comes again below.
        let mut all = if self.prompted { "\n".to_owned() } else { String::new() };
        if std::mem::take(&mut self.status_shown) {
            all.push_str(UP_AND_CLEAR);
        }
        self.status_changed = false;
        if self.dropped > 0 {
            let _ = writeln!(all, "({} lines not shown; HISTORY has the messages)", self.dropped);
            self.dropped = 0;
        }
        for text in self.texts.drain(..) {
            all.push_str(&text);
            all.push('\n');
        }
        if let Some(status) = self.status.as_ref().filter(|_| !self.finished) {
            all.push_str(status);
            all.push('\n');
            self.status_shown = true;
        }
        if let Some(prompt) = &self.prompt {
            all.push_str(prompt);
            self.prompted = true;
        }
        Some(all)
    }
}

/// A handle to print by; clones print to the same screen. Printing never blocks.
#[derive(Clone)]
pub struct Screen {
    // Shared between the threads that print, read and run commands; held for a push or a drain only.
    queue: Arc<(Mutex<Queue>, Condvar)>,
    /// Whether there is a line editor, above whose prompt a status can stand.
    rich: bool,
}

impl Screen {
    /// Starts the printing thread. Without a printer, text goes to standard output at once.
    pub(super) fn start<P: ExternalPrinter + Send + 'static>(printer: Option<P>) -> std::io::Result<Self> {
        let screen = Self { queue: Arc::default(), rich: printer.is_some() };
        screen.lock().open = printer.is_none();
        let queue = screen.clone();
        std::thread::Builder::new().name("printer".into()).spawn(move || queue.print_all(printer))?;
        Ok(screen)
    }

    /// Prints one text, of one or more lines, without a line break at its end.
    pub fn print(&self, text: impl Into<String>) {
        self.show(Some(text.into()), None);
    }

    /// What stands in the line above the prompt from now on. A plain terminal, where nothing can change in its place, shows
    /// none.
    pub fn set_status(&self, status: Option<String>) {
        self.show(None, Some(status));
    }

    /// Both at once, so that a status that ends gives its line to the text that says why.
    pub fn show(&self, text: Option<String>, status: Option<Option<String>>) {
        let mut queue = self.lock();
        if let Some(text) = text {
            if queue.texts.len() >= WAITING_MAX {
                queue.texts.pop_front();
                queue.dropped += 1;
            }
            queue.texts.push_back(text);
        }
        if let Some(status) = status.filter(|_| self.rich) {
            queue.status = status.map(|status| fitted(&status, columns()));
            queue.status_changed = true;
        }
        self.queue.1.notify_all();
    }

    /// Whether there is a prompt to print above.
    pub(super) fn set_open(&self, open: bool) {
        let mut queue = self.lock();
        queue.open = open;
        // What is typed moves the status up and out of reach; the next one stands below.
        queue.status_shown &= open;
        drop(queue);
        self.queue.1.notify_all();
    }

    /// Prints what waits now, at a moment when nobody is asked for anything.
    pub(super) fn flush(&self) {
        self.set_open(true);
        let waiting = |queue: &mut Queue| queue.printing || !queue.texts.is_empty();
        let flushed = self.queue.1.wait_timeout_while(self.lock(), FLUSH_WAIT, waiting);
        drop(flushed.unwrap_or_else(PoisonError::into_inner));
        self.set_open(false);
    }

    /// What a plain terminal asks with from now on, or that the line has been read.
    pub(super) fn set_prompt(&self, prompt: Option<String>) {
        let mut queue = self.lock();
        queue.prompt = prompt;
        queue.prompted = false;
        self.queue.1.notify_all();
    }

    /// Prints what still waits, as far as the terminal takes it, and ends the printing thread.
    pub(super) fn finish(&self) {
        let mut queue = self.lock();
        queue.finished = true;
        queue.prompt = None;
        self.queue.1.notify_all();
        let waiting = |queue: &mut Queue| queue.printing || !queue.texts.is_empty();
        drop(self.queue.1.wait_timeout_while(queue, FLUSH_WAIT, waiting).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print_all<P: ExternalPrinter>(&self, mut printer: Option<P>) {
        loop {
            let mut queue = self.lock();
            queue.printing = false;
            self.queue.1.notify_all();
            let text = loop {
                if let Some(text) = queue.take() {
                    break text;
                }
                if queue.finished {
                    return;
                }
                queue = self.queue.1.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            queue.printing = true;
            let finished = queue.finished;
            drop(queue);
            // A terminal that has gone away shows nothing; the reading thread notices and ends the program.
            let _ = match printer.as_mut().filter(|_| !finished) {
                Some(printer) => printer.print(text).is_ok(),
                None => {
                    let mut out = std::io::stdout();
                    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
                }
            };
        }
    }
}

/// How wide the terminal is now.
fn columns() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if told == 0 { COLUMNS } else { told }
}

/// The beginning of a text that stays within one line; of what is not ASCII each character may take two columns.
fn fitted(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += if c.is_ascii() { 1 } else { 2 };
        used < columns
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Printed(mpsc::Sender<String>);

    impl ExternalPrinter for Printed {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.send(text).map_err(|_| rustyline::error::ReadlineError::Eof)
        }
    }

    fn screen() -> (Screen, mpsc::Receiver<String>) {
        let (sender, printed) = mpsc::channel();
        (Screen::start(Some(Printed(sender))).unwrap(), printed)
    }

    #[test]
    fn texts_wait_while_nobody_is_at_the_prompt_and_keep_their_order() {
        let (screen, printed) = screen();
        screen.print("one");
        screen.print("two");
        assert!(printed.try_recv().is_err());
        screen.set_open(true);
        assert_eq!(printed.recv().unwrap(), "one\ntwo\n");
        screen.print("three");
        assert_eq!(printed.recv().unwrap(), "three\n");
    }

    #[test]
    fn a_status_changes_in_its_place_below_everything_that_is_printed() {
        let (screen, printed) = screen();
        screen.set_open(true);
        screen.set_status(Some("10%".to_owned()));
        assert_eq!(printed.recv().unwrap(), "10%\n");
        screen.set_status(Some("20%".to_owned()));
        assert_eq!(printed.recv().unwrap(), format!("{UP_AND_CLEAR}20%\n"));
        screen.print("hello");
        assert_eq!(printed.recv().unwrap(), format!("{UP_AND_CLEAR}hello\n20%\n"));
        screen.set_open(false);
        screen.set_status(Some("30%".to_owned()));
        screen.set_open(true);
        assert_eq!(printed.recv().unwrap(), "30%\n", "what was typed stands above");
        screen.show(Some("bye".to_owned()), Some(None));
        assert_eq!(printed.recv().unwrap(), format!("{UP_AND_CLEAR}bye\n"), "and leaves no empty line behind");
    }

    #[test]
    fn a_status_never_needs_a_second_line() {
        for (text, columns, shown) in
            [("abcdef", 4, "abc"), ("abc", 4, "abc"), ("äöü", 4, "ä"), ("", 4, ""), ("a", 1, "")]
        {
            assert_eq!(fitted(text, columns), shown, "{text} in {columns}");
        }
    }

    #[test]
    fn the_oldest_texts_give_way_and_are_counted() {
        let (screen, printed) = screen();
        for number in 0..WAITING_MAX + 3 {
            screen.print(number.to_string());
        }
        screen.set_open(true);
        let text = printed.recv().unwrap();
        assert!(text.starts_with("(3 lines not shown; HISTORY has the messages)\n3\n4\n"), "{}", &text[..60]);
    }
}
