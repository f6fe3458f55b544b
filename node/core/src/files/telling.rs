//! What is told of files: events, and FILES.

use mls_rs::CryptoProvider;
use protocol::{AccountId, FileId, file::FileShape};

use crate::{
    command::{CommandToken, FileOutcome, FileView, Outcome},
    core::Core,
    event::{EventKind, FileEvent, ShortId, Trust},
    transfer::{Side, Transfer, TransferState},
};

/// Files that FILES shows besides those that are not over: a screen of the latest.
const OVER_SHOWN_MAX: usize = 20;

impl<C: CryptoProvider + Clone> Core<C> {
    /// A transfer has come to another state: towards this account, or by what it did elsewhere.
    pub(super) fn show_file(&mut self, file: FileId, account: AccountId, state: TransferState, reason: Option<String>) {
        let (Some(transfer), Some(own)) = (self.files.transfers.get(file), self.own()) else { return };
        let (from, to, path) = match &transfer.side {
            Side::Outgoing { .. } => (own.account, account, None),
            Side::Incoming { from, path, .. } => (*from, own.account, path.clone()),
        };
        let trust = match &transfer.side {
            Side::Outgoing { .. } => Trust::Verified,
            Side::Incoming { .. } if self.files.strangers.contains(&file) => Trust::Stranger,
            Side::Incoming { .. } => self.trust_in_group(from),
        };
        let (Some(from), Some(to)) = (self.member_name(from), self.member_name(to)) else { return };
        let offer = &transfer.offer;
        let event = FileEvent {
            id: ShortId::File(transfer.number),
            uid: file,
            from,
            to,
            incoming: matches!(transfer.side, Side::Incoming { .. }),
            group: self.group(transfer.conversation).map(|group| group.name.clone()),
            name: offer.name.to_string(),
            folder: matches!(offer.shape, FileShape::Folder { .. }),
            caption: offer.caption.to_string(),
            bytes: offer.chunking.bytes(),
            sha256: offer.sha256,
            path,
            state,
            reason,
            trust,
        };
        self.batch.event(self.now, EventKind::File(Box::new(event)));
    }

    pub(super) fn list_files(&mut self, token: CommandToken) {
        let over: Vec<FileId> =
            self.files.transfers.all().rev().filter(|(_, transfer)| transfer.is_over()).map(|(file, _)| file).collect();
        let shown = over.get(..over.len().min(OVER_SHOWN_MAX)).unwrap_or_default();
        let all = self.files.transfers.all();
        let all = all.filter(|(file, transfer)| !transfer.is_over() || shown.contains(file));
        let files = all.filter_map(|(file, transfer)| self.file_view(file, transfer)).collect();
        self.done(token, Ok(Outcome::File(FileOutcome::Files { files })));
    }

    fn file_view(&self, file: FileId, transfer: &Transfer) -> Option<FileView> {
        let own = self.own()?;
        let named = |account: AccountId| self.member_name(account);
        let (from, to, path, incoming) = match &transfer.side {
            Side::Outgoing { recipients } => {
                let to = recipients.iter().filter_map(|(account, state)| Some((named(*account)?, *state))).collect();
                (own.name.clone(), to, None, false)
            }
            Side::Incoming { from, state, path, .. } => {
                (named(*from)?, vec![(own.name.clone(), *state)], path.clone(), true)
            }
        };
        let offer = &transfer.offer;
        Some(FileView {
            id: ShortId::File(transfer.number),
            uid: file,
            from,
            to,
            group: self.group(transfer.conversation).map(|group| group.name.clone()),
            incoming,
            name: offer.name.to_string(),
            folder: matches!(offer.shape, FileShape::Folder { .. }),
            caption: offer.caption.to_string(),
            bytes: offer.chunking.bytes(),
            done: self.files.progress.get(&file).copied(),
            sha256: offer.sha256,
            path,
            reason: self.files.reasons.get(&file).cloned(),
            at: transfer.at,
            expires_at: offer.expires,
        })
    }
}
