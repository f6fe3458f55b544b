//! What a real node does while no directory answers.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

use node_core::{
    command::{Command, CommandResult, FailureCode, Password},
    stretch::StretchParameters,
};
use protocol::Name;

use crate::{
    config::DirectoryAddress,
    driver::{Node, NodeCommand, NodeConfig, ProfileLocation},
    store::Profile,
};

const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };
const PATIENCE: Duration = Duration::from_secs(30);

/// A place where nobody answers, and nobody else can start to.
struct Nobody(UdpSocket);

impl Nobody {
    fn new() -> Self {
        Self(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    fn config(&self, profile: ProfileLocation) -> NodeConfig {
        let host_port = self.0.local_addr().unwrap().to_string();
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        NodeConfig {
            directory: DirectoryAddress { host_port, fingerprint: None },
            bind,
            profile,
            stretch: CHEAP,
            inbox: None,
        }
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn profile_of(folder: &Path, owner: &str) {
    drop(Profile::create(folder, &name(owner), &password("correct-horse"), CHEAP).unwrap());
}

fn failure(result: CommandResult) -> (FailureCode, String) {
    let failure = result.unwrap_err();
    (failure.code, failure.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_a_command_says_how_to_start_one() {
    let nobody = Nobody::new();
    let node = Node::start(nobody.config(ProfileLocation::Temporary)).await.unwrap();
    let (code, message) = failure(node.perform(NodeCommand::Core(Command::Ping), PATIENCE).await);
    assert_eq!(code, FailureCode::Unreachable);
    assert!(message.contains("start one with `directory --bind"), "{message}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_runs_out_of_time_is_unreachable() {
    let nobody = Nobody::new();
    let node = Node::start(nobody.config(ProfileLocation::Temporary)).await.unwrap();
    let (code, _) = failure(node.perform(NodeCommand::Core(Command::Ping), Duration::from_millis(1)).await);
    assert_eq!(code, FailureCode::Unreachable);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_that_never_reached_a_directory_leaves_no_profile() {
    let (nobody, home) = (Nobody::new(), tempfile::tempdir().unwrap());
    let folder = home.path().join("profile");
    let node = Node::start(nobody.config(ProfileLocation::Folder(folder.clone()))).await.unwrap();
    let sign_up = NodeCommand::SignUp { name: name("alice"), password: password("correct-horse"), invite: None };
    let (code, _) = failure(node.perform(sign_up, Duration::from_millis(1)).await);
    assert_eq!(code, FailureCode::Unreachable);
    node.shutdown().await;
    assert_eq!(Profile::peek(&folder).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_profile_takes_nothing_but_its_owners_password() {
    let (nobody, home) = (Nobody::new(), tempfile::tempdir().unwrap());
    profile_of(home.path(), "alice");
    let node = Node::start(nobody.config(ProfileLocation::Folder(home.path().to_owned()))).await.unwrap();
    let sign_in = |who: &str, word: &str| NodeCommand::SignIn { name: name(who), password: password(word) };
    let sign_up = NodeCommand::SignUp { name: name("bob"), password: password("correct-horse"), invite: None };
    let rows = [
        (NodeCommand::Core(Command::Status), FailureCode::Auth, "sign in first: SIGNIN alice"),
        (sign_in("alice", "wrong-horse"), FailureCode::Auth, "wrong password"),
        (sign_in("bob", "correct-horse"), FailureCode::Conflict, "--profile bob"),
        (sign_up, FailureCode::Conflict, "--profile bob"),
    ];
    for (command, code, words) in rows {
        let (found, message) = failure(node.perform(command, PATIENCE).await);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_shut_down_says_so_and_its_events_end() {
    let nobody = Nobody::new();
    let node = Node::start(nobody.config(ProfileLocation::Temporary)).await.unwrap();
    let (other, mut events) = (node.clone(), node.events());
    node.shutdown().await;
    assert_eq!(events.next().await, None);
    let (code, message) = failure(other.perform(NodeCommand::Core(Command::Ping), PATIENCE).await);
    assert_eq!((code, message.as_str()), (FailureCode::Other, "the node was shut down"));
}
