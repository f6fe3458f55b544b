//! People: whose key is pinned, what they are called, and who may know where this node is.

mod asking;

use std::collections::{BTreeMap, BTreeSet};

use membership::certificate::{VerifiedDeviceList, verify_device_list};
use mls_rs::CryptoProvider;
use protocol::{
    AccountId, DeviceId, Name, PublicKey, Timestamp,
    certificate::{DeviceList, SignedDeviceList},
    directory::Person,
};

use crate::{
    core::{Core, OpenError},
    event::{EventKind, Trust},
    flow::Flow,
    input::CallId,
    records::{self, ContactRecord},
    stored::Table,
};

/// How long after an answer people are looked up again, in milliseconds.
const LOOK_UP_PAUSE_MS: u64 = 1_000;
/// Everybody whom this node knows.
#[derive(Debug, Default)]
pub(crate) struct People {
    contacts: BTreeMap<AccountId, ContactRecord>,
    names: BTreeMap<Name, AccountId>,
    changed: BTreeSet<AccountId>,
    online: BTreeSet<AccountId>,
    /// The devices of the highest list that was seen of each account, one's own too.
    listed: BTreeMap<AccountId, Vec<DeviceId>>,
    /// Counts what was put there.
    pub(crate) lists: u64,
    /// The last request that was asked before the list of an account that is held here was known: what answers an earlier one
    /// may be older than that.
    known_since: BTreeMap<AccountId, CallId>,
    /// Accounts with a device in a conversation that their list does not name: the list may be old.
    outdated: BTreeSet<AccountId>,
    /// Devices of one's own that were revoked and still have a place in a conversation.
    pub(crate) revoked: BTreeSet<DeviceId>,
    /// Accounts that the directory did not name when it was last asked: they are asked for after all others.
    nameless: BTreeSet<AccountId>,
    pub(crate) look_up: Flow,
    pub(crate) accept: Flow,
    pub(crate) block: Flow,
}

impl People {
    pub(crate) fn load(stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Self, OpenError> {
        let mut people = Self::default();
        for (_, _, value) in stored.iter().filter(|(table, ..)| *table == Table::Contact) {
            let contact: ContactRecord = records::decode(value).map_err(|_| OpenError::Record(Table::Contact))?;
            if let Some(name) = &contact.name {
                people.names.insert(name.clone(), contact.account);
            }
            if let Some(Ok(list)) = contact.devices.as_ref().map(SignedDeviceList::list) {
                people.listed.insert(contact.account, devices_of(list));
            }
            if contact.list_missed {
                people.outdated.insert(contact.account);
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

    /// Whether the directory knows nobody by an account.
    pub(crate) fn is_nameless(&self, account: AccountId) -> bool {
        self.nameless.contains(&account)
    }

    /// Whether a newer list of an account's devices is still being looked for.
    pub(crate) fn is_doubted(&self, account: AccountId) -> bool {
        self.outdated.contains(&account)
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
            Some(contact) if contact.changed_to.is_some() || contact.former => Trust::Changed,
            Some(contact) if contact.verified => Trust::Verified,
            Some(contact) if contact.accepted => Trust::Pinned,
            _ => Trust::Stranger,
        }
    }

    pub(crate) fn edit(&mut self, account: AccountId) -> Option<&mut ContactRecord> {
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
                verified: false,
                blocked: false,
                block_told: true,
                former: false,
                devices: None,
                changed_at: Timestamp(0),
                list_missed: false,
            }
        });
        account
    }

    /// The person at this node wrote to them; tells whether that is news.
    pub(crate) fn accept(&mut self, account: AccountId) -> bool {
        let new = self.contacts.get(&account).is_some_and(|contact| !contact.accepted);
        if new {
            if let Some(contact) = self.edit(account) {
                contact.accepted = true;
            }
            self.accept.retry_now();
        }
        new
    }

    /// Gives a person a name, or takes it away.
    pub(crate) fn set_name(&mut self, account: AccountId, name: Option<Name>) {
        let Some(contact) = self.edit(account) else { return };
        let before = std::mem::replace(&mut contact.name, name.clone());
        if let Some(before) = before.filter(|before| self.names.get(before) == Some(&account)) {
            self.names.remove(&before);
        }
        if let Some(name) = name {
            self.names.insert(name, account);
        }
    }

    /// Keeps which devices an account has.
    pub(crate) fn note_devices(&mut self, account: AccountId, devices: Vec<DeviceId>) {
        self.outdated.remove(&account);
        if self.contacts.get(&account).is_some_and(|contact| contact.list_missed)
            && let Some(contact) = self.edit(account)
        {
            contact.list_missed = false;
        }
        self.listed.insert(account, devices);
        self.lists += 1;
    }

    /// The devices of an account, as far as a list of it was seen.
    pub(crate) fn listed(&self, account: AccountId) -> Option<&[DeviceId]> {
        self.listed.get(&account).map(Vec::as_slice)
    }

    /// A list of theirs may have been told while this device was outside: it is looked for, whatever dies meanwhile.
    pub(crate) fn miss_list(&mut self, account: AccountId) {
        self.doubt(account);
        if let Some(contact) = self.edit(account) {
            contact.list_missed = true;
        }
    }

    /// A device in a conversation is not in its account's list: perhaps there is a newer one.
    pub(crate) fn doubt(&mut self, account: AccountId) {
        self.outdated.insert(account);
    }

    fn must_look_up(&self, contact: &ContactRecord) -> bool {
        !contact.former && (contact.name.is_none() || self.outdated.contains(&contact.account))
    }
}

fn devices_of(list: DeviceList) -> Vec<DeviceId> {
    let entries = list.devices.into_inner().into_iter().filter_map(|certificate| certificate.entry().ok());
    entries.map(|entry| entry.device).collect()
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
        if self.is_misnamed(person) {
            self.report_misbehaviour("the directory calls somebody by another name than before");
            return Found::Unusable;
        }
        let pinned = self.people.names.get(&person.name).copied();
        if let Some(pinned) = pinned.filter(|pinned| *pinned != list.account) {
            self.on_key_changed(pinned, list.root_key);
            return Found::Changed(pinned);
        }
        let account = self.people.pin(list.root_key);
        if !self.keep_list(account, &person.devices, &list) {
            return Found::Unusable;
        }
        if self.people.name_of(account) != Some(&person.name) {
            self.people.set_name(account, Some(person.name.clone()));
            self.book_changed();
            self.release_waiting_for_name();
        }
        self.note_presence(account, person.online, person.last_seen);
        Found::Known(account)
    }

    /// Keeps the highest version of a person's devices, and tells of what changed. A lower one than was seen is refused:
    /// whoever shows it hides that a device came or was revoked.
    pub(crate) fn keep_list(
        &mut self,
        account: AccountId,
        signed: &SignedDeviceList,
        list: &VerifiedDeviceList,
    ) -> bool {
        let Some(contact) = self.people.get(account) else { return false };
        let known = contact.devices.as_ref().and_then(|devices| devices.list().ok());
        let version = known.as_ref().map(|known| known.version);
        if version.is_some_and(|version| list.version < version) {
            // Answers may overtake each other: one to what was asked before the newer list came hides nothing.
            let since = self.people.known_since.get(&account);
            if self.link.answering.zip(since.copied()).is_some_and(|(answered, since)| answered <= since) {
                return true;
            }
            self.report_misbehaviour("an older list of somebody's devices was shown than before");
            return false;
        }
        let after: Vec<DeviceId> = list.devices.iter().map(|entry| entry.device).collect();
        if version == Some(list.version) && contact.devices.as_ref() != Some(signed) {
            self.report_misbehaviour("two lists of somebody's devices have one version");
            return false;
        }
        let name = contact.name.clone();
        if version != Some(list.version) {
            self.people.known_since.insert(account, self.link.last_call);
            if let Some(contact) = self.people.edit(account) {
                contact.devices = Some(signed.clone());
            }
            if let Some((known, name)) = known.map(devices_of).zip(name) {
                let nobody = self.own_device().unwrap_or(DeviceId([0; 16]));
                self.tell_devices(&name, &known, &after, nobody);
            }
        }
        self.people.note_devices(account, after);
        true
    }

    /// Keeps which devices one's own account has.
    pub(crate) fn note_own_devices(&mut self) {
        let Some(account) = self.own().map(|own| own.account) else { return };
        let devices = self.listed_own_devices();
        self.people.note_devices(account, devices);
    }

    /// The name of somebody whose key is pinned is said to be another key's.
    pub(crate) fn on_key_changed(&mut self, pinned: AccountId, root_key: PublicKey) {
        let Some(contact) = self.people.contacts.get(&pinned).filter(|c| c.changed_to != Some(root_key)) else {
            return;
        };
        let Some(user) = contact.name.clone() else { return };
        if let Some(contact) = self.people.edit(pinned) {
            contact.changed_to = Some(root_key);
        }
        let fingerprint = membership::fingerprint(&root_key).to_string();
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

    pub(crate) fn write_people(&mut self) {
        for account in std::mem::take(&mut self.people.changed) {
            let record = self.people.contacts.get(&account).map(records::encode);
            if let Some(record) = record {
                self.put_record(Table::Contact, account.0.to_vec(), record);
            }
        }
    }
}
