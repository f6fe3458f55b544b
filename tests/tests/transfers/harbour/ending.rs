//! What must be true once everything is well again.

use std::collections::BTreeMap;

use node_core::{event::EventKind, transfer::TransferState};
use protocol::{FileId, Name};
use tests::table::Seat;

use super::{ALL, Harbour, NAMES, name};

impl Harbour {
    /// When everything is well again, everything arrives that is wanted on both sides, and both know of it.
    pub(super) fn end(&mut self) {
        for _ in 0..200 {
            self.mend(true);
            self.table.pass(1_000);
            self.carry_out();
            for _ in 0..8 {
                self.arrive();
                self.carry_out();
            }
        }
        assert!(self.moving.is_empty() && self.unpacking.is_empty(), "nothing moves for ever");
        let views = ALL.map(|seat| self.files(seat));
        for seat in ALL {
            for view in views[seat].iter().filter(|view| view.incoming) {
                let here = view.to[0].1;
                assert_ne!(here, TransferState::Accepted, "{} waits for {:?}", NAMES[seat], view);
                let sender = ALL.into_iter().find(|other| name(*other) == view.from).unwrap();
                let theirs = views[sender].iter().find(|other| other.uid == view.uid);
                let there = theirs.and_then(|other| other.to.iter().find(|(who, _)| *who == name(seat)));
                // What is long over may be beyond what FILES shows.
                let Some((_, there)) = there else { continue };
                let whole = self.whole.contains(&(seat, view.uid));
                assert_eq!(whole, here == TransferState::Received, "{}: {view:?}", NAMES[seat]);
                if whole {
                    let known = [TransferState::Received, TransferState::Cancelled, TransferState::Failed];
                    assert!(known.contains(there), "{}: {there:?} of {view:?}", NAMES[seat]);
                }
            }
            self.states_go_forward(seat);
        }
    }

    /// Nothing comes after an end, but that what has failed here may be wanted again.
    fn states_go_forward(&self, seat: Seat) {
        let mut last: BTreeMap<(FileId, Name), TransferState> = BTreeMap::new();
        for kind in self.table.events(seat) {
            let EventKind::File(event) = &kind else { continue };
            let before = last.insert((event.uid, event.to.clone()), event.state);
            let again = event.incoming && before == Some(TransferState::Failed);
            let fine = before.is_none_or(|before| again || !before.is_over() && before < event.state);
            assert!(fine, "{}: {before:?} and then {event:?}", NAMES[seat]);
        }
    }
}
