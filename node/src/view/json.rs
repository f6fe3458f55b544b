//! JSON for programs: one object a line, its fields in the order in which people would read them.

use std::fmt::Write as _;

use node_core::{
    command::{DeviceView, Failure, GroupView, HistoryEntry, MemberView, Outcome, PersonView, StatusView},
    event::{DeliveryState, Event, EventKind},
};
use protocol::{Name, Timestamp};
use serde_json::{Value, json};

use super::{
    files,
    groups::{access_word, role_word},
    history, money,
    remote::is_unseen,
};

/// Version of the format: it changes only if a field changes its meaning.
const VERSION: u32 = 1;

/// An object under construction. What does not apply is left out, never null.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned()).with("v", VERSION)
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":{}", value.into());
        self
    }

    fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn with_all(self, fields: Vec<(&'static str, Value)>) -> Self {
        fields.into_iter().fold(self, |object, (key, value)| object.with(key, value))
    }

    /// The object, with every character that a screen must not get written as `\uXXXX`.
    fn finish(self) -> String {
        let mut line = String::with_capacity(self.0.len() + 1);
        for c in self.0.chars() {
            if is_unseen(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            } else {
                line.push(c);
            }
        }
        line.push('}');
        line
    }
}

/// A moment, RFC 3339 in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let found = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // Beyond the year 9999 there is no such form; whoever claims that is shown the last moment that has one.
    found.unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// An event.
#[must_use]
pub fn event_json(event: &Event, actor: &str) -> String {
    let object = Object::new().with_some("seq", event.seq).with("at", moment(event.at)).with("actor", actor);
    match &event.kind {
        EventKind::Message { id, uid, from, text, sent_at, trust, gap, to, group, muted } => object
            .with("event", "message")
            .with("id", id.to_string())
            .with("uid", uid.to_string())
            .with("from", from.as_str())
            .with_some("group", group.as_ref().map(|group| group.as_str()))
            .with("text", text.as_str())
            .with("sent_at", moment(*sent_at))
            .with("trust", trust.word())
            .with_some("to", to.as_ref().map(|to| to.as_str()))
            .with_some("gap", gap.then_some(true))
            .with_some("muted", muted.then_some(true)),
        EventKind::Receipt { id, uid, to, state, reason, group } => object
            .with("event", "receipt")
            .with("id", id.to_string())
            .with("uid", uid.to_string())
            .with("to", to.as_str())
            .with_some("group", group.as_ref().map(|group| group.as_str()))
            .with("state", state.word())
            .with_some("reason", reason.as_deref()),
        EventKind::Member { group, user, by, change } => object
            .with("event", "member")
            .with("group", group.as_str())
            .with("user", user.as_str())
            .with("by", by.as_str())
            .with("change", change.word()),
        EventKind::Presence { user, online } => {
            object.with("event", "presence").with("user", user.as_str()).with("online", *online)
        }
        EventKind::KeyChanged { user, fingerprint } => {
            object.with("event", "key_changed").with("user", user.as_str()).with("fingerprint", fingerprint.as_str())
        }
        EventKind::Connection { state } => object.with("event", "connection").with("state", state.word()),
        EventKind::Device { user, device, change } => object
            .with("event", "device")
            .with("user", user.as_str())
            .with("device", device.as_str())
            .with("change", change.word()),
        kind @ (EventKind::Payment { .. }
        | EventKind::Request { .. }
        | EventKind::Closed { .. }
        | EventKind::Ledger { .. }) => object.with_all(money::event_fields(kind)),
        EventKind::File(event) => object.with_all(files::event_fields(event)),
        EventKind::Progress(progress) => object.with_all(files::progress_fields(progress)),
    }
    .finish()
}

/// A command's result: the verb in lower case, and the line of the script if there is one.
#[must_use]
pub fn outcome_json(outcome: &Outcome, verb: &str, actor: &str, line: Option<usize>, at: Timestamp) -> String {
    let object = head(verb, actor, at).with("ok", true).with_some("line", line);
    match outcome {
        Outcome::Done | Outcome::SignedOut => object,
        Outcome::SignedUp { name, recovery_code } => {
            object.with("name", name.as_str()).with("recovery_code", recovery_code.as_str())
        }
        Outcome::SignedIn { name, online, unread } => {
            object.with("name", name.as_str()).with("online", *online).with("unread", *unread)
        }
        Outcome::WhoAmI { name, account, device, fingerprint } => object
            .with("name", name.as_str())
            .with("account", account.as_str())
            .with("device", device.as_str())
            .with("fingerprint", fingerprint.as_str()),
        Outcome::Pong { round_trip_ms } => object.with("round_trip_ms", *round_trip_ms),
        Outcome::Sent { id, uid, to, state } => object
            .with("id", id.to_string())
            .with("uid", uid.to_string())
            .with("to", to.as_str())
            .with("state", state.word()),
        Outcome::SentGroup { id, uid, group, recipients } => {
            let row = |(name, state): &(Name, DeliveryState)| json!({ "name": name.as_str(), "state": state.word() });
            object
                .with("id", id.to_string())
                .with("uid", uid.to_string())
                .with("group", group.as_str())
                .with("recipients", recipients.iter().map(row).collect::<Vec<_>>())
        }
        Outcome::People { people, groups, .. } => {
            // CONTACTS are people; whoever asks for them learns of no groups.
            let groups = (verb != "contacts").then(|| groups.iter().map(group).collect::<Vec<_>>());
            object.with("people", people.iter().map(person).collect::<Vec<_>>()).with_some("groups", groups)
        }
        Outcome::Members { group, members } => {
            object.with("group", group.as_str()).with("members", members.iter().map(member).collect::<Vec<_>>())
        }
        Outcome::MemberCount(count) => object.with("members", *count),
        Outcome::History { messages } => object.with("messages", messages.iter().map(message).collect::<Vec<_>>()),
        Outcome::Found { messages, more } => object
            .with("messages", messages.iter().map(message).collect::<Vec<_>>())
            .with_some("more", more.then_some(true)),
        Outcome::Status(status) => status_fields(object, status),
        Outcome::Online(online) => object.with("online", *online),
        Outcome::State(state) => object.with("state", state.word()),
        Outcome::Devices { devices } => object.with("devices", devices.iter().map(device).collect::<Vec<_>>()),
        Outcome::SafetyNumber { user, number, trust, picture: _ } => {
            object.with("user", user.as_str()).with("number", number.as_str()).with("trust", trust.word())
        }
        Outcome::Verified { user } => object.with("user", user.as_str()).with("trust", "verified"),
        Outcome::Unread { people, groups } => {
            let row = |(name, count): &(Name, u32)| json!({ "name": name.as_str(), "count": count });
            let rows = |list: &[(Name, u32)]| list.iter().map(row).collect::<Vec<_>>();
            object.with("people", rows(people)).with("groups", rows(groups))
        }
        Outcome::Recovered { name, recovery_code } => {
            object.with("name", name.as_str()).with("recovery_code", recovery_code.as_str())
        }
        Outcome::Money(outcome) => object.with_all(money::outcome_fields(outcome)),
        Outcome::File(outcome) => object.with_all(files::outcome_fields(outcome)),
    }
    .finish()
}

/// A command's failure.
#[must_use]
pub fn failure_json(failure: &Failure, verb: &str, actor: &str, line: Option<usize>, at: Timestamp) -> String {
    let error = json!({
        "code": failure.code as u8,
        "name": failure.code.name(),
        "message": failure.message,
    });
    head(verb, actor, at).with("ok", false).with_some("line", line).with("error", error).finish()
}

fn head(verb: &str, actor: &str, at: Timestamp) -> Object {
    Object::new().with("at", moment(at)).with("actor", actor).with("result", verb)
}

fn person(person: &PersonView) -> Value {
    let mut value = json!({
        "name": person.name.as_str(),
        "online": person.online,
        "contact": person.contact,
    });
    if let Some(fields) = value.as_object_mut() {
        if let Some(at) = person.last_seen {
            fields.insert("last_seen".into(), moment(at).into());
        }
        if person.contact {
            fields.insert("trust".into(), person.trust.word().into());
            fields.insert("fingerprint".into(), person.fingerprint.as_str().into());
        }
    }
    value
}

fn group(group: &GroupView) -> Value {
    let mut value = json!({
        "name": group.name.as_str(),
        "members": group.members,
        "access": access_word(group.access),
    });
    if let (Some(fields), Some(role)) = (value.as_object_mut(), group.role) {
        fields.insert("role".into(), role_word(role).into());
        fields.insert("unread".into(), group.unread.into());
        fields.insert("muted".into(), group.muted.into());
    }
    value
}

fn member(member: &MemberView) -> Value {
    json!({
        "name": member.name.as_str(),
        "role": role_word(member.role),
        "online": member.online,
        "trust": member.trust.word(),
        "devices": member.devices,
        "this": member.this,
    })
}

fn device(device: &DeviceView) -> Value {
    let mut value = json!({
        "device": device.device,
        "this": device.this,
        "online": device.online,
        "not_after": moment(device.not_after),
    });
    if let (Some(fields), Some(at)) = (value.as_object_mut(), device.last_seen) {
        fields.insert("last_seen".into(), moment(at).into());
    }
    value
}

fn message(entry: &HistoryEntry) -> Value {
    if let Some(money) = &entry.money {
        return history::money_json(entry, money);
    }
    if let Some(member) = &entry.member {
        return json!({
            "id": entry.id.to_string(),
            "uid": entry.uid.to_string(),
            "group": entry.to.as_str(),
            "user": member.user.as_str(),
            "by": entry.from.as_str(),
            "change": member.change.word(),
            "at": moment(entry.at),
        });
    }
    let place = if entry.in_group { "group" } else { "to" };
    let mut value = json!({
        "id": entry.id.to_string(),
        "uid": entry.uid.to_string(),
        "from": entry.from.as_str(),
        place: entry.to.as_str(),
        "text": entry.text,
        "at": moment(entry.at),
        "sent_at": moment(entry.sent_at),
    });
    if let Some(fields) = value.as_object_mut() {
        if let Some(state) = entry.state {
            fields.insert("state".into(), state.word().into());
        }
        if entry.gap {
            fields.insert("gap".into(), true.into());
        }
    }
    value
}

fn status_fields(object: Object, status: &StatusView) -> Object {
    object
        .with_some("name", status.name.as_ref().map(|name| name.as_str()))
        .with("online", status.online)
        .with("addresses", status.addresses.clone())
        .with("peers", status.peers.iter().map(ToString::to_string).collect::<Vec<_>>())
        .with("queued", status.queued)
        .with("sent", status.sent)
        .with("files", status.files)
        .with("conversations", status.conversations)
}
