//! REQUEST GROUP: a sum split over everybody in a group, each share a request of its own.

use mls_rs::CryptoProvider;
use protocol::{AccountId, Name, RequestId, money::Amount, peer::GroupShare, policy::Role};

use super::{
    records::{RequestKey, RequestRecord},
    requests::Asking,
    sentences,
    waiting::MoneyWaiting,
};
use crate::{
    command::{
        Command, CommandResult, CommandToken, Failure, FailureCode, MoneyCommand, MoneyOutcome, Outcome, ShareView,
    },
    core::Core,
    event::{Money, ShortId, Trust},
};

/// Who is asked for how much.
type Share = (Name, AccountId, Amount);

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn request_group(&mut self, token: CommandToken, group: Name, amount: &str, memo: String) {
        let total = match self.parse_amount(amount) {
            Ok(total) => total,
            Err(failure) => return self.done(token, Err(failure)),
        };
        let again = MoneyCommand::RequestGroup { group: group.clone(), amount: amount.to_owned(), memo: memo.clone() };
        let Some(id) = self.group_for(token, &group, Command::Money(again)) else { return };
        let shares = self.sharers(id, &group).and_then(|people| self.split(&group, total, people));
        let asked = shares.and_then(|(shares, count)| self.ask_shares(&group, total, shares, count, memo));
        match asked {
            Ok(whole) => self.wait_money(token, MoneyWaiting::Shares(whole)),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    /// Everybody who has joined a group, by name: the order in which the larger shares go round.
    fn sharers(&self, id: protocol::ConversationId, group: &Name) -> Result<Vec<(Name, AccountId)>, Failure> {
        if !self.is_joined(id) {
            let text = format!("you are not in {group}; JOIN {group} first");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        let Some(state) = self.conversations.get(&id) else { return Err(sentences::no_request()) };
        let joined = |account: AccountId| state.role_of(account).is_some_and(|role| role > Role::Invited);
        let mut accounts: Vec<AccountId> =
            state.members().map(|member| member.account).filter(|account| joined(*account)).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let named = |account: AccountId| {
            let unnamed = || {
                let text = format!("not everybody in {group} is known by name yet; try again in a moment");
                Failure::new(FailureCode::Unreachable, text)
            };
            self.party(account).map(|name| (name, account)).ok_or_else(unnamed)
        };
        let mut people = accounts.into_iter().map(named).collect::<Result<Vec<_>, _>>()?;
        people.sort();
        Ok(people)
    }

    /// The shares of all others; and over how many the sum is split.
    fn split(&self, group: &Name, total: Amount, people: Vec<(Name, AccountId)>) -> Result<(Vec<Share>, u32), Failure> {
        let own = self.own().map(|own| own.account);
        let count = u32::try_from(people.len()).unwrap_or(u32::MAX);
        let shares = people.into_iter().zip(total.split(count)).map(|((name, account), share)| (name, account, share));
        // Nobody is asked for nothing, nobody asks whom they blocked, and the asker's share is not asked for.
        let asked = shares.filter(|(_, account, share)| {
            Some(*account) != own
                && *share > Amount::ZERO
                && !self.has_blocked(*account)
                && self.people.trust(*account) != Trust::Changed
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            let text =
                format!("there is nobody in {group} to ask for a share of so much; MEMBERS {group} shows who is in it");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        Ok((asked, count))
    }

    fn ask_shares(
        &mut self,
        group: &Name,
        total: Amount,
        asked: Vec<Share>,
        shares: u32,
        memo: String,
    ) -> Result<RequestId, Failure> {
        let memo = self.memo(memo)?;
        let whole = RequestId(self.draw());
        let short = self.next_request();
        for (name, payer, amount) in asked {
            let share = GroupShare { whole, group: group.clone(), total, shares };
            self.sign_request(Asking { payer, name, amount, memo: memo.clone(), share: Some((share, short)) })?;
        }
        Ok(whole)
    }

    /// The shares of one whole that were asked for here.
    pub(super) fn shares_of(&self, whole: RequestId) -> Vec<RequestKey> {
        let of = |record: &&RequestRecord| {
            record.is_own() && record.share.as_ref().is_some_and(|share| share.whole == whole)
        };
        self.money.requests.values().filter(of).map(RequestRecord::key).collect()
    }

    pub(super) fn waits_for_shares(&self, whole: RequestId) -> bool {
        !self.money_tokens(|waiting| matches!(waiting, MoneyWaiting::Shares(of) if *of == whole)).is_empty()
    }

    /// Ends the command when each share is with the ledger or refused by it.
    pub(super) fn end_shares(&mut self, whole: RequestId) {
        let shares = self.shares_of(whole);
        let open = |key: &RequestKey| {
            self.money.requests.get(key).is_some_and(|record| !record.registered)
                && !self.money.refused_shares.contains_key(key)
        };
        if shares.iter().any(open) {
            return;
        }
        let result = self.shares_result(whole, &shares);
        for key in shares {
            if self.money.refused_shares.contains_key(&key) {
                self.remove_request(key);
            }
        }
        self.end_waiting(|waiting| matches!(waiting, MoneyWaiting::Shares(of) if *of == whole), &result);
    }

    fn shares_result(&self, whole: RequestId, keys: &[RequestKey]) -> CommandResult {
        let Some(currency) = self.currency() else { return Err(self.unreachable()) };
        let records: Vec<&RequestRecord> = keys.iter().filter_map(|key| self.money.requests.get(key)).collect();
        let view = |record: &&RequestRecord| {
            Some(ShareView {
                id: ShortId::Request(record.short),
                uid: record.id,
                from: record.opening.as_ref()?.payer.clone(),
                amount: Money::new(record.amount, currency),
                refused: self.money.refused_shares.get(&record.key()).cloned(),
            })
        };
        let mut shares: Vec<ShareView> = records.iter().filter_map(view).collect();
        shares.sort_by(|one, other| one.from.cmp(&other.from));
        let first = records.first().and_then(|record| Some((record, record.share.clone()?, record.whole_short?)));
        let Some((record, share, short)) = first else { return Err(sentences::no_request()) };
        if let Some(refused) = shares.first().and_then(|share| share.refused.clone())
            && shares.iter().all(|share| share.refused.is_some())
        {
            return Err(Failure::new(FailureCode::Refused, refused));
        }
        Ok(Outcome::Money(MoneyOutcome::RequestedGroup {
            id: ShortId::Request(short),
            uid: whole,
            group: share.group,
            total: Money::new(share.total, currency),
            shares,
            expires_at: record.not_after,
        }))
    }
}
