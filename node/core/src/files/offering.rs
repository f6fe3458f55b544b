//! SEND … FILE: what is offered is looked at first, and offered then.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, BoundedText, ConversationId, FileId, MessageId, Name,
    file::{EnclosedFile, FileOffer, FileSecret},
    limits::OFFER_LIFETIME_MS,
    peer::Body,
    policy::Role,
};

use super::Survey;
use crate::{
    command::{Command, CommandToken, Failure, FailureCode, FileCommand, Recipient, Surveyed},
    commands::{Waiting, changed_key},
    core::Core,
    event::{DeliveryState, ShortId, Trust},
    group::refusals,
    outbox::bug,
    output::{Effect, FileEffect},
    stored::Table,
};

/// Bytes that may wait in a conversation when a small file is sent with its offer: a hundred files in a row must not keep the
/// words behind them waiting, nor fill a mailbox. What is offered beyond is sent when both are there, as larger files are.
const ENCLOSED_WAITING_MAX: usize = 512 * 1024;

/// To whom something can be offered: where, and which accounts.
struct Addressed {
    conversation: ConversationId,
    accounts: Vec<AccountId>,
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Looks at a file, once it is known that there is somebody to offer it to.
    pub(super) fn survey_file(&mut self, token: CommandToken, to: Recipient, path: String, caption: String) {
        let again = || FileCommand::Send { to: to.clone(), path: path.clone(), caption: caption.clone() };
        if self.addressed(token, &to, again()).is_none() {
            return;
        }
        self.files.surveys.insert(token, Survey { to, caption });
        self.batch.effect(Effect::File(FileEffect::Survey { token, path: path.clone() }));
        self.wait(token, Waiting::Survey { path });
    }

    /// It was looked at, for as long as that took: whoever asked may wait no longer, and it is offered all the same.
    pub(super) fn on_surveyed(&mut self, token: CommandToken, result: Result<Box<Surveyed>, Failure>) {
        let Some(Survey { to, caption }) = self.files.surveys.remove(&token) else { return };
        self.take_waiting_command(token);
        match result {
            Ok(surveyed) => {
                let offer = FileCommand::Offer { to, surveyed, caption };
                self.on_command(token, Command::File(offer));
            }
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    pub(super) fn offer_file(&mut self, token: CommandToken, to: Recipient, surveyed: Box<Surveyed>, caption: String) {
        let again = FileCommand::Offer { to: to.clone(), surveyed: surveyed.clone(), caption: caption.clone() };
        let Some(addressed) = self.addressed(token, &to, again) else { return };
        let conversation = addressed.conversation;
        match self.enqueue_offer(addressed, *surveyed, caption) {
            Ok((short, id)) => match to {
                Recipient::Person(to) => {
                    if let Some(account) = self.people.by_name(&to).map(|contact| contact.account) {
                        if self.people.accept(account) {
                            self.book_changed();
                        }
                        self.announce_accepted_peers();
                    }
                    self.wait(token, Waiting::Send { to, short, id });
                }
                Recipient::Group(group) => {
                    self.wait(token, Waiting::SendGroup { group, short, id });
                    self.settle_alone(conversation, id);
                }
            },
            Err(failure) => return self.done(token, Err(failure)),
        }
        if !self.link.is_connected() && self.link.last_failure.is_some() {
            self.on_unreachable();
        }
    }

    /// To whom it goes; else the command has ended, or goes on when the directory has said who that is.
    fn addressed(&mut self, token: CommandToken, to: &Recipient, again: FileCommand) -> Option<Addressed> {
        let found = match to {
            Recipient::Person(name) => match self.people.by_name(name).map(|contact| contact.account) {
                _ if self.group_named(name).is_some() => Err(a_group(name)),
                _ if self.own().is_some_and(|own| own.name == *name) => {
                    let text = "that is you; SEND NAME FILE PATH goes to somebody else";
                    Err(Failure::new(FailureCode::Refused, text))
                }
                Some(account) => self.person_addressed(account, name),
                None => {
                    self.find_person(token, name.clone(), Command::File(again));
                    return None;
                }
            },
            Recipient::Group(group) => {
                let id = self.group_for(token, group, Command::File(again))?;
                self.group_addressed(id, group)
            }
        };
        found.map_err(|failure| self.done(token, Err(failure))).ok()
    }

    fn person_addressed(&mut self, account: AccountId, name: &Name) -> Result<Addressed, Failure> {
        if self.people.trust(account) == Trust::Changed {
            return Err(changed_key(name));
        }
        if self.has_blocked(account) {
            return Err(Failure::new(FailureCode::Refused, format!("you blocked {name}; UNBLOCK {name} first")));
        }
        let unknown = || Failure::new(FailureCode::Conflict, "this person is not known here; LIST shows who is");
        let conversation = self.conversation_with(account).ok_or_else(unknown)?;
        Ok(Addressed { conversation, accounts: vec![account] })
    }

    /// Whoever is only invited may have it too, once they have joined.
    fn group_addressed(&self, id: ConversationId, group: &Name) -> Result<Addressed, Failure> {
        match self.own_role(id) {
            None => return Err(refusals::coming_back(group)),
            Some(Role::Invited) => return Err(refusals::not_joined(group)),
            Some(_) => {}
        }
        if let Some(user) = self.disputed_in(id) {
            return Err(refusals::disputed(&user, group));
        }
        let accounts: Vec<AccountId> = self.rows_now(id).into_iter().map(|row| row.account).collect();
        if accounts.is_empty() {
            let text = format!("nobody else is in {group}; INVITE {group} NAME brings somebody in");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        Ok(Addressed { conversation: id, accounts })
    }

    /// The offer has the id of the message that brings it.
    fn enqueue_offer(
        &mut self,
        to: Addressed,
        surveyed: Surveyed,
        caption: String,
    ) -> Result<(ShortId, MessageId), Failure> {
        self.check_outbox()?;
        let Surveyed { name, shape, chunking, sha256, source, enclosed } = surveyed;
        let (mut id, mut secret) = ([0; 16], [0; 32]);
        self.entropy.fill_bytes(&mut id);
        self.entropy.fill_bytes(&mut secret);
        let too_long = |what: &str| Failure::new(FailureCode::Usage, format!("{what} is too long; shorten it"));
        let offer = FileOffer {
            file: FileId(id),
            secret: FileSecret(secret),
            name: BoundedText::new(name).map_err(|_| too_long("the name"))?,
            shape,
            chunking,
            sha256,
            caption: BoundedText::new(caption).map_err(|_| too_long("the caption"))?,
            expires: self.now.plus_ms(OFFER_LIFETIME_MS),
        };
        let uid = MessageId(id);
        let enclosed = enclosed.filter(|bytes| self.may_enclose(to.conversation, bytes.len()));
        let enclosed = enclosed.and_then(|bytes| EnclosedFile::new(offer.clone(), bytes));
        let body = match enclosed {
            Some(enclosed) => Body::FileEnclosed(Box::new(enclosed)),
            None => Body::FileOffer(Box::new(offer.clone())),
        };
        self.put_into_outbox(to.conversation, uid, None, body, false).map_err(|error| bug(&error))?;
        let number = self.files.transfers.offer(self.now, to.conversation, &to.accounts, offer);
        self.batch.put(Table::Source, id.to_vec(), source.clone());
        self.files.sources.insert(FileId(id), source);
        Ok((ShortId::File(number), uid))
    }

    /// Whether so many bytes may come with an offer: words that are said later wait for what is sent before them.
    fn may_enclose(&self, conversation: ConversationId, bytes: usize) -> bool {
        let waiting: usize = self.outbox.of(conversation).map(|entry| entry.record.content.len()).sum();
        waiting + bytes <= ENCLOSED_WAITING_MAX
    }

    /// A message that is never shown made progress: if it brings an offer, whoever waits hears of it, and so does the
    /// transfer if it reaches nobody.
    pub(crate) fn on_offer_advanced(
        &mut self,
        message: MessageId,
        account: Option<AccountId>,
        state: DeliveryState,
        reason: Option<&str>,
    ) {
        let file = FileId(message.0);
        if self.files.transfers.get(file).is_none() {
            return;
        }
        if let Some(account) = account.filter(|_| state == DeliveryState::Failed) {
            let why = reason.unwrap_or("the offer did not reach them");
            let acts = self.files.transfers.on_unreachable(file, account, why);
            self.perform_acts(acts);
        }
        self.settle_send(message, state);
    }
}

fn a_group(name: &Name) -> Failure {
    let text = format!("{name} is a group; SEND GROUP {name} FILE PATH offers it to everybody in it");
    Failure::new(FailureCode::Conflict, text)
}
