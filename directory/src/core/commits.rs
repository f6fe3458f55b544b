//! The one order of commits: the first valid one of an epoch counts, and goes to everybody whom it concerns.

use std::collections::{BTreeMap, BTreeSet};

use membership::policy_of;
use mls_rs::MlsMessage;
use protocol::{
    AccountId, CommitHash, DeviceId, Timestamp,
    certificate::DeviceEntry,
    directory::{CommitSubmission, MailItem, Refusal, Reply, TreeBytes},
    policy::{Access, GroupPolicy, Policy, PolicyRefusal},
};
use sha2::{Digest as _, Sha256};

use crate::store::{Audience, CommitOutcome, ConversationRecord, Handout, Roster, Store, StoreError};

use super::{
    Answer, Service, ServiceEffect, Stop,
    creations::check_current,
    handouts::{COMMIT, LEAVES, Owed, WELCOME},
    malformed,
    observer::{Followed, check_welcome, claimed_author, damaged, is_external, leaves, message, read_welcome},
};

/// How often a commit is looked at again because somebody asked to leave meanwhile. Each time at least one more is leaving.
const LOOKS_MAX: usize = 8;

/// Requests to leave that whoever comes in is told of: more are granted by those who were there.
const LEAVES_TOLD_MAX: usize = 32;

/// Who submits what.
struct Submitted<'a> {
    account: AccountId,
    author: DeviceId,
    submission: &'a CommitSubmission,
    commit: MlsMessage,
    info: MlsMessage,
    welcome: Option<MlsMessage>,
    hash: CommitHash,
    external: bool,
}

impl<S: Store> Service<S> {
    pub(super) fn submit_commit(
        &self,
        now: Timestamp,
        (account, author): (AccountId, DeviceId),
        submission: &CommitSubmission,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let commit = message(&submission.commit)?;
        let info = message(&submission.group_info)?;
        let welcome = submission.welcome.as_ref().map(|welcome| read_welcome(welcome)).transpose()?;
        let claimed = claimed_author(&commit)?;
        self.limits.commit(now, account)?;
        let (hash, external) = (CommitHash(Sha256::digest(&*submission.commit).into()), is_external(&commit));
        let submitted = Submitted { account, author, submission, commit, info, welcome, hash, external };
        for _ in 0..LOOKS_MAX {
            let record = self.store.conversation(submission.conversation)?.ok_or(Refusal::Unknown)?;
            match &record.roster.audience {
                Audience::People(people) if !people.contains(&account) => return Err(Refusal::Unknown.into()),
                Audience::People(_) if submission.welcome.is_some() => {
                    return Err(malformed("devices come into a direct conversation by themselves, without a Welcome"));
                }
                Audience::People(_) => {}
                Audience::Group(_) => {
                    admit(&record.roster, account)?;
                    check_welcome(&submitted.commit, submitted.welcome.as_ref())?;
                }
            }
            if claimed.entry.device != author {
                return Err(Refusal::NotMember.into());
            }
            if let Some(reply) = self.order(now, &record, &submitted, effects)? {
                return Ok(reply);
            }
        }
        Err(Refusal::Unavailable.into())
    }

    /// Puts a commit in its place, if it is one that counts. `None` if somebody has asked to leave while it was looked at.
    fn order(
        &self,
        now: Timestamp,
        record: &ConversationRecord,
        submitted: &Submitted<'_>,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<Option<Reply>, Stop> {
        let (roster, Submitted { author, submission, hash, .. }) = (&record.roster, submitted);
        let mut before = concerned(roster, submitted);
        if submission.epoch != roster.epoch {
            // Whoever hears what counts finds it in its mailbox.
            self.hand_out_of(roster.id, effects)?;
            return match self.store.commit_of(roster.id, submission.epoch)? {
                Some(winner) if winner == *hash => Ok(Some(Reply::CommitAccepted)),
                Some(winner) => Ok(Some(Reply::CommitLost { winner })),
                None => Err(self.room(roster, *author, &mut before).err().unwrap_or_else(|| Refusal::Stale.into())),
            };
        }
        self.room(roster, *author, &mut before)?;
        if roster.audience.group().is_some() && !submitted.external && !may_commit(roster, *author) {
            return Err(Refusal::NotMember.into());
        }
        let (commit, info) = (submitted.commit.clone(), submitted.info.clone());
        let followed = self.observer.follow(now, &record.snapshot, commit, info)?;
        if followed.author != *author {
            return Err(Refusal::NotMember.into());
        }
        let next = self.next(now, record, submitted, &followed)?;
        // What an earlier change still owes comes first, so that everybody gets commits in their order.
        self.hand_out_of(roster.id, effects)?;
        let owed = self.owed(now, roster, &next.roster, submitted, &followed, before)?;
        let outcome = self.store.commit(*hash, &next, &owed)?;
        self.hand_out_of(roster.id, effects)?;
        match outcome {
            CommitOutcome::Accepted => Ok(Some(Reply::CommitAccepted)),
            CommitOutcome::Lost(winner) => Ok(Some(Reply::CommitLost { winner })),
            CommitOutcome::WrongEpoch => Err(Refusal::Stale.into()),
            CommitOutcome::Moved => Ok(None),
        }
    }

    /// Two people wait for each other. In a group nobody waits for whoever does not collect: they get no more of this
    /// author's commits, and come in anew when they are back.
    fn room(&self, roster: &Roster, author: DeviceId, before: &mut BTreeSet<DeviceId>) -> Result<(), Stop> {
        let devices: Vec<DeviceId> = before.iter().copied().collect();
        match &roster.audience {
            Audience::People(_) => self.check_room(author, &devices),
            Audience::Group(_) => {
                for full in self.without_room(author, &devices)? {
                    before.remove(&full);
                }
                Ok(())
            }
        }
    }

    /// The conversation after a commit that was followed.
    fn next(
        &self,
        now: Timestamp,
        record: &ConversationRecord,
        submitted: &Submitted<'_>,
        followed: &Followed,
    ) -> Result<ConversationRecord, Stop> {
        let (roster, leaves) = (&record.roster, leaves(&followed.group)?);
        let comes = |(_, entry): &&(AccountId, DeviceEntry)| !roster.members.contains_key(&entry.device);
        check_current(now, leaves.values().filter(comes))?;
        // Whoever was there was looked at when it came, and only its own commits change its leaf.
        let own = |entry: &DeviceEntry| entry.device == submitted.author;
        self.check_enrolled(leaves.values().filter(|leaf| comes(leaf) || own(&leaf.1)))?;
        let members = leaves.iter().map(|(device, (account, _))| (*device, *account)).collect();
        let (mut leaving, audience) = (roster.leaving.clone(), self.audience(roster, &members, submitted, followed)?);
        // Who is gone has left, and whoever comes in again stays.
        let stays = |account: &AccountId| !(submitted.external && *account == submitted.account);
        let there: BTreeSet<AccountId> = members.values().copied().collect();
        leaving.retain(|account, _| there.contains(account) && stays(account));
        let (id, epoch, leaves) = (roster.id, followed.group.group_context().epoch, roster.leaves);
        Ok(ConversationRecord {
            roster: Roster { id, audience, epoch, members, leaving, leaves },
            snapshot: followed.snapshot.clone(),
            group_info: submitted.submission.group_info.to_vec(),
            made_by: record.made_by,
        })
    }

    /// Whom the conversation is for after a commit, which is checked for what only the directory knows.
    fn audience(
        &self,
        roster: &Roster,
        members: &BTreeMap<DeviceId, AccountId>,
        submitted: &Submitted<'_>,
        followed: &Followed,
    ) -> Result<Audience, Stop> {
        match &roster.audience {
            Audience::People(people) => {
                let foreign = members.values().any(|account| !people.contains(account));
                let put_in = |member: &DeviceId| *member != submitted.author && !roster.members.contains_key(member);
                if foreign || members.keys().any(put_in) {
                    return Err(malformed("devices come into a direct conversation by themselves"));
                }
                Ok(roster.audience.clone())
            }
            Audience::Group(before) => {
                let policy = policy_of(&followed.group.group_context().extensions);
                let Ok(Policy::Group(after)) = policy else { return Err(malformed("the group would be none")) };
                check_granted(roster, before, &after)?;
                Ok(Audience::Group(after))
            }
        }
    }

    /// What a commit owes: itself to whoever was there before, its Welcome to whom it adds, and to whoever is new the
    /// requests to leave that nobody has granted yet.
    fn owed(
        &self,
        now: Timestamp,
        roster: &Roster,
        next: &Roster,
        submitted: &Submitted<'_>,
        followed: &Followed,
        before: BTreeSet<DeviceId>,
    ) -> Result<Vec<Handout>, Stop> {
        let (conversation, author, submission) = (roster.id, submitted.author, submitted.submission);
        let commit = submission.commit.clone();
        let item = MailItem::Commit { conversation, epoch: submission.epoch, commit };
        let owed = Owed { conversation, epoch: next.epoch, number: COMMIT, author, devices: before, item: &item };
        let mut owed = vec![owed.handout(now)?];
        let come = |device: &&DeviceId| !roster.members.contains_key(device);
        let new: BTreeSet<DeviceId> = next.members.keys().filter(come).copied().collect();
        // Whoever comes back in its old place has perhaps missed them, or what it knew of them.
        let told: BTreeSet<DeviceId> = new.iter().copied().chain(submitted.external.then_some(author)).collect();
        if !told.is_empty() {
            // There are at most as many as were ever asked, so that later ones have other numbers.
            for (number, leave) in (LEAVES + 1..).zip(next.leaving.values().flatten().take(LEAVES_TOLD_MAX)) {
                let item = MailItem::Leave { conversation, leave: leave.clone() };
                let (epoch, devices) = (next.epoch, told.clone());
                owed.push(Owed { conversation, epoch, number, author, devices, item: &item }.handout(now)?);
            }
        }
        if let Some(welcome) = submission.welcome.clone() {
            let devices = new.clone();
            self.check_room(author, &devices.iter().copied().collect::<Vec<_>>())?;
            let tree = followed.group.export_tree().map_err(|error| damaged(&error))?;
            let too_long = |_| Stop::Store(StoreError::Damaged("a conversation beyond its limits".to_owned()));
            let item = MailItem::Welcome { conversation, welcome, tree: TreeBytes::new(tree).map_err(too_long)? };
            let epoch = next.epoch;
            owed.push(Owed { conversation, epoch, number: WELCOME, author, devices, item: &item }.handout(now)?);
        }
        Ok(owed)
    }
}

/// Whether an account may come into a group, as far as anybody tells it: it is in it, or the group is open and has not
/// banned it.
pub(super) fn admit(roster: &Roster, account: AccountId) -> Result<(), Stop> {
    let Some(policy) = roster.audience.group() else { return Err(Refusal::Unknown.into()) };
    if roster.members.values().any(|of| *of == account) {
        return Ok(());
    }
    if policy.is_banned(account) {
        return Err(Refusal::Policy(PolicyRefusal::Banned).into());
    }
    match policy.access {
        Access::Open => Ok(()),
        Access::Invite => Err(Refusal::Policy(PolicyRefusal::InviteOnly).into()),
    }
}

/// Whether a device is in a group that its account is not about to leave.
fn may_commit(roster: &Roster, author: DeviceId) -> bool {
    roster.members.get(&author).is_some_and(|account| !roster.leaving.contains_key(account))
}

/// Devices that get a commit: all that were there before it, but those of accounts that are leaving, and its author's.
fn concerned(roster: &Roster, submitted: &Submitted<'_>) -> BTreeSet<DeviceId> {
    let back = |account: &AccountId| submitted.external && *account == submitted.account;
    let stays = |account: &AccountId| !roster.leaving.contains_key(account) || back(account);
    let members = roster.members.iter().filter(|(_, account)| stays(account));
    members.map(|(device, _)| *device).chain([submitted.author]).collect()
}

/// A request to leave is granted while it stands: whoever has come in again since has taken it back.
fn check_granted(roster: &Roster, before: &GroupPolicy, after: &GroupPolicy) -> Result<(), Stop> {
    let granted = after.left.iter().filter(|entry| !before.left.contains(entry));
    let stands = |account: &AccountId, epoch: u64| {
        let leave = roster.leaving.get(account).and_then(|leave| leave.as_ref()?.leave().ok());
        leave.is_some_and(|leave| leave.epoch == epoch)
    };
    for (account, epoch) in granted {
        if !stands(account, *epoch) {
            return Err(Refusal::Policy(PolicyRefusal::StaleLeave).into());
        }
    }
    Ok(())
}
