//! Requests and their ends: who may ask whom.

use protocol::{
    Timestamp,
    directory::{LedgerRefusal, Refusal, RequestState},
    money::{Amount, ClosingKind, PaymentRequest, REQUEST_LIFETIME_MAX_MS, SignedClosing, SignedRequest},
};
use settlement::signed::{check_closing, check_request};

use crate::{
    core::ledger::Operation,
    store::{Store, StoreError, ledger::RequestRecord},
};

use super::{
    super::{Service, Stop, malformed},
    Asker, Pending,
};

impl<S: Store> Service<S> {
    pub(super) fn open_request(
        &self,
        now: Timestamp,
        asker: Asker,
        signed: SignedRequest,
    ) -> Result<Box<Pending>, Stop> {
        let request = signed.request().map_err(|error| malformed(&error.to_string()))?;
        if request.amount == Amount::ZERO {
            return Err(malformed("a request for nothing"));
        }
        if request.payee != asker.account {
            return Err(malformed("a request of somebody else's"));
        }
        self.limits.may_order(now, asker.account)?;
        if request.not_after > self.book.time(now).plus_ms(REQUEST_LIFETIME_MAX_MS) {
            return Err(Refusal::Ledger(LedgerRefusal::TooFar).into());
        }
        if request.ledger != self.book.rules().ledger {
            return Err(Refusal::Ledger(LedgerRefusal::WrongLedger).into());
        }
        let device = self.signer(request.payee, request.device, |key| check_request(&signed, key))?;
        let against = if device.revoked { Some(LedgerRefusal::DeviceRevoked) } else { self.against(&request)? };
        let PaymentRequest { id, payee, payer, not_after, .. } = request;
        let record = RequestRecord { request: signed, payee, id, payer, not_after, state: RequestState::Open };
        let device = (device.device, device.certificate);
        let operation = Operation::OpenRequest { record, device, against };
        self.pending(now, asker, payee, (operation, None), [payee, payer])
    }

    /// What the accounts say against a request.
    fn against(&self, request: &PaymentRequest) -> Result<Option<LedgerRefusal>, StoreError> {
        let (payee, payer) = (request.payee, request.payer);
        if !self.payer(payer)?.open {
            return Ok(Some(LedgerRefusal::PayeeUnknown));
        }
        if payee == payer {
            return Ok(Some(LedgerRefusal::Oneself));
        }
        if self.blocked(payer, payee)? {
            return Ok(Some(LedgerRefusal::Blocked));
        }
        let accepted = self.store.has_accepted(&[(payer, payee)])?.contains(&true);
        let stranger = !accepted && !self.store.share_group(payer, payee)?;
        Ok(stranger.then_some(LedgerRefusal::Stranger))
    }

    pub(super) fn close_request(
        &self,
        now: Timestamp,
        asker: Asker,
        signed: &SignedClosing,
    ) -> Result<Box<Pending>, Stop> {
        let closing = signed.closing().map_err(|error| malformed(&error.to_string()))?;
        if closing.ledger != self.book.rules().ledger {
            return Err(Refusal::Ledger(LedgerRefusal::WrongLedger).into());
        }
        let device = self.signer(asker.account, closing.device, |key| check_closing(signed, key))?;
        if device.revoked {
            return Err(Refusal::Ledger(LedgerRefusal::DeviceRevoked).into());
        }
        let state = match closing.kind {
            ClosingKind::Decline => RequestState::Declined,
            ClosingKind::Cancel => RequestState::Cancelled,
        };
        let key = (closing.payee, closing.request);
        // Whoever is told of its end is known once it has ended.
        let record = self.book.store().requests(&[key])?.into_iter().flatten().next();
        let others = record.map_or([asker.account; 2], |record| [record.payee, record.payer]);
        let device = (device.device, device.certificate);
        let operation = Operation::CloseRequest { key, by: asker.account, state, device };
        self.pending(now, asker, asker.account, (operation, None), others)
    }
}
