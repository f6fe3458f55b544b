//! Certificates of devices, the list of an account's devices, and receipts: what is signed, to the byte.
//!
//! A **root key** signs, for each device, one [`DeviceEntry`], and the [`DeviceList`] that holds them all. The bytes
//! that were received are what is verified, never a re-encoding. Each kind of signature stands under its own label.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Bounded, BoundedBytes, ConversationId, DeviceId, PublicKey, Signature, Timestamp, frame,
    frame::FrameError,
    limits::{CERTIFICATE_MAX, DEVICE_LIST_MAX, DEVICES_MAX, RECEIPT_EXTRAS_MAX},
};

/// Label before a [`DeviceEntry`]'s bytes when the root key signs them.
pub const DEVICE_ENTRY_LABEL: &[u8] = b"tuppence device certificate v1\0";
/// Label before a [`DeviceList`]'s bytes when the root key signs them.
pub const DEVICE_LIST_LABEL: &[u8] = b"tuppence device list v1\0";
/// Label before a [`Receipt`]'s bytes when the recipient's device signs them with its MLS key.
pub const RECEIPT_LABEL: &[u8] = b"tuppence receipt v1\0";

/// What a root key says of one device: its keys, one for each use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// The account's root key, so that the certificate stands alone.
    pub root_key: PublicKey,
    /// The device.
    pub device: DeviceId,
    /// Key of the device's TLS certificate.
    pub tls_key: PublicKey,
    /// Key of the device's MLS leaf; it signs receipts too, under a label of its own.
    pub mls_key: PublicKey,
    /// Key that signs the device's payment orders.
    pub order_key: PublicKey,
    /// End of validity. It governs signing in and being added by others, never the processing of commits.
    pub not_after: Timestamp,
}

/// A device's certificate: the bytes of its [`DeviceEntry`] and the root key's signature. Its own bytes are the
/// device's MLS basic credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Postcard of the [`DeviceEntry`], exactly as signed.
    pub entry: BoundedBytes<CERTIFICATE_MAX>,
    /// Over [`DEVICE_ENTRY_LABEL`] and `entry`, by the root key in the entry.
    pub signature: Signature,
}

/// All devices of an account at one moment. Peers keep the highest version that they saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// The account's root key.
    pub root_key: PublicKey,
    /// Counts up with each change.
    pub version: u64,
    /// The devices' certificates.
    pub devices: Bounded<Certificate, DEVICES_MAX>,
    /// End of validity; the account renews it before.
    pub not_after: Timestamp,
}

/// A [`DeviceList`]'s bytes and the root key's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDeviceList {
    /// Postcard of the [`DeviceList`], exactly as signed.
    pub list: BoundedBytes<DEVICE_LIST_MAX>,
    /// Over [`DEVICE_LIST_LABEL`] and `list`, by the root key in the list.
    pub signature: Signature,
}

/// What a recipient says of a sender's messages in one conversation. Cumulative: a later one replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The conversation.
    pub conversation: ConversationId,
    /// Account of the recipient, who signs.
    pub recipient: AccountId,
    /// Device of the recipient, which signs.
    pub device: DeviceId,
    /// The device whose messages these are.
    pub sender: DeviceId,
    /// Every message with a sequence number below this is stored on the device.
    pub delivered_below: u64,
    /// Stored ones beyond, ascending.
    pub delivered_also: Bounded<u64, RECEIPT_EXTRAS_MAX>,
    /// Every message with a sequence number below this was read; never more than is delivered.
    pub read_below: u64,
}

/// A [`Receipt`]'s bytes and the recipient device's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// Postcard of the [`Receipt`], exactly as signed.
    pub receipt: BoundedBytes<4_096>,
    /// Over [`RECEIPT_LABEL`] and `receipt`, by the device's MLS key.
    pub signature: Signature,
}

impl Certificate {
    /// Reads the entry, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`DeviceEntry`].
    pub fn entry(&self) -> Result<DeviceEntry, FrameError> {
        frame::decode_body(&self.entry, CERTIFICATE_MAX)
    }
}

impl SignedDeviceList {
    /// Reads the list, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`DeviceList`].
    pub fn list(&self) -> Result<DeviceList, FrameError> {
        frame::decode_body(&self.list, DEVICE_LIST_MAX)
    }
}

impl SignedReceipt {
    /// Reads the receipt, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`Receipt`].
    pub fn receipt(&self) -> Result<Receipt, FrameError> {
        frame::decode_body(&self.receipt, 4_096)
    }
}

/// What is signed: the label, then the bytes.
#[must_use]
pub fn labelled(label: &[u8], bytes: &[u8]) -> Vec<u8> {
    [label, bytes].concat()
}
