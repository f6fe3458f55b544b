//! Everything in the log, for other programs: one JSON object a line.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use protocol::{
    frame,
    money::{Currency, ENTRY_MAX, Entry, SignedOrder},
};
use serde::Serialize;

use crate::store::{StoreError, sqlite::ledger::SqliteLedger};

/// Entries that are read in one go.
const PIECE: usize = 1_024;

/// Why an export ends early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no ledger.
    #[error("there is no ledger yet; it begins with the service's first start")]
    Nothing,
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody takes it.
    #[error("the export can't be written: {0}")]
    Write(#[from] io::Error),
}

/// One line. Ids and bytes are hexadecimal, amounts decimal.
#[derive(Debug, Default, Serialize)]
struct Line {
    index: u64,
    kind: &'static str,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
    payee: String,
    amount: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunds: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    entry: String,
}

/// Writes every entry of a ledger as it is at this moment.
///
/// # Errors
/// [`ExportError`].
pub fn export(ledger: &SqliteLedger, out: &mut dyn Write) -> Result<(), ExportError> {
    ledger.at_one_moment(|kept| {
        let (founding, _) = kept.head()?.ok_or(ExportError::Nothing)?;
        let mut next = 0;
        loop {
            let entries = kept.entries(next, PIECE)?;
            let Some(last) = entries.last() else { return Ok(out.flush()?) };
            next = last.place + 1;
            for entry in &entries {
                let line = line(&founding.currency, entry.place, &entry.bytes)?;
                serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
        }
    })?
}

fn line(currency: &Currency, index: u64, bytes: &[u8]) -> Result<Line, StoreError> {
    let damaged = |_| StoreError::Damaged(format!("entry {index}; `directory audit` says more"));
    let entry: Entry = frame::decode_body(bytes, ENTRY_MAX).map_err(damaged)?;
    let at_ms = entry.at().0;
    let line = Line { index, at_ms, entry: HEXLOWER.encode(bytes), ..Line::default() };
    Ok(match entry {
        Entry::Transfer { order: signed, .. } => transfer(currency, line, &signed).map_err(damaged)?,
        Entry::Issue { id, payee, amount, memo, .. } => Line {
            kind: "issue",
            id: Some(id.to_string()),
            payee: payee.to_string(),
            amount: currency.show(amount).to_string(),
            memo: Some(memo.to_string()),
            ..line
        },
        Entry::Opening { payee, amount, .. } => {
            Line { kind: "opening", payee: payee.to_string(), amount: currency.show(amount).to_string(), ..line }
        }
    })
}

fn transfer(currency: &Currency, line: Line, signed: &SignedOrder) -> Result<Line, frame::FrameError> {
    let order = signed.order()?;
    let request = order.answers.as_ref().map(|request| request.request()).transpose()?;
    Ok(Line {
        kind: "transfer",
        id: Some(order.id.to_string()),
        payer: Some(order.payer.to_string()),
        payee: order.payee.to_string(),
        amount: currency.show(order.amount).to_string(),
        request: request.map(|request| request.id.to_string()),
        refunds: order.refunds.map(|original| original.to_string()),
        device: Some(order.device.to_string()),
        order: Some(HEXLOWER.encode(&signed.order)),
        signature: Some(HEXLOWER.encode(&signed.signature.0)),
        ..line
    })
}
