//! Groups beyond their commits: who is told of them, how one comes in, and how one leaves.

use std::collections::BTreeSet;

use membership::signing;
use protocol::{
    AccountId, Bounded, ConversationId, DeviceId, Name, Timestamp,
    directory::{HandshakeBytes, MailItem, Refusal, Reply, TreeBytes},
    limits::LIST_MAX,
    policy::{GroupPolicy, LEAVE_LABEL, Leave, PolicyRefusal, Role, SignedLeave},
};

use crate::store::{Audience, Roster, Standing, Store, StoreError};

use super::{
    Answer, Service, ServiceEffect, Stop,
    commits::admit,
    handouts::{LEAVES, Owed},
    malformed,
    observer::damaged,
};

/// How often a request to leave is looked at again because the group changed meanwhile.
const LOOKS_MAX: usize = 8;

impl<S: Store> Service<S> {
    /// What a device needs to come in by external commit.
    pub(super) fn group(&self, asker: AccountId, conversation: ConversationId) -> Answer {
        let roster = self.store.roster(conversation)?.ok_or(Refusal::Unknown)?;
        match &roster.audience {
            Audience::People(people) if !people.contains(&asker) => return Err(Refusal::Unknown.into()),
            Audience::People(_) => {}
            Audience::Group(_) => admit(&roster, asker)?,
        }
        let record = self.store.conversation(conversation)?.ok_or(Refusal::Unknown)?;
        let tree = self.observer.load(&record.snapshot)?.export_tree().map_err(|error| damaged(&error))?;
        let too_long = |_| Stop::Store(StoreError::Damaged("a conversation beyond its limits".to_owned()));
        Ok(Reply::Group {
            epoch: record.roster.epoch,
            group_info: HandshakeBytes::new(record.group_info).map_err(too_long)?,
            tree: TreeBytes::new(tree).map_err(too_long)?,
        })
    }

    pub(super) fn list_groups(&self, asker: AccountId, after: Option<&Name>) -> Answer {
        Ok(Reply::Groups(Bounded::new(self.store.groups(asker, after, LIST_MAX)?).unwrap_or_default()))
    }

    pub(super) fn find_group(&self, asker: AccountId, name: &Name) -> Answer {
        let found = match self.store.name_of_group(name)? {
            Some(id) => self.store.group(asker, id)?,
            None => None,
        };
        Ok(Reply::Groups(Bounded::new(found.into_iter().collect()).unwrap_or_default()))
    }

    /// In which epochs groups are that a device takes itself to be in.
    pub(super) fn epochs(
        &self,
        (account, device): (AccountId, DeviceId),
        groups: &[(ConversationId, u64)],
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let mut epochs = Vec::with_capacity(groups.len());
        for (id, believed) in groups {
            let standing = self.store.standing(*id, &[device])?;
            let inside =
                |standing: &Standing| standing.whose == [Some(account)] && !standing.leaving.contains(&account);
            let epoch = standing.filter(inside).map(|standing| standing.epoch);
            if epoch != Some(*believed) {
                self.hand_out_of(*id, effects)?;
            }
            epochs.push(epoch);
        }
        Ok(Reply::Epochs(Bounded::new(epochs).unwrap_or_default()))
    }

    /// Takes a request to leave.
    pub(super) fn leave_group(
        &self,
        now: Timestamp,
        (account, author): (AccountId, DeviceId),
        signed: &SignedLeave,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let leave = signed.leave().map_err(|error| malformed(&error.to_string()))?;
        if leave.account != account {
            return Err(malformed("another account's request to leave"));
        }
        self.limits.commit(now, account)?;
        for _ in 0..LOOKS_MAX {
            let Some(roster) = self.store.roster(leave.conversation)? else {
                // Whoever closed the group and missed the answer asks again.
                let same = self.store.closed_by(leave.conversation)?.is_some_and(|closed_by| closed_by == *signed);
                return if same { Ok(Reply::Done) } else { Err(Refusal::Unknown.into()) };
            };
            if let Some(reply) = self.let_go(now, author, &roster, (&leave, signed), effects)? {
                return Ok(reply);
            }
        }
        Err(Refusal::Unavailable.into())
    }

    /// Lets an account go from a group as it is now. `None` if it has changed meanwhile.
    fn let_go(
        &self,
        now: Timestamp,
        author: DeviceId,
        roster: &Roster,
        (leave, signed): (&Leave, &SignedLeave),
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<Option<Reply>, Stop> {
        let policy = roster.audience.group().ok_or(Refusal::Unknown)?;
        if roster.leaving.get(&leave.account).and_then(Option::as_ref) == Some(signed)
            || has_left(roster, policy, leave)
        {
            self.hand_out_of(roster.id, effects)?;
            return Ok(Some(Reply::Done));
        }
        self.check_leave(roster, policy, leave, signed)?;
        let remaining = self.remaining(roster, leave.account)?;
        if remaining.is_empty() {
            return Ok(self.store.close_conversation(roster, Some(signed))?.then_some(Reply::Done));
        }
        if is_last_owner(policy, leave.account, &remaining) {
            return Err(Refusal::Policy(PolicyRefusal::LastOwner).into());
        }
        let next = without(roster, leave.account, Some(signed.clone()));
        let told = next.members.iter().filter(|(_, account)| !next.leaving.contains_key(account));
        let owed = Owed {
            conversation: roster.id,
            epoch: roster.epoch,
            number: LEAVES + next.leaves,
            author,
            devices: told.map(|(device, _)| *device).collect(),
            item: &MailItem::Leave { conversation: roster.id, leave: signed.clone() },
        };
        if !self.store.ask_to_leave(&next, &[owed.handout(now)?])? {
            return Ok(None);
        }
        self.hand_out_of(roster.id, effects)?;
        Ok(Some(Reply::Done))
    }

    /// Checks a request to leave as members will.
    fn check_leave(
        &self,
        roster: &Roster,
        policy: &GroupPolicy,
        leave: &Leave,
        signed: &SignedLeave,
    ) -> Result<(), Stop> {
        if !roster.members.values().any(|account| *account == leave.account) {
            return Err(Refusal::NotMember.into());
        }
        let own = roster.members.get(&leave.device) == Some(&leave.account);
        let device = self.store.devices_by_id(&[leave.device])?.into_iter().flatten().next().filter(|_| own);
        let signed = device.is_some_and(|known| {
            signing::verify(&known.mls_key, LEAVE_LABEL, &signed.leave, &signed.signature).is_ok()
        });
        if !signed {
            return Err(malformed("no device of the account in this group signed the request to leave"));
        }
        match policy.with_left(leave, roster.epoch) {
            // Whether somebody else owns the group is asked of those who stay.
            Ok(_) | Err(PolicyRefusal::LastOwner) => Ok(()),
            Err(which) => Err(Refusal::Policy(which).into()),
        }
    }

    /// Refuses to let an account be closed that somebody else needs as the owner of a group.
    pub(super) fn check_not_needed(&self, account: AccountId) -> Result<(), Stop> {
        self.each_group_of(account, |roster| {
            let remaining = self.remaining(roster, account)?;
            let needed = |policy| !remaining.is_empty() && is_last_owner(policy, account, &remaining);
            match roster.audience.group().is_some_and(needed) {
                true => Err(Refusal::Policy(PolicyRefusal::LastOwner).into()),
                false => Ok(()),
            }
        })
    }

    /// An account ends, which is as good as leaving every group: a group that nobody else has joined is closed. Its devices
    /// stay in the others' trees until somebody removes them, and get nothing more.
    pub(super) fn leave_every_group(&self, account: AccountId) -> Result<(), Stop> {
        self.each_group_of(account, |roster| {
            let mut roster = roster.clone();
            for _ in 0..LOOKS_MAX {
                let gone = match self.remaining(&roster, account)?.is_empty() {
                    true => self.store.close_conversation(&roster, None)?,
                    false => self.store.ask_to_leave(&without(&roster, account, None), &[])?,
                };
                let now = self.store.roster(roster.id)?.filter(|now| !gone && now.role(account).is_some());
                let Some(now) = now else { return Ok(()) };
                roster = now;
            }
            Err(Refusal::Unavailable.into())
        })
    }

    fn each_group_of(&self, account: AccountId, each: impl Fn(&Roster) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut after = None;
        loop {
            let page = self.store.groups_of(account, after, LIST_MAX)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for id in page {
                if let Some(roster) = self.store.roster(id)?.filter(|roster| roster.role(account).is_some()) {
                    each(&roster)?;
                }
            }
        }
    }

    /// Who has joined and stays when an account leaves. Nobody stays whose account is closed.
    fn remaining(&self, roster: &Roster, without: AccountId) -> Result<BTreeSet<AccountId>, Stop> {
        let joined =
            roster.accounts().into_iter().filter(|(account, role)| *role > Role::Invited && *account != without);
        let joined: Vec<AccountId> = joined.map(|(account, _)| account).collect();
        let known = self.store.accounts_by_id(&joined)?;
        Ok(joined.into_iter().zip(known).filter_map(|(account, known)| known.map(|_| account)).collect())
    }
}

/// Whether a request to leave has had its effect, and its account has not come back since.
fn has_left(roster: &Roster, policy: &GroupPolicy, leave: &Leave) -> bool {
    let gone = !roster.members.values().any(|account| *account == leave.account);
    gone && policy.left.contains(&(leave.account, leave.epoch))
}

/// Whether a group would have no owner without this account.
fn is_last_owner(policy: &GroupPolicy, account: AccountId, remaining: &BTreeSet<AccountId>) -> bool {
    let owns = |account: &AccountId| policy.role(*account) == Role::Owner;
    owns(&account) && !remaining.iter().any(owns)
}

/// A roster after an account has left, by this request or by none.
fn without(roster: &Roster, account: AccountId, request: Option<SignedLeave>) -> Roster {
    let mut next = roster.clone();
    next.leaving.insert(account, request);
    next.leaves += 1;
    next
}
