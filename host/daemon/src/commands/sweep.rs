//! `archipel sweep`: what the clouds hold that no order has.

use std::time::Duration;

use archipel_client::Client;
use serde_json::{Value, json};

use crate::cli::SweepCommand;
use crate::commands::order::text;
use crate::output::{Answer, Outcome, Printer, table};

const PATH: &str = "/v1/admin/sweep";
/// Between two looks at a sweep that is waited for.
const AGAIN: Duration = Duration::from_millis(300);

pub(crate) async fn run(command: &SweepCommand, client: &Client, printer: &Printer) -> Outcome {
    let mut sweep = match command {
        SweepCommand::Show => client.get(PATH).await?.success()?,
        SweepCommand::Run { cloud, .. } => {
            let body = cloud.as_ref().map_or_else(|| json!({}), |cloud| json!({ "cloud": cloud }));
            client.post(&format!("{PATH}/actions/run"), &body).await?.success()?
        }
        SweepCommand::Confirm { incarnation, reason } => {
            let body = json!({ "incarnation": incarnation, "reason": reason });
            client.post(&format!("{PATH}/actions/confirm"), &body).await?.success()?
        }
    };
    let waits = matches!(command, SweepCommand::Run { wait: true, .. });
    while waits && clouds(&sweep).any(|cloud| ["asked", "running"].contains(&text(cloud, "state"))) {
        tokio::time::sleep(AGAIN).await;
        sweep = client.get(PATH).await?.success()?;
    }
    printer.say(&shown(&sweep), &sweep);
    let is_clean =
        clouds(&sweep).all(|cloud| items(cloud, "unknown").is_empty() && items(cloud, "gaps").is_empty());
    Ok(if waits && !is_clean { Answer::No } else { Answer::Yes })
}

fn clouds(sweep: &Value) -> impl Iterator<Item = &Value> {
    items(sweep, "clouds").iter()
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn shown(sweep: &Value) -> String {
    let number = |cloud: &Value, key: &str| cloud.get(key).and_then(Value::as_u64).unwrap_or_default();
    let rows: Vec<Vec<String>> = clouds(sweep)
        .map(|cloud| {
            let unknown = items(cloud, "unknown").len() as u64 + number(cloud, "more");
            vec![
                text(cloud, "cloud").to_owned(),
                text(cloud, "state").to_owned(),
                number(cloud, "looked_at").to_string(),
                unknown.to_string(),
                items(cloud, "possible_orphans").len().to_string(),
                text(cloud, "policy").to_owned(),
                Some(text(cloud, "ended_at")).filter(|at| !at.is_empty()).unwrap_or("-").to_owned(),
            ]
        })
        .collect();
    let mut parts =
        vec![table(&["CLOUD", "SWEEP", "INSTANCES", "UNKNOWN", "ORPHANS", "POLICY", "ENDED"], &rows)];
    let unknown: Vec<Vec<String>> = clouds(sweep).flat_map(unknown_rows).collect();
    if !unknown.is_empty() {
        let headings = ["CLOUD", "KIND", "ACCOUNT", "INSTANCE", "ORDER", "WHY", "FATE"];
        parts.push(table(&headings, &unknown));
    }
    let orphans: Vec<Vec<String>> = clouds(sweep).flat_map(orphan_rows).collect();
    if !orphans.is_empty() {
        parts.push(table(&["CLOUD", "KIND", "ACCOUNT", "FORGOTTEN ORDER", "STILL SHOWN"], &orphans));
    }
    for cloud in clouds(sweep) {
        for gap in items(cloud, "gaps") {
            let place = [text(cloud, "cloud"), text(gap, "account"), text(gap, "kind")];
            let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
            parts.push(format!("{}: {}", place.join(" "), text(gap, "reason")));
        }
    }
    if sweep.get("confirmed") == Some(&Value::Bool(false)) {
        parts.push(format!(
            "the store was restored (incarnation {}): sweeps delete nothing in it until somebody confirms that what they \
             find is nobody's; `archipel sweep confirm --help` says how",
            text(sweep, "incarnation")
        ));
    }
    parts.join("\n\n")
}

fn unknown_rows(cloud: &Value) -> Vec<Vec<String>> {
    let row = |one: &Value| {
        let mut fate = text(one, "fate").to_owned();
        if !text(one, "reason").is_empty() {
            fate.push_str(": ");
            fate.push_str(text(one, "reason"));
        }
        let cells = ["kind", "account", "instance", "order", "why"].map(|key| text(one, key).to_owned());
        [vec![text(cloud, "cloud").to_owned()], cells.to_vec(), vec![fate]].concat()
    };
    items(cloud, "unknown").iter().map(row).collect()
}

fn orphan_rows(cloud: &Value) -> Vec<Vec<String>> {
    let row = |one: &Value| {
        let shown = match one.get("is_shown").and_then(Value::as_bool) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        let cells = ["kind", "account", "order"].map(|key| text(one, key).to_owned());
        [vec![text(cloud, "cloud").to_owned()], cells.to_vec(), vec![shown.to_owned()]].concat()
    };
    items(cloud, "possible_orphans").iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_shown_with_what_is_to_be_done() {
        let sweep = json!({"incarnation": "019a", "confirmed": false, "clouds": [{
            "cloud": "east", "state": "incomplete", "looked_at": 7, "more": 1, "policy": "delete", "ended_at": "now",
            "unknown": [{"kind": "compute", "account": "physics", "instance": "i-1", "order": "o-1", "why": "no-order",
                "fate": "unconfirmed", "reason": null}],
            "possible_orphans": [{"kind": "volume", "account": null, "order": "o-2", "is_shown": null}],
            "gaps": [{"account": "biology", "kind": "compute", "reason": "the cloud is away"}],
        }]});
        let text = shown(&sweep);
        for part in [
            "east   incomplete  7          2        1        delete  now",
            "east   compute  physics  i-1       o-1    no-order  unconfirmed",
            "east   volume           o-2              unknown",
            "east biology compute: the cloud is away",
            "the store was restored (incarnation 019a)",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
