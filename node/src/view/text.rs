//! Text for people.

use jiff::tz::TimeZone;
use node_core::{
    command::{DeviceView, Failure, HistoryEntry, Outcome, PersonView, StatusView},
    event::{ConnectionState, DeliveryState, DeviceChange, Event, EventKind, ShortId, Trust},
};
use protocol::{Name, Timestamp};

use super::{files, groups, history, money, picture, remote::visible};

pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";
pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";
/// Digits of a device's id that are shown.
const DEVICE_DIGITS: usize = 8;
/// Groups of a safety number in one line.
const NUMBER_COLUMNS: usize = 4;
/// Digits of a fingerprint that are set apart from each other, so that people can read it aloud.
const FINGERPRINT_GROUP: usize = 4;

/// How text is dressed.
#[derive(Debug, Clone)]
pub struct Style {
    /// Whether colours may be used.
    pub color: bool,
    /// In whose hours and minutes times are shown.
    pub zone: TimeZone,
    /// Who reads it, where that is known: they are spoken to rather than named.
    pub reader: Option<Name>,
}

impl Style {
    /// In the system's time zone.
    #[must_use]
    pub fn local(color: bool) -> Self {
        Self { color, zone: TimeZone::system(), reader: None }
    }

    pub(super) fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("{code}{text}{PLAIN}") } else { text.to_owned() }
    }

    /// What a person is called in a sentence.
    pub(super) fn called<'a>(&self, name: &'a Name) -> &'a str {
        if self.reader.as_ref() == Some(name) { "you" } else { name.as_str() }
    }

    pub(super) fn time(&self, at: Timestamp, pattern: &str) -> String {
        let moment = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        moment.map_or_else(
            || "at some time".to_owned(),
            |moment| moment.to_zoned(self.zone.clone()).strftime(pattern).to_string(),
        )
    }

    fn clock(&self, at: Timestamp) -> String {
        self.paint(DIM, &self.time(at, "%H:%M"))
    }
}

/// What an event looks like; nothing for what people need not see.
#[must_use]
pub fn event_text(event: &Event, style: &Style) -> Option<String> {
    let clock = style.clock(event.at);
    Some(match &event.kind {
        EventKind::Message { muted: true, .. } => return None,
        EventKind::Message { id, from, text, to: Some(to), group: None, .. } => {
            let people = style.paint(BOLD, &format!("{from} → {to}"));
            format!("{clock} {people}: {} {}", visible(text), style.paint(DIM, &id.to_string()))
        }
        EventKind::Message { id, from, text, trust, gap, group, .. } => {
            let mark = match trust {
                Trust::Stranger => style.paint(YELLOW, " (a stranger)"),
                Trust::Changed => style.paint(RED, " (key changed)"),
                Trust::Pinned | Trust::Verified => String::new(),
            };
            let gap = if *gap {
                format!("{}\n", style.paint(YELLOW, "(messages before this one are missing)"))
            } else {
                String::new()
            };
            let place = group.as_ref().map_or_else(String::new, |group| format!("{} ", groups::mark(group)));
            let from = style.paint(BOLD, from.as_str());
            format!("{gap}{clock} {place}{from}{mark}: {} {}", visible(text), style.paint(DIM, &id.to_string()))
        }
        EventKind::Receipt { id, to, state, reason, group, .. } => {
            let place = group.as_ref().map_or_else(String::new, |group| format!(" in {group}"));
            match (state, reason) {
                (DeliveryState::Failed, reason) => {
                    let reason = reason.as_deref().map_or_else(String::new, |reason| format!(": {}", visible(reason)));
                    let text = format!("{id} to {to}{place} failed{reason}; RESEND {id} tries again");
                    format!("{clock} {}", style.paint(RED, &text))
                }
                (DeliveryState::Delivered | DeliveryState::Read, _) => {
                    format!("{clock} {}", style.paint(DIM, &format!("{id} to {to}{place} {}", state.word())))
                }
                // Said by SEND itself already.
                (DeliveryState::Queued | DeliveryState::Sent, _) => return None,
            }
        }
        EventKind::Presence { user, online } => {
            let text = format!("{user} is {}", if *online { "online" } else { "offline" });
            format!("{clock} {}", style.paint(DIM, &text))
        }
        EventKind::KeyChanged { user, fingerprint } => {
            let text = format!(
                "The key of {user} has changed to {}. Nothing is sent to {user} until this is resolved: VERIFY {user} shows \
                 the new safety number; if {user} reads the same one to you over another channel, TRUST {user} CODE \
                 accepts it.",
                grouped(fingerprint)
            );
            format!("{clock} {}", style.paint(RED, &text))
        }
        EventKind::Device { user, device, change } => {
            let what = match change {
                DeviceChange::Added => "has a new device",
                DeviceChange::Revoked => "no longer has the device",
            };
            let text = format!("{user} {what} {}", short(device));
            format!("{clock} {}", style.paint(YELLOW, &text))
        }
        EventKind::Member { group, user, by, change } => {
            format!("{clock} {}", groups::change_event_text(group, user, by, *change, style))
        }
        kind @ (EventKind::Payment { .. }
        | EventKind::Request { .. }
        | EventKind::Closed { .. }
        | EventKind::Ledger { .. }) => {
            format!("{clock} {}", money::event_text(kind, style)?)
        }
        EventKind::File(event) => format!("{clock} {}", files::event_text(event, style)),
        // Shown above the prompt, in a place of its own.
        EventKind::Progress(_) => return None,
        EventKind::Connection { state } => {
            let (color, text) = match state {
                ConnectionState::Online => (GREEN, "online"),
                ConnectionState::Offline => (YELLOW, "offline; messages wait here until the directory answers"),
                ConnectionState::SignedOut => (YELLOW, "signed out; SIGNIN goes on"),
            };
            format!("{clock} {}", style.paint(color, text))
        }
    })
}

/// What a result looks like.
#[must_use]
pub fn outcome_text(outcome: &Outcome, style: &Style) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::SignedUp { name, recovery_code } => format!(
            "Welcome, {name}. Your recovery code, shown only now: {}\nWrite it down: it opens the account if the \
             password is lost.",
            style.paint(BOLD, recovery_code)
        ),
        Outcome::SignedIn { name, online, unread } => {
            let place = if *online { style.paint(GREEN, "online") } else { style.paint(YELLOW, "offline") };
            let unread = match unread {
                0 => String::new(),
                1 => ", 1 new message".to_owned(),
                many => format!(", {many} new messages"),
            };
            format!("Signed in as {name}, {place}{unread}.")
        }
        Outcome::SignedOut => "Signed out; the profile is locked.".to_owned(),
        Outcome::WhoAmI { name, account, device, fingerprint } => {
            format!("{name}\naccount      {account}\ndevice       {device}\nfingerprint  {}", grouped(fingerprint))
        }
        Outcome::Pong { round_trip_ms } => format!("The directory answered after {round_trip_ms} ms."),
        Outcome::Sent { id, to, state, .. } => {
            let state = match state {
                DeliveryState::Queued => style.paint(YELLOW, "queued here until somebody can be reached"),
                state => state.word().to_owned(),
            };
            let offered = if matches!(id, ShortId::File(_)) { " offered" } else { "" };
            style.paint(DIM, &format!("{id}{offered} to {to}: {state}"))
        }
        Outcome::SentGroup { id, group, recipients, .. } => groups::sent_text(*id, group, recipients, style),
        Outcome::People { people, groups, .. } => match (people.is_empty(), groups.is_empty()) {
            (true, true) => "Nobody yet; SEND name text writes to somebody, CREATE name makes a group.".to_owned(),
            (true, false) => groups::list_text(groups, style),
            (false, true) => people_text(people, style),
            (false, false) => format!("{}\n{}", groups::list_text(groups, style), people_text(people, style)),
        },
        Outcome::Members { members, .. } => groups::members_text(members, style),
        Outcome::MemberCount(count) => count.to_string(),
        Outcome::History { messages } if messages.is_empty() => "No messages.".to_owned(),
        Outcome::History { messages } => {
            messages.iter().map(|entry| history_line(entry, style)).collect::<Vec<_>>().join("\n")
        }
        Outcome::Found { messages, .. } if messages.is_empty() => "Nothing was found.".to_owned(),
        Outcome::Found { messages, more } => {
            let lines = messages.iter().map(|entry| history_line(entry, style)).collect::<Vec<_>>().join("\n");
            let rest = format!(
                "There are older ones than these {}; more words, or IN and a name, lead to them.",
                messages.len()
            );
            if *more { format!("{lines}\n{}", style.paint(YELLOW, &rest)) } else { lines }
        }
        Outcome::Status(status) => status_text(status, style),
        Outcome::Online(online) => if *online { "online" } else { "offline" }.to_owned(),
        Outcome::State(state) => state.word().to_owned(),
        Outcome::Devices { devices } => {
            devices.iter().map(|device| device_line(device, style)).collect::<Vec<_>>().join("\n")
        }
        Outcome::SafetyNumber { user, number, trust, picture } => {
            let picture = if *picture { picture::of(number) } else { String::new() };
            format!("{picture}{}", safety_number_text(user.as_str(), number, *trust, style))
        }
        Outcome::Verified { user } => style.paint(GREEN, &format!("The key of {user} is verified.")),
        Outcome::Unread { people, groups } if people.is_empty() && groups.is_empty() => "Nothing unread.".to_owned(),
        Outcome::Unread { people, groups } => {
            let people = people.iter().map(|(name, count)| format!("{name}  {count}"));
            people.chain(groups.iter().map(|(name, count)| format!("&{name}  {count}"))).collect::<Vec<_>>().join("\n")
        }
        Outcome::Money(outcome) => money::outcome_text(outcome, style),
        Outcome::File(outcome) => files::outcome_text(outcome, style),
        Outcome::Recovered { name, recovery_code } => format!(
            "Welcome back, {name}. The old recovery code is void; the new one, shown only now: {}\nWrite it down. \
             DEVICES shows your devices, REVOKE removes one that you lost.",
            style.paint(BOLD, recovery_code)
        ),
    }
}

/// What a failure looks like.
#[must_use]
pub fn failure_text(failure: &Failure, style: &Style) -> String {
    format!("{} {}", style.paint(RED, &format!("{}:", failure.code.name())), visible(&failure.message))
}

fn people_text(people: &[PersonView], style: &Style) -> String {
    let width = people.iter().map(|person| person.name.as_str().chars().count()).max().unwrap_or_default();
    let line = |person: &PersonView| {
        let presence = match (person.online, person.last_seen) {
            (true, _) => style.paint(GREEN, "online "),
            (false, Some(at)) => format!("offline since {}", style.time(at, "%Y-%m-%d %H:%M")),
            (false, None) => "offline".to_owned(),
        };
        let contact = if person.contact { format!("  contact, key {}", person.trust.word()) } else { String::new() };
        format!("{:width$}  {presence}{contact}", person.name.as_str())
    };
    people.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The beginning of a device's id: what REVOKE takes.
fn short(device: &str) -> String {
    device.chars().take(DEVICE_DIGITS).collect()
}

fn device_line(device: &DeviceView, style: &Style) -> String {
    let presence = match (device.online, device.last_seen) {
        (true, _) => style.paint(GREEN, "online"),
        (false, Some(at)) => format!("offline since {}", style.time(at, "%Y-%m-%d %H:%M")),
        (false, None) => "offline".to_owned(),
    };
    let this = if device.this { style.paint(BOLD, "  this device") } else { String::new() };
    format!("{}  {presence}{this}", short(&device.device))
}

fn safety_number_text(user: &str, number: &str, trust: Trust, style: &Style) -> String {
    let groups: Vec<&str> = number.split(' ').collect();
    let lines: Vec<String> = groups.chunks(NUMBER_COLUMNS).map(|line| format!("    {}", line.join(" "))).collect();
    let next = match trust {
        Trust::Changed => format!(
            "The key of {user} changed. If {user} reads the same number to you over another channel: TRUST {user} {number}"
        ),
        Trust::Verified => format!("The key of {user} is verified."),
        Trust::Pinned | Trust::Stranger => {
            format!("If {user} reads the same number to you over another channel: VERIFY {user} {number}")
        }
    };
    format!("Safety number with {user}:\n{}\n{next}", style.paint(BOLD, &lines.join("\n")))
}

fn history_line(entry: &HistoryEntry, style: &Style) -> String {
    let gap = if entry.gap { "(messages before this one are missing)\n" } else { "" };
    let state = entry.state.map_or_else(String::new, |state| format!(" [{}]", state.word()));
    let time = style.paint(DIM, &style.time(entry.at, "%Y-%m-%d %H:%M"));
    let (id, from, to) = (entry.id, &entry.from, &entry.to);
    if let Some(money) = &entry.money {
        return format!("{gap}{}", history::money_line(entry, money, &time));
    }
    if let Some(member) = &entry.member {
        let change = groups::change_text(to, &member.user, from, member.change, style);
        return format!("{gap}{id} {time} {}", style.paint(DIM, &change));
    }
    let people = if entry.in_group { format!("{} {from}", groups::mark(to)) } else { format!("{from} → {to}") };
    format!("{gap}{id} {time} {people}: {}{state}", visible(&entry.text))
}

fn status_text(status: &StatusView, style: &Style) -> String {
    let name = status.name.as_ref().map_or("nobody", |name| name.as_str());
    let connection = if status.online { style.paint(GREEN, "online") } else { style.paint(YELLOW, "offline") };
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    format!(
        "signed in as   {name}\ndirectory      {connection}\nreachable at   {}\ndirectly with  {}\n\
         waiting here   {}\nin mailboxes   {}\nconversations  {}",
        list(status.addresses.clone()),
        list(status.peers.iter().map(ToString::to_string).collect()),
        status.queued,
        status.sent,
        status.conversations
    )
}

/// A fingerprint in groups.
fn grouped(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.chars().collect();
    digits.chunks(FINGERPRINT_GROUP).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
