//! What is asked of the directory about people, and what it is told of them.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, Timestamp,
    directory::{Reply, Request, Who},
    limits::LOOK_UP_MAX,
};

use super::LOOK_UP_PAUSE_MS;
use crate::{core::Core, input::Answer, link::Purpose, records::ContactRecord};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn reconcile_people(&mut self) {
        if !self.is_online() {
            return;
        }
        if self.people.look_up.is_ready(self.now) {
            let nameless = self.people.contacts.values().filter(|contact| self.people.must_look_up(contact));
            // By name where there is one: if it is another key's by now, the account is not found any more.
            let by_account = |contact: &ContactRecord| Who::Account(contact.account);
            let who = |contact: &ContactRecord| contact.name.clone().map_or_else(|| by_account(contact), Who::Name);
            let (last, first): (Vec<&ContactRecord>, Vec<&ContactRecord>) =
                nameless.partition(|contact| self.people.nameless.contains(&contact.account));
            let asked: Vec<&ContactRecord> = first.into_iter().chain(last).take(LOOK_UP_MAX).collect();
            let accounts: Vec<AccountId> = asked.iter().map(|contact| contact.account).collect();
            let who: Vec<Who> = asked.into_iter().map(who).collect();
            if !who.is_empty() {
                let who = Bounded::new(who).unwrap_or_default();
                let call = self.ask(Purpose::LookUpAccounts { accounts }, Request::LookUp { who });
                self.people.look_up.start(call);
            }
        }
        if self.people.block.is_ready(self.now) {
            self.tell_block();
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

    /// Whether people are being learnt of page by page, as when a large group was joined: what is told of all of them waits
    /// for the last page. A page that fails ends it.
    pub(crate) fn is_learning_people(&self) -> bool {
        let people = &self.people;
        let asks = people.look_up.is_busy() || people.look_up.is_ready(self.now);
        let unasked = |contact: &ContactRecord| {
            contact.name.is_none() && people.must_look_up(contact) && !people.nameless.contains(&contact.account)
        };
        asks && people.contacts.values().any(unasked)
    }

    pub(crate) fn people_timer(&self) -> Option<Timestamp> {
        if !self.is_online() {
            return None;
        }
        let mut contacts = self.people.contacts.values();
        let look_up = self.people.look_up.due().filter(|_| contacts.clone().any(|c| self.people.must_look_up(c)));
        let untold = contacts.any(|contact| contact.accepted && !contact.accept_told);
        let accept = self.people.accept.due().filter(|_| untold);
        let unblocked = self.people.contacts.values().any(|contact| !contact.block_told);
        let block = self.people.block.due().filter(|_| unblocked);
        look_up.into_iter().chain(accept).chain(block).min()
    }

    pub(crate) fn on_accounts_found(&mut self, asked: &[AccountId], answer: Answer) {
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
        for account in asked {
            if people.iter().any(|person| person.account == *account) {
                self.people.nameless.remove(account);
            } else {
                self.people.nameless.insert(*account);
            }
        }
        self.tell_all_changes();
        let mut rest = self.people.contacts.values().filter(|contact| self.people.must_look_up(contact));
        if rest.any(|contact| !asked.contains(&contact.account)) {
            // A group's people come in many pages.
            return self.people.look_up.succeed();
        }
        // Whoever the directory does not name, or whose list is still the old one, is asked for again, but ever more seldom.
        let open = self.people.contacts.values().any(|contact| self.people.must_look_up(contact));
        if people.is_empty() || open {
            self.people.look_up.fail(self.now, jitter);
        } else {
            // The answer may leave the doubt where it was, as long as a revoked device is still in a conversation.
            self.people.look_up.wait_until(self.now.plus_ms(LOOK_UP_PAUSE_MS));
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
}
