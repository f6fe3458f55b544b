//! What is shown of files.

use std::{fmt::Write as _, time::Duration};

use node_core::{
    command::{FileOutcome, FileView},
    event::{FileEvent, FileProgress, Trust},
    transfer::TransferState,
};
use protocol::Name;
use serde_json::{Value, json};

use super::{
    groups,
    json::moment,
    remote::visible,
    text::{BOLD, DIM, GREEN, RED, Style, YELLOW},
};

/// Names of sizes, each 1,024 of the one before.
const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut whole = bytes;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        return format!("{bytes} {name}");
    }
    // Tenths of the unit, without rounding up to what is not there.
    let tenths = u128::from(bytes) * 10 / (1_u128 << (10 * unit));
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

fn hash(sha256: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    for byte in sha256 {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {}", visible(reason)))
}

/// What an event looks like.
pub(super) fn event_text(event: &FileEvent, style: &Style) -> String {
    let FileEvent { id, from, to, reason, .. } = event;
    let name = visible(&event.name);
    let reason = because(reason.as_deref());
    let place = event.group.as_ref().map_or_else(String::new, |group| format!("{} ", groups::mark(group)));
    match (event.state, event.incoming) {
        (TransferState::Offered, _) => {
            let mark =
                if event.trust == Trust::Stranger { style.paint(YELLOW, " (a stranger)") } else { String::new() };
            let folder = if event.folder { "the folder " } else { "" };
            let caption = match event.caption.is_empty() {
                true => String::new(),
                false => format!(" · {}", visible(&event.caption)),
            };
            let from = style.paint(BOLD, from.as_str());
            let size = size(event.bytes);
            format!(
                "{place}{from}{mark} offers {folder}{name} ({size}){caption}; ACCEPT {id} takes it, DECLINE {id} does not"
            )
        }
        (TransferState::Accepted, true) => {
            style.paint(DIM, &format!("{place}{id} {name} from {from} is taken unasked"))
        }
        (TransferState::Accepted, false) => style.paint(DIM, &format!("{place}{to} takes {id} {name}")),
        (TransferState::Received, true) => {
            let path = event.path.as_deref().map_or_else(|| "here".to_owned(), |path| visible(path).into_owned());
            let hash = style.paint(DIM, &format!("sha256 {}", hash(&event.sha256)));
            format!("{place}{} {path} {hash}", style.paint(GREEN, &format!("{id} from {from} is there:")))
        }
        (TransferState::Received, false) => {
            let hash = style.paint(DIM, &format!("sha256 {}", hash(&event.sha256)));
            format!("{place}{} {hash}", style.paint(GREEN, &format!("{to} has {id} {name}")))
        }
        (TransferState::Declined, true) => style.paint(DIM, &format!("{place}{id} {name} was declined{reason}")),
        (TransferState::Declined, false) => style.paint(YELLOW, &format!("{place}{to} declines {id} {name}{reason}")),
        (TransferState::Cancelled, true) => {
            style.paint(YELLOW, &format!("{place}{from} takes {id} {name} back{reason}"))
        }
        (TransferState::Cancelled, false) => {
            style.paint(YELLOW, &format!("{place}{to} wants {id} {name} no more{reason}"))
        }
        (TransferState::Expired, _) => style.paint(YELLOW, &format!("{place}the offer {id} {name} has expired")),
        (TransferState::Failed, true) => style.paint(RED, &format!("{place}{id} {name} did not come{reason}")),
        (TransferState::Failed, false) => style.paint(RED, &format!("{place}{id} {name} did not get to {to}{reason}")),
    }
}

/// One line about what is on its way: how far, how fast, how long it will still take.
#[must_use]
pub fn progress_text(progress: &FileProgress, bytes_per_second: u64) -> String {
    let left = progress.total.saturating_sub(progress.bytes).checked_div(bytes_per_second);
    let left = left.map_or_else(String::new, |left| format!(", {} left", clock(Duration::from_secs(left))));
    format!("{}, {}/s{left}", reached(progress), size(bytes_per_second))
}

/// The same of what stands still: it goes on by itself when both sides are there again.
#[must_use]
pub fn standing_text(progress: &FileProgress) -> String {
    format!("{}, waiting", reached(progress))
}

fn reached(progress: &FileProgress) -> String {
    let FileProgress { to, name, bytes, total, .. } = progress;
    let percent = u128::from(*bytes) * 100 / u128::from((*total).max(1));
    let to = to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
    format!("{}{to} {percent}%", visible(name))
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// What a result looks like.
pub(super) fn outcome_text(outcome: &FileOutcome, style: &Style) -> String {
    match outcome {
        FileOutcome::Files { files } if files.is_empty() => "No files; SEND NAME FILE PATH offers one.".to_owned(),
        FileOutcome::Files { files } => files.iter().map(|file| file_line(file, style)).collect::<Vec<_>>().join("\n"),
        FileOutcome::Answered { id, name, state, started, path, .. } => {
            let name = visible(name);
            match (state, started, path) {
                (TransferState::Accepted, true, _) => format!("{id} {name} is on its way"),
                (TransferState::Accepted, false, _) => {
                    format!("{id} {name} is accepted; it comes when its sender can be reached")
                }
                (TransferState::Received, _, Some(path)) => format!("{id} is there: {}", visible(path)),
                (state, ..) => format!("{id} {name} {}", state.word()),
            }
        }
        FileOutcome::State(state) => state.word().to_owned(),
        FileOutcome::Unasked(limits) => unasked_text(limits),
    }
}

/// What is taken unasked, a line for each person.
pub(super) fn unasked_text(limits: &[(Name, u64)]) -> String {
    if limits.is_empty() {
        return "files unasked none; SET accept.NAME 10M takes them".to_owned();
    }
    let line = |(name, bytes): &(Name, u64)| format!("files unasked up to {} from {name}", size(*bytes));
    limits.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn file_line(file: &FileView, style: &Style) -> String {
    let place = match (&file.group, file.to.as_slice()) {
        (Some(group), _) => groups::mark(group),
        (None, [(to, _)]) => to.to_string(),
        (None, _) => "somebody".to_owned(),
    };
    let part = |done: u64| format!(" {}%", u128::from(done) * 100 / u128::from(file.bytes.max(1)));
    let state = match file.to.as_slice() {
        [(_, state)] => state_text(*state, style) + &file.done.map_or_else(String::new, part),
        several => {
            let each = several.iter().map(|(name, state)| format!("{name} {}", state_text(*state, style)));
            each.collect::<Vec<_>>().join(", ")
        }
    };
    let time = style.paint(DIM, &style.time(file.at, "%Y-%m-%d %H:%M"));
    let folder = if file.folder { "/" } else { "" };
    let mut line = format!(
        "{}  {time} {} → {place} {}{folder} {}  {state}",
        file.id,
        file.from,
        visible(&file.name),
        size(file.bytes)
    );
    if let Some(path) = &file.path {
        let _ = write!(line, "  {}", visible(path));
    }
    if !file.caption.is_empty() {
        let _ = write!(line, " · {}", visible(&file.caption));
    }
    line + &because(file.reason.as_deref())
}

fn state_text(state: TransferState, style: &Style) -> String {
    let color = match state {
        TransferState::Offered | TransferState::Accepted => YELLOW,
        TransferState::Received => GREEN,
        TransferState::Failed => RED,
        TransferState::Declined | TransferState::Cancelled | TransferState::Expired => DIM,
    };
    style.paint(color, state.word())
}

type Fields = Vec<(&'static str, Value)>;

/// Leaves out what does not apply.
fn fields(all: Vec<(&'static str, Option<Value>)>) -> Fields {
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn words(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| text.into())
}

/// An event's fields.
pub(super) fn event_fields(event: &FileEvent) -> Fields {
    fields(vec![
        ("event", Some("file".into())),
        ("id", Some(event.id.to_string().into())),
        ("uid", Some(event.uid.to_string().into())),
        ("from", Some(event.from.as_str().into())),
        ("to", Some(event.to.as_str().into())),
        ("group", event.group.as_ref().map(|group| group.as_str().into())),
        ("name", Some(event.name.as_str().into())),
        ("folder", event.folder.then_some(true.into())),
        ("caption", words(&event.caption)),
        ("bytes", Some(event.bytes.into())),
        ("sha256", Some(hash(&event.sha256).into())),
        ("path", event.path.as_deref().map(Value::from)),
        ("state", Some(event.state.word().into())),
        ("reason", event.reason.as_deref().map(Value::from)),
        ("trust", event.incoming.then(|| event.trust.word().into())),
    ])
}

/// The fields of how far a file is.
pub(super) fn progress_fields(progress: &FileProgress) -> Fields {
    fields(vec![
        ("event", Some("progress".into())),
        ("id", Some(progress.id.to_string().into())),
        ("uid", Some(progress.uid.to_string().into())),
        ("to", progress.to.as_ref().map(|to| to.as_str().into())),
        ("bytes", Some(progress.bytes.into())),
        ("total", Some(progress.total.into())),
    ])
}

/// A result's fields.
pub(super) fn outcome_fields(outcome: &FileOutcome) -> Fields {
    match outcome {
        FileOutcome::Files { files } => vec![("files", files.iter().map(file_json).collect())],
        FileOutcome::Answered { id, uid, name, state, started, path } => fields(vec![
            ("id", Some(id.to_string().into())),
            ("uid", Some(uid.to_string().into())),
            ("name", Some(name.as_str().into())),
            ("state", Some(state.word().into())),
            ("started", started.then_some(true.into())),
            ("path", path.as_deref().map(Value::from)),
        ]),
        FileOutcome::State(state) => vec![("state", state.word().into())],
        FileOutcome::Unasked(limits) => vec![("accept", unasked_json(limits))],
    }
}

/// What is taken unasked, by name.
pub(super) fn unasked_json(limits: &[(Name, u64)]) -> Value {
    limits.iter().map(|(name, bytes)| (name.to_string(), Value::from(*bytes))).collect::<serde_json::Map<_, _>>().into()
}

fn file_json(file: &FileView) -> Value {
    let to = |(name, state): &(Name, TransferState)| json!({ "name": name.as_str(), "state": state.word() });
    let all = fields(vec![
        ("id", Some(file.id.to_string().into())),
        ("uid", Some(file.uid.to_string().into())),
        ("at", Some(moment(file.at).into())),
        ("from", Some(file.from.as_str().into())),
        ("recipients", Some(file.to.iter().map(to).collect())),
        ("group", file.group.as_ref().map(|group| group.as_str().into())),
        ("incoming", Some(file.incoming.into())),
        ("name", Some(file.name.as_str().into())),
        ("folder", file.folder.then_some(true.into())),
        ("caption", words(&file.caption)),
        ("bytes", Some(file.bytes.into())),
        ("done", file.done.map(Value::from)),
        ("sha256", Some(hash(&file.sha256).into())),
        ("path", file.path.as_deref().map(Value::from)),
        ("reason", file.reason.as_deref().map(Value::from)),
        ("expires_at", Some(moment(file.expires_at).into())),
    ]);
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_in_the_largest_unit_that_it_fills() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn what_is_on_its_way_says_how_far_how_fast_and_how_long() {
        let progress = |bytes, total| FileProgress {
            id: node_core::event::ShortId::File(3),
            uid: protocol::FileId([1; 16]),
            to: None,
            name: "cat\u{1b}.png".to_owned(),
            bytes,
            total,
        };
        assert_eq!(progress_text(&progress(512, 2_048), 256), "cat\\u{1b}.png 25%, 256 bytes/s, 0:06 left");
        assert_eq!(progress_text(&progress(0, 0), 0), "cat\\u{1b}.png 0%, 0 bytes/s");
        let long = progress_text(&progress(0, 3_723 << 20), 1 << 20);
        assert_eq!(long, "cat\\u{1b}.png 0%, 1.0 MiB/s, 1:02:03 left");
    }
}
