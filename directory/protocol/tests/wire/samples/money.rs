//! One value of each variant that is about money.

use protocol::{
    AccountId, LedgerId, MemoCommitment, OrderId, RequestId, Timestamp,
    directory::{
        LedgerRefusal, LedgerReply, LedgerRequest, LimitKind, OwnEntry, PaymentLimits, RequestChange, RequestState,
    },
    money::{
        Amount, Checkpoint, Closing, ClosingKind, Currency, Entry, MemoOpening, Order, PaymentRequest, ReceiptKey,
        SettledEntry, SignedCheckpoint, SignedClosing, SignedOrder, SignedReceiptKey, SignedRequest, VouchedCheckpoint,
    },
    peer::{ClosedNotice, GroupShare, PaymentNotice, RequestNotice},
};

use super::{ACCOUNT, DEVICE, bytes, certificate, key, list, name, signature, text};

const LEDGER: LedgerId = LedgerId([0x1e; 32]);
const ORDER: OrderId = OrderId([0x0d; 16]);
const REQUEST: RequestId = RequestId([0x4e; 16]);
const MEMO: MemoCommitment = MemoCommitment([0x3e; 32]);

fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

fn signed_order() -> SignedOrder {
    SignedOrder { order: bytes(&[1, 2]), signature: signature() }
}

fn signed_request() -> SignedRequest {
    SignedRequest { request: bytes(&[3]), signature: signature() }
}

fn signed_closing() -> SignedClosing {
    SignedClosing { closing: bytes(&[4]), signature: signature() }
}

pub(crate) fn signed_checkpoint() -> SignedCheckpoint {
    SignedCheckpoint { checkpoint: bytes(&[5]), signature: signature() }
}

fn settled() -> SettledEntry {
    SettledEntry {
        index: 300,
        entry: bytes(&[6, 7]),
        certificate: Some(certificate()),
        proof: list(vec![[0x11; 32], [0x22; 32]]),
        checkpoint: signed_checkpoint(),
    }
}

fn opening() -> MemoOpening {
    MemoOpening { salt: [0x5a; 32], payer: name("alice"), payee: name("bob"), memo: text("lunch") }
}

pub(crate) fn payment_notice() -> PaymentNotice {
    PaymentNotice { order: signed_order(), opening: opening(), certificate: certificate(), receipt: Some(settled()) }
}

pub(crate) fn request_notice() -> RequestNotice {
    let share = GroupShare { whole: REQUEST, group: name("team"), total: amount(1_000), shares: 3 };
    RequestNotice { request: signed_request(), opening: opening(), certificate: certificate(), share: Some(share) }
}

pub(crate) fn closed_notice() -> ClosedNotice {
    ClosedNotice { payee: ACCOUNT, request: REQUEST, kind: ClosingKind::Cancel, reason: text("paid in cash") }
}

pub(crate) fn order() -> Order {
    Order {
        ledger: LEDGER,
        id: ORDER,
        payer: ACCOUNT,
        payee: AccountId([0xa2; 32]),
        amount: amount(1_250),
        memo: MEMO,
        answers: Some(signed_request()),
        refunds: Some(OrderId([0x0e; 16])),
        not_after: Timestamp(300),
        device: DEVICE,
    }
}

pub(crate) fn request() -> PaymentRequest {
    PaymentRequest {
        ledger: LEDGER,
        id: REQUEST,
        payee: ACCOUNT,
        payer: AccountId([0xa2; 32]),
        amount: amount(1_250),
        memo: MEMO,
        not_after: Timestamp(300),
        device: DEVICE,
    }
}

pub(crate) fn closing() -> Closing {
    Closing { ledger: LEDGER, payee: ACCOUNT, request: REQUEST, kind: ClosingKind::Decline, device: DEVICE }
}

pub(crate) fn entries() -> Vec<Entry> {
    vec![
        Entry::Transfer { order: signed_order(), at: Timestamp(300) },
        Entry::Issue { id: ORDER, payee: ACCOUNT, amount: amount(5), memo: text("float"), at: Timestamp(301) },
        Entry::Opening { payee: ACCOUNT, amount: amount(10_000), at: Timestamp(302) },
    ]
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint { ledger: LEDGER, era: 1, size: 300, root: [0x77; 32], time: Timestamp(400) }
}

pub(crate) fn signed_receipt_key() -> SignedReceiptKey {
    SignedReceiptKey { receipt_key: bytes(&[8]), signature: signature() }
}

pub(crate) fn vouched_checkpoint() -> VouchedCheckpoint {
    VouchedCheckpoint { key: signed_receipt_key(), checkpoint: signed_checkpoint() }
}

pub(crate) fn receipt_key() -> ReceiptKey {
    ReceiptKey {
        root_key: key(1),
        ledger: LEDGER,
        currency: Currency::new(text("EUR"), 2).unwrap(),
        key: key(2),
        not_after: Timestamp(500),
    }
}

pub(crate) fn memo_opening() -> MemoOpening {
    opening()
}

pub(crate) fn ledger_requests() -> Vec<LedgerRequest> {
    vec![
        LedgerRequest::Terms,
        LedgerRequest::Settle { order: signed_order() },
        LedgerRequest::OpenRequest { request: signed_request() },
        LedgerRequest::CloseRequest { closing: signed_closing() },
        LedgerRequest::Balance,
        LedgerRequest::Consistency { from: 300, to: Some(301) },
        LedgerRequest::Entries { after: Some(300) },
        LedgerRequest::Requests { after: None },
    ]
}

pub(crate) fn ledger_replies() -> Vec<LedgerReply> {
    let own = OwnEntry { entry: settled(), balance: amount(8_750) };
    let limits = PaymentLimits { payment: Some(amount(1)), day: Some(amount(2)), peer: None };
    let key = signed_receipt_key();
    let change = RequestChange {
        place: 300,
        request: signed_request(),
        state: RequestState::Paid,
        order: Some(ORDER),
        at: Timestamp(300),
    };
    vec![
        LedgerReply::Done,
        LedgerReply::Terms { key, limits, checkpoint: signed_checkpoint() },
        LedgerReply::Settled(Box::new(own.clone())),
        LedgerReply::Balance { available: amount(8_750), held: amount(1), checkpoint: signed_checkpoint() },
        LedgerReply::Consistency { proof: list(vec![[0x33; 32]]), checkpoint: signed_checkpoint() },
        LedgerReply::Entries { entries: list(vec![own]), more: true },
        LedgerReply::Requests { changes: list(vec![change]), more: false },
    ]
}

pub(crate) fn ledger_refusals() -> Vec<LedgerRefusal> {
    vec![
        LedgerRefusal::TooFar,
        LedgerRefusal::WrongLedger,
        LedgerRefusal::BadSignature,
        LedgerRefusal::Conflict,
        LedgerRefusal::DeviceRevoked,
        LedgerRefusal::Expired,
        LedgerRefusal::PayeeUnknown,
        LedgerRefusal::Oneself,
        LedgerRefusal::Blocked,
        LedgerRefusal::OverLimit { kind: LimitKind::Day, limit: amount(300) },
        LedgerRefusal::RequestUnknown,
        LedgerRefusal::RequestMismatch,
        LedgerRefusal::RequestClosed(RequestState::Declined),
        LedgerRefusal::NotRefundable,
        LedgerRefusal::RefundTooMuch { left: amount(300) },
        LedgerRefusal::Insufficient { available: amount(300) },
        LedgerRefusal::Overflow,
        LedgerRefusal::Stranger,
        LedgerRefusal::TooMany,
        LedgerRefusal::NotEmpty { available: amount(300) },
    ]
}

pub(crate) fn request_states() -> Vec<RequestState> {
    use RequestState::{Cancelled, Declined, Expired, Open, Paid, Refunded};
    vec![Open, Paid, Declined, Cancelled, Expired, Refunded]
}

pub(crate) fn limit_kinds() -> Vec<LimitKind> {
    vec![LimitKind::Payment, LimitKind::Day, LimitKind::Peer]
}

pub(crate) fn closing_kinds() -> Vec<ClosingKind> {
    vec![ClosingKind::Decline, ClosingKind::Cancel]
}
