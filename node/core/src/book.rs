//! The book: what a further device has to know from the first moment, sealed at the directory under a key that only the
//! account's devices hold.
//!
//! Every device may write it. What two of them wrote is merged contact by contact: the later word of the person counts,
//! and what was once accepted stays so.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, ConversationId, Fingerprint, Name, PublicKey, Timestamp,
    directory::{Refusal, Reply, Request},
};
use serde::{Deserialize, Serialize};

use crate::{
    command::{Failure, FailureCode},
    core::Core,
    crypto::{keys::BookKey, seal},
    group::GROUPS_MAX,
    input::Answer,
    link::Purpose,
    money::BookLedger,
    records::{self, ContactRecord},
};

/// Contacts that a book holds: at some hundred bytes each they stay below [`protocol::limits::BOOK_MAX`]. Who was only seen goes first.
const CONTACTS_MAX: usize = 1_500;

/// Groups that a book holds: those that the account is in, and as many that it was in lately, so that another device that was
/// away learns that it is not in them any more.
const BOOK_GROUPS_MAX: usize = 2 * GROUPS_MAX;

/// What is sealed. Append-only: a new field is a new variant.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Book {
    V1 {
        directory: Option<Fingerprint>,
        contacts: Bounded<Entry, CONTACTS_MAX>,
        groups: Bounded<GroupEntry, BOOK_GROUPS_MAX>,
    },
    V2 {
        directory: Option<Fingerprint>,
        contacts: Bounded<Entry, CONTACTS_MAX>,
        groups: Bounded<GroupEntry, BOOK_GROUPS_MAX>,
        ledger: Option<BookLedger>,
    },
}

impl Book {
    /// What is in it, whichever program wrote it.
    fn into_parts(self) -> Parts {
        match self {
            Self::V1 { directory, contacts, groups } => Parts { directory, contacts, groups, ledger: None },
            Self::V2 { directory, contacts, groups, ledger } => Parts { directory, contacts, groups, ledger },
        }
    }
}

/// A book's contents.
struct Parts {
    directory: Option<Fingerprint>,
    contacts: Bounded<Entry, CONTACTS_MAX>,
    groups: Bounded<GroupEntry, BOOK_GROUPS_MAX>,
    ledger: Option<BookLedger>,
}

/// A group in the book: one that the account is in, or one that it is not in any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GroupEntry {
    conversation: ConversationId,
    name: Name,
    inside: bool,
    /// When the account last came in or went.
    changed_at: Timestamp,
}

/// A person in the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    root_key: PublicKey,
    name: Option<Name>,
    accepted: bool,
    verified: bool,
    blocked: bool,
    former: bool,
    /// The generation of the conversation with them, if there is one.
    generation: Option<u32>,
    changed_at: Timestamp,
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Opens a book on the way into the account.
    pub(crate) fn open_book(
        &self,
        version: u64,
        sealed: &[u8],
        key: &BookKey,
        account: AccountId,
    ) -> Result<(u64, Vec<u8>), Failure> {
        let changed = |_| {
            let text = "the directory gave a book that none of this account's devices sealed so; \
                        nothing was changed here: tell the operator";
            Failure::new(FailureCode::Trust, text)
        };
        let bytes = seal::open_book(sealed, key, account, version).map_err(changed)?;
        let book: Book = records::decode(&bytes).map_err(|_| {
            Failure::new(FailureCode::Other, "a newer program wrote the book; use a newer program here too")
        })?;
        let directory = book.into_parts().directory;
        if directory.is_some_and(|known| self.link.directory.is_some_and(|now| now != known)) {
            let text = "this directory has another key than the one that this account's devices know; \
                        nothing was changed here: compare the fingerprint with the operator's";
            return Err(Failure::new(FailureCode::Trust, text));
        }
        Ok((version, bytes.to_vec()))
    }

    fn book_key(&self) -> Option<BookKey> {
        let stored = self.account.book_key.as_ref()?;
        BookKey::from_slice(&stored.0).ok()
    }

    /// Takes in what another device wrote; whatever is here and not there makes this device write.
    pub(crate) fn take_book(&mut self, version: u64, bytes: &[u8]) {
        let Ok(book) = records::decode::<Book>(bytes) else {
            return self.report_misbehaviour("a newer program wrote the book");
        };
        let Parts { contacts, groups, ledger, .. } = book.into_parts();
        if let Some(ledger) = ledger {
            self.take_book_ledger(ledger);
        }
        // Whose name went to another key gives it up before that one takes it.
        let (former, present): (Vec<&Entry>, Vec<&Entry>) = contacts.iter().partition(|entry| entry.former);
        for entry in former.into_iter().chain(present) {
            self.take_entry(entry);
        }
        for entry in &groups {
            self.take_group_of_book(entry.conversation, &entry.name, entry.inside, entry.changed_at);
        }
        self.account.book_version = self.account.book_version.max(version);
        // Devices that know different keys under one name would else write against each other without end.
        let disputed: Vec<PublicKey> =
            self.people.all().filter_map(|c| Some([c.root_key, c.changed_to?])).flatten().collect();
        let settled = |entry: &&Entry| !disputed.contains(&entry.root_key);
        let now: Vec<Entry> = self.entries();
        self.account.book_stale =
            !now.iter().filter(settled).eq(contacts.iter().filter(settled)) || self.group_entries() != *groups;
        self.account_changed = true;
    }

    fn take_entry(&mut self, entry: &Entry) {
        if self.own().is_some_and(|own| own.root_key == entry.root_key) {
            return;
        }
        let new = self.people.get(membership::account_id(&entry.root_key)).is_none();
        let account = self.people.pin(entry.root_key);
        let later = new || self.people.get(account).is_some_and(|known| entry.changed_at > known.changed_at);
        if later && entry.former {
            self.people.set_name(account, None);
        }
        if let Some(contact) = self.people.edit(account) {
            if later {
                contact.verified = entry.verified;
                contact.blocked = entry.blocked;
                contact.former = entry.former;
                contact.changed_at = entry.changed_at;
                // Whoever changed it told the directory.
                contact.block_told = true;
            }
            contact.accepted |= entry.accepted;
            contact.accept_told |= entry.accepted;
        }
        if let Some(name) = entry.name.as_ref().filter(|_| later) {
            self.take_name(account, name, entry.root_key);
        }
        if let Some(generation) = entry.generation {
            self.expect_conversation(account, generation);
        }
    }

    /// What another device knows somebody by; if this one knows another key under that name, one of the two was lied to.
    fn take_name(&mut self, account: AccountId, name: &Name, root_key: PublicKey) {
        match self.people.by_name(name).map(|known| known.account).filter(|known| *known != account) {
            Some(known) => self.on_key_changed(known, root_key),
            None => self.people.set_name(account, Some(name.clone())),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |contact: &ContactRecord| Entry {
            root_key: contact.root_key,
            name: contact.name.clone(),
            accepted: contact.accepted,
            verified: contact.verified,
            blocked: contact.blocked,
            former: contact.former,
            generation: self.generation_with(contact.account),
            changed_at: contact.changed_at,
        };
        let mut entries: Vec<Entry> = self.people.all().map(entry).collect();
        if entries.len() > CONTACTS_MAX {
            let matters =
                |entry: &Entry| entry.accepted || entry.verified || entry.blocked || entry.generation.is_some();
            entries.sort_by_key(|entry| std::cmp::Reverse((matters(entry), entry.changed_at)));
            entries.truncate(CONTACTS_MAX);
        }
        // The order says nothing: two devices that know the same write the same.
        entries.sort_by_key(|entry| entry.root_key);
        entries
    }

    fn group_entries(&self) -> Vec<GroupEntry> {
        let entry = |(conversation, name, inside, changed_at)| GroupEntry { conversation, name, inside, changed_at };
        let mut groups: Vec<GroupEntry> = self.groups_of_book().into_iter().map(entry).collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.inside, group.changed_at)));
        groups.truncate(BOOK_GROUPS_MAX);
        groups.sort_by_key(|group| group.conversation);
        groups
    }

    /// Something that the book holds changed here.
    pub(crate) fn book_changed(&mut self) {
        self.account.book_stale = true;
        self.account_changed = true;
    }

    /// The directory says which version it holds.
    pub(crate) fn compare_book(&mut self, version: u64) {
        if version < self.account.book_version {
            // What it once took it does not give any more: a replayed book is answered with the present one.
            self.report_misbehaviour("the directory shows an older book than it took before");
            self.book_changed();
        } else if version > self.account.book_version {
            self.link.book_wanted = true;
        }
    }

    pub(crate) fn reconcile_book(&mut self) {
        if !(self.is_online() && self.link.is_announced() && self.link.book.is_ready(self.now)) {
            return;
        }
        if self.link.book_wanted {
            let call = self.ask(Purpose::Book, Request::Book);
            self.link.book.start(call);
        } else if self.account.book_stale && !self.is_learning_people() {
            self.put_book();
        }
    }

    pub(crate) fn book_timer(&self) -> Option<Timestamp> {
        // The answer that ends the learning is an input of its own.
        let wanted = self.link.book_wanted || self.account.book_stale && !self.is_learning_people();
        self.link.book.due().filter(|_| wanted && self.is_online() && self.link.is_announced())
    }

    fn put_book(&mut self) {
        let Some((key, account)) = self.book_key().zip(self.own().map(|own| own.account)) else { return };
        let version = self.account.book_version.saturating_add(1);
        let contacts = Bounded::new(self.entries()).unwrap_or_default();
        let groups = Bounded::new(self.group_entries()).unwrap_or_default();
        let ledger = self.money.for_book();
        let book = Book::V2 { directory: self.link.directory, contacts, groups, ledger };
        let sealed = records::encode(&book).map_err(|error| error.to_string()).and_then(|bytes| {
            seal::seal_book(&bytes, &key, account, version, &mut *self.entropy).map_err(|error| error.to_string())
        });
        match sealed {
            Ok(sealed) => {
                // What changes while it is on its way is in the next one.
                self.account.book_stale = false;
                self.account_changed = true;
                let call = self.ask(Purpose::PutBook { version }, Request::PutBook { version, book: sealed });
                self.link.book.start(call);
            }
            Err(error) => {
                self.report_bug("the book cannot be sealed", &error);
                self.account.book_stale = false;
            }
        }
    }

    pub(crate) fn on_book_put(&mut self, version: u64, answer: Answer) {
        let jitter = self.jitter();
        match answer {
            Answer::Reply(reply) if *reply == Reply::Done => {
                self.link.book.succeed();
                self.account.book_version = self.account.book_version.max(version);
                self.account_changed = true;
            }
            Answer::Refusal(Refusal::Stale) => {
                self.link.book.fail(self.now, jitter);
                self.link.book_wanted = true;
                self.book_changed();
            }
            _ => {
                self.link.book.fail(self.now, jitter);
                self.book_changed();
            }
        }
    }

    pub(crate) fn on_book(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Answer::Reply(reply) = answer else { return self.link.book.fail(self.now, jitter) };
        let Reply::Book(book) = *reply else {
            self.link.book.fail(self.now, jitter);
            return self.report_misbehaviour("the directory answered for the book with something else");
        };
        self.link.book.succeed();
        self.link.book_wanted = false;
        let known = self.account.book_version;
        let Some((version, sealed)) = book.filter(|(version, _)| *version >= known) else {
            self.report_misbehaviour("the directory shows an older book than it took before");
            return self.book_changed();
        };
        let Some((key, account)) = self.book_key().zip(self.own().map(|own| own.account)) else { return };
        match self.open_book(version, &sealed, &key, account) {
            Ok((version, bytes)) => self.take_book(version, &bytes),
            Err(failure) => {
                self.report_refused("the book that the directory gave does not hold", &failure);
                self.link.book.fail(self.now, jitter);
                self.book_changed();
            }
        }
    }
}
