//! What is offered to this node: accepted by its person or by a limit that they set, received, or not.

use protocol::{
    AccountId, ConversationId, DeviceId, FileId, Timestamp,
    file::{FileOffer, FileWord, stream::FileRefusal},
    limits::{FILE_STREAMS_MAX, OFFER_LIFETIME_MS},
};

use super::{
    Act, OFFERS_OPEN_MAX, RECEIVING_MAX, Side, Stopped, Transfer, TransferRefusal, TransferState, Transfers, notice,
};

/// Where an offer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedBy {
    /// In which conversation.
    pub conversation: ConversationId,
    /// Who offers.
    pub account: AccountId,
    /// The device that has it.
    pub device: DeviceId,
    /// Up to how many bytes the person here takes from them without being asked.
    pub unasked: Option<u64>,
}

/// How much it is to take something: a folder's list too, which may name thousands of files of no bytes.
fn weight(offer: &FileOffer) -> u64 {
    offer.chunking.bytes().saturating_add(u64::from(offer.shape.manifest_bytes()))
}

impl Transfers {
    /// Takes an offer, with what came with it; `own` is this node's account. The same again changes nothing; whoever offers what
    /// has expired, what is too many from one account, or what has the id of somebody else's, is told that it is not taken.
    pub fn take_offer(
        &mut self,
        now: Timestamp,
        own: AccountId,
        by: OfferedBy,
        (offer, enclosed): (FileOffer, Option<Vec<u8>>),
    ) -> Vec<Act> {
        let file = offer.file;
        let known = self.all.get(&file).map(|transfer| &transfer.side);
        let refusal = match known {
            Some(Side::Incoming { from, .. }) if *from == by.account => return Vec::new(),
            Some(_) => Some("it has the id of another one; send it again"),
            None if offer.expires <= now => Some("it had expired before it came, by the clock there; send it again"),
            None if self.of_account(by.account, TransferState::Offered).count() >= OFFERS_OPEN_MAX => {
                Some("too many offers wait for an answer there; send it again when there are fewer")
            }
            None => None,
        };
        if let Some(reason) = refusal {
            return vec![Act::Say { conversation: by.conversation, notice: notice(file, FileWord::Failed, reason) }];
        }
        // The sender's clock may be anywhere; no offer stands for longer than one may.
        let expires = offer.expires.min(now.plus_ms(OFFER_LIFETIME_MS));
        let offer = FileOffer { expires, ..offer };
        let few = self.of_account(by.account, TransferState::Accepted).count() < OFFERS_OPEN_MAX;
        let unasked = by.unasked.is_some_and(|limit| few && weight(&offer) <= limit);
        let state = TransferState::Offered;
        let side = Side::Incoming { from: by.account, device: by.device, state, target: None, path: None };
        let mut acts = self.let_go_of_failed(by.account);
        let number = self.last_number + 1;
        self.insert(Transfer { number, offer, conversation: by.conversation, at: now, side });
        if let Some(bytes) = enclosed {
            self.keep_enclosed(by.account, file, bytes);
        }
        acts.push(Act::Show { file, account: by.account, state, reason: None });
        if unasked {
            acts.extend(self.accept(file, None).unwrap_or_default());
            acts.push(Act::Show { file, account: own, state: TransferState::Accepted, reason: None });
        }
        acts
    }

    /// What an account has offered and is in this state, in no order.
    fn of_account(&self, account: AccountId, wanted: TransferState) -> impl Iterator<Item = (u64, FileId)> {
        self.open().filter_map(move |(file, transfer)| match transfer.side {
            Side::Incoming { from, state, .. } if from == account && state == wanted => Some((transfer.number, file)),
            _ => None,
        })
    }

    /// What has failed stays until it expires, to be accepted again: of one account so many as may wait, the latest.
    fn let_go_of_failed(&mut self, account: AccountId) -> Vec<Act> {
        let mut failed: Vec<(u64, FileId)> = self.of_account(account, TransferState::Failed).collect();
        failed.sort_unstable();
        failed.truncate((failed.len() + 1).saturating_sub(OFFERS_OPEN_MAX));
        failed.into_iter().flat_map(|(_, file)| self.end(file, TransferState::Cancelled, None)).collect()
    }

    /// The person wants it. What failed here can be wanted again.
    ///
    /// # Errors
    /// [`TransferRefusal`].
    pub fn accept(&mut self, file: FileId, wanted: Option<String>) -> Result<Vec<Act>, TransferRefusal> {
        let transfer = self.all.get_mut(&file).ok_or(TransferRefusal::Unknown)?;
        let Side::Incoming { state, target, .. } = &mut transfer.side else { return Err(TransferRefusal::Own) };
        match *state {
            TransferState::Offered | TransferState::Failed => {}
            TransferState::Accepted => return Err(TransferRefusal::Accepted),
            over => return Err(TransferRefusal::Over(over)),
        }
        // What there is of it stays where it is, unless it is wanted elsewhere.
        let moved = (*target != wanted).then(|| Act::Discard { file, target: target.clone() });
        *state = TransferState::Accepted;
        *target = wanted;
        let said = Act::Say { conversation: transfer.conversation, notice: notice(file, FileWord::Accepted, "") };
        self.note(file);
        self.again.remove(&file);
        Ok(moved.into_iter().chain([said]).collect())
    }

    /// The person does not want it.
    ///
    /// # Errors
    /// [`TransferRefusal`].
    pub fn decline(&mut self, file: FileId, reason: &str) -> Result<Vec<Act>, TransferRefusal> {
        let transfer = self.all.get_mut(&file).ok_or(TransferRefusal::Unknown)?;
        let Side::Incoming { state, .. } = &mut transfer.side else { return Err(TransferRefusal::Own) };
        match *state {
            TransferState::Offered => {}
            TransferState::Accepted => return Err(TransferRefusal::Accepted),
            over => return Err(TransferRefusal::Over(over)),
        }
        *state = TransferState::Declined;
        let notice = notice(file, FileWord::Declined, reason);
        let said = Act::Say { conversation: transfer.conversation, notice };
        self.note(file);
        Ok(vec![said])
    }

    /// What is accepted and not there yet: of whom, and which device has it.
    pub fn to_come(&self) -> impl Iterator<Item = (FileId, AccountId, DeviceId)> {
        self.open().filter_map(|(file, transfer)| match transfer.side {
            Side::Incoming { from, device, state: TransferState::Accepted, .. } => Some((file, from, device)),
            _ => None,
        })
    }

    /// Devices of people that something accepted is to come from, each once.
    #[must_use]
    pub fn awaited(&self) -> Vec<(AccountId, DeviceId)> {
        let awaited = self.to_come().filter(|(file, ..)| !self.enclosed.contains(*file));
        let mut awaited: Vec<_> = awaited.map(|(_, from, device)| (from, device)).collect();
        awaited.sort_unstable();
        awaited.dedup();
        awaited
    }

    /// Begins whatever can be received now: the oldest first, and of each device in turn, so that nobody's many files keep
    /// anybody else's waiting. What came with its offer needs no device, and waits for none.
    pub fn begin(&mut self, now: Timestamp, is_connected: impl Fn(DeviceId) -> bool) -> Vec<Act> {
        let mut acts = self.begin_unpacking(now);
        while self.receiving.len() < RECEIVING_MAX {
            let busy = |device: DeviceId| self.receiving.values().filter(|other| **other == device).count();
            let ready = self.open().filter_map(|(file, transfer)| self.ready(now, file, transfer));
            let ready = ready.filter(|(_, file, device)| !self.enclosed.contains(*file) && is_connected(*device));
            let ready = ready.map(|(number, file, device)| (busy(device), number, file, device));
            let Some((_, _, file, device)) = ready.filter(|(busy, ..)| *busy < FILE_STREAMS_MAX).min() else { break };
            self.receiving.insert(file, device);
            acts.push(Act::Receive { file, device });
        }
        acts
    }

    /// The number of what is accepted and nobody works on though it is time, and which device has it.
    pub(super) fn ready(&self, now: Timestamp, file: FileId, transfer: &Transfer) -> Option<(u64, FileId, DeviceId)> {
        let Side::Incoming { device, state: TransferState::Accepted, .. } = transfer.side else { return None };
        let idle = !self.receiving.contains_key(&file) && !self.enclosed.is_unpacking(file);
        let due = self.again.get(&file).is_none_or(|flow| flow.is_ready(now));
        (idle && due).then_some((transfer.number, file, device))
    }

    /// It is there, under this path. Where it was made nothing is needed any more, once that is known for good.
    pub fn on_received(&mut self, own: AccountId, file: FileId, kept: String) -> Vec<Act> {
        self.stop_working(file);
        let Some(transfer) = self.all.get_mut(&file) else { return Vec::new() };
        let Side::Incoming { state, path, .. } = &mut transfer.side else { return Vec::new() };
        *state = TransferState::Received;
        *path = Some(kept);
        let notice = notice(file, FileWord::Received, "");
        let said = Act::Say { conversation: transfer.conversation, notice };
        let target = self.target(file);
        self.note(file);
        let shown = Act::Show { file, account: own, state: TransferState::Received, reason: None };
        vec![said, shown, Act::Discard { file, target }]
    }

    /// Receiving stopped. `jitter` is any random number.
    pub fn on_stopped(&mut self, now: Timestamp, own: AccountId, file: FileId, why: Stopped, jitter: u64) -> Vec<Act> {
        self.receiving.remove(&file);
        self.enclosed.stop(file);
        let Some(transfer) = self.all.get(&file) else { return Vec::new() };
        let Side::Incoming { state: TransferState::Accepted, .. } = transfer.side else { return Vec::new() };
        let conversation = transfer.conversation;
        let lost_for_good = |transfers: &mut Self, reason: &str| {
            let notice = notice(file, FileWord::Failed, reason);
            let said = Act::Say { conversation, notice };
            let target = transfers.target(file);
            let ended = transfers.end_incoming(file, own, TransferState::Failed, Some(reason.to_owned()));
            std::iter::once(said).chain(ended).chain([Act::Discard { file, target }]).collect()
        };
        match why {
            Stopped::Lost | Stopped::Refused(FileRefusal::Busy | FileRefusal::Unwanted) => {
                self.again.entry(file).or_default().fail(now, jitter);
                Vec::new()
            }
            Stopped::Refused(FileRefusal::Withdrawn) => self.end(file, TransferState::Cancelled, None),
            Stopped::Refused(FileRefusal::Unknown) => lost_for_good(self, "the sender does not have it any more"),
            Stopped::Refused(FileRefusal::Changed) => lost_for_good(self, "the sender has changed it since"),
            Stopped::Refused(FileRefusal::Unreadable) => lost_for_good(self, "the sender can't read it"),
            Stopped::Refused(FileRefusal::Malformed) => {
                lost_for_good(self, "the two programs don't understand each other")
            }
            Stopped::Mismatch(reason) => {
                self.enclosed.forget(file);
                lost_for_good(self, &reason)
            }
            // The sender has nothing to do with it: it can be accepted again, and what there is stays.
            Stopped::Disk(reason) => {
                self.set(file, TransferState::Failed);
                vec![Act::Show { file, account: own, state: TransferState::Failed, reason: Some(reason) }]
            }
        }
    }

    /// A connection came, or anything else that makes another try worth while.
    pub fn retry_now(&mut self) {
        self.again.values_mut().for_each(crate::flow::Flow::retry_now);
    }

    /// A device has another connection than before: what came from it is begun anew.
    pub fn begin_anew(&mut self, device: DeviceId) -> Vec<Act> {
        let from_it = self.receiving.iter().filter(|(_, from)| **from == device);
        let files: Vec<FileId> = from_it.map(|(file, _)| *file).collect();
        for file in &files {
            self.receiving.remove(file);
        }
        files.into_iter().map(|file| Act::StopReceiving { file }).collect()
    }

    /// Ends what is not settled, by what this account did.
    pub(super) fn end_incoming(
        &mut self,
        file: FileId,
        by: AccountId,
        to: TransferState,
        reason: Option<String>,
    ) -> Vec<Act> {
        let Some(transfer) = self.all.get(&file).filter(|transfer| !transfer.is_settled()) else { return Vec::new() };
        let (was_over, target) = (transfer.is_over(), self.target(file));
        let was_received = self.receiving.contains_key(&file) || self.enclosed.is_unpacking(file);
        self.stop_working(file);
        self.set(file, to);
        let mut acts = Vec::new();
        // Whoever was told that it failed knows that it is over.
        if !was_over {
            acts.push(Act::Show { file, account: by, state: to, reason });
        }
        if was_received {
            acts.push(Act::StopReceiving { file });
        }
        if to != TransferState::Failed {
            acts.push(Act::Discard { file, target });
        }
        acts
    }

    fn target(&self, file: FileId) -> Option<String> {
        match self.all.get(&file).map(|transfer| &transfer.side) {
            Some(Side::Incoming { target, .. }) => target.clone(),
            _ => None,
        }
    }

    fn set(&mut self, file: FileId, to: TransferState) {
        if let Some(Side::Incoming { state, .. }) = self.all.get_mut(&file).map(|transfer| &mut transfer.side) {
            *state = to;
            self.note(file);
        }
    }

    fn stop_working(&mut self, file: FileId) {
        self.receiving.remove(&file);
        self.enclosed.stop(file);
        self.again.remove(&file);
    }
}
