//! What is said when a command on the account fails, with the next step.

use protocol::{
    Name,
    directory::{LedgerRefusal, Refusal},
};

use crate::{
    command::{Failure, FailureCode},
    money::sentences::not_empty,
};

pub(super) fn refused(refusal: &Refusal) -> Failure {
    let code = match refusal {
        Refusal::Ledger(LedgerRefusal::NotEmpty { .. }) => return not_empty("money"),
        Refusal::WrongCredentials => return wrong_credentials(),
        Refusal::NameTaken | Refusal::NameConfusable => FailureCode::Conflict,
        Refusal::DeviceTaken => FailureCode::Conflict,
        _ => FailureCode::Refused,
    };
    let next = match refusal {
        Refusal::NameTaken | Refusal::NameConfusable => "; choose another one",
        Refusal::InviteNeeded => "; ask the operator for one (directory invite) and use SIGNUP NAME INVITE CODE",
        Refusal::RegistrationClosed => "; ask the operator",
        _ => "",
    };
    Failure::new(code, format!("{refusal}{next}"))
}

/// What is said of a wrong password, and of a name that nobody has.
pub const WRONG_CREDENTIALS: &str = "wrong name or password; try SIGNIN again";

pub(super) fn wrong_credentials() -> Failure {
    Failure::new(FailureCode::Auth, WRONG_CREDENTIALS)
}

pub(super) fn misbehaves() -> Failure {
    Failure::new(FailureCode::Trust, "the directory's answer does not hold; nothing was changed here")
}

pub(super) fn swapped_backup() -> Failure {
    let text = "the directory gave a backup that is not this account's; nothing was changed here: tell the operator";
    Failure::new(FailureCode::Trust, text)
}

pub(super) fn other_account(name: &Name) -> Failure {
    let text = format!(
        "{name} is another account now than this profile's: the operator has reset it; \
         start with --profile NAME to sign in to the new one"
    );
    Failure::new(FailureCode::Trust, text)
}
