//! What counts and what does not: each field is altered once, and each proof is asked of another log once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use membership::signing::{public_key, sign};
use p256::ecdsa::SigningKey;
use proptest::prelude::*;
use protocol::{
    AccountId, Bounded, BoundedBytes, BoundedText, DeviceId, LedgerId, Name, OrderId, PublicKey, RequestId, Timestamp,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DeviceEntry},
    frame,
    money::{
        Amount, Checkpoint, Closing, ClosingKind, Currency, Entry, HashBytes, MemoOpening, Order, PaymentRequest,
        RECEIPT_KEY_LABEL, ReceiptKey, SettledEntry, SignedOrder, SignedReceiptKey,
    },
};
use settlement::{
    memo, proof,
    receipt::{self, BadReceipt},
    signed::{self, Unsigned},
};
use sha2::Sha256;

const LEDGER: LedgerId = LedgerId([9; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

/// A person with one device, all of whose keys come from one number.
struct Person {
    account: AccountId,
    device: DeviceId,
    order_key: SigningKey,
    certificate: Certificate,
}

fn person(seed: u8) -> Person {
    let (root, order_key) = (key(seed), key(seed + 3));
    let root_key = public_key(&root);
    let device = DeviceId([seed; 16]);
    let entry = DeviceEntry {
        root_key,
        device,
        tls_key: public_key(&key(seed + 1)),
        mls_key: public_key(&key(seed + 2)),
        order_key: public_key(&order_key),
        not_after: Timestamp(1),
    };
    let entry = frame::encode_body(&entry, 1_024).unwrap();
    let signature = sign(&root, DEVICE_ENTRY_LABEL, &entry);
    let certificate = Certificate { entry: BoundedBytes::new(entry).unwrap(), signature };
    Person { account: membership::account_id(&root_key), device, order_key, certificate }
}

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

fn opening(words: &str) -> MemoOpening {
    let name = |text: &str| Name::parse(text).unwrap();
    MemoOpening {
        salt: [5; 32],
        payer: name("alice"),
        payee: name("bob"),
        memo: BoundedText::new(words.to_owned()).unwrap(),
    }
}

fn order(payer: &Person, payee: &Person) -> Order {
    Order {
        ledger: LEDGER,
        id: OrderId([1; 16]),
        payer: payer.account,
        payee: payee.account,
        amount: amount(1_250),
        memo: memo::commit(&opening("lunch")).unwrap(),
        answers: None,
        refunds: None,
        not_after: Timestamp(500),
        device: payer.device,
    }
}

fn request(payee: &Person, payer: &Person) -> PaymentRequest {
    PaymentRequest {
        ledger: LEDGER,
        id: RequestId([2; 16]),
        payee: payee.account,
        payer: payer.account,
        amount: amount(1_250),
        memo: memo::commit(&opening("lunch")).unwrap(),
        not_after: Timestamp(500),
        device: payee.device,
    }
}

#[test]
fn an_order_counts_when_its_payers_device_signed_it_and_not_otherwise() {
    let (alice, bob) = (person(1), person(11));
    let order = order(&alice, &bob);
    let good = signed::sign_order(&order, &alice.order_key).unwrap();
    assert_eq!(signed::verify_order(&good, &alice.certificate), Ok(order.clone()));
    let forged = signed::sign_order(&order, &bob.order_key).unwrap();
    assert_eq!(signed::verify_order(&forged, &alice.certificate), Err(Unsigned::Signature));
    assert_eq!(signed::verify_order(&good, &bob.certificate), Err(Unsigned::Certificate));
    let elsewhere = Order { device: bob.device, ..order.clone() };
    let elsewhere = signed::sign_order(&elsewhere, &alice.order_key).unwrap();
    assert_eq!(signed::verify_order(&elsewhere, &alice.certificate), Err(Unsigned::Certificate));
    let malformed = SignedOrder { order: BoundedBytes::default(), signature: good.signature };
    assert_eq!(signed::verify_order(&malformed, &alice.certificate), Err(Unsigned::Malformed));
    let mut certificate = alice.certificate.clone();
    certificate.signature.0[0] ^= 1;
    assert_eq!(signed::verify_order(&good, &certificate), Err(Unsigned::Certificate));
}

#[test]
fn no_signature_stands_for_another_kind() {
    let alice = person(1);
    let request = request(&alice, &person(11));
    let request = signed::sign_request(&request, &alice.order_key).unwrap();
    let key = public_key(&alice.order_key);
    assert_eq!(signed::check_request(&request, &key), Ok(()));
    let as_order = SignedOrder { order: request.request.to_vec().try_into().unwrap(), signature: request.signature };
    assert_eq!(signed::check_order(&as_order, &key), Err(Unsigned::Signature));
}

#[test]
fn a_request_is_ended_by_its_payer_or_its_payee_each_in_their_own_way() {
    let (payee, payer) = (person(1), person(11));
    let closing = |kind, by: &Person| Closing {
        ledger: LEDGER,
        payee: payee.account,
        request: RequestId([2; 16]),
        kind,
        device: by.device,
    };
    let verdict = |kind, by: &Person| {
        let signed = signed::sign_closing(&closing(kind, by), &by.order_key).unwrap();
        signed::verify_closing(&signed, payer.account, &by.certificate).map(|closing| closing.kind)
    };
    assert_eq!(verdict(ClosingKind::Cancel, &payee), Ok(ClosingKind::Cancel));
    assert_eq!(verdict(ClosingKind::Decline, &payer), Ok(ClosingKind::Decline));
    assert_eq!(verdict(ClosingKind::Cancel, &payer), Err(Unsigned::Certificate));
    assert_eq!(verdict(ClosingKind::Decline, &payee), Err(Unsigned::Certificate));
}

#[test]
fn an_order_answers_a_request_only_in_every_field() {
    let (alice, bob) = (person(1), person(11));
    let (order, request) = (order(&alice, &bob), request(&bob, &alice));
    assert!(signed::answers(&order, &request));
    let others = [
        Order { ledger: LedgerId([8; 32]), ..order.clone() },
        Order { payer: bob.account, ..order.clone() },
        Order { payee: alice.account, ..order.clone() },
        Order { amount: amount(1_251), ..order.clone() },
        Order { memo: memo::commit(&opening("dinner")).unwrap(), ..order.clone() },
        Order { not_after: Timestamp(501), ..order.clone() },
        Order { refunds: Some(OrderId([3; 16])), ..order },
    ];
    for other in others {
        assert!(!signed::answers(&other, &request), "{other:?}");
    }
}

#[test]
fn a_commitment_opens_to_its_memo_and_names_and_to_nothing_else() {
    let whole = opening("lunch");
    let commitment = memo::commit(&whole).unwrap();
    assert!(memo::opens(&whole, commitment));
    let others = [
        opening("dinner"),
        MemoOpening { salt: [6; 32], ..whole.clone() },
        MemoOpening { payer: whole.payee.clone(), payee: whole.payer.clone(), ..whole },
    ];
    assert!(others.iter().all(|other| !memo::opens(other, commitment)));
}

/// A log as the directory would keep it, and its receipts.
struct Log {
    tree: MemoryBackedTree<Sha256, HashBytes>,
    entries: Vec<Vec<u8>>,
    key: ReceiptKey,
    signer: SigningKey,
}

impl Log {
    fn new(entries: Vec<Entry>) -> Self {
        let signer = key(77);
        let entries: Vec<Vec<u8>> = entries.iter().map(|entry| frame::encode_body(entry, 2_048).unwrap()).collect();
        let mut tree = MemoryBackedTree::new();
        entries.iter().for_each(|entry| tree.push(proof::leaf(entry)));
        let key = ReceiptKey {
            root_key: public_key(&key(70)),
            ledger: LEDGER,
            currency: Currency::default(),
            key: public_key(&signer),
            not_after: Timestamp(1_000),
        };
        Self { tree, entries, key, signer }
    }

    fn checkpoint(&self) -> Checkpoint {
        let root = self.tree.root();
        Checkpoint {
            ledger: LEDGER,
            era: 1,
            size: root.num_leaves(),
            root: (*root.as_bytes()).into(),
            time: Timestamp(7),
        }
    }

    fn receipt(&self, index: usize, certificate: Option<Certificate>) -> SettledEntry {
        let path = self.tree.prove_inclusion(index);
        SettledEntry {
            index: index as u64,
            entry: self.entries[index].clone().try_into().unwrap(),
            certificate,
            proof: hashes(path.as_bytes()),
            checkpoint: receipt::sign_checkpoint(&self.checkpoint(), &self.signer).unwrap(),
        }
    }
}

fn hashes<const MAX: usize>(bytes: &[u8]) -> Bounded<HashBytes, MAX> {
    Bounded::new(bytes.chunks_exact(32).map(|hash| hash.try_into().unwrap()).collect()).unwrap()
}

fn opened(payee: u8) -> Entry {
    Entry::Opening { payee: AccountId([payee; 32]), amount: amount(100), at: Timestamp(1) }
}

#[test]
fn a_receipt_holds_and_whatever_is_altered_in_it_does_not() {
    let (alice, bob) = (person(1), person(11));
    let order = order(&alice, &bob);
    let signed_order = signed::sign_order(&order, &alice.order_key).unwrap();
    let log = Log::new(vec![opened(1), Entry::Transfer { order: signed_order, at: Timestamp(2) }, opened(2)]);
    let good = log.receipt(1, Some(alice.certificate.clone()));
    let verified = receipt::verify(&good, &log.key).unwrap();
    assert_eq!((verified.index, verified.order, verified.checkpoint), (1, Some(order), log.checkpoint()));
    let mut proof = good.proof.to_vec();
    proof[0][0] ^= 1;
    let mut tampered = good.entry.to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    let mut checkpoint = good.checkpoint.clone();
    checkpoint.signature.0[3] ^= 1;
    let stranger = ReceiptKey { key: public_key(&key(78)), ..log.key.clone() };
    let over = ReceiptKey { not_after: Timestamp(0), ..log.key.clone() };
    let other_ledger = ReceiptKey { ledger: LedgerId([8; 32]), ..log.key.clone() };
    let rows = [
        (SettledEntry { index: 0, ..good.clone() }, &log.key, BadReceipt::NotInLog),
        (SettledEntry { index: u64::MAX, ..good.clone() }, &log.key, BadReceipt::NotInLog),
        (SettledEntry { proof: proof.try_into().unwrap(), ..good.clone() }, &log.key, BadReceipt::NotInLog),
        (SettledEntry { proof: Bounded::default(), ..good.clone() }, &log.key, BadReceipt::NotInLog),
        (SettledEntry { entry: tampered.try_into().unwrap(), ..good.clone() }, &log.key, BadReceipt::NotInLog),
        (SettledEntry { checkpoint, ..good.clone() }, &log.key, BadReceipt::Checkpoint),
        (SettledEntry { certificate: None, ..good.clone() }, &log.key, BadReceipt::Order),
        (SettledEntry { certificate: Some(bob.certificate), ..good.clone() }, &log.key, BadReceipt::Order),
        (good.clone(), &stranger, BadReceipt::Checkpoint),
        (good.clone(), &other_ledger, BadReceipt::Checkpoint),
        (good, &over, BadReceipt::Checkpoint),
    ];
    for (settled, key, why) in rows {
        assert_eq!(receipt::verify(&settled, key), Err(why), "{settled:?}");
    }
}

#[test]
fn a_directory_cannot_put_an_order_into_its_log_that_the_payer_did_not_sign() {
    let (alice, bob) = (person(1), person(11));
    let forged = signed::sign_order(&order(&alice, &bob), &bob.order_key).unwrap();
    let log = Log::new(vec![Entry::Transfer { order: forged, at: Timestamp(2) }]);
    let settled = log.receipt(0, Some(alice.certificate));
    assert_eq!(receipt::verify(&settled, &log.key), Err(BadReceipt::Order));
}

#[test]
fn a_receipt_key_counts_when_the_pinned_directory_vouches_for_it() {
    let root = key(70);
    let log = Log::new(vec![]);
    let bytes = receipt::receipt_key_bytes(&log.key).unwrap();
    let signature = sign(&root, RECEIPT_KEY_LABEL, &bytes);
    let signed = SignedReceiptKey { receipt_key: bytes.clone().try_into().unwrap(), signature };
    let pin = membership::fingerprint(&public_key(&root));
    assert_eq!(receipt::verify_key(&signed, pin), Ok(log.key));
    let other: PublicKey = public_key(&key(71));
    assert_eq!(receipt::verify_key(&signed, membership::fingerprint(&other)), Err(BadReceipt::ReceiptKey));
    let forged = SignedReceiptKey { signature: sign(&key(71), RECEIPT_KEY_LABEL, &bytes), ..signed };
    assert_eq!(receipt::verify_key(&forged, pin), Err(BadReceipt::ReceiptKey));
}

proptest! {
    #[test]
    fn a_log_proves_its_beginnings_and_no_other(size in 1_usize..200, from in 0_usize..200, changed in 0_usize..200) {
        let from = from.min(size);
        let log = |changed: Option<usize>, size| {
            let entry = |at| Entry::Issue {
                id: OrderId([(changed == Some(at)).into(); 16]),
                payee: AccountId([1; 32]),
                amount: amount(at as u64),
                memo: BoundedText::default(),
                at: Timestamp(1),
            };
            Log::new((0..size).map(entry).collect())
        };
        let (before, after) = (log(None, from).checkpoint(), log(None, size));
        let proof = if from == 0 || from == size {
            Vec::new()
        } else {
            hashes::<41>(after.tree.prove_consistency(size - from).as_bytes()).to_vec()
        };
        let after = after.checkpoint();
        let verdict = |before: &Checkpoint| {
            proof::verify_consistency((from as u64, &before.root), (size as u64, &after.root), &proof)
        };
        prop_assert_eq!(verdict(&before), Ok(()));
        if changed < from {
            prop_assert_eq!(verdict(&log(Some(changed), from).checkpoint()), Err(proof::BadProof));
        }
    }

    #[test]
    fn no_proof_makes_the_verdict_panic(
        bytes in proptest::collection::vec(any::<[u8; 32]>(), 0..44),
        numbers in any::<(u64, u64)>(),
        small in (0_u64..300, 0_u64..300),
    ) {
        for (one, two) in [numbers, small, (small.0, numbers.1)] {
            let _ = proof::verify_inclusion(b"entry", one, two, &[1; 32], &bytes);
            let _ = proof::verify_consistency((one, &[1; 32]), (two, &[2; 32]), &bytes);
        }
    }
}
