//! Round trips, truncation and trailing bytes.

use std::fmt::Debug;

use proptest::prelude::*;
use protocol::{
    BoundedBytes, DeviceId, MessageId, PublicKey, Signature, Timestamp,
    frame::{self, FrameError},
    limits,
    peer::{Body, Content, Envelope, PeerFrame},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::samples;

const LIMIT: usize = limits::DIRECTORY_FRAME_MAX;

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(values: &[T]) {
    for value in values {
        let bytes = frame::encode_body(value, LIMIT).unwrap();
        assert_eq!(frame::decode_body::<T>(&bytes, LIMIT).as_ref(), Ok(value));
        for cut in 0..bytes.len() {
            let cut = frame::decode_body::<T>(&bytes[..cut], LIMIT);
            assert!(matches!(cut, Err(FrameError::Malformed(_))), "{value:?} cut short: {cut:?}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(frame::decode_body::<T>(&longer, LIMIT), Err(FrameError::TrailingBytes(1)), "{value:?}");
    }
}

#[test]
fn every_variant_comes_back_whole_and_neither_short_nor_long() {
    check(&samples::requests());
    check(&samples::replies());
    check(&samples::refusals());
    check(&samples::pushes());
    check(&samples::peer_frames());
    check(&[samples::content()]);
    check(&[samples::entry()]);
    check(&[samples::device_list()]);
    check(&[samples::plain_receipt()]);
    check(&samples::policies());
    check(&[samples::leave()]);
    check(&samples::mail_items());
    check(&samples::bodies());
    check(&samples::money::ledger_requests());
    check(&samples::money::ledger_replies());
    check(&samples::money::ledger_refusals());
    check(&[samples::money::order()]);
    check(&[samples::money::request()]);
    check(&[samples::money::closing()]);
    check(&[samples::money::memo_opening()]);
    check(&samples::money::entries());
    check(&[samples::money::checkpoint()]);
    check(&[samples::money::receipt_key()]);
    check(&[samples::files::offer()]);
    check(&[samples::files::notice()]);
    check(&samples::files::shapes());
    check(&[samples::files::manifest()]);
    check(&samples::files::fetches());
    check(&samples::files::grants());
    check(&[samples::files::taken()]);
}

#[test]
fn a_frame_has_its_length_before_it() {
    let frame = frame::encode(&samples::content(), LIMIT).unwrap();
    let (header, body) = frame.split_first_chunk().unwrap();
    assert_eq!(frame::body_length(*header, LIMIT), Ok(body.len()));
    assert_eq!(frame::decode_body(body, LIMIT), Ok(samples::content()));
    let too_long = FrameError::TooLong { length: body.len(), limit: body.len() - 1 };
    assert_eq!(frame::encode(&samples::content(), body.len() - 1), Err(too_long.clone()));
    assert_eq!(frame::body_length(*header, body.len() - 1), Err(too_long));
}

proptest! {
    #[test]
    fn any_message_comes_back(
        epoch in any::<u64>(),
        sender in any::<[u8; 16]>(),
        id in any::<[u8; 16]>(),
        conversation in any::<[u8; 32]>(),
        ciphertext in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let frame = PeerFrame::Message(Envelope {
            conversation: protocol::ConversationId(conversation),
            epoch,
            sender: DeviceId(sender),
            id: MessageId(id),
            ciphertext: BoundedBytes::new(ciphertext).unwrap(),
        });
        let bytes = frame::encode_body(&frame, limits::PEER_FRAME_MAX).unwrap();
        prop_assert_eq!(frame::decode_body::<PeerFrame>(&bytes, limits::PEER_FRAME_MAX), Ok(frame));
    }

    #[test]
    fn any_content_comes_back(
        id in any::<[u8; 16]>(),
        previous in any::<[u8; 32]>(),
        sequence in any::<u64>(),
        shared in any::<u64>(),
        at in any::<u64>(),
        text in ".{0,300}",
    ) {
        let content = Content {
            id: MessageId(id),
            sequence,
            shared,
            previous,
            seen: samples::list(vec![MessageId(id)]),
            sent_at: Timestamp(at),
            checkpoint: None,
            body: Body::Text(samples::text(&text)),
        };
        let bytes = frame::encode_body(&content, LIMIT).unwrap();
        prop_assert_eq!(frame::decode_body::<Content>(&bytes, LIMIT), Ok(content));
    }

    #[test]
    fn keys_and_signatures_keep_every_byte(seed in any::<[u8; 32]>()) {
        let mut key = [0; 65];
        key.iter_mut().zip(seed.iter().cycle()).enumerate().for_each(|(at, (k, s))| *k = s.wrapping_add(at as u8));
        let mut signature = [0; 64];
        signature.copy_from_slice(&key[1..]);
        let pair = (PublicKey(key), Signature(signature));
        let bytes = frame::encode_body(&pair, LIMIT).unwrap();
        prop_assert_eq!(bytes.len(), 65 + 64);
        prop_assert_eq!(frame::decode_body::<(PublicKey, Signature)>(&bytes, LIMIT), Ok(pair));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = frame::decode_body::<protocol::directory::Request>(&bytes, LIMIT);
        let _ = frame::decode_body::<protocol::directory::Reply>(&bytes, LIMIT);
        let _ = frame::decode_body::<PeerFrame>(&bytes, LIMIT);
        let _ = frame::decode_body::<Content>(&bytes, LIMIT);
        let _ = frame::decode_body::<protocol::money::Order>(&bytes, LIMIT);
        let _ = frame::decode_body::<protocol::money::Entry>(&bytes, LIMIT);
        let _ = frame::decode_body::<protocol::directory::LedgerReply>(&bytes, LIMIT);
    }
}
