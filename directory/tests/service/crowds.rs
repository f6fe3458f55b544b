//! A group of hundreds: what goes to all of them goes in pieces, and comes to each of them once.

use std::collections::BTreeSet;

use directory::{
    core::ServiceEffect,
    store::{AccountRecord, DeviceRecord, NewAccount, Store},
};
use membership::{account_id, signing::public_key};
use mls_rs::{Client, ExtensionList, MlsMessage};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, DeviceId, Name,
    certificate::DeviceEntry,
    directory::{CommitSubmission, Deposit, DepositResult, MailItem, Reply, Request},
    frame,
    limits::{CERTIFICATE_LIFETIME_MS, DIRECTORY_FRAME_MAX},
    money::Amount,
    peer::Envelope,
    policy::Access,
};

use crate::{
    circle::{item, policy_of},
    hall::{Config, Hall, MlsGroup, bytes, certify, client, device_list, mls_time},
    talk::{message, place},
};

over_both!(what_hundreds_get_comes_to_each_of_them_once);

/// More than fit into one change of the store, and not a multiple of it.
const CROWD: u16 = 300;

/// One of many.
struct Face {
    account: AccountId,
    device: DeviceId,
    client: Client<Config>,
}

fn face(hall: &Hall<impl Store>, n: u16) -> Face {
    let key = |purpose: u8| {
        let mut bytes = [201; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        bytes[2] = purpose;
        SigningKey::from_slice(&bytes).unwrap()
    };
    let (root, mls) = (key(1), key(2));
    let mut device = [201; 16];
    device[..2].copy_from_slice(&n.to_be_bytes());
    let entry = DeviceEntry {
        root_key: public_key(&root),
        device: DeviceId(device),
        tls_key: public_key(&key(3)),
        mls_key: public_key(&mls),
        order_key: public_key(&key(4)),
        not_after: hall.now.plus_ms(CERTIFICATE_LIFETIME_MS),
    };
    let certificate = certify(&root, &entry);
    let (account, name) = (account_id(&entry.root_key), Name::parse(&format!("face-{n}")).unwrap());
    let record = AccountRecord {
        account,
        name: name.clone(),
        root_key: entry.root_key,
        devices: device_list(&root, 1, vec![certificate.clone()]),
        password: Vec::new(),
        root_backup: Vec::new(),
        recovery_backup: Vec::new(),
        made_by: [0; 32],
    };
    let device = DeviceRecord {
        device: entry.device,
        account,
        tls_key: entry.tls_key,
        mls_key: entry.mls_key,
        signed_in: true,
        send_counter: 0,
        revoked: false,
    };
    let new =
        NewAccount { record, device, skeleton: name.to_string(), invite: None, reset: None, opening: Amount::ZERO };
    hall.service.store().create_account(&new).unwrap();
    Face { account, device: entry.device, client: client(&certificate, &mls) }
}

fn invitation(hall: &Hall<impl Store>, group: &mut MlsGroup, faces: &[Face]) -> CommitSubmission {
    let invited = |policy: protocol::policy::GroupPolicy, face: &Face| policy.with_invited(face.account).unwrap();
    let next = faces.iter().fold(policy_of(group), invited);
    let none = ExtensionList::new;
    let package =
        |face: &Face| face.client.generate_key_package_message(none(), none(), Some(mls_time(hall.now))).unwrap();
    let packages: Vec<MlsMessage> = faces.iter().map(package).collect();
    hall.change(group, Some(next), |mut builder| {
        for package in packages {
            builder = builder.add_member(package).unwrap();
        }
        builder
    })
}

fn what_hundreds_get_comes_to_each_of_them_once(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let faces: Vec<Face> = (0..CROWD).map(|n| face(&hall, n)).collect();
    let mut group = hall.found(&mut alice, "crowd", Access::Open);
    let invitation = invitation(&hall, &mut group, &faces);
    let told = |effects: &[ServiceEffect]| {
        let all: BTreeSet<String> = effects.iter().map(|effect| format!("{effect:?}")).collect();
        assert_eq!(all.len(), effects.len(), "one hint for each");
        all.len()
    };
    let handled = hall.handle(&mut alice, Request::SubmitCommit(Box::new(invitation.clone())));
    assert_eq!(handled.answer, Ok(Reply::CommitAccepted));
    assert_eq!(told(&handled.effects), usize::from(CROWD) + 1);
    group.apply_pending_commit().unwrap();
    let refresh = hall.change(&mut group, None, |builder| builder);
    let handled = hall.handle(&mut alice, Request::SubmitCommit(Box::new(refresh.clone())));
    assert_eq!((handled.answer, told(&handled.effects)), (Ok(Reply::CommitAccepted), usize::from(CROWD) + 1));
    group.apply_pending_commit().unwrap();
    let (conversation, epoch) = place(&group);
    let envelope = Envelope { conversation, epoch, id: message(1), sender: alice.device(), ciphertext: bytes(&[7]) };
    let recipients: Vec<DeviceId> = faces.iter().map(|face| face.device).collect();
    let deposit = Deposit::Message { envelope, recipients: recipients.try_into().unwrap() };
    for _ in 0..2 {
        let handled = hall.handle(&mut alice, Request::Deposit { items: vec![deposit.clone()].try_into().unwrap() });
        let stored = vec![DepositResult::Stored].try_into().unwrap();
        assert_eq!((handled.answer, told(&handled.effects)), (Ok(Reply::Deposited(stored)), usize::from(CROWD)));
    }
    assert_eq!(hall.mail(&mut alice), [item(&invitation), item(&refresh)]);
    for face in &faces {
        let (items, more) = hall.service.store().drain(face.device, None, 9, usize::MAX).unwrap();
        let read = |bytes: &[u8]| frame::decode_body::<MailItem>(bytes, DIRECTORY_FRAME_MAX).unwrap();
        let items: Vec<MailItem> = items.iter().map(|record| read(&record.item)).collect();
        assert!(!more, "{}", items.len());
        let [MailItem::Welcome { .. }, MailItem::Commit { .. }, MailItem::Message { .. }] = items.as_slice() else {
            panic!("{items:?}");
        };
    }
}
