//! Whose a connection is, from its beginning to its end: a device's session, which ends at once everywhere.

use std::sync::atomic::Ordering;

use protocol::{AccountId, DeviceId, PublicKey, Timestamp, directory::Reply};

use crate::store::{Store, StoreError};

use super::{Answer, Caller, Service, ServiceEffect, accounts::is_current};

/// Whose a connection is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
    /// How many sessions had ended when the store was asked for this one.
    ended: u64,
}

impl<S: Store> Service<S> {
    /// A connection stands: a device that is signed in needs no password.
    pub fn connected(&self, now: Timestamp, caller: &mut Caller) -> Vec<ServiceEffect> {
        match self.session_of(now, &caller.tls_key) {
            Ok(session) => caller.session = session,
            Err(error) => (self.on_fatal)(&error),
        }
        Vec::new()
    }

    /// The session of a TLS key: its device is signed in, and its certificate has not expired.
    pub(super) fn session_of(&self, now: Timestamp, tls_key: &PublicKey) -> Result<Option<Session>, StoreError> {
        // Counted before the store is asked: what ends meanwhile is noticed with the next request.
        let ended = self.ended.load(Ordering::SeqCst);
        let device = self.store.device_by_key(tls_key)?.filter(|device| device.signed_in && !device.revoked);
        let Some(device) = device else { return Ok(None) };
        let record = self.store.accounts_by_id(&[device.account])?.into_iter().flatten().next();
        let current = record.is_some_and(|record| is_current(&record, device.device, now));
        Ok(current.then_some(Session { account: device.account, device: device.device, ended }))
    }

    /// Asks the store again for a connection's session if any session has ended since. Another connection of the same
    /// device may have signed out; what is left of the session then ends with it.
    pub(super) fn recheck_session(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<(), StoreError> {
        let Some(session) = caller.session.filter(|session| session.ended != self.ended.load(Ordering::SeqCst)) else {
            return Ok(());
        };
        caller.session = self.session_of(now, &caller.tls_key)?;
        if caller.session.is_none() {
            effects.extend(self.leave(now, session.account, session.device)?);
            effects.push(ServiceEffect::CloseSession { device: session.device });
        }
        Ok(())
    }

    /// Sessions have ended, and the store knows. From here on no other connection of their devices passes for signed in,
    /// and what one of them announces after its presence has ended, it takes back itself.
    pub(super) fn note_ended(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn sign_out(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        Session { account, device, .. }: Session,
        effects: &mut Vec<ServiceEffect>,
    ) -> Answer {
        self.store.set_signed_in(device, false)?;
        self.note_ended();
        effects.extend(self.leave(now, account, device)?);
        effects.push(ServiceEffect::CloseSession { device });
        caller.session = None;
        Ok(Reply::Done)
    }

    /// A connection is gone, and its presence with it.
    pub fn disconnected(&self, now: Timestamp, caller: &mut Caller) -> Vec<ServiceEffect> {
        let Some(Session { account, device, .. }) = caller.session else { return Vec::new() };
        self.leave(now, account, device).unwrap_or_else(|error| {
            (self.on_fatal)(&error);
            Vec::new()
        })
    }
}
