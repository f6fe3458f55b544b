//! What is shown of money.

use node_core::{
    command::{MoneyOutcome, PaymentView, RequestView},
    event::{EventKind, LedgerState, PaymentState, request_word},
};
use protocol::{Name, directory::RequestState};
use serde_json::{Value, json};

use super::{
    files,
    json::moment,
    remote::visible,
    text::{DIM, GREEN, RED, Style, YELLOW},
};

/// Somebody in a sentence.
fn party(name: Option<&Name>) -> &str {
    name.map_or("the operator", |name| name.as_str())
}

/// A memo behind its dot; nothing for none.
pub(super) fn memo_text(memo: Option<&str>) -> String {
    memo.filter(|memo| !memo.is_empty()).map_or_else(String::new, |memo| format!(" · {}", visible(memo)))
}

/// What an event looks like.
pub(super) fn event_text(kind: &EventKind, style: &Style) -> Option<String> {
    Some(match kind {
        EventKind::Payment { id, from, to, amount, memo, balance, .. } => {
            let memo = memo_text(memo.as_deref());
            let what = match (style.reader.as_ref(), from, to) {
                (Some(reader), from, Some(to)) if reader == to => {
                    format!("You got {amount} from {}", party(from.as_ref()))
                }
                (Some(reader), Some(from), to) if reader == from => {
                    format!("You paid {amount} to {}", to.as_ref().map_or("somebody", |to| to.as_str()))
                }
                (_, from, to) => {
                    format!(
                        "{} paid {amount} to {}",
                        party(from.as_ref()),
                        to.as_ref().map_or("somebody", |to| to.as_str())
                    )
                }
            };
            format!("{what}{memo} · balance {balance} {}", style.paint(DIM, &id.to_string()))
        }
        EventKind::Request { id, from, group, total, amount, memo, .. } => {
            let share = match (group, total) {
                (Some(group), Some(total)) => format!(", a share of {total} in {group}"),
                _ => String::new(),
            };
            let memo = memo_text(Some(memo));
            format!("{from} asks you for {amount}{share}{memo}; ACCEPT {id} pays it, DECLINE {id} does not")
        }
        EventKind::Closed { id, state, payment, reason, .. } => {
            let by = payment.map_or_else(String::new, |payment| format!(" by {payment}"));
            let reason = reason.as_deref().map_or_else(String::new, |reason| format!(": {}", visible(reason)));
            style.paint(DIM, &format!("{id} {}{by}{reason}", request_word(*state)))
        }
        EventKind::Ledger { state } => ledger_text(*state, style),
        _ => return None,
    })
}

fn ledger_text(state: LedgerState, style: &Style) -> String {
    let what = match state {
        LedgerState::Proven => {
            return style.paint(GREEN, "The directory has proven its ledger again; money can be moved.");
        }
        LedgerState::Changed => "shows another ledger than before",
        LedgerState::Shrunk => "shows less of its ledger than it signed before",
        LedgerState::Forked => "cannot prove that its ledger is the one that it signed before",
        LedgerState::Forged => "shows an entry in its ledger that does not hold",
    };
    let text = format!(
        "The directory {what}. Nothing is paid or asked for here until it proves the ledger that this device knows: \
         ask the operator to run `directory audit`, and compare with the people you pay."
    );
    style.paint(RED, &text)
}

/// What a result looks like.
pub(super) fn outcome_text(outcome: &MoneyOutcome, style: &Style) -> String {
    match outcome {
        MoneyOutcome::Paid { id, to, amount, balance, .. } => {
            format!("paid {amount} to {to} · balance {balance} {}", style.paint(DIM, &id.to_string()))
        }
        MoneyOutcome::Requested { id, from, amount, .. } => format!("{id}: asked {from} for {amount}"),
        MoneyOutcome::RequestedGroup { id, group, total, shares, .. } => {
            let line = |share: &node_core::command::ShareView| {
                let refused =
                    share.refused.as_deref().map_or_else(String::new, |why| format!(" refused: {}", visible(why)));
                format!("{}  {} {}{refused}", share.id, share.from, share.amount)
            };
            let lines: Vec<String> = shares.iter().map(line).collect();
            format!("{id}: {total} split over {group}\n{}", lines.join("\n"))
        }
        MoneyOutcome::Closed { id, state, .. } => format!("{id} {}", request_word(*state)),
        MoneyOutcome::Balance(view) => {
            let requests = view.requested.map_or_else(String::new, |sum| {
                format!("\nasked for  {sum} in {} requests; REQUESTS lists them", view.requests)
            });
            format!("available  {} {}\nheld       {}{requests}", view.available, view.currency, view.held)
        }
        MoneyOutcome::Requests { requests } if requests.is_empty() => "No requests.".to_owned(),
        MoneyOutcome::Requests { requests } => {
            requests.iter().map(|request| request_line(request, style)).collect::<Vec<_>>().join("\n")
        }
        MoneyOutcome::Payments { payments } if payments.is_empty() => "No payments.".to_owned(),
        MoneyOutcome::Payments { payments } => {
            payments.iter().map(|payment| payment_line(payment, style)).collect::<Vec<_>>().join("\n")
        }
        MoneyOutcome::RequestState(state) => request_word(*state).to_owned(),
        MoneyOutcome::PaymentState(state) => state.word().to_owned(),
        MoneyOutcome::Weighed { amount, after, .. } => {
            let after = after.map_or_else(|| "not known".to_owned(), |after| after.to_string());
            format!("{amount} · balance after {after}")
        }
        MoneyOutcome::Limits(limits) => {
            let limit =
                |limit: Option<node_core::event::Money>| limit.map_or_else(|| "none".to_owned(), |l| l.to_string());
            format!(
                "one payment   {}\none day       {}\nto one person {}\nasks above    {}\n{}",
                limit(limits.payment),
                limit(limits.day),
                limit(limits.peer),
                limit(limits.confirm),
                files::unasked_text(&limits.accept)
            )
        }
    }
}

fn request_line(request: &RequestView, style: &Style) -> String {
    let name = |name: &Option<Name>| name.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
    let people = format!("{} → {}", name(&request.to), name(&request.from));
    let memo = memo_text(request.memo.as_deref());
    let state = request_word(request.state);
    let state = if request.state == RequestState::Open { style.paint(YELLOW, state) } else { style.paint(DIM, state) };
    format!("{}  {people} {}{memo}  {state}", request.id, request.amount)
}

fn payment_line(payment: &PaymentView, style: &Style) -> String {
    let time = style.paint(DIM, &style.time(payment.at, "%Y-%m-%d %H:%M"));
    let from =
        if payment.issued { "the operator" } else { payment.from.as_ref().map_or("somebody", |from| from.as_str()) };
    let to = payment.to.as_ref().map_or("somebody", |to| to.as_str());
    let memo = memo_text(payment.memo.as_deref());
    let end = match (payment.state, payment.balance) {
        (PaymentState::Paid, Some(balance)) => format!(" · balance {balance}"),
        (PaymentState::Paid, None) => String::new(),
        (PaymentState::Unknown, _) => format!("  {}", style.paint(YELLOW, "unknown, being checked")),
        (PaymentState::NotPaid, _) => {
            let reason = payment.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", visible(reason)));
            format!("  {}", style.paint(RED, &format!("not paid{reason}")))
        }
    };
    format!("{}  {time} {from} → {to} {}{memo}{end}", payment.id, payment.amount)
}

type Fields = Vec<(&'static str, Value)>;

/// Leaves out what does not apply.
fn fields(all: Vec<(&'static str, Option<Value>)>) -> Fields {
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn shown(value: &impl ToString) -> Option<Value> {
    Some(Value::from(value.to_string()))
}

fn maybe<T: ToString>(value: Option<&T>) -> Option<Value> {
    value.and_then(shown)
}

/// An event's fields.
pub(super) fn event_fields(kind: &EventKind) -> Fields {
    match kind {
        EventKind::Payment { id, uid, from, to, amount, memo, balance, ledger_seq, request, refund_of } => {
            fields(vec![
                ("event", Some("payment".into())),
                ("id", shown(id)),
                ("uid", shown(uid)),
                ("from", maybe(from.as_ref())),
                ("to", maybe(to.as_ref())),
                ("amount", shown(amount)),
                ("memo", maybe(memo.as_ref())),
                ("balance", shown(balance)),
                ("ledger_seq", Some((*ledger_seq).into())),
                ("request", maybe(request.as_ref())),
                ("refund_of", maybe(refund_of.as_ref())),
            ])
        }
        EventKind::Request { id, uid, from, to, group, total, amount, memo, expires_at } => fields(vec![
            ("event", Some("request".into())),
            ("id", shown(id)),
            ("uid", shown(uid)),
            ("from", shown(from)),
            ("to", shown(to)),
            ("group", maybe(group.as_ref())),
            ("total", maybe(total.as_ref())),
            ("amount", shown(amount)),
            ("memo", shown(memo)),
            ("expires_at", Some(moment(*expires_at).into())),
        ]),
        EventKind::Closed { id, uid, state, payment, reason } => fields(vec![
            ("event", Some("closed".into())),
            ("id", shown(id)),
            ("uid", shown(uid)),
            ("state", Some(request_word(*state).into())),
            ("payment", maybe(payment.as_ref())),
            ("reason", maybe(reason.as_ref())),
        ]),
        EventKind::Ledger { state } => {
            vec![("event", "ledger".into()), ("state", state.word().into())]
        }
        _ => Vec::new(),
    }
}

/// A result's fields.
pub(super) fn outcome_fields(outcome: &MoneyOutcome) -> Fields {
    match outcome {
        MoneyOutcome::Paid { id, uid, to, amount, balance, ledger_seq, request, refund_of } => fields(vec![
            ("id", shown(id)),
            ("uid", shown(uid)),
            ("to", shown(to)),
            ("amount", shown(amount)),
            ("state", Some("paid".into())),
            ("balance", shown(balance)),
            ("ledger_seq", Some((*ledger_seq).into())),
            ("request", maybe(request.as_ref())),
            ("refund_of", maybe(refund_of.as_ref())),
        ]),
        MoneyOutcome::Requested { id, uid, from, amount, expires_at } => fields(vec![
            ("id", shown(id)),
            ("uid", shown(uid)),
            ("from", shown(from)),
            ("amount", shown(amount)),
            ("expires_at", Some(moment(*expires_at).into())),
        ]),
        MoneyOutcome::RequestedGroup { id, uid, group, total, shares, expires_at } => {
            let share = |share: &node_core::command::ShareView| {
                object(fields(vec![
                    ("id", shown(&share.id)),
                    ("uid", shown(&share.uid)),
                    ("from", shown(&share.from)),
                    ("amount", shown(&share.amount)),
                    ("refused", maybe(share.refused.as_ref())),
                ]))
            };
            fields(vec![
                ("id", shown(id)),
                ("uid", shown(uid)),
                ("group", shown(group)),
                ("total", shown(total)),
                ("shares", Some(shares.iter().map(share).collect())),
                ("expires_at", Some(moment(*expires_at).into())),
            ])
        }
        MoneyOutcome::Closed { id, uid, state, count } => fields(vec![
            ("id", shown(id)),
            ("uid", shown(uid)),
            ("state", Some(request_word(*state).into())),
            ("count", Some((*count).into())),
        ]),
        MoneyOutcome::Balance(view) => fields(vec![
            ("available", shown(&view.available)),
            ("held", shown(&view.held)),
            ("currency", Some(view.currency.as_str()).filter(|name| !name.is_empty()).map(Value::from)),
            ("requests", Some(view.requests.into())),
            ("requested", maybe(view.requested.as_ref())),
        ]),
        MoneyOutcome::Requests { requests } => {
            vec![("requests", requests.iter().map(|request| object(request_fields(request))).collect())]
        }
        MoneyOutcome::Payments { payments } => {
            vec![("payments", payments.iter().map(|payment| object(payment_fields(payment))).collect())]
        }
        MoneyOutcome::RequestState(state) => vec![("state", request_word(*state).into())],
        MoneyOutcome::PaymentState(state) => vec![("state", state.word().into())],
        MoneyOutcome::Weighed { amount, to, after, confirm } => fields(vec![
            ("amount", shown(amount)),
            ("to", maybe(to.as_ref())),
            ("after", maybe(after.as_ref())),
            ("confirm", Some((*confirm).into())),
        ]),
        MoneyOutcome::Limits(limits) => fields(vec![
            ("payment", maybe(limits.payment.as_ref())),
            ("day", maybe(limits.day.as_ref())),
            ("peer", maybe(limits.peer.as_ref())),
            ("confirm", maybe(limits.confirm.as_ref())),
            ("accept", (!limits.accept.is_empty()).then(|| files::unasked_json(&limits.accept))),
        ]),
    }
}

fn object(fields: Fields) -> Value {
    fields.into_iter().fold(json!({}), |mut object, (key, value)| {
        if let Some(object) = object.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
        object
    })
}

fn request_fields(request: &RequestView) -> Fields {
    fields(vec![
        ("id", shown(&request.id)),
        ("uid", shown(&request.uid)),
        ("from", maybe(request.from.as_ref())),
        ("to", maybe(request.to.as_ref())),
        ("incoming", Some(request.incoming.into())),
        ("group", maybe(request.group.as_ref())),
        ("total", maybe(request.total.as_ref())),
        ("whole", maybe(request.whole.as_ref())),
        ("amount", shown(&request.amount)),
        ("memo", maybe(request.memo.as_ref())),
        ("expires_at", Some(moment(request.expires_at).into())),
        ("state", Some(request_word(request.state).into())),
        ("reason", maybe(request.reason.as_ref())),
    ])
}

fn payment_fields(payment: &PaymentView) -> Fields {
    fields(vec![
        ("id", shown(&payment.id)),
        ("uid", shown(&payment.uid)),
        ("at", Some(moment(payment.at).into())),
        ("from", maybe(payment.from.as_ref())),
        ("to", maybe(payment.to.as_ref())),
        ("issued", payment.issued.then_some(true.into())),
        ("amount", shown(&payment.amount)),
        ("memo", maybe(payment.memo.as_ref())),
        ("state", Some(payment.state.word().into())),
        ("balance", maybe(payment.balance.as_ref())),
        ("ledger_seq", payment.ledger_seq.map(Value::from)),
        ("request", maybe(payment.request.as_ref())),
        ("refund_of", maybe(payment.refund_of.as_ref())),
        ("reason", maybe(payment.reason.as_ref())),
        ("history", payment.history.then_some(true.into())),
    ])
}
