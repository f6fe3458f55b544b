//! Everybody who follows a group: members of ours, OpenMLS, and an observer that has no keys, as the directory has none.

use membership::{
    POLICY_EXTENSION_TYPE,
    identity::{DeviceIdentityProvider, device_of},
};
use mls_rs::{
    Client, MlsMessage,
    error::MlsError,
    external_client::{
        ExternalClient, ExternalGroup,
        builder::{ExternalBaseConfig, WithCryptoProvider, WithIdentityProvider, WithMlsRules},
    },
    group::{CommitEffect, ExportedTree, Member, ReceivedMessage},
    mls_rs_codec::MlsEncode as _,
};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use openmls::prelude::{MlsGroup, ProcessedMessageContent};
use protocol::policy::POLICY_EXTENSION;
use tls_codec::Serialize as _;

use super::{
    foreign::{Foreign, Read, foreign, message, read},
    ours::{BOTH, Changes, Config, OurGroup, Permissive, client, commit, context, device, key_package, policy_in},
};

type ObserverConfig = WithMlsRules<
    Permissive,
    WithIdentityProvider<DeviceIdentityProvider, WithCryptoProvider<AwsLcCryptoProvider, ExternalBaseConfig>>,
>;

/// Seeds of the founder, who is ours, and of OpenMLS.
pub(crate) const FOUNDER: u8 = 1;
pub(crate) const FOREIGN: u8 = 2;

/// Everybody who follows the group; the founder is the first of ours.
pub(crate) struct Everybody {
    pub(crate) ours: Vec<OurGroup>,
    pub(crate) foreign: Foreign,
    pub(crate) theirs: Option<MlsGroup>,
    observer: ExternalGroup<ObserverConfig>,
    pub(crate) rules: Permissive,
}

/// The founder alone, and the observer.
pub(crate) fn founded(policy: &[u8]) -> Everybody {
    let rules = Permissive::default();
    let founder = client(FOUNDER, BOTH, &rules).group_builder().unwrap();
    let founder = founder.with_group_context_extensions(context(policy)).build().unwrap();
    let observer = ExternalClient::builder()
        .crypto_provider(AwsLcCryptoProvider::default())
        .identity_provider(DeviceIdentityProvider)
        .mls_rules(rules.clone())
        .extension_type(POLICY_EXTENSION_TYPE)
        .build();
    let info = founder.group_info_message_allowing_ext_commit(false).unwrap();
    let observer = observer.observe_group(info, Some(founder.export_tree()), None).unwrap();
    Everybody { ours: vec![founder], foreign: foreign(FOREIGN, BOTH), theirs: None, observer, rules }
}

impl Everybody {
    pub(crate) fn client(&self, seed: u8) -> Client<Config> {
        client(seed, BOTH, &self.rules)
    }

    pub(crate) fn tree(&self) -> Vec<u8> {
        self.ours[0].export_tree().to_bytes().unwrap()
    }

    pub(crate) fn leaf_of(&self, seed: u8) -> u32 {
        let mut members = self.ours[0].roster().members_iter();
        let holds = |member: &Member| device_of(&member.signing_identity).unwrap().entry.device == device(seed);
        members.find(holds).unwrap().index
    }

    pub(crate) fn members(&self) -> usize {
        self.ours[0].roster().members_iter().count()
    }

    /// The founder commits and everybody follows: the Welcome, and what OpenMLS read.
    pub(crate) fn founder_commits(&mut self, changes: &Changes<'_>) -> (Option<MlsMessage>, Read) {
        let (commit, welcome) = commit(&mut self.ours[0], changes).unwrap();
        (welcome, self.follow(&commit))
    }

    /// OpenMLS commits and everybody follows: the Welcome.
    pub(crate) fn openmls_commits(&mut self, changes: &Changes<'_>) -> Option<MlsMessage> {
        let (commit, welcome) = self.foreign.commit(self.theirs.as_mut().unwrap(), changes).unwrap();
        self.follow(&commit);
        welcome
    }

    /// One of ours joins by a Welcome.
    pub(crate) fn join(&mut self, client: &Client<Config>, welcome: &MlsMessage) {
        let tree = ExportedTree::from_bytes(&self.tree()).unwrap();
        let (joined, _) = client.join_group(Some(tree), welcome, None).unwrap();
        self.ours.push(joined);
        self.agree();
    }

    /// The founder invites another one of ours, which changes the policy: what OpenMLS read.
    pub(crate) fn invite_ours(&mut self, seed: u8, policy: &[u8]) -> Read {
        let client = self.client(seed);
        let changes = Changes { add: Some(key_package(&client)), policy: Some(policy), ..Changes::default() };
        let (welcome, read) = self.founder_commits(&changes);
        self.join(&client, &welcome.unwrap());
        read
    }

    /// The founder invites OpenMLS, which changes the policy.
    pub(crate) fn invite_openmls(&mut self, policy: &[u8]) {
        let add = Some(self.foreign.key_package());
        let (welcome, _) = self.founder_commits(&Changes { add, policy: Some(policy), ..Changes::default() });
        self.theirs = Some(self.foreign.join(&welcome.unwrap(), &self.tree()));
        self.agree();
    }

    /// Everybody applies a commit, whoever made it, and agrees afterwards: what OpenMLS read.
    pub(crate) fn follow(&mut self, commit: &MlsMessage) -> Read {
        self.ours.retain_mut(|ours| match ours.process_incoming_message(commit.clone()).unwrap() {
            ReceivedMessage::Commit(done) => !matches!(done.effect, CommitEffect::Removed { .. }),
            other => panic!("no commit: {other:?}"),
        });
        self.observer.process_incoming_message(commit.clone()).unwrap();
        let mut was_read = Read::default();
        if let Some(mut group) = self.theirs.take() {
            if let Some(pending) = group.pending_commit() {
                was_read = read(pending);
                group.merge_pending_commit(&self.foreign.provider).unwrap();
            } else {
                let content = self.foreign.process(&mut group, commit).unwrap();
                let ProcessedMessageContent::StagedCommitMessage(staged) = content else { panic!("no commit") };
                was_read = read(&staged);
                group.merge_staged_commit(&self.foreign.provider, *staged).unwrap();
            }
            self.theirs = group.is_active().then_some(group);
        }
        self.agree();
        was_read
    }

    /// Why each of ours and the observer refuse a commit.
    pub(crate) fn refusals(&mut self, commit: &MlsMessage) -> Vec<MlsError> {
        let ours = self.ours.iter_mut().map(|ours| ours.process_incoming_message(commit.clone()).unwrap_err());
        let mut refusals: Vec<MlsError> = ours.collect();
        refusals.push(self.observer.process_incoming_message(commit.clone()).unwrap_err());
        refusals
    }

    /// All hold the same context, and with it epoch, tree and policy; the members hold the same secret.
    pub(crate) fn agree(&self) {
        let (context, secret) = (self.ours[0].context(), self.ours[0].epoch_authenticator().unwrap());
        for ours in &self.ours {
            assert_eq!(ours.context(), context);
            assert_eq!(ours.epoch_authenticator().unwrap(), secret);
        }
        assert_eq!(self.observer.group_context(), context, "the observer's");
        if let Some(theirs) = &self.theirs {
            let their_context = theirs.public_group().group_context().tls_serialize_detached().unwrap();
            assert_eq!(their_context, context.mls_encode_to_vec().unwrap(), "OpenMLS's");
            assert_eq!(theirs.epoch_authenticator().as_slice(), secret.as_bytes());
            let policy = theirs.extensions().unknown(POLICY_EXTENSION).unwrap();
            assert_eq!(policy.0, policy_in(&context.extensions));
        }
    }

    /// OpenMLS reads the founder, and all of ours read OpenMLS.
    pub(crate) fn talk(&mut self) {
        let (foreign, theirs) = (&self.foreign, self.theirs.as_mut().unwrap());
        let sealed = self.ours[0].encrypt_application_message(b"from us", Vec::new()).unwrap();
        let opened = foreign.process(theirs, &sealed).unwrap();
        let ProcessedMessageContent::ApplicationMessage(opened) = opened else { panic!("no message") };
        assert_eq!(opened.into_bytes(), b"from us");
        let sealed = theirs.create_message(&foreign.provider, &foreign.signer, b"from them").unwrap();
        for ours in &mut self.ours {
            let opened = ours.process_incoming_message(message(&sealed)).unwrap();
            let ReceivedMessage::ApplicationMessage(opened) = opened else { panic!("no message") };
            assert_eq!(opened.data(), b"from them");
        }
    }
}
