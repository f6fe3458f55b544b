//! The process under the pseudo-terminal: the real prompt, and a session that only says what it was given.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
};

use crate::pseudo::CONTROL;
use node::prompt::{Answer, Kind, Screen, Terminal, kind_of_standard_input};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

#[test]
fn child_at_a_prompt() {
    let Some(control) = std::env::var_os(CONTROL) else { return };
    let kind = kind_of_standard_input(std::env::var("TERM").ok().as_deref());
    assert_ne!(kind, Kind::Pipe);
    let control = UnixStream::connect(control).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(converse(kind, control));
    std::process::exit(code);
}

async fn converse(kind: Kind, control: UnixStream) -> i32 {
    let secret = |line: &str| line.starts_with("signup bob ").then_some(11..line.len());
    let mut terminal = Terminal::start(kind, secret, false).unwrap();
    let mut told = follow(control, terminal.screen().clone());
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    terminal.ask_line(Some("alice"), None);
    loop {
        tokio::select! {
            _ = terminated.recv() => return 143,
            Some(done) = told.recv() => {
                terminal.set_online(true);
                done.send(()).unwrap();
            }
            answer = terminal.answer() => match answer {
                Answer::Line(line) if line.starts_with("to ") => {
                    terminal.ask_line(Some("alice"), line.strip_prefix("to "));
                }
                Answer::Line(line) if *line == *"password" => terminal.ask_secret("Password: "),
                Answer::Line(line) => {
                    match line.strip_prefix("signup bob ") {
                        Some(secret) => say_secret(&terminal, secret),
                        None => terminal.screen().print(format!("line: {:?}", *line)),
                    }
                    terminal.ask_line(Some("alice"), None);
                }
                Answer::Secret(secret) => {
                    say_secret(&terminal, &secret);
                    terminal.ask_line(Some("alice"), None);
                }
                Answer::Cleared => {
                    terminal.screen().print("cleared");
                    terminal.ask_line(Some("alice"), None);
                }
                Answer::Leave => {
                    terminal.screen().print("left");
                    return 130;
                }
                Answer::EndOfInput => return 0,
                Answer::Failed(error) => panic!("{error}"),
            },
        }
    }
}

fn say_secret(terminal: &Terminal, secret: &str) {
    terminal.screen().print(format!("secret of {} characters", secret.chars().count()));
}

/// Does as it is told on a thread of its own, as the network would.
fn follow(control: UnixStream, screen: Screen) -> mpsc::Receiver<oneshot::Sender<()>> {
    let (online, told) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut obeyed = control.try_clone().unwrap();
        for order in BufReader::new(control).lines().map_while(Result::ok) {
            match order.split_once(' ') {
                Some(("print", text)) => screen.print(text),
                None if order == "online" => {
                    // Waits until it is done, so that the next order comes after it.
                    let (done, is_done) = oneshot::channel();
                    online.blocking_send(done).unwrap();
                    is_done.blocking_recv().unwrap();
                }
                _ => panic!("as it was told to: {order}"),
            }
            obeyed.write_all(b".").unwrap();
        }
    });
    told
}
