//! What is shown of money in the history of a conversation.

use node_core::{
    command::{HistoryEntry, MoneyLine},
    event::{ShortId, request_word},
};
use protocol::directory::RequestState;
use serde_json::{Value, json};

use super::{json::moment, money::memo_text, remote::visible};

/// A line of a conversation's history that is about money.
pub(super) fn money_line(entry: &HistoryEntry, money: &MoneyLine, time: &str) -> String {
    let (from, to) = (&entry.from, &entry.to);
    let memo = memo_text(Some(&entry.text));
    match money {
        MoneyLine::Payment { id, amount, request, refund_of } => {
            let answers = request.map_or_else(String::new, |request| format!(" for {request}"));
            let back = refund_of.map_or_else(String::new, |payment| format!(" back from {payment}"));
            format!("{id} {time} {from} → {to}: paid {amount}{answers}{back}{memo}")
        }
        MoneyLine::Request { id, amount, group, total, state } => {
            let share = match (group, total) {
                (Some(group), Some(total)) => format!(", a share of {total} in {group}"),
                _ => String::new(),
            };
            let over = state.filter(|state| *state != RequestState::Open);
            let state = over.map_or_else(String::new, |state| format!(" [{}]", request_word(state)));
            format!("{id} {time} {from} → {to}: asks for {amount}{share}{memo}{state}")
        }
        MoneyLine::Closed { id, state } => {
            let reason = if entry.text.is_empty() { String::new() } else { format!(": {}", visible(&entry.text)) };
            format!("{id} {time} {from} → {to}: {}{reason}", request_word(*state))
        }
    }
}

/// The same as JSON: told apart from a message by its `kind`.
pub(super) fn money_json(entry: &HistoryEntry, money: &MoneyLine) -> Value {
    let said = |field: &'static str| (field, (!entry.text.is_empty()).then(|| entry.text.clone().into()));
    let short = |id: &Option<ShortId>| id.map(|id| id.to_string().into());
    let (kind, id, more): (&str, &ShortId, Vec<(&str, Option<Value>)>) = match money {
        MoneyLine::Payment { id, amount, request, refund_of } => {
            let amount = Some(amount.to_string().into());
            let more =
                vec![("amount", amount), said("memo"), ("request", short(request)), ("refund_of", short(refund_of))];
            ("payment", id, more)
        }
        MoneyLine::Request { id, amount, group, total, state } => {
            let group = group.as_ref().map(|group| group.as_str().into());
            let total = total.map(|total| total.to_string().into());
            let state = state.map(|state| request_word(state).into());
            let amount = Some(amount.to_string().into());
            (
                "request",
                id,
                vec![("amount", amount), said("memo"), ("group", group), ("total", total), ("state", state)],
            )
        }
        MoneyLine::Closed { id, state } => {
            ("closed", id, vec![("state", Some(request_word(*state).into())), said("reason")])
        }
    };
    let mut value = json!({
        "kind": kind,
        "id": id.to_string(),
        "uid": entry.uid.to_string(),
        "from": entry.from.as_str(),
        "to": entry.to.as_str(),
        "at": moment(entry.at),
    });
    if let Some(fields) = value.as_object_mut() {
        fields.extend(more.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    }
    value
}
