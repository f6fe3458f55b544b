//! Lengths beyond their limits are refused before anything is taken in for them: an announced length alone is enough,
//! and not one item is read.

use std::cell::Cell;

use protocol::{
    Bounded, BoundedBytes, BoundedText,
    bounded::TooLong,
    frame::{self, FrameError},
    limits,
};
use serde::{Deserialize, Deserializer};

thread_local! {
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// An item that counts how often one is read.
#[derive(Debug, PartialEq)]
struct Counted(u8);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        READ.set(READ.get() + 1);
        u8::deserialize(deserializer).map(Counted)
    }
}

/// A length as postcard writes it.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn a_list_that_announces_too_much_is_refused_before_its_first_item() {
    for announced in [4, 300, u64::from(u32::MAX), u64::MAX] {
        let bytes = [varint(announced), vec![1; 400]].concat();
        READ.set(0);
        let refused = frame::decode_body::<Bounded<Counted, 3>>(&bytes, 1_000);
        assert!(matches!(refused, Err(FrameError::Malformed(_))), "{announced}: {refused:?}");
        assert_eq!(READ.get(), 0, "{announced}");
    }
    let taken = frame::decode_body::<Bounded<Counted, 3>>(&[3, 7, 8, 9], 1_000).unwrap();
    assert_eq!(taken.into_inner(), [Counted(7), Counted(8), Counted(9)]);
}

#[test]
fn bytes_and_texts_that_announce_too_much_are_refused() {
    for announced in [4, 300, u64::from(u32::MAX), u64::MAX] {
        let bytes = [varint(announced), vec![b'a'; 400]].concat();
        assert!(frame::decode_body::<BoundedBytes<3>>(&bytes, 1_000).is_err(), "{announced}");
        assert!(frame::decode_body::<BoundedText<3>>(&bytes, 1_000).is_err(), "{announced}");
    }
    // A length within the limit that the frame does not hold is refused as well.
    assert!(frame::decode_body::<BoundedBytes<3>>(&[3, 1, 2], 1_000).is_err());
    assert_eq!(frame::decode_body::<BoundedBytes<3>>(&[3, 1, 2, 3], 1_000).unwrap().into_inner(), [1, 2, 3]);
    assert_eq!(BoundedBytes::<3>::new(vec![0; 4]), Err(TooLong { length: 4, limit: 3 }));
}

#[test]
fn a_header_beyond_the_receivers_limit_is_refused_by_its_four_bytes() {
    for (length, limit) in [(101, 100), (u32::MAX, limits::DIRECTORY_FRAME_MAX)] {
        let refused = FrameError::TooLong { length: length as usize, limit };
        assert_eq!(frame::body_length(length.to_be_bytes(), limit), Err(refused));
    }
    assert_eq!(frame::body_length(100_u32.to_be_bytes(), 100), Ok(100));
}

#[test]
fn the_largest_legal_request_and_reply_fit_into_a_frame() {
    let group = limits::HANDSHAKE_MAX + limits::TREE_MAX;
    assert!(group + 1_024 <= limits::DIRECTORY_FRAME_MAX, "Reply::Group");
    assert!(2 * limits::HANDSHAKE_MAX + limits::TREE_MAX + 1_024 <= limits::DIRECTORY_FRAME_MAX, "CreateConversation");
    // A page of mail is at most so many bytes, or one item: a Welcome with its tree.
    assert!(limits::DRAIN_BYTES_MAX.max(group) + 64 * limits::DRAIN_MAX <= limits::DIRECTORY_FRAME_MAX, "Mail");
    assert!(limits::CIPHERTEXT_MAX + 256 <= limits::PEER_FRAME_MAX);
    let recipients = limits::DEPOSIT_MAX * limits::RECIPIENTS_MAX * 16;
    assert!(
        limits::DEPOSIT_BYTES_MAX + recipients + limits::DEPOSIT_MAX * 256 <= limits::DIRECTORY_FRAME_MAX,
        "Deposit"
    );
}
