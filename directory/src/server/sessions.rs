//! Which device is signed in on which connection: at most one connection each, the newest.

use std::sync::Arc;

use dashmap::DashMap;
use protocol::{DeviceId, directory::Push, peer::CloseCode};

use crate::server::link::Link;

/// The signed-in devices. Each call touches one key and holds no guard when it returns.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_device: DashMap<DeviceId, Arc<Link>>,
}

impl Sessions {
    /// This connection is the device's now; an older one is told so and ends.
    pub(crate) fn insert(&self, device: DeviceId, link: &Arc<Link>) {
        let older = self.by_device.insert(device, Arc::clone(link));
        if let Some(older) = older.filter(|older| older.number != link.number) {
            tracing::info!(?device, connection = older.number, by = link.number, "superseded");
            older.end(CloseCode::Superseded);
        }
    }

    /// Forgets the device's session if it is still this connection's; says whether it was.
    pub(crate) fn remove(&self, device: DeviceId, link: &Link) -> bool {
        self.by_device.remove_if(&device, |_, current| current.number == link.number).is_some()
    }

    /// Adds to what waits to be pushed to a device, if it is connected.
    pub(crate) fn push(&self, device: DeviceId, push: Push) {
        if let Some(link) = self.link(device) {
            link.pushes.push(push);
        }
    }

    /// Ends a device's session: whatever it asks from now on is a stranger's.
    pub(crate) fn end(&self, device: DeviceId, code: CloseCode) {
        if let Some((_, link)) = self.by_device.remove(&device) {
            link.end(code);
        }
    }

    fn link(&self, device: DeviceId) -> Option<Arc<Link>> {
        self.by_device.get(&device).map(|link| Arc::clone(&link))
    }
}
