//! What a person wants to be changed in a group: whether it still makes sense, the commit that does it, and its end.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId,
    directory::{KeyPackageBytes, Refusal, Reply, Request},
    policy::{PolicyRefusal, Role},
};

use super::{
    INTENTS_MAX,
    refusals::{self, refused},
};
use crate::{
    command::{Failure, FailureCode},
    conversation::submission,
    core::Core,
    crypto::mls::ProposeError,
    input::{Answer, CallId},
    link::Purpose,
    records::{Intent, IntentRecord, Phase},
};

/// How often in a row a commit for an intent is refused before the person hears of it: what is refused once may have been
/// made of a key package that was used meanwhile.
const REFUSED_MAX: u32 = 3;

/// How an intent stands to what the group is now.
pub(super) enum Standing {
    /// A commit would do it.
    Open,
    /// It is so.
    Reached,
    /// It can't be.
    Refused(Failure),
}

/// How long an invitation waits for somebody's key packages, in milliseconds, and how often: a device publishes them
/// within moments of its first connection.
const PACKAGES_WAIT_MS: u64 = 100;
const PACKAGES_WAITS_MAX: u32 = 50;

impl<C: CryptoProvider + Clone> Core<C> {
    /// How an intent stands; nothing while this device is not in the group.
    pub(super) fn standing(&self, id: ConversationId, what: Intent) -> Option<Standing> {
        let own = self.own()?.account;
        let state = self.conversations.get(&id).filter(|state| state.is_active())?;
        let (policy, name) = (state.policy()?, &state.record.group()?.name);
        let own_role = state.role_of(own)?;
        if own_role == Role::Invited && !matches!(what, Intent::Join | Intent::Leave) {
            return Some(Standing::Refused(refusals::not_joined(name)));
        }
        Some(match what {
            Intent::Join if own_role == Role::Invited => Standing::Open,
            Intent::Join => Standing::Reached,
            Intent::Leave => {
                let others = state.members().filter(|member| member.account != own);
                let alone = others.map(|member| member.account).all(|other| policy.role(other) == Role::Invited);
                if alone || policy.may_leave(own) {
                    Standing::Open
                } else {
                    Standing::Refused(refusals::policy(PolicyRefusal::LastOwner, name))
                }
            }
            Intent::Invite(account) => {
                let outranks_ban = !policy.is_banned(account) || own_role >= Role::Admin;
                if state.role_of(account).is_some() {
                    Standing::Reached
                } else if policy.may_invite(own) && outranks_ban {
                    Standing::Open
                } else {
                    Standing::Refused(refusals::policy(PolicyRefusal::NotPermitted, name))
                }
            }
            Intent::Kick(account) => match state.role_of(account) {
                None if policy.is_banned(account) => Standing::Reached,
                None => Standing::Refused(refusals::not_in(&self.called(account), name)),
                Some(_) if policy.may_kick(own, account) => Standing::Open,
                Some(_) => Standing::Refused(refusals::policy(PolicyRefusal::NotPermitted, name)),
            },
            Intent::Role { account, from, to } => match state.role_of(account) {
                None => Standing::Refused(refusals::not_in(&self.called(account), name)),
                Some(role) if role == to => Standing::Reached,
                Some(role) if role != from => {
                    let text = format!(
                        "{} is not what they were in {name} any more; MEMBERS {name} shows who is what",
                        self.called(account)
                    );
                    Standing::Refused(Failure::new(FailureCode::Conflict, text))
                }
                Some(_) if own_role != Role::Owner => {
                    Standing::Refused(refusals::policy(PolicyRefusal::NotPermitted, name))
                }
                Some(_) => match policy.with_role(account, to) {
                    Ok(_) => Standing::Open,
                    Err(refusal) => Standing::Refused(refusals::policy(refusal, name)),
                },
            },
        })
    }

    /// Keeps what a person wants; answers its number.
    pub(super) fn intend(&mut self, id: ConversationId, what: Intent) -> Result<u64, Failure> {
        let Some(group) = self.edit_group(id) else { return Err(refusals::unknown_here()) };
        if group.intents.len() >= INTENTS_MAX {
            let text = format!("{INTENTS_MAX} changes wait in {} already; let some of them end", group.name);
            return Err(Failure::new(FailureCode::Refused, text));
        }
        group.last_intent += 1;
        let number = group.last_intent;
        group.intents.push(IntentRecord { number, what });
        Ok(number)
    }

    pub(super) fn advance_intent(&mut self, id: ConversationId, intent: &IntentRecord) -> Option<(Purpose, Request)> {
        let packages = self.conversations.get(&id).and_then(|state| state.working.packages.as_ref());
        let whose = packages.map(|(whose, _)| *whose);
        match intent.what {
            Intent::Leave if self.leave_waits(id) => None,
            Intent::Leave => self.leave_request(id),
            Intent::Invite(account) if whose != Some(account) => {
                Some((Purpose::TakeKeyPackages { conversation: id }, Request::TakeKeyPackages { account }))
            }
            _ => {
                self.commit_intent(id, intent);
                None
            }
        }
    }

    /// The directory gave the key packages of whoever is to be invited.
    pub(crate) fn on_invitation_packages(&mut self, id: ConversationId, call: CallId, answer: Answer) {
        let unknown = matches!(answer, Answer::Refusal(Refusal::Unknown));
        let reply = self.conversation_answer(id, call, answer);
        let Some(intent) = self.group(id).and_then(|group| group.intents.first().cloned()) else { return };
        let Intent::Invite(account) = intent.what else { return };
        match reply {
            Some(Reply::KeyPackages(packages)) if !packages.is_empty() => {
                let packages: Vec<KeyPackageBytes> = packages.into_iter().map(|(_, package)| package).collect();
                if let Some(state) = self.conversations.get_mut(&id) {
                    state.working.packages = Some((account, packages));
                }
                self.reconcile_conversation(id);
            }
            Some(Reply::KeyPackages(_)) => {
                // Whoever has just signed up is about to publish them.
                let at = self.now.plus_ms(PACKAGES_WAIT_MS);
                let state = self.conversations.get_mut(&id);
                if let Some(state) = state.filter(|state| state.working.waited < PACKAGES_WAITS_MAX) {
                    state.working.waited += 1;
                    return state.flow.wait_until(at);
                }
                let text = format!("{} has no device that could be invited; try again later", self.called(account));
                self.end_intent(id, intent.number, Err(Failure::new(FailureCode::Refused, text)), None);
            }
            Some(_) => self.unexpected(id, "the directory answered for key packages with something else"),
            None if unknown => {
                let text = format!("{} has no account any more", self.called(account));
                self.end_intent(id, intent.number, Err(Failure::new(FailureCode::Conflict, text)), None);
            }
            None => {}
        }
    }

    /// Makes the commit that does what a person wants.
    fn commit_intent(&mut self, id: ConversationId, intent: &IntentRecord) {
        let (now, own) = (self.now, self.own().map(|own| own.account));
        let Some((own, state)) = own.zip(self.conversations.get_mut(&id)) else { return };
        let Some(policy) = state.policy().cloned() else { return };
        let Some(group) = &mut state.group else { return };
        group.drop_pending();
        let next = match intent.what {
            Intent::Join => Ok(policy.with_joined(own)),
            Intent::Invite(account) => policy.with_invited(account),
            Intent::Kick(account) => policy.with_kicked(account),
            Intent::Role { account, to, .. } => policy.with_role(account, to),
            Intent::Leave => return,
        };
        let made = next.map_err(|refusal| ProposeError::Refused(refusal.into())).and_then(|next| match intent.what {
            Intent::Invite(account) => {
                let packages = state.working.packages.as_ref().filter(|(whose, _)| *whose == account);
                group.propose_invitation(now, &next, packages.map(|(_, all)| all.as_slice()).unwrap_or_default())
            }
            Intent::Kick(account) => group.propose_kick(now, &next, account),
            _ => group.propose_policy(now, &next),
        });
        state.touched = true;
        state.changed = true;
        match made {
            Ok(commit) => match submission(id, commit) {
                Ok(submission) => {
                    state.record.refresh = Some(submission);
                    state.refresh_accepted = false;
                    state.working.made_for = Some(intent.number);
                }
                Err(error) => self.end_with_bug(id, intent.number, &error),
            },
            Err(ProposeError::Refused(error)) => {
                let name = state.record.group().map(|group| group.name.clone());
                let failure = name.map_or_else(refusals::unknown_here, |name| refusals::rules(&error, &name));
                self.end_intent(id, intent.number, Err(failure), None);
            }
            Err(ProposeError::KeyPackage(_, error)) => {
                self.report_refused("a key package for an invitation does not hold", &error);
                self.retry_intent(id, intent.number, &Refusal::Stale);
            }
            Err(ProposeError::Bug(error)) => self.end_with_bug(id, intent.number, &error),
        }
    }

    fn end_with_bug(&mut self, id: ConversationId, number: u64, error: &dyn std::fmt::Display) {
        self.report_bug("a commit cannot be made", error);
        let text = format!("a bug of this program: the change cannot be made ({error})");
        self.end_intent(id, number, Err(Failure::new(FailureCode::Other, text)), None);
    }

    /// The directory refused the commit that is under way in a group.
    pub(crate) fn on_group_refused(&mut self, id: ConversationId, refusal: Option<&Refusal>) {
        let (Some(refusal), true) = (refusal, self.is_group(id)) else { return };
        if matches!(refusal, Refusal::RateLimited { .. } | Refusal::Unavailable | Refusal::NotSignedIn) {
            return;
        }
        if self.phase(id) == Some(Phase::Lost) {
            return self.on_kept_out(id, refusal);
        }
        let pending = self.conversations.get(&id).and_then(|state| state.working.made_for);
        if self.conversations.get(&id).is_some_and(|state| state.record.refresh.is_some()) {
            self.on_commit_lost(id, false, true);
        }
        match (refusal, pending) {
            (Refusal::Unknown | Refusal::NotMember, _) => self.lose(id),
            // So the directory speaks to who is no member, though the commit that says so never came.
            (Refusal::Policy(PolicyRefusal::Banned | PolicyRefusal::InviteOnly), _) => {
                if let Some((number, group)) = pending.zip(self.group(id)) {
                    let failure = refused(refusal, &group.name);
                    self.end_intent(id, number, Err(failure), None);
                }
                self.lose(id);
            }
            (Refusal::Policy(_) | Refusal::MailboxFull, Some(number)) => {
                let Some(name) = self.group(id).map(|group| group.name.clone()) else { return };
                self.end_intent(id, number, Err(refused(refusal, &name)), None);
            }
            // A request to leave that the directory takes for void.
            (Refusal::Policy(_), None) => {
                if let Some(group) = self.edit_group(id) {
                    group.leaves.clear();
                }
            }
            (_, Some(number)) => self.retry_intent(id, number, refusal),
            (_, None) => {}
        }
    }

    /// What was made for an intent does not hold: it is made anew of what the directory gives now, a few times.
    fn retry_intent(&mut self, id: ConversationId, number: u64, refusal: &Refusal) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.working.packages = None;
        state.working.refused += 1;
        if state.working.refused >= REFUSED_MAX {
            let Some(name) = self.group(id).map(|group| group.name.clone()) else { return };
            self.end_intent(id, number, Err(refused(refusal, &name)), None);
        } else {
            self.delay(id);
        }
    }

    /// The group is another one than before: whatever is so now, or can't be any more, ends. `ended` is the epoch that a
    /// commit of this device's ended.
    pub(crate) fn check_intents(&mut self, id: ConversationId, ended: Option<u64>) {
        let Some(group) = self.group(id) else { return };
        for intent in group.intents.clone() {
            match self.standing(id, intent.what) {
                Some(Standing::Reached) => self.end_intent(id, intent.number, Ok(()), ended),
                Some(Standing::Refused(failure)) => self.end_intent(id, intent.number, Err(failure), None),
                Some(Standing::Open) | None => {}
            }
        }
    }

    /// What a person wanted is so, or can't be; whoever waits for it hears that.
    pub(super) fn end_intent(
        &mut self,
        id: ConversationId,
        number: u64,
        result: Result<(), Failure>,
        ended: Option<u64>,
    ) {
        let Some(state) = self.conversations.get_mut(&id) else { return };
        state.changed = true;
        state.working.packages = None;
        state.working.refused = 0;
        state.working.waited = 0;
        let Some(group) = state.record.group_mut() else { return };
        group.intents.retain(|intent| intent.number != number);
        self.finish_group_command(id, number, result, ended);
    }

    /// Nothing that was wanted in a group can be any more.
    pub(super) fn end_intents(&mut self, id: ConversationId, failure: &Failure) {
        let intents = self.group(id).map(|group| group.intents.clone()).unwrap_or_default();
        for intent in intents {
            self.end_intent(id, intent.number, Err(failure.clone()), None);
        }
    }

    /// Whether somebody is to come into a group by a commit that this person wants.
    pub(super) fn wants_to_join(&self, id: ConversationId) -> bool {
        let state = self.conversations.get(&id).filter(|state| state.record.phase != Phase::Active);
        let group = state.and_then(|state| state.record.group());
        group.is_some_and(|group| group.intents.iter().any(|intent| intent.what == Intent::Join))
    }

    /// The step that PROMOTE or DEMOTE is for somebody.
    pub(super) fn step(&self, id: ConversationId, account: AccountId, up: bool) -> Result<Intent, Failure> {
        let state = self.conversations.get(&id);
        let name = self.group(id).map(|group| group.name.clone()).ok_or_else(refusals::unknown_here)?;
        let role = state.and_then(|state| state.role_of(account));
        let to = match (role, up) {
            (None | Some(Role::Invited), _) => return Err(refusals::not_in(&self.called(account), &name)),
            (Some(Role::Member), true) | (Some(Role::Owner), false) => Role::Admin,
            (Some(Role::Admin), true) => Role::Owner,
            (Some(Role::Admin), false) => Role::Member,
            (Some(Role::Owner), true) => return Err(refusals::already(&self.called(account), "an owner of", &name)),
            (Some(Role::Member), false) => {
                return Err(refusals::already(&self.called(account), "a plain member of", &name));
            }
        };
        Ok(Intent::Role { account, from: role.unwrap_or(Role::Member), to })
    }
}
