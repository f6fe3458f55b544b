//! Key packages of devices, each for one requester, until it is used or ends.

use protocol::{DeviceId, Timestamp};

use super::Stored;

/// A key package and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// An MLSMessage.
    pub bytes: Vec<u8>,
    /// From when on nobody is given it.
    pub expires: Timestamp,
}

/// Key packages of devices.
pub trait KeyPackages {
    /// Forgets everything of devices that are gone.
    fn forget_packages(&self, devices: &[DeviceId]) -> Stored<()>;
    /// Adds one-time packages (the same again changes nothing) and sets the last-resort one, if given.
    fn publish(&self, device: DeviceId, packages: &[Package], last_resort: Option<&Package>) -> Stored<()>;
    /// One-time packages left that have not expired, and whether there is such a last-resort one.
    fn stock(&self, device: DeviceId, now: Timestamp) -> Stored<(u32, bool)>;
    /// A package of each device for a requester, reserved until it is used or expires: the same again for the same
    /// requester.
    fn take(&self, requester: DeviceId, devices: &[DeviceId], now: Timestamp) -> Stored<Vec<Option<Vec<u8>>>>;
    /// The requester has used what it took of these devices.
    fn used(&self, requester: DeviceId, devices: &[DeviceId]) -> Stored<()>;
    /// Forgets packages that have expired, used ones too, at most so many.
    fn expire_packages(&self, now: Timestamp, at_most: usize) -> Stored<()>;
}
