//! The modes of the terminal: what it can do, and how it is put back into the state in which it was found.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Turns bracketed paste on.
const PASTE_ON: &[u8] = b"\x1b[?2004h";
/// Turns bracketed paste off again.
const PASTE_OFF: &[u8] = b"\x1b[?2004l";
/// What a process that panicked exits with, as Rust itself does.
const PANIC_EXIT: i32 = 101;

/// What reads our standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A terminal on both sides that can edit lines.
    Rich,
    /// A person at a terminal that can't, or whose output goes elsewhere: plain lines, no escape codes.
    Plain,
    /// No person at all.
    Pipe,
}

/// Finds out what standard input is; `term` is the value of `TERM`.
#[must_use]
pub fn kind_of_standard_input(term: Option<&str>) -> Kind {
    let dumb = term.is_some_and(|term| ["dumb", "cons25", "emacs", ""].contains(&term));
    match (std::io::stdin().is_terminal(), std::io::stdout().is_terminal()) {
        (false, _) => Kind::Pipe,
        (true, true) if !dumb => Kind::Rich,
        (true, _) => Kind::Plain,
    }
}

/// The terminal as it was found.
#[derive(Debug, Clone)]
pub(super) struct Modes {
    found: Option<Arc<Termios>>,
    rich: bool,
}

impl Modes {
    pub(super) fn remember(kind: Kind) -> Self {
        let found = if kind == Kind::Pipe { None } else { tcgetattr(std::io::stdin()).ok().map(Arc::new) };
        Self { found, rich: kind == Kind::Rich }
    }

    /// Puts the terminal back. Whatever fails here can't be helped.
    pub(super) fn restore(&self) {
        if self.rich {
            let mut out = std::io::stdout();
            let _ = out.write_all(PASTE_OFF).and_then(|()| out.flush());
        }
        self.restore_input();
    }

    /// Puts back what concerns typing.
    pub(super) fn restore_input(&self) {
        if let Some(found) = &self.found {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, found);
        }
    }

    /// Stops this process, as Ctrl-Z does elsewhere, and goes on with the same modes when it is continued. The signal
    /// goes to this very thread, so that it has not moved on before the process stands still; a signal to the process
    /// would leave time to take the terminal back before the shell does.
    pub(super) fn suspend(&self) {
        let editing = tcgetattr(std::io::stdin());
        self.restore();
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP);
        if let Ok(editing) = editing {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &editing);
        }
        let mut out = std::io::stdout();
        let _ = out.write_all(PASTE_ON).and_then(|()| out.flush());
    }

    /// Hides what is typed until [`Modes::restore_input`], with or without its line breaks; signals go on working.
    pub(super) fn hide(&self, line_breaks_too: bool) {
        if let Some(found) = &self.found {
            let mut quiet = Termios::clone(found);
            quiet.local_modes.remove(LocalModes::ECHO);
            quiet.local_modes.set(LocalModes::ECHONL, !line_breaks_too);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &quiet);
        }
    }

    /// From now on a panic on any thread puts the terminal back, says what happened and ends the process: a program
    /// that has lost one of its threads can't keep what it promised.
    pub(super) fn restore_on_panic(&self) {
        let modes = self.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            modes.restore();
            let _ = std::io::stdout().write_all(b"\n");
            before(panic);
            std::process::exit(PANIC_EXIT);
        }));
    }
}
