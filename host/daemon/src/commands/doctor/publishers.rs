//! What a running site says of its publishers.

use archipel_client::Client;
use archipel_model::{Clock, SystemClock, Timestamp};
use serde_json::Value;

use super::Finding;
use crate::commands::order::text;
use crate::config::Config;

/// Nothing where the site has none, or cannot be asked.
pub(super) async fn look(client: &Client, config: &Config) -> Vec<Finding> {
    let Ok(answer) = client.get("/v1/admin/publishers").await else { return Vec::new() };
    let answer = answer.json().unwrap_or_default();
    let all = answer.get("items").and_then(Value::as_array).into_iter().flatten();
    all.map(|publisher| finding(publisher, config.limits.orders.event_retention_s)).collect()
}

fn finding(publisher: &Value, retention_s: u64) -> Finding {
    let (what, name, state) = ("publisher", text(publisher, "name"), text(publisher, "state"));
    let number = |name: &str| publisher.get(name).and_then(Value::as_u64).unwrap_or_default();
    let lag = Timestamp::parse(text(publisher, "behind_since"))
        .map(|since| SystemClock.now().since(since).as_secs());
    let error = text(publisher, "last_error");
    if state == "gone" {
        return Finding::bad(
            what,
            format!("{name}: its receiver wants no more events (410)"),
            format!(
                "ask its owner; then `archipel events replay --publisher {name}`, or remove it from the site file"
            ),
        );
    }
    if lag.is_some_and(|lag| lag > retention_s / 2) {
        let lag_h = lag.unwrap_or_default() / 3600;
        return Finding::bad(
            what,
            format!("{name}: {lag_h} h behind, and events are kept for {} h: {error}", retention_s / 3600),
            "bring its receiver back, or raise limits.orders.event_retention_s before events are lost to it",
        );
    }
    if number("resets") + number("given_up") > 0 {
        return Finding::doubtful(
            what,
            format!(
                "{name}: {} times events were forgotten unsent, {} were given up",
                number("resets"),
                number("given_up")
            ),
            "its receiver must read the site's orders again; the log tells which events",
        );
    }
    if state == "waiting" || !error.is_empty() {
        let lag = lag.unwrap_or_default();
        return Finding::doubtful(
            what,
            format!("{name}: {lag} s behind: {error}"),
            "nothing is lost: it goes on by itself when its receiver is back",
        );
    }
    Finding::good(
        what,
        format!("{name}: {} sent since the start, {} waiting", number("sent"), number("waiting")),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn a_publisher_is_judged_by_what_may_be_lost() {
        let ago = |s: u64| SystemClock.now().minus(std::time::Duration::from_secs(s));
        for (publisher, state) in [
            (json!({"state": "sending", "sent": 5}), State::Good),
            (json!({"state": "waiting", "behind_since": ago(10), "last_error": "away"}), State::Doubtful),
            (json!({"state": "waiting", "behind_since": ago(600), "last_error": "away"}), State::Bad),
            (json!({"state": "sending", "resets": 1}), State::Doubtful),
            (json!({"state": "gone"}), State::Bad),
        ] {
            assert_eq!(finding(&publisher, 1000).state, state, "{publisher}");
        }
    }
}
