//! What a running site says of its clouds: whether they answer, and what they hold that no order has.

use archipel_client::Client;
use serde_json::Value;

use super::Finding;
use crate::commands::order::text;

/// Nothing where the site cannot be asked.
pub(super) async fn look(client: &Client) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Ok(answer) = client.get("/v1/clouds").await {
        let clouds = answer.json().unwrap_or_default();
        findings.extend(list(&clouds, "items").iter().map(health));
    }
    if let Ok(answer) = client.get("/v1/admin/sweep").await {
        let sweep = answer.json().unwrap_or_default();
        findings.extend(restored(&sweep));
        findings.extend(list(&sweep, "clouds").iter().filter_map(swept));
    }
    findings
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn health(cloud: &Value) -> Finding {
    let (what, name) = ("cloud", text(cloud, "name"));
    let health = cloud.get("health").unwrap_or(&Value::Null);
    match text(health, "status") {
        "up" => Finding::good(what, format!("{name}: answers")),
        status => Finding::doubtful(
            what,
            format!("{name}: {status}: {}", text(health, "reason")),
            "nothing is lost: its orders wait, and go on by themselves when it answers",
        ),
    }
}

fn restored(sweep: &Value) -> Option<Finding> {
    (sweep.get("confirmed") == Some(&Value::Bool(false))).then(|| {
        Finding::doubtful(
            "restored store",
            "what was ordered after its copy was made is not in it, so sweeps delete nothing",
            "`archipel sweep run --wait`, look at what it lists, then `archipel sweep confirm`",
        )
    })
}

fn swept(cloud: &Value) -> Option<Finding> {
    let (what, name) = ("sweep", text(cloud, "cloud"));
    let more = cloud.get("more").and_then(Value::as_u64).unwrap_or_default();
    let (unknown, gaps) = (list(cloud, "unknown").len() as u64 + more, list(cloud, "gaps").len());
    if unknown > 0 {
        return Some(Finding::doubtful(
            what,
            format!("{name} holds {unknown} instances that no order has"),
            "`archipel sweep show` lists them",
        ));
    }
    (gaps > 0).then(|| {
        let says = format!("{name}: {gaps} things could not be looked at");
        Finding::doubtful(what, says, "`archipel sweep show` says why")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn what_a_cloud_holds_for_nobody_and_a_silent_cloud_are_to_be_looked_at() {
        assert_eq!(health(&json!({"name": "east", "health": {"status": "up"}})).state, State::Good);
        let down = health(&json!({"name": "east", "health": {"status": "down", "reason": "silent"}}));
        assert_eq!((down.state, down.says.as_str()), (State::Doubtful, "east: down: silent"));
        assert!(swept(&json!({"cloud": "east", "unknown": [], "more": 0, "gaps": []})).is_none());
        let found = swept(&json!({"cloud": "east", "unknown": [{}], "more": 2, "gaps": [{}]})).unwrap();
        assert_eq!(found.says, "east holds 3 instances that no order has");
        assert!(swept(&json!({"cloud": "east", "gaps": [{}]})).is_some());
        assert!(restored(&json!({"confirmed": true})).is_none() && restored(&json!({})).is_none());
        assert!(restored(&json!({"confirmed": false})).is_some());
    }
}
