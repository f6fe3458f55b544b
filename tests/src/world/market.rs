//! Money: people pay each other, ask for money, answer, and give back, in the same world and in every weather.
//!
//! What happened is taken from the ledger's store when it becomes durable there; so what each person was promised, and what
//! each of their devices tells, can be compared with it.

mod acting;
mod books;
mod ending;
mod errands;
mod healing;
mod lists;
pub mod run;
mod shares;
pub mod sweep;
mod timelines;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use protocol::{AccountId, Name, OrderId, RequestId, directory::RequestState, money::Amount};

pub use self::errands::Errand;
pub(super) use self::watch::Asking;
use self::{
    books::Deal,
    ending::Told,
    errands::{Promise, Wish},
    shares::Shares,
};
use super::{Happening, World, clock::Span, node::Node, witness::NodeIndex};
use crate::{entropy::SeededEntropy, provider::SeededProvider};

/// A person, by their place in the world.
type PersonIndex = usize;
/// A request, by who asks and the id that they drew.
type RequestKey = (AccountId, RequestId);

/// What every new account has, in minor units.
const OPENING: u64 = 10_000;
/// Sets further devices' generators apart from those of the world's first nodes.
const FIRST_PARTICIPANT: u64 = 3_000;

/// How a request stands at the ledger.
#[derive(Debug, Clone, Copy)]
struct Standing {
    payer: AccountId,
    state: RequestState,
}

/// Everything that is about money.
#[derive(Debug, Default)]
pub struct Market {
    names: Vec<Name>,
    owners: Vec<PersonIndex>,
    accounts: BTreeMap<AccountId, PersonIndex>,
    /// What people wanted, by the memo, which no two have in common.
    wishes: BTreeMap<String, Wish>,
    /// What people were told that the ledger has.
    promises: Vec<Promise>,
    /// Why people wanted a request to be over.
    reasons: BTreeMap<RequestId, BTreeSet<String>>,
    /// Requests that somebody was told to have ended.
    ended: BTreeSet<RequestKey>,
    /// What became durable at the ledger.
    posted: Vec<Deal>,
    settled: BTreeSet<(AccountId, OrderId)>,
    requests: BTreeMap<RequestKey, Standing>,
    /// What each device lists after healing.
    told: BTreeMap<NodeIndex, Told>,
    issues: u64,
    /// The group whose members split sums, in some worlds.
    shares: Option<Shares>,
    /// What everybody was there for: entries from this place on, and requests that were not yet there.
    all_there: Option<(u64, BTreeSet<RequestKey>)>,
    /// Whether words may have expired in the mailbox.
    was_long: bool,
}

impl Market {
    fn person_of(&self, account: AccountId) -> Option<PersonIndex> {
        self.accounts.get(&account).copied()
    }

    fn account_of(&self, person: PersonIndex) -> Option<AccountId> {
        self.accounts.iter().find(|(_, of)| **of == person).map(|(account, _)| *account)
    }

    fn account_at(&self, index: NodeIndex) -> Option<AccountId> {
        self.account_of(self.owners[index])
    }

    fn name_of(&self, account: AccountId) -> Option<&Name> {
        self.names.get(self.person_of(account)?)
    }

    /// The nodes of one person.
    fn nodes_of(&self, person: PersonIndex) -> impl Iterator<Item = NodeIndex> {
        self.owners.iter().enumerate().filter(move |(_, owner)| **owner == person).map(|(index, _)| index)
    }

    /// Whether every device was in every conversation when an entry was made.
    fn all_were_there(&self, place: u64) -> bool {
        self.all_there.as_ref().is_some_and(|(from, _)| place >= *from)
    }

    /// The same for a request.
    fn all_were_asked(&self, key: RequestKey) -> bool {
        self.all_there.as_ref().is_some_and(|(_, before)| !before.contains(&key))
    }

    fn is_first(&self, index: NodeIndex) -> bool {
        self.nodes_of(self.owners[index]).next() == Some(index)
    }
}

impl World {
    /// Gives the people of this world money, and some of them a second device.
    fn with_market(&mut self, second_devices: usize, splits: bool) {
        let names: Vec<Name> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut owners: Vec<PersonIndex> = (0..names.len()).collect();
        for (owner, name) in names.iter().enumerate().take(second_devices) {
            let index = self.nodes.len();
            let participant = FIRST_PARTICIPANT + 2 * index as u64;
            let entropy = SeededEntropy::new(self.seed, participant);
            let own = SeededEntropy::new(self.seed, participant + 1);
            let provider = SeededProvider::new(own, self.witness.keys.clone());
            self.nodes.push(Node::new(name.clone(), entropy, provider));
            owners.push(owner);
            let at = self.now + Span::ms(self.chance.between(2_000, 30_000));
            self.queue.push(&mut self.chance, at, Happening::StartNode(index));
        }
        self.directory.opening = Amount::new(OPENING).unwrap_or_default();
        self.market =
            Some(Box::new(Market { names, owners, shares: splits.then(Shares::default), ..Market::default() }));
    }

    fn of_market(&self, index: NodeIndex) -> String {
        format!("{} ({index})", self.nodes[index].name)
    }
}

/// Minor units as people write them.
fn shown(units: u64) -> String {
    format!("{}.{:02}", units / 100, units % 100)
}
