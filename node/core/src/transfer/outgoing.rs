//! What this node offers: who may have it, and who has.

use protocol::{
    AccountId, ConversationId, FileId, Timestamp,
    file::{
        Chunking, FileNotice, FileOffer, FileSecret, FileShape, FileWord,
        stream::{FileFetch, FilePart, FileRefusal},
    },
};

use super::{Act, Side, Transfer, TransferState, Transfers, reason};

/// What others are told when it can't be sent any more. Where it is on this machine's disk is not for them.
pub(super) const LOST_ELSEWHERE: &str = "the sender has changed or moved it since, or can't read it any more";

/// What a stream may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The offer's secret.
    pub secret: FileSecret,
    /// How the part that is wanted is cut.
    pub chunking: Chunking,
}

impl Transfers {
    /// Offers something to these accounts; tells the number of its short id.
    pub fn offer(
        &mut self,
        now: Timestamp,
        conversation: ConversationId,
        recipients: &[AccountId],
        offer: FileOffer,
    ) -> u64 {
        let recipients = recipients.iter().map(|account| (*account, TransferState::Offered)).collect();
        let number = self.last_number + 1;
        self.insert(Transfer { number, offer, conversation, at: now, side: Side::Outgoing { recipients } });
        number
    }

    /// Whether an account may have what it asks for.
    ///
    /// # Errors
    /// [`FileRefusal`], as it is told to whoever asks.
    pub fn grant(&self, account: AccountId, fetch: FileFetch) -> Result<Grant, FileRefusal> {
        let transfer = self.all.get(&fetch.file).ok_or(FileRefusal::Unknown)?;
        let Side::Outgoing { recipients } = &transfer.side else { return Err(FileRefusal::Unknown) };
        let state = recipients.iter().find(|(to, _)| *to == account).map(|(_, state)| *state);
        match state.ok_or(FileRefusal::Unknown)? {
            // Whoever asks has accepted, though that word may still be on its way. Another device of an account that has it
            // may have it too.
            TransferState::Offered | TransferState::Accepted | TransferState::Received => {}
            TransferState::Failed => return Err(FileRefusal::Changed),
            _ => return Err(FileRefusal::Withdrawn),
        }
        let chunking = match (fetch.part, transfer.offer.shape) {
            (FilePart::Chunks, _) => transfer.offer.chunking,
            (FilePart::Manifest, FileShape::Folder { manifest }) => transfer.offer.chunking.of_manifest(manifest),
            (FilePart::Manifest, FileShape::File) => return Err(FileRefusal::Malformed),
        };
        if fetch.from > chunking.count() {
            return Err(FileRefusal::Malformed);
        }
        Ok(Grant { secret: transfer.offer.secret.clone(), chunking })
    }

    /// Accounts that have accepted something and wait for it, each once: they may not know where this node is.
    #[must_use]
    pub fn awaiting(&self) -> Vec<AccountId> {
        let sides = self.open().map(|(_, transfer)| &transfer.side);
        let recipients = sides.filter_map(|side| match side {
            Side::Outgoing { recipients } => Some(recipients.iter()),
            Side::Incoming { .. } => None,
        });
        let waiting = recipients.flatten().filter(|(_, state)| *state == TransferState::Accepted);
        let mut waiting: Vec<AccountId> = waiting.map(|(account, _)| *account).collect();
        waiting.sort_unstable();
        waiting.dedup();
        waiting
    }

    /// What is offered can't be read any more, or is not what it was: nobody gets it. `why` is for the person here.
    pub fn on_source_lost(&mut self, file: FileId, why: &str) -> Vec<Act> {
        let Some(transfer) = self.all.get(&file).filter(|transfer| !transfer.is_over()) else { return Vec::new() };
        let notice = super::notice(file, FileWord::Failed, LOST_ELSEWHERE);
        let said = Act::Say { conversation: transfer.conversation, notice };
        std::iter::once(said).chain(self.end(file, TransferState::Failed, Some(why.to_owned()))).collect()
    }

    /// The offer reaches somebody no more: it was given up on the way, or they have left the conversation.
    pub fn on_unreachable(&mut self, file: FileId, account: AccountId, why: &str) -> Vec<Act> {
        self.advance(file, account, TransferState::Failed, Some(why.to_owned()))
    }

    pub(super) fn take_answer(&mut self, from: AccountId, notice: &FileNotice) -> Vec<Act> {
        let state = match notice.word {
            FileWord::Accepted => TransferState::Accepted,
            FileWord::Declined => TransferState::Declined,
            FileWord::Received => TransferState::Received,
            FileWord::Cancelled => TransferState::Cancelled,
            FileWord::Failed => TransferState::Failed,
        };
        self.advance(notice.file, from, state, reason(notice))
    }

    fn advance(&mut self, file: FileId, account: AccountId, to: TransferState, reason: Option<String>) -> Vec<Act> {
        let Some(transfer) = self.all.get_mut(&file) else { return Vec::new() };
        let Side::Outgoing { recipients } = &mut transfer.side else { return Vec::new() };
        let Some((_, state)) = recipients.iter_mut().find(|(recipient, _)| *recipient == account) else {
            return Vec::new();
        };
        if state.is_over() || *state == to {
            return Vec::new();
        }
        *state = to;
        self.note(file);
        let mut acts = vec![Act::Show { file, account, state: to, reason }];
        if to.is_over() && to != TransferState::Received {
            acts.push(Act::StopServing { file, account: Some(account) });
        }
        if self.all.get(&file).is_some_and(Transfer::is_over) {
            acts.push(Act::ForgetSource { file });
        }
        acts
    }
}
