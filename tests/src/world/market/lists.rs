//! Requests, on both sides: each device lists what the ledger has, with its words, and was told of it once.

use std::collections::BTreeMap;

use directory::store::ledger::LedgerStore as _;
use node_core::{command::RequestView, event::EventKind};
use protocol::{RequestId, directory::RequestState};

use super::{RequestKey, shown};
use crate::world::{
    World,
    witness::{NodeIndex, Violation},
};

/// Requests that are over and that a device lists.
const ENDED_SHOWN: usize = 20;

impl World {
    /// What a device lists and has told of requests is what the ledger has of its account.
    pub(super) fn check_requests(&self, index: NodeIndex) -> Result<(), Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let broken = |what: String| Violation::RequestTold { node: self.of_market(index), what };
        let (Some(own), Some(told)) = (market.account_at(index), market.told.get(&index)) else {
            return Err(broken("there is no account".to_owned()));
        };
        let views = told.requests.as_deref().unwrap_or_default();
        let mut listed: BTreeMap<RequestId, &RequestView> = views.iter().map(|view| (view.uid, view)).collect();
        let known = market.requests.iter().filter(|((payee, _), found)| *payee == own || found.payer == own);
        for (key, found) in known {
            let Some(view) = listed.remove(&key.1) else {
                if self.may_be_unlisted(index, *key, found.state, views) {
                    continue;
                }
                return Err(broken(format!("it does not list {key:?}: {found:?}")));
            };
            self.check_request(index, *key, view).map_err(broken)?;
            let incoming = key.0 != own;
            self.check_told_of(index, *key, view, incoming).map_err(broken)?;
        }
        match listed.into_iter().next() {
            Some((_, view)) => Err(broken(format!("the ledger has nothing of {view:?}"))),
            None => Ok(()),
        }
    }

    /// Of what is over only the latest are listed, and nothing that a device was never told the words of, if another one
    /// was.
    fn may_be_unlisted(&self, index: NodeIndex, key: RequestKey, state: RequestState, views: &[RequestView]) -> bool {
        let Some(market) = self.market.as_ref() else { return true };
        let over = views.iter().filter(|view| view.state != RequestState::Open).count();
        let old = state != RequestState::Open && over >= ENDED_SHOWN;
        let elsewhere = market.nodes_of(market.owners[index]).any(|node| self.has_words_of(node, key.1));
        old || market.was_long || elsewhere && !market.all_were_asked(key)
    }

    fn check_request(&self, index: NodeIndex, key: RequestKey, view: &RequestView) -> Result<(), String> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let found = self.directory.ledger.requests(&[key]).ok().and_then(|mut found| found.pop()?);
        let record = found.ok_or_else(|| format!("the store has lost {key:?}"))?;
        let request = record.request.request().map_err(|error| error.to_string())?;
        let name = |account| market.name_of(account);
        let same = view.state == record.state
            && view.amount.to_string() == shown(request.amount.units())
            && view.from.as_ref() == name(record.payee)
            && view.to.as_ref() == name(record.payer)
            && view.expires_at == record.not_after;
        if !same {
            return Err(format!("it lists {view:?} for {record:?}"));
        }
        let Some(memo) = &view.memo else {
            let told = market.nodes_of(market.owners[index]).any(|node| self.has_words_of(node, key.1));
            let must = !market.was_long && (!told || market.all_were_asked(key));
            return if must { Err(format!("it was never told what {view:?} is for")) } else { Ok(()) };
        };
        let people = (market.person_of(key.0), market.person_of(record.payer));
        let wish = market.wishes.get(memo);
        let meant = wish.is_some_and(|wish| wish.is_request(people.0, people.1, request.amount.units()));
        if !meant {
            return Err(format!("nobody asked for {view:?}"));
        }
        let meant = |reason: &String| market.reasons.get(&key.1).is_some_and(|reasons| reasons.contains(reason));
        if view.reason.as_ref().is_some_and(|reason| !meant(reason)) {
            return Err(format!("nobody gave that reason: {view:?}"));
        }
        let told = market.nodes_of(market.owners[index]).any(|node| self.has_reason(node, key.1));
        if market.ended.contains(&key) && !told && !market.was_long {
            return Err(format!("nobody was told why it was ended: {view:?}"));
        }
        Ok(())
    }

    /// Whoever was asked was told once, while it was open; and of the end, each of its states once, the last one last.
    fn check_told_of(
        &self,
        index: NodeIndex,
        key: RequestKey,
        view: &RequestView,
        incoming: bool,
    ) -> Result<(), String> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let events = self.nodes[index].disk.events();
        let asked =
            events.iter().filter(|e| matches!(&e.kind, EventKind::Request { uid, .. } if *uid == key.1)).count();
        let ends = events.iter().filter_map(|event| match &event.kind {
            EventKind::Closed { uid, state, .. } if *uid == key.1 => Some(*state),
            _ => None,
        });
        let ends: Vec<RequestState> = ends.collect();
        let first = view.memo.is_some() && market.nodes_of(market.owners[index]).count() == 1 && !market.was_long;
        let told = match (incoming, view.state) {
            (false, _) => asked == 0,
            (true, RequestState::Open) if first => asked == 1,
            // It may have been over before it could be shown.
            (true, _) => asked <= 1,
        };
        if !told {
            return Err(format!("it has told {asked} times of {view:?}"));
        }
        let twice = ends.iter().enumerate().any(|(at, state)| ends[..at].contains(state));
        let must = first && view.state != RequestState::Open && (!incoming || asked == 1);
        let last = ends.last().map_or(!must, |last| *last == view.state);
        if twice || !last {
            return Err(format!("it has told the ends {ends:?} of {view:?}"));
        }
        Ok(())
    }

    fn view_at(&self, index: NodeIndex, id: RequestId) -> Option<&RequestView> {
        let told = self.market.as_ref()?.told.get(&index)?.requests.as_ref()?;
        told.iter().find(|view| view.uid == id)
    }

    fn has_words_of(&self, index: NodeIndex, id: RequestId) -> bool {
        self.view_at(index, id).is_some_and(|view| view.memo.is_some())
    }

    fn has_reason(&self, index: NodeIndex, id: RequestId) -> bool {
        self.view_at(index, id).is_some_and(|view| view.reason.is_some())
    }

    /// Requests that have these words, on whichever device.
    pub(super) fn requests_with(&self, memo: &str) -> Vec<RequestId> {
        let told = self.market.iter().flat_map(|market| market.told.values());
        let views = told.flat_map(|told| told.requests.iter().flatten());
        let mut found: Vec<RequestId> =
            views.filter(|view| view.memo.as_deref() == Some(memo)).map(|view| view.uid).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}
