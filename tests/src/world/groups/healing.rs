//! The end of a run with groups: the weather calms, everybody comes back, and then all are where they should be, have what
//! was said to them, and nothing else.

use std::collections::BTreeSet;

use node_core::{
    Session,
    command::Command,
    event::DeliveryState::{Failed, Queued},
};
use protocol::{
    ConversationId, MessageId, Name,
    limits::MAILBOX_RETENTION_MS,
    policy::{Policy, Role},
};

use super::{
    Groups, PersonIndex,
    talk::{Said, To},
};
use crate::world::{
    Happening, World,
    clock::{Moment, Span},
    disk::contains,
    node::Asked,
    weather::Weather,
    witness::{NodeIndex, Violation},
};

/// How long healing may take; see the healing of the world with one device each.
const HEALING_MAX: Span = Span::hours(3);
/// How often it is looked whether everything has healed.
const LOOK_EVERY: Span = Span::seconds(5);
/// Times that everybody says something to everybody: what the first time was under way is over by the second.
const EXCHANGES: usize = 2;

impl World {
    /// Calms the weather, lets everybody come back, and checks what must hold then.
    pub(super) fn heal_groups(&mut self) -> Result<(), Violation> {
        self.calm_down_groups();
        let end = self.now + HEALING_MAX;
        let all_in = |world: &mut Self| {
            (0..world.nodes.len())
                .all(|index| world.is_there(index))
                .then_some(())
                .ok_or_else(|| "not signed in".to_owned())
        };
        self.wait_in_groups(end, all_in)?;
        self.wait_in_groups(end, Self::all_has_arrived)?;
        for _ in 0..EXCHANGES {
            // Though nobody says anything: whoever lacks a commit that was kept back asks by itself.
            self.wait_in_groups(end, Self::all_agree)?;
            let before = self.texts_said();
            self.say_to_everybody();
            self.wait_in_groups(end, Self::all_has_arrived)?;
            self.wait_in_groups(end, Self::all_are_at_rest)?;
            self.wait_in_groups(end, Self::all_agree)?;
            // What waits for something before it is shown when that is given up, one such wait after the other.
            self.wait_in_groups(end, |world| world.is_everywhere(&before))?;
        }
        self.intrude();
        self.broken.take().map_or(Ok(()), Err)?;
        self.everything_is_shown()?;
        self.check_told_changes()?;
        self.try_kept_keys()?;
        self.check_words_in_groups()
    }

    fn calm_down_groups(&mut self) {
        self.trace.note(self.now, &|| "everything heals".to_owned());
        self.acting = false;
        self.was_hostile |= self.weather.hostile;
        self.weather = Weather::calm();
        self.plan = None;
        for (one, other) in std::mem::take(&mut self.parted) {
            self.queue.push(&mut self.chance, self.now, Happening::Rejoin(one, other));
            self.parted.insert((one, other));
        }
        self.queue.push(&mut self.chance, self.now, Happening::StartDirectory);
        for index in 0..self.nodes.len() {
            self.nodes[index].away = false;
            let at = self.now + Span::ms(1);
            self.queue.push(&mut self.chance, at, Happening::StartNode(index));
        }
    }

    /// Lets time pass until everything is as it should be; `healed` says what is not.
    fn wait_in_groups(
        &mut self,
        end: Moment,
        healed: impl Fn(&mut Self) -> Result<(), String>,
    ) -> Result<(), Violation> {
        while let Err(what) = healed(self) {
            if self.now >= end {
                return Err(Violation::Misplaced { node: "after healing".to_owned(), what });
            }
            self.run_until(self.now + LOOK_EVERY)?;
        }
        Ok(())
    }

    pub(super) fn is_there(&self, index: NodeIndex) -> bool {
        let node = &self.nodes[index];
        node.connection.is_some() && node.core.as_ref().is_some_and(|core| core.session() == Session::SignedIn)
    }

    /// Whether every command ended, and every message was shown or is known not to be.
    fn all_has_arrived(&mut self) -> Result<(), String> {
        for (index, node) in self.nodes.iter().enumerate() {
            let changing = |asked: &Asked| matches!(asked, Asked::Send(_) | Asked::Say(_) | Asked::Change(_));
            if let Some((asked, _)) = node.asked.values().find(|(asked, _)| changing(asked)) {
                return Err(format!("{} waits for {asked:?}", self.of_groups(index)));
            }
        }
        match self.groups.as_ref().and_then(|groups| groups.open(self.now).next()) {
            Some((uid, said, person)) => Err(format!("{uid} has not reached {person}: {said:?}")),
            None => Ok(()),
        }
    }

    fn all_are_at_rest(&mut self) -> Result<(), String> {
        for index in 0..self.nodes.len() {
            if !self.nodes[index].idle && !self.nodes[index].is_asking(&Asked::WaitIdle) {
                self.command(index, Asked::WaitIdle, Command::WaitIdle);
            }
        }
        match (0..self.nodes.len()).find(|index| !self.nodes[*index].idle) {
            Some(busy) => Err(format!("{} is not idle", self.of_groups(busy))),
            None => Ok(()),
        }
    }

    /// Whether every device is where its account is, in the same epoch as all others, with the same secrets.
    fn all_agree(&mut self) -> Result<(), String> {
        let Some(groups) = self.groups.as_ref() else { return Ok(()) };
        let expired = self.now.timestamp().ms_since(Moment::default().timestamp()) > MAILBOX_RETENTION_MS;
        for chronicle in groups.chronicles.values() {
            if !chronicle.closed && !chronicle.leaving.is_empty() {
                return Err(format!("{}: requests to leave are not granted", chronicle.name));
            }
            for (index, node) in self.nodes.iter().enumerate() {
                let own = groups.account_of(groups.owners[index]);
                let role = own.and_then(|own| chronicle.now()?.role(own)).filter(|_| !chronicle.closed);
                let held = node.core.as_ref().and_then(|core| core.conversation(chronicle.id));
                let epoch = held.map(|held| held.epoch());
                // Whoever was invited and whose Welcome was kept back, or has waited for longer than the mailbox keeps it, hears
                // of it when they look for groups.
                let fine = match (role, epoch) {
                    (Some(_), Some(epoch)) => epoch == chronicle.epoch(),
                    (Some(role), None) => role == Role::Invited && (self.was_hostile || expired),
                    (None, _) => held.is_none(),
                };
                if !fine {
                    let node = self.of_groups(index);
                    return Err(format!(
                        "{node} is in epoch {epoch:?} of {} ({}), whose epoch is {} and where they are {role:?}",
                        chronicle.name,
                        chronicle.id,
                        chronicle.epoch()
                    ));
                }
            }
        }
        Ok(())
    }

    fn texts_said(&self) -> Vec<MessageId> {
        self.groups.iter().flat_map(|groups| groups.talk.all()).map(|(uid, _)| *uid).collect()
    }

    fn say_to_everybody(&mut self) {
        let Some(groups) = self.groups.as_ref() else { return };
        let mut said: Vec<(NodeIndex, Name)> = Vec::new();
        for chronicle in groups.chronicles.values() {
            let held = |index: usize| self.nodes[index].core.as_ref().and_then(|core| core.conversation(chronicle.id));
            let talking = (0..self.nodes.len()).filter(|index| {
                groups.talks(*index, chronicle) || held(*index).is_some() && !groups.is_invited(*index, chronicle)
            });
            said.extend(talking.map(|index| (index, chronicle.name.clone())));
        }
        let between = |said: &Said| match said.to {
            To::Person(other) => [Some((said.owner, other)), Some((other, said.owner))],
            To::Group(_) => [None, None],
        };
        let pairs: BTreeSet<(PersonIndex, PersonIndex)> =
            groups.talk.all().flat_map(|(_, said)| between(said)).flatten().collect();
        for node in &mut self.nodes {
            node.idle = false;
        }
        for (from, to) in pairs {
            self.write_first(from, to);
        }
        for (index, group) in said {
            // Whoever believes to be invited cannot say anything, and finds out by joining.
            if self.believes_to_be_invited(index, &group) {
                self.command(index, Asked::Change("JOIN"), Command::Join { group });
            } else {
                self.say(index, group);
            }
        }
    }

    fn believes_to_be_invited(&self, index: NodeIndex, group: &Name) -> bool {
        let Some(groups) = self.groups.as_ref() else { return false };
        let own = groups.account_of(groups.owners[index]);
        let chronicle = groups.chronicle_named(group.as_str());
        let held = chronicle.zip(self.nodes[index].core.as_ref());
        let held = held.and_then(|(chronicle, core)| core.conversation(chronicle.id));
        let role = held.zip(own).map(|(held, own)| match held.policy() {
            Policy::Group(policy) => policy.role(own),
            Policy::Direct { .. } => Role::Member,
        });
        let really = chronicle.zip(own).and_then(|(chronicle, own)| chronicle.now()?.role(own));
        role == Some(Role::Invited) && really.is_none()
    }

    /// Whether what was said since is shown by every device of everybody who is there.
    fn is_everywhere(&self, before: &[MessageId]) -> Result<(), String> {
        let Some(groups) = self.groups.as_ref() else { return Ok(()) };
        for (uid, said) in groups.talk.all().filter(|(uid, _)| !before.contains(uid)) {
            let To::Group(name) = &said.to else { continue };
            let Some(chronicle) = groups.chronicle_named(name.as_str()) else { continue };
            let there = (0..self.nodes.len()).filter(|index| groups.talks(*index, chronicle));
            let missing = there.into_iter().find(|index| *index != said.from && !said.shown.contains(index));
            if let Some(index) = missing {
                return Err(format!("{uid} is not shown by {}", self.of_groups(index)));
            }
        }
        Ok(())
    }

    /// Whoever was in a group when something was said, and in it ever since on a device that never fell out, shows it there.
    fn everything_is_shown(&self) -> Result<(), Violation> {
        let Some(groups) = self.groups.as_ref() else { return Ok(()) };
        for (uid, said) in groups.talk.all() {
            let Some((id, epoch)) = said.sealed.filter(|_| matches!(said.to, To::Group(_))) else { continue };
            let Some(chronicle) = groups.chronicles.get(&id).filter(|chronicle| !chronicle.closed) else { continue };
            for index in (0..self.nodes.len()).filter(|index| *index != said.from) {
                let person = groups.owners[index];
                let there = groups.was_there_since(index, id, epoch) && groups.talks(index, chronicle);
                if there
                    && said.audience.contains(&person)
                    && groups.reaches(said, person)
                    && !has_failed(said, person, self.now)
                    && !said.shown.contains(&index)
                {
                    return Err(Violation::NotEverywhere { uid: *uid, node: self.of_groups(index) });
                }
            }
        }
        Ok(())
    }

    /// Only the people whom something was said to hold its words.
    fn check_words_in_groups(&self) -> Result<(), Violation> {
        let Some(groups) = self.groups.as_ref() else { return Ok(()) };
        for (index, node) in self.nodes.iter().enumerate() {
            let holder = self.of_groups(index);
            let dump = node.disk.dump();
            for (_, said) in groups.talk.all() {
                let meant = said.owner == groups.owners[index] || said.audience.contains(&groups.owners[index]);
                // The filler is the same everywhere; what is before it is not.
                let holds = || contains(&dump, said.text.trim_end_matches('x').as_bytes());
                if !meant && holds() {
                    return Err(Violation::ForeignPlaintext { holder });
                }
                if said.from == index && !holds() {
                    return Err(Violation::ControlFailed { holder });
                }
            }
        }
        match self.directory.seen() {
            (0, _) => Err(Violation::ControlFailed { holder: "the directory".to_owned() }),
            (_, true) => Err(Violation::ForeignPlaintext { holder: "the directory".to_owned() }),
            _ => Ok(()),
        }
    }
}

/// Whether the mailbox has given something up, or may have: what fails towards somebody who was only invited, or towards one's
/// own other devices, nobody is told.
fn has_failed(said: &Said, person: PersonIndex, now: Moment) -> bool {
    let in_group = matches!(said.to, To::Group(_)) && said.sealed.is_some();
    let old = now >= said.since + Span::ms(MAILBOX_RETENTION_MS);
    let untold = in_group && old && (person == said.owner || !said.counted.contains(&person));
    said.state == Failed || said.rows.get(&person) == Some(&Failed) || untold
}

impl Groups {
    /// What somebody should have been shown by now on at least one device, and was not.
    fn open(&self, now: Moment) -> impl Iterator<Item = (&MessageId, &Said, PersonIndex)> {
        self.talk.all().flat_map(move |(uid, said)| {
            let people = (0..self.names.len()).filter(move |person| self.is_open(said, *person, now));
            people.map(move |person| (uid, said, person))
        })
    }

    fn is_open(&self, said: &Said, person: PersonIndex, now: Moment) -> bool {
        if person == said.owner || has_failed(said, person, now) || said.excused.contains(&person) {
            return false;
        }
        let meant = match &said.to {
            To::Person(to) => *to == person,
            To::Group(_) if said.sealed.is_none() => {
                // Nobody has sealed it: it waits for somebody to be there, or it is not over.
                return said.state == Queued;
            }
            To::Group(_) => {
                let talking = self
                    .chronicle_of(said.sealed.map(|(id, _)| id))
                    .is_some_and(|chronicle| self.nodes_of(person).any(|index| self.talks(index, chronicle)));
                // Whoever was only invited has sent no receipt: what a device cannot open any more is not sent again.
                let kept = said.counted.contains(&person)
                    || self
                        .nodes_of(person)
                        .any(|index| said.sealed.is_some_and(|(id, epoch)| self.was_there_since(index, id, epoch)));
                said.audience.contains(&person) && self.reaches(said, person) && talking && kept
            }
        };
        let shown = self.nodes_of(person).any(|index| said.shown.contains(&index));
        meant && !shown
    }

    fn chronicle_of(&self, id: Option<ConversationId>) -> Option<&super::chronicle::Chronicle> {
        self.chronicles.get(&id?)
    }
}
