//! Every signature of the ledger: of orders by their payers' devices, of requests by their payees'.

use std::{collections::HashMap, num::NonZero, thread};

use membership::certificate::verify_certificate;
use protocol::{
    AccountId, DeviceId, PublicKey,
    money::{Order, SignedOrder},
};
use settlement::signed::{self, check_order};

use super::{AuditError, Checked, broken};
use crate::store::sqlite::ledger::snapshot::Snapshot;

/// A signature that is still to be looked at.
#[derive(Debug)]
pub(super) struct Unchecked {
    place: u64,
    order: SignedOrder,
    key: PublicKey,
}

/// Whose devices' keys are whose: each certificate is looked at once.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    keys: HashMap<i64, (AccountId, DeviceId, PublicKey)>,
}

impl Signatures {
    /// What of an entry is signed, and by whose key it must be.
    pub(super) fn asked(
        &mut self,
        kept: &Snapshot<'_>,
        place: u64,
        device: Option<i64>,
        read: Option<(Order, SignedOrder)>,
    ) -> Checked<Option<Unchecked>> {
        let Some((order, signed)) = read else {
            return if device.is_none() { Ok(None) } else { broken(place, "nobody could have signed it") };
        };
        let Some(number) = device else { return broken(place, "the certificate of its payer's device is missing") };
        let (account, device, key) = match self.keys.get(&number) {
            Some(known) => *known,
            None => {
                let known = whose(kept, place, number)?;
                self.keys.insert(number, known);
                known
            }
        };
        if (account, device) == (order.payer, order.device) {
            Ok(Some(Unchecked { place, order: signed, key }))
        } else {
            broken(place, "the certificate is not of its payer's device")
        }
    }

    /// That each request was signed by a device of its payee.
    pub(super) fn check_requests(&self, kept: &Snapshot<'_>, size: u64) -> Checked<()> {
        for request in kept.requests()? {
            let read =
                request.signed.request().ok().filter(|read| (read.payee, read.id) == (request.payee, request.id));
            let certificate = match &read {
                Some(read) => kept.certificate_of(read.device)?,
                None => None,
            };
            let holds = certificate.is_some_and(|known| signed::verify_request(&request.signed, &known).is_ok());
            if !holds {
                return broken(size.saturating_sub(1), format!("the request {} is not its payee's", request.id));
            }
        }
        Ok(())
    }
}

/// Whose key a device's certificate says that its key is.
fn whose(kept: &Snapshot<'_>, place: u64, number: i64) -> Checked<(AccountId, DeviceId, PublicKey)> {
    let Some((device, certificate)) = kept.certificate(number)? else {
        return broken(place, "the certificate of its payer's device is missing");
    };
    let Ok(verified) = verify_certificate(&certificate) else {
        return broken(place, "the certificate of its payer's device does not hold");
    };
    if verified.entry.device != device {
        return broken(place, "the certificate is of another device");
    }
    Ok((verified.account, device, verified.entry.order_key))
}

/// Looks at signatures, with every core that there is.
pub(super) fn check_all(unchecked: &[Unchecked]) -> Checked<()> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = unchecked.len().div_ceil(cores).max(1);
    let first_bad =
        |share: &[Unchecked]| share.iter().find(|one| check_order(&one.order, &one.key).is_err()).map(|one| one.place);
    let bad = thread::scope(|scope| {
        let shares: Vec<_> = unchecked.chunks(share).map(|share| scope.spawn(move || first_bad(share))).collect();
        // In their order, so that the first entry is named.
        shares.into_iter().find_map(|share| share.join().unwrap_or(Some(0)))
    });
    match bad {
        Some(entry) => {
            Err(AuditError::Broken { entry, what: "its order is not signed by its payer's device".to_owned() })
        }
        None => Ok(()),
    }
}
