//! Who may connect at all: how many connections there are, and how many of one network address that nobody has signed in
//! on. Pure counting; what a signed-in account may ask is the service's to judge.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::DashMap;

use crate::core::limits::network;

/// Connections at once. At some 40 KiB each, idle, they fit a small machine's memory.
const CONNECTIONS_MAX: usize = 20_000;
/// Connections of one address on which nobody has signed in: a school behind one address, all starting at once.
const STRANGERS_MAX: usize = 512;
/// Handshakes at once above which addresses are validated by Retry, so that forged ones cost us no signature.
const UNVALIDATED_MAX: usize = 128;

/// Counts of connections.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    all: AtomicUsize,
    handshakes: AtomicUsize,
    strangers: DashMap<IpAddr, usize>,
}

/// What to do with a connection that wants in.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Let it in.
    Welcome(Box<Arrival>),
    /// Let it prove its address first.
    Validate,
    /// Refuse it; the reason is for the log.
    Refuse(&'static str),
}

impl Arrivals {
    /// Judges a connection from `address`, and counts it if it is welcome.
    pub(crate) fn judge(self: &Arc<Self>, address: IpAddr, validated: bool) -> Verdict {
        if !validated && self.handshakes.load(Ordering::Relaxed) >= UNVALIDATED_MAX {
            return Verdict::Validate;
        }
        if self.all.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            return Verdict::Refuse("too many connections");
        }
        let address = network(address);
        {
            let mut count = self.strangers.entry(address).or_insert(0);
            if *count >= STRANGERS_MAX {
                return Verdict::Refuse("too many connections from one address without a sign-in");
            }
            *count += 1;
        }
        self.all.fetch_add(1, Ordering::Relaxed);
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        let (handshaking, stranger) = (true, true);
        Verdict::Welcome(Box::new(Arrival { arrivals: Arc::clone(self), address, handshaking, stranger }))
    }

    fn forget_stranger(&self, address: IpAddr) {
        if let Some(mut count) = self.strangers.get_mut(&address) {
            *count = count.saturating_sub(1);
        }
        self.strangers.remove_if(&address, |_, count| *count == 0);
    }
}

/// One counted connection; dropping it takes it out of the counts.
#[derive(Debug)]
pub(crate) struct Arrival {
    arrivals: Arc<Arrivals>,
    address: IpAddr,
    handshaking: bool,
    stranger: bool,
}

impl Arrival {
    /// The handshake is over.
    pub(crate) fn shook_hands(&mut self) {
        if std::mem::take(&mut self.handshaking) {
            self.arrivals.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Somebody signed in on it.
    pub(crate) fn signed_in(&mut self) {
        if std::mem::take(&mut self.stranger) {
            self.arrivals.forget_stranger(self.address);
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.shook_hands();
        self.signed_in();
        self.arrivals.all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome(arrivals: &Arc<Arrivals>, address: &str) -> Option<Box<Arrival>> {
        match arrivals.judge(address.parse().unwrap(), true) {
            Verdict::Welcome(arrival) => Some(arrival),
            Verdict::Validate | Verdict::Refuse(_) => None,
        }
    }

    #[test]
    fn one_address_cannot_take_every_place_and_gets_its_places_back() {
        let arrivals = Arc::new(Arrivals::default());
        let mut held: Vec<_> = (0..STRANGERS_MAX).map(|_| welcome(&arrivals, "192.0.2.1").unwrap()).collect();
        assert!(welcome(&arrivals, "192.0.2.1").is_none());
        assert!(welcome(&arrivals, "192.0.2.2").is_some(), "another address is not harmed");
        held[0].signed_in();
        let next = welcome(&arrivals, "192.0.2.1").unwrap();
        assert!(welcome(&arrivals, "192.0.2.1").is_none());
        drop((held, next));
        assert!(arrivals.strangers.is_empty());
        assert_eq!(arrivals.all.load(Ordering::Relaxed), 0);
        assert_eq!(arrivals.handshakes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn under_load_an_address_is_validated_first() {
        let arrivals = Arc::new(Arrivals::default());
        let address = "192.0.2.1".parse().unwrap();
        let mut held: Vec<_> = (0..UNVALIDATED_MAX).map(|_| welcome(&arrivals, "192.0.2.1").unwrap()).collect();
        assert!(matches!(arrivals.judge(address, false), Verdict::Validate));
        assert!(matches!(arrivals.judge(address, true), Verdict::Welcome(_)));
        held[0].shook_hands();
        assert!(matches!(arrivals.judge(address, false), Verdict::Welcome(_)));
    }
}
