//! Files that are offered, accepted, under way and done with: who may have what, and what is to be done next.
//!
//! It owns the records of all transfers and decides about them: no I/O, no clock, no keys, no conversations. What is to
//! follow from a call is told as [`Act`]s, in order, to be performed once the records are durable. The bytes themselves are
//! carried outside; how far a file has come is what the disk of its recipient says, so that no record of it can be wrong.
//!
//! Whoever offers keeps a state for each recipient; whoever is offered something keeps one. States only go forward, but for
//! one step: what failed for a reason of this machine can be accepted again.

mod act;
mod enclosed;
mod incoming;
mod outgoing;
mod state;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    AccountId, ConversationId, DeviceId, FileId, Timestamp,
    file::{FileNotice, FileOffer, FileWord},
    frame::FrameError,
};
use serde::{Deserialize, Serialize};

use self::enclosed::Enclosed;
pub use self::{
    act::{Act, Stopped},
    enclosed::{ENCLOSED_FROM_ONE_MAX, ENCLOSED_MAX},
    incoming::OfferedBy,
    outgoing::Grant,
    state::{TransferRefusal, TransferState},
};
use crate::{flow::Flow, records};

/// Offers to this node that wait for its person at a time, from one account: whoever offers more is not heard until some of
/// them are answered.
pub const OFFERS_OPEN_MAX: usize = 64;
/// Transfers that are remembered, those that are over too: FILES shows the latest of them, the oldest ended are forgotten.
pub const TRANSFERS_MAX: usize = 4_096;
/// Files that are received at the same time, from everybody together: more of them would only share what one has. As many of
/// those that came with their offers are written at a time.
pub const RECEIVING_MAX: usize = 4;

/// A transfer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The number of its short id.
    pub number: u64,
    /// What is offered.
    pub offer: FileOffer,
    /// Where it was offered.
    pub conversation: ConversationId,
    /// When that was, by this node's clock.
    pub at: Timestamp,
    /// Which side this node is on.
    pub side: Side,
}

/// Which side of a transfer this node is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// It offers.
    Outgoing {
        /// To whom, and how far each of them is.
        recipients: Vec<(AccountId, TransferState)>,
    },
    /// It may have it.
    Incoming {
        /// Who offers.
        from: AccountId,
        /// The device that has it.
        device: DeviceId,
        /// How far it is.
        state: TransferState,
        /// Where the person here wants it, if not in the inbox under its own name.
        target: Option<String>,
        /// Where it is, once it is there.
        path: Option<String>,
    },
}

impl Transfer {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match &self.side {
            Side::Outgoing { recipients } => recipients.iter().all(|(_, state)| state.is_over()),
            Side::Incoming { state, .. } => state.is_over(),
        }
    }

    /// The same towards one recipient, if it goes out.
    #[must_use]
    pub fn is_over_for(&self, account: Option<AccountId>) -> bool {
        let state = match &self.side {
            Side::Outgoing { recipients } => recipients.iter().find(|(to, _)| Some(*to) == account),
            Side::Incoming { .. } => None,
        };
        state.map_or_else(|| self.is_over(), |(_, state)| state.is_over())
    }

    /// Where the person here wants it, if not in the inbox.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match &self.side {
            Side::Incoming { target, .. } => target.as_deref(),
            Side::Outgoing { .. } => None,
        }
    }

    /// Whether nothing more can be done with it either: what failed here may be accepted again, and has left something on
    /// the disk until it is cancelled or expires.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_over() && !matches!(self.side, Side::Incoming { state: TransferState::Failed, .. })
    }
}

/// What is to be stored under a file's id, or nothing any more.
pub type StoredChange = (FileId, Option<Vec<u8>>);

/// All transfers of a node.
#[derive(Debug, Default)]
pub struct Transfers {
    all: BTreeMap<FileId, Transfer>,
    by_number: BTreeMap<u64, FileId>,
    last_number: u64,
    changed: BTreeSet<FileId>,
    /// What is not settled: of thousands that are remembered, few.
    open: BTreeSet<FileId>,
    /// What came with offers that are not settled.
    enclosed: Enclosed,
    /// What is being received, and from which device.
    receiving: BTreeMap<FileId, DeviceId>,
    /// When to try again what stopped.
    again: BTreeMap<FileId, Flow>,
}

impl Transfers {
    /// Those that were stored: values as [`Transfers::changes`] and [`Transfers::enclosed_changes`] gave them.
    ///
    /// # Errors
    /// [`FrameError`] if one can't be read.
    pub fn load<'a>(
        stored: impl Iterator<Item = &'a [u8]>,
        enclosed: impl Iterator<Item = (FileId, Vec<u8>)>,
    ) -> Result<Self, FrameError> {
        let mut transfers = Self { enclosed: Enclosed::load(enclosed), ..Self::default() };
        for value in stored {
            let transfer: Transfer = records::decode(value)?;
            transfers.insert(transfer);
        }
        transfers.changed.clear();
        Ok(transfers)
    }

    /// What is to be stored since the last call: a value under each file's id, or none any more.
    ///
    /// # Errors
    /// [`FrameError`]; a bug.
    pub fn changes(&mut self) -> Result<Vec<StoredChange>, FrameError> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|file| Ok((file, self.all.get(&file).map(records::encode).transpose()?))).collect()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, file: FileId) -> Option<&Transfer> {
        self.all.get(&file)
    }

    /// The one that has this short number.
    #[must_use]
    pub fn by_number(&self, number: u64) -> Option<FileId> {
        self.by_number.get(&number).copied()
    }

    /// All of them, in the order in which they were offered.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = (FileId, &Transfer)> {
        self.by_number.values().filter_map(|file| self.all.get(file).map(|transfer| (*file, transfer)))
    }

    /// Ends what has expired.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Act> {
        let due = self.open().filter(|(_, transfer)| transfer.offer.expires <= now);
        let due: Vec<FileId> = due.map(|(file, _)| file).collect();
        due.into_iter().flat_map(|file| self.end(file, TransferState::Expired, None)).collect()
    }

    /// When something is to be looked at again, if time alone brings that about. What is due already waits for a place or a
    /// connection, and whoever brings either looks again.
    #[must_use]
    pub fn timer(&self, now: Timestamp) -> Option<Timestamp> {
        let expiries = self.open().map(|(_, transfer)| transfer.offer.expires);
        let again = self.again.values().filter_map(Flow::due).filter(|due| *due > now);
        expiries.chain(again).min()
    }

    /// What is not settled, in no order.
    pub fn open(&self) -> impl Iterator<Item = (FileId, &Transfer)> {
        self.open.iter().filter_map(|file| self.all.get(file).map(|transfer| (*file, transfer)))
    }

    /// How many of them somebody has accepted and does not have yet.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let accepted = |state: &TransferState| *state == TransferState::Accepted;
        let under_way = self.open().filter(|(_, transfer)| match &transfer.side {
            Side::Outgoing { recipients } => recipients.iter().any(|(_, state)| accepted(state)),
            Side::Incoming { state, .. } => accepted(state),
        });
        under_way.count()
    }

    /// A conversation is called otherwise now.
    pub fn rename(&mut self, old: ConversationId, new: ConversationId) {
        let renamed = self.all.iter_mut().filter(|(_, transfer)| transfer.conversation == old);
        for (file, transfer) in renamed {
            transfer.conversation = new;
            self.changed.insert(*file);
        }
    }

    /// Cancels: what one offers for everybody, what one is offered for oneself.
    ///
    /// # Errors
    /// [`TransferRefusal`] if there is no such transfer, or it is over.
    pub fn cancel(&mut self, file: FileId) -> Result<Vec<Act>, TransferRefusal> {
        let transfer = self.all.get(&file).ok_or(TransferRefusal::Unknown)?;
        if transfer.is_settled() {
            return Err(TransferRefusal::Over(last_state(transfer)));
        }
        let said = Act::Say { conversation: transfer.conversation, notice: notice(file, FileWord::Cancelled, "") };
        let ended = self.end(file, TransferState::Cancelled, None).into_iter();
        // What a person does themselves need not be told to them.
        Ok(std::iter::once(said).chain(ended.filter(|act| !matches!(act, Act::Show { .. }))).collect())
    }

    /// Takes what somebody in the conversation says about an offer; `own` is this node's account. What nobody may say, or what
    /// is late, changes nothing.
    pub fn take_notice(
        &mut self,
        own: AccountId,
        conversation: ConversationId,
        from: AccountId,
        notice: &FileNotice,
    ) -> Vec<Act> {
        let Some(transfer) = self.all.get(&notice.file).filter(|transfer| transfer.conversation == conversation) else {
            return Vec::new();
        };
        match (&transfer.side, notice.word) {
            (Side::Outgoing { .. }, _) => self.take_answer(from, notice),
            (Side::Incoming { from: offering, .. }, FileWord::Cancelled) if *offering == from => {
                self.end(notice.file, TransferState::Cancelled, reason(notice))
            }
            // All of it came with the offer: that its sender has it no more takes nothing away from anybody.
            (Side::Incoming { .. }, FileWord::Failed) if self.enclosed.contains(notice.file) => Vec::new(),
            (Side::Incoming { from: offering, target, .. }, FileWord::Failed) if *offering == from => {
                // Nothing more of it comes, so that what there is helps nobody.
                let discard =
                    (!transfer.is_settled()).then(|| Act::Discard { file: notice.file, target: target.clone() });
                let ended = self.end(notice.file, TransferState::Failed, reason(notice));
                ended.into_iter().chain(discard).collect()
            }
            // The person has said so on another of their devices.
            (Side::Incoming { state: TransferState::Offered, .. }, FileWord::Declined) if from == own => {
                self.end(notice.file, TransferState::Declined, reason(notice))
            }
            // What other recipients say is for whoever offers.
            (Side::Incoming { .. }, _) => Vec::new(),
        }
    }

    fn insert(&mut self, transfer: Transfer) {
        let file = transfer.offer.file;
        self.last_number = self.last_number.max(transfer.number);
        self.by_number.insert(transfer.number, file);
        self.all.insert(file, transfer);
        self.note(file);
        self.forget_oldest();
    }

    /// One of them is not what it was: it is to be stored, and may be settled.
    fn note(&mut self, file: FileId) {
        self.changed.insert(file);
        match self.all.get(&file).filter(|transfer| !transfer.is_settled()) {
            Some(_) => self.open.insert(file),
            None => {
                self.enclosed.forget(file);
                self.open.remove(&file)
            }
        };
    }

    /// Keeps as many as are remembered; what is not over stays.
    fn forget_oldest(&mut self) {
        while self.all.len() > TRANSFERS_MAX {
            let settled = |file: &FileId| self.all.get(file).is_none_or(Transfer::is_settled);
            let Some((number, file)) = self.by_number.iter().find(|(_, file)| settled(file)).map(|(n, f)| (*n, *f))
            else {
                return;
            };
            self.by_number.remove(&number);
            self.all.remove(&file);
            self.changed.insert(file);
        }
    }

    /// Ends whatever of it is not over, in this state.
    fn end(&mut self, file: FileId, state: TransferState, reason: Option<String>) -> Vec<Act> {
        let Some(transfer) = self.all.get_mut(&file) else { return Vec::new() };
        let mut acts = Vec::new();
        match &mut transfer.side {
            Side::Outgoing { recipients } => {
                for (account, theirs) in recipients.iter_mut().filter(|(_, state)| !state.is_over()) {
                    *theirs = state;
                    acts.push(Act::Show { file, account: *account, state, reason: reason.clone() });
                }
                acts.push(Act::StopServing { file, account: None });
                acts.push(Act::ForgetSource { file });
            }
            Side::Incoming { from, .. } => {
                let from = *from;
                return self.end_incoming(file, from, state, reason);
            }
        }
        self.note(file);
        acts
    }
}

/// The state in which a transfer that is over came to its end; of several recipients the first one's.
fn last_state(transfer: &Transfer) -> TransferState {
    match &transfer.side {
        Side::Outgoing { recipients } => recipients.first().map_or(TransferState::Cancelled, |(_, state)| *state),
        Side::Incoming { state, .. } => *state,
    }
}

fn reason(notice: &FileNotice) -> Option<String> {
    (!notice.reason.is_empty()).then(|| notice.reason.to_string())
}

/// A notice; of a reason that is too long the beginning.
fn notice(file: FileId, word: FileWord, reason: &str) -> FileNotice {
    let mut length = reason.len().min(protocol::limits::FILE_REASON_MAX);
    while !reason.is_char_boundary(length) {
        length -= 1;
    }
    let reason = reason.get(..length).unwrap_or_default().to_owned();
    FileNotice { file, word, reason: protocol::BoundedText::new(reason).unwrap_or_default() }
}
