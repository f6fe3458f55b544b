//! An independent implementation talks to us: OpenMLS plays a member over our real wire bytes.
//!
//! Our side is the product's own wrapper, [`node_core::crypto::mls`]; the other side is OpenMLS with its stock provider.
//! A foreign member needs to know three things of Tuppence: the suite, that its credential is a device certificate, and
//! the policy extension, which it declares in its capabilities.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use membership::{POLICY_EXTENSION_TYPE, direct_policy, identity::signing_identity, policy_extension, signing};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use node_core::crypto::{
    keys::{DeviceKeys, RootKey},
    mls::{Conversation, Mls, Staging},
};
use openmls::prelude::*;
use openmls_basic_credential::SignatureKeyPair;
use openmls_rust_crypto::OpenMlsRustCrypto;
use protocol::{
    DeviceId, MessageId, PublicKey, Timestamp, certificate::Certificate, directory::KeyPackageBytes,
    policy::POLICY_EXTENSION,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tls_codec::Serialize as _;

const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMP256_AES128GCM_SHA256_P256;

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// One person with one device.
struct Person {
    root: PublicKey,
    keys: DeviceKeys,
    certificate: Certificate,
}

fn person(seed: u64) -> Person {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (root, keys) = (RootKey::generate(&mut rng), DeviceKeys::generate(&mut rng));
    let certificate = root.certify(&keys, DeviceId([seed as u8; 16]), Timestamp(u64::MAX)).unwrap();
    Person { root: root.public(), keys, certificate }
}

fn ours(person: &Person) -> Mls<AwsLcCryptoProvider> {
    let identity = signing_identity(&person.certificate).unwrap();
    Mls::new(AwsLcCryptoProvider::default(), identity, person.keys.mls_key(), Staging::default()).unwrap()
}

/// OpenMLS with a person's keys and certificate.
struct Foreign {
    provider: OpenMlsRustCrypto,
    signer: SignatureKeyPair,
    credential: CredentialWithKey,
}

fn foreign(person: &Person) -> Foreign {
    let key = person.keys.mls_key();
    let public = signing::public_key(key).0.to_vec();
    let signer =
        SignatureKeyPair::from_raw(SignatureScheme::ECDSA_SECP256R1_SHA256, key.to_bytes().to_vec(), public.clone());
    let identity = signing_identity(&person.certificate).unwrap();
    let identity = identity.credential.as_basic().unwrap().identifier.clone();
    let credential =
        CredentialWithKey { credential: BasicCredential::new(identity).into(), signature_key: public.into() };
    Foreign { provider: OpenMlsRustCrypto::default(), signer, credential }
}

fn capabilities() -> Capabilities {
    let policy = ExtensionType::Unknown(POLICY_EXTENSION);
    Capabilities::builder().extensions(vec![policy]).ciphersuites(vec![SUITE]).build()
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(false)
        .max_past_epochs(2)
        .build()
}

impl Foreign {
    fn key_package(&self) -> KeyPackageBytes {
        let bundle = KeyPackage::builder().leaf_node_capabilities(capabilities());
        let bundle = bundle.build(SUITE, &self.provider, &self.signer, self.credential.clone()).unwrap();
        let message = MlsMessageOut::from(bundle.key_package().clone());
        KeyPackageBytes::new(message.tls_serialize_detached().unwrap()).unwrap()
    }

    fn join(&self, welcome: &[u8], tree: &[u8]) -> MlsGroup {
        let MlsMessageBodyIn::Welcome(welcome) = MlsMessageIn::tls_deserialize_exact_bytes(welcome).unwrap().extract()
        else {
            panic!("no Welcome")
        };
        let tree = RatchetTreeIn::tls_deserialize_exact_bytes(tree).unwrap();
        let staged = StagedWelcome::new_from_welcome(&self.provider, &join_config(), welcome, Some(tree)).unwrap();
        staged.into_group(&self.provider).unwrap()
    }

    fn receive(&self, group: &mut MlsGroup, bytes: &[u8]) -> ProcessedMessageContent {
        let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).unwrap();
        let message = message.try_into_protocol_message().unwrap();
        group.process_message(&self.provider, message).unwrap().into_content()
    }

    /// Opens one of our messages; its text without our padding.
    fn open(&self, group: &mut MlsGroup, bytes: &[u8]) -> Vec<u8> {
        let ProcessedMessageContent::ApplicationMessage(message) = self.receive(group, bytes) else {
            panic!("no message")
        };
        let plain = message.into_bytes();
        assert_eq!(plain.len() % 256, 0, "padded to steps");
        let length = u32::from_be_bytes(*plain.first_chunk().unwrap()) as usize;
        plain[4..4 + length].to_vec()
    }

    /// Seals as a node would: framed, padded, with the message's id as authenticated data.
    fn seal(&self, group: &mut MlsGroup, id: MessageId, text: &[u8]) -> Vec<u8> {
        let mut plain = (text.len() as u32).to_be_bytes().to_vec();
        plain.extend_from_slice(text);
        plain.resize(plain.len().next_multiple_of(256), 0);
        group.set_aad(id.0.to_vec());
        group.create_message(&self.provider, &self.signer, &plain).unwrap().to_bytes().unwrap()
    }

    fn merge(&self, group: &mut MlsGroup, commit: &[u8]) {
        let ProcessedMessageContent::StagedCommitMessage(staged) = self.receive(group, commit) else {
            panic!("no commit")
        };
        group.merge_staged_commit(&self.provider, *staged).unwrap();
    }
}

fn talk(ours: &mut Conversation<AwsLcCryptoProvider>, theirs: &Foreign, group: &mut MlsGroup, round: u8) {
    let id = MessageId([round; 16]);
    let sealed = ours.seal(now(), id, b"from us").unwrap();
    assert_eq!(theirs.open(group, &sealed), b"from us");
    let sealed = theirs.seal(group, id, b"from them");
    let opened = ours.open(now(), &sealed).unwrap();
    assert_eq!((opened.id, opened.content.as_slice()), (id, b"from them".as_slice()));
    assert_eq!(ours.epoch(), group.epoch().as_u64());
}

#[test]
fn openmls_joins_our_conversation_talks_and_follows_and_makes_commits() {
    let (alice, bob) = (person(1), person(2));
    let (mls, openmls) = (ours(&alice), foreign(&bob));
    let policy = direct_policy(alice.root, bob.root, 0);
    let (mut conversation, creation) = mls.create(now(), &policy, 1, &[openmls.key_package()]).unwrap();
    let mut group = openmls.join(&creation.welcome, &creation.tree);
    talk(&mut conversation, &openmls, &mut group, 1);

    // Our key refresh, published first and applied when it comes back.
    let commit = conversation.propose_refresh(now()).unwrap();
    conversation.apply(now(), &commit.bytes).unwrap();
    openmls.merge(&mut group, &commit.bytes);
    talk(&mut conversation, &openmls, &mut group, 2);

    // Theirs.
    let update = group.self_update(&openmls.provider, &openmls.signer, LeafNodeParameters::default()).unwrap();
    let update = update.into_commit().tls_serialize_detached().unwrap();
    group.merge_pending_commit(&openmls.provider).unwrap();
    let applied = conversation.apply(now(), &update).unwrap();
    assert!(applied.added.is_empty() && applied.removed.is_empty() && !applied.joined_by_itself);
    talk(&mut conversation, &openmls, &mut group, 3);

    // Nobody throws the other out of a direct conversation, whatever implementation tries.
    let ours_index = group.members().find(|member| member.index != group.own_leaf_index()).unwrap().index;
    let (remove, ..) = group.remove_members(&openmls.provider, &openmls.signer, &[ours_index]).unwrap();
    let refused = conversation.apply(now(), &remove.tls_serialize_detached().unwrap());
    assert!(matches!(refused, Err(node_core::crypto::mls::ApplyError::Refused(_))), "{refused:?}");
}

#[test]
fn we_join_a_conversation_that_openmls_made_and_come_back_to_it_by_external_commit() {
    let (alice, bob) = (person(1), person(2));
    let (mls, openmls) = (ours(&alice), foreign(&bob));
    let policy = direct_policy(alice.root, bob.root, 0);
    let extension = policy_extension(&policy).unwrap();
    assert_eq!(extension.extension_type, POLICY_EXTENSION_TYPE);
    let extension = Extension::Unknown(POLICY_EXTENSION, UnknownExtension(extension.extension_data));
    let config = MlsGroupCreateConfig::builder()
        .ciphersuite(SUITE)
        .capabilities(capabilities())
        .with_group_context_extensions(Extensions::single(extension).unwrap())
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .use_ratchet_tree_extension(false)
        .max_past_epochs(2)
        .build();
    let id = GroupId::from_slice(&membership::conversation_id(&policy).0);
    let (provider, signer) = (&openmls.provider, &openmls.signer);
    let credential = openmls.credential.clone();
    let mut group = MlsGroup::new_with_group_id(provider, signer, &config, id, credential).unwrap();
    let package = mls.key_package(now(), false).unwrap();
    let package = MlsMessageIn::tls_deserialize_exact_bytes(&package).unwrap();
    let MlsMessageBodyIn::KeyPackage(package) = package.extract() else { panic!("no key package") };
    let package = package.validate(provider.crypto(), ProtocolVersion::Mls10).unwrap();
    let (_, welcome, _) = group.add_members(provider, signer, &[package]).unwrap();
    group.merge_pending_commit(provider).unwrap();
    let tree = group.export_ratchet_tree().tls_serialize_detached().unwrap();
    let mut conversation = mls.join(now(), 1, &welcome.tls_serialize_detached().unwrap(), &tree).unwrap().conversation;
    talk(&mut conversation, &openmls, &mut group, 1);

    // We lose our state, and come back by an external commit in our old leaf's place.
    drop(conversation);
    let info = group.export_group_info(provider.crypto(), signer, false).unwrap().tls_serialize_detached().unwrap();
    let tree = group.export_ratchet_tree().tls_serialize_detached().unwrap();
    let (mut conversation, commit) = mls.rejoin(now(), 2, &info, &tree).unwrap();
    openmls.merge(&mut group, &commit.bytes);
    assert_eq!(group.members().count(), 2);
    talk(&mut conversation, &openmls, &mut group, 2);
}

#[test]
fn openmls_comes_into_our_conversation_by_external_commit() {
    let (alice, bob) = (person(1), person(2));
    let (mls, openmls) = (ours(&alice), foreign(&bob));
    let policy = direct_policy(alice.root, bob.root, 0);
    let (mut conversation, _) = mls.create(now(), &policy, 1, &[openmls.key_package()]).unwrap();
    let refresh = conversation.propose_refresh(now()).unwrap();
    conversation.apply(now(), &refresh.bytes).unwrap();
    let tree = conversation.export_tree().unwrap();
    let MlsMessageBodyIn::GroupInfo(info) =
        MlsMessageIn::tls_deserialize_exact_bytes(&refresh.group_info).unwrap().extract()
    else {
        panic!("no GroupInfo")
    };
    let tree = RatchetTreeIn::tls_deserialize_exact_bytes(&tree).unwrap();
    let parameters = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
    let (mut group, bundle) = MlsGroup::external_commit_builder()
        .with_ratchet_tree(tree)
        .with_config(join_config())
        .build_group(&openmls.provider, info, openmls.credential.clone())
        .unwrap()
        .leaf_node_parameters(parameters)
        .load_psks(openmls.provider.storage())
        .unwrap()
        .build(openmls.provider.rand(), openmls.provider.crypto(), &openmls.signer, |_| true)
        .unwrap()
        .finalize(&openmls.provider)
        .unwrap();
    let commit = bundle.into_commit().tls_serialize_detached().unwrap();
    let applied = conversation.apply(now(), &commit).unwrap();
    assert!(applied.joined_by_itself);
    talk(&mut conversation, &openmls, &mut group, 1);
}
