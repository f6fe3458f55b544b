//! The MLS working group's passive-client vectors for suite 2, through the library's public API with the provider of the
//! programs: a client joins by a published Welcome and follows published commits, and has the published secrets.

use data_encoding::HEXLOWER;
use mls_rs::{
    Client, Group, MlsMessage, client_builder::MlsConfig, error::MlsError, group::ExportedTree,
    identity::basic::BasicIdentityProvider, psk::ExternalPskId, storage_provider::in_memory::InMemoryKeyPackageStorage,
    time::MlsTime,
};
use mls_rs_core::{crypto::CryptoProvider as _, key_package::KeyPackageData};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use serde_json::Value;

const WELCOME: &str = include_str!("mls/passive-client-welcome.json");
const HANDLING_COMMIT: &str = include_str!("mls/passive-client-handling-commit.json");
/// Version and wire format, before the key package in its message.
const MESSAGE_HEADER: usize = 4;
/// Within the validity of the key packages of each set.
const WELCOME_NOW: u64 = 1_700_000_000;
const HANDLING_COMMIT_NOW: u64 = 1_690_000_000;

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn message(value: &Value) -> MlsMessage {
    MlsMessage::from_bytes(&bytes(value)).unwrap()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// The vector's client, with its key package's secrets and its pre-shared keys.
fn client(vector: &Value) -> Client<impl MlsConfig + use<>> {
    let crypto = AwsLcCryptoProvider::with_enabled_cipher_suites(vec![membership::SUITE]);
    let suite = crypto.cipher_suite_provider(membership::SUITE).unwrap();
    let key_package = message(&vector["key_package"]);
    let reference = key_package.key_package_reference(&suite).unwrap().unwrap();
    let identity = key_package.into_key_package().unwrap().signing_identity().clone();
    let [init, encryption] = ["init_priv", "encryption_priv"].map(|name| bytes(&vector[name]).into());
    let key_package = bytes(&vector["key_package"])[MESSAGE_HEADER..].to_vec();
    let stored = InMemoryKeyPackageStorage::new();
    stored.insert(reference.to_vec(), KeyPackageData::new(key_package, init, encryption, u64::MAX));
    let mut builder =
        Client::builder().crypto_provider(crypto).identity_provider(BasicIdentityProvider).key_package_repo(stored);
    for psk in items(&vector["external_psks"]) {
        builder = builder.psk(ExternalPskId::new(bytes(&psk["psk_id"])), bytes(&psk["psk"]).into());
    }
    builder.signing_identity(identity, bytes(&vector["signature_priv"]).into(), membership::SUITE).build()
}

fn join(vector: &Value, welcome: &MlsMessage, now: MlsTime) -> Result<Group<impl MlsConfig + use<>>, MlsError> {
    let tree = vector["ratchet_tree"].as_str().map(|_| bytes(&vector["ratchet_tree"]));
    let tree = tree.map(|tree| ExportedTree::from_bytes(&tree).unwrap());
    client(vector).join_group(tree, welcome, Some(now)).map(|(group, _)| group)
}

fn authenticator(group: &Group<impl MlsConfig>) -> Vec<u8> {
    group.epoch_authenticator().unwrap().to_vec()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    welcomes: usize,
    proposals: usize,
    commits: usize,
}

fn follow(vectors: &str, now: u64) -> Ran {
    let now = MlsTime::from(now);
    let mut ran = Ran::default();
    for (at, vector) in items(&serde_json::from_str::<Value>(vectors).unwrap()).iter().enumerate() {
        let mut group = join(vector, &message(&vector["welcome"]), now).unwrap();
        assert_eq!(authenticator(&group), bytes(&vector["initial_epoch_authenticator"]), "vector {at}");
        ran.welcomes += 1;
        for (epoch_at, epoch) in items(&vector["epochs"]).iter().enumerate() {
            for proposal in items(&epoch["proposals"]) {
                group.process_incoming_message_with_time(message(proposal), now).unwrap();
                ran.proposals += 1;
            }
            group.process_incoming_message_with_time(message(&epoch["commit"]), now).unwrap();
            assert_eq!(authenticator(&group), bytes(&epoch["epoch_authenticator"]), "vector {at}, epoch {epoch_at}");
            ran.commits += 1;
        }
    }
    ran
}

#[test]
fn published_welcomes_lead_to_the_published_secrets() {
    assert_eq!(follow(WELCOME, WELCOME_NOW), Ran { welcomes: 8, proposals: 0, commits: 0 });
}

#[test]
fn published_commits_lead_to_the_published_secrets() {
    assert_eq!(follow(HANDLING_COMMIT, HANDLING_COMMIT_NOW), Ran { welcomes: 13, proposals: 12, commits: 26 });
}
