//! A file that comes with its offer.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::FileOffer;
use crate::{BoundedBytes, limits::FILE_ENCLOSED_MAX};

/// An offer with all that it offers: of a folder its manifest, then the bytes of all files, one after the other. It is
/// sealed as the message that it is in, and under no key of its own: the offer's secret is right beside it.
///
/// There are exactly as many bytes as the offer says. Whether they are what it says is for whoever writes them to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnclosedFile {
    offer: FileOffer,
    bytes: BoundedBytes<FILE_ENCLOSED_MAX>,
}

impl EnclosedFile {
    /// Puts an offer and its bytes together; `None` if those are not as many as it says, or more than a message takes.
    #[must_use]
    pub fn new(offer: FileOffer, bytes: Vec<u8>) -> Option<Self> {
        let bytes = BoundedBytes::new(bytes).ok()?;
        (offer.enclosed_length() == Some(bytes.len())).then_some(Self { offer, bytes })
    }

    /// What is offered.
    #[must_use]
    pub const fn offer(&self) -> &FileOffer {
        &self.offer
    }

    /// The manifest, which a file has none of, and the bytes.
    #[must_use]
    pub fn parts(&self) -> (&[u8], &[u8]) {
        // The length of both together was checked when they were put together.
        self.bytes.split_at_checked(self.offer.shape.manifest_bytes() as usize).unwrap_or_default()
    }

    /// All of the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl FileOffer {
    /// How many bytes would come with this offer, manifest and all; `None` if those are more than a message takes.
    #[must_use]
    pub fn enclosed_length(&self) -> Option<usize> {
        let manifest = u64::from(self.shape.manifest_bytes());
        let length = usize::try_from(self.chunking.bytes().checked_add(manifest)?).ok()?;
        (length <= FILE_ENCLOSED_MAX).then_some(length)
    }
}

impl<'de> Deserialize<'de> for EnclosedFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (offer, bytes) = <(FileOffer, BoundedBytes<FILE_ENCLOSED_MAX>)>::deserialize(deserializer)?;
        Self::new(offer, bytes.into_inner()).ok_or_else(|| de::Error::custom("more or fewer bytes than are offered"))
    }
}
