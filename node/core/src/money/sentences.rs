//! What is said when money can't be moved, with the next step.

use protocol::{
    Name,
    directory::{LedgerRefusal, LimitKind, Refusal, RequestState},
    money::{AmountError, Currency},
};

use crate::{
    command::{Failure, FailureCode, OwnLimit},
    event::{LedgerState, request_word},
};

fn refused(text: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Refused, text)
}

/// The ledger is not what it was.
pub(super) fn alarm(state: LedgerState) -> Failure {
    let what = match state {
        LedgerState::Changed => "the directory shows another ledger than before",
        LedgerState::Shrunk => "the directory shows less of its ledger than it signed before",
        LedgerState::Forked => "the directory cannot prove that its ledger is the one that it signed before",
        LedgerState::Forged | LedgerState::Proven => "the directory shows something in its ledger that does not hold",
    };
    let text = format!(
        "{what}; no money is moved from here until it proves the ledger that this device knows: ask the operator to run \
         `directory audit`, and compare BALANCE and PAYMENTS with the people you pay"
    );
    Failure::new(FailureCode::Trust, text)
}

/// What was typed is no amount.
pub(super) fn amount(error: AmountError, currency: &Currency) -> Failure {
    let text = match error {
        AmountError::TooManyDecimals { scale: 0 } => "amounts have no decimals here; leave the point out".to_owned(),
        AmountError::TooManyDecimals { scale } => {
            format!("{} has {scale} decimals: write at most as many", called(currency))
        }
        error => error.to_string(),
    };
    Failure::new(FailureCode::Usage, text)
}

fn called(currency: &Currency) -> String {
    if currency.name.is_empty() { "the money here".to_owned() } else { currency.name.to_string() }
}

/// Only one's own money can be paid.
pub(super) fn foreign_payer(payer: &Name, to: &Name) -> Failure {
    refused(format!(
        "that is {payer}'s money, not yours; REQUEST {payer} AMOUNT asks for it, PAY {to} AMOUNT pays yours"
    ))
}

pub(super) fn blocked(name: &Name) -> Failure {
    refused(format!("you blocked {name}; UNBLOCK {name} first"))
}

pub(super) fn too_long(length: usize, limit: usize) -> Failure {
    Failure::new(FailureCode::Usage, format!("the words are too long: {length} bytes of at most {limit}; shorten them"))
}

/// The directory has not answered yet: nobody may try that again under another id.
pub(super) fn unknown(what: &str) -> Failure {
    let text = format!(
        "the directory has not said whether {what}; it is asked again until it does, so don't do it anew: \
         PAYMENTS and REQUESTS show what came of it"
    );
    Failure::new(FailureCode::Unknown, text)
}

pub(super) fn no_request() -> Failure {
    Failure::new(FailureCode::Conflict, "there is no such request; REQUESTS lists them")
}

pub(super) fn no_payment() -> Failure {
    Failure::new(FailureCode::Conflict, "there is no such payment; PAYMENTS lists them")
}

pub(super) fn ambiguous() -> Failure {
    Failure::new(FailureCode::Conflict, "two have this id; name the one by its short id, which PAYMENTS shows")
}

/// A request that is over can't be answered.
pub(super) fn over(id: &str, state: RequestState) -> Failure {
    let text = match state {
        RequestState::Paid => format!("{id} is paid already; PAYMENTS shows it"),
        RequestState::Expired => format!("{id} has expired; whoever asked can REQUEST again"),
        state => format!("{id} is {} already; REQUESTS shows it", request_word(state)),
    };
    refused(text)
}

pub(super) fn not_asked(id: &str) -> Failure {
    refused(format!("{id} is your own request; CANCEL {id} takes it back"))
}

pub(super) fn not_asking(id: &str) -> Failure {
    refused(format!("{id} is a request to you; DECLINE {id} turns it down, ACCEPT {id} pays it"))
}

/// This device was never told what a request is for.
pub(super) fn untold(id: &str) -> Failure {
    refused(format!(
        "this device was not told what {id} is for: ACCEPT it on the device that was, or have it asked again; DECLINE {id} \
         works here too"
    ))
}

/// Above a limit of the person's own.
pub(super) fn own_limit(kind: OwnLimit, limit: &str) -> Failure {
    let (what, key) = match kind {
        OwnLimit::Payment => ("one payment", "limit.payment"),
        OwnLimit::Day => ("one day", "limit.day"),
        OwnLimit::Peer => ("one day and one person", "limit.peer"),
        OwnLimit::Confirm => ("paying without a question", "confirm.above"),
    };
    refused(format!("that is above your own limit for {what}, {limit}; SET {key} AMOUNT changes it"))
}

/// An account with money is not closed.
pub(crate) fn not_empty(balance: &str) -> Failure {
    refused(format!(
        "the account still has {balance}; PAY it to somebody, then CLOSE ACCOUNT again: nothing was closed"
    ))
}

/// The directory refused an order, a request or its end.
pub(super) fn by_directory(refusal: &Refusal, other: &str, id: &str, currency: &Currency) -> Failure {
    match refusal {
        Refusal::Ledger(refusal) => by_ledger(*refusal, other, id, currency),
        refusal => refused(format!("{refusal}; nothing was done")),
    }
}

fn by_ledger(refusal: LedgerRefusal, other: &str, id: &str, currency: &Currency) -> Failure {
    let text = match refusal {
        LedgerRefusal::TooFar => {
            "it would be valid for too long: set this machine's clock right, and try again".to_owned()
        }
        LedgerRefusal::WrongLedger | LedgerRefusal::BadSignature => {
            format!("the ledger does not take this device's word: {refusal}; nothing was done")
        }
        LedgerRefusal::Conflict => {
            return Failure::new(FailureCode::Conflict, "the same id was used for something else; use a new one");
        }
        LedgerRefusal::DeviceRevoked => "this device was revoked; SIGNIN makes it a new one".to_owned(),
        LedgerRefusal::Expired => {
            "it expired before the directory could take it; nothing was paid, and it can be done anew".to_owned()
        }
        LedgerRefusal::PayeeUnknown => format!("{other} has no account any more; LIST shows who is there"),
        LedgerRefusal::Oneself => "that is yourself; name somebody else".to_owned(),
        LedgerRefusal::Blocked => {
            format!("{other} takes nothing from you, or you blocked {other}: UNBLOCK {other} if so")
        }
        LedgerRefusal::OverLimit { kind, limit } => {
            let what = match kind {
                LimitKind::Payment => "one payment",
                LimitKind::Day => "one day",
                LimitKind::Peer => "one day and one person",
            };
            format!("that is above the operator's limit for {what}, {}; pay less", currency.show(limit))
        }
        LedgerRefusal::RequestUnknown => return no_request(),
        LedgerRefusal::RequestMismatch => format!("{id} asks for something else; have {other} ask again"),
        LedgerRefusal::RequestClosed(state) => return over(id, state),
        LedgerRefusal::NotRefundable => format!("{id} can't be given back: it was not paid to you"),
        LedgerRefusal::RefundTooMuch { left } => {
            format!("only {} of {id} is left to give back; REFUND {id} alone gives back that", currency.show(left))
        }
        LedgerRefusal::Insufficient { available } => {
            format!("insufficient funds: you have {}; BALANCE shows it", currency.show(available))
        }
        LedgerRefusal::Overflow => format!("{other} can't hold so much; pay less"),
        LedgerRefusal::Stranger => {
            format!(
                "{other} has not accepted you yet, so you can't ask them for money; SEND {other} TEXT, and wait for an answer"
            )
        }
        LedgerRefusal::NotEmpty { available } => return not_empty(&currency.show(available).to_string()),
        LedgerRefusal::TooMany => {
            "too many are open already; REQUESTS lists yours, CANCEL ID takes one back".to_owned()
        }
    };
    refused(text)
}
