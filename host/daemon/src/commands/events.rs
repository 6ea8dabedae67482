//! `archipel events`: what sends the site's events somewhere else, and sending them again.

use serde_json::{Value, json};

use crate::cli::{DoorArgs, EventsCommand};
use crate::commands::order::{escaped, text};
use crate::output::{Answer, Outcome, Printer, table};

pub(crate) async fn run(command: &EventsCommand, door: &DoorArgs, printer: &Printer) -> Outcome {
    let client = door.client()?;
    let answer = match command {
        EventsCommand::List => client.get("/v1/admin/publishers").await?.success()?,
        EventsCommand::Replay { publisher, from } => {
            let path = format!("/v1/admin/publishers/{}/actions/replay", escaped(publisher));
            let body = from.as_ref().map_or_else(|| json!({}), |from| json!({ "from": from }));
            client.post(&path, &body).await?.success()?
        }
    };
    printer.say(&shown(&answer), &answer);
    Ok(Answer::Yes)
}

fn shown(answer: &Value) -> String {
    let publishers: Vec<&Value> = match answer.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().collect(),
        None => vec![answer],
    };
    if publishers.is_empty() {
        return "no publishers; [[events.kafka]] and [[events.webhook]] of the site file make them"
            .to_owned();
    }
    let number = |publisher: &Value, name: &str| {
        publisher.get(name).and_then(Value::as_u64).unwrap_or_default().to_string()
    };
    let rows: Vec<Vec<String>> = publishers
        .iter()
        .map(|publisher| {
            let behind = text(publisher, "behind_since");
            vec![
                text(publisher, "name").to_owned(),
                text(publisher, "kind").to_owned(),
                text(publisher, "state").to_owned(),
                number(publisher, "sent"),
                number(publisher, "failures"),
                number(publisher, "waiting"),
                if behind.is_empty() { "-".to_owned() } else { behind.to_owned() },
                text(publisher, "target").to_owned(),
            ]
        })
        .collect();
    let headings = ["NAME", "KIND", "STATE", "SENT", "FAILED", "WAITING", "BEHIND SINCE", "TO"];
    let mut shown = table(&headings, &rows);
    for publisher in publishers {
        let error = text(publisher, "last_error");
        if !error.is_empty() {
            shown.push_str(&format!("\n\n{}: {error}", text(publisher, "name")));
        }
    }
    shown
}
