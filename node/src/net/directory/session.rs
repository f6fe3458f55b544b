//! One connection to the directory, from its first request to its end.

use std::{collections::BTreeSet, future::pending, time::Duration};

use node_core::input::{Answer, CallId};
use protocol::{
    directory::{Push, Refusal, Reply, Request},
    frame::{self, FrameError, HEADER_LENGTH},
    limits::{DIRECTORY_FRAME_MAX, STRANGER_FRAME_MAX},
};
use quinn::Connection;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{Call, DirectoryEvent};
use crate::net::{
    endpoint::DIRECTORY_KEEP_ALIVE,
    frames::{FrameReader, write_frames},
};

/// Requests under way at once: the directory takes so many streams of one connection.
const CALLS_MAX: usize = 4;
/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A directory that sends nothing at all, not even acknowledgements, for so long after it was spoken to has gone away
/// without a word; QUIC itself would wait for its idle time-out, and meanwhile no message would arrive here.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How often that is looked at.
const SILENCE_CHECK: Duration = Duration::from_secs(1);

/// When the directory was last heard, and since when it owes an answer.
struct Hearing {
    datagrams: u64,
    heard: Instant,
    asked: Option<Instant>,
}

impl Hearing {
    /// Looks again. While nothing is asked, only keep-alives make a living directory answer.
    fn is_gone(&mut self, datagrams: u64, owes: bool, now: Instant) -> bool {
        if datagrams != self.datagrams {
            (self.datagrams, self.heard) = (datagrams, now);
        }
        self.asked = owes.then(|| self.asked.unwrap_or(now));
        match self.asked {
            Some(asked) => now.duration_since(self.heard.max(asked)) >= SILENCE_MAX,
            None => now.duration_since(self.heard) >= DIRECTORY_KEEP_ALIVE + SILENCE_MAX,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the directory did not answer in time")]
    TimedOut,
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("the directory's answer is malformed: {0}")]
    Malformed(FrameError),
    #[error("a request that is too long: {0}")]
    TooLong(FrameError),
}

pub(super) struct Session<'a> {
    connection: &'a Connection,
    generation: u64,
    events: &'a mpsc::Sender<DirectoryEvent>,
    running: JoinSet<(CallId, Result<Answer, CallError>)>,
    due: BTreeSet<CallId>,
}

impl<'a> Session<'a> {
    pub(super) fn new(connection: &'a Connection, generation: u64, events: &'a mpsc::Sender<DirectoryEvent>) -> Self {
        Self { connection, generation, events, running: JoinSet::new(), due: BTreeSet::new() }
    }

    /// Carries requests, answers and pushes until the connection ends; says why it did. What has no answer then counts
    /// as lost.
    pub(super) async fn run(mut self, queue: &mut mpsc::Receiver<Call>) -> String {
        let (connection, events) = (self.connection, self.events);
        let reason = tokio::select! {
            reason = self.calls(queue) => reason,
            reason = read_pushes(connection, events) => reason,
            error = connection.closed() => error.to_string(),
        };
        self.running.abort_all();
        for call in std::mem::take(&mut self.due) {
            self.answer(call, Answer::Lost).await;
        }
        reason
    }

    async fn calls(&mut self, queue: &mut mpsc::Receiver<Call>) -> String {
        let mut hearing = Hearing { datagrams: self.datagrams(), heard: Instant::now(), asked: None };
        let mut checks = tokio::time::interval(SILENCE_CHECK);
        loop {
            tokio::select! {
                Some(call) = queue.recv(), if self.due.len() < CALLS_MAX => self.start(call).await,
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    if let Err(reason) = self.finish(ended).await {
                        return reason;
                    }
                }
                _ = checks.tick() => {
                    if hearing.is_gone(self.datagrams(), !self.due.is_empty(), Instant::now()) {
                        return "the directory went silent".to_owned();
                    }
                }
            }
        }
    }

    fn datagrams(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    async fn start(&mut self, call: Call) {
        let Call { generation, call, request } = call;
        if generation != self.generation {
            return self.answer(call, Answer::Lost).await;
        }
        self.due.insert(call);
        let connection = self.connection.clone();
        self.running.spawn(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&connection, request)).await;
            (call, answer.unwrap_or(Err(CallError::TimedOut)))
        });
    }

    async fn finish(
        &mut self,
        ended: Result<(CallId, Result<Answer, CallError>), tokio::task::JoinError>,
    ) -> Result<(), String> {
        let (call, result) = match ended {
            Ok(ended) => ended,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => return Err(error.to_string()),
            },
        };
        let (answer, verdict) = match result {
            Ok(answer) => (answer, Ok(())),
            Err(error) => {
                tracing::warn!(call = call.0, %error, "a request has no answer");
                let verdict = match error {
                    // A directory that no longer makes sense is left, and asked again on a fresh connection.
                    CallError::Malformed(_) => Err(error.to_string()),
                    CallError::TimedOut | CallError::Broken(_) | CallError::TooLong(_) => Ok(()),
                };
                (Answer::Lost, verdict)
            }
        };
        self.due.remove(&call);
        self.answer(call, answer).await;
        verdict
    }

    async fn answer(&self, call: CallId, answer: Answer) {
        // Nobody listens any more when the node is ending.
        let _ = self.events.send(DirectoryEvent::Answered { call, answer }).await;
    }
}

/// One request on a stream of its own.
async fn ask(connection: &Connection, request: Box<Request>) -> Result<Answer, CallError> {
    let broken = |error: &dyn std::fmt::Display| CallError::Broken(error.to_string());
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| broken(&error))?;
    write_frames(&mut send, &[*request], DIRECTORY_FRAME_MAX).await.map_err(|error| match error {
        crate::net::frames::FrameWriteError::Frame(error) => CallError::TooLong(error),
        crate::net::frames::FrameWriteError::Stream(error) => broken(&error),
    })?;
    send.finish().map_err(|error| broken(&error))?;
    let bytes = receive.read_to_end(HEADER_LENGTH + DIRECTORY_FRAME_MAX).await.map_err(|error| broken(&error))?;
    let (header, body) =
        bytes.split_first_chunk::<HEADER_LENGTH>().ok_or_else(|| CallError::Broken("no answer".to_owned()))?;
    let length = frame::body_length(*header, DIRECTORY_FRAME_MAX).map_err(CallError::Malformed)?;
    if let Some(surplus) = body.len().checked_sub(length).filter(|surplus| *surplus > 0) {
        return Err(CallError::Malformed(FrameError::TrailingBytes(surplus)));
    }
    if body.len() < length {
        return Err(CallError::Broken("half an answer".to_owned()));
    }
    let answer: Result<Reply, Refusal> = frame::decode_body(body, DIRECTORY_FRAME_MAX).map_err(CallError::Malformed)?;
    Ok(answer.map_or_else(Answer::Refusal, |reply| Answer::Reply(Box::new(reply))))
}

/// Hands on what the directory says unasked; returns only if what it says makes no sense.
async fn read_pushes(connection: &Connection, events: &mpsc::Sender<DirectoryEvent>) -> String {
    let Ok(stream) = connection.accept_uni().await else { return pending().await };
    let mut pushes = FrameReader::new(stream, STRANGER_FRAME_MAX);
    loop {
        match pushes.next::<Push>().await {
            Ok(Some(push)) => {
                if events.send(DirectoryEvent::Push(push)).await.is_err() {
                    return pending().await;
                }
            }
            // Without pushes the node still finds everything by asking, and a new connection brings them back.
            Ok(None) => return "the directory ended its pushes".to_owned(),
            Err(error) => return format!("the directory's pushes broke: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_gone_when_it_says_nothing_after_it_was_asked_or_kept_alive() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut hearing = Hearing { datagrams: 1, heard: start, asked: None };
        // Idle: a keep-alive's answer is awaited.
        assert!(!hearing.is_gone(1, false, at(7)));
        // A request after a long silence has its own time.
        assert!(!hearing.is_gone(1, true, at(7)));
        assert!(!hearing.is_gone(1, true, at(9)));
        // Whatever is heard, as an acknowledgement, starts the time anew.
        assert!(!hearing.is_gone(2, true, at(10)));
        assert!(!hearing.is_gone(2, true, at(12)));
        assert!(hearing.is_gone(2, true, at(13)));
        assert!(!hearing.is_gone(2, false, at(17)));
        assert!(hearing.is_gone(2, false, at(18)));
    }
}
