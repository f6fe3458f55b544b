//! What groups look like to people: who came and went, what was said in them and how far it got, and who is in them.

use std::collections::BTreeMap;

use node_core::{
    command::{GroupView, MemberView},
    event::{DeliveryState, MemberChange, ShortId},
};
use protocol::{
    Name,
    policy::{Access, Role},
};

use super::text::{BOLD, DIM, GREEN, RED, Style, YELLOW};

/// People who are named at most where many may be meant; the rest are counted.
const NAMED_MAX: usize = 5;

/// What an account is in a group, in words and in JSON.
pub(super) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Invited => "invited",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// Who may come into a group, in JSON.
pub(super) const fn access_word(access: Access) -> &'static str {
    match access {
        Access::Open => "open",
        Access::Invite => "invite",
    }
}

/// What stands before whatever was said in a group.
pub(super) fn mark(group: &Name) -> String {
    format!("[{group}]")
}

/// A change of who is in a group, as a sentence without its end. Whoever reads it is spoken to.
pub(super) fn change_text(group: &Name, user: &Name, by: &Name, change: MemberChange, style: &Style) -> String {
    let (user, by) = (style.called(user), style.called(by));
    match change {
        MemberChange::Joined => format!("{user} joined {group}"),
        MemberChange::Left => format!("{user} left {group}"),
        MemberChange::Invited => format!("{by} invited {user} to {group}"),
        MemberChange::Removed => format!("{by} kicked {user} from {group}"),
        MemberChange::Promoted => format!("{by} promoted {user} in {group}"),
        MemberChange::Demoted => format!("{by} demoted {user} in {group}"),
    }
}

/// A change as it happens: somebody who is invited is told what to do about it.
pub(super) fn change_event_text(group: &Name, user: &Name, by: &Name, change: MemberChange, style: &Style) -> String {
    let text = change_text(group, user, by, change, style);
    if change == MemberChange::Invited && style.reader.as_ref() == Some(user) {
        style.paint(YELLOW, &format!("{text}; JOIN {group} comes in, LEAVE {group} declines"))
    } else {
        style.paint(DIM, &text)
    }
}

/// How far a message to a group has got, at a length that does not grow with the group.
pub(super) fn sent_text(id: ShortId, group: &Name, recipients: &[(Name, DeliveryState)], style: &Style) -> String {
    let mut by_state: BTreeMap<DeliveryState, Vec<&str>> = BTreeMap::new();
    for (name, state) in recipients {
        // Whoever has read it has got it.
        let state = if *state == DeliveryState::Read { DeliveryState::Delivered } else { *state };
        by_state.entry(state).or_default().push(name.as_str());
    }
    let there = by_state.remove(&DeliveryState::Delivered).unwrap_or_default();
    let text = match (there.len(), by_state.iter().next()) {
        (0, None) => "nobody else is in it".to_owned(),
        (_, None) => format!("delivered to {}", all(&there)),
        (0, Some((state, names))) if by_state.len() == 1 => match state {
            DeliveryState::Queued => style.paint(YELLOW, "queued here until somebody can be reached"),
            DeliveryState::Failed => style.paint(RED, &format!("failed for {}", all(names))),
            state => format!("{} to {}", state.word(), all(names)),
        },
        (there, Some(_)) => {
            let others = by_state.iter().map(|(state, names)| {
                let text = format!("{} {}", named(names), state.word());
                if *state == DeliveryState::Failed { style.paint(RED, &text) } else { text }
            });
            format!("{there} of {} delivered, {}", recipients.len(), others.collect::<Vec<_>>().join("; "))
        }
    };
    style.paint(DIM, &format!("{id} to {group}: {text}"))
}

/// Everybody, where all fare alike.
fn all(names: &[&str]) -> String {
    match names {
        [only] => (*only).to_owned(),
        names => format!("all {}", names.len()),
    }
}

/// A few names, and how many more there are.
fn named(names: &[&str]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() && names.len() <= NAMED_MAX => format!("{} and {last}", all.join(", ")),
        names if names.len() <= NAMED_MAX => names.join(", "),
        names => {
            let (first, rest) = names.split_at(NAMED_MAX);
            format!("{} and {} more", first.join(", "), rest.len())
        }
    }
}

/// One group for each line: what it is, what one is in it, and what waits there.
pub(super) fn list_text(groups: &[GroupView], style: &Style) -> String {
    let width = groups.iter().map(|group| group.name.as_str().chars().count()).max().unwrap_or_default();
    let members = |group: &GroupView| counted(group.members as usize, "member");
    let members_width = groups.iter().map(|group| members(group).len()).max().unwrap_or_default();
    let line = |group: &GroupView| {
        let name = &group.name;
        let own = match (group.role, group.access) {
            (Some(Role::Invited), _) => {
                style.paint(YELLOW, &format!("you are invited: JOIN {name} comes in, LEAVE {name} declines"))
            }
            (Some(role), _) => style.paint(GREEN, &format!("mine, {}", role_word(role))),
            (None, Access::Open) => format!("open: JOIN {name} comes in"),
            (None, Access::Invite) => "by invitation".to_owned(),
        };
        let unread = if group.unread > 0 { format!("  {} unread", group.unread) } else { String::new() };
        let muted = if group.muted { "  muted" } else { "" };
        format!(
            "&{:width$}  {:members_width$}  {own}{}{muted}",
            name.as_str(),
            members(group),
            style.paint(BOLD, &unread)
        )
    };
    groups.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One person for each line.
pub(super) fn members_text(members: &[MemberView], style: &Style) -> String {
    let width = members.iter().map(|member| member.name.as_str().chars().count()).max().unwrap_or_default();
    let devices = |member: &MemberView| counted(member.devices, "device");
    let devices_width = members.iter().map(|member| devices(member).len()).max().unwrap_or_default();
    let line = |member: &MemberView| {
        let presence = if member.online { style.paint(GREEN, "online ") } else { "offline".to_owned() };
        let key = if member.this { style.paint(BOLD, "you") } else { format!("key {}", member.trust.word()) };
        let (name, role) = (member.name.as_str(), role_word(member.role));
        format!("{name:width$}  {role:7}  {presence}  {:devices_width$}  {key}", devices(member))
    };
    members.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
