//! Orders: whether a key of the payer's signed, and what the accounts say of the two people.

use protocol::{
    AccountId, DeviceId, PublicKey, Timestamp,
    directory::{LedgerRefusal, Refusal},
    money::{Amount, SignedOrder},
};
use settlement::signed::{Unsigned, check_order};
use sha2::{Digest as _, Sha256};

use crate::{
    core::ledger::{Operation, Standing, Submission, ladder::at_the_door},
    store::{Store, StoreError},
};

use super::{
    super::{Service, Stop, malformed, payers::PayerDevice},
    Asker, Pending,
};

impl<S: Store> Service<S> {
    pub(super) fn settle(&self, now: Timestamp, asker: Asker, signed: SignedOrder) -> Result<Box<Pending>, Stop> {
        let order = signed.order().map_err(|error| malformed(&error.to_string()))?;
        if order.amount == Amount::ZERO {
            return Err(malformed("an order of nothing"));
        }
        let people = [order.payer, order.payee];
        if !people.contains(&asker.account) {
            return Err(malformed("an order between others"));
        }
        self.limits.may_order(now, order.payer)?;
        at_the_door(&order, self.book.rules().ledger, self.book.time(now)).map_err(Refusal::Ledger)?;
        let device = self.signer(order.payer, order.device, |key| check_order(&signed, key))?;
        let standing = Standing {
            revoked: device.revoked,
            payee_known: self.payer(order.payee)?.open,
            blocked: self.blocked(order.payer, order.payee)?,
        };
        let (hash, certificate) = (Sha256::digest(&*signed.order).into(), device.certificate);
        let payer = order.payer;
        let submission = Submission { signed, order, hash, certificate: certificate.clone(), standing };
        let operation = Operation::Settle(Box::new(submission));
        self.pending(now, asker, payer, (operation, Some(certificate)), people)
    }

    /// The device of an account that signed something with its order key, also if it is revoked by now.
    pub(super) fn signer(
        &self,
        account: AccountId,
        device: DeviceId,
        check: impl FnOnce(&PublicKey) -> Result<(), Unsigned>,
    ) -> Result<PayerDevice, Stop> {
        let bad = || Stop::from(Refusal::Ledger(LedgerRefusal::BadSignature));
        let payer = self.payer(account)?;
        let device = payer.device(device).ok_or_else(bad)?;
        check(&device.order_key).map_err(|_| bad())?;
        Ok(device.clone())
    }

    /// Whether one of two people blocks the other.
    pub(super) fn blocked(&self, one: AccountId, other: AccountId) -> Result<bool, StoreError> {
        for (by, whom) in [(one, other), (other, one)] {
            let blocks = match self.payer(by)?.blocks(whom) {
                Some(blocks) => blocks,
                None => self.store.has_blocked(&[(by, whom)])?.contains(&true),
            };
            if blocks {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
