//! Newtypes for everything that is only a run of bytes or a number, so that no two can be confused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The bytes themselves.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// Reads exactly as many bytes as the type has; `None` for any other length.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            /// All bytes in lower-case hexadecimal.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            /// The first four bytes: enough to follow one id through a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}(", stringify!($name))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, "…)")
            }
        }

        impl std::str::FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                parse_hex(text).map(Self)
            }
        }
    };
}

/// A text was not the hexadecimal form of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the hexadecimal form of an id")]
pub struct NotHex;

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], NotHex> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(NotHex);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| NotHex)?;
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotHex);
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| NotHex)?;
    }
    Ok(bytes)
}

bytes_newtype!(
    /// An account: SHA-256 of its root key under the label [`ACCOUNT_ID_LABEL`]. Names are never used in its place.
    AccountId, 32
);
bytes_newtype!(
    /// One device of an account, drawn at random by the device.
    DeviceId, 16
);
bytes_newtype!(
    /// One message, drawn at random by its sender; the authenticated data of its ciphertext.
    MessageId, 16
);
bytes_newtype!(
    /// One conversation; the MLS group id. Direct ones are derived (see [`crate::policy::direct_conversation_input`]).
    ConversationId, 32
);
bytes_newtype!(
    /// SHA-256 of a commit's bytes: how a member recognises its own.
    CommitHash, 32
);
bytes_newtype!(
    /// SHA-256 of a public key in SEC1 uncompressed form: what people pin and compare.
    Fingerprint, 32
);
bytes_newtype!(
    /// One ledger, for as long as it lives: what every order, request and checkpoint names.
    LedgerId, 32
);
bytes_newtype!(
    /// One payment order, drawn at random by its payer before anything is sent.
    OrderId, 16
);
bytes_newtype!(
    /// One payment request, drawn at random by its payee.
    RequestId, 16
);
bytes_newtype!(
    /// One offered file or folder, drawn at random by whoever offers it.
    FileId, 16
);
bytes_newtype!(
    /// What a memo and the names beside it were when they were signed (see [`crate::money::MemoOpening`]).
    MemoCommitment, 32
);

/// Label under which a root key is hashed into an [`AccountId`].
pub const ACCOUNT_ID_LABEL: &[u8] = b"tuppence account id v1";

/// A P-256 public key, SEC1 uncompressed: `0x04`, x, y. That it is a point of the curve is checked where it is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 65]);

impl PublicKey {
    /// Reads exactly 65 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:02x}{:02x}{:02x}{:02x}…)", self.0[1], self.0[2], self.0[3], self.0[4])
    }
}

/// A P-256 ECDSA signature over SHA-256, as the two fixed-size scalars `r`, `s` (IEEE P1363).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature(pub [u8; 64]);

// Serde's derive stops at arrays of 32: two halves (and the point's tag) say the same bytes.
impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (tag, rest) = self.0.split_at(1);
        let (x, y) = rest.split_at(32);
        (tag[0], half(x), half(y)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (tag, x, y) = <(u8, [u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 65];
        bytes[0] = tag;
        bytes[1..33].copy_from_slice(&x);
        bytes[33..].copy_from_slice(&y);
        Ok(Self(bytes))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (r, s) = self.0.split_at(32);
        (half(r), half(s)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (r, s) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        Ok(Self(bytes))
    }
}

fn half(bytes: &[u8]) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(bytes);
    half
}

/// Milliseconds since 1970-01-01T00:00:00Z. The cores take it from outside; no core reads a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment and so many milliseconds, at most the end of time.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; zero if that is later.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000
    }
}
