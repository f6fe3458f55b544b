//! A foreign member among three of ours as the product has them: [`node_core::crypto::mls`], its wire bytes, and the rules
//! that every member applies.

use membership::{
    account_id,
    identity::signing_identity,
    policy_extension,
    signing::{self, public_key},
};
use mls_rs::MlsMessage;
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node_core::crypto::mls::{Applied, ApplyError, Conversation, JoinError, MemberChange, Mls, OpenError, Staging};
use openmls::prelude::{MlsGroup, MlsMessageIn, OpenMlsProvider as _, ProcessedMessageContent};
use protocol::{
    AccountId, Bounded, MessageId, Name, Timestamp,
    directory::KeyPackageBytes,
    policy::{Access, GroupPolicy, LEAVE_LABEL, Leave, Policy, PolicyRefusal, Role, SignedLeave},
};
use tls_codec::{DeserializeBytes as _, Serialize as _};

use super::{
    foreign::{Foreign, foreign},
    ours::{BOTH, Changes, device, person},
};

/// Seeds of three of ours, of OpenMLS, and of one of ours that comes later.
const ALICE: u8 = 21;
const BOB: u8 = 22;
const CAROL: u8 = 23;
const DAVE: u8 = 24;
const ERIN: u8 = 25;

type Crypto = AwsLcCryptoProvider;

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

fn account(seed: u8) -> AccountId {
    account_id(&person(seed).certificate.entry().unwrap().root_key)
}

fn mls(seed: u8) -> Mls<Crypto> {
    let person = person(seed);
    let identity = signing_identity(&person.certificate).unwrap();
    Mls::new(Crypto::default(), identity, person.keys.mls_key(), Staging::default()).unwrap()
}

fn data(policy: &GroupPolicy) -> Vec<u8> {
    policy_extension(&Policy::Group(Box::new(policy.clone()))).unwrap().extension_data
}

/// The group: those of ours who are in it, by their seeds, and OpenMLS while it is.
struct Circle {
    ours: Vec<(u8, Conversation<Crypto>)>,
    foreign: Foreign,
    theirs: Option<MlsGroup>,
    info: Vec<u8>,
    said: u8,
}

/// Alice has founded it; Bob and Carol came in by themselves.
fn circle() -> Circle {
    let name = Name::parse("team").unwrap();
    let policy = GroupPolicy::founded(name, account(ALICE), [7; 16], Access::Open);
    let (conversation, creation) = mls(ALICE).create(now(), &Policy::Group(Box::new(policy)), 1, &[]).unwrap();
    let (ours, foreign) = (vec![(ALICE, conversation)], foreign(DAVE, BOTH));
    let mut circle = Circle { ours, foreign, theirs: None, info: creation.group_info, said: 0 };
    circle.enter(BOB).unwrap();
    circle.enter(CAROL).unwrap();
    circle
}

impl Circle {
    fn policy(&self) -> GroupPolicy {
        let Policy::Group(policy) = self.ours[0].1.policy() else { panic!("no group") };
        (**policy).clone()
    }

    fn of(&mut self, seed: u8) -> &mut Conversation<Crypto> {
        &mut self.ours.iter_mut().find(|(of, _)| *of == seed).unwrap().1
    }

    fn leaf_of(&self, seed: u8) -> u32 {
        let group = self.theirs.as_ref().unwrap();
        let mine = public_key(person(seed).keys.mls_key()).0;
        group.members().find(|member| member.signature_key == mine).unwrap().index.u32()
    }

    /// One of ours comes in by an external commit, from the latest public state.
    fn enter(&mut self, seed: u8) -> Result<(), JoinError> {
        let tree = self.ours[0].1.export_tree().unwrap();
        let (conversation, commit) = mls(seed).rejoin(now(), 1, &self.info, &tree)?;
        self.follow(&commit.bytes, Some(commit.group_info)).unwrap();
        self.ours.push((seed, conversation));
        Ok(())
    }

    /// Everybody applies a commit, and ours say what it was; whoever it removes is gone.
    fn follow(&mut self, commit: &[u8], info: Option<Vec<u8>>) -> Result<Vec<Applied>, ApplyError> {
        let applied = self.ours.iter_mut().map(|(_, ours)| ours.apply(now(), commit));
        let applied = applied.collect::<Result<Vec<_>, _>>()?;
        let mut stays = applied.iter().map(|applied| !applied.removed_self);
        self.ours.retain(|_| stays.next().unwrap());
        if let Some(mut group) = self.theirs.take() {
            if group.pending_commit().is_some() {
                group.merge_pending_commit(&self.foreign.provider).unwrap();
            } else {
                let commit = MlsMessage::from_bytes(commit).unwrap();
                let content = self.foreign.process(&mut group, &commit).unwrap();
                let ProcessedMessageContent::StagedCommitMessage(staged) = content else { panic!("no commit") };
                group.merge_staged_commit(&self.foreign.provider, *staged).unwrap();
            }
            self.theirs = group.is_active().then_some(group);
        }
        let theirs = self.theirs.as_ref().map(|group| self.foreign.group_info(group).to_bytes().unwrap());
        self.info = info.or(theirs).unwrap();
        Ok(applied)
    }

    /// One of ours commits: everybody follows.
    fn ours_commit(&mut self, commit: node_core::crypto::mls::Commit) -> Vec<Applied> {
        self.follow(&commit.bytes, Some(commit.group_info)).unwrap()
    }

    /// OpenMLS commits: what ours make of it.
    fn theirs_commit(&mut self, changes: &Changes<'_>) -> Result<Vec<Applied>, ApplyError> {
        let (commit, _) = self.foreign.commit(self.theirs.as_mut().unwrap(), changes).unwrap();
        let applied = self.follow(&commit.to_bytes().unwrap(), None);
        if applied.is_err() {
            let group = self.theirs.as_mut().unwrap();
            group.clear_pending_commit(self.foreign.provider.storage()).unwrap();
        }
        applied
    }

    /// One of ours says something: its bytes.
    fn say(&mut self, seed: u8) -> (MessageId, Vec<u8>) {
        self.said += 1;
        let id = MessageId([self.said; 16]);
        (id, self.of(seed).seal(now(), id, b"from ours").unwrap())
    }

    /// OpenMLS says something, framed and padded as nodes do, with the message's id beside it.
    fn they_say(&mut self) -> (MessageId, Vec<u8>) {
        self.said += 1;
        let (id, group) = (MessageId([self.said; 16]), self.theirs.as_mut().unwrap());
        let mut plain = vec![0, 0, 0, 10];
        plain.extend_from_slice(b"from afar!");
        plain.resize(256, 0);
        group.set_aad(id.0.to_vec());
        let sealed = group.create_message(&self.foreign.provider, &self.foreign.signer, &plain).unwrap();
        (id, sealed.tls_serialize_detached().unwrap())
    }

    fn they_read(&mut self, sealed: &[u8]) -> Vec<u8> {
        let message = MlsMessage::from_bytes(sealed).unwrap();
        let content = self.foreign.process(self.theirs.as_mut().unwrap(), &message).unwrap();
        let ProcessedMessageContent::ApplicationMessage(message) = content else { panic!("no message") };
        let plain = message.into_bytes();
        assert_eq!(plain.len() % 256, 0, "padded to steps");
        let length = u32::from_be_bytes(*plain.first_chunk().unwrap()) as usize;
        plain[4..4 + length].to_vec()
    }

    /// Everybody says something, and everybody else reads it and knows whose it is. All of it, to be tried on others.
    fn talk(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for speaker in self.ours.iter().map(|(seed, _)| *seed).collect::<Vec<_>>() {
            let (id, sealed) = self.say(speaker);
            for (seed, reader) in self.ours.iter_mut().filter(|(seed, _)| *seed != speaker) {
                let opened = reader.open(now(), &sealed).unwrap();
                let read = (opened.id, opened.device, opened.account, opened.content.as_slice());
                assert_eq!(read, (id, device(speaker), account(speaker), b"from ours".as_slice()), "{seed}");
            }
            if self.theirs.is_some() {
                assert_eq!(self.they_read(&sealed), b"from ours");
            }
            all.push(sealed);
        }
        if self.theirs.is_some() {
            let (id, sealed) = self.they_say();
            for (seed, reader) in &mut self.ours {
                let opened = reader.open(now(), &sealed).unwrap();
                let read = (opened.id, opened.device, opened.account, opened.content.as_slice());
                assert_eq!(read, (id, device(DAVE), account(DAVE), b"from afar!".as_slice()), "{seed}");
            }
            all.push(sealed);
        }
        all
    }

    /// Alice invites OpenMLS, and OpenMLS joins: two commits, the second its own.
    fn invite_dave(&mut self) {
        let package = KeyPackageBytes::new(self.foreign.key_package().to_bytes().unwrap()).unwrap();
        let next = self.policy().with_invited(account(DAVE)).unwrap();
        let commit = self.of(ALICE).propose_invitation(now(), &next, &[package]).unwrap();
        let welcome = MlsMessage::from_bytes(commit.welcome.as_ref().unwrap()).unwrap();
        self.ours_commit(commit);
        let tree = self.ours[0].1.export_tree().unwrap();
        self.theirs = Some(self.foreign.join(&welcome, &tree));
        let next = data(&self.policy().with_joined(account(DAVE)));
        let applied = self.theirs_commit(&Changes { policy: Some(&next), ..Changes::default() }).unwrap();
        assert!(applied.iter().all(|applied| told(applied) == [(account(DAVE), MemberChange::Joined)]));
    }
}

fn told(applied: &Applied) -> Vec<(AccountId, MemberChange)> {
    applied.changes.iter().map(|changed| (changed.account, changed.change)).collect()
}

/// Nothing of this opens.
fn reads_nothing(reader: &mut Conversation<Crypto>, sealed: &[Vec<u8>]) {
    for sealed in sealed {
        let opened: Result<_, OpenError> = reader.open(now(), sealed);
        assert!(opened.is_err(), "{opened:?}");
    }
}

#[test]
fn openmls_sits_among_three_of_ours_through_a_join_a_key_update_and_a_kick() {
    let mut circle = circle();
    let before = circle.talk();
    circle.invite_dave();
    // What was said before its epoch is nothing that OpenMLS could read.
    let group = circle.theirs.as_mut().unwrap();
    let early = before.iter().filter(|sealed| {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(sealed).unwrap();
        group.process_message(&circle.foreign.provider, message.try_into_protocol_message().unwrap()).is_ok()
    });
    assert_eq!(early.count(), 0);
    circle.talk();

    // A join: one of ours comes in by itself, from what OpenMLS says of the group, and reads nothing of before.
    circle.info = circle.foreign.group_info(circle.theirs.as_ref().unwrap()).to_bytes().unwrap();
    let before = circle.talk();
    circle.enter(ERIN).unwrap();
    reads_nothing(circle.of(ERIN), &before);
    circle.talk();

    // Key updates: ours and theirs.
    let refresh = circle.of(BOB).propose_refresh(now()).unwrap();
    assert!(circle.ours_commit(refresh).iter().all(|applied| told(applied).is_empty()));
    circle.talk();
    let applied = circle.theirs_commit(&Changes::default()).unwrap();
    assert!(applied.iter().all(|applied| told(applied).is_empty()));
    assert!(applied.iter().all(|applied| applied.committer.as_ref().unwrap().account == account(DAVE)));
    circle.talk();

    // A kick: whoever is kicked reads nothing that comes after, whoever says it, and does not come back by itself.
    let next = circle.policy().with_kicked(account(CAROL)).unwrap();
    let kick = circle.of(ALICE).propose_kick(now(), &next, account(CAROL)).unwrap();
    let index = circle.ours.iter().position(|(seed, _)| *seed == CAROL).unwrap();
    let (_, mut kicked) = circle.ours.remove(index);
    assert!(kicked.apply(now(), &kick.bytes).unwrap().removed_self);
    circle.ours_commit(kick);
    reads_nothing(&mut kicked, &circle.talk());
    assert!(matches!(circle.enter(CAROL), Err(JoinError::Refused(_))));

    // And OpenMLS itself is kicked.
    let next = circle.policy().with_kicked(account(DAVE)).unwrap();
    let kick = circle.of(ALICE).propose_kick(now(), &next, account(DAVE)).unwrap();
    circle.ours_commit(kick);
    assert!(circle.theirs.is_none(), "OpenMLS knows that it is out");
    circle.talk();
}

#[test]
fn openmls_grants_a_request_to_leave_and_is_let_do_nothing_that_the_rules_forbid() {
    let mut circle = circle();
    circle.invite_dave();
    // A plain member neither kicks nor makes itself an owner, whatever its program allows.
    let removal = Changes { remove: Some(circle.leaf_of(BOB)), ..Changes::default() };
    let own = account(DAVE);
    let banned = Bounded::new(vec![account(BOB)]).unwrap();
    let kicked = data(&GroupPolicy { banned, ..circle.policy() });
    let mut owners = vec![account(ALICE), own];
    owners.sort_unstable();
    let promoted = data(&GroupPolicy { owners: Bounded::new(owners).unwrap(), ..circle.policy() });
    for changes in [
        removal.clone(),
        Changes { policy: Some(&kicked), ..removal.clone() },
        Changes { policy: Some(&promoted), ..Changes::default() },
    ] {
        let refused = circle.theirs_commit(&changes).unwrap_err();
        assert!(matches!(refused, ApplyError::Refused(_)), "{refused:?}");
        circle.talk();
    }
    assert_eq!((circle.policy().role(own), circle.policy().may_kick(own, account(BOB))), (Role::Member, false));

    // Bob has asked to leave: OpenMLS grants it, with his signed request beside the removal.
    let (conversation, epoch) = (circle.ours[0].1.id(), circle.ours[0].1.epoch());
    let leave = Leave { conversation, account: account(BOB), device: device(BOB), epoch };
    let bytes = SignedLeave::bytes(&leave).unwrap();
    let signature = signing::sign(person(BOB).keys.mls_key(), LEAVE_LABEL, &bytes);
    let request = postcard::to_allocvec(&SignedLeave { leave: bytes, signature }).unwrap();
    let next = data(&circle.policy().with_left(&leave, epoch).unwrap());
    let grant = Changes { policy: Some(&next), request: Some(&request), ..removal };
    let index = circle.ours.iter().position(|(seed, _)| *seed == BOB).unwrap();
    let (_, mut gone) = circle.ours.remove(index);
    let applied = circle.theirs_commit(&grant).unwrap();
    assert!(applied.iter().all(|applied| told(applied) == [(account(BOB), MemberChange::Left)]));
    reads_nothing(&mut gone, &circle.talk());
    assert_eq!(circle.policy().with_left(&leave, epoch + 1), Err(PolicyRefusal::StaleLeave), "it counts once");
}
