//! People: whose key is pinned, what they are called, and who may know where this node is.

use std::collections::{BTreeMap, BTreeSet};

use membership::certificate::{VerifiedDeviceList, verify_device_list};
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, Name, PublicKey, Timestamp,
    directory::{Person, Reply, Request, Who},
    limits::LOOK_UP_MAX,
};

use crate::{
    core::{Core, OpenError},
    event::{EventKind, Trust},
    flow::Flow,
    input::Answer,
    link::Purpose,
    records::{self, ContactRecord},
    stored::Table,
};

/// Everybody whom this node knows.
#[derive(Debug, Default)]
pub(crate) struct People {
    contacts: BTreeMap<AccountId, ContactRecord>,
    names: BTreeMap<Name, AccountId>,
    changed: BTreeSet<AccountId>,
    online: BTreeSet<AccountId>,
    pub(crate) look_up: Flow,
    pub(crate) accept: Flow,
}

impl People {
    pub(crate) fn load(stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Self, OpenError> {
        let mut people = Self::default();
        for (_, _, value) in stored.iter().filter(|(table, ..)| *table == Table::Contact) {
            let contact: ContactRecord = records::decode(value).map_err(|_| OpenError::Record(Table::Contact))?;
            if let Some(name) = &contact.name {
                people.names.insert(name.clone(), contact.account);
            }
            people.contacts.insert(contact.account, contact);
        }
        Ok(people)
    }

    pub(crate) fn get(&self, account: AccountId) -> Option<&ContactRecord> {
        self.contacts.get(&account)
    }

    pub(crate) fn by_name(&self, name: &Name) -> Option<&ContactRecord> {
        self.names.get(name).and_then(|account| self.contacts.get(account))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &ContactRecord> {
        self.contacts.values()
    }

    pub(crate) fn name_of(&self, account: AccountId) -> Option<&Name> {
        self.contacts.get(&account).and_then(|contact| contact.name.as_ref())
    }

    pub(crate) fn is_online(&self, account: AccountId) -> bool {
        self.online.contains(&account)
    }

    pub(crate) fn all_offline(&mut self) {
        self.online.clear();
    }

    /// What is known of the person's key.
    pub(crate) fn trust(&self, account: AccountId) -> Trust {
        match self.contacts.get(&account) {
            Some(contact) if contact.changed_to.is_some() => Trust::Changed,
            Some(contact) if contact.accepted => Trust::Pinned,
            _ => Trust::Stranger,
        }
    }

    fn edit(&mut self, account: AccountId) -> Option<&mut ContactRecord> {
        let contact = self.contacts.get_mut(&account)?;
        self.changed.insert(account);
        Some(contact)
    }

    /// Pins a root key on first use.
    pub(crate) fn pin(&mut self, root_key: PublicKey) -> AccountId {
        let account = membership::account_id(&root_key);
        self.contacts.entry(account).or_insert_with(|| {
            self.changed.insert(account);
            ContactRecord {
                account,
                root_key,
                name: None,
                accepted: false,
                accept_told: false,
                changed_to: None,
                last_seen: None,
            }
        });
        account
    }

    /// The person at this node wrote to them.
    pub(crate) fn accept(&mut self, account: AccountId) {
        if self.contacts.get(&account).is_some_and(|contact| !contact.accepted) {
            if let Some(contact) = self.edit(account) {
                contact.accepted = true;
            }
            self.accept.retry_now();
        }
    }
}

/// What the directory's word about a person came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The person, pinned now or before.
    Known(AccountId),
    /// The name belongs to another root key than the pinned one.
    Changed(AccountId),
    /// The directory's word does not hold.
    Unusable,
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Takes the directory's word about a person: verifies it, pins the key on first use, notices a change.
    pub(crate) fn take_person(&mut self, person: &Person) -> Found {
        let list = match verify_device_list(&person.devices) {
            Ok(list) => list,
            Err(error) => {
                self.report_refused("a device list from the directory does not hold", &error);
                return Found::Unusable;
            }
        };
        if list.account != person.account {
            self.report_misbehaviour("a device list from the directory is another account's");
            return Found::Unusable;
        }
        let pinned = self.people.names.get(&person.name).copied();
        if let Some(pinned) = pinned.filter(|pinned| *pinned != list.account) {
            self.on_key_changed(pinned, &list);
            return Found::Changed(pinned);
        }
        let account = self.people.pin(list.root_key);
        if self.people.name_of(account) != Some(&person.name) {
            if let Some(contact) = self.people.edit(account) {
                contact.name = Some(person.name.clone());
            }
            self.people.names.insert(person.name.clone(), account);
            self.release_waiting_for_name(account);
        }
        self.note_presence(account, person.online, person.last_seen);
        Found::Known(account)
    }

    fn on_key_changed(&mut self, pinned: AccountId, list: &VerifiedDeviceList) {
        let Some(contact) = self.people.contacts.get(&pinned) else { return };
        if contact.changed_to == Some(list.root_key) {
            return;
        }
        let Some(user) = contact.name.clone() else { return };
        if let Some(contact) = self.people.edit(pinned) {
            contact.changed_to = Some(list.root_key);
        }
        let fingerprint = membership::fingerprint(&list.root_key).to_string();
        self.batch.event(self.now, EventKind::KeyChanged { user, fingerprint });
    }

    pub(crate) fn note_presence(&mut self, account: AccountId, online: bool, last_seen: Option<Timestamp>) {
        if online {
            self.people.online.insert(account);
        } else {
            self.people.online.remove(&account);
        }
        let last_seen = if online { Some(self.now) } else { last_seen };
        // Minutes are enough for people, and a record for each push would be a write for each push.
        let fresh = |old: Timestamp| last_seen.is_some_and(|new| new.ms_since(old) > 60_000);
        let known = self.people.contacts.get(&account).map(|contact| contact.last_seen);
        if last_seen.is_some()
            && known.is_some_and(|old| old.is_none_or(fresh))
            && let Some(contact) = self.people.edit(account)
        {
            contact.last_seen = last_seen;
        }
    }

    pub(crate) fn on_presence(&mut self, account: AccountId, user: Name, online: bool) {
        if self.own().is_some_and(|own| own.account == account) {
            return;
        }
        let known = self.people.contacts.get(&account).is_some_and(|contact| contact.name.as_ref() == Some(&user));
        if known {
            self.note_presence(account, online, None);
            self.peers.retry(account);
        }
        self.batch.passing_event(self.now, EventKind::Presence { user: user.clone(), online });
        self.presence_hint(&user);
    }

    pub(crate) fn reconcile_people(&mut self) {
        if !self.is_online() {
            return;
        }
        if self.people.look_up.is_ready(self.now) {
            let nameless = self.people.contacts.values().filter(|contact| contact.name.is_none());
            let who: Vec<Who> = nameless.take(LOOK_UP_MAX).map(|contact| Who::Account(contact.account)).collect();
            if !who.is_empty() {
                let who = Bounded::new(who).unwrap_or_default();
                let call = self.ask(Purpose::LookUpAccounts, Request::LookUp { who });
                self.people.look_up.start(call);
            }
        }
        if self.people.accept.is_ready(self.now) {
            let untold = self.people.contacts.values().filter(|contact| contact.accepted && !contact.accept_told);
            let accounts: Vec<AccountId> = untold.take(LOOK_UP_MAX).map(|contact| contact.account).collect();
            if !accounts.is_empty() {
                let request = Request::Accept { accounts: Bounded::new(accounts.clone()).unwrap_or_default() };
                let call = self.ask(Purpose::Accept { accounts }, request);
                self.people.accept.start(call);
            }
        }
    }

    pub(crate) fn people_timer(&self) -> Option<Timestamp> {
        if !self.is_online() {
            return None;
        }
        let mut contacts = self.people.contacts.values();
        let look_up = self.people.look_up.due().filter(|_| contacts.clone().any(|contact| contact.name.is_none()));
        let untold = contacts.any(|contact| contact.accepted && !contact.accept_told);
        let accept = self.people.accept.due().filter(|_| untold);
        look_up.into_iter().chain(accept).min()
    }

    pub(crate) fn on_accounts_found(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Answer::Reply(reply) = answer else {
            self.people.look_up.fail(self.now, jitter);
            return;
        };
        let Reply::People(people) = *reply else {
            self.report_misbehaviour("the directory answered a look-up with something else");
            self.people.look_up.fail(self.now, jitter);
            return;
        };
        for person in &people {
            self.take_person(person);
        }
        // Somebody whom the directory does not name is asked for again, but ever more seldom.
        if people.is_empty() {
            self.people.look_up.fail(self.now, jitter);
        } else {
            self.people.look_up.succeed();
        }
    }

    pub(crate) fn on_accept_told(&mut self, accounts: Vec<AccountId>, answer: Answer) {
        let jitter = self.jitter();
        if !matches!(&answer, Answer::Reply(reply) if matches!(**reply, Reply::Done)) {
            self.people.accept.fail(self.now, jitter);
            return;
        }
        self.people.accept.succeed();
        for account in accounts {
            if let Some(contact) = self.people.edit(account) {
                contact.accept_told = true;
            }
        }
    }

    pub(crate) fn write_people(&mut self) {
        for account in std::mem::take(&mut self.people.changed) {
            let record = self.people.contacts.get(&account).map(records::encode);
            if let Some(record) = record {
                self.put_record(Table::Contact, account.0.to_vec(), record);
            }
        }
    }
}
