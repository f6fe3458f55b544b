//! A pseudo-terminal with the prompting process behind it, and what its screen shows.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    process::{Child, Command},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize},
};

/// Names the socket on which the process is told what to show.
pub(crate) const CONTROL: &str = "TUPPENCE_TEST_CONTROL";

/// How long anything may take before a test gives up: only a failure waits this long.
const PATIENCE: Duration = Duration::from_secs(20);
const ROWS: u16 = 24;

pub(crate) struct Pseudo {
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    parser: vt100::Parser,
    control: Option<UnixStream>,
    device: OwnedFd,
    before: Termios,
    child: Child,
    _folder: Option<tempfile::TempDir>,
}

impl Pseudo {
    /// The prompt alone, over a session that does as it is told.
    pub(crate) fn start(columns: u16, term: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control");
        let listener = UnixListener::bind(&socket).unwrap();
        let environment = [("TERM", term), (CONTROL, socket.to_str().unwrap())];
        let mut terminal = Self::run("child::child_at_a_prompt", columns, &environment);
        terminal.control = Some(listener.accept().unwrap().0);
        terminal._folder = Some(folder);
        terminal
    }

    /// This test program at a terminal of its own, as this one of its tests.
    pub(crate) fn run(test: &str, columns: u16, environment: &[(&str, &str)]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let device = ioctl_tiocgptpeer(&keyboard, flags).unwrap();
        tcsetwinsize(&device, Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let before = tcgetattr(&device).unwrap();
        let end = || device.try_clone().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--quiet"])
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();

        let keyboard = File::from(keyboard);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let parser = vt100::Parser::new(ROWS, columns, 0);
        Self { keyboard, shown, bytes: Vec::new(), parser, control: None, device, before, child, _folder: None }
    }

    pub(crate) fn type_text(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Has the process do something, and waits until it has; it may not survive that.
    pub(crate) fn tell(&mut self, order: &str) {
        let control = self.control.as_mut().unwrap();
        writeln!(control, "{order}").unwrap();
        let _ = control.read(&mut [0]);
    }

    /// Waits until the last line that is not empty starts so; blanks at its end don't count.
    pub(crate) fn wait_for_line(&mut self, expected: &str) {
        self.wait_for_lines(&[expected]);
    }

    /// Waits until these lines, blanks at their ends aside, stand one below the other on the screen.
    pub(crate) fn wait_for_lines(&mut self, expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(|line| line.trim_end()).collect();
        self.wait(&format!("the lines {expected:#?}"), |this| {
            let lines = this.lines();
            lines.windows(expected.len()).any(|window| window == expected)
        });
    }

    /// Waits until this line is on the screen and the cursor stands at its end.
    pub(crate) fn wait_for_typed(&mut self, typed: &str) {
        self.wait(&format!("the cursor behind {typed:?}"), |this| {
            let stands = this.cursor_column() == typed.chars().count();
            stands && this.lines().iter().any(|line| line == typed.trim_end())
        });
    }

    pub(crate) fn wait_for_text(&mut self, expected: &str) {
        self.wait(&format!("the text {expected:?}"), |this| this.everything_shown().contains(expected));
    }

    /// Waits until the terminal does not echo.
    pub(crate) fn wait_until_hidden(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while tcgetattr(&self.device).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(Instant::now() < deadline, "the terminal still echoes");
            std::thread::yield_now();
        }
    }

    fn wait(&mut self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_there(self) {
            match self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("waited in vain for {what}; the screen shows\n{}", self.lines().join("\n")),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.parser.process(bytes);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let screen = self.parser.screen();
        screen.rows(0, screen.size().1).map(|line| line.trim_end().to_owned()).collect()
    }

    pub(crate) fn cursor_column(&self) -> usize {
        usize::from(self.parser.screen().cursor_position().1)
    }

    pub(crate) fn takes_pastes(&self) -> bool {
        self.parser.screen().bracketed_paste()
    }

    /// Every byte that ever went to the screen.
    pub(crate) fn everything_shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn terminate(&self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the end of the process, then for all that it wrote.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end; the screen shows\n{}", self.lines().join("\n"));
            if let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(10)) {
                self.take(&bytes);
            }
        };
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(50)) {
            self.take(&bytes);
        }
        status.code().unwrap_or(-1)
    }

    pub(crate) fn is_sane(&self) -> bool {
        let now = tcgetattr(&self.device).unwrap();
        now.local_modes == self.before.local_modes
            && now.input_modes == self.before.input_modes
            && now.output_modes == self.before.output_modes
            && now.control_modes == self.before.control_modes
            && !self.takes_pastes()
    }

    pub(crate) fn assert_sane(&self) {
        assert!(self.is_sane(), "the terminal is not as it was; it shows\n{}", self.lines().join("\n"));
    }
}

impl Drop for Pseudo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
