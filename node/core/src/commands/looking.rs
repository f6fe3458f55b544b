//! Commands that look: LIST, CONTACTS, HISTORY, STATUS, and what scripts wait for and assert.

use mls_rs::CryptoProvider;
use protocol::{
    Bounded, Name, Timestamp,
    directory::{GroupListing, Person, Reply, Request, Who},
    limits::LIST_MAX,
};

use super::{LISTED_MAX, PRESENCE_POLL_MS, Waiting, misbehaves, unknown_person};
use crate::{
    command::{
        Command, CommandToken, Failure, FailureCode, GroupView, HistoryEntry, ListWhat, Outcome, PersonView, StatusView,
    },
    core::Core,
    event::{DeliveryState, Money, Trust},
    flow::Flow,
    input::{Answer, CallId},
    link::Purpose,
    output::Effect,
    people::Found,
};

/// Messages that SEARCH shows at most: a few screens. Whoever seeks an older one says more of it.
const FOUND_MAX: usize = 100;
/// Words that are looked for at a time at most: each costs a walk through the index.
const SOUGHT_MAX: usize = 32;

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn unread(&mut self, token: CommandToken) {
        let unread = self.conversations.values().filter(|state| state.record.unread > 0);
        let named =
            unread.filter_map(|state| Some((self.people.name_of(state.record.peer()?)?.clone(), state.record.unread)));
        let mut people: Vec<(Name, u32)> = named.collect();
        people.sort();
        self.done(token, Ok(Outcome::Unread { people, groups: self.unread_groups() }));
    }

    pub(super) fn read(&mut self, token: CommandToken, user: &Name) {
        match self.named_conversation(user) {
            Some(id) => {
                if let Some(id) = id {
                    self.mark_conversation_read(id);
                }
                self.done(token, Ok(Outcome::Done));
            }
            None => self.done(token, Err(unknown_person(user))),
        }
    }

    pub(super) fn history(&mut self, token: CommandToken, with: Option<Name>, count: usize) {
        if let Some(name) = &with {
            let Some(id) = self.named_conversation(name) else {
                return self.done(token, Err(unknown_person(name)));
            };
            // Whoever looks at a conversation reads it.
            if let Some(id) = id {
                self.mark_conversation_read(id);
            }
        }
        self.wait(token, Waiting::History);
        self.batch.effect(Effect::ReadHistory { token, with, count });
    }

    pub(crate) fn on_history_read(&mut self, token: CommandToken, entries: Result<Vec<HistoryEntry>, String>) {
        let Some(waiting) = self.waiters.take(token) else { return };
        let entries = entries.map(|mut entries| {
            self.bring_up_to_date(&mut entries);
            entries
        });
        let result = entries.map(|mut messages| match waiting {
            Waiting::Search => {
                let older = messages.len().saturating_sub(FOUND_MAX);
                messages.drain(..older);
                Outcome::Found { messages, more: older > 0 }
            }
            _ => Outcome::History { messages },
        });
        self.done(token, result.map_err(|error| Failure::new(FailureCode::Other, error)));
    }

    /// Looks for words in what was said. It marks nothing read: what is found is a line here and there.
    pub(super) fn search(&mut self, token: CommandToken, text: &str, with: Option<Name>, since: Option<Timestamp>) {
        if let Some(name) = with.as_ref().filter(|name| self.named_conversation(name).is_none()) {
            return self.done(token, Err(nowhere(name)));
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.len() > SOUGHT_MAX {
            let text = format!("a search has at most {SOUGHT_MAX} words, this one has {}; leave some out", words.len());
            return self.done(token, Err(Failure::new(FailureCode::Usage, text)));
        }
        self.wait(token, Waiting::Search);
        // One more than is shown tells that there are more.
        self.batch.effect(Effect::Search { token, words, with, since, count: FOUND_MAX + 1 });
    }

    pub(super) fn list(&mut self, token: CommandToken, what: ListWhat) {
        if !self.is_online() {
            return self.show_list(token, what, Vec::new(), &[]);
        }
        if matches!(what, ListWhat::Groups | ListWhat::Mine) {
            return self.list_groups(token, what, Vec::new());
        }
        self.wait(token, Waiting::List { what, people: Vec::new() });
        self.ask(Purpose::Waiter { token }, Request::ListOnline { after: None });
    }

    fn list_groups(&mut self, token: CommandToken, what: ListWhat, people: Vec<Person>) {
        if what == ListWhat::Users {
            return self.show_list(token, what, people, &[]);
        }
        self.wait(token, Waiting::ListGroups { what, people, groups: Vec::new() });
        self.ask_for_groups(token, None);
    }

    pub(crate) fn show_list(
        &mut self,
        token: CommandToken,
        what: ListWhat,
        people: Vec<Person>,
        groups: &[GroupListing],
    ) {
        let with_people = matches!(what, ListWhat::All | ListWhat::Users);
        let groups = self.group_views(groups, what);
        let balance = self.money.balance().filter(|_| what == ListWhat::All);
        self.show_people(token, people, groups, balance, |_| with_people);
    }

    pub(super) fn show_people(
        &mut self,
        token: CommandToken,
        online: Vec<Person>,
        groups: Vec<GroupView>,
        balance: Option<Money>,
        keep: impl Fn(&PersonView) -> bool,
    ) {
        let own = self.own().map(|own| own.account);
        for person in online.iter().filter(|person| Some(person.account) != own) {
            // Who is known by name or key may have other devices than before, or another key.
            if self.is_known(person) {
                self.take_person(person);
            }
        }
        let strangers = online.into_iter().filter(|person| Some(person.account) != own && !self.is_known(person));
        let strangers = strangers.filter_map(|person| {
            let list = membership::certificate::verify_device_list(&person.devices).ok()?;
            (list.account == person.account).then(|| PersonView {
                name: person.name,
                online: person.online,
                last_seen: person.last_seen,
                contact: false,
                trust: Trust::Stranger,
                fingerprint: membership::fingerprint(&list.root_key).to_string(),
            })
        });
        let mates = self.group_mates();
        let known = self.people.all().filter_map(|contact| {
            Some(PersonView {
                name: contact.name.clone()?,
                online: self.people.is_online(contact.account),
                last_seen: contact.last_seen,
                contact: contact.accepted || mates.contains(&contact.account),
                trust: match mates.contains(&contact.account) {
                    true => self.trust_in_group(contact.account),
                    false => self.people.trust(contact.account),
                },
                fingerprint: membership::fingerprint(&contact.root_key).to_string(),
            })
        });
        let mut people: Vec<PersonView> = known.chain(strangers).filter(|view| keep(view)).collect();
        people.sort_by(|one, other| one.name.cmp(&other.name));
        self.done(token, Ok(Outcome::People { people, groups, balance }));
    }

    fn is_known(&self, person: &Person) -> bool {
        self.people.get(person.account).is_some() || self.people.by_name(&person.name).is_some()
    }

    pub(super) fn status(&mut self, token: CommandToken) {
        let peers = self.peers.accounts().filter_map(|account| self.people.name_of(account).cloned());
        let mut peers: Vec<Name> = peers.collect();
        peers.sort();
        let view = StatusView {
            name: self.account_name().cloned(),
            online: self.is_online() && self.link.is_announced(),
            addresses: self.link.all_addresses().iter().map(ToString::to_string).collect(),
            peers,
            unknown: self.money.unknown(),
            queued: self.outbox.count(DeliveryState::Queued),
            sent: self.outbox.count(DeliveryState::Sent),
            files: self.files.under_way(),
            conversations: self.conversations.len(),
        };
        self.done(token, Ok(Outcome::Status(view)));
    }

    pub(super) fn ask_online(&mut self, token: CommandToken, user: Name) {
        if !self.is_online() {
            return self.wait_for_directory(token, Command::AskOnline { user });
        }
        let who = Bounded::new(vec![Who::Name(user.clone())]).unwrap_or_default();
        self.wait(token, Waiting::AskOnline { user });
        self.ask(Purpose::Waiter { token }, Request::LookUp { who });
    }

    /// An answer to a command's own request.
    pub(crate) fn on_waiter_answer(&mut self, token: CommandToken, call: CallId, answer: Answer) {
        let Some(waiting) = self.waiters.take(token) else { return };
        let of_groups = |waiting: &Waiting| {
            matches!(waiting, Waiting::FindGroup { .. } | Waiting::CountMembers { .. } | Waiting::ListGroups { .. })
        };
        if of_groups(&waiting) {
            return self.on_groups_told(token, waiting, answer);
        }
        if answer == Answer::Lost
            && matches!(waiting, Waiting::Person { .. } | Waiting::AskOnline { .. } | Waiting::List { .. })
        {
            return self.wait_again(token, waiting);
        }
        let people = match answer {
            Answer::Reply(reply) => match *reply {
                Reply::People(people) => Ok(people.into_inner()),
                _ => Err(misbehaves()),
            },
            Answer::Refusal(refusal) => Err(Failure::new(FailureCode::Refused, refusal.to_string())),
            Answer::Lost => Err(self.unreachable()),
        };
        match (waiting, people) {
            (Waiting::Online { user, online, flow }, people) if flow.is(call) => {
                self.on_presence_answer(token, user, online, people.ok());
            }
            (Waiting::AskOnline { user }, Ok(people)) => {
                let found = people.iter().find(|person| person.name == user);
                let result = found.map(|person| Outcome::Online(person.online)).ok_or_else(|| unknown_person(&user));
                self.done(token, result);
            }
            (Waiting::List { what, people: mut all }, Ok(people)) => {
                let more = people.len() == LIST_MAX && all.len() < LISTED_MAX;
                let after = people.last().map(|person| person.name.clone());
                all.extend(people);
                if more {
                    self.wait(token, Waiting::List { what, people: all });
                    self.ask(Purpose::Waiter { token }, Request::ListOnline { after });
                } else {
                    self.list_groups(token, what, all);
                }
            }
            (Waiting::Members { group, rest }, people) => self.on_members_seen(token, group, rest, people.ok()),
            (Waiting::Person { user, command }, Ok(people)) => {
                match people.iter().find(|person| person.name == user).map(|person| self.take_person(person)) {
                    Some(Found::Known(_) | Found::Changed(_)) => self.on_command(token, command),
                    Some(Found::Unusable) => self.done(token, Err(misbehaves())),
                    None if matches!(command, Command::SendGroup { .. }) => {
                        self.done(token, Err(crate::group::refusals::unknown(&user)));
                    }
                    None => self.done(token, Err(unknown_person(&user))),
                }
            }
            (Waiting::Online { .. }, _) => {}
            (_, Err(failure)) => self.done(token, Err(failure)),
            (waiting, Ok(_)) => self.wait(token, waiting),
        }
    }

    pub(super) fn on_presence_answer(
        &mut self,
        token: CommandToken,
        user: Name,
        online: bool,
        people: Option<Vec<Person>>,
    ) {
        let found = people.as_ref().map(|people| people.iter().find(|person| person.name == user));
        match found {
            Some(Some(person)) if person.online == online => self.done(token, Ok(Outcome::Online(online))),
            Some(None) => self.done(token, Err(unknown_person(&user))),
            _ => {
                let mut flow = Flow::default();
                flow.wait_until(self.now.plus_ms(PRESENCE_POLL_MS));
                self.wait(token, Waiting::Online { user, online, flow });
            }
        }
    }

    /// Somebody came or went: whoever waits for it asks at once.
    pub(crate) fn presence_hint(&mut self, name: &Name) {
        for (_, waiting) in &mut self.waiters.waiting {
            if let Waiting::Online { user, flow, .. } = waiting
                && user == name
            {
                flow.retry_now();
            }
        }
    }
}

/// Nothing was ever said with or in what has this name.
fn nowhere(name: &Name) -> Failure {
    let text = format!(
        "nobody and no group here is called {name}; LIST shows who is, and SEARCH -- TEXT looks for IN and SINCE as words"
    );
    Failure::new(FailureCode::Conflict, text)
}
