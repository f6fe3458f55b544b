//! One node's connection from its handshake to its end: requests in, answers and pushes out, and whoever misbehaves is cut
//! off with a reason.

use std::{sync::Arc, time::Instant};

use protocol::{
    PublicKey,
    directory::{LedgerRequest, Push, Request},
    limits::{DIRECTORY_FRAME_MAX, STRANGER_FRAME_MAX},
    peer::CloseCode,
};
use quinn::{Connection, ConnectionError, Incoming, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{Mutex, Semaphore},
    task::{JoinHandle, JoinSet},
    time::{sleep_until, timeout},
};
use tracing::Instrument as _;

use crate::{
    server::{
        Shared,
        arrivals::Arrival,
        journal::Entry,
        link::Link,
        push::write_pushes,
        reception::Visit,
        stream::{read_request, write_answer},
    },
    tls::{OPAQUE_EXPORTER_LABEL, client_certificate::certificate_key},
};

/// Requests of one connection that are read and answered at a time. A node asks one thing after the other, and a few beside;
/// what else it sends waits in its streams, within the connection's window.
const REQUESTS_AT_ONCE: usize = 4;

/// Why a connection never came to be.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("the handshake took too long")]
    Late,
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the connection shows no device key")]
    NoKey,
    #[error("the connection exports no keying material")]
    NoExporter,
}

/// Takes a connection up and stays with it until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, incoming: Incoming, mut arrival: Box<Arrival>, number: u64) {
    let address = incoming.remote_address();
    let span = tracing::info_span!("connection", number, %address);
    async {
        let begun = Instant::now();
        let (connection, visit) = match shake_hands(&shared, incoming).await {
            Ok(connected) => connected,
            Err(error) => return tracing::info!(why = %error, ms = ms_since(begun), "handshake failed"),
        };
        arrival.shook_hands();
        tracing::info!(ms = ms_since(begun), "connected");
        let link = Arc::new(Link::new(number, connection));
        let visit = Arc::new(Mutex::new(visit));
        let hands = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
        Conversation { shared, link, visit, hands }.run(arrival).await;
        tracing::info!(s = begun.elapsed().as_secs(), "disconnected");
    }
    .instrument(span)
    .await;
}

async fn shake_hands(shared: &Shared, incoming: Incoming) -> Result<(Connection, Box<dyn Visit>), HandshakeError> {
    let connecting = incoming.accept()?;
    let connection = timeout(shared.patience.handshake, connecting).await.map_err(|_| HandshakeError::Late)??;
    let key = device_key(&connection).ok_or(HandshakeError::NoKey)?;
    let mut binding = [0; 32];
    connection
        .export_keying_material(&mut binding, OPAQUE_EXPORTER_LABEL, b"")
        .map_err(|_| HandshakeError::NoExporter)?;
    let visit = shared.reception.receive(key, binding, connection.remote_address());
    Ok((connection, visit))
}

/// The key of the certificate that the handshake has verified.
fn device_key(connection: &Connection) -> Option<PublicKey> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certificate_key(chain.first()?).ok()
}

/// A connection whose device key is known.
#[derive(Clone)]
struct Conversation {
    shared: Arc<Shared>,
    link: Arc<Link>,
    // One request of a connection at a time: a sign-in has two halves, and what a visit may do changes between them.
    visit: Arc<Mutex<Box<dyn Visit>>>,
    // Taken by each request from its first byte to its answer's last.
    hands: Arc<Semaphore>,
}

impl Conversation {
    /// Serves the connection until it ends, then lets go of everything.
    async fn run(self, arrival: Box<Arrival>) {
        let Shared { workers, .. } = &*self.shared;
        workers.connected(Arc::clone(&self.visit), Arc::clone(&self.link)).await;
        let mut requests = JoinSet::new();
        let mut pushes = tokio::spawn(write_pushes(Arc::clone(&self.link)).in_current_span());
        match self.take_requests(&mut requests, arrival).await {
            Some(error) => tracing::debug!(why = %error, "connection lost"),
            None => self.finish(&mut requests, &mut pushes).await,
        }
        pushes.abort();
        requests.abort_all();
        workers.disconnected(Arc::clone(&self.visit), Arc::clone(&self.link)).await;
    }

    /// Takes up requests until the connection is lost, or somebody ends it.
    async fn take_requests(&self, requests: &mut JoinSet<()>, mut arrival: Box<Arrival>) -> Option<ConnectionError> {
        let Self { shared, link, .. } = self;
        let mut stranger = true;
        let patience_ends = Instant::now() + shared.patience.stranger;
        loop {
            tokio::select! {
                stream = link.connection.accept_bi() => match stream {
                    Ok((send, receive)) => {
                        requests.spawn(self.clone().answer(send, receive).in_current_span());
                    }
                    Err(error) => return Some(error),
                },
                Ok(_) = link.connection.accept_uni() => {
                    link.end_because(CloseCode::Malformed, "nodes open no unidirectional streams".to_owned());
                }
                Some(_) = requests.join_next() => {}
                () = link.ended() => return None,
                () = shared.shutdown.cancelled() => link.end(CloseCode::ShuttingDown),
                () = link.signed_in(), if stranger => {
                    stranger = false;
                    arrival.signed_in();
                }
                () = sleep_until(patience_ends.into()), if stranger => {
                    link.end_because(CloseCode::Idle, "nobody signed in".to_owned());
                }
            }
        }
    }

    /// Reads a request, has it answered, and writes the answer.
    async fn answer(self, mut send: SendStream, mut receive: RecvStream) {
        let Self { shared, link, visit, hands } = self;
        let Ok(_hand) = hands.acquire().await else { return };
        let limit = if link.device().is_some() { DIRECTORY_FRAME_MAX } else { STRANGER_FRAME_MAX };
        let request = tokio::select! {
            biased;
            request = read_request(&mut receive, limit, shared.patience.arrival) => request,
            // What has not arrived when the connection ends is not waited for: the node asks again elsewhere.
            () = link.ended() => return,
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                return match error.blame() {
                    Some(code) => link.end_because(code, error.to_string()),
                    None => tracing::debug!(why = %error, "a request was taken back"),
                };
            }
        };
        let (entry, begun) = (Entry::of(&request), Instant::now());
        let settling = is_order(&request).then(|| link.pushes.settling());
        let visit = visit.lock_owned().await;
        let Some(answered) = shared.workers.ask(visit, Arc::clone(&link), request).await else { return };
        entry.write(answered.account, link.device(), &answered.answer, begun.elapsed());
        let hint = || {
            link.pushes.write_hint();
            drop(settling);
        };
        if let Err(error) = write_answer(&mut send, &answered.answer, hint).await {
            tracing::debug!(why = %error, "an answer was not taken");
        }
    }

    /// Closes a connection that somebody ended: at once if the node is to blame, else when its requests are answered.
    async fn finish(&self, requests: &mut JoinSet<()>, pushes: &mut JoinHandle<()>) {
        let Self { shared, link, .. } = self;
        let (code, reason) = link.end_reason();
        if is_blame(code) {
            tracing::warn!(code = code as u32, why = reason, "cut off");
        } else {
            tracing::info!(code = code as u32, why = reason, "closing");
            let answered = async { while requests.join_next().await.is_some() {} };
            if timeout(shared.patience.finish, answered).await.is_err() {
                tracing::warn!("requests were left unanswered");
            }
            if code == CloseCode::ShuttingDown {
                link.pushes.push(Push::Closing);
                let _ = timeout(shared.patience.finish, pushes).await;
            }
        }
        link.close();
    }
}

/// Whether the ledger answers it, which tells others of their money at the same time.
fn is_order(request: &Request) -> bool {
    matches!(request, Request::Ledger(request) if matches!(**request, LedgerRequest::Settle { .. }))
}

/// Whether a connection is closed because its node did something wrong.
const fn is_blame(code: CloseCode) -> bool {
    matches!(code, CloseCode::Malformed | CloseCode::TooMuch | CloseCode::NotWelcome | CloseCode::Idle)
}

fn ms_since(moment: Instant) -> u64 {
    u64::try_from(moment.elapsed().as_millis()).unwrap_or(u64::MAX)
}
