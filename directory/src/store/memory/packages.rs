//! Key packages, in the model.

use protocol::{DeviceId, Timestamp};

use super::{
    super::{KeyPackages, Package, Stored},
    MemoryStore,
};

/// A device's packages, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Packages {
    known: Vec<(Package, State)>,
    last_resort: Option<Package>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Reserved(DeviceId),
    Used,
}

impl Packages {
    fn take(&mut self, requester: DeviceId, now: Timestamp) -> Option<Vec<u8>> {
        let reserved = State::Reserved(requester);
        if let Some((package, state)) = self.known.iter_mut().find(|(_, state)| *state == reserved) {
            if package.expires > now {
                return Some(package.bytes.clone());
            }
            *state = State::Used;
        }
        let mut free = self.known.iter_mut().filter(|(package, state)| *state == State::Free && package.expires > now);
        match free.next() {
            Some((package, state)) => {
                *state = reserved;
                Some(package.bytes.clone())
            }
            None => self.last_resort.as_ref().filter(|last| last.expires > now).map(|last| last.bytes.clone()),
        }
    }
}

impl KeyPackages for MemoryStore {
    fn forget_packages(&self, devices: &[DeviceId]) -> Stored<()> {
        let mut inner = self.lock();
        for device in devices {
            inner.packages.remove(device);
        }
        Ok(())
    }

    fn publish(&self, device: DeviceId, packages: &[Package], last_resort: Option<&Package>) -> Stored<()> {
        let mut inner = self.lock();
        let kept = inner.packages.entry(device).or_default();
        for package in packages {
            if !kept.known.iter().any(|(known, _)| known.bytes == package.bytes) {
                kept.known.push((package.clone(), State::Free));
            }
        }
        if let Some(package) = last_resort {
            kept.last_resort = Some(package.clone());
        }
        Ok(())
    }

    fn stock(&self, device: DeviceId, now: Timestamp) -> Stored<(u32, bool)> {
        let inner = self.lock();
        let Some(kept) = inner.packages.get(&device) else { return Ok((0, false)) };
        let free = kept.known.iter().filter(|(package, state)| *state == State::Free && package.expires > now).count();
        let last_resort = kept.last_resort.as_ref().is_some_and(|last| last.expires > now);
        Ok((u32::try_from(free).unwrap_or(u32::MAX), last_resort))
    }

    fn take(&self, requester: DeviceId, devices: &[DeviceId], now: Timestamp) -> Stored<Vec<Option<Vec<u8>>>> {
        let mut inner = self.lock();
        Ok(devices.iter().map(|device| inner.packages.get_mut(device)?.take(requester, now)).collect())
    }

    fn used(&self, requester: DeviceId, devices: &[DeviceId]) -> Stored<()> {
        let mut inner = self.lock();
        for device in devices {
            let kept = inner.packages.get_mut(device).into_iter().flat_map(|kept| &mut kept.known);
            for (_, state) in kept.filter(|(_, state)| *state == State::Reserved(requester)) {
                *state = State::Used;
            }
        }
        Ok(())
    }

    fn expire_packages(&self, now: Timestamp, at_most: usize) -> Stored<()> {
        let mut inner = self.lock();
        let mut left = at_most;
        for kept in inner.packages.values_mut() {
            kept.known.retain(|(package, _)| {
                let goes = package.expires <= now && left > 0;
                left -= usize::from(goes);
                !goes
            });
        }
        let mut left = at_most;
        for kept in inner.packages.values_mut() {
            if left > 0 && kept.last_resort.as_ref().is_some_and(|last| last.expires <= now) {
                kept.last_resort = None;
                left -= 1;
            }
        }
        Ok(())
    }
}
