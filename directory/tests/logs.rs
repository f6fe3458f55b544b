//! What the log says of real traffic: enough to see what happened, and nothing that was confided.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its own helpers too")]

mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use directory::{
    server::{Server, Settings, Storage},
    store::{Accounts as _, memory::MemoryStore},
};
use protocol::{
    Bounded, BoundedBytes, ConversationId, MessageId,
    directory::{Deposit, Refusal, Registration, Reply, Request},
    peer::Envelope,
};
use support::{Person, connect};
use tracing_subscriber::fmt::MakeWriter;

const INVITE: &str = "canary-invite-code";
const BACKUP: &[u8] = b"canary of a sealed root key";
const BOOK: &[u8] = b"canary of a sealed book";
const CIPHERTEXT: &[u8] = b"canary of a ciphertext";
const PASSWORD: &str = "canary-password";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Whether the bytes stand in the log in any of the forms in which bytes get into logs.
    fn holds(&self, canary: &[u8]) -> bool {
        let text = self.text();
        let numbers = format!("{canary:?}");
        let forms = [
            String::from_utf8_lossy(canary).into_owned(),
            data_encoding::HEXLOWER.encode(canary),
            data_encoding::HEXUPPER.encode(canary),
            data_encoding::BASE64_NOPAD.encode(canary),
            numbers.trim_matches(['[', ']']).to_owned(),
        ];
        forms.iter().any(|form| text.contains(form))
    }
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn capture() -> (Captured, tracing::subscriber::DefaultGuard) {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    (captured, tracing::subscriber::set_default(subscriber))
}

fn deposit() -> Request {
    let envelope = Envelope {
        conversation: ConversationId([0xc0; 32]),
        epoch: 1,
        sender: support::Device::new(1).id(),
        id: MessageId([0xab; 16]),
        ciphertext: BoundedBytes::new(CIPHERTEXT.to_vec()).unwrap(),
    };
    let recipients = Bounded::new(vec![support::Device::new(2).id()]).unwrap();
    Request::Deposit { items: Bounded::new(vec![Deposit::Message { envelope, recipients }]).unwrap() }
}

#[tokio::test]
async fn logs_tell_what_happened_and_never_what_was_confided() {
    let (captured, _guard) = capture();
    let store = MemoryStore::default();
    store.add_invites(&[INVITE.to_owned()]).unwrap();
    let storage = Storage::Memory(store);
    let registration = Registration::Invite;
    let server = Server::start(Settings { registration, storage, ..Settings::in_memory() }).await.unwrap();

    let alice = Person { backup: BACKUP.to_vec(), password: PASSWORD.to_owned(), ..Person::new("alice", 1) };
    let raw = connect(server.local_addr(), &alice.device).await;
    assert!(matches!(raw.sign_up(&alice, Some(INVITE)).await, Ok(Reply::SignedIn { .. })));
    let book = BoundedBytes::new(BOOK.to_vec()).unwrap();
    assert_eq!(raw.ask(&Request::PutBook { version: 1, book: book.clone() }).await, Ok(Reply::Done));
    assert_eq!(raw.ask(&Request::PutBook { version: 1, book }).await, Err(Refusal::Stale));
    assert!(matches!(raw.ask(&deposit()).await, Ok(Reply::Deposited(_))));
    assert_eq!(raw.ask(&Request::SignOut).await, Ok(Reply::Done));
    raw.closed().await;
    let again = connect(server.local_addr(), &alice.device).await;
    assert!(matches!(again.sign_in(&alice.name, PASSWORD).await, Some(Ok(Reply::SignedIn { .. }))));
    assert_eq!(again.force_sign_in(&alice.name).await, Err(Refusal::WrongCredentials));
    server.shutdown().await;

    let text = captured.text();
    for line in ["listening", "connected", "signed in", "refused", "signed out", "disconnected", "shut down"] {
        assert!(text.lines().any(|found| found.contains("directory::server") && found.contains(line)), "{line}");
    }
    assert!(text.contains("a newer version is stored"), "the reason of a refusal");
    assert!(text.contains("MessageId(abababab…)"), "the short id of a deposited message");
    for canary in [INVITE.as_bytes(), BACKUP, BOOK, CIPHERTEXT, PASSWORD.as_bytes()] {
        assert!(!captured.holds(canary), "{}", String::from_utf8_lossy(canary));
    }
    let secret = p256::ecdsa::SigningKey::to_bytes(&alice.device.key);
    assert!(!captured.holds(&secret));
}

#[tokio::test]
async fn a_canary_that_is_logged_is_found() {
    let (captured, _guard) = capture();
    tracing::info!("{}", PASSWORD);
    tracing::info!(bytes = ?BOOK);
    tracing::info!(hex = data_encoding::HEXLOWER.encode(BACKUP));
    // From the service's threads too: a request that could not be told from what it carries would be found.
    std::thread::scope(|scope| {
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        scope.spawn(move || tracing::dispatcher::with_default(&dispatch, || tracing::info!("{INVITE}")));
    });
    for canary in [PASSWORD.as_bytes(), BOOK, BACKUP, INVITE.as_bytes()] {
        assert!(captured.holds(canary), "{}", String::from_utf8_lossy(canary));
    }
    assert!(!captured.holds(CIPHERTEXT));
}
