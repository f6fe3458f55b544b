//! What the log says of a request: who asked what, how it ended and how long it took. Ids, counts and durations; never a
//! ciphertext, a key, a password, an invite code or a backup.

use std::time::Duration;

use protocol::{
    AccountId, DeviceId, MessageId, Name,
    directory::{Deposit, DepositResult, LedgerRequest, Refusal, Reply, Request},
};

const SIGN_OUT: &str = "sign-out";
const UPDATE_DEVICES: &str = "update devices";
const CHANGE_PASSWORD: &str = "change password";
const RECOVERY: &str = "recovery";
const CLOSE_ACCOUNT: &str = "close account";
const REMOVE: &str = "remove";

/// What is kept of a request for its log line, because the request itself is consumed in the answering.
#[derive(Debug)]
pub(crate) struct Entry {
    kind: &'static str,
    detail: Detail,
}

#[derive(Debug)]
enum Detail {
    Nothing,
    Name(Name),
    Count(usize),
    /// Of each item its message (none for a receipt), and for how many devices it is.
    Deposits(Vec<(Option<MessageId>, usize)>),
}

impl Entry {
    /// What is worth remembering of a request.
    pub(crate) fn of(request: &Request) -> Self {
        let (kind, detail) = match request {
            Request::Ping => ("ping", Detail::Nothing),
            Request::SignUpStart { name, .. } => ("sign-up start", Detail::Name(name.clone())),
            Request::SignUpFinish(sign_up) => ("sign-up", Detail::Name(sign_up.name.clone())),
            Request::SignInStart { name, .. } => ("sign-in start", Detail::Name(name.clone())),
            Request::SignInFinish { .. } => ("sign-in", Detail::Nothing),
            Request::SignOut => (SIGN_OUT, Detail::Nothing),
            Request::Announce { addresses, .. } => ("announce", Detail::Count(addresses.len())),
            Request::LookUp { who } => ("look-up", Detail::Count(who.len())),
            Request::ListOnline { .. } => ("list online", Detail::Nothing),
            Request::Accept { accounts } => ("accept", Detail::Count(accounts.len())),
            Request::Addresses { .. } => ("addresses", Detail::Nothing),
            Request::PublishKeyPackages { packages, .. } => ("publish key packages", Detail::Count(packages.len())),
            Request::TakeKeyPackages { .. } => ("take key packages", Detail::Nothing),
            Request::CreateConversation(_) => ("create conversation", Detail::Nothing),
            Request::SubmitCommit(_) => ("submit commit", Detail::Nothing),
            Request::Group { .. } => ("group", Detail::Nothing),
            Request::Deposit { items } => ("deposit", Detail::Deposits(items.iter().map(deposit).collect())),
            Request::Drain { .. } => ("drain", Detail::Nothing),
            Request::Remove { cursors } => (REMOVE, Detail::Count(cursors.len())),
            Request::PutBook { .. } => ("put book", Detail::Nothing),
            Request::Account => ("account", Detail::Nothing),
            Request::Book => ("book", Detail::Nothing),
            Request::UpdateDevices { .. } => (UPDATE_DEVICES, Detail::Nothing),
            Request::PasswordStart { .. } => ("password start", Detail::Nothing),
            Request::ChangePassword { .. } => (CHANGE_PASSWORD, Detail::Nothing),
            Request::RecoveryStart { name, .. } => ("recovery start", Detail::Name(name.clone())),
            Request::RecoveryFinish(recovery) => (RECOVERY, Detail::Name(recovery.name.clone())),
            Request::CloseAccount => (CLOSE_ACCOUNT, Detail::Nothing),
            Request::Block { accounts, .. } => ("block", Detail::Count(accounts.len())),
            Request::Settling { commits } => ("settling", Detail::Count(commits.len())),
            Request::ListGroups { .. } => ("list groups", Detail::Nothing),
            Request::FindGroup { name } => ("find group", Detail::Name(name.clone())),
            Request::Leave { .. } => ("leave", Detail::Nothing),
            Request::Ledger(request) => (ledger(request), Detail::Nothing),
            Request::Epochs { groups } => ("epochs", Detail::Count(groups.len())),
        };
        Self { kind, detail }
    }

    /// Writes the line, once the answer is known.
    pub(crate) fn write(
        &self,
        account: Option<AccountId>,
        device: Option<DeviceId>,
        answer: &Result<Reply, Refusal>,
        took: Duration,
    ) {
        let Self { kind, detail } = self;
        let (account, device) = (account.map(tracing::field::debug), device.map(tracing::field::debug));
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match (answer, detail) {
            (Err(refusal), Detail::Name(name)) => {
                tracing::info!(kind, account, device, %name, why = %refusal, us, "refused");
            }
            (Err(refusal), _) => tracing::info!(kind, account, device, why = %refusal, us, "refused"),
            (Ok(Reply::SignedIn { account, enrolled, .. }), _) => {
                tracing::info!(kind, ?account, device, enrolled, us, "signed in");
            }
            (Ok(Reply::Deposited(results)), Detail::Deposits(items)) => {
                for ((message, recipients), result) in items.iter().zip(results) {
                    let (message, from) = (message.map(tracing::field::debug), device.clone());
                    match result {
                        DepositResult::Stored if message.is_none() => tracing::debug!(from, us, "receipt stored"),
                        DepositResult::Stored => tracing::info!(message, from, recipients, us, "stored for delivery"),
                        DepositResult::StaleEpoch => tracing::info!(message, from, us, "not stored: the epoch is gone"),
                        DepositResult::Refused(why) => tracing::info!(message, from, %why, us, "not stored"),
                    }
                }
            }
            (Ok(Reply::Mail { items, .. }), _) if !items.is_empty() => {
                tracing::info!(kind, account, device, items = items.len(), us, "handed over");
            }
            (Ok(Reply::Done), Detail::Nothing) if *kind == SIGN_OUT => {
                tracing::info!(kind, account, device, us, "signed out");
            }
            (Ok(Reply::Done), _) if [UPDATE_DEVICES, CHANGE_PASSWORD, RECOVERY, CLOSE_ACCOUNT].contains(kind) => {
                tracing::info!(kind, account, device, us, "account changed");
            }
            (Ok(Reply::Done), Detail::Count(items)) if *kind == REMOVE => {
                tracing::info!(kind, account, device, items, us, "delivered");
            }
            (Ok(_), Detail::Count(count)) => tracing::debug!(kind, account, device, count, us, "answered"),
            (Ok(_), Detail::Name(name)) => tracing::debug!(kind, account, device, %name, us, "answered"),
            (Ok(_), _) => tracing::debug!(kind, account, device, us, "answered"),
        }
    }
}

fn deposit(item: &Deposit) -> (Option<MessageId>, usize) {
    match item {
        Deposit::Message { envelope, recipients } => (Some(envelope.id), recipients.len()),
        Deposit::Receipt { .. } => (None, 1),
    }
}

fn ledger(request: &LedgerRequest) -> &'static str {
    match request {
        LedgerRequest::Terms => "ledger terms",
        LedgerRequest::Settle { .. } => "settle",
        LedgerRequest::OpenRequest { .. } => "open request",
        LedgerRequest::CloseRequest { .. } => "close request",
        LedgerRequest::Balance => "balance",
        LedgerRequest::Consistency { .. } => "consistency",
        LedgerRequest::Entries { .. } => "entries",
        LedgerRequest::Requests { .. } => "requests",
    }
}
