//! Key packages: checked when they come, handed out one for each requester and device.

use std::time::Duration;

use membership::identity::device_of;
use mls_rs::{MlsMessage, time::MlsTime};
use protocol::{
    AccountId, Bounded, DeviceId, Timestamp,
    directory::{KeyPackageBytes, Push, Refusal, Reply},
    limits::{KEY_PACKAGE_LIFETIME_S, KEY_PACKAGES, KEY_PACKAGES_LOW},
};

use crate::store::{Package, Store};

use super::{Answer, Service, ServiceEffect, Stop, malformed};

impl<S: Store> Service<S> {
    pub(super) fn publish(
        &self,
        now: Timestamp,
        device: DeviceId,
        packages: &[KeyPackageBytes],
        last_resort: Option<&[u8]>,
    ) -> Answer {
        let checked = packages.iter().map(|package| self.check_package(now, device, package));
        let checked = checked.collect::<Result<Vec<_>, _>>()?;
        let last_resort = last_resort.map(|package| self.check_package(now, device, package)).transpose()?;
        let (left, _) = self.store.stock(device, now)?;
        let room = KEY_PACKAGES.saturating_sub(usize::try_from(left).unwrap_or(usize::MAX));
        let taken = checked.get(..room).unwrap_or(&checked);
        self.store.publish(device, taken, last_resort.as_ref())?;
        Ok(Reply::KeyPackageStock { left: self.store.stock(device, now)?.0 })
    }

    /// Checks a package; it ends as it says itself, and at the latest when those of today do.
    fn check_package(&self, now: Timestamp, device: DeviceId, bytes: &[u8]) -> Result<Package, Stop> {
        let bad = |error: &dyn std::fmt::Display| malformed(&format!("a key package does not hold: {error}"));
        let message = MlsMessage::from_bytes(bytes).map_err(|error| bad(&error))?;
        let time = MlsTime::from_duration_since_epoch(Duration::from_secs(now.seconds()));
        let package = self.observer.validate(message, time).map_err(|error| bad(&error))?;
        let owner = device_of(package.signing_identity()).map_err(|error| bad(&error))?;
        if owner.entry.not_after <= now {
            return Err(malformed("the device's certificate has expired; renew it"));
        }
        if owner.entry.device != device {
            return Err(malformed("a key package of another device"));
        }
        let end = package.expiration().map_err(|error| bad(&error))?.seconds_since_epoch();
        let expires = Timestamp(end.min(now.seconds().saturating_add(KEY_PACKAGE_LIFETIME_S)).saturating_mul(1_000));
        Ok(Package { bytes: bytes.to_vec(), expires })
    }

    pub(super) fn take_packages(
        &self,
        now: Timestamp,
        requester: DeviceId,
        of: AccountId,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        let record = self.store.accounts_by_id(&[of])?.into_iter().flatten().next().ok_or(Refusal::Unknown)?;
        let list = record.devices.list().map_err(|_| Refusal::Unavailable)?;
        let entries = list.devices.iter().filter_map(|certificate| certificate.entry().ok());
        // Nobody may add a device whose certificate has expired, so there is no use in its packages.
        let current = entries.filter(|entry| entry.not_after > now && entry.device != requester);
        let devices: Vec<DeviceId> = current.map(|entry| entry.device).collect();
        let taken = self.store.take(requester, &devices, now)?;
        let mut packages = Vec::new();
        for (device, package) in devices.into_iter().zip(taken) {
            let Some(package) = package else { continue };
            packages.push((device, KeyPackageBytes::new(package).map_err(|_| Refusal::Unavailable)?));
            if usize::try_from(self.store.stock(device, now)?.0).is_ok_and(|left| left <= KEY_PACKAGES_LOW) {
                effects.push(ServiceEffect::Push { device, push: Push::KeyPackagesLow });
            }
        }
        Ok(Reply::KeyPackages(Bounded::new(packages).unwrap_or_default()))
    }
}
