//! `archipel order egress`: which requests left the site for an order.

use archipel_client::Client;
use serde_json::Value;

use super::text;
use crate::output::{Answer, Outcome, Printer, table};

/// `order` is the order's path.
pub(super) async fn show(order: &str, client: &Client, printer: &Printer) -> Outcome {
    let answer = client.get(&format!("{order}/egress")).await?.success()?;
    printer.say(&shown(&answer), &answer);
    Ok(Answer::Yes)
}

fn shown(answer: &Value) -> String {
    let list = |key: &str| answer.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = list("items").iter().map(row).collect();
    let mut shown = if rows.is_empty() {
        "no request has left for this order".to_owned()
    } else {
        table(
            &["AT", "BY", "REQUEST", "ADDRESS", "CERTIFICATE", "STATUS", "SENT", "RECEIVED", "OUTCOME"],
            &rows,
        )
    };
    for lacks in list("incomplete") {
        shown.push_str(&format!("\n{}", text(lacks, "reason")));
    }
    shown
}

fn row(entry: &Value) -> Vec<String> {
    let number = |key: &str| entry.get(key).and_then(Value::as_u64).map(|number| number.to_string());
    let short = |key: &str| text(entry, key).chars().take("sha256:".len() + 12).collect::<String>();
    vec![
        text(entry, "at").to_owned(),
        format!("{}@{}", text(entry, "binding"), short("digest")),
        format!("{} {}", text(entry, "method"), text(entry, "origin")),
        text(entry, "address").to_owned(),
        short("certificate"),
        number("status").unwrap_or_default(),
        number("sent").unwrap_or_default(),
        number("received").unwrap_or_default(),
        text(entry, "outcome").to_owned(),
    ]
}
