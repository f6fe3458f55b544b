//! People who pay each other: accounts in a directory's folder, with money, and the orders that they sign.

use std::{path::Path, sync::Arc, thread};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use directory::{
    core::ledger::Operation,
    ledger::{Book, Founder, audit::audit},
    store::{
        ledger::{IssueOrder, LedgerStore as _},
        sqlite::{SqliteStore, ledger::SqliteLedger},
    },
};
use node_core::stretch::StretchParameters;
use p256::ecdsa::SigningKey;
use protocol::{
    BoundedBytes, BoundedText, LedgerId, MemoCommitment, OrderId, Signature,
    certificate::labelled,
    directory::PaymentLimits,
    frame,
    money::{Amount, ENTRY_MAX, ORDER_LABEL, Order, SignedOrder},
};
use sha2::{Digest as _, Sha256};
use tests::fixture::{self, Account, Failed, now};

/// Accounts: enough that no account's rate is what is measured.
pub(super) const ACCOUNTS: usize = 1_024;
/// What each has, in minor units: enough for every payment that falls to it.
pub(super) const OPENING: u64 = 1_000_000;
/// How long orders are valid, in milliseconds.
const VALID_MS: u64 = 24 * 3_600 * 1_000;
/// Stretching as little as the function allows: nobody signs in.
const CHEAP: StretchParameters = StretchParameters { memory_kib: 8, passes: 1, lanes: 1 };

/// The people.
pub(super) struct Payers {
    pub(super) accounts: Vec<Account>,
    pub(super) ledger: LedgerId,
    /// Their order keys in the library that signs five times as fast: a million orders are signed here.
    signing: Vec<EcdsaKeyPair>,
}

/// An order and who pays it.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) payer: usize,
    pub(super) order: SignedOrder,
}

/// A book over a ledger's file. The root key vouches for receipts, which nobody verifies here.
pub(super) fn open(folder: &Path) -> Result<Book, Failed> {
    let root = SigningKey::from_slice(&[7; 32])?;
    let founder = Founder { root, currency: None, limits: PaymentLimits::default(), seed: [3; 32] };
    Ok(Book::open(Arc::new(SqliteLedger::open(folder)?), founder)?)
}

/// An id as random as people's are: where it stands in an index says nothing.
fn id_of(number: u64) -> Result<OrderId, Failed> {
    let hash = Sha256::digest(number.to_be_bytes());
    Ok(OrderId::from_slice(&hash[..16]).ok_or("an id")?)
}

fn signing_key(account: &Account) -> Result<EcdsaKeyPair, Failed> {
    let key = account.keys.order_key();
    let (private, public) = (key.to_bytes(), membership::signing::public_key(key));
    let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &public.0);
    pair.map_err(|_| "an order key is none".into())
}

impl Payers {
    /// Makes them in a folder, with money.
    pub(super) fn make(folder: &Path) -> Result<Self, Failed> {
        let accounts = fixture::write(SqliteStore::open(folder)?, ACCOUNTS, CHEAP)?;
        let book = open(folder)?;
        let signing = accounts.iter().map(signing_key).collect::<Result<_, _>>()?;
        let payers = Self { accounts, ledger: book.rules().ledger, signing };
        payers.fund(&book)?;
        Ok(payers)
    }

    /// Gives each what it begins with.
    pub(super) fn fund(&self, book: &Book) -> Result<(), Failed> {
        let amount = Amount::new(OPENING).ok_or("an amount")?;
        let issue = |(number, account): (usize, &Account)| {
            let id = OrderId((u128::MAX - number as u128).to_be_bytes());
            Operation::Issue(IssueOrder { id, payee: account.id, amount, memo: BoundedText::default() })
        };
        let issues: Vec<Operation> = self.accounts.iter().enumerate().map(issue).collect();
        book.perform(now(), &issues)?;
        Ok(())
    }

    /// What one pays another, under this number.
    pub(super) fn order(&self, payer: usize, payee: usize, number: u64) -> Result<Order, Failed> {
        let (from, to) = (&self.accounts[payer], &self.accounts[payee]);
        Ok(Order {
            ledger: self.ledger,
            id: id_of(number)?,
            payer: from.id,
            payee: to.id,
            amount: Amount::new(1).ok_or("an amount")?,
            memo: MemoCommitment([5; 32]),
            answers: None,
            refunds: None,
            not_after: now().plus_ms(VALID_MS),
            device: from.device,
        })
    }

    pub(super) fn sign(&self, payer: usize, payee: usize, number: u64) -> Result<SignedOrder, Failed> {
        let order = frame::encode_body(&self.order(payer, payee, number)?, ENTRY_MAX)?;
        let signature = self.signing[payer].sign(&SystemRandom::new(), &labelled(ORDER_LABEL, &order));
        let signature = signature.map_err(|_| "a key that does not sign")?;
        Ok(SignedOrder { order: BoundedBytes::new(order)?, signature: Signature(signature.as_ref().try_into()?) })
    }

    /// So many orders from a number on, the first so many accounts paying in their turn, signed on every core.
    pub(super) fn sign_all(&self, first: u64, count: usize, among: usize) -> Result<Vec<Signed>, Failed> {
        let numbers: Vec<u64> = (first..first + count as u64).collect();
        let sign = |number: &u64| {
            let payer = usize::try_from(*number)? % among;
            // Somebody else each time, also when the turn comes round again.
            let payee = (payer + 1 + usize::try_from(*number)? / among % (ACCOUNTS - 1)) % ACCOUNTS;
            Ok(Signed { payer, order: self.sign(payer, payee, *number)? })
        };
        let share = numbers.len().div_ceil(super::cores()).max(1);
        thread::scope(|scope| {
            let shares = numbers.chunks(share);
            let threads: Vec<_> = shares
                .map(|share| scope.spawn(move || share.iter().map(sign).collect::<Result<Vec<_>, Failed>>()))
                .collect();
            let mut signed = Vec::with_capacity(numbers.len());
            for thread in threads {
                signed.extend(thread.join().map_err(|_| "a thread ended badly")??);
            }
            Ok(signed)
        })
    }

    /// That what was settled is all there, and right.
    pub(super) fn check(&self, folder: &Path, payments: u64) -> Result<(), Failed> {
        let ledger = SqliteLedger::open(folder)?;
        let audited = audit(&ledger)?;
        let head = ledger.head()?.ok_or("no ledger")?.1;
        if audited.transfers != payments || head.size != audited.entries {
            return Err(format!("{} payments are there of {payments}", audited.transfers).into());
        }
        Ok(())
    }
}
