//! What the money here is, who vouches for it, and the proofs that the ledger goes on from what it was.

use mls_rs::CryptoProvider;
use protocol::{
    Timestamp,
    directory::{LedgerReply, LedgerRequest, Refusal, Reply},
    money::{Checkpoint, ReceiptKey, SignedCheckpoint, SignedReceiptKey, VouchedCheckpoint},
};
use settlement::{proof, receipt};

use super::{Asked, Money};
use crate::{core::Core, event::LedgerState, input::Answer};

/// Checkpoints that wait for a proof at a time: one for each talk that somebody has, while one proof is under way. Of more
/// the later ones are not looked at.
const UNPROVEN_MAX: usize = 16;
/// How much newer a checkpoint is before the book is written for its sake, in milliseconds: a day. Whenever the book is
/// written for another reason, the latest one goes along.
const BOOK_AGE_MS: u64 = 24 * 3_600 * 1_000;

/// How long terms are good for in one connection, in milliseconds: a day. Their key is vouched for until a certain time, and
/// the operator's limits may be others by then.
const TERMS_AGE_MS: u64 = 24 * 3_600 * 1_000;

/// What came of a question to the ledger.
pub(super) enum Told {
    Reply(LedgerReply),
    /// For good, as far as this request goes.
    Refused(Refusal),
    /// It has to be asked again.
    Again,
}

impl Money {
    /// The checkpoint that a conversation is told, if it is newer than what was told there before; and its size.
    pub(crate) fn checkpoint_to_tell(&self, told: u64) -> Option<(VouchedCheckpoint, u64)> {
        // What was proven stays so whatever is wrong since: so the other notices, too.
        let (key, checkpoint) = (self.record.terms.clone()?, self.record.proven.clone()?);
        let size = checkpoint.checkpoint().ok()?.size;
        (size > told).then_some((VouchedCheckpoint { key, checkpoint }, size))
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Reads an answer: what is no fault of the request's is asked again.
    pub(super) fn told(&mut self, answer: Answer) -> Told {
        match answer {
            Answer::Lost => Told::Again,
            Answer::Refusal(Refusal::RateLimited { .. } | Refusal::Unavailable | Refusal::NotSignedIn) => Told::Again,
            Answer::Refusal(refusal) => Told::Refused(refusal),
            Answer::Reply(reply) => match *reply {
                Reply::Ledger(reply) => Told::Reply(*reply),
                _ => {
                    self.report_misbehaviour("the directory answered for the ledger with something else");
                    Told::Again
                }
            },
        }
    }

    pub(super) fn reconcile_terms(&mut self) {
        if !(self.is_online() && self.link.is_announced()) {
            return;
        }
        if self.money.fresh && self.now.ms_since(self.money.terms_read) >= TERMS_AGE_MS {
            self.money.fresh = false;
            self.money.terms_flow.retry_now();
        }
        if !self.money.fresh {
            if self.money.terms_flow.is_ready(self.now) {
                let call = self.ask_ledger(Asked::Terms, LedgerRequest::Terms);
                self.money.terms_flow.start(call);
            }
            return;
        }
        self.prove_next();
        let record = &self.money.record;
        let proven = record.unproven.is_empty() && record.other.is_none() && !self.money.proof_failed;
        if proven && !self.money.entered {
            self.money.entered = true;
            if self.money.record.alarm.is_some() {
                self.calm();
            }
        }
    }

    pub(super) fn on_terms(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Told::Reply(LedgerReply::Terms { key: signed, limits, checkpoint }) = self.told(answer) else {
            return self.money.terms_flow.fail(self.now, jitter);
        };
        match self.judge_terms(&signed, &checkpoint) {
            Ok((key, shown)) => {
                self.money.terms_flow.succeed();
                let record = self.money.edit();
                record.terms = Some(signed);
                record.operator = limits;
                self.money.key = Some(key);
                self.money.fresh = true;
                self.money.terms_read = self.now;
                match self.proven_checkpoint() {
                    None => self.set_proven(checkpoint),
                    Some(known) if known == shown => {}
                    Some(_) => self.add_unproven(checkpoint),
                }
            }
            Err(state) => {
                // Only the next connection is asked again.
                self.money.fresh = false;
                self.money.terms_flow.wait_until(Timestamp(u64::MAX));
                self.raise(state);
            }
        }
    }

    /// Whether terms are those of the ledger that is known, and of a log that is no shorter than what was proven.
    fn judge_terms(
        &self,
        signed: &SignedReceiptKey,
        checkpoint: &SignedCheckpoint,
    ) -> Result<(ReceiptKey, Checkpoint), LedgerState> {
        let pin = self.link.directory.ok_or(LedgerState::Forged)?;
        let key = receipt::verify_key(signed, pin).map_err(|_| LedgerState::Forged)?;
        if key.not_after <= self.now {
            return Err(LedgerState::Forged);
        }
        if self.money.key.as_ref().is_some_and(|before| !is_same(before, &key)) {
            return Err(LedgerState::Changed);
        }
        let known = self.proven_checkpoint();
        if known.is_some_and(|known| known.ledger != key.ledger) {
            return Err(LedgerState::Changed);
        }
        let shown = receipt::verify_checkpoint(checkpoint, &key).map_err(|_| LedgerState::Forged)?;
        match known {
            Some(known) if shown.size < known.size || shown.era < known.era => Err(LedgerState::Shrunk),
            Some(known) if shown.size == known.size && shown.root != known.root => Err(LedgerState::Forked),
            _ => Ok((key, shown)),
        }
    }

    pub(super) fn proven_checkpoint(&self) -> Option<Checkpoint> {
        self.money.record.proven.as_ref().and_then(|signed| signed.checkpoint().ok())
    }

    fn set_proven(&mut self, checkpoint: SignedCheckpoint) {
        self.money.edit().proven = Some(checkpoint);
        let told = self.money.book_checkpoint_time();
        let now = self.proven_checkpoint().map(|checkpoint| checkpoint.time);
        if now.is_some_and(|now| told.is_none_or(|told| now.ms_since(told) >= BOOK_AGE_MS)) {
            self.book_changed();
        }
    }

    /// Somebody has told what the directory showed them: it must be the same ledger, by the same key, and the same log.
    pub(crate) fn take_vouched(&mut self, told: VouchedCheckpoint) {
        let (Some(own), Some(pin)) = (&self.money.key, self.link.directory) else { return };
        let shown = told.key.receipt_key();
        if shown.is_ok_and(|shown| is_same(own, &shown)) {
            return self.take_checkpoint(told.checkpoint);
        }
        let verified = receipt::verify_key(&told.key, pin);
        let verified = verified.and_then(|key| receipt::verify_checkpoint(&told.checkpoint, &key));
        if let Err(error) = verified {
            return self.report_refused("a checkpoint that was told is not this directory's", &error);
        }
        // Nobody but the directory can have signed both: it shows people different ledgers, or will be able to.
        if self.money.record.other.is_none() {
            self.money.edit().other = Some(told);
        }
        self.raise(LedgerState::Forked);
    }

    /// The directory, or somebody whom it talks to, has shown a checkpoint: it must belong to the same log.
    pub(super) fn take_checkpoint(&mut self, signed: SignedCheckpoint) {
        let Some(key) = &self.money.key else { return };
        if receipt::verify_checkpoint(&signed, key).is_err() {
            return self.report_misbehaviour("a checkpoint that was told is not the ledger's");
        }
        self.add_unproven(signed);
    }

    pub(super) fn add_unproven(&mut self, signed: SignedCheckpoint) {
        let Ok(shown) = signed.checkpoint() else { return };
        let Some(known) = self.proven_checkpoint() else { return };
        if shown.size == known.size && shown.root == known.root {
            return;
        }
        let unproven = &self.money.record.unproven;
        if unproven.contains(&signed) || unproven.len() >= UNPROVEN_MAX {
            return;
        }
        self.money.edit().unproven.push(signed);
    }

    fn drop_unproven(&mut self, signed: &SignedCheckpoint) {
        self.money.edit().unproven.retain(|other| other != signed);
    }

    /// Has the ledger prove the next checkpoint, smallest first.
    fn prove_next(&mut self) {
        while !self.money.proof_failed && self.money.proof_flow.is_ready(self.now) {
            let Some(known) = self.money.record.proven.clone() else { return };
            let unproven =
                self.money.record.unproven.iter().filter_map(|signed| Some((signed.checkpoint().ok()?, signed)));
            let Some((shown, signed)) = unproven.min_by_key(|(shown, _)| shown.size).map(|(c, s)| (c, s.clone()))
            else {
                return;
            };
            let Ok(proven) = known.checkpoint() else { return };
            let later_is_new = shown.size > proven.size;
            let (earlier, later, later_signed) =
                if later_is_new { (proven, shown, signed.clone()) } else { (shown, proven, known) };
            if shown.size == proven.size || earlier.size == 0 {
                let trivial = proof::verify_consistency((earlier.size, &earlier.root), (later.size, &later.root), &[]);
                match trivial {
                    Ok(()) => self.proven(&signed, later_is_new),
                    Err(_) => self.unprovable(),
                }
                continue;
            }
            let request = LedgerRequest::Consistency { from: earlier.size, to: Some(later.size) };
            let later = if later_is_new { signed } else { later_signed };
            let call = self.ask_ledger(Asked::Proof { earlier, later, later_is_new }, request);
            self.money.proof_flow.start(call);
        }
    }

    fn proven(&mut self, signed: &SignedCheckpoint, is_new: bool) {
        self.drop_unproven(signed);
        if is_new {
            self.set_proven(signed.clone());
        }
    }

    fn unprovable(&mut self) {
        self.money.proof_failed = true;
        self.raise(LedgerState::Forked);
    }

    pub(super) fn on_proof(
        &mut self,
        earlier: &Checkpoint,
        later: SignedCheckpoint,
        later_is_new: bool,
        answer: Answer,
    ) {
        let jitter = self.jitter();
        let proof = match self.told(answer) {
            Told::Reply(LedgerReply::Consistency { proof, .. }) => proof,
            Told::Again => return self.money.proof_flow.fail(self.now, jitter),
            // It signed that, and has no proof of it.
            Told::Reply(_) | Told::Refused(_) => {
                self.money.proof_flow.succeed();
                return self.unprovable();
            }
        };
        self.money.proof_flow.succeed();
        let Ok(shown) = later.checkpoint() else { return };
        if proof::verify_consistency((earlier.size, &earlier.root), (shown.size, &shown.root), &proof).is_err() {
            return self.unprovable();
        }
        if later_is_new {
            self.proven(&later, true);
        } else {
            let same = |signed: &SignedCheckpoint| signed.checkpoint().is_ok_and(|checkpoint| checkpoint == *earlier);
            self.money.edit().unproven.retain(|signed| !same(signed));
        }
    }
}

/// Whether two certificates are of one key for one ledger's money: when they end may differ.
fn is_same(one: &ReceiptKey, other: &ReceiptKey) -> bool {
    (one.root_key, one.ledger, &one.currency, one.key) == (other.root_key, other.ledger, &other.currency, other.key)
}
