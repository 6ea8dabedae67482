//! `archipel order`: what a user can do with orders, over the same REST as any client.

mod act;
mod create;
mod egress;
mod watch;

use archipel_client::Client;
use archipel_model::power::PowerAction;
use http::Method;
use serde_json::{Value, json};

use crate::cli::{ListArgs, OrderCommand};
use crate::output::{Answer, Outcome, Printer, table};

/// Runs one of them.
pub(crate) async fn run(command: &OrderCommand, client: &Client, printer: &Printer) -> Outcome {
    match command {
        OrderCommand::Create(args) => create::create(args, client, printer).await,
        OrderCommand::List(args) => list(args, client, printer).await,
        OrderCommand::Show { id, refresh } => {
            let query = if *refresh { "?refresh=true" } else { "" };
            let order = client.get(&format!("{}{query}", path(id))).await?.success()?;
            printer.say(&describe(&order), &order);
            Ok(Answer::Yes)
        }
        OrderCommand::Watch { id } => watch::until_settled(id, client, printer).await,
        OrderCommand::Egress { id } => egress::show(&path(id), client, printer).await,
        OrderCommand::Pause(args) => act::act(PowerAction::Pause, args, client, printer).await,
        OrderCommand::Resume(args) => act::act(PowerAction::Resume, args, client, printer).await,
        OrderCommand::Stop(args) => act::act(PowerAction::Stop, args, client, printer).await,
        OrderCommand::Start(args) => act::act(PowerAction::Start, args, client, printer).await,
        OrderCommand::Reboot(args) => act::act(PowerAction::Reboot, args, client, printer).await,
        OrderCommand::Hibernate(args) => act::act(PowerAction::Hibernate, args, client, printer).await,
        OrderCommand::Delete { id, cascade, dry_run, wait } => {
            let order = client.get(&path(id)).await?;
            let etag = order.header("etag").unwrap_or("*").to_owned();
            order.success()?;
            // Deleting a whole tree asks to be sure of what one saw.
            let seen = [("if-match", etag.as_str())];
            let headers: &[(&str, &str)] = if *cascade { &seen } else { &[] };
            let path = format!("{}?cascade={cascade}&dry_run={dry_run}", path(id));
            let answer = client.send(Method::DELETE, &path, headers, None).await?.success()?;
            match (*dry_run, *wait) {
                (true, _) => printer.say(&format!("would delete:\n{}", ids(&answer)), &answer),
                (_, true) => return watch::until_closed(id, client, printer).await,
                _ => printer.say(&format!("{id} is being deleted"), &json!({"id": id, "deleting": true})),
            }
            Ok(Answer::Yes)
        }
        OrderCommand::Forget { id, reason } => {
            let path = format!("/v1/admin/orders/{}/actions/forget", escaped(id));
            let order = client.post(&path, &json!({ "reason": reason })).await?.success()?;
            printer.say(&format!("{id} is forgotten; its events say what to look for in the cloud"), &order);
            Ok(Answer::Yes)
        }
    }
}

fn path(id: &str) -> String {
    format!("/v1/orders/{}", escaped(id))
}

/// For a path's segment or a query's value.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

async fn list(args: &ListArgs, client: &Client, printer: &Printer) -> Outcome {
    let collection = args.kind.map_or("orders", |kind| kind.collection());
    let mut query: Vec<(&str, String)> = vec![("limit", args.limit.clamp(1, 1000).to_string())];
    query.extend(args.state.clone().map(|state| ("state", state)));
    query.extend(args.cloud.clone().map(|cloud| ("cloud", cloud)));
    query.extend(args.label.clone().map(|(key, value)| ("label", format!("{key}:{value}"))));
    let mut items: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let parts = query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(cursor.as_deref().map(|c| ("cursor", c)));
        let parts: Vec<String> = parts.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let page = client.get(&format!("/v1/{collection}?{}", parts.join("&"))).await?.success()?;
        items.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
        cursor = page.get("next").and_then(Value::as_str).map(ToOwned::to_owned);
        if cursor.is_none() || items.len() >= args.limit {
            break;
        }
    }
    items.truncate(args.limit);
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|order| ["id", "kind", "name", "state", "cloud"].map(|key| text(order, key).to_owned()).to_vec())
        .collect();
    let shown = if rows.is_empty() {
        "no orders".to_owned()
    } else {
        table(&["ID", "KIND", "NAME", "STATE", "CLOUD"], &rows)
    };
    printer.say(&shown, &json!({ "items": items }));
    Ok(Answer::Yes)
}

/// A member that is text.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn ids(answer: &Value) -> String {
    let list = ["orders", "items", "would_delete", "dependants"]
        .iter()
        .find_map(|key| answer.get(*key))
        .unwrap_or(answer);
    let ids = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().or_else(|| item.get("id")?.as_str()));
    ids.map(|id| format!("  {id}")).collect::<Vec<_>>().join("\n")
}

/// An order on a few lines.
fn describe(order: &Value) -> String {
    let mut lines =
        vec![format!("{} {} is {}", text(order, "kind"), text(order, "id"), text(order, "state"))];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<10}{value}"));
        }
    };
    line("name", text(order, "name").to_owned());
    line("cloud", format!("{}@{}", text(order, "cloud"), text(order, "site")));
    if let Some(owner) = order.get("owner") {
        line("owner", format!("{} ({})", text(owner, "name"), text(owner, "issuer")));
    }
    if let Some(instance) = order.get("instance").filter(|instance| !instance.is_null()) {
        let addresses: Vec<&str> = instance
            .get("addresses")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        line("instance", format!("{} {}", text(instance, "status"), addresses.join(" ")));
    }
    if let Some(power) = order.get("power").filter(|power| !power.is_null()) {
        line("power", format!("{} since {}", text(power, "action"), text(power, "since")));
    }
    for (name, key) in [("fault", "fault"), ("unreachable", "unreachable")] {
        if let Some(trouble) = order.get(key).filter(|trouble| !trouble.is_null()) {
            let message = trouble.get("message").or_else(|| trouble.get("reason")).and_then(Value::as_str);
            line(name, message.unwrap_or_default().to_owned());
        }
    }
    line("spec", order.get("spec").map(ToString::to_string).unwrap_or_default());
    line("created", text(order, "created_at").to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_described_on_a_few_lines() {
        let order = json!({"id": "1", "kind": "compute", "state": "fulfilled", "name": "web", "cloud": "east", "site": "a.b",
            "instance": {"status": "ready", "addresses": ["10.0.0.5"]}, "fault": null, "spec": {"vcpu": 1}, "created_at": "now"});
        assert_eq!(
            describe(&order),
            "compute 1 is fulfilled\n  name      web\n  cloud     east@a.b\n  instance  ready 10.0.0.5\n  spec      {\"vcpu\":1}\n  created   now"
        );
    }

    #[test]
    fn what_is_typed_cannot_leave_its_place_in_a_path() {
        assert_eq!(escaped("../admin?x=1"), "..%2Fadmin%3Fx%3D1");
    }
}
