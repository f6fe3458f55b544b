//! Making conversations: direct ones by either of their two people, groups by their founder.

use std::collections::BTreeMap;

use membership::{account_id, conversation_id, direct_conversation_id, group_context, policy_of};
use mls_rs::MlsMessage;
use protocol::{
    AccountId, DeviceId, PublicKey, Timestamp,
    certificate::DeviceEntry,
    directory::{MailItem, NewConversation, Refusal, Reply},
    policy::{GroupPolicy, Policy},
};

use crate::store::{Audience, ConversationMade, ConversationRecord, NameClaimed, Roster, Store};

use super::{
    Answer, Service, ServiceEffect, Stop,
    accounts::looks_like,
    handouts::{Owed, WELCOME, hash},
    malformed,
    observer::{Group, check_first_welcome, leaves, message, read_tree, read_welcome, snapshot},
};

/// The epoch after the first commit: whoever makes a group may make one so that its tree has fresh keys, and no more.
const FIRST_EPOCH_MAX: u64 = 1;

type Leaves = BTreeMap<DeviceId, (AccountId, DeviceEntry)>;

/// A conversation that somebody wants to make, read and verified.
struct Made<'a> {
    group: &'a Group,
    leaves: &'a Leaves,
    welcome: Option<&'a MlsMessage>,
}

impl<S: Store> Service<S> {
    pub(super) fn create_conversation(
        &self,
        now: Timestamp,
        (account, creator): (AccountId, DeviceId),
        new: &NewConversation,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let made_by = hash(&[&new.group_info, &new.tree, &new.welcome]);
        let info = message(&new.group_info)?;
        let welcome = if new.welcome.is_empty() { None } else { Some(read_welcome(&new.welcome)?) };
        let tree = read_tree(&new.tree)?;
        self.limits.creation(now, account)?;
        let group = self.observer.observe(now, info, tree)?;
        let policy = policy_of(&group.group_context().extensions).map_err(|error| malformed(&error.to_string()))?;
        let right_id = conversation_id(&policy) == new.conversation;
        if !right_id || group.group_context().group_id != new.conversation.0 {
            return Err(malformed("the conversation's id does not follow from its policy"));
        }
        let leaves = leaves(&group)?;
        check_current(now, leaves.values())?;
        let made = Made { group: &group, leaves: &leaves, welcome: welcome.as_ref() };
        // Before anything is looked up: whoever is not one of its people must not learn whether it exists.
        let audience = match policy {
            Policy::Direct { roots, generation } => self.check_direct(account, &made, &roots, generation)?,
            Policy::Group(policy) => self.check_founded(account, &made, policy)?,
        };
        if !leaves.contains_key(&creator) {
            return Err(Refusal::NotMember.into());
        }
        let members = leaves.iter().map(|(device, (account, _))| (*device, *account)).collect();
        let (epoch, leaving, id) = (group.group_context().epoch, BTreeMap::new(), new.conversation);
        let roster = Roster { id, audience, epoch, members, leaving, leaves: 0 };
        let (snapshot, group_info) = (snapshot(&group)?, new.group_info.to_vec());
        self.make(now, creator, new, ConversationRecord { roster, snapshot, group_info, made_by }, effects)
    }

    fn make(
        &self,
        now: Timestamp,
        creator: DeviceId,
        new: &NewConversation,
        record: ConversationRecord,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let conversation = new.conversation;
        let others = || record.roster.members.keys().copied().filter(|member| *member != creator);
        match self.store.conversation(conversation)? {
            Some(known) if known.made_by != record.made_by => return Ok(Reply::ConversationExists),
            // The same again.
            Some(_) => {}
            None => self.check_room(creator, &others().collect::<Vec<_>>())?,
        }
        let owed = match &record.roster.audience {
            Audience::People(_) => {
                let (welcome, tree) = (new.welcome.clone(), new.tree.clone());
                let item = MailItem::Welcome { conversation, welcome, tree };
                let (epoch, devices) = (record.roster.epoch, others().collect());
                vec![
                    Owed { conversation, epoch, number: WELCOME, author: creator, devices, item: &item }
                        .handout(now)?,
                ]
            }
            Audience::Group(policy) => {
                match self.store.claim_name(&policy.name, &looks_like(&policy.name), conversation)? {
                    NameClaimed::Claimed => Vec::new(),
                    NameClaimed::Taken => return Err(Refusal::NameTaken.into()),
                    NameClaimed::Confusable => return Err(Refusal::NameConfusable.into()),
                }
            }
        };
        match self.store.create_conversation(&record, &owed)? {
            ConversationMade::Exists => Ok(Reply::ConversationExists),
            ConversationMade::Closed => Err(Refusal::NameTaken.into()),
            ConversationMade::Made => {
                self.hand_out_of(conversation, effects)?;
                Ok(Reply::CommitAccepted)
            }
        }
    }

    fn check_direct(
        &self,
        creator: AccountId,
        made: &Made<'_>,
        roots: &[PublicKey; 2],
        generation: u32,
    ) -> Result<Audience, Stop> {
        let people = roots.each_ref().map(account_id);
        self.check_enrolled(made.leaves.values())?;
        if made.leaves.values().any(|(account, _)| !people.contains(account)) {
            return Err(malformed("the conversation has a device that its people do not have"));
        }
        let welcome = made.welcome.ok_or_else(|| malformed("no Welcome"))?;
        check_first_welcome(welcome, made.leaves.len())?;
        if !people.contains(&creator) {
            return Err(Refusal::NotMember.into());
        }
        let records = self.store.accounts_by_id(&people)?;
        let known = records
            .iter()
            .zip(roots)
            .all(|(record, root)| record.as_ref().is_some_and(|record| record.root_key == *root));
        if !known {
            return Err(Refusal::Unknown.into());
        }
        // One generation follows the other, so that two people have no more conversations than they had to give up.
        let [one, other] = roots;
        if let Some(before) = generation.checked_sub(1)
            && self.store.roster(direct_conversation_id(one, other, before))?.is_none()
        {
            return Err(Refusal::Unknown.into());
        }
        Ok(Audience::People(people))
    }

    /// A group begins with its founder's one device, which owns it alone.
    fn check_founded(&self, creator: AccountId, made: &Made<'_>, policy: Box<GroupPolicy>) -> Result<Audience, Stop> {
        let context = made.group.group_context();
        let whole = group_context(&Policy::Group(policy.clone())).is_ok_and(|whole| whole == context.extensions);
        if !whole {
            return Err(malformed("the group's context is not what a group's has to be"));
        }
        if made.welcome.is_some() || made.leaves.len() != 1 || context.epoch > FIRST_EPOCH_MAX {
            return Err(malformed("a group begins with one device, without a Welcome"));
        }
        let founded = GroupPolicy::founded(policy.name.clone(), policy.founder, policy.nonce, policy.access);
        if *policy != founded {
            return Err(malformed("a group begins with its founder as the only owner"));
        }
        self.check_enrolled(made.leaves.values())?;
        if policy.founder != creator || made.leaves.values().any(|(account, _)| *account != creator) {
            return Err(Refusal::NotMember.into());
        }
        Ok(Audience::Group(policy))
    }

    /// Each device must be enrolled, with these keys, by the account that it says it is of.
    pub(super) fn check_enrolled<'a>(
        &self,
        claimed: impl Iterator<Item = &'a (AccountId, DeviceEntry)>,
    ) -> Result<(), Stop> {
        let claimed: Vec<_> = claimed.collect();
        let ids: Vec<DeviceId> = claimed.iter().map(|(_, entry)| entry.device).collect();
        for ((account, entry), known) in claimed.into_iter().zip(self.store.devices_by_id(&ids)?) {
            if !known.is_some_and(|known| known.account == *account && known.mls_key == entry.mls_key) {
                return Err(malformed("the conversation has a device that its people do not have"));
            }
        }
        Ok(())
    }
}

/// Nobody takes in a device whose certificate has expired.
pub(super) fn check_current<'a>(
    now: Timestamp,
    mut claimed: impl Iterator<Item = &'a (AccountId, DeviceEntry)>,
) -> Result<(), Stop> {
    if claimed.any(|(_, entry)| entry.not_after <= now) {
        return Err(malformed("a device's certificate has expired"));
    }
    Ok(())
}
