//! What is said when something in a group can't be, with the next step.

use membership::rules::RulesError;
use protocol::{
    Name,
    directory::Refusal,
    limits::GROUP_MEMBERS_MAX,
    policy::{PolicyRefusal, Role},
};

use crate::command::{Failure, FailureCode};

/// What the rule of groups says, in words for people.
pub(super) fn policy(refusal: PolicyRefusal, group: &Name) -> Failure {
    let (code, text) = match refusal {
        PolicyRefusal::Banned => (
            FailureCode::Refused,
            format!("you were kicked from {group}; only an INVITE by an owner or admin leads back in"),
        ),
        PolicyRefusal::InviteOnly => (
            FailureCode::Refused,
            format!("{group} is by invitation only; ask one of its owners or admins for an INVITE"),
        ),
        PolicyRefusal::NotPermitted => (
            FailureCode::Refused,
            format!("your role in {group} is not enough for that; MEMBERS {group} shows whose is"),
        ),
        PolicyRefusal::AlreadyMember => {
            (FailureCode::Conflict, format!("that person is in {group} already; MEMBERS {group} shows who is"))
        }
        PolicyRefusal::LastOwner => {
            let text =
                format!("{group} would have no owner; PROMOTE {group} NAME makes an admin, and again an owner, first");
            (FailureCode::Refused, text)
        }
        PolicyRefusal::Full => {
            let text = format!(
                "{group} is full: at most {GROUP_MEMBERS_MAX} people are in a group; CREATE NAME makes another one"
            );
            (FailureCode::Refused, text)
        }
        PolicyRefusal::TooMany => {
            let text = format!(
                "{group} has as many invited, banned or with that role as a group can have; \
                MEMBERS {group} shows them"
            );
            (FailureCode::Refused, text)
        }
        refusal => (FailureCode::Refused, format!("{refusal}; nothing was changed in {group}")),
    };
    Failure::new(code, text)
}

/// What the rules hook said of a commit of one's own.
pub(super) fn rules(error: &RulesError, group: &Name) -> Failure {
    match error {
        RulesError::Refused(refusal) => policy(*refusal, group),
        error => Failure::new(FailureCode::Other, format!("{error}; nothing was changed in {group}")),
    }
}

/// What the directory said.
pub(super) fn refused(refusal: &Refusal, group: &Name) -> Failure {
    match refusal {
        Refusal::Policy(refusal) => policy(*refusal, group),
        Refusal::NameTaken => {
            Failure::new(FailureCode::Conflict, format!("the name {group} is taken; choose another one"))
        }
        Refusal::NameConfusable => Failure::new(
            FailureCode::Conflict,
            format!("the name {group} looks like one that is taken; choose another one"),
        ),
        Refusal::Unknown => unknown(group),
        Refusal::NotMember => not_a_member(group),
        Refusal::MailboxFull => {
            Failure::new(FailureCode::Refused, "that person's mailbox is full; try again when they have been there")
        }
        refusal => Failure::new(FailureCode::Refused, format!("{refusal}; nothing was changed in {group}")),
    }
}

pub(crate) fn unknown(group: &Name) -> Failure {
    Failure::new(FailureCode::Conflict, format!("there is no group {group}; LIST GROUPS shows which there are"))
}

pub(super) fn unknown_here() -> Failure {
    Failure::new(FailureCode::Conflict, "that group is not known here; LIST GROUPS shows which there are")
}

/// This account is not in the group.
pub(super) fn not_a_member(group: &Name) -> Failure {
    Failure::new(FailureCode::Refused, format!("you are not in {group}; JOIN {group} leads in"))
}

/// This account is only invited.
pub(crate) fn not_joined(group: &Name) -> Failure {
    Failure::new(FailureCode::Refused, format!("you are invited to {group}, and not in it yet; JOIN {group} leads in"))
}

/// This account is about to be closed.
pub(super) fn leaving() -> Failure {
    Failure::new(
        FailureCode::Refused,
        "the account is being closed, and leaves its groups; nothing was changed in them",
    )
}

/// Somebody else is not in the group.
pub(super) fn not_in(user: &str, group: &Name) -> Failure {
    Failure::new(FailureCode::Conflict, format!("{user} is not in {group}; MEMBERS {group} shows who is"))
}

/// Somebody is so already.
pub(super) fn already(user: &str, what: &str, group: &Name) -> Failure {
    Failure::new(FailureCode::Conflict, format!("{user} is {what} {group} already; MEMBERS {group} shows who is what"))
}

/// The name is a person's.
pub(super) fn a_person(name: &Name) -> Failure {
    let text = format!(
        "{name} is a person, not a group; SEND {name} TEXT writes to them, SEND {name} FILE PATH offers a file"
    );
    Failure::new(FailureCode::Conflict, text)
}

/// The name is a group's, in which this account has this role.
pub(super) fn a_group(name: &Name, role: Option<Role>) -> Failure {
    let text = match role {
        None | Some(Role::Invited) => format!(
            "{name} is a group that you are not in, not a person; JOIN {name} leads in, and SEND GROUP {name} TEXT writes to \
             it then"
        ),
        Some(_) => format!("{name} is a group, not a person; SEND GROUP {name} TEXT writes to it"),
    };
    Failure::new(FailureCode::Conflict, text)
}

/// Somebody in the group has another key than before.
pub(crate) fn disputed(user: &Name, group: &Name) -> Failure {
    let text = format!(
        "{user}'s key is another one than before, and whoever has it is in {group}, so nothing is sent there; VERIFY {user} \
         shows the new safety number: if {user} reads the same one to you, TRUST {user} CODE accepts it"
    );
    Failure::new(FailureCode::Trust, text)
}

/// This device is not back in the group.
pub(crate) fn coming_back(group: &Name) -> Failure {
    let text = format!("this device is coming back into {group}; try again in a moment (STATUS shows the connection)");
    Failure::new(FailureCode::Unreachable, text)
}

/// What the directory gives of the group does not hold.
pub(super) fn untrue(group: &Name) -> Failure {
    let text =
        format!("what the directory gives of {group} does not hold; nothing was changed here: tell the operator");
    Failure::new(FailureCode::Trust, text)
}
