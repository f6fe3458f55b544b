//! What is on its way, in one line above the prompt: which file, how far, how fast, how long it will still take.

use std::{collections::BTreeMap, time::Duration};

use node_core::{
    command::{FileOutcome, Outcome},
    event::{EventKind, FileProgress},
};
use protocol::{FileId, Name};
use tokio::time::Instant;

use crate::view::{progress_text, standing_text};

/// The shortest time between two changes of the line: four a second.
const PAUSE: Duration = Duration::from_millis(250);
/// How long nothing may be heard of something before it is said to wait: longer than a chunk takes on a slow line.
const STILL: Duration = Duration::from_secs(10);
/// Of the latest speed, so many parts in [`PARTS`] count; the rest is what it was before. So the number can be read.
const LATEST: u64 = 3;
/// See [`LATEST`].
const PARTS: u64 = 10;

/// Whose progress it is: of which file, and at whom if it is sent.
type Key = (FileId, Option<Name>);

#[derive(Debug)]
struct Moving {
    progress: FileProgress,
    at: Instant,
    bytes_per_second: Option<u64>,
    /// Whether nothing was heard of it for long: the other side is away, or the line is.
    stands: bool,
}

/// All that is on its way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    moving: BTreeMap<Key, Moving>,
    changed_at: Option<Instant>,
}

impl Transfers {
    /// The line from now on, if it is another one: nothing, where nothing is on its way any more.
    pub(super) fn hear(&mut self, kind: &EventKind, now: Instant) -> Option<Option<String>> {
        match kind {
            EventKind::Progress(progress) => {
                self.note(progress, now);
                if self.changed_at.is_some_and(|at| now < at + PAUSE) {
                    return None;
                }
                self.changed_at = Some(now);
                Some(self.line())
            }
            EventKind::File(event) if event.state.is_over() => {
                let key = (event.uid, (!event.incoming).then(|| event.to.clone()));
                self.moving.remove(&key).map(|_| self.line())
            }
            _ => None,
        }
    }

    /// The line from now on, if the person has ended something: nobody tells them what they did themselves.
    pub(super) fn hear_result(&mut self, outcome: &Outcome) -> Option<Option<String>> {
        let Outcome::File(FileOutcome::Answered { uid, state, .. }) = outcome else { return None };
        let before = self.moving.len();
        if state.is_over() {
            self.moving.retain(|(file, _), _| file != uid);
        }
        (self.moving.len() < before).then(|| self.line())
    }

    /// When something stands still, if nothing is heard of it until then.
    pub(super) fn still_at(&self) -> Option<Instant> {
        self.moving.values().filter(|moving| !moving.stands).map(|moving| moving.at + STILL).min()
    }

    /// The line from now on, since something stands still.
    pub(super) fn be_still(&mut self, now: Instant) -> Option<String> {
        for moving in self.moving.values_mut() {
            moving.stands |= now >= moving.at + STILL;
        }
        self.line()
    }

    fn note(&mut self, progress: &FileProgress, now: Instant) {
        let key = (progress.uid, progress.to.clone());
        let before = self.moving.get(&key).filter(|before| !before.stands);
        let bytes_per_second = before.and_then(|before| before.speed(progress.bytes, now));
        self.moving.insert(key, Moving { progress: progress.clone(), at: now, bytes_per_second, stands: false });
    }

    fn line(&self) -> Option<String> {
        let texts = self.moving.values().map(|moving| match moving.stands {
            true => standing_text(&moving.progress),
            false => progress_text(&moving.progress, moving.bytes_per_second.unwrap_or_default()),
        });
        let texts: Vec<String> = texts.collect();
        (!texts.is_empty()).then(|| texts.join(" | "))
    }
}

impl Moving {
    /// How fast it is, smoothed; what it was, where nothing can be told.
    fn speed(&self, bytes: u64, now: Instant) -> Option<u64> {
        let ms = u64::try_from(now.duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let latest = bytes.checked_sub(self.progress.bytes)?.saturating_mul(1_000).checked_div(ms);
        match (self.bytes_per_second, latest) {
            (Some(before), Some(latest)) => {
                Some((before.saturating_mul(PARTS - LATEST)).saturating_add(latest.saturating_mul(LATEST)) / PARTS)
            }
            (before, latest) => latest.or(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use node_core::{
        event::{FileEvent, ShortId, Trust},
        transfer::TransferState,
    };

    use super::*;

    fn progress(number: u8, bytes: u64) -> EventKind {
        EventKind::Progress(Box::new(FileProgress {
            id: ShortId::File(number.into()),
            uid: FileId([number; 16]),
            to: None,
            name: format!("{number}.bin"),
            bytes,
            total: 10_240,
        }))
    }

    fn over(number: u8) -> EventKind {
        let (from, to) = (Name::parse("alice").unwrap(), Name::parse("bob").unwrap());
        EventKind::File(Box::new(FileEvent {
            id: ShortId::File(number.into()),
            uid: FileId([number; 16]),
            from,
            to,
            incoming: true,
            group: None,
            name: format!("{number}.bin"),
            folder: false,
            caption: String::new(),
            bytes: 10_240,
            sha256: [0; 32],
            path: None,
            state: TransferState::Received,
            reason: None,
            trust: Trust::Pinned,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_changes_four_times_a_second_and_goes_with_the_last_file() {
        let mut transfers = Transfers::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(transfers.hear(&progress(1, 0), at(0)), Some(Some("1.bin 0%, 0 bytes/s".to_owned())));
        assert_eq!(transfers.hear(&progress(1, 1_024), at(200)), None, "too soon");
        let both = "1.bin 10%, 5.0 KiB/s, 0:01 left | 2.bin 50%, 0 bytes/s";
        assert_eq!(transfers.hear(&progress(2, 5_120), at(300)), Some(Some(both.to_owned())));
        let rest = Some(Some("2.bin 50%, 0 bytes/s".to_owned()));
        assert_eq!(transfers.hear(&over(1), at(310)), rest);
        assert_eq!(transfers.hear(&over(2), at(320)), Some(None));
        assert_eq!(transfers.hear(&over(2), at(330)), None, "it was never there");
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_still_says_so_and_what_goes_on_has_a_new_speed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut transfers = Transfers::default();
        assert_eq!(transfers.still_at(), None);
        transfers.hear(&progress(1, 0), at(0));
        transfers.hear(&progress(1, 1_024), at(1));
        transfers.hear(&progress(2, 1_024), at(4));
        assert_eq!(transfers.still_at(), Some(at(1) + STILL));
        let one = "1.bin 10%, waiting | 2.bin 10%, 0 bytes/s";
        assert_eq!(transfers.be_still(at(1) + STILL), Some(one.to_owned()));
        assert_eq!(transfers.still_at(), Some(at(4) + STILL));
        let both = "1.bin 10%, waiting | 2.bin 10%, waiting";
        assert_eq!(transfers.be_still(at(4) + STILL), Some(both.to_owned()));
        assert_eq!(transfers.still_at(), None);
        let on = "1.bin 50%, 0 bytes/s | 2.bin 10%, waiting";
        assert_eq!(
            transfers.hear(&progress(1, 5_120), at(60)),
            Some(Some(on.to_owned())),
            "not what it was while it stood"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_person_ends_is_on_its_way_no_more() {
        let answered = |state| {
            let (id, uid, name) = (ShortId::File(1), FileId([1; 16]), "1.bin".to_owned());
            Outcome::File(FileOutcome::Answered { id, uid, name, state, started: true, path: None })
        };
        let mut transfers = Transfers::default();
        transfers.hear(&progress(1, 0), Instant::now());
        let EventKind::Progress(mut to_carol) = progress(1, 0) else { return };
        to_carol.to = Some(Name::parse("carol").unwrap());
        transfers.hear(&EventKind::Progress(to_carol), Instant::now());
        assert_eq!(transfers.hear_result(&answered(TransferState::Accepted)), None);
        assert_eq!(transfers.hear_result(&answered(TransferState::Cancelled)), Some(None), "towards everybody");
        assert_eq!(transfers.hear_result(&answered(TransferState::Cancelled)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_speed_follows_slowly_and_a_transfer_that_began_anew_has_none() {
        let start = Instant::now();
        let mut transfers = Transfers::default();
        let mut heard = Vec::new();
        for (seconds, bytes) in [(0, 0), (1, 1_024), (2, 1_024), (3, 0)] {
            heard.push(transfers.hear(&progress(1, bytes), start + Duration::from_secs(seconds)).flatten().unwrap());
        }
        let expected = [
            "1.bin 0%, 0 bytes/s",
            "1.bin 10%, 1.0 KiB/s, 0:09 left",
            "1.bin 10%, 716 bytes/s, 0:12 left",
            "1.bin 0%, 0 bytes/s",
        ];
        assert_eq!(heard, expected);
    }
}
