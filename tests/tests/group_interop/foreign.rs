//! The foreign member: OpenMLS with its stock provider, and a device certificate for a credential.

use membership::{identity::signing_identity, signing};
use mls_rs::MlsMessage;
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use protocol::policy::POLICY_EXTENSION;
use tls_codec::Serialize as _;

use super::ours::{Changes, Declares, LEAVE_PROPOSAL, person};

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;

/// OpenMLS with a person's keys and certificate.
pub(crate) struct Foreign {
    pub(crate) provider: OpenMlsRustCrypto,
    pub(crate) signer: SignatureKeyPair,
    credential: CredentialWithKey,
    capabilities: Capabilities,
}

pub(crate) fn foreign(seed: u8, declares: Declares) -> Foreign {
    let person = person(seed);
    let key = person.keys.mls_key();
    let public = signing::public_key(key).0.to_vec();
    let signer =
        SignatureKeyPair::from_raw(SignatureScheme::ECDSA_SECP256R1_SHA256, key.to_bytes().to_vec(), public.clone());
    let identity = signing_identity(&person.certificate).unwrap();
    let identity = identity.credential.as_basic().unwrap().identifier.clone();
    let credential =
        CredentialWithKey { credential: BasicCredential::new(identity).into(), signature_key: public.into() };
    let capabilities = Capabilities::builder()
        .extensions(declares.policy.then_some(ExtensionType::Unknown(POLICY_EXTENSION)).into_iter().collect())
        .proposals(declares.leave.then_some(ProposalType::Custom(LEAVE_PROPOSAL)).into_iter().collect())
        .ciphersuites(vec![SUITE])
        .build();
    Foreign { provider: OpenMlsRustCrypto::default(), signer, credential, capabilities }
}

/// A policy and what it requires, as OpenMLS writes them: see [`super::ours::context`].
fn context(policy: &[u8]) -> Extensions<GroupContext> {
    let extensions = [ExtensionType::Unknown(POLICY_EXTENSION)];
    let required = RequiredCapabilitiesExtension::new(&extensions, &[ProposalType::Custom(LEAVE_PROPOSAL)], &[]);
    let policy = Extension::Unknown(POLICY_EXTENSION, UnknownExtension(policy.to_vec()));
    Extensions::from_vec(vec![Extension::RequiredCapabilities(required), policy]).unwrap()
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(false)
        .max_past_epochs(2)
        .build()
}

fn opened(message: &MlsMessage) -> MlsMessageBodyIn {
    MlsMessageIn::tls_deserialize_exact_bytes(&message.to_bytes().unwrap()).unwrap().extract()
}

/// A message of OpenMLS's as ours.
pub(crate) fn message(message: &MlsMessageOut) -> MlsMessage {
    MlsMessage::from_bytes(&message.tls_serialize_detached().unwrap()).unwrap()
}

impl Foreign {
    pub(crate) fn key_package(&self) -> MlsMessage {
        let bundle = KeyPackage::builder().leaf_node_capabilities(self.capabilities.clone());
        let bundle = bundle.build(SUITE, &self.provider, &self.signer, self.credential.clone()).unwrap();
        message(&bundle.key_package().clone().into())
    }

    pub(crate) fn join(&self, welcome: &MlsMessage, tree: &[u8]) -> MlsGroup {
        let MlsMessageBodyIn::Welcome(welcome) = opened(welcome) else { panic!("no Welcome") };
        let tree = RatchetTreeIn::tls_deserialize_exact_bytes(tree).unwrap();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &join_config(), welcome, Some(tree)).unwrap();
        staged.into_group(&self.provider).unwrap()
    }

    /// Comes in by an external commit, in its old leaf's place if there is one.
    pub(crate) fn enter(&self, info: &MlsMessage, tree: &[u8]) -> Result<(MlsGroup, MlsMessage), CreateCommitError> {
        let MlsMessageBodyIn::GroupInfo(info) = opened(info) else { panic!("no GroupInfo") };
        let parameters = LeafNodeParameters::builder().with_capabilities(self.capabilities.clone()).build();
        let builder = MlsGroup::external_commit_builder()
            .with_ratchet_tree(RatchetTreeIn::tls_deserialize_exact_bytes(tree).unwrap())
            .with_config(join_config())
            .build_group(&self.provider, info, self.credential.clone())
            .unwrap();
        let builder = builder.leaf_node_parameters(parameters).load_psks(self.provider.storage())?;
        let built = builder.build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)?;
        let (group, bundle) = built.finalize(&self.provider).unwrap();
        Ok((group, message(bundle.commit())))
    }

    pub(crate) fn process(
        &self,
        group: &mut MlsGroup,
        message: &MlsMessage,
    ) -> Result<ProcessedMessageContent, StageCommitError> {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(&message.to_bytes().unwrap()).unwrap();
        let message = message.try_into_protocol_message().unwrap();
        match group.process_message(&self.provider, message) {
            Ok(processed) => Ok(processed.into_content()),
            Err(ProcessMessageError::InvalidCommit(refused)) => Err(refused),
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes a commit, pending until it comes back, and its Welcome.
    pub(crate) fn commit(
        &self,
        group: &mut MlsGroup,
        changes: &Changes<'_>,
    ) -> Result<(MlsMessage, Option<MlsMessage>), CreateCommitError> {
        let added = changes.add.iter().map(|package| {
            let MlsMessageBodyIn::KeyPackage(package) = opened(package) else { panic!("no key package") };
            package.validate(self.provider.crypto(), ProtocolVersion::Mls10).unwrap()
        });
        let mut builder = group.commit_builder().propose_adds(added);
        builder = builder.propose_removals(changes.remove.map(LeafNodeIndex::new));
        if let Some(policy) = changes.policy {
            builder = builder.propose_group_context_extensions(context(policy))?;
        }
        if let Some(request) = changes.request {
            let request = CustomProposal::new(LEAVE_PROPOSAL, request.to_vec());
            builder = builder.add_proposal(Proposal::Custom(Box::new(request)));
        }
        let builder = builder.load_psks(self.provider.storage())?;
        let built = builder.build(self.provider.rand(), self.provider.crypto(), &self.signer, |_| true)?;
        let (commit, welcome, _) = built.stage_commit(&self.provider).unwrap().into_messages();
        Ok((message(&commit), welcome.as_ref().map(message)))
    }

    pub(crate) fn group_info(&self, group: &MlsGroup) -> MlsMessage {
        message(&group.export_group_info(self.provider.crypto(), &self.signer, false).unwrap())
    }
}

/// What OpenMLS read in a commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) added: usize,
    pub(crate) removed: Vec<u32>,
    pub(crate) policy: Option<Vec<u8>>,
    pub(crate) requests: Vec<(u16, Vec<u8>)>,
}

pub(crate) fn read(commit: &StagedCommit) -> Read {
    let mut read = Read::default();
    for queued in commit.queued_proposals() {
        match queued.proposal() {
            Proposal::Add(_) => read.added += 1,
            Proposal::Remove(remove) => read.removed.push(remove.removed().u32()),
            Proposal::GroupContextExtensions(context) => {
                read.policy = context.extensions().unknown(POLICY_EXTENSION).map(|policy| policy.0.clone());
            }
            Proposal::Custom(custom) => read.requests.push((custom.proposal_type(), custom.payload().to_vec())),
            Proposal::ExternalInit(_) => {}
            other => panic!("not used in groups: {other:?}"),
        }
    }
    read
}
