//! What happens to files outside, and what is to be done about them there.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId, DeviceId, FileId,
    file::{
        EnclosedFile, FileNotice, FileOffer, FileWord,
        stream::{FileFetch, FileRefusal},
    },
    peer::Body,
};

use crate::{
    core::Core,
    event::{EventKind, FileProgress, ShortId, Trust},
    input::{FileInput, FileStream, PeerId},
    output::{Effect, FileEffect, ServeFile},
    stored::Table,
    transfer::{Act, OfferedBy, TransferState},
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn on_file_input(&mut self, input: FileInput) {
        let Some(own) = self.own().map(|own| own.account) else { return };
        let acts = match input {
            FileInput::Surveyed { token, result } => return self.on_surveyed(token, result),
            FileInput::Asked { stream, peer, fetch } => return self.on_file_asked(stream, peer, fetch),
            FileInput::Progress { file, account, bytes } => return self.on_file_progress(file, account, bytes),
            FileInput::Received { file, path } => self.files.transfers.on_received(own, file, path),
            FileInput::Stopped { file, why } => {
                let jitter = self.jitter();
                self.files.transfers.on_stopped(self.now, own, file, why, jitter)
            }
            FileInput::SourceLost { file, why } => self.files.transfers.on_source_lost(file, &why),
            FileInput::Served { stream } => {
                self.files.serving.remove(&stream);
                return;
            }
        };
        self.perform_acts(acts);
    }

    /// Somebody in a conversation offers something. What another device of this account offers is there, not here.
    pub(crate) fn take_file_offer(
        &mut self,
        conversation: ConversationId,
        (account, device): (AccountId, DeviceId),
        offer: &FileOffer,
        enclosed: Option<&[u8]>,
        stranger: bool,
    ) {
        let Some(own) = self.own().map(|own| own.account) else { return };
        if account == own || self.has_blocked(account) {
            return;
        }
        let trusted = self.people.trust(account) != Trust::Changed;
        let unasked = self.files.unasked.get(&account).copied().filter(|_| trusted);
        let by = OfferedBy { conversation, account, device, unasked };
        let mut acts =
            self.files.transfers.take_offer(self.now, own, by, (offer.clone(), enclosed.map(<[u8]>::to_vec)));
        if stranger && !self.people.get(account).is_some_and(|contact| contact.accepted) {
            // Who is not known here hears nothing of what is not taken.
            acts.retain(|act| !matches!(act, Act::Say { notice, .. } if notice.word == FileWord::Failed));
            if !acts.is_empty() {
                self.files.strangers.insert(offer.file);
            }
        }
        if acts.iter().any(|act| matches!(act, Act::Show { state: TransferState::Accepted, .. })) {
            self.take_from(offer.file);
        }
        self.perform_acts(acts);
    }

    /// Somebody in a conversation says something about an offer.
    pub(crate) fn take_file_notice(&mut self, conversation: ConversationId, account: AccountId, notice: &FileNotice) {
        let Some(own) = self.own().map(|own| own.account) else { return };
        let acts = self.files.transfers.take_notice(own, conversation, account, notice);
        self.perform_acts(acts);
    }

    fn on_file_asked(&mut self, stream: FileStream, peer: PeerId, fetch: FileFetch) {
        let granted = match self.peers.account_of(peer) {
            // Two who dial each other give up one of the connections, this one perhaps sooner than the other: it is asked again.
            None => Err(FileRefusal::Busy),
            Some(account) if !self.is_blocked(account) => {
                let grant = self.files.transfers.grant(account, fetch);
                let source = self.files.sources.get(&fetch.file).cloned();
                grant.and_then(|grant| Ok((account, grant, source.ok_or(FileRefusal::Unknown)?)))
            }
            Some(_) => Err(FileRefusal::Unknown),
        };
        let effect = match granted {
            Ok((account, grant, source)) => {
                let mut salt = [0; 32];
                self.entropy.fill_bytes(&mut salt);
                let (secret, chunking, part) = (grant.secret, grant.chunking, fetch.part);
                let serving = Box::new(ServeFile { part, secret, salt, chunking, source });
                self.files.serving.insert(stream);
                FileEffect::Serve { stream, account, serving }
            }
            Err(refusal) => FileEffect::Refuse { stream, refusal },
        };
        self.batch.effect(Effect::File(effect));
    }

    fn on_file_progress(&mut self, file: FileId, account: Option<AccountId>, bytes: u64) {
        // What was told before it ended may come after that.
        let transfer = self.files.transfers.get(file).filter(|transfer| !transfer.is_over_for(account));
        let Some(transfer) = transfer else { return };
        let to = account.and_then(|account| self.member_name(account));
        let progress = FileProgress {
            id: ShortId::File(transfer.number),
            uid: file,
            to,
            name: transfer.offer.name.to_string(),
            bytes,
            total: transfer.offer.chunking.bytes(),
        };
        self.files.progress.insert(file, bytes);
        self.batch.passing_event(self.now, EventKind::Progress(Box::new(progress)));
    }

    /// Another connection to a device took the place of one that it has lost.
    pub(crate) fn begin_files_anew(&mut self, device: DeviceId) {
        let acts = self.files.transfers.begin_anew(device);
        self.perform_acts(acts);
    }

    /// Ends what has expired, begins what can be, and ends the commands that wait for either.
    pub(crate) fn reconcile_files(&mut self) {
        if self.own().is_none() {
            return;
        }
        let expired = self.files.transfers.expire(self.now);
        self.perform_acts(expired);
        let peers = &self.peers;
        let begun = self.files.transfers.begin(self.now, |device| peers.of_device(device).is_some());
        self.perform_acts(begun);
        self.reconcile_accepting();
    }

    /// Does what the transfers want, in order; what goes outside follows the transaction.
    pub(super) fn perform_acts(&mut self, acts: Vec<Act>) {
        for act in acts {
            self.perform_act(act);
        }
    }

    fn perform_act(&mut self, act: Act) {
        let effect = match act {
            Act::Say { conversation, notice } => {
                return self.enqueue_hidden(conversation, Body::FileNotice(notice), false);
            }
            Act::Show { file, account, state, reason } => {
                if state.is_over() {
                    self.files.progress.remove(&file);
                }
                if state == TransferState::Accepted {
                    // Whoever accepts may be reached now, though they could not be when it was offered.
                    self.peers.retry(account);
                }
                if let Some(reason) = reason.as_ref().filter(|_| state == TransferState::Failed) {
                    self.files.reasons.insert(file, reason.clone());
                }
                return self.show_file(file, account, state, reason);
            }
            Act::ForgetSource { file } => {
                self.files.sources.remove(&file);
                return self.batch.delete(Table::Source, file.0.to_vec());
            }
            Act::Receive { file, device } => {
                let peer = self.peers.of_device(device);
                let Some((peer, transfer)) = peer.zip(self.files.transfers.get(file)) else { return };
                let (offer, target) = (Box::new(transfer.offer.clone()), transfer.target().map(str::to_owned));
                FileEffect::Receive { peer, offer, target }
            }
            Act::Unpack { file } => {
                let enclosed = self.files.transfers.get(file).and_then(|transfer| {
                    let bytes = self.files.transfers.enclosed(file)?.to_vec();
                    let target = transfer.target().map(str::to_owned);
                    Some((Box::new(EnclosedFile::new(transfer.offer.clone(), bytes)?), target))
                });
                // Only what is there is unpacked.
                let Some((enclosed, target)) = enclosed else { return };
                FileEffect::Unpack { enclosed, target }
            }
            Act::StopReceiving { file } => FileEffect::StopReceiving { file },
            Act::StopServing { file, account } => FileEffect::StopServing { file, account },
            Act::Discard { file, target } => FileEffect::Discard { file, target },
        };
        self.batch.effect(Effect::File(effect));
    }
}
