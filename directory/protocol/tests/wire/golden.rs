//! Golden bytes: what is on the wire and on disks today must be readable tomorrow, and must not change unseen.

use std::fmt::Write as _;

use protocol::frame;
use serde::Serialize;

use crate::samples;

const GOLDEN: &str = include_str!("golden.txt");
const LIMIT: usize = 1 << 20;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn push_all<T: Serialize>(table: &mut String, kind: &str, values: &[T]) {
    for (number, value) in values.iter().enumerate() {
        let bytes = frame::encode_body(value, LIMIT).unwrap();
        // Postcard begins an enumeration with its variant's number: the samples name every variant, in order.
        if values.len() > 1 {
            assert_eq!(usize::from(bytes[0]), number, "{kind}: the samples skip a variant");
        }
        let _ = writeln!(table, "{kind} {number} {}", hex(&bytes));
    }
}

fn table() -> String {
    let mut table = String::new();
    push_all(&mut table, "request", &samples::requests());
    push_all(&mut table, "reply", &samples::replies());
    push_all(&mut table, "refusal", &samples::refusals());
    push_all(&mut table, "policy-refusal", &samples::policy_refusals());
    push_all(&mut table, "registration", &samples::registrations());
    push_all(&mut table, "push", &samples::pushes());
    push_all(&mut table, "peer-frame", &samples::peer_frames());
    push_all(&mut table, "peer-refusal", &samples::peer_refusals());
    push_all(&mut table, "content", &[samples::content()]);
    push_all(&mut table, "device-entry", &[samples::entry()]);
    push_all(&mut table, "device-list", &[samples::device_list()]);
    push_all(&mut table, "receipt", &[samples::plain_receipt()]);
    push_all(&mut table, "policy", &samples::policies());
    push_all(&mut table, "leave", &[samples::leave()]);
    push_all(&mut table, "body", &samples::bodies());
    push_all(&mut table, "mail-item", &samples::mail_items());
    push_all(&mut table, "role", &samples::roles());
    push_money(&mut table);
    push_files(&mut table);
    table
}

fn push_files(table: &mut String) {
    use samples::files;
    push_all(table, "file-offer", &[files::offer()]);
    push_all(table, "file-notice", &[files::notice()]);
    push_all(table, "file-shape", &files::shapes());
    push_all(table, "file-word", &files::words());
    push_all(table, "manifest", &[files::manifest()]);
    let [manifest, chunks] = [0, 1].map(|at| files::fetches().swap_remove(at));
    push_all(table, "file-fetch-manifest", &[manifest]);
    push_all(table, "file-fetch-chunks", &[chunks]);
    push_all(table, "file-grant", &files::grants());
    push_all(table, "file-refusal", &files::refusals());
    push_all(table, "file-taken", &[files::taken()]);
}

fn push_money(table: &mut String) {
    use samples::money;
    push_all(table, "ledger-request", &money::ledger_requests());
    push_all(table, "ledger-reply", &money::ledger_replies());
    push_all(table, "ledger-refusal", &money::ledger_refusals());
    push_all(table, "request-state", &money::request_states());
    push_all(table, "limit-kind", &money::limit_kinds());
    push_all(table, "closing-kind", &money::closing_kinds());
    push_all(table, "order", &[money::order()]);
    push_all(table, "payment-request", &[money::request()]);
    push_all(table, "closing", &[money::closing()]);
    push_all(table, "memo-opening", &[money::memo_opening()]);
    push_all(table, "entry", &money::entries());
    push_all(table, "checkpoint", &[money::checkpoint()]);
    push_all(table, "receipt-key", &[money::receipt_key()]);
}

#[test]
fn every_variant_has_the_bytes_that_shipped() {
    let table = table();
    for (now, then) in table.lines().zip(GOLDEN.lines()) {
        assert_eq!(now, then, "a shipped encoding changed: append a variant instead, or raise the ALPN's version");
    }
    assert_eq!(table.lines().count(), GOLDEN.lines().count(), "new variants need their golden lines:\n{table}");
}

/// A compiler error here means that a variant was added: give it a sample, and so its golden bytes.
#[test]
fn the_samples_name_every_variant() {
    use protocol::directory::{MailItem, Push, Refusal, Reply, Request};
    let last = |request: &Request| match request {
        Request::Ping
        | Request::SignUpStart { .. }
        | Request::SignUpFinish(_)
        | Request::SignInStart { .. }
        | Request::SignInFinish { .. }
        | Request::SignOut
        | Request::Announce { .. }
        | Request::LookUp { .. }
        | Request::ListOnline { .. }
        | Request::Accept { .. }
        | Request::Addresses { .. }
        | Request::PublishKeyPackages { .. }
        | Request::TakeKeyPackages { .. }
        | Request::CreateConversation(_)
        | Request::SubmitCommit(_)
        | Request::Group { .. }
        | Request::Deposit { .. }
        | Request::Drain { .. }
        | Request::Remove { .. }
        | Request::PutBook { .. }
        | Request::Account
        | Request::Book
        | Request::UpdateDevices { .. }
        | Request::PasswordStart { .. }
        | Request::ChangePassword { .. }
        | Request::RecoveryStart { .. }
        | Request::RecoveryFinish(_)
        | Request::CloseAccount
        | Request::Block { .. }
        | Request::Settling { .. }
        | Request::ListGroups { .. }
        | Request::FindGroup { .. }
        | Request::Leave { .. }
        | Request::Ledger(_)
        | Request::Epochs { .. } => 35,
    };
    let requests = samples::requests();
    assert_eq!(requests.len(), requests.first().map_or(0, last));
    let reply = |reply: &Reply| match reply {
        Reply::Done
        | Reply::Pong { .. }
        | Reply::SignUpStarted { .. }
        | Reply::SignInStarted { .. }
        | Reply::SignedIn { .. }
        | Reply::Announced { .. }
        | Reply::People(_)
        | Reply::Addresses(_)
        | Reply::KeyPackageStock { .. }
        | Reply::KeyPackages(_)
        | Reply::CommitAccepted
        | Reply::CommitLost { .. }
        | Reply::ConversationExists
        | Reply::Group { .. }
        | Reply::Deposited(_)
        | Reply::Mail { .. }
        | Reply::Account { .. }
        | Reply::Book(_)
        | Reply::RecoveryStarted { .. }
        | Reply::Settling { .. }
        | Reply::Groups(_)
        | Reply::Ledger(_)
        | Reply::Epochs(_) => 23,
    };
    assert_eq!(samples::replies().len(), reply(&Reply::Done));
    let refusal = |refusal: &Refusal| match refusal {
        Refusal::Malformed(_)
        | Refusal::RateLimited { .. }
        | Refusal::NotSignedIn
        | Refusal::WrongCredentials
        | Refusal::NameTaken
        | Refusal::NameConfusable
        | Refusal::RegistrationClosed
        | Refusal::InviteNeeded
        | Refusal::DeviceTaken
        | Refusal::Unknown
        | Refusal::NotMember
        | Refusal::StrangerLimit
        | Refusal::MailboxFull
        | Refusal::Stale
        | Refusal::Policy(_)
        | Refusal::Unavailable
        | Refusal::PasswordNeeded
        | Refusal::Blocked
        | Refusal::Ledger(_) => 19,
    };
    assert_eq!(samples::refusals().len(), refusal(&Refusal::Unknown));
    let push = |push: &Push| match push {
        Push::Mail | Push::Presence { .. } | Push::KeyPackagesLow | Push::Closing | Push::Account | Push::Ledger => 6,
    };
    assert_eq!(samples::pushes().len(), push(&Push::Mail));
    let item = |item: &MailItem| match item {
        MailItem::Message { .. }
        | MailItem::Welcome { .. }
        | MailItem::Commit { .. }
        | MailItem::Receipt(_)
        | MailItem::Expired { .. }
        | MailItem::Leave { .. } => 6,
    };
    let items = samples::mail_items();
    assert_eq!(items.len(), items.first().map_or(0, item));
}
